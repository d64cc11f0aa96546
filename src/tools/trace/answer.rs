//! What a received frame says about our probes. Total: any bytes give one of the three.

use super::event::{ExtensionObject, Label, Rewritten};
use super::identity::{Identity, SYN_LEN, ip_proto};
use super::plan::{Protocol, Strategy};
use crate::proto::{
    ErrorBody, Extensions, Headers, ICMP_LEN, Icmpv4Kind, Icmpv6Kind, IpPair, IpProto, Quote,
    TcpFlags, TcpView, Transport,
};
use std::fmt::Write;
use std::net::IpAddr;
/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer to a probe, or something that looks like one: whether the probe was ever sent is
    /// the session's to say.
    Answer(Box<Answer>),
    /// A sound packet that is none.
    Foreign,
    /// A frame that is not what it says it is.
    Malformed,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who sent it.
    pub(super) from: IpAddr,
    /// To whom: our source address.
    pub(super) to: IpAddr,
    /// The target of the probe: quoted, or who answered directly.
    pub(super) target: IpAddr,
    /// Flow of the probe, where it can be told.
    pub(super) flow: Option<u16>,
    /// Number of the probe; `None` where the answer does not say (a UDP reply).
    pub(super) number: Option<u16>,
    /// Where the number is not in there, the destination port of the probe says this much of it
    /// ([`place_of`](super::identity::place_of)).
    pub(super) place: Option<u16>,
    pub(super) kind: Kind,
    /// TTL of the answer.
    pub(super) reply_ttl: u8,
    /// TTL of the probe as quoted.
    pub(super) quoted_ttl: Option<u8>,
    /// MPLS label stack, outermost first.
    pub(super) mpls: Vec<Label>,
    /// Other extension objects.
    pub(super) extensions: Vec<ExtensionObject>,
    /// What of the quote is not as we sent it.
    pub(super) nat: Option<Rewritten>,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TTL or hop limit used up on the way: a router.
    TimeExceeded,
    /// Any other ICMP error; type and code are those of the family.
    Error {
        v4: bool,
        icmp_type: u8,
        code: u8,
        /// Next-hop MTU, where it is told.
        mtu: Option<u32>,
    },
    /// An echo reply.
    EchoReply,
    /// An open TCP port. What a reset must carry as its sequence number.
    SynAck { ack: u32 },
    /// A closed TCP port.
    Reset,
    /// A UDP datagram from the port that was probed.
    UdpReply,
}

impl Kind {
    /// The MTU of the next hop, where it is told.
    pub(super) fn mtu(self) -> Option<u32> {
        match self {
            Kind::Error { mtu, .. } => mtu,
            _ => None,
        }
    }

    /// That a packet is too big, and the MTU of the next hop: 0 where it is not told.
    pub(super) fn too_big(self) -> Option<u32> {
        match self {
            Kind::Error { v4: true, icmp_type: 3, code: 4, mtu }
            | Kind::Error { v4: false, icmp_type: 2, mtu, .. } => Some(mtu.unwrap_or(0)),
            _ => None,
        }
    }
}

/// Which probe was answered, and how it looked.
struct Probe {
    flow: u16,
    number: Option<u16>,
    place: Option<u16>,
    nat: Option<Rewritten>,
}

/// Reads a frame.
pub(super) fn read(frame: &[u8], identity: &Identity) -> Seen {
    read_as(frame, identity, None)
}

/// The same, where what comes from elsewhere may be said by this target.
pub(super) fn read_as(frame: &[u8], identity: &Identity, target: Option<IpAddr>) -> Seen {
    let Ok(headers) = Headers::parse(frame) else { return Seen::Malformed };
    let Some(ip) = headers.ip else { return Seen::Foreign };
    // A fragment's checksum covers bytes that are elsewhere; no answer is that long.
    if headers.is_fragment() {
        return Seen::Foreign;
    }
    let Some(l4) = frame.get(headers.l4_offset()..headers.payload_range().end) else {
        return Seen::Malformed;
    };
    let error = match headers.transport {
        // These comment on a probe that goes on.
        Transport::Icmpv4 { kind: Icmpv4Kind::REDIRECT | Icmpv4Kind::SOURCE_QUENCH, .. } => None,
        Transport::Icmpv4 { .. } => ErrorBody::parse_v4(l4),
        Transport::Icmpv6 { .. } => ErrorBody::parse_v6(l4),
        _ => None,
    };
    if let Some(body) = error {
        if !headers.verify_checksums(frame) {
            return Seen::Malformed;
        }
        return about(l4, &body, &ip, headers.ttl, identity);
    }
    let target = target.unwrap_or(ip.src());
    let Some((probe, kind)) = direct(l4, &headers.transport, target, identity) else {
        return Seen::Foreign;
    };
    if !headers.verify_checksums(frame) && !is_left_to_device(l4, &ip, headers.proto) {
        return Seen::Malformed;
    }
    Seen::Answer(Box::new(Answer {
        from: ip.src(),
        to: ip.dst(),
        target,
        flow: Some(probe.flow),
        number: probe.number,
        place: probe.place,
        kind,
        reply_ttl: headers.ttl,
        quoted_ttl: None,
        mpls: Vec::new(),
        extensions: Vec::new(),
        nat: probe.nat,
    }))
}

