//! Interfaces and their addresses: RTM_GETLINK and RTM_GETADDR.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope as KernelScope,
};
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
    XdpAttached,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use crate::tools::host::model::{
    Address, AddressScope, Device, Interface, Vlan, XdpHook, XdpProgram,
};

/// IFLA_ALT_IFNAME: the way to ask for names that are too long for IFLA_IFNAME.
const IFLA_ALT_IFNAME: u16 = 53;

/// How an interface is asked for.
#[derive(Clone, Copy)]
pub(super) enum Which<'a> {
    /// By its name, or an alternative one.
    Name(&'a str),
    Index(u32),
}

impl Which<'_> {
    fn message(self) -> LinkMessage {
        let mut message = LinkMessage::default();
        match self {
            Which::Index(index) => message.header.index = index,
            Which::Name(name) if name.len() < libc::IFNAMSIZ => {
                message.attributes.push(LinkAttribute::IfName(name.into()));
            }
            Which::Name(name) => {
                let mut text = name.as_bytes().to_vec();
                text.push(0);
                let name = DefaultNla::new(IFLA_ALT_IFNAME, text);
                message.attributes.push(LinkAttribute::Other(name));
            }
        }
        message
    }
}

/// An interface with its addresses.
pub(super) fn whole(netlink: &Netlink, which: Which<'_>) -> io::Result<Interface> {
    let mut interface = bare(netlink, which)?;
    add_addresses(netlink, std::slice::from_mut(&mut interface))?;
    Ok(interface)
}

