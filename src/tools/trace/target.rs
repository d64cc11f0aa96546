//! One target: which probe goes next, what an answer means, and when all is known.
//!
//! Knows no socket and no clock: times are parameters, packets are numbers and answers.

use super::again::Again;
use super::answer::{Answer, Kind};
use super::event::MtuHop;
use super::explore::Explorer;
use super::exploring::{Asked, Exploring};
use super::flight::{Flight, Match, Purpose, Role, Sent};
use super::path_end::{Meaning, PathEnd};
use super::path_mtu::{Fate, PathMtu};
use super::plan::{Plan, Protocol, Rounds};
use super::probe::Numbers;
use super::reply_timeout::ReplyTimeout;
use super::sweep::{Known, Sweep};
use super::tally::Tally;
use crate::tools::measure::pacer::ns;
use std::net::IpAddr;

mod end;
mod largest;
mod ports;
mod second_tries;

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
    /// Whether our link would take packets that are longer than that.
    pub(super) cut_by_frames: bool,
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
    Explore(Box<Exploring>),
}

/// The way to one target, as far as it is known.
pub(super) struct TargetTrace {
    goal: Goal,
    first: u8,
    max_hops: u8,
    work: Work,
    mtu: Option<PathMtu>,
    /// Who told the smallest MTU so far.
    mtu_hop: Option<MtuHop>,
    /// Sizes are probed when the hops are known, not beside them.
    mtu_last: bool,
    flight: Flight,
    pub(super) tally: Tally,
    pub(super) end: PathEnd,
    again: Again,
    /// Whether echo requests help where the probes are none themselves.
    echo_helps: bool,
    /// Whether the target answered an echo request among other probes, and whether it answered one
    /// of the others.
    echoed: bool,
    said: bool,
    /// The lane of second tries.
    again_lane: u16,
    /// Given up, behind the last that answers: whether anybody wants to know, a late try will show.
    held: Vec<Sent>,
    pending: Option<Wanted>,
    reply_timeout: ReplyTimeout,
    pub(super) started_ns: Option<u64>,
    pub(super) last_event_ns: u64,
}

