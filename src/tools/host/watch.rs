//! [`Watch`]: what changes of a host, told as it happens.

use super::error::HostError;
use super::model::{Address, Interface};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Hears of what changes of a host: see [`Host::watch`](super::Host::watch).
///
/// It begins with what there is when it is opened, and tells what is different from then on. What
/// comes and goes between two calls may be told as one change, or not at all.
pub trait Watch: Send {
    /// All interfaces as they are by the changes that were told, by index.
    fn interfaces(&self) -> Vec<&Interface>;

    /// What changed since the last call, in order, without waiting. An empty list may be followed by
    /// more at once where very much happens.
    ///
    /// # Errors
    /// When the host cannot be asked; a later call may succeed.
    fn changes(&mut self) -> Result<Vec<Change>, HostError>;

    /// A descriptor that is readable when there are changes. `None`: simulated, to be called after
    /// each step of its time.
    #[cfg(unix)]
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>>;
}

/// A change of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An interface came, or is not what it was: another name, up or down, carrier, MTU, master,
    /// XDP program. (Its counters and addresses do not count here.) IPv4 routes through an interface that
    /// goes down vanish without a [`Change::Route`]; so after this one, routes are to be looked up again.
    Interface {
        /// As it was; `None`: it is new.
        before: Option<Box<Interface>>,
        /// As it is.
        now: Box<Interface>,
    },
    /// An interface was removed, or moved to another network namespace.
    Gone(Box<Interface>),
    /// An address came, went, or is not what it was (its duplicate address detection ended, say).
    Address {
        /// The interface's index.
        ifindex: u32,
        /// The address.
        address: Address,
        /// It is there; else it is gone.
        there: bool,
    },
    /// A route came, changed or went.
    Route(RouteChange),
    /// Policy rules or next-hop objects changed, and with them any route: look routes up again.
    Routing,
    /// An entry of the neighbour table changed, perhaps to what it was.
    Neighbour {
        /// The interface's index.
        ifindex: u32,
        /// The neighbour's address.
        addr: IpAddr,
        /// Its link layer address; `None`: it is not known any more.
        mac: Option<[u8; 6]>,
    },
    /// More happened than could be kept. Interfaces and addresses were read again, and their changes
    /// are in this list; what is known of routes and neighbours may be old: look at all of them again.
    Overrun,
}

/// A route that came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteChange {
    /// It is there; else it is gone. Another route to the same prefix may be there still.
    pub there: bool,
    /// Where it leads.
    pub to: IpNet,
    /// The routing table (254: main).
    pub table: u32,
    /// The interface it leaves by, where it is one.
    pub ifindex: Option<u32>,
    /// The router it leads to, where it is one.
    pub gateway: Option<IpAddr>,
}

/// The interfaces that a watch knows, and how a new look at them differs.
#[derive(Default)]
pub(super) struct Known(BTreeMap<u32, Interface>);

impl Known {
    /// As they are now.
    pub(super) fn new(interfaces: Vec<Interface>) -> Self {
        Self(interfaces.into_iter().map(|interface| (interface.index, interface)).collect())
    }

    pub(super) fn all(&self) -> Vec<&Interface> {
        self.0.values().collect()
    }

    /// An interface as it is now, but for its addresses.
    pub(super) fn link(&mut self, mut now: Interface, changes: &mut Vec<Change>) {
        let before = self.0.get(&now.index).cloned();
        now.addresses = before.as_ref().map(|known| known.addresses.clone()).unwrap_or_default();
        self.0.insert(now.index, now.clone());
        if before.as_ref().is_none_or(|before| differ(before, &now)) {
            changes.push(Change::Interface { before: before.map(Box::new), now: Box::new(now) });
        }
    }

    /// An interface is not there any more.
    pub(super) fn gone(&mut self, ifindex: u32, changes: &mut Vec<Change>) {
        changes.extend(self.0.remove(&ifindex).map(|known| Change::Gone(Box::new(known))));
    }

