//! Building networks: nodes, addresses, links, routes.

use super::balance::Dice;
use super::clock::{Clock, START_NS, nanos};
use super::fib::QuickMap;
use super::happening::{Happening, NetworkEvent, NodeId, RouteTo};
use super::host::Host;
use super::icmp::{MAX_LABELS, Refusal};
use super::link::Profile;
use super::nat::{Nat, NatQuotes};
use super::port::Port;
use super::router::{Action, Hop, Interface, Router};
use super::segments::{self, Laid};
use super::switch::Switch;
use super::world::{Node, World};
use super::{
    Balance, HostOptions, NetworkTrouble, NetworkTroubles, RouterOptions, SimSpec, Simulator,
    Trouble,
};
use crate::error::{FluxError, Result};
use crate::proto::MacAddr;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// One end of a link: a node's next interface.
#[derive(Clone, Debug)]
pub struct End {
    node: NodeId,
    addresses: Vec<String>,
    mtu: u32,
    black_hole: bool,
    nat: Option<NatQuotes>,
}

impl End {
    /// An interface of `node` without addresses, with an MTU of 1500.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self { node, addresses: Vec::new(), mtu: 1500, black_hole: false, nat: None }
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

    /// Packets over the MTU that a router may not cut it drops without a word.
    #[must_use]
    pub fn black_hole(mut self) -> Self {
        self.black_hole = true;
        self
    }

    /// The outer side of a NAT: IPv4 packets that a router sends here get this end's address as
    /// their source, and answers find their way back.
    #[must_use]
    pub fn nat(self) -> Self {
        self.nat_with(NatQuotes::Restored)
    }

    /// The same with a choice of what becomes of the datagrams that ICMP errors quote.
    #[must_use]
    pub fn nat_with(mut self, quotes: NatQuotes) -> Self {
        self.nat = Some(quotes);
        self
    }
}

