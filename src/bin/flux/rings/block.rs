//! One socket in full: whose it is, its UMEM, its four rings, its counters, what is wrong.

use super::lines::{Layout, Line, Page, Tone, clean, netns, or, owner, sentence, tone, words};
use crate::output::{bar, short};
use fluxnet::tools::rings::{RingSample, Sample, SocketSample, StatsRates, StatsSample};

/// Columns in front of the lines of a socket.
const INDENT: usize = 2;
/// Shortest and longest bar.
const BARS: (usize, usize) = (8, 24);

/// Adds the lines of socket `at`.
pub fn socket(sample: &Sample, at: usize, layout: &Layout, page: &mut Page) {
    let Some(socket) = sample.sockets.get(at) else { return };
    let several = sample.sockets.iter().any(|other| other.netns != socket.netns);
    let netns = match socket.netns.filter(|_| several) {
        Some(inode) => format!(" (netns {})", netns(Some(inode), socket.netns_name.as_deref())),
        None => String::new(),
    };
    let place = format!("{}{netns}:", place(socket));
    let facts = format!(" {}", facts(socket).join(", "));
    page.body.extend(sentence((Tone::Title, &place), &facts, 0, layout));
    let umem = umem(sample, at);
    page.body.extend(sentence((Tone::Plain, ""), &umem, INDENT, layout));
    rings(socket, layout, page);
    let mut more = Vec::new();
    more.extend(counters(socket, layout.verbose));
    if layout.verbose {
        more.extend(details(socket));
    }
    for line in more {
        page.body.extend(sentence((Tone::Plain, ""), &line, INDENT, layout));
    }
    for diagnosis in socket.diagnosis.iter().filter(|_| !layout.diagnosis_first) {
        let first = format!("{}:", words(diagnosis.kind));
        let rest = format!(" {}", clean(&diagnosis.text));
        let tone = tone(diagnosis.kind);
        page.body.extend(sentence((tone, &first), &rest, INDENT, layout));
    }
}

/// Where it is bound.
fn place(socket: &SocketSample) -> String {
    match (&socket.interface, socket.queue, socket.state) {
        (Some(name), queue, "bound") => format!("{} queue {}", clean(name), or(queue, "?")),
        (_, _, "unbound") => "interface gone".into(),
        (_, _, "ready") => "not bound yet".into(),
        (None, queue, _) => {
            format!("interface {} queue {}", or(socket.ifindex, "?"), or(queue, "?"))
        }
        (Some(name), queue, state) => {
            format!("{} queue {} {state}", clean(name), or(queue, "?"))
        }
    }
}

fn facts(socket: &SocketSample) -> Vec<String> {
    let mut facts = vec![match socket.fd {
        Some(fd) => format!("{} fd {fd}", owner(socket)),
        None => owner(socket),
    }];
    for other in socket.owners.iter().skip(1) {
        facts.push(format!("also {}[{}] fd {}", clean(&other.comm), other.pid, other.fd));
    }
    if socket.state == "bound" {
        facts.push(
            match socket.zero_copy {
                Some(true) => "zero-copy",
                Some(false) => "copy",
                None => "mode unknown",
            }
            .into(),
        );
        facts.push(
            match socket.uses_need_wakeup {
                Some(true) => "need_wakeup",
                Some(false) => "no need_wakeup",
                None => "need_wakeup ?",
            }
            .into(),
        );
    }
    facts
}

fn umem(sample: &Sample, at: usize) -> String {
    let socket = &sample.sockets[at];
    let Some(umem) = &socket.umem else { return "UMEM unknown".into() };
    let mut text = format!(
        "UMEM {}: {} × {} B",
        or(socket.umem_id, "?"),
        or(umem.frames, "?"),
        or(umem.frame_size, "?")
    );
    if let Some(headroom) = umem.headroom.filter(|headroom| *headroom > 0) {
        text += &format!(", headroom {headroom} B");
    }
    if umem.unaligned == Some(true) {
        text += ", unaligned";
    }
    text += &format!(", {} outside the rings", or(umem.unaccounted, "?"));
    let sharing: Vec<String> = sample
        .sockets
        .iter()
        .enumerate()
        .filter(|(other, socket)| {
            *other != at && socket.umem_id.is_some() && socket.umem_id == sample.sockets[at].umem_id
        })
        .map(|(_, other)| match other.interface == socket.interface {
            true => format!("queue {}", or(other.queue, "?")),
            false => place(other),
        })
        .collect();
    if !sharing.is_empty() {
        text += &format!(", shared with {}", sharing.join(", "));
    } else if let Some(users) = umem.users.filter(|users| *users > 1) {
        text += &format!(", {users} users");
    }
    text
}

