//! When to spin and when to ask the kernel: the poll modes as a state machine over time stamps.
//!
//! Pure: it is told what happened and when, and says what to do next. Nothing here waits.

use crate::config::Poller;
use std::time::Duration;

/// How long `syscall` looks at empty rings after a dense run, in ns. While packets come by the
/// million the next ones are nearer than that (a driver delivers 64 at a time), and going to sleep
/// costs more than waiting for them: our time, and that of the CPU that has to wake us.
const GRACE_NS: u64 = 10_000;
/// Packets since the last sleep that make a run dense.
const DENSE: u32 = 32;
/// `adaptive` learns no gap that is longer than this many times its spin.
const LONGEST_GAP: u64 = 4;

/// In ns; the longest ones saturate (584 years).
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A wait of a receiver whose fill ring is short of frames ends after this time at most, to look
/// whether frames came back: where they come from (a free list, completion rings of other threads)
/// makes no event that is sure to wake it.
pub(crate) const LOOK_FOR_FRAMES: Duration = Duration::from_millis(10);

/// What to do after an empty look at the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Look again at once.
    Spin,
    /// Block in `poll(2)`.
    Block,
}

/// The state of one waiting loop.
#[derive(Clone, Debug)]
pub struct PollState {
    poller: Poller,
    /// Since when the rings have been empty; `None` while packets come.
    idle_since: Option<u64>,
    /// When the last packets came.
    last_arrival: Option<u64>,
    /// Smoothed time between arrivals in ns (weight 1/8, as TCP's SRTT).
    gap: u64,
    /// Packets since the last sleep.
    run: u32,
}

impl PollState {
    /// A loop that has seen nothing yet.
    #[must_use]
    pub fn new(poller: Poller) -> Self {
        Self { poller, idle_since: None, last_arrival: None, gap: 0, run: 0 }
    }

    /// The configured mode.
    #[must_use]
    pub fn poller(&self) -> Poller {
        self.poller
    }

    /// `n` packets came. `now` is only asked for when the mode learns from it.
    #[inline]
    pub fn on_packets(&mut self, n: usize, now: impl FnOnce() -> u64) {
        self.run = self.run.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        // Within a run of full batches there is no gap to learn.
        if self.idle_since.take().is_none() {
            return;
        }
        if let Poller::Adaptive { spin } = self.poller {
            let now = now();
            if let Some(last) = self.last_arrival {
                // All gaps beyond the spin say the same, however long: one long silence must not
                // outweigh a hundred arrivals that come after it.
                let gap = now.saturating_sub(last).min(nanos(spin).saturating_mul(LONGEST_GAP));
                self.gap = if self.gap == 0 { gap } else { self.gap - self.gap / 8 + gap / 8 };
            }
            self.last_arrival = Some(now);
        }
    }

    /// The rings were empty.
    #[inline]
    pub fn on_empty(&mut self, now: impl FnOnce() -> u64) -> Idle {
        let since = &mut self.idle_since;
        match self.poller {
            Poller::Busy => {
                since.get_or_insert(0);
                Idle::Spin
            }
            Poller::Syscall if self.run < DENSE => {
                since.get_or_insert(0);
                self.run = 0;
                Idle::Block
            }
            Poller::Syscall => {
                let now = now();
                let since = *since.get_or_insert(now);
                if now.saturating_sub(since) < GRACE_NS {
                    return Idle::Spin;
                }
                self.run = 0;
                Idle::Block
            }
            Poller::Adaptive { spin } => {
                let now = now();
                let since = *since.get_or_insert(now);
                let spin = nanos(spin);
                // The next packet is expected after the whole spin: spinning would be wasted.
                // Spin a little all the same, so that a faster stream is noticed.
                let worth = if self.gap > spin { spin / 16 } else { spin };
                if now.saturating_sub(since) < worth { Idle::Spin } else { Idle::Block }
            }
        }
    }

