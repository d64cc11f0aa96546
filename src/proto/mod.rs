//! Packet headers: zero-copy views, one-pass [`Headers`], checksums, whole frames.
//!
//! ```text
//! Ethernet ─ up to 2 VLAN tags ┬ ARP
//!                              ├ IPv4 ───────────────┬ UDP · TCP
//!                              └ IPv6 ─ ≤ 8 headers ─┴ ICMP ─ quoted datagram
//! read   XView::parse(&[u8])     every length checked once, so accessors cannot panic
//! change XMut::parse(&mut [u8])  checksums follow by RFC 1624
//! write  XRepr::emit(&mut [u8])  lengths and checksums worked out; parse(emit(x)) == x
//! ```
//!
//! Invariant: whatever a view yields lies inside the bytes it was given, and no input panics.
//! Numbers are in host byte order everywhere in this API, lengths and offsets in bytes. Nothing
//! here allocates, touches a socket or knows a UMEM; everybody may call it.
#![forbid(unsafe_code)]

pub mod build;
pub mod checksum;
pub mod extensions;
pub mod respond;
pub mod rewrite;
pub mod vlan;

mod arp;
mod error;
mod ethernet;
mod forward;
mod headers;
mod icmpv4;
mod icmpv6;
mod ip;
mod ipv4;
mod ipv6;
mod mac;
mod octets;
mod options;
mod quote;
mod tcp;
mod udp;

pub use arp::{ARP_LEN, ArpOp, ArpRepr, ArpView};
pub use error::{Layer, ParseError};
pub use ethernet::{ETHERNET_LEN, EtherType, EthernetMut, EthernetRepr, EthernetView};
pub use extensions::{ErrorBody, Extensions, LabelEntry, LabelStack, Object, Objects};
pub use forward::complete_checksum;
pub use headers::{Headers, Transport};
pub use icmpv4::{ICMP_LEN, Icmpv4Kind, Icmpv4Message, Icmpv4View, unreachable_v4};
pub use icmpv6::{
    AdvertFlags, Icmpv6Kind, Icmpv6Message, Icmpv6View, solicited_node, unreachable_v6,
};
pub use ip::{Fragment, IPV4_LEN, IPV6_LEN, IpPair, IpProto};
pub use ipv4::{Ipv4Mut, Ipv4Repr, Ipv4View};
pub use ipv6::{Ipv6Mut, Ipv6Repr, Ipv6View, MAX_EXTENSIONS, Upper, emit_fragment};
pub use mac::{MacAddr, MacAddrError};
pub use options::{Options, RawOption};
pub use quote::Quote;
pub use tcp::{TCP_LEN, TcpFlags, TcpMut, TcpOption, TcpOptions, TcpRepr, TcpView};
pub use udp::{UDP_LEN, UdpMut, UdpRepr, UdpView};
pub use vlan::{Headroom, Tag, VlanError, VlanView};
