//! The tables of a file that join its nodes: `[[link]]` and `[[route]]`.

use super::model::{Destination, Hop, Link, MOST_LINKS, Names, Node, Route, RouteAction, US};
use super::values::{self, WAY_KEYS};
use crate::simulator::{Balance, NatQuotes, Profile, Refusal};
use crate::tools::config_file::{Fields, Placed, Word, words};
use crate::tools::config_file::{Read, SyntaxError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toml::de::DeTable;

pub(super) const NAME: &str = "\"r1\"";
const BETWEEN: &str = "[\"us\", \"r1\", \"r2\"]";

pub(super) const BALANCES: [(&str, Balance); 4] = [
    ("flow", Balance::Flow),
    ("packet", Balance::Packet),
    ("round-robin", Balance::RoundRobin),
    ("destination", Balance::Destination),
];

/// The links of one table: between each two neighbours in `between`.
pub(super) fn links<'t>(
    at: usize,
    table: &'t DeTable<'t>,
    names: &Names<'_>,
    nodes: &[Node],
) -> Read<Vec<Link>> {
    let own = ["between", "mtu", "black_hole", "nat", "nat_quotes", "cost", "addresses", "back"];
    let keys: Vec<_> = own.into_iter().chain(WAY_KEYS).collect();
    let fields = Fields::new("[[link]]", at, table, &keys)?;
    let pairs = pairs(&fields, "between", names)?;
    let there = values::way(&fields, &Profile::default())?;
    let back = match fields.table("back", "{ delay = \"30ms\" }")? {
        Some((at, table)) => values::way(&Fields::new("back", at, table, &WAY_KEYS)?, &there)?,
        None => there.clone(),
    };
    let alone = |key: &str| {
        if pairs.len() == 1 {
            return Ok(());
        }
        let what = format!("{key} for more than one link at once");
        Err(SyntaxError::at(fields.place(key), what, "give that one a [[link]] of its own"))
    };
    let quotes = [("restored", NatQuotes::Restored), ("checksum-kept", NatQuotes::ChecksumKept)];
    let quotes = fields.choice("nat_quotes", &quotes)?.unwrap_or_default();
    let mut outer = None;
    if let Some(word) = one(&fields, "nat", NAME)? {
        alone("nat")?;
        let node = names.find(&word)?;
        let end = pairs[0].1.iter().position(|&end| end == node);
        let end = end.filter(|_| nodes[node].is_router()).ok_or_else(|| {
            let what = format!("nat = \"{}\" is not a router at this link", word.value);
            SyntaxError::at(word.at, what, "name the router whose end is the outer side of the NAT")
        })?;
        outer = Some((end, quotes));
    }
    let mut given = [Vec::new(), Vec::new()];
    if let Some((at, table)) = fields.table("addresses", "{ r1 = \"172.16.1.1/30\" }")? {
        alone("addresses")?;
        let any: Vec<_> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        for (name, value) in Fields::new("addresses", at, table, &any)?.all() {
            let node = names.find(&name)?;
            let end = pairs[0].1.iter().position(|&end| end == node).ok_or_else(|| {
                let what = format!("'{}' is not at this link", name.value);
                SyntaxError::at(name.at, what, "name one of the two nodes that it is between")
            })?;
            for word in words(name.value, value, "\"172.16.1.1/30\"")? {
                given[end].push((word.at, values::address(&word)?));
            }
        }
    }
    let mtu = fields.whole("mtu", 68..=9000)?.unwrap_or(1500) as u32;
    let cost = fields.whole("cost", 1..=1_000_000)?.unwrap_or(1) as u32;
    let black_hole = fields.flag("black_hole")?;
    let link = |(at, ends)| Link {
        at,
        ends,
        there: there.clone(),
        back: back.clone(),
        mtu,
        black_hole,
        nat: outer,
        cost,
        addresses: given.clone(),
    };
    Ok(pairs.into_iter().map(link).collect())
}

/// The one word of a key.
pub(super) fn one<'t>(fields: &Fields<'t>, key: &str, example: &str) -> Read<Option<Word<'t>>> {
    let Some(words) = fields.words(key, example)? else { return Ok(None) };
    match words[..] {
        [word] => Ok(Some(word)),
        _ => {
            let what = format!("{key} is not a single word");
            Err(SyntaxError::at(fields.place(key), what, format!("write {key} = {example}")))
        }
    }
}

