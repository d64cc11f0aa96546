//! More RX than TX queues, as veth and some cloud NICs have: the kernel sends nothing of a queue that
//! only receives, and what answers there counts all the same.

use crate::command::{assert_exit, events, json_lines, of, run, stderr};
use crate::lab::{Lab, OURS, PEER};
use serde_json::json;

/// Of the peer: more targets than there are queues.
const OTHERS: [&str; 2] = ["10.9.0.13", "10.9.0.14"];
const OTHERS6: [&str; 2] = ["fd09::13", "fd09::14"];

/// Two RX queues and one TX queue at our end; at the other one RX queue and two that send.
fn lab() -> Option<Lab> {
    let lab = Lab::veth(2)?.with_link_local();
    lab.run(&format!("ethtool -L {OURS} tx 1"));
    lab.run_in_peer(&format!("ethtool -L {PEER} rx 1"));
    for other in OTHERS {
        lab.run_in_peer(&format!("ip addr add {other}/24 dev {PEER}"));
    }
    for other in OTHERS6 {
        lab.run_in_peer(&format!("ip addr add {other}/64 dev {PEER} nodad"));
    }
    Some(lab)
}

#[test]
fn every_target_is_answered_and_a_run_that_is_longer_than_the_rings_ends() {
    let Some(_lab) = lab() else { return };
    for [one, two] in [OTHERS, OTHERS6] {
        // 4000 probes: more than rings have slots, were a part of them never taken.
        for native in ["auto", "skb"] {
            let line = format!("ping -q -j -c 2000 -i 1ms -W 10 --attach {native} {one} {two}");
            let events = events(&line, 0);
            for summary in of(&events, "summary") {
                assert_eq!((&summary["sent"], &summary["lost"]), (&json!(2000), &json!(0)));
            }
            assert!(of(&events, "note").is_empty(), "{events:?}");
        }
    }
}

#[test]
fn trace_sends_by_the_queue_that_sends() {
    let Some(_lab) = lab() else { return };
    for probes in ["", "--icmp", "-T"] {
        let [[a, b], [c, d]] = [OTHERS, OTHERS6];
        let line = format!("trace -n -j -q 1 -m 2 {probes} {a} {b} {c} {d}");
        let events = events(&line, 0);
        let reached = of(&events, "summary").into_iter().map(|summary| &summary["reached"]);
        assert_eq!(reached.collect::<Vec<_>>(), [&json!(true); 4], "flux {line}: {events:?}");
    }
}

#[test]
fn a_queue_that_only_receives_is_refused_and_doctor_warns_of_it() {
    let Some(_lab) = lab() else { return };
    let said = format!("cannot send on {OURS} queue 1: it only receives, as {OURS} has no TX");
    for line in [
        format!("ping -c 1 --queue 1 {}", OTHERS[0]),
        format!("trace -n --queue 1 {}", OTHERS[0]),
        format!(
            "bench -I {OURS} --workload txonly --queue 1 --batch 64 --poll busy --duration 100ms"
        ),
    ] {
        let output = run(&line);
        assert_exit(&line, &output, 2);
        let text = stderr(&output);
        assert!(text.contains(&said) && text.contains("use --queue 0"), "flux {line}: {text}");
    }
    let line = format!("doctor --json --no-attach {OURS}");
    let report = &json_lines(&run(&line))[0];
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "queues").unwrap();
    assert_eq!(check["status"], "warning", "{check}");
    assert!(check["finding"].as_str().unwrap().contains("queue 1 can only receive"), "{check}");
}
