//! One target: which probe goes next, what an answer means, and when all is known.
//!
//! Knows no socket and no clock: times are parameters, packets are numbers and answers.

use super::answer::{Answer, Kind};
use super::explore::{Explorer, Found};
use super::flight::{Flight, Match, Purpose, Role, Sent};
use super::icmp_names;
use super::path_mtu::{Fate, PathMtu};
use super::plan::{Plan, Protocol, Rounds};
use super::probe::Numbers;
use super::reply_timeout::ReplyTimeout;
use super::sweep::Sweep;
use super::tally::Tally;
use crate::tools::measure::pacer::ns;
use std::collections::VecDeque;
use std::net::IpAddr;

/// Probes of `--paths` are repeated so often before a hop counts as silent.
const REPEATS: u8 = 2;
/// Probes of `--paths` that are asked for at a time.
const EXPLORE_ROOM: usize = 64;
/// In a run of rounds, answers are recognised as late or duplicate for this long.
const RETAIN_NS: u64 = 10_000_000_000;

/// What the run knows of a target before it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) target: IpAddr,
    /// Length of probes.
    pub(super) size: u16,
    /// Longest packet of our link, and shortest there can be, for the path MTU.
    pub(super) sizes: (u16, u16),
}

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) ttl: u8,
    pub(super) flow: u16,
    pub(super) size: u16,
    lane: u16,
    round: u64,
    tries: u8,
    role: Role,
}

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    First(Sent),
    Late(Sent),
    Duplicate(Sent),
    /// About no probe of ours: forged, or of another run.
    Foreign,
}

/// How the probes of a hop are chosen.
enum Work {
    Sweep(Sweep),
    Explore { explorer: Box<Explorer>, queue: VecDeque<(u16, u8, u8)>, asked: Vec<(u16, u8)> },
}

/// The way to one target, as far as it is known.
pub(super) struct TargetTrace {
    goal: Goal,
    first: u8,
    max_hops: u8,
    work: Work,
    mtu: Option<PathMtu>,
    /// Sizes are probed when the hops are known, not beside them.
    mtu_last: bool,
    flight: Flight,
    pub(super) tally: Tally,
    /// TTL with which the target was reached.
    pub(super) distance: Option<u8>,
    /// TTL at which a router said that the way ends there.
    end: Option<u8>,
    pending: Option<Wanted>,
    reply_timeout: ReplyTimeout,
    pub(super) started_ns: Option<u64>,
    pub(super) last_event_ns: u64,
}

impl TargetTrace {
    pub(super) fn new(plan: &Plan, goal: Goal) -> Self {
        let work = match plan.paths {
            Some(paths) => {
                let (confidence, most) = (paths.confidence, paths.max_flows);
                let explorer = Explorer::new(plan.first, plan.max_hops, confidence, most);
                Work::Explore {
                    explorer: Box::new(explorer),
                    queue: VecDeque::new(),
                    asked: Vec::new(),
                }
            }
            None => Work::Sweep(Sweep::new(plan)),
        };
        let mtu = plan.mtu.then(|| PathMtu::new(goal.sizes.0, goal.size, goal.sizes.1));
        Self {
            goal,
            first: plan.first,
            max_hops: plan.max_hops,
            work,
            mtu,
            // A SYN with data would leave a connection in the way of the others.
            mtu_last: plan.protocol == Protocol::Tcp,
            flight: Flight::default(),
            tally: Tally::new(plan.first),
            distance: None,
            end: None,
            pending: None,
            // Statistics are to count what comes late for one round, too.
            reply_timeout: ReplyTimeout::new(
                ns(plan.wait),
                plan.patient || plan.rounds != Rounds::Once,
            ),
            started_ns: None,
            last_event_ns: 0,
        }
    }

