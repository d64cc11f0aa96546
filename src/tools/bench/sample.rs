//! What one sample of a setting came to.

use super::event::Note;
use crate::stats::{Calls, XdpStatistics};
use crate::tools::measure::duration_stats::DurationStats;

/// The clock inside the loop, the cheapest there is; in units of its own.
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(super) use crate::sys::clock::ticks;

/// The clock inside the loop, in ns.
#[cfg(not(all(target_os = "linux", feature = "bpf")))]
pub(super) fn ticks() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}

/// What one sample, or one thread's part of it, came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Packets handled.
    pub(super) packets: u64,
    /// Batches with at least one packet.
    pub(super) batches: u64,
    /// Packets a second.
    pub(super) rate: f64,
    /// How long it took.
    pub(super) elapsed_ns: f64,
    /// CPU time in user space and in the kernel; `None` where they cannot be told apart.
    pub(super) cpu: Option<CpuTime>,
    /// Time inside batches that had packets, without kernel calls, in ns and in ticks.
    pub(super) batch: Option<(f64, f64)>,
    /// Cycles and instructions in user space, where the machine counts them.
    pub(super) perf: Option<(u64, u64)>,
    /// System calls.
    pub(super) calls: Calls,
    /// What the kernel counted.
    pub(super) stats: XdpStatistics,
    /// Packets that were sent and did not arrive, where that can be known.
    pub(super) lost: u64,
    /// Packets for us that came on queues without a socket.
    pub(super) wrong_queue: u64,
    /// Why there was less to measure than there should be, where that is known.
    pub(super) trouble: Option<Note>,
    /// Times from XDP stamp to user space.
    pub(super) latencies: DurationStats,
}

/// CPU time of a thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuTime {
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
    pub(super) total_ns: u64,
}

impl Sample {
    /// Threads that ran side by side, together.
    pub(super) fn together(parts: impl IntoIterator<Item = Sample>) -> Option<Sample> {
        parts.into_iter().reduce(|mut sum, part| {
            sum.packets += part.packets;
            sum.batches += part.batches;
            sum.rate += part.rate;
            sum.elapsed_ns = sum.elapsed_ns.max(part.elapsed_ns);
            sum.cpu = sum.cpu.zip(part.cpu).map(|(a, b)| CpuTime {
                user_ns: a.user_ns + b.user_ns,
                system_ns: a.system_ns + b.system_ns,
                total_ns: a.total_ns + b.total_ns,
            });
            sum.batch = sum.batch.zip(part.batch).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
            sum.perf = sum.perf.zip(part.perf).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
            sum.calls = sum.calls + part.calls;
            sum.stats = sum.stats + part.stats;
            sum.lost += part.lost;
            sum.wrong_queue = sum.wrong_queue.max(part.wrong_queue);
            sum.latencies.merge(&part.latencies);
            sum
        })
    }
}
