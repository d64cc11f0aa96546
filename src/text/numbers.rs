//! Values of options: `64k`, `1.5mpps`, `0.002`, `50us`.
//!
//! How many of something is decimal (`1k` packets are 1000), how much memory is binary (`4k` bytes
//! are 4096), and times are seconds or carry their unit.

use std::time::Duration;

/// Longest time that any option takes: a year of 365 days, far inside 64 bits of nanoseconds.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// A decimal number as people write it: no signs, no exponents, no infinities.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then(|| text.parse().ok()).flatten()
}

/// Splits `text` into the number and a lower-case suffix.
pub(super) fn split(text: &str) -> (&str, String) {
    let end = text
        .char_indices()
        .find(|&(_, c)| !(c.is_ascii_digit() || c == '.'))
        .map_or(text.len(), |(at, _)| at);
    (&text[..end], text[end..].to_ascii_lowercase())
}

/// A whole number with a suffix, `step` being the factor between `k`, `m` and `g`.
fn whole(text: &str, step: u64) -> Result<u64, String> {
    let rule = || match step {
        1024 => "must be a whole number of bytes; 2k is 2048",
        _ => "must be a whole number; 2k is 2000",
    };
    let (digits, suffix) = split(text);
    let power = match suffix.as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return Err(rule().into()),
    };
    if digits.is_empty() || digits.contains('.') {
        return Err(rule().into());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(step.checked_pow(power)?))
        .ok_or_else(|| "is too large".into())
}

/// How many of something: `k` is 1000.
///
/// # Errors
/// The rule, without the value; so it is with all parsers here.
pub fn count(text: &str) -> Result<u64, String> {
    match whole(text, 1000)? {
        0 => Err("must be at least 1".into()),
        n if i64::try_from(n).is_err() => Err("is too large".into()),
        n => Ok(n),
    }
}

/// Bytes: `k` is 1024.
///
/// # Errors
/// The rule.
pub fn bytes(text: &str) -> Result<usize, String> {
    usize::try_from(whole(text, 1024)?).map_err(|_| "is too large".into())
}

/// How many of something, `least` to `most`: `k` is 1000.
///
/// # Errors
/// The rule.
pub fn count_in(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let count = u32::try_from(whole(text, 1000)?).ok().filter(|n| (least..=most).contains(n));
    count.ok_or_else(|| format!("must be {least} to {most}"))
}

/// Bytes, `least` to `most`: `k` is 1024.
///
/// # Errors
/// The rule.
pub fn bytes_in(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let bytes = Some(bytes(text)?).filter(|n| (least..=most).contains(n));
    bytes.ok_or_else(|| format!("must be {least} to {most} bytes"))
}

/// Packets per second: `10kpps`, `1.5mpps`, `200000pps`, `200000`.
///
/// # Errors
/// The rule.
pub fn rate(text: &str) -> Result<f64, String> {
    const RULE: &str = "must be packets per second, such as 500, 10kpps or 1.5mpps";
    let (digits, suffix) = split(text);
    let factor = match suffix.strip_suffix("pps").unwrap_or(&suffix) {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => return Err(RULE.into()),
    };
    let rate = digits.parse::<f64>().map_err(|_| RULE.to_owned())? * factor;
    if (0.001..=1e9).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be between 0.001pps and 1gpps".into())
    }
}

/// A time: seconds as ping takes them (`0.002`), or with a unit (`2ms`, `50us`).
///
/// # Errors
/// The rule.
pub fn time(text: &str) -> Result<Duration, String> {
    const RULE: &str = "must be seconds (0.2) or a time with its unit (200ms, 50us)";
    const MOST: &str = "is too long: at most 1 year";
    let time = match number(text) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| MOST.to_owned())?,
        None => with_units(text).ok_or(RULE)?,
    };
    if time > LONGEST { Err(MOST.into()) } else { Ok(time) }
}

/// Numbers with their units, added: `50us`, `1.5 ms`, `1s 500ms`.
pub(super) fn with_units(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text.trim(), Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (digits, unit) = (&rest[..end], rest[end..].trim_start());
        let end = unit.find(|c: char| !c.is_alphabetic()).unwrap_or(unit.len());
        sum = sum.checked_add(of_unit(digits, &unit[..end])?)?;
        rest = unit[end..].trim_start();
    }
    Some(sum)
}

/// A number of a unit of time, such as 3 hours. What is beyond [`LONGEST`] may become anything beyond it.
fn of_unit(digits: &str, unit: &str) -> Option<Duration> {
    let one: u64 = match unit {
        "ns" | "nsec" => 1,
        "us" | "µs" | "usec" => 1_000,
        "ms" | "msec" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hr" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        "w" | "week" | "weeks" => 7 * 86_400_000_000_000,
        "y" | "year" | "years" => 365 * 86_400_000_000_000,
        _ => return None,
    };
    if digits.is_empty() || digits == "." {
        return None;
    }
    // The whole part exactly: it is what is usually written.
    let (whole, part) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    let whole = whole.and_then(|whole| whole.checked_mul(one)).unwrap_or(u64::MAX);
    let part = if part.is_empty() { 0.0 } else { number(&format!("0{part}"))? * one as f64 };
    Some(Duration::from_nanos(whole.saturating_add(part.round() as u64)))
}

/// A limit as ping and traceroute have it: 0 is none, which is the longest time here.
#[must_use]
pub fn limit(time: Duration) -> Duration {
    if time.is_zero() { LONGEST } else { time }
}