    /// Rounds begun.
    pub(super) fn rounds(&self) -> u64 {
        match &self.work {
            Work::Sweep(sweep) if self.started_ns.is_some() => sweep.round,
            Work::Sweep(_) => 0,
            Work::Explore { .. } => u64::from(self.started_ns.is_some()),
        }
    }

    /// Probes sent.
    pub(super) fn probes(&self) -> u64 {
        self.flight.count()
    }

    /// Answers from the nearest hop that ever answered, if that is the one with this TTL, or none did:
    /// what is lost there says something of the way to it, and not of routers that stay silent.
    pub(super) fn answers_of(&self, ttl: u8) -> Option<u64> {
        let hops = &self.tally.hops;
        let Some(nearest) = hops.iter().position(|hop| hop.received > 0) else { return Some(0) };
        let here = usize::from(ttl.saturating_sub(self.first)) == nearest;
        here.then(|| hops[nearest].received)
    }

    pub(super) fn explorer(&self) -> Option<&Explorer> {
        match &self.work {
            Work::Explore { explorer, .. } => Some(explorer),
            Work::Sweep(_) => None,
        }
    }

    pub(super) fn mtu(&self) -> Option<&PathMtu> {
        self.mtu.as_ref()
    }

    /// The last TTL that matters, where it is known.
    pub(super) fn cut(&self) -> Option<u8> {
        self.distance.into_iter().chain(self.end).min()
    }

    /// The last TTL that there is something to say about.
    pub(super) fn last_hop(&self) -> u8 {
        self.cut().unwrap_or(self.max_hops)
    }

    /// Whether a probe is to be sent now. [`Self::launch`] returns it.
    pub(super) fn wants(&mut self, now: u64) -> bool {
        if self.pending.is_none() && self.flight.next_number().is_some() {
            self.pending = self.next(now);
        }
        self.pending.is_some()
    }

    /// The probe that [`Self::wants`] announced, numbered: it is on its way from now on.
    pub(super) fn launch(&mut self, now: u64) -> Option<Sent> {
        let number = self.flight.next_number()?;
        let wanted = self.pending.take()?;
        let numbers = Numbers { ttl: wanted.ttl, flow: wanted.flow, number, size: wanted.size };
        let Wanted { lane, round, tries, role, .. } = wanted;
        let sent = self.flight.push(Purpose { numbers, round, lane, tries, role }, now);
        if wanted.role == Role::Hop {
            self.tally.sent(wanted.ttl);
        }
        self.started_ns.get_or_insert(now);
        Some(sent)
    }

    /// A probe is handed to the kernel now.
    pub(super) fn leave(&mut self, serial: u64, now: u64) {
        self.flight.leave(serial, now);
    }

    fn next(&mut self, now: u64) -> Option<Wanted> {
        let sizes = !self.mtu_last || self.hops_are_known();
        if let Some((ttl, size)) = self.mtu.as_mut().filter(|_| sizes).and_then(PathMtu::next) {
            let round = self.rounds().max(1);
            return Some(Wanted { ttl, flow: 0, size, lane: 0, round, tries: 0, role: Role::Size });
        }
        let size = self.goal.size;
        let hop = |ttl, flow, lane, round, tries| {
            Some(Wanted { ttl, flow, size, lane, round, tries, role: Role::Hop })
        };
        let last = self.last_hop();
        match &mut self.work {
            Work::Sweep(sweep) => {
                let (ttl, query) = sweep.next(now, last)?;
                hop(ttl, 0, query.into(), sweep.round, 0)
            }
            Work::Explore { explorer, queue, asked } => {
                if queue.is_empty() {
                    asked.clear();
                    explorer.next(EXPLORE_ROOM, asked);
                    queue.extend(asked.iter().map(|&(flow, ttl)| (flow, ttl, 0)));
                }
                let (flow, ttl, tries) = queue.pop_front()?;
                hop(ttl, flow, flow, 1, tries)
            }
        }
    }