/// Whether the checksum is that of the pseudo-header alone: the sender left the rest to its device,
/// and the packet came here without meeting one. So do answers of a namespace behind a veth.
fn is_left_to_device(l4: &[u8], ip: &IpPair, proto: IpProto) -> bool {
    let at = match proto {
        IpProto::TCP => 16,
        IpProto::UDP => 6,
        _ => return false,
    };
    let sum = l4.get(at..).and_then(|sum| sum.first_chunk()).map(|sum| u16::from_be_bytes(*sum));
    sum == Some(!ip.pseudo_sum(proto, l4.len()).finish())
}

/// What a target itself says to a probe.
fn direct(
    l4: &[u8],
    transport: &Transport,
    target: IpAddr,
    identity: &Identity,
) -> Option<(Probe, Kind)> {
    let known = |flow, number| Probe { flow, number, place: None, nat: None };
    match (*transport, identity.protocol) {
        (
            Transport::Icmpv4 { kind: Icmpv4Kind::ECHO_REPLY, id, seq, .. }
            | Transport::Icmpv6 { kind: Icmpv6Kind::ECHO_REPLY, id, seq, .. },
            Protocol::Icmp,
        ) => {
            let flow = identity.flow_of(id)?;
            let own = identity.is_own(l4.get(ICMP_LEN..)?);
            (own && seq != 0).then(|| (known(flow, Some(seq)), Kind::EchoReply))
        }
        (Transport::Udp { src_port, dst_port }, Protocol::Udp) => {
            let flow = identity.flow_of(dst_port)?;
            let place = identity.place_of_port(src_port);
            let ours = identity.has_port(src_port);
            ours.then(|| (Probe { place, ..known(flow, None) }, Kind::UdpReply))
        }
        (Transport::Tcp { src_port, dst_port, flags }, Protocol::Tcp) => {
            let by_port = identity.flow_of(dst_port)?;
            if !identity.has_port(src_port) {
                return None;
            }
            let flow = if identity.varies_source() { 0 } else { by_port };
            let ack = TcpView::parse(l4).ok()?.ack();
            let number = identity
                .number_of_ack(target, flow, ack)
                .filter(|&number| identity.source(flow, number) == dst_port);
            if flags.contains(TcpFlags::RST) {
                // Without ACK its number need not mean anything.
                let told = number.is_some() || !flags.contains(TcpFlags::ACK);
                return told.then(|| (known(flow, number), Kind::Reset));
            }
            let open = flags.contains(TcpFlags::SYN | TcpFlags::ACK) && number.is_some();
            open.then(|| (known(flow, number), Kind::SynAck { ack }))
        }
        _ => None,
    }
}

/// What an ICMP error says about a probe.
fn about(message: &[u8], body: &ErrorBody<'_>, ip: &IpPair, ttl: u8, identity: &Identity) -> Seen {
    let Ok(quote) = body.quote() else { return Seen::Malformed };
    let Some(probe) = quoted(&quote, ip.dst(), identity) else { return Seen::Foreign };
    let Some(kind) = kind(message, ip.is_v4()) else { return Seen::Malformed };
    let (mpls, extensions) = body.extensions.map_or_else(Default::default, told);
    Seen::Answer(Box::new(Answer {
        from: ip.src(),
        to: ip.dst(),
        target: quote.ip.dst(),
        flow: Some(probe.flow),
        number: probe.number,
        place: probe.place,
        kind,
        reply_ttl: ttl,
        quoted_ttl: Some(quote.ttl),
        mpls,
        extensions,
        nat: probe.nat,
    }))
}

fn kind(message: &[u8], v4: bool) -> Option<Kind> {
    let &[icmp_type, code, _, _, a, b, c, d] = message.first_chunk::<8>()?;
    let mtu = match (v4, icmp_type, code) {
        (true, 11, 0) | (false, 3, 0) => return Some(Kind::TimeExceeded),
        (true, 3, 4) => u32::from_be_bytes([0, 0, c, d]),
        (false, 2, _) => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    };
    Some(Kind::Error { v4, icmp_type, code, mtu: (mtu > 0).then_some(mtu) })
}

/// Which of our probes a quote is; `None` if it is not ours. `source` is who the error came to.
fn quoted(quote: &Quote<'_>, source: IpAddr, identity: &Identity) -> Option<Probe> {
    if quote.proto != ip_proto(identity.protocol, quote.ip.is_v4()) {
        return None;
    }
    let mut probe = match identity.protocol {
        Protocol::Udp => quoted_udp(quote, identity),
        Protocol::Tcp => quoted_tcp(quote, identity),
        Protocol::Icmp => quoted_echo(quote, identity),
    }?;
    if quote.ip.src() != source {
        probe.nat = Some(Rewritten::SourceAddress);
    }
    Some(probe)
}

