//! `flux doctor` on the real kernel: veth pairs, foreign programs, missing rights.

use crate::command::{Copy, events, stdout};
use crate::foreign::Foreign;
use crate::lab::xdp::{Hook, attach_by_netlink};
use crate::lab::{Lab, OURS, PEER, has, wait_until, xdp_attached};
use serde_json::Value;

fn report(line: &str, status: i32) -> Value {
    let mut events = events(&format!("doctor --json {line}"), status);
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

#[track_caller]
fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"))
}

/// That check, with that status, and these words in finding or fix.
#[track_caller]
fn assert_check(report: &Value, id: &str, status: &str, words: &[&str]) {
    let check = check(report, id);
    assert_eq!(check["status"], status, "{check:#}");
    let text = format!("{} {}", check["finding"], check["fix"]);
    assert!(words.iter().all(|word| text.contains(word)), "{id}: {words:?}: {text}");
}

/// That it could not be checked, for this reason.
#[track_caller]
fn assert_unchecked(report: &Value, id: &str, reason: &str) {
    let unchecked = report["unchecked"].as_array().unwrap();
    let one = unchecked.iter().find(|one| one["id"] == id);
    let one = one.unwrap_or_else(|| panic!("{id} was checked: {report:#}"));
    assert!(one["reason"].as_str().unwrap().contains(reason), "{one:#}");
}

fn with_status<'a>(report: &'a Value, status: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|c| c["status"] == status).map(|c| c["id"].as_str().unwrap()).collect()
}

#[test]
fn on_a_veth_pair_all_is_fine_and_nothing_is_left_attached() {
    let Some(_lab) = Lab::veth(2) else { return };
    let report = report(OURS, 0);
    assert_eq!((&report["blockers"], &report["interface"]), (&0.into(), &OURS.into()));
    assert_check(&report, "driver", "ok", &["veth"]);
    assert_check(&report, "queues", "ok", &["2 RX, 2 TX"]);
    assert_check(&report, "attach_native", "ok", &["works"]);
    assert_check(&report, "attach_skb", "ok", &["works"]);
    assert_check(&report, "zero_copy", "ok", &["copied once"]);
    assert_check(&report, "program", "ok", &["none"]);
    assert_check(&report, "xdp_socket", "ok", &[]);
    assert_check(&report, "bpf", "ok", &[]);
    // What the machine's kernel was built with is not the pair's fault.
    let interface = ["kernel", "kernel_config", "btf", "huge_pages", "memlock", "bpf_jit"];
    let warnings = with_status(&report, "warning");
    assert!(warnings.iter().all(|id| interface.contains(id)), "{warnings:?}");
    let summary = report["conclusion"].as_str().unwrap();
    assert!(summary.ends_with("AF_XDP works here in native copy mode"), "{summary}");
    assert!(!xdp_attached(OURS));
    // The other end is in another namespace: nobody can say what its kernel leaves out.
    let unchecked = report["unchecked"].as_array().unwrap();
    assert!(unchecked.iter().any(|one| one["id"] == "checksums"), "{unchecked:#?}");
}

#[test]
fn without_leave_nothing_is_attached_and_that_is_said() {
    let Some(_lab) = Lab::veth(1) else { return };
    let report = report(&format!("{OURS} --no-attach"), 0);
    let unchecked = report["unchecked"].as_array().unwrap();
    for id in ["attach_native", "attach_skb"] {
        let one = unchecked.iter().find(|one| one["id"] == id).unwrap();
        assert!(one["reason"].as_str().unwrap().contains("--no-attach"), "{one:#}");
    }
    let summary = report["conclusion"].as_str().unwrap();
    assert!(summary.contains("should work here in native copy mode"), "{summary}");
}

