//! Hosts and routers that answer six probes at once and then one a second, as Linux does: each run
//! before this one, and each other tool, has spent what this one needs.

use crate::lab::routers::{Chain, Routers};
use crate::running::Ended;
use serde_json::{Value, json};
use std::net::IpAddr;

/// A router and a host with the limits that Linux has when nobody changes them.
fn lab() -> Option<Routers> {
    let lab = Chain::of(1).up()?;
    for position in [1, 2] {
        lab.limit_as_kernels_do(position, 1000);
        lab.sysctl(position, "ipv6/icmp/ratelimit", "1000");
        lab.sysctl(position, "ipv6/icmp/ratemask", "0-1,3-127");
    }
    Some(lab)
}

#[track_caller]
fn trace(options: &str, target: IpAddr) -> (Ended, Value) {
    let ended = Ended::of_line(&format!("trace -n {options} {target}"));
    let summary = ended.first("summary").clone();
    (ended, summary)
}

/// Twenty runs in a row: every protocol, UDP most often.
#[test]
fn a_linux_host_is_reached_twenty_times_in_a_row() {
    let Some(lab) = lab() else { return };
    let [target, target6] = lab.targets();
    let runs = [("", target); 8]
        .into_iter()
        .chain([("-T", target); 3])
        .chain([("--icmp", target); 3])
        .chain([("", target6); 6]);
    let mut limited = 0;
    for (at, (options, target)) in runs.enumerate() {
        let (ended, summary) = trace(options, target);
        let what = format!("run {at} {options} {ended:?}", ended = (&ended.events, &ended.stderr));
        assert_eq!(ended.status, Some(0), "{what}");
        assert_eq!(
            (&summary["reached"], &summary["distance"]),
            (&json!(true), &json!(2)),
            "{what}"
        );
        assert_eq!(summary["hops"].as_array().map(Vec::len), Some(2), "{what}");
        assert!(summary["elapsed_s"].as_f64() < Some(3.0), "{what}");
        // The host loses nothing; what it does not answer is its limit.
        let host = &summary["hops"][1];
        assert_eq!(host["routers"][0]["address"], json!(target), "{what}");
        if options.is_empty() {
            limited += u32::from(host["limited"] == true);
        }
    }
    assert!(limited > 0, "six at once and one a second are not enough for fourteen runs");
}

#[test]
fn all_paths_through_two_linux_routers_are_one_without_loss() {
    let Some(lab) = lab() else { return };
    let target = lab.targets()[0];
    // Who was here before has spent what there was.
    trace("", target);
    let (ended, summary) = trace("--paths", target);
    let what = format!("{:?}", (&ended.events.last(), &ended.stderr));
    assert_eq!(ended.status, Some(0), "{what}");
    assert_eq!(summary["paths"], json!([[lab.hop4(1), target]]), "{what}");
    assert_eq!(summary["path_stats"][0]["loss_pct"], 0.0, "{what}");
    assert_eq!(summary["multipath"]["complete"], true, "{what}");
    for hop in summary["hops"].as_array().unwrap() {
        assert_eq!(hop["loss_pct"], 0.0, "{what}");
    }
    assert!(summary["elapsed_s"].as_f64() < Some(60.0), "{what}");
}

/// A diamond of routers with the limits of their kernels: two paths, and nothing else.
#[test]
fn two_paths_through_linux_routers_are_two_and_it_ends() {
    let Some(lab) = Chain::of(3).diamond(2).up() else { return };
    for position in 1..=4 {
        lab.limit_as_kernels_do(position, 1000);
    }
    let target = lab.targets()[0];
    trace("", target);
    let (ended, summary) = trace("--paths --max-flows 12", target);
    let what = format!("{:?}", (&ended.events.last(), &ended.stderr));
    assert_eq!(ended.status, Some(0), "{what}");
    assert!(summary["elapsed_s"].as_f64() < Some(60.0), "{what}");
    let paths = summary["paths"].as_array().unwrap();
    let all = [lab.hop4(2), lab.beside(2)[0]]
        .map(|middle| json!([lab.hop4(1), middle, lab.hop4(3), target]));
    assert!(!paths.is_empty() && paths.iter().all(|path| all.contains(path)), "{what}");
    assert_eq!(summary["hops"].as_array().map(Vec::len), Some(4), "{what}");
}

/// A router answers that it did not find the target after three seconds, and a firewall at once.
#[test]
fn who_says_so_late_and_who_refuses_is_named() {
    let Some(lab) = Chain::of(1).up() else { return };
    // Nobody has this address on the target's link.
    let (_, summary) = trace("", "10.9.1.77".parse().unwrap());
    let router = &summary["hops"][1]["routers"][0];
    assert_eq!((&router["mark"], &router["icmp"]), (&json!("!H"), &json!("host_unreachable")));
    assert_eq!(summary["reached"], false, "{summary}");
    lab.nft(
        2,
        "table inet refusing { chain in { type filter hook input priority 0;\n\
         icmp type echo-request reject with icmpx type admin-prohibited\n\
         meta l4proto tcp reject with icmpx type port-unreachable\n\
         }\n}\n",
    );
    let target = lab.targets()[0];
    let (_, summary) = trace("--icmp", target);
    assert_eq!(summary["hops"][1]["routers"][0]["mark"], "!X", "{summary}");
    let (_, summary) = trace("-T", target);
    assert_eq!(summary["port_state"], "filtered", "{summary}");
    assert_eq!(summary["hops"][1]["routers"][0]["port_state"], "filtered", "{summary}");
}
