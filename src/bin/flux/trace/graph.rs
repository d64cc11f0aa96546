//! All paths to a target: the routers of each hop, labelled where they are several, and each path
//! by these labels.
//!
//! ```text
//!     1  ── 10.0.0.254         1-2 3a 4-6
//!     3a ┬─ 172.16.23.2        1-2 3b 4-6
//!     3b └─ 172.16.23.3
//! ```

use super::report::{asn, fill, notes, with_systems};
use crate::output::{Column, Report, Screen, Show, Table, When, clean, column, table};
use fluxnet::text::counts::counted;
use fluxnet::tools::probe::Zoned;
use fluxnet::tools::trace::{Rtt, Summary};
use serde::Serialize;
use std::collections::BTreeSet;

/// One router, or silence, at a hop.
#[derive(Debug, Serialize)]
struct Node {
    router: String,
    after: Option<String>,
    share_pct: Option<f64>,
    rtt_us: Option<Rtt>,
    loss_pct: Option<f64>,
    notes: Option<String>,
    asn: Option<String>,
    name: Option<String>,
}

struct Nodes(Vec<Node>);

impl Report for Nodes {
    type Row = Node;

    const COLUMNS: &'static [Column] = &[
        column("/router", "router", Show::Name, When::Always, 0),
        column("/after", "after", Show::Name, When::Any, 3),
        column("/asn", "AS", Show::Name, When::Any, 6),
        column("/share_pct", "share", Show::Fixed(0, "%"), When::Varied, 4),
        column("/rtt_us/p50", "ms", Show::ShortMillis, When::Always, 1),
        column("/loss_pct", "loss", Show::Fixed(1, "%"), When::Always, 5),
        column("/notes", "", Show::Name, When::Any, 2),
        column("/name", "name", Show::Name, When::Any, 6),
    ];

    fn rows(&self) -> &[Node] {
        &self.0
    }
}

/// One path.
#[derive(Debug, Serialize)]
struct Path {
    path: String,
    flows: u32,
    rtt_us: Option<Rtt>,
    loss_pct: f64,
}

struct Paths(Vec<Path>);

impl Report for Paths {
    type Row = Path;

    const COLUMNS: &'static [Column] = &[
        column("/path", "path", Show::Name, When::Always, 0),
        column("/flows", "flows", Show::Count, When::Always, 3),
        column("/rtt_us/p50", "ms", Show::ShortMillis, When::Always, 1),
        column("/loss_pct", "loss", Show::Fixed(1, "%"), When::Always, 2),
    ];

    fn rows(&self) -> &[Path] {
        &self.0
    }
}

/// Who is at the hops, with the labels they get.
struct Places<'a> {
    summary: &'a Summary,
    /// Per hop: its routers in order, and `None` for silence beside them.
    hops: Vec<Vec<Option<Zoned>>>,
}

impl<'a> Places<'a> {
    fn new(summary: &'a Summary) -> Self {
        let first = first(summary);
        let mut hops: Vec<Vec<Option<Zoned>>> = Vec::new();
        for hop in &summary.hops {
            let mut places: Vec<_> =
                hop.routers.iter().map(|router| Some(router.address)).collect();
            let at = usize::from(hop.ttl.saturating_sub(first));
            let silent = summary.paths.iter().any(|path| path.get(at) == Some(&None));
            if silent || places.is_empty() {
                places.push(None);
            }
            hops.push(places);
        }
        Self { summary, hops }
    }

    /// The label of `who` at a hop: its TTL, and a letter where they are several.
    fn label(&self, at: usize, who: Option<Zoned>) -> String {
        let (Some(hop), Some(places)) = (self.summary.hops.get(at), self.hops.get(at)) else {
            return "?".into();
        };
        let place = places.iter().position(|place| *place == who);
        match place {
            Some(_) if places.len() == 1 => hop.ttl.to_string(),
            Some(place) => format!("{}{}", hop.ttl, letters(place)),
            None => format!("{}?", hop.ttl),
        }
    }

    /// Which routers lead to it, where not every router of the hop before leads to it.
    fn after(&self, at: usize, who: Option<Zoned>) -> Option<String> {
        let before = at.checked_sub(1)?;
        let ttl = self.summary.hops.get(before)?.ttl;
        let links = self.summary.links.iter().filter(|link| link.ttl == ttl && link.to == who);
        let from: BTreeSet<usize> = links
            .filter_map(|link| self.hops[before].iter().position(|place| *place == link.from))
            .collect();
        if from.is_empty() || from.len() == self.hops[before].len() {
            return None;
        }
        let labels: Vec<String> =
            from.into_iter().map(|place| self.label(before, self.hops[before][place])).collect();
        Some(labels.join(" "))
    }

