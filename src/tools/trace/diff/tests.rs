//! On a path of three hops, changed in one thing each.
#![allow(clippy::unwrap_used)] // helpers of tests

use super::read::parse;
use super::*;
use crate::tools::measure::Statistics;
use crate::tools::trace::event::{Certainty, Link, PathStats, Rewritten, Rtt};

fn addr(last: u8) -> Zoned {
    IpAddr::from([10, 0, 0, last]).into()
}

fn rtt(p50: f64) -> Rtt {
    let spread = |factor: f64| p50 * factor;
    let times = Statistics {
        min: spread(0.9),
        mean: p50,
        p50,
        p90: spread(1.1),
        p99: spread(1.2),
        p999: spread(1.2),
        max: spread(1.2),
        stddev: 1.0,
    };
    Rtt { last: p50, times, jitter: 1.0 }
}

fn router(last: u8) -> Router {
    Router {
        address: addr(last),
        name: None,
        sent: 10,
        received: 10,
        loss_pct: 0.0,
        limited: false,
        rtt_us: Some(rtt(5000.0)),
        mpls: Vec::new(),
        extensions: Vec::new(),
        icmp: "time_exceeded".into(),
        mark: None,
        reply_ttl: 60,
        back_hops: Some(4),
        mtu: None,
        port_state: None,
        asn: None,
        other_asns: Vec::new(),
    }
}

fn hop(ttl: u8, routers: &[u8]) -> Hop {
    let routers: Vec<_> = routers.iter().map(|&last| router(last)).collect();
    Hop { ttl, routers, sent: 10, received: 10, loss_pct: 0.0, limited: false, balancing: None }
}

/// A path of three hops.
fn summary(target: &str) -> Summary {
    Summary {
        error: None,
        target: target.into(),
        address: Some(addr(9).address),
        reached: true,
        distance: Some(3),
        answered_by: None,
        rounds: 1,
        hops: vec![hop(1, &[1]), hop(2, &[2]), hop(3, &[9])],
        paths: vec![vec![Some(addr(1)), Some(addr(2)), Some(addr(9))]],
        path_stats: Vec::new(),
        links: Vec::new(),
        multipath: None,
        mtu: Some(1400),
        mtu_at_least: None,
        mtu_hop: None,
        mtu_black_hole: None,
        port_state: None,
        echo_only: false,
        nat: Vec::new(),
        duplicates: 0,
        late: 0,
        elapsed_s: 0.0125,
    }
}

fn saved(summaries: Vec<Summary>) -> Saved {
    Saved { summaries, error: None }
}

/// What is different when the second run is changed like this.
fn changed(change: impl FnOnce(&mut Summary)) -> Vec<Change> {
    let a = summary("t");
    let mut b = a.clone();
    change(&mut b);
    let diff = diff(&saved(vec![a]), &saved(vec![b]), 20.0).unwrap();
    assert_eq!(diff.is_same(), diff.targets.is_empty());
    diff.targets.into_iter().flat_map(|target| target.changes).collect()
}

#[test]
fn a_run_is_the_same_as_itself_and_as_one_with_other_times() {
    assert_eq!(changed(|_| {}), []);
    let noise = |b: &mut Summary| {
        b.elapsed_s = 0.099;
        b.late = 3;
        b.hops[1].routers[0].rtt_us = Some(rtt(5900.0));
        b.hops[1].routers[0].name = Some("r2.example".into());
    };
    assert_eq!(changed(noise), []);
}

#[test]
fn what_the_whole_way_is_like_is_compared() {
    let nat = Nat { ttl: 2, address: addr(2), rewritten: Rewritten::SourcePort };
    let changes = changed(|b| {
        b.address = Some(addr(8).address);
        b.reached = false;
        b.distance = None;
        b.mtu = None;
        b.mtu_black_hole = Some(2);
        b.nat = vec![nat];
    });
    let want = [
        Change::Address { a: addr(9).address, b: addr(8).address },
        Change::Reached { a: true, b: false },
        Change::Mtu { a: Some(1400), b: None },
        Change::MtuBlackHole { a: None, b: Some(2) },
        Change::Nat { a: vec![], b: vec![nat] },
    ];
    assert_eq!(changes, want);
    assert_eq!(changed(|b| b.distance = Some(4)), [Change::Distance { a: Some(3), b: Some(4) }]);
}

