//! Which autonomous system an address belongs to, by a table that somebody downloaded.
//!
//! ```text
//!   iptoasn.com   1.0.0.0 ⇥ 1.0.0.255 ⇥ 13335 ⇥ US ⇥ CLOUDFLARENET
//!   CAIDA pfx2as  1.0.0.0 ⇥ 24 ⇥ 13335        (13335_38803, 4826,38803: several systems)
//! ```
//!
//! Invariant: entries are in the order of their first address, the longer range first, and each
//! names the nearest earlier one that reaches as far as its own first address: the narrowest range
//! around an address is found by one binary search and the few ranges around that.

use crate::error::{ErrorKind, FluxError, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// No range is around this one.
const ALONE: u32 = u32::MAX;
/// As gzip files begin.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<A> {
    first: A,
    last: A,
    /// The first system that announces it; 0: nobody.
    asn: u32,
    /// The place of further ones in [`AsTable::more`], from 1.
    more: u32,
    /// The nearest entry before that may be around this one.
    around: u32,
}

/// Ranges of addresses and the systems that announce them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsTable {
    v4: Vec<Entry<u32>>,
    v6: Vec<Entry<u128>>,
    more: Vec<Vec<u32>>,
}

/// The systems that announce an address; none where nobody does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    asn: u32,
    more: &'a [u32],
}

impl Origin<'_> {
    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        (self.asn != 0).then_some(self.asn)
    }

    /// The others.
    #[must_use]
    pub fn others(&self) -> Vec<u32> {
        self.more.to_vec()
    }
}

/// Lines that are no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLines {
    /// How many.
    pub count: u64,
    /// Number of the first, from 1.
    pub line: u64,
    /// What it is, cut after a few words.
    pub text: String,
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, line, text } = self;
        write!(f, "line {line} has no range and AS number: \"{text}\"")?;
        match count {
            1 => Ok(()),
            2 => write!(f, "; nor has another line"),
            _ => write!(f, "; nor have {} other lines", count - 1),
        }
    }
}

impl AsTable {
    /// Reads a file of iptoasn.com (`ip2asn-v4.tsv`, `-v6`, `-combined`) or CAIDA (pfx2as).
    ///
    /// # Errors
    /// A file that cannot be read, is compressed, or has lines that are no entries.
    pub fn load(path: &Path) -> Result<Self> {
        let what = format!("cannot read AS numbers from {}", path.display());
        let bytes = std::fs::read(path).map_err(|error| {
            FluxError::new(ErrorKind::Config, what.clone(), crate::error::errno_text(&error))
                .with_hint("give the path of a file of iptoasn.com or CAIDA pfx2as")
        })?;
        if bytes.starts_with(&GZIP) {
            let hint = format!("`gunzip --keep {}`, and give that file", path.display());
            return Err(FluxError::new(ErrorKind::Config, what, "it is compressed").with_hint(hint));
        }
        let table = Self::parse(&bytes).map_err(|bad| {
            FluxError::new(ErrorKind::Config, what.clone(), bad.to_string())
                .with_hint("lines are FIRST, LAST, AS (iptoasn.com) or PREFIX, LENGTH, AS (pfx2as)")
        })?;
        if table.is_empty() {
            return Err(FluxError::new(ErrorKind::Config, what, "it has no entries")
                .with_hint("give the path of a file of iptoasn.com or CAIDA pfx2as"));
        }
        Ok(table)
    }

