//! Our machine's routes: what is on the links of its ports, and what lies behind their neighbours.

use super::happening::NodeId;
use super::network::NetworkBuilder;
use super::port::{Port, PortRoute};
use super::{RouteInfo, Simulator, wire};
use crate::backend::filter::covers;
use crate::error::FluxError;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A way to an address: the more so the lower its rank.
struct Way {
    /// Whether the port is down, the length of the prefix, the metric.
    rank: (bool, Reverse<u8>, u64),
    gateway: Option<IpAddr>,
    source: IpAddr,
    /// Equal ones share the destinations.
    shared: bool,
}

impl Port {
    /// The ways to `dst` by this port.
    fn ways(&self, dst: IpAddr, now: u64) -> impl Iterator<Item = Way> + '_ {
        // The first address in a network speaks to it, however long the prefixes of others are; a
        // tentative one does not, if there is another.
        let source = move |to: IpAddr| {
            let mut near =
                self.addresses.iter().filter(move |own| covers(**own, to)).map(|own| own.0);
            let first = near.clone().next();
            near.find(|&own| !self.is_tentative(own, now)).or(first)
        };
        let down = !self.up || self.is_gone(now);
        let lens = self.addresses.iter().filter(move |a| covers(**a, dst)).map(|a| a.1);
        let on_link = lens.max().zip(source(dst)).map(|(len, source)| Way {
            rank: (down, Reverse(len), 0),
            gateway: None,
            source,
            shared: false,
        });
        let behind = self.routes.iter().filter(move |route| covers(route.prefix, dst));
        let behind = behind.filter_map(move |route| {
            let rank = (down, Reverse(route.prefix.1), 1 + u64::from(route.metric));
            let (gateway, shared) = (Some(route.gateway), route.shared);
            Some(Way { rank, gateway, source: source(route.gateway)?, shared })
        });
        on_link.into_iter().chain(behind)
    }
}

impl Simulator {
    /// How our machine reaches `dst`: by the longest prefix, whose network is on a link rather
    /// than behind a neighbour, by the lowest metric, by the first port. Ways that share a prefix
    /// have a destination each. Ports that are down count last. `None` when it has no route.
    #[must_use]
    pub fn route(&self, dst: IpAddr) -> Option<RouteInfo> {
        self.best(dst, |_| true)
    }

    /// The same by one port alone.
    #[must_use]
    pub fn route_by(&self, port: &str, dst: IpAddr) -> Option<RouteInfo> {
        self.best(dst, |own| own.name == port)
    }

    fn best(&self, dst: IpAddr, wanted: impl Fn(&Port) -> bool) -> Option<RouteInfo> {
        let world = self.shared.enter();
        let now = world.now();
        let ports = world.ports().map(|(_, port)| port).filter(|port| wanted(port));
        let ways = ports.flat_map(|port| port.ways(dst, now).map(move |way| (port, way)));
        let mut ways: Vec<_> = ways.collect();
        let best = ways.iter().map(|(_, way)| way.rank).min()?;
        ways.retain(|(_, way)| way.rank == best);
        let shared = ways.first()?.1.shared;
        let leg =
            if shared { (wire::mix64(low_bits(dst)) % ways.len() as u64) as usize } else { 0 };
        ways.into_iter().nth(leg).map(|(port, way)| RouteInfo {
            port: port.name.clone(),
            gateway: way.gateway,
            source: way.source,
            mtu: port.mtu,
        })
    }
}

/// What a choice by destination hashes.
fn low_bits(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits() as u64 ^ (v6.to_bits() >> 64) as u64,
    }
}

impl NetworkBuilder {
    /// Sends what our machine has no route for to this neighbour of `port`. Of several the first
    /// counts.
    pub fn gateway(&mut self, port: NodeId, gateway: &str) {
        let Some(gateway) = self.address(gateway) else { return };
        let any: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.add_port_route(
            port,
            PortRoute { prefix: (any, 0), gateway, metric: u32::MAX, shared: false },
        );
    }

    /// Sends what is for `prefix` to this neighbour of `port`. Of several ways to one prefix that
    /// with the lowest metric counts; the others are for who wants their port.
    pub fn gateway_to(&mut self, port: NodeId, prefix: &str, gateway: &str, metric: u32) {
        let prefix = self.parse(prefix);
        if let Some((prefix, gateway)) = prefix.zip(self.address(gateway)) {
            self.add_port_route(port, PortRoute { prefix, gateway, metric, shared: false });
        }
    }

    /// Sends what is for `prefix` to these neighbours of our ports, which share the destinations
    /// (ECMP), rather than by any other way to it.
    pub fn gateways_to(&mut self, prefix: &str, gateways: &[&str]) {
        let Some(prefix) = self.parse(prefix) else { return };
        let hops = gateways.iter().filter_map(|hop| self.address(hop)).collect();
        self.our_routes.push((prefix, hops));
    }

    fn add_port_route(&mut self, port: NodeId, route: PortRoute) {
        match self.port_of(port) {
            Some(port) => port.routes.push(route),
            None => self.fail(FluxError::config("network", "only ports have gateways")),
        }
    }
}
