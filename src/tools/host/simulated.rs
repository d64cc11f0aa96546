//! [`SimHost`]: the host that a simulated machine is.

use super::Host;
use super::error::{Cause, HostError};
use super::listen::{Heard, Listen, Listener};
use super::model::{
    Address, AddressScope, Doubt, Family, Interface, Neighbour, Queues, Route, RouteKind, Target,
    group_mac,
};
use super::watch::{Change, Known, RouteChange, Watch};
use crate::simulator::{Noted, PortInfo, Simulator};
use crate::text::near::did_you_mean;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// The host of a [`Simulator`]: its ports are the interfaces, its network the neighbours, and the
/// nodes of that have the names.
pub struct SimHost {
    simulator: Simulator,
}

impl SimHost {
    /// The host of this simulated machine.
    #[must_use]
    pub fn new(simulator: Simulator) -> Self {
        Self { simulator }
    }

    fn port(&self, name: &str) -> Result<PortInfo, HostError> {
        self.simulator.port(name).ok_or_else(|| {
            let ports = self.simulator.ports();
            HostError::no_interface(name, ports.iter().map(|port| port.name.as_str()))
        })
    }

    fn port_at(&self, index: u32) -> Result<PortInfo, HostError> {
        self.simulator.ports().into_iter().find(|port| port.ifindex == index).ok_or_else(|| {
            let object = format!("with index {index}");
            HostError::new("find interface", object, Cause::NoSuchInterface)
        })
    }

    /// The first address of the family that the node of this name has.
    fn named(&self, name: &str, family: Family) -> Result<Target, HostError> {
        let fail = |cause| HostError::new("resolve", name, cause);
        let all = self.simulator.addresses_of(name);
        if let Some(&addr) = all.iter().find(|&&addr| family.admits(addr)) {
            return Ok(Target { addr, scope: None });
        }
        if !all.is_empty() {
            return Err(fail(Cause::NoAddressInFamily));
        }
        let letter = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if !name.chars().all(letter) {
            let cause = Cause::UnknownName("it is neither an address nor a name".into());
            return Err(fail(cause).with_hint(LISTED));
        }
        let names = self.simulator.node_names();
        let near = did_you_mean(name, names.iter().map(String::as_str), str::to_owned);
        let cause = Cause::UnknownName("the simulated network has no host of this name".into());
        Err(fail(cause).with_hint(near.unwrap_or_else(|| LISTED.to_owned())))
    }

    /// Answers without letting time pass; `None` if nobody has the address.
    fn known(&self, index: u32, addr: IpAddr) -> Result<Option<Neighbour>, HostError> {
        let port = self.port_at(index)?;
        if !port.up {
            return Err(HostError::new("send to", port.name, Cause::InterfaceDown));
        }
        let group =
            if interface(&port).is_broadcast(addr) { Some([0xff; 6]) } else { group_mac(addr) };
        Ok(group
            .or_else(|| self.simulator.neighbour(&port.name, addr).map(|mac| mac.octets()))
            .map(Neighbour::known))
    }
}

/// What to do about a name that nobody has.
const LISTED: &str = "give a name or an address that `flux help sim` lists, such as 10.0.0.2";

fn interface(port: &PortInfo) -> Interface {
    let address = |&(addr, prefix_len): &(IpAddr, u8)| Address {
        addr,
        prefix_len,
        scope: match addr {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressScope::Link,
            _ => AddressScope::Global,
        },
        tentative: port.tentative.contains(&addr),
        deprecated: false,
        duplicate: false,
    };
    Interface {
        index: port.ifindex,
        name: port.name.clone(),
        mac: Some(port.mac.octets()),
        mtu: port.mtu,
        up: port.up,
        carrier: port.carrier,
        carrier_changes: u32::try_from(port.carrier_changes).ok(),
        num_rx_queues: port.queues,
        num_tx_queues: port.tx_queues,
        addresses: port.addresses.iter().map(address).collect(),
        ..Interface::default()
    }
}

impl Host for SimHost {
    fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError> {
        let index_of = |name: &str| self.port(name).map(|port| port.ifindex);
        let is_there = |index| self.port_at(index).is_ok();
        let literal = Target::from_literal(name, family, (index_of, is_there));
        literal.unwrap_or_else(|| self.named(name, family))
    }

