//! One hop as the line traceroute prints, from what its probes found.

use crate::opened::millis;
use crate::output::{Screen, clean};
use fluxnet::tools::probe::Zoned;
use fluxnet::tools::trace::{
    ExtensionObject, Hop, Label, PortState, Reply, Router, Timeout, back_hops,
};
use std::collections::HashMap;
use std::fmt::Write;

/// What became of one probe.
#[derive(Clone, Debug)]
pub struct Probe {
    number: u64,
    answer: Option<Answer>,
}

/// An answer, as far as it is shown.
#[derive(Clone, Debug)]
struct Answer {
    from: Zoned,
    rtt_us: Option<f64>,
    mark: Option<String>,
    reply_ttl: u8,
    mtu: Option<u32>,
    nat: bool,
    port_state: Option<PortState>,
    systems: Vec<u32>,
    mpls: Vec<Label>,
    extensions: Vec<ExtensionObject>,
}

impl From<&Reply> for Probe {
    fn from(reply: &Reply) -> Self {
        let answer = Answer {
            from: reply.from,
            rtt_us: reply.rtt_us,
            mark: reply.mark.clone(),
            reply_ttl: reply.reply_ttl,
            mtu: reply.mtu,
            nat: reply.rewritten.is_some(),
            port_state: reply.port_state,
            systems: reply.asn.iter().chain(&reply.other_asns).copied().collect(),
            mpls: reply.mpls.clone(),
            extensions: reply.extensions.clone(),
        };
        Self { number: reply.probe, answer: Some(answer) }
    }
}

impl Probe {
    /// Whether nobody answered it.
    pub fn is_silent(&self) -> bool {
        self.answer.is_none()
    }
}

impl From<&Timeout> for Probe {
    fn from(timeout: &Timeout) -> Self {
        Self { number: timeout.probe, answer: None }
    }
}

/// How hop lines are printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// What they are printed on.
    pub screen: Screen,
    /// Whether extension objects other than labels are shown.
    pub verbose: bool,
    /// Probes per hop.
    pub queries: u8,
    /// Whether the hop limits its answers.
    pub limited: bool,
    /// Whether the autonomous systems of addresses are shown.
    pub systems: bool,
}

/// What is known of routers besides their answers to the probes of a hop.
#[derive(Clone, Debug, Default)]
pub struct Known {
    names: HashMap<Zoned, String>,
    /// MTUs behind routers, by TTL and address.
    mtus: HashMap<(u8, Zoned), u32>,
}

impl Known {
    /// What a summary says of its hops.
    pub fn of(hops: &[Hop]) -> Self {
        let routers =
            hops.iter().flat_map(|hop| hop.routers.iter().map(|router| (hop.ttl, router)));
        let mtu = |(ttl, router): (u8, &Router)| Some(((ttl, router.address), router.mtu?));
        Self {
            names: names(routers.clone().map(|(_, router)| router)),
            mtus: routers.filter_map(mtu).collect(),
        }
    }
}

/// A piece of a line that is not broken: its letters, and the same with colours.
struct Piece {
    /// Spaces before it.
    gap: usize,
    bare: String,
    painted: String,
}

