//! [`Observer`]: who can look at sockets and interfaces, on the real kernel or a simulated one.

use crate::error::Result;
use crate::snapshot::{SocketSnapshot, Source};
use std::time::Duration;

/// One interface on the machine, whatever namespace it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceKey {
    /// Inode number of the network namespace; `None` where there is only one.
    pub netns: Option<u32>,
    /// Index in it.
    pub ifindex: u32,
}

impl InterfaceKey {
    /// Where `socket` is bound.
    #[must_use]
    pub fn of(socket: &SocketSnapshot) -> Option<Self> {
        Some(Self { netns: socket.netns, ifindex: socket.ifindex? })
    }
}

/// Stands for the name of an XDP program that has none, or does not show it.
pub(super) const NO_NAME: &str = "no name";

/// An interface at one moment. Counters count from when it was made; `None` is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceSnapshot {
    /// When it was looked at: ns of the clock of [`SocketSnapshot::time_ns`].
    pub time_ns: u64,
    /// Which one.
    pub key: InterfaceKey,
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: Option<String>,
    /// Administratively up.
    pub up: bool,
    /// Has a link.
    pub carrier: bool,
    /// How often the link came or went.
    pub carrier_changes: Option<u64>,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// RX queues.
    pub queues: Option<u32>,
    /// TX queues: RX queues from this number on only receive.
    pub tx_queues: Option<u32>,
    /// Packets received, over all queues.
    pub rx_packets: Option<u64>,
    /// Packets sent, over all queues.
    pub tx_packets: Option<u64>,
    /// Packets received by each RX queue, where the driver counts them.
    pub queue_rx_packets: Option<Vec<u64>>,
    /// Id and name of the XDP program that is attached.
    pub xdp: Option<(u32, String)>,
    /// Whether the driver says that it has AF_XDP zero-copy.
    pub zero_copy: Option<bool>,
    /// Descriptors in each of the NIC's own RX rings (`ethtool -g`).
    pub nic_ring: Option<u32>,
}

/// What one look at the sockets of a machine brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// When: ns of the clock of [`SocketSnapshot::time_ns`].
    pub time_ns: u64,
    /// Each socket once.
    pub sockets: Vec<SocketSnapshot>,
    /// Why there may be more than these: processes that could not be looked into.
    pub missing: Vec<Missing>,
}

/// Why there may be more sockets than a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// In words.
    pub text: String,
    /// Where those are that it did not find.
    pub unseen: Unseen,
}

/// Where sockets can be that a look does not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// In these processes, which may not be looked into.
    Processes(Vec<u32>),
    /// In another network namespace than ours, which may not be entered.
    Namespace,
    /// In processes or on interfaces that are not known.
    Anywhere,
    /// In a pid namespace around ours: rights in here do not help, and few share their interfaces.
    Outside,
}

/// How time passes on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// By itself.
    Machine,
    /// As on the clock, and its applications run in [`Observer::advance`] alone.
    Realtime,
    /// In [`Observer::advance`] alone.
    Virtual,
}

/// Who can look at the AF_XDP sockets of a machine. When it does is the caller's.
pub trait Observer {
    /// How it looks.
    fn source(&self) -> Source;

    /// Why no better source is used, in words.
    fn notes(&self) -> Vec<String>;

    /// The interface of this name in our own network namespace.
    ///
    /// # Errors
    /// When there is none.
    fn find(&mut self, name: &str) -> Result<InterfaceKey>;

    /// All AF_XDP sockets of the machine, those in other network namespaces included.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn sockets(&mut self) -> Result<Scan>;

    /// One interface; `None` when it is gone, or in a namespace that we may not enter.
    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot>;

    /// The name of a network namespace, as `ip netns` has it; `None` where it has none.
    fn namespace(&mut self, _inode: u32) -> Option<String> {
        None
    }

    /// How time passes there.
    fn clock(&self) -> Clock;

    /// Lets a simulated machine run for this time: at once where time is virtual, and as long where it
    /// follows the clock, or less when a signal comes. A real machine needs nobody for that.
    ///
    /// # Errors
    /// When the simulated run cannot go on.
    fn advance(&mut self, time: Duration) -> Result<()>;
}
