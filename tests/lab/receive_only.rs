//! An interface with more RX than TX queues: the commands send by those that send.

use crate::command::{assert_exit, events, of, run, stderr};
use crate::foreign::Foreign;
use crate::lab::{Lab, OURS, PEER, PEER_IP};
use serde_json::json;

/// Two RX queues and one TX queue at our end, and three addresses at the other.
fn lab() -> Option<Lab> {
    let lab = Lab::veth(2)?.with_neighbours();
    lab.run(&format!("ethtool -L {OURS} tx 1"));
    for last in ["3", "4"] {
        lab.run_in_peer(&format!("ip addr add {} dev {PEER}", address(last)));
    }
    Some(lab)
}

/// A neighbour of the peer's address.
fn address(last: &str) -> String {
    let whole = PEER_IP.to_string();
    let net = whole.rsplit_once('.').expect("an IPv4 address").0;
    format!("{net}.{last}0/24")
}

#[test]
fn probes_to_several_targets_are_all_answered() {
    let Some(_lab) = lab() else { return };
    let others = ["3", "4"].map(|last| address(last).trim_end_matches("/24").to_owned());
    let [one, two] = others;
    for line in [
        format!("ping -q -j -c 5 -i 0.05 -W 20 {PEER_IP} {one} {two}"),
        format!("trace -j -q 2 {PEER_IP} {one} {two}"),
    ] {
        let events = events(&line, 0);
        let start = of(&events, "start")[0];
        assert_eq!((&start["queues"], &start["tx_queues"]), (&json!([0, 1]), &json!([0])));
        let note = format!("queue 1 of {OURS} only receives: it has 1 TX queue");
        assert!(start["notes"].as_array().unwrap().contains(&json!(note)), "{start}");
        assert!(of(&events, "note").is_empty(), "{events:?}");
        if line.starts_with("ping") {
            let lost = of(&events, "summary").into_iter().map(|s| s["loss_pct"].as_f64().unwrap());
            assert_eq!(lost.collect::<Vec<_>>(), [0.0; 3], "{events:?}");
        }
    }
}

#[test]
fn who_has_to_send_by_the_other_queue_is_told_so() {
    let Some(_lab) = lab() else { return };
    let bench = format!("bench -I {OURS} --duration 20ms --repeat 1 --batch 16 --poll syscall");
    for line in [
        format!("ping -c 1 --queue 1 {PEER_IP}"),
        format!("trace --queue 1 {PEER_IP}"),
        format!("{bench} --workload txonly --queue 1"),
        format!("{bench} --workload rxdrop,l2fwd --queue all"),
    ] {
        let out = run(&line);
        assert_exit(&line, &out, 2);
        let text = stderr(&out);
        let said = format!("cannot send on {OURS} queue 1: it only receives, as {OURS} has no TX");
        assert!(text.contains(&said) && text.contains("use --queue 0"), "flux {line}: {text}");
    }
    let line = format!("doctor --no-attach {OURS}");
    let text = String::from_utf8(run(&line).stdout).unwrap();
    assert!(text.contains("2 RX, 1 TX: queue 1 can only receive"), "{text}");
    assert!(text.contains(&format!("ethtool -L {OURS} tx 2")), "{text}");
}

#[test]
fn a_program_that_sends_there_all_the_same_gets_a_name_for_it() {
    let Some(_lab) = lab() else { return };
    let options = ["mode=tx", "queue=1", "pps=1000", "rx=0", "attach=0"];
    let mut owner = Foreign::start(OURS, &options);
    owner.wait("entries that the kernel does not take", |state| state.count("sent") >= 10);
    let sample = &events(&format!("rings {OURS} --json --over 200ms"), 0)[0];
    let told = sample["sockets"][0]["diagnosis"].as_array().unwrap();
    assert_eq!((told.len(), &told[0]["kind"]), (1, &json!("no_tx_queue")), "{sample:#}");
    let text = told[0]["text"].as_str().unwrap();
    let said = format!("queue 1 of {OURS} cannot send: {OURS} has 1 TX queue, so the kernel never");
    assert!(text.starts_with(&said), "{text}");
    assert_eq!(owner.stats().count("completed"), 0);
}
