//! A worker's own free frames, exchanged with the shared list in batches.
//!
//! ```text
//!   FrameCache (tokens) ── Magazine (numbers) ◀── batches ──▶ FreeList ◀──▶ other workers
//! ```

use super::FreeList;
#[cfg(not(flux_loom))]
use super::{Frame, Umem};
#[cfg(not(flux_loom))]
use std::sync::Arc;

/// Frame numbers that one thread keeps at hand: the one used last is taken first.
///
/// Each exchange with the list is one atomic operation for a whole batch.
pub struct Magazine {
    indices: Vec<u32>,
    /// Numbers beyond this go back to the list.
    limit: u32,
}

impl Magazine {
    /// An empty one that keeps up to `limit` numbers between two turns, of `frames` in all.
    #[must_use]
    pub fn new(limit: u32, frames: u32) -> Self {
        Self { indices: Vec::with_capacity(frames as usize), limit }
    }

    /// Numbers in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// A number, from the list if need be.
    #[inline]
    pub fn take(&mut self, list: &FreeList) -> Option<u32> {
        if self.indices.is_empty() {
            self.stock((self.limit / 2).max(1), list);
        }
        self.indices.pop()
    }

    /// Puts a number in; [`Self::settle`] once the batch is done.
    #[inline(always)]
    pub fn put(&mut self, index: u32) {
        self.indices.push(index);
    }

    /// Up to `want` numbers, the one used last first: from here, then from the list.
    #[inline]
    pub fn draw(&mut self, want: u32, list: &FreeList) -> impl Iterator<Item = u32> {
        let missing = want.saturating_sub(self.indices.len() as u32);
        if missing > 0 {
            self.stock(missing, list);
        }
        let from = self.indices.len().saturating_sub(want as usize);
        self.indices.drain(from..).rev()
    }

    fn stock(&mut self, want: u32, list: &FreeList) {
        let indices = &mut self.indices;
        list.pop_many(want, |index| indices.push(index));
    }

    /// Gives the list what exceeds the limit, and half of that with it, so that the next exchange
    /// is not the next turn's. The numbers used last stay.
    #[inline(always)]
    pub fn settle(&mut self, list: &FreeList) {
        if self.indices.len() > self.limit as usize {
            let keep = self.limit as usize / 2;
            let rest = self.indices.len() - keep;
            list.push_all(self.indices.drain(..rest));
        }
    }

    /// Gives the list everything.
    #[inline(always)]
    pub fn give_back(&mut self, list: &FreeList) {
        if !self.indices.is_empty() {
            list.push_all(self.indices.drain(..));
        }
    }
}

/// Most frames that a cache keeps between two turns.
#[cfg(not(flux_loom))]
const MOST: u32 = 256;
/// All caches together keep at most one frame in this many from the others.
#[cfg(not(flux_loom))]
const SHARE: u32 = 8;

/// A magazine of tokens: what completed on any queue of a worker is posted on any other without a
/// shared atomic.
///
/// It never grows beyond the UMEM's frames, which there is room for from the start. A worker that
/// is about to wait gives everything back ([`Self::give_back`]): frames must not hide from those
/// who have none.
#[cfg(not(flux_loom))]
pub(crate) struct FrameCache {
    umem: Arc<Umem>,
    magazine: Magazine,
}

#[cfg(not(flux_loom))]
impl FrameCache {
    /// One of `caches` caches on `umem`.
    pub(crate) fn new(umem: &Arc<Umem>, caches: usize) -> Self {
        let frames = umem.frames();
        let share = frames / SHARE / u32::try_from(caches.max(1)).unwrap_or(u32::MAX);
        Self { umem: Arc::clone(umem), magazine: Magazine::new(share.min(MOST), frames) }
    }

    /// The UMEM.
    #[inline(always)]
    pub(crate) fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// Frames in it.
    pub(crate) fn len(&self) -> usize {
        self.magazine.len()
    }

