//! Whether one run is slower than another, beyond a tolerance and beyond noise.
//!
//! A setting is slower when its figure is worse by more than the tolerance, and when the samples say
//! the same: those of B must lie below those of A *less the tolerance* by the Mann-Whitney test at
//! 5 % (above, for a latency). So a setting that did not change is called slower far more rarely than
//! 5 % of the time, as the tolerance has to be overcome by chance as well; at 3 % of noise and a
//! tolerance of 5 %, once in some 100,000 settings of five samples.

use super::metric::{Figure, Metric};
use super::report::{Report, SettingKey, SettingReport, Start};
use super::stats::{below, tells};
use crate::error::{FluxError, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a setting of B compares with the same of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Inside the tolerance, or inside the noise.
    Same,
    /// Better, beyond both.
    Faster,
    /// Worse, beyond both: a regression.
    Slower,
    /// There are too few samples to tell.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Same => "same",
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Unknown => "unknown",
        })
    }
}

/// One setting that both runs have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which setting.
    #[serde(flatten)]
    pub key: SettingKey,
    /// What it is judged by.
    pub metric: Metric,
    /// That figure in A; `None` where no packet came.
    pub a: Option<f64>,
    /// That figure in B; `None` where no packet came.
    pub b: Option<f64>,
    /// `b` against `a`, in percent; for a latency more is worse.
    pub change_pct: Option<f64>,
    /// The wider of the two interquartile ranges in percent of its median, where samples tell it.
    pub noise_pct: Option<f64>,
    /// What that comes to.
    pub verdict: Verdict,
}

/// Two runs compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "diff")]
pub struct Diff {
    /// Backend of both.
    pub backend: String,
    /// Place of both.
    pub place: String,
    /// Change that does not matter, in percent.
    pub tolerance_pct: f64,
    /// What a reader must know before believing it.
    pub notes: Vec<String>,
    /// Settings that got slower.
    pub regressions: u32,
    /// Settings that got faster.
    pub improvements: u32,
    /// Every setting that both have, in the order of A.
    pub changes: Vec<Change>,
}

/// Compares run `b` with run `a`, setting by setting.
///
/// # Errors
/// `ErrorKind::Config` when they cannot be compared: another backend or place, no setting in common,
/// or a tolerance that is none.
pub fn diff(a: &Report, b: &Report, tolerance_pct: f64) -> Result<Diff> {
    if !(0.0..100.0).contains(&tolerance_pct) {
        return Err(FluxError::config(
            format!("tolerance {tolerance_pct} %"),
            "must be at least 0 % and below 100 %",
        )
        .with_hint("use twice the noise of a run, such as 5%"));
    }
    for (what, a, b) in [("backend", &a.backend, &b.backend), ("place", &a.place, &b.place)] {
        if a != b {
            let why = format!("the first run has {what} {a}, the second {b}");
            return Err(unlike(why).with_hint("measure both in the same place, then compare"));
        }
    }
    let (pairs, left) = pairs(&a.results, &b.results);
    if pairs.is_empty() {
        return Err(unlike("they have no setting in common".to_owned()).with_hint(
            "run both with the same --workload, --batch, --poll, --packet-size and --queue",
        ));
    }
    let changes: Vec<_> = pairs.iter().map(|(a, b)| change(a, b, tolerance_pct)).collect();
    let count = |verdict| changes.iter().filter(|c| c.verdict == verdict).count();
    let notes = notes(a, b, &pairs, left);
    Ok(Diff {
        backend: a.backend.clone(),
        place: a.place.clone(),
        tolerance_pct,
        notes,
        regressions: u32::try_from(count(Verdict::Slower)).unwrap_or(u32::MAX),
        improvements: u32::try_from(count(Verdict::Faster)).unwrap_or(u32::MAX),
        changes,
    })
}

fn unlike(why: String) -> FluxError {
    FluxError::config("cannot compare the two runs", why)
}

/// A setting of A and the same of B.
type Pair<'a> = (&'a SettingReport, &'a SettingReport);

