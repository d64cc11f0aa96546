//! Addresses: those of the file, and by number those that it leaves open.

use super::model::{Link, Model, Prefix, US};
use crate::backend::filter::covers;
use crate::tools::config_file::{Read, SyntaxError};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks for links that have none of their own: those of 172.16.0.0/12.
const POOL: u32 = 0xfff;

/// The addresses of both ends of each link, by link.
pub(super) struct Numbered {
    pub(super) ends: Vec<[Vec<Prefix>; 2]>,
    /// Which families there are: those of our own addresses.
    pub(super) families: Vec<Family>,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Numbered {
    /// Addresses of an end of a link in one family.
    pub(super) fn of(
        &self,
        link: usize,
        end: usize,
        family: Family,
    ) -> impl Iterator<Item = Prefix> + '_ {
        let own = self.ends[link][end].iter();
        own.copied().filter(move |(address, _)| Family::of(*address) == family)
    }
}

/// Those that the file gives an end of a link. Those of `[us]` are for our first link.
fn given(model: &Model, at: usize, end: usize) -> Vec<(usize, Prefix)> {
    let link = &model.links[at];
    let node = &model.nodes[link.ends[end]];
    let further = link.ends[end] == US && model.our_links().next() != Some((at, end));
    let own: &[_] = if further { &[] } else { &node.addresses };
    own.iter().chain(&link.addresses[end]).copied().collect()
}

/// That no address of `[us]`, which are for our first link, belongs to another of our links.
fn in_place(model: &Model) -> Read<()> {
    for (at, _) in model.our_links().skip(1) {
        let there: Vec<_> = [0, 1].into_iter().flat_map(|end| given(model, at, end)).collect();
        for &(place, prefix) in &model.nodes[US].addresses {
            if there.iter().any(|&(_, (address, _))| covers(prefix, address)) {
                let (address, len) = prefix;
                let what = format!("{address}/{len} is in the network of another link of ours");
                let hint = format!(
                    "[us] has the addresses of our first link: write this one at that [[link]], \
                     addresses = {{ us = \"{address}/{len}\" }}"
                );
                return Err(SyntaxError::at(place, what, hint));
            }
        }
    }
    Ok(())
}

/// Gives every end of every link its addresses.
pub(super) fn number(model: &Model) -> Read<Numbered> {
    in_place(model)?;
    let ours = &model.nodes[US].addresses;
    let families = [Family::V4, Family::V6];
    let families = families
        .into_iter()
        .filter(|&family| ours.iter().any(|(_, (address, _))| Family::of(*address) == family));
    let families: Vec<_> = families.collect();
    let mut ends = Vec::new();
    let mut used: HashMap<IpAddr, usize> = HashMap::new();
    let mut networks: Vec<(Prefix, usize)> = Vec::new();
    for link in &model.links {
        let both = [0, 1].map(|end| given(model, ends.len(), end));
        apart(model, link, &both, &mut used)?;
        let mut own = both.clone().map(|list| list.into_iter().map(|a| a.1).collect::<Vec<_>>());
        for end in [0, 1] {
            let other = 1 - end;
            for &(at, prefix) in &both[end] {
                if own[other].iter().any(|&(address, _)| covers(prefix, address)) {
                    continue;
                }
                let same = |a: &&(usize, Prefix)| a.1.0.is_ipv4() == prefix.0.is_ipv4();
                if let Some(far) = both[other].iter().find(same) {
                    let (address, len) = far.1;
                    let what = format!(
                        "'{}' has {address}/{len} here, which is not in the link's network {}",
                        model.nodes[link.ends[other]].name,
                        shown(prefix)
                    );
                    let hint = "give both ends addresses of one network, or one end none";
                    return Err(SyntaxError::at(far.0, what, hint));
                }
                let free = free(prefix, |address| used.contains_key(&address));
                let address = free.ok_or_else(|| {
                    let what = format!("{} has no room for the other end", shown(prefix));
                    SyntaxError::at(at, what, "use a shorter prefix, such as /24 or /64")
                })?;
                used.insert(address, link.ends[other]);
                own[other].push((address, prefix.1));
            }
        }
        for (at, prefix) in both.into_iter().flatten() {
            // The other end is in the same network.
            let foreign = |(_, link): &&(Prefix, usize)| *link != ends.len();
            let mut others = networks.iter().filter(foreign);
            if let Some((other, _)) = others.find(|(other, _)| overlap(*other, prefix)) {
                let what = format!(
                    "{} overlaps {}, the network of another link",
                    shown(prefix),
                    shown(*other)
                );
                return Err(SyntaxError::at(at, what, "give each link a network of its own"));
            }
            networks.push((prefix, ends.len()));
        }
        ends.push(own);
    }
    let networks: Vec<_> = networks.into_iter().map(|(prefix, _)| prefix).collect();
    for &family in &families {
        fill(family, &mut ends, &networks)?;
    }
    Ok(Numbered { ends, families })
}

