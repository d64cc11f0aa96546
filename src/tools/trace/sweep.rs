//! Probes to every TTL, round by round.

use super::plan::{Plan, Rounds};
use crate::tools::measure::pacer::ns;

/// Probes to every TTL, round by round.
pub(super) struct Sweep {
    /// From 1.
    pub(super) round: u64,
    /// Rounds that are not begun.
    left: u64,
    first: u8,
    queries: u8,
    interval_ns: u64,
    ttl: u16,
    query: u8,
    next_round_ns: Option<u64>,
}

impl Sweep {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            round: 1,
            left: match plan.rounds {
                Rounds::Once => 0,
                Rounds::Count(count) => count.saturating_sub(1),
                Rounds::Endless => u64::MAX,
            },
            first: plan.first,
            queries: plan.queries,
            interval_ns: ns(plan.interval),
            ttl: plan.first.into(),
            query: 0,
            next_round_ns: None,
        }
    }

    /// TTL and query of the next probe; none until the next round when `last` was probed.
    pub(super) fn next(&mut self, now: u64, last: u8) -> Option<(u8, u8)> {
        if self.ttl > last.into() {
            if self.left == 0 || self.next_round_ns.is_some_and(|at| at > now) {
                return None;
            }
            self.left -= 1;
            self.round += 1;
            (self.ttl, self.query, self.next_round_ns) = (self.first.into(), 0, None);
        }
        self.next_round_ns.get_or_insert(now.saturating_add(self.interval_ns));
        let probe = (u8::try_from(self.ttl).ok()?, self.query);
        self.query += 1;
        if self.query >= self.queries {
            (self.ttl, self.query) = (self.ttl + 1, 0);
        }
        Some(probe)
    }

    /// When the next round begins.
    pub(super) fn next_round_ns(&self) -> Option<u64> {
        self.next_round_ns.filter(|_| self.left > 0)
    }

    /// Whether nothing is left to send up to `last`.
    pub(super) fn is_done(&self, last: u8) -> bool {
        self.left == 0 && self.ttl > last.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_round_goes_from_the_first_ttl_to_the_last_and_waits_for_the_next() {
        let plan = Plan {
            first: 2,
            queries: 2,
            rounds: Rounds::Count(2),
            interval: Duration::from_nanos(100),
            ..Plan::new(["x"])
        };
        let mut sweep = Sweep::new(&plan);
        let mut round = |now| std::iter::from_fn(|| sweep.next(now, 3)).collect::<Vec<_>>();
        assert_eq!(round(10), [(2, 0), (2, 1), (3, 0), (3, 1)]);
        assert_eq!(round(109), []);
        assert_eq!(round(110), [(2, 0), (2, 1), (3, 0), (3, 1)]);
        assert_eq!(round(u64::MAX), []);
        assert!(sweep.is_done(3) && !sweep.is_done(4) && sweep.next_round_ns().is_none());
        assert_eq!(sweep.next(0, 4), Some((4, 0)), "the path became longer");
    }

    #[test]
    fn the_last_ttl_of_all_ends_a_round_too() {
        let mut sweep = Sweep::new(&Plan { first: 255, queries: 1, ..Plan::new(["x"]) });
        assert_eq!((sweep.next(0, 255), sweep.next(0, 255)), (Some((255, 0)), None));
        assert!(sweep.is_done(255));
    }
}
