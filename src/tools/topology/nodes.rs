//! The tables of a file that are nodes: `[us]`, `[[router]]`, `[[host]]`.

use super::model::{Kind, Node, Prefix};
use super::parts::{BALANCES, NAME};
use super::values;
use crate::simulator::{Flaw, HostOptions, Quoting, RouterOptions, UdpPorts};
use crate::text::values::time;
use crate::tools::config_file::{Fields, Read, SyntaxError, Word};
use toml::de::DeTable;

const ADDRESSES: &str = "[\"10.0.0.1/24\", \"2001:db8::1/64\"]";

fn addresses(fields: &Fields<'_>) -> Read<Vec<(usize, Prefix)>> {
    let words = fields.words("addresses", ADDRESSES)?.unwrap_or_default();
    words.iter().map(|word| Ok((word.at, values::address(word)?))).collect()
}

const FLAWS: [(&str, Flaw); 3] =
    [("checksum", Flaw::Checksum), ("lengths", Flaw::Lengths), ("too-big", Flaw::TooBig)];

/// TTL or hop limit of a node's own packets.
fn ttl(fields: &Fields<'_>) -> Read<u8> {
    Ok(fields.whole("ttl", 1..=255)?.unwrap_or(64) as u8)
}

pub(super) fn us<'t>(at: usize, table: &'t DeTable<'t>) -> Read<Node> {
    let fields = Fields::new("[us]", at, table, &["addresses"])?;
    let addresses = addresses(&fields)?;
    let addresses = Some(addresses).filter(|list| !list.is_empty());
    let addresses = fields.required("addresses", addresses, ADDRESSES)?;
    Ok(Node { name: super::model::US_NAME.to_owned(), at, kind: Kind::Us, addresses })
}

/// The routers of one table: as many as it has names.
pub(super) fn routers<'t>(at: usize, table: &'t DeTable<'t>) -> Read<Vec<(Word<'t>, Node)>> {
    let keys = [
        "name",
        "balance",
        "silent",
        "deaf",
        "icmp_limit",
        "icmp_rate",
        "icmp_delay",
        "mpls",
        "mpls_form",
        "extension_length",
        "quote",
        "flaw",
        "drop_bare_syn",
        "ttl",
    ];
    let fields = Fields::new("[[router]]", at, table, &keys)?;
    let limit = values::icmp_limit(&fields)?;
    let delay = fields.parsed("icmp_delay", time, "a time up to 1h", "\"5ms\"")?;
    let forms = [("rfc4884", true), ("old", false)];
    let options = RouterOptions {
        balance: fields.choice("balance", &BALANCES)?.unwrap_or_default(),
        silent: fields.flag("silent")?,
        deaf: fields.flag("deaf")?,
        icmp_limit: limit,
        icmp_delay: delay.unwrap_or_default(),
        mpls: fields.get("mpls").map(values::labels).transpose()?.unwrap_or_default(),
        mpls_length: fields.choice("mpls_form", &forms)?.unwrap_or(true),
        wrong_length: fields.get("extension_length").map(values::wrong_length).transpose()?,
        drop_bare_syn: fields.flag("drop_bare_syn")?,
        quoting: fields
            .choice("quote", &[("full", Quoting::Full), ("short", Quoting::Short)])?
            .unwrap_or_default(),
        flaw: fields.choice("flaw", &FLAWS)?,
        ttl: ttl(&fields)?,
    };
    let names = names(&fields)?;
    let node = |name: Word<'t>| {
        let kind = Kind::Router(options.clone());
        let node = Node { name: name.value.to_owned(), at: name.at, kind, addresses: Vec::new() };
        (name, node)
    };
    Ok(names.into_iter().map(node).collect())
}

fn names<'t>(fields: &Fields<'t>) -> Read<Vec<Word<'t>>> {
    let names = fields.words("name", NAME)?.filter(|names| !names.is_empty());
    fields.required("name", names, NAME)
}

/// The hosts of one table: as many as it has names, which share no addresses.
pub(super) fn hosts<'t>(at: usize, table: &'t DeTable<'t>) -> Read<Vec<(Word<'t>, Node)>> {
    let keys = [
        "name",
        "addresses",
        "prefix",
        "tcp",
        "tcp_others",
        "udp",
        "echo",
        "silent",
        "ttl",
        "icmp_limit",
        "truncate",
        "longer",
        "answers_from",
        "error_first",
        "answer_delay",
        "fragment",
        "vlan",
    ];
    let fields = Fields::new("[[host]]", at, table, &keys)?;
    let names = names(&fields)?;
    let addresses = addresses(&fields)?;
    let prefixes = fields.words("prefix", "\"198.18.0.0/15\"")?.unwrap_or_default();
    let prefixes = prefixes.iter().map(values::prefix).collect::<Read<Vec<_>>>()?;
    if names.len() > 1 && !(addresses.is_empty() && prefixes.is_empty()) {
        let hint = "give each a [[host]] of its own, or leave the addresses out";
        return Err(SyntaxError::at(at, "several hosts with the same addresses", hint));
    }
    let udp =
        [("closed", UdpPorts::Closed), ("open", UdpPorts::Open), ("silent", UdpPorts::Silent)];
    let options = HostOptions {
        silent: fields.flag("silent")?,
        echo: fields.maybe("echo")?.unwrap_or(true),
        tcp: fields.get("tcp").map(values::ports).transpose()?.unwrap_or(vec![80]),
        tcp_filtered: fields
            .choice("tcp_others", &[("closed", false), ("silent", true)])?
            .unwrap_or(false),
        udp: fields.choice("udp", &udp)?.unwrap_or_default(),
        prefixes: prefixes.iter().map(|(address, len)| format!("{address}/{len}")).collect(),
        ttl: ttl(&fields)?,
        icmp_limit: values::icmp_limit(&fields)?,
        truncate: fields.whole("truncate", 0..=65_507)?.map(|len| len as u32),
        longer: fields.whole("longer", 0..=1400)?.unwrap_or(0) as u32,
        answers_from: values::addresses(&fields, "answers_from", "\"203.0.113.8\"")?,
        error_first: fields.flag("error_first")?,
        answer_delay: fields
            .parsed("answer_delay", time, "a time up to 1h", "\"1500ms\"")?
            .unwrap_or_default(),
        fragment: fields.whole("fragment", 576..=9000)?.map(|len| len as u32),
        vlan: fields.whole("vlan", 1..=4094)?.map(|vlan| vlan as u16),
    };
    let node = |name: Word<'t>| {
        let (options, prefixes) = (options.clone(), prefixes.clone());
        let node = Node {
            name: name.value.to_owned(),
            at: name.at,
            kind: Kind::Host { options, prefixes },
            addresses: addresses.clone(),
        };
        (name, node)
    };
    Ok(names.into_iter().map(node).collect())
}
