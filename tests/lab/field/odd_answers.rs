//! Hosts that answer otherwise than asked are there: with less payload or more, from another address,
//! after somebody said that they cannot be reached, or all at once for a group.

use crate::lab::icmp::{icmp4, icmp6};
use crate::lab::responder::{Responder, echo_request};
use crate::lab::{Lab, OURS, ip_batch};
use crate::running::{Ended, Running};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Payload of the probes.
const SIZE: usize = 100;

/// Addresses that nobody has: the peer's kernel does not answer for them, the test does.
fn targets() -> [(IpAddr, IpAddr); 2] {
    let v4 = |last| IpAddr::from([10, 9, 0, last]);
    let v6 = |last: &str| format!("fd09::{last}").parse().unwrap();
    [(v4(77), v4(78)), (v6("77"), v6("78"))]
}

fn lab() -> Option<Lab> {
    let lab = Lab::veth(1).map(Lab::with_neighbours)?;
    for (target, _) in targets() {
        ip_batch(&format!(
            "neigh replace {target} lladdr 02:00:00:00:09:02 dev {OURS} nud permanent\n"
        ));
    }
    Some(lab)
}

/// Where ICMP begins in an untagged frame.
fn icmp_at(frame: &[u8]) -> usize {
    if frame[12..14] == [8, 0] { 34 } else { 54 }
}

fn payload(frame: &[u8]) -> &[u8] {
    &frame[icmp_at(frame) + 8..]
}

/// An echo reply of `from` with this payload.
fn reply(frame: &[u8], from: IpAddr, data: &[u8]) -> Vec<u8> {
    let numbers = &frame[icmp_at(frame) + 4..icmp_at(frame) + 8];
    match from {
        IpAddr::V4(_) => icmp4(frame, from, &[&[0, 0, 0, 0], numbers, data].concat()),
        IpAddr::V6(_) => icmp6(frame, from, &[&[129, 0, 0, 0], numbers, data].concat()),
    }
}

/// A router's word that the host of a request cannot be reached.
fn unreachable(frame: &[u8], from: IpAddr) -> Vec<u8> {
    match from {
        IpAddr::V4(_) => icmp4(frame, from, &[&[3, 1, 0, 0, 0, 0, 0, 0], &frame[14..42]].concat()),
        IpAddr::V6(_) => icmp6(frame, from, &[&[1, 3, 0, 0, 0, 0, 0, 0], &frame[14..]].concat()),
    }
}