/// The two ends of each link of `key`: a chain of nodes, or of lists of nodes side by side.
pub(super) fn pairs(
    fields: &Fields<'_>,
    key: &'static str,
    names: &Names<'_>,
) -> Read<Vec<(usize, [usize; 2])>> {
    let place = fields.place(key);
    let short = || {
        let what = format!("{key} is not a list of two nodes or more");
        SyntaxError::at(place, what, format!("write {key} = {BETWEEN}"))
    };
    let value = fields.required(key, fields.get(key), BETWEEN)?;
    let list = value.get_ref().as_array().filter(|list| list.len() > 1).ok_or_else(short)?;
    let mut stages = Vec::new();
    for stage in list {
        let found = words(key, stage, BETWEEN)?;
        let nodes = found.iter().map(|word| Ok(Placed { at: word.at, value: names.find(word)? }));
        stages.push(nodes.collect::<Read<Vec<_>>>()?);
    }
    let mut pairs = Vec::new();
    for two in stages.windows(2) {
        if two.iter().any(Vec::is_empty) {
            return Err(short());
        }
        for a in &two[0] {
            for b in &two[1] {
                if a.value == b.value {
                    let what = "a link from a node to itself";
                    return Err(SyntaxError::at(b.at, what, "name two nodes"));
                }
                if pairs.len() == MOST_LINKS {
                    return Err(super::model::too_many_links(b.at));
                }
                pairs.push((b.at, [a.value, b.value]));
            }
        }
    }
    Ok(pairs)
}

/// A `[[route]]`, or the `route` of an event, by its title.
pub(super) fn route<'t>(
    title: &'static str,
    at: usize,
    table: &'t DeTable<'t>,
    names: &Names<'_>,
    nodes: &[Node],
) -> Read<Route> {
    let keys = ["at", "to", "via", "action", "mtu", "balance"];
    let fields = Fields::new(title, at, table, &keys)?;
    let place = fields.required("at", one(&fields, "at", NAME)?, NAME)?;
    let node = names.find(&place)?;
    if !nodes[node].is_router() && node != US {
        let what = format!("'{}' is not a router", place.value);
        return Err(SyntaxError::at(place.at, what, "only routers and 'us' have routes"));
    }
    let to = fields.required("to", one(&fields, "to", "\"10.0.0.0/24\"")?, "\"10.0.0.0/24\"")?;
    let to = destination(&to, names)?;
    let action = action(&fields, title == EVENT)?;
    let balance = fields.choice("balance", &BALANCES)?;
    let without = |key: &str, what: &str, hint: &str| {
        Err(SyntaxError::at(fields.place(key), what.to_owned(), hint.to_owned()))
    };
    let does = match (fields.words("via", "[\"r2\"]")?, action) {
        (Some(via), None) if !via.is_empty() => {
            if node == US && balance.is_some() {
                let hint = "our machine shares destinations by their addresses: leave balance out";
                return without("balance", "balance at 'us'", hint);
            }
            let hops = via.iter().map(|word| hop(word, names)).collect::<Read<_>>()?;
            RouteAction::Via { hops, balance, at: fields.place("via") }
        }
        (None, Some(_)) if balance.is_some() => {
            let hint = "balance chooses among the neighbours of via: leave it out";
            return without("balance", "balance without via", hint);
        }
        (None, Some(RouteAction::Refuse(_))) if node == US => {
            return without("action", "'us' refuses nothing", "write via = [\"r2\"]");
        }
        (None, Some(action)) => action,
        _ => {
            let what = format!("{title} needs one of via and action");
            let hint = "write via = [\"r2\"], or action = \"unreachable\", \"prohibited\", \
                        \"too-big\" or \"blackhole\"";
            return Err(SyntaxError::at(at, what, hint));
        }
    };
    Ok(Route { node, to, does })
}

/// The title of a route that an event has.
const EVENT: &str = "route";

fn action(fields: &Fields<'_>, in_event: bool) -> Read<Option<RouteAction>> {
    let mtu = fields.whole("mtu", 68..=65_535)?;
    let words = [
        ("unreachable", Some(Refusal::Unreachable)),
        ("prohibited", Some(Refusal::Prohibited)),
        ("blackhole", Some(Refusal::BlackHole)),
        ("too-big", Some(Refusal::TooBig(mtu.unwrap_or(1280) as u16))),
        ("withdrawn", None),
    ];
    let most = if in_event { words.len() } else { words.len() - 1 };
    let chosen = fields.choice("action", &words[..most])?;
    if mtu.is_some() && !matches!(chosen, Some(Some(Refusal::TooBig(_)))) {
        let what = "mtu goes with action = \"too-big\"";
        return Err(SyntaxError::at(fields.place("mtu"), what, "leave out mtu"));
    }
    Ok(chosen.map(|how| how.map_or(RouteAction::Withdrawn, RouteAction::Refuse)))
}

/// The name of a node, or an address of one.
fn hop(word: &Word<'_>, names: &Names<'_>) -> Read<Hop> {
    match word.value.parse() {
        Ok(address) => Ok(Hop::Address(address)),
        Err(_) => names.find(word).map(Hop::Node),
    }
}

/// `default`, a prefix, an address, or the name of a node.
fn destination(word: &Word<'_>, names: &Names<'_>) -> Read<Destination> {
    if word.value == "default" {
        let all = [(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), (Ipv6Addr::UNSPECIFIED.into(), 0)];
        return Ok(Destination::Prefixes(all.to_vec()));
    }
    if let Ok(address) = word.value.parse::<IpAddr>() {
        let len = if address.is_ipv4() { 32 } else { 128 };
        return Ok(Destination::Prefixes(vec![(address, len)]));
    }
    if word.value.contains('/') {
        return Ok(Destination::Prefixes(vec![values::prefix(word)?]));
    }
    names.find(word).map(Destination::Node)
}
