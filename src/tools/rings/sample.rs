//! A sample: what one look showed, and what changed since the look before it. Its JSON is API.

use super::diagnose::{self, Diagnosis};
use super::history::{FIRST_LOOKS, History, Observation};
use super::observe::{InterfaceKey, InterfaceSnapshot, NO_NAME};
use crate::ring::RingSnapshot;
use crate::snapshot::{SocketOptions, SocketSnapshot, SocketState, UmemSnapshot};
use crate::stats::XdpStatistics;
use serde::Serialize;

/// One sample. `null` is what the source cannot know, or a rate that one look alone cannot tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// `iter`, `pidfd`, `diag` or `sim`.
    pub scanned_by: &'static str,
    /// Time of the look in s, by `CLOCK_MONOTONIC` or virtual time.
    pub time_s: f64,
    /// Time over which the rates are taken, in s.
    pub elapsed_s: Option<f64>,
    /// What the look at the sockets cost, in µs.
    pub took_us: f64,
    /// Why there may be more sockets than these; empty: these are all.
    pub missing: Vec<String>,
    /// The interfaces of the sockets.
    pub interfaces: Vec<InterfaceSample>,
    /// The sockets, by interface, queue and process.
    pub sockets: Vec<SocketSample>,
}

/// An interface that has AF_XDP sockets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterfaceSample {
    /// Name.
    pub interface: String,
    /// Index.
    pub ifindex: u32,
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// The name that `ip netns` has for it.
    pub netns_name: Option<String>,
    /// Driver.
    pub driver: Option<String>,
    /// Administratively up.
    pub up: bool,
    /// Has a link.
    pub carrier: bool,
    /// RX queues.
    pub rx_queues: Option<u32>,
    /// Id of the attached XDP program.
    pub xdp_id: Option<u32>,
    /// Its name.
    pub xdp_name: Option<String>,
    /// Packets received per second.
    pub rx_pps: Option<f64>,
    /// Packets sent per second.
    pub tx_pps: Option<f64>,
    /// Packets received per second by each RX queue.
    pub queue_rx_pps: Option<Vec<f64>>,
}

/// One AF_XDP socket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SocketSample {
    /// Process that has it; the first of `owners`.
    pub pid: Option<u32>,
    /// Its command.
    pub comm: Option<String>,
    /// Descriptor there.
    pub fd: Option<i32>,
    /// All descriptors of it, where there are more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerSample>,
    /// Inode number of the socket.
    pub inode: Option<u64>,
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// The name that `ip netns` has for it.
    pub netns_name: Option<String>,
    /// Interface.
    pub interface: Option<String>,
    /// Its index.
    pub ifindex: Option<u32>,
    /// NIC queue number.
    pub queue: Option<u32>,
    /// `ready` (not bound yet), `bound`, or `unbound` (the interface is gone).
    pub state: &'static str,
    /// The kernel's number of its UMEM; the same number is the same memory.
    pub umem_id: Option<u32>,
    /// Whether frames are shared with the NIC.
    pub zero_copy: Option<bool>,
    /// Whether it was bound with XDP_USE_NEED_WAKEUP.
    pub uses_need_wakeup: Option<bool>,
    /// XDP_USE_SG.
    pub multi_buffer: Option<bool>,
    /// SO_PREFER_BUSY_POLL.
    pub prefer_busy_poll: Option<bool>,
    /// SO_BUSY_POLL, in µs.
    pub busy_poll_us: Option<u32>,
    /// SO_BUSY_POLL_BUDGET, packets.
    pub busy_poll_budget: Option<u32>,
    /// XDP_MAX_TX_SKB_BUDGET, packets.
    pub tx_budget: Option<u32>,
    /// Bytes of TX metadata.
    pub tx_metadata_len: Option<u32>,
    /// Ids of the XSKMAPs that it is in, with its key there.
    pub xskmaps: Option<Vec<XskMapSample>>,
    /// Its four rings.
    pub rings: RingsSample,
    /// The kernel's counters.
    pub stats: Option<StatsSample>,
    /// How fast they rise, per second.
    pub stats_per_s: Option<StatsRates>,
    /// Its packet memory.
    pub umem: Option<UmemSample>,
    /// What is wrong with it.
    pub diagnosis: Vec<Diagnosis>,
}

