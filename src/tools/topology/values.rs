//! Values of topology files that are more than a word or a number.

use crate::proto::extensions::MplsEntry;
use crate::simulator::{IcmpLimit, Profile, WrongLength};
use crate::text::values::{bit_rate, share, time};
use crate::tools::config_file::{Fields, Word, whole};
use crate::tools::config_file::{Read, SyntaxError};
use std::net::IpAddr;
use toml::Spanned;
use toml::de::DeValue;

/// Keys of a link's way, there or back.
pub(super) const WAY_KEYS: [&str; 9] =
    ["delay", "jitter", "loss", "dup", "reorder", "corrupt", "rate", "queue", "vlan"];

const SHARE: (&str, &str) = ("a share from 0% to 100%", "\"1%\"");
const TIME: (&str, &str) = ("a time up to 1h", "\"5ms\"");

/// What a way does to packets; what is not said is as in `usual`.
pub(super) fn way(fields: &Fields<'_>, usual: &Profile) -> Read<Profile> {
    let share = |key| fields.parsed(key, share, SHARE.0, SHARE.1);
    let time = |key| fields.parsed(key, time, TIME.0, TIME.1);
    let bytes = fields.whole("queue", 0..=1 << 32)?;
    let bits = fields.parsed("rate", bit_rate, "a rate up to 1000gbit", "\"10mbit\"")?;
    Ok(Profile {
        delay: time("delay")?.unwrap_or(usual.delay),
        jitter: time("jitter")?.unwrap_or(usual.jitter),
        loss: share("loss")?.unwrap_or(usual.loss),
        duplicate: share("dup")?.unwrap_or(usual.duplicate),
        reorder: share("reorder")?.unwrap_or(usual.reorder),
        corrupt: share("corrupt")?.unwrap_or(usual.corrupt),
        rate: bits.or(usual.rate),
        queue_bytes: bytes.unwrap_or(usual.queue_bytes),
        vlan: tags(fields)?.or_else(|| usual.vlan.clone()),
    })
}

/// How many ICMP errors a node sends: `icmp_limit`, or `icmp_rate` as it was called before.
pub(super) fn icmp_limit(fields: &Fields<'_>) -> Read<Option<IcmpLimit>> {
    let rate = |text: &str| limit(text).map(IcmpLimit::from);
    let any = |text: &str| (text == "linux").then_some(IcmpLimit::Linux).or_else(|| rate(text));
    let rule = "a limit of ICMP errors a second";
    let old = fields.parsed("icmp_rate", rate, rule, "\"10/s burst 6\"")?;
    let rule = "a limit of ICMP errors, \"linux\" or a number a second";
    let new = fields.parsed("icmp_limit", any, rule, "\"linux\" or \"10/s burst 6\"")?;
    if new.is_some() && old.is_some() {
        let what = "icmp_limit and icmp_rate are two names for one thing";
        return Err(SyntaxError::at(fields.place("icmp_rate"), what, "leave out icmp_rate"));
    }
    Ok(new.or(old))
}

/// Addresses without a prefix length.
pub(super) fn addresses(fields: &Fields<'_>, key: &str, example: &str) -> Read<Vec<IpAddr>> {
    let words = fields.words(key, example)?.unwrap_or_default();
    let parse = |word: &Word<'_>| {
        let what = || format!("'{}' is not an IP address", word.value);
        let hint = || format!("write {key} = {example}");
        word.value.parse().map_err(|_| SyntaxError::at(word.at, what(), hint()))
    };
    words.iter().map(parse).collect()
}

/// The VLAN tags that a way gives packets: a number, a list of at most two, or `untagged`.
fn tags(fields: &Fields<'_>) -> Read<Option<Vec<u16>>> {
    let Some(value) = fields.get("vlan") else { return Ok(None) };
    let bad = |value: &Spanned<DeValue<'_>>| {
        let what = "vlan is neither a VLAN id from 0 to 4094 nor \"untagged\"";
        SyntaxError::at(value.span().start, what, "write vlan = 99, [200, 100] or \"untagged\"")
    };
    let id = |value: &Spanned<DeValue<'_>>| {
        let id = whole(value).and_then(|id| u16::try_from(id).ok());
        id.filter(|&id| id < 4095).ok_or_else(|| bad(value))
    };
    let tags = match value.get_ref() {
        DeValue::String(word) if word == "untagged" => Vec::new(),
        DeValue::Array(list) if (1..=2).contains(&list.len()) => {
            list.iter().map(id).collect::<Read<_>>()?
        }
        _ => vec![id(value)?],
    };
    Ok(Some(tags))
}

