//! Which setting to take, workload by workload, and why.
//!
//! The fastest setting is rarely alone: others lie inside its spread. Among those the one that
//! takes the least CPU is the better choice, then the one with the smaller batch, where packets
//! wait less for each other. Packet length is not a choice: the advice is for the shortest that
//! was measured, and tells where a longer one wants another setting.

use super::metric::{Figure, digits};
use super::names::Names;
use super::plan::Workload;
use super::report::{Best, SettingReport, Settings};
use std::fmt::Write;

/// Difference between two figures that nobody would tune for, in percent.
const ALIKE_PCT: f64 = 1.0;
/// The same where a figure has no samples to tell its noise.
const ALIKE_UNKNOWN_PCT: f64 = 5.0;
/// How much longer than the shortest a 99th percentile may be, as a factor.
const TAIL: f64 = 1.1;
/// Difference in CPU use that counts, in points of a core.
const CPU_POINTS: f64 = 5.0;

/// One recommendation per workload that had packets, in the order of the results.
pub(super) fn best(results: &[SettingReport]) -> Vec<Best> {
    let mut workloads: Vec<Workload> = Vec::new();
    for cell in results {
        if !workloads.contains(&cell.workload) {
            workloads.push(cell.workload);
        }
    }
    workloads.into_iter().filter_map(|workload| advise(results, workload)).collect()
}

fn advise(results: &[SettingReport], workload: Workload) -> Option<Best> {
    let mut frames: Vec<u32> =
        results.iter().filter(|cell| cell.workload == workload).map(|cell| cell.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let field = |frame: u32| {
        let cells = results.iter().filter(|c| c.workload == workload && c.frame == frame);
        Field { cells: cells.filter_map(Entry::of).collect(), names: Names::of(results) }
    };
    let mut picks = frames.iter().filter_map(|&frame| {
        let field = field(frame);
        let choice = field.choose()?;
        Some((field, choice))
    });
    let (first, choice) = picks.next()?;
    let mut why = first.why(&choice);
    let chosen = choice.taken.cell.settings();
    if frames.len() > 1 {
        why = format!("at {} bytes {why}", chosen.frame);
    }
    for (field, other) in picks {
        let settings = other.taken.cell.settings();
        if (Settings { frame: chosen.frame, ..settings }) != chosen {
            // A String takes every write.
            let (name, figure) = (field.names.setting(&settings), other.taken.told());
            let _ = write!(why, "; at {} bytes take {name}: {figure}", settings.frame);
        }
    }
    let Settings { workload, mode, batch, poll, frame, queues, hugepages, prefetch } = chosen;
    Some(Best { workload, mode, batch, poll, frame, queues, hugepages, prefetch, why })
}

/// A cell with the figure it is judged by.
#[derive(Clone, Copy)]
struct Entry<'a> {
    cell: &'a SettingReport,
    figure: Figure<'a>,
}

impl<'a> Entry<'a> {
    fn of(cell: &'a SettingReport) -> Option<Self> {
        Figure::of(cell).map(|figure| Self { cell, figure })
    }

    fn better_than(&self, other: &Self) -> bool {
        self.figure.better_pct(&other.figure) > 0.0
    }

    /// Whether each lies inside the other's spread, or so near that it does not matter.
    fn ties(&self, other: &Self) -> bool {
        let apart = self.figure.better_pct(&other.figure).abs();
        match (self.figure.spread, other.figure.spread) {
            (Some(own), Some(others)) => {
                apart <= ALIKE_PCT
                    || (own.covers(other.figure.value) && others.covers(self.figure.value))
            }
            _ => apart <= ALIKE_UNKNOWN_PCT,
        }
    }

    /// The 99th percentile of workload latency.
    fn p99(&self) -> Option<f64> {
        let timed = self.cell.workload == Workload::Latency;
        self.cell.latency_us.filter(|_| timed).map(|latency| latency.p99)
    }

    /// Its figure in words.
    fn told(&self) -> String {
        let metric = self.figure.metric;
        let value = digits(self.figure.value);
        match self.p99() {
            Some(p99) => format!("{value} {metric} at p50, {} at p99", digits(p99)),
            None => format!("{value} {metric}"),
        }
    }
}

/// The fastest setting, those as fast within noise, and the one to take.
struct Choice<'a> {
    top: Entry<'a>,
    tied: Vec<Entry<'a>>,
    taken: Entry<'a>,
}

/// All cells of one workload and packet length.
struct Field<'a> {
    cells: Vec<Entry<'a>>,
    names: Names,
}

