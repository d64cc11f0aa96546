//! What a run tells of its targets, in between and at its end.

use super::event::{Event, Summary};
use super::plan::Outcome;
use super::run::Run;
use super::session::{Goal, Session};
use crate::tools::session::losses::{self, Seen};

impl Run<'_> {
    /// A session has come to its end.
    pub(super) fn end(&mut self, at: usize) {
        let summary = self.summary(at);
        self.leave_nothing_open(at);
        self.members[at].session = None;
        (self.members[at].reached, self.members[at].done) = (summary.reached, true);
        match self.names {
            // Names may still come.
            Some(_) => self.summaries.push((at as u32, summary)),
            None => (self.sink)(Event::Summary(summary)),
        }
    }

    /// An open port may still answer probes that nobody waits for, and the answers find nobody here
    /// to reset them: that is done now.
    fn leave_nothing_open(&mut self, at: usize) {
        let member = &self.members[at];
        let (Some(session), Some(template)) = (&member.session, &member.template) else { return };
        if !member.open_port {
            return;
        }
        let now = self.sender.tx.now();
        for numbers in session.unanswered_by_target() {
            let Some(mut packet) = self.sender.tx.alloc(template.rst_len()) else { return };
            if packet.set_len(template.rst_len()).is_ok() {
                let ack = template.acknowledged(&numbers);
                template.rst(numbers.flow, numbers.number, ack, packet.data_mut());
                self.sender.put(packet, now);
            }
        }
    }

    /// What is known of one target.
    fn summary(&mut self, at: usize) -> Summary {
        let path = &self.journey.paths[at];
        let mut summary = match &self.members[at].session {
            Some(session) => session.summary(&path.name, path.address, self.plan.paths),
            None => Session::new(self.plan, Goal { target: path.address, size: 0, sizes: (0, 0) })
                .summary(&path.name, path.address, self.plan.paths),
        };
        self.name(&mut summary);
        summary
    }

    /// Puts the names that are known into a summary.
    fn name(&mut self, summary: &mut Summary) {
        let Some(names) = &mut self.names else { return };
        for router in summary.hops.iter_mut().flat_map(|hop| &mut hop.routers) {
            router.name = names.get(router.addr).map(str::to_owned);
        }
    }

    /// Tells the numbers so far to those who ask for them.
    pub(super) fn interim(&mut self) {
        let asked = self.control.interim();
        if asked == self.interim_seen {
            return;
        }
        self.interim_seen = asked;
        for at in 0..self.members.len() {
            if self.members[at].session.is_some() {
                self.tell_interim(at);
            }
        }
    }

    /// The numbers of one target while the run goes on.
    pub(super) fn tell_interim(&mut self, at: usize) {
        let summary = self.summary(at);
        (self.sink)(Event::Interim(summary));
    }

    /// Why packets were lost, the summaries that were not told, and what it all came to. The link
    /// went or came `link_changes` times meanwhile.
    pub(super) fn finish(&mut self, link_changes: u32) -> Outcome {
        for there in losses::elsewhere(&self.rx) {
            (self.sink)(Event::Elsewhere(there));
        }
        let seen = Seen {
            lost: self.lost,
            link_changes,
            roomless: self.sender.roomless,
            unsent: 0,
            too_long: self.sender.too_long,
            device: &self.journey.link.device,
        };
        for note in losses::notes(&mut self.rx, &mut self.sender.tx, &mut self.inbox, &seen) {
            (self.sink)(Event::Note(note));
        }
        if let Some(names) = &mut self.names {
            names.settle();
        }
        // Those that were interrupted, or never begun.
        let left: Vec<_> = (0..self.members.len()).filter(|&at| !self.members[at].done).collect();
        left.into_iter().for_each(|at| self.end(at));
        // What they had to say at parting; if it cannot be said, the targets give up by themselves.
        let now = self.sender.tx.now();
        let _ = self.sender.finish(now, |_, _| {});
        let mut summaries = std::mem::take(&mut self.summaries);
        summaries.sort_by_key(|summary| summary.0);
        for (_, mut summary) in summaries {
            self.name(&mut summary);
            (self.sink)(Event::Summary(summary));
        }
        Outcome {
            reached: self.members.iter().filter(|member| member.reached).count(),
            targets: self.members.len(),
            foreign: self.foreign,
            malformed: self.malformed,
            unstamped: self.unstamped,
        }
    }
}
