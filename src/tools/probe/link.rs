//! [`Link`]: the interface that probes leave by, and what stands in front of each packet there.

use crate::backend::VlanMatch;
use crate::error::{FluxError, Result};
use crate::proto::vlan::TAG_LEN;
use crate::proto::{ETHERNET_LEN, EtherType, EthernetRepr, MacAddr, Tag};
use crate::tools::host::{Cause, Host, HostError, Interface, Vlan};
use std::net::IpAddr;

/// A VLAN tag for every probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub priority: u8,
}

/// An interface that probes leave by.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The interface with the addresses: a VLAN interface, or the device itself.
    pub(crate) interface: Interface,
    /// The device that the sockets are bound to.
    pub(crate) device: String,
    /// Its index, which stays when it is renamed.
    pub(crate) device_index: u32,
    /// Our Ethernet address.
    pub(crate) mac: MacAddr,
    /// Outermost first.
    pub(crate) tags: Vec<Tag>,
}

impl Link {
    /// Whether the interface has an address of this one's family.
    pub(crate) fn has_family(&self, address: IpAddr) -> bool {
        let mut own = self.interface.addresses.iter();
        own.any(|own| own.is_usable() && own.addr.is_ipv4() == address.is_ipv4())
    }

    /// Length of what stands in front of a packet.
    pub(crate) fn header_len(&self) -> usize {
        ETHERNET_LEN + self.tags.len() * TAG_LEN
    }

    /// Whether frames on it, or names, are other ones than on `other`, which is the same interface.
    pub(super) fn differs(&self, other: &Link) -> bool {
        let frames = |link: &Link| (link.mac, link.device_index, link.tags.clone());
        let names = |link: &Link| (link.device.clone(), link.interface.name.clone());
        frames(self) != frames(other) || names(self) != names(other)
    }

    /// The VLAN that answers are in, since probes are; `None` where the device takes tags off before
    /// anybody sees them.
    pub(crate) fn vlan(&self, host: &dyn Host) -> Option<VlanMatch> {
        let seen = self.tags.is_empty() || !host.strips_tags(&self.device);
        seen.then(|| VlanMatch::of(&self.tags))
    }

    /// Writes the Ethernet header and the tags in front of a packet; returns their length.
    pub(crate) fn emit(
        &self,
        next_hop: MacAddr,
        ether_type: EtherType,
        to: &mut [u8],
    ) -> Option<usize> {
        let first = self.tags.first().map_or(ether_type, |tag| tag.tpid);
        EthernetRepr { dst: next_hop, src: self.mac, ether_type: first }.emit(to)?;
        let mut end = ETHERNET_LEN;
        for (at, tag) in self.tags.iter().enumerate() {
            let next = self.tags.get(at + 1).map_or(ether_type, |tag| tag.tpid);
            let (slot, next) = (to.get_mut(end..end + TAG_LEN)?, next.0.to_be_bytes());
            let tci = tag.tci.to_be_bytes();
            slot.copy_from_slice(&[tci[0], tci[1], next[0], next[1]]);
            end += TAG_LEN;
        }
        Some(end)
    }

    /// The tag of a VLAN interface.
    pub(super) fn tag(vlan: Vlan) -> Tag {
        Tag { tpid: EtherType(vlan.protocol), tci: vlan.id & 0xfff }
    }

    /// The device below an interface, and the tags between the two.
    /// `vlan` is a tag besides those.
    pub(crate) fn find(
        interface: Interface,
        vlan: Option<VlanTag>,
        all: &[Interface],
    ) -> Result<Self> {
        check_up(&interface)?;
        let mac = interface
            .mac
            .ok_or_else(|| HostError::new("use interface", &interface.name, Cause::NotEthernet))?;
        let mut tags = Vec::new();
        let mut device = &interface;
        while let Some(vlan) = device.vlan {
            tags.insert(0, Self::tag(vlan));
            device = all.iter().find(|i| i.index == vlan.parent).ok_or_else(|| {
                let object = format!("with index {}, below {}", vlan.parent, device.name);
                HostError::new("find interface", object, Cause::NoSuchInterface)
            })?;
            check_up(device)?;
            // Two tags are what networks stack and what the XDP program reads.
            if tags.len() == 2 {
                break;
            }
        }
        if let Some(tag) = vlan {
            let tci = u16::from(tag.priority) << 13 | tag.id;
            tags.push(Tag { tpid: EtherType::VLAN, tci });
        }
        if tags.len() > 2 || device.vlan.is_some() {
            return Err(FluxError::config(
                format!("interface {}", interface.name),
                "would need more than two VLAN tags",
            ));
        }
        let (device, device_index) = (device.name.clone(), device.index);
        Ok(Self { device, device_index, mac: MacAddr(mac), tags, interface })
    }
}

/// Refuses an interface that packets cannot pass now.
pub(crate) fn check_up(interface: &Interface) -> Result<()> {
    let refuse = |cause| Err(HostError::new("use interface", &interface.name, cause).into());
    if !interface.up {
        return refuse(Cause::InterfaceDown);
    }
    if !interface.carrier {
        return refuse(Cause::NoCarrier);
    }
    Ok(())
}
