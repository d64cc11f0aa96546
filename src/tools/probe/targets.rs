//! Where the probes go: every target resolved and routed, and the one interface they share.

use crate::error::{ErrorKind, FluxError, Result};
use crate::proto::vlan::TAG_LEN;
use crate::proto::{ETHERNET_LEN, EtherType, EthernetRepr, IPV4_LEN, IPV6_LEN, MacAddr, Tag};
use crate::tools::host::{Cause, Family, Host, HostError, Interface, RouteKind, Target};
use std::collections::HashMap;
use std::net::IpAddr;

/// A VLAN tag for every probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub priority: u8,
}

/// Where a run wants to go, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRequest<'a> {
    /// Names or addresses, as given.
    pub(crate) targets: &'a [String],
    /// Which family names may resolve to.
    pub(crate) family: Family,
    /// The interface, or the source address, after `-I`.
    pub(crate) interface: Option<&'a str>,
    /// The source address.
    pub(crate) source: Option<IpAddr>,
    /// A VLAN tag, besides the one of a VLAN interface.
    pub(crate) vlan: Option<VlanTag>,
}

/// The interface that all probes leave by.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The interface with the addresses: a VLAN interface, or the device itself.
    pub(crate) interface: Interface,
    /// The device that the sockets are bound to.
    pub(crate) device: String,
    /// Our Ethernet address.
    pub(crate) mac: MacAddr,
    /// Outermost first.
    pub(crate) tags: Vec<Tag>,
}

/// Where the probes to one target go.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// As given.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) source: IpAddr,
    pub(crate) gateway: Option<IpAddr>,
    /// Position of the next hop in [`ProbeTargets::hops`].
    pub(crate) hop: usize,
    /// Answers come from anybody.
    pub(crate) multicast: bool,
    /// Tells apart what address and sequence number do not: the copies of a target that is given
    /// twice, and groups, whose answers come from addresses of their own.
    pub(crate) slot: u16,
}

/// All targets of a run.
#[derive(Clone, Debug)]
pub(crate) struct ProbeTargets {
    pub(crate) link: Link,
    pub(crate) paths: Vec<Path>,
    /// Every next hop once.
    pub(crate) hops: Vec<IpAddr>,
    /// How many slots the paths use.
    pub(crate) slots: u16,
}

/// Most slots: what remains of 16 bits of identifier.
const MAX_SLOTS: u16 = 1024;

impl ProbeTargets {
    /// Resolves and routes the targets of a plan.
    pub(crate) fn find(wish: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let asked = SourceChoice::of(wish, host)?;
        let mut found = Vec::with_capacity(wish.targets.len());
        for name in wish.targets {
            found.push(asked.route(name, wish, host)?);
        }
        let first = asked.interface.as_ref().map(|i| i.index).or(found.first().map(|f| f.ifindex));
        let index = first.unwrap_or_default();
        let interfaces = host.interfaces()?;
        let by_index = |index: u32| interfaces.iter().find(|i| i.index == index);
        let name_of = |index: u32| match by_index(index) {
            Some(interface) => interface.name.clone(),
            None => format!("interface {index}"),
        };
        if let Some(other) = found.iter().find(|f| f.ifindex != index) {
            let (theirs, ours) = (name_of(other.ifindex), name_of(index));
            return Err(FluxError::config(
                format!("target {}", other.name),
                format!("leaves by {theirs}, the others by {ours}: one run uses one interface"),
            )
            .with_hint(format!("name it in a run of its own, or force -I {ours}")));
        }
        let interface = by_index(index).cloned().ok_or_else(|| {
            HostError::new("find interface", format!("with index {index}"), Cause::NoSuchInterface)
        })?;
        let link = Link::find(interface, wish, &interfaces)?;
        // Unnumbered links borrow an address, but a route to an interface that was named may be
        // the kernel's last resort: nobody there would know the way back.
        if asked.interface.is_some()
            && let Some(target) = found.iter().find(|target| !link.has_family(target.address))
        {
            return Err(no_source(target, &link));
        }
        let mut journey = Self::assemble(link, found)?;
        journey.paths.shrink_to_fit();
        Ok(journey)
    }

