//! Building networks: nodes, addresses, links, routes.

use super::Simulator;
use super::clock::Clock;
use super::host::Host;
use super::link::Profile;
use super::nat::Nat;
use super::port::Port;
use super::router::{Action, Interface, Limit, Router};
use super::switch::Switch;
use super::world::{Node, World};
use crate::backend::filter::covers;
use crate::error::{FluxError, Result};
use crate::proto::MacAddr;
use crate::proto::respond::IcmpError;
use std::collections::HashMap;
use std::net::IpAddr;

/// A node of a [`NetworkBuilder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(usize);

/// One end of a link: a node's next interface.
#[derive(Clone, Debug)]
pub struct End {
    node: NodeId,
    addresses: Vec<String>,
    mtu: u32,
    nat: bool,
}

impl End {
    /// An interface of `node` without addresses, with an MTU of 1500.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, addresses: Vec::new(), mtu: 1500, nat: false }
    }

    /// With this address and prefix length, such as `10.0.0.1/24`.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// With this MTU.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// The outer side of a NAT: IPv4 packets that a router sends here get this end's address as
    /// their source, and answers find their way back.
    #[must_use]
    pub fn nat(mut self) -> Self {
        self.nat = true;
        self
    }
}

/// An interface that was laid.
struct Laid {
    node: usize,
    interface: usize,
    /// Links of one Ethernet segment share it: switches join them.
    segment: usize,
    mac: MacAddr,
    addresses: Vec<(IpAddr, u8)>,
}

/// Puts a network together.
///
/// ```
/// use fluxnet::simulator::{End, NetworkBuilder, Profile};
/// use std::time::Duration;
///
/// let mut net = NetworkBuilder::new(7);
/// let us = net.port("sim0", 1);
/// let peer = net.host();
/// net.link(
///     End::new(us).address("192.0.2.1/24"),
///     End::new(peer).address("192.0.2.2/24"),
///     Profile::delay(Duration::from_millis(1)),
/// );
/// let simulator = net.build()?;
/// assert!(simulator.neighbour("sim0", "192.0.2.2".parse().unwrap()).is_some());
/// # Ok::<(), fluxnet::error::FluxError>(())
/// ```
pub struct NetworkBuilder {
    world: World,
    laid: Vec<Laid>,
    segments: usize,
    ports: u32,
    interfaces: HashMap<usize, usize>,
    /// The first thing that was wrong; told by [`NetworkBuilder::build`].
    trouble: Option<FluxError>,
}

