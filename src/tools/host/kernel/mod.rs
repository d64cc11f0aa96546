//! [`KernelHost`]: the host as Linux describes it by netlink.
//!
//! ```text
//!   KernelHost ──┬── nic         an interface and its driver: link, ethtool, family `netdev`
//!                ├── link        RTM_GETLINK, RTM_GETADDR: the one decoder of interfaces
//!                ├── route       RTM_GETROUTE
//!                ├── neighbour   RTM_GETNEIGH, RTM_NEWNEIGH "use", group NEIGH
//!                ├── watch       what changes of all of them: notifications of six groups
//!                └── getaddrinfo
//!
//!   veth   RTM_NEWLINK: the pair of namespaces that `bench` measures on
//!   sockets, listen   what sockets of this host have, and answers that its stack gets
//!   genl   generic netlink: which queues have AF_XDP sockets, for `rings`
//! ```

#[cfg(feature = "bpf")]
pub(crate) mod genl;
mod link;
#[cfg(feature = "bpf")]
mod listen;
mod neighbour;
#[cfg(feature = "bpf")]
mod netdev_family;
mod netlink;
mod nic;
mod route;
mod sockets;
#[cfg(feature = "bpf")]
pub(crate) mod veth;
mod watch;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Cause, HostError};
use super::model::{
    Address, AddressScope, Doubt, Family, Interface, Neighbour, Queues, Route, Target, group_mac,
};
use super::watch::Watch;
use super::{HeldPorts, Host, PortKind};
#[cfg(feature = "bpf")]
use super::{Listen, Listener};
use link::Which;

#[cfg(feature = "bpf")]
pub(crate) use netdev_family::XdpFeatures;
pub(crate) use nic::Nics;

/// The host as the Linux kernel describes it.
///
/// It belongs to the network namespace of the thread that opened it, and is to be used in that
/// namespace: its sockets stay there, while name lookups and a new watch go by the thread.
pub struct KernelHost {
    nics: Nics,
}

impl KernelHost {
    /// Opens the host of the calling thread's network namespace. Needs no privilege; resolving a
    /// neighbour that is not in the kernel's table needs CAP_NET_ADMIN.
    pub fn open() -> Result<Self, HostError> {
        match Nics::open() {
            Ok(nics) => Ok(KernelHost { nics }),
            Err(error) => Err(HostError::new("open", "a netlink socket", Cause::Os(error))),
        }
    }

    fn interface_by_index(&self, index: u32) -> Result<Interface, HostError> {
        link::whole(self.nics.netlink(), Which::Index(index)).map_err(|error| {
            HostError::new("find interface", format!("with index {index}"), interface_cause(error))
        })
    }

    /// The error for a name that was asked for, with the names that there are.
    fn not_found(&self, name: &str, error: io::Error) -> HostError {
        match (interface_cause(error), self.interfaces()) {
            (Cause::NoSuchInterface, Ok(all)) => {
                HostError::no_interface(name, all.iter().map(|other| other.name.as_str()))
            }
            (cause, _) => HostError::new("find interface", name, cause),
        }
    }

    /// Without its addresses.
    fn bare(&self, name: &str) -> Result<Interface, HostError> {
        link::bare(self.nics.netlink(), Which::Name(name))
            .map_err(|error| self.not_found(name, error))
    }

    /// Answers what needs no question, and refuses what no question could answer.
    fn without_asking(
        &self,
        interface: &Interface,
        addr: IpAddr,
    ) -> Option<Result<Neighbour, HostError>> {
        let refuse = |cause| Some(Err(HostError::new("send to", &interface.name, cause)));
        if !interface.up {
            return refuse(Cause::InterfaceDown);
        }
        if !interface.carrier {
            return refuse(Cause::NoCarrier);
        }
        if interface.mac.is_none() {
            return refuse(Cause::NotEthernet);
        }
        if interface.kind == "loopback" {
            return interface.mac.map(|mac| Ok(Neighbour::known(mac)));
        }
        let broadcast = interface.is_broadcast(addr).then_some([0xff; 6]);
        group_mac(addr).or(broadcast).map(|mac| Ok(Neighbour::known(mac)))
    }

