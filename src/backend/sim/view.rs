//! What can be seen of the simulated machine from outside: its interfaces and its sockets.

use super::port::Port;
use super::{Simulator, Troubles};
use crate::backend::Filter;
use crate::error::Result;
use crate::proto::MacAddr;
use crate::snapshot::{Owner, SocketSnapshot, SocketState, XskMapSlot};
use std::net::IpAddr;

/// Command that has all sockets: as long as there is a process, it is ours.
const COMMAND: &str = "sim-app";
/// Descriptor of the first socket, behind the standard ones.
const FIRST_FD: i32 = 3;
/// Inode number of the first socket.
const FIRST_INODE: u64 = 1001;
/// Id and name of the XDP program of a port with a filter.
const PROGRAM: (u32, &str) = (1, "redirect");

/// What the machine knows about one of its interfaces. Counters count from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Name.
    pub name: String,
    /// Interface index, from 1.
    pub ifindex: u32,
    /// Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet.
    pub mtu: u32,
    /// RX queues.
    pub queues: u32,
    /// TX queues: RX queues from this number on only receive.
    pub tx_queues: u32,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Those of them that are tentative: duplicate address detection has not ended.
    pub tentative: Vec<IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it has a link.
    pub carrier: bool,
    /// How often the link went or came.
    pub carrier_changes: u64,
    /// Packets received by each RX queue, with a socket or without.
    pub queue_rx_packets: Vec<u64>,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Id and name of the XDP program, where one is attached.
    pub xdp_program: Option<(u32, String)>,
    /// Whether the driver says that it has zero-copy.
    pub claims_zero_copy: bool,
    /// Descriptors in each of the NIC's own rings.
    pub nic_ring: Option<u32>,
    /// What is wrong with it.
    pub troubles: Troubles,
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

fn info(port: &Port, carrier: bool, now: u64) -> PortInfo {
    let queue_rx_packets = port.queue_rx.clone();
    PortInfo {
        name: port.name.clone(),
        ifindex: port.ifindex,
        mac: port.mac,
        mtu: port.mtu,
        queues: port.queues(),
        tx_queues: port.tx_queues,
        addresses: port.addresses.clone(),
        tentative: port.tentative.iter().filter(|own| now < own.1).map(|own| own.0).collect(),
        up: port.up,
        carrier: port.up && carrier,
        carrier_changes: port.link_moves + port.troubles.link_changes(now),
        rx_packets: queue_rx_packets.iter().sum(),
        queue_rx_packets,
        tx_packets: port.tx_packets,
        xdp_program: (port.filter != Filter::Nothing && !port.is_detached(now))
            .then(|| (PROGRAM.0, PROGRAM.1.to_owned())),
        claims_zero_copy: port.claims_zero_copy,
        nic_ring: Some(port.troubles.nic_ring()),
        troubles: port.troubles,
    }
}

impl Simulator {
    /// The interface of this name.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<PortInfo> {
        self.ports().into_iter().find(|port| port.name == name)
    }

    /// All interfaces.
    #[must_use]
    pub fn ports(&self) -> Vec<PortInfo> {
        let world = self.shared.enter();
        let now = world.now();
        let here = world.ports().filter(|(_, port)| !port.is_gone(now));
        here.map(|(at, port)| info(port, world.carrier(at), now)).collect()
    }

    /// All sockets, as the simulated kernel sees them. This process has them all.
    #[must_use]
    pub fn sockets(&self) -> Vec<SocketSnapshot> {
        let world = self.shared.enter();
        let all = || {
            world.ports().flat_map(|(_, port)| {
                let sockets = port.sockets.iter().zip(0..);
                sockets.filter_map(move |(socket, queue)| Some((port, queue, socket.as_ref()?)))
            })
        };
        let seen = all().map(|(port, queue, socket)| {
            let (inode, umem) = (socket.numbers.inode, socket.numbers.umem);
            let sharing = all().filter(|(_, _, other)| other.numbers.umem == umem).count();
            let (now, gone) = (world.now(), port.is_gone(world.now()));
            let redirected_to = port.filter != Filter::Nothing && socket.receives() && !gone;
            let slot = XskMapSlot { map: port.ifindex, key: queue };
            let snapshot = socket.snapshot(sharing as u32);
            SocketSnapshot {
                time_ns: now,
                inode: Some(FIRST_INODE + inode),
                owners: vec![Owner {
                    pid: std::process::id(),
                    fd: FIRST_FD + inode as i32,
                    comm: COMMAND.to_owned(),
                }],
                state: if gone { SocketState::Unbound } else { snapshot.state },
                interface: (!gone).then(|| port.name.clone()),
                ifindex: (!gone).then_some(port.ifindex),
                queue: (!gone).then_some(queue),
                xskmaps: Some(if redirected_to { vec![slot] } else { Vec::new() }),
                ..snapshot
            }
        });
        seen.collect()
    }

    /// The Ethernet address of a neighbour on the link, as the kernel's ARP or neighbour
    /// discovery would find it.
    #[must_use]
    pub fn neighbour(&self, port: &str, address: IpAddr) -> Option<MacAddr> {
        let known = |port: &mut Port, _| port.neighbours.get(&address).map(|found| found.known);
        self.with_port(port, known).ok().flatten()
    }

    /// Makes the kernel ask a neighbour that it knows whether it is still there. One that moved
    /// without telling is not: after three questions a second apart the kernel knows that, and
    /// [`Simulator::neighbour`] has the new Ethernet address.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn confirm_neighbour(&self, port: &str, address: IpAddr) -> Result<()> {
        let mut world = self.shared.enter();
        let at = Self::find(&world, port)?;
        world.ask_neighbour(at, address);
        Ok(())
    }

    /// What the kernel told from number `from` on about neighbours and routes.
    #[cfg(feature = "tools")]
    pub(crate) fn noted(&self, from: usize) -> Vec<super::Noted> {
        let world = self.shared.enter();
        world.noted.get(from..).map(<[_]>::to_vec).unwrap_or_default()
    }

    /// The addresses of the node of this name, IPv4 ones first. A name of the default network is
    /// taken without its `.sim` too.
    #[must_use]
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let same = |own: &str| {
            let short = own.strip_suffix(".sim").unwrap_or(own);
            own.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
        };
        let world = self.shared.lock();
        let named = world.names.iter().filter(|(_, own)| same(own));
        let mut all: Vec<_> = named.map(|(address, _)| *address).collect();
        all.sort_unstable();
        all
    }

    /// The names of all nodes.
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        let mut all: Vec<_> = self.shared.lock().names.values().cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The name of the node that has this address, where its network gives it one.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        self.shared.lock().names.get(&address).cloned()
    }
}