/// A place in an XSKMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct XskMapSample {
    /// Id of the map.
    pub map_id: u32,
    /// Key in it.
    pub key: u32,
}

/// A process that has a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerSample {
    /// Process.
    pub pid: u32,
    /// Its command.
    pub comm: String,
    /// Descriptor there.
    pub fd: i32,
}

/// The four rings; `null` where the socket has no such ring, or the source does not show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RingsSample {
    /// Received packets.
    pub rx: Option<RingSample>,
    /// Packets to send.
    pub tx: Option<RingSample>,
    /// Free frames offered to the kernel.
    pub fill: Option<RingSample>,
    /// Frames of sent packets.
    pub comp: Option<RingSample>,
}

/// One ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RingSample {
    /// Slots.
    pub size: Option<u32>,
    /// Producer index (free-running, wraps at 2^32).
    pub producer: Option<u32>,
    /// Consumer index.
    pub consumer: Option<u32>,
    /// The kernel's copy of the producer index.
    pub cached_producer: Option<u32>,
    /// The kernel's copy of the consumer index.
    pub cached_consumer: Option<u32>,
    /// Entries in it.
    pub used: Option<u32>,
    /// Whether its flag asks to be woken. Says something only where `uses_need_wakeup`.
    pub need_wakeup: Option<bool>,
    /// Entries taken out per second.
    pub per_s: Option<f64>,
}

/// The counters of `struct xdp_statistics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatsSample {
    /// Dropped: no frame to put it in, or longer than a frame.
    pub rx_dropped: u64,
    /// Invalid RX descriptors.
    pub rx_invalid_descs: u64,
    /// Invalid TX descriptors.
    pub tx_invalid_descs: u64,
    /// Dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times the kernel found the fill ring empty.
    pub rx_fill_ring_empty_descs: u64,
    /// Times the kernel found the TX ring empty.
    pub tx_ring_empty_descs: u64,
}

/// How fast the counters of [`StatsSample`] rise, per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StatsRates {
    /// Dropped: no frame to put it in, or longer than a frame.
    pub rx_dropped_per_s: f64,
    /// Invalid RX descriptors.
    pub rx_invalid_descs_per_s: f64,
    /// Invalid TX descriptors.
    pub tx_invalid_descs_per_s: f64,
    /// Dropped because the RX ring was full.
    pub rx_ring_full_per_s: f64,
    /// Times the kernel found the fill ring empty.
    pub rx_fill_ring_empty_descs_per_s: f64,
    /// Times the kernel found the TX ring empty.
    pub tx_ring_empty_descs_per_s: f64,
}

/// The packet memory of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UmemSample {
    /// Bytes.
    pub size_bytes: Option<u64>,
    /// Frames.
    pub frames: Option<u32>,
    /// Bytes per frame.
    pub frame_size: Option<u32>,
    /// Bytes kept free in front of packets.
    pub headroom: Option<u32>,
    /// Sockets that use it.
    pub users: Option<u32>,
    /// Whether chunks may lie anywhere.
    pub unaligned: Option<bool>,
    /// Frames in one of the rings.
    pub in_rings: Option<i64>,
    /// Frames in none: held by the application, and in zero-copy mode by the driver.
    pub unaccounted: Option<i64>,
}

