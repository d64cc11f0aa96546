//! Which setting is best, workload by workload, and why; or why none can be called that.
//!
//! The fastest setting is rarely alone: others lie inside its spread. None of them is then called the
//! best: they are named together, with the one that takes the least CPU. Too few samples and noise
//! everywhere decide nothing either. Packet length is not a choice: the advice is for the shortest
//! that was measured, and says where a longer one wants another setting.

use super::metric::{Figure, digits};
use super::names::Names;
use super::plan::Workload;
use super::report::{Best, SettingKey, SettingReport, Undecided};
use std::fmt::Write;

/// Difference between two figures that nobody would tune for, in percent.
const ALIKE_PCT: f64 = 1.0;
/// The same where a figure has no samples to tell its noise.
const ALIKE_UNKNOWN_PCT: f64 = 5.0;
/// How much longer than the shortest a 99th percentile may be, as a factor.
const TAIL: f64 = 1.1;
/// Difference in CPU use that counts, in points of a core.
const CPU_POINTS: f64 = 5.0;
/// Fewest samples of a setting that show how far apart they lie.
pub(super) const FEWEST: usize = 3;
/// Most settings that are named as equal.
const NAMED: usize = 4;

/// What is said of one workload.
#[derive(Debug)]
pub(super) enum Advice {
    Best(Best),
    Undecided(Undecided),
}

/// One for each workload that had packets, in the order of the results.
pub(super) fn advise(results: &[SettingReport]) -> (Vec<Best>, Vec<Undecided>) {
    let mut workloads: Vec<Workload> = Vec::new();
    for setting in results {
        if !workloads.contains(&setting.workload) {
            workloads.push(setting.workload);
        }
    }
    let (mut best, mut undecided) = (Vec::new(), Vec::new());
    for workload in workloads {
        match of(results, workload) {
            Some(Advice::Best(one)) => best.push(one),
            Some(Advice::Undecided(one)) => undecided.push(one),
            None => {}
        }
    }
    (best, undecided)
}

fn of(results: &[SettingReport], workload: Workload) -> Option<Advice> {
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
    let chosen = choice.top.setting.key();
    let mut why = first.why(&choice);
    if sizes.len() > 1 {
        why = format!("at {} bytes {why}", chosen.packet_size);
    }
    for (field, other) in picks {
        let key = other.top.setting.key();
        let alike = (SettingKey { packet_size: chosen.packet_size, ..key }) == chosen;
        if !alike && other.doubt.is_none() {
            // A String takes every write.
            let (name, figure) = (field.names.setting(&key), other.top.told());
            let _ = write!(why, "; at {} bytes take {name}: {figure}", key.packet_size);
        }
    }
    let SettingKey { workload, mode, batch, poll, packet_size, queues, pages, prefetch } = chosen;
    Some(match choice.doubt {
        None => Advice::Best(Best {
            workload,
            mode,
            batch,
            poll,
            packet_size,
            queues,
            pages,
            prefetch,
            why,
        }),
        Some(_) => {
            let settings = choice.tied.iter().map(|entry| entry.setting.key()).collect();
            Advice::Undecided(Undecided { workload, packet_size, settings, why })
        }
    })
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

/// Why none is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    TooFewSamples,
    AllNoisy,
    Equals,
}

/// The fastest setting, and those as fast within noise, itself included: fastest first.
struct Choice<'a> {
    top: Entry<'a>,
    tied: Vec<Entry<'a>>,
    doubt: Option<Doubt>,
}

/// All settings of one workload and packet length.
struct Field<'a> {
    settings: Vec<Entry<'a>>,
    names: Names,
}

