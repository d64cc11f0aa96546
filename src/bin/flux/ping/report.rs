//! The summaries as a report: one row per target.

use crate::output::{Column, Report, Show, When, column};
use fluxnet::tools::ping::{Event, Summary};

/// The summaries of a run, each as the event it came in.
#[derive(Default)]
pub struct Summaries(Vec<Event>);

impl Summaries {
    /// One more, which must be an [`Event::Summary`]; others are not shown as text.
    pub fn push(&mut self, event: Event) {
        self.0.push(event);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers in them.
    pub fn each(&self) -> impl Iterator<Item = &Summary> {
        self.0.iter().filter_map(|event| match event {
            Event::Summary(summary) => Some(summary),
            _ => None,
        })
    }
}

impl Report for Summaries {
    type Row = Event;

    const COLUMNS: &'static [Column] = &[
        column("/target", "target", Show::Name, When::Always, 0),
        column("/sent", "sent", Show::Count, When::Always, 4),
        column("/unsent", "unsent", Show::Count, When::Any, 5),
        column("/received", "recv", Show::Count, When::Always, 3),
        column("/loss_pct", "loss", Show::Percent, When::Always, 0),
        column("/duplicates", "dup", Show::Count, When::Any, 5),
        column("/reordered", "reord", Show::Count, When::Any, 6),
        column("/late", "late", Show::Count, When::Any, 5),
        column("/truncated_replies", "trunc", Show::Count, When::Any, 6),
        column("/different_address_replies", "diff", Show::Count, When::Any, 6),
        column("/corrupt", "corr", Show::Count, When::Any, 5),
        column("/errors", "err", Show::Count, When::Any, 2),
        column("/rtt_us/min", "min ms", Show::Millis, When::Always, 7),
        column("/rtt_us/mean", "mean ms", Show::Millis, When::Always, 9),
        column("/rtt_us/p50", "p50 ms", Show::Millis, When::Always, 1),
        column("/rtt_us/p90", "p90 ms", Show::Millis, When::Always, 8),
        column("/rtt_us/p99", "p99 ms", Show::Millis, When::Always, 2),
        column("/rtt_us/max", "max ms", Show::Millis, When::Always, 6),
        column("/rtt_us/stddev", "stddev", Show::Millis, When::Always, 10),
    ];

    fn rows(&self) -> &[Event] {
        &self.0
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::output::{Screen, table};
    use fluxnet::tools::measure::Statistics;

    /// A summary with `received` of 10.
    pub fn summary(target: &str, received: u64) -> Summary {
        let rtt = Statistics {
            min: 190.0,
            mean: 201.5,
            p50: 200.0,
            p90: 210.0,
            p99: 219.9,
            p999: 219.9,
            max: 220.0,
            stddev: 5.25,
        };
        Summary {
            target: target.into(),
            address: Some(target.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into())),
            sent: 10,
            unsent: 0,
            received,
            lost: 10 - received,
            loss_pct: (10 - received) as f64 * 10.0,
            duplicates: 0,
            reordered: 0,
            late: 0,
            corrupt: 0,
            bad_checksum: 0,
            truncated_replies: 0,
            different_address_replies: 0,
            errors: 0,
            rtt_us: (received > 0).then_some(rtt),
            answerers: None,
            elapsed_s: 9.0017,
            histogram: Vec::new(),
            error: None,
            own_address: false,
        }
    }

    fn summaries() -> Summaries {
        let mut list = Summaries::default();
        list.push(Event::Summary(summary("10.0.0.2", 10)));
        list.push(Event::Summary(summary("2001:db8::2", 9)));
        list.push(Event::Summary(Summary { duplicates: 12, ..summary("10.0.0.66", 0) }));
        list
    }

    #[test]
    fn every_column_is_a_key_of_the_json() {
        let row = serde_json::to_value(&summaries().rows()[0]).unwrap();
        for column in Summaries::COLUMNS {
            assert!(row.pointer(column.key).is_some(), "{}", column.key);
        }
    }

    #[test]
    fn the_table_fits_80_columns_with_its_percentiles() {
        let table = table(&summaries(), &Screen { width: Some(80), ..Screen::default() });
        let widest = table.text.lines().map(str::len).max();
        assert!(widest <= Some(80), "{}", table.text);
        for heading in ["target", "sent", "recv", "loss", "dup", "p50 ms", "p99 ms", "max ms"] {
            assert!(table.text.contains(heading), "no {heading}:\n{}", table.text);
        }
        assert_eq!(table.text.lines().count(), 4);
    }

    #[test]
    fn forty_columns_still_show_who_and_how_it_went() {
        let table = table(&summaries(), &Screen { width: Some(40), ..Screen::default() });
        assert_eq!(table.text.lines().count(), 4, "{}", table.text);
        assert!(table.text.lines().all(|line| line.len() <= 40), "{}", table.text);
        assert!(table.text.contains("2001:db8::2") && table.text.contains("100%"));
    }
}
