//! [`Nics`]: all that a network namespace tells of its interfaces, asked from any thread.

use std::io;

#[cfg(feature = "bpf")]
use super::genl::Family;
#[cfg(feature = "bpf")]
use super::link::{self, Which};
#[cfg(feature = "bpf")]
use super::netdev_family::{self, XdpFeatures};
use super::netlink::Netlink;
use crate::sys::ethtool::{Channels, Ethtool};
use crate::tools::host::model::{Interface, Queues};

/// Sockets of one network namespace, through which its interfaces are asked about.
pub(crate) struct Nics {
    netlink: Netlink,
    ethtool: Ethtool,
    /// `None` before Linux 6.3.
    #[cfg(feature = "bpf")]
    netdev: Option<Family>,
}

impl Nics {
    /// Of the network namespace of the calling thread. Needs no privilege.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            netlink: Netlink::open()?,
            ethtool: Ethtool::open()?,
            #[cfg(feature = "bpf")]
            netdev: Family::open("netdev").ok(),
        })
    }

    /// The socket for questions of other kinds.
    pub(super) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// The name of its driver; for an interface without one, what it is.
    pub(crate) fn driver(&self, link: &Interface) -> Option<String> {
        let driver = self.ethtool.driver(&link.name).ok().map(|driver| driver.name);
        let kind = || Some(link.kind.clone()).filter(|kind| !kind.is_empty());
        driver.filter(|name| !name.is_empty()).or_else(kind)
    }

    /// Queues in use; those that are allocated where the driver does not tell. 0: nobody knows.
    pub(crate) fn queues(&self, link: &Interface) -> Queues {
        let allocated = Queues { rx: link.num_rx_queues, tx: link.num_tx_queues };
        let told = self.ethtool.channels(&link.name).ok().map(used).unwrap_or(allocated);
        let or = |told: u32, allocated| if told > 0 { told } else { allocated };
        Queues { rx: or(told.rx, allocated.rx), tx: or(told.tx, allocated.tx) }
    }
}

fn used(channels: Channels) -> Queues {
    Queues {
        rx: channels.rx.saturating_add(channels.combined),
        tx: channels.tx.saturating_add(channels.combined),
    }
}

#[cfg(feature = "bpf")]
impl Nics {
    /// Whether it takes VLAN tags off packets, as far as its driver tells.
    pub(super) fn strips_tags(&self, link: &Interface) -> bool {
        let features = self.ethtool.features(&link.name).ok();
        features.and_then(|features| features.get("rx-vlan-hw-parse")) == Some(true)
    }

    /// The interface with that index, without its addresses.
    pub(crate) fn link(&self, index: u32) -> io::Result<Interface> {
        link::bare(&self.netlink, Which::Index(index))
    }

    /// The interface of that name, or alternative name, without its addresses.
    pub(crate) fn link_named(&self, name: &str) -> io::Result<Interface> {
        link::bare(&self.netlink, Which::Name(name))
    }

    /// All interfaces without their addresses, by index.
    pub(crate) fn links(&self) -> io::Result<Vec<Interface>> {
        link::all_bare(&self.netlink)
    }

    /// What the driver says.
    pub(crate) fn ethtool(&self) -> &Ethtool {
        &self.ethtool
    }

    /// What its XDP can do. ENOENT before Linux 6.3.
    pub(crate) fn xdp_features(&self, index: u32) -> io::Result<XdpFeatures> {
        let netdev = self.netdev.as_ref();
        let netdev = netdev.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        netdev_family::features(netdev, index)
    }

    /// RX queues in use.
    pub(crate) fn rx_queues(&self, link: &Interface) -> Option<u32> {
        Some(self.queues(link).rx).filter(|&count| count > 0)
    }

    /// TX queues in use, where the driver tells.
    pub(crate) fn tx_queues(&self, link: &Interface) -> Option<u32> {
        let told = self.ethtool.channels(&link.name).ok().map(used)?;
        Some(told.tx).filter(|&count| count > 0)
    }
}
