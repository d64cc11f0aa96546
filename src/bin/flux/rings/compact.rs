//! Many sockets: one row each, and what is wrong in words under them.

use super::lines::{Layout, Line, Page, Tone, clean, netns, or, owner, sentence, tone, words};
use crate::output::{Column, Report, Screen, Show, When, column, table as draw};
use fluxnet::tools::rings::{Diagnosis, RingSample, Sample, SocketSample};
use serde::Serialize;

/// Most queues that are named for one kind of trouble.
const NAMED: usize = 8;

/// One socket.
#[derive(Serialize)]
struct Row {
    netns: Option<String>,
    interface: Option<String>,
    queue: Option<u32>,
    owner: String,
    mode: Option<&'static str>,
    umem: Option<u32>,
    rx: String,
    rx_per_s: Option<f64>,
    tx: String,
    tx_per_s: Option<f64>,
    fill: String,
    comp: String,
    /// Nothing is healthy; `None` is not known.
    diagnosis: Option<String>,
}

struct Rows(Vec<Row>);

use Show::{Count, Name, Short};
use When::{Always, Varied};

impl Report for Rows {
    type Row = Row;

    const COLUMNS: &'static [Column] = &[
        column("/netns", "netns", Count, Varied, 1), // a name, to the right as numbers are
        column("/interface", "iface", Count, Varied, 1),
        column("/queue", "queue", Count, Always, 0),
        column("/owner", "owner", Name, Always, 0),
        column("/mode", "mode", Count, Varied, 8),
        column("/umem", "umem", Count, Varied, 7),
        column("/rx", "rx", Count, Always, 0),
        column("/rx_per_s", "rx/s", Short, Always, 3),
        column("/tx", "tx", Count, Always, 4),
        column("/tx_per_s", "tx/s", Short, Always, 5),
        column("/fill", "fill", Count, Always, 2),
        column("/comp", "comp", Count, Always, 6),
        column("/diagnosis", "diagnosis", Name, Always, 0),
    ];

    fn rows(&self) -> &[Row] {
        &self.0
    }
}

/// `12/2048`.
fn used(ring: Option<&RingSample>) -> String {
    ring.map_or("-".into(), |ring| format!("{}/{}", or(ring.used, "-"), or(ring.size, "-")))
}

fn row(socket: &SocketSample, diagnosed: bool) -> Row {
    let rings = &socket.rings;
    let per_s = |ring: &Option<RingSample>| ring.as_ref().and_then(|ring| ring.per_s);
    let kinds: Vec<&str> = socket.diagnosis.iter().map(|d| d.kind.name()).collect();
    Row {
        netns: socket.netns.map(|inode| netns(Some(inode), socket.netns_name.as_deref())),
        interface: match socket.state {
            "bound" => socket.interface.as_deref().map(clean),
            state => Some(state.to_owned()),
        },
        queue: socket.queue,
        owner: owner(socket),
        mode: socket.zero_copy.map(|zero_copy| if zero_copy { "zc" } else { "copy" }),
        umem: socket.umem_id,
        rx: used(rings.rx.as_ref()),
        rx_per_s: per_s(&rings.rx),
        tx: used(rings.tx.as_ref()),
        tx_per_s: per_s(&rings.tx),
        fill: used(rings.fill.as_ref()),
        comp: used(rings.comp.as_ref()),
        diagnosis: (diagnosed || !kinds.is_empty()).then(|| kinds.join(",")),
    }
}

/// Adds a table of all sockets, and each kind of trouble once.
pub fn table(sample: &Sample, layout: &Layout, page: &mut Page) {
    if sample.sockets.is_empty() {
        return;
    }
    let rows =
        Rows(sample.sockets.iter().map(|socket| row(socket, sample.elapsed_s.is_some())).collect());
    let Screen { width, unicode, .. } = layout.screen;
    let drawn = draw(&rows, &Screen { width, unicode, ..Screen::default() });
    page.hidden.extend(drawn.hidden);
    page.body.push(Line::default());
    for (nth, text) in drawn.text.lines().enumerate() {
        let bad = nth.checked_sub(1).and_then(|at| rows.0.get(at)?.diagnosis.as_ref());
        let split = bad.filter(|bad| !bad.is_empty()).and_then(|bad| text.strip_suffix(&**bad));
        page.body.push(match (nth, split, bad) {
            (0, ..) => Line::of(Tone::Title, text),
            (_, Some(rest), Some(bad)) => {
                Line(vec![(Tone::Plain, rest.to_owned()), (Tone::Bad, bad.clone())])
            }
            _ => Line::of(Tone::Plain, text),
        });
    }
    if !layout.diagnosis_first {
        troubles(sample, layout, page);
    }
}