    /// A frame, from the shared list if need be.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let index = self.magazine.take(self.umem.free_list())?;
        Some(self.umem.uncache(index))
    }

    /// Gives a frame to the cache. [`Self::settle`] once the batch is done.
    ///
    /// # Panics
    /// When the frame belongs to another UMEM.
    #[inline(always)]
    pub(crate) fn put(&mut self, frame: Frame) {
        self.magazine.put(self.umem.cache(frame));
    }

    /// Up to `want` frames for a ring, those used last first: from here, then from the shared list.
    #[inline]
    pub(crate) fn draw(&mut self, want: u32) -> impl Iterator<Item = Frame> {
        let umem = &*self.umem;
        self.magazine.draw(want, umem.free_list()).map(|index| umem.uncache(index))
    }

    /// Gives back what exceeds the limit, and everything where a receiver waits for frames. Called
    /// once a turn.
    #[inline(always)]
    pub(crate) fn settle(&mut self) {
        if self.umem.is_starving() {
            return self.give_back();
        }
        self.magazine.settle(self.umem.free_list());
    }

    /// Gives everything back.
    #[inline(always)]
    pub(crate) fn give_back(&mut self) {
        if !self.magazine.is_empty() {
            self.magazine.give_back(self.umem.free_list());
            self.umem.freed();
        }
    }
}

#[cfg(not(flux_loom))]
impl Drop for FrameCache {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(all(test, not(flux_loom)))]
mod tests {
    use super::super::region::Region;
    use super::*;

    fn umem(frames: u32) -> Arc<Umem> {
        #[allow(clippy::unwrap_used)] // test code, though clippy does not see it
        Arc::new(Umem::new(Region::allocate(frames as usize * 2048).unwrap(), 2048))
    }

    #[test]
    fn the_frame_used_last_is_taken_first() {
        let umem = umem(64);
        let mut cache = FrameCache::new(&umem, 1);
        let frames: Vec<_> = (0..3).map(|_| umem.alloc().unwrap()).collect();
        let last = frames[2].index();
        frames.into_iter().for_each(|frame| cache.put(frame));
        let frame = cache.take().unwrap();
        assert_eq!(frame.index(), last);
        umem.free(frame);
    }

    #[test]
    fn it_keeps_no_more_than_its_share_and_nothing_while_its_worker_waits() {
        let umem = umem(64);
        let mut cache = FrameCache::new(&umem, 2); // 64 / 8 / 2
        (0..64).for_each(|_| cache.put(umem.alloc().unwrap()));
        assert_eq!((cache.len(), umem.free_hint()), (64, 0));
        cache.settle();
        assert_eq!((cache.len(), umem.free_hint()), (2, 62));
        cache.give_back();
        assert_eq!((cache.len(), umem.free_hint()), (0, 64));
    }

    #[test]
    fn it_keeps_nothing_while_a_receiver_waits_for_frames() {
        let umem = umem(64);
        let mut cache = FrameCache::new(&umem, 1);
        (0..64).for_each(|_| cache.put(umem.alloc().unwrap()));
        assert!(umem.wait_for_frames());
        let mut held: Vec<_> = (0..57).filter_map(|_| cache.take()).collect();
        assert_eq!((held.len(), cache.len()), (57, 7), "it is below its limit");
        cache.settle();
        assert_eq!((cache.len(), umem.free_hint()), (0, 7));
        assert!(!umem.is_starving(), "it was woken");
        held.drain(..2).for_each(|frame| cache.put(frame));
        cache.settle();
        assert_eq!(cache.len(), 2);
        umem.free_all(held);
    }

    #[test]
    fn what_is_drawn_comes_from_the_cache_first_and_is_never_more_than_there_is() {
        let umem = umem(16);
        let mut cache = FrameCache::new(&umem, 1);
        cache.put(umem.alloc().unwrap());
        let drawn: Vec<_> = cache.draw(4).collect();
        assert_eq!((drawn.len(), cache.len(), umem.free_hint()), (4, 0, 12));
        let rest: Vec<_> = cache.draw(100).collect();
        assert_eq!((rest.len(), umem.free_hint()), (12, 0));
        assert!(cache.take().is_none());
        umem.free_all(drawn.into_iter().chain(rest));
    }

    #[test]
    fn a_dropped_cache_leaves_no_frame_behind() {
        let umem = umem(16);
        let mut cache = FrameCache::new(&umem, 1);
        (0..5).for_each(|_| cache.put(umem.alloc().unwrap()));
        drop(cache);
        assert_eq!(umem.free_hint(), 16);
    }
}