    fn interface(&self, name: &str) -> Result<Interface, HostError> {
        self.port(name).map(|port| interface(&port))
    }

    fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
        Ok(self.simulator.ports().iter().map(interface).collect())
    }

    fn route(
        &self,
        dst: IpAddr,
        oif: Option<u32>,
        src: Option<IpAddr>,
    ) -> Result<Route, HostError> {
        let ports: Vec<_> = self.simulator.ports().iter().map(interface).collect();
        let foreign = src.filter(|&src| !ports.iter().any(|port| port.has_address(src)));
        if let Some(source) = foreign {
            return Err(HostError::new("find a route to", dst, Cause::ForeignSource(source)));
        }
        let own = |port: &Interface| {
            let same = |a: &&Address| a.addr.is_ipv4() == dst.is_ipv4();
            port.addresses.iter().find(same).map(|address| address.addr)
        };
        let on_link = |port: &Interface, kind| Route {
            kind,
            ifindex: port.index,
            gateway: None,
            source: src.or_else(|| own(port)),
            mtu: None,
            encapsulated: false,
        };
        if let Some(port) = ports.iter().find(|port| port.has_address(dst)) {
            return Ok(on_link(port, RouteKind::Local));
        }
        let asked = oif.map(|index| self.port_at(index)).transpose()?.map(|p| interface(&p));
        let chosen = asked.as_ref();
        if dst.is_multicast()
            && let Some(port) = chosen.or(ports.first())
        {
            return Ok(on_link(port, RouteKind::Multicast));
        }
        let wide = |port: &&Interface| chosen.is_none_or(|c| c.index == port.index);
        if let Some(port) = ports.iter().filter(wide).find(|port| port.is_broadcast(dst)) {
            return Ok(on_link(port, RouteKind::Broadcast));
        }
        let found = match chosen {
            Some(port) => self.simulator.route_by(&port.name, dst),
            None => self.simulator.route(dst),
        };
        let found = found.and_then(|route| {
            let port = ports.iter().find(|port| port.name == route.port)?;
            // As the kernel: a tentative address is nobody's source yet.
            let usable = |own: &Address| own.addr == route.source && own.is_usable();
            let source = port.addresses.iter().any(usable).then_some(route.source);
            let source = src.or(source);
            Some(Route { gateway: route.gateway, source, ..on_link(port, RouteKind::Unicast) })
        });
        match (found, chosen) {
            (Some(route), _) => Ok(route),
            (None, Some(port)) if dst.is_ipv4() => Ok(on_link(port, RouteKind::Unicast)),
            _ => Err(HostError::new("find a route to", dst, Cause::NoRoute)
                .with_hint("`flux help sim` shows the simulated network")),
        }
    }

    fn addresses(&self, name: &str, family: Family) -> Result<Vec<Target>, HostError> {
        let first = self.resolve(name, family)?;
        let all = self.simulator.addresses_of(name).into_iter().filter(|&addr| family.admits(addr));
        let all: Vec<_> = all.map(|addr| Target { addr, scope: None }).collect();
        Ok(if all.is_empty() { vec![first] } else { all })
    }

    fn confirm(&mut self, known: &[(u32, IpAddr)], _doubt: Doubt) {
        for &(index, address) in known {
            if let Ok(port) = self.port_at(index) {
                // An interface that went meanwhile has nobody to ask.
                let _ = self.simulator.confirm_neighbour(&port.name, address);
            }
        }
    }

    /// A neighbour that nobody is costs the whole `timeout`, in virtual time.
    fn neighbours(
        &mut self,
        wanted: &[(u32, IpAddr)],
        timeout: Duration,
    ) -> Vec<Result<Neighbour, HostError>> {
        let known: Vec<_> = wanted.iter().map(|&(index, addr)| self.known(index, addr)).collect();
        if known.iter().any(|answer| matches!(answer, Ok(None))) {
            self.simulator.step(timeout);
        }
        let waited = |addr| {
            let cause = Cause::NeighbourTimeout { waited: timeout };
            HostError::new("find the link layer address of", addr, cause)
        };
        let answers = known.into_iter().zip(wanted);
        answers.map(|(answer, &(_, addr))| answer?.ok_or_else(|| waited(addr))).collect()
    }

    fn driver(&self, ifname: &str) -> Option<String> {
        self.simulator.port(ifname).map(|_| "sim".into())
    }

    fn queues(&self, ifname: &str) -> Result<Queues, HostError> {
        self.port(ifname).map(|port| Queues { rx: port.queues, tx: port.tx_queues })
    }

    fn listen(&self, _what: &Listen) -> Result<Box<dyn Listener>, HostError> {
        self.simulator.listen();
        Ok(Box::new(SimListener(self.simulator.clone())))
    }

    fn watch(&self) -> Result<Box<dyn Watch>, HostError> {
        let simulator = self.simulator.clone();
        let known = Known::new(self.interfaces()?);
        let noted = simulator.noted(0).len();
        Ok(Box::new(SimWatch { simulator, known, noted }))
    }
}

