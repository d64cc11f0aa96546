//! The lock-free list of free frames: a stack of indices, last in first out, so that the frame
//! handed out next is the one most likely still in cache.

use crate::sync::{AtomicU32, AtomicU64, Ordering, order};

const NIL: u32 = u32::MAX;

/// A stack of frame indices that any thread may push to and pop from.
///
/// Head is `tag << 32 | index`. The tag grows with each exchange, so that a popper which slept
/// while its head was popped and pushed again (ABA) fails its exchange. Nothing is allocated
/// after construction, so a push cannot fail; it is safe to call from `Drop`.
pub struct FreeList {
    head: Line,
    next: Box<[AtomicU32]>,
}

/// Alone on two cache lines (they are fetched in pairs): all threads write it, and what lies beside
/// it is read for every packet.
#[repr(align(128))]
struct Line(AtomicU64);

fn pack(tag: u64, index: u32) -> u64 {
    tag << 32 | u64::from(index)
}

fn index_of(head: u64) -> u32 {
    head as u32
}

impl FreeList {
    /// A list of `len` frames, all free, the lowest index on top.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let next = |i: u32| AtomicU32::new(if i + 1 < len { i + 1 } else { NIL });
        Self {
            head: Line(AtomicU64::new(pack(0, if len == 0 { NIL } else { 0 }))),
            next: (0..len).map(next).collect(),
        }
    }

    /// Takes one free index.
    pub fn pop(&self) -> Option<u32> {
        let mut head = self.head.0.load(order::TAKE); // pairs with push: links before head
        loop {
            let index = index_of(head);
            if index == NIL {
                return None;
            }
            // May be stale when another thread popped `index` meanwhile; then the tag differs
            // and the exchange fails.
            let next = self.next[index as usize].load(Ordering::Relaxed);
            let new = pack((head >> 32).wrapping_add(1), next);
            // Pairs with push: the frame's bytes are visible to the new owner.
            match self.head.0.compare_exchange_weak(head, new, order::TAKE, order::TAKE) {
                Ok(_) => return Some(index),
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes up to `max` free indices with one exchange, the one freed last first; returns how
    /// many.
    pub fn pop_many(&self, max: u32, mut each: impl FnMut(u32)) -> u32 {
        // Links that change under our feet may even go in a circle.
        let max = max.min(self.next.len() as u32);
        if max == 0 {
            return 0;
        }
        let mut head = self.head.0.load(order::TAKE); // pairs with push: links before head
        loop {
            // The links may change under our feet; then the tag differs and the exchange fails.
            // Until it succeeds nothing of the chain is ours.
            let (mut rest, mut taken) = (index_of(head), 0);
            while rest != NIL && taken < max {
                rest = self.next[rest as usize].load(Ordering::Relaxed);
                taken += 1;
            }
            if taken == 0 {
                return 0;
            }
            let new = pack((head >> 32).wrapping_add(1), rest);
            // Pairs with push: the frames' bytes are visible to the new owner.
            match self.head.0.compare_exchange_weak(head, new, order::TAKE, order::TAKE) {
                Ok(_) => {
                    let mut index = index_of(head);
                    for _ in 0..taken {
                        let next = self.next[index as usize].load(Ordering::Relaxed);
                        each(index);
                        index = next;
                    }
                    return taken;
                }
                Err(seen) => head = seen,
            }
        }
    }

    /// Gives `index` back. The caller owns it and it is not in the list.
    pub fn push(&self, index: u32) {
        self.push_chain(index, index);
    }

    /// Gives several indices back with one exchange. The caller owns them all. Should the iterator
    /// panic, those that came before are back.
    pub fn push_all(&self, indices: impl IntoIterator<Item = u32>) {
        let mut indices = indices.into_iter();
        let Some(first) = indices.next() else { return };
        let mut chain = Chain { list: self, first, last: first };
        for index in indices {
            self.next[chain.last as usize].store(index, Ordering::Relaxed);
            chain.last = index;
        }
    }

    /// `first` … `last` are linked already.
    fn push_chain(&self, first: u32, last: u32) {
        let mut head = self.head.0.load(Ordering::Relaxed);
        loop {
            self.next[last as usize].store(index_of(head), Ordering::Relaxed);
            let new = pack((head >> 32).wrapping_add(1), first);
            // Pairs with pop: what the old owner wrote is visible to the next one.
            match self.head.0.compare_exchange_weak(head, new, order::GIVE, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Whether it is empty, exact while nobody else uses the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        index_of(self.head.0.load(order::TAKE)) == NIL
    }

    /// Free frames, exact while nobody else uses the list.
    #[must_use]
    pub fn len_hint(&self) -> u32 {
        let mut index = index_of(self.head.0.load(order::TAKE));
        let mut count = 0;
        while index != NIL && count < self.next.len() as u32 {
            count += 1;
            index = self.next[index as usize].load(Ordering::Relaxed);
        }
        count
    }
}

/// Indices that are linked already, and go back when it is dropped.
struct Chain<'l> {
    list: &'l FreeList,
    first: u32,
    last: u32,
}

impl Drop for Chain<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.list.push_chain(self.first, self.last);
    }
}

#[cfg(all(test, not(flux_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_frame_freed_last_is_handed_out_first() {
        let list = FreeList::full(3);
        assert_eq!(
            [list.pop(), list.pop(), list.pop(), list.pop()],
            [Some(0), Some(1), Some(2), None]
        );
        list.push(1);
        list.push_all([0, 2]);
        assert_eq!(list.len_hint(), 3);
        assert_eq!(
            [list.pop(), list.pop(), list.pop(), list.pop()],
            [Some(0), Some(2), Some(1), None]
        );
    }

    #[test]
    fn many_are_taken_at_once_and_never_more_than_there_are() {
        let list = FreeList::full(5);
        let take = |max| {
            let mut got = Vec::new();
            let n = list.pop_many(max, |i| got.push(i));
            assert_eq!(n as usize, got.len());
            got
        };
        assert!(take(0).is_empty());
        assert_eq!(take(2), [0, 1]);
        list.push_all([1, 0]);
        assert_eq!(take(9), [1, 0, 2, 3, 4]);
        assert!(take(1).is_empty());
        list.push(4);
        assert_eq!(take(3), [4]);
    }

    #[test]
    fn threads_never_share_an_index() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let list = FreeList::full(8);
        let taken: Vec<AtomicBool> = (0..8).map(|_| AtomicBool::new(false)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let mut mine = Vec::new();
                        list.pop_many(round % 4, |i| mine.push(i));
                        mine.extend(list.pop());
                        for &i in &mine {
                            assert!(!taken[i as usize].swap(true, Ordering::Relaxed));
                        }
                        for &i in &mine {
                            taken[i as usize].store(false, Ordering::Relaxed);
                        }
                        list.push_all(mine);
                    }
                });
            }
        });
        assert_eq!(list.len_hint(), 8);
    }
}