impl<'a> Field<'a> {
    fn choose(&self) -> Option<Choice<'a>> {
        let top = fastest(&self.settings)?;
        let few = |entry: &Entry<'_>| entry.setting.mpps.samples.len() < FEWEST;
        let several = self.settings.len() > 1;
        let mut tied: Vec<_> = self.settings.iter().filter(|e| top.ties(e)).copied().collect();
        let doubt = if several && self.settings.iter().any(few) {
            Some(Doubt::TooFewSamples)
        } else if several && self.settings.iter().all(|entry| entry.setting.noisy) {
            Some(Doubt::AllNoisy)
        } else {
            (tied.len() > 1).then_some(Doubt::Equals)
        };
        if matches!(doubt, Some(Doubt::TooFewSamples | Doubt::AllNoisy)) {
            tied.clone_from(&self.settings);
        }
        tied.sort_by(|a, b| b.figure.better_pct(&a.figure).total_cmp(&0.0));
        Some(Choice { top, tied, doubt })
    }

    /// The reason, with its numbers.
    fn why(&self, choice: &Choice<'_>) -> String {
        let Choice { top, tied, doubt } = choice;
        let name = |entry: &Entry<'_>| self.names.setting(&entry.setting.key());
        match doubt {
            Some(Doubt::TooFewSamples) => format!(
                "too few samples to choose (the fastest had {}: {}): use --repeat {FEWEST} or more",
                top.told(),
                name(top)
            ),
            Some(Doubt::AllNoisy) => format!(
                "too noisy to choose (the fastest had {}: {}): repeat with a longer --duration, \
                 such as 2s, on a quiet machine",
                top.told(),
                name(top)
            ),
            Some(Doubt::Equals) => self.equals(tied),
            None => {
                let mut why = top.told();
                if self.settings.len() == 1 {
                    why.push_str(", the only setting measured");
                } else if let Some(next) = self.next(choice) {
                    // A String takes every write.
                    let _ = write!(why, "; {}", self.lead(top, &next));
                }
                if top.setting.noisy {
                    why.push_str(
                        "; but its samples are noisy: repeat with a longer duration before relying \
                         on it",
                    );
                }
                why
            }
        }
    }

    /// That these are as fast as each other, and in what else they differ.
    fn equals(&self, tied: &[Entry<'a>]) -> String {
        let name = |entry: &Entry<'_>| self.names.setting(&entry.setting.key());
        let mut named: Vec<String> = tied
            .iter()
            .take(NAMED)
            .map(|entry| format!("{} ({})", name(entry), entry.told()))
            .collect();
        let last = match tied.len() - named.len() {
            0 => named.pop().unwrap_or_default(),
            more => format!("{more} more"),
        };
        let mut why = format!("{} and {last} are as fast within noise", named.join(", "));
        // A String takes every write.
        if let Some((entry, p99)) = stands_out(tied, Entry::p99, |p99| p99 * TAIL) {
            let _ = write!(why, "; {} has the shortest p99, {} µs", name(entry), digits(p99));
        }
        if let Some((entry, cpu)) =
            stands_out(tied, |entry| entry.setting.cpu_pct, |cpu| cpu + CPU_POINTS)
        {
            let _ = write!(why, "; {} takes the least CPU, {cpu:.0} % of a core", name(entry));
        }
        why
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

    /// How far `taken`, the fastest, is ahead of `next`, and what the kernel has to do with it.
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

/// The best by its figure; the first among equals.
fn fastest<'a>(settings: &[Entry<'a>]) -> Option<Entry<'a>> {
    settings
        .iter()
        .copied()
        .reduce(|best, setting| if setting.better_than(&best) { setting } else { best })
}

/// The entry with the least of a value, where all others have more than `beyond` it.
fn stands_out<'e, 'a>(
    settings: &'e [Entry<'a>],
    value: impl Fn(&Entry<'a>) -> Option<f64>,
    beyond: impl Fn(f64) -> f64,
) -> Option<(&'e Entry<'a>, f64)> {
    let mut values = Vec::with_capacity(settings.len());
    for entry in settings {
        values.push((entry, value(entry)?));
    }
    values.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (first, second) = (*values.first()?, *values.get(1)?);
    (second.1 > beyond(first.1)).then_some(first)
}

/// A percentage as one says it: `12`, `3.4`.
fn digits_pct(pct: f64) -> String {
    if pct.abs() >= 10.0 { format!("{pct:.0}") } else { format!("{pct:.1}") }
}

#[cfg(test)]
mod tests;