impl<'a> Field<'a> {
    fn choose(&self) -> Option<Choice<'a>> {
        let top = fastest(&self.cells)?;
        let tied: Vec<_> = self.cells.iter().filter(|e| top.ties(e)).copied().collect();
        let mut left = tied.clone();
        if let Some(shortest) = least(&left, Entry::p99) {
            left.retain(|e| e.p99().is_none_or(|p99| p99 <= shortest * TAIL));
        }
        if left.iter().any(|e| !e.cell.noisy) {
            left.retain(|e| !e.cell.noisy);
        }
        if let Some(lowest) = least(&left, |e| e.cell.cpu_pct) {
            left.retain(|e| e.cell.cpu_pct.is_none_or(|cpu| cpu <= lowest + CPU_POINTS));
        }
        let batch = left.iter().map(|e| e.cell.batch).min()?;
        left.retain(|e| e.cell.batch == batch);
        Some(Choice { top, tied, taken: fastest(&left)? })
    }

    /// The reason, with its numbers.
    fn why(&self, choice: &Choice<'_>) -> String {
        let Choice { top, tied, taken } = choice;
        let mut why = taken.told();
        // A String takes every write.
        let alone = taken.cell.settings() == top.cell.settings();
        if self.cells.len() == 1 {
            why.push_str(", the only setting measured");
        } else if !alone {
            let gains = gains(taken, top);
            let (name, figure) = (self.names.setting(&top.cell.settings()), top.told());
            let _ = write!(why, ": as fast as {name} ({figure}) within noise{gains}");
        } else if let Some(other) = self.rival(tied, taken) {
            let gains = gains(taken, &other);
            let name = self.names.setting(&other.cell.settings());
            let taken = if gains.is_empty() { "" } else { ": this one is taken" };
            let _ = write!(why, "; {name} is as fast within noise{taken}{gains}");
        }
        if let Some(next) = self.next(choice) {
            let _ = write!(why, "; {}", self.lead(taken, &next));
        }
        if taken.cell.noisy {
            let every = self.cells.iter().all(|e| e.cell.noisy);
            why.push_str(if every && self.cells.len() > 1 {
                "; but every setting was noisy: repeat with a longer duration before relying on it"
            } else {
                "; but its samples are noisy: repeat with a longer duration before relying on it"
            });
        }
        why
    }

    /// The fastest of those that tie with `taken`, from another poll mode if there is one.
    fn rival(&self, tied: &[Entry<'a>], taken: &Entry<'_>) -> Option<Entry<'a>> {
        let own = taken.cell.settings();
        let others: Vec<_> = tied.iter().filter(|e| e.cell.settings() != own).copied().collect();
        let elsewhere: Vec<_> =
            others.iter().filter(|e| e.cell.poll != own.poll).copied().collect();
        fastest(&elsewhere).or_else(|| fastest(&others))
    }

    /// The fastest cell of the poll modes that are not among the tied; of the other settings
    /// where there is one poll mode only.
    fn next(&self, choice: &Choice<'_>) -> Option<Entry<'a>> {
        let Choice { tied, .. } = choice;
        let untied = |e: &&Entry<'a>| tied.iter().all(|t| t.cell.settings() != e.cell.settings());
        let other_poll = |e: &&Entry<'a>| tied.iter().all(|t| t.cell.poll != e.cell.poll);
        let others: Vec<_> = self.cells.iter().filter(other_poll).copied().collect();
        let rest: Vec<_> = self.cells.iter().filter(untied).copied().collect();
        fastest(&others).or_else(|| fastest(&rest))
    }

    /// How far `taken` is ahead of `next`, and what the kernel has to do with it.
    fn lead(&self, taken: &Entry<'_>, next: &Entry<'_>) -> String {
        let pct = taken.figure.better_pct(&next.figure);
        let side = if taken.cell.workload == Workload::Latency { "below" } else { "above" };
        let which = if taken.cell.poll == next.cell.poll { "setting" } else { "poll mode" };
        let name = self.names.setting(&next.cell.settings());
        let mut text =
            format!("{} % {side} the next {which} ({name}: {}", digits_pct(pct), next.told());
        let calls = (taken.cell.syscalls_per_packet, next.cell.syscalls_per_packet);
        if let (Some(own), Some(others)) = calls
            && (others - own).abs() >= 0.01
            && (others >= own * 2.0 || own >= others * 2.0)
        {
            let (own, others) = (digits(own), digits(others));
            let _ = write!(text, ", {others} system calls a packet instead of {own}");
        }
        text.push(')');
        text
    }
}

/// What speaks for `taken` beside a setting that is as fast.
fn gains(taken: &Entry<'_>, other: &Entry<'_>) -> String {
    let mut gains = String::new();
    if let (Some(own), Some(others)) = (taken.p99(), other.p99())
        && others > own * TAIL
    {
        let _ = write!(gains, ", with a p99 of {} µs instead of {}", digits(own), digits(others));
    }
    if let (Some(own), Some(others)) = (taken.cell.cpu_pct, other.cell.cpu_pct)
        && others > own + CPU_POINTS
    {
        let _ = write!(gains, ", at {own:.0} % of a core instead of {others:.0} %");
    }
    if other.cell.noisy && !taken.cell.noisy {
        gains.push_str(", with quieter samples");
    }
    if taken.cell.batch < other.cell.batch {
        let _ =
            write!(gains, ", with batches of {} instead of {}", taken.cell.batch, other.cell.batch);
    }
    gains
}

/// The best by its figure; the first among equals.
fn fastest<'a>(cells: &[Entry<'a>]) -> Option<Entry<'a>> {
    cells.iter().copied().reduce(|best, cell| if cell.better_than(&best) { cell } else { best })
}

fn least<'a>(cells: &[Entry<'a>], value: impl Fn(&Entry<'a>) -> Option<f64>) -> Option<f64> {
    cells.iter().filter_map(value).min_by(f64::total_cmp)
}

/// A percentage as one says it: `12`, `3.4`.
fn digits_pct(pct: f64) -> String {
    if pct.abs() >= 10.0 { format!("{pct:.0}") } else { format!("{pct:.1}") }
}

#[cfg(test)]
mod tests;