    fn assemble(link: Link, found: Vec<ResolvedTarget>) -> Result<Self> {
        let mut copies: HashMap<IpAddr, u16> = HashMap::new();
        let mut hop_at: HashMap<IpAddr, usize> = HashMap::new();
        let (mut hops, mut paths) = (Vec::new(), Vec::with_capacity(found.len()));
        let (mut groups, mut most) = (0_u16, 1_u16);
        for target in found {
            if link.interface.is_broadcast(target.address) {
                return Err(broadcast(&target.name));
            }
            let source = target.source.ok_or_else(|| no_source(&target, &link))?;
            let multicast = target.address.is_multicast();
            let slot = if multicast {
                groups = groups.saturating_add(1);
                groups - 1
            } else {
                let copy = copies.entry(target.address).or_insert(0);
                *copy = copy.saturating_add(1);
                most = most.max(*copy);
                *copy - 1
            };
            let next = target.gateway.unwrap_or(target.address);
            let hop = *hop_at.entry(next).or_insert_with(|| {
                hops.push(next);
                hops.len() - 1
            });
            paths.push(Path {
                name: target.name,
                address: target.address,
                source,
                gateway: target.gateway,
                hop,
                multicast,
                slot,
            });
        }
        if groups.saturating_add(most) > MAX_SLOTS {
            return Err(FluxError::config(
                format!("{} groups and {most} copies of a target", groups),
                format!("must be at most {MAX_SLOTS} together"),
            ));
        }
        // Behind the slots of single hosts, which answers from them use alone.
        paths.iter_mut().filter(|p| p.multicast).for_each(|path| path.slot += most);
        Ok(Self { link, paths, hops, slots: groups + most })
    }

    /// Length of the IP packet in a frame of `frame` bytes without its check sequence.
    pub(crate) fn ip_length(&self, frame: usize) -> usize {
        frame.saturating_sub(ETHERNET_LEN + self.link.tags.len() * TAG_LEN)
    }

    /// Refuses packets that no frame or link holds. `size` is what `option` asked for; on top of
    /// it come as many bytes of IP and transport headers as `headers` says.
    pub(crate) fn check_size(
        &self,
        size: usize,
        option: &str,
        headers: impl Fn(IpAddr) -> usize,
        frame_size: u32,
    ) -> Result<()> {
        let mtu = self.link.interface.mtu as usize;
        let frame = (frame_size as usize).saturating_sub(crate::umem::RX_HEADROOM as usize);
        for path in &self.paths {
            let headers = headers(path.address);
            let l2 = ETHERNET_LEN + self.link.tags.len() * TAG_LEN;
            let most = mtu.saturating_sub(headers);
            if size > most {
                let name = &self.link.interface.name;
                return Err(FluxError::config(
                    format!("size {size}"),
                    format!("does not fit the MTU {mtu} of {name}, and probes are not fragmented"),
                )
                .with_hint(format!("the largest {option} to {} is {most}", path.name)));
            }
            let most = frame.saturating_sub(l2 + headers);
            if size > most {
                return Err(FluxError::config(
                    format!("size {size}"),
                    format!("does not fit a frame of {frame_size} bytes"),
                )
                .with_hint(format!(
                    "the largest {option} here is {most}; --frame-size 4096 holds more"
                )));
            }
        }
        Ok(())
    }
}

/// Length of an IP header without options.
pub(crate) fn ip_len(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_LEN } else { IPV6_LEN }
}

/// The interface or source address asked for with `-I`.
struct SourceChoice {
    interface: Option<Interface>,
    source: Option<IpAddr>,
}

/// A target, resolved and routed.
struct ResolvedTarget {
    name: String,
    address: IpAddr,
    ifindex: u32,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
}

impl SourceChoice {
    fn of(wish: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let Some(name) = wish.interface else {
            return Ok(Self { interface: None, source: wish.source });
        };
        if let Ok(source) = name.parse() {
            if wish.source.is_some_and(|other| other != source) {
                let why = format!("is not the source address asked for, {source}");
                return Err(FluxError::config(format!("-I {name}"), why)
                    .with_hint("-I takes the name of an interface, too"));
            }
            return Ok(Self { interface: None, source: Some(source) });
        }
        let interface = host.interface(name)?;
        // Said before a route is looked for: a link that is down has none.
        check_up(&interface)?;
        Ok(Self { interface: Some(interface), source: wish.source })
    }