/// A column of the ring table: heading, width, and how soon it goes where there is no room.
struct Column {
    heading: &'static str,
    width: usize,
    rank: u8,
}

const fn column(heading: &'static str, width: usize, rank: u8) -> Column {
    Column { heading, width, rank }
}

const RING: usize = 0;
const BAR: usize = 3;
const FLAG: usize = 7;
const COLUMNS: [Column; 8] = [
    column("ring", 4, 0),
    column("size", 6, 1),
    column("used", 6, 0),
    column("", BARS.0, 2),
    column("producer", 10, 4),
    column("consumer", 10, 4),
    column("per s", 6, 0),
    column("flag", 6, 3),
];

fn rings(socket: &SocketSample, layout: &Layout, page: &mut Page) {
    let width = layout.screen.width.unwrap_or(usize::MAX);
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let needs = |shown: &[usize]| {
        INDENT + shown.iter().map(|&at| COLUMNS[at].width).sum::<usize>() + 2 * (shown.len() - 1)
    };
    while needs(&shown) > width {
        let last = shown.iter().map(|&at| COLUMNS[at].rank).max().unwrap_or(0);
        if last == 0 {
            break;
        }
        for at in shown.extract_if(.., |at| COLUMNS[*at].rank == last) {
            let heading = COLUMNS[at].heading;
            if !heading.is_empty() && !page.hidden.contains(&heading) {
                page.hidden.push(heading);
            }
        }
    }
    let room = BARS.0 + width.saturating_sub(needs(&shown)).min(BARS.1 - BARS.0);
    let headings = COLUMNS.map(|column| column.heading.to_owned());
    page.body.push(row(&shown, &headings, room));
    let rings = &socket.rings;
    for (name, ring) in
        [("rx", &rings.rx), ("tx", &rings.tx), ("fill", &rings.fill), ("comp", &rings.comp)]
    {
        let cells = cells(name, ring.as_ref(), socket, room, layout.screen.unicode);
        page.body.push(row(&shown, &cells, room));
    }
}

fn cells(
    name: &str,
    ring: Option<&RingSample>,
    socket: &SocketSample,
    room: usize,
    unicode: bool,
) -> [String; 8] {
    let number = |value: Option<u32>| or(value, "-");
    let used = ring.and_then(|ring| ring.used);
    let drawn = match (used, ring.and_then(|ring| ring.size)) {
        (Some(used), Some(size)) => bar(f64::from(used), f64::from(size), room, unicode),
        _ => String::new(),
    };
    // Without XDP_USE_NEED_WAKEUP the flag stays set from the start and says nothing.
    let flag = match (socket.uses_need_wakeup, ring.and_then(|ring| ring.need_wakeup)) {
        (Some(false), _) | (_, Some(false)) => "",
        (_, Some(true)) => "wakeup",
        (_, None) => "-",
    };
    [
        name.into(),
        number(ring.and_then(|ring| ring.size)),
        number(used),
        drawn,
        number(ring.and_then(|ring| ring.producer)),
        number(ring.and_then(|ring| ring.consumer)),
        ring.and_then(|ring| ring.per_s).map_or("-".into(), short),
        flag.into(),
    ]
}

fn row(shown: &[usize], cells: &[String; 8], room: usize) -> Line {
    let mut pieces = vec![(Tone::Plain, " ".repeat(INDENT))];
    for (nth, &at) in shown.iter().enumerate() {
        let (cell, width) = (&cells[at], COLUMNS[at].width);
        let gap = if nth == 0 { "" } else { "  " };
        match at {
            BAR => {
                let pad = " ".repeat(room.saturating_sub(cell.chars().count()));
                pieces.push((Tone::Plain, gap.into()));
                pieces.push((Tone::Bar, cell.clone()));
                pieces.push((Tone::Plain, pad));
            }
            RING => pieces.push((Tone::Plain, format!("{gap}{cell:<width$}"))),
            FLAG => {
                pieces.push((Tone::Plain, gap.into()));
                pieces.push((if cell == "wakeup" { Tone::Odd } else { Tone::Plain }, cell.clone()));
            }
            _ => pieces.push((Tone::Plain, format!("{gap}{cell:>width$}"))),
        }
    }
    while let Some((_, text)) = pieces.last_mut() {
        text.truncate(text.trim_end().len());
        if !text.is_empty() {
            break;
        }
        pieces.pop();
    }
    Line(pieces)
}