/// The newest observation as a sample, with rates since the one before and a diagnosis over the last
/// `span` of them.
pub(super) fn of(
    history: &History,
    span: usize,
    shown: impl Fn(&SocketSnapshot) -> bool,
) -> Option<Sample> {
    let now = history.observations.back()?;
    let first = history.observations.len().saturating_sub(span);
    let before = if history.observations.len() > 1 { rate_base(history, first) } else { None };
    let mut sockets: Vec<_> = (0..now.snapshot.sockets.len())
        .filter(|&at| shown(&now.snapshot.sockets[at]))
        .map(|at| socket(now, before, at, diagnose::diagnose(history, span, at)))
        .collect();
    sockets
        .sort_by_key(|s| (s.netns, s.ifindex.is_none(), s.interface.clone(), s.queue, s.pid, s.fd));
    let interfaces = now.interfaces.iter().map(|interface| {
        interface_sample(interface, before.and_then(|b| b.interface(interface.key)))
    });
    let elapsed_s = before.map(|before| now.time_ns.saturating_sub(before.time_ns) as f64 / 1e9);
    Some(Sample {
        scanned_by: now.snapshot.source.name(),
        time_s: now.time_ns as f64 / 1e9,
        elapsed_s,
        took_us: now.took.as_nanos() as f64 / 1e3,
        missing: now.missing.iter().map(|missing| missing.text.clone()).collect(),
        interfaces: interfaces.collect(),
        sockets,
    })
}

/// The observation that rates are taken against.
fn rate_base(history: &History, first: usize) -> Option<&Observation> {
    let last = history.observations.len() - 1;
    // A first sample is made of looks close together: take the oldest. Later: the one before.
    history.observations.get(if last < FIRST_LOOKS { first } else { last - 1 })
}

/// What was added between two readings, per second; `None` when time stood still.
fn per_second(now: u64, before: u64, ns: u64) -> Option<f64> {
    (ns > 0).then(|| now.saturating_sub(before) as f64 * 1e9 / ns as f64)
}

fn ring(
    ring: Option<&RingSnapshot>,
    before: Option<&RingSnapshot>,
    ns: Option<u64>,
) -> Option<RingSample> {
    let ring = ring?;
    let passed = before.and_then(|before| {
        let entries = ring.consumer?.wrapping_sub(before.consumer?);
        per_second(u64::from(entries), 0, ns?)
    });
    Some(RingSample {
        size: ring.size,
        producer: ring.producer,
        consumer: ring.consumer,
        cached_producer: ring.cached_producer,
        cached_consumer: ring.cached_consumer,
        used: ring.used(),
        need_wakeup: ring.need_wakeup(),
        per_s: passed,
    })
}

fn socket(
    now: &Observation,
    before: Option<&Observation>,
    at: usize,
    diagnosis: Vec<Diagnosis>,
) -> SocketSample {
    let socket = &now.snapshot.sockets[at];
    let before = before.and_then(|before| Some(before.socket(socket)?.1));
    let ns = before.map(|before| socket.time_ns.saturating_sub(before.time_ns));
    let owners: Vec<_> = socket
        .owners
        .iter()
        .map(|owner| OwnerSample { pid: owner.pid, comm: owner.comm.clone(), fd: owner.fd })
        .collect();
    let first = owners.first().cloned();
    let SocketOptions { multi_buffer, prefer_busy_poll, .. } = socket.options;
    let SocketOptions { busy_poll_us, busy_poll_budget, .. } = socket.options;
    let SocketOptions { tx_budget, tx_metadata_len, .. } = socket.options;
    let sampled = |pick: fn(&SocketSnapshot) -> Option<&RingSnapshot>| {
        ring(pick(socket), before.and_then(pick), ns)
    };
    SocketSample {
        pid: first.as_ref().map(|owner| owner.pid),
        fd: first.as_ref().map(|owner| owner.fd),
        comm: first.map(|owner| owner.comm),
        owners: if owners.len() > 1 { owners } else { Vec::new() },
        inode: socket.inode,
        netns: socket.netns,
        netns_name: None,
        interface: socket.interface.clone(),
        ifindex: socket.ifindex,
        queue: socket.queue,
        state: match socket.state {
            SocketState::Ready => "ready",
            SocketState::Bound => "bound",
            SocketState::Unbound => "unbound",
        },
        umem_id: socket.umem_id(),
        zero_copy: socket.zero_copy,
        uses_need_wakeup: socket.uses_need_wakeup,
        multi_buffer,
        prefer_busy_poll,
        busy_poll_us,
        busy_poll_budget,
        tx_budget,
        tx_metadata_len,
        xskmaps: socket.xskmaps.as_ref().map(|slots| {
            slots.iter().map(|slot| XskMapSample { map_id: slot.map, key: slot.key }).collect()
        }),
        rings: RingsSample {
            rx: sampled(|socket| socket.rx.as_ref()),
            tx: sampled(|socket| socket.tx.as_ref()),
            fill: sampled(|socket| socket.fill.as_ref()),
            comp: sampled(|socket| socket.comp.as_ref()),
        },
        stats: socket.stats.as_ref().map(counters),
        stats_per_s: before.and_then(|before| {
            let risen = socket.stats?.since(&before.stats?);
            let ns = ns.filter(|&ns| ns > 0)?;
            Some(rates(&risen, ns))
        }),
        umem: socket.umem.as_ref().map(|umem| memory(umem, now.snapshot.unaccounted(at))),
        diagnosis,
    }
}

