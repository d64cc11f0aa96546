//! The numbers of a run, in between and at its end.

use super::event::Event;
use super::plan::Outcome;
use super::run::Run;
use super::tally::{How, Moment};
use crate::tools::session::losses::{self, Seen};

impl Run<'_> {
    pub(super) fn interim(&mut self) {
        let asked = self.control.interim();
        if asked == self.interim_seen {
            return;
        }
        self.interim_seen = asked;
        let now = self.sender.tx.now();
        let how = How { moment: Moment::Between, histogram: self.plan.histogram };
        for (member, path) in self.members.iter().zip(&self.journey.paths) {
            let summary = member.tally.summary(&path.name, path.address, now, how);
            (self.sink)(Event::Interim(summary));
        }
    }

    /// Why packets were lost, summaries, and what it all came to. The link went or came
    /// `link_changes` times meanwhile.
    pub(super) fn finish(&mut self, link_changes: u32) -> Outcome {
        let now = self.sender.tx.now();
        for there in losses::elsewhere(&self.rx) {
            (self.sink)(Event::Elsewhere(there));
        }
        let lost = self.members.iter().any(|member| member.tally.given_up > 0);
        let seen = Seen {
            lost,
            link_changes,
            roomless: self.sender.roomless,
            unsent: self.unsent,
            too_long: self.sender.too_long,
            device: &self.journey.link.device,
        };
        for note in losses::notes(&mut self.rx, &mut self.sender.tx, &mut self.inbox, &seen) {
            (self.sink)(Event::Note(note));
        }
        let how = How { moment: Moment::End, histogram: self.plan.histogram };
        for (member, path) in self.members.iter().zip(&self.journey.paths) {
            let summary = member.tally.summary(&path.name, path.address, now, how);
            (self.sink)(Event::Summary(summary));
        }
        let enough = match (self.plan.count, self.plan.deadline) {
            (Some(count), Some(_)) => count,
            _ => 1,
        };
        Outcome {
            answered: self.members.iter().filter(|m| m.tally.received >= enough).count(),
            targets: self.members.len(),
            foreign: self.foreign,
            malformed: self.malformed,
            unstamped: self.unstamped,
        }
    }
}