/// The kernel's names of the counters, with their values.
fn named(stats: &StatsSample) -> [(&'static str, u64); 6] {
    [
        ("rx_dropped", stats.rx_dropped),
        ("rx_invalid_descs", stats.rx_invalid_descs),
        ("tx_invalid_descs", stats.tx_invalid_descs),
        ("rx_ring_full", stats.rx_ring_full),
        ("rx_fill_ring_empty_descs", stats.rx_fill_ring_empty_descs),
        ("tx_ring_empty_descs", stats.tx_ring_empty_descs),
    ]
}

/// In the same order.
fn rates(rates: &StatsRates) -> [f64; 6] {
    [
        rates.rx_dropped_per_s,
        rates.rx_invalid_descs_per_s,
        rates.tx_invalid_descs_per_s,
        rates.rx_ring_full_per_s,
        rates.rx_fill_ring_empty_descs_per_s,
        rates.tx_ring_empty_descs_per_s,
    ]
}

/// Those that are not zero, or all; those that rise with their rate.
fn counters(socket: &SocketSample, all: bool) -> Option<String> {
    let Some(stats) = &socket.stats else { return Some("counters unknown".into()) };
    let rates = socket.stats_per_s.as_ref().map(rates);
    let counted: Vec<String> = named(stats)
        .into_iter()
        .enumerate()
        .filter(|(_, (_, count))| all || *count > 0)
        .map(|(at, (name, count))| match rates.map(|rates| rates[at]) {
            Some(rate) if rate > 0.0 => format!("{name} {count} (+{}/s)", short(rate)),
            _ => format!("{name} {count}"),
        })
        .collect();
    let mut text = counted.join(", ");
    if !all && stats.tx_ring_empty_descs > 0 {
        text += ", which is normal: there was nothing to send";
    }
    (!counted.is_empty()).then_some(text)
}

/// What is there besides.
fn details(socket: &SocketSample) -> Vec<String> {
    let rings = &socket.rings;
    let cached: Vec<String> =
        [("rx", &rings.rx), ("tx", &rings.tx), ("fill", &rings.fill), ("comp", &rings.comp)]
            .into_iter()
            .map(|(name, ring)| {
                let index =
                    |of: fn(&RingSample) -> Option<u32>| or(ring.as_ref().and_then(of), "-");
                let producer = index(|ring| ring.cached_producer);
                format!("{name} {producer}/{}", index(|ring| ring.cached_consumer))
            })
            .collect();
    let on = |option: Option<bool>| option.map_or("?", |on| if on { "on" } else { "off" });
    let maps = match socket.xskmaps.as_deref() {
        None => "XSKMAPs: ?".into(),
        Some([]) => "XSKMAPs: not in any, so no XDP program can redirect to it".into(),
        Some(slots) => {
            let slots: Vec<String> =
                slots.iter().map(|slot| format!("map {} key {}", slot.map_id, slot.key)).collect();
            format!("XSKMAPs: {}", slots.join(", "))
        }
    };
    vec![
        format!("cached producer/consumer: {}", cached.join(", ")),
        format!(
            "options: multi-buffer {}, prefer busy poll {}, busy poll {} µs, budget {}, TX budget \
             {}, TX metadata {} B",
            on(socket.multi_buffer),
            on(socket.prefer_busy_poll),
            or(socket.busy_poll_us, "?"),
            or(socket.busy_poll_budget, "?"),
            or(socket.tx_budget, "?"),
            or(socket.tx_metadata_len, "?")
        ),
        maps,
        format!(
            "inode {}, netns {}{}, ifindex {}, UMEM users {}, {} in the rings",
            or(socket.inode, "?"),
            or(socket.netns, "?"),
            socket
                .netns_name
                .as_deref()
                .map_or(String::new(), |name| format!(" ({})", clean(name))),
            or(socket.ifindex, "?"),
            or(socket.umem.and_then(|umem| umem.users), "?"),
            or(socket.umem.and_then(|umem| umem.in_rings), "?")
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::lines::paint;
    use super::super::page::page;
    use super::*;
    use crate::output::Screen;

    fn text(sample: &Sample, verbose: bool, width: usize) -> String {
        let screen = Screen { width: Some(width), unicode: true, ..Screen::default() };
        let layout = Layout { screen, verbose, ..Layout::default() };
        paint(&page(sample, &layout).body, &layout.screen)
    }

    #[test]
    fn a_starved_socket_reads_at_80_columns() {
        let text = text(&fixture::sample(vec![fixture::starved(0)]), false, 80);
        let want = "
eth0 queue 0: xdpsock[1234] fd 5, copy, need_wakeup
  UMEM 0: 4096 × 2048 B, 128 outside the rings
  ring    size    used                      producer    consumer   per s  flag
  rx      2048      12  ▏                 4294967208  4294967196    198k
  tx      2048       0                    4294967196  4294967196       0
  fill    2048       0                    4294967196  4294967196       0  wakeup
  comp    2048       0                    4294967196  4294967196       0
  rx_dropped 123456 (+20.4k/s), rx_fill_ring_empty_descs 123456 (+20.4k/s)
  starved: the fill ring is empty and the kernel found no free frame 20.4k times
    a second; the application holds 4084 of 4096 frames: give frames back to the
    fill ring, or use more frames
";
        assert_eq!(text, want);
    }

    #[test]
    fn a_full_ring_has_a_full_bar_also_where_its_indices_wrap() {
        let mut socket = fixture::socket(0);
        socket.rings.rx = fixture::ring(2048, 0.0);
        let text = text(&fixture::sample(vec![socket]), false, 80);
        let line = text.lines().find(|line| line.starts_with("  rx ")).unwrap();
        assert!(line.contains(&"█".repeat(16)) && line.contains("4294967196"), "{text}");
        assert!(line.contains("        1948  "), "{text}");
    }

    #[test]
    fn sockets_that_share_memory_name_each_other() {
        let text = text(&fixture::sharing(), false, 80);
        assert!(text.contains("UMEM 7: 4096 × 2048 B, 128 outside the rings, shared with queue 1"));
        assert!(text.contains("shared with queue 0"), "{text}");
        // The rest of its users may be out of what was asked for.
        let mut alone = fixture::sharing();
        alone.sockets.truncate(1);
        let text = super::tests::text(&alone, false, 80);
        assert!(text.contains("outside the rings, 2 users"), "{text}");
    }

    #[test]
    fn namespaces_are_told_apart_where_there_are_several() {
        let mut other = fixture::socket(0);
        other.netns = Some(17);
        let text = text(&fixture::sample(vec![fixture::socket(0), other]), false, 80);
        assert!(text.contains("eth0 queue 0 (netns 4026531840): xdpsock"), "{text}");
        assert!(text.contains("eth0 queue 0 (netns 17): xdpsock"), "{text}");
    }

    #[test]
    fn flags_say_nothing_where_they_are_not_in_use() {
        let mut socket = fixture::starved(0);
        socket.uses_need_wakeup = Some(false);
        let text = text(&fixture::sample(vec![socket]), false, 80);
        assert!(!text.contains("  wakeup") && text.contains("no need_wakeup"), "{text}");
    }

    #[test]
    fn sockets_that_are_not_bound_say_so() {
        let gone = text(&fixture::sample(vec![fixture::unbound()]), true, 80);
        assert!(gone.contains("interface gone: xdpsock[1234] fd 5\n"), "{gone}");
        assert!(gone.contains("not in any, so no XDP program"), "{gone}");
        let mut ready = fixture::unbound();
        ready.state = "ready";
        let ready = text(&fixture::sample(vec![ready]), false, 80);
        assert!(ready.contains("not bound yet: xdpsock[1234]"), "{ready}");
    }

    #[test]
    fn all_of_a_socket_is_all_of_it() {
        let text = text(&fixture::sample(vec![fixture::inherited()]), true, 80);
        for part in [
            "also a?[31mchild[1240] fd 9",
            "rx_dropped 0, rx_invalid_descs 0, tx_invalid_descs 0, rx_ring_full 0",
            "cached producer/consumer: rx 4294967208/4294967132",
            "prefer busy poll on, busy poll 20 µs, budget 64, TX budget",
            "map 12 key 0",
            "inode 9000, netns 4026531840, ifindex 3, UMEM users 1, 3968 in the rings",
        ] {
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_narrow_screen_keeps_name_use_and_rate_and_tells_what_it_lost() {
        let screen = Screen { width: Some(40), unicode: true, ..Screen::default() };
        let layout = Layout { screen, ..Layout::default() };
        let page = page(&fixture::sharing(), &layout);
        assert_eq!(page.hidden, ["producer", "consumer", "flag"]);
        let text = paint(&page.body, &layout.screen);
        assert!(text.contains("  rx      2048      12  ▏           198k\n"), "{text}");
    }
}
