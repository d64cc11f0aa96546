//! When hops are asked once more, and what a lost link takes with it.

use super::{Answer, Known, Meaning, Role, Sent, TargetTrace, Wanted, Work};
use crate::tools::trace::again::{EARLY, Try};

/// A late try is waited for so long where a router may look for its neighbour: Linux does so for three
/// seconds from the first probe on, which left a second or more before.
const LOOKS_FOR_NS: u64 = 2_500_000_000;
/// With a shorter `--wait` it is not.
const PATIENT_NS: u64 = 1_000_000_000;

impl TargetTrace {
    /// Whether second tries are made now: when all else of a round was sent.
    fn may_ask_again(&self, known: Known) -> bool {
        matches!(&self.work, Work::Sweep(sweep) if sweep.is_round_sent(known))
    }

    /// Whether no further round asks the same again.
    fn is_last_round(&self) -> bool {
        matches!(&self.work, Work::Sweep(sweep) if sweep.is_last_round())
    }

    /// Whether the target was seen to limit its answers: to echo requests it gave them, or with
    /// `--paths` when it was asked more slowly.
    pub(crate) fn is_limited_target(&self) -> bool {
        match &self.work {
            Work::Sweep(_) => self.echoed && self.said && self.again.shows_a_limit(),
            Work::Explore(exploring) => {
                self.distance().is_some_and(|ttl| exploring.was_limited(ttl))
            }
        }
    }

    /// Whether the target answered echo requests alone, and none of the probes that were asked for.
    pub(crate) fn is_echo_only(&self) -> bool {
        self.echoed && !self.said
    }

    /// Whether the search for paths took too long.
    pub(crate) fn was_stopped(&self) -> bool {
        matches!(&self.work, Work::Explore(exploring) if exploring.was_stopped())
    }

    /// Whether this hop is behind all routers that answer: it may be the target, also where that
    /// answered a larger TTL alone.
    fn is_tail(&self, ttl: u8) -> bool {
        self.end.refusal().is_none() && self.end.last_router().is_none_or(|last| ttl > last)
    }

    /// Whether it is not yet known if anybody wants to know that this hop is silent.
    pub(super) fn is_held(&self, ttl: u8) -> bool {
        let open = self.is_last_round() && self.end.cut().is_none();
        open && self.is_tail(ttl) && self.again.is_late_to_come()
    }

    /// Whether a router says of a probe that was given up, while it is asked for once more, that it
    /// got no further. That is in time, then.
    pub(super) fn is_late_refusal(&mut self, sent: &Sent, answer: &Answer) -> bool {
        let open = self.end.cut().is_none() && self.meaning(answer, sent) == Meaning::Refused;
        let held = self.held.iter().position(|held| held.serial == sent.serial);
        let Some(at) = held.filter(|_| open) else { return false };
        self.held.swap_remove(at);
        self.tally.unsettled(sent.what.numbers.ttl, sent.what.lane);
        true
    }

    /// The probes that were given up and kept, for those that turned out to matter.
    pub(crate) fn take_held(&mut self) -> Vec<Sent> {
        let last = self.last_hop();
        let mut held = std::mem::take(&mut self.held);
        held.retain(|sent| sent.what.numbers.ttl <= last);
        held
    }

    /// The next second try.
    pub(super) fn next_again(&mut self, now: u64, known: Known) -> Option<Wanted> {
        if !self.may_ask_again(known) {
            return None;
        }
        self.ask_early(now);
        if let Some(ttl) = self.end.distance().filter(|_| self.echoed) {
            self.again.control(ttl);
        }
        if self.is_late_due() {
            self.ask_late();
        }
        let Try { ttl, echo, which } = self.again.next(now, self.last_hop())?;
        let role = if echo { Role::Echo } else { Role::Again };
        let (size, lane, round) = (self.goal.size, self.again_lane, self.rounds().max(1));
        Some(Wanted { ttl, flow: 0, size, lane, round, tries: which, role })
    }

