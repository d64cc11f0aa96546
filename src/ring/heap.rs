//! A ring in ordinary memory: the simulated kernel's rings, and the tests'.

use super::mem::{Owner, RingMem};
use super::{Consumer, Producer};
use crate::sync::{AtomicU32, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;

/// An index word alone on its cache line, as in the kernel's layout.
#[repr(align(64))]
struct Line(AtomicU32);

struct Block<T> {
    producer: Line,
    consumer: Line,
    flags: Line,
    slots: Box<[UnsafeCell<T>]>,
}

// SAFETY: the cells forbid the auto impl. They are reached only through the one Producer and the
// one Consumer of this block, whose protocol serialises access to each slot.
unsafe impl<T: Send> Sync for Block<T> {}

/// Both ends of a new ring of `size` slots (a power of two) whose indices start at `start`.
///
/// # Panics
/// When `size` is not a power of two.
#[must_use]
pub fn heap_ring<T>(size: u32, start: u32) -> (Producer<T>, Consumer<T>)
where
    T: Copy + Default + Send + 'static,
{
    assert!(size.is_power_of_two(), "ring size {size} is not a power of two");
    let block = Arc::new(Block::<T> {
        producer: Line(AtomicU32::new(start)),
        consumer: Line(AtomicU32::new(start)),
        flags: Line(AtomicU32::new(0)),
        slots: (0..size).map(|_| UnsafeCell::new(T::default())).collect(),
    });
    // The slots are reached through `UnsafeCell`, so a shared borrow is enough to point at them.
    let slots = NonNull::from(&*block.slots).cast();
    let (producer, consumer, flags) = (
        NonNull::from(&block.producer.0),
        NonNull::from(&block.consumer.0),
        NonNull::from(&block.flags.0),
    );
    let owner: Owner = block;
    let mem = RingMem { producer, consumer, flags, slots, size, owner };
    (Producer::new(mem.clone()), Consumer::new(mem))
}

#[cfg(all(test, not(flux_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Debug, Clone)]
    enum Op {
        Push { want: u32, write: u32, commit: bool },
        Pop { max: u32, take: u32, release: bool },
    }

    fn op() -> impl Strategy<Value = Op> {
        let push = (0u32..12, 0u32..12, prop::bool::weighted(0.8));
        let pop = (0u32..12, 0u32..12, prop::bool::weighted(0.8));
        prop_oneof![
            push.prop_map(|(want, write, commit)| Op::Push { want, write, commit }),
            pop.prop_map(|(max, take, release)| Op::Pop { max, take, release }),
        ]
    }

    proptest! {
        #[test]
        fn a_ring_behaves_as_a_bounded_queue(
            bits in 0u32..4, start: u32, ops in prop::collection::vec(op(), 0..200),
        ) {
            let size = 1u32 << bits;
            let (mut tx, mut rx) = heap_ring::<u64>(size, start);
            let mut model = VecDeque::new();
            let mut next = 0u64;
            for op in ops {
                match op {
                    Op::Push { want, write, commit } => {
                        let mut slots = tx.reserve(want);
                        prop_assert_eq!(slots.room(), want.min(size - model.len() as u32));
                        let mut wrote = vec![];
                        for _ in 0..write {
                            if slots.write(next).is_err() { break; }
                            wrote.push(next);
                            next += 1;
                        }
                        if commit {
                            prop_assert_eq!(slots.commit() as usize, wrote.len());
                            model.extend(wrote);
                        }
                    }
                    Op::Pop { max, take, release } => {
                        let mut drain = rx.peek(max);
                        prop_assert_eq!(drain.left() as usize, model.len().min(max as usize));
                        let mut seen = vec![];
                        for _ in 0..take {
                            let Some(item) = drain.take() else { break };
                            seen.push(item);
                        }
                        prop_assert!(seen.iter().eq(model.iter().take(seen.len())));
                        if release {
                            drain.release();
                            model.drain(..seen.len());
                        }
                    }
                }
                prop_assert_eq!(tx.pending() as usize, model.len());
                prop_assert_eq!(rx.waiting() as usize, model.len());
                prop_assert_eq!(tx.snapshot().used(), Some(model.len() as u32));
            }
        }
    }

    #[test]
    fn the_wakeup_flag_travels_to_the_other_side() {
        let (tx, rx) = heap_ring::<u64>(4, 0);
        assert!(!tx.needs_wakeup());
        rx.set_need_wakeup(true);
        assert!(tx.needs_wakeup());
        assert_eq!(tx.snapshot().need_wakeup(), Some(true));
        rx.set_need_wakeup(false);
        assert!(!tx.needs_wakeup());
    }
}
