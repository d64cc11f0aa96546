//! [`Turns`]: which target sends next, and when each is to be looked at although nothing came.
//!
//! ```text
//!   not begun ─▶ ready ─▶ asleep until its timer ─▶ expired ─▶ ready or done
//!                  ▲            │ heard from
//!                  └── dirty ◀──┘
//! ```

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Targets that are probed in turn. With more than one the probes to each are spread, so that what
/// is behind it is known before they are all sent.
const SIDE_BY_SIDE: usize = 64;

/// What is known of one target here.
#[derive(Clone, Copy)]
struct Seat {
    /// Whether it is among those that are ready to send.
    is_ready: bool,
    /// When it was last put to sleep until.
    wakes_ns: u64,
}

/// Targets by what they wait for.
pub(super) struct Turns {
    seats: Vec<Seat>,
    /// The next target that was not begun.
    next: usize,
    /// Begun, with something to send.
    ready: VecDeque<u32>,
    /// When to look at which target. One that was put to sleep again is in here twice.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Heard from since they were last looked at.
    dirty: Vec<u32>,
}

impl Turns {
    pub(super) fn new(targets: usize) -> Self {
        Self {
            seats: vec![Seat { is_ready: false, wakes_ns: u64::MAX }; targets],
            next: 0,
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
        }
    }

    /// The next target to begin, while few are ready.
    pub(super) fn next_to_begin(&mut self) -> Option<usize> {
        let at = (self.ready.len() < SIDE_BY_SIDE && self.next < self.seats.len())
            .then_some(self.next)?;
        self.next += 1;
        Some(at)
    }

    /// Whether every target was begun.
    pub(super) fn all_begun(&self) -> bool {
        self.next == self.seats.len()
    }

    /// Whether somebody may have something to send.
    pub(super) fn may_send(&self) -> bool {
        !self.ready.is_empty() || !self.all_begun()
    }

    /// Puts a target behind those that are ready to send, if it is not among them.
    pub(super) fn make_ready(&mut self, at: u32) {
        let seat = &mut self.seats[at as usize];
        if !std::mem::replace(&mut seat.is_ready, true) {
            self.ready.push_back(at);
        }
    }

    /// The target whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        let at = self.ready.pop_front()?;
        self.seats[at as usize].is_ready = false;
        Some(at)
    }

    /// Sets the time at which a target is to be looked at, whatever comes.
    pub(super) fn wake_at(&mut self, at: u32, ns: Option<u64>) {
        let ns = ns.unwrap_or(u64::MAX);
        let seat = &mut self.seats[at as usize];
        if ns != seat.wakes_ns && ns != u64::MAX {
            self.timers.push(Reverse((ns, at)));
        }
        seat.wakes_ns = ns;
    }

    /// The next time at which somebody is to be looked at.
    pub(super) fn next_timer_ns(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((ns, _))| *ns)
    }

    /// Whether a timer has run out by `now`.
    pub(super) fn has_expired(&self, now: u64) -> bool {
        self.next_timer_ns().is_some_and(|ns| ns <= now)
    }

    /// The next target whose timer has run out. Call until `None`.
    pub(super) fn next_expired(&mut self, now: u64) -> Option<u32> {
        while self.has_expired(now) {
            let Reverse((ns, at)) = self.timers.pop()?;
            let seat = &mut self.seats[at as usize];
            // Else it was put to sleep again meanwhile.
            if seat.wakes_ns == ns {
                seat.wakes_ns = u64::MAX;
                return Some(at);
            }
        }
        None
    }

    /// Something came from or about a target.
    pub(super) fn heard_from(&mut self, at: u32) {
        self.dirty.push(at);
    }

    /// Those that something came from, each once. The list is for [`Self::give_back`].
    pub(super) fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        dirty
    }

    /// Keeps the memory of a list that was worked off.
    pub(super) fn give_back(&mut self, mut list: Vec<u32>) {
        list.clear();
        self.dirty = list;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns_and_few_begin_at_a_time() {
        let mut turns = Turns::new(SIDE_BY_SIDE + 2);
        while let Some(at) = turns.next_to_begin() {
            turns.make_ready(at as u32);
            turns.make_ready(at as u32);
        }
        assert!(!turns.all_begun() && turns.may_send());
        assert_eq!((turns.next_ready(), turns.next_to_begin()), (Some(0), Some(SIDE_BY_SIDE)));
        assert_eq!((turns.next_ready(), turns.next_to_begin()), (Some(1), Some(SIDE_BY_SIDE + 1)));
        assert!(turns.all_begun() && turns.next_to_begin().is_none());
    }

    #[test]
    fn a_timer_that_was_set_again_runs_out_once() {
        let mut turns = Turns::new(2);
        turns.wake_at(0, Some(10));
        turns.wake_at(1, Some(20));
        turns.wake_at(0, Some(30));
        assert_eq!((turns.next_timer_ns(), turns.has_expired(9)), (Some(10), false));
        assert_eq!((turns.next_expired(25), turns.next_expired(25)), (Some(1), None));
        turns.wake_at(0, None);
        assert_eq!(turns.next_expired(u64::MAX), None);
        turns.wake_at(0, Some(30));
        assert_eq!((turns.next_expired(30), turns.next_expired(30)), (Some(0), None));
    }

    #[test]
    fn a_target_that_is_heard_from_twice_is_looked_at_once() {
        let mut turns = Turns::new(3);
        [2, 0, 2].iter().for_each(|&at| turns.heard_from(at));
        let dirty = turns.take_dirty();
        assert_eq!(dirty, [0, 2]);
        turns.give_back(dirty);
        assert!(turns.take_dirty().is_empty());
    }
}