impl NetworkBuilder {
    /// An empty network in virtual time, whose dice start from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            world: World::new(Clock::new(false), seed),
            laid: Vec::new(),
            segments: 0,
            ports: 0,
            interfaces: HashMap::new(),
            trouble: None,
        }
    }

    /// Follow the machine's clock instead of virtual time.
    pub fn realtime(&mut self) {
        self.world.clock = Clock::new(true);
    }

    /// A port of the machine under test. Its addresses and MTU come from its one [`End`].
    pub fn port(&mut self, name: &str, queues: u32) -> NodeId {
        self.ports += 1;
        NodeId(self.world.add(Node::Port(Box::new(Port::new(name, self.ports, queues)))))
    }

    /// A port whose driver has no zero-copy.
    pub fn port_without_zero_copy(&mut self, name: &str, queues: u32) -> NodeId {
        let id = self.port(name, queues);
        if let Some(port) = self.world.port(id.0) {
            port.claims_zero_copy = false;
        }
        id
    }

    /// A host that answers ARP, neighbour discovery and echo, UDP with "port unreachable" and TCP
    /// with a reset, except on port 80, which is open.
    pub fn host(&mut self) -> NodeId {
        self.add_host(false)
    }

    /// A host that answers ARP and neighbour discovery, and nothing else.
    pub fn silent_host(&mut self) -> NodeId {
        self.add_host(true)
    }

    fn add_host(&mut self, silent: bool) -> NodeId {
        let host =
            Host { mac: MacAddr::default(), addresses: Vec::new(), silent, open_tcp: vec![80] };
        NodeId(self.world.add(Node::Host(host)))
    }

    /// A router. It knows the networks of its interfaces; the rest comes from
    /// [`NetworkBuilder::route`] and its siblings.
    pub fn router(&mut self) -> NodeId {
        NodeId(self.world.add(Node::Router(Router::default())))
    }

    /// An Ethernet switch.
    pub fn switch(&mut self) -> NodeId {
        NodeId(self.world.add(Node::Switch(Switch::default())))
    }

    /// Links two nodes; both directions are alike.
    pub fn link(&mut self, a: End, b: End, profile: Profile) {
        self.link_asymmetric(a, b, profile.clone(), profile);
    }

    /// Links two nodes: `there` is the way from `a` to `b`, `back` the other.
    pub fn link_asymmetric(&mut self, a: End, b: End, there: Profile, back: Profile) {
        self.segments += 1;
        let ends = [a, b].map(|end| {
            let node = end.node.0;
            let count = self.interfaces.entry(node).or_default();
            let interface = *count;
            *count += 1;
            self.lay(end, interface);
            (node, interface)
        });
        self.world.connect(ends[0], ends[1], there, back);
    }

    fn lay(&mut self, end: End, interface: usize) {
        let addresses = self.parse_all(&end.addresses);
        let number = (self.laid.len() as u16).to_be_bytes();
        let mut mac = MacAddr([2, 0, 0, 1, number[0], number[1]]);
        match self.world.node(end.node.0) {
            Some(Node::Port(port)) => {
                mac = port.mac;
                port.mtu = end.mtu;
                port.addresses = addresses.clone();
            }
            Some(Node::Host(host)) => {
                host.mac = mac;
                host.addresses = addresses.iter().map(|a| a.0).collect();
            }
            Some(Node::Router(router)) => router.interfaces.push(Interface {
                mac,
                addresses: addresses.clone(),
                mtu: end.mtu,
                neighbours: HashMap::new(),
                nat: end.nat.then(Nat::default),
            }),
            Some(Node::Switch(switch)) => {
                switch.add_interface();
            }
            None => self.fail(FluxError::config("network", "a link names a node of another one")),
        }
        let one_only = matches!(self.world.node(end.node.0), Some(Node::Port(_) | Node::Host(_)));
        if one_only && interface > 0 {
            self.fail(FluxError::config("network", "a port or a host has more than one link"));
        }
        let segment = self.segments;
        self.laid.push(Laid { node: end.node.0, interface, segment, mac, addresses });
    }

    /// At `router`, sends `prefix` through one of these neighbours, by flow.
    pub fn route(&mut self, router: NodeId, prefix: &str, hops: &[&str]) {
        let hops = hops.iter().filter_map(|hop| self.address(hop)).collect();
        self.add_route(router, prefix, Action::Via(hops));
    }

    /// At `router`, answers packets for `prefix` with "host unreachable".
    pub fn unreachable(&mut self, router: NodeId, prefix: &str) {
        self.add_route(router, prefix, Action::Refuse(IcmpError::HostUnreachable));
    }

    /// At `router`, answers packets for `prefix` with "administratively prohibited".
    pub fn prohibit(&mut self, router: NodeId, prefix: &str) {
        self.add_route(router, prefix, Action::Refuse(IcmpError::Prohibited));
    }

    /// At `router`, drops packets for `prefix` without a word.
    pub fn blackhole(&mut self, router: NodeId, prefix: &str) {
        self.add_route(router, prefix, Action::Drop);
    }

    fn add_route(&mut self, router: NodeId, prefix: &str, action: Action) {
        let Some(prefix) = self.parse(prefix) else { return };
        match self.world.node(router.0) {
            Some(Node::Router(router)) => router.routes.push((prefix, action)),
            _ => self.fail(FluxError::config("network", "only routers have routes")),
        }
    }

    /// Lets `router` send this many ICMP errors a second, and `burst` at once.
    pub fn limit_icmp(&mut self, router: NodeId, per_second: u32, burst: u32) {
        match self.world.node(router.0) {
            Some(Node::Router(router)) => router.icmp_limit = Some(Limit::new(per_second, burst)),
            _ => self.fail(FluxError::config("network", "only routers have ICMP limits")),
        }
    }

    /// Sends what `port` has no network for to this neighbour.
    pub fn gateway(&mut self, port: NodeId, gateway: &str) {
        let Some(gateway) = self.address(gateway) else { return };
        match self.world.port(port.0) {
            Some(port) => port.gateways.push(gateway),
            None => self.fail(FluxError::config("network", "only ports have gateways")),
        }
    }

    fn fail(&mut self, error: FluxError) {
        self.trouble.get_or_insert(error);
    }

    fn parse_all(&mut self, texts: &[String]) -> Vec<(IpAddr, u8)> {
        texts.iter().filter_map(|text| self.parse(text)).collect()
    }

    fn parse(&mut self, text: &str) -> Option<(IpAddr, u8)> {
        let parsed = text.split_once('/').and_then(|(address, len)| {
            let address: IpAddr = address.parse().ok()?;
            let len: u8 = len.parse().ok()?;
            (len <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, len))
        });
        if parsed.is_none() {
            self.fail(FluxError::config(format!("prefix '{text}'"), "must be ADDRESS/LENGTH"));
        }
        parsed
    }

    fn address(&mut self, text: &str) -> Option<IpAddr> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fail(FluxError::config(format!("address '{text}'"), "must be an IP address"));
        }
        parsed
    }

    /// The finished machine.
    ///
    /// # Errors
    /// The first thing that was wrong, such as an address that is none.
    pub fn build(mut self) -> Result<Simulator> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        self.join_segments();
        self.introduce();
        Ok(Simulator::from_world(self.world))
    }

    /// All links of one switch are one segment.
    fn join_segments(&mut self) {
        let mut joins = Vec::new();
        for (at, a) in self.laid.iter().enumerate() {
            joins.extend(
                self.laid[..at]
                    .iter()
                    .filter(|b| b.node == a.node)
                    .map(|b| (a.node, a.segment, b.segment)),
            );
        }
        for (node, _, _) in joins {
            if !matches!(self.world.node(node), Some(Node::Switch(_))) {
                continue;
            }
            let mine: Vec<_> =
                self.laid.iter().filter(|l| l.node == node).map(|l| l.segment).collect();
            let first = mine.iter().copied().min().unwrap_or(0);
            for laid in &mut self.laid {
                if mine.contains(&laid.segment) {
                    laid.segment = first;
                }
            }
        }
    }

    /// Tells routers and ports who is on their links, as ARP and ND would find out.
    fn introduce(&mut self) {
        for at in 0..self.laid.len() {
            let (node, interface, segment) =
                (self.laid[at].node, self.laid[at].interface, self.laid[at].segment);
            let others = self.laid.iter().filter(|l| l.segment == segment && l.node != node);
            let book: HashMap<IpAddr, MacAddr> =
                others.flat_map(|l| l.addresses.iter().map(|a| (a.0, l.mac))).collect();
            match self.world.node(node) {
                Some(Node::Router(router)) => {
                    if let Some(interface) = router.interfaces.get_mut(interface) {
                        interface.neighbours = book;
                    }
                }
                Some(Node::Port(port)) => port.neighbours = book,
                _ => {}
            }
        }
    }
}