    /// The next time at which something is to be done although nothing comes.
    pub(super) fn wake_ns(&mut self) -> Option<u64> {
        self.reply_timeout.learn(&self.tally.hops);
        let timeout = self.flight.in_flight().map(|sent| self.deadline(&sent)).min();
        let round = match &self.work {
            // With a probe to send it is looked after again once that is sent.
            Work::Sweep(sweep) if self.pending.is_none() => sweep.next_round_ns(),
            Work::Sweep(_) | Work::Explore { .. } => None,
        };
        [timeout, round].into_iter().flatten().min()
    }

    /// When a probe is given up.
    fn deadline(&self, sent: &Sent) -> u64 {
        let wait = match sent.what.role {
            Role::Hop => self
                .reply_timeout
                .for_hop(usize::from(sent.what.numbers.ttl.saturating_sub(self.first))),
            Role::Size => {
                let silence = self.mtu.as_ref().is_some_and(PathMtu::expects_silence);
                self.reply_timeout.for_size(silence)
            }
        };
        sent.sent_ns.saturating_add(wait)
    }

    /// Gives up the next probe whose time has passed. Call until `None`. Probes behind the end of
    /// the path are forgotten without a word.
    pub(super) fn expire(&mut self, now: u64) -> Option<Sent> {
        self.reply_timeout.learn(&self.tally.hops);
        loop {
            let mut flight = std::mem::take(&mut self.flight);
            let late = flight.expire(now, |sent| self.deadline(sent));
            self.flight = flight;
            let sent = late?;
            if self.given_up(&sent, now) {
                return Some(sent);
            }
        }
    }

    /// Whether anybody wants to know.
    fn given_up(&mut self, sent: &Sent, now: u64) -> bool {
        let Numbers { ttl, flow, size, .. } = sent.what.numbers;
        match sent.what.role {
            Role::Size => {
                self.sized(ttl, size, Fate::Lost);
                self.last_event_ns = now;
                false
            }
            Role::Hop => {
                self.tally.settled(ttl, sent.what.lane);
                let matters = ttl <= self.last_hop();
                if let Work::Explore { explorer, queue, .. } = &mut self.work {
                    if sent.what.tries < REPEATS {
                        queue.push_back((flow, ttl, sent.what.tries + 1));
                    } else {
                        explorer.found(flow, ttl, Found::Silent);
                    }
                }
                if matters {
                    self.last_event_ns = now;
                }
                matters
            }
        }
    }

    fn sized(&mut self, ttl: u8, size: u16, fate: Fate) {
        let (first, distance) = (self.first, self.distance);
        if let Some(mtu) = &mut self.mtu {
            mtu.settle(ttl, size, fate, first, distance);
        }
    }

    /// What `answer`, which came at `at`, is about, and what it means.
    pub(super) fn answer(&mut self, answer: &Answer, at: u64, now: u64) -> Told {
        let number = answer.number.or_else(|| {
            // What the target itself says is about no TTL that a router used up.
            let beyond = self.tally.hops.iter().rposition(|hop| hop.received > 0);
            let next = |at| self.first.saturating_add(at as u8).saturating_add(1);
            let ttl = beyond.map_or(self.first, next);
            self.flight.guess(answer.flow.unwrap_or(0), self.distance.unwrap_or(ttl))
        });
        let Some(number) = number else { return Told::Foreign };
        let told = match self.flight.answer(number) {
            Match::First(sent) => Told::First(sent),
            Match::Late(sent) => Told::Late(sent),
            Match::Duplicate { probe: sent, .. } => Told::Duplicate(sent),
            Match::Unknown => return Told::Foreign,
        };
        match told {
            Told::First(sent) => {
                let reached = self.is_reached(answer);
                let matters = self.cut().is_none_or(|cut| sent.what.numbers.ttl <= cut);
                self.took(&sent, answer, at.checked_sub(sent.sent_ns), reached);
                if matters {
                    self.last_event_ns = now;
                }
            }
            Told::Late(_) => self.tally.late += 1,
            Told::Duplicate(_) => self.tally.duplicates += 1,
            Told::Foreign => {}
        }
        told
    }

