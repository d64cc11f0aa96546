//! [`Nics`]: all that a network namespace tells of its interfaces, asked from any thread.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

use super::genl::Family;
use super::netdev_family::{self, XdpFeatures};
use super::netlink::Netlink;
use crate::sys::ethtool::Ethtool;

/// Where an XDP program hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XdpHook {
    /// In the driver.
    Native,
    /// In the stack, before all else.
    Skb,
    /// In the device.
    Hardware,
    /// In more than one place.
    Several,
}

impl XdpHook {
    /// As `--attach` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            XdpHook::Native => "native",
            XdpHook::Skb => "skb",
            XdpHook::Hardware => "hardware",
            XdpHook::Several => "several",
        }
    }
}

/// An interface as RTM_NEWLINK tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Index in its namespace.
    pub(crate) index: u32,
    /// Name.
    pub(crate) name: String,
    /// What it is (`veth`, `bridge`); empty for a device with a driver of its own.
    pub(crate) kind: String,
    /// Whether frames on it are Ethernet frames.
    pub(crate) ethernet: bool,
    /// Whether it is the loopback interface.
    pub(crate) loopback: bool,
    /// Administratively up.
    pub(crate) up: bool,
    /// Has a link.
    pub(crate) carrier: bool,
    /// How often the link came or went.
    pub(crate) carrier_changes: Option<u64>,
    /// Largest IP packet, bytes.
    pub(crate) mtu: u32,
    /// RX queues that were made; as many as are used, or more.
    pub(crate) rx_queues: Option<u32>,
    /// Packets received and sent.
    pub(crate) packets: Option<(u64, u64)>,
    /// The XDP program that is attached, and where.
    pub(crate) xdp: Option<(u32, XdpHook)>,
    /// Index of the other end of a veth pair, or of the interface below, where that is in the same
    /// namespace.
    pub(crate) peer: Option<u32>,
    /// The device behind it (`0000:3b:00.0`), and its bus (`pci`).
    pub(crate) parent: Option<(String, String)>,
}

/// Sockets of one network namespace, through which its interfaces are asked about.
pub(crate) struct Nics {
    netlink: Netlink,
    ethtool: Ethtool,
    /// `None` before Linux 6.3.
    netdev: Option<Family>,
}

impl Nics {
    /// Of the network namespace of the calling thread. Needs no privilege.
    pub(crate) fn open() -> io::Result<Self> {
        let netdev = Family::open("netdev").ok();
        Ok(Self { netlink: Netlink::open()?, ethtool: Ethtool::open()?, netdev })
    }

    /// The interface with that index.
    pub(crate) fn link(&self, index: u32) -> io::Result<Link> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.one(message)
    }

    /// The interface of that name.
    pub(crate) fn link_named(&self, name: &str) -> io::Result<Link> {
        self.one(super::link::named(name))
    }

    fn one(&self, message: LinkMessage) -> io::Result<Link> {
        let answers = self.netlink.request(RouteNetlinkMessage::GetLink(message), 0)?;
        let link = answers.into_iter().find_map(link_of);
        link.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// All interfaces, by index.
    pub(crate) fn links(&self) -> io::Result<Vec<Link>> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut links: Vec<_> = self.netlink.dump(&all)?.into_iter().filter_map(link_of).collect();
        links.sort_by_key(|link| link.index);
        Ok(links)
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

    /// The name of its driver; for an interface without one, what it is.
    pub(crate) fn driver(&self, link: &Link) -> Option<String> {
        let driver = self.ethtool.driver(&link.name).ok().map(|driver| driver.name);
        let kind = || Some(link.kind.clone()).filter(|kind| !kind.is_empty());
        driver.filter(|name| !name.is_empty()).or_else(kind)
    }

    /// RX queues in use.
    pub(crate) fn rx_queues(&self, link: &Link) -> Option<u32> {
        match self.ethtool.channels(&link.name) {
            Ok(channels) if channels.rx.saturating_add(channels.combined) > 0 => {
                Some(channels.rx.saturating_add(channels.combined))
            }
            _ => link.rx_queues,
        }
    }

    /// TX queues in use, where the driver tells. (Those that were made may be more.)
    pub(crate) fn tx_queues(&self, link: &Link) -> Option<u32> {
        let channels = self.ethtool.channels(&link.name).ok()?;
        Some(channels.tx.saturating_add(channels.combined)).filter(|&count| count > 0)
    }
}

