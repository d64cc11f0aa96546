//! [`DurationStats`]: a histogram of durations; [`Statistics`]: its numbers as reports show them.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;

/// Exact sums of times: 72 bytes, enough for one of very many targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    count: u64,
    min_ns: u64,
    max_ns: u64,
    sum_ns: u128,
    squares_ns: u128,
}

impl Moments {
    /// Adds a time.
    pub fn record(&mut self, ns: u64) {
        self.min_ns = if self.count == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.squares_ns = self.squares_ns.saturating_add(u128::from(ns) * u128::from(ns));
    }

    /// Adds all times of `other`.
    pub fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        self.min_ns = if self.count == 0 { other.min_ns } else { self.min_ns.min(other.min_ns) };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.squares_ns = self.squares_ns.saturating_add(other.squares_ns);
    }

    /// How many times were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest time in µs; `None` without any.
    pub fn min_us(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min_ns as f64 / 1e3)
    }

    /// The longest time in µs.
    pub fn max_us(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max_ns as f64 / 1e3)
    }

    /// The mean in µs.
    pub fn mean_us(&self) -> Option<f64> {
        let count = u128::from(self.count);
        // Whole and part apart: an f64 has no room for both in a long sum.
        let whole = self.sum_ns.checked_div(count)? as f64;
        Some((whole + (self.sum_ns % count) as f64 / count as f64) / 1e3)
    }

    /// The population standard deviation in µs (ping's mdev).
    pub fn stddev_us(&self) -> Option<f64> {
        let count = u128::from(self.count);
        let (mean, rest) = (self.sum_ns.checked_div(count)?, self.sum_ns % count);
        // sum² / n in parts, as (n * mean + rest)² / n, because sum² may not fit.
        let whole = count.saturating_mul(mean.saturating_mul(mean)).saturating_add(2 * mean * rest);
        let part = rest as f64 * rest as f64 / count as f64;
        let squared = self.squares_ns.saturating_sub(whole) as f64 - part;
        Some((squared.max(0.0) / count as f64).sqrt() / 1e3)
    }
}

/// Durations in one unit, µs unless the key says another: the one shape of statistics in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The shortest, exact.
    pub min: f64,
    /// The mean, exact; not a number where a file of an earlier version has none.
    #[serde(default = "unknown", deserialize_with = "number_or_null")]
    pub mean: f64,
    /// The median, to three digits.
    pub p50: f64,
    /// 90th percentile, to three digits.
    pub p90: f64,
    /// 99th percentile, to three digits.
    pub p99: f64,
    /// 99.9th percentile, to three digits.
    pub p999: f64,
    /// The longest, exact.
    pub max: f64,
    /// The population standard deviation, exact; not a number as above.
    #[serde(default = "unknown", deserialize_with = "number_or_null")]
    pub stddev: f64,
}

fn unknown() -> f64 {
    f64::NAN
}

/// JSON has no number for what is not known.
fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(unknown))
}

/// One row of a chart: how many times lie in `from_us..to_us`; the last row includes its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HistogramRow {
    /// Start, included.
    pub from_us: f64,
    /// End, excluded.
    pub to_us: f64,
    /// How many.
    pub count: u64,
}

/// Round trip times: exact moments, and percentiles to three significant digits.
///
/// Grows with the range of what it saw, to about 100 KiB at times of seconds; for one of very
/// many targets, [`Moments`] alone may do.
#[derive(Debug, Clone)]
pub struct DurationStats {
    moments: Moments,
    /// `None` only if hdrhistogram refused its constant arguments; then there are no percentiles.
    histogram: Option<Histogram<u64>>,
}

impl Default for DurationStats {
    fn default() -> Self {
        Self::new()
    }
}

impl DurationStats {
    /// Nothing recorded yet.
    pub fn new() -> Self {
        DurationStats { moments: Moments::default(), histogram: Histogram::new(3).ok() }
    }

