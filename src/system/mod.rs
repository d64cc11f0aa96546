//! Mode B: control first. A receiver and a sender that may live on different threads, and
//! packets that are owned.
//!
//! ```text
//!   FluxRx ── recv, recv_batch ──▶ Packet, Packets ──▶ your code ──▶ FluxTx ── send, flush ──▶
//!     ▲ refill                        └── drop ──▶ free list ◀── reap ──┘
//! ```
//!
//! Invariant: a frame is in a ring, in the free list or the cache of a half, or in exactly one
//! [`Packet`](crate::Packet) or [`Packets`](crate::Packets). Both halves share the free list and the
//! completion rings: a receiver without frames looks into these before it waits, and while it lacks
//! some it waits for 10 ms at most.

mod rx;
mod tx;

pub use rx::FluxRx;
pub use tx::{FluxTx, Sent};

use crate::backend::Backend;
use crate::error::Result;
use crate::ids::PortIndex;
use crate::port::Port;
use crate::snapshot::SocketSnapshot;
use crate::socket::{Halves, Number, Queue, RxHalf, SharedComp, TxHalf};
use crate::umem::{FrameCache, Umem};
use crate::worker::{Parts, deal, shares};
use std::sync::Arc;

/// Takes what was opened apart into the two halves.
pub(crate) fn split(parts: Parts) -> (FluxRx, FluxTx) {
    let Parts { queues, ports, umem, backend, batch, poller } = parts;
    let (rx, tx, comps) = halves(queues);
    let shared = Shared { umem, backend, ports, comps };
    // One cache for each half.
    (FluxRx::new(rx, shared.clone(), poller, batch, 2), FluxTx::new(tx, shared, 2))
}

/// The same for several workers, each with both halves of some queues of every port.
pub(crate) fn split_workers(parts: Parts, workers: usize) -> Result<Vec<(FluxRx, FluxTx)>> {
    let numbers = parts.queues.iter().map(|queue| queue.rx.number);
    let shares = shares(&parts.ports, numbers, workers)?;
    let Parts { queues, ports, umem, backend, batch, poller } = parts;
    let (rx, tx, comps) = halves(queues);
    let shared = Shared { umem, backend, ports, comps };
    let pair = |(rx, tx)| {
        let rx = FluxRx::new(rx, shared.clone(), poller, batch, 2 * workers);
        (rx, FluxTx::new(tx, shared.clone(), 2 * workers))
    };
    let (rx, tx) = (deal(rx, &shares, workers), deal(tx, &shares, workers));
    Ok(rx.into_iter().zip(tx).map(pair).collect())
}

/// A sender's half of a queue.
type Sender = TxHalf<SharedComp>;

/// The completion rings of all queues, with their ports.
type Comps = Arc<[(PortIndex, SharedComp)]>;

/// Both halves of each queue, and all completion rings once more.
fn halves(queues: Vec<Queue>) -> (Vec<RxHalf>, Vec<Sender>, Comps) {
    let (rx, tx): (Vec<_>, Vec<_>) =
        queues.into_iter().map(|queue| (queue.rx, queue.tx.share())).unzip();
    let comps = tx.iter().map(|half| (half.number.port, half.comp.clone())).collect();
    (rx, tx, comps)
}

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) umem: Arc<Umem>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) ports: Arc<[Port]>,
    /// Frames of what was sent must not lie there while a receiver has none.
    comps: Comps,
}

impl Shared {
    fn snapshot(&self, number: Number, halves: Halves<'_>, cached: usize) -> SocketSnapshot {
        let port = &self.ports[number.port.get()];
        crate::socket::snapshot(&*self.backend, port, number, halves, &self.umem, cached)
    }

    /// Takes the frames of what was sent on any queue.
    fn reap_all(&self, cache: &mut FrameCache) -> u32 {
        self.comps.iter().map(|(_, comp)| comp.try_reap(cache)).sum()
    }

    fn forget_port(&mut self, port: PortIndex) {
        self.comps = self.comps.iter().filter(|(of, _)| *of != port).cloned().collect();
    }

    fn cache(&self, caches: usize) -> FrameCache {
        FrameCache::new(&self.umem, caches)
    }
}
