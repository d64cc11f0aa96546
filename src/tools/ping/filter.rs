//! What the XDP program is to take: answers to our probes and errors about them. Everything else goes on
//! to the kernel, also what another program with the same identifier waits for.

use super::frame;
use super::ids::EchoIds;
use crate::backend::filter::MAX_MATCHES;
use crate::backend::{Filter, Match, PayloadMatch, VlanMatch};
use crate::tools::host::Host;
use crate::tools::probe::{Path, ProbeTargets};
use std::net::IpAddr;

/// Source addresses that get filter rows of their own; beyond that, rows are for all addresses.
const MAX_SOURCES: usize = 8;
/// Targets whose answers are known by their address where probes have no room for a token.
const MAX_TARGETS: usize = 8;

/// The filter of a whole run, whose links may be in different VLANs.
pub(super) fn of_run(
    targets: &ProbeTargets,
    ids: &EchoIds,
    size: usize,
    host: &dyn Host,
) -> Filter {
    if let [link] = targets.links.as_slice() {
        return filter(&targets.paths, ids, size, link.vlan(host));
    }
    let mut rows = Vec::new();
    for (at, link) in targets.links.iter().enumerate() {
        let paths = targets.paths.iter().filter(|path| path.link == at);
        let paths: Vec<Path> = paths.cloned().collect();
        if let Filter::Any(some) = filter(&paths, ids, size, link.vlan(host)) {
            rows.extend(some);
        }
    }
    if rows.len() > MAX_MATCHES {
        return filter(&targets.paths, ids, size, None); // the run itself looks at the VLAN as well
    }
    Filter::Any(rows)
}

/// The filter of a run whose probes have `size` bytes of payload and leave in `vlan`; `None` where
/// tags cannot be seen.
fn filter(paths: &[Path], ids: &EchoIds, size: usize, vlan: Option<VlanMatch>) -> Filter {
    let token = ids.token(size);
    // What is too short for the token says nothing of whose it is: it goes on to the kernel, where it is
    // heard beside the run and stays with its owner. Without one, the address has to do.
    let by_address = token.is_none() && paths.len() <= MAX_TARGETS;
    let payload = token.map_or(PayloadMatch::Shorter, |bytes| {
        let mask = [0xff; 8];
        PayloadMatch::Is { bytes, mask }
    });
    let mut rows: Vec<Match> = Vec::new();
    let mut add = |row: Match| {
        let (icmp_id, payload) = (Some(ids.range()), Some(payload));
        let row = Match { icmp_id, payload, vlan, whole: true, ..row };
        if !rows.contains(&row) {
            rows.push(row);
        }
    };
    for (source, len) in sources(paths).into_iter().filter(|_| !by_address) {
        let ours = Some((source, len));
        add(Match { dst: ours, ..reply(source) });
        add(Match { src: ours, ..request(source) });
    }
    for path in paths.iter().filter(|_| by_address) {
        let (ours, theirs) = (Some(exact(path.source)), Some(exact(path.address)));
        let from = theirs.filter(|_| !path.multicast);
        add(Match { src: from, dst: ours, ..reply(path.source) });
        add(Match { src: ours, dst: theirs, ..request(path.source) });
    }
    Filter::Any(rows)
}

/// The prefix that is one address.
fn exact(address: IpAddr) -> (IpAddr, u8) {
    (address, if address.is_ipv4() { 32 } else { 128 })
}

fn of_kind((ip_proto, icmp_type): (u8, u8)) -> Match {
    Match { ip_proto: Some(ip_proto), icmp_type: Some(icmp_type), ..Match::default() }
}

/// A reply to `source`.
fn reply(source: IpAddr) -> Match {
    of_kind(frame::echo_reply(source))
}

/// An error that quotes a request of `source`.
fn request(source: IpAddr) -> Match {
    Match { quoted: true, ..of_kind(frame::echo_request(source)) }
}