/// `10/s`, or `10/s burst 6`.
fn limit(text: &str) -> Option<(u32, u32)> {
    let mut words = text.split_whitespace();
    let number = |text: &str| text.parse().ok().filter(|&number: &u32| number > 0);
    let per_second = number(words.next()?.strip_suffix("/s")?)?;
    let burst = match words.next() {
        None => 1,
        Some("burst") => number(words.next()?)?,
        Some(_) => return None,
    };
    words.next().is_none().then_some((per_second, burst))
}

/// An address with a prefix length that is in its network and may be one node's.
pub(super) fn address(word: &Word<'_>) -> Read<(IpAddr, u8)> {
    let prefix = prefix(word)?;
    let (address, len) = prefix;
    let nobody = match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    if nobody || address.is_loopback() || len == 0 {
        let what = format!("'{}' cannot be the address of a node", word.value);
        return Err(SyntaxError::at(word.at, what, "give a unicast address, such as 10.0.0.1/24"));
    }
    Ok(prefix)
}

/// `ADDRESS/LENGTH`.
pub(super) fn prefix(word: &Word<'_>) -> Read<(IpAddr, u8)> {
    let bad = |what: &str| {
        let what = format!("'{}' {what}", word.value);
        SyntaxError::at(
            word.at,
            what,
            "write ADDRESS/LENGTH, such as 10.0.0.1/24 or 2001:db8::1/64",
        )
    };
    let (address, len) = word.value.split_once('/').ok_or_else(|| bad("has no prefix length"))?;
    let address: IpAddr = address.parse().map_err(|_| bad("has no IP address"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
    let len = len.parse().ok().filter(|&len| digits && len <= most);
    Ok((address, len.ok_or_else(|| bad(&format!("has no prefix length from 0 to {most}")))?))
}

/// A list of labels: numbers, or tables with `label`, `tc` and `ttl`.
pub(super) fn labels(value: &Spanned<DeValue<'_>>) -> Read<Vec<MplsEntry>> {
    const EXAMPLE: &str = "write mpls = [24001, { label = 16, tc = 5, ttl = 1 }]";
    const MOST: usize = 32;
    let bad = |value: &Spanned<DeValue<'_>>, what: &str| {
        SyntaxError::at(value.span().start, what, EXAMPLE)
    };
    let list = value.get_ref().as_array().ok_or_else(|| bad(value, "mpls is not a list"))?;
    if list.is_empty() || list.len() > MOST {
        return Err(bad(value, "mpls has no labels, or more than 32"));
    }
    let label = |number: u64| u32::try_from(number).ok().filter(|&label| label < 1 << 20);
    let entry = |value: &Spanned<DeValue<'_>>| {
        let what = "an MPLS label is not a whole number below 1048576";
        if let Some(table) = value.get_ref().as_table() {
            let at = value.span().start;
            let fields = Fields::new("an MPLS label", at, table, &["label", "tc", "ttl"])?;
            let number = fields.whole("label", 0..=(1 << 20) - 1)?;
            let number = fields.required("label", number, "24001")?;
            let tc = fields.whole("tc", 0..=7)?.unwrap_or(0) as u8;
            let ttl = fields.whole("ttl", 0..=255)?.unwrap_or(1) as u8;
            let label = label(number).ok_or_else(|| bad(value, what))?;
            return Ok(MplsEntry { label, tc, ttl });
        }
        let label = whole(value).and_then(label).ok_or_else(|| bad(value, what))?;
        Ok(MplsEntry { label, tc: 0, ttl: 1 })
    };
    list.iter().map(entry).collect()
}

/// What a router writes instead of the length of its quote: `bytes`, or a number.
pub(super) fn wrong_length(value: &Spanned<DeValue<'_>>) -> Read<WrongLength> {
    let bytes = value.get_ref().as_str().filter(|word| *word == "bytes");
    let number = whole(value).and_then(|number| u8::try_from(number).ok());
    let found = bytes.map(|_| WrongLength::Bytes).or(number.map(WrongLength::Value));
    found.ok_or_else(|| {
        let what = "extension_length is neither \"bytes\" nor a number from 0 to 255";
        SyntaxError::at(value.span().start, what, "write extension_length = \"bytes\" or 15")
    })
}

/// TCP ports: a list of numbers.
pub(super) fn ports(value: &Spanned<DeValue<'_>>) -> Read<Vec<u16>> {
    let bad = |value: &Spanned<DeValue<'_>>| {
        let what = "tcp is not a list of ports from 1 to 65535";
        SyntaxError::at(value.span().start, what, "write tcp = [80, 443], or [] for none")
    };
    let list = value.get_ref().as_array().ok_or_else(|| bad(value))?;
    let port = |value: &Spanned<DeValue<'_>>| {
        let port = whole(value).and_then(|port| u16::try_from(port).ok());
        port.filter(|&port| port > 0).ok_or_else(|| bad(value))
    };
    list.iter().map(port).collect()
}