    /// The error for an address that nobody answered for, with the reason if it is on our side.
    fn unanswered(&self, ifindex: u32, addr: IpAddr, cause: Cause) -> HostError {
        const OPERATION: &str = "find the link layer address of";
        let interface = match self.interface_by_index(ifindex) {
            Ok(interface) => interface,
            Err(error) => return error,
        };
        if !interface.up {
            return HostError::new("send to", &interface.name, Cause::InterfaceDown);
        }
        let error = HostError::new(OPERATION, format!("{addr} on {}", interface.name), cause);
        // ARP asks from any address; neighbour discovery without a packet from a link-local one.
        let (family, asks): (_, fn(&Address) -> bool) = match addr {
            IpAddr::V4(_) => ("IPv4", |own| own.addr.is_ipv4()),
            IpAddr::V6(_) => {
                ("IPv6 link-local", |own| own.addr.is_ipv6() && own.scope == AddressScope::Link)
            }
        };
        let mut own = interface.addresses.iter().filter(|own| asks(own)).peekable();
        let name = &interface.name;
        if !error.is_negative() {
            error
        } else if own.peek().is_none() {
            error.with_hint(format!("{name} has no {family} address to ask from"))
        } else if !own.any(Address::is_usable) {
            error.with_hint(format!(
                "{name} has no {family} address in use yet: duplicate address detection still runs"
            ))
        } else {
            error
        }
    }
}

impl Host for KernelHost {
    fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError> {
        let fail = || HostError::new("resolve", name, Cause::NoAddressInFamily);
        self.addresses(name, family)?.first().copied().ok_or_else(fail)
    }

    fn addresses(&self, name: &str, family: Family) -> Result<Vec<Target>, HostError> {
        let index_of = |ifname: &str| self.interface(ifname).map(|interface| interface.index);
        let is_there = |index| self.interface_by_index(index).is_ok();
        if let Some(literal) = Target::from_literal(name, family, (index_of, is_there)) {
            return literal.map(|target| vec![target]);
        }
        let fail = |cause| HostError::new("resolve", name, cause);
        let found = (name, 0).to_socket_addrs().map_err(|error| fail(name_cause(&error)))?;
        let mut targets: Vec<Target> = Vec::new();
        for target in found.map(target_from).filter(|target| family.admits(target.addr)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        if targets.is_empty() { Err(fail(Cause::NoAddressInFamily)) } else { Ok(targets) }
    }

    fn interface(&self, name: &str) -> Result<Interface, HostError> {
        link::whole(self.nics.netlink(), Which::Name(name))
            .map_err(|error| self.not_found(name, error))
    }

    fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
        link::all(self.nics.netlink())
            .map_err(|error| HostError::new("list", "interfaces", Cause::Os(error)))
    }

    fn route(
        &self,
        dst: IpAddr,
        oif: Option<u32>,
        src: Option<IpAddr>,
    ) -> Result<Route, HostError> {
        let fail = |cause| HostError::new("find a route to", dst, cause);
        let answer = route::lookup(self.nics.netlink(), dst, oif, src);
        // IPv4 has no errno of its own for a source that is not ours; IPv6 does not look at it.
        if let Some(src) = src
            && (src.is_ipv6() || answer.is_err())
            && !self.interfaces()?.iter().any(|interface| interface.has_address(src))
        {
            return Err(fail(Cause::ForeignSource(src)));
        }
        answer.map_err(fail)
    }

