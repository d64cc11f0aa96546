//! A backend with a stopwatch: how much time is spent on the other side of the seam, and when a
//! loop last had nothing to do.
//!
//! What remains of a loop's time is user space's own. Mode B waits and receives in one call; so
//! what it did up to the end of its last wait is waiting as well, empty looks at the rings included.
//! Caller: the builder, for those who measure.

use super::{Backend, Interest, Kick, pass_on};
use crate::error::Result;
use crate::ids::QueueIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Time spent in kicks for each queue, and the end of its last wait, in units of the clock it was
/// made with.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: fn() -> u64,
    queues: Box<[Line]>,
}

/// Alone on its cache line: each queue has a thread of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line {
    kicked: AtomicU64,
    resumed: AtomicU64,
}

impl Meter {
    /// A meter for up to `queues` queues.
    pub(crate) fn new(queues: usize, clock: fn() -> u64) -> Arc<Self> {
        Arc::new(Self { clock, queues: (0..queues).map(|_| Line::default()).collect() })
    }

    /// Time spent in kicks for these queues so far.
    pub(crate) fn kicked(&self, queues: &[QueueIndex]) -> u64 {
        let lines = queues.iter().filter_map(|queue| self.queues.get(queue.get()));
        lines.map(|line| line.kicked.load(Relaxed)).sum()
    }

    /// What a turn of a loop over these queues spent in user space on its packets: it began `at`,
    /// when kicks came to `kicked`, and ends `now`.
    pub(crate) fn inside(&self, queues: &[QueueIndex], at: u64, kicked: u64, now: u64) -> u64 {
        let lines = queues.iter().filter_map(|queue| self.queues.get(queue.get()));
        let resumed = lines.map(|line| line.resumed.load(Relaxed)).max().unwrap_or(0);
        // Kicks come after the wait.
        now.saturating_sub(at.max(resumed)).saturating_sub(self.kicked(queues) - kicked)
    }

    fn kick<T>(&self, queue: QueueIndex, call: impl FnOnce() -> T) -> T {
        let start = (self.clock)();
        let result = call();
        if let Some(Line { kicked, .. }) = self.queues.get(queue.get()) {
            let took = (self.clock)().saturating_sub(start);
            // One thread works a queue, so this loses nothing.
            kicked.store(kicked.load(Relaxed) + took, Relaxed);
        }
        result
    }

    /// A wait for several queues counts at the first of them.
    fn wait<T>(&self, queues: &[QueueIndex], call: impl FnOnce() -> T) -> T {
        let result = call();
        let first = queues.first().and_then(|queue| self.queues.get(queue.get()));
        if let Some(Line { resumed, .. }) = first {
            resumed.store((self.clock)(), Relaxed);
        }
        result
    }
}

/// A backend whose calls are timed.
pub(crate) struct Metered {
    inner: Arc<dyn Backend>,
    meter: Arc<Meter>,
}

impl Metered {
    /// `inner` with `meter`.
    pub(crate) fn wrap(inner: Arc<dyn Backend>, meter: Arc<Meter>) -> Arc<dyn Backend> {
        Arc::new(Self { inner, meter })
    }
}

impl Backend for Metered {
    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick> {
        self.meter.kick(queue, || self.inner.kick_tx(queue))
    }

    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick> {
        self.meter.kick(queue, || self.inner.kick_rx(queue))
    }

    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        self.meter.wait(queues, || self.inner.wait(queues, interest, timeout))
    }

    fn spin(&self, queues: &[QueueIndex], deadline: Option<u64>) -> Result<bool> {
        self.meter.wait(queues, || self.inner.spin(queues, deadline))
    }

    pass_on!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FluxBuilder;
    use crate::backend::Filter;
    use crate::simulator::Simulator;
    use crate::stats::XdpStatistics;

    thread_local! {
        static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    /// Moves on by one with each look.
    fn clock() -> u64 {
        NOW.set(NOW.get() + 1);
        NOW.get()
    }

    #[test]
    fn each_kick_is_timed_at_its_queue_and_everything_is_passed_on() {
        let network = Simulator::loopback(2);
        let meter = Meter::new(2, clock);
        let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
        let mut raw = builder.metered(&meter).build_raw_queues().unwrap();
        let kicked = || [0, 1].map(|queue| meter.kicked(&[QueueIndex::new(queue)]));
        assert_eq!(kicked(), [0, 0]);
        let buffer = raw[1].umem().alloc_buffer(256, 60).unwrap().unwrap();
        raw[1].tx.reserve(1).push(buffer).unwrap();
        assert_eq!(raw[1].kick_tx().unwrap(), Kick::Done);
        assert_eq!(kicked(), [0, 1]);
        raw[0].wait(Some(Duration::ZERO)).unwrap();
        raw[0].kick_rx().unwrap();
        assert_eq!(kicked(), [1, 1]);
        assert_eq!(meter.kicked(&[QueueIndex::new(0), QueueIndex::new(1)]), 2);
        assert_eq!(raw[1].calls().tx_kicks, 1);
        assert_eq!(
            raw[1].kernel_stats().unwrap(),
            XdpStatistics { tx_ring_empty_descs: 1, ..XdpStatistics::default() }
        );
    }

    #[test]
    fn a_turn_is_timed_from_the_end_of_its_last_wait_without_its_kicks() {
        let network = Simulator::loopback(2);
        let meter = Meter::new(2, clock);
        let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
        let raw = builder.metered(&meter).build_raw_queues().unwrap();
        let queues = [0, 1].map(QueueIndex::new);
        let (at, kicked) = (clock(), meter.kicked(&queues));
        raw[0].spin().unwrap(); // reads the clock once
        let resumed = at + 1;
        raw[1].kick_tx().unwrap(); // twice
        let now = clock();
        assert_eq!(now, at + 4);
        assert_eq!(meter.inside(&queues, at, kicked, now), now - resumed - 1);
        // The next turn waits for nothing.
        let (at, kicked) = (now, meter.kicked(&queues));
        assert_eq!(meter.inside(&queues, at, kicked, clock()), 1);
    }
}
