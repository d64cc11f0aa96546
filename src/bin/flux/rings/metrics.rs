//! Samples as Prometheus metrics, text format 0.0.4.
//!
//! Sockets with the same labels are summed: a series is there once. Ring indices are 32 bits and
//! wrap; what is added between two samples goes into 64 bits here, so one scrape at least every
//! 2^32 entries keeps the totals right.

use fluxnet::FluxError;
use fluxnet::tools::http::{Families, Labels};
use fluxnet::tools::rings::{
    Diagnosis, InterfaceKey, RingSample, Sample, SocketSample, StatsSample,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Names of the rings, in the order of [`Counts`].
const RINGS: [&str; 4] = ["rx", "tx", "fill", "comp"];
/// Names and meanings of the counters, in the order of [`Counts`].
const STATS: [(&str, &str); 6] = [
    ("flux_xsk_rx_dropped_total", "Packets dropped: no frame to put them in, or too long."),
    ("flux_xsk_rx_invalid_descs_total", "Fill ring entries outside the UMEM."),
    ("flux_xsk_tx_invalid_descs_total", "TX ring entries outside the UMEM."),
    ("flux_xsk_rx_ring_full_total", "Packets dropped because the RX ring was full."),
    (
        "flux_xsk_rx_fill_ring_empty_descs_total",
        "Times the kernel wanted a frame and found the fill ring empty.",
    ),
    ("flux_xsk_tx_ring_empty_descs_total", "Times the kernel found the TX ring empty."),
];

/// What counts up; `None` is not known.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    produced: [Option<u64>; 4],
    consumed: [Option<u64>; 4],
    stats: [Option<u64>; 6],
}

/// A socket from one sample to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SocketKey {
    Inode(u64),
    Place(Option<InterfaceKey>, Option<u32>, Option<i32>),
}

/// Turns samples into text, and remembers what they counted.
#[derive(Debug, Default)]
pub struct Exporter {
    /// Our network namespace, whose interfaces need no label for it.
    netns: Option<u32>,
    seen: HashMap<SocketKey, Counts>,
    totals: BTreeMap<Labels, Counts>,
}

impl Exporter {
    /// `netns` is the network namespace of this process.
    pub fn new(netns: Option<u32>) -> Self {
        Self { netns, ..Self::default() }
    }

    /// `sample` as text. Each sample once: it goes into the totals.
    pub fn text(&mut self, sample: &Sample) -> Result<String, FluxError> {
        let mut families = Families::default();
        let mut live = HashSet::new();
        let (mut pools, mut umems) = (HashSet::new(), HashSet::new());
        let mut places: Vec<Labels> = Vec::new();
        for socket in &sample.sockets {
            let Some(labels) = self.labels(socket) else { continue };
            // Sockets on one queue and UMEM have one fill and one completion ring.
            let pool = (socket.netns, socket.ifindex, socket.queue, socket.umem_id);
            let first_of_pool = socket.umem_id.is_none() || pools.insert(pool);
            let first_of_umem = match socket.umem_id {
                Some(umem) => umems.insert((labels.clone(), umem)),
                None => true,
            };
            let key = key(socket);
            if live.insert(key) {
                self.count(key, socket, &labels, first_of_pool);
            }
            gauges(socket, &labels, first_of_pool, first_of_umem, &mut families);
            places.push(labels);
        }
        self.seen.retain(|key, _| live.contains(key));
        self.totals.retain(|labels, _| places.contains(labels));
        self.counters(&mut families);
        own(sample, &mut families);
        families.encode()
    }

    /// Where a socket is; `None` when it is nowhere.
    fn labels(&self, socket: &SocketSample) -> Option<Labels> {
        let interface = match (&socket.interface, socket.ifindex) {
            (Some(name), _) => name.clone(),
            (None, Some(index)) => format!("#{index}"),
            (None, None) => return None,
        };
        let mut labels = vec![("interface", interface), ("queue", socket.queue?.to_string())];
        if let Some(netns) = socket.netns.filter(|_| socket.netns != self.netns) {
            let name = socket.netns_name.clone();
            labels.push(("netns", name.unwrap_or_else(|| netns.to_string())));
        }
        Some(labels)
    }

    /// Adds what `socket` counted since it was last seen to the totals of its place.
    fn count(&mut self, key: SocketKey, socket: &SocketSample, labels: &Labels, pool: bool) {
        let before = self.seen.get(&key).copied().unwrap_or_default();
        let now = counts(socket);
        self.seen.insert(key, now);
        let totals = self.totals.entry(labels.clone()).or_default();
        for at in 0..RINGS.len() {
            if at < 2 || pool {
                add_index(&mut totals.produced[at], now.produced[at], before.produced[at]);
                add_index(&mut totals.consumed[at], now.consumed[at], before.consumed[at]);
            }
        }
        for at in 0..STATS.len() {
            if let Some(now) = now.stats[at] {
                let risen = now.saturating_sub(before.stats[at].unwrap_or(0));
                *totals.stats[at].get_or_insert(0) += risen;
            }
        }
    }

