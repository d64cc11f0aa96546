//! From nodes, addresses and routes to a [`NetworkBuilder`].

use super::addressing::{Family, Numbered};
use super::model::{
    Destination, Event, Hop, Kind, Model, Prefix, Route, RouteAction, US, US_NAME, What,
};
use super::paths::Ways;
use crate::backend::filter::covers;
use crate::simulator::{End, NetworkBuilder, NetworkEvent, NodeId, RouteTo, SimSpec};
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
    let of_ports = model.our_links().zip(&ports).map(|((link, own), &port)| (link, own, port));
    let of_ports: Vec<_> = of_ports.collect();
    for what in &model.events {
        event(&mut net, model, numbered, (&ids, &of_ports), what)?;
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
    let balance = match route.does {
        RouteAction::Via { balance, .. } => balance,
        _ => None,
    };
    for (prefix, to) in leads(model, numbered, route)? {
        let (node, prefix) = (ids[route.node], text(prefix));
        let RouteTo::Via(hops) = to else {
            if let RouteTo::Refused(how) = to {
                net.refuse(node, &prefix, how);
            }
            continue;
        };
        let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
        let hops: Vec<_> = hops.iter().map(String::as_str).collect();
        match balance {
            _ if route.node == US => net.gateways_to(&prefix, &hops),
            Some(balance) => net.route_balanced(node, &prefix, &hops, balance),
            None => net.route(node, &prefix, &hops),
        }
    }
    Ok(())
}

/// Where a route of the file leads, by prefix.
fn leads(model: &Model, numbered: &Numbered, route: &Route) -> Read<Vec<(Prefix, RouteTo)>> {
    let (prefixes, asked) = match &route.to {
        // A default route is one of each family that there is.
        Destination::Prefixes(list) => (list.clone(), list.len() == 1),
        Destination::Node(node) => (of_node(model, numbered, *node), false),
    };
    let mut all = Vec::new();
    for prefix in prefixes {
        let to = match &route.does {
            RouteAction::Refuse(how) => RouteTo::Refused(*how),
            RouteAction::Withdrawn => RouteTo::Withdrawn,
            RouteAction::Via { hops, at, .. } => {
                let hops = addresses(model, numbered, (route.node, prefix), hops, *at)?;
                if hops.is_empty() {
                    if asked {
                        let what = "no neighbour in via has an address of that family";
                        let hint = "give [us] an address of it as well";
                        return Err(SyntaxError::at(*at, what, hint));
                    }
                    continue;
                }
                RouteTo::Via(hops)
            }
        };
        all.push((prefix, to));
    }
    Ok(all)
}

/// The addresses of the neighbours of a node that a route for a prefix names.
fn addresses(
    model: &Model,
    numbered: &Numbered,
    (from, prefix): (usize, Prefix),
    hops: &[Hop],
    at: usize,
) -> Read<Vec<IpAddr>> {
    let family = Family::of(prefix.0);
    let mut all = Vec::new();
    for hop in hops {
        let found = match *hop {
            Hop::Node(node) => {
                let found = neighbours(model, numbered, from, node, family);
                if found.is_empty() && !linked(model, from, node) {
                    return Err(no_neighbour(model, from, &model.nodes[node].name, at));
                }
                found
            }
            Hop::Address(address) => {
                if !beside(model, numbered, from, address) {
                    return Err(no_neighbour(model, from, &address.to_string(), at));
                }
                Some(address).filter(|&own| Family::of(own) == family).into_iter().collect()
            }
        };
        all.extend(found);
    }
    Ok(all)
}

fn no_neighbour(model: &Model, from: usize, name: &str, at: usize) -> SyntaxError {
    let what = format!("'{name}' is not a neighbour of '{}'", model.nodes[from].name);
    let hint = "via names nodes that a [[link]] joins to the router, or their addresses there";
    SyntaxError::at(at, what, hint)
}

/// Whether a neighbour of a node has this address on a link to it.
fn beside(model: &Model, numbered: &Numbered, from: usize, address: IpAddr) -> bool {
    model.links.iter().enumerate().any(|(at, link)| {
        let far = [0, 1].into_iter().filter(|&end| link.ends[1 - end] == from);
        far.flat_map(|end| &numbered.ends[at][end]).any(|own| own.0 == address)
    })
}

/// Lays an event of the file. `ports` are our interfaces, each with its link and its end there.
fn event(
    net: &mut NetworkBuilder,
    model: &Model,
    numbered: &Numbered,
    (ids, ports): (&[NodeId], &[(usize, usize, NodeId)]),
    event: &Event,
) -> Read<()> {
    let mut happens = |what| net.happens(event.after, what);
    match &event.what {
        What::Move { nodes, told } => {
            nodes.iter().for_each(|&node| {
                happens(NetworkEvent::Move { node: ids[node], told: *told });
            });
        }
        What::Links { pairs, up } => {
            for (at, link) in model.links.iter().enumerate() {
                let [a, b] = link.ends;
                if !pairs.iter().any(|&pair| pair == [a, b] || pair == [b, a]) {
                    continue;
                }
                let ours = ports.iter().find(|port| port.0 == at);
                let id = |end: usize| match ours {
                    Some(&(_, own, port)) if own == end => port,
                    _ => ids[link.ends[end]],
                };
                happens(NetworkEvent::Link { between: (id(0), id(1)), up: *up });
            }
        }
        What::OurLink { port, up } => {
            let (link, own, port) = ports[*port];
            let far = ids[model.links[link].ends[1 - own]];
            happens(NetworkEvent::Link { between: (port, far), up: *up });
        }
        What::Route(route) => {
            for (prefix, to) in leads(model, numbered, route)? {
                happens(NetworkEvent::Route { node: ids[route.node], prefix, to });
            }
        }
        What::Add { address, port } => {
            let near = |&&(link, own, _): &&(usize, usize, NodeId)| {
                numbered.ends[link][own].iter().any(|&own| covers(own, address.0))
            };
            let near = || ports.iter().find(near).or(ports.first());
            let port = port.map_or_else(near, |port| ports.get(port));
            let id = port.map_or(ids[US], |port| port.2);
            happens(NetworkEvent::Address { port: id, address: *address, there: true });
        }
        What::Remove { at, address } => {
            let has = |&&(link, own, _): &&(usize, usize, NodeId)| {
                numbered.ends[link][own].iter().any(|own| own.0 == *address)
            };
            // One that an event gives us may go again: then it is on the interface of that.
            let given = model.events.iter().any(|event| match &event.what {
                What::Add { address: given, .. } => given.0 == *address,
                _ => false,
            });
            let Some(&(_, _, port)) = ports.iter().find(has).or(ports.first().filter(|_| given))
            else {
                let what = format!("{address} is not an address of 'us'");
                return Err(SyntaxError::at(*at, what, "name an address of one of our interfaces"));
            };
            let address = (*address, if address.is_ipv4() { 32 } else { 128 });
            happens(NetworkEvent::Address { port, address, there: false });
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