/// Hears what the stack of the simulated machine took: all of it, since nobody else is there.
struct SimListener(Simulator);

impl Listener for SimListener {
    fn hear(&mut self, take: &mut dyn FnMut(Heard<'_>)) -> Result<(), HostError> {
        if !self.0.has_stack_packets() {
            return Ok(());
        }
        for heard in self.0.stack_packets() {
            take(Heard {
                frame: &heard.packet,
                ifindex: heard.ifindex,
                at_ns: Some(heard.time_ns),
                fragments: (heard.fragments > 1).then_some(0),
            });
        }
        Ok(())
    }
}

/// Compares the interfaces of the simulated machine with what they were at the last call, and hears what
/// its kernel tells of neighbours and routes.
struct SimWatch {
    simulator: Simulator,
    known: Known,
    /// How much of that was heard.
    noted: usize,
}

fn change(noted: Noted) -> Option<Change> {
    Some(match noted {
        Noted::Neighbour { ifindex, address: addr, mac } => {
            Change::Neighbour { ifindex, addr, mac: mac.map(|mac| mac.octets()) }
        }
        Noted::Route { there, to: (address, len), ifindex, gateway } => {
            Change::Route(RouteChange {
                there,
                to: IpNet::new(address, len).ok()?.trunc(),
                table: MAIN_TABLE,
                ifindex: Some(ifindex),
                gateway: Some(gateway),
            })
        }
    })
}

/// The routing table that all routes are in.
const MAIN_TABLE: u32 = 254;

impl Watch for SimWatch {
    fn interfaces(&self) -> Vec<&Interface> {
        self.known.all()
    }

    fn changes(&mut self) -> Result<Vec<Change>, HostError> {
        let mut changes = Vec::new();
        let now = self.simulator.ports().iter().map(interface).collect();
        self.known.look(now, &mut changes);
        let noted = self.simulator.noted(self.noted);
        self.noted += noted.len();
        changes.extend(noted.into_iter().filter_map(change));
        Ok(changes)
    }

    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SimSpec;

