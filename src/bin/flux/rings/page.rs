//! A sample as lines, for the terminal that scrolls on and for the one that is redrawn.
//!
//! ```text
//!   Sample ─▶ head: source, interfaces ─┐
//!             body: block per socket    ├─▶ Page ─▶ paint (one-shot)
//!                   or row per socket ──┘       └─▶ live view
//! ```

use super::lines::{Layout, Line, Page, Tone, clean, netns, or, sentence};
use super::{block, compact};
use crate::output::short;
use fluxnet::tools::rings::{InterfaceSample, Sample};
use fluxnet::tools::session::Trouble;

/// `sample` as lines.
pub fn page(sample: &Sample, layout: &Layout) -> Page {
    let mut page = Page { head: head(sample, layout), ..Page::default() };
    let first = layout.diagnosis_first && sample.sockets.iter().any(|it| !it.diagnosis.is_empty());
    if first {
        compact::troubles(sample, layout, &mut page);
        page.body.remove(0); // the line between it and what would be above
        page.first = page.body.len();
    }
    if layout.rows(sample) {
        compact::table(sample, layout, &mut page);
    } else {
        for at in 0..sample.sockets.len() {
            page.body.push(Line::default());
            block::socket(sample, at, layout, &mut page);
        }
    }
    page
}

fn head(sample: &Sample, layout: &Layout) -> Vec<Line> {
    let mut facts = vec![format!("source {}", sample.scanned_by)];
    if let Some(since) = layout.since_s {
        facts.push(format!("at {:.1} s", sample.time_s - since));
    }
    facts.push(format!("looked in {}", time_us(sample.took_us)));
    facts.push(match sample.elapsed_s {
        Some(over) => format!("rates over {}", time_us(over * 1e6)),
        None => "one look, so no rates".to_owned(),
    });
    let mut lines = sentence((Tone::Plain, ""), &facts.join(", "), 0, layout);
    let first = sample.interfaces.first().map(|interface| interface.netns);
    let several = sample.interfaces.iter().any(|other| Some(other.netns) != first);
    for interface in &sample.interfaces {
        let name = format!("{}:", clean(&interface.interface));
        let facts = format!(" {}", interface_facts(interface, sample, several).join(", "));
        lines.extend(sentence((Tone::Title, &name), &facts, 0, layout));
    }
    lines
}

fn interface_facts(interface: &InterfaceSample, sample: &Sample, namespaces: bool) -> Vec<String> {
    let mut facts = Vec::new();
    if namespaces {
        facts.push(format!("netns {}", netns(interface.netns, interface.netns_name.as_deref())));
    }
    facts.push(format!("driver {}", interface.driver.as_deref().map_or("?".into(), clean)));
    match (interface.up, interface.carrier) {
        (false, _) => facts.push("down".into()),
        (true, false) => facts.push("no link".into()),
        (true, true) => {}
    }
    match interface.rx_queues {
        Some(1) => facts.push("1 queue".into()),
        queues => facts.push(format!("{} queues", or(queues, "?"))),
    }
    facts.push(match (interface.xdp_id, &interface.xdp_name) {
        (Some(id), Some(name)) => format!("XDP program {id} {}", clean(name)),
        (Some(id), None) => format!("XDP program {id}"),
        _ => "no XDP program seen".into(),
    });
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), short);
    facts.push(format!("rx {}/s, tx {}/s", rate(interface.rx_pps), rate(interface.tx_pps)));
    let strays = |kind: Trouble| kind == Trouble::WrongQueue;
    let troubled = sample.sockets.iter().any(|socket| {
        (socket.netns, socket.ifindex) == (interface.netns, Some(interface.ifindex))
            && socket.diagnosis.iter().any(|diagnosis| strays(diagnosis.kind))
    });
    if let Some(queues) = interface.queue_rx_pps.as_ref().filter(|_| troubled) {
        let each: Vec<_> = queues
            .iter()
            .enumerate()
            .filter(|(_, rate)| **rate > 0.0)
            .map(|(queue, rate)| format!("{} on queue {queue}", short(*rate)))
            .collect();
        if !each.is_empty() {
            facts.push(format!("of which {}", each.join(", ")));
        }
    }
    facts
}