fn counters(stats: &XdpStatistics) -> StatsSample {
    StatsSample {
        rx_dropped: stats.rx_dropped,
        rx_invalid_descs: stats.rx_invalid_descs,
        tx_invalid_descs: stats.tx_invalid_descs,
        rx_ring_full: stats.rx_ring_full,
        rx_fill_ring_empty_descs: stats.rx_fill_ring_empty_descs,
        tx_ring_empty_descs: stats.tx_ring_empty_descs,
    }
}

/// Counters that rose by `risen` in `ns`, per second.
fn rates(risen: &XdpStatistics, ns: u64) -> StatsRates {
    let per_s = |count: u64| count as f64 * 1e9 / ns as f64;
    StatsRates {
        rx_dropped_per_s: per_s(risen.rx_dropped),
        rx_invalid_descs_per_s: per_s(risen.rx_invalid_descs),
        tx_invalid_descs_per_s: per_s(risen.tx_invalid_descs),
        rx_ring_full_per_s: per_s(risen.rx_ring_full),
        rx_fill_ring_empty_descs_per_s: per_s(risen.rx_fill_ring_empty_descs),
        tx_ring_empty_descs_per_s: per_s(risen.tx_ring_empty_descs),
    }
}

fn memory(umem: &UmemSnapshot, unaccounted: Option<i64>) -> UmemSample {
    UmemSample {
        size_bytes: umem.size_bytes,
        frames: umem.frames,
        frame_size: umem.frame_size,
        headroom: umem.headroom,
        users: umem.users,
        unaligned: umem.unaligned,
        in_rings: unaccounted.and_then(|out| Some(i64::from(umem.frames?) - out)),
        unaccounted,
    }
}

fn interface_sample(
    now: &InterfaceSnapshot,
    before: Option<&InterfaceSnapshot>,
) -> InterfaceSample {
    let ns = before.map(|before| now.time_ns.saturating_sub(before.time_ns));
    let rate = |now: Option<u64>, before: Option<u64>| per_second(now?, before?, ns?);
    let InterfaceKey { netns, ifindex } = now.key;
    let queues = before.and_then(|before| {
        let counts = now.queue_rx_packets.as_ref()?.iter().zip(before.queue_rx_packets.as_ref()?);
        counts.map(|(&now, &before)| rate(Some(now), Some(before))).collect()
    });
    InterfaceSample {
        interface: now.name.clone(),
        ifindex,
        netns,
        netns_name: None,
        driver: now.driver.clone(),
        up: now.up,
        carrier: now.carrier,
        rx_queues: now.queues,
        xdp_id: now.xdp.as_ref().map(|(id, _)| *id),
        xdp_name: now.xdp.as_ref().map(|(_, name)| name).filter(|name| *name != NO_NAME).cloned(),
        rx_pps: rate(now.rx_packets, before.and_then(|b| b.rx_packets)),
        tx_pps: rate(now.tx_packets, before.and_then(|b| b.tx_packets)),
        queue_rx_pps: queues,
    }
}