#[test]
fn a_foreign_program_blocks_and_is_named_and_stays() {
    let Some(lab) = Lab::veth(1) else { return };
    let foreign = Foreign::start(OURS, &["mode=quiet"]);
    let link = lab.run(&format!("ip link show {OURS}"));
    let id = link.split("prog/xdp id ").nth(1).unwrap().split_whitespace().next().unwrap();
    let report = report(OURS, 1);
    let owner = format!("foreign-xsk (pid {}) uses it", foreign.pid());
    let words = ["foreign_xsk", &owner, &format!("program {id}"), "native mode", "`kill "];
    assert_check(&report, "program", "blocker", &words);
    assert_eq!(with_status(&report, "blocker"), ["program"]);
    assert!(report["conclusion"].as_str().unwrap().ends_with("AF_XDP does not work here"));
    assert!(lab.run(&format!("ip link show {OURS}")).contains(&format!("id {id}")));
    // Without its name the interface is a line, which says so as well.
    let all = self::report("", 0);
    let line = all["checks"].as_array().unwrap().iter().find(|check| check["title"] == OURS);
    let line = line.unwrap();
    assert_eq!((&line["id"], &line["status"]), (&"interface".into(), &"warning".into()));
    assert!(line["finding"].as_str().unwrap().contains("cannot be opened"), "{line:#}");
    assert!(line["finding"].as_str().unwrap().contains(&owner), "{line:#}");
    // Its socket is seen, where the kernel tells (Linux 6.15).
    let checks = report["checks"].as_array().unwrap();
    if checks.iter().any(|check| check["id"] == "bound") {
        assert_check(&report, "bound", "warning", &["on 0", "flux rings"]);
    }
}

#[test]
fn a_foreign_program_is_taken_off_as_it_was_attached() {
    let Some(_lab) = Lab::veth(1) else { return };
    let foreign = Foreign::start(OURS, &["mode=quiet", "skb=1"]);
    let link = report(OURS, 1);
    assert_check(&link, "program", "blocker", &["foreign_xsk", "skb mode", "`kill "]);
    foreign.kill();
    wait_until("its end", || !xdp_attached(OURS));
    attach_by_netlink(OURS, Hook::Skb);
    let netlink = report(OURS, 1);
    assert_check(&netlink, "program", "blocker", &["pass_all", "skb mode", "xdpgeneric off`"]);
}

#[test]
fn what_is_wrong_with_the_interface_is_told() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run_in_peer(&format!("ip link set {PEER} mtu 9000"));
    let large = report(OURS, 0);
    assert_check(&large, "attach_native", "warning", &["MTU", "other end", "mtu 1500"]);
    assert_check(&large, "attach_skb", "ok", &["works"]);
    assert!(large["conclusion"].as_str().unwrap().contains("skb mode alone"));
    lab.run_in_peer(&format!("ip link set {PEER} mtu 1500"));
    lab.run(&format!("ip link set {OURS} mtu 3000"));
    assert_check(&report(OURS, 0), "mtu", "warning", &["3000", "--frame-size 4096"]);
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    assert_check(&report(OURS, 0), "carrier", "warning", &["no link", "other end"]);
    lab.run(&format!("ip link set {OURS} down"));
    assert_check(&report(OURS, 1), "up", "blocker", &["ip link set dev flux0 up"]);
}

#[test]
fn a_bridge_and_its_port_are_told_apart_and_one_cause_is_one_warning() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add near0 type bridge");
    lab.run(&format!("ip link set {OURS} master near0"));
    lab.run("ip link set near0 up");
    let bridge = report("near0", 0);
    assert_eq!(check(&bridge, "driver")["finding"], "bridge");
    let words = ["driver has none", &format!("({OURS}): flux doctor {OURS}"), "--attach skb"];
    assert_check(&bridge, "xdp_features", "warning", &words);
    assert_unchecked(&bridge, "attach_native", "driver has no native XDP");
    assert_check(&report(OURS, 0), "port", "ok", &["bridge near0", "does not get"]);
}

