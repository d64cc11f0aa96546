//! The lock-free code under loom: every interleaving within the preemption bound.
//!
//! Run with `make loom`. Each model has been seen to fail when one ordering is weakened
//! (`make loom-mutants`).
#![cfg(flux_loom)]

use fluxnet::internals::{FreeList, Magazine, heap_ring};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

#[test]
fn entries_arrive_once_in_order_across_the_index_wrap() {
    loom::model(|| {
        let (mut tx, mut rx) = heap_ring::<u64>(2, u32::MAX);
        let writer = thread::spawn(move || {
            let mut next = 1;
            while next <= 3 {
                let mut slots = tx.reserve(3 - next as u32 + 1);
                let before = next;
                while next <= 3 && slots.write(next).is_ok() {
                    next += 1;
                }
                slots.commit();
                if next == before {
                    thread::yield_now();
                }
            }
        });
        let mut seen = 0;
        while seen < 3 {
            let mut drain = rx.peek(2);
            let mut any = false;
            while let Some(item) = drain.take() {
                seen += 1;
                assert_eq!(item, seen);
                any = true;
            }
            drain.release();
            if !any {
                thread::yield_now();
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn an_uncommitted_reservation_is_never_seen() {
    loom::model(|| {
        let (mut tx, mut rx) = heap_ring::<u64>(2, u32::MAX);
        let writer = thread::spawn(move || {
            let mut dropped = tx.reserve(2);
            let _ = dropped.write(99);
            drop(dropped);
            let mut kept = tx.reserve(1);
            let _ = kept.write(7);
            kept.commit();
        });
        let mut drain = rx.peek(2);
        assert!(matches!(drain.take(), None | Some(7)));
        assert_eq!(drain.take(), None);
        drop(drain);
        writer.join().unwrap();
    });
}

/// One UMEM cell per index: loom reports it when two threads are in one without an order.
struct Cells([UnsafeCell<u32>; 3]);
// SAFETY: the free list hands each index to one owner at a time; that is what is being proved.
unsafe impl Sync for Cells {}

#[test]
fn a_frame_has_one_owner_who_sees_what_the_last_one_wrote() {
    loom::model(|| {
        let list = Arc::new(FreeList::full(2));
        let cells = Arc::new(Cells(std::array::from_fn(|_| UnsafeCell::new(0))));
        let work = |list: &FreeList, cells: &Cells| {
            for _ in 0..2 {
                if let Some(i) = list.pop() {
                    // SAFETY: index `i` is ours until it is pushed back.
                    cells.0[i as usize].with_mut(|p| unsafe { *p += 1 });
                    list.push(i);
                }
            }
        };
        let other = {
            let (list, cells) = (list.clone(), cells.clone());
            thread::spawn(move || work(&list, &cells))
        };
        work(&list, &cells);
        other.join().unwrap();
        assert_eq!(list.len_hint(), 2);
    });
}

#[test]
fn frames_given_back_together_are_all_there() {
    loom::model(|| {
        let list = Arc::new(FreeList::full(3));
        let (a, b) = (list.pop().unwrap(), list.pop().unwrap());
        let other = {
            let list = list.clone();
            thread::spawn(move || list.pop().inspect(|&i| list.push(i)))
        };
        list.push_all([a, b]);
        other.join().unwrap();
        let mut all: Vec<_> = std::iter::from_fn(|| list.pop()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    });
}

#[test]
fn frames_taken_together_belong_to_one_taker() {
    loom::model(|| {
        let list = Arc::new(FreeList::full(3));
        let cells = Arc::new(Cells(std::array::from_fn(|_| UnsafeCell::new(0))));
        let other = {
            let (list, cells) = (list.clone(), cells.clone());
            thread::spawn(move || {
                if let Some(i) = list.pop() {
                    // SAFETY: index `i` is ours until it is pushed back.
                    cells.0[i as usize].with_mut(|p| unsafe { *p += 1 });
                    list.push(i);
                }
            })
        };
        let mut mine = Vec::new();
        list.pop_many(2, |i| mine.push(i));
        for &i in &mine {
            // SAFETY: index `i` is ours until it is pushed back.
            cells.0[i as usize].with_mut(|p| unsafe { *p += 1 });
        }
        list.push_all(mine);
        other.join().unwrap();
        assert_eq!(list.len_hint(), 3);
    });
}

/// What one worker does with its magazine in a turn.
fn turn(list: &FreeList, cells: &Cells, limit: u32, want: u32) {
    let mut magazine = Magazine::new(limit, 3);
    let mut mine: Vec<u32> = magazine.take(list).into_iter().collect();
    mine.extend(magazine.draw(want, list));
    for &i in &mine {
        // SAFETY: index `i` is ours until the magazine gives it back.
        cells.0[i as usize].with_mut(|p| unsafe { *p += 1 });
    }
    mine.into_iter().for_each(|i| magazine.put(i));
    magazine.settle(list);
    magazine.give_back(list);
    assert!(magazine.is_empty());
}

#[test]
fn two_magazines_over_one_list_never_share_a_frame_and_lose_none() {
    // One that gives back at each settling, and one that keeps all until the end.
    for limits in [[1, 1], [1, 4]] {
        loom::model(move || {
            let list = Arc::new(FreeList::full(3));
            let cells = Arc::new(Cells(std::array::from_fn(|_| UnsafeCell::new(0))));
            let other = {
                let (list, cells) = (list.clone(), cells.clone());
                thread::spawn(move || turn(&list, &cells, limits[1], 1))
            };
            turn(&list, &cells, limits[0], 1);
            other.join().unwrap();
            let mut all: Vec<_> = std::iter::from_fn(|| list.pop()).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
            // All that was written is seen by who has them now.
            // SAFETY: the other thread has ended, and the list is empty.
            let sum = cells.0.iter().map(|cell| cell.with(|p| unsafe { *p })).sum::<u32>();
            assert!(
                (3..=4).contains(&sum),
                "each took one at least, and together no more than four"
            );
        });
    }
}

#[test]
fn a_frame_that_one_magazine_keeps_is_found_by_nobody_until_it_is_given_back() {
    loom::model(|| {
        let list = Arc::new(FreeList::full(1));
        let cells = Arc::new(Cells(std::array::from_fn(|_| UnsafeCell::new(0))));
        let mut magazine = Magazine::new(4, 1);
        let kept = magazine.take(&list).unwrap();
        magazine.put(kept);
        magazine.settle(&list);
        assert_eq!(magazine.len(), 1, "within its limit");
        let other = {
            let (list, cells) = (list.clone(), cells.clone());
            thread::spawn(move || {
                let mut magazine = Magazine::new(4, 1);
                if let Some(i) = magazine.take(&list) {
                    // SAFETY: index `i` is ours; the other gave it back before.
                    cells.0[i as usize].with_mut(|p| unsafe { *p += 1 });
                    magazine.put(i);
                }
                magazine.give_back(&list);
            })
        };
        let again = magazine.draw(1, &list).next().unwrap();
        // SAFETY: it was in our magazine all the time.
        cells.0[again as usize].with_mut(|p| unsafe { *p += 1 });
        magazine.put(again);
        magazine.give_back(&list);
        other.join().unwrap();
        assert_eq!(list.len_hint(), 1);
    });
}

/// The wakeup protocol: we publish, fence, read the flag; the kernel sets the flag, fences, and
/// looks at the ring once more before it sleeps. An entry left behind with nobody awake to see
/// it is the lost wakeup.
#[test]
fn no_wakeup_is_lost() {
    loom::model(|| {
        let (mut tx, rx) = heap_ring::<u64>(2, 0);
        let kicked = Arc::new(AtomicBool::new(false));
        let kernel = {
            let kicked = kicked.clone();
            thread::spawn(move || {
                rx.set_need_wakeup(true);
                let waiting = rx.waiting();
                (waiting, kicked, rx)
            })
        };
        let mut slots = tx.reserve(1);
        let _ = slots.write(1);
        slots.commit();
        if tx.needs_wakeup() {
            kicked.store(true, Ordering::SeqCst);
        }
        let (seen_before_sleep, kicked, _rx) = kernel.join().unwrap();
        assert!(seen_before_sleep == 1 || kicked.load(Ordering::SeqCst), "lost wakeup");
    });
}