    fn route(
        &self,
        name: &str,
        wish: &TargetRequest<'_>,
        host: &dyn Host,
    ) -> Result<ResolvedTarget> {
        let Target { addr, scope } = host.resolve(name, wish.family)?;
        if addr.is_unspecified() {
            return Err(FluxError::config(format!("target {name}"), "is the unspecified address")
                .with_hint("give the address of a host"));
        }
        let wanted = self.interface.as_ref();
        if let (Some(scope), Some(wanted)) = (scope, wanted)
            && scope != wanted.index
        {
            return Err(FluxError::config(
                format!("target {name}"),
                format!("names another interface than -I {}", wanted.name),
            )
            .with_hint("leave out one of the two"));
        }
        if self.source.is_some_and(|source| source.is_ipv4() != addr.is_ipv4()) {
            return Err(FluxError::config(
                format!("target {name}"),
                "is not of the family of the source address",
            ));
        }
        let oif = wanted.map(|i| i.index).or(scope);
        if oif.is_none() && needs_scope(addr) {
            return Err(FluxError::config(
                format!("target {name}"),
                "is valid on one link alone, and the link is not named",
            )
            .with_hint(format!("write {addr}%IFACE, or use -I IFACE")));
        }
        let route = host.route(addr, oif, self.source)?;
        route.require_wire(addr, wanted.map_or("any interface", |i| &i.name))?;
        if route.kind == RouteKind::Broadcast {
            return Err(broadcast(name));
        }
        if route.encapsulated {
            return Err(FluxError::config(
                format!("target {name}"),
                "its route wraps packets (a tunnel or MPLS), and frames sent here are not wrapped",
            )
            .with_hint("choose the tunnel's own interface with -I"));
        }
        Ok(ResolvedTarget {
            name: name.to_owned(),
            address: addr,
            ifindex: route.ifindex,
            source: self.source.or(route.source),
            gateway: route.gateway,
        })
    }
}

/// Whether an address means something only together with an interface.
fn needs_scope(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_multicast() && matches!(address.segments()[0] & 0xf, 1 | 2)
        }
    }
}

fn broadcast(name: &str) -> FluxError {
    FluxError::config(format!("target {name}"), "is a broadcast address")
        .with_hint("name the hosts one by one; 224.0.0.1 and ff02::1%IFACE are groups of all hosts")
}

fn no_source(target: &ResolvedTarget, link: &Link) -> FluxError {
    let (family, name) =
        (if target.address.is_ipv4() { "IPv4" } else { "IPv6" }, &link.interface.name);
    FluxError::new(
        ErrorKind::Host,
        format!("cannot send to {} by {name}", target.name),
        format!("{name} has no {family} address"),
    )
    .with_hint(format!("give it one: `ip address add ADDRESS/PREFIX dev {name}`"))
}

fn check_up(interface: &Interface) -> Result<()> {
    let refuse = |cause| Err(HostError::new("use interface", &interface.name, cause).into());
    if !interface.up {
        return refuse(Cause::InterfaceDown);
    }
    if !interface.carrier {
        return refuse(Cause::NoCarrier);
    }
    Ok(())
}

impl Link {
    /// Whether the interface has an address of this one's family.
    fn has_family(&self, address: IpAddr) -> bool {
        let mut own = self.interface.addresses.iter();
        own.any(|own| own.is_usable() && own.addr.is_ipv4() == address.is_ipv4())
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

    /// The device below an interface, and the tags between the two.
    fn find(interface: Interface, wish: &TargetRequest<'_>, all: &[Interface]) -> Result<Self> {
        check_up(&interface)?;
        let mac = interface
            .mac
            .ok_or_else(|| HostError::new("use interface", &interface.name, Cause::NotEthernet))?;
        let mut tags = Vec::new();
        let mut device = &interface;
        while let Some(vlan) = device.vlan {
            let tag = Tag { tpid: EtherType(vlan.protocol), tci: vlan.id & 0xfff };
            tags.insert(0, tag);
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
        if let Some(tag) = wish.vlan {
            let tci = u16::from(tag.priority) << 13 | tag.id;
            tags.push(Tag { tpid: EtherType::VLAN, tci });
        }
        if tags.len() > 2 || device.vlan.is_some() {
            return Err(FluxError::config(
                format!("interface {}", interface.name),
                "would need more than two VLAN tags",
            ));
        }
        let device = device.name.clone();
        Ok(Self { device, mac: MacAddr(mac), tags, interface })
    }
}

#[cfg(test)]
mod tests;