/// Each kind once: which sockets have it, and the words of the first.
pub fn troubles(sample: &Sample, layout: &Layout, page: &mut Page) {
    let mut kinds: Vec<(&Diagnosis, Vec<&SocketSample>)> = Vec::new();
    for socket in &sample.sockets {
        for diagnosis in &socket.diagnosis {
            match kinds.iter_mut().find(|(known, _)| known.kind == diagnosis.kind) {
                Some((_, sockets)) => sockets.push(socket),
                None => kinds.push((diagnosis, vec![socket])),
            }
        }
    }
    let several = sample.sockets.iter().any(|s| s.interface != sample.sockets[0].interface);
    let place = |socket: &SocketSample| {
        let name = socket
            .interface
            .as_deref()
            .filter(|_| several)
            .map_or(String::new(), |name| format!("{} ", clean(name)));
        format!("{name}queue {}", or(socket.queue, "?"))
    };
    for (diagnosis, sockets) in kinds {
        let mut places: Vec<String> = sockets.iter().take(NAMED).map(|s| place(s)).collect();
        if sockets.len() > NAMED {
            places.push(format!("{} more", sockets.len() - NAMED));
        }
        let first = format!("{}:", words(diagnosis.kind));
        let text = clean(&diagnosis.text);
        let rest = match &places[..] {
            [one] => format!(" {one}: {text}"),
            all => format!(" {}; of the first: {text}", all.join(", ")),
        };
        page.body.push(Line::default());
        page.body.extend(sentence((tone(diagnosis.kind), &first), &rest, 0, layout));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::lines::paint;
    use super::super::page::page;
    use super::*;

    fn text(sample: &Sample, width: usize) -> (String, Vec<&'static str>) {
        let screen = Screen { width: Some(width), ..Screen::default() };
        let page = page(sample, &Layout { screen, ..Layout::default() });
        (paint(&page.body, &screen), page.hidden)
    }

    #[test]
    fn sixteen_queues_are_sixteen_rows_and_a_trouble_is_told_once() {
        let (text, hidden) = text(&fixture::sixteen(), 80);
        let rows: Vec<&str> = text.lines().skip(1).take(17).collect();
        assert!(rows[0].starts_with("queue  owner"), "{text}");
        assert!(rows[1].contains("xdpsock[1234]") && rows[1].contains("12/2048"), "{text}");
        assert!(rows[4].ends_with("starved") && rows[4].contains(" 0/2048"), "{text}");
        assert!(rows[5].ends_with("/2048"), "healthy: {text}");
        assert!(!hidden.contains(&"rx/s"), "{hidden:?}\n{text}");
        assert_eq!(text.matches("starved:").count(), 1, "{text}");
        assert!(text.contains("starved: queue 3, queue 11; of the first: the fill ring is"));
    }

    #[test]
    fn a_wide_screen_shows_all_columns() {
        let (text, hidden) = text(&fixture::sixteen(), 200);
        assert!(hidden.is_empty(), "{hidden:?}");
        for heading in ["queue", "owner", "umem", "rx/s", "tx/s", "fill", "comp", "diagnosis"] {
            assert!(text.lines().nth(1).unwrap().contains(heading), "{heading}: {text}");
        }
    }

    #[test]
    fn namespaces_are_told_apart_where_there_are_several() {
        let mut sample = fixture::sixteen();
        assert!(!text(&sample, 200).0.contains("netns"));
        sample.sockets[4].netns = Some(17);
        let (text, _) = text(&sample, 80);
        assert!(
            text.contains("netns  queue") && text.contains("\n        17      4  xdp"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let mut sample = fixture::sixteen();
        sample.sockets[0] = fixture::barely_known();
        let (text, _) = text(&sample, 200);
        let row = text.lines().nth(2).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            cells,
            ["0", "owner", "unknown", "-", "0", "-/2048", "-", "-", "-", "-/4096", "-/1024"],
            "{text}"
        );
        sample.elapsed_s = None;
        let (text, _) = super::tests::text(&sample, 200);
        assert!(text.lines().nth(3).unwrap().ends_with("-"), "not diagnosed: {text}");
    }
}
