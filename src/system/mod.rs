//! Mode B: control first. A receiver and a sender that may live on different threads, and
//! packets that are owned.
//!
//! ```text
//!   FluxRx ── recv, recv_batch ──▶ Packet, Packets ──▶ your code ──▶ FluxTx ── send, flush ──▶
//!     ▲ refill                        └── drop ──▶ free list ◀── reap ──┘
//! ```
//!
//! Invariant: a frame is in a ring, in the free list or the cache of a half, or in exactly one
//! [`Packet`](crate::Packet) or [`Packets`](crate::Packets). The free list is the only thing that
//! both halves share.

mod rx;
mod tx;

pub use rx::FluxRx;
pub use tx::{FluxTx, Sent};

use crate::backend::Backend;
use crate::error::Result;
use crate::port::Port;
use crate::snapshot::SocketSnapshot;
use crate::socket::{Halves, Number, RxHalf, TxHalf};
use crate::umem::{FrameCache, Umem};
use crate::worker::{Parts, deal, shares};
use std::sync::Arc;

/// Takes what was opened apart into the two halves.
pub(crate) fn split(parts: Parts) -> (FluxRx, FluxTx) {
    let Parts { queues, ports, umem, backend, batch, poller } = parts;
    let (rx, tx) = queues.into_iter().map(|queue| (queue.rx, queue.tx)).unzip();
    let shared = Shared { umem, backend, ports };
    // One cache for each half.
    (FluxRx::new(rx, shared.clone(), poller, batch, 2), FluxTx::new(tx, shared, 2))
}

/// The same for several workers, each with both halves of some queues of every port.
pub(crate) fn split_workers(parts: Parts, workers: usize) -> Result<Vec<(FluxRx, FluxTx)>> {
    let numbers = parts.queues.iter().map(|queue| queue.rx.number);
    let shares = shares(&parts.ports, numbers, workers)?;
    let Parts { queues, ports, umem, backend, batch, poller } = parts;
    let shared = Shared { umem, backend, ports };
    let pair = |queues: Vec<crate::socket::Queue>| {
        let (rx, tx): (Vec<RxHalf>, Vec<TxHalf>) =
            queues.into_iter().map(|queue| (queue.rx, queue.tx)).unzip();
        let rx = FluxRx::new(rx, shared.clone(), poller, batch, 2 * workers);
        (rx, FluxTx::new(tx, shared.clone(), 2 * workers))
    };
    Ok(deal(queues, &shares, workers).into_iter().map(pair).collect())
}

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) umem: Arc<Umem>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) ports: Arc<[Port]>,
}

impl Shared {
    fn snapshot(&self, number: Number, halves: Halves<'_>, cached: usize) -> SocketSnapshot {
        let port = &self.ports[number.port.get()];
        crate::socket::snapshot(&*self.backend, port, number, halves, &self.umem, cached)
    }

    fn cache(&self, caches: usize) -> FrameCache {
        FrameCache::new(&self.umem, caches)
    }
}