/// The lines for a hop: `ttl`, then each router with its times; below it what it said besides.
///
/// `known` is what is known of the routers, if they are known yet.
pub fn lines(ttl: u8, probes: &[Probe], known: &Known, layout: &Layout) -> String {
    let mut probes: Vec<&Probe> = probes.iter().collect();
    probes.sort_by_key(|probe| probe.number);
    // Later ones were second tries: with an answer, they take the place of the first that had none.
    let most = usize::from(layout.queries.max(1));
    while probes.len() > most {
        let Some(silent) = probes.iter().position(|probe| probe.answer.is_none()) else { break };
        probes.remove(silent);
    }
    probes.truncate(most);
    let mut pieces = Vec::new();
    let mut before = None;
    let mut below: Vec<String> = Vec::new();
    let add = |pieces: &mut Vec<Piece>, gap, bare: String, painted: String| {
        pieces.push(Piece { gap, bare, painted });
    };
    for (at, probe) in probes.iter().enumerate() {
        let Some(answer) = &probe.answer else {
            let gap = if at == 0 || before.is_some() { 2 } else { 1 };
            add(&mut pieces, gap, "*".into(), "*".into());
            continue;
        };
        let plain = |pieces: &mut Vec<Piece>, text: String| add(pieces, 2, text.clone(), text);
        if before != Some(answer.from) {
            plain(&mut pieces, host(answer.from, &known.names));
            if layout.systems {
                let systems = systems(&answer.systems).unwrap_or_else(|| "*".into());
                let text = format!("[{systems}]");
                add(&mut pieces, 1, text.clone(), text);
            }
            // What the port is, the last answer of the target knows best.
            let of_host = |probe: &&&Probe| {
                probe.answer.as_ref().is_some_and(|other| other.from == answer.from)
            };
            let states = probes.iter().filter(of_host).filter_map(|probe| probe.answer.as_ref());
            if let Some(state) = states.filter_map(|answer| answer.port_state).next_back() {
                let text = format!("[{state}]");
                add(&mut pieces, 1, text.clone(), text);
            }
            for odd in answer.odd(ttl, known) {
                let painted = layout.screen.style.odd(&odd);
                add(&mut pieces, 1, odd, painted);
            }
            answer.below(layout.verbose, &mut below);
        }
        before = Some(answer.from);
        plain(&mut pieces, answer.rtt_us.map_or("? ms".into(), |us| format!("{} ms", millis(us))));
        if let Some(mark) = &answer.mark {
            let mark = clean(mark);
            let painted = layout.screen.style.bad(&mark);
            add(&mut pieces, 1, mark, painted);
        }
    }
    if layout.limited {
        let odd = "limits its answers".to_owned();
        let painted = layout.screen.style.odd(&odd);
        add(&mut pieces, 2, odd, painted);
    }
    if pieces.is_empty() {
        add(&mut pieces, 2, "*".into(), "*".into());
    }
    let mut text = joined(&ttl.to_string(), &pieces, layout.screen.width);
    for line in below {
        // A String takes every write.
        let _ = writeln!(text, "     {line}");
    }
    text
}

/// The line for hops in a row that are silent alike: `5-30  * * *`.
pub fn silence(first: u8, last: u8, stars: usize, layout: &Layout) -> String {
    let star = |at: usize| Piece {
        gap: if at == 0 { 2 } else { 1 },
        bare: "*".into(),
        painted: "*".into(),
    };
    let stars: Vec<Piece> = (0..stars.max(1)).map(star).collect();
    let hops = if first == last { first.to_string() } else { format!("{first}-{last}") };
    joined(&hops, &stars, layout.screen.width)
}

/// Autonomous systems as traceroute prints them; `None` where there are none.
pub fn systems(numbers: &[u32]) -> Option<String> {
    let words: Vec<String> = numbers.iter().map(|number| format!("AS{number}")).collect();
    (!words.is_empty()).then(|| words.join("/"))
}

impl Answer {
    /// What is out of the ordinary about the router.
    fn odd(&self, ttl: u8, known: &Known) -> Vec<String> {
        let mut odd = Vec::new();
        if self.nat {
            odd.push("(NAT)".into());
        }
        // A mark such as !F-1400 says it already.
        let mtu = self.mtu.or_else(|| known.mtus.get(&(ttl, self.from)).copied());
        if let Some(mtu) = mtu.filter(|_| self.mark.is_none()) {
            odd.push(format!("F={mtu}"));
        }
        // A router that says that the way ends answers from where it is, whatever the TTL.
        let back = back_hops(self.reply_ttl, ttl).filter(|&back| back != ttl);
        if let Some(back) = back.filter(|_| self.mark.is_none()) {
            odd.push(format!("asymm {back}"));
        }
        odd
    }

    fn below(&self, verbose: bool, lines: &mut Vec<String>) {
        if !self.mpls.is_empty() {
            lines.push(format!("[MPLS: {}]", labels(&self.mpls)));
        }
        for ExtensionObject { class, ctype, data } in self.extensions.iter().filter(|_| verbose) {
            lines.push(format!("[extension: class {class} type {ctype} {}]", clean(data)));
        }
    }
}

/// Whether some of these were answered and some were not.
pub fn is_lossy(probes: &[Probe]) -> bool {
    let answered = probes.iter().filter(|probe| probe.answer.is_some()).count();
    answered > 0 && answered < probes.len()
}

