//! The one door between frame tokens and the integers in rings.

use super::frame::{Buffer, Frame};
use super::ledger::{Holder, Ledger};
use super::region::Region;
use super::{Span, Umem};
use crate::prefetch::prefetch;
use crate::ring::Desc;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

/// Turns tokens into ring entries and back for one batch.
///
/// It is a copy of the UMEM's shape: a loop that holds one keeps it in registers, where one that
/// asks the UMEM itself would load it anew for every packet.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'u> {
    frames: u32,
    frame_size: u32,
    /// `frame_size` is two to this power.
    shift: u32,
    tag: u32,
    /// Whether packets may have receive stamps in front of them.
    stamps: bool,
    ledger: &'u Ledger,
    /// First byte of the region, which lives through `'u`. Held here because a loop that writes
    /// packets would load it from the region again after each of them.
    base: NonNull<u8>,
    region: PhantomData<&'u Region>,
}

// SAFETY: the raw pointer forbids the auto impl; it stands for the `&Region` beside it, which is
// Sync.
unsafe impl Send for Gate<'_> {}
// SAFETY: as above.
unsafe impl Sync for Gate<'_> {}

impl<'u> Gate<'u> {
    #[inline(always)]
    fn new(umem: &'u Umem) -> Self {
        let &Umem { frames, frame_size, tag, stamps, ref ledger, ref region, .. } = umem;
        // Below 32 as a frame is at most 4096 bytes; saying so spares the shifts a mask.
        let shift = frame_size.trailing_zeros() & 31;
        let (base, region) = (region.base(), PhantomData);
        Self { frames, frame_size, shift, tag, stamps, ledger, base, region }
    }

    /// Bytes per frame.
    #[inline(always)]
    pub(crate) fn frame_size(&self) -> u32 {
        self.frame_size
    }

    /// Whether packets may have receive stamps in front of them.
    pub(crate) fn has_stamps(&self) -> bool {
        self.stamps
    }

    /// Whether the token is of this UMEM: rings refuse foreign ones.
    #[inline(always)]
    pub(crate) fn owns(&self, frame: &Frame) -> bool {
        frame.umem == self.tag
    }

    /// Whether a packet's place is one in a frame of this UMEM; one made for larger frames would
    /// reach into somebody else's.
    #[inline(always)]
    pub(crate) fn fits(&self, span: Span) -> bool {
        span.end() <= self.frame_size as usize
    }

    /// Turns a token into the address that a ring carries; the token is gone to `holder`.
    #[inline(always)]
    pub(crate) fn post(&self, frame: Frame, from: Holder, holder: Holder) -> u64 {
        debug_assert!(self.owns(&frame));
        let moved = self.ledger.transfer(frame.index, from, holder);
        debug_assert!(moved, "frame {} was not held by {from:?}", frame.index);
        u64::from(frame.index) << self.shift
    }

    /// The one way from an integer that the other side of a ring wrote to an owned frame.
    ///
    /// Checks all that can be checked: the address lies in the UMEM and the packet in its frame.
    /// That each posted frame comes back once is the kernel's promise; the ledger checks it in
    /// debug builds.
    #[inline(always)]
    pub(crate) fn claim(&self, desc: Desc, from: Holder, to: Holder) -> Result<Buffer, Desc> {
        let start = desc.addr as u32 & (self.frame_size - 1);
        let Ok(span) = Span::new(start, desc.len, self.frame_size) else { return Err(desc) };
        let frame = self.claim_frame(desc.addr, from, to).ok_or(desc)?;
        Ok(Buffer { frame, span: span.received() })
    }

    /// The same for an entry that stands for a whole frame.
    #[inline(always)]
    pub(crate) fn claim_frame(&self, addr: u64, from: Holder, to: Holder) -> Option<Frame> {
        self.index(addr, from, to).map(|index| self.token(index))
    }

    /// Hands the frame that `addr` lies in from one ring to another without a token in between, and
    /// returns the address of its first byte; nothing when it is no frame of ours. The packet in
    /// it is not looked at.
    #[inline(always)]
    pub(crate) fn hand_over(&self, addr: u64, from: Holder, to: Holder) -> Option<u64> {
        let size = u64::from(self.frame_size);
        self.index(addr, from, to).map(|_| addr & !(size - 1))
    }

    /// Makes the frame of a received packet ours to look at, without a token: the address of its
    /// first byte, or nothing when it is no frame of ours. [`Self::end`] gives it away again.
    #[inline(always)]
    pub(crate) fn begin(&self, desc: Desc) -> Option<u64> {
        self.hand_over(desc.addr, Holder::Reception, Holder::User)
    }

    /// Gives the frame at `base` to `holder`, which [`Self::begin`] made ours.
    #[inline(always)]
    pub(crate) fn end(&self, base: u64, holder: Holder) {
        let moved = self.index(base, Holder::User, holder).is_some();
        debug_assert!(moved, "a frame went elsewhere while it was looked at");
    }

    /// The token of the frame at `base`, in place of [`Self::end`].
    #[inline(always)]
    pub(crate) fn token_of(&self, base: u64) -> Frame {
        self.token((base >> self.shift) as u32)
    }