/// Our addresses, or all addresses of their families where they are many.
fn sources(paths: &[Path]) -> Vec<(IpAddr, u8)> {
    let mut own: Vec<IpAddr> = Vec::new();
    for path in paths {
        if own.len() <= MAX_SOURCES && !own.contains(&path.source) {
            own.push(path.source);
        }
    }
    if own.len() <= MAX_SOURCES {
        return own.into_iter().map(exact).collect();
    }
    let of = |v4: bool| paths.iter().map(|path| path.source).find(|own| own.is_ipv4() == v4);
    of(true).into_iter().chain(of(false)).map(|own| (own, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::build::{self, Link, Net};
    use crate::proto::respond::{IcmpError, icmp_error};
    use crate::proto::{Icmpv4Message, Icmpv6Message, IpPair, MacAddr};

    const TO_US: Link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));

    fn path(source: &str, target: &str) -> Path {
        Path::between(source.parse().unwrap(), target.parse().unwrap())
    }

    fn made(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
        let mut packet = vec![0; 2048];
        let len = write(&mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    fn net(from: &str, to: &str) -> Net {
        Net::new(IpPair::new(from.parse().unwrap(), to.parse().unwrap()).unwrap())
    }

    fn reply(from: &str, to: &str, id: u16, data: &[u8]) -> Vec<u8> {
        let net = net(from, to);
        made(|buf| match from.contains(':') {
            true => {
                build::icmpv6(buf, &TO_US, &net, &Icmpv6Message::EchoReply { id, seq: 1, data })
            }
            false => {
                build::icmpv4(buf, &TO_US, &net, &Icmpv4Message::EchoReply { id, seq: 1, data })
            }
        })
    }

    /// The error of a router about a request, of which it quotes so much of the payload.
    fn about(from: &str, to: &str, id: u16, data: &[u8]) -> Vec<u8> {
        let request = made(|buf| build::echo_request(buf, &TO_US, &net(from, to), id, 1, data));
        let router = if from.contains(':') { "2001:db8::fe" } else { "192.0.2.254" };
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);
        made(|buf| icmp_error(buf, &request, router.parse().unwrap(), mac, IcmpError::TimeExceeded))
    }

    #[test]
    fn the_answers_of_another_with_our_identifier_stay_with_it() {
        let other = b"\x11\x22\x33\x44\x00\x00\x00\x00 and so on";
        for (us, target, elsewhere) in
            [("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("2001:db8::1", "2001:db8::2", "2001:db8::3")]
        {
            let paths = [path(us, target)];
            let ids = EchoIds::new(&paths, true, &[]).unwrap();
            let id = *ids.range().start();
            let data = frame::payload(56, &[], ids.token(56));
            let filter = filter(&paths, &ids, 56, Some(VlanMatch::UNTAGGED));
            let takes = |packet: &[u8]| filter.matches(packet);
            assert!(takes(&reply(target, us, id, &data)) && takes(&about(us, target, id, &data)));
            assert!(takes(&reply(elsewhere, us, id, &data)), "a different address");
            let longer = [&data, &[1; 8][..]].concat();
            assert!(
                takes(&reply(target, us, id, &longer)) && takes(&reply(target, us, id, &data[..8]))
            );
            assert!(!takes(&reply(target, us, id, b"")), "nothing says that it is ours");
            for from in [target, elsewhere] {
                assert!(!takes(&reply(from, us, id, other)) && !takes(&about(us, from, id, other)));
            }
            assert!(!takes(&reply(target, us, id - 1, &data)));
            assert!(!takes(&reply(target, us, *ids.range().end() + 1, &data)));
        }
    }

    #[test]
    fn without_room_for_a_token_the_address_says_whose_a_short_answer_is() {
        let paths = [path("192.0.2.1", "192.0.2.2"), path("192.0.2.1", "192.0.2.4")];
        let ids = EchoIds::new(&paths, true, &[]).unwrap();
        let (us, id) = ("192.0.2.1", *ids.range().start());
        let filter = filter(&paths, &ids, 7, None);
        for (from, data, ours) in [
            ("192.0.2.2", &b"1234567"[..], true),
            ("192.0.2.4", b"", true),
            ("192.0.2.3", b"1234567", false),
            ("192.0.2.2", b"12345678", false),
        ] {
            assert_eq!(filter.matches(&reply(from, us, id, data)), ours, "{from} {data:?}");
            assert_eq!(filter.matches(&about(us, from, id, data)), ours, "{from} {data:?}");
        }
    }

    #[test]
    fn what_is_in_another_vlan_is_not_ours() {
        let paths = [path("192.0.2.1", "192.0.2.2")];
        let ids = EchoIds::new(&paths, true, &[]).unwrap();
        let data = frame::payload(56, &[], ids.token(56));
        let plain = reply("192.0.2.2", "192.0.2.1", *ids.range().start(), &data);
        let tagged = [&plain[..12], &[0x81, 0, 0, 99], &plain[12..]].concat();
        let untagged = filter(&paths, &ids, 56, Some(VlanMatch::UNTAGGED));
        assert!(untagged.matches(&plain) && !untagged.matches(&tagged));
        let inside = filter(&paths, &ids, 56, Some(VlanMatch::of_frame(&tagged)));
        assert!(!inside.matches(&plain) && inside.matches(&tagged));
    }

    #[test]
    fn rows_are_few_however_many_targets_there_are() {
        for (targets, sources, most) in
            [(1, 1, 2), (8, 8, 16), (9, 8, 16), (200, 9, 2), (200, 1, 2)]
        {
            let path = |n: u8| Path::between([10, 0, 0, n % sources].into(), [10, 1, 0, n].into());
            let paths: Vec<_> = (0..targets).map(path).collect();
            let ids = EchoIds::new(&paths, true, &[]).unwrap();
            for size in [0, 56] {
                let Filter::Any(rows) = filter(&paths, &ids, size, None) else { panic!() };
                assert!(rows.len() <= most && most <= MAX_MATCHES, "{targets}: {}", rows.len());
                for n in 0..targets {
                    let (us, them) = (format!("10.0.0.{}", n % sources), format!("10.1.0.{n}"));
                    let data = frame::payload(size, &[], ids.token(size));
                    let answer = reply(&them, &us, *ids.range().start(), &data);
                    assert!(Filter::Any(rows.clone()).matches(&answer), "{us} {them} {size}");
                }
            }
        }
    }
}
