//! Frame tokens, and the memory they stand for.

use super::ledger::{Holder, Ledger};
use super::region::Region;
use super::shortage::{Shortage, Waker};
use super::{FreeList, NoRoom, Span};
use crate::config::Pages;
use std::sync::atomic::{AtomicU32, Ordering};

/// Headroom that the kernel leaves in front of a received packet: `XDP_PACKET_HEADROOM`.
pub(crate) const RX_HEADROOM: u32 = 256;

/// Where the XDP program's `struct flux_meta` lies: just in front of the packet.
pub(crate) const META_LEN: usize = 16;
/// First word of a valid `struct flux_meta` ("flux", native byte order).
const META_MAGIC: u32 = 0x666c_7578;

/// The receive stamp in a `struct flux_meta`, if it is one.
pub(crate) fn stamp_in(meta: &[u8]) -> Option<u64> {
    let magic = u32::from_ne_bytes(meta.get(..4)?.try_into().ok()?);
    let ns = u64::from_ne_bytes(meta.get(8..16)?.try_into().ok()?);
    (magic == META_MAGIC).then_some(ns)
}

/// The right to one frame of one UMEM, and to its bytes.
///
/// Dropping a bare token leaks the frame (safe, but it never comes back); give it to
/// [`Umem::free`], a ring, or keep it in a [`crate::Packet`].
#[must_use = "a dropped Frame is lost to its UMEM: free it or push it to a ring"]
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub(super) index: u32,
    pub(super) umem: u32,
}

impl Frame {
    /// The frame's number in its UMEM.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Moves the right out of a place that cannot be moved from (a `Drop`), leaving a token
    /// that belongs to no UMEM.
    pub(crate) fn take(&mut self) -> Frame {
        std::mem::replace(self, Frame { index: u32::MAX, umem: 0 })
    }

    /// Whether [`Frame::take`] emptied it.
    pub(crate) fn is_taken(&self) -> bool {
        self.umem == 0
    }
}

/// A frame and where in it the packet lies.
#[must_use = "a dropped Buffer loses its frame: free it or push it to a ring"]
#[derive(Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The frame.
    pub frame: Frame,
    /// The packet's place in it.
    pub span: Span,
}

/// Packet memory, made first and shared by all ports, queues and workers that are opened on it.
pub struct Umem {
    pub(super) region: Region,
    pub(super) frames: u32,
    pub(super) frame_size: u32,
    pub(super) tag: u32,
    /// Whether packets may have receive stamps in front of them.
    pub(super) stamps: bool,
    free: FreeList,
    shortage: Shortage,
    pub(super) ledger: Ledger,
}

/// Tags start at 1; 0 is "no UMEM".
static NEXT_TAG: AtomicU32 = AtomicU32::new(1);

impl Umem {
    /// Cuts `region` into frames of `frame_size` bytes (a power of two, at most 4096).
    pub(crate) fn new(region: Region, frame_size: u32) -> Self {
        debug_assert!(frame_size.is_power_of_two() && frame_size <= 4096);
        let frames = u32::try_from(region.len() / frame_size as usize).unwrap_or(u32::MAX - 1);
        Self {
            region,
            frames,
            frame_size,
            tag: NEXT_TAG.fetch_add(1, Ordering::Relaxed),
            stamps: false,
            free: FreeList::full(frames),
            shortage: Shortage::default(),
            ledger: Ledger::new(frames),
        }
    }

    /// With receive stamps in front of packets, or without: then no bytes there are read as one.
    pub(crate) fn with_stamps(self, stamps: bool) -> Self {
        Self { stamps, ..self }
    }

    /// Number of frames.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes per frame.
    #[must_use]
    #[inline(always)]
    pub fn frame_size(&self) -> u32 {
        self.frame_size
    }

    /// What the memory lies in.
    #[must_use]
    pub fn pages(&self) -> Pages {
        self.region.pages()
    }

    /// Frames in the free list, exact while nobody else takes or gives.
    #[must_use]
    pub fn free_hint(&self) -> u32 {
        self.free.len_hint()
    }

