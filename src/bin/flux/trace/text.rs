//! Events as the lines traceroute prints, and the result in a sentence.

use super::args::{Args, View};
use super::hop::{self, Layout, Probe};
use crate::opened;
use crate::output::{Lines, Screen, clean, short_millis, wrap};
use fluxnet::tools::probe::TargetRoute;
use fluxnet::tools::trace::{Event, Hop, Plan, Protocol, Reply, Router, Start, Summary, icmp_text};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Prints events.
pub struct Text {
    view: View,
    layout: Layout,
    mtu: bool,
    verbose: bool,
    several: bool,
    /// Whether hops are printed as they come: with one target, and no names to wait for.
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
}

impl Target {
    /// The lines of the hops that are complete, as are all before them.
    fn due(&mut self, layout: &Layout) -> String {
        let mut text = String::new();
        let last = self.end.unwrap_or(u8::MAX);
        while self.printed < last {
            let next = self.printed + 1;
            let complete = |probes: &&Vec<Probe>| probes.len() >= layout.queries.into();
            let Some(probes) = self.hops.get(&next).filter(complete) else { break };
            text += &hop::lines(next, probes, &HashMap::new(), layout);
            self.printed = next;
        }
        text
    }
}

impl Text {
    /// For the run of `plan`.
    pub fn new(args: &Args, plan: &Plan, screen: Screen) -> Self {
        let verbose = args.common.output.verbose;
        let several = plan.targets.len() > 1;
        Self {
            view: args.view(),
            layout: Layout { screen, verbose, queries: plan.queries },
            mtu: plan.mtu,
            verbose,
            several,
            stream: !several && !plan.names,
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
                Lines::out(self.probe(&reply.target, reply.ttl, probe, ends(reply)))
            }
            Event::Timeout(timeout) => {
                Lines::out(self.probe(&timeout.target, timeout.ttl, timeout.into(), false))
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
        let address = self.route(target).map(|route| format!(" ({})", route.address));
        let address = address.unwrap_or_default();
        let mut text = format!("trace to {}{address}, {} hops max", clean(target), start.max_hops);
        // A String takes every write.
        if start.packet_bytes > 0 {
            let _ = write!(text, ", {} byte packets", start.packet_bytes);
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

    /// Keeps what became of a probe; the lines of the hops that are complete with it.
    fn probe(&mut self, target: &str, ttl: u8, probe: Probe, ends: bool) -> String {
        if self.view != View::Hops {
            return String::new();
        }
        let first = self.first;
        let known = self
            .targets
            .entry(target.to_owned())
            .or_insert_with(|| Target { printed: first.saturating_sub(1), ..Target::default() });
        known.hops.entry(ttl).or_default().push(probe);
        if ends {
            known.end = Some(known.end.map_or(ttl, |end| end.min(ttl)));
        }
        if self.stream { known.due(&self.layout) } else { String::new() }
    }

    /// What is known of one target at the end: its header where there are several, the hops that
    /// were not printed yet, and the conclusion.
    pub fn hops(&mut self, summary: &Summary) -> String {
        let mut text = self.title(summary);
        let known = self.targets.remove(&summary.target).unwrap_or_default();
        let names = hop::names(summary.hops.iter().flat_map(|hop| &hop.routers));
        for hop in summary.hops.iter().filter(|hop| hop.ttl > known.printed) {
            let probes = known.hops.get(&hop.ttl).map(Vec::as_slice).unwrap_or_default();
            text += &hop::lines(hop.ttl, probes, &names, &self.layout);
        }
        text + &self.conclusion(summary)
    }

    /// The header of a target's block, where it was not printed at the start.
    pub fn title(&mut self, summary: &Summary) -> String {
        if !self.several {
            return String::new();
        }
        let gap = if std::mem::replace(&mut self.begun, true) { "\n" } else { "" };
        format!("{gap}{}", self.header(&summary.target))
    }

    /// The result of the run.
    pub fn conclusion(&self, summary: &Summary) -> String {
        wrap(&conclusion(summary, self.mtu), self.layout.screen.width, 2)
    }
}

/// Whether there is nothing behind the hop that answers so.
fn ends(reply: &Reply) -> bool {
    let unreachable = |mark: &str| mark.starts_with('!') && !mark.starts_with("!F");
    reply.reached || reply.mark.as_deref().is_some_and(unreachable)
}

/// The result of a trace, in a sentence; with `mtu` also that none was found.
pub fn conclusion(summary: &Summary, mtu: bool) -> String {
    let target = named(summary);
    if let Some(why) = &summary.error {
        // As traceroute marks what this host itself cannot send.
        return format!("not reached: {target}; !H, {}", clean(why));
    }
    let mut parts = vec![match (summary.reached, summary.distance) {
        (true, Some(hops)) => {
            let hops = if hops == 1 { "1 hop".into() } else { format!("{hops} hops") };
            let time = target_rtt(summary).map(|us| format!(", {} ms", short_millis(us)));
            format!("reached {target} in {hops}{}", time.unwrap_or_default())
        }
        (true, None) => format!("reached {target}"),
        (false, _) => format!("not reached: {target}{}", obstacle(summary)),
    }];
    match (summary.mtu, mtu) {
        (Some(bytes), _) => parts.push(format!("path MTU {bytes}")),
        (None, true) => parts.push("path MTU unknown".into()),
        (None, false) => {}
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
    let target = routers.find(|router| Some(router.address) == summary.address)?;
    target.rtt_us.map(|rtt| rtt.times.p50)
}

/// The numbers so far, on one line.
fn interim(summary: &Summary) -> String {
    let answered = summary.hops.iter().filter(|hop| !hop.routers.is_empty()).count();
    let (all, rounds) = (summary.hops.len(), summary.rounds);
    let rounds = if rounds > 1 { format!("{rounds} rounds, ") } else { String::new() };
    format!(
        "{}: {rounds}{answered} of {all} hops answer; {}\n",
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
        assert!(lines.err.starts_with("sim0: driver sim, native attach, zero-copy, queue 0, "));
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
    fn an_unreachable_target_ends_the_stream_and_the_router_that_says_so_is_named() {
        let mut text = text("-n -q 1 203.0.113.7");
        text.event(&Event::Start(start(&[(TARGET, TARGET)])));
        let said = |ttl| {
            let reply = reply(TARGET, ttl, ttl.into(), "172.16.34.4", 8000.0);
            Event::Reply(Reply { mark: Some("!X".into()), ..reply })
        };
        assert_eq!(out(&mut text, said(1)), " 1  172.16.34.4  8.000 ms !X\n");
        assert_eq!(out(&mut text, said(2)), "");
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
        assert!(block.starts_with(" 1  *\n 2  *\n"), "{block}");
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
