//! What a handful of samples says: where they lie, how far apart, and whether one handful lies
//! below another.

use serde::{Deserialize, Serialize};

/// Interquartile range, in percent of the median, above which samples are noisy.
const NOISY_PCT: f64 = 5.0;
/// Chance of taking one handful to be below another when it is not.
const ALPHA: f64 = 0.05;
/// Up to as many pairs the orders are counted, and always where one handful is as small as this;
/// above, they are normally distributed to two digits.
const COUNTED: (usize, usize) = (400, 7);

/// Samples and where they lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the samples are below.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// A quarter of the samples is below, interpolated between neighbours.
    pub q1: f64,
    /// Three quarters of the samples are below.
    pub q3: f64,
    /// `q3 - q1` in percent of the median; 100 when the median is 0 and not all samples are.
    pub iqr_pct: f64,
    /// All of them, in the order they were taken.
    pub samples: Vec<f64>,
}

impl Spread {
    /// Of samples in the order they were taken; `None` without a sample, or when one of them is
    /// no number.
    #[must_use]
    pub fn of(samples: Vec<f64>) -> Option<Self> {
        if !samples.iter().all(|sample| sample.is_finite()) {
            return None;
        }
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let [q1, median, q3] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        let iqr_pct = match (q3 - q1, median.abs()) {
            (iqr, _) if iqr <= 0.0 => 0.0,
            (_, median) if median <= 0.0 => 100.0,
            (iqr, median) => iqr / median * 100.0,
        };
        Some(Self { median, min, max, q1, q3, iqr_pct, samples })
    }

    /// Whether the samples are too far apart to go by their median.
    #[must_use]
    pub fn noisy(&self) -> bool {
        self.iqr_pct > NOISY_PCT
    }