    /// An address is there, or not.
    pub(super) fn address(
        &mut self,
        ifindex: u32,
        address: Address,
        there: bool,
        changes: &mut Vec<Change>,
    ) {
        // One of an interface that is unknown goes with it, or comes again with all of its addresses.
        let Some(interface) = self.0.get_mut(&ifindex) else { return };
        let own = &mut interface.addresses;
        let same = |own: &Address| own.addr == address.addr && own.prefix_len == address.prefix_len;
        let at = own.iter().position(same);
        let differs = match (at, there) {
            (Some(at), true) => std::mem::replace(&mut own[at], address) != address,
            (None, true) => {
                own.push(address);
                true
            }
            (Some(at), false) => {
                own.remove(at);
                true
            }
            (None, false) => false,
        };
        if differs {
            changes.push(Change::Address { ifindex, address, there });
        }
    }

    /// All interfaces as they are now, with their addresses.
    pub(super) fn look(&mut self, interfaces: Vec<Interface>, changes: &mut Vec<Change>) {
        let now: BTreeMap<_, _> = interfaces.into_iter().map(|i| (i.index, i)).collect();
        let gone: Vec<_> =
            self.0.keys().filter(|index| !now.contains_key(index)).copied().collect();
        gone.into_iter().for_each(|index| self.gone(index, changes));
        for (index, interface) in now {
            let addresses = interface.addresses.clone();
            self.link(interface, changes);
            let known = self.0.get(&index).map(|known| known.addresses.clone()).unwrap_or_default();
            for old in known {
                let same = |new: &Address| (new.addr, new.prefix_len) == (old.addr, old.prefix_len);
                if !addresses.iter().any(same) {
                    self.address(index, old, false, changes);
                }
            }
            for address in addresses {
                self.address(index, address, true, changes);
            }
        }
    }
}

/// Whether they differ in more than what changes all the time.
fn differ(before: &Interface, now: &Interface) -> bool {
    let lasting = |interface: &Interface| Interface {
        packets: None,
        addresses: Vec::new(),
        ..interface.clone()
    };
    lasting(before) != lasting(now)
}

#[cfg(test)]
mod tests {
    use super::super::model::AddressScope;
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.into(), up: true, ..Interface::default() }
    }

    fn address(text: &str) -> Address {
        Address {
            addr: text.parse().unwrap(),
            prefix_len: 24,
            scope: AddressScope::Global,
            tentative: false,
            deprecated: false,
            duplicate: false,
        }
    }

    #[test]
    fn what_stays_the_same_is_not_told() {
        let mut known = Known::new(vec![interface(1, "eth0")]);
        let mut changes = Vec::new();
        let counted = Interface { packets: Some((5, 6)), ..interface(1, "eth0") };
        known.link(counted, &mut changes);
        known.address(1, address("10.0.0.1"), false, &mut changes);
        known.address(7, address("10.0.0.1"), true, &mut changes);
        known.gone(7, &mut changes);
        assert_eq!(changes, []);
        known.address(1, address("10.0.0.1"), true, &mut changes);
        known.address(1, address("10.0.0.1"), true, &mut changes);
        assert_eq!(changes.len(), 1);
        known.link(interface(1, "eth1"), &mut changes);
        assert!(matches!(&changes[1], Change::Interface { before: Some(before), now }
            if before.name == "eth0" && now.name == "eth1" && now.addresses.len() == 1));
    }

    #[test]
    fn a_look_at_everything_tells_what_was_missed() {
        let with = |interface: Interface, addresses: &[&str]| Interface {
            addresses: addresses.iter().map(|text| address(text)).collect(),
            ..interface
        };
        let mut known = Known::new(vec![with(interface(1, "a"), &["10.0.0.1"]), interface(2, "b")]);
        let mut changes = Vec::new();
        let now =
            vec![with(interface(1, "a"), &["10.0.0.2"]), with(interface(3, "c"), &["10.0.3.1"])];
        known.look(now.clone(), &mut changes);
        let told: Vec<_> = changes
            .iter()
            .map(|change| match change {
                Change::Gone(gone) => format!("-{}", gone.name),
                Change::Interface { now, .. } => format!("+{}", now.name),
                Change::Address { address, there, .. } => {
                    format!("{}{}", if *there { "+" } else { "-" }, address.addr)
                }
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told, ["-b", "-10.0.0.1", "+10.0.0.2", "+c", "+10.0.3.1"]);
        assert_eq!(known.all(), now.iter().collect::<Vec<_>>());
        changes.clear();
        known.look(now, &mut changes);
        assert_eq!(changes, []);
    }
}