    /// Reads such a file's content. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// When there are lines that are no entries.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, BadLines> {
        let mut table = Self::default();
        let mut bad: Option<BadLines> = None;
        for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") || table.line(line).is_some() {
                continue;
            }
            let found = bad.get_or_insert_with(|| {
                let text = String::from_utf8_lossy(line).chars().take(40).collect();
                BadLines { count: 0, line: number, text }
            });
            found.count += 1;
        }
        if let Some(bad) = bad {
            return Err(bad);
        }
        order(&mut table.v4);
        order(&mut table.v6);
        Ok(table)
    }

    /// Takes in an entry; `None` if the line is none.
    fn line(&mut self, line: &[u8]) -> Option<()> {
        let fields =
            line.split(|byte| matches!(byte, b'\t' | b' ')).filter(|word| !word.is_empty());
        let mut words = fields.map_while(|word| std::str::from_utf8(word).ok());
        let (first, second, systems) = (words.next()?, words.next()?, words.next()?);
        let first: IpAddr = first.parse().ok()?;
        let mut numbers = Vec::new();
        for word in systems.split(['_', ',', '{', '}']).filter(|word| !word.is_empty()) {
            numbers.push(number(word)?);
        }
        let (asn, others) = numbers.split_first()?;
        let more = if others.is_empty() {
            0
        } else {
            self.more.push(others.to_vec());
            u32::try_from(self.more.len()).ok()?
        };
        match (first, second.parse::<IpAddr>(), second.parse::<u32>()) {
            (IpAddr::V4(first), Ok(IpAddr::V4(last)), _) if first <= last => {
                self.v4.push(entry((first.to_bits(), last.to_bits()), *asn, more));
            }
            (IpAddr::V6(first), Ok(IpAddr::V6(last)), _) if first <= last => {
                self.v6.push(entry((first.to_bits(), last.to_bits()), *asn, more));
            }
            (IpAddr::V4(prefix), _, Ok(length)) if length <= 32 => {
                let host = u32::MAX.checked_shr(length).unwrap_or(0);
                let first = prefix.to_bits() & !host;
                self.v4.push(entry((first, first | host), *asn, more));
            }
            (IpAddr::V6(prefix), _, Ok(length)) if length <= 128 => {
                let host = u128::MAX.checked_shr(length).unwrap_or(0);
                let first = prefix.to_bits() & !host;
                self.v6.push(entry((first, first | host), *asn, more));
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether it says nothing of any address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Who announces `address`, by the narrowest range that it is in.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Origin<'_> {
        let found = match address {
            IpAddr::V4(address) => narrowest(&self.v4, Ipv4Addr::to_bits(address)),
            IpAddr::V6(address) => narrowest(&self.v6, Ipv6Addr::to_bits(address)),
        };
        let Some((asn, more)) = found else { return Origin::default() };
        let more = (more as usize).checked_sub(1).and_then(|at| self.more.get(at));
        Origin { asn, more: more.map(Vec::as_slice).unwrap_or_default() }
    }
}

fn entry<A>((first, last): (A, A), asn: u32, more: u32) -> Entry<A> {
    Entry { first, last, asn, more, around: ALONE }
}

/// `64500`, `AS64500`, or as some write what is beyond 16 bits: `1.10`.
fn number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix("AS").or_else(|| word.strip_prefix("as")).unwrap_or(word);
    match digits.split_once('.') {
        Some((high, low)) => {
            Some(u32::from(high.parse::<u16>().ok()?) << 16 | u32::from(low.parse::<u16>().ok()?))
        }
        None => digits.parse().ok(),
    }
}

/// Puts entries in order, and finds what is around each.
fn order<A: Ord + Copy>(entries: &mut [Entry<A>]) {
    entries.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
    let mut open: Vec<u32> = Vec::new();
    for at in 0..entries.len() {
        let first = entries[at].first;
        while open.last().is_some_and(|&before| entries[before as usize].last < first) {
            open.pop();
        }
        entries[at].around = open.last().copied().unwrap_or(ALONE);
        open.push(u32::try_from(at).unwrap_or(ALONE));
    }
}