fn quoted_udp(quote: &Quote<'_>, identity: &Identity) -> Option<Probe> {
    let (src, dst) = quote.ports()?;
    let (_, checksum) = quote.udp_len_checksum()?;
    let by_port = identity.flow_of(src).filter(|_| identity.has_port(dst))?;
    let marks = marks(quote, identity);
    let flow = marks.map_or(by_port, |(_, flow)| flow);
    let marked = marks.map(|(number, _)| number);
    let present = |value: u16| (value != 0).then_some(value);
    let ident = quote.ip.is_v4().then_some(quote.ident as u16).and_then(present);
    let number = match identity.strategy {
        // The port may have been that of an earlier probe, too.
        Strategy::Classic => {
            [marked, ident].into_iter().flatten().find(|&number| identity.port_of(number) == dst)
        }
        // Identification and checksum are in every quote: nobody changes both to the same.
        Strategy::Paris if ident == Some(checksum) => ident,
        Strategy::Paris => marked.or(ident).or(present(checksum)),
        Strategy::Dublin => marked.or(ident),
    };
    let expected = match identity.strategy {
        Strategy::Classic => None,
        Strategy::Paris => number,
        Strategy::Dublin => Some(identity.checksum(flow)),
    };
    // Some routers quote with the checksum erased; no NAT does that.
    let changed = checksum != 0 && expected.is_some_and(|expected| expected != checksum);
    let nat = (flow != by_port)
        .then_some(Rewritten::SourcePort)
        .or(changed.then_some(Rewritten::Checksum));
    Some(Probe { flow, number, place: identity.place_of_port(dst), nat })
}

fn quoted_echo(quote: &Quote<'_>, identity: &Identity) -> Option<Probe> {
    let (id, seq) = quote.echo()?;
    let by_id = identity.flow_of(id)?;
    let within = quote.total_len.saturating_sub(quote.header_len as u32) as usize;
    let payload = quote.l4.get(ICMP_LEN..within.min(quote.l4.len())).unwrap_or_default();
    // Some routers fill up with zeros what they do not quote.
    if !payload.starts_with(&[0; 8]) && !identity.is_own(payload) {
        return None;
    }
    let flow = marks(quote, identity).map_or(by_id, |(_, flow)| flow);
    let checksum = quote.l4.get(2..4)?.try_into().map(u16::from_be_bytes).ok()?;
    let kept = identity.strategy != Strategy::Classic;
    let changed = kept && checksum != 0 && checksum != identity.checksum(flow);
    let nat =
        (flow != by_id).then_some(Rewritten::SourcePort).or(changed.then_some(Rewritten::Checksum));
    (seq != 0).then_some(Probe { flow, number: Some(seq), place: None, nat })
}

fn quoted_tcp(quote: &Quote<'_>, identity: &Identity) -> Option<Probe> {
    let (src, dst) = quote.ports()?;
    let seq = quote.tcp_seq()?;
    let by_port = identity.flow_of(src).filter(|_| identity.has_port(dst))?;
    let flow = if identity.varies_source() { 0 } else { by_port };
    let headers = quote.header_len as u32 + SYN_LEN as u32;
    let data = quote.total_len.saturating_sub(headers);
    // Some hosts quote with a wrong total length; most probes have no data.
    let number = [data, 0]
        .into_iter()
        .find_map(|data| identity.number_of_syn(quote.ip.dst(), flow, seq, data))?;
    let nat = (identity.source(flow, number) != src).then_some(Rewritten::SourcePort);
    Some(Probe { flow, number: Some(number), place: None, nat })
}

/// Number and flow in a UDP or ICMP payload, where the quote is that long.
fn marks(quote: &Quote<'_>, identity: &Identity) -> Option<(u16, u16)> {
    let &[a, b, c, d] = quote.l4.get(10..)?.first_chunk::<4>()?;
    let (number, flow) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    // Some routers fill up with zeros what they do not quote.
    (number != 0 && flow < identity.span).then_some((number, flow))
}

/// The extension objects: label stacks, and the others as they are.
fn told(extensions: Extensions<'_>) -> (Vec<Label>, Vec<ExtensionObject>) {
    let (mut mpls, mut others) = (Vec::new(), Vec::new());
    for object in extensions.objects() {
        if let Some(stack) = object.label_stack() {
            mpls.extend(stack.map(|entry| Label {
                label: entry.label,
                tc: entry.tc,
                bottom: entry.bottom,
                ttl: entry.ttl,
            }));
            continue;
        }
        let mut data = String::with_capacity(2 * object.payload.len());
        for byte in object.payload {
            let _ = write!(data, "{byte:02x}");
        }
        others.push(ExtensionObject { class: object.class, ctype: object.ctype, data });
    }
    (mpls, others)
}

#[cfg(test)]
mod tests;
