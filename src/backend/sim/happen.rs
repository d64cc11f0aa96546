//! Somebody moves, a link goes, a route changes: what that does to the world.
//!
//! Our kernel's neighbours, routes and addresses follow as Linux's do, and what it would report by
//! netlink is kept for those who watch ([`Noted`]).

use super::clock::START_NS;
use super::happening::{Happening, NetworkEvent, NodeId, Noted, RouteTo};
use super::port::{Port, PortRoute};
use super::router::{Action, Hop};
use super::world::{Node, World};
use super::{NetworkTrouble, NetworkTroubles};
use crate::backend::filter::covers;
use crate::proto::MacAddr;
use std::collections::HashSet;
use std::net::IpAddr;

/// How long our kernel asks a neighbour that it knows before it gives it up: three questions a second
/// apart.
const ASKING_NS: u64 = 3_000_000_000;
/// When everybody moves with [`NetworkTrouble::MovingNeighbour`].
const MOVE_NS: u64 = 400_000_000;
/// How long an IPv6 address is tentative (duplicate address detection).
const TENTATIVE_NS: u64 = 1_000_000_000;

/// Another address for an interface that had this one; none is given out twice.
fn moved(MacAddr(mac): MacAddr) -> MacAddr {
    MacAddr([mac[0], mac[1].wrapping_add(1), mac[2], mac[3], mac[4], mac[5]])
}

impl World {
    /// Lays troubles of the network over one that is complete.
    pub(super) fn lay_troubles(&mut self, troubles: NetworkTroubles) {
        let mut near = HashSet::new();
        for node in self.nodes() {
            let Node::Port(port) = node else { continue };
            near.extend(port.neighbours.values().map(|neighbour| neighbour.real));
            if troubles.has(NetworkTrouble::StaleNeighbour) {
                port.forget_neighbours();
            }
            if troubles.has(NetworkTrouble::Tentative) {
                let own = port.addresses.iter().map(|own| own.0).filter(IpAddr::is_ipv6);
                port.tentative = own.map(|own| (own, START_NS + TENTATIVE_NS)).collect();
            }
        }
        if troubles.has(NetworkTrouble::Tentative) {
            self.happen_at(START_NS + TENTATIVE_NS, Happening::Settled);
        }
        if !troubles.has(NetworkTrouble::MovingNeighbour) {
            return;
        }
        let on_our_links = |node: &Node| match node {
            Node::Host(host) => near.contains(&host.mac),
            Node::Router(router) => router.interfaces.iter().any(|own| near.contains(&own.mac)),
            _ => false,
        };
        let nodes = self.nodes().enumerate().filter(|(_, node)| on_our_links(node));
        let moving: Vec<_> = nodes.map(|(at, _)| NodeId(at)).collect();
        for node in moving {
            let what = NetworkEvent::Move { node, told: true };
            self.happen_at(START_NS + MOVE_NS, Happening::Network(what));
        }
    }

    /// Something happens, now.
    pub(super) fn happen(&mut self, what: Happening) {
        match what {
            Happening::Network(NetworkEvent::Move { node, told }) => self.move_node(node.0, told),
            Happening::Network(NetworkEvent::Link { between: (a, b), up }) => {
                self.set_links(a.0, b.0, up);
            }
            Happening::Network(NetworkEvent::Route { node, prefix, to }) => match self.node(node.0)
            {
                Some(Node::Router(_)) => self.set_route(node.0, prefix, to),
                _ => self.set_our_route(prefix, to),
            },
            Happening::Network(NetworkEvent::Address { port, address, there }) => {
                self.set_address(port.0, address, there);
            }
            Happening::Asked { port, address } => self.give_up(port, address),
            Happening::Settled => {}
        }
    }

    /// Reports to those who watch our kernel.
    fn note(&mut self, noted: impl IntoIterator<Item = Noted>) {
        self.noted.extend(noted);
    }

    fn move_node(&mut self, node: usize, told: bool) {
        let mut macs = Vec::new();
        match self.node(node) {
            Some(Node::Router(router)) => {
                for interface in &mut router.interfaces {
                    let old = interface.mac;
                    interface.mac = moved(old);
                    macs.push((old, interface.mac));
                }
            }
            Some(Node::Host(host)) => {
                macs.push((host.mac, moved(host.mac)));
                host.mac = moved(host.mac);
            }
            _ => {}
        }
        let mut noted = Vec::new();
        for node in self.nodes() {
            for &(old, new) in &macs {
                match node {
                    // Other nodes ask at once: what is of interest is what our kernel does.
                    Node::Router(router) => router.neighbour_moved(old, new),
                    Node::Port(port) => port.neighbour_moved(old, new, told, &mut noted),
                    _ => {}
                }
            }
        }
        // The table is a hash map: what is told has an order of its own.
        noted.sort_by_key(|noted| match noted {
            Noted::Neighbour { ifindex, address, .. } => (*ifindex, *address),
            Noted::Route { ifindex, gateway, .. } => (*ifindex, *gateway),
        });
        self.note(noted);
    }

