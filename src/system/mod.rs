//! Mode B: control first. A receiver and a sender that may live on different threads, and
//! packets that are owned.
//!
//! ```text
//!   FluxRx ── recv ──▶ Packet ──▶ your code ──▶ FluxTx ── send, flush ──▶
//!     ▲ refill            └── drop ──▶ free list ◀── reap ──┘
//! ```
//!
//! Invariant: a frame is in a ring, in the free list, or in exactly one [`Packet`](crate::Packet). The free
//! list is the only thing that both halves share.

mod rx;
mod tx;

pub use rx::FluxRx;
pub use tx::FluxTx;

/// Takes the opened sockets apart into the two halves.
pub(crate) fn split(parts: crate::builder::Parts) -> (FluxRx, FluxTx) {
    let (rx, tx) = parts.sockets.into_iter().map(|s| (s.rx, s.tx)).unzip();
    let shared = Shared { umem: parts.umem, backend: parts.backend, granted: parts.granted };
    (FluxRx::new(rx, shared.clone(), parts.poller, parts.batch), FluxTx::new(tx, shared))
}

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) umem: std::sync::Arc<crate::umem::Umem>,
    pub(crate) backend: std::sync::Arc<dyn crate::backend::Backend>,
    pub(crate) granted: std::sync::Arc<crate::config::Granted>,
}
