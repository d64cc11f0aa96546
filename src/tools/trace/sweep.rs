//! Probes to every TTL, round by round.
//!
//! ```text
//!   first queries, in groups ──▶ the end is known, or time has passed ──▶ all other queries
//!   TTL 1 2 3 4 · 5 6 7 8 · …                                            TTL 1 … end, 1 … end
//! ```
//!
//! Who answers a limited number of probes, as Linux does, is asked for few that nobody needs: a group
//! waits for the answers to the one before, and the other queries for the end of the path. But
//! neither for long: where round trips are long, all is still known after little more than one.

use super::plan::{Plan, Rounds};
use crate::tools::measure::pacer::ns;

/// First queries that leave together.
const GROUP: u8 = 4;
/// A group waits no longer than that for the answers to the one before.
const GROUP_NS: u64 = 1_000_000;
/// The other queries wait no longer than that for the end of the path.
const END_NS: u64 = 20_000_000;

/// What is known of the path while it is probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The last TTL to be probed by first queries, and by the others.
    pub(super) last: (u8, u8),
    /// Whether it is known where the path ends.
    pub(super) end: bool,
    /// Whether no probe is under way.
    pub(super) all_answered: bool,
}

/// Probes to every TTL, round by round.
pub(super) struct Sweep {
    /// From 1.
    pub(super) round: u64,
    /// Rounds that are not begun.
    left: u64,
    first: u8,
    interval_ns: u64,
    /// For each query, the next TTL to be asked.
    next: Vec<u16>,
    /// First queries of this group that were sent, and when the next group may begin.
    group: (u8, u64),
    /// When the other queries begin, whatever is known by then.
    others_ns: u64,
    next_round_ns: Option<u64>,
    /// What is to be sent once more, because the link was lost.
    redo: Vec<(u8, u8)>,
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
            interval_ns: ns(plan.interval),
            next: vec![plan.first.into(); plan.queries.into()],
            group: (0, 0),
            others_ns: 0,
            next_round_ns: None,
            redo: Vec::new(),
        }
    }

    /// TTL and query of the next probe. None until the next round when all was probed, or while it
    /// waits for answers.
    pub(super) fn next(&mut self, now: u64, known: Known) -> Option<(u8, u8)> {
        if let Some(again) = self.redo.pop() {
            return Some(again);
        }
        let query = match self.query(known) {
            Some(query) => query,
            None if self.left == 0 || self.next_round_ns.is_some_and(|at| at > now) => return None,
            None => {
                self.left -= 1;
                self.round += 1;
                self.next.fill(self.first.into());
                self.next_round_ns = None;
                self.query(known)?
            }
        };
        if self.next_round_ns.is_none() {
            self.next_round_ns = Some(now.saturating_add(self.interval_ns));
            self.others_ns = now.saturating_add(END_NS);
            self.group = (0, 0);
        }
        if self.waits_ns(known).is_some_and(|at| at > now) {
            return None;
        }
        if query == 0 {
            let (sent, next_ns) = self.group;
            self.group = match sent {
                0 | GROUP.. => (1, now.saturating_add(GROUP_NS)),
                _ => (sent + 1, next_ns),
            };
        }
        let ttl = self.next.get_mut(query)?;
        let probe = (u8::try_from(*ttl).ok()?, u8::try_from(query).ok()?);
        *ttl += 1;
        Some(probe)
    }

    /// The first query that was not sent to all TTLs. The path may turn out to be longer later.
    fn query(&self, known: Known) -> Option<usize> {
        let last = |query| u16::from(if query == 0 { known.last.0 } else { known.last.1 });
        self.next.iter().enumerate().position(|(query, ttl)| *ttl <= last(query))
    }

    /// Until when it waits for answers, if it does.
    fn waits_ns(&self, known: Known) -> Option<u64> {
        match self.query(known)? {
            _ if known.end || known.all_answered => None,
            0 => (self.group.0 >= GROUP).then_some(self.group.1),
            _ => Some(self.others_ns),
        }
    }

    /// When there is something to be sent although nothing comes.
    pub(super) fn wake_ns(&self, known: Known) -> Option<u64> {
        let round = || self.next_round_ns.filter(|_| self.left > 0);
        self.waits_ns(known).or_else(round)
    }

    /// Whether no round is left to begin.
    pub(super) fn is_last_round(&self) -> bool {
        self.left == 0
    }

    /// Whether nothing is left to send in this round.
    pub(super) fn is_round_sent(&self, known: Known) -> bool {
        self.redo.is_empty() && self.query(known).is_none()
    }

    /// Whether nothing is left to send.
    pub(super) fn is_done(&self, known: Known) -> bool {
        self.left == 0 && self.is_round_sent(known)
    }

    /// The link was lost with this probe: it is to be sent once more.
    pub(super) fn redo(&mut self, ttl: u8, query: u8) {
        self.redo.push((ttl, query));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn to(last: u8) -> Known {
        Known { last: (last, last), end: true, all_answered: false }
    }

    #[test]
    fn a_round_asks_every_ttl_once_before_it_asks_again_and_waits_for_the_next() {
        let plan = Plan {
            first: 2,
            queries: 2,
            rounds: Rounds::Count(2),
            interval: Duration::from_nanos(100),
            ..Plan::new(["x"])
        };
        let mut sweep = Sweep::new(&plan);
        let mut round = |now| std::iter::from_fn(|| sweep.next(now, to(3))).collect::<Vec<_>>();
        assert_eq!(round(10), [(2, 0), (3, 0), (2, 1), (3, 1)]);
        assert_eq!(round(109), []);
        assert_eq!(round(110), [(2, 0), (3, 0), (2, 1), (3, 1)]);
        assert_eq!(round(u64::MAX), []);
        assert!(sweep.is_done(to(3)) && !sweep.is_done(to(4)) && sweep.wake_ns(to(3)).is_none());
        assert_eq!(sweep.next(0, to(4)), Some((4, 0)), "the path became longer");
    }

    #[test]
    fn the_last_ttl_of_all_ends_a_round_too() {
        let mut sweep = Sweep::new(&Plan { first: 255, queries: 1, ..Plan::new(["x"]) });
        assert_eq!((sweep.next(0, to(255)), sweep.next(0, to(255))), (Some((255, 0)), None));
        assert!(sweep.is_done(to(255)));
    }

    #[test]
    fn groups_wait_for_answers_and_other_queries_for_the_end_but_not_for_long() {
        let mut sweep = Sweep::new(&Plan { queries: 2, ..Plan::new(["x"]) });
        let open = Known { last: (10, 10), end: false, all_answered: false };
        let answered = Known { all_answered: true, ..open };
        let take = |sweep: &mut Sweep, now, known: Known| {
            std::iter::from_fn(|| sweep.next(now, known)).map(|(ttl, _)| ttl).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut sweep, 0, open), [1, 2, 3, 4]);
        assert_eq!(sweep.wake_ns(open), Some(GROUP_NS));
        // What was answered is not waited for, and the next group waits again.
        assert_eq!(sweep.next(10, answered), Some((5, 0)));
        assert_eq!(take(&mut sweep, 10, open), [6, 7, 8]);
        assert_eq!(take(&mut sweep, GROUP_NS + 10, open), [9, 10]);
        assert_eq!(
            (take(&mut sweep, 2 * GROUP_NS, open), sweep.wake_ns(open)),
            (vec![], Some(END_NS))
        );
        // The end is known: no more than that is asked for again.
        assert_eq!(take(&mut sweep, 3 * GROUP_NS, to(2)), [1, 2]);
        assert!(sweep.is_done(to(2)) && sweep.wake_ns(to(2)).is_none());
        sweep.redo(2, 1);
        assert!(!sweep.is_done(to(2)));
        assert_eq!((sweep.next(0, to(2)), sweep.is_done(to(2))), (Some((2, 1)), true));
    }

    #[test]
    fn without_a_known_end_the_other_queries_begin_in_time() {
        let mut sweep = Sweep::new(&Plan { queries: 2, max_hops: 3, ..Plan::new(["x"]) });
        let open = Known { last: (3, 3), end: false, all_answered: false };
        let mut take = |now| std::iter::from_fn(|| sweep.next(now, open)).count();
        assert_eq!((take(0), take(END_NS - 1), take(END_NS)), (3, 0, 3));
    }
}