    /// Frames held as tokens by this process, by the debug ledger; `None` in release builds.
    #[must_use]
    pub fn held_by_user(&self) -> Option<u32> {
        self.ledger.count(Holder::User)
    }

    #[cfg(all(target_os = "linux", feature = "bpf"))]
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// The memory alone, for a new UMEM: the frames of this one are gone with it.
    pub(crate) fn into_region(self) -> Region {
        self.region
    }

    /// The list, for a worker's cache. Who gives it frames calls [`Self::freed`].
    #[inline(always)]
    pub(super) fn free_list(&self) -> &FreeList {
        &self.free
    }

    /// Frames came into the free list.
    #[inline(always)]
    pub(super) fn freed(&self) {
        self.shortage.freed();
    }

    /// How a receiver that waits for frames is woken. The backend says so when it opens the UMEM.
    pub(crate) fn set_waker(&self, waker: impl Fn() + Send + Sync + 'static) {
        self.shortage.set_waker(Box::new(waker) as Waker);
    }

    /// A receiver that has too few frames is about to wait: the next frame that is freed wakes it.
    /// False when there is one already. A wake may be missed, so wait for 10 ms at most.
    pub(crate) fn wait_for_frames(&self) -> bool {
        self.shortage.announce();
        self.free.is_empty()
    }

    /// Whether a receiver waits to be woken, or has a wake to see ([`Self::take_wake`]).
    #[cfg(any(test, all(target_os = "linux", feature = "bpf")))]
    pub(crate) fn has_waiter(&self) -> bool {
        self.shortage.is_open()
    }

    /// Whether frames came for a receiver that waits for some; true once for each wait.
    pub(crate) fn take_wake(&self) -> bool {
        self.shortage.take_wake()
    }

    /// Whether a receiver waits for frames.
    #[inline(always)]
    pub(crate) fn is_starving(&self) -> bool {
        self.shortage.is_announced()
    }

    /// Turns a token into a number in a cache, which is as good as free.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM.
    #[inline(always)]
    pub(super) fn cache(&self, frame: Frame) -> u32 {
        self.check(&frame);
        self.ledger.transfer(frame.index, Holder::User, Holder::Free);
        frame.index
    }

    /// The way back: `index` was taken from a cache or the free list, and nobody else has it.
    #[inline(always)]
    pub(super) fn uncache(&self, index: u32) -> Frame {
        let ours = self.ledger.transfer(index, Holder::Free, Holder::User);
        debug_assert!(ours, "frame {index} was in the free list and somewhere else");
        Frame { index, umem: self.tag }
    }

    /// Takes a free frame.
    #[inline]
    pub fn alloc(&self) -> Option<Frame> {
        let index = self.free.pop()?;
        let ours = self.ledger.transfer(index, Holder::Free, Holder::User);
        debug_assert!(ours, "frame {index} was in the free list and somewhere else");
        Some(Frame { index, umem: self.tag })
    }

    /// Takes up to `max` free frames with one exchange and appends them to `out`; returns how
    /// many.
    #[inline]
    pub fn alloc_many(&self, max: u32, out: &mut Vec<Frame>) -> u32 {
        self.free.pop_many(max, |index| {
            let ours = self.ledger.transfer(index, Holder::Free, Holder::User);
            debug_assert!(ours, "frame {index} was in the free list and somewhere else");
            out.push(Frame { index, umem: self.tag });
        })
    }

    /// Gives a frame back.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM.
    #[inline]
    pub fn free(&self, frame: Frame) {
        self.check(&frame);
        self.ledger.transfer(frame.index, Holder::User, Holder::Free);
        self.free.push(frame.index);
        self.freed();
    }

    /// Gives frames back with one exchange.
    ///
    /// # Panics
    /// When one belongs to another UMEM.
    pub fn free_all(&self, frames: impl IntoIterator<Item = Frame>) {
        self.free.push_all(frames.into_iter().map(|frame| {
            self.check(&frame);
            self.ledger.transfer(frame.index, Holder::User, Holder::Free);
            frame.index
        }));
        self.freed();
    }

