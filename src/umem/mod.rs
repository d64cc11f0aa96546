//! The packet memory: one region cut into frames, and who owns each frame.
//!
//! ```text
//!   region  | frame 0 | frame 1 | … | frame n−1 |      addr = index × frame_size + offset
//!
//!   free list ──alloc──▶ Frame token ──push──▶ fill / TX ring ──▶ kernel
//!     ▲  ▲                   │  ▲                                   │
//!     │  └──────── free ─────┘  └────────── claim ◀── RX / completion ring
//!   caches, one a worker
//! ```
//!
//! Invariant: *frames are conserved*. Every frame is in exactly one place: the free list or a
//! worker's cache, a [`Frame`] token, or the kernel's hands (a ring, or being worked on). A token is
//! neither `Copy` nor `Clone` and carries its UMEM's tag; only [`Umem::alloc`], a cache and the
//! crate-private `gate` make one. In debug builds the ledger checks each step.
//! Callers: `socket` (rings of tokens), `packet` (bytes), `backend::sim` (the kernel's half).

pub(crate) mod cache;
#[cfg(not(flux_loom))]
mod frame;
pub(crate) mod free_list;
#[cfg(not(flux_loom))]
mod gate;
#[cfg(not(flux_loom))]
pub(crate) mod ledger;
#[cfg(not(flux_loom))]
pub(crate) mod region;
#[cfg(not(flux_loom))]
mod shortage;
#[cfg(not(flux_loom))]
mod span;

#[cfg(not(flux_loom))]
pub(crate) use cache::FrameCache;
#[cfg(not(flux_loom))]
pub use frame::{Buffer, Frame, Umem};
#[cfg(not(flux_loom))]
pub(crate) use frame::{META_LEN, RX_HEADROOM, stamp_in};
pub(crate) use free_list::FreeList;
#[cfg(not(flux_loom))]
pub(crate) use gate::Gate;
#[cfg(not(flux_loom))]
pub use region::Region;
#[cfg(not(flux_loom))]
pub use span::{NoRoom, Span};