/// How our machine reaches an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The interface to send on.
    pub port: String,
    /// The neighbour to send to; `None` when the address is on the link.
    pub gateway: Option<IpAddr>,
    /// The source address to use.
    pub source: IpAddr,
    /// MTU of the interface.
    pub mtu: u32,
}

impl Simulator {
    /// How our machine reaches `dst`; `None` when it has no route.
    #[must_use]
    pub fn route(&self, dst: IpAddr) -> Option<RouteInfo> {
        let world = self.shared.enter();
        let source = |port: &Port, to: IpAddr| {
            port.addresses.iter().find(|&&prefix| covers(prefix, to)).map(|a| a.0)
        };
        let info = |port: &Port, gateway, source| RouteInfo {
            port: port.name.clone(),
            gateway,
            source,
            mtu: port.mtu,
        };
        let on_link = world.ports().find_map(|(_, p)| Some(info(p, None, source(p, dst)?)));
        on_link.or_else(|| {
            world.ports().find_map(|(_, port)| {
                let same_family = |gateway: &&IpAddr| gateway.is_ipv4() == dst.is_ipv4();
                let gateway = *port.gateways.iter().find(same_family)?;
                Some(info(port, Some(gateway), source(port, gateway)?))
            })
        })
    }

    /// The Ethernet address of a neighbour on the link, as the kernel's ARP or neighbour
    /// discovery would find it.
    #[must_use]
    pub fn neighbour(&self, port: &str, address: IpAddr) -> Option<MacAddr> {
        self.with_port(port, |port, _| port.neighbours.get(&address).copied()).ok().flatten()
    }
}