#[test]
fn routers_are_compared_hop_by_hop() {
    let other = changed(|b| b.hops[1] = hop(2, &[3]));
    assert_eq!(other, [Change::Routers { ttl: 2, a: vec![addr(2)], b: vec![addr(3)] }]);
    let silent = changed(|b| b.hops[1] = hop(2, &[]));
    assert_eq!(silent, [Change::Routers { ttl: 2, a: vec![addr(2)], b: vec![] }]);
    let longer = changed(|b| b.hops.push(hop(4, &[7])));
    assert_eq!(longer, [Change::Routers { ttl: 4, a: vec![], b: vec![addr(7)] }]);
    assert_eq!(changed(|b| b.hops.push(hop(4, &[]))), [], "silence behind the end is none");
}

#[test]
fn labels_and_balancing_are_compared_but_not_what_is_not_known() {
    let label = Label { label: 16_001, tc: 0, bottom: true, ttl: 1 };
    let changes = changed(|b| b.hops[1].routers[0].mpls = vec![label]);
    assert_eq!(changes, [Change::Mpls { ttl: 2, address: addr(2), a: vec![], b: vec![label] }]);
    let per_flow = Some(Balancing::PerFlow);
    let changes = changed(|b| b.hops[1].balancing = per_flow);
    assert_eq!(changes, [Change::Balancing { ttl: 2, a: None, b: per_flow }]);
    assert_eq!(changed(|b| b.hops[1].balancing = Some(Balancing::Unknown)), []);
}

#[test]
fn loss_and_rtt_count_where_they_are_worse_beyond_tolerance_and_chance() {
    let with_loss = |received: u64, sent: u64| {
        changed(|b| {
            let router = &mut b.hops[1].routers[0];
            (router.sent, router.received) = (sent, received);
            router.loss_pct = (sent - received) as f64 / sent as f64 * 100.0;
        })
    };
    assert_eq!(with_loss(8, 10), [], "20 points are within the tolerance");
    assert_eq!(with_loss(2, 3), [], "one lost probe is chance");
    assert_eq!(with_loss(7, 10), [Change::Loss { ttl: 2, address: addr(2), a: 0.0, b: 30.0 }]);
    let with_rtt = |p50: f64| changed(|b| b.hops[1].routers[0].rtt_us = Some(rtt(p50)));
    assert_eq!(with_rtt(6001.0), [Change::Rtt { ttl: 2, address: addr(2), a: 5000.0, b: 6001.0 }]);
    assert_eq!(with_rtt(100.0), [], "faster is no worse");
    let small = |p50: f64| changed(|b| b.hops[0].routers[0].rtt_us = Some(rtt(p50)));
    assert_eq!(small(5999.0), [], "less than a millisecond is none");
}

#[test]
fn a_path_is_new_when_it_takes_an_edge_that_was_not_seen() {
    let path = |nodes: &[u8]| nodes.iter().map(|&n| (n > 0).then(|| addr(n))).collect::<Vec<_>>();
    let new = changed(|b| b.paths.push(path(&[1, 3, 9])));
    assert_eq!(new, [Change::Paths { a: vec![], b: vec![path(&[1, 3, 9])] }]);
    assert_eq!(changed(|b| b.paths.push(path(&[1, 0, 9]))), [], "a lost answer");
    // A combination of known edges that no flow of the first run took.
    let mut a = summary("t");
    a.paths = vec![path(&[1, 2, 4, 9]), path(&[1, 3, 5, 9])];
    a.links = vec![Link { ttl: 2, from: Some(addr(2)), to: Some(addr(5)) }];
    let mut b = a.clone();
    b.paths.push(path(&[1, 2, 5, 9]));
    assert!(diff(&saved(vec![a]), &saved(vec![b]), 20.0).unwrap().is_same());
}