    /// The same with all memory taken now: [`record`](Self::record) never allocates. Percentiles
    /// end at `longest`; the longest time itself stays exact.
    pub fn bounded(longest: Duration) -> Self {
        let most = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).max(2);
        let histogram = Histogram::new_with_bounds(1, most, 3).ok();
        DurationStats { moments: Moments::default(), histogram }
    }

    /// Adds a time.
    pub fn record(&mut self, ns: u64) {
        self.moments.record(ns);
        if let Some(histogram) = &mut self.histogram {
            // One that resizes itself takes any u64; a bounded one ends somewhere.
            if histogram.record(ns).is_err() {
                histogram.saturating_record(ns);
            }
        }
    }

    /// Adds all times of `other`.
    pub fn merge(&mut self, other: &DurationStats) {
        self.moments.merge(&other.moments);
        if let (Some(histogram), Some(others)) = (&mut self.histogram, &other.histogram) {
            for value in others.iter_recorded() {
                let _recorded =
                    histogram.record_n(value.value_iterated_to(), value.count_at_value());
            }
        }
    }

    /// The exact part.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// The time in µs that `quantile` (0 to 1) of all times do not exceed, to three digits.
    pub fn quantile_us(&self, quantile: f64) -> Option<f64> {
        let histogram = self.histogram.as_ref().filter(|_| self.moments.count > 0)?;
        Some(self.clamp(histogram.value_at_quantile(quantile)) as f64 / 1e3)
    }

    /// All of it; `None` before the first time.
    pub fn summary(&self) -> Option<Statistics> {
        Some(Statistics {
            min: self.moments.min_us()?,
            mean: self.moments.mean_us()?,
            p50: self.quantile_us(0.50)?,
            p90: self.quantile_us(0.90)?,
            p99: self.quantile_us(0.99)?,
            p999: self.quantile_us(0.999)?,
            max: self.moments.max_us()?,
            stddev: self.moments.stddev_us()?,
        })
    }

    /// At most `rows` adjacent rows of a chart, from the shortest to the longest time. Rows of
    /// equal width where the longest time is less than eight times the shortest, else of equal
    /// ratio, so that a few slow answers do not press all others into one row.
    pub fn buckets(&self, rows: usize) -> Vec<HistogramRow> {
        let Some(histogram) = self.histogram.as_ref().filter(|_| self.moments.count > 0) else {
            return Vec::new();
        };
        let mut edges = edges(self.moments.min_ns, self.moments.max_ns, rows);
        // On the histogram's own steps: a finer row would claim what was never kept.
        edges.iter_mut().skip(1).for_each(|edge| *edge = histogram.lowest_equivalent(*edge));
        edges.pop();
        edges.push(histogram.next_non_equivalent(self.moments.max_ns));
        edges.dedup();
        if edges.get(1).is_some_and(|&second| second <= self.moments.min_ns) {
            edges.remove(1);
        }
        let mut buckets: Vec<HistogramRow> = edges
            .windows(2)
            .map(|edge| HistogramRow {
                from_us: edge[0] as f64 / 1e3,
                to_us: edge[1] as f64 / 1e3,
                count: 0,
            })
            .collect();
        for value in histogram.iter_recorded() {
            let step = histogram.lowest_equivalent(value.value_iterated_to());
            let row = edges.partition_point(|&edge| edge <= step).saturating_sub(1);
            let row = row.min(buckets.len().saturating_sub(1));
            if let Some(bucket) = buckets.get_mut(row) {
                bucket.count += value.count_at_value();
            }
        }
        buckets
    }

    /// The histogram names its own steps' ends, which may lie outside of what was recorded.
    fn clamp(&self, ns: u64) -> u64 {
        ns.max(self.moments.min_ns).min(self.moments.max_ns)
    }
}

