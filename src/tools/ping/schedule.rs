//! Which target is probed next, and when.

use super::plan::Plan;
use crate::tools::measure::pacer::ns;
use crate::tools::measure::{Deadlines, Pacer, Rate};
use std::collections::VecDeque;

/// A flood sends at least this often to each target, as `ping -f`.
const FLOOD_NS: u64 = 10_000_000;
/// Widest gap between two targets of one round.
const STAGGER_NS: u64 = 10_000_000;
/// What is late by more than this is forfeited instead of made up for.
const TOLERANCE_NS: u64 = 10_000_000;

/// Order and times of the probes.
#[derive(Debug)]
pub(super) enum Schedule {
    /// Every target once per interval, one after the other.
    Beat(Deadlines),
    /// All targets in turn, at a total rate.
    Paced { pacer: Pacer, next: usize },
    /// Each target again as soon as it answered.
    Flood(Flood),
}

#[derive(Debug)]
pub(super) struct Flood {
    ready: VecDeque<usize>,
    /// When to send again although nothing came: time, target, its probes sent by then.
    timers: VecDeque<(u64, usize, u64)>,
    /// How long that is.
    patience_ns: u64,
}

impl Schedule {
    /// The schedule of `plan`, from `now_ns` on.
    pub(super) fn new(plan: &Plan, targets: usize, now_ns: u64) -> Self {
        if let Some(rate) = plan.rate.and_then(Rate::per_second_f64) {
            let tolerated = rate.packets_in(TOLERANCE_NS).clamp(2, 1024) as u32;
            return Self::Paced { pacer: Pacer::new(rate, tolerated, now_ns), next: 0 };
        }
        match Rate::every(plan.interval).filter(|_| !plan.floods()) {
            Some(rounds) => Self::rounds(rounds, targets as u64, now_ns),
            None => Self::Flood(Flood {
                ready: (0..targets).collect(),
                timers: VecDeque::new(),
                patience_ns: if plan.adaptive { ns(plan.timeout) } else { FLOOD_NS },
            }),
        }
    }

    /// All targets once a round.
    fn rounds(rounds: Rate, targets: u64, now_ns: u64) -> Self {
        let step_ns = (ns(rounds.interval()) / targets.max(1)).min(STAGGER_NS);
        Self::Beat(Deadlines::new(rounds, now_ns).in_groups(targets, step_ns))
    }

    /// The target whose turn it is at `now_ns`. `sent` says how many probes each had so far, and
    /// `None` of those that want no more.
    pub(super) fn next(
        &mut self,
        now_ns: u64,
        all: usize,
        sent: impl Fn(usize) -> Option<u64>,
    ) -> Option<usize> {
        match self {
            Self::Beat(beat) => {
                let target = skip_to(beat, |target| sent(target).is_some())?;
                let late = beat.meet(now_ns)?;
                if late > TOLERANCE_NS {
                    beat.postpone(late);
                }
                Some(target)
            }
            Self::Paced { pacer, next } => {
                if pacer.due(now_ns) == 0 {
                    return None;
                }
                let target = (0..all).map(|n| (*next + n) % all).find(|&t| sent(t).is_some())?;
                *next = (target + 1) % all;
                pacer.spend(1);
                Some(target)
            }
            Self::Flood(flood) => flood.next(now_ns, sent),
        }
    }

    /// When [`next`](Self::next) may have a target again; `None`: when something is answered, or
    /// never.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        match self {
            Self::Beat(beat) => Some(beat.due_ns()),
            Self::Paced { pacer, .. } => Some(pacer.next_due_ns()),
            Self::Flood(flood) if !flood.ready.is_empty() => Some(0),
            Self::Flood(flood) => flood.timers.front().map(|&(due, ..)| due),
        }
    }

    /// Notes that probe number `sent` went to `target`.
    pub(super) fn sent(&mut self, target: usize, sent: u64, now_ns: u64) {
        if let Self::Flood(flood) = self {
            flood.timers.push_back((now_ns.saturating_add(flood.patience_ns), target, sent));
        }
    }

    /// Notes that the newest probe to `target` is answered.
    pub(super) fn answered(&mut self, target: usize) {
        if let Self::Flood(flood) = self {
            flood.ready.push_back(target);
        }
    }
}

/// Passes over targets that want no probe, one round at most; the one that is next.
fn skip_to(beat: &mut Deadlines, wants: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..beat.group_size() {
        let target = beat.place() as usize;
        if wants(target) {
            return Some(target);
        }
        beat.skip();
    }
    None
}

