//! Route lookups: RTM_GETROUTE.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use crate::tools::host::error::Cause;
use crate::tools::host::model::{Route, RouteKind};
use crate::tools::host::watch::RouteChange;

/// The route to `dst`. `src` is known to be an address of this host.
pub(super) fn lookup(
    netlink: &Netlink,
    dst: IpAddr,
    oif: Option<u32>,
    src: Option<IpAddr>,
) -> Result<Route, Cause> {
    let message = question(dst, oif, src);
    let answers = netlink.request(RouteNetlinkMessage::GetRoute(message), 0).map_err(|error| {
        // The errors that fib_props (IPv4) and ip6_route_info_create (IPv6) give each type.
        match error.raw_os_error() {
            Some(libc::ENETUNREACH) => Cause::NoRoute,
            Some(libc::EHOSTUNREACH) => Cause::Unreachable,
            Some(libc::EINVAL) => Cause::Blackhole,
            Some(libc::EACCES) => Cause::Prohibited,
            Some(libc::ENODEV) => Cause::NoSuchInterface,
            Some(libc::ENETDOWN) => Cause::InterfaceDown,
            _ => Cause::Os(error),
        }
    })?;
    let route = answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewRoute(route) => Some(route),
        _ => None,
    });
    read(route.ok_or_else(|| Cause::Os(io::ErrorKind::UnexpectedEof.into()))?, src)
}

fn question(dst: IpAddr, oif: Option<u32>, src: Option<IpAddr>) -> RouteMessage {
    let mut message = RouteMessage::default();
    let (family, bits) = match dst {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    message.header.flags = RouteFlags::LookupTable;
    message.attributes.push(RouteAttribute::Destination(dst.into()));
    if let Some(src) = src {
        message.header.source_prefix_length = bits;
        message.attributes.push(RouteAttribute::Source(src.into()));
    }
    message.attributes.extend(oif.map(RouteAttribute::Oif));
    message
}

fn read(message: RouteMessage, src: Option<IpAddr>) -> Result<Route, Cause> {
    let kind = match message.header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::BlackHole => return Err(Cause::Blackhole),
        RouteType::Unreachable => return Err(Cause::Unreachable),
        RouteType::Prohibit => return Err(Cause::Prohibited),
        other => return Err(Cause::Protocol(format!("a route of type {other:?}"))),
    };
    let mut ifindex = None;
    let mut route =
        Route { kind, ifindex: 0, gateway: None, source: src, mtu: None, encapsulated: false };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(index),
            RouteAttribute::Gateway(gateway) => route.gateway = ip_of(&gateway),
            RouteAttribute::Via(RouteVia::Inet(via)) => route.gateway = Some(via.into()),
            RouteAttribute::Via(RouteVia::Inet6(via)) => route.gateway = Some(via.into()),
            RouteAttribute::PrefSource(addr) if src.is_none() => route.source = ip_of(&addr),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::Encap(_) | RouteAttribute::EncapType(_) => route.encapsulated = true,
            _ => {}
        }
    }
    route.ifindex = ifindex.ok_or_else(|| Cause::Protocol("a route without interface".into()))?;
    Ok(route)
}

/// What a notification about a route says. `None` for other families, and for copies of a route that
/// the kernel keeps for one destination.
pub(super) fn change(message: &RouteMessage, there: bool) -> Option<RouteChange> {
    let header = &message.header;
    let unspecified: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let (mut to, mut table) = (unspecified, u32::from(header.table));
    let (mut ifindex, mut gateway) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(addr) => to = ip_of(addr)?,
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(addr) => gateway = ip_of(addr),
            RouteAttribute::Via(RouteVia::Inet(via)) => gateway = Some((*via).into()),
            RouteAttribute::Via(RouteVia::Inet6(via)) => gateway = Some((*via).into()),
            _ => {}
        }
    }
    let to = IpNet::new(to, header.destination_prefix_length).ok()?;
    Some(RouteChange { there, to, table, ifindex, gateway })
}

fn ip_of(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(addr) => Some((*addr).into()),
        RouteAddress::Inet6(addr) => Some((*addr).into()),
        _ => None,
    }
}
