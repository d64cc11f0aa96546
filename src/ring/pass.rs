//! Entries straight from one ring into another.

use super::batch::Batch;
use super::{Consumer, Drain, Producer, Reservation};
use crate::sync::UnsafeCell;
use std::slice;

/// Moves up to `max` entries from `from` to `to`, as many as the one has and the other has room
/// for; `each` turns an entry into what is written, or into nothing. Returns how many were
/// written. What was taken and what was written is added to the totals; when `each` panics, its
/// entry is lost, and shows as lost because it counts as taken.
#[inline(always)]
pub(crate) fn pass<A: Copy, B: Copy>(
    from: &mut Consumer<A>,
    to: &mut Producer<B>,
    max: u32,
    [taken, written]: [&mut u64; 2],
    mut each: impl FnMut(A) -> Option<B>,
) -> u32 {
    let mut from = Batch::new(from.peek(max), taken);
    let mut to = Batch::new(to.reserve(from.entries.left()), written);
    let mut passed = 0;
    // A run ends where either ring wraps, or at an entry that nothing is written for.
    while from.entries.left() > 0 && to.entries.room() > 0 {
        passed += run(&mut from.entries, &mut to.entries, &mut each);
    }
    passed
}

/// Passes entries that lie side by side to slots that do; returns how many were written. An entry
/// counts as taken before `each` sees it.
#[inline(always)]
fn run<A: Copy, B: Copy>(
    from: &mut Drain<'_, A>,
    to: &mut Reservation<'_, B>,
    each: &mut impl FnMut(A) -> Option<B>,
) -> u32 {
    let Drain { ring: source, granted, taken } = from;
    let Reservation { ring: target, granted: room, written } = to;
    let (taken_before, written_before) = (*taken, *written);
    let entries = source.mem.run(source.cursor.slot(*taken), *granted - *taken);
    let slots = target.mem.run(target.cursor.slot(*written), *room - *written);
    // Counted from the loop's own index, so that it alone stays in a register.
    for (n, (entry, slot)) in (0..).zip(entries.iter().zip(slots)) {
        *taken = taken_before + n + 1;
        // SAFETY: granted by peek(): the producer is past this slot and will not touch it
        // again until it is released.
        let Some(item) = each(entry.with(|p| unsafe { p.read() })) else { break };
        // SAFETY: reserved: ours until it is published, with the one writer borrowed.
        slot.with_mut(|p| unsafe { p.write(item) });
        *written = written_before + n + 1;
    }
    *written - written_before
}

/// What becomes of an entry in [`fan`].
pub(crate) enum Fan<B, C> {
    /// Into the first ring.
    Back(B),
    /// Into that one of the others; nowhere when there is no such ring.
    Out(usize, C),
    /// Into none.
    Gone,
}

/// Deals the entries of `from` out to `back` and to `outs`, as `each` says, for as long as there is
/// room in all of `outs`. What `back` has no room for goes to `overflow`. An entry counts as taken
/// before `each` sees it.
#[inline(always)]
pub(crate) fn fan<A: Copy, B: Copy, C: Copy, const N: usize>(
    from: &mut Drain<'_, A>,
    back: &mut Reservation<'_, B>,
    outs: &mut [Batch<'_, Reservation<'_, C>>; N],
    mut each: impl FnMut(A) -> Fan<B, C>,
    mut overflow: impl FnMut(B),
) {
    while from.left() > 0 && outs.iter().all(|out| out.entries.room() > 0) {
        if back.room() > 0 {
            fan_run(from, back, outs, &mut each);
            continue;
        }
        let Some(entry) = from.take() else { return };
        match each(entry) {
            Fan::Back(item) => overflow(item),
            Fan::Out(at, item) => {
                if let Some(out) = outs.get_mut(at) {
                    let _ = out.entries.write(item); // room() > 0
                }
            }
            Fan::Gone => {}
        }
    }
}

/// Slots that lie side by side and are gone through from the first on. How far that went is counted
/// when it ends, however it ends; until then the place alone is kept, in a register.
struct Lane<'l, T> {
    left: slice::Iter<'l, UnsafeCell<T>>,
    len: usize,
    total: &'l mut u32,
}

impl<T> Drop for Lane<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.total += (self.len - self.left.len()) as u32; // at most the size of a ring
    }
}

impl<'l, T: Copy> Lane<'l, T> {
    #[inline(always)]
    fn written(reservation: &'l mut Reservation<'_, T>) -> Self {
        let Reservation { ring, granted, written } = reservation;
        let slots = ring.mem.run(ring.cursor.slot(*written), *granted - *written);
        Self { left: slots.iter(), len: slots.len(), total: written }
    }

    #[inline(always)]
    fn taken(drain: &'l mut Drain<'_, T>) -> Self {
        let Drain { ring, granted, taken } = drain;
        let slots = ring.mem.run(ring.cursor.slot(*taken), *granted - *taken);
        Self { left: slots.iter(), len: slots.len(), total: taken }
    }