    /// Time until `deadline`, for `poll(2)`; `None` is for ever.
    #[must_use]
    pub fn timeout(now: u64, deadline: Option<u64>) -> Option<Duration> {
        deadline.map(|at| Duration::from_nanos(at.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    const US: u64 = 1000;

    fn spun(state: &mut PollState, from: u64) -> u64 {
        (0..).map(|i| from + i * US).find(|&t| state.on_empty(|| t) == Idle::Block).unwrap() - from
    }

    #[test]
    fn syscall_waits_a_moment_for_the_next_of_a_dense_run_and_then_sleeps_at_once() {
        let mut state = PollState::new(Poller::Syscall);
        state.on_packets(31, || 0);
        assert_eq!(state.on_empty(|| 0), Idle::Block, "31 packets are no dense run");
        for _ in 0..3 {
            state.on_packets(20, || 0);
            state.on_packets(20, || 0);
            assert_eq!(spun(&mut state, 5 * US), 10 * US);
            assert_eq!(state.on_empty(|| 6 * US), Idle::Block, "once asleep it sleeps on");
        }
    }

    #[test]
    fn busy_always_spins_and_syscall_always_blocks() {
        let mut busy = PollState::new(Poller::Busy);
        let mut syscall = PollState::new(Poller::Syscall);
        for t in 0..1000 {
            assert_eq!(busy.on_empty(|| t * US), Idle::Spin);
            assert_eq!(syscall.on_empty(|| t * US), Idle::Block);
            if t % 7 == 0 {
                busy.on_packets(1, || t * US);
                syscall.on_packets(1, || t * US);
            }
        }
    }

    #[test]
    fn adaptive_spins_for_its_time_then_blocks() {
        let mut state = PollState::new(Poller::ADAPTIVE);
        assert_eq!(spun(&mut state, 7 * US), 250 * US);
        assert_eq!(state.on_empty(|| 1000 * US), Idle::Block, "it stays blocked while idle");
    }

    #[test]
    fn adaptive_learns_that_packets_are_far_apart_and_unlearns_it() {
        let mut state = PollState::new(Poller::ADAPTIVE);
        let mut t = 0;
        for _ in 0..20 {
            t += 1000 * US;
            state.on_empty(|| t - 10 * US);
            state.on_packets(1, || t);
        }
        assert!(spun(&mut state, t) < 20 * US, "1 ms gaps are not worth a spin");
        for _ in 0..60 {
            t += 5 * US;
            state.on_empty(|| t - US);
            state.on_packets(1, || t);
        }
        assert_eq!(spun(&mut state, t), 250 * US, "5 µs gaps are");
    }

    #[test]
    fn adaptive_spins_again_soon_after_silences_of_any_length() {
        for (silences, seconds) in [(1, 1), (1, 10), (1, 100), (50, 1), (50, 10), (50, 100)] {
            let mut state = PollState::new(Poller::ADAPTIVE);
            let mut t = 1_000_000_000;
            let mut arrive = |state: &mut PollState, gap: u64| {
                t += gap;
                state.on_empty(|| t - US);
                state.on_packets(1, || t);
                t
            };
            for gap in iter::repeat_n(20 * US, 50)
                .chain(iter::repeat_n(seconds * 1_000_000 * US, silences))
            {
                arrive(&mut state, gap);
            }
            let again = (1..).find(|_| {
                let t = arrive(&mut state, 110 * US);
                spun(&mut state.clone(), t) >= 110 * US
            });
            // One silence hardly counts; after many it is unlearned as slowly as it was learned.
            let most = if silences == 1 { 1 } else { 15 };
            assert!(again.unwrap() <= most, "{again:?} after {silences} of {seconds} s");
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_no_time_at_all() {
        assert_eq!(PollState::timeout(10, Some(4)), Some(Duration::ZERO));
        assert_eq!(PollState::timeout(10, Some(14)), Some(Duration::from_nanos(4)));
        assert_eq!(PollState::timeout(10, None), None);
    }
}
