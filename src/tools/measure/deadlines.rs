//! [`Deadlines`]: times to do something at, and how late it was done.

use super::duration_stats::DurationStats;
use super::rate::Rate;
use std::time::Duration;

/// Later than this is the last step of the histogram; what is longest is known exactly all the same.
const LATEST: Duration = Duration::from_secs(10);

/// Deadlines at a rate, each worked out from the start: an error of one is in no other.
///
/// ```text
///   start                  + interval             + 2 intervals
///   │0   │1   │2           │3   │4   │5           │6            groups of 3, a step apart
/// ```
///
/// The owner waits for [`due_ns`](Self::due_ns), then [`meet`](Self::meet)s the deadline. What
/// becomes of those that it slept through is its choice: they follow at once unless it passes over
/// them ([`skip_missed`](Self::skip_missed)) or moves them ([`postpone`](Self::postpone)).
///
/// A [`super::Pacer`] keeps a rate; deadlines keep times. Nothing allocates after [`new`](Self::new).
#[derive(Debug, Clone)]
pub struct Deadlines {
    start_ns: u64,
    groups: Rate,
    size: u64,
    step_ns: u64,
    next: u64,
    lateness: DurationStats,
}

impl Deadlines {
    /// Deadline 0 is at `start_ns`, the others follow at `rate`.
    pub fn new(rate: Rate, start_ns: u64) -> Self {
        let lateness = DurationStats::bounded(LATEST);
        Deadlines { start_ns, groups: rate, size: 1, step_ns: 0, next: 0, lateness }
    }

    /// The same in groups: the rate is that of groups of `size` deadlines, which are `step_ns`
    /// apart. A size of 0 counts as 1.
    #[must_use]
    pub fn in_groups(mut self, size: u64, step_ns: u64) -> Self {
        self.size = size.max(1);
        self.step_ns = step_ns;
        self
    }

    /// The number of the next deadline.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many deadlines a group has.
    pub fn group_size(&self) -> u64 {
        self.size
    }

    /// The place of the next deadline in its group.
    pub fn place(&self) -> u64 {
        self.next % self.size
    }

    /// The time of the next deadline.
    pub fn due_ns(&self) -> u64 {
        let group = self.groups.time_of_ns(self.next / self.size);
        let step = self.place().saturating_mul(self.step_ns);
        self.start_ns.saturating_add(group).saturating_add(step)
    }

    /// Meets the next deadline at `now_ns`; how late that is, in ns, or `None` before it is due.
    pub fn meet(&mut self, now_ns: u64) -> Option<u64> {
        let late = now_ns.checked_sub(self.due_ns())?;
        self.lateness.record(late);
        self.skip();
        Some(late)
    }