#[test]
fn the_other_end_in_our_namespace_is_asked_about_checksums() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add near0 type veth peer name near1");
    lab.run("ip link set near0 up");
    lab.run("ip link set near1 up");
    let partial = report("near0", 0);
    assert_check(&partial, "checksums", "warning", &["near1", "ethtool -K near1 tx off"]);
    lab.run("ethtool -K near1 tx off");
    assert_check(&report("near0", 0), "checksums", "ok", &["near1"]);
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_names_the_others() {
    let Some(lab) = Lab::veth(1) else { return };
    for name in ["eth77", "a-name-that-is-too-long-for-the-kernel"] {
        let missing = report(name, 2);
        assert_eq!(missing["error"], format!("cannot find interface {name}: no such interface"));
        let hint = missing["hint"].as_str().unwrap();
        assert!(hint.contains("lo, ") && hint.contains(OURS), "{hint}");
    }
    let alternative = "an-alternative-name-that-has-more-than-fifteen-letters";
    lab.run(&format!("ip link property add dev {OURS} altname {alternative}"));
    assert_check(&report(alternative, 0), "attach_native", "ok", &["works"]);
    let all = report("", 0);
    let named: Vec<_> = all["checks"].as_array().unwrap().iter().map(|c| &c["title"]).collect();
    assert!(named.contains(&&OURS.into()) && !named.contains(&&"lo".into()), "{named:?}");
}

/// `flux doctor --json` as a user with these capabilities (for setpriv) and no others.
fn doctor(flux: &Copy, capabilities: &str) -> Value {
    let output = flux.as_nobody(capabilities, &format!("doctor --json {OURS}"));
    let line = stdout(&output);
    let status = output.status.code();
    let report: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
        panic!("{error}: {line}{}", String::from_utf8_lossy(&output.stderr))
    });
    let blocked = report["blockers"].as_u64() > Some(0);
    assert_eq!(status, Some(i32::from(blocked)), "{report:#}");
    report
}

#[test]
fn without_root_the_missing_capabilities_are_blockers_and_the_rest_is_still_told() {
    let Some(_lab) = Lab::veth(2).filter(|_| has(&["setpriv"])) else { return };
    let flux = Copy::new("flux-doctor-nobody");
    let report = doctor(&flux, "");
    for id in ["cap_net_raw", "cap_net_admin", "cap_bpf", "cap_perfmon"] {
        assert_check(&report, id, "blocker", &["missing", fluxnet::error::SETCAP]);
    }
    // These follow from them: the kernel refuses as well, and they do not count again.
    assert_eq!(report["blockers"], 4, "{report:#}");
    assert!(report["conclusion"].as_str().unwrap().contains("which one fix removes"));
    assert_unchecked(&report, "xdp_socket", "CAP_NET_RAW is missing");
    assert_unchecked(&report, "bpf", "CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are");
    assert_check(&report, "driver", "ok", &["veth"]);
    assert_check(&report, "queues", "ok", &["2 RX, 2 TX"]);
    assert_check(&report, "xdp_features", "ok", &[]);
    let unchecked = report["unchecked"].as_array().unwrap();
    let attach = unchecked.iter().find(|one| one["id"] == "attach_native").unwrap();
    assert!(attach["reason"].as_str().unwrap().contains("capability"), "{attach:#}");
    assert!(!xdp_attached(OURS));
}

#[test]
fn the_four_capabilities_of_the_setcap_line_are_enough_and_none_is_too_many() {
    let Some(_lab) = Lab::veth(1).filter(|_| has(&["setpriv"])) else { return };
    let flux = Copy::new("flux-doctor-caps");
    let needed = ["net_raw", "net_admin", "bpf", "perfmon"];
    let all: String = needed.iter().map(|name| format!(",+{name}")).collect();
    let report = doctor(&flux, &all);
    assert_eq!(report["blockers"], 0, "{report:#}");
    assert_check(&report, "attach_native", "ok", &["works"]);
    assert!(!xdp_attached(OURS));
    for missing in needed {
        let others = needed.iter().filter(|name| **name != missing);
        let report = doctor(&flux, &others.map(|name| format!(",+{name}")).collect::<String>());
        let blockers = with_status(&report, "blocker");
        assert!(blockers.contains(&format!("cap_{missing}").as_str()), "{blockers:?}");
        // It is not the doctor's word alone: the kernel refuses as well.
        let refused = if missing == "net_raw" { "xdp_socket" } else { "bpf" };
        assert_eq!(blockers, [format!("cap_{missing}").as_str()]);
        assert_unchecked(&report, refused, "the kernel refuses it");
    }
}