#[test]
fn one_path_beside_all_of_them_is_no_difference_but_another_router_is() {
    let sure = Certainty { confidence: 0.95, flows: 9, probes: 30, complete: true, stopped: false };
    let one = summary("t");
    let mut all = Summary { multipath: Some(sure), ..summary("t") };
    all.hops[1] = Hop { balancing: Some(Balancing::PerFlow), ..hop(2, &[2, 3]) };
    all.paths.push(vec![Some(addr(1)), Some(addr(3)), Some(addr(9))]);
    let same = |a: &Summary, b: &Summary| {
        diff(&saved(vec![a.clone()]), &saved(vec![b.clone()]), 20.0).unwrap().is_same()
    };
    assert!(same(&all, &one) && same(&one, &all));
    let mut other = one.clone();
    other.hops[1] = hop(2, &[4]);
    other.paths = vec![vec![Some(addr(1)), Some(addr(4)), Some(addr(9))]];
    assert!(!same(&all, &other) && !same(&other, &all));
    other.hops[1] = hop(2, &[]);
    assert!(!same(&all, &other), "silent now");
}

#[test]
fn targets_are_paired_by_name_and_else_by_address() {
    let at =
        |target: &str, last: u8| Summary { address: Some(addr(last).address), ..summary(target) };
    let a = saved(vec![at("x", 1), at("name", 2), at("gone", 3)]);
    let b = saved(vec![at("10.0.0.2", 2), at("x", 1), at("new", 4)]);
    let diff = diff(&a, &b, 20.0).unwrap();
    assert_eq!((diff.compared, diff.is_same()), (2, false));
    assert_eq!((diff.only_a, diff.only_b), (vec!["gone".to_owned()], vec!["new".to_owned()]));
    assert!(diff.targets.is_empty());
}

#[test]
fn notes_say_what_cannot_be_compared() {
    let sure =
        |complete| Certainty { confidence: 0.95, flows: 9, probes: 30, complete, stopped: false };
    let plain = summary("t");
    let paths = |complete| Summary { multipath: Some(sure(complete)), ..summary("t") };
    let other = Summary { hops: vec![hop(1, &[3])], ..summary("t") };
    let note = |a: &Summary, b: &Summary| {
        diff(&saved(vec![a.clone()]), &saved(vec![b.clone()]), 20.0).unwrap().notes.join("; ")
    };
    assert_eq!(note(&plain, &plain), "");
    assert!(note(&plain, &paths(true)).starts_with("one run looked for all paths"));
    assert!(note(&paths(true), &paths(false)).contains("may have missed routers"));
    assert!(note(&plain, &other).contains("another router need not be another route"));
    let failed = Saved { error: Some("interface gone".into()), ..saved(vec![plain.clone()]) };
    let notes = diff(&failed, &saved(vec![plain]), 20.0).unwrap().notes;
    assert_eq!(notes, ["the first run ended with an error: interface gone"]);
}

#[test]
fn a_tolerance_that_is_none_is_refused() {
    for tolerance in [-1.0, 1001.0, f64::NAN] {
        let error = diff(&saved(vec![]), &saved(vec![]), tolerance).unwrap_err().to_string();
        assert!(error.contains("must be 0 % to 1000 %"), "{error}");
    }
}

#[test]
fn the_last_summary_of_each_target_is_read_and_other_events_are_not() {
    let line = |summary: Summary| {
        serde_json::to_string(&crate::tools::trace::Event::Summary(summary)).unwrap()
    };
    let text = format!(
        "{{\"event\":\"start\",\"x\":1}}\n{}\n{}\n{{\"event\":\"interim\"}}\n{}\n",
        line(Summary { rounds: 1, ..summary("t") }),
        line(summary("u")),
        line(Summary { rounds: 7, ..summary("t") }),
    );
    let read = parse(text.as_bytes()).unwrap();
    assert_eq!(read, saved(vec![Summary { rounds: 7, ..summary("t") }, summary("u")]));
    let pretty = serde_json::to_string_pretty(&[summary("t"), summary("u")]).unwrap();
    assert_eq!(parse(pretty.as_bytes()).unwrap(), saved(vec![summary("t"), summary("u")]));
}

