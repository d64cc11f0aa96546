//! Entries straight from one ring into another.

use super::{Consumer, Drain, Producer, Reservation};

/// Both ends of a pass. However it ends, what was taken is released, and what was written is
/// published and counted: an entry that was taken must never be read again.
struct Pass<'r, A: Copy, B: Copy> {
    from: Drain<'r, A>,
    to: Reservation<'r, B>,
    /// Entries taken that nothing was written for.
    skipped: u32,
    totals: [&'r mut u64; 2],
}

impl<A: Copy, B: Copy> Drop for Pass<'_, A, B> {
    #[inline(always)]
    fn drop(&mut self) {
        // One more than was written when `each` panicked: that entry is lost, and shows as lost
        // because it counts as taken.
        *self.totals[0] += u64::from(self.from.give_back() - self.skipped);
        *self.totals[1] += u64::from(self.to.publish());
    }
}

/// Moves up to `max` entries from `from` to `to`, as many as the one has and the other has room
/// for; `each` turns an entry into what is written, or into nothing. Returns how many were
/// written, and adds that to both totals. When `each` panics, its entry counts in the first alone.
#[inline(always)]
pub(crate) fn pass<A: Copy, B: Copy>(
    from: &mut Consumer<A>,
    to: &mut Producer<B>,
    max: u32,
    totals: [&mut u64; 2],
    mut each: impl FnMut(A) -> Option<B>,
) -> u32 {
    let from = from.peek(max);
    let to = to.reserve(from.left());
    let mut pass = Pass { from, to, skipped: 0, totals };
    let mut written = 0;
    // A run ends where either ring wraps, or at an entry that nothing is written for.
    while pass.from.left() > 0 && pass.to.room() > 0 {
        written += pass.run(&mut each);
    }
    written
}

impl<A: Copy, B: Copy> Pass<'_, A, B> {
    /// Passes entries that lie side by side to slots that do; returns how many were written. An
    /// entry counts as taken before `each` sees it.
    #[inline(always)]
    fn run(&mut self, each: &mut impl FnMut(A) -> Option<B>) -> u32 {
        let Drain { ring: source, granted, taken } = &mut self.from;
        let Reservation { ring: target, granted: room, written } = &mut self.to;
        let (taken_before, written_before) = (*taken, *written);
        let from = source.mem.run(source.cursor.slot(*taken), *granted - *taken);
        let to = target.mem.run(target.cursor.slot(*written), *room - *written);
        // Counted from the loop's own index, so that it alone stays in a register.
        for (n, (entry, slot)) in (0..).zip(from.iter().zip(to)) {
            *taken = taken_before + n + 1;
            // SAFETY: granted by peek(): the producer is past this slot and will not touch it
            // again until it is released.
            let Some(item) = each(entry.with(|p| unsafe { p.read() })) else {
                self.skipped += 1;
                break;
            };
            // SAFETY: reserved: ours until it is published, with the one writer borrowed.
            slot.with_mut(|p| unsafe { p.write(item) });
            *written = written_before + n + 1;
        }
        self.to.written - written_before
    }
}

#[cfg(all(test, not(flux_loom)))]
mod tests {
    use super::super::heap_ring;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pass_keeps_order_and_loses_nothing(
            starts: (u32, u32), bits in (0u32..6, 0u32..6), steps in prop::collection::vec((0u32..20, 0u32..20, 0u32..20), 1..60),
        ) {
            let (mut source, mut from) = heap_ring::<u64>(1 << bits.0, starts.0);
            let (mut to, mut sink) = heap_ring::<u64>(1 << bits.1, starts.1);
            let (mut next, mut expected) = (0u64, 0u64);
            // Multiples of 7 are passed over.
            let skip = |mut n: u64| { while n.is_multiple_of(7) { n += 1; } n };
            for (put, max, get) in steps {
                let mut slots = source.reserve(put);
                while slots.write(next).is_ok() {
                    next += 1;
                }
                slots.commit();
                let (had, room) = (from.waiting(), to.size() - to.pending());
                let n = pass(&mut from, &mut to, max, [&mut 0, &mut 0], |item| (!item.is_multiple_of(7)).then_some(item * 2));
                prop_assert!(n <= max.min(had).min(room));
                prop_assert!(n == max.min(room) || had - from.waiting() == max.min(had) || had > from.waiting() || n == 0);
                let mut drain = sink.peek(get);
                while let Some(item) = drain.take() {
                    expected = skip(expected);
                    prop_assert_eq!(item, expected * 2);
                    expected += 1;
                }
                drain.release();
            }
        }
    }

    #[test]
    fn a_panic_in_the_middle_reads_no_entry_twice() {
        let (mut source, mut from) = heap_ring::<u64>(8, 0);
        let (mut to, mut sink) = heap_ring::<u64>(8, 0);
        let mut slots = source.reserve(3);
        (1..=3).for_each(|n| slots.write(n).unwrap());
        slots.commit();
        let (mut seen, mut counts) = (0, [0, 0]);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pass(&mut from, &mut to, 8, [&mut counts[0], &mut 0], |item| {
                seen += 1;
                assert!(item != 2, "on purpose");
                Some(item)
            })
        }));
        assert!(caught.is_err());
        assert_eq!(
            pass(&mut from, &mut to, 8, [&mut 0, &mut counts[1]], Some),
            1,
            "the third alone"
        );
        let mut drain = sink.peek(8);
        assert_eq!([drain.take(), drain.take(), drain.take()], [Some(1), Some(3), None]);
        assert_eq!(counts, [2, 1]);
    }
}
