//! A host that answers for a target from another address of its own is the end of the path.

use crate::command::{flux, stdout};
use crate::lab::icmp::{icmp4, icmp6};
use crate::lab::responder::Responder;
use crate::lab::routers::Chain;
use crate::lab::{Lab, OURS, ip_batch};
use crate::running::Ended;
use serde_json::json;
use std::net::IpAddr;

fn targets() -> [(IpAddr, IpAddr); 2] {
    let pair = |a: &str, b: &str| (a.parse().unwrap(), b.parse().unwrap());
    [pair("10.9.0.77", "10.9.0.78"), pair("fd09::77", "fd09::78")]
}

/// Port unreachable from another address, to whatever TTL.
fn answer(frame: &[u8]) -> Vec<Vec<u8>> {
    targets()
        .into_iter()
        .filter_map(|(target, other)| match target {
            IpAddr::V4(to)
                if frame.get(12..14)? == [8, 0]
                    && frame.get(23)? == &17
                    && frame.get(30..34)? == to.octets() =>
            {
                Some(icmp4(frame, other, &[&[3, 3, 0, 0, 0, 0, 0, 0], &frame[14..42]].concat()))
            }
            IpAddr::V6(to)
                if frame.get(12..14)? == [0x86, 0xdd]
                    && frame.get(20)? == &17
                    && frame.get(38..54)? == to.octets() =>
            {
                Some(icmp6(frame, other, &[&[1, 4, 0, 0, 0, 0, 0, 0], &frame[14..]].concat()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn port_unreachable_from_another_address_ends_the_path_and_is_named() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    for (target, _) in targets() {
        let mac = "02:00:00:00:09:02";
        ip_batch(&format!("neigh replace {target} lladdr {mac} dev {OURS} nud permanent\n"));
    }
    let _responder = Responder::on(lab.wire(), answer);
    for (target, other) in targets() {
        let ended = Ended::of_line(&format!("trace -n {target}"));
        let summary = ended.first("summary");
        assert_eq!((ended.status, &summary["reached"]), (Some(0), &json!(true)), "{summary}");
        assert_eq!((&summary["distance"], &summary["answered_by"]), (&json!(1), &json!(other)));
        assert_eq!(summary["hops"].as_array().map(Vec::len), Some(1), "{summary}");
        let text = stdout(&flux(&format!("trace -n {target}")).output().unwrap());
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains(&format!("{other} answered")), "{text}");
    }
}

/// The subnet-router anycast address: RFC 4443 has the router answer from an address of its own.
#[test]
fn an_anycast_address_is_reached_by_echo_and_by_udp() {
    let Some(lab) = Chain::of(2).up() else { return };
    let anycast: IpAddr = "fd09:0:0:2::".parse().unwrap();
    for options in ["--icmp", "--icmp --paths", ""] {
        let ended = Ended::of_line(&format!("trace -n {options} {anycast}"));
        let summary = ended.first("summary");
        assert_eq!((ended.status, &summary["reached"]), (Some(0), &json!(true)), "{summary}");
        assert_eq!(summary["distance"], 2, "{options}: {summary}");
        // Linux refuses a port in the name of the address that was asked.
        let other = summary["answered_by"].is_string();
        assert_eq!(other, !options.is_empty(), "{options}: {summary}");
    }
    drop(lab);
}
