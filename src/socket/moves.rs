//! Packets straight from ring to ring, a batch at a time: no token, no list, no copy.
//!
//! ```text
//!   rx ── route ──▶ fill, tx of any queue       comp ── refill ──▶ fill of any queue
//!          └──────▶ taken out as a token        comp ── resend ──▶ tx
//! ```
//!
//! Each takes as many entries as the one ring has and the others have room for; the rest stays
//! where it is. The rings may be of different queues and ports, as long as they share the UMEM.
//! Kicking is the caller's, as ever. A closure that panics gives no verdict: the frame that it was
//! shown goes to the free list.

use super::rings::{CompRing, FillRing, RxRing, TxRing};
use crate::ring::{Batch, Desc, Fan, fan, pass};
use crate::umem::ledger::Holder;
use crate::umem::{Buffer, Gate, META_LEN, NoRoom, Span, Umem, stamp_in};
use std::sync::Arc;

/// What becomes of a packet that [`RxRing::route`] showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing: its frame goes back to reception.
    Recycle,
    /// Out by that one of the TX rings. It is recycled instead, and counted
    /// ([`Routed::refused`]), when there is no such ring, the packet has no bytes or more than
    /// [`TxRing::longest`], or the ring's queue only receives ([`TxRing::sends`]).
    Send(usize),
}

/// What [`RxRing::route`] did, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// Shown to the closure.
    pub packets: u32,
    /// Of these, queued for transmission.
    pub sent: u32,
    /// Of these, taken out ([`PacketView::take`]). The rest was recycled.
    pub taken: u32,
    /// Of these, told to leave by a TX ring that does not send them ([`Route::Send`]): recycled.
    pub refused: u32,
}

/// A received packet on its way from ring to ring.
pub struct PacketView<'r> {
    gate: Gate<'r>,
    /// Address of the frame's first byte.
    base: u64,
    /// The packet's place in the frame.
    start: u64,
    len: u32,
    /// Whether that place lies in the frame. Always, unless the kernel's side is broken.
    sound: bool,
    moved: bool,
    /// It was taken, or made empty: nothing is left to send.
    gone: bool,
    taken: bool,
}

impl PacketView<'_> {
    /// The packet's bytes, from the Ethernet header on. Empty once it was taken.
    #[must_use]
    #[inline(always)]
    pub fn data(&self) -> &[u8] {
        if !self.sound {
            return &[];
        }
        self.gate.view(self, (self.base, self.start, self.len))
    }

    /// The packet's bytes, for writing. Empty once it was taken.
    #[must_use]
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [u8] {
        if !self.sound {
            return &mut [];
        }
        let (gate, place) = (self.gate, (self.base, self.start, self.len));
        gate.view_mut(self, place)
    }

    /// Length in bytes; 0 once it was taken.
    #[must_use]
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Offset of the first byte in the packet memory. A packet that is sent on leaves from the same
    /// place.
    #[must_use]
    pub fn addr(&self) -> u64 {
        self.base + self.start
    }

    /// Where the packet lies; it has no place any more once it was taken.
    fn span(&self) -> Result<Span, NoRoom> {
        if self.taken {
            return Err(NoRoom);
        }
        Span::new(self.start as u32, self.len, self.gate.frame_size())
    }

    fn set_span(&mut self, span: Span) {
        (self.start, self.len) = (span.start() as u64, span.len() as u32);
        self.gone = span.is_empty();
    }

    /// Moves the packet's start by `delta` bytes: positive strips from the front, negative opens
    /// headroom (whose bytes are whatever was there). The payload does not move.
    ///
    /// # Errors
    /// [`NoRoom`] when the start would leave the frame or pass the end, or the packet was taken; it
    /// is unchanged.
    pub fn adjust_head(&mut self, delta: i32) -> Result<(), NoRoom> {
        let span = self.span()?.adjust_head(delta)?;
        self.set_span(span);
        self.moved |= delta != 0;
        Ok(())
    }

    /// Cuts or grows the packet at its end to `len` bytes. Bytes that come in are whatever the
    /// frame held there.
    ///
    /// # Errors
    /// [`NoRoom`] when the frame ends before that, or the packet was taken; it is unchanged.
    pub fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        let span = self.span()?.with_len(len, self.gate.frame_size())?;
        self.set_span(span);
        Ok(())
    }

    /// Receive time that the XDP program wrote in front of the packet, in ns of `CLOCK_MONOTONIC`
    /// (virtual time on the simulator). `None` without receive stamps, and after the packet's start
    /// was moved.
    #[must_use]
    pub fn rx_timestamp(&self) -> Option<u64> {
        if self.moved || self.taken || !self.gate.has_stamps() {
            return None; // a frame that was taken is somebody else's, to look at as well
        }
        let start = self.start.checked_sub(META_LEN as u64)?;
        stamp_in(self.gate.view(self, (self.base, start, META_LEN as u32)))
    }

    /// Takes the packet out, as a token; the closure's [`Route`] is then not looked at. `None` when
    /// it was taken already.
    pub fn take(&mut self) -> Option<Buffer> {
        let span = self.span().ok()?;
        (self.taken, self.gone) = (true, true);
        self.len = 0;
        let span = if self.moved { span } else { span.received() };
        Some(Buffer { frame: self.gate.token_of(self.base), span })
    }
}

/// VLAN push and pop, which move headers and no payload.
macro_rules! headroom {
    ($packet:ty) => {
        impl crate::proto::Headroom for $packet {
            type Error = NoRoom;

            fn adjust_head(&mut self, delta: i32) -> Result<(), NoRoom> {
                self.adjust_head(delta)
            }

            fn bytes(&self) -> &[u8] {
                self.data()
            }

            fn bytes_mut(&mut self) -> &mut [u8] {
                self.data_mut()
            }
        }
    };
}
pub(crate) use headroom;