/// A label stack as traceroute and mtr print it.
pub fn labels(stack: &[Label]) -> String {
    let label = |Label { label, tc, bottom, ttl }: &Label| {
        format!("Lbl {label} TC {tc} S {} TTL {ttl}", u8::from(*bottom))
    };
    stack.iter().map(label).collect::<Vec<_>>().join(", ")
}

/// An address with its name, if it has one.
fn host(address: Zoned, names: &HashMap<Zoned, String>) -> String {
    match names.get(&address) {
        Some(name) => format!("{address} ({})", clean(name)),
        None => address.to_string(),
    }
}

/// The names that routers have.
fn names<'a>(routers: impl IntoIterator<Item = &'a Router>) -> HashMap<Zoned, String> {
    let named = |router: &Router| Some((router.address, router.name.clone()?));
    routers.into_iter().filter_map(named).collect()
}

/// The line, broken where it would be wider than the screen.
fn joined(hop: &str, pieces: &[Piece], width: Option<usize>) -> String {
    let mut text = format!("{hop:>2}");
    let mut column = text.len();
    for (at, piece) in pieces.iter().enumerate() {
        let length = piece.bare.chars().count();
        let gap = if at > 0 && column + piece.gap + length > width.unwrap_or(usize::MAX) {
            text.push('\n');
            column = 0;
            4
        } else {
            piece.gap
        };
        text.extend(std::iter::repeat_n(' ', gap));
        text.push_str(&piece.painted);
        column += gap + length;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{reply, timeout};
    use super::*;
    use fluxnet::tools::trace::Rewritten;

    fn layout(width: Option<usize>) -> Layout {
        let screen = Screen { width, ..Screen::default() };
        Layout { screen, verbose: false, queries: 3, limited: false, systems: false }
    }

    fn line(ttl: u8, probes: &[Probe]) -> String {
        lines(ttl, probes, &Known::default(), &layout(None))
    }

    fn answer(ttl: u8, number: u64, from: &str, us: f64) -> Reply {
        reply("203.0.113.7", ttl, number, from, us)
    }

    #[test]
    fn a_router_is_named_once_and_each_probe_has_its_time_in_order_of_sending() {
        let probes = [
            Probe::from(&answer(3, 9, "172.16.23.2", 4101.0)),
            Probe::from(&answer(3, 7, "172.16.23.2", 4012.0)),
            Probe::from(&answer(3, 8, "172.16.23.2", 4020.0)),
        ];
        assert_eq!(line(3, &probes), " 3  172.16.23.2  4.012 ms  4.020 ms  4.101 ms\n");
        let names = HashMap::from([("172.16.23.2".parse().unwrap(), "r3\x1b[2J".to_owned())]);
        let known = Known { names, ..Known::default() };
        assert_eq!(
            lines(3, &probes, &known, &layout(None)),
            " 3  172.16.23.2 (r3?[2J)  4.012 ms  4.020 ms  4.101 ms\n"
        );
    }

    #[test]
    fn silence_is_a_star_and_other_routers_follow_on_the_line() {
        let silent = |number| Probe::from(&timeout("x", 3, number));
        assert_eq!(line(3, &[silent(7), silent(8), silent(9)]), " 3  * * *\n");
        assert_eq!(line(12, &[]), "12  *\n");
        let probes = [
            silent(7),
            Probe::from(&answer(3, 8, "172.16.23.1", 4000.0)),
            Probe::from(&answer(3, 9, "172.16.23.2", 4100.0)),
        ];
        assert_eq!(line(3, &probes), " 3  *  172.16.23.1  4.000 ms  172.16.23.2  4.100 ms\n");
    }

    #[test]
    fn marks_nat_mtu_and_a_longer_way_back_stand_where_they_belong() {
        let unreachable = Reply { mark: Some("!H".into()), ..answer(3, 1, "10.0.0.3", 300.0) };
        assert_eq!(line(3, &[(&unreachable).into()]), " 3  10.0.0.3  0.300 ms !H\n");
        let nat = Reply { rewritten: Some(Rewritten::Checksum), ..answer(3, 1, "10.0.0.3", 300.0) };
        assert_eq!(line(3, &[(&nat).into()]), " 3  10.0.0.3 (NAT)  0.300 ms\n");
        let big = Reply { mtu: Some(1400), ..answer(3, 1, "10.0.0.3", 300.0) };
        assert_eq!(line(3, &[(&big).into()]), " 3  10.0.0.3 F=1400  0.300 ms\n");
        let marked = Reply { mark: Some("!F-1400".into()), ..big };
        assert_eq!(line(3, &[(&marked).into()]), " 3  10.0.0.3  0.300 ms !F-1400\n");
        let longer = Reply { reply_ttl: 250, rtt_us: None, ..answer(3, 1, "10.0.0.3", 0.0) };
        assert_eq!(line(3, &[(&longer).into()]), " 3  10.0.0.3 asymm 6  ? ms\n");
    }

    #[test]
    fn labels_stand_below_and_other_extensions_when_more_is_asked_for() {
        let label = |label, bottom| Label { label, tc: 0, bottom, ttl: 1 };
        let reply = Reply {
            mpls: vec![label(24001, false), label(16, true)],
            extensions: vec![ExtensionObject { class: 2, ctype: 1, data: "0a0b".into() }],
            ..answer(3, 1, "10.0.0.3", 300.0)
        };
        let text = " 3  10.0.0.3  0.300 ms\n     \
                    [MPLS: Lbl 24001 TC 0 S 0 TTL 1, Lbl 16 TC 0 S 1 TTL 1]\n";
        assert_eq!(line(3, &[(&reply).into()]), text);
        let verbose = Layout { verbose: true, ..layout(None) };
        let text = format!("{text}     [extension: class 2 type 1 0a0b]\n");
        assert_eq!(lines(3, &[(&reply).into()], &Known::default(), &verbose), text);
    }

    #[test]
    fn systems_port_and_what_came_to_be_known_later_stand_behind_the_address() {
        let told = Reply { asn: Some(64500), ..answer(3, 1, "10.0.0.3", 300.0) };
        let layout = Layout { systems: true, ..layout(None) };
        let line = |reply: &Reply, known: &Known| lines(3, &[reply.into()], known, &layout);
        let none = Known::default();
        assert_eq!(line(&told, &none), " 3  10.0.0.3 [AS64500]  0.300 ms\n");
        let several = Reply { other_asns: vec![64501], ..told.clone() };
        assert_eq!(line(&several, &none), " 3  10.0.0.3 [AS64500/AS64501]  0.300 ms\n");
        let known = Known {
            names: HashMap::from([(told.from, "r3.example".to_owned())]),
            mtus: HashMap::from([((3, told.from), 1400), ((4, told.from), 1300)]),
        };
        let port = Reply { asn: None, port_state: Some(PortState::Closed), ..told };
        assert_eq!(
            line(&port, &known),
            " 3  10.0.0.3 (r3.example) [*] [closed] F=1400  0.300 ms\n"
        );
        // The first SYN was answered by an open port, which resets the second.
        let open = Reply { port_state: Some(PortState::Open), ..port };
        let later = Reply { probe: 2, ..open.clone() };
        assert_eq!(
            lines(3, &[(&open).into(), (&later).into()], &none, &layout),
            " 3  10.0.0.3 [*] [open]  0.300 ms  0.300 ms\n"
        );
    }

    #[test]
    fn silent_hops_in_a_row_are_one_line() {
        assert_eq!(silence(5, 30, 3, &layout(None)), "5-30  * * *\n");
        assert_eq!(silence(5, 5, 1, &layout(None)), " 5  *\n");
        let lines = silence(9, 12, 30, &layout(Some(40)));
        assert!(lines.lines().all(|line| line.len() <= 40) && lines.matches('*').count() == 30);
    }

    #[test]
    fn a_narrow_screen_breaks_between_pieces() {
        let probes: Vec<Probe> = (1..=3)
            .map(|n| Probe::from(&answer(3, n, "2001:db8:7:1234:5678:9abc:def0:1", 10_000.0)))
            .collect();
        assert_eq!(
            lines(3, &probes, &Known::default(), &layout(Some(40))),
            " 3  2001:db8:7:1234:5678:9abc:def0:1\n    10.000 ms  10.000 ms  10.000 ms\n"
        );
    }

    #[test]
    fn probes_beyond_the_queries_looked_for_the_mtu_and_have_no_place() {
        let probes: Vec<Probe> =
            (1..=5).map(|n| Probe::from(&answer(3, n, "10.0.0.3", 100.0 * n as f64))).collect();
        assert_eq!(line(3, &probes), " 3  10.0.0.3  0.100 ms  0.200 ms  0.300 ms\n");
    }
}
