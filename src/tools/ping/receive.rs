//! [`Reader`]: what came: each answer to its probe, everything else counted.

use super::answer::{self, EchoError, EchoReply, Seen};
use super::event::{Event, Reply};
use super::ids::EchoIds;
use super::progress::Progress;
use super::reporter::{Reporter, Times};
use super::sequences::{Answer, Probe};
use crate::tools::probe::{Arrival, Path};

/// What it takes to read an answer.
pub(super) struct Reader<'r, 'a> {
    pub(super) paths: &'r [Path],
    pub(super) ids: &'r EchoIds,
    /// Of all probes.
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
        if ours.is_some() { Arrival::Ours } else { Arrival::Foreign }
    }

    /// `None` if it answers none of our probes.
    fn reply(&mut self, reply: &EchoReply<'_>, times: Times) -> Option<()> {
        if !self.ids.is_own(reply.payload, self.payload.len()) {
            return None;
        }
        let last = |target: usize| self.progress.last_sequence(target);
        let (target, seq) = self.ids.find(reply.from, reply.id, reply.seq, last)?;
        let path = self.paths.get(target).filter(|path| path.source == reply.to)?;
        let rtt = |probe: Probe| times.at.checked_sub(probe.sent_ns);
        let (event, rtt_ns, reordered): (fn(Reply) -> Event, _, _) =
            if !reply.intact || reply.payload != self.payload {
                self.progress.corrupt(target);
                (Event::Corrupt, None, false)
            } else {
                match self.progress.answered(target, seq, times.at) {
                    Answer::First { probe, reordered } => (Event::Reply, rtt(probe), reordered),
                    Answer::Duplicate { probe, .. } => (Event::Duplicate, rtt(probe), false),
                    Answer::Late { probe } => (Event::Late, rtt(probe), false),
                    Answer::Unknown => (Event::Late, None, false),
                }
            };
        self.reporter.reply(path, reply, event, (seq, rtt_ns, reordered), times);
        Some(())
    }

    /// `None` if it is about none of our probes.
    fn error(&mut self, error: &EchoError, times: Times) -> Option<()> {
        let (source, destination) = error.probe;
        let quoted = error.payload.as_ref().map_or(&[][..], |first| first);
        if !self.ids.is_own(quoted, self.payload.len()) {
            return None;
        }
        let last = |target: usize| self.progress.last_sequence(target);
        let (target, seq) = self.ids.find(destination, error.id, error.seq, last)?;
        let path = self.paths.get(target).filter(|path| path.source == source)?;
        let mut rtt_ns = None;
        if error.report.is_final() {
            // What was said before, or is about a probe that is forgotten, is nothing new.
            let Some(probe) = self.progress.failed(target, seq) else { return Some(()) };
            rtt_ns = times.at.checked_sub(probe.sent_ns);
        }
        self.reporter.error(path, error, seq, rtt_ns);
        Some(())
    }
}