/// Numbers the links that have no addresses of a family: link n of the file has network n, unless
/// the file uses that itself.
fn fill(family: Family, ends: &mut [[Vec<Prefix>; 2]], networks: &[Prefix]) -> Read<()> {
    let mut number = 0u32;
    for both in ends {
        number += 1;
        let has = |list: &Vec<Prefix>| list.iter().any(|a| Family::of(a.0) == family);
        if both.iter().any(has) {
            continue;
        }
        while networks.iter().any(|&network| overlap(network, of_pool(family, number, 0))) {
            number += 1;
            if number > POOL {
                let what = "no networks are left for the links without addresses";
                let hint = "leave some of 172.16.0.0/12 and 2001:db8:ffff::/48 to them";
                return Err(SyntaxError::missing(what, hint));
            }
        }
        for (own, last) in both.iter_mut().zip(1..) {
            own.push(of_pool(family, number, last));
        }
    }
    Ok(())
}

/// Address `last` of the network that link `number` has by itself: 172.16.`number`.0/30 and
/// 2001:db8:ffff:`number`::/64.
fn of_pool(family: Family, number: u32, last: u8) -> Prefix {
    match family {
        Family::V4 => {
            let base = u32::from(Ipv4Addr::new(172, 16, 0, 0)) + (number << 8);
            (IpAddr::V4(Ipv4Addr::from(base + u32::from(last))), 30)
        }
        Family::V6 => {
            let groups = [0x2001, 0xdb8, 0xffff, number as u16, 0, 0, 0, last.into()];
            (IpAddr::V6(Ipv6Addr::from(groups)), 64)
        }
    }
}

/// That nobody else has one of these addresses.
fn apart(
    model: &Model,
    link: &Link,
    both: &[Vec<(usize, Prefix)>; 2],
    used: &mut HashMap<IpAddr, usize>,
) -> Read<()> {
    for (end, list) in both.iter().enumerate() {
        for &(at, (address, _)) in list {
            if let Some(other) = used.insert(address, link.ends[end]) {
                let what = format!("{address} is '{}''s already", model.nodes[other].name);
                return Err(SyntaxError::at(at, what, "give each node addresses of its own"));
            }
        }
    }
    Ok(())
}

fn overlap(a: Prefix, b: Prefix) -> bool {
    if a.1 <= b.1 { covers(a, b.0) } else { covers(b, a.0) }
}

/// A network by its first address.
pub(super) fn shown(prefix: Prefix) -> String {
    let (address, len) = base(prefix);
    format!("{address}/{len}")
}

/// A prefix without the bits behind it.
pub(super) fn base((address, len): Prefix) -> Prefix {
    let host = u32::from(len);
    let address = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shr(host).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(v4.to_bits() & !mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shr(host).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(v6.to_bits() & !mask))
        }
    };
    (address, len)
}

/// The first address of a network that nobody has and anybody may have.
fn free(prefix: Prefix, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, len) = base(prefix);
    // Networks for two have neither a first nor a last address that is special.
    let (bits, skip) = match first {
        IpAddr::V4(_) => (32 - u32::from(len), if len < 31 { 1 } else { 0 }),
        IpAddr::V6(_) => (128 - u32::from(len), if len < 127 { 1 } else { 0 }),
    };
    let last = 1u128.checked_shl(bits).map_or(u128::MAX, |count| count - 1);
    let last = if first.is_ipv4() { last - skip.min(last) } else { last };
    // A link has few addresses: a free one comes soon.
    let plus = |n: u128| match first {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(v4.to_bits() + n as u32)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(v6.to_bits() + n)),
    };
    (skip..=last).take(1 << 16).map(plus).find(|&address| !taken(address))
}
