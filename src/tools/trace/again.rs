//! [`Again`]: hops that stay silent are asked once more, slower, before anybody believes them.
//!
//! ```text
//!   all queries sent ─▶ half of the wait ─▶ early: each silent hop once; behind the last that
//!                                           answers with echo requests, which Linux never limits
//!                   ─▶ the whole wait    ─▶ late: not reached, so those behind it all over again
//! ```
//!
//! Invariant: who does not answer a second try had none: it counts neither as sent nor as lost.

use std::collections::{BTreeSet, VecDeque};

/// Time between two early tries: four hops in a millisecond were too many.
const EARLY_NS: u64 = 2_000_000;
/// The same for late ones, for queues that need ten milliseconds for a short packet.
const LATE_NS: u64 = 10_000_000;

/// Which try a probe is, beyond the first.
pub(super) const EARLY: u8 = 1;
const LATE: u8 = 2;
/// Probes that ask a target that answers echo requests whether it answers them, too.
const CONTROLS: u8 = 2;

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) ttl: u8,
    /// Whether it is to be an echo request, whatever the others are.
    pub(super) echo: bool,
    /// [`EARLY`] or [`LATE`].
    pub(super) which: u8,
}

/// The second tries of one target.
#[derive(Default)]
pub(super) struct Again {
    asked: BTreeSet<u8>,
    queue: VecDeque<Try>,
    /// When the next one may leave.
    next_ns: u64,
    /// Sent, and neither answered nor given up.
    open: u32,
    late: bool,
    /// The TTL at which the target is asked once more, and how many answers it gave there.
    control: Option<(u8, u8)>,
}

impl Again {
    /// Whether a hop had its early try.
    pub(super) fn had(&self, ttl: u8) -> bool {
        self.asked.contains(&ttl)
    }

    /// Gives a hop its early try.
    pub(super) fn early(&mut self, ttl: u8, echo: bool) {
        if self.asked.insert(ttl) {
            self.queue.push_back(Try { ttl, echo, which: EARLY });
        }
    }

    /// The target answers echo requests at this TTL: what about the others?
    pub(super) fn control(&mut self, ttl: u8) {
        if self.control.is_none() {
            self.control = Some((ttl, 0));
            let again = Try { ttl, echo: false, which: EARLY };
            self.queue.extend([again; CONTROLS as usize]);
        }
    }

    /// Whether that was asked.
    pub(super) fn is_controlled(&self) -> bool {
        self.control.is_some()
    }

    /// A second try that is not an echo request was answered.
    pub(super) fn answered(&mut self, ttl: u8) {
        if let Some((at, count)) = &mut self.control
            && *at == ttl
        {
            *count += 1;
        }
    }

    /// Whether the target gave the answers to echo requests that it did not give to others.
    pub(super) fn shows_a_limit(&self) -> bool {
        self.control.is_some_and(|(_, answered)| answered < CONTROLS)
    }

    /// Whether the late tries are still to come.
    pub(super) fn is_late_to_come(&self) -> bool {
        !self.late
    }

    /// Gives these hops their late try.
    /// With `echo` also by an echo request.
    pub(super) fn late(&mut self, ttls: impl Iterator<Item = u8>, echo: bool) {
        self.late = true;
        for ttl in ttls {
            self.queue.push_back(Try { ttl, echo: false, which: LATE });
            if echo {
                self.queue.push_back(Try { ttl, echo: true, which: LATE });
            }
        }
    }

    /// The next try that is due. What is behind `last` is forgotten.
    pub(super) fn next(&mut self, now: u64, last: u8) -> Option<Try> {
        self.queue.retain(|again| again.ttl <= last);
        if self.next_ns > now {
            return None;
        }
        let again = self.queue.pop_front()?;
        let pause = if again.which == LATE { LATE_NS } else { EARLY_NS };
        self.next_ns = now.saturating_add(pause);
        self.open += 1;
        Some(again)
    }

    /// When the next one is due.
    pub(super) fn wake_ns(&self) -> Option<u64> {
        (!self.queue.is_empty()).then_some(self.next_ns)
    }

    /// One was answered or given up.
    pub(super) fn settled(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether nothing is to be sent or waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hop_has_one_early_try_and_they_leave_one_by_one() {
        let mut again = Again::default();
        [2, 3, 2, 9].into_iter().for_each(|ttl| again.early(ttl, true));
        let early = |ttl| Try { ttl, echo: true, which: EARLY };
        assert_eq!((again.next(7, 8), again.next(7, 8)), (Some(early(2)), None));
        assert_eq!(again.wake_ns(), Some(7 + EARLY_NS));
        assert_eq!(again.next(7 + EARLY_NS, 8), Some(early(3)));
        assert_eq!((again.wake_ns(), again.is_idle()), (None, false), "9 is behind the end");
        again.settled();
        again.settled();
        assert!(again.is_idle() && again.had(9) && !again.had(1));
        again.late([5].into_iter(), false);
        assert!(!again.is_late_to_come() && !again.is_idle());
        let late = Try { ttl: 5, echo: false, which: LATE };
        assert_eq!(again.next(u64::MAX, 8), Some(late));
    }
}
