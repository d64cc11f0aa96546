//! [`Reader`]: what came: each answer to its probe, everything else counted.

use super::answer::{self, Answer, Kind, Seen};
use super::event::{Event, Reply};
use super::members::Members;
use super::outgoing::Outgoing;
use super::reports::Reports;
use super::target::Told;
use super::turns::Turns;
use crate::tools::probe::{Arrival, Outlet, Path};

/// What it takes to read an answer.
pub(super) struct Reader<'r, 'a> {
    pub(super) paths: &'r [Path],
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
        match answer::read(frame, &self.outgoing.identity) {
            Seen::Answer(answer) => self.answer(&answer, (at, now), outlet),
            Seen::Foreign => Arrival::Foreign,
            Seen::Malformed => Arrival::Malformed,
        }
    }

    fn answer(
        &mut self,
        answer: &Answer,
        (at, now): (u64, u64),
        outlet: &mut Outlet<'_>,
    ) -> Arrival {
        let found = self.members.find(answer.target);
        let source = |member: u32| self.paths[member as usize].source;
        let Some(member) = found.filter(|&member| source(member) == answer.to) else {
            return Arrival::Foreign;
        };
        if let Kind::SynAck { ack } = answer.kind {
            self.members.get(member).open_port = true;
            self.outgoing.reset(outlet, member, answer, ack, now);
        }
        // Behind the end of a path answers come that nobody waits for.
        let Some(trace) = self.members.trace(member) else { return Arrival::Ours };
        let told = trace.answer(answer, at, now);
        let reached = trace.is_reached(answer);
        let (event, sent): (fn(Reply) -> Event, _) = match told {
            Told::First(sent) => (Event::Reply, sent),
            Told::Late(sent) => (Event::Late, sent),
            Told::Duplicate(sent) => (Event::Duplicate, sent),
            Told::Foreign => return Arrival::Foreign,
        };
        self.turns.heard_from(member);
        let target = &self.paths[member as usize].name;
        self.reports.answer(target, answer, (event, &sent), at, reached);
        Arrival::Ours
    }
}