/// A time given in µs, with a unit that suits it.
fn time_us(us: f64) -> String {
    match us {
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 99_950.0 => format!("{:.1} ms", us / 1e3),
        us if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::lines::paint;
    use super::*;
    use crate::output::Screen;

    pub fn layout(width: usize, unicode: bool) -> Layout {
        let screen = Screen { width: Some(width), unicode, ..Screen::default() };
        Layout { screen, ..Layout::default() }
    }

    fn text(sample: &Sample, layout: &Layout) -> String {
        let page = page(sample, layout);
        paint(page.head.iter().chain(&page.body), &layout.screen)
    }

    #[test]
    fn the_head_names_source_cost_span_and_the_interfaces() {
        let text = text(&fixture::sharing(), &layout(80, true));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("source iter, looked in 412 µs, rates over 500 ms"));
        assert_eq!(
            lines.next(),
            Some("eth0: driver veth, 4 queues, XDP program 42 xsk_def_prog, rx 198k/s, tx 0/s")
        );
        assert_eq!(lines.next(), Some(""));
    }

    #[test]
    fn time_is_counted_from_the_first_sample() {
        let mut later = fixture::sharing();
        let layout = Layout { since_s: Some(later.time_s), ..layout(80, true) };
        later.time_s += 2.0;
        assert!(text(&later, &layout).starts_with("source iter, at 2.0 s, "));
    }

    #[test]
    fn what_is_not_known_is_never_shown_as_nothing() {
        let mut sample = fixture::sample(vec![fixture::barely_known()]);
        sample.elapsed_s = None;
        let interface = &mut sample.interfaces[0];
        (interface.driver, interface.rx_queues, interface.xdp_id) = (None, None, None);
        (interface.xdp_name, interface.rx_pps, interface.queue_rx_pps) = (None, None, None);
        (interface.tx_pps, interface.carrier) = (None, false);
        let text = text(&sample, &layout(80, true));
        assert!(text.contains("one look, so no rates"), "{text}");
        assert!(
            text.contains("driver ?, no link, ? queues, no XDP program seen, rx -/s, tx -/s"),
            "{text}"
        );
        assert!(text.contains("owner unknown") && text.contains("mode unknown"), "{text}");
        assert!(text.contains("UMEM 0: ? × 2048 B, ? outside the rings"), "{text}");
        let rx = text.lines().find(|line| line.trim_start().starts_with("rx")).unwrap();
        assert_eq!(
            rx.split_whitespace().collect::<Vec<_>>(),
            ["rx", "2048", "-", "-", "-", "-", "-"]
        );
        let tx = text.lines().find(|line| line.trim_start().starts_with("tx ")).unwrap();
        assert_eq!(tx.split_whitespace().collect::<Vec<_>>(), ["tx", "-", "-", "-", "-", "-", "-"]);
        assert!(text.contains("rx_dropped 7") && !text.contains("+0"), "{text}");
    }

    #[test]
    fn no_view_is_wider_than_its_screen_and_ascii_stays_ascii() {
        let mut everything = fixture::sixteen();
        everything.sockets.push(fixture::unbound());
        everything.sockets.push(fixture::barely_known());
        everything.sockets.push(fixture::inherited());
        for width in [40, 60, 72, 80, 100, 132, 200] {
            for (verbose, rows) in [(false, None), (false, Some(false)), (true, Some(false))] {
                let layout = Layout { verbose, rows, ..layout(width, false) };
                let text = text(&everything, &layout);
                assert!(text.is_ascii(), "{text}");
                for line in text.lines() {
                    assert!(line.len() <= width, "{width} {verbose} {rows:?}: {line}\n{text}");
                    assert_eq!(line.trim_end(), line, "{text}");
                }
            }
        }
    }

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        let mut sample = fixture::sample(vec![fixture::inherited()]);
        sample.sockets[0].comm = Some("\x1b]0;evil\x07".into());
        sample.interfaces[0].interface = "e\x1b[2J".into();
        sample.sockets[0].interface = Some("e\x1b[2J".into());
        for rows in [true, false] {
            let layout = Layout { rows: Some(rows), verbose: true, ..layout(80, true) };
            let text = text(&sample, &layout);
            assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        }
    }

    #[test]
    fn the_queues_that_receive_are_shown_where_they_are_the_trouble() {
        let mut sample = fixture::sample(vec![fixture::socket(1)]);
        assert!(!text(&sample, &layout(200, true)).contains("of which"));
        sample.sockets[0].diagnosis = vec![fluxnet::tools::rings::Diagnosis {
            kind: Trouble::WrongQueue,
            text: "the packets come in on queue 0".into(),
        }];
        let text = text(&sample, &layout(200, true));
        assert!(text.contains("rx 198k/s, tx 0/s, of which 198k on queue 0"), "{text}");
        assert!(text.contains("wrong queue: the packets come in on queue 0"), "{text}");
    }

    #[test]
    fn times_have_three_digits_at_most() {
        let all = [0.4, 412.0, 999.6, 4120.0, 99_960.0, 500_000.0, 999_600.0, 2e6].map(time_us);
        assert_eq!(
            all,
            ["0 µs", "412 µs", "1.0 ms", "4.1 ms", "100 ms", "500 ms", "1.0 s", "2.0 s"]
        );
    }
}
