//! Packets straight from ring to ring, a batch at a time: no token, no list, no copy.
//!
//! ```text
//!   rx ── drop_to, read_to ──▶ fill       comp ── refill ──▶ fill
//!   rx ── forward_to ────────▶ tx         comp ── resend ──▶ tx
//! ```
//!
//! Each takes as many entries as the one ring has and the other has room for; the rest stays where
//! it is. Kicking is the caller's, as ever. A closure that panics loses the frame it was shown, as
//! a dropped token would be.

use super::rings::{CompRing, FillRing, RxRing, TxRing};
use crate::ring::{Desc, pass};
use crate::umem::ledger::Holder;
use crate::umem::{Span, Umem};
use std::sync::Arc;

/// What [`RxRing::drop_to`] dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Packets.
    pub packets: u32,
    /// Their lengths added up, in bytes.
    pub bytes: u64,
}

fn same_umem(from: &Arc<Umem>, to: &Arc<Umem>) {
    assert!(Arc::ptr_eq(from, to), "the two rings belong to different UMEMs");
}

impl RxRing {
    /// Drops up to `max` received packets: their frames go back to the fill ring.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn drop_to(&mut self, fill: &mut FillRing, max: u32) -> Dropped {
        same_umem(&self.umem, &fill.umem);
        let Self { ring, umem, received, invalid, .. } = self;
        let gate = umem.gate();
        let mut bytes = 0;
        let packets = pass(ring, &mut fill.ring, max, [received, &mut fill.posted], |desc| {
            let addr = gate.hand_over(desc.addr, Holder::Reception, Holder::Reception);
            match addr {
                Some(_) => bytes += u64::from(desc.len),
                None => *invalid += 1,
            }
            addr
        });
        Dropped { packets, bytes }
    }

    /// Shows up to `max` received packets to `look`; their frames then go back to the fill ring.
    /// Returns how many.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn read_to(&mut self, fill: &mut FillRing, max: u32, mut look: impl FnMut(&[u8])) -> u32 {
        same_umem(&self.umem, &fill.umem);
        if self.prefetch {
            self.prefetch_batch(max);
        }
        let Self { ring, umem, received, invalid, .. } = self;
        let gate = umem.gate();
        pass(ring, &mut fill.ring, max, [received, &mut fill.posted], |desc| {
            let (from, to) = (Holder::Reception, Holder::Reception);
            let out = gate.hand_over_packet(desc, from, to, |bytes| look(bytes));
            *invalid += u64::from(out.is_none());
            out.map(|desc| gate.frame_of(desc))
        })
    }

    /// Sends up to `max` received packets, each after `edit` changed its bytes; returns how many.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn forward_to(
        &mut self,
        tx: &mut TxRing,
        max: u32,
        mut edit: impl FnMut(&mut [u8]),
    ) -> u32 {
        same_umem(&self.umem, &tx.umem);
        if self.prefetch {
            self.prefetch_batch(max);
        }
        let Self { ring, umem, received, invalid, .. } = self;
        let gate = umem.gate();
        pass(ring, &mut tx.ring, max, [received, &mut tx.posted], |desc| {
            let (rx, tx) = (Holder::Reception, Holder::Transmission);
            let out = gate.hand_over_packet(desc, rx, tx, &mut edit);
            *invalid += u64::from(out.is_none());
            out
        })
    }
}

impl CompRing {
    /// Posts the frames of up to `max` sent packets for reception; returns how many.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn refill(&mut self, fill: &mut FillRing, max: u32) -> u32 {
        same_umem(&self.umem, &fill.umem);
        let Self { ring, umem, completed, invalid } = self;
        let gate = umem.gate();
        pass(ring, &mut fill.ring, max, [completed, &mut fill.posted], |addr| {
            let addr = gate.hand_over(addr, Holder::Transmission, Holder::Reception);
            *invalid += u64::from(addr.is_none());
            addr
        })
    }

    /// Sends the frames of up to `max` sent packets once more, whatever they hold at `span` now;
    /// returns how many. Nothing is sent for a span that ends beyond the frame.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn resend(&mut self, tx: &mut TxRing, span: Span, max: u32) -> u32 {
        same_umem(&self.umem, &tx.umem);
        if span.end() > self.umem.frame_size() as usize {
            return 0;
        }
        let Self { ring, umem, completed, invalid } = self;
        let gate = umem.gate();
        let (start, len) = (span.start() as u64, span.len() as u32);
        pass(ring, &mut tx.ring, max, [completed, &mut tx.posted], |addr| {
            let addr = gate.hand_over(addr, Holder::Transmission, Holder::Transmission);
            *invalid += u64::from(addr.is_none());
            addr.map(|addr| Desc { addr: addr + start, len, options: 0 })
        })
    }
}

#[cfg(test)]
mod tests;