headroom!(PacketView<'_>);

/// Counts what is rare; out of line, so that the count is in nobody's way.
#[cold]
#[inline(never)]
fn count(rare: &mut u64) {
    *rare += 1;
}

/// A packet while the closure has it: without a verdict its frame is free.
struct Shown<'r> {
    view: PacketView<'r>,
    umem: &'r Umem,
}

impl Drop for Shown<'_> {
    // Inlined, and what is called gets numbers: the view stays in registers where nothing panics.
    #[inline(always)]
    fn drop(&mut self) {
        let PacketView { base, taken, .. } = self.view;
        if !taken {
            give_back(self.umem, base);
        }
    }
}

/// Frees the frame at `base`, which was looked at.
#[cold]
#[inline(never)]
fn give_back(umem: &Umem, base: u64) {
    umem.free(umem.gate().token_of(base));
}

fn same_umem(from: &Arc<Umem>, to: &Arc<Umem>) {
    assert!(Arc::ptr_eq(from, to), "the two rings belong to different UMEMs");
}

impl RxRing {
    /// Shows up to `max` received packets to `each`, which may change them and says what becomes of
    /// each. Frames of packets that are not sent go to `fill`, and to the free list where that is
    /// full. As long as one of `tx` is full, packets stay in this ring: none is dropped for lack
    /// of room.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs, or `each` panics. Then the packet that it was shown
    /// is dropped and its frame is free again, those before it went where they were sent, and those
    /// behind it are still in this ring.
    #[inline]
    pub fn route<const N: usize>(
        &mut self,
        fill: &mut FillRing,
        tx: [&mut TxRing; N],
        max: u32,
        mut each: impl FnMut(&mut PacketView<'_>) -> Route,
    ) -> Routed {
        same_umem(&self.umem, &fill.umem);
        tx.iter().for_each(|tx| same_umem(&self.umem, &tx.umem));
        if self.prefetch {
            self.prefetch_batch(max);
        }
        let Self { ring, umem, taken, invalid, .. } = self;
        let gate = umem.gate();
        let mut from = Batch::new(ring.peek(max), taken);
        let n = from.entries.left();
        let limits = tx.each_ref().map(|tx| tx.limit());
        let mut refused = 0;
        let mut back = Batch::new(fill.ring.reserve(n), &mut fill.posted);
        let mut outs = tx.map(|tx| Batch::new(tx.ring.reserve(n), &mut tx.posted));
        let invalid_before = *invalid;
        let route = |desc: Desc| {
            let Some(base) = gate.begin(desc) else {
                count(invalid);
                return Fan::Gone;
            };
            let (start, len) = (desc.addr - base, desc.len);
            let view = PacketView {
                gate,
                base,
                start,
                len,
                sound: gate.holds(start, len),
                moved: false,
                gone: false,
                taken: false,
            };
            let mut shown = Shown { view, umem };
            let route = each(&mut shown.view);
            let PacketView { start, len, sound, gone, taken, .. } = shown.view;
            std::mem::forget(shown); // borrows alone
            if taken {
                return Fan::Gone;
            }
            match route {
                Route::Send(at) if at < N && sound && !gone && len <= limits[at] => {
                    gate.end(base, Holder::Transmission);
                    return Fan::Out(at, Desc { addr: base + start, len, options: 0 });
                }
                Route::Send(_) => count(&mut refused),
                Route::Recycle => {}
            }
            gate.end(base, Holder::Reception);
            Fan::Back(base)
        };
        let mut overflow = 0;
        fan(&mut from.entries, &mut back.entries, &mut outs, route, |addr| {
            overflow += 1;
            if let Some(frame) = gate.claim_frame(addr, Holder::Reception, Holder::User) {
                umem.free(frame);
            }
        });
        let packets = n - from.entries.left() - (*invalid - invalid_before) as u32;
        let sent = outs.iter().map(|out| out.entries.written()).sum();
        let taken = packets - sent - back.entries.written() - overflow;
        Routed { packets, sent, taken, refused: refused as u32 }
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
        let Self { ring, umem, taken, invalid } = self;
        let gate = umem.gate();
        pass(ring, &mut fill.ring, max, [taken, &mut fill.posted], |addr| {
            let addr = gate.hand_over(addr, Holder::Transmission, Holder::Reception);
            *invalid += u64::from(addr.is_none());
            addr
        })
    }

    /// Sends the frames of up to `max` sent packets once more, whatever they hold at `span` now;
    /// returns how many. Nothing is sent for a span that is empty, ends beyond the frame or is longer
    /// than [`TxRing::longest`], nor by a queue that only receives.
    ///
    /// # Panics
    /// When the rings belong to different UMEMs.
    #[inline]
    pub fn resend(&mut self, tx: &mut TxRing, span: Span, max: u32) -> u32 {
        same_umem(&self.umem, &tx.umem);
        let sent = !span.is_empty() && span.len() as u32 <= tx.limit();
        if !sent || span.end() > self.umem.frame_size() as usize {
            return 0;
        }
        let Self { ring, umem, taken, invalid } = self;
        let gate = umem.gate();
        let (start, len) = (span.start() as u64, span.len() as u32);
        pass(ring, &mut tx.ring, max, [taken, &mut tx.posted], |addr| {
            let addr = gate.hand_over(addr, Holder::Transmission, Holder::Transmission);
            *invalid += u64::from(addr.is_none());
            addr.map(|addr| Desc { addr: addr + start, len, options: 0 })
        })
    }
}

#[cfg(test)]
mod tests;