    /// Goes no further than `len` slots.
    #[inline(always)]
    fn limit(&mut self, len: usize) {
        self.left = self.left.as_slice()[..len].iter();
        self.len = len;
    }

    /// Writes the next slot of a reservation.
    ///
    /// # Safety
    /// There is one: it was called fewer times than the lane has slots.
    #[inline(always)]
    unsafe fn write(&mut self, item: T) {
        // SAFETY: there is a next slot by the caller's promise.
        let slot = unsafe { self.left.next().unwrap_unchecked() };
        // SAFETY: reserved: ours until it is published, with the one writer borrowed.
        slot.with_mut(|p| unsafe { p.write(item) });
    }
}

/// The same for entries, and slots of every ring, that lie side by side.
#[inline(always)]
fn fan_run<A: Copy, B: Copy, C: Copy, const N: usize>(
    from: &mut Drain<'_, A>,
    back: &mut Reservation<'_, B>,
    outs: &mut [Batch<'_, Reservation<'_, C>>; N],
    each: &mut impl FnMut(A) -> Fan<B, C>,
) {
    let mut entries = Lane::taken(from);
    let mut back = Lane::written(back);
    let mut outs = outs.each_mut().map(|out| Lane::written(&mut out.entries));
    let room = outs.iter().fold(back.len, |room, out| room.min(out.len));
    entries.limit(entries.len.min(room));
    for entry in entries.left.by_ref() {
        // SAFETY: granted by peek(): the producer is past this slot and will not touch it
        // again until it is released.
        match each(entry.with(|p| unsafe { p.read() })) {
            // SAFETY: every lane has a slot for each entry, and an entry takes one at most.
            Fan::Back(item) => unsafe { back.write(item) },
            Fan::Out(at, item) => {
                if let Some(out) = outs.get_mut(at) {
                    // SAFETY: as above.
                    unsafe { out.write(item) };
                }
            }
            Fan::Gone => {}
        }
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

    proptest! {
        #[test]
        fn a_fan_deals_each_entry_once_and_keeps_the_order_of_each_ring(
            starts: [u32; 4], bits in prop::array::uniform4(0u32..5),
            steps in prop::collection::vec((0u32..20, 0u32..20, prop::array::uniform3(0u32..20)), 1..60),
        ) {
            let (mut source, mut from) = heap_ring::<u64>(1 << bits[0], starts[0]);
            let ring = |at: usize| heap_ring::<u64>(1 << bits[at], starts[at]);
            let ((mut back, mut back_end), (mut one, mut one_end)) = (ring(1), ring(2));
            let (mut two, mut two_end) = ring(3);
            // By number: 0 back, 1 and 2 out, 3 nowhere, 4 to a ring that is not there.
            let (mut next, mut expected, mut seen, mut over) = (0u64, [0u64, 1, 2], 0u64, Vec::new());
            for (put, max, gets) in steps {
                let mut slots = source.reserve(put);
                while slots.write(next).is_ok() {
                    next += 1;
                }
                slots.commit();
                let (mut totals, mut taken) = ([0; 3], 0);
                let [total_back, total_one, total_two] = &mut totals;
                let mut drain = Batch::new(from.peek(max), &mut taken);
                let n = drain.entries.left();
                let mut backs = Batch::new(back.reserve(n), total_back);
                let room_back = backs.entries.room();
                let mut outs = [Batch::new(one.reserve(n), total_one), Batch::new(two.reserve(n), total_two)];
                let overflown = over.len();
                let deal = |item: u64| {
                    assert_eq!(item, seen);
                    seen += 1;
                    match item % 5 {
                        0 => Fan::Back(item),
                        1 => Fan::Out(0, item),
                        2 => Fan::Out(1, item),
                        3 => Fan::Gone,
                        _ => Fan::Out(2, item),
                    }
                };
                fan(&mut drain.entries, &mut backs.entries, &mut outs, deal, |item| over.push(item));
                let left = drain.entries.left();
                let stuck = outs.iter().any(|out| out.entries.room() == 0);
                drop((drain, backs, outs));
                prop_assert_eq!(taken, u64::from(n - left));
                prop_assert!(left == 0 || stuck, "nothing waits while there is room");
                prop_assert!(totals[0] <= u64::from(room_back));
                prop_assert!(over.len() == overflown || totals[0] == u64::from(room_back));
                // What overflows is among what would have gone back.
                let ends = [&mut back_end, &mut one_end, &mut two_end];
                for (at, (end, get)) in ends.into_iter().zip(gets).enumerate() {
                    let mut drain = end.peek(get);
                    while let Some(item) = drain.take() {
                        while at == 0 && over.contains(&expected[0]) {
                            expected[0] += 5;
                        }
                        prop_assert_eq!(item, expected[at]);
                        expected[at] += 5;
                    }
                    drain.release();
                }
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