    fn set_links(&mut self, a: usize, b: usize, up: bool) {
        if !self.set_directions(a, b, up) {
            return;
        }
        for end in [a, b] {
            if let Some(port) = self.port(end) {
                port.link_moves += 1;
            }
        }
    }

    fn set_route(&mut self, node: usize, prefix: (IpAddr, u8), to: RouteTo) {
        let Some(Node::Router(router)) = self.node(node) else { return };
        router.routes.retain(|(own, _)| *own != prefix);
        let action = match to {
            RouteTo::Via(hops) => {
                let hops = hops.into_iter().map(Hop::from).collect();
                Some(Action::Via { hops, balance: None, turn: 0 })
            }
            RouteTo::Refused(refusal) => Some(Action::from(refusal)),
            RouteTo::Withdrawn => None,
        };
        router.routes.extend(action.map(|action| (prefix, action)));
        router.compile();
    }

    /// Replaces our routes to a prefix. Each neighbour is on the link of the first port that has a
    /// network with it.
    pub(super) fn set_our_route(&mut self, prefix: (IpAddr, u8), to: RouteTo) {
        let mut noted = Vec::new();
        let hops = if let RouteTo::Via(hops) = to { hops } else { Vec::new() };
        let ports: Vec<_> = self.ports().map(|(at, _)| at).collect();
        for &at in &ports {
            let Some(port) = self.port(at) else { continue };
            let ifindex = port.ifindex;
            let gone = |route: &PortRoute| Noted::Route {
                there: false,
                to: prefix,
                ifindex,
                gateway: route.gateway,
            };
            let old = port.routes.iter().filter(|route| route.prefix == prefix);
            noted.extend(old.map(gone));
            port.routes.retain(|route| route.prefix != prefix);
        }
        let shared = hops.len() > 1;
        for gateway in hops {
            let near = |port: &Port| port.addresses.iter().any(|&own| covers(own, gateway));
            let found = self.ports().find(|(_, port)| near(port)).map(|(at, _)| at);
            let Some(port) = found.and_then(|at| self.port(at)) else { continue };
            port.routes.push(PortRoute { prefix, gateway, metric: 0, shared });
            noted.push(Noted::Route { there: true, to: prefix, ifindex: port.ifindex, gateway });
        }
        self.note(noted);
    }

    fn set_address(&mut self, at: usize, address: (IpAddr, u8), there: bool) {
        let until = self.now().saturating_add(TENTATIVE_NS);
        for node in self.nodes() {
            let Node::Port(port) = node else { continue };
            port.addresses.retain(|own| own.0 != address.0);
            port.tentative.retain(|own| own.0 != address.0);
        }
        let Some(port) = self.port(at).filter(|_| there) else { return };
        port.addresses.push(address);
        if address.0.is_ipv6() {
            port.tentative.push((address.0, until));
            self.happen_at(until, Happening::Settled);
        }
    }

    /// Our kernel asks a neighbour whether it is still there, for three seconds; then it knows that
    /// it is not.
    pub(super) fn ask_neighbour(&mut self, at: usize, address: IpAddr) {
        let until = self.now().saturating_add(ASKING_NS);
        let Some(port) = self.port(at) else { return };
        let wrong = port.neighbours.get(&address).is_some_and(|n| n.known != n.real);
        if wrong && port.asking.insert(address) {
            self.happen_at(until, Happening::Asked { port: at, address });
        }
    }

    fn give_up(&mut self, at: usize, address: IpAddr) {
        let Some(port) = self.port(at) else { return };
        port.asking.remove(&address);
        let ifindex = port.ifindex;
        let Some(neighbour) = port.neighbours.get_mut(&address) else { return };
        if neighbour.known == neighbour.real {
            return;
        }
        // Asked for now, it is asked for by broadcast, and the right one is learned.
        neighbour.known = neighbour.real;
        self.note([Noted::Neighbour { ifindex, address, mac: None }]);
    }
}

impl Port {
    fn neighbour_moved(&mut self, old: MacAddr, new: MacAddr, told: bool, noted: &mut Vec<Noted>) {
        let ifindex = self.ifindex;
        for (&address, neighbour) in &mut self.neighbours {
            if neighbour.real != old {
                continue;
            }
            neighbour.real = new;
            if told {
                neighbour.known = new;
                noted.push(Noted::Neighbour { ifindex, address, mac: Some(new) });
            }
        }
    }

    /// Makes everything that our kernel knows about neighbours old.
    pub(super) fn forget_neighbours(&mut self) {
        for neighbour in self.neighbours.values_mut() {
            let MacAddr([a, _, c, d, e, f]) = neighbour.real;
            neighbour.known = MacAddr([a, 0xfe, c, d, e, f]);
        }
    }

    /// Whether an address is still tentative.
    pub(super) fn is_tentative(&self, address: IpAddr, now: u64) -> bool {
        self.tentative.iter().any(|&(own, until)| own == address && now < until)
    }
}