    /// A path in labels, hops that are the same for all in one: `1-2 3a 4-6`.
    fn path(&self, path: &[Option<Zoned>]) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut run: Option<(String, String)> = None;
        let close = |run: &mut Option<(String, String)>, words: &mut Vec<String>| {
            if let Some((first, last)) = run.take() {
                words.push(if first == last { first } else { format!("{first}-{last}") });
            }
        };
        for (at, who) in path.iter().enumerate() {
            let label = self.label(at, *who);
            if self.hops.get(at).is_some_and(|places| places.len() == 1) {
                match &mut run {
                    Some((_, last)) => *last = label,
                    None => run = Some((label.clone(), label)),
                }
            } else {
                close(&mut run, &mut words);
                words.push(label);
            }
        }
        close(&mut run, &mut words);
        words.join(" ")
    }
}

/// The TTL that paths begin with.
fn first(summary: &Summary) -> u8 {
    summary.hops.first().map_or(1, |hop| hop.ttl)
}

/// a to z, then aa, ab and so on.
fn letters(place: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap_or_default());
    match place / 26 {
        0 => letter(place).into(),
        more => letters(more - 1) + &letter(place).to_string(),
    }
}

/// Routers and paths, and what the tables had no room for.
pub fn graph(summary: &Summary, screen: &Screen) -> Table {
    let places = Places::new(summary);
    let systems = with_systems(summary);
    let mut nodes: Vec<Node> = Vec::new();
    for (at, hop) in summary.hops.iter().enumerate() {
        for (place, who) in places.hops[at].iter().enumerate() {
            let gutter = gutter(place, places.hops[at].len(), screen.unicode);
            let letter = if places.hops[at].len() > 1 { letters(place) } else { " ".into() };
            let who_text = who.map_or("*".into(), |who| who.to_string());
            let router = hop.routers.get(place);
            nodes.push(Node {
                router: format!("{:>2}{letter} {gutter} {who_text}", hop.ttl),
                after: places.after(at, *who),
                share_pct: router.map(|router| share(router.sent, hop.sent)),
                rtt_us: router.and_then(|router| router.rtt_us),
                loss_pct: router.filter(|router| !router.limited).map(|router| router.loss_pct),
                notes: notes(summary, hop, place).map(|notes| screen.fit(&notes)),
                asn: router.and_then(|router| asn(router, systems)),
                name: router.and_then(|router| router.name.as_deref()).map(clean),
            });
        }
    }
    fill(&mut nodes, |node| &mut node.notes);
    fill(&mut nodes, |node| &mut node.after);
    fill(&mut nodes, |node| &mut node.name);
    fill(&mut nodes, |node| &mut node.asn);
    let stats = summary.path_stats.iter();
    let paths = summary.paths.iter().zip(stats).map(|(path, stats)| Path {
        path: places.path(path),
        flows: stats.flows,
        rtt_us: stats.rtt_us,
        loss_pct: stats.loss_pct,
    });
    let nodes = table(&Nodes(nodes), screen);
    let paths = table(&Paths(paths.collect()), screen);
    let mut hidden = nodes.hidden;
    hidden.extend(paths.hidden);
    Table { text: nodes.text + "\n" + &paths.text, hidden }
}

fn share(part: u64, all: u64) -> f64 {
    if all > 0 { part as f64 * 100.0 / all as f64 } else { 0.0 }
}

/// What joins the routers of a hop.
fn gutter(place: usize, all: usize, unicode: bool) -> &'static str {
    let forms =
        if unicode { ["──", "┬─", "├─", "└─"] } else { ["--", "+-", "|-", "`-"] };
    match place {
        _ if all == 1 => forms[0],
        0 => forms[1],
        place if place + 1 < all => forms[2],
        _ => forms[3],
    }
}

