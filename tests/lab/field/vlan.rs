//! Answers in another VLAN than the probes are not ours: a leaking trunk is not a host that is up.

use crate::lab::responder::{Responder, echo_request, tagged, untagged};
use crate::lab::{Lab, PEER_IP, PEER_IP6};
use crate::running::Running;
use fluxnet::proto::respond;
use std::net::IpAddr;

const NONE: &[[u8; 4]] = &[];
const PRIORITY: &[[u8; 4]] = &[[0x81, 0, 0xa0, 0]];
const SEVEN: &[[u8; 4]] = &[[0x81, 0, 0, 7]];
const URGENT_SEVEN: &[[u8; 4]] = &[[0x81, 0, 0xe0, 7]];
const OTHER: &[[u8; 4]] = &[[0x81, 0, 0, 99]];
const SERVICE: &[[u8; 4]] = &[[0x88, 0xa8, 0, 7]];
const STACKED: &[[u8; 4]] = &[[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]];

type Tags = &'static [[u8; 4]];

/// What a packet is answered with, as its protocol has it.
fn answer_to(frame: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; 2048];
    let proto = match frame.get(12..14)? {
        [0x08, 0x00] => *frame.get(23)?,
        _ => *frame.get(20)?,
    };
    let len = match proto {
        6 => respond::tcp_rst(&mut out, frame),
        17 => respond::udp_reply(&mut out, frame, b"x"),
        _ => respond::echo_reply(&mut out, frame),
    }?;
    out.truncate(len);
    Some(out)
}

/// Answers the first echo request with each of the `wrong` tags, the others with the `right` ones.
fn answering(lab: &Lab, wrong: Vec<Tags>, right: Tags) -> Responder {
    Responder::on(lab.wire(), move |frame| {
        let plain = untagged(frame);
        let (Some(answer), Some((_, seq))) = (answer_to(&plain), echo_request(&plain)) else {
            return Vec::new();
        };
        match seq {
            1 => wrong.iter().map(|tags| tagged(&answer, tags)).collect(),
            _ => vec![tagged(&answer, right)],
        }
    })
}

/// The peer's kernel says nothing by itself.
fn silent(lab: &Lab) -> bool {
    crate::lab::has(&["nft"]) && {
        lab.run_in_peer("nft add table inet t");
        lab.run_in_peer(
            "nft add chain inet t c { type filter hook input priority 0; policy drop; }",
        );
        true
    }
}

fn targets() -> [IpAddr; 2] {
    [PEER_IP.into(), PEER_IP6.into()]
}

#[test]
fn ping_takes_answers_in_the_vlan_of_its_probes_alone() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    if !silent(&lab) {
        return;
    }
    for mode in ["native", "skb"] {
        for (option, wrong, right) in [
            ("", vec![OTHER, SEVEN, STACKED, SERVICE], NONE),
            ("", vec![OTHER], PRIORITY),
            ("--vlan 7", vec![NONE, PRIORITY, OTHER, STACKED, SERVICE], URGENT_SEVEN),
        ] {
            let _script = answering(&lab, wrong, right);
            for target in targets() {
                let line = format!("ping --attach {mode} -c 2 -i 0.01 -W 1 {option} {target}");
                let ended = Running::start(&line).end();
                assert_eq!(ended.status, Some(0), "{line}: {ended:?}");
                let replies: Vec<_> = ended.of("reply").map(|reply| reply["seq"].clone()).collect();
                assert_eq!(replies, [2], "{line}: {:?}", ended.events);
            }
        }
    }
}

#[test]
fn trace_takes_answers_in_no_other_vlan_whatever_the_protocol() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    if !silent(&lab) {
        return;
    }
    for (option, mode) in [("--icmp", "native"), ("", "skb"), ("-T", "native"), ("--icmp", "skb")] {
        for (tags, reached) in [(OTHER, false), (PRIORITY, true)] {
            let _script = Responder::on(lab.wire(), move |frame| {
                answer_to(frame).map(|answer| tagged(&answer, tags)).into_iter().collect()
            });
            for target in targets() {
                let line = format!("trace -n -q 1 -m 1 -w 0.5 --attach {mode} {option} {target}");
                let ended = Running::start(&line).end();
                assert_eq!(ended.status, Some(i32::from(!reached)), "{line}: {ended:?}");
                let summary = ended.of("summary").next().unwrap();
                assert_eq!(summary["reached"], reached, "{line}: {summary}");
            }
        }
    }
}