    /// `len` bytes at `start` of the frame at `base`, which [`Self::begin`] made ours; none when
    /// that is not in the frame. The borrow of `seen` stands for the frame: who has it calls
    /// this alone.
    #[inline(always)]
    pub(crate) fn view<'s, S>(&self, _seen: &'s S, (base, start, len): (u64, u64, u32)) -> &'s [u8]
    where
        'u: 's,
    {
        if !self.holds(start, len) {
            return &[];
        }
        // SAFETY: the bytes lie in one frame by the lines above, and the frame in the region by
        // begin().
        let first = unsafe { self.base.add((base + start) as usize) };
        // SAFETY: as above, and all of the region is initialised. Who wrote
        // the ring's entry gave the frame away with it, and nobody gets it before end(): the bytes
        // are touched by nobody else.
        unsafe { slice::from_raw_parts(first.as_ptr(), len as usize) }
    }

    /// The same, for writing.
    #[inline(always)]
    pub(crate) fn view_mut<'s, S>(
        &self,
        _seen: &'s mut S,
        (base, start, len): (u64, u64, u32),
    ) -> &'s mut [u8]
    where
        'u: 's,
    {
        if !self.holds(start, len) {
            return &mut [];
        }
        // SAFETY: as in view().
        let first = unsafe { self.base.add((base + start) as usize) };
        // SAFETY: as in view(), and who stands for the frame is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), len as usize) }
    }

    /// Whether `len` bytes at `start` lie in a frame.
    #[inline(always)]
    pub(crate) fn holds(&self, start: u64, len: u32) -> bool {
        start + u64::from(len) <= u64::from(self.frame_size)
    }

    /// Asks the CPU for the first bytes of the packet that `desc` names, without waiting. Any
    /// descriptor will do: nothing is read.
    #[inline(always)]
    pub(crate) fn prefetch(&self, desc: &Desc) {
        prefetch(self.base.as_ptr().wrapping_add(desc.addr as usize));
    }

    #[inline(always)]
    fn index(&self, addr: u64, from: Holder, to: Holder) -> Option<u32> {
        let inside = addr < u64::from(self.frames) << self.shift;
        let index = (addr >> self.shift) as u32;
        (inside && self.ledger.transfer(index, from, to)).then_some(index)
    }

    #[inline(always)]
    fn token(&self, index: u32) -> Frame {
        Frame { index, umem: self.tag }
    }
}

impl Umem {
    /// The door between tokens and ring entries, for one batch.
    #[inline(always)]
    pub(crate) fn gate(&self) -> Gate<'_> {
        Gate::new(self)
    }

    /// [`Gate::claim`] for one descriptor.
    pub(crate) fn claim(&self, desc: Desc, from: Holder, to: Holder) -> Result<Buffer, Desc> {
        self.gate().claim(desc, from, to)
    }

    /// [`Gate::post`] for one frame.
    pub(crate) fn post(&self, frame: Frame, from: Holder, holder: Holder) -> u64 {
        self.gate().post(frame, from, holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_outside_the_umem_or_its_frame_is_refused() {
        let umem = Umem::new(Region::allocate(2 * 2048).unwrap(), 2048);
        let frame = umem.alloc().unwrap();
        let addr = umem.post(frame, Holder::User, Holder::Reception);
        for (addr, len) in
            [(addr + 2048 * 7, 60), (addr + 2000, 49), (u64::MAX, 1), (addr, u32::MAX)]
        {
            let desc = Desc { addr, len, options: 0 };
            assert_eq!(umem.claim(desc, Holder::Reception, Holder::User), Err(desc));
        }
        let desc = Desc { addr: addr + 256, len: 60, options: 0 };
        let buffer = umem.claim(desc, Holder::Reception, Holder::User).unwrap();
        assert_eq!((buffer.span.start(), buffer.span.len()), (256, 60));
        #[cfg(debug_assertions)]
        assert_eq!(umem.claim(desc, Holder::Reception, Holder::User), Err(desc), "returned twice");
        umem.free(buffer.frame);
    }

    #[test]
    fn a_frame_handed_over_is_known_by_its_first_byte() {
        let umem = Umem::new(Region::allocate(3 * 2048).unwrap(), 2048);
        let addr = umem.post(umem.alloc().unwrap(), Holder::User, Holder::Reception);
        let pass = |addr, from, to| umem.gate().hand_over(addr, from, to);
        let (rx, tx) = (Holder::Reception, Holder::Transmission);
        assert_eq!(pass(addr + 300, rx, tx), Some(addr));
        #[cfg(debug_assertions)]
        assert_eq!(pass(addr, rx, tx), None, "it is no longer there");
        assert_eq!(pass(3 * 2048, tx, rx), None);
        assert_eq!(pass(u64::MAX, tx, rx), None);
        let frame = umem.gate().claim_frame(addr + 7, tx, Holder::User).unwrap();
        assert_eq!(u64::from(frame.index()) * 2048, addr);
        umem.free(frame);
    }
}
