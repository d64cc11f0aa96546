//! Targets that nobody wants to type: the hosts of a network, a range of addresses, a file.

use crate::error::{FluxError, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// Most addresses of one network or range: an IPv4 network of 16 bits.
pub const MOST_GENERATED: u128 = 1 << 16;

/// The addresses that `words` stand for: networks such as 192.0.2.0/24, or the first and the last
/// of a range. The network and the broadcast address of an IPv4 network are left out where it has more
/// than two.
///
/// # Errors
/// When words are none of these, or stand for more than [`MOST_GENERATED`] addresses.
pub fn generate(words: &[String]) -> Result<Vec<String>> {
    if let [first, last] = words
        && !first.contains('/')
        && !last.contains('/')
    {
        return range(first, last);
    }
    let mut all = Vec::new();
    for word in words {
        all.extend(network(word)?);
    }
    Ok(all)
}

fn range(first: &str, last: &str) -> Result<Vec<String>> {
    let what = format!("range {first} to {last}");
    let bounds = match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => first.to_bits().into()..=last.to_bits().into(),
        (IpAddr::V6(first), IpAddr::V6(last)) => first.to_bits()..=last.to_bits(),
        _ => {
            return Err(FluxError::config(what, "its ends are of two families")
                .with_hint("give two IPv4 addresses, or two IPv6 addresses"));
        }
    };
    if bounds.is_empty() {
        return Err(FluxError::config(what, "its first address is behind its last")
            .with_hint(format!("write {last} {first}")));
    }
    spell(what, bounds, first.contains(':'))
}

fn network(word: &str) -> Result<Vec<String>> {
    let wrong = || {
        FluxError::config(format!("target {word}"), "is not a network, and not one end of a range")
            .with_hint(
                "with -g give networks such as 192.0.2.0/24, or the first and the last address",
            )
    };
    let (net, len) = word.split_once('/').ok_or_else(wrong)?;
    let len: u32 = len.parse().map_err(|_| wrong())?;
    let address = address(net)?;
    let (bits, width): (u128, u32) = match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    if len > width {
        let why = format!("has a prefix of {len} bits: at most {width}");
        return Err(FluxError::config(format!("network {word}"), why)
            .with_hint("write it as 192.0.2.0/24 or 2001:db8::/120"));
    }
    let host = 1_u128.checked_shl(width - len).map_or(u128::MAX, |size| size - 1);
    let (mut first, mut last) = (bits & !host, bits | host);
    if address.is_ipv4() && len < 31 {
        (first, last) = (first + 1, last - 1);
    }
    spell(format!("network {word}"), first..=last, !address.is_ipv4())
}

fn spell(what: String, bounds: RangeInclusive<u128>, v6: bool) -> Result<Vec<String>> {
    let more = bounds.end() - bounds.start();
    if more >= MOST_GENERATED {
        let count = more.checked_add(1).map_or_else(|| "2^128".to_owned(), |all| all.to_string());
        let why = format!("has {count} addresses: at most {MOST_GENERATED} can be pinged at once");
        return Err(FluxError::config(what, why)
            .with_hint("give smaller networks, one run for each (/16 and /112 fit)"));
    }
    let spelt = |bits: u128| match v6 {
        true => Ipv6Addr::from_bits(bits).to_string(),
        false => Ipv4Addr::from_bits(bits as u32).to_string(),
    };
    Ok(bounds.map(spelt).collect())
}

fn address(word: &str) -> Result<IpAddr> {
    word.parse().map_err(|_| {
        FluxError::config(format!("address {word}"), "is not an address")
            .with_hint("-g takes addresses: names cannot be counted up")
    })
}

/// The targets in the text of a file, each with the number of its line: the first word of a line,
/// unless it begins with #.
pub fn listed(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines());
    lines.filter_map(|(number, line)| {
        let line = line.split('#').next().unwrap_or_default();
        Some((number, line.split_whitespace().next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Result<Vec<String>> {
        generate(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn networks_are_their_hosts_and_ranges_have_both_ends() {
        assert_eq!(all("192.0.2.0/30").unwrap(), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(all("192.0.2.6/31").unwrap(), ["192.0.2.6", "192.0.2.7"]);
        assert_eq!(all("192.0.2.6/32").unwrap(), ["192.0.2.6"]);
        assert_eq!(all("192.0.2.77/24").unwrap().len(), 254);
        assert_eq!(all("10.0.0.0/16").unwrap().len(), 65_534);
        assert_eq!(all("192.0.2.0/31 198.51.100.0/31").unwrap().len(), 4);
        assert_eq!(all("192.0.2.254 192.0.3.1").unwrap().len(), 4);
        assert_eq!(all("192.0.2.9 192.0.2.9").unwrap(), ["192.0.2.9"]);
        assert_eq!(all("2001:db8::/127").unwrap(), ["2001:db8::", "2001:db8::1"]);
        assert_eq!(all("2001:db8::f 2001:db8::10").unwrap(), ["2001:db8::f", "2001:db8::10"]);
        assert_eq!(all("255.255.255.255/32").unwrap(), ["255.255.255.255"]);
        let v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(all(&format!("{v6}/128")).unwrap(), [v6]);
    }

    #[test]
    fn what_cannot_be_counted_up_is_refused_with_the_reason() {
        for (line, said) in [
            ("10.0.0.0/8", "network 10.0.0.0/8: has 16777214 addresses: at most 65536"),
            ("10.0.0.0/15", "131070"),
            ("0.0.0.0/0", "4294967294"),
            ("::/0", "2^128"),
            ("2001:db8::/64", "18446744073709551616 addresses"),
            ("10.0.0.0/33", "prefix of 33 bits: at most 32"),
            ("10.0.0.0/x", "not a network"),
            ("10.0.0.1", "not a network"),
            ("10.0.0.1 10.0.0.2 10.0.0.3", "not a network"),
            ("10.0.0.9 10.0.0.1", "its first address is behind its last"),
            ("10.0.0.9 ::1", "two families"),
            ("a.example b.example", "address a.example: is not an address"),
        ] {
            let error = all(line).unwrap_err();
            assert!(error.to_string().contains(said), "{line}: {error}");
            assert!(error.hint().is_some(), "{line}");
        }
    }

    #[test]
    fn a_file_has_a_target_on_each_line_that_is_not_empty() {
        let text = "# ours\n10.0.0.2\n\n  10.0.0.3  the second # so it is\n#10.0.0.4\nhost";
        let found: Vec<_> = listed(text).collect();
        assert_eq!(found, [(2, "10.0.0.2"), (4, "10.0.0.3"), (6, "host")]);
        assert_eq!(listed("").count(), 0);
    }
}
