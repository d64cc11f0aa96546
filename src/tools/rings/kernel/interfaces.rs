//! [`Interfaces`]: what a look at an interface brings, in whatever network namespace it is.

use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::sys::ethtool::RxCounters;
use crate::sys::foreign::Process;
use crate::sys::netns::NetNs;
use crate::sys::{bpf, clock};
use crate::tools::host::{HostError, Interface, Nics, XdpFeatures};
use crate::tools::rings::observe::NO_NAME;
use crate::tools::rings::{InterfaceKey, InterfaceSnapshot};
use std::collections::{HashMap, HashSet};
use std::{fs, io};

/// A socket in a namespace, by which that is found.
pub(super) struct NamespaceHandle {
    pub(super) pid: u32,
    pub(super) fd: i32,
    /// Inode number of the socket.
    pub(super) socket: u64,
}

/// The interfaces of all namespaces that we may enter.
///
/// Invariant: a namespace is entered once, by a thread that ends with it; from then on sockets
/// ask for us. They keep the namespace alive, so [`Interfaces::forget_unused`] closes those that
/// nobody asked for lately.
pub(super) struct Interfaces {
    own: Option<u32>,
    namespaces: HashMap<u32, Namespace>,
    /// Namespaces that were not found, or that we may not enter.
    refused: HashSet<u32>,
    /// Names of XDP programs: a number is not given twice before all have been used.
    programs: HashMap<u32, String>,
}

struct Namespace {
    nics: Nics,
    known: HashMap<u32, Known>,
    used: bool,
}

/// What does not change while the interface lives, or changes with its counters.
struct Known {
    name: String,
    driver: Option<String>,
    zero_copy: Option<bool>,
    nic_ring: Option<u32>,
    /// How many counters the driver had, and which are those of the RX queues.
    counters: Option<(usize, RxCounters)>,
}

impl Interfaces {
    /// Starts in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When there are no sockets to be had.
    pub(super) fn open() -> Result<Self> {
        let failed = |error| FluxError::os(Op::Netdev, "the interfaces", error);
        let nics = Nics::open().map_err(failed)?;
        // Without /proc there is one namespace for us: our own.
        let own = NetNs::current().and_then(|namespace| namespace.inode()).ok();
        let mut interfaces = Self {
            own,
            namespaces: HashMap::new(),
            refused: HashSet::new(),
            programs: HashMap::new(),
        };
        interfaces.namespaces.insert(own.unwrap_or(0), Namespace::new(nics));
        Ok(interfaces)
    }

    /// The interface of this name in the namespace that we started in.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        let own = self.namespaces.get(&self.own.unwrap_or(0));
        let own = own.ok_or_else(|| {
            let what = format!("cannot find interface {name}");
            FluxError::new(ErrorKind::System, what, "no netlink")
        })?;
        match own.nics.link_named(name) {
            Ok(link) => Ok(InterfaceKey { netns: self.own, ifindex: link.index }),
            Err(error) => match error.raw_os_error() {
                // EINVAL: an empty name; ERANGE: one longer than the kernel takes.
                Some(libc::ENODEV | libc::EINVAL | libc::ERANGE) => {
                    let links = own.nics.links().unwrap_or_default();
                    let names = links.iter().map(|link| link.name.as_str());
                    Err(HostError::no_interface(name, names).into())
                }
                _ => Err(FluxError::os(Op::Netdev, name, error)),
            },
        }
    }

    /// An interface now; `None` when it is gone or in a namespace that we may not enter. `via` is
    /// a socket in that namespace.
    pub(super) fn snapshot(
        &mut self,
        key: InterfaceKey,
        via: Option<&NamespaceHandle>,
    ) -> Option<InterfaceSnapshot> {
        let inode = key.netns.or(self.own).unwrap_or(0);
        if !self.namespaces.contains_key(&inode) {
            let nics = self.enter(inode, via)?;
            self.namespaces.insert(inode, Namespace::new(nics));
        }
        let snapshot = self.namespaces.get_mut(&inode)?.snapshot(key)?;
        let (mut snapshot, program) = snapshot;
        snapshot.xdp = program.map(|id| (id, self.program(id)));
        Some(snapshot)
    }

    /// Closes the sockets in namespaces that no snapshot was taken in since the last call, so
    /// that these can go. To be called once per look.
    pub(super) fn forget_unused(&mut self) {
        let own = self.own.unwrap_or(0);
        self.namespaces.retain(|&inode, namespace| {
            inode == own || std::mem::replace(&mut namespace.used, false)
        });
    }

    fn program(&mut self, id: u32) -> String {
        let name = self.programs.entry(id);
        name.or_insert_with(|| bpf::program_name(id).unwrap_or_else(|_| NO_NAME.into())).clone()
    }

    fn enter(&mut self, inode: u32, via: Option<&NamespaceHandle>) -> Option<Nics> {
        if self.refused.contains(&inode) {
            return None;
        }
        let nics = namespace(inode, via).and_then(|namespace| namespace.inside(Nics::open).ok());
        if nics.is_none() {
            self.refused.insert(inode);
        }
        nics
    }
}

