//! Any frame as an answer to a probe of `flux trace`. Random bytes hardly ever are an ICMP error,
//! so they are also quoted in one.
#![no_main]

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::{Icmpv4Kind, Icmpv4Message, Icmpv6Kind, Icmpv6Message, IpPair, MacAddr};
use fluxnet::tools::trace::read_answer;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};

fuzz_target!(|bytes: &[u8]| {
    read_answer(bytes);
    let Some((&[kind, code, a, b, c, d], data)) = bytes.split_first_chunk::<6>() else { return };
    let (rest, link) = ([a, b, c, d], Link::new(MacAddr::ZERO, MacAddr::ZERO));
    let mut frame = vec![0; data.len() + 100];
    let ip = IpPair::V4 { src: Ipv4Addr::LOCALHOST, dst: Ipv4Addr::LOCALHOST };
    let message = Icmpv4Message::Other { kind: Icmpv4Kind(kind), code, rest, data };
    let len = build::icmpv4(&mut frame, &link, &Net::new(ip), &message);
    read_answer(&frame[..len.unwrap_or_default()]);
    let ip = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::LOCALHOST };
    let message = Icmpv6Message::Other { kind: Icmpv6Kind(kind), code, rest, data };
    let len = build::icmpv6(&mut frame, &link, &Net::new(ip), &message);
    read_answer(&frame[..len.unwrap_or_default()]);
});
