//! [`Reader`]: what came: each answer to its probe, everything else counted.

use super::answer::{self, Answer, Kind, Seen};
use super::event::{Event, Reply};
use super::members::Members;
use super::outgoing::Outgoing;
use super::plan::Protocol;
use super::reports::Reports;
use super::target::Told;
use super::turns::Turns;
use crate::tools::probe::{Arrival, Outlet, ProbeTargets};

/// With no more targets than that, answers are looked for under addresses that were not asked.
const FEW: usize = 8;

/// What it takes to read an answer.
pub(super) struct Reader<'r, 'a> {
    pub(super) targets: &'r ProbeTargets,
    pub(super) members: &'r mut Members,
    pub(super) outgoing: &'r Outgoing,
    pub(super) turns: &'r mut Turns,
    pub(super) reports: &'r mut Reports<'a>,
}

impl Reader<'_, '_> {
    /// Reads a frame, which came at `at`.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        (at, now): (u64, u64),
        outlet: &mut Outlet<'_>,
    ) -> Arrival {
        let mut echo = false;
        let mut seen = answer::read(frame, &self.outgoing.identity);
        if let (Seen::Foreign, Some(identity)) = (&seen, &self.outgoing.echo) {
            seen = answer::read(frame, identity);
            echo = true;
        }
        if matches!(seen, Seen::Foreign) && self.outgoing.identity.protocol == Protocol::Tcp {
            seen = self.connection_of_another(frame);
            echo = false;
        }
        match seen {
            Seen::Answer(answer) => self.answer(&answer, echo, (at, now), outlet),
            Seen::Foreign => Arrival::Foreign,
            Seen::Malformed => Arrival::Malformed,
        }
    }

    /// What a frame says if it comes from another address than the target's: by the number that it
    /// acknowledges, which depends on the target.
    fn connection_of_another(&mut self, frame: &[u8]) -> Seen {
        if self.targets.paths.len() > FEW {
            return Seen::Foreign;
        }
        let identity = &self.outgoing.identity;
        let as_any = self.targets.paths.iter().map(|path| {
            let seen = answer::read_as(frame, identity, Some(path.address));
            match seen {
                Seen::Answer(answer) if answer.number.is_none() => Seen::Foreign,
                seen => seen,
            }
        });
        as_any.into_iter().find(|seen| *seen != Seen::Foreign).unwrap_or(Seen::Foreign)
    }

    fn answer(
        &mut self,
        answer: &Answer,
        echo: bool,
        (at, now): (u64, u64),
        outlet: &mut Outlet<'_>,
    ) -> Arrival {
        let found = self.members.find(answer.target).or_else(|| self.elsewhere(answer));
        let source = |member: u32| self.targets.paths[member as usize].source;
        let Some(member) = found.filter(|&member| source(member) == answer.to) else {
            return Arrival::Foreign;
        };
        if let Kind::SynAck { ack } = answer.kind {
            self.members.get(member).open_port = true;
            self.outgoing.reset(outlet, member, answer, ack, now);
        }
        // Behind the end of a path answers come that nobody waits for.
        let ours = Arrival::Ours(self.targets.paths[member as usize].link);
        let Some(trace) = self.members.trace(member) else { return ours };
        let told = trace.answer(answer, echo, at, now);
        let state = trace.port_of(answer);
        let state = state.map(|state| trace.port_state().unwrap_or(state));
        let (event, sent): (fn(Reply) -> Event, _) = match told {
            Told::First(sent) => (Event::Reply, sent),
            Told::Late(sent) => (Event::Late, sent),
            Told::Duplicate(sent) => (Event::Duplicate, sent),
            Told::Foreign => return Arrival::Foreign,
        };
        let reached = trace.is_reached(answer, &sent);
        self.turns.heard_from(member);
        let target = &self.targets.paths[member as usize].name;
        let target = (target.as_str(), self.targets.zone(member));
        self.reports.answer(target, answer, (event, &sent), at, (reached, state));
        ours
    }

    /// The target that answered from another address than it was asked at: the only one that waits
    /// for this answer.
    fn elsewhere(&mut self, answer: &Answer) -> Option<u32> {
        if answer.quoted_ttl.is_some() {
            return None;
        }
        if answer.kind == Kind::UdpReply && self.targets.paths.len() == 1 {
            return Some(0);
        }
        let number = answer.number?;
        let mut waiting = self.members.in_progress();
        let members = &mut *self.members;
        waiting.retain(|&at| members.trace(at).is_some_and(|trace| trace.waits_for(number)));
        <[u32; 1]>::try_from(waiting).ok().map(|[at]| at)
    }
}