    /// Probes without an answer, and when half of their wait is over.
    fn half_waited(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        let last = self.last_hop();
        // Where probes leave slowly, the first were given up long before the last is sent.
        let nearer = self.first..self.end.distance().unwrap_or(self.first);
        let given_up = nearer.filter(|&ttl| {
            !self.again.had(ttl) && self.is_silent(ttl) && self.tally.is_settled(ttl)
        });
        let hops = self.flight.in_flight().filter(|sent| sent.what.role == Role::Hop);
        let of_interest = hops.filter(move |sent| {
            let ttl = sent.what.numbers.ttl;
            ttl <= last && !self.again.had(ttl) && self.is_silent(ttl)
        });
        let half = of_interest.map(|sent| {
            let wait = self.deadline(&sent).saturating_sub(sent.sent_ns);
            (sent.what.numbers.ttl, sent.sent_ns.saturating_add(wait / 2))
        });
        half.chain(given_up.map(|ttl| (ttl, 0)))
    }

    /// Whether a hop did not answer; of the target also not always, as it may limit its answers,
    /// and an echo request shows it.
    fn is_silent(&self, ttl: u8) -> bool {
        let target = self.echo_helps && self.end.distance() == Some(ttl);
        target || self.is_last_round() && self.tally.received(ttl) == 0
    }

    fn ask_early(&mut self, now: u64) {
        let due: Vec<u8> =
            self.half_waited().filter(|&(_, at)| at <= now).map(|(ttl, _)| ttl).collect();
        for ttl in due {
            let target = self.is_tail(ttl) || self.end.distance() == Some(ttl);
            self.again.early(ttl, self.echo_helps && target);
        }
    }

    /// Whether it is time for late tries: all else was answered or given up.
    fn is_late_due(&self) -> bool {
        let settled = self.tally.hops.iter().all(|hop| hop.open == 0);
        settled
            && self.is_last_round()
            && self.again.is_idle()
            && self.again.is_late_to_come()
            && self.end.cut().is_none()
    }

    fn ask_late(&mut self) {
        let silent = |ttl: &u8| self.tally.received(*ttl) == 0 && self.is_tail(*ttl);
        let ttls: Vec<u8> = (self.first..=self.max_hops).filter(silent).collect();
        self.again.late(ttls.into_iter(), self.echo_helps);
    }

    /// When the next second try is due.
    pub(super) fn again_ns(&self, known: Known) -> Option<u64> {
        if !self.may_ask_again(known) {
            return None;
        }
        self.half_waited().map(|(_, at)| at).chain(self.again.wake_ns()).min()
    }

    /// How long a second try is waited for: an early one no longer than the first ones, about.
    pub(super) fn again_wait(&self, sent: &Sent, hop_ns: u64) -> u64 {
        if sent.what.tries == EARLY {
            return hop_ns / 2;
        }
        let next = self.end.last_router().map(|last| last.saturating_add(1));
        // The last router may look for the target, and says so when it did not find it. Who waits for
        // less than a second does not want to know.
        let may_look = self.end.cut().is_none() && next == Some(sent.what.numbers.ttl);
        if may_look && self.reply_timeout.most_ns() >= PATIENT_NS {
            hop_ns.max(LOOKS_FOR_NS)
        } else {
            hop_ns
        }
    }

    /// Whether nothing is left to be asked again.
    pub(super) fn is_asked_again(&self, known: Known) -> bool {
        let asked = !self.echoed || self.again.is_controlled();
        !self.may_ask_again(known) || self.again.is_idle() && asked && !self.is_late_due()
    }

    /// The link was lost, and with it what was under way: that is sent once more.
    pub(crate) fn link_lost(&mut self, now: u64) {
        let lost: Vec<Sent> = self.flight.in_flight().collect();
        for sent in lost {
            let ttl = sent.what.numbers.ttl;
            match (&mut self.work, sent.what.role) {
                (_, Role::Size) => continue,
                (Work::Sweep(sweep), Role::Hop) => {
                    if sent.what.round < sweep.round {
                        continue;
                    }
                    sweep.redo(ttl, sent.what.lane as u8);
                    self.tally.unsent(ttl);
                }
                (Work::Sweep(_), Role::Again | Role::Echo) => self.again.settled(),
                (Work::Explore(exploring), role) => {
                    if role == Role::Hop {
                        self.tally.unsent(ttl);
                    }
                    exploring.redo(super::asked(&sent), now);
                }
            }
            self.flight.give_up(sent.serial);
        }
    }
}
