//! Results as tables: one block per workload, one row per setting.

use crate::output::{Column, Report, Show, When, column};
use fluxnet::tools::bench::{Change, SettingReport, Workload};
use serde::Serialize;

/// Fewest samples that show how far apart they lie.
const FEWEST: usize = 3;

/// A setting as a row.
#[derive(Serialize)]
pub struct Row<'a> {
    #[serde(flatten)]
    setting: &'a SettingReport,
    /// How far apart its samples lie, where there are enough of them.
    iqr_pct: Option<f64>,
    /// Whether there are not.
    pub few: bool,
}

impl<'a> Row<'a> {
    pub fn of(setting: &'a SettingReport) -> Self {
        let spread = match setting.workload {
            Workload::Latency => setting.latency_p50_us.as_ref(),
            _ => Some(&setting.mpps),
        };
        let few = setting.mpps.samples.len() < FEWEST;
        Self { setting, iqr_pct: spread.filter(|_| !few).map(|spread| spread.iqr_pct), few }
    }
}

/// The settings of one workload that is about packets a second.
pub struct Rates<'a>(pub Vec<Row<'a>>);

/// The settings of workload latency.
pub struct Latencies<'a>(pub Vec<Row<'a>>);

/// What a diff comes to.
pub struct Changes<'a>(pub &'a [Change]);

/// The settings of each workload, in the order of the results.
pub fn blocks(results: &[SettingReport]) -> Vec<(Workload, Vec<&SettingReport>)> {
    let mut blocks: Vec<(Workload, Vec<&SettingReport>)> = Vec::new();
    for setting in results {
        match blocks.iter_mut().find(|(workload, _)| *workload == setting.workload) {
            Some((_, settings)) => settings.push(setting),
            None => blocks.push((setting.workload, vec![setting])),
        }
    }
    blocks
}

use Show::{Bar, Count, Fixed, Mark, Name, OnOff, Short, Signed};
use When::{Always, Any, Varied};

const BATCH: Column = column("/batch", "batch", Count, Always, 0);
const POLL: Column = column("/poll", "poll", Name, Always, 0);
const MODE: Column = column("/mode", "mode", Name, Varied, 0);
const SIZE: Column = column("/packet_size", "size", Count, Varied, 0);
const QUEUES: Column = column("/queue_count", "queues", Count, Varied, 0);
const PAGES: Column = column("/pages", "pages", Name, Varied, 0);
const PREFETCH: Column = column("/prefetch", "prefetch", OnOff, Varied, 0);
const NOISY: Column = column("/noisy", "", Mark("~"), Any, 0);
const FEW: Column = column("/few", "", Mark("?"), Any, 0);
const USER: Column = column("/user_ns_per_packet", "user ns", Fixed(1, ""), Always, 4);
const SYSTEM: Column = column("/system_ns_per_packet", "sys ns", Fixed(1, ""), Any, 11);
const CYCLES: Column = column("/cycles_per_packet", "cyc/pkt", Fixed(0, ""), Any, 10);
const CALLS: Column = column("/syscalls_per_packet", "calls/pkt", Fixed(4, ""), Always, 3);
const WAKEUP: Column = column("/packets_per_wakeup", "pkt/wake", Fixed(1, ""), Any, 7);
const IN_BATCH: Column = column("/packets_per_batch", "pkt/batch", Fixed(1, ""), Any, 12);
const CPU: Column = column("/cpu_pct", "CPU", Fixed(0, "%"), Always, 1);
const RING_FULL: Column = column("/ring_full", "ring full", Short, Any, 8);
const FILL_EMPTY: Column = column("/fill_empty", "fill empty", Short, Any, 9);
const DROPPED: Column = column("/dropped", "dropped", Short, Any, 6);

impl<'a> Report for Rates<'a> {
    type Row = Row<'a>;