    fn host() -> SimHost {
        SimHost::new(Simulator::new(SimSpec::default()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn routes_lead_on_the_link_or_to_the_gateway() {
        let host = host();
        let route = host.route(ip("10.0.0.2"), None, None).unwrap();
        assert_eq!((route.gateway, route.source), (None, Some(ip("10.0.0.1"))));
        let route = host.route(ip("2001:db8:7::7"), None, None).unwrap();
        assert_eq!(route.gateway, Some(ip("2001:db8::fe")));
        assert_eq!(route.source, Some(ip("2001:db8::1")));
        let kind = |text: &str| host.route(ip(text), None, None).unwrap().kind;
        assert_eq!(kind("10.0.0.1"), RouteKind::Local);
        assert_eq!(kind("10.0.0.255"), RouteKind::Broadcast);
        assert_eq!(kind("ff02::1"), RouteKind::Multicast);
    }

    #[test]
    fn of_two_interfaces_the_one_that_was_asked_for_or_the_right_one_is_taken() {
        let host = SimHost::new(Simulator::between(SimSpec::default()));
        let index = |name: &str| host.interface(name).unwrap().index;
        let leaves = |dst: &str, oif: Option<&str>| {
            let route = host.route(ip(dst), oif.map(index), None);
            route.map(|route| (route.ifindex, route.source.unwrap()))
        };
        assert_eq!(leaves("10.0.0.2", None).unwrap(), (index("sim0"), ip("10.0.0.1")));
        assert_eq!(leaves("10.0.1.2", None).unwrap(), (index("sim1"), ip("10.0.1.1")));
        assert_eq!(leaves("2001:db8:1::2", None).unwrap().0, index("sim1"));
        // As on Linux: with an interface named, the address is taken to be on its link.
        assert_eq!(leaves("10.0.0.2", Some("sim1")).unwrap(), (index("sim1"), ip("10.0.1.1")));
        assert!(leaves("2001:db8::2", Some("sim1")).is_err() && leaves("8.8.8.8", None).is_err());
    }

    #[test]
    fn nodes_have_names_with_addresses_of_both_families() {
        let host = host();
        let resolved = |name: &str, family| host.resolve(name, family).map(|target| target.addr);
        for name in ["server.sim", "server", "SERVER.sim", "server.sim."] {
            assert_eq!(resolved(name, Family::Any).unwrap(), ip("203.0.113.7"), "{name}");
            assert_eq!(resolved(name, Family::V6).unwrap(), ip("2001:db8:7::7"), "{name}");
        }
        assert_eq!(resolved("us.sim", Family::V4).unwrap(), ip("10.0.0.1"));
        let error = resolved("servr.sim", Family::Any).unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("did you mean server.sim?"));
    }

    #[test]
    fn names_and_foreign_sources_are_refused_with_a_next_step() {
        let host = host();
        let error = host.resolve("example.org", Family::Any).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resolve example.org: the simulated network has no host of this name"
        );
        assert!(error.hint().unwrap().contains("flux help sim"));
        let error = host.route(ip("10.0.0.2"), None, Some(ip("10.0.0.3"))).unwrap_err();
        assert!(matches!(error.cause(), Cause::ForeignSource(_)));
        let error = host.interface("eth7").unwrap_err();
        assert_eq!(error.hint().unwrap(), "there are: sim0");
    }

    #[test]
    fn a_watch_tells_what_changes_of_the_simulated_machine_and_that_a_link_flapped() {
        let host = host();
        let mut watch = host.watch().unwrap();
        assert_eq!(watch.changes().unwrap(), []);
        let only = |watch: &mut Box<dyn Watch>| {
            let mut changes = watch.changes().unwrap();
            assert_eq!(changes.len(), 1, "{changes:?}");
            changes.remove(0)
        };
        host.simulator.set_link_up("sim0", false).unwrap();
        let Change::Interface { before: Some(before), now } = only(&mut watch) else { panic!() };
        assert!(before.up && !now.up && now.addresses == before.addresses);
        host.simulator.set_link_up("sim0", true).unwrap();
        watch.changes().unwrap();
        host.simulator.set_link_up("sim0", false).unwrap();
        host.simulator.set_link_up("sim0", true).unwrap();
        let Change::Interface { before: Some(before), now } = only(&mut watch) else { panic!() };
        assert!(before.up && now.up && now.carrier_changes > before.carrier_changes);
        host.simulator.set_mtu("sim0", 1400).unwrap();
        assert!(matches!(only(&mut watch), Change::Interface { now, .. } if now.mtu == 1400));
        host.simulator.remove_port("sim0").unwrap();
        assert!(matches!(only(&mut watch), Change::Gone(gone) if gone.name == "sim0"));
        assert!(watch.interfaces().is_empty() && watch.changes().unwrap().is_empty());
    }

    #[test]
    fn a_neighbour_that_nobody_is_takes_the_whole_timeout() {
        let mut host = host();
        let before = host.simulator.now();
        let (second, index) = (Duration::from_secs(1), host.interface("sim0").unwrap().index);
        let answers = host.neighbours(&[(index, ip("10.0.0.2")), (index, ip("10.0.0.77"))], second);
        assert!(answers[0].as_ref().is_ok_and(|n| n.cached));
        assert!(matches!(answers[1].as_ref().unwrap_err().cause(), Cause::NeighbourTimeout { .. }));
        assert_eq!(host.simulator.now() - before, 1_000_000_000);
    }
}