impl TargetTrace {
    pub(super) fn new(plan: &Plan, goal: Goal) -> Self {
        let work = match plan.paths {
            Some(paths) => {
                Work::Explore(Box::new(Exploring::new(plan.first, plan.max_hops, paths)))
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
            mtu_hop: None,
            // A SYN with data would leave a connection in the way of the others.
            mtu_last: plan.protocol == Protocol::Tcp,
            flight: Flight::with_room(plan.ports_in_a_row()),
            tally: Tally::new(plan.first),
            end: PathEnd::default(),
            again: Again::default(),
            echo_helps: plan.protocol == Protocol::Udp,
            echoed: false,
            said: false,
            again_lane: plan.queries.into(),
            held: Vec::new(),
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
            Work::Explore(_) => u64::from(self.started_ns.is_some()),
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
            Work::Explore(exploring) => Some(&exploring.explorer),
            Work::Sweep(_) => None,
        }
    }

    /// What the sweep goes by.
    fn known(&self) -> Known {
        Known {
            last: (self.last_probed(), self.last_hop()),
            end: self.end.cut().is_some(),
            all_answered: self.flight.is_idle(),
        }
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
        if role == Role::Hop {
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
        let known = self.known();
        match &mut self.work {
            Work::Sweep(sweep) => match sweep.next(now, known) {
                Some((ttl, query)) => hop(ttl, 0, query.into(), sweep.round, 0),
                None => self.next_again(now, known),
            },
            Work::Explore(exploring) => {
                let Asked { flow, ttl, tries, check } = exploring.next(now)?;
                let role = if check { Role::Again } else { Role::Hop };
                Some(Wanted { role, ..hop(ttl, flow, flow, 1, tries)? })
            }
        }
    }

    /// The next time at which something is to be done although nothing comes.
    pub(super) fn wake_ns(&mut self) -> Option<u64> {
        self.reply_timeout.learn(&self.tally.hops);
        let timeout = self.flight.in_flight().map(|sent| self.deadline(&sent)).min();
        let work = match &self.work {
            // With a probe to send it is looked after again once that is sent.
            _ if self.pending.is_some() => None,
            Work::Sweep(sweep) => {
                let known = self.known();
                sweep.wake_ns(known).into_iter().chain(self.again_ns(known)).min()
            }
            Work::Explore(exploring) => exploring.wake_ns(),
        };
        [timeout, work].into_iter().flatten().min()
    }

    /// When a probe is given up.
    fn deadline(&self, sent: &Sent) -> u64 {
        let ttl = sent.what.numbers.ttl;
        let hop = || self.reply_timeout.for_hop(usize::from(ttl.saturating_sub(self.first)));
        let wait = match sent.what.role {
            Role::Hop | Role::Again if self.end.refusal().is_some_and(|end| ttl > end) => {
                self.reply_timeout.behind_refusal()
            }
            Role::Hop => hop(),
            Role::Again | Role::Echo => self.again_wait(sent, hop()),
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
        let Numbers { ttl, size, .. } = sent.what.numbers;
        match sent.what.role {
            Role::Size => {
                self.sized(ttl, size, Fate::Lost);
                self.last_event_ns = now;
                false
            }
            Role::Again | Role::Echo => {
                self.again.settled();
                if let Work::Explore(exploring) = &mut self.work {
                    exploring.lost(asked(sent), now);
                }
                false
            }
            Role::Hop => {
                self.tally.settled(ttl, sent.what.lane);
                if let Work::Explore(exploring) = &mut self.work {
                    exploring.lost(asked(sent), now);
                }
                if ttl > self.last_hop() {
                    return false;
                }
                if self.is_held(ttl) {
                    self.held.push(*sent);
                    return false;
                }
                self.last_event_ns = now;
                true
            }
        }
    }

    /// What `answer`, which came at `at`, is about, and what it means. `echo`: it is about one of
    /// the echo requests among other probes.
    pub(super) fn answer(&mut self, answer: &Answer, echo: bool, at: u64, now: u64) -> Told {
        let by_port = || answer.place.map(|place| self.flight.at_place(place));
        let number = answer.number.map(Some).or_else(by_port).unwrap_or_else(|| {
            // What the target itself says is about no TTL that a router used up.
            let ttl = self.tally.farthest().map_or(self.first, |ttl| ttl.saturating_add(1));
            self.flight.guess(answer.flow.unwrap_or(0), self.distance().unwrap_or(ttl))
        });
        let Some(number) = number else { return Told::Foreign };
        let is_echo = |sent: Sent| (sent.what.role == Role::Echo) == echo;
        if !self.flight.find(number).is_some_and(is_echo) {
            return Told::Foreign;
        }
        let told = match self.flight.answer(number) {
            Match::First(sent) => Told::First(sent),
            Match::Late(sent) if self.is_late_refusal(&sent, answer) => Told::First(sent),
            Match::Late(sent) => Told::Late(sent),
            Match::Duplicate { probe: sent, .. } => Told::Duplicate(sent),
            Match::Unknown => return Told::Foreign,
        };
        match told {
            Told::First(sent) => {
                let matters = self.end.cut().is_none_or(|cut| sent.what.numbers.ttl <= cut);
                self.took(&sent, answer, at.checked_sub(sent.sent_ns), now);
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
        numbers.filter(|numbers| self.distance().is_some_and(|distance| numbers.ttl >= distance))
    }

    /// Whether a probe with this number is under way.
    pub(super) fn waits_for(&self, number: u16) -> bool {
        self.flight.in_flight().any(|sent| sent.what.numbers.number == number)
    }

    fn took(&mut self, sent: &Sent, answer: &Answer, rtt_ns: Option<u64>, now: u64) {
        let Numbers { ttl, size, .. } = sent.what.numbers;
        let meaning = self.meaning(answer, sent);
        match sent.what.role {
            Role::Size => {
                let fate = match (answer.kind.too_big(), meaning) {
                    (Some(mtu), _) => {
                        self.narrow(ttl, answer, mtu);
                        Fate::TooBig(mtu)
                    }
                    (None, Meaning::Reached) => Fate::Passed,
                    (None, Meaning::OnTheWay) if answer.kind == Kind::TimeExceeded => Fate::Expired,
                    (None, Meaning::OnTheWay | Meaning::Refused) => Fate::Refused,
                };
                return self.sized(ttl, size, fate);
            }
            Role::Hop => self.tally.answered(ttl, sent.what.lane, answer, rtt_ns),
            Role::Again | Role::Echo => {
                self.again.settled();
                if sent.what.role == Role::Again {
                    self.again.answered(ttl);
                }
                // Rounds have as many probes as were asked for.
                if self.rounds() <= 1 || self.tally.received(ttl) == 0 {
                    self.tally.answered_again(ttl, sent.what.lane, answer, rtt_ns);
                }
            }
        }
        let by_echo = sent.what.role == Role::Echo;
        self.echoed |= by_echo && meaning == Meaning::Reached;
        self.said |= !by_echo && meaning == Meaning::Reached;
        self.end.took((sent.what.round, ttl), answer.from, meaning);
        if let Work::Explore(exploring) = &mut self.work {
            let end = meaning != Meaning::OnTheWay;
            exploring.answered(asked(sent), answer.from, end, now);
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
                let known = self.known();
                let count = usize::from(known.last.0.saturating_sub(self.first)) + 1;
                let settled = self.tally.hops.iter().take(count).all(|hop| hop.open == 0);
                settled && sweep.is_done(known) && self.is_asked_again(known)
            }
            Work::Explore(exploring) => exploring.is_complete(),
        }
    }

    /// Forgets what no answer is expected to any more.
    pub(super) fn forget(&mut self, now: u64) {
        let kept = RETAIN_NS.saturating_add(self.reply_timeout.most_ns());
        self.flight.forget(now.saturating_sub(kept));
    }
}

/// What `--paths` asked for.
fn asked(sent: &Sent) -> Asked {
    let Purpose { numbers, tries, role, .. } = sent.what;
    Asked { flow: numbers.flow, ttl: numbers.ttl, tries, check: role == Role::Again }
}
