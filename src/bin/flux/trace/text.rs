//! Events as the lines traceroute prints, and the result in a sentence.

use super::args::{Args, View};
use super::hop::{self, Known, Layout, Probe};
use crate::opened;
use crate::output::{Lines, Screen, clean, short_millis, wrap};
use fluxnet::text::counts::counted;
use fluxnet::tools::probe::{TargetRoute, Zoned};
use fluxnet::tools::trace::{
    Event, Hop, MtuHop, Plan, PortState, Protocol, Reply, Router, Start, Summary, icmp_text,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Prints events.
pub struct Text {
    view: View,
    layout: Layout,
    mtu: bool,
    verbose: bool,
    several: bool,
    /// Whether hops are printed as they come: with one target, and no names or MTUs to wait for.
    stream: bool,
    first: u8,
    start: Option<Start>,
    routes: HashMap<String, TargetRoute>,
    /// Whether a block was printed.
    begun: bool,
    targets: HashMap<String, Target>,
}

/// What came of one target so far.
#[derive(Default)]
struct Target {
    hops: BTreeMap<u8, Vec<Probe>>,
    /// Hops that were printed.
    printed: u8,
    /// The first hop behind which there is nothing to wait for.
    end: Option<u8>,
    /// The first hop that is printed with the summary, as are all behind it: what comes then says
    /// whether the path ends there, and whether a probe without an answer was lost.
    held: Option<u8>,
    /// Silent hops that are not printed yet: more of them may follow.
    silence: Option<Silence>,
}

/// Hops in a row with as many probes each, none of them answered.
struct Silence {
    first: u8,
    last: u8,
    stars: usize,
}

impl Target {
    /// Has a hop and those behind it printed with the summary.
    fn hold(&mut self, ttl: u8) {
        self.held = Some(self.held.map_or(ttl, |held| held.min(ttl)));
    }

    /// Notes what an answer says about the end. The summary alone knows whether a refusal is one.
    fn note_end(&mut self, reply: &Reply) {
        if reply.reached {
            self.end = Some(self.end.map_or(reply.ttl, |end| end.min(reply.ttl)));
        } else if reply.mark.is_some() {
            self.hold(reply.ttl.saturating_add(1));
        }
    }

    /// The lines of the hops that are complete, as are all before them.
    fn due(&mut self, layout: &Layout) -> String {
        let mut text = String::new();
        let last = self.end.unwrap_or(u8::MAX);
        let last = self.held.map_or(last, |held| last.min(held.saturating_sub(1)));
        while self.printed < last {
            let next = self.printed + 1;
            let complete = |probes: &&Vec<Probe>| probes.len() >= layout.queries.into();
            let Some(probes) = self.hops.get(&next).filter(complete) else { break };
            let probes = probes.clone();
            text += &self.hop(next, &probes, &Known::default(), layout);
            self.printed = next;
        }
        text
    }

    /// The lines of a hop behind those that are printed. Those of silent hops come with the next
    /// one that is none, or with [`Self::rest`].
    fn hop(&mut self, ttl: u8, probes: &[Probe], known: &Known, layout: &Layout) -> String {
        if !probes.iter().all(Probe::is_silent) {
            return self.rest(layout) + &hop::lines(ttl, probes, known, layout);
        }
        let stars = probes.len().clamp(1, layout.queries.max(1).into());
        match &mut self.silence {
            Some(run) if run.stars == stars && run.last + 1 == ttl => {
                run.last = ttl;
                String::new()
            }
            _ => {
                let before = self.rest(layout);
                self.silence = Some(Silence { first: ttl, last: ttl, stars });
                before
            }
        }
    }

    /// The line of silent hops that are not printed yet.
    fn rest(&mut self, layout: &Layout) -> String {
        let run = self.silence.take();
        run.map(|run| hop::silence(run.first, run.last, run.stars, layout)).unwrap_or_default()
    }
}

impl Text {
    /// For the run of `plan`.
    pub fn new(args: &Args, plan: &Plan, screen: Screen) -> Self {
        let verbose = args.common.output.verbose;
        let several = plan.targets.len() > 1;
        Self {
            view: args.view(),
            layout: Layout {
                screen,
                verbose,
                queries: plan.queries,
                limited: false,
                systems: plan.asns.is_some(),
            },
            mtu: plan.mtu,
            verbose,
            several,
            stream: !several && !plan.names && !plan.mtu,
            first: plan.first,
            start: None,
            routes: HashMap::new(),
            begun: false,
            targets: HashMap::new(),
        }
    }

    /// The lines for `event`, each with its newline. A [`Event::Summary`] is told by
    /// [`Self::block`].
    pub fn event(&mut self, event: &Event) -> Lines {
        match event {
            Event::Start(start) => self.start(start),
            Event::Neighbour(found) => Lines::err(opened::neighbour(found, self.verbose)),
            Event::Session(event) => Lines::err(opened::session(event)),
            Event::SendError(failed) => Lines::err(opened::send_error(failed)),
            Event::Interim(summary) => Lines::err(interim(summary)),
            Event::Reply(reply) => {
                let probe = Probe::from(reply);
                self.probe(&reply.target, reply.ttl, probe);
                if let Some(known) = self.targets.get_mut(&reply.target) {
                    known.note_end(reply);
                }
                Lines::out(self.due(&reply.target))
            }
            Event::Timeout(timeout) => {
                self.probe(&timeout.target, timeout.ttl, timeout.into());
                Lines::out(self.due(&timeout.target))
            }
            Event::Duplicate(_) | Event::Late(_) | Event::Summary(_) => Lines::default(),
        }
    }

    /// The address that a target was resolved to, and how it is reached.
    pub fn route(&self, target: &str) -> Option<&TargetRoute> {
        self.routes.get(target)
    }

    fn start(&mut self, start: &Start) -> Lines {
        let err = opened::start((&start.opened, &start.interfaces), &start.targets, self.verbose);
        // One start comes per interface.
        let named = |route: &TargetRoute| (route.name.clone(), route.clone());
        self.routes.extend(start.targets.iter().map(named));
        if self.start.is_none() {
            self.start = Some(Start { targets: Vec::new(), ..start.clone() });
        }
        let header = !self.several && self.view != View::Dot;
        let out = start.targets.first().filter(|_| header).map(|route| self.header(&route.name));
        Lines { out: out.unwrap_or_default(), err }
    }

    /// The line before a target's hops.
    fn header(&self, target: &str) -> String {
        let Some(start) = &self.start else { return String::new() };
        let route = self.route(target);
        let address = route.map(|route| format!(" ({})", route.address)).unwrap_or_default();
        let bytes = route.and_then(|route| route.packet_bytes).unwrap_or(start.packet_bytes);
        let most = counted(start.max_hops, "hop");
        let mut text = format!("trace to {}{address}, {most} max", clean(target));
        // A String takes every write.
        if bytes > 0 {
            let _ = write!(text, ", {bytes} byte packets");
        }
        match start.protocol {
            Protocol::Udp => {}
            Protocol::Tcp => {
                let _ = write!(text, ", TCP port {}", start.port);
            }
            Protocol::Icmp => text.push_str(", ICMP"),
        }
        wrap(&text, self.layout.screen.width, 2)
    }

    /// Keeps what became of a probe.
    fn probe(&mut self, target: &str, ttl: u8, probe: Probe) {
        if self.view != View::Hops {
            return;
        }
        let first = self.first;
        let known = self
            .targets
            .entry(target.to_owned())
            .or_insert_with(|| Target { printed: first.saturating_sub(1), ..Target::default() });
        let probes = known.hops.entry(ttl).or_default();
        probes.push(probe);
        if hop::is_lossy(probes) {
            known.hold(ttl);
        }
    }

    /// The lines of the hops that are complete.
    fn due(&mut self, target: &str) -> String {
        let known = self.targets.get_mut(target).filter(|_| self.stream);
        known.map(|known| known.due(&self.layout)).unwrap_or_default()
    }

    /// What is known of one target at the end: its header where there are several, the hops that
    /// were not printed yet, and the conclusion.
    pub fn hops(&mut self, summary: &Summary) -> String {
        let mut text = self.title(summary);
        let mut target = self.targets.remove(&summary.target).unwrap_or_default();
        let (known, printed) = (Known::of(&summary.hops), target.printed);
        for hop in summary.hops.iter().filter(|hop| hop.ttl > printed) {
            let probes = target.hops.remove(&hop.ttl).unwrap_or_default();
            let layout = Layout { limited: hop.limited, ..self.layout };
            text += &target.hop(hop.ttl, &probes, &known, &layout);
        }
        text + &target.rest(&self.layout) + &self.conclusion(summary)
    }

    /// The header of a target's block, where it was not printed at the start.
    pub fn title(&mut self, summary: &Summary) -> String {
        if !self.several {
            return String::new();
        }
        let gap = if std::mem::replace(&mut self.begun, true) { "\n" } else { "" };
        let header = (!self.was_left_out(summary)).then(|| self.header(&summary.target));
        format!("{gap}{}", header.unwrap_or_default())
    }

    /// Whether this host refused the target before anything was sent.
    fn was_left_out(&self, summary: &Summary) -> bool {
        summary.error.is_some() && self.route(&summary.target).is_none()
    }

    /// The result of the run.
    pub fn conclusion(&self, summary: &Summary) -> String {
        // Why, the line about it on stderr says.
        let text = match self.was_left_out(summary) {
            true => format!("not traced: {}", clean(&summary.target)),
            false => conclusion(summary, self.mtu),
        };
        wrap(&text, self.layout.screen.width, 2)
    }
}

/// The result of a trace, in a sentence; with `mtu` also that none was found.
pub fn conclusion(summary: &Summary, mtu: bool) -> String {
    let target = named(summary);
    if let Some(why) = &summary.error {
        return format!("not reached: {target}; {}", clean(why));
    }
    let mut parts = vec![match (summary.reached, summary.distance) {
        (true, Some(hops)) => {
            // With a first TTL that is enough, it is not known how many are too few.
            let first = summary.hops.first().is_some_and(|hop| hop.ttl == hops);
            let enough = hops > 1 && (first || may_be_nearer(summary));
            let hops = match hops {
                _ if enough => format!("at most {hops} hops"),
                _ => counted(hops, "hop"),
            };
            let time = target_rtt(summary).map(|us| format!(", {} ms", short_millis(us)));
            format!("reached {target} in {hops}{}", time.unwrap_or_default())
        }
        (true, None) => format!("reached {target}"),
        (false, _) => format!("not reached: {target}{}", obstacle(summary)),
    }];
    parts.extend(summary.answered_by.map(|by| format!("{by} answered")));
    parts.extend(refusal(summary).filter(|_| summary.reached));
    parts.extend(limits(summary));
    match (summary.mtu, summary.mtu_at_least) {
        (Some(bytes), _) => {
            parts.push(format!("path MTU {bytes}"));
            parts.extend(limit(summary, bytes));
        }
        (None, Some(bytes)) => {
            parts.push(format!("path MTU at least {bytes}: frames hold no more"));
        }
        (None, None) if mtu => parts.push("path MTU unknown".into()),
        (None, None) => {}
    }
    if let Some(ttl) = summary.mtu_black_hole {
        parts.push(format!("larger packets vanish behind hop {ttl}"));
    }
    for nat in &summary.nat {
        parts.push(format!("NAT at hop {} ({})", nat.ttl, nat.address));
    }
    for (count, what) in [(summary.duplicates, "duplicate"), (summary.late, "late")] {
        if count > 0 {
            let answers = if count == 1 { "answer" } else { "answers" };
            parts.push(format!("{count} {what} {answers}"));
        }
    }
    parts.join("; ")
}

/// Who limits its answers: hops on the way, and the target itself.
fn limits(summary: &Summary) -> Vec<String> {
    let mut said = Vec::new();
    let limited = summary.hops.iter().filter(|hop| hop.limited);
    let (target, hops): (Vec<&Hop>, Vec<&Hop>) =
        limited.partition(|hop| summary.distance == Some(hop.ttl));
    let ttls: Vec<String> = hops.iter().map(|hop| hop.ttl.to_string()).collect();
    match &ttls[..] {
        [] => {}
        [ttl] => said.push(format!("hop {ttl} limits its answers")),
        ttls => said.push(format!("hops {} limit their answers", ttls.join(", "))),
    }
    let name = || clean(&summary.target);
    if summary.echo_only {
        said.push(format!("{} answers echo requests and no UDP: filtered, or limited", name()));
    } else if !target.is_empty() {
        said.push(format!("{} limits its answers", name()));
    }
    said
}

/// Whether the target lost some answers, and the hop before it all: that may be the target, too,
/// unless the TTL of its answers says the same distance.
fn may_be_nearer(summary: &Summary) -> bool {
    let mut hops = summary.hops.iter().rev();
    let (Some(end), Some(before)) = (hops.next(), hops.next()) else { return false };
    let by_echo = end.routers.iter().any(|router| router.icmp == "echo_reply");
    let by_ttl = end.routers.iter().any(|router| router.back_hops == Some(end.ttl));
    let silent = before.routers.is_empty() && before.sent > 0;
    silent && end.received < end.sent && !by_echo && !by_ttl
}

/// How a target that was reached refuses what it was sent.
fn refusal(summary: &Summary) -> Option<String> {
    let answered_by = summary.answered_by.map(|by| by.address);
    let from = answered_by.or(summary.address)?;
    let mut routers = summary.hops.last()?.routers.iter();
    let host = routers.find(|router| router.address.address == from)?;
    let text = clean(&icmp_text(&host.icmp));
    match (&host.mark, host.port_state) {
        (Some(mark), state) => {
            let state = state.map(|state| format!(", port {state}")).unwrap_or_default();
            Some(format!("it says {text} ({}){state}", clean(mark)))
        }
        (None, Some(PortState::Filtered)) => Some(format!("it says {text}, port filtered")),
        (None, _) => None,
    }
}

/// Where packets over the path MTU stop, if that router says so.
fn limit(summary: &Summary, bytes: u32) -> Option<String> {
    let MtuHop { ttl, address, mtu } = summary.mtu_hop?;
    // One that told a larger MTU is not the one that limits.
    if mtu.is_some_and(|mtu| mtu > bytes) {
        return None;
    }
    Some(match ttl {
        Some(ttl) => format!("larger packets stop at hop {ttl} ({address})"),
        None => format!("larger packets stop at {address}"),
    })
}

/// Why a target was not reached, as far as it is known.
fn obstacle(summary: &Summary) -> String {
    let answered = |hop: &&Hop| !hop.routers.is_empty();
    let Some(last) = summary.hops.iter().rev().find(answered) else {
        return "; no hop answers".into();
    };
    let stops = |router: &&Router| router.mark.is_some();
    match last.routers.iter().find(stops).or(last.routers.first()) {
        Some(Router { address, icmp, mark: Some(_), .. }) => {
            format!("; hop {} ({address}) says {}", last.ttl, clean(&icmp_text(icmp)))
        }
        Some(Router { address, .. }) => {
            format!("; the last to answer is hop {} ({address})", last.ttl)
        }
        None => String::new(),
    }
}

/// The target, with its address where it was given by name.
pub fn named(summary: &Summary) -> String {
    let Some(address) = summary.address else { return clean(&summary.target) };
    let address = address.to_string();
    if summary.target == address {
        address
    } else {
        format!("{} ({address})", clean(&summary.target))
    }
}

/// Round-trip time to the target.
fn target_rtt(summary: &Summary) -> Option<f64> {
    let mut routers = summary.hops.iter().rev().flat_map(|hop| &hop.routers);
    let address = summary.answered_by.or(summary.address.map(Zoned::from))?;
    let target = routers.find(|router| router.address == address.address)?;
    target.rtt_us.map(|rtt| rtt.times.p50)
}

/// The numbers so far, on one line.
fn interim(summary: &Summary) -> String {
    let answered = summary.hops.iter().filter(|hop| !hop.routers.is_empty()).count();
    let (all, rounds) = (summary.hops.len(), summary.rounds);
    let answer = if all == 1 { "hop answers" } else { "hops answer" };
    let rounds = if rounds > 1 { format!("{rounds} rounds, ") } else { String::new() };
    format!(
        "{}: {rounds}{answered} of {all} {answer}; {}\n",
        summary.target,
        conclusion(summary, false)
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{TARGET, diamond, plain, reply, start, summary, timeout, troubled};
    use super::*;
    use crate::socket_options::parsed;
    use fluxnet::tools::probe::NeighbourFound;
    use fluxnet::tools::probe::SendError;
    use fluxnet::tools::session::{Note, SessionEvent, Trouble};

    fn text(line: &str) -> Text {
        let args: Args = parsed(std::iter::once("trace").chain(line.split_whitespace())).unwrap();
        let plan = args.plan(false).unwrap();
        Text::new(&args, &plan, Screen::default())
    }

    fn out(text: &mut Text, event: Event) -> String {
        let lines = text.event(&event);
        assert_eq!(lines.err, "");
        lines.out
    }

    /// Three answers per hop of the default network, the nearest hops last, then the summary.
    fn answers(text: &mut Text) -> String {
        let mut printed = String::new();
        let mut number = 18;
        for hop in plain().hops.iter().rev() {
            let at = hop.routers[0].address.to_string();
            for _ in 0..3 {
                let us = hop.routers[0].rtt_us.unwrap().times.mean;
                printed += &out(text, Event::Reply(reply(TARGET, hop.ttl, number, &at, us)));
                number -= 1;
            }
        }
        printed
    }

    const HOPS: &str = " 1  10.0.0.254  0.200 ms  0.200 ms  0.200 ms\n \
        2  172.16.12.2  2.000 ms  2.000 ms  2.000 ms\n \
        3  172.16.23.2  4.000 ms  4.000 ms  4.000 ms\n \
        4  172.16.34.4  8.000 ms  8.000 ms  8.000 ms\n \
        5  172.16.45.5  12.000 ms  12.000 ms  12.000 ms\n \
        6  203.0.113.7  20.000 ms  20.000 ms  20.000 ms\n";

    #[test]
    fn one_target_reads_as_traceroute_does_and_ends_with_a_conclusion() {
        let mut text = text("203.0.113.7");
        let lines = text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        assert_eq!(lines.out, "trace to 203.0.113.7 (203.0.113.7), 30 hops max, 60 byte packets\n");
        assert_eq!(lines.err, "");
        assert_eq!(answers(&mut text), "", "names may still come");
        let end = format!("{HOPS}reached 203.0.113.7 in 6 hops, 20.0 ms\n");
        assert_eq!(text.hops(&plain()), end);
    }

    #[test]
    fn without_names_hops_are_printed_in_order_as_soon_as_they_are_complete() {
        let mut text = text("-n 203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        assert_eq!(answers(&mut text), HOPS);
        // What was sent beyond the target has no line, and nothing is printed twice.
        let beyond = || Event::Reply(reply(TARGET, 7, 19, TARGET, 20_000.0));
        assert_eq!([(); 3].map(|()| out(&mut text, beyond())).concat(), "");
        assert_eq!(text.hops(&plain()), "reached 203.0.113.7 in 6 hops, 20.0 ms\n");
    }

    #[test]
    fn a_silent_hop_holds_up_the_later_ones_until_it_is_given_up() {
        let mut text = text("-n -q 1 203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        let far = Event::Reply(reply(TARGET, 2, 2, "172.16.12.2", 2000.0));
        assert_eq!(out(&mut text, far), "");
        assert_eq!(
            out(&mut text, Event::Timeout(timeout(TARGET, 1, 1))),
            " 1  *\n 2  172.16.12.2  2.000 ms\n"
        );
    }

    #[test]
    fn silent_hops_in_a_row_are_one_line_as_soon_as_they_end_or_at_the_end() {
        let mut text = text("-n -q 1 203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        let mut silent = |ttl: u8| {
            let gone = timeout(TARGET, ttl, ttl.into());
            assert_eq!(out(&mut text, Event::Timeout(gone)), "");
        };
        (1..=3).for_each(&mut silent);
        let far = Event::Reply(reply(TARGET, 4, 4, "172.16.34.4", 8000.0));
        assert_eq!(out(&mut text, far), "1-3  *\n 4  172.16.34.4  8.000 ms\n");
        for ttl in 5..=30 {
            assert_eq!(out(&mut text, Event::Timeout(timeout(TARGET, ttl, ttl.into()))), "");
        }
        let hops = (1..=30).map(|ttl| super::super::fixture::hop(ttl, 1, Vec::new())).collect();
        let end = text.hops(&summary(TARGET, hops));
        assert_eq!(end, "5-30  *\nnot reached: 203.0.113.7; no hop answers\n");
    }

    #[test]
    fn the_header_of_each_target_has_its_own_size() {
        let mut text = text("-n 203.0.113.7 2001:db8:7::7");
        let mut both = start(&[(TARGET, TARGET), ("2001:db8:7::7", "2001:db8:7::7")]);
        (both.packet_bytes, both.targets[1].packet_bytes) = (0, Some(54));
        text.event(&Event::Start(both));
        assert!(
            text.hops(&plain())
                .starts_with("trace to 203.0.113.7 (203.0.113.7), 30 hops max, 60 byte")
        );
        let six = text.hops(&summary("2001:db8:7::7", Vec::new()));
        assert!(six.contains("30 hops max, 54 byte packets\n"), "{six}");
    }

    #[test]
    fn an_unreachable_target_ends_the_stream_and_the_router_that_says_so_is_named() {
        let mut text = text("-n -q 1 203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        let said = |ttl| {
            let reply = reply(TARGET, ttl, ttl.into(), "172.16.34.4", 8000.0);
            Event::Reply(Reply { mark: Some("!X".into()), ..reply })
        };
        assert_eq!(out(&mut text, said(1)), " 1  172.16.34.4  8.000 ms !X\n");
        assert_eq!(out(&mut text, said(2)), "", "the summary knows whether others got further");
        assert_eq!(
            text.conclusion(&troubled()),
            "not reached: 203.0.113.7; hop 4 (172.16.34.4) says communication administratively \
             prohibited; NAT at hop 3 (172.16.23.2)\n"
        );
    }

    #[test]
    fn names_stand_beside_their_addresses() {
        let mut text = text("203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        out(&mut text, Event::Reply(reply(TARGET, 3, 7, "172.16.23.2", 4000.0)));
        let block = text.hops(&troubled());
        assert!(block.contains(" 3  172.16.23.2 (core.example.net)  4.000 ms\n"), "{block}");
        assert!(block.starts_with("1-2  *\n"), "{block}");
    }

    #[test]
    fn several_targets_are_blocks_with_a_header_each() {
        let mut text = text("-n 203.0.113.7 host");
        let both = start(&[(TARGET, TARGET), ("host", TARGET)]);
        assert_eq!(text.event(&Event::Start(both)).out, "");
        assert_eq!(answers(&mut text), "");
        let header = "trace to 203.0.113.7 (203.0.113.7), 30 hops max, 60 byte packets\n";
        assert!(text.hops(&plain()).starts_with(&format!("{header}{HOPS}")));
        let named = text.hops(&summary("host", plain().hops));
        assert!(named.starts_with("\ntrace to host (203.0.113.7), 30 hops"), "{named}");
        assert!(named.ends_with("reached host (203.0.113.7) in 6 hops, 20.0 ms\n"), "{named}");
    }

    #[test]
    fn tcp_and_icmp_are_told_in_the_header() {
        let mut text = text("-T x");
        let tcp = Start { protocol: Protocol::Tcp, port: 80, ..start(&[("x", TARGET)]) };
        let header = "trace to x (203.0.113.7), 30 hops max, 60 byte packets, TCP port 80\n";
        assert_eq!(text.event(&Event::Start(tcp)).out, header);
    }

    #[test]
    fn the_conclusion_tells_mtu_black_hole_nat_and_odd_answers() {
        let mut summary = Summary { mtu: Some(1400), duplicates: 2, late: 1, ..plain() };
        summary.nat = troubled().nat;
        assert_eq!(
            conclusion(&summary, true),
            "reached 203.0.113.7 in 6 hops, 20.0 ms; path MTU 1400; NAT at hop 3 (172.16.23.2); \
             2 duplicate answers; 1 late answer"
        );
        let unknown = Summary { mtu_black_hole: Some(4), ..plain() };
        assert!(
            conclusion(&unknown, true)
                .ends_with("; path MTU unknown; larger packets vanish behind hop 4")
        );
        assert!(!conclusion(&plain(), false).contains("MTU"));
        let least = Summary { mtu_at_least: Some(3826), ..plain() };
        assert!(
            conclusion(&least, true).ends_with("; path MTU at least 3826: frames hold no more")
        );
        let address = "172.16.23.2".parse().unwrap();
        let hop = |ttl, mtu| {
            let limit = Some(MtuHop { ttl, address, mtu });
            conclusion(&Summary { mtu: Some(1400), mtu_hop: limit, ..plain() }, true)
        };
        let stop = "; path MTU 1400; larger packets stop at ";
        assert!(hop(Some(3), Some(1400)).ends_with(&format!("{stop}hop 3 (172.16.23.2)")));
        assert!(hop(None, None).ends_with(&format!("{stop}172.16.23.2")));
        assert!(hop(Some(3), Some(1450)).ends_with("; path MTU 1400"));
    }

    #[test]
    fn a_host_that_refuses_or_answers_echo_requests_alone_is_told_in_one_sentence() {
        let with = |change: &dyn Fn(&mut Router)| {
            let mut summary = plain();
            change(&mut summary.hops[5].routers[0]);
            summary
        };
        let prohibited = with(&|host| {
            (host.icmp, host.mark) = ("prohibited".into(), Some("!X".into()));
        });
        let end = conclusion(&prohibited, false);
        assert!(end.ends_with(" ms; it says prohibited (!X)"), "{end}");
        let rejected = with(&|host| {
            host.icmp = "port_unreachable".into();
            host.port_state = Some(PortState::Filtered);
        });
        let end = conclusion(&rejected, false);
        assert!(end.ends_with(" ms; it says port unreachable, port filtered"), "{end}");
        let end = conclusion(&Summary { echo_only: true, ..plain() }, false);
        let echo = "203.0.113.7 answers echo requests and no UDP: filtered, or limited";
        assert!(end.ends_with(echo), "{end}");
        let mut limited = plain();
        limited.hops[5].limited = true;
        let end = conclusion(&limited, false);
        assert!(end.ends_with("; 203.0.113.7 limits its answers"), "{end}");
    }

    #[test]
    fn a_silence_before_a_target_that_lost_answers_may_be_the_target() {
        let mut hops = plain().hops;
        hops[4].routers.clear();
        hops[4].received = 0;
        assert!(conclusion(&summary(TARGET, hops.clone()), false).contains(" in 6 hops"));
        hops[5].received -= 1;
        hops[5].routers[0].back_hops = Some(6);
        assert!(conclusion(&summary(TARGET, hops.clone()), false).contains(" in 6 hops"));
        hops[5].routers[0].back_hops = Some(5);
        assert!(conclusion(&summary(TARGET, hops), false).contains(" in at most 6 hops"));
    }

    #[test]
    fn a_first_hop_that_is_far_enough_is_no_distance() {
        let mut hops = plain().hops.split_off(5);
        let at_most = conclusion(&summary(TARGET, hops.clone()), false);
        assert_eq!(at_most, "reached 203.0.113.7 in at most 6 hops, 20.0 ms");
        hops.insert(0, super::super::fixture::hop(5, 3, Vec::new()));
        assert!(conclusion(&summary(TARGET, hops), false).contains(" in 6 hops"));
    }

    #[test]
    fn who_was_not_reached_is_told_with_the_last_that_is_known() {
        let mut hops = plain().hops;
        hops.truncate(2);
        assert_eq!(
            conclusion(&summary(TARGET, hops), false),
            "not reached: 203.0.113.7; the last to answer is hop 2 (172.16.12.2)"
        );
        let silent = summary(TARGET, vec![super::super::fixture::hop(1, 3, Vec::new())]);
        assert_eq!(conclusion(&silent, false), "not reached: 203.0.113.7; no hop answers");
    }

    #[test]
    fn what_is_not_data_goes_to_standard_error() {
        let mut text = text("203.0.113.7");
        let note = Note { kind: Trouble::Starved, count: 12, text: "12 are lost".into() };
        let found = NeighbourFound {
            before: None,
            address: "10.0.0.254".parse().unwrap(),
            mac: "02:00:00:00:00:02".into(),
            took_us: 1500.0,
            cached: false,
        };
        let failed = SendError { target: "x".into(), error: "Network is down".into(), hint: None };
        for (event, want) in [
            (Event::Session(SessionEvent::Note(note)), "note: 12 are lost\n"),
            (Event::SendError(failed), "cannot send to x: Network is down\n"),
            (Event::Neighbour(found), "found in 1.500 ms"),
            (Event::Interim(diamond()), "203.0.113.7: 6 of 6 hops answer; reached 203.0.113.7 in"),
        ] {
            let lines = text.event(&event);
            assert!(lines.err.contains(want) && lines.out.is_empty(), "{lines:?}");
        }
    }
}
