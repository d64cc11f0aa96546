//! Our machine's routes: what is on the links of its ports, and what lies behind their neighbours.

use super::network::{NetworkBuilder, NodeId};
use super::port::{Port, PortRoute};
use super::{RouteInfo, Simulator};
use crate::backend::filter::covers;
use crate::error::FluxError;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A way to an address: the more so the lower its rank.
struct Way {
    rank: (Reverse<u8>, u64),
    gateway: Option<IpAddr>,
    source: IpAddr,
}

impl Port {
    /// The ways to `dst` by this port.
    fn ways(&self, dst: IpAddr) -> impl Iterator<Item = Way> + '_ {
        // The first address in a network speaks to it, however long the prefixes of others are.
        let source = |to: IpAddr| self.addresses.iter().find(|a| covers(**a, to)).map(|a| a.0);
        let lens = self.addresses.iter().filter(move |a| covers(**a, dst)).map(|a| a.1);
        let on_link = lens.max().zip(source(dst)).map(|(len, source)| Way {
            rank: (Reverse(len), 0),
            gateway: None,
            source,
        });
        let behind = self.routes.iter().filter(move |route| covers(route.prefix, dst));
        let behind = behind.filter_map(move |route| {
            let rank = (Reverse(route.prefix.1), 1 + u64::from(route.metric));
            Some(Way { rank, gateway: Some(route.gateway), source: source(route.gateway)? })
        });
        on_link.into_iter().chain(behind)
    }
}

impl Simulator {
    /// How our machine reaches `dst`: by the longest prefix, whose network is on a link rather
    /// than behind a neighbour, by the lowest metric, by the first port. `None` when it has no
    /// route.
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
        let ports = world.ports().map(|(_, port)| port).filter(|port| wanted(port));
        let ways = ports.flat_map(|port| port.ways(dst).map(move |way| (port, way)));
        ways.min_by_key(|(_, way)| way.rank).map(|(port, way)| RouteInfo {
            port: port.name.clone(),
            gateway: way.gateway,
            source: way.source,
            mtu: port.mtu,
        })
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
        self.add_port_route(port, PortRoute { prefix: (any, 0), gateway, metric: u32::MAX });
    }

    /// Sends what is for `prefix` to this neighbour of `port`. Of several ways to one prefix that
    /// with the lowest metric counts; the others are for who wants their port.
    pub fn gateway_to(&mut self, port: NodeId, prefix: &str, gateway: &str, metric: u32) {
        let prefix = self.parse(prefix);
        if let Some((prefix, gateway)) = prefix.zip(self.address(gateway)) {
            self.add_port_route(port, PortRoute { prefix, gateway, metric });
        }
    }

    fn add_port_route(&mut self, port: NodeId, route: PortRoute) {
        match self.port_of(port) {
            Some(port) => port.routes.push(route),
            None => self.fail(FluxError::config("network", "only ports have gateways")),
        }
    }
}
