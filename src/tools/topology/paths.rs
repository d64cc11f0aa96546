//! The shortest ways from every router to every network, and all that are equally short. Our
//! machine has one by each of its links; none leads through it, as it does not route by itself.

use super::addressing::{Family, Numbered, base};
use super::model::{Kind, Model, Prefix};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// A route that a router has by itself.
pub(super) struct Way {
    pub(super) router: usize,
    pub(super) to: Prefix,
    pub(super) hops: Vec<IpAddr>,
}

/// A way of our machine to what is not on its links.
pub(super) struct OurWay {
    /// Which of our links: 0 is the first.
    pub(super) port: usize,
    pub(super) to: Prefix,
    pub(super) hop: IpAddr,
    pub(super) cost: u32,
}

/// All of them.
pub(super) struct Ways {
    pub(super) routers: Vec<Way>,
    /// Those of our machine, if it has more than one link. With one it has no choice.
    pub(super) ours: Vec<OurWay>,
}

/// A network, and the routers that are in it or next to it.
struct Network {
    prefix: Prefix,
    /// Routers whose own way to it is not by another router.
    near: Vec<usize>,
    /// The host that it lies behind, for a prefix of one, with its address.
    behind: Option<IpAddr>,
}

/// By node: links, the node at the other end, and which end that is.
type Beside = Vec<Vec<(usize, usize, usize)>>;

const FAR: u64 = u64::MAX;

/// The routes of all routers and of our machine to all networks.
pub(super) fn ways(model: &Model, numbered: &Numbered) -> Ways {
    let mut beside: Beside = vec![Vec::new(); model.nodes.len()];
    for (at, link) in model.links.iter().enumerate() {
        let [a, b] = link.ends;
        beside[a].push((at, b, 1));
        beside[b].push((at, a, 0));
    }
    let our_links: Vec<_> = model.our_links().collect();
    let our_links = if our_links.len() > 1 { our_links } else { Vec::new() };
    let mut ways = Ways { routers: Vec::new(), ours: Vec::new() };
    for &family in &numbered.families {
        for network in networks(model, numbered, family) {
            let far = distances(model, numbered, &beside, family, &network.near);
            towards(model, numbered, &beside, family, &network, &far, &mut ways.routers);
            for (port, &(link, own)) in our_links.iter().enumerate() {
                let way = our_way(model, numbered, family, &network, &far, (link, 1 - own));
                ways.ours.extend(way.map(|(hop, cost)| OurWay {
                    port,
                    to: network.prefix,
                    hop,
                    cost,
                }));
            }
        }
    }
    ways
}

fn networks(model: &Model, numbered: &Numbered, family: Family) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for (at, link) in model.links.iter().enumerate() {
        let near: Vec<_> =
            link.ends.into_iter().filter(|&end| model.nodes[end].is_router()).collect();
        for end in [0, 1] {
            let node = &model.nodes[link.ends[end]];
            let mut address = None;
            for (own, len) in numbered.of(at, end, family) {
                address = address.or(Some(own));
                let prefix = base((own, len));
                if networks.last().is_none_or(|last| last.prefix != prefix) {
                    networks.push(Network { prefix, near: near.clone(), behind: None });
                }
            }
            if let (Kind::Host { prefixes, .. }, Some(address)) = (&node.kind, address) {
                let own = prefixes.iter().filter(|prefix| Family::of(prefix.0) == family);
                networks.extend(own.map(|&prefix| Network {
                    prefix: base(prefix),
                    near: near.clone(),
                    behind: Some(address),
                }));
            }
        }
    }
    networks
}

/// How far every router is from the nearest of `from` (Dijkstra).
fn distances(
    model: &Model,
    numbered: &Numbered,
    beside: &Beside,
    family: Family,
    from: &[usize],
) -> Vec<u64> {
    let mut far = vec![FAR; model.nodes.len()];
    let mut open: BinaryHeap<_> = from.iter().map(|&router| Reverse((0, router))).collect();
    while let Some(Reverse((distance, router))) = open.pop() {
        if distance >= far[router] {
            continue;
        }
        far[router] = distance;
        for &(link, other, end) in &beside[router] {
            let usable = model.nodes[other].is_router()
                && numbered.of(link, 1 - end, family).next().is_some();
            let through = distance + u64::from(model.links[link].cost);
            if usable && through < far[other] {
                open.push(Reverse((through, other)));
            }
        }
    }
    far
}

/// Adds the routes to one network, by each neighbour that lies on a shortest way.
fn towards(
    model: &Model,
    numbered: &Numbered,
    beside: &Beside,
    family: Family,
    network: &Network,
    far: &[u64],
    ways: &mut Vec<Way>,
) {
    for (router, &distance) in far.iter().enumerate() {
        if distance == FAR || !model.nodes[router].is_router() {
            continue;
        }
        let hops: Vec<IpAddr> = if distance == 0 {
            network.behind.into_iter().collect()
        } else {
            let nearer = beside[router].iter().filter(|&&(link, other, _)| {
                let cost = u64::from(model.links[link].cost);
                far[other] != FAR && far[other] + cost == distance
            });
            let address =
                nearer.filter_map(|&(link, _, end)| numbered.of(link, end, family).next());
            address.map(|(address, _)| address).collect()
        };
        if !hops.is_empty() {
            ways.push(Way { router, to: network.prefix, hops });
        }
    }
}

/// The hop of our machine to a network by one of its links, and what the way costs.
fn our_way(
    model: &Model,
    numbered: &Numbered,
    family: Family,
    network: &Network,
    far: &[u64],
    (link, end): (usize, usize),
) -> Option<(IpAddr, u32)> {
    let (hop, _) = numbered.of(link, end, family).next()?;
    let node = model.links[link].ends[end];
    let from_there = match far[node] {
        _ if network.behind == Some(hop) => 0,
        FAR => return None,
        distance => distance,
    };
    let cost = from_there.saturating_add(model.links[link].cost.into());
    Some((hop, u32::try_from(cost).unwrap_or(u32::MAX)))
}
