//! Single-producer single-consumer rings, as the kernel lays them out for AF_XDP.
//!
//! ```text
//!   producer index ──┐                       ┌── consumer index
//!                    ▼                       ▼
//!   slots  [ free | free | written … written | free ]      index & mask = slot
//!
//!   Producer: reserve(n) → write … → commit()     one Release store per batch
//!   Consumer: peek(n)    → take  … → release()    one Release store per batch
//! ```
//!
//! Indices are free-running `u32` that wrap; `producer − consumer` (wrapping) entries are in the
//! ring. Each side caches the other's index and reloads it only when the cache says full (empty).
//! Reserve and peek mean "up to n": full and empty are counts of zero, never errors.
//!
//! Invariant (`RingMem`): the three index words and `size` slots stay mapped, and are
//! initialised, for as long as any handle lives; one `Producer` and one `Consumer` exist per ring.
//! Callers: `socket` (our half), `backend::sim` (the simulated kernel's half).

#[cfg(not(flux_loom))]
mod batch;
pub(crate) mod consumer;
mod cursor;
pub(crate) mod heap;
pub(crate) mod mem;
#[cfg(not(flux_loom))]
mod pass;
pub(crate) mod producer;

#[cfg(not(flux_loom))]
pub(crate) use batch::Batch;
pub use consumer::{Consumer, Drain};
pub use cursor::Cursor;
pub use heap::heap_ring;
#[cfg(not(flux_loom))]
pub(crate) use pass::{Fan, fan, pass};
pub use producer::{Producer, Reservation};

/// `XDP_RING_NEED_WAKEUP` of `linux/if_xdp.h`.
pub const NEED_WAKEUP: u32 = 1;

/// One entry of an RX or TX ring: `struct xdp_desc` of `linux/if_xdp.h`, native byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Desc {
    /// Byte offset of the packet's first byte from the start of the UMEM.
    pub addr: u64,
    /// Length of the packet in bytes.
    pub len: u32,
    /// `XDP_PKT_CONTD`, `XDP_TX_METADATA`; 0 here.
    pub options: u32,
}

const _: () = assert!(size_of::<Desc>() == 16);

/// What one ring looks like at one moment. The far indices move on while one reads them. A handle
/// of the ring knows all of it, who looks from outside may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSnapshot {
    /// Number of slots, a power of two.
    pub size: Option<u32>,
    /// Producer index as published (free-running, wraps).
    pub producer: Option<u32>,
    /// Consumer index as published (free-running, wraps).
    pub consumer: Option<u32>,
    /// Producer index as the one who looks has it: its own, which may be ahead of the published
    /// one, or the other side's as last loaded.
    pub cached_producer: Option<u32>,
    /// Consumer index as the one who looks has it.
    pub cached_consumer: Option<u32>,
    /// The flags word: `XDP_RING_NEED_WAKEUP` (1) of `linux/if_xdp.h`.
    pub flags: Option<u32>,
}

impl RingSnapshot {
    /// Entries in the ring: produced and not yet consumed.
    #[must_use]
    pub fn used(&self) -> Option<u32> {
        Some(self.producer?.wrapping_sub(self.consumer?))
    }

    /// Whether the NEED_WAKEUP flag is set.
    #[must_use]
    pub fn need_wakeup(&self) -> Option<bool> {
        Some(self.flags? & NEED_WAKEUP != 0)
    }
}
