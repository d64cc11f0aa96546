//! The one figure of a setting that it is judged by.

use super::plan::Workload;
use super::report::SettingReport;
use super::stats::Spread;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which figure of a setting it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Million packets a second: the more, the better.
    #[serde(rename = "mpps")]
    Mpps,
    /// Median latency in µs: the less, the better.
    #[serde(rename = "p50_us")]
    P50Us,
}

impl Metric {
    /// What settings of `workload` are judged by.
    pub(super) fn of(workload: Workload) -> Self {
        if workload == Workload::Latency { Metric::P50Us } else { Metric::Mpps }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Metric::Mpps => "Mpps",
            Metric::P50Us => "µs",
        })
    }
}

/// That figure of one setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure<'a> {
    /// Which it is.
    pub metric: Metric,
    /// Its value.
    pub value: f64,
    /// Its samples, where each sample has one.
    pub spread: Option<&'a Spread>,
}

impl<'a> Figure<'a> {
    /// Of `setting`; `None` where no packet came, so that there is nothing to judge by.
    pub fn of(setting: &'a SettingReport) -> Option<Self> {
        let metric = Metric::of(setting.workload);
        let (value, spread) = match metric {
            Metric::Mpps => (setting.mpps.median, Some(&setting.mpps)),
            Metric::P50Us => (setting.latency_us?.p50, setting.latency_p50_us.as_ref()),
        };
        let figure = Figure { metric, value, spread };
        (figure.value > 0.0).then_some(figure)
    }

    /// How much better this is than `other`, in percent of it; negative where it is worse.
    pub fn better_pct(&self, other: &Figure<'_>) -> f64 {
        let change = (self.value / other.value - 1.0) * 100.0;
        match self.metric {
            Metric::Mpps => change,
            Metric::P50Us => -change,
        }
    }

    /// The samples, or the one value where there are none.
    pub fn samples(&self) -> &[f64] {
        match self.spread {
            Some(spread) if !spread.samples.is_empty() => &spread.samples,
            _ => std::slice::from_ref(&self.value),
        }
    }
}

/// Three digits that count: `5.31`, `0.0156`, `1480`.
pub(super) fn digits(value: f64) -> String {
    let power = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (2.0 - power).clamp(0.0, 6.0);
    format!("{value:.0$}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let table = [(5.314, "5.31"), (0.015_625, "0.0156"), (1480.4, "1480"), (0.0, "0.00")];
        for (value, want) in table {
            assert_eq!(digits(value), want);
        }
    }

    #[test]
    fn better_is_more_packets_or_less_time() {
        let figure = |metric, value| Figure { metric, value, spread: None };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(figure(Metric::Mpps, 5.5).better_pct(&figure(Metric::Mpps, 5.0)), 10.0));
        assert!(near(figure(Metric::P50Us, 9.0).better_pct(&figure(Metric::P50Us, 10.0)), 10.0));
        assert!(near(figure(Metric::P50Us, 12.0).better_pct(&figure(Metric::P50Us, 10.0)), -20.0));
    }
}