    /// All bytes of a frame.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM.
    #[must_use]
    #[inline(always)]
    pub fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.check(frame);
        // SAFETY: the token is the only right to these bytes (Frame is unique per index while
        // it is out), and it is borrowed for as long as the slice.
        unsafe { self.region.slice(self.offset(frame), self.frame_size as usize) }
    }

    /// All bytes of a frame, for writing.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // exclusive through `frame`, the only right to these bytes
    pub fn bytes_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        self.check(frame);
        // SAFETY: as in bytes(), and the token is borrowed exclusively.
        unsafe { self.region.slice_mut(self.offset(frame), self.frame_size as usize) }
    }

    /// The packet in a buffer.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM, or the span is one of larger frames.
    #[must_use]
    #[inline(always)]
    pub fn packet<'a>(&'a self, buffer: &'a Buffer) -> &'a [u8] {
        &self.bytes(&buffer.frame)[buffer.span.start()..buffer.span.end()]
    }

    /// The packet in a buffer, for writing.
    ///
    /// # Panics
    /// As [`packet`](Self::packet).
    #[must_use]
    #[inline(always)]
    pub fn packet_mut<'a>(&'a self, buffer: &'a mut Buffer) -> &'a mut [u8] {
        let (start, end) = (buffer.span.start(), buffer.span.end());
        &mut self.bytes_mut(&mut buffer.frame)[start..end]
    }

    /// A buffer of `len` bytes at offset `start` of a free frame.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit a frame; `Ok(None)` when no frame is free.
    pub fn alloc_buffer(&self, start: u32, len: u32) -> Result<Option<Buffer>, NoRoom> {
        let span = Span::new(start, len, self.frame_size)?;
        Ok(self.alloc().map(|frame| Buffer { frame, span }))
    }

    /// Receive time that the XDP program wrote in front of a received packet, in ns of
    /// `CLOCK_MONOTONIC` (virtual time on the simulator). `None` without receive stamps, and after
    /// the packet's start was moved: then these bytes may be anything.
    #[must_use]
    pub fn rx_timestamp(&self, buffer: &Buffer) -> Option<u64> {
        if !self.stamps || !buffer.span.is_as_received() {
            return None;
        }
        let start = buffer.span.start().checked_sub(META_LEN)?;
        stamp_in(self.bytes(&buffer.frame).get(start..start + META_LEN)?)
    }

    /// Writes a receive stamp in front of a packet that starts at `start`: the simulated
    /// kernel's XDP program, and (with `None`) the eraser that keeps a stamp of the frame's
    /// last packet from being read as this one's.
    pub(crate) fn put_rx_stamp(&self, frame: &mut Frame, start: usize, ns: Option<u64>) {
        let Some(at) = start.checked_sub(META_LEN) else { return };
        let Some(meta) = self.bytes_mut(frame).get_mut(at..start) else { return };
        let (magic, ns) = ns.map_or((0, 0), |ns| (META_MAGIC, ns));
        meta[..4].copy_from_slice(&magic.to_ne_bytes());
        meta[4..8].fill(0);
        meta[8..].copy_from_slice(&ns.to_ne_bytes());
    }

    #[inline(always)]
    fn check(&self, frame: &Frame) {
        assert!(frame.umem == self.tag, "frame {} belongs to another UMEM", frame.index);
    }

    #[inline(always)]
    fn offset(&self, frame: &Frame) -> usize {
        frame.index as usize * self.frame_size as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn umem(frames: u32) -> Umem {
        Umem::new(Region::allocate(frames as usize * 2048).unwrap(), 2048)
    }

    #[test]
    fn every_frame_is_handed_out_once() {
        let umem = umem(4);
        let frames: Vec<_> = std::iter::from_fn(|| umem.alloc()).collect();
        assert_eq!(frames.len(), 4);
        assert_eq!(umem.free_hint(), 0);
        umem.free_all(frames);
        assert_eq!(umem.free_hint(), 4);
    }

    #[test]
    fn frames_do_not_overlap() {
        let umem = umem(2);
        let (mut a, mut b) = (umem.alloc().unwrap(), umem.alloc().unwrap());
        umem.bytes_mut(&mut a).fill(0xaa);
        umem.bytes_mut(&mut b).fill(0xbb);
        assert!(umem.bytes(&a).iter().all(|&x| x == 0xaa));
        umem.free_all([a, b]);
    }

    #[test]
    #[should_panic(expected = "another UMEM")]
    fn a_frame_of_another_umem_opens_nothing() {
        let (a, b) = (umem(1), umem(1));
        let frame = a.alloc().unwrap();
        let _ = b.bytes(&frame);
    }

    #[test]
    fn a_receive_stamp_is_the_packets_own_until_its_start_moves() {
        let umem = umem(1).with_stamps(true);
        let frame = umem.alloc().unwrap();
        let addr = umem.post(frame, Holder::User, Holder::Reception) + u64::from(RX_HEADROOM);
        let desc = crate::ring::Desc { addr, len: 60, options: 0 };
        let mut buffer = umem.claim(desc, Holder::Reception, Holder::User).unwrap();
        assert_eq!(umem.rx_timestamp(&buffer), None);
        umem.put_rx_stamp(&mut buffer.frame, 256, Some(42));
        assert_eq!(umem.rx_timestamp(&buffer), Some(42));
        let shorter = Buffer { span: buffer.span.with_len(40, 2048).unwrap(), frame: buffer.frame };
        assert_eq!(umem.rx_timestamp(&shorter), Some(42));
        // A packet that brings what looks like a stamp is not believed.
        let mut moved = Buffer { span: shorter.span.adjust_head(16).unwrap(), ..shorter };
        umem.put_rx_stamp(&mut moved.frame, 272, Some(7));
        assert_eq!(umem.rx_timestamp(&moved), None);
        let mut back = Buffer { span: moved.span.adjust_head(-16).unwrap(), ..moved };
        assert_eq!(umem.rx_timestamp(&back), None);
        umem.put_rx_stamp(&mut back.frame, 256, None);
        umem.free(back.frame);
    }

    #[test]
    fn without_receive_stamps_no_bytes_are_one() {
        let umem = umem(1);
        let frame = umem.alloc().unwrap();
        let addr = umem.post(frame, Holder::User, Holder::Reception) + u64::from(RX_HEADROOM);
        let desc = crate::ring::Desc { addr, len: 60, options: 0 };
        let mut buffer = umem.claim(desc, Holder::Reception, Holder::User).unwrap();
        umem.put_rx_stamp(&mut buffer.frame, 256, Some(42)); // left there by an earlier packet
        assert_eq!(umem.rx_timestamp(&buffer), None);
        umem.free(buffer.frame);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_span_of_larger_frames_opens_nothing() {
        let umem = umem(2);
        let span = Span::new(0, 4096, 4096).unwrap();
        let _ = umem.packet(&Buffer { frame: umem.alloc().unwrap(), span });
    }

    #[test]
    fn a_receiver_that_waits_for_frames_is_woken_once() {
        use std::sync::Arc;
        let (umem, woken) = (umem(3), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&woken);
        umem.set_waker(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let woken = || woken.load(Ordering::Relaxed);
        let take = || umem.alloc().unwrap();
        assert!(!umem.wait_for_frames(), "there are some");
        let (a, b, c) = (take(), take(), take());
        assert!(umem.wait_for_frames());
        assert_eq!(woken(), 0);
        umem.free(a);
        assert!(umem.has_waiter() && umem.take_wake() && !umem.take_wake() && !umem.has_waiter());
        umem.free(b);
        assert_eq!(woken(), 1, "by the first that is freed");
        let (a, b) = (take(), take());
        assert!(umem.wait_for_frames());
        umem.free_all([a, b, c]);
        assert_eq!(woken(), 2);
    }
}