/// The namespace with that inode number: that of the socket, which may be one that no process but
/// only a thread or nobody at all is in; or else that of any process.
fn namespace(inode: u32, via: Option<&NamespaceHandle>) -> Option<NetNs> {
    let right = |namespace: &NetNs| namespace.inode().is_ok_and(|other| other == inode);
    let of_socket = |it: &NamespaceHandle| Process::open(it.pid)?.socket(it.fd, it.socket)?.netns();
    let of = |pid| NetNs::of_process(pid).ok().filter(right);
    via.and_then(|it| of_socket(it).ok().filter(right).or_else(|| of(it.pid))).or_else(|| {
        let processes = fs::read_dir("/proc").ok()?;
        let pids = processes.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        pids.into_iter().find_map(of)
    })
}

impl Namespace {
    fn new(nics: Nics) -> Self {
        Self { nics, known: HashMap::new(), used: true }
    }

    /// Without the program's name, but with its number.
    fn snapshot(&mut self, key: InterfaceKey) -> Option<(InterfaceSnapshot, Option<u32>)> {
        self.used = true;
        let time_ns = clock::monotonic_ns();
        let Ok(link) = self.nics.link(key.ifindex) else {
            self.known.remove(&key.ifindex);
            return None;
        };
        let nics = &self.nics;
        let known = self.known.entry(key.ifindex).or_insert_with(|| Known::of(nics, &link));
        if known.name != link.name {
            // Renamed, or another interface with the old one's number.
            *known = Known::of(nics, &link);
        }
        let snapshot = InterfaceSnapshot {
            time_ns,
            key,
            driver: known.driver.clone(),
            up: link.up,
            carrier: link.carrier,
            carrier_changes: link.carrier_changes.map(u64::from),
            mtu: link.mtu,
            queues: nics.rx_queues(&link),
            tx_queues: nics.tx_queues(&link),
            rx_packets: link.packets.map(|(rx, _)| rx),
            tx_packets: link.packets.map(|(_, tx)| tx),
            queue_rx_packets: known.queue_packets(nics),
            xdp: None,
            zero_copy: known.zero_copy,
            nic_ring: known.nic_ring,
            name: link.name,
        };
        Some((snapshot, link.xdp.map(|program| program.id)))
    }
}

impl Known {
    fn of(nics: &Nics, link: &Interface) -> Self {
        let features = nics.xdp_features(link.index).ok();
        let rings = nics.ethtool().rings(&link.name).ok();
        Self {
            name: link.name.clone(),
            driver: nics.driver(link),
            zero_copy: features.map(|features| features.has(XdpFeatures::ZERO_COPY)),
            nic_ring: rings.map(|rings| rings.rx).filter(|&descriptors| descriptors > 0),
            counters: counters(nics, &link.name).ok().flatten(),
        }
    }

    /// The counters may have become others since their names were read: then once more.
    fn queue_packets(&mut self, nics: &Nics) -> Option<Vec<u64>> {
        for _ in 0..2 {
            let (count, counters) = self.counters.as_ref()?;
            match nics.ethtool().stats(&self.name, *count) {
                Ok(stats) if stats.len() == *count => return counters.read(&stats),
                _ => {}
            }
            self.counters = self::counters(nics, &self.name).ok().flatten();
        }
        None
    }
}

fn counters(nics: &Nics, name: &str) -> io::Result<Option<(usize, RxCounters)>> {
    let names = nics.ethtool().stat_names(name)?;
    Ok(RxCounters::of(&names).map(|counters| (names.len(), counters)))
}

#[cfg(test)]
mod tests;