    fn counters(&self, families: &mut Families) {
        for (labels, totals) in &self.totals {
            for (at, ring) in RINGS.into_iter().enumerate() {
                let labels = with(labels, "ring", ring);
                families.add_known(
                    "flux_ring_produced_total",
                    "Entries put into the ring.",
                    &labels,
                    totals.produced[at].map(|count| count as f64),
                );
                families.add_known(
                    "flux_ring_consumed_total",
                    "Entries taken out of the ring.",
                    &labels,
                    totals.consumed[at].map(|count| count as f64),
                );
            }
            for ((name, help), count) in STATS.into_iter().zip(totals.stats) {
                families.add_known(name, help, labels, count.map(|count| count as f64));
            }
        }
    }
}

fn key(socket: &SocketSample) -> SocketKey {
    match socket.inode {
        Some(inode) => SocketKey::Inode(inode),
        None => {
            let interface =
                socket.ifindex.map(|ifindex| InterfaceKey { netns: socket.netns, ifindex });
            SocketKey::Place(interface, socket.queue, socket.fd)
        }
    }
}

fn rings(socket: &SocketSample) -> [Option<&RingSample>; 4] {
    let rings = &socket.rings;
    [&rings.rx, &rings.tx, &rings.fill, &rings.comp].map(Option::as_ref)
}

fn counts(socket: &SocketSample) -> Counts {
    let rings = rings(socket);
    let stats = socket.stats.map(|stats: StatsSample| {
        [
            stats.rx_dropped,
            stats.rx_invalid_descs,
            stats.tx_invalid_descs,
            stats.rx_ring_full,
            stats.rx_fill_ring_empty_descs,
            stats.tx_ring_empty_descs,
        ]
    });
    Counts {
        produced: rings.map(|ring| ring?.producer.map(u64::from)),
        consumed: rings.map(|ring| ring?.consumer.map(u64::from)),
        stats: match stats {
            Some(stats) => stats.map(Some),
            None => [None; 6],
        },
    }
}

/// Adds what a 32-bit index moved by. A socket that is new has moved by all of it.
fn add_index(total: &mut Option<u64>, now: Option<u64>, before: Option<u64>) {
    if let Some(now) = now {
        let moved = (now as u32).wrapping_sub(before.unwrap_or(0) as u32);
        *total.get_or_insert(0) += u64::from(moved);
    }
}

fn with(labels: &Labels, name: &'static str, value: impl Into<String>) -> Labels {
    let mut labels = labels.clone();
    labels.push((name, value.into()));
    labels
}

fn gauges(
    socket: &SocketSample,
    labels: &Labels,
    first_of_pool: bool,
    first_of_umem: bool,
    families: &mut Families,
) {
    for (at, ring) in rings(socket).into_iter().enumerate() {
        let Some(ring) = ring.filter(|_| at < 2 || first_of_pool) else { continue };
        let labels = with(labels, "ring", RINGS[at]);
        families.add_known("flux_ring_entries", "Entries in the ring.", &labels, ring.used);
        families.add_known("flux_ring_capacity_entries", "Slots of the ring.", &labels, ring.size);
    }
    if let Some(umem) = socket.umem.filter(|_| first_of_umem) {
        let name = "flux_umem_frames";
        families.add_known(name, "Frames of the packet memory.", labels, umem.frames);
        families.add_known(
            "flux_umem_unaccounted_frames",
            "Frames outside the rings: held by the application or the driver.",
            labels,
            umem.unaccounted.map(|frames| frames as f64),
        );
        // A size is no amount: two memories on one queue have the larger, not both.
        if let Some(size) = umem.frame_size {
            let name = "flux_umem_frame_size_bytes";
            families.raise(name, "Bytes per frame.", labels.clone(), f64::from(size));
        }
    }
    flags(socket, labels, families);
}

/// What holds or does not, however many sockets say so.
fn flags(socket: &SocketSample, labels: &Labels, families: &mut Families) {
    let comm = socket.comm.clone().unwrap_or_default();
    let mode = match socket.zero_copy {
        Some(true) => "zerocopy",
        Some(false) => "copy",
        None => "unknown",
    };
    let info = with(&with(labels, "comm", comm), "mode", mode);
    families.raise("flux_xsk_info", "A socket: its command, and how frames travel.", info, 1.0);
    for each in Diagnosis::kinds() {
        let holds = socket.diagnosis.iter().any(|diagnosis| diagnosis.kind == each);
        families.raise(
            "flux_xsk_diagnosis",
            "Whether this is wrong with a socket, by the latest scrapes.",
            with(labels, "kind", each.name()),
            f64::from(u8::from(holds)),
        );
    }
}

