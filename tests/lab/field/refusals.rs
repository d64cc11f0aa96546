//! A refusal is the word of one router about one packet: it marks its hop, and the path goes on where
//! others got through.

use crate::command::{flux, stdout};
use crate::lab::icmp::icmp4;
use crate::lab::responder::Responder;
use crate::lab::{Lab, OURS, ip_batch};
use crate::running::Ended;
use serde_json::json;
use std::net::IpAddr;

const TARGET: &str = "203.0.113.7";

/// "Too big, MTU 9000" to 60 bytes from hop 1; hop 2 and the target answer as they should.
fn answer(frame: &[u8]) -> Vec<Vec<u8>> {
    let ours = frame.get(12..14) == Some(&[8, 0]) && frame.get(30..34) == Some(&[203, 0, 113, 7]);
    let Some(ttl) = frame.get(22).filter(|_| ours) else { return Vec::new() };
    let (from, head): (&str, [u8; 8]) = match ttl {
        1 => ("10.9.0.2", [3, 4, 0, 0, 0, 0, 0x23, 0x28]),
        2 => ("198.51.100.1", [11, 0, 0, 0, 0, 0, 0, 0]),
        _ => (TARGET, [3, 3, 0, 0, 0, 0, 0, 0]),
    };
    let from: IpAddr = from.parse().unwrap();
    vec![icmp4(frame, from, &[&head, &frame[14..42]].concat())]
}

#[test]
fn a_packet_that_is_not_too_big_is_not_the_end_of_the_path() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    ip_batch(&format!("route add 203.0.113.0/24 via 10.9.0.2 dev {OURS}\n"));
    let _responder = Responder::on(lab.wire(), answer);
    for _ in 0..5 {
        let ended = Ended::of_line(&format!("trace -n {TARGET}"));
        let summary = ended.first("summary");
        let what = format!("{summary}");
        assert_eq!((ended.status, &summary["reached"]), (Some(0), &json!(true)), "{what}");
        assert_eq!(summary["distance"], 3, "{what}");
        let hops = summary["hops"].as_array().unwrap();
        assert_eq!(hops.len(), 3, "{what}");
        assert_eq!(hops[0]["routers"][0]["mark"], "!F-9000", "{what}");
        assert_eq!(hops[1]["routers"][0]["address"], "198.51.100.1", "{what}");
    }
    let text = stdout(&flux(&format!("trace -n {TARGET}")).output().unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[1].contains("!F-9000") && lines[4].starts_with("reached "), "{text}");
}
