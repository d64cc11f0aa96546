//! The numbers of one target.

use super::event::Summary;
use crate::tools::measure::duration_stats::DurationStats;
use crate::tools::measure::times::Times;
use std::net::IpAddr;

/// Rows of a histogram.
const ROWS: usize = 20;

/// What happened to the probes of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Probes that were due; also the sequence number of the last one.
    pub(super) sent: u64,
    /// Those of them that could not be sent.
    pub(super) unsent: u64,
    pub(super) received: u64,
    /// Given up, or not sent.
    pub(super) given_up: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) late: u64,
    pub(super) corrupt: u64,
    pub(super) bad_checksum: u64,
    pub(super) truncated: u64,
    pub(super) different_address: u64,
    /// ICMP errors, and probes that could not be sent.
    pub(super) errors: u64,
    /// When the first probe was due.
    pub(super) started_ns: Option<u64>,
    times: Times,
}

impl Tally {
    /// A reply in time; `None` where its time cannot be known.
    pub(super) fn reply(&mut self, rtt_ns: Option<u64>, reordered: bool) {
        self.received += 1;
        self.reordered += u64::from(reordered);
        self.time(rtt_ns);
    }

    /// A round-trip time; `None` where it cannot be known.
    pub(super) fn time(&mut self, rtt_ns: Option<u64>) {
        if let Some(ns) = rtt_ns {
            self.times.record(ns);
        }
    }

    /// The numbers so far. At the end of a run probes without an answer are lost, as ping counts
    /// them; in between only those that were given up.
    pub(super) fn summary(&self, target: &str, address: IpAddr, now_ns: u64, how: How) -> Summary {
        let sent = self.sent.saturating_sub(self.unsent);
        let lost = match how.moment {
            Moment::End => sent.saturating_sub(self.received),
            Moment::Between => self.given_up.saturating_sub(self.unsent),
        };
        let loss_pct = match (sent, self.unsent) {
            (0, 0) => 0.0,
            // Nothing got there.
            (0, _) => 100.0,
            _ => lost as f64 * 100.0 / sent as f64,
        };
        let rows =
            |stats: &DurationStats| if how.histogram { stats.buckets(ROWS) } else { Vec::new() };
        let (rtt_us, histogram) = self.times.with(|stats| (stats.summary(), rows(stats)));
        let elapsed_ns = self.started_ns.map_or(0, |start| now_ns.saturating_sub(start));
        Summary {
            target: target.to_owned(),
            address: Some(address),
            sent,
            unsent: self.unsent,
            received: self.received,
            lost,
            loss_pct,
            duplicates: self.duplicates,
            reordered: self.reordered,
            late: self.late,
            corrupt: self.corrupt,
            bad_checksum: self.bad_checksum,
            truncated_replies: self.truncated,
            different_address_replies: self.different_address,
            errors: self.errors,
            rtt_us,
            answerers: None,
            elapsed_s: elapsed_ns as f64 / 1e9,
            histogram,
            error: None,
            own_address: false,
        }
    }
}

/// Which summary is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) moment: Moment,
    pub(super) histogram: bool,
}

/// When a summary is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// While the run goes on.
    Between,
    /// After its last probe.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_in_flight_is_lost_at_the_end_and_not_before() {
        let tally = Tally { sent: 4, received: 2, given_up: 1, ..Tally::default() };
        let at =
            |moment| tally.summary("x", [10, 0, 0, 2].into(), 0, How { moment, histogram: false });
        assert_eq!((at(Moment::Between).lost, at(Moment::End).lost), (1, 2));
        assert_eq!(at(Moment::End).loss_pct, 50.0);
    }

    #[test]
    fn what_was_not_sent_is_not_lost_but_where_nothing_was_sent_all_is() {
        let numbers = |sent, unsent, received| {
            let tally =
                Tally { sent, unsent, received, given_up: sent - received, ..Tally::default() };
            let ends = [Moment::Between, Moment::End].map(|moment| {
                let how = How { moment, histogram: false };
                let summary = tally.summary("x", [10, 0, 0, 2].into(), 0, how);
                (summary.sent, summary.lost, summary.loss_pct)
            });
            assert_eq!(ends[0], ends[1]);
            ends[1]
        };
        assert_eq!(numbers(20, 4, 16), (16, 0, 0.0));
        assert_eq!(numbers(6, 3, 2), (3, 1, 100.0 / 3.0));
        assert_eq!(numbers(5, 5, 0), (0, 0, 100.0));
        assert_eq!(numbers(0, 0, 0), (0, 0, 0.0));
    }
}