#[test]
fn a_summary_that_an_earlier_version_wrote_is_read() {
    const RTT: &str = "{\"last\":5000.0,\"min\":4500.0,\"mean\":5000.0,\"p50\":5000.0,\
                       \"p90\":5500.0,\"max\":6000.0,\"stddev\":1.0,\"jitter\":1.0}";
    let old = format!(
        "{{\"event\":\"summary\",\"target\":\"t\",\"address\":\"10.0.0.9\",\"reached\":true,\
         \"distance\":3,\"rounds\":1,\"hops\":[{{\"ttl\":1,\"routers\":[{{\"addr\":\"10.0.0.1\",\
         \"name\":null,\"sent\":10,\"received\":10,\"loss_pct\":0.0,\"rtt_us\":{RTT},\"mpls\":[],\
         \"extensions\":[],\"icmp\":\"time exceeded\",\"mark\":null,\"reply_ttl\":60,\
         \"back_hops\":4,\"mtu\":null}}],\"sent\":10,\"received\":10,\"loss_pct\":0.0,\
         \"balancing\":\"per-flow\"}}],\"paths\":[[\"10.0.0.1\"]],\"path_stats\":[{{\"flows\":1,\
         \"sent\":10,\"received\":10,\"loss_pct\":0.0,\"rtt_us\":{RTT}}}],\"links\":[],\
         \"multipath\":null,\"mtu\":1400,\"mtu_black_hole\":null,\"nat\":[{{\"ttl\":2,\
         \"addr\":\"10.0.0.2\",\"rewritten\":\"source_port\"}}],\"duplicates\":0,\"late\":0,\
         \"elapsed_ms\":12.5}}"
    );
    let stats =
        PathStats { flows: 1, sent: 10, received: 10, loss_pct: 0.0, rtt_us: Some(rtt(5000.0)) };
    let today = Summary {
        hops: vec![Hop { balancing: Some(Balancing::PerFlow), ..hop(1, &[1]) }],
        paths: vec![vec![Some(addr(1))]],
        path_stats: vec![stats],
        nat: vec![Nat { ttl: 2, address: addr(2), rewritten: Rewritten::SourcePort }],
        ..summary("t")
    };
    assert_eq!(parse(old.as_bytes()).unwrap(), saved(vec![today.clone()]));
    // What is written today is read as it is.
    let new = serde_json::to_string(&crate::tools::trace::Event::Summary(today.clone())).unwrap();
    for key in ["addr\"", "elapsed_ms", "per-flow", "time exceeded"] {
        assert!(!new.contains(key), "{key}: {new}");
    }
    assert_eq!(parse(new.as_bytes()).unwrap(), saved(vec![today]));
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    let error = |text: &str| parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        error("{\"event\":\"report\",\"command\":\"bench\"}"),
        "line 1 was written by flux bench, not by flux trace"
    );
    assert_eq!(error(" \n"), "it is empty");
    assert_eq!(
        error("{\"event\":\"start\"}\n\n{\"event\":"),
        "line 3 ends in the middle: the run was cut off"
    );
    assert!(error("{\"event\":\"start\"}\nhello").starts_with("line 2 is no JSON: expected value"));
    assert_eq!(
        error("{\"event\":\"start\"}\n"),
        "it has no summary: that run did not come to its end"
    );
    assert_eq!(
        error("{\"event\":\"error\",\"error\":\"no route\"}"),
        "that run ended with an error: no route"
    );
    assert_eq!(error("\n{\"a\":1}"), "line 2 is JSON, but no event of flux trace");
    let newer = error("{}\n{\"event\":\"summary\",\"target\":\"t\"}".trim_start_matches("{}"));
    assert!(newer.starts_with("line 2 is a summary that flux ") && newer.contains("missing field"));
    let missing = read("/nonexistent/a.json").unwrap_err();
    assert!(missing.to_string().starts_with("cannot read /nonexistent/a.json: No such file"));
    let half = format!(
        "{}\n{{\"event\":\"error\",\"error\":\"x\"}}",
        serde_json::to_string(&summary("t")).unwrap()
    );
    assert_eq!(parse(half.as_bytes()).unwrap().error.as_deref(), Some("x"));
}