/// Answers for `target`, as `answer` says by the number of the probe.
fn answering(
    lab: &Lab,
    target: IpAddr,
    answer: impl Fn(u16, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> Responder {
    Responder::on(lab.wire(), move |frame| {
        let to = match target {
            IpAddr::V4(to) => frame.get(30..34) == Some(&to.octets()),
            IpAddr::V6(to) => frame.get(38..54) == Some(&to.octets()),
        };
        match echo_request(frame).filter(|_| to) {
            Some((_, seq)) => answer(seq, frame),
            None => Vec::new(),
        }
    })
}

fn ended(line: &str) -> (Ended, Value) {
    let ended = Running::start(line).end();
    let summary = ended.first("summary").clone();
    (ended, summary)
}

#[test]
fn answers_that_are_cut_stretched_changed_or_from_elsewhere_are_told_from_loss() {
    let Some(lab) = lab() else { return };
    for (mode, (target, other)) in
        ["native", "skb"].into_iter().flat_map(|m| targets().map(|t| (m, t)))
    {
        let _responder = answering(&lab, target, move |seq, frame| {
            let data = payload(frame);
            let mut changed = data.to_vec();
            changed[50] ^= 0xff;
            let whole = reply(frame, target, data);
            let mut spoilt = whole.clone();
            *spoilt.last_mut().unwrap() ^= 1;
            match seq {
                1 => vec![reply(frame, target, &data[..64])],
                2 => vec![reply(frame, target, &data[..8])],
                3 => vec![reply(frame, target, &[])],
                4 => vec![reply(frame, target, &[data, &[1; 20]].concat())],
                5 => vec![reply(frame, target, &changed)],
                6 => vec![reply(frame, other, data)],
                _ => vec![spoilt, whole],
            }
        });
        let line = format!("ping --attach {mode} -s {SIZE} -c 7 -i 0.02 -W 60 {target}");
        let (ended, summary) = ended(&line);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let count = |key: &str| summary[key].as_u64().unwrap();
        assert_eq!((count("received"), count("lost"), count("duplicates")), (7, 0, 0), "{summary}");
        assert_eq!(
            (count("truncated_replies"), count("different_address_replies")),
            (3, 1),
            "{summary}"
        );
        assert_eq!((count("corrupt"), count("bad_checksum")), (2, 1), "{summary}");
        let mut replies: Vec<&Value> = ended.of("reply").collect();
        // The empty one is heard on the kernel's stack, which is read less often.
        replies.sort_by_key(|reply| reply["seq"].as_u64());
        let lengths: Vec<_> = replies.iter().map(|r| r["bytes"].as_u64().unwrap()).collect();
        assert_eq!(lengths, [72, 16, 8, 128, 108, 108, 108]);
        for (at, reply) in replies.iter().enumerate() {
            assert_eq!(reply.get("truncated").is_some(), at < 3, "{reply}");
            assert_eq!(reply.get("different_address").is_some(), at == 5, "{reply}");
            assert!(reply["rtt_us"].as_f64() > Some(0.0), "{reply}");
        }
        assert_eq!(replies[4]["wrong_byte"], json!({"offset": 50, "expected": 50, "actual": 205}));
        assert_eq!(replies[5]["from"], other.to_string());
        assert_eq!(ended.of("corrupt").count(), 1);
    }
}

#[test]
fn an_error_about_a_probe_is_no_end_of_it() {
    let Some(lab) = lab() else { return };
    for (target, router) in targets() {
        let _responder = answering(&lab, target, move |_, frame| {
            vec![unreachable(frame, router), reply(frame, target, payload(frame))]
        });
        let (ended, summary) = ended(&format!("ping -c 3 -i 0.02 -W 60 {target}"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let count = |key: &str| summary[key].as_u64().unwrap();
        assert_eq!((count("received"), count("errors"), count("lost")), (3, 3, 0), "{summary}");
        assert_eq!((count("duplicates"), summary["loss_pct"].as_f64()), (0, Some(0.0)));
        assert_eq!((ended.of("icmp").count(), ended.of("reply").count()), (3, 3));
    }
}

#[test]
fn a_target_whose_probes_fail_at_first_is_waited_for() {
    let Some(lab) = lab() else { return };
    for (target, router) in targets() {
        let _responder = answering(&lab, target, move |seq, frame| match seq {
            1..10 => vec![unreachable(frame, router)],
            _ => vec![reply(frame, target, payload(frame))],
        });
        let (ended, summary) = ended(&format!("ping -c 1 -w 60 -i 0.02 {target}"));
        assert_eq!((ended.status, &summary["received"]), (Some(0), &json!(1)), "{ended:?}");
        assert!(summary["sent"].as_u64() >= Some(10), "{summary}");
    }
}

#[test]
fn each_member_of_a_group_is_an_answerer_and_none_a_duplicate() {
    let Some(lab) = lab().map(Lab::with_link_local) else { return };
    // A link-local address is printed so that it can be given back.
    let local: IpAddr = "fe80::77".parse().unwrap();
    let members = move |family: usize| match targets()[family] {
        (a @ IpAddr::V4(_), b) => [a, b],
        (_, b) => [local, b],
    };
    for (group, family) in [("224.0.0.1", 0), ("ff02::1%flux0", 1)] {
        let address: IpAddr = group.split('%').next().unwrap().parse().unwrap();
        let _responder = answering(&lab, address, move |_, frame| {
            members(family).map(|member| reply(frame, member, payload(frame))).to_vec()
        });
        let (ended, summary) = ended(&format!("ping -c 2 -i 0.02 -W 2 -I {OURS} {group}"));
        assert_eq!((ended.status, &summary["received"]), (Some(0), &json!(2)), "{ended:?}");
        assert_eq!((&summary["duplicates"], &summary["lost"]), (&json!(0), &json!(0)));
        assert_eq!(ended.of("duplicate").count(), 0, "{ended:?}");
        let answerers = summary["answerers"].as_array().unwrap();
        for member in members(family) {
            let zone = if member == local { "%flux0" } else { "" };
            let shown = format!("{member}{zone}");
            let it = answerers.iter().find(|a| a["address"] == *shown);
            assert_eq!(ended.of("reply").filter(|r| r["from"] == *shown).count(), 2, "{ended:?}");
            assert_eq!(it.map(|a| &a["received"]), Some(&json!(2)), "{member}: {summary}");
        }
    }
}

#[test]
fn a_broadcast_address_is_pinged_when_that_is_asked_for() {
    let Some(lab) = lab() else { return };
    let [(one, other), _] = targets();
    let broadcast = "10.9.0.255";
    let _responder = answering(&lab, broadcast.parse().unwrap(), move |_, frame| {
        [one, other].map(|member| reply(frame, member, payload(frame))).to_vec()
    });
    let refused = Running::start(&format!("ping -c 1 {broadcast}")).end();
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(format!("{refused:?}").contains("use -b"), "{refused:?}");
    let (ended, summary) = ended(&format!("ping -b -c 2 -i 0.02 -W 2 {broadcast}"));
    assert_eq!((ended.status, &summary["received"]), (Some(0), &json!(2)), "{ended:?}");
    assert_eq!(summary["duplicates"], 0, "{summary}");
    let answerers = summary["answerers"].as_array().unwrap();
    let received = |member: IpAddr| {
        answerers.iter().find(|a| a["address"] == member.to_string()).map(|a| &a["received"])
    };
    assert_eq!((received(one), received(other)), (Some(&json!(2)), Some(&json!(2))), "{summary}");
}
