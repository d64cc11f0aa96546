//! Which setting to take, workload by workload, and why.
//!
//! The fastest setting is rarely alone: others lie inside its spread. Among those the one that
//! takes the least CPU is the better choice, then the one with the smaller batch, where packets
//! wait less for each other. Packet length is not a choice: the advice is for the shortest that
//! was measured, and tells where a longer one wants another setting.

use super::metric::{Figure, digits};
use super::names::Names;
use super::plan::Workload;
use super::report::{Best, SettingKey, SettingReport};
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
    for setting in results {
        if !workloads.contains(&setting.workload) {
            workloads.push(setting.workload);
        }
    }
    workloads.into_iter().filter_map(|workload| advise(results, workload)).collect()
}

fn advise(results: &[SettingReport], workload: Workload) -> Option<Best> {
    let mut sizes: Vec<u32> = results
        .iter()
        .filter(|setting| setting.workload == workload)
        .map(|setting| setting.packet_size)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let field = |size: u32| {
        let settings = results.iter().filter(|c| c.workload == workload && c.packet_size == size);
        Field { settings: settings.filter_map(Entry::of).collect(), names: Names::of(results) }
    };
    let mut picks = sizes.iter().filter_map(|&size| {
        let field = field(size);
        let choice = field.choose()?;
        Some((field, choice))
    });
    let (first, choice) = picks.next()?;
    let mut why = first.why(&choice);
    let chosen = choice.taken.setting.key();
    if sizes.len() > 1 {
        why = format!("at {} bytes {why}", chosen.packet_size);
    }
    for (field, other) in picks {
        let key = other.taken.setting.key();
        if (SettingKey { packet_size: chosen.packet_size, ..key }) != chosen {
            // A String takes every write.
            let (name, figure) = (field.names.setting(&key), other.taken.told());
            let _ = write!(why, "; at {} bytes take {name}: {figure}", key.packet_size);
        }
    }
    let SettingKey { workload, mode, batch, poll, packet_size, queues, pages, prefetch } = chosen;
    Some(Best { workload, mode, batch, poll, packet_size, queues, pages, prefetch, why })
}

/// A setting with the figure it is judged by.
#[derive(Clone, Copy)]
struct Entry<'a> {
    setting: &'a SettingReport,
    figure: Figure<'a>,
}

impl<'a> Entry<'a> {
    fn of(setting: &'a SettingReport) -> Option<Self> {
        Figure::of(setting).map(|figure| Self { setting, figure })
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
        let timed = self.setting.workload == Workload::Latency;
        self.setting.latency_us.filter(|_| timed).map(|latency| latency.p99)
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

/// All settings of one workload and packet length.
struct Field<'a> {
    settings: Vec<Entry<'a>>,
    names: Names,
}

impl<'a> Field<'a> {
    fn choose(&self) -> Option<Choice<'a>> {
        let top = fastest(&self.settings)?;
        let tied: Vec<_> = self.settings.iter().filter(|e| top.ties(e)).copied().collect();
        let mut left = tied.clone();
        if let Some(shortest) = least(&left, Entry::p99) {
            left.retain(|e| e.p99().is_none_or(|p99| p99 <= shortest * TAIL));
        }
        if left.iter().any(|e| !e.setting.noisy) {
            left.retain(|e| !e.setting.noisy);
        }
        if let Some(lowest) = least(&left, |e| e.setting.cpu_pct) {
            left.retain(|e| e.setting.cpu_pct.is_none_or(|cpu| cpu <= lowest + CPU_POINTS));
        }
        let batch = left.iter().map(|e| e.setting.batch).min()?;
        left.retain(|e| e.setting.batch == batch);
        Some(Choice { top, tied, taken: fastest(&left)? })
    }