    /// The probes that may have got to the target and were not answered.
    pub(super) fn unanswered_by_target(&self) -> impl Iterator<Item = Numbers> + '_ {
        let numbers = self.flight.unanswered().map(|sent| sent.what.numbers);
        numbers.filter(|numbers| self.distance.is_some_and(|distance| numbers.ttl >= distance))
    }

    /// Whether the target itself speaks, or a port of it.
    pub(super) fn is_reached(&self, answer: &Answer) -> bool {
        icmp_names::reaches(answer.kind, answer.from == self.goal.target)
    }

    fn took(&mut self, sent: &Sent, answer: &Answer, rtt_ns: Option<u64>, reached: bool) {
        let Numbers { ttl, flow, size, .. } = sent.what.numbers;
        let on_the_way = answer.kind == Kind::TimeExceeded;
        if sent.what.role == Role::Size {
            let fate = match (answer.kind.too_big(), reached) {
                (Some(mtu), _) => {
                    self.narrow(ttl, answer, mtu);
                    Fate::TooBig(mtu)
                }
                (None, true) => Fate::Passed,
                (None, false) if on_the_way => Fate::Expired,
                (None, false) => Fate::Refused,
            };
            return self.sized(ttl, size, fate);
        }
        self.tally.answered(ttl, sent.what.lane, answer, rtt_ns);
        if reached {
            self.distance = Some(self.distance.map_or(ttl, |known| known.min(ttl)));
        } else if !on_the_way {
            self.end = Some(self.end.map_or(ttl, |known| known.min(ttl)));
        } else if self.is_again() {
            // The way became longer than it was: the next round looks how long.
            self.distance = self.distance.filter(|&known| known > ttl);
            self.end = self.end.filter(|&known| known > ttl);
        }
        if let Work::Explore { explorer, .. } = &mut self.work {
            let from = answer.from;
            let found = if on_the_way { Found::Router(from) } else { Found::End(from) };
            explorer.found(flow, ttl, found);
        }
    }

    /// Whether this is not the first round.
    fn is_again(&self) -> bool {
        matches!(&self.work, Work::Sweep(sweep) if sweep.round > 1)
    }

    /// A router told the MTU of the link behind it. How far it is, the TTL that it quotes says.
    fn narrow(&mut self, ttl: u8, answer: &Answer, mtu: u32) {
        let by_ttl = answer.quoted_ttl.and_then(|left| (ttl + 1).checked_sub(left));
        let Some(at) = by_ttl.filter(|&at| at >= self.first && at <= self.max_hops) else { return };
        let hop = self.tally.hop(at);
        match hop.routers.iter_mut().find(|router| router.address == answer.from) {
            Some(router) => router.last.mtu = Some(mtu),
            None => hop.told_mtu = Some((answer.from, mtu)),
        }
    }

    /// Whether all is known that the plan asks for.
    pub(super) fn is_complete(&self) -> bool {
        let sizes = self.mtu.as_ref().is_none_or(PathMtu::is_done);
        self.pending.is_none() && sizes && self.hops_are_known()
    }

    fn hops_are_known(&self) -> bool {
        match &self.work {
            Work::Sweep(sweep) => {
                let last = self.last_hop();
                let count = usize::from(last.saturating_sub(self.first)) + 1;
                sweep.is_done(last) && self.tally.hops.iter().take(count).all(|hop| hop.open == 0)
            }
            Work::Explore { explorer, queue, .. } => queue.is_empty() && explorer.is_complete(),
        }
    }

    /// Forgets what no answer is expected to any more.
    pub(super) fn forget(&mut self, now: u64) {
        let kept = RETAIN_NS.saturating_add(self.reply_timeout.most_ns());
        self.flight.forget(now.saturating_sub(kept));
    }
}
