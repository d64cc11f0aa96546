//! What `fix:` and `hint:` lines say is done, and what was wrong is right.

use super::{command_in, refused};
use crate::command::{Copy, assert_exit, events, run};
use crate::lab::{self, Lab, OURS, PEER, PEER_IP, has, wait_until};
use serde_json::Value;

/// The checks of doctor that are no `ok`, by their ids.
fn troubles(line: &str) -> Vec<(String, String)> {
    let output = run(&format!("doctor {line} -j"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        assert_eq!(check["status"] == "ok", check["fix"].is_null(), "{check:#}");
    }
    let odd = checks.iter().filter(|check| check["status"] != "ok");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    odd.map(|check| (text(check, "id"), text(check, "fix"))).collect()
}

/// The fix of a check that is a warning or a blocker now.
#[track_caller]
fn fix_of(line: &str, id: &str) -> String {
    let all = troubles(line);
    let found = all.iter().find(|(found, _)| found == id);
    found.unwrap_or_else(|| panic!("{id} is well: {all:?}")).1.clone()
}

/// Whether a check is well now.
fn is_well(line: &str, id: &str) -> bool {
    troubles(line).iter().all(|(found, _)| found != id)
}

/// The kernel lets go of the queues of a run a moment after it ended.
fn one_rx_queue() {
    wait_until("the queues are free", || lab::try_run(&format!("ethtool -L {OURS} rx 1")).is_ok());
}

#[test]
fn fixes_of_doctor_fix_what_they_are_for() {
    let Some(lab) = Lab::veth(2) else { return };
    // Down, and then without carrier.
    lab.run(&format!("ip link set {OURS} down"));
    lab.run(&fix_of(OURS, "up"));
    assert!(is_well(OURS, "up"));
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    assert!(fix_of(OURS, "carrier").contains("other end of the pair"));
    lab.run_in_peer(&format!("ip link set {PEER} up"));
    wait_until("the carrier", || is_well(OURS, "carrier"));
    // An MTU that a frame has no room for.
    lab.run(&format!("ip link set {OURS} mtu 3000"));
    let fix = fix_of(OURS, "mtu");
    let (frames, shorter) = fix.split_once(", or: ").unwrap();
    assert_eq!(frames, "use --frame-size 4096");
    assert_exit("larger frames", &run(&format!("ping -c 1 --frame-size 4096 {PEER_IP}")), 0);
    lab.run(shorter);
    assert!(is_well(OURS, "mtu"));
    // One that native XDP refuses, at the other end.
    lab.run_in_peer(&format!("ip link set {PEER} mtu 9000"));
    let fix = fix_of(OURS, "attach_native");
    let (here, there) = fix.split_once(", and ").unwrap();
    assert_eq!(there, "the same on the other end");
    lab.run(here);
    lab.run_in_peer(&here.replace(OURS, PEER));
    assert!(is_well(OURS, "attach_native"));
    // More queues at the other end than native XDP takes.
    one_rx_queue();
    let fix = fix_of(OURS, "attach_native").replace("rx N,", "rx 2,");
    lab.run(fix.split(',').next().unwrap());
    assert!(is_well(OURS, "attach_native"));
    // Queues that only receive.
    lab.run_in_peer(&format!("ethtool -L {PEER} rx 1"));
    lab.run(&format!("ethtool -L {OURS} tx 1"));
    let fix = fix_of(OURS, "queues");
    lab.run_in_peer(&format!("ethtool -L {PEER} rx 2"));
    lab.run(fix.split("a TX queue each: ").nth(1).unwrap());
    assert!(is_well(OURS, "queues"));
    // Packets without checksums.
    lab.run("ip link add near0 type veth peer name near1");
    lab.run(&fix_of("near0", "checksums"));
    assert!(is_well("near0", "checksums"));
}

#[test]
fn hints_of_refused_runs_work() {
    let Some(lab) = Lab::veth(2) else { return };
    let ping = format!("ping -c 1 {PEER_IP}");
    lab.run(&format!("ip link set {OURS} down"));
    let (_, hint) = refused(&format!("ping -c 1 -I {OURS} {PEER_IP}"));
    lab.run(command_in(&hint));
    wait_until("the link", || run(&ping).status.success());
    // Each of these is refused, and works with the option that the hint gives in its place.
    for (bad, good) in [
        ("--bind zerocopy", "--bind auto"),
        ("--bind zerocopy", "--bind copy"),
        ("--queue 7", "--queue all"),
        ("--hugepages 1g", "--hugepages auto"),
    ] {
        let (_, hint) = refused(&format!("{ping} {bad}"));
        let option: Vec<_> = good.split(' ').take(2).collect();
        assert!(hint.contains(&option.join(" ")), "{bad}: {hint}");
        assert_exit(good, &run(&format!("{ping} {good}")), 0);
    }
    lab.run_in_peer(&format!("ip link set {PEER} mtu 9000"));
    let (error, hint) = refused(&format!("{ping} --attach native"));
    assert!(error.contains("Peer MTU is too large"), "the kernel's own words: {error}");
    assert!(hint.contains("--attach skb"), "{hint}");
    assert_exit("skb", &run(&format!("{ping} --attach skb")), 0);
    lab.run_in_peer(&format!("ip link set {PEER} mtu 1500"));
    // The kernel's words on queues as well.
    one_rx_queue();
    let (error, hint) = refused(&format!("{ping} --attach native"));
    assert!(error.contains("number of rx queues"), "{error}");
    assert!(hint.contains("--attach skb"), "{hint}");
    assert_exit("auto", &run(&ping), 0);
}

#[test]
fn the_command_for_capabilities_gives_them() {
    let Some(_lab) = Lab::veth(1).filter(|_| has(&["setpriv"])) else { return };
    let flux = Copy::new("flux-setcap");
    let line = format!("ping -c 1 {PEER_IP}");
    let output = flux.as_nobody(",+net_raw", &line);
    let text = String::from_utf8(output.stderr).unwrap();
    let command = command_in(text.lines().find(|line| line.starts_with("hint: ")).unwrap());
    if lab::try_run("setcap -h").is_err() {
        return lab::skip("needs Debian package libcap2-bin");
    }
    lab::run(&format!("{command} {}", flux.path().display()));
    // Those of the file come from it alone: the bounding set has to let them through.
    let bounds = ",+net_raw,+net_admin,+bpf,+perfmon";
    assert_exit("with setcap", &flux.bounded(bounds, &line), 0);
}

#[test]
fn a_simulated_machine_has_no_fix_where_all_is_well() {
    for line in ["doctor sim0 --sim -j", "doctor sim0 --sim=mtu=3000 -j"] {
        let report = &events(line, 0)[0];
        for check in report["checks"].as_array().unwrap() {
            assert_eq!(check["status"] == "ok", check["fix"].is_null(), "{check:#}");
        }
    }
}