    fn neighbours(
        &mut self,
        wanted: &[(u32, IpAddr)],
        timeout: Duration,
    ) -> Vec<Result<Neighbour, HostError>> {
        let mut interfaces: HashMap<u32, Option<Interface>> = HashMap::new();
        let mut early = Vec::with_capacity(wanted.len());
        for &(ifindex, addr) in wanted {
            let interface =
                interfaces.entry(ifindex).or_insert_with(|| self.interface_by_index(ifindex).ok());
            early.push(match interface {
                Some(interface) => self.without_asking(interface, addr),
                None => Some(self.interface_by_index(ifindex).and_then(|interface| {
                    let cause = Cause::Protocol("it has only just appeared".into());
                    Err(HostError::new("send to", interface.name, cause))
                })),
            });
        }
        let open = wanted.iter().zip(&early).filter(|(_, early)| early.is_none());
        let keys: Vec<_> = open.map(|(key, _)| *key).collect();
        let answers = match keys.is_empty() {
            true => Ok(HashMap::new()),
            false => neighbour::resolve(self.nics.netlink(), keys, timeout),
        };
        let late = |&(ifindex, addr): &(u32, IpAddr)| match &answers {
            Ok(answers) => match answers.get(&(ifindex, addr)) {
                Some(Ok(neighbour)) => Ok(*neighbour),
                Some(Err(failure)) => Err(self.unanswered(ifindex, addr, failure.cause())),
                None => {
                    let cause = Cause::Protocol("the question got lost".into());
                    Err(self.unanswered(ifindex, addr, cause))
                }
            },
            Err(error) => Err(HostError::new("watch", "the neighbour table", again(error))),
        };
        wanted.iter().zip(early).map(|(key, early)| early.unwrap_or_else(|| late(key))).collect()
    }

    fn confirm(&mut self, known: &[(u32, IpAddr)], doubt: Doubt) {
        for &key in known {
            // An entry that went meanwhile is asked for as one that is missing.
            let _ = neighbour::confirm(self.nics.netlink(), key, doubt);
        }
    }

    fn driver(&self, ifname: &str) -> Option<String> {
        self.nics.driver(&self.bare(ifname).ok()?)
    }

    fn queues(&self, ifname: &str) -> Result<Queues, HostError> {
        self.bare(ifname).map(|interface| self.nics.queues(&interface))
    }

    #[cfg(feature = "bpf")]
    fn listen(&self, what: &Listen) -> Result<Box<dyn Listener>, HostError> {
        let sockets = listen::Sockets::open(what);
        let failed = |error| HostError::new("listen for", "answers", Cause::Os(error));
        sockets.map(|sockets| Box::new(sockets) as Box<dyn Listener>).map_err(failed)
    }

    fn reverse_path_drops(&self) -> Option<u64> {
        sockets::reverse_path_drops()
    }

    #[cfg(feature = "bpf")]
    fn strips_tags(&self, ifname: &str) -> bool {
        // Veth takes none off, whatever it says; its peer may leave one beside the packet.
        self.bare(ifname)
            .is_ok_and(|interface| interface.kind != "veth" && self.nics.strips_tags(&interface))
    }

    fn echo_ids(&self) -> Vec<u16> {
        sockets::echo_ids()
    }

    fn hold_ports(&self, kind: PortKind, ports: RangeInclusive<u16>) -> io::Result<HeldPorts> {
        sockets::hold_ports(kind, ports)
    }

    fn watch(&self) -> Result<Box<dyn Watch>, HostError> {
        let watch = watch::KernelWatch::open();
        let watch = watch.map_err(|error| HostError::new("watch", "the host", Cause::Os(error)))?;
        Ok(Box::new(watch))
    }
}

fn interface_cause(error: io::Error) -> Cause {
    match error.raw_os_error() {
        // EINVAL: an empty name; ERANGE: one longer than the kernel takes.
        Some(libc::ENODEV | libc::EINVAL | libc::ERANGE) => Cause::NoSuchInterface,
        _ => Cause::Os(error),
    }
}

fn name_cause(error: &io::Error) -> Cause {
    match error.raw_os_error() {
        Some(code) => Cause::Os(io::Error::from_raw_os_error(code)),
        // std puts its own words in front of those of gai_strerror(3).
        None => {
            let words = error.to_string();
            let (_, cause) = words.rsplit_once(": ").unwrap_or(("", &words));
            Cause::UnknownName(cause.into())
        }
    }
}

fn target_from(found: SocketAddr) -> Target {
    let scope = match found {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
        _ => None,
    };
    // An address that maps IPv4 into IPv6 is never on a wire: IPv4 is what it says.
    Target { addr: found.ip().to_canonical(), scope }
}

fn again(error: &io::Error) -> Cause {
    Cause::Os(match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    })
}
