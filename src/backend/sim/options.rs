//! What routers and hosts are like: plain data for [`NetworkBuilder`](super::NetworkBuilder).

use super::{IcmpLimit, NetworkTrouble, NetworkTroubles};
use crate::proto::extensions::MplsEntry;
use std::net::IpAddr;
use std::time::Duration;

/// How a router chooses among several next hops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By a hash of the flow: addresses, protocol, and ports (for ICMP: type, code and checksum).
    /// Each router salts it, so that two in a row do not choose alike.
    #[default]
    Flow,
    /// Each packet by a throw of the dice.
    Packet,
    /// Each packet the next one.
    RoundRobin,
    /// By a hash of both addresses alone.
    Destination,
}

/// How much of a packet an ICMP error quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quoting {
    /// As much as fits (RFC 1812, RFC 4443).
    #[default]
    Full,
    /// The IP header and 8 bytes, as RFC 792 has it.
    Short,
}

/// What a router writes where the length of its quote belongs (RFC 4884), and is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongLength {
    /// The right number of bytes, where words are meant.
    Bytes,
    /// Always this.
    Value(u8),
}

/// What is wrong with a router's ICMP errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Their checksum.
    Checksum,
    /// They lie about lengths: the RFC 4884 length points far beyond the end, the quoted IPv4
    /// header says that it has 60 bytes, and the quoted IPv6 header that 65535 follow.
    Lengths,
    /// Where the TTL is used up they say that the packet is too big for an MTU of 9000.
    TooBig,
}

/// What a router is like. The default is one without a fault that balances by flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterOptions {
    /// How it chooses among the next hops of a route that does not say it itself.
    pub balance: Balance,
    /// Never sends ICMP errors.
    pub silent: bool,
    /// Does not answer packets to its own addresses, but for ARP and neighbour discovery.
    pub deaf: bool,
    /// How many ICMP errors it sends.
    pub icmp_limit: Option<IcmpLimit>,
    /// ICMP errors leave up to this much later than they could.
    pub icmp_delay: Duration,
    /// Labels that its time-exceeded errors report, outermost first, 32 at most (RFC 4950).
    pub mpls: Vec<MplsEntry>,
    /// Whether those say how long the quote is (RFC 4884), or leave that to be guessed, as
    /// routers did before.
    pub mpls_length: bool,
    /// What they say instead, where that is wrong.
    pub wrong_length: Option<WrongLength>,
    /// What its ICMP errors quote.
    pub quoting: Quoting,
    /// What is wrong with its ICMP errors.
    pub flaw: Option<Flaw>,
    /// Drops the first segments of TCP connections that have no maximum segment size, as some
    /// firewalls do.
    pub drop_bare_syn: bool,
    /// TTL or hop limit of its own packets.
    pub ttl: u8,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            balance: Balance::Flow,
            silent: false,
            deaf: false,
            icmp_limit: None,
            icmp_delay: Duration::ZERO,
            mpls: Vec::new(),
            mpls_length: true,
            wrong_length: None,
            drop_bare_syn: false,
            quoting: Quoting::Full,
            flaw: None,
            ttl: crate::proto::respond::TTL,
        }
    }
}

/// How a host's UDP ports answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpPorts {
    /// "Port unreachable".
    #[default]
    Closed,
    /// With the same payload.
    Open,
    /// Not at all.
    Silent,
}

/// What a host is like. The default answers echo, has TCP port 80 open and all others closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Answers ARP and neighbour discovery, and nothing else.
    pub silent: bool,
    /// Answers echo requests.
    pub echo: bool,
    /// TCP ports that are open.
    pub tcp: Vec<u16>,
    /// Whether the other TCP ports say nothing, instead of answering with a reset.
    pub tcp_filtered: bool,
    /// How UDP ports answer.
    pub udp: UdpPorts,
    /// How many ICMP errors it sends.
    pub icmp_limit: Option<IcmpLimit>,
    /// It answers for each address of these prefixes as well; routes to it are the routers'.
    pub prefixes: Vec<String>,
    /// TTL or hop limit of its packets.
    pub ttl: u8,
    /// Most bytes of an echo request's payload that its reply has.
    pub truncate: Option<u32>,
    /// Bytes that its echo replies have besides.
    pub longer: u32,
    /// Its answers come from the first of these of the family, instead of the address that was asked.
    pub answers_from: Vec<IpAddr>,
    /// Sends "host unreachable" about each packet before it answers it.
    pub error_first: bool,
    /// Its answers leave this much later.
    pub answer_delay: Duration,
    /// Its answers leave in fragments of this many bytes at most, whatever the link would take.
    pub fragment: Option<u32>,
    /// The VLAN that it is in: it hears what has this one tag, and answers with it.
    pub vlan: Option<u16>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            silent: false,
            echo: true,
            tcp: vec![80],
            tcp_filtered: false,
            udp: UdpPorts::Closed,
            icmp_limit: None,
            prefixes: Vec::new(),
            ttl: crate::proto::respond::TTL,
            truncate: None,
            longer: 0,
            answers_from: Vec::new(),
            error_first: false,
            answer_delay: Duration::ZERO,
            fragment: None,
            vlan: None,
        }
    }
}

/// Bytes of a payload that come back with [`NetworkTrouble::Truncated`].
const TRUNCATED: u32 = 64;
/// Longest packet with [`NetworkTrouble::Fragmented`].
const FRAGMENT: u32 = 576;

impl RouterOptions {
    /// The same with troubles of the network, where these options leave room for them.
    pub(super) fn with(self, troubles: NetworkTroubles) -> Self {
        let limits = troubles.has(NetworkTrouble::IcmpLimit).then_some(IcmpLimit::Linux);
        Self { icmp_limit: self.icmp_limit.or(limits), ..self }
    }
}

impl HostOptions {
    /// The same with troubles of the network, where these options leave room for them.
    pub(super) fn with(self, troubles: NetworkTroubles) -> Self {
        let limits = troubles.has(NetworkTrouble::IcmpLimit).then_some(IcmpLimit::Linux);
        let truncate = troubles.has(NetworkTrouble::Truncated).then_some(TRUNCATED);
        let fragment = troubles.has(NetworkTrouble::Fragmented).then_some(FRAGMENT);
        Self {
            icmp_limit: self.icmp_limit.or(limits),
            truncate: self.truncate.or(truncate),
            fragment: self.fragment.or(fragment),
            error_first: self.error_first || troubles.has(NetworkTrouble::ErrorFirst),
            ..self
        }
    }
}
