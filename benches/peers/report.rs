//! What it came to: a table for each workload, a summary, and the same as data.

use crate::roster::{Contestant, Wait};
use crate::stage::Sample;
use fluxnet::tools::bench::Workload;
use serde_json::{Value, json};

/// CPUs' worth of others' work that shows in figures. CPU time is told to a hundredth of a second.
const OTHERS: f64 = 0.05;

/// A contestant, and what was measured of it.
pub struct Row {
    pub contestant: Contestant,
    pub samples: Vec<Sample>,
    /// Why there are fewer samples than rounds.
    pub failure: Option<String>,
}

impl Row {
    fn rate(&self) -> Option<f64> {
        median(self.samples.iter().map(|sample| sample.rate))
    }

    /// Samples during which other processes worked as well.
    fn disturbed(&self) -> usize {
        self.samples.iter().filter(|sample| sample.others > OTHERS).count()
    }

    fn label(&self) -> String {
        format!("{} {}", self.contestant.name, self.contestant.setting())
    }
}

/// One workload's rows.
pub struct Table {
    pub workload: Workload,
    pub rows: Vec<Row>,
}

impl Table {
    fn best(&self, ours: bool) -> Option<(&Row, f64)> {
        let rows = self.rows.iter().filter(|row| {
            let it = &row.contestant;
            // The kernel's own path is another thing: no packet reaches user space.
            if ours { it.is_reference() } else { it.ours.is_none() && !it.far_gro }
        });
        let rated = rows.filter_map(|row| Some((row, row.rate()?)));
        rated.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Ours, waiting as `row` does and with the same batch.
    fn alike(&self, row: &Row) -> Option<f64> {
        let (wait, batch) = (row.contestant.wait?.ours(), row.contestant.batch);
        let alike = |other: &&Row| {
            other.contestant.is_reference()
                && other.contestant.wait == Some(wait)
                && other.contestant.batch == batch
        };
        self.rows.iter().find(alike)?.rate()
    }

    pub fn print(&self) {
        println!("\n{}:", self.workload);
        println!(
            "  {:<16} {:<13} {:>7} {:>15} {:>6} {:>7} {:>10} {:>11}",
            "contestant", "setting", "Mpps", "min-max", "CPU %", "lost %", "best/it", "alike/it"
        );
        let best = self.best(true).map(|(_, rate)| rate);
        for row in &self.rows {
            let (name, setting) = (&row.contestant.name, row.contestant.setting());
            let Some(rate) = row.rate() else {
                let why = row.failure.as_deref().unwrap_or("was not measured");
                println!("  {name:<16} {setting:<13}       - {why}");
                continue;
            };
            let rates = || row.samples.iter().map(|sample| sample.rate / 1e6);
            let (least, most) =
                (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
            let cpu = median(row.samples.iter().map(|sample| sample.cpu * 100.0));
            let lost = median(row.samples.iter().filter_map(|sample| sample.lost));
            let disturbed = row.disturbed();
            println!(
                "  {name:<16} {setting:<13} {:>7.3} {:>15} {:>6.0} {:>7} {:>10} {:>11}{}{}",
                rate / 1e6,
                format!("{least:.3}-{most:.3}"),
                cpu.unwrap_or(f64::NAN),
                lost.map_or("-".to_owned(), |lost| format!("{:.1}", lost * 100.0)),
                ratio(best, rate),
                ratio(self.alike(row), rate),
                if disturbed > 0 { format!("  disturbed: {disturbed}") } else { String::new() },
                row.failure.as_ref().map_or(String::new(), |why| format!("  ({why})")),
            );
        }
    }

    /// The lines of the summary.
    pub fn summary(&self) {
        let (ours, theirs) = (self.best(true), self.best(false));
        if let (Some((our_row, ours)), Some((their_row, theirs))) = (ours, theirs) {
            println!(
                "  {:<7} ours best / best peer  {:.3}  ({} {:.3} Mpps, {} {:.3} Mpps)",
                self.workload.to_string(),
                ours / theirs,
                our_row.label(),
                ours / 1e6,
                their_row.label(),
                theirs / 1e6,
            );
        }
        for row in self.rows.iter().filter(|row| row.contestant.far_gro) {
            if let (Some((_, ours)), Some(theirs)) = (ours, row.rate()) {
                println!(
                    "  {:<7} ours best / {} (in the kernel, on the source's CPU)  {:.3}",
                    self.workload.to_string(),
                    row.contestant.name,
                    ours / theirs
                );
            }
        }
        if self.workload != Workload::Rxdrop {
            return;
        }
        for row in &self.rows {
            let it = &row.contestant;
            if it.name == "xdpsock"
                && it.wait == Some(Wait::Poll)
                && let (Some(ours), Some(theirs)) = (self.alike(row), row.rate())
            {
                let batch = it.batch.unwrap_or_default();
                println!(
                    "  rxdrop  ours syscall / xdpsock -p, batch {batch:<4} {:.3}",
                    ours / theirs
                );
            }
        }
    }

    pub fn data(&self) -> Value {
        let best = self.best(true).map(|(_, rate)| rate);
        let row = |row: &Row| {
            let it = &row.contestant;
            let rates: Vec<f64> = row.samples.iter().map(|sample| sample.rate).collect();
            let over = |ours: Option<f64>| Some(ours? / row.rate()?);
            json!({
                "contestant": it.name,
                "ours": it.ours.map(|mode| mode.to_string()),
                "wait": it.wait.map(|wait| wait.to_string()),
                "batch": it.batch,
                "pps": row.rate(),
                "samples_pps": rates,
                "cpu": median(row.samples.iter().map(|sample| sample.cpu)),
                "disturbed": row.disturbed(),
                "lost": median(row.samples.iter().filter_map(|sample| sample.lost)),
                "ours_best_over_it": over(best),
                "ours_alike_over_it": over(self.alike(row)),
                "failure": row.failure,
            })
        };
        json!({
            "workload": self.workload.to_string(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn ratio(ours: Option<f64>, it: f64) -> String {
    ours.map_or("-".to_owned(), |ours| format!("{:.2}", ours / it))
}

/// The middle one, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some(f64::midpoint(values[half - 1], values[half])),
    }
}