/// About the observer itself.
fn own(sample: &Sample, families: &mut Families) {
    families.add(
        "flux_rings_look_seconds",
        "What the look at all sockets cost.",
        vec![("source", sample.scanned_by.to_owned())],
        sample.took_us / 1e6,
    );
    families.add(
        "flux_rings_incomplete",
        "Whether there may be more sockets than these.",
        Vec::new(),
        f64::from(u8::from(!sample.missing.is_empty())),
    );
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    families.add("flux_build_info", "The flux that looks.", version, 1.0);
}

#[cfg(test)]
pub mod tests {
    use super::super::fixture;
    use super::*;

    /// Reads the format line by line as its description has it; the series with their values.
    pub fn parsed(text: &str) -> HashMap<String, f64> {
        let mut series = HashMap::new();
        let mut types: HashMap<&str, &str> = HashMap::new();
        let mut helped = HashSet::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(helped.insert(name) && !help.is_empty(), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(helped.contains(name), "{line}");
                assert!(types.insert(name, kind).is_none(), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else {
                let (labelled, value) = line.rsplit_once(' ').unwrap();
                let name = labelled.split('{').next().unwrap();
                assert!(types.contains_key(name), "{line}");
                check_labels(labelled.strip_prefix(name).unwrap());
                let value: f64 = value.parse().unwrap();
                assert!(series.insert(labelled.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        series
    }

    fn check_labels(labels: &str) {
        if labels.is_empty() {
            return;
        }
        let mut rest = labels.strip_prefix('{').unwrap();
        loop {
            let (name, value) = rest.split_once("=\"").unwrap();
            assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{labels}");
            let mut end = None;
            let mut escaped = false;
            for (at, c) in value.char_indices() {
                match c {
                    _ if escaped => {
                        assert!(matches!(c, '\\' | '"' | 'n'), "{labels}");
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = Some(at);
                        break;
                    }
                    _ => {}
                }
            }
            rest = &value[end.unwrap() + 1..];
            if rest == "}" {
                return;
            }
            rest = rest.strip_prefix(',').unwrap();
        }
    }

    fn export(exporter: &mut Exporter, sample: &Sample) -> HashMap<String, f64> {
        parsed(&exporter.text(sample).unwrap())
    }

    fn exporter() -> Exporter {
        Exporter::new(Some(fixture::NETNS))
    }

    #[test]
    fn one_socket_gives_all_families() {
        let series = export(&mut exporter(), &fixture::sample(vec![fixture::starved(2)]));
        let at = r#"interface="eth0",queue="2""#;
        for (name, want) in [
            (format!(r#"flux_ring_entries{{{at},ring="rx"}}"#), 12.0),
            (format!(r#"flux_ring_capacity_entries{{{at},ring="fill"}}"#), 2048.0),
            (format!(r#"flux_ring_produced_total{{{at},ring="rx"}}"#), 4_294_967_208.0),
            (format!(r#"flux_ring_consumed_total{{{at},ring="rx"}}"#), 4_294_967_196.0),
            (format!("flux_xsk_rx_dropped_total{{{at}}}"), 123_456.0),
            (format!("flux_xsk_rx_invalid_descs_total{{{at}}}"), 0.0),
            (format!("flux_xsk_tx_invalid_descs_total{{{at}}}"), 0.0),
            (format!("flux_xsk_rx_ring_full_total{{{at}}}"), 0.0),
            (format!("flux_xsk_rx_fill_ring_empty_descs_total{{{at}}}"), 123_456.0),
            (format!("flux_xsk_tx_ring_empty_descs_total{{{at}}}"), 0.0),
            (format!("flux_umem_frames{{{at}}}"), 4096.0),
            (format!("flux_umem_frame_size_bytes{{{at}}}"), 2048.0),
            (format!("flux_umem_unaccounted_frames{{{at}}}"), 128.0),
            (format!(r#"flux_xsk_diagnosis{{{at},kind="starved"}}"#), 1.0),
            (format!(r#"flux_xsk_diagnosis{{{at},kind="idle"}}"#), 0.0),
            (format!(r#"flux_xsk_info{{{at},comm="xdpsock",mode="copy"}}"#), 1.0),
            (r#"flux_rings_look_seconds{source="iter"}"#.into(), 412e-6),
            ("flux_rings_incomplete".into(), 0.0),
            (format!(r#"flux_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION")), 1.0),
        ] {
            assert_eq!(series.get(&name), Some(&want), "{name}: {series:#?}");
        }
        assert_eq!(
            series.keys().filter(|name| name.contains("diagnosis")).count(),
            Diagnosis::kinds().count()
        );
    }

    #[test]
    fn what_is_not_known_is_no_series() {
        let series = export(&mut exporter(), &fixture::sample(vec![fixture::barely_known()]));
        let has = |name: &str| series.keys().any(|key| key.starts_with(name));
        assert!(has("flux_ring_capacity_entries") && has("flux_xsk_rx_dropped_total"));
        for name in ["flux_ring_entries", "flux_ring_produced_total", "flux_umem_frames{"] {
            assert!(!has(name), "{name}: {series:#?}");
        }
        assert!(series.keys().any(|key| key.contains(r#"mode="unknown""#)), "{series:#?}");
        // A socket that is nowhere has no labels to stand under.
        let nowhere = export(&mut exporter(), &fixture::sample(vec![fixture::unbound()]));
        assert!(nowhere.keys().all(|key| !key.contains("interface=")), "{nowhere:#?}");
    }

    #[test]
    fn indices_that_wrap_go_on_rising() {
        let mut exporter = exporter();
        let mut sample = fixture::sample(vec![fixture::socket(0)]);
        let name = r#"flux_ring_produced_total{interface="eth0",queue="0",ring="rx"}"#;
        let first = export(&mut exporter, &sample)[name];
        for step in 1..=3_u32 {
            let rx = sample.sockets[0].rings.rx.as_mut().unwrap();
            rx.producer = rx.producer.map(|producer| producer.wrapping_add(1_500_000_000));
            let total = export(&mut exporter, &sample)[name];
            assert_eq!(total, first + 1_500_000_000.0 * f64::from(step));
        }
    }

    #[test]
    fn sockets_with_the_same_labels_are_summed_and_shared_rings_counted_once() {
        let mut twin = fixture::socket(0);
        (twin.inode, twin.fd) = (Some(1), Some(99));
        twin.stats = Some(fixture::stats(5));
        let series = export(&mut exporter(), &fixture::sample(vec![fixture::socket(0), twin]));
        let at = r#"interface="eth0",queue="0""#;
        let get = |name: String| series.get(&name).copied();
        assert_eq!(get(format!(r#"flux_ring_entries{{{at},ring="rx"}}"#)), Some(24.0));
        assert_eq!(get(format!(r#"flux_ring_entries{{{at},ring="fill"}}"#)), Some(1900.0));
        assert_eq!(
            get(format!(r#"flux_ring_consumed_total{{{at},ring="fill"}}"#)),
            Some(4_294_967_196.0)
        );
        assert_eq!(get(format!("flux_xsk_rx_dropped_total{{{at}}}")), Some(5.0));
        assert_eq!(get(format!("flux_umem_frames{{{at}}}")), Some(4096.0));
        assert_eq!(get(format!("flux_umem_frame_size_bytes{{{at}}}")), Some(2048.0));
        assert_eq!(get(format!(r#"flux_xsk_info{{{at},comm="xdpsock",mode="copy"}}"#)), Some(1.0));
    }

    #[test]
    fn a_counter_does_not_fall_when_one_of_two_sockets_goes() {
        let mut exporter = exporter();
        let mut twin = fixture::socket(0);
        twin.inode = Some(1);
        twin.stats = Some(fixture::stats(50));
        let both = fixture::sample(vec![fixture::socket(0), twin]);
        let at = r#"{interface="eth0",queue="0"}"#;
        let dropped = format!("flux_xsk_rx_dropped_total{at}");
        assert_eq!(export(&mut exporter, &both)[&dropped], 50.0);
        let mut one = fixture::sample(vec![fixture::socket(0)]);
        assert_eq!(export(&mut exporter, &one)[&dropped], 50.0);
        one.sockets[0].stats = Some(fixture::stats(7));
        assert_eq!(export(&mut exporter, &one)[&dropped], 57.0);
        // A queue that lost all of them starts anew.
        let none = export(&mut exporter, &fixture::sample(Vec::new()));
        assert!(!none.contains_key(&dropped), "{none:#?}");
        assert_eq!(export(&mut exporter, &one)[&dropped], 7.0);
    }

    #[test]
    fn interfaces_of_other_namespaces_are_told_apart_and_names_are_escaped() {
        let mut foreign = fixture::socket(0);
        foreign.netns = Some(17);
        foreign.inode = Some(1);
        foreign.comm = Some("a\"b\\c\nd".into());
        let series = export(&mut exporter(), &fixture::sample(vec![fixture::socket(0), foreign]));
        let rx = r#"flux_ring_entries{interface="eth0",queue="0",netns="17",ring="rx"}"#;
        assert_eq!(series.get(rx), Some(&12.0), "{series:#?}");
        assert!(series.keys().any(|key| key.contains(r#"comm="a\"b\\c\nd""#)), "{series:#?}");
    }
}