/// A percentage: `5%`, `0.5%`, `5`.
///
/// # Errors
/// The rule.
pub fn percent(text: &str) -> Result<f64, String> {
    let value = number(text.strip_suffix('%').unwrap_or(text).trim_end());
    value.ok_or_else(|| "must be a percentage, such as 5% or 0.5%".into())
}

/// One byte, decimal or `0x…`.
///
/// # Errors
/// The rule.
pub fn byte(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u8::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "must be 0 to 255, or 0x00 to 0xff".into())
}

/// Bytes to fill a payload with; a type of its own, as clap takes a `Vec` for a repeated option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(pub Vec<u8>);

/// Up to 16 bytes in hexadecimal. A digit left over at the end is a byte of its own, as ping has it.
///
/// # Errors
/// The rule.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    let digit = |b: &u8| (*b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    match digits {
        Some(d) if (1..=32).contains(&d.len()) => {
            let byte = |pair: &[u8]| pair.iter().fold(0, |byte, digit| byte << 4 | digit);
            Ok(Pattern(d.chunks(2).map(byte).collect()))
        }
        _ => Err("must be 1 to 32 hexadecimal digits".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_decimal_and_bytes_are_binary() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(bytes("64k"), Ok(65_536));
        assert_eq!(bytes("1m"), Ok(1 << 20));
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(count_in("4k", 1, 4096), Ok(4000));
        assert_eq!(bytes_in("4k", 2048, 4096), Ok(4096));
    }

    #[test]
    fn bad_whole_numbers_are_refused() {
        for bad in ["", "k", "-1", "1.5k", "1.", "1kb", "x", "1e3", "0x10", " 1", "inf", "nan"] {
            assert!(count(bad).is_err() && bytes(bad).is_err(), "{bad}");
        }
        for huge in ["99999999999999999999", "18446744073709551615k", "17179869184g"] {
            assert_eq!(bytes(huge), Err("is too large".into()), "{huge}");
        }
        assert!(count("0").is_err());
        assert!(count("18446744073709551615").is_err());
        for (bad, rule) in
            [("0", "must be 1 to 4096"), ("5k", "must be 1 to 4096"), ("5g", "must be 1 to 4096")]
        {
            assert_eq!(count_in(bad, 1, 4096), Err(rule.into()), "{bad}");
        }
        assert_eq!(bytes_in("59", 60, 1514), Err("must be 60 to 1514 bytes".into()));
    }

    #[test]
    fn rates_take_their_usual_spellings() {
        let table = [
            ("10kpps", 1e4),
            ("1.5mpps", 1.5e6),
            ("200000pps", 2e5),
            ("200000", 2e5),
            ("10k", 1e4),
            ("0.5", 0.5),
            ("1Gpps", 1e9),
        ];
        for (text, want) in table {
            assert_eq!(rate(text), Ok(want), "{text}");
        }
        for bad in ["", "pps", "0", "-5", "inf", "nan", "1e300", "2gpps", "10kbit", "1.2.3", "k"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_seconds_or_carry_a_unit() {
        let table = [
            ("1", Duration::from_secs(1)),
            ("0.002", Duration::from_millis(2)),
            (".5", Duration::from_millis(500)),
            ("0", Duration::ZERO),
            ("2ms", Duration::from_millis(2)),
            ("50us", Duration::from_micros(50)),
            ("1s 500ms", Duration::from_millis(1500)),
            ("1m", Duration::from_secs(60)),
            ("1.5ms", Duration::from_micros(1500)),
            ("5 sec", Duration::from_secs(5)),
            ("1min", Duration::from_secs(60)),
            ("1h30m", Duration::from_secs(5400)),
            ("365d", LONGEST),
            ("1year", LONGEST),
            ("31536000", LONGEST),
            ("31536000000000000ns", LONGEST),
        ];
        for (text, want) in table {
            assert_eq!(time(text), Ok(want), "{text}");
        }
        let huge = "9".repeat(400);
        for bad in [
            "", "-1", "-1s", "inf", "nan", "NaN", "1e300", "1e-3", "1x", "1..2", ".", &huge, "2y",
            "1s-", "ms",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
        for long in ["31536001", "366d", "31536000000000001ns", "99999999999y", "1e9s"] {
            assert!(time(long).is_err(), "{long}");
        }
        assert_eq!(time("60y"), Err("is too long: at most 1 year".into()));
    }

    #[test]
    fn percentages_are_plain_numbers() {
        assert_eq!(percent("5%"), Ok(5.0));
        assert_eq!(percent("0.5 %"), Ok(0.5));
        assert_eq!(percent("12"), Ok(12.0));
        for bad in ["", "%", "-1%", "1e3%", "five", "inf%", "nan", "5%%", "1.2.3"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_and_patterns_are_bounded() {
        assert_eq!(byte("184"), Ok(184));
        assert_eq!(byte("0xB8"), Ok(0xb8));
        for bad in ["256", "0x100", "0x", "0x+1", "-1", "", "b8"] {
            assert!(byte(bad).is_err(), "{bad}");
        }
        assert_eq!(pattern("ff"), Ok(Pattern(vec![0xff])));
        assert_eq!(pattern("deadbeef"), Ok(Pattern(vec![0xde, 0xad, 0xbe, 0xef])));
        assert_eq!(pattern("fff"), Ok(Pattern(vec![0xff, 0x0f])));
        assert_eq!(pattern(&"0".repeat(32)).map(|p| p.0.len()), Ok(16));
        for bad in ["", "xy", "0xff", "ff ff", &"0".repeat(33), "é"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