/// Another address beside this one, for [`NetworkTrouble::OtherAddress`]: 10.0.0.130 for 10.0.0.2.
fn other(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ 0x80).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ 0x80).into()),
    }
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
    pub(super) world: World,
    laid: Vec<Laid>,
    /// By node.
    names: HashMap<usize, String>,
    segments: usize,
    /// Our machine's routes over those that follow from its links.
    pub(super) our_routes: Vec<((IpAddr, u8), Vec<IpAddr>)>,
    events: Vec<(Duration, NetworkEvent)>,
    ports: u32,
    interfaces: HashMap<usize, usize>,
    /// What is wrong with all nodes that do not say it themselves.
    troubles: NetworkTroubles,
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
            names: HashMap::new(),
            segments: 0,
            our_routes: Vec::new(),
            events: Vec::new(),
            ports: 0,
            interfaces: HashMap::new(),
            troubles: NetworkTroubles::NONE,
            trouble: None,
        }
    }

    /// A network and our machine in it, with the port `sim0`, as `spec` has them. The network's own
    /// seed counts where `spec` has none.
    #[must_use]
    pub fn of(spec: &SimSpec, seed: Option<u64>) -> (Self, NodeId) {
        let mut net = Self { troubles: spec.network, ..Self::new(spec.seed_or(seed)) };
        if spec.realtime {
            net.realtime();
        }
        let us = net.next_port(spec);
        (net, us)
    }

    /// The next port of our machine, `sim1` after `sim0`, as `spec` has them: queues, driver and
    /// troubles are those of each.
    pub fn next_port(&mut self, spec: &SimSpec) -> NodeId {
        let least = if spec.troubles.has(Trouble::WrongQueue) { 2 } else { 1 };
        let us = self.port(&format!("sim{}", self.ports), spec.queues.max(least));
        if let Some(port) = self.port_of(us) {
            port.claims_zero_copy = spec.zero_copy;
            port.troubles = spec.troubles;
            port.tx_queues = spec.tx_queues.unwrap_or(u32::MAX).clamp(1, port.queues());
        }
        us
    }

    pub(super) fn port_of(&mut self, id: NodeId) -> Option<&mut Port> {
        self.world.port(id.0)
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
        self.host_with(HostOptions::default())
    }

    /// A host that answers ARP and neighbour discovery, and nothing else.
    pub fn silent_host(&mut self) -> NodeId {
        self.host_with(HostOptions { silent: true, ..HostOptions::default() })
    }

    /// A host that is like this.
    pub fn host_with(&mut self, options: HostOptions) -> NodeId {
        let options = options.with(self.troubles);
        let prefixes = self.parse_all(&options.prefixes);
        NodeId(self.world.add(Node::Host(Host::new(options, prefixes))))
    }

    /// A router. It knows the networks of its interfaces; the rest comes from
    /// [`NetworkBuilder::route`] and its siblings.
    pub fn router(&mut self) -> NodeId {
        self.router_with(RouterOptions::default())
    }

    /// A router that is like this.
    pub fn router_with(&mut self, options: RouterOptions) -> NodeId {
        let options = options.with(self.troubles);
        if options.mpls.len() > MAX_LABELS {
            let what = format!("{} MPLS labels", options.mpls.len());
            self.fail(FluxError::config(what, format!("must be at most {MAX_LABELS}")));
        }
        let dice = Dice::new(self.world.seed, self.world.count());
        NodeId(self.world.add(Node::Router(Box::new(Router::new(options, dice)))))
    }

    /// Calls a node, and with it its addresses, by a name: see [`Simulator::name_of`].
    pub fn name(&mut self, node: NodeId, name: impl Into<String>) {
        self.names.insert(node.0, name.into());
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
        let [_, high, number @ ..] = (self.laid.len() as u32).to_be_bytes();
        let mut mac = MacAddr([2, 0, high, 1, number[0], number[1]]);
        match self.world.node(end.node.0) {
            Some(Node::Port(port)) => {
                mac = port.mac;
                port.mtu = end.mtu;
                port.addresses = addresses.clone();
            }
            Some(Node::Host(host)) => {
                host.mac = mac;
                host.mtu = end.mtu;
                if self.troubles.has(NetworkTrouble::OtherAddress) {
                    host.answer_from(addresses.iter().map(|a| other(a.0)).collect());
                }
                host.addresses = addresses.clone();
            }
            Some(Node::Router(router)) => router.interfaces.push(Interface {
                mac,
                addresses: addresses.clone(),
                mtu: end.mtu,
                black_hole: end.black_hole,
                neighbours: QuickMap::default(),
                nat: end.nat.map(Nat::new),
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

    /// At `router`, sends `prefix` through one of these neighbours, chosen as the router does. Of
    /// two routes for a prefix the later one counts, and any counts more than a network that the
    /// router is in.
    pub fn route(&mut self, router: NodeId, prefix: &str, hops: &[&str]) {
        self.add_route_via(router, prefix, hops, None);
    }

    /// The same with a choice of its own.
    pub fn route_balanced(
        &mut self,
        router: NodeId,
        prefix: &str,
        hops: &[&str],
        balance: Balance,
    ) {
        self.add_route_via(router, prefix, hops, Some(balance));
    }

    fn add_route_via(
        &mut self,
        router: NodeId,
        prefix: &str,
        hops: &[&str],
        balance: Option<Balance>,
    ) {
        let hops = hops.iter().filter_map(|hop| self.address(hop)).map(Hop::from).collect();
        self.add_route(router, prefix, Action::Via { hops, balance, turn: 0 });
    }

    /// At `router`, answers packets for `prefix` with "host unreachable".
    pub fn unreachable(&mut self, router: NodeId, prefix: &str) {
        self.refuse(router, prefix, Refusal::Unreachable);
    }

    /// At `router`, answers packets for `prefix` with "administratively prohibited".
    pub fn prohibit(&mut self, router: NodeId, prefix: &str) {
        self.refuse(router, prefix, Refusal::Prohibited);
    }

    /// At `router`, drops packets for `prefix` without a word.
    pub fn blackhole(&mut self, router: NodeId, prefix: &str) {
        self.refuse(router, prefix, Refusal::BlackHole);
    }

    /// At `router`, refuses packets for `prefix` in this way.
    pub fn refuse(&mut self, router: NodeId, prefix: &str, how: Refusal) {
        self.add_route(router, prefix, how.into());
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
            Some(Node::Router(router)) => router.errors.set_limit((per_second, burst).into()),
            _ => self.fail(FluxError::config("network", "only routers have ICMP limits")),
        }
    }

    /// Lets something happen once this much simulated time has passed.
    pub fn happens(&mut self, after: Duration, what: NetworkEvent) {
        self.events.push((after, what));
    }

    pub(super) fn fail(&mut self, error: FluxError) {
        self.trouble.get_or_insert(error);
    }

    fn parse_all(&mut self, texts: &[String]) -> Vec<(IpAddr, u8)> {
        texts.iter().filter_map(|text| self.parse(text)).collect()
    }

    pub(super) fn parse(&mut self, text: &str) -> Option<(IpAddr, u8)> {
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

    pub(super) fn address(&mut self, text: &str) -> Option<IpAddr> {
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
        let Self { mut world, mut laid, names, troubles, our_routes, events, .. } = self;
        segments::join(&mut world, &mut laid);
        segments::introduce(&mut world, &laid);
        segments::name_addresses(&mut world, &laid, &names);
        world.compile_routers();
        for (prefix, hops) in our_routes {
            world.set_our_route(prefix, RouteTo::Via(hops));
        }
        world.noted.clear();
        world.lay_troubles(troubles);
        for (after, what) in events {
            world.happen_at(START_NS.saturating_add(nanos(after)), Happening::Network(what));
        }
        Ok(Simulator::from_world(world))
    }
}