/// How many paths there are, and how sure that is.
pub fn certainty(summary: &Summary) -> String {
    let paths = summary.paths.len();
    let paths = counted(paths, "path");
    let Some(sure) = summary.multipath else { return paths };
    let (flows, probes) = (counted(sure.flows, "flow"), counted(sure.probes, "probe"));
    let percent = crate::output::percent(sure.confidence * 100.0);
    let end = if sure.complete {
        format!("no router missed with {percent}% confidence")
    } else if sure.stopped {
        "there may be more; stopped: routers limit their answers".into()
    } else {
        format!("there may be more: {percent}% confidence takes more flows (--max-flows)")
    };
    format!("{paths}, by {flows} and {probes}; {end}")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{diamond, hop, plain, router, summary, troubled};
    use super::*;
    use fluxnet::tools::trace::{Balancing, Certainty, Link};

    fn screen(width: usize, unicode: bool) -> Screen {
        Screen { width: Some(width), unicode, ..Screen::default() }
    }

    #[test]
    fn a_diamond_shows_its_branches_their_share_and_the_paths() {
        assert_eq!(
            graph(&diamond(), &screen(80, true)).text,
            "\
router              after  share     ms   loss
 1  ── 10.0.0.254           100%  0.200   0.0%
 2  ── 172.16.12.2          100%   2.00   0.0%
 3a ┬─ 172.16.23.2           58%   4.00   0.0%  per-flow ×2
 3b └─ 172.16.23.3           42%   4.50  10.0%
 4a ┬─ 172.16.34.4  3a       58%   8.00   0.0%
 4b └─ *            3b         -      -      -
 5  ── 172.16.45.5          100%   12.0   0.0%
 6  ── 203.0.113.7          100%   20.0   0.0%

path           flows    ms   loss
1-2 3a 4a 5-6     14  20.0   0.0%
1-2 3b 4b 5-6     10  20.0  10.0%
"
        );
    }

    #[test]
    fn ascii_stays_ascii_and_no_width_is_exceeded() {
        for summary in [plain(), diamond(), troubled(), wide()] {
            for width in [40, 50, 60, 80, 132] {
                let text = graph(&summary, &screen(width, false)).text;
                assert!(text.is_ascii(), "{text}");
                let widest = text.lines().map(str::len).max();
                assert!(widest <= Some(width), "{width}:\n{text}");
                assert!(text.contains("ms"), "{text}");
            }
        }
    }

    /// Sixteen routers at hop 2, two of which lead to each of the eight at hop 3.
    fn wide() -> Summary {
        let two = (0..16).map(|n| router(&format!("10.2.0.{n}"), 4, 4, 1000.0)).collect();
        let three = (0..8).map(|n| router(&format!("10.3.0.{n}"), 8, 8, 2000.0)).collect();
        let mut two = hop(2, 64, two);
        two.balancing = Some(Balancing::PerPacket);
        let hops = vec![hop(1, 64, vec![router("10.0.0.254", 64, 64, 200.0)]), two];
        let mut summary = summary("10.9.9.9", hops);
        summary.hops.push(hop(3, 64, three));
        let at = |net: u8, n: u8| Some(Zoned::from(std::net::IpAddr::from([10, net, 0, n])));
        let link = |n: u8| Link { ttl: 2, from: at(2, n), to: at(3, n / 2) };
        summary.links = (0..16).map(link).collect();
        summary.paths = (0..16).map(|n| vec![at(0, 254), at(2, n), at(3, n / 2)]).collect();
        summary.path_stats = vec![summary.path_stats[0].clone(); 16];
        summary
    }

    #[test]
    fn wide_hops_tell_who_leads_where_and_that_packets_of_a_flow_are_spread() {
        let text = graph(&wide(), &screen(80, true)).text;
        let row = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start));
        assert!(row("2a ┬─ 10.2.0.0").is_some_and(|row| row.ends_with("per-packet ×16")), "{text}");
        assert!(row("2p └─ 10.2.0.15").is_some(), "{text}");
        assert!(row("3h └─ 10.3.0.7").is_some_and(|row| row.contains("  2o 2p  ")), "{text}");
        assert!(row("1 2c 3b ").is_some(), "{text}");
    }

    #[test]
    fn a_silent_hop_is_a_star_and_labels_go_on_behind_z() {
        let text = graph(&troubled(), &screen(80, true)).text;
        assert!(text.contains("\n 2  ── *"), "{text}");
        assert!(text.contains("\n1-4 "), "{text}");
        assert!(text.contains("core.example.net"), "{text}");
        let of = [0, 25, 26, 51, 52, 701, 702].map(letters);
        assert_eq!(of, ["a", "z", "aa", "az", "ba", "zz", "aaa"]);
    }

    #[test]
    fn how_sure_it_is_is_told() {
        assert_eq!(certainty(&plain()), "1 path");
        assert_eq!(
            certainty(&diamond()),
            "2 paths, by 24 flows and 144 probes; no router missed with 95% confidence"
        );
        let sure =
            Certainty { confidence: 0.999, flows: 1, probes: 7, complete: false, stopped: false };
        let part = Summary { multipath: Some(sure), ..plain() };
        assert_eq!(
            certainty(&part),
            "1 path, by 1 flow and 7 probes; there may be more: 99.9% confidence takes more flows \
             (--max-flows)"
        );
        let stopped = Summary { multipath: Some(Certainty { stopped: true, ..sure }), ..plain() };
        assert_eq!(
            certainty(&stopped),
            "1 path, by 1 flow and 7 probes; there may be more; stopped: routers limit their answers"
        );
    }
}
