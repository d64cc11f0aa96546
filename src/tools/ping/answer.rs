//! What a received frame says about our probes. Total: any bytes give one of the four.

use super::icmp_text::Report;
use crate::proto::{Headers, ICMP_LEN, Icmpv4Kind, Icmpv6Kind, Quote, Transport};
use std::net::IpAddr;

/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// An echo reply, to us or to others.
    Reply(EchoReply<'a>),
    /// An ICMP error about an echo request, ours or not.
    Error(EchoError<'a>),
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
pub(super) struct EchoError<'a> {
    pub(super) from: IpAddr,
    /// Source and destination of the request it quotes.
    pub(super) probe: (IpAddr, IpAddr),
    pub(super) id: u16,
    pub(super) seq: u16,
    /// What is quoted of its payload.
    pub(super) payload: &'a [u8],
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
        payload: quoted_payload(&quote),
        report: Report { v4, icmp_type, code, rest },
    })
}

/// What is there of a quoted request's payload. Some routers fill up with zeros what they do not quote.
fn quoted_payload<'a>(quote: &Quote<'a>) -> &'a [u8] {
    let within = quote.total_len.saturating_sub(quote.header_len as u32) as usize;
    let l4 = quote.l4.get(..within.min(quote.l4.len()));
    let payload = l4.and_then(|l4| l4.get(ICMP_LEN..)).unwrap_or_default();
    if payload.starts_with(&[0; 8]) { &[] } else { payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{self, Link, Net};
    use crate::proto::{Icmpv4Message, Icmpv6Message, IpPair, MacAddr};

    fn frame(write: impl FnOnce(&mut [u8], &Link) -> Option<usize>) -> Vec<u8> {
        let mut buf = vec![0; 1500];
        let len = write(&mut buf, &Link::new(MacAddr::ZERO, MacAddr::ZERO)).unwrap();
        buf.truncate(len);
        buf
    }

    fn pair(src: &str, dst: &str) -> IpPair {
        IpPair::new(src.parse().unwrap(), dst.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_reply_tells_who_what_and_whether_it_is_whole() {
        let net = Net::new(pair("10.0.0.2", "10.0.0.1")).with_ttl(61);
        let message = Icmpv4Message::EchoReply { id: 7, seq: 9, data: b"flux" };
        let mut bytes = frame(|buf, link| build::icmpv4(buf, link, &net, &message));
        let expected = |intact, payload| {
            let (from, to) = (net.ip.src(), net.ip.dst());
            Seen::Reply(EchoReply { from, to, id: 7, seq: 9, ttl: 61, intact, payload })
        };
        assert_eq!(read(&bytes), expected(true, b"flux".as_slice()));
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read(&bytes), expected(false, b"fluy".as_slice()));
        // A wrong IPv4 header checksum is damage, too.
        *bytes.last_mut().unwrap() ^= 1;
        bytes[14 + 10] ^= 1;
        assert_eq!(read(&bytes), expected(false, b"flux".as_slice()));
    }

    #[test]
    fn an_error_names_the_probe_it_quotes() {
        let ours = Net::new(pair("2001:db8::1", "2001:db8:7::7"));
        let probe = Icmpv6Message::EchoRequest { id: 3, seq: 4, data: &[0; 100] };
        let quoted = frame(|buf, link| build::icmpv6(buf, link, &ours, &probe));
        let back = Net::new(pair("2001:db8::fe", "2001:db8::1"));
        let error = Icmpv6Message::PacketTooBig { mtu: 1280, quote: &quoted[14..] };
        let bytes = frame(|buf, link| build::icmpv6(buf, link, &back, &error));
        let Seen::Error(seen) = read(&bytes) else { panic!() };
        assert_eq!((seen.id, seen.seq, seen.report.mtu()), (3, 4, Some(1280)));
        assert_eq!((seen.from, seen.probe), (back.ip.src(), (ours.ip.src(), ours.ip.dst())));
        // A damaged error says nothing; one about something else is not ours.
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(read(&damaged), Seen::Malformed);
        let other = Icmpv6Message::EchoReply { id: 3, seq: 4, data: &[] };
        let quoted = frame(|buf, link| build::icmpv6(buf, link, &ours, &other));
        let error = Icmpv6Message::PacketTooBig { mtu: 1280, quote: &quoted[14..] };
        let bytes = frame(|buf, link| build::icmpv6(buf, link, &back, &error));
        assert_eq!(read(&bytes), Seen::Foreign);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_something(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
        }
    }
}