/// What the entry that begins last before an address and reaches as far says.
fn narrowest<A: Ord + Copy>(entries: &[Entry<A>], address: A) -> Option<(u32, u32)> {
    let mut at = entries.partition_point(|entry| entry.first <= address).checked_sub(1)?;
    loop {
        let found = entries.get(at)?;
        if found.last >= address {
            return Some((found.asn, found.more));
        }
        at = found.around as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn table(text: &str) -> AsTable {
        AsTable::parse(text.as_bytes()).unwrap()
    }

    fn of(table: &AsTable, address: &str) -> Option<u32> {
        table.of(address.parse().unwrap()).first()
    }

    #[test]
    fn both_formats_are_read_and_the_narrowest_range_counts() {
        let iptoasn = table(
            "192.0.2.0\t192.0.2.255\t64500\tZZ\tTEST-NET, one\r\n\
             198.51.100.0\t198.51.100.127\t0\tNone\tNot routed\n\n\
             # a comment\n\
             2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64501\tZZ\tÜ\n",
        );
        assert_eq!(of(&iptoasn, "192.0.2.0"), Some(64500));
        assert_eq!(of(&iptoasn, "192.0.2.255"), Some(64500));
        assert_eq!((of(&iptoasn, "192.0.3.0"), of(&iptoasn, "192.0.1.255")), (None, None));
        assert_eq!(of(&iptoasn, "198.51.100.1"), None, "nobody announces it");
        assert_eq!(of(&iptoasn, "2001:db8:0:1::1"), Some(64501));
        assert_eq!(of(&iptoasn, "2001:db9::1"), None);
        let pfx2as = table(
            "10.0.0.0\t8\t1\n10.1.0.0\t16\t2_3\n10.1.2.0\t24\t4,5_6\n10.1.2.128\t25\t1.10\n\
             2001:db8::\t32\tAS7\n0.0.0.0\t0\t9\n::\t0\t8\n203.0.113.7\t32\t65536\n",
        );
        for (address, asn) in [
            ("10.255.0.1", 1),
            ("10.1.255.1", 2),
            ("10.1.2.3", 4),
            ("10.1.2.200", 65_546),
            ("10.1.3.1", 2),
            ("11.0.0.1", 9),
            ("255.255.255.255", 9),
            ("203.0.113.7", 65_536),
            ("2001:db8::1", 7),
            ("3000::", 8),
        ] {
            assert_eq!(of(&pfx2as, address), Some(asn), "{address}");
        }
        let several = pfx2as.of("10.1.2.3".parse().unwrap());
        assert_eq!((several.first(), several.others()), (Some(4), vec![5, 6]));
        assert_eq!(of(&AsTable::default(), "10.1.2.3"), None);
    }

    #[test]
    fn lines_that_are_no_entries_are_counted_and_the_first_is_named() {
        let bad = |text: &str| AsTable::parse(text.as_bytes()).unwrap_err();
        let found = bad("10.0.0.0\t8\t1\n\nhello world\n10.0.0.0\t33\t1\n");
        assert_eq!((found.count, found.line), (2, 3));
        assert_eq!(
            found.to_string(),
            "line 3 has no range and AS number: \"hello world\"; nor has another line"
        );
        for line in [
            "10.0.0.9\t10.0.0.1\t5",
            "10.0.0.0\t::1\t5",
            "::\t129\t5",
            "10.0.0.0\t8",
            "10.0.0.0\t8\t_",
            "10.0.0.0\t8\tx",
            "10.0.0.0\t8\t4294967296",
            "10.0.0.0\t8\t1.65536",
        ] {
            assert_eq!((bad(line).count, bad(line).line), (1, 1), "{line}");
        }
        assert!(bad(&"x".repeat(500)).text.len() <= 40);
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_look_at_every_range_finds(
            ranges in vec((any::<u8>(), any::<u8>()), 0..40),
            address: u8,
        ) {
            let mut text = String::new();
            for (at, (a, b)) in ranges.iter().enumerate() {
                let (first, last) = (a.min(b), a.max(b));
                text += &format!("10.0.0.{first}\t10.0.0.{last}\t{}\n", at + 1);
            }
            let around = |(_, (a, b)): &(usize, &(u8, u8))| (*a.min(b)..=*a.max(b)).contains(&address);
            // The last that begins, of these the shortest, of these the last line.
            let best = ranges.iter().enumerate().filter(around).max_by_key(|(at, (a, b))| {
                (*a.min(b), u8::MAX - a.max(b), *at)
            });
            let found = of(&table(&text), &format!("10.0.0.{address}"));
            prop_assert_eq!(found, best.map(|(at, _)| at as u32 + 1));
        }

        #[test]
        fn any_bytes_are_a_table_or_not(bytes in vec(any::<u8>(), 0..200), address: u32) {
            if let Ok(table) = AsTable::parse(&bytes) {
                let _ = table.of(Ipv4Addr::from_bits(address).into());
            }
        }
    }
}