    /// Whether `value` is among the samples, as far as one can tell.
    pub(super) fn covers(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// The value with `share` of `sorted` below it, interpolated linearly between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len().saturating_sub(1)) as f64;
    let below = at.floor() as usize;
    let value = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let low = value(below);
    if at > below as f64 { low + (value(below + 1) - low) * (at - below as f64) } else { low }
}

/// Whether what `low` was drawn from lies below what `high` was drawn from: the Mann-Whitney
/// test, one-sided, at 5 %. It asks only in which order the samples lie, so one that went astray
/// does not decide.
///
/// Two handfuls that are too small for 5 % must not overlap at all; [`tells`] tells which are.
pub(super) fn below(low: &[f64], high: &[f64]) -> bool {
    let pair = |l: f64, h: f64| match l.total_cmp(&h) {
        std::cmp::Ordering::Less => 0.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0,
    };
    // Mann and Whitney's U: pairs that lie the other way round.
    let wrong: f64 = low.iter().flat_map(|&l| high.iter().map(move |&h| pair(l, h))).sum();
    let some = !low.is_empty() && !high.is_empty();
    some && (wrong == 0.0 || chance(low.len(), high.len(), wrong.ceil()) <= ALPHA)
}

/// Whether handfuls of these sizes can be told apart with 5 % doubt: 3 and 3 can.
pub(super) fn tells(a: usize, b: usize) -> bool {
    a > 0 && b > 0 && chance(a, b, 0.0) <= ALPHA
}

/// Chance of at most `wrong` pairs out of order among `a` and `b` samples of one distribution.
fn chance(a: usize, b: usize, wrong: f64) -> f64 {
    let pairs = (a * b) as f64;
    if a * b > COUNTED.0 && a.min(b) > COUNTED.1 {
        let deviation = (pairs * (a + b + 1) as f64 / 12.0).sqrt();
        return normal((wrong + 0.5 - pairs / 2.0) / deviation);
    }
    // ways[n]: orders with n pairs out of order, the coefficients of the Gaussian binomial.
    let mut ways = vec![0.0_f64; a * b + 1];
    ways[0] = 1.0;
    for step in 1..=a {
        for n in (step + b..ways.len()).rev() {
            ways[n] -= ways[n - step - b];
        }
        for n in step..ways.len() {
            ways[n] += ways[n - step];
        }
    }
    let at_most: f64 = ways.iter().take(wrong as usize + 1).sum();
    at_most / ways.iter().sum::<f64>()
}

/// Share of the normal distribution below `z`, to seven digits (Abramowitz and Stegun 26.2.17).
fn normal(z: f64) -> f64 {
    const B: [f64; 5] =
        [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_53];
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let tail = density * B.iter().fold(0.0, |sum, b| (sum + b) * t);
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quartiles_are_interpolated_between_neighbours() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.max, spread.median), (1.0, 4.0, 2.5));
        assert_eq!((spread.q1, spread.q3), (1.75, 3.25));
        assert_eq!(spread.iqr_pct, 60.0);
        assert_eq!(spread.samples, [4.0, 1.0, 3.0, 2.0]);
        let one = Spread::of(vec![7.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3, one.iqr_pct), (7.0, 7.0, 7.0, 0.0));
    }

    #[test]
    fn nothing_and_no_number_have_no_spread() {
        assert_eq!(Spread::of(Vec::new()), None);
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(Spread::of(vec![1.0, bad]), None);
        }
    }

    #[test]
    fn a_range_over_five_percent_is_noisy_and_a_median_of_zero_does_no_harm() {
        let noisy = |samples: &[f64]| Spread::of(samples.to_vec()).unwrap().noisy();
        assert!(!noisy(&[100.0, 102.0, 104.0, 100.0, 101.0]));
        assert!(noisy(&[100.0, 110.0, 90.0, 105.0, 95.0]));
        assert!(!noisy(&[0.0, 0.0, 0.0]));
        assert!(noisy(&[0.0, 0.0, 0.0, 1.0, 1.0]));
    }

    #[test]
    fn the_chances_are_those_of_the_tables() {
        // 252 orders of five and five; the counts up to 4 are 1, 2, 4, 7, 12.
        for (wrong, ways) in [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 7.0), (4.0, 12.0)] {
            assert!((chance(5, 5, wrong) - ways / 252.0).abs() < 1e-12, "{wrong}");
        }
        assert!((chance(3, 3, 0.0) - 0.05).abs() < 1e-12);
        assert!((chance(2, 7, 14.0) - 1.0).abs() < 1e-12);
        // Counted and approximated meet; 127 is the critical value for twenty and twenty at 2.5 %.
        assert!(chance(20, 20, 127.0) <= 0.025 && chance(20, 20, 128.0) > 0.025);
        assert!((chance(20, 20, 138.0) - chance(21, 20, 145.5)).abs() < 0.005);
        assert!(
            (normal(-1.959_964) - 0.025).abs() < 1e-6 && (normal(1.0) - 0.841_345).abs() < 1e-6
        );
    }

    #[test]
    fn one_sample_that_went_astray_does_not_decide() {
        let high = [10.0, 10.1, 9.9, 10.2, 10.0];
        assert!(below(&[8.0, 8.1, 7.9, 8.2, 8.0], &high));
        assert!(below(&[8.0, 8.1, 7.9, 8.2, 10.05], &high));
        assert!(!below(&[8.0, 8.1, 10.3, 10.2, 10.05], &high));
        assert!(!below(&high, &high));
    }

    #[test]
    fn two_samples_must_not_overlap() {
        assert!(below(&[1.0, 2.0], &[3.0, 4.0]) && !below(&[1.0, 3.5], &[3.0, 4.0]));
        assert!(!below(&[], &[3.0]) && !below(&[3.0], &[]));
        assert!(!tells(2, 2) && tells(3, 3) && !tells(1, 18) && tells(1, 19));
    }

    fn samples() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(0.0..1e9_f64, 1..40)
    }

    proptest! {
        #[test]
        fn a_spread_is_ordered_and_does_not_depend_on_the_order(mut list in samples()) {
            let spread = Spread::of(list.clone()).unwrap();
            let Spread { min, q1, median, q3, max, .. } = spread;
            prop_assert!(min <= q1 && q1 <= median && median <= q3 && q3 <= max);
            prop_assert!(spread.iqr_pct >= 0.0 && spread.iqr_pct.is_finite());
            prop_assert!(list.iter().all(|&sample| spread.covers(sample)));
            prop_assert!(list.iter().filter(|&&s| s <= median).count() * 2 >= list.len());
            prop_assert!(list.iter().filter(|&&s| s >= median).count() * 2 >= list.len());
            list.reverse();
            let back = Spread::of(list).unwrap();
            prop_assert_eq!((back.q1, back.median, back.q3), (q1, median, q3));
        }

        #[test]
        fn scaling_the_samples_scales_the_spread(list in samples(), factor in 0.01..100.0_f64) {
            let spread = Spread::of(list.clone()).unwrap();
            let scaled = Spread::of(list.iter().map(|s| s * factor).collect()).unwrap();
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9);
            prop_assert!(near(scaled.median, spread.median * factor));
            prop_assert!(near(scaled.iqr_pct, spread.iqr_pct));
        }

        #[test]
        fn no_two_handfuls_are_below_each_other(a in samples(), b in samples()) {
            prop_assert!(!(below(&a, &b) && below(&b, &a)));
            prop_assert!(!below(&a, &a));
        }

        #[test]
        fn chances_rise_from_one_order_to_all(a in 1..25_usize, b in 1..25_usize) {
            let all: Vec<f64> = (0..=a * b).map(|wrong| chance(a, b, wrong as f64)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            prop_assert!(all[0] > 0.0 && (all[a * b] - 1.0).abs() < 0.01);
        }
    }
}
