//! Any bytes, all parsers: nothing panics and every range stays inside.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fluxnet::proto::respond::{self, IcmpError};
use fluxnet::proto::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pair = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST };
    let _ = ArpView::parse(bytes).map(|v| v.repr());
    let _ = Ipv4View::parse(bytes).map(|v| (v.repr(), v.options().count()));
    let _ = Ipv6View::parse(bytes).map(|v| (v.repr(), v.payload().len()));
    let _ = UdpView::parse(bytes).map(|v| (v.repr(), v.verify_checksum(&pair)));
    let _ = TcpView::parse(bytes).map(|v| (v.repr(), v.verify_checksum(&pair)));
    for quote in [Quote::parse_v4(bytes), Quote::parse_v6(bytes)].into_iter().flatten() {
        let _ = (quote.ports(), quote.echo(), quote.tcp_seq(), quote.udp_len_checksum());
    }
    let _ = Icmpv4View::parse(bytes).map(|v| (v.extensions().len(), v.message().quote().is_some()));
    let _ = Icmpv6View::parse(bytes).map(|v| (v.extensions().len(), v.message().is_ok()));

    let mut completed = bytes.to_vec();
    let changed = complete_checksum(&mut completed);
    assert_eq!(changed, completed != bytes);

    let Ok(headers) = Headers::parse(bytes) else { return };
    assert!(headers.l3_offset() <= headers.l4_offset());
    assert!(headers.l4_offset() <= headers.payload_range().start);
    assert!(bytes.get(headers.payload_range()).is_some());
    assert!(headers.verify_checksums(bytes), "checksums accept everything under cfg(fuzzing)");

    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let mut out = [0; 2048];
    for from in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let error = respond::icmp_error(&mut out, bytes, from, mac, IcmpError::TimeExceeded);
        assert!(error.is_none_or(|len| Headers::parse(&out[..len]).is_ok()));
    }
    let _ = respond::arp_reply(&mut out, bytes, mac);
    let _ = respond::neighbor_advert(&mut out, bytes, mac);
    let _ = respond::echo_reply(&mut out, bytes);
    let _ = respond::tcp_rst(&mut out, bytes);
    let _ = respond::udp_reply(&mut out, bytes, b"x");
    let _ = respond::echo_in_place(&mut bytes.to_vec());
});
