//! [`Gate`]: how fast one hop is asked with `--paths`, where many flows ask the same router.
//!
//! ```text
//!          several lost in a row            every known router answers: the silence is real
//!   Open ────────────────────────▶ Checking ────────────────────────────────────────▶ Open
//!    ▲ nobody answers, not even          │ one does not: it limits its answers
//!    │ a second later: silent            ▼
//!   Cold ◀── nobody ever answered      Slow: one at a time, twice as slow with each loss
//! ```
//!
//! A check asks flows that were answered before. So a router that answers six at once and then one a
//! second, as Linux, is never taken for a silent one beside it.

use std::collections::VecDeque;
use std::net::IpAddr;

/// This many lost in a row have the routers of a hop checked.
const SUSPECT: u32 = 3;
/// After a check that every router passed, this many may be lost without another.
const TRUST: u32 = 16;
/// The fastest and the slowest that is tried with a router that limits its answers: IPv6 of Linux
/// has 62.5 ms with the default route, IPv4 one second.
const FASTEST_NS: u64 = 65_000_000;
const SLOWEST_NS: u64 = 2_080_000_000;
/// From here on it is asked whether it limits its answers at all.
const SETTLED_NS: u64 = 1_040_000_000;
/// A hop that never answered is asked again after so long.
const COLD_NS: u64 = 1_050_000_000;
/// This many answers in a row have it asked faster again.
const GOOD: u32 = 8;
/// Routers of a hop that are checked.
const CHECKED: usize = 8;

/// A probe: its flow, and how often it was sent before.
pub(super) type Probe = (u16, u8);

/// What a gate lets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Probe(Probe),
    /// Asks a flow that was answered before.
    Check(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Checking,
    Slow,
    /// Waits for the one late try of a hop that never answered.
    Cold,
    /// That was silent as well.
    Silent,
}

/// The gate of one TTL.
pub(super) struct Gate {
    state: State,
    /// Those that are held up.
    waiting: VecDeque<Probe>,
    /// Flows to be checked, how many checks are under way, and whether one was not answered.
    checks: VecDeque<u16>,
    checking: u32,
    check_lost: bool,
    /// A flow of each router that answered.
    known: Vec<(IpAddr, u16)>,
    /// Sent, and neither answered nor given up.
    under_way: u32,
    lost_in_row: u32,
    trust: u32,
    /// Time between two probes; 0: not limited.
    interval_ns: u64,
    next_ns: u64,
    good: u32,
    /// Whether it was ever checked if the routers here limit their answers.
    suspected: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            state: State::Open,
            waiting: VecDeque::new(),
            checks: VecDeque::new(),
            checking: 0,
            check_lost: false,
            known: Vec::new(),
            under_way: 0,
            lost_in_row: 0,
            trust: 0,
            interval_ns: 0,
            next_ns: 0,
            good: 0,
            suspected: false,
        }
    }
}