/// An interface without its addresses, for which the kernel would list those of all.
pub(super) fn bare(netlink: &Netlink, which: Which<'_>) -> io::Result<Interface> {
    let answers = netlink.request(RouteNetlinkMessage::GetLink(which.message()), 0)?;
    let found = answers.into_iter().find_map(link_of);
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// All interfaces, by index.
pub(super) fn all(netlink: &Netlink) -> io::Result<Vec<Interface>> {
    let mut interfaces = all_bare(netlink)?;
    add_addresses(netlink, &mut interfaces)?;
    Ok(interfaces)
}

/// All interfaces without their addresses, by index.
pub(super) fn all_bare(netlink: &Netlink) -> io::Result<Vec<Interface>> {
    let answers = netlink.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut interfaces: Vec<_> = answers.into_iter().filter_map(link_of).collect();
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Fills in the addresses of `interfaces`, which are sorted by index.
fn add_addresses(netlink: &Netlink, interfaces: &mut [Interface]) -> io::Result<()> {
    for answer in netlink.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        let index = message.header.index;
        let Ok(at) = interfaces.binary_search_by_key(&index, |interface| interface.index) else {
            continue;
        };
        if let Some(interface) = interfaces.get_mut(at) {
            interface.addresses.extend(address_from(&message));
        }
    }
    Ok(())
}

fn link_of(answer: RouteNetlinkMessage) -> Option<Interface> {
    match answer {
        RouteNetlinkMessage::NewLink(message) => Some(interface_from(message)),
        _ => None,
    }
}

/// What RTM_NEWLINK says: all but the addresses.
pub(super) fn interface_from(message: LinkMessage) -> Interface {
    let header = message.header;
    let mut interface = Interface {
        index: header.index,
        up: header.flags.contains(LinkFlags::Up),
        // Without RUNNING the kernel knows of the carrier and has not acted on it yet: what it sends
        // itself is dropped, and IPv6 has no addresses.
        carrier: header.flags.contains(LinkFlags::LowerUp | LinkFlags::Running),
        ..Interface::default()
    };
    let loopback = header.link_layer_type == LinkLayerType::Loopback;
    if loopback {
        interface.kind = "loopback".into();
    }
    let (mut lower, mut elsewhere) = (None, false);
    let (mut device, mut bus) = (None, None);
    let mut vlan = None;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Address(bytes)
                if loopback || header.link_layer_type == LinkLayerType::Ether =>
            {
                interface.mac = bytes.try_into().ok();
            }
            LinkAttribute::CarrierChanges(count) => interface.carrier_changes = Some(count),
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::Controller(index) => interface.master = Some(index),
            LinkAttribute::NumRxQueues(count) => interface.num_rx_queues = count,
            LinkAttribute::NumTxQueues(count) => interface.num_tx_queues = count,
            LinkAttribute::Link(index) => lower = Some(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::ParentDevName(name) => device = Some(name),
            LinkAttribute::ParentDevBusName(name) => bus = Some(name),
            LinkAttribute::Xdp(xdp) => interface.xdp = xdp_from(&xdp),
            LinkAttribute::Stats64(stats) => {
                interface.packets = Some((stats.rx_packets, stats.tx_packets));
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => interface.kind = kind.to_string(),
                        LinkInfo::Data(InfoData::Vlan(data)) => vlan = Some(data),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    interface.vlan = vlan.map(|data| vlan_from(&data, lower.unwrap_or(0)));
    interface.lower = lower.filter(|_| !elsewhere);
    interface.device = device.zip(bus).map(|(name, bus)| Device { name, bus });
    interface
}

fn xdp_from(attributes: &[LinkXdp]) -> Option<XdpProgram> {
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
    Some(XdpProgram { id, hook: hook? }).filter(|program| program.id != 0)
}

fn vlan_from(data: &[InfoVlan], parent: u32) -> Vlan {
    let mut vlan = Vlan { id: 0, parent, protocol: 0x8100 };
    for attribute in data {
        match attribute {
            InfoVlan::Id(id) => vlan.id = *id,
            InfoVlan::Protocol(protocol) => vlan.protocol = *protocol as u16,
            _ => {}
        }
    }
    vlan
}

pub(super) fn address_from(message: &AddressMessage) -> Option<Address> {
    let header = &message.header;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
    let (mut local, mut address): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link, "address" is the peer's and "local" ours.
            AddressAttribute::Local(addr) => local = Some(*addr),
            AddressAttribute::Address(addr) => address = Some(*addr),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // An optimistic address is used although its detection still runs (RFC 4429).
    let optimistic = flags.contains(AddressFlags::Optimistic);
    Some(Address {
        addr: local.or(address)?,
        prefix_len: header.prefix_len,
        scope: match header.scope {
            KernelScope::Site => AddressScope::Site,
            KernelScope::Link => AddressScope::Link,
            KernelScope::Host | KernelScope::Nowhere => AddressScope::Host,
            _ => AddressScope::Global,
        },
        tentative: flags.contains(AddressFlags::Tentative) && !optimistic,
        deprecated: flags.contains(AddressFlags::Deprecated),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // 8021q is not in every kernel, so this case is made up here.
    #[test]
    fn a_vlan_interface_tells_its_tag_and_parent() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes = vec![
            LinkAttribute::IfName("eth0.5".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(netlink_packet_route::link::InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![
                    InfoVlan::Id(5),
                    InfoVlan::Protocol(netlink_packet_route::link::VlanProtocol::Ieee8021Ad),
                ])),
            ]),
            LinkAttribute::Link(3),
        ];
        let interface = interface_from(message);
        assert_eq!(interface.kind, "vlan");
        assert_eq!(interface.mac, Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(interface.vlan, Some(Vlan { id: 5, parent: 3, protocol: 0x88a8 }));
    }

    #[test]
    fn a_tunnel_has_no_ethernet_address() {
        let mut message = LinkMessage::default();
        message.header.link_layer_type = LinkLayerType::None;
        message.attributes = vec![LinkAttribute::Address(vec![1, 2, 3, 4, 5, 6])];
        assert_eq!(interface_from(message).mac, None);
    }

    #[test]
    fn a_link_message_tells_program_device_and_carrier() {
        let mut message = LinkMessage::default();
        message.header.index = 4;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName("eth1".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::CarrierChanges(3),
            LinkAttribute::Xdp(vec![
                LinkXdp::Attached(XdpAttached::SocketBuffer),
                LinkXdp::ProgId(17),
                LinkXdp::SkbProgId(17),
            ]),
            LinkAttribute::ParentDevName("0000:3b:00.0".into()),
            LinkAttribute::ParentDevBusName("pci".into()),
        ];
        let link = interface_from(message);
        assert_eq!((link.up, link.carrier, link.carrier_changes), (true, false, Some(3)));
        assert_eq!(link.xdp, Some(XdpProgram { id: 17, hook: XdpHook::Skb }));
        let device = Device { name: "0000:3b:00.0".into(), bus: "pci".into() };
        assert_eq!(link.device, Some(device));
        assert!(link.is_ethernet() && !link.is_loopback());
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
        assert_eq!(xdp_from(&several), Some(XdpProgram { id: 6, hook: XdpHook::Several }));
    }
}
