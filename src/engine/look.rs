//! What can be seen of an engine, and told to its ports.

use super::{EngineStats, FluxEngine, StopHandle};
use crate::backend::Filter;
use crate::config::Granted;
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::port::{Port, sum_calls, sum_stats};
use crate::snapshot::{RingsSnapshot, SocketSnapshot, Source};
use crate::socket::{Halves, Number};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::umem::Umem;
use std::sync::Arc;

impl FluxEngine {
    /// A handle that ends [`run`](Self::run).
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// The same engine, ended by a handle that was made before it. For all workers, give it to the
    /// engine that [`into_workers`](Self::into_workers) divides.
    #[must_use]
    pub fn with_stop_handle(mut self, stop: StopHandle) -> Self {
        self.stop = stop;
        self
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// Positions of its queues among the opened ones.
    #[must_use]
    pub fn positions(&self) -> &[QueueIndex] {
        &self.queues
    }

    /// All ports that were opened together.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// What the kernel granted for the first port.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        self.ports[0].granted()
    }

    /// Replaces what the XDP program of the first port redirects ([`Port::set_filter`]).
    ///
    /// # Errors
    /// As [`Port::set_filter`].
    pub fn set_filter(&self, filter: &Filter) -> Result<()> {
        self.ports[0].set_filter(filter)
    }

    /// The kernel's counters, summed over its queues.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        sum_stats(&*self.backend, self.queues.iter().copied())
    }

    /// What the XDP program of the first port did ([`Port::queue_counters`]).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.ports[0].queue_counters()
    }

    /// System calls made so far, over all of its queues.
    #[must_use]
    pub fn calls(&self) -> Calls {
        sum_calls(&*self.backend, self.queues.iter().copied())
    }

    /// The packet memory, for looking at its free list.
    #[must_use]
    pub fn umem(&self) -> &Arc<Umem> {
        self.cache.umem()
    }

    /// The rings of its queues, and where the frames are.
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let mut cached = self.cache.len();
        let sockets = self.rx.iter().zip(&self.tx).map(|(rx, tx)| {
            let halves = Halves { rx: Some((&rx.fill, &rx.rx)), tx: Some((&tx.tx, &tx.comp)) };
            self.snapshot(rx.number, halves, std::mem::take(&mut cached))
        });
        RingsSnapshot { source: Source::Owner, sockets: sockets.collect() }
    }

    fn snapshot(&self, number: Number, halves: Halves<'_>, cached: usize) -> SocketSnapshot {
        let port = &self.ports[number.port.get()];
        crate::socket::snapshot(&*self.backend, port, number, halves, self.cache.umem(), cached)
    }
}
