//! Shares, times with a unit, and rates in bits: values of `--sim` and of topology files.

use super::numbers::{number, split};
use std::time::Duration;

/// A yes or no; an empty word is yes.
#[must_use]
pub fn yes_no(text: &str) -> Option<bool> {
    match text {
        "" | "yes" | "on" | "true" | "1" => Some(true),
        "no" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// `10%`, or `0.1`.
#[must_use]
pub fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// `5ms`, up to an hour. A number alone could be seconds or milliseconds: only 0 needs no unit.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let time = match number(text) {
        Some(0.0) => Duration::ZERO,
        Some(_) => return None,
        None => super::numbers::with_units(text)?,
    };
    (time <= LONGEST).then_some(time)
}

/// `10mbit`, in bits per second.
#[must_use]
pub fn bit_rate(text: &str) -> Option<u64> {
    let (digits, unit) = split(text);
    let bits = match unit.trim() {
        "bit" => 1.0,
        "kbit" | "k" => 1e3,
        "mbit" | "m" => 1e6,
        "gbit" | "g" => 1e9,
        _ => return None,
    };
    let bits = (number(digits)? * bits).round();
    (1.0..=1e12).contains(&bits).then_some(bits as u64)
}

/// What was probably meant by a value that `parse` refuses: the same number with a unit.
#[must_use]
pub fn with_unit<T>(
    text: &str,
    units: &[&str],
    parse: impl Fn(&str) -> Option<T>,
) -> Option<String> {
    let (digits, unit) = split(text);
    number(digits)?;
    let first = unit.trim().chars().next();
    let like = units.iter().find(|known| first.is_some_and(|first| known.starts_with(first)));
    let unit = like.or_else(|| units.first().filter(|_| first.is_none()))?;
    let better = format!("{digits}{unit}");
    (better != text && parse(&better).is_some()).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(share("10%"), Some(0.1));
        assert_eq!(share("0.1"), Some(0.1));
        assert_eq!(time("5ms"), Some(Duration::from_millis(5)));
        assert_eq!(time("1.5 ms"), Some(Duration::from_micros(1500)));
        assert_eq!(time("0"), Some(Duration::ZERO));
        assert_eq!(bit_rate("1gbit"), Some(1_000_000_000));
        assert_eq!(bit_rate("64K"), Some(64_000));
        for bad in ["", "5", "-1ms", "inf", "2h", "5 parsec", "ms"] {
            assert_eq!(time(bad), None, "{bad}");
        }
        assert!(share("3").is_none() && share("-1%").is_none() && share("").is_none());
        assert!(bit_rate("1gb").is_none() && bit_rate("10").is_none());
    }

    #[test]
    fn a_value_without_its_unit_is_put_right() {
        let share = |text| with_unit(text, &["%"], share);
        assert_eq!(share("3").as_deref(), Some("3%"));
        assert_eq!(share("300"), None);
        let time = |text| with_unit(text, &["ms", "us", "s"], time);
        assert_eq!(time("5").as_deref(), Some("5ms"));
        assert_eq!(time("soon"), None);
        let rate = |text| with_unit(text, &["mbit", "gbit", "kbit", "bit"], bit_rate);
        assert_eq!(rate("1gb").as_deref(), Some("1gbit"));
        assert_eq!(rate("10").as_deref(), Some("10mbit"));
        assert_eq!(rate("10mbps").as_deref(), Some("10mbit"));
        assert_eq!(rate("fast"), None);
    }
}
