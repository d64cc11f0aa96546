//! Interfaces and their addresses: RTM_GETLINK and RTM_GETADDR.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope as KernelScope,
};
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use crate::tools::host::model::{Address, AddressScope, Interface, Vlan};

/// IFLA_ALT_IFNAME: the way to ask for names that are too long for IFLA_IFNAME.
const IFLA_ALT_IFNAME: u16 = 53;

pub(super) fn by_name(netlink: &Netlink, name: &str) -> io::Result<Interface> {
    one(netlink, named(name))
}

/// Asks for the interface that has this name, be it an alternative one of any length.
pub(super) fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(if name.len() < libc::IFNAMSIZ {
        LinkAttribute::IfName(name.into())
    } else {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        LinkAttribute::Other(DefaultNla::new(IFLA_ALT_IFNAME, text))
    });
    message
}

pub(super) fn by_index(netlink: &Netlink, index: u32) -> io::Result<Interface> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    one(netlink, message)
}

/// The name alone, without the addresses.
#[cfg(feature = "bpf")]
pub(super) fn name(netlink: &Netlink, index: u32) -> io::Result<String> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let answers = netlink.request(RouteNetlinkMessage::GetLink(message), 0)?;
    let link = answers.into_iter().find_map(link_of);
    Ok(link.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?.name)
}

fn one(netlink: &Netlink, message: LinkMessage) -> io::Result<Interface> {
    let answers = netlink.request(RouteNetlinkMessage::GetLink(message), 0)?;
    let mut interface = answers
        .into_iter()
        .find_map(link_of)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    add_addresses(netlink, std::slice::from_mut(&mut interface))?;
    Ok(interface)
}

pub(super) fn all(netlink: &Netlink) -> io::Result<Vec<Interface>> {
    let answers = netlink.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut interfaces: Vec<_> = answers.into_iter().filter_map(link_of).collect();
    interfaces.sort_by_key(|interface| interface.index);
    add_addresses(netlink, &mut interfaces)?;
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

fn interface_from(message: LinkMessage) -> Interface {
    let header = message.header;
    let mut interface = Interface {
        index: header.index,
        up: header.flags.contains(LinkFlags::Up),
        carrier: header.flags.contains(LinkFlags::LowerUp),
        ..Interface::default()
    };
    let loopback = header.link_layer_type == LinkLayerType::Loopback;
    if loopback {
        interface.kind = "loopback".into();
    }
    let mut parent = 0;
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
            LinkAttribute::Link(index) => parent = index,
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
    interface.vlan = vlan.map(|data| vlan_from(&data, parent));
    interface
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

fn address_from(message: &AddressMessage) -> Option<Address> {
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
}
