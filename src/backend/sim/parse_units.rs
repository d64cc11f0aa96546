//! Shares, times and rates as people write them.

use std::time::Duration;

/// A yes or no; an empty word is yes.
pub(crate) fn yes_no(text: &str) -> Option<bool> {
    match text {
        "" | "yes" | "on" | "true" | "1" => Some(true),
        "no" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// `10%`, or `0.1`.
pub(crate) fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// A decimal number as people write it: no signs, no exponents, no infinities.
fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then(|| text.parse().ok()).flatten()
}

/// A number and a unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    Some((number(&text[..at])?, text[at..].trim()))
}

/// `5ms`, up to an hour.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let ns = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        "" if number == 0.0 => 1.0,
        _ => return None,
    };
    let ns = number * ns;
    (ns <= 3600e9).then(|| Duration::from_nanos(ns.round() as u64))
}

/// `10mbit`, in bits per second.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bits = match unit.to_ascii_lowercase().as_str() {
        "bit" => 1.0,
        "kbit" | "k" => 1e3,
        "mbit" | "m" => 1e6,
        "gbit" | "g" => 1e9,
        _ => return None,
    };
    let bits = (number * bits).round();
    (1.0..=1e12).contains(&bits).then_some(bits as u64)
}
