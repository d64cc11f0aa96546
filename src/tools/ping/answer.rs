//! What a received frame says about our probes. Total: any bytes give one of the four.

use super::icmp_text::Report;
use crate::proto::{Headers, Icmpv4Kind, Icmpv6Kind, Quote, Transport};
use std::net::IpAddr;

/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// An echo reply, whoever asked for it.
    Reply(EchoReply<'a>),
    /// An ICMP error about an echo request, whoever sent that.
    Error(EchoError),
    /// A sound packet that is neither.
    Foreign,
    /// A frame that is not what it says it is.
    Malformed,
}

/// An echo reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EchoReply<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) id: u16,
    pub(super) seq: u16,
    pub(super) ttl: u8,
    /// Whether IPv4 header checksum and ICMP checksum are right.
    pub(super) intact: bool,
    pub(super) payload: &'a [u8],
}

/// An ICMP error about an echo request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EchoError {
    pub(super) from: IpAddr,
    /// Source and destination of the request it quotes.
    pub(super) probe: (IpAddr, IpAddr),
    pub(super) id: u16,
    pub(super) seq: u16,
    pub(super) report: Report,
}

/// Reads a frame.
pub(super) fn read(frame: &[u8]) -> Seen<'_> {
    let Ok(headers) = Headers::parse(frame) else { return Seen::Malformed };
    let Some(ip) = headers.ip else { return Seen::Foreign };
    // A fragment's checksum covers bytes that are elsewhere; we ask for no fragments.
    if headers.fragment.is_some_and(|fragment| !fragment.is_whole()) {
        return Seen::Foreign;
    }
    let (v4, icmp_type, code, id, seq, is_reply, is_error) = match headers.transport {
        Transport::Icmpv4 { kind, code, id, seq } => {
            let reply = kind == Icmpv4Kind::ECHO_REPLY;
            (true, kind.0, code, id, seq, reply, kind.is_error())
        }
        Transport::Icmpv6 { kind, code, id, seq } => {
            let reply = kind == Icmpv6Kind::ECHO_REPLY;
            (false, kind.0, code, id, seq, reply, kind.is_error())
        }
        _ => return Seen::Foreign,
    };
    let payload = headers.payload(frame);
    let intact = headers.verify_checksums(frame);
    if is_reply {
        let ttl = headers.ttl;
        return Seen::Reply(EchoReply {
            from: ip.src(),
            to: ip.dst(),
            id,
            seq,
            ttl,
            intact,
            payload,
        });
    }
    if !is_error {
        return Seen::Foreign;
    }
    if !intact {
        return Seen::Malformed;
    }
    let quote = if v4 { Quote::parse_v4(payload) } else { Quote::parse_v6(payload) };
    let Ok(quote) = quote else { return Seen::Malformed };
    let Some((id, seq)) = quote.echo() else { return Seen::Foreign };
    let rest = frame
        .get(headers.l4_offset() + 4..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(0, |rest| u32::from_be_bytes(*rest));
    Seen::Error(EchoError {
        from: ip.src(),
        probe: (quote.ip.src(), quote.ip.dst()),
        id,
        seq,
        report: Report { v4, icmp_type, code, rest },
    })
}
