//! The numbers of a run, in between and at its end, and why packets were lost.

use super::event::{Elsewhere, Event, Note, NoteKind};
use super::plan::Outcome;
use super::run::Run;
use super::tally::{How, Moment};
use std::sync::atomic::Ordering;

/// Packets that do not move for this long, however often the kernel is told of them, are stuck.
const STUCK_NS: u64 = 10_000_000;

impl Run<'_> {
    pub(super) fn interim(&mut self) {
        let asked = self.control.interim.load(Ordering::Relaxed);
        if asked == self.interim_seen {
            return;
        }
        self.interim_seen = asked;
        let now = self.tx.now();
        let how = How { moment: Moment::Between, histogram: self.plan.histogram };
        for (member, path) in self.members.iter().zip(&self.journey.paths) {
            let summary = member.tally.summary(&path.name, path.address, now, how);
            (self.sink)(Event::Interim(summary));
        }
    }

    /// Why packets were lost, summaries, and what it all came to. The link went or came
    /// `link_changes` times meanwhile.
    pub(super) fn finish(&mut self, link_changes: u32) -> Outcome {
        let now = self.tx.now();
        // An interface that is gone has no counters, and its run ended with that error.
        for count in self.rx.queue_counters().unwrap_or_default() {
            if count.no_socket > 0 {
                let there = Elsewhere { queue: count.queue, packets: count.no_socket };
                (self.sink)(Event::Elsewhere(there));
            }
        }
        for note in self.losses(link_changes) {
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

    /// What our own sockets' counters and rings say about packets that were lost.
    fn losses(&mut self, link_changes: u32) -> Vec<Note> {
        let stats = self.rx.kernel_stats().unwrap_or_default();
        let (dropped, empty) = (stats.rx_dropped, stats.rx_fill_ring_empty_descs);
        let lost = self.members.iter().any(|member| member.tally.given_up > 0);
        let mut notes = Vec::new();
        let mut note = |kind, count, text| notes.push(Note { kind, count, text });
        match (dropped, empty) {
            (0, 0) => {}
            // Zero-copy drivers fetch frames ahead: that alone loses nothing.
            (0, _) if !lost => {}
            (0, _) => note(
                NoteKind::Starved,
                empty,
                format!(
                    "packets were lost, and the driver found the fill ring empty {empty} times"
                ),
            ),
            (_, 0) => note(
                NoteKind::Dropped,
                dropped,
                format!("the kernel dropped {dropped} of our packets: they do not fit a frame"),
            ),
            _ => note(
                NoteKind::Starved,
                dropped,
                format!(
                    "the kernel dropped {dropped} of our packets: it found the fill ring empty \
                     {empty} times (starved)"
                ),
            ),
        }
        if let full @ 1.. = stats.rx_ring_full {
            let text = format!(
                "the kernel dropped {full} of our packets: the RX ring was full (we read too slowly)"
            );
            note(NoteKind::SlowApplication, full, text);
        }
        if link_changes > 0 {
            let name = &self.journey.link.device;
            let times = if link_changes == 1 { "once" } else { &format!("{link_changes} times") };
            let text = format!(
                "the carrier of {name} changed {times}: what was on its way without it is lost"
            );
            note(NoteKind::LinkFlap, u64::from(link_changes), text);
        }
        let (stuck, roomless) = (self.stuck(), self.roomless);
        if stuck + roomless > 0 {
            let more = if roomless > 0 {
                format!(", and {roomless} more found no room")
            } else {
                String::new()
            };
            let are = if stuck == 1 { "packet was" } else { "packets were" };
            let text = format!(
                "{stuck} {are} never sent: the kernel leaves them in the TX ring, however often it \
                 is told{more} (stuck TX)"
            );
            notes.push(Note { kind: NoteKind::StuckTx, count: stuck + roomless, text });
        }
        notes
    }

    /// Packets in the TX ring that do not move. A driver that is at work gets the time to go on.
    fn stuck(&mut self) -> u64 {
        let before = self.tx.pending();
        if before == 0 {
            return 0;
        }
        let until = self.tx.now().saturating_add(STUCK_NS);
        // The interface may be gone: that was told as the run's error.
        while self.tx.flush().is_ok() && self.tx.pending() == before {
            if self.tx.now() >= until {
                return u64::from(before);
            }
            // What comes now comes too late; waiting for it drives transmission, too.
            if self.rx.recv_batch(&mut self.inbox, Some(until)).is_err() {
                break;
            }
            self.inbox.clear();
        }
        0
    }
}
