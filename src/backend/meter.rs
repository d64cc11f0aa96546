//! A backend with a stopwatch: how much time is spent on the other side of the seam.
//!
//! What remains of a loop's time is user space's own. Caller: the builder, for whoever measures.

use super::{Backend, Filter, Interest, Kick};
use crate::config::Granted;
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Time spent in a backend by the calls for each queue, in units of the clock it was made with.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: fn() -> u64,
    queues: Box<[Line]>,
}

/// A counter alone on its cache line: each queue has a thread of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

impl Meter {
    /// A meter for up to `queues` queues.
    pub(crate) fn new(queues: usize, clock: fn() -> u64) -> Arc<Self> {
        Arc::new(Self { clock, queues: (0..queues).map(|_| Line::default()).collect() })
    }

    /// Time spent for one queue so far; calls for several count at the first of them.
    pub(crate) fn spent(&self, queue: QueueIndex) -> u64 {
        self.queues.get(queue.get()).map_or(0, |line| line.0.load(Relaxed))
    }

    fn time<T>(&self, queue: QueueIndex, call: impl FnOnce() -> T) -> T {
        let start = (self.clock)();
        let result = call();
        if let Some(Line(spent)) = self.queues.get(queue.get()) {
            let took = (self.clock)().saturating_sub(start);
            // One thread works a queue, so this loses nothing.
            spent.store(spent.load(Relaxed) + took, Relaxed);
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

fn first(queues: &[QueueIndex]) -> QueueIndex {
    queues.first().copied().unwrap_or_default()
}

impl Backend for Metered {
    fn start(&self) -> Result<Vec<Granted>> {
        self.inner.start()
    }

    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick> {
        self.meter.time(queue, || self.inner.kick_tx(queue))
    }

    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick> {
        self.meter.time(queue, || self.inner.kick_rx(queue))
    }

    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        self.meter.time(first(queues), || self.inner.wait(queues, interest, timeout))
    }

    fn spin(&self, queues: &[QueueIndex], deadline: Option<u64>) -> Result<()> {
        self.meter.time(first(queues), || self.inner.spin(queues, deadline))
    }

    fn calls(&self, queue: QueueIndex) -> Calls {
        self.inner.calls(queue)
    }

    fn stop_rx(&self, queue: QueueIndex) -> Result<()> {
        self.inner.stop_rx(queue)
    }

    fn stats(&self, queue: QueueIndex) -> Result<XdpStatistics> {
        self.inner.stats(queue)
    }

    fn now(&self) -> u64 {
        self.inner.now()
    }

    #[cfg(unix)]
    fn fd(&self, queue: QueueIndex) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.inner.fd(queue)
    }

    fn is_virtual(&self) -> bool {
        self.inner.is_virtual()
    }

    fn set_filter(&self, port: PortIndex, filter: &Filter) -> Result<()> {
        self.inner.set_filter(port, filter)
    }

    fn queue_counters(&self, port: PortIndex) -> Result<Vec<QueueCounters>> {
        self.inner.queue_counters(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FluxBuilder;
    use crate::simulator::Simulator;

    thread_local! {
        static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    /// Moves on by one with each look.
    fn clock() -> u64 {
        NOW.set(NOW.get() + 1);
        NOW.get()
    }

    #[test]
    fn each_call_is_timed_at_its_queue_and_everything_is_passed_on() {
        let network = Simulator::loopback(2);
        let meter = Meter::new(2, clock);
        let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
        let mut raw = builder.metered(&meter).build_raw_queues().unwrap();
        let spent = || [0, 1].map(|queue| meter.spent(QueueIndex::new(queue)));
        assert_eq!(spent(), [0, 0]);
        let buffer = raw[1].umem().alloc_buffer(256, 60).unwrap().unwrap();
        raw[1].tx.reserve(1).push(buffer).unwrap();
        assert_eq!(raw[1].kick_tx().unwrap(), Kick::Done);
        assert_eq!(spent(), [0, 1]);
        raw[0].wait(Some(Duration::ZERO)).unwrap();
        raw[0].kick_rx().unwrap();
        assert_eq!(spent(), [2, 1]);
        assert_eq!(raw[1].calls().tx_kicks, 1);
        assert_eq!(
            raw[1].kernel_stats().unwrap(),
            XdpStatistics { tx_ring_empty_descs: 1, ..XdpStatistics::default() }
        );
    }
}
