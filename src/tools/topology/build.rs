//! From nodes, addresses and routes to a [`NetworkBuilder`].

use super::addressing::{Family, Numbered};
use super::model::{Destination, Kind, Model, Prefix, Route, RouteAction, US_NAME};
use super::paths::Ways;
use crate::simulator::{End, NetworkBuilder, NodeId, SimSpec};
use crate::tools::config_file::{Read, SyntaxError};
use std::collections::HashMap;
use std::net::IpAddr;

/// The network, ready to be built.
pub(super) fn network(
    model: &Model,
    numbered: &Numbered,
    ways: &Ways,
    spec: &SimSpec,
) -> Read<NetworkBuilder> {
    let (mut net, us) = NetworkBuilder::of(spec, model.seed);
    let mut ids = Vec::with_capacity(model.nodes.len());
    for node in &model.nodes {
        let id = match &node.kind {
            Kind::Us => us,
            Kind::Router(options) => net.router_with(options.clone()),
            Kind::Host { options, .. } => net.host_with(options.clone()),
        };
        net.name(id, node.name.clone());
        ids.push(id);
    }
    // Our other ports come last, so that the nodes' dice fall as they do for a machine with one.
    let mut ports = vec![us];
    for _ in model.our_links().skip(1) {
        let port = net.next_port(spec);
        net.name(port, US_NAME);
        ports.push(port);
    }
    let ours: HashMap<_, _> = model.our_links().zip(ports.iter().copied()).collect();
    for (at, link) in model.links.iter().enumerate() {
        let end = |which: usize| {
            let node = ours.get(&(at, which)).copied();
            let mut end = End::new(node.unwrap_or(ids[link.ends[which]])).mtu(link.mtu);
            for (address, len) in &numbered.ends[at][which] {
                end = end.address(format!("{address}/{len}"));
            }
            if link.black_hole {
                end = end.black_hole();
            }
            match link.nat {
                Some((outer, quotes)) if outer == which => end.nat_with(quotes),
                _ => end,
            }
        };
        net.link_asymmetric(end(0), end(1), link.there.clone(), link.back.clone());
    }
    // The default route is by our first link that leads to a router.
    let to_router = |&(at, own): &(usize, usize)| {
        let far = model.links[at].ends[1 - own];
        model.nodes[far].is_router()
    };
    if let Some((at, own)) = model.our_links().find(to_router) {
        for &family in &numbered.families {
            for (gateway, _) in numbered.of(at, 1 - own, family).take(1) {
                net.gateway(ours[&(at, own)], &gateway.to_string());
            }
        }
    }
    for way in &ways.ours {
        if let Some(&port) = ports.get(way.port) {
            net.gateway_to(port, &text(way.to), &way.hop.to_string(), way.cost);
        }
    }
    for way in &ways.routers {
        via(&mut net, ids[way.router], way.to, &way.hops);
    }
    for route in &model.routes {
        explicit(&mut net, model, numbered, &ids, route)?;
    }
    Ok(net)
}

fn via(net: &mut NetworkBuilder, router: NodeId, to: Prefix, hops: &[IpAddr]) {
    let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
    let hops: Vec<_> = hops.iter().map(String::as_str).collect();
    net.route(router, &text(to), &hops);
}

fn text((address, len): Prefix) -> String {
    format!("{address}/{len}")
}

/// Lays a route of the file over those that follow from it.
fn explicit(
    net: &mut NetworkBuilder,
    model: &Model,
    numbered: &Numbered,
    ids: &[NodeId],
    route: &Route,
) -> Read<()> {
    let (prefixes, asked) = match &route.to {
        // A default route is one of each family that there is.
        Destination::Prefixes(list) => (list.clone(), list.len() == 1),
        Destination::Node(node) => (of_node(model, numbered, *node), false),
    };
    let router = ids[route.router];
    for prefix in prefixes {
        let family = Family::of(prefix.0);
        match &route.does {
            RouteAction::Unreachable => net.unreachable(router, &text(prefix)),
            RouteAction::Prohibited => net.prohibit(router, &text(prefix)),
            RouteAction::BlackHole => net.blackhole(router, &text(prefix)),
            RouteAction::Via { nodes, balance, at } => {
                let mut hops = Vec::new();
                for &node in nodes {
                    let found = neighbours(model, numbered, route.router, node, family);
                    if found.is_empty() && !linked(model, route.router, node) {
                        let what = format!(
                            "'{}' is no neighbour of '{}'",
                            model.nodes[node].name, model.nodes[route.router].name
                        );
                        let hint = "via names nodes that a [[link]] joins to the router";
                        return Err(SyntaxError::at(*at, what, hint));
                    }
                    hops.extend(found);
                }
                if hops.is_empty() {
                    if asked {
                        let what = "no neighbour in via has an address of that family";
                        let hint = "give [us] an address of it as well";
                        return Err(SyntaxError::at(*at, what, hint));
                    }
                    continue;
                }
                let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
                let hops: Vec<_> = hops.iter().map(String::as_str).collect();
                match balance {
                    Some(balance) => net.route_balanced(router, &text(prefix), &hops, *balance),
                    None => net.route(router, &text(prefix), &hops),
                }
            }
        }
    }
    Ok(())
}

/// All addresses of a node, and the prefixes that it answers for.
fn of_node(model: &Model, numbered: &Numbered, node: usize) -> Vec<Prefix> {
    let mut all = Vec::new();
    for (at, link) in model.links.iter().enumerate() {
        let ends = [0, 1].into_iter().filter(|&end| link.ends[end] == node);
        let own = ends.flat_map(|end| &numbered.ends[at][end]);
        all.extend(own.map(|&(address, _)| (address, if address.is_ipv4() { 32 } else { 128 })));
    }
    if let Kind::Host { prefixes, .. } = &model.nodes[node].kind {
        all.extend(prefixes);
    }
    all
}

fn linked(model: &Model, a: usize, b: usize) -> bool {
    model.links.iter().any(|link| link.ends == [a, b] || link.ends == [b, a])
}

/// The addresses of `node` on its links to `router`, one a link.
fn neighbours(
    model: &Model,
    numbered: &Numbered,
    router: usize,
    node: usize,
    family: Family,
) -> Vec<IpAddr> {
    let mut hops = Vec::new();
    for (at, link) in model.links.iter().enumerate() {
        for end in [0, 1] {
            if link.ends[end] == node && link.ends[1 - end] == router {
                hops.extend(numbered.of(at, end, family).take(1).map(|(address, _)| address));
            }
        }
    }
    hops
}