/// The limits of at most `rows` rows from `min` to `max`, ascending, at least two of them; equal
/// only if `min` and `max` are.
fn edges(min: u64, max: u64, rows: usize) -> Vec<u64> {
    let rows = rows.max(1);
    let (low, high) = (min.max(1) as f64, max.max(1) as f64);
    let mut edges = vec![min];
    for row in 1..rows {
        let part = row as f64 / rows as f64;
        let edge = if high / low < 8.0 {
            min as f64 + (max - min) as f64 * part
        } else {
            low * (high / low).powf(part)
        } as u64;
        // Narrower rows than a nanosecond fall away.
        if edge > edges.last().copied().unwrap_or(min) && edge < max {
            edges.push(edge);
        }
    }
    edges.push(max);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stats(times: &[u64]) -> DurationStats {
        let mut stats = DurationStats::new();
        times.iter().for_each(|&ns| stats.record(ns));
        stats
    }

    #[test]
    fn a_bounded_one_keeps_what_is_longer_as_its_longest() {
        let mut stats = DurationStats::bounded(Duration::from_millis(1));
        [1000, 2000, 3000, 7_000_000_000].iter().for_each(|&ns| stats.record(ns));
        let Statistics { p50, p99, max, .. } = stats.summary().unwrap();
        assert_eq!((p50, max), (2.0, 7_000_000.0));
        assert!((1000.0..1100.0).contains(&p99), "{p99}");
    }

    #[test]
    fn nothing_recorded_has_no_summary_and_no_rows() {
        assert_eq!(DurationStats::new().summary(), None);
        assert!(DurationStats::new().buckets(10).is_empty());
    }

    #[test]
    fn one_time_is_all_of_its_statistics() {
        let summary = stats(&[123_456_789]).summary().unwrap();
        for us in [summary.min, summary.mean, summary.p50, summary.p99, summary.max] {
            assert_eq!(us, 123_456.789);
        }
        assert_eq!(summary.stddev, 0.0);
        let fine = stats(&[20_000_000, 20_000_300, 20_000_900]).buckets(20);
        assert_eq!(fine.len(), 1, "no row is finer than what was kept: {fine:?}");
        let buckets = stats(&[5]).buckets(10);
        assert_eq!(buckets, [HistogramRow { from_us: 0.005, to_us: 0.006, count: 1 }]);
    }

    #[test]
    fn known_times_have_known_statistics() {
        let summary = stats(&[2_000, 4_000, 4_000, 4_000, 5_000, 5_000, 7_000, 9_000]).summary();
        let summary = summary.unwrap();
        assert_eq!((summary.mean, summary.stddev), (5.0, 2.0));
        assert_eq!((summary.min, summary.max), (2.0, 9.0));
    }

    #[test]
    fn a_tiny_spread_on_a_huge_base_keeps_its_deviation() {
        let base = 3_600_000_000_000_000;
        let summary = stats(&[base, base + 2, base, base + 2]).summary().unwrap();
        assert_eq!(summary.stddev, 0.001);
    }

    #[test]
    fn an_outlier_makes_the_rows_logarithmic() {
        let mut times: Vec<u64> = (0..1000).map(|n| 100_000 + n * 100).collect();
        assert!(stats(&times).buckets(10).iter().all(|bucket| bucket.count > 90));
        times.push(1_000_000_000);
        let buckets = stats(&times).buckets(10);
        let ratio = |bucket: &HistogramRow| bucket.to_us / bucket.from_us;
        assert!((ratio(&buckets[0]) - ratio(&buckets[8])).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn statistics_agree_with_the_plain_formulas(
            times in prop::collection::vec(1_u64..10_000_000_000, 1..300),
        ) {
            let summary = stats(&times).summary().unwrap();
            let count = times.len() as f64;
            let mean = times.iter().map(|&ns| ns as f64 / 1e3).sum::<f64>() / count;
            let squares = times.iter().map(|&ns| (ns as f64 / 1e3 - mean).powi(2)).sum::<f64>();
            let close = |a: f64, b: f64, part: f64| (a - b).abs() <= b.abs() * part + 1e-6;
            prop_assert!(close(summary.mean, mean, 1e-9));
            prop_assert!(close(summary.stddev, (squares / count).sqrt(), 1e-6));
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let rank = |q: f64| sorted[((q * count).ceil() as usize).max(1) - 1] as f64 / 1e3;
            prop_assert_eq!(summary.min, rank(0.0));
            prop_assert_eq!(summary.max, rank(1.0));
            prop_assert!(close(summary.p50, rank(0.5), 1e-3));
            prop_assert!(close(summary.p90, rank(0.9), 1e-3));
            prop_assert!(close(summary.p99, rank(0.99), 1e-3));
        }

        #[test]
        fn rows_are_adjacent_ascending_and_hold_every_time(
            times in prop::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 1..200),
            rows in 0_usize..40,
        ) {
            let buckets = stats(&times).buckets(rows);
            prop_assert!(!buckets.is_empty() && buckets.len() <= rows.max(1));
            prop_assert_eq!(buckets.iter().map(|b| b.count).sum::<u64>(), times.len() as u64);
            let ns = |n: Option<&u64>| *n.unwrap() as f64 / 1e3;
            prop_assert_eq!(buckets[0].from_us, ns(times.iter().min()));
            prop_assert!(buckets[buckets.len() - 1].to_us >= ns(times.iter().max()));
            for pair in buckets.windows(2) {
                prop_assert_eq!(pair[0].to_us, pair[1].from_us);
                prop_assert!(pair[0].from_us <= pair[0].to_us);
            }
        }

        #[test]
        fn merged_is_as_if_recorded_together(
            a in prop::collection::vec(1_u64..1 << 40, 0..50),
            b in prop::collection::vec(1_u64..1 << 40, 0..50),
        ) {
            let mut merged = stats(&a);
            merged.merge(&stats(&b));
            let together = stats(&[a, b].concat());
            prop_assert_eq!(merged.moments(), together.moments());
            for quantile in [0.5, 0.9, 0.99] {
                let (one, other) = (merged.quantile_us(quantile), together.quantile_us(quantile));
                prop_assert_eq!(one.is_some(), other.is_some());
                if let (Some(one), Some(other)) = (one, other) {
                    prop_assert!((one - other).abs() <= other * 1e-3);
                }
            }
        }
    }
}