fn link_of(answer: RouteNetlinkMessage) -> Option<Link> {
    match answer {
        RouteNetlinkMessage::NewLink(message) => Some(link_from(message)),
        _ => None,
    }
}

fn link_from(message: LinkMessage) -> Link {
    let header = message.header;
    let mut link = Link {
        index: header.index,
        ethernet: header.link_layer_type == LinkLayerType::Ether,
        loopback: header.link_layer_type == LinkLayerType::Loopback,
        up: header.flags.contains(LinkFlags::Up),
        carrier: header.flags.contains(LinkFlags::LowerUp),
        ..Link::default()
    };
    let (mut device, mut bus) = (None, None);
    let mut elsewhere = false;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::NumRxQueues(count) => link.rx_queues = Some(count),
            LinkAttribute::CarrierChanges(count) => link.carrier_changes = Some(count.into()),
            LinkAttribute::Stats64(stats) => {
                link.packets = Some((stats.rx_packets, stats.tx_packets));
            }
            LinkAttribute::Xdp(xdp) => link.xdp = xdp_from(&xdp),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::ParentDevName(name) => device = Some(name),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    link.parent = device.zip(bus);
    link.peer = link.peer.filter(|_| !elsewhere);
    link
}

fn xdp_from(attributes: &[LinkXdp]) -> Option<(u32, XdpHook)> {
    let mut hook = None;
    let mut id = 0;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => hook = Some(XdpHook::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => hook = Some(XdpHook::Skb),
            LinkXdp::Attached(XdpAttached::Hardware) => hook = Some(XdpHook::Hardware),
            LinkXdp::Attached(XdpAttached::Multiple) => hook = Some(XdpHook::Several),
            // Where there are several, the driver's is the one that sees the packets first.
            LinkXdp::DrvProgId(number) => id = *number,
            LinkXdp::ProgId(number) | LinkXdp::SkbProgId(number) | LinkXdp::HwProgId(number)
                if id == 0 =>
            {
                id = *number;
            }
            _ => {}
        }
    }
    Some((id, hook?)).filter(|(id, _)| *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_message_tells_program_counters_and_carrier() {
        let mut message = LinkMessage::default();
        message.header.index = 4;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName("eth1".into()),
            LinkAttribute::CarrierChanges(3),
            LinkAttribute::Xdp(vec![
                LinkXdp::Attached(XdpAttached::SocketBuffer),
                LinkXdp::ProgId(17),
                LinkXdp::SkbProgId(17),
            ]),
            LinkAttribute::ParentDevName("0000:3b:00.0".into()),
            LinkAttribute::ParentDevBusName("pci".into()),
        ];
        let link = link_from(message);
        assert_eq!((link.up, link.carrier, link.carrier_changes), (true, false, Some(3)));
        assert_eq!(link.xdp, Some((17, XdpHook::Skb)));
        assert_eq!(link.parent, Some(("0000:3b:00.0".into(), "pci".into())));
        assert!(link.ethernet && !link.loopback);
    }

    #[test]
    fn where_nothing_is_attached_there_is_no_program() {
        assert_eq!(xdp_from(&[LinkXdp::Attached(XdpAttached::None)]), None);
        assert_eq!(xdp_from(&[]), None);
        let several = [
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::SkbProgId(5),
            LinkXdp::DrvProgId(6),
        ];
        assert_eq!(xdp_from(&several), Some((6, XdpHook::Several)));
    }
}