/// Settings with the same settings, and how many of A and of B are left over. Where a run has
/// several with the same settings (queue 0 and queue 1 are both one queue), the first goes with
/// the first. Only a setting that finds none in the same pages takes one in other huge pages.
fn pairs<'a>(a: &'a [SettingReport], b: &'a [SettingReport]) -> (Vec<Pair<'a>>, [usize; 2]) {
    let mut rest: Vec<&SettingReport> = b.iter().collect();
    let mut found: Vec<Option<&SettingReport>> = vec![None; a.len()];
    for same in [SettingKey::eq, SettingKey::is_same] {
        for (setting, found) in a.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let at = rest.iter().position(|other| same(&other.key(), &setting.key()));
            *found = at.map(|at| rest.remove(at));
        }
    }
    let pairs: Vec<Pair<'_>> =
        a.iter().zip(found).filter_map(|(setting, found)| Some((setting, found?))).collect();
    let left = [a.len() - pairs.len(), rest.len()];
    (pairs, left)
}

fn change(a: &SettingReport, b: &SettingReport, tolerance_pct: f64) -> Change {
    let (old, new) = (Figure::of(a), Figure::of(b));
    let metric = Metric::of(a.workload);
    let verdict = match (&old, &new) {
        (None, None) => Verdict::Same,
        (None, Some(_)) => Verdict::Faster,
        (Some(_), None) => Verdict::Slower,
        (Some(old), Some(new)) if too_few(old, new) => Verdict::Unknown,
        (Some(old), Some(new)) if worse(new, old, tolerance_pct) => Verdict::Slower,
        (Some(old), Some(new)) if worse(old, new, tolerance_pct) => Verdict::Faster,
        _ => Verdict::Same,
    };
    let noise = [&old, &new].into_iter().flatten().filter_map(|figure| figure.spread);
    let value = |figure: &Option<Figure<'_>>| figure.as_ref().map(|figure| figure.value);
    let (old, new) = (value(&old), value(&new));
    Change {
        key: a.key(),
        metric,
        a: old,
        b: new,
        change_pct: old.zip(new).map(|(old, new)| (new / old - 1.0) * 100.0),
        noise_pct: noise.map(|spread| spread.iqr_pct).max_by(f64::total_cmp),
        verdict,
    }
}

/// Whether no order of the samples would tell a change from chance.
fn too_few(a: &Figure<'_>, b: &Figure<'_>) -> bool {
    !tells(a.samples().len(), b.samples().len())
}

/// Whether `new` is worse than `old` by more than the tolerance, by its figure and by the samples.
fn worse(new: &Figure<'_>, old: &Figure<'_>, tolerance_pct: f64) -> bool {
    let less = 1.0 - tolerance_pct / 100.0;
    let shrunk = |figure: &Figure<'_>| -> Vec<f64> {
        figure.samples().iter().map(|sample| sample * less).collect()
    };
    match new.metric {
        Metric::Mpps => new.value < old.value * less && below(new.samples(), &shrunk(old)),
        Metric::P50Us => old.value < new.value * less && below(old.samples(), &shrunk(new)),
    }
}

fn notes(a: &Report, b: &Report, pairs: &[Pair<'_>], left: [usize; 2]) -> Vec<String> {
    let mut notes = Vec::new();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let granted = |report: &Report| {
        report.opened.as_ref().map(|Start { opened, .. }| {
            let copy = if opened.zero_copy { "zero-copy" } else { "copy" };
            let driver = opened.driver.as_deref().unwrap_or("unknown");
            format!("driver {driver}, {} attach, {copy}", opened.attach)
        })
    };
    let ms = |s: f64| format!("{} ms", s * 1e3);
    let differing = [
        ("processor", text(&a.machine.cpu), text(&b.machine.cpu)),
        ("number of processors", a.machine.cpus.to_string(), b.machine.cpus.to_string()),
        ("kernel", text(&a.machine.kernel), text(&b.machine.kernel)),
        ("version of flux", a.version.clone(), b.version.clone()),
        ("socket", text(&granted(a)), text(&granted(b))),
        ("time per sample", ms(a.sample_s), ms(b.sample_s)),
    ];
    for (what, a, b) in differing {
        if a != b {
            notes.push(format!("another {what}: {a}, then {b}"));
        }
    }
    for (which, report) in [("first", a), ("second", b)] {
        if !report.complete {
            notes.push(format!("the {which} run was ended early"));
        }
    }
    for (which, count) in [("first", left[0]), ("second", left[1])] {
        if count > 0 {
            notes.push(format!("not compared: {count} settings that only the {which} run has"));
        }
    }
    let few = |(a, b): &&Pair<'_>| match (Figure::of(a), Figure::of(b)) {
        (Some(a), Some(b)) => too_few(&a, &b),
        _ => false,
    };
    let few = pairs.iter().filter(few).count();
    if few > 0 {
        notes.push(format!(
            "{few} settings have too few samples to know a change from noise: use --repeat 3 or more"
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
