//! [`Reader`]: what came: each answer to its probe, everything else counted.

use super::answer::{self, EchoError, EchoReply, Seen};
use super::event::{Event, Reply};
use super::ids::EchoIds;
use super::mark::{self, Claim, Mark};
use super::progress::{Answered, Odd, Progress};
use super::reporter::{Facts, Reporter, Times};
use super::sequences::Probe;
use crate::tools::probe::{Arrival, ProbeTargets};
use std::net::IpAddr;

/// What it takes to read an answer.
pub(super) struct Reader<'r, 'a> {
    pub(super) targets: &'r ProbeTargets,
    pub(super) ids: &'r EchoIds,
    /// Of all probes, but for their marks.
    pub(super) payload: &'r [u8],
    pub(super) progress: &'r mut Progress,
    pub(super) reporter: &'r mut Reporter<'a>,
}

impl Reader<'_, '_> {
    /// Reads a frame.
    pub(super) fn take(&mut self, frame: &[u8], times: Times) -> Arrival {
        let ours = match answer::read(frame) {
            Seen::Reply(reply) => self.reply(&reply, times),
            Seen::Error(error) => self.error(&error, times),
            Seen::Foreign => None,
            Seen::Malformed => return Arrival::Malformed,
        };
        ours.map_or(Arrival::Foreign, Arrival::Ours)
    }

    /// The link that the probe left by; `None` if it answers none of ours.
    fn reply(&mut self, reply: &EchoReply<'_>, times: Times) -> Option<usize> {
        let claim = match Claim::read(reply.payload, self.payload) {
            // What a packet with a wrong checksum says is not to be believed.
            _ if !reply.intact => Claim::Silent,
            Claim::Foreign => return None,
            claim => claim,
        };
        let (target, seq) = self.find(reply.from, (reply.id, reply.seq), claim)?;
        let path = self.targets.paths.get(target).filter(|path| path.source == reply.to)?;
        let took = |probe: Probe| times.at.checked_sub(probe.sent_ns);
        let mut facts = Facts { seq, ..Facts::default() };
        if !reply.intact {
            let probe = self.progress.bad_checksum(target, seq);
            facts.rtt_ns = probe.and_then(took);
            self.reporter.reply((self.targets, path), reply, Event::Corrupt, &facts, times);
            return Some(path.link);
        }
        let mark = Mark::of(target as u32, seq);
        facts.wrong = mark::difference(reply.payload, self.payload, mark);
        facts.odd = Odd {
            truncated: reply.payload.len() < self.payload.len(),
            different_address: !path.multicast && path.address != reply.from,
            changed: facts.wrong.is_some(),
        };
        let event: fn(Reply) -> Event =
            match self.progress.answered(target, seq, (reply.from, times.at)) {
                Answered::InTime { probe, reordered } => {
                    (facts.rtt_ns, facts.reordered) = (took(probe), reordered);
                    Event::Reply
                }
                Answered::Duplicate(probe) => {
                    facts.rtt_ns = took(probe);
                    Event::Duplicate
                }
                Answered::Late(probe) => {
                    facts.rtt_ns = probe.and_then(took);
                    Event::Late
                }
            };
        if facts.odd != Odd::default() {
            self.progress.odd(target, facts.odd);
        }
        self.reporter.reply((self.targets, path), reply, event, &facts, times);
        Some(path.link)
    }

    /// The link that the probe left by; `None` if it is about none of ours.
    fn error(&mut self, error: &EchoError<'_>, times: Times) -> Option<usize> {
        let (source, destination) = error.probe;
        let claim = match Claim::read(error.payload, self.payload) {
            Claim::Foreign => return None,
            claim => claim,
        };
        let (target, seq) = self.find(destination, (error.id, error.seq), claim)?;
        let path = self.targets.paths.get(target).filter(|path| path.source == source)?;
        let mut rtt_ns = None;
        if error.report.is_final() {
            // What was said before, or is about a probe that is forgotten, is nothing new.
            let Some(probe) = self.progress.failed(target, seq) else { return Some(path.link) };
            rtt_ns = times.at.checked_sub(probe.sent_ns);
        }
        self.reporter.error((self.targets, path), error, seq, rtt_ns);
        Some(path.link)
    }

    /// The target and the number of the probe that an answer is about.
    fn find(&self, address: IpAddr, numbers: (u16, u16), claim: Claim) -> Option<(usize, u64)> {
        self.ids.find(address, numbers, claim, |target| self.progress.last_sequence(target))
    }
}