    const COLUMNS: &'static [Column] = &[
        BATCH,
        POLL,
        MODE,
        SIZE,
        QUEUES,
        PAGES,
        PREFETCH,
        column("/mpps/median", "Mpps", Fixed(3, ""), Always, 0),
        column("/mpps/median", "", Bar, Always, 5),
        column("/iqr_pct", "IQR", Fixed(1, "%"), Always, 2),
        NOISY,
        FEW,
        USER,
        SYSTEM,
        CYCLES,
        CALLS,
        WAKEUP,
        IN_BATCH,
        CPU,
        RING_FULL,
        FILL_EMPTY,
        DROPPED,
    ];

    fn rows(&self) -> &[Row<'a>] {
        &self.0
    }
}

impl<'a> Report for Latencies<'a> {
    type Row = Row<'a>;

    const COLUMNS: &'static [Column] = &[
        BATCH,
        POLL,
        MODE,
        SIZE,
        QUEUES,
        PAGES,
        PREFETCH,
        column("/latency_us/p50", "p50 µs", Fixed(1, ""), Always, 0),
        column("/latency_us/p99", "p99 µs", Fixed(1, ""), Always, 0),
        column("/latency_us/p999", "p99.9 µs", Fixed(1, ""), Always, 0),
        column("/latency_us/max", "max µs", Fixed(1, ""), Always, 5),
        column("/iqr_pct", "IQR", Fixed(1, "%"), Always, 2),
        NOISY,
        FEW,
        USER,
        SYSTEM,
        CYCLES,
        CALLS,
        WAKEUP,
        IN_BATCH,
        CPU,
        RING_FULL,
        FILL_EMPTY,
        DROPPED,
    ];

    fn rows(&self) -> &[Row<'a>] {
        &self.0
    }
}

impl Report for Changes<'_> {
    type Row = Change;

    const COLUMNS: &'static [Column] = &[
        column("/workload", "workload", Name, Always, 0),
        BATCH,
        POLL,
        MODE,
        SIZE,
        QUEUES,
        PAGES,
        PREFETCH,
        column("/a", "A", Fixed(3, ""), Always, 1),
        column("/b", "B", Fixed(3, ""), Always, 1),
        column("/metric", "unit", Name, Always, 3),
        column("/change_pct", "change", Signed(1, "%"), Always, 0),
        column("/noise_pct", "IQR", Fixed(1, "%"), Always, 2),
        column("/verdict", "verdict", Name, Always, 0),
    ];

    fn rows(&self) -> &[Change] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::output::{Screen, table};

    fn rows<'a>(settings: &[&'a SettingReport]) -> Vec<Row<'a>> {
        settings.iter().copied().map(Row::of).collect()
    }

    fn keys<R: Report>(report: &R) {
        let row = serde_json::to_value(&report.rows()[0]).unwrap();
        for column in R::COLUMNS {
            assert!(row.pointer(column.key).is_some(), "{}", column.key);
        }
    }

    #[test]
    fn every_column_is_a_key_of_the_json() {
        let report = fixture::report();
        for (workload, settings) in blocks(&report.results) {
            match workload {
                Workload::Latency => keys(&Latencies(rows(&settings))),
                _ => keys(&Rates(rows(&settings))),
            }
        }
        let diff = fluxnet::tools::bench::diff(&report, &report, 5.0).unwrap();
        keys(&Changes(&diff.changes));
    }

    #[test]
    fn blocks_keep_to_80_columns_and_hide_the_least_telling_first() {
        let report = fixture::report();
        for (workload, settings) in blocks(&report.results) {
            let screen = Screen { width: Some(80), ..Screen::default() };
            let table = match workload {
                Workload::Latency => table(&Latencies(rows(&settings)), &screen),
                _ => table(&Rates(rows(&settings)), &screen),
            };
            assert!(table.text.lines().all(|line| line.len() <= 80), "{}", table.text);
            for heading in ["batch", "poll", "IQR", "user ns", "calls/pkt", "CPU"] {
                assert!(table.text.contains(heading), "no {heading}:\n{}", table.text);
            }
        }
    }
}