    /// The reason, with its numbers.
    fn why(&self, choice: &Choice<'_>) -> String {
        let Choice { top, tied, taken } = choice;
        let mut why = taken.told();
        // A String takes every write.
        let alone = taken.setting.key() == top.setting.key();
        if self.settings.len() == 1 {
            why.push_str(", the only setting measured");
        } else if !alone {
            let gains = gains(taken, top);
            let (name, figure) = (self.names.setting(&top.setting.key()), top.told());
            let _ = write!(why, ": as fast as {name} ({figure}) within noise{gains}");
        } else if let Some(other) = self.rival(tied, taken) {
            let gains = gains(taken, &other);
            let name = self.names.setting(&other.setting.key());
            let taken = if gains.is_empty() { "" } else { ": this one is taken" };
            let _ = write!(why, "; {name} is as fast within noise{taken}{gains}");
        }
        if let Some(next) = self.next(choice) {
            let _ = write!(why, "; {}", self.lead(taken, &next));
        }
        if taken.setting.noisy {
            let every = self.settings.iter().all(|e| e.setting.noisy);
            why.push_str(if every && self.settings.len() > 1 {
                "; but every setting was noisy: repeat with a longer duration before relying on it"
            } else {
                "; but its samples are noisy: repeat with a longer duration before relying on it"
            });
        }
        why
    }

    /// The fastest of those that tie with `taken`, from another poll mode if there is one.
    fn rival(&self, tied: &[Entry<'a>], taken: &Entry<'_>) -> Option<Entry<'a>> {
        let own = taken.setting.key();
        let others: Vec<_> = tied.iter().filter(|e| e.setting.key() != own).copied().collect();
        let elsewhere: Vec<_> =
            others.iter().filter(|e| e.setting.poll != own.poll).copied().collect();
        fastest(&elsewhere).or_else(|| fastest(&others))
    }

    /// The fastest setting of the poll modes that are not among the tied; of the other settings
    /// where there is one poll mode only.
    fn next(&self, choice: &Choice<'_>) -> Option<Entry<'a>> {
        let Choice { tied, .. } = choice;
        let untied = |e: &&Entry<'a>| tied.iter().all(|t| t.setting.key() != e.setting.key());
        let other_poll = |e: &&Entry<'a>| tied.iter().all(|t| t.setting.poll != e.setting.poll);
        let others: Vec<_> = self.settings.iter().filter(other_poll).copied().collect();
        let rest: Vec<_> = self.settings.iter().filter(untied).copied().collect();
        fastest(&others).or_else(|| fastest(&rest))
    }

    /// How far `taken` is ahead of `next`, and what the kernel has to do with it.
    fn lead(&self, taken: &Entry<'_>, next: &Entry<'_>) -> String {
        let pct = taken.figure.better_pct(&next.figure);
        let side = if taken.setting.workload == Workload::Latency { "below" } else { "above" };
        let which = if taken.setting.poll == next.setting.poll { "setting" } else { "poll mode" };
        let name = self.names.setting(&next.setting.key());
        let mut text =
            format!("{} % {side} the next {which} ({name}: {}", digits_pct(pct), next.told());
        let calls = (taken.setting.syscalls_per_packet, next.setting.syscalls_per_packet);
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
    if let (Some(own), Some(others)) = (taken.setting.cpu_pct, other.setting.cpu_pct)
        && others > own + CPU_POINTS
    {
        let _ = write!(gains, ", at {own:.0} % of a core instead of {others:.0} %");
    }
    if other.setting.noisy && !taken.setting.noisy {
        gains.push_str(", with quieter samples");
    }
    if taken.setting.batch < other.setting.batch {
        let _ = write!(
            gains,
            ", with batches of {} instead of {}",
            taken.setting.batch, other.setting.batch
        );
    }
    gains
}

/// The best by its figure; the first among equals.
fn fastest<'a>(settings: &[Entry<'a>]) -> Option<Entry<'a>> {
    settings
        .iter()
        .copied()
        .reduce(|best, setting| if setting.better_than(&best) { setting } else { best })
}

fn least<'a>(settings: &[Entry<'a>], value: impl Fn(&Entry<'a>) -> Option<f64>) -> Option<f64> {
    settings.iter().filter_map(value).min_by(f64::total_cmp)
}

/// A percentage as one says it: `12`, `3.4`.
fn digits_pct(pct: f64) -> String {
    if pct.abs() >= 10.0 { format!("{pct:.0}") } else { format!("{pct:.1}") }
}

#[cfg(test)]
mod tests;