impl Gate {
    /// Whether probes pass as they come.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Silent)
    }

    /// Whether the routers here limit their answers, as far as was seen.
    pub(super) fn is_limited(&self) -> bool {
        self.interval_ns > 0
    }

    /// Whether they were ever suspected to.
    pub(super) fn was_suspected(&self) -> bool {
        self.suspected
    }

    /// Holds a probe up.
    pub(super) fn hold(&mut self, probe: Probe) {
        self.waiting.push_back(probe);
    }

    /// A probe leaves.
    pub(super) fn sent(&mut self) {
        self.under_way += 1;
    }

    /// What is to be sent now.
    pub(super) fn next(&mut self, now: u64) -> Option<Out> {
        if self.wake_ns()? > now {
            return None;
        }
        let out = match self.checks.pop_front() {
            Some(flow) => {
                self.checking += 1;
                Out::Check(flow)
            }
            None => Out::Probe(self.waiting.pop_front()?),
        };
        self.next_ns = now.saturating_add(self.interval_ns);
        self.under_way += 1;
        Some(out)
    }

    /// When something is to be sent.
    pub(super) fn wake_ns(&self) -> Option<u64> {
        let some = match self.state {
            State::Open | State::Silent => !self.waiting.is_empty(),
            // Unlimited routers are checked all at once.
            State::Checking if self.interval_ns == 0 => !self.checks.is_empty(),
            State::Checking => self.under_way == 0 && !self.checks.is_empty(),
            State::Slow | State::Cold => self.under_way == 0 && !self.waiting.is_empty(),
        };
        some.then_some(self.next_ns)
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self, flow: u16, from: IpAddr) {
        self.under_way = self.under_way.saturating_sub(1);
        self.lost_in_row = 0;
        if self.known.len() < CHECKED && !self.known.iter().any(|(known, _)| *known == from) {
            self.known.push((from, flow));
        }
        match self.state {
            State::Cold | State::Silent => {
                // It does answer, but not when it is asked by many.
                self.state = State::Slow;
                self.interval_ns = COLD_NS;
            }
            State::Slow => {
                self.good += 1;
                if self.good >= GOOD {
                    self.good = 0;
                    self.interval_ns = (self.interval_ns / 2).max(FASTEST_NS);
                }
            }
            State::Open | State::Checking => {}
        }
    }

    /// A probe was given up at `now`. Whether its silence is real; if not, it is held up here.
    pub(super) fn lost(&mut self, probe: Probe, repeats: u8, now: u64) -> bool {
        let (flow, tries) = probe;
        self.under_way = self.under_way.saturating_sub(1);
        self.lost_in_row += 1;
        let again = (flow, tries.saturating_add(1));
        if self.state == State::Slow && self.interval_ns < SETTLED_NS {
            self.slow_down(now);
            self.waiting.push_front(again);
            return false;
        }
        if self.known.is_empty() {
            return self.lost_unknown(again, repeats, now);
        }
        if self.state == State::Open && self.trust > 0 {
            self.trust -= 1;
            if tries >= repeats {
                return true;
            }
        } else if self.state != State::Checking
            && (self.state == State::Slow || self.lost_in_row >= SUSPECT || tries >= repeats)
        {
            self.check(now);
        }
        self.hold(again);
        false
    }

    fn lost_unknown(&mut self, again: Probe, repeats: u8, now: u64) -> bool {
        match self.state {
            State::Silent => return true,
            State::Cold if self.under_way == 0 => {
                self.state = State::Silent;
                return true;
            }
            State::Cold => {}
            _ if again.1 > repeats => {
                self.state = State::Cold;
                self.next_ns = now.saturating_add(COLD_NS);
            }
            _ => {}
        }
        self.hold(again);
        false
    }

    fn check(&mut self, now: u64) {
        self.state = State::Checking;
        self.suspected = true;
        self.check_lost = false;
        self.good = 0;
        let known = self.known.iter().map(|&(_, flow)| flow);
        if self.interval_ns == 0 {
            // At once, and several, as those that were lost: a router may have earned one answer.
            let most = known.len().max(SUSPECT as usize);
            self.checks = known.cycle().take(most).collect();
            self.next_ns = now;
        } else {
            self.checks = known.collect();
        }
    }

    /// Has the hop asked more slowly from now on.
    fn slow_down(&mut self, now: u64) {
        self.interval_ns = (self.interval_ns * 2).clamp(FASTEST_NS, SLOWEST_NS);
        self.next_ns = now.saturating_add(self.interval_ns);
        self.good = 0;
    }

    /// What became of a check. Returns the probes whose silence is real.
    pub(super) fn checked(&mut self, answered: bool, repeats: u8, now: u64) -> Vec<Probe> {
        self.under_way = self.under_way.saturating_sub(1);
        self.checking = self.checking.saturating_sub(1);
        self.check_lost |= !answered;
        let more = self.checking > 0 || !self.checks.is_empty();
        if self.state != State::Checking || more && !self.check_lost {
            return Vec::new();
        }
        self.checks.clear();
        if self.check_lost {
            self.state = State::Slow;
            self.slow_down(now);
            return Vec::new();
        }
        if self.interval_ns > 0 && self.interval_ns < SLOWEST_NS {
            // Every other probe is answered, as when they come twice too fast.
            self.state = State::Slow;
            self.slow_down(now);
            return Vec::new();
        }
        self.state = if self.interval_ns == 0 { State::Open } else { State::Slow };
        (self.trust, self.lost_in_row) = (TRUST, 0);
        let (silent, others): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|&(_, tries)| tries > repeats);
        self.waiting = others.into();
        silent
    }

    /// Nothing more is to be sent here.
    pub(super) fn close(&mut self) {
        self.checks.clear();
        self.waiting.clear();
    }

    /// Nobody wants to know any more what becomes of a probe that is under way.
    pub(super) fn forget(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A probe that is under way is to be sent once more, as it was.
    pub(super) fn redo(&mut self, probe: Probe) {
        self.under_way = self.under_way.saturating_sub(1);
        self.waiting.push_front(probe);
    }

    /// Whether nothing is held up or to be checked.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.checks.is_empty()
    }

    /// Takes out the probes that are held up where nobody ever answers.
    pub(super) fn take_silent(&mut self) -> Vec<Probe> {
        if self.state == State::Silent { self.waiting.drain(..).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const S: u64 = 1_000_000_000;

    /// Asks a gate with 12 flows behind which a bucket has this many tokens, and one more a second.
    fn ask(mut tokens: u64) -> (Vec<u16>, u64) {
        let mut gate = Gate::default();
        let mut waiting: Vec<Probe> = (0..12).map(|flow| (flow, 0)).collect();
        let (mut answered, mut now, mut refilled) = (Vec::new(), 0, 0);
        while answered.len() < 12 {
            let mut out: Vec<Out> = Vec::new();
            if gate.is_open() {
                out.extend(waiting.drain(..).map(Out::Probe));
                out.iter().for_each(|_| gate.sent());
            }
            out.extend(std::iter::from_fn(|| gate.next(now)));
            if out.is_empty() {
                now = gate.wake_ns().expect("something is left").max(now + 1);
                continue;
            }
            now += S / 50;
            while refilled + S <= now {
                (tokens, refilled) = ((tokens + 1).min(6), refilled + S);
            }
            for one in out {
                let heard = tokens > 0;
                tokens = tokens.saturating_sub(1);
                match one {
                    Out::Probe((flow, _)) if heard => {
                        gate.answered(flow, A);
                        answered.push(flow);
                    }
                    Out::Probe(probe) => assert!(!gate.lost(probe, 2, now), "{probe:?} at {now}"),
                    Out::Check(_) => assert!(gate.checked(heard, 2, now).is_empty()),
                }
            }
            assert!(now < 60 * S);
        }
        answered.sort_unstable();
        (answered, now)
    }

    #[test]
    fn a_router_that_answers_six_and_then_one_a_second_is_never_silent() {
        for tokens in [6, 1] {
            let (answered, took) = ask(tokens);
            assert_eq!(answered, (0..12).collect::<Vec<_>>());
            assert!(took < 30 * S, "{took}");
        }
    }

    #[test]
    fn a_silent_branch_beside_one_that_answers_is_real() {
        let mut gate = Gate::default();
        gate.sent();
        gate.answered(0, A);
        let mut silent = Vec::new();
        let mut probes: Vec<Probe> = (1..6).map(|flow| (flow, 0)).collect();
        for now in 0..20 {
            for probe in std::mem::take(&mut probes) {
                gate.sent();
                if gate.lost(probe, 2, now) {
                    silent.push(probe.0);
                }
            }
            while let Some(out) = gate.next(now) {
                match out {
                    Out::Probe(probe) => {
                        gate.under_way -= 1;
                        probes.push(probe);
                    }
                    Out::Check(_) => {
                        let real = gate.checked(true, 2, now);
                        silent.extend(real.iter().map(|probe| probe.0));
                    }
                }
            }
        }
        silent.sort_unstable();
        assert_eq!((silent, gate.is_limited()), ((1..6).collect(), false));
    }

    #[test]
    fn who_never_answers_is_asked_once_more_after_a_second() {
        let mut gate = Gate::default();
        for tries in 0..3 {
            gate.sent();
            assert!(!gate.lost((0, tries), 2, 0));
            if tries < 2 {
                assert_eq!(gate.next(0), Some(Out::Probe((0, tries + 1))));
                gate.under_way -= 1;
            }
        }
        gate.hold((1, 0));
        assert_eq!((gate.next(S), gate.wake_ns()), (None, Some(COLD_NS)));
        assert_eq!(gate.next(COLD_NS), Some(Out::Probe((0, 3))));
        assert!(gate.lost((0, 3), 2, COLD_NS + 1));
        assert_eq!(gate.take_silent(), [(1, 0)]);
    }
}