    /// Passes over the next deadline.
    pub fn skip(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// Passes over all deadlines up to `now_ns`; how many these are.
    pub fn skip_missed(&mut self, now_ns: u64) -> u64 {
        let missed = self.passed(now_ns).saturating_sub(self.next);
        self.next += missed;
        missed
    }

    /// Moves all deadlines to come by `by_ns`.
    pub fn postpone(&mut self, by_ns: u64) {
        self.start_ns = self.start_ns.saturating_add(by_ns);
    }

    /// Begins anew: deadline 0 is at `start_ns`. What was recorded stays.
    pub fn restart(&mut self, start_ns: u64) {
        (self.start_ns, self.next) = (start_ns, 0);
    }

    /// How late the deadlines were met.
    pub fn lateness(&self) -> &DurationStats {
        &self.lateness
    }

    /// How many deadlines are due by `now_ns`.
    fn passed(&self, now_ns: u64) -> u64 {
        let Some(elapsed) = now_ns.checked_sub(self.start_ns) else { return 0 };
        let group = self.groups.packets_in(elapsed);
        let inside = elapsed.saturating_sub(self.groups.time_of_ns(group));
        let steps = inside.checked_div(self.step_ns).unwrap_or(self.size).saturating_add(1);
        group.saturating_mul(self.size).saturating_add(steps.min(self.size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rate::NS_PER_SECOND;
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn at(packets: u64, start_ns: u64) -> Deadlines {
        Deadlines::new(Rate::per_second(packets).unwrap(), start_ns)
    }

    #[test]
    fn times_do_not_drift_at_rates_that_do_not_divide_a_second() {
        let mut deadlines = at(7, 1000);
        for _ in 0..7 * 3600 {
            let now = deadlines.due_ns() + 1;
            assert_eq!(deadlines.meet(now), Some(1));
            assert_eq!(deadlines.skip_missed(now), 0);
        }
        assert_eq!(deadlines.due_ns(), 1000 + 3600 * NS_PER_SECOND);
        assert_eq!(deadlines.lateness().summary().unwrap().max, 0.001);
    }

    #[test]
    fn times_that_were_missed_are_counted_and_passed_over() {
        let mut deadlines = at(1000, 0);
        assert_eq!((deadlines.meet(0), deadlines.due_ns()), (Some(0), MS));
        assert_eq!(deadlines.meet(MS - 1), None, "too early");
        assert_eq!(deadlines.meet(5 * MS + MS / 2), Some(4 * MS + MS / 2));
        assert_eq!(deadlines.skip_missed(5 * MS + MS / 2), 4, "the times 2 to 5 ms");
        assert_eq!((deadlines.next(), deadlines.due_ns()), (6, 6 * MS));
        assert_eq!(deadlines.skip_missed(0), 0);
    }

    #[test]
    fn what_is_postponed_keeps_its_distances() {
        let mut deadlines = at(1000, 0).in_groups(2, 10);
        assert_eq!(deadlines.meet(7), Some(7));
        deadlines.postpone(7);
        assert_eq!((deadlines.due_ns(), deadlines.place()), (17, 1));
        deadlines.skip();
        assert_eq!((deadlines.due_ns(), deadlines.place()), (7 + MS, 0));
        deadlines.restart(500);
        assert_eq!((deadlines.due_ns(), deadlines.next()), (500, 0));
        assert_eq!(deadlines.lateness().moments().count(), 1);
    }

    #[test]
    fn the_longest_times_overflow_nothing() {
        let century = Rate::every(Duration::from_secs(100 * 365 * 86_400)).unwrap();
        let mut deadlines = Deadlines::new(century, u64::MAX - 5).in_groups(1, 1);
        deadlines.next = u64::MAX - 1;
        for _ in 0..3 {
            assert_eq!(deadlines.due_ns(), u64::MAX);
            assert_eq!(deadlines.meet(u64::MAX), Some(0));
        }
        assert_eq!(deadlines.skip_missed(u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn what_is_passed_over_is_due_and_what_comes_next_is_not(
            packets in 1_u64..10_000_000,
            size in 1_u64..20,
            part in 0_u64..100,
            now_ns in 0_u64..1 << 40,
        ) {
            let rate = Rate::per_second(packets).unwrap();
            // Steps that fill no more than the interval.
            let step_ns = rate.interval().as_nanos() as u64 * part / 100 / size;
            let mut deadlines = Deadlines::new(rate, 77).in_groups(size, step_ns);
            deadlines.skip_missed(now_ns);
            prop_assert!(deadlines.due_ns() > now_ns);
            if deadlines.next > 0 {
                let before = Deadlines { next: deadlines.next - 1, ..deadlines.clone() };
                prop_assert!(before.due_ns() <= now_ns);
            }
        }

        #[test]
        fn one_that_is_late_moves_no_other(late in prop::collection::vec(0_u64..3 * MS, 1..100)) {
            let mut deadlines = at(1000, 0);
            for (n, late) in late.into_iter().enumerate() {
                prop_assert_eq!(deadlines.due_ns(), n as u64 * MS);
                prop_assert_eq!(deadlines.meet(n as u64 * MS + late), Some(late));
            }
        }
    }
}
