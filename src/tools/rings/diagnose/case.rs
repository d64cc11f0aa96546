//! What the rules go by: one socket over the last few looks.

use crate::ring::RingSnapshot;
use crate::snapshot::SocketSnapshot;
use crate::stats::XdpStatistics;
use crate::tools::rings::history::{History, Observation};
use crate::tools::rings::observe::{InterfaceKey, InterfaceSnapshot};

/// One socket over the last few looks.
pub(super) struct Case<'a> {
    /// The socket in each of them, oldest first; at least two.
    looks: Vec<&'a SocketSnapshot>,
    pub(super) first: &'a SocketSnapshot,
    pub(super) now: &'a SocketSnapshot,
    /// Its frames outside the rings in all looks that are remembered, oldest first.
    pub(super) outside: Vec<i64>,
    /// Time over which the looks were taken, in s; above zero.
    pub(super) seconds: f64,
    /// Its interface, at the first of the looks and now.
    pub(super) interface: Option<(&'a InterfaceSnapshot, &'a InterfaceSnapshot)>,
    /// Its interface in the oldest look that is remembered.
    pub(super) oldest: Option<&'a InterfaceSnapshot>,
    pub(super) observation: &'a Observation,
}

/// Picks one of the four rings.
pub(super) type Pick = fn(&SocketSnapshot) -> Option<&RingSnapshot>;

pub(super) const FILL: Pick = |socket| socket.fill.as_ref();
pub(super) const RX: Pick = |socket| socket.rx.as_ref();
pub(super) const TX: Pick = |socket| socket.tx.as_ref();
pub(super) const COMP: Pick = |socket| socket.comp.as_ref();

impl<'a> Case<'a> {
    /// `None` unless the socket was there in two looks at the least.
    pub(super) fn of(history: &'a History, span: usize, at: usize) -> Option<Self> {
        let observation = history.observations.back()?;
        let now = observation.snapshot.sockets.get(at)?;
        let recent = history.observations.len().saturating_sub(span);
        let recent = history.observations.iter().skip(recent);
        let seen = recent.filter_map(|observation| Some((observation, observation.socket(now)?.1)));
        let (observations, looks): (Vec<_>, Vec<_>) = seen.unzip();
        let first = *looks.first()?;
        let ns = now.time_ns.checked_sub(first.time_ns).filter(|&ns| ns > 0)?;
        let outside = history.observations.iter().filter_map(|observation| {
            let (at, _) = observation.socket(now)?;
            observation.snapshot.unaccounted(at)
        });
        let key = InterfaceKey::of(now);
        let of = |observation: &'a Observation| observation.interface(key?);
        Some(Self {
            first,
            now,
            outside: outside.collect(),
            seconds: ns as f64 / 1e9,
            interface: observations.first().and_then(|m| of(m)).zip(of(observation)),
            oldest: history.observations.iter().find_map(of),
            observation,
            looks,
        })
    }

    /// How many looks there are.
    pub(super) fn looks(&self) -> usize {
        self.looks.len()
    }

    /// Whether it was in no XSKMAP in any of the looks.
    pub(super) fn in_no_map(&self) -> bool {
        self.looks.iter().all(|socket| socket.xskmaps.as_ref().is_some_and(Vec::is_empty))
    }

    /// Whether its interface was without an XDP program at the first of the looks and is now.
    pub(super) fn without_program(&self) -> bool {
        self.interface.is_some_and(|(_, now)| now.xdp.is_none())
    }

    /// Whether it is to receive: it has an RX ring and offered frames for it.
    pub(super) fn waits_for_packets(&self) -> bool {
        let offered = |ring: &RingSnapshot| ring.producer.is_some_and(|n| n != 0);
        self.now.rx.is_some() && FILL(self.now).is_some_and(offered)
    }

    /// In how many of the looks `test` holds for a ring.
    pub(super) fn times(&self, pick: Pick, test: impl Fn(&RingSnapshot) -> bool) -> usize {
        self.looks.iter().filter(|&&socket| pick(socket).is_some_and(&test)).count()
    }

    /// Entries that were taken out of a ring.
    pub(super) fn taken(&self, pick: Pick) -> Option<u32> {
        Some(pick(self.now)?.consumer?.wrapping_sub(pick(self.first)?.consumer?))
    }

    /// Entries that were put into a ring.
    pub(super) fn put(&self, pick: Pick) -> Option<u32> {
        Some(pick(self.now)?.producer?.wrapping_sub(pick(self.first)?.producer?))
    }

    /// What the counters rose by; zero where they are not known.
    pub(super) fn risen(&self) -> XdpStatistics {
        match (&self.now.stats, &self.first.stats) {
            (Some(now), Some(first)) => now.since(first),
            _ => XdpStatistics::default(),
        }
    }

    /// Frames outside the rings now.
    pub(super) fn outside_now(&self) -> Option<i64> {
        self.outside.last().copied()
    }

    pub(super) fn frames(&self) -> Option<u32> {
        self.now.umem.as_ref()?.frames
    }

    /// `n` of something in the time of the looks, as words: `81.2k packets/s`.
    pub(super) fn rate(&self, n: impl Into<u64>, what: &str) -> String {
        format!("{}{what}/s", amount(n.into() as f64 / self.seconds))
    }

    /// The time of the looks, as words.
    pub(super) fn time(&self) -> String {
        duration(self.seconds)
    }

    /// The interface's name.
    pub(super) fn name(&self) -> &str {
        self.now.interface.as_deref().unwrap_or("the interface")
    }

    pub(super) fn queue(&self) -> String {
        self.now.queue.map_or_else(|| "its queue".to_owned(), |queue| format!("queue {queue}"))
    }

    /// The owner's descriptor, as words.
    pub(super) fn descriptor(&self) -> String {
        let first = self.now.owners.first();
        first.map_or_else(|| "the socket".to_owned(), |owner| format!("fd {}", owner.fd))
    }
}

/// A number in three digits: `523`, `81.2k`, `1.32M`.
pub(super) fn amount(n: f64) -> String {
    let (n, unit) = match n {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e4 => (n / 1e3, "k"),
        n if n >= 10.0 || n.fract() == 0.0 => return format!("{n:.0}"),
        n => return format!("{n:.1}"),
    };
    match n {
        n if n >= 100.0 => format!("{n:.0}{unit}"),
        n if n >= 10.0 => format!("{n:.1}{unit}"),
        n => format!("{n:.2}{unit}"),
    }
}

/// A time in s as words: `0.5 s`, `2.6 ms`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.0} s"),
        s if s >= 0.1 => format!("{s:.1} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}