impl Flood {
    fn next(&mut self, now_ns: u64, sent: impl Fn(usize) -> Option<u64>) -> Option<usize> {
        while let Some(target) = self.ready.pop_front() {
            if sent(target).is_some() {
                return Some(target);
            }
        }
        while let Some(&(due, target, at)) = self.timers.front() {
            // A timer is void once a later probe went out.
            let is_void = sent(target) != Some(at);
            if due > now_ns && !is_void {
                return None;
            }
            self.timers.pop_front();
            if !is_void {
                return Some(target);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn beat(interval_ms: u64, targets: u64) -> Schedule {
        Schedule::rounds(Rate::every(Duration::from_millis(interval_ms)).unwrap(), targets, 0)
    }

    /// Times and targets of what is sent until `until`, waking up exactly when due.
    fn sent(schedule: &mut Schedule, targets: usize, until: u64) -> Vec<(u64, usize)> {
        let mut sent = Vec::new();
        while let Some(now) = schedule.next_due_ns().filter(|&now| now <= until) {
            let Some(target) = schedule.next(now, targets, |_| Some(0)) else { break };
            sent.push((now / MS, target));
        }
        sent
    }

    #[test]
    fn targets_take_turns_within_the_interval() {
        let close = sent(&mut beat(3, 3), 3, 5 * MS);
        assert_eq!(close, [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]);
        // A second apart would keep the last of three waiting for nothing.
        let spread = sent(&mut beat(3000, 3), 3, 3000 * MS);
        assert_eq!(spread, [(0, 0), (10, 1), (20, 2), (3000, 0)]);
    }

    #[test]
    fn what_was_slept_through_is_not_sent_in_one_burst() {
        let mut schedule = beat(100, 1);
        assert_eq!(schedule.next(0, 1, |_| Some(0)), Some(0));
        let woken = 950 * MS;
        assert_eq!(schedule.next(woken, 1, |_| Some(1)), Some(0));
        assert_eq!(schedule.next(woken, 1, |_| Some(2)), None);
        assert_eq!(schedule.next_due_ns(), Some(woken + 100 * MS));
        // Being a little late moves nothing.
        assert_eq!(schedule.next(woken + 105 * MS, 1, |_| Some(2)), Some(0));
        assert_eq!(schedule.next_due_ns(), Some(woken + 200 * MS));
    }

    #[test]
    fn targets_that_want_no_more_are_passed_over() {
        let wants = |target| (target == 1).then_some(0);
        let mut schedule = beat(1, 3);
        for _ in 0..5 {
            let due = schedule.next_due_ns().unwrap() + MS;
            assert_eq!(schedule.next(due, 3, wants), Some(1));
        }
        assert_eq!(schedule.next(u64::MAX, 3, |_| None), None);
    }

    #[test]
    fn a_flood_answers_an_answer_and_else_keeps_its_pace() {
        let flood = Flood { ready: [0].into(), timers: VecDeque::new(), patience_ns: FLOOD_NS };
        let mut schedule = Schedule::Flood(flood);
        assert_eq!(schedule.next(0, 1, |_| Some(0)), Some(0));
        schedule.sent(0, 1, 0);
        assert_eq!(schedule.next(9 * MS, 1, |_| Some(1)), None);
        schedule.answered(0);
        assert_eq!(schedule.next(9 * MS, 1, |_| Some(1)), Some(0));
        schedule.sent(0, 2, 9 * MS);
        // The first timer is void: a later probe went out.
        assert_eq!(schedule.next(10 * MS, 1, |_| Some(2)), None);
        assert_eq!(schedule.next(19 * MS, 1, |_| Some(2)), Some(0));
    }

    #[test]
    fn the_longest_times_overflow_nothing() {
        let century = Rate::every(Duration::from_secs(100 * 365 * 86_400)).unwrap();
        let mut schedule = Schedule::rounds(century, 1, u64::MAX - 5);
        assert_eq!(schedule.next(u64::MAX, 1, |_| Some(0)), Some(0));
        assert_eq!(schedule.next_due_ns(), Some(u64::MAX));
        assert_eq!(schedule.next(u64::MAX, 1, |_| Some(0)), Some(0));
        assert_eq!(schedule.next(u64::MAX, 1, |_| Some(0)), Some(0));
    }
}
