//! Hand-made events and summaries: the default simulated network, and odd ones.

use fluxnet::tools::measure::Statistics;
use fluxnet::tools::probe::TargetRoute;
use fluxnet::tools::probe::Zoned;
use fluxnet::tools::session::Opened;
use fluxnet::tools::trace::{
    Balancing, Certainty, Hop, Label, Link, PathStats, Protocol, Reply, Router, Rtt, Start,
    Strategy, Summary, Timeout,
};
use std::net::IpAddr;

/// The target of the default network.
pub const TARGET: &str = "203.0.113.7";

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An answer that came back over as many hops as the probe went.
pub fn reply(target: &str, ttl: u8, probe: u64, from: &str, us: f64) -> Reply {
    Reply {
        target: target.into(),
        ttl,
        probe,
        flow: 0,
        round: 1,
        from: address(from).into(),
        rtt_us: Some(us),
        icmp: "time_exceeded".into(),
        mark: None,
        reached: from == target,
        reply_ttl: 65 - ttl,
        quoted_ttl: Some(1),
        mpls: Vec::new(),
        extensions: Vec::new(),
        mtu: None,
        rewritten: None,
        port_state: None,
        asn: None,
        other_asns: Vec::new(),
    }
}

pub fn timeout(target: &str, ttl: u8, probe: u64) -> Timeout {
    Timeout { target: target.into(), ttl, probe, flow: 0, round: 1 }
}

pub fn start(targets: &[(&str, &str)]) -> Start {
    let route = |(name, at): &(&str, &str)| TargetRoute {
        interface: "sim0".into(),
        name: (*name).into(),
        address: address(at),
        source: address("10.0.0.1"),
        gateway: Some(address("10.0.0.254")),
        packet_bytes: Some(60),
    };
    Start {
        interfaces: Vec::new(),
        opened: Opened {
            backend: "sim".into(),
            tx_path: "ring".into(),
            interface: "sim0".into(),
            driver: Some("sim".into()),
            attach: "native".into(),
            zero_copy: true,
            queues: vec![0],
            tx_queues: None,
            ring_size: 2048,
            frames: 4096,
            frame_size: 2048,
            pages: "4k".into(),
            kernel_busy_poll: false,
            poll: "adaptive".into(),
            tx_clock: "virtual".into(),
            rx_clock: "virtual".into(),
            tx_stamp: "user_space".into(),
            rx_stamp: "xdp_program".into(),
            notes: Vec::new(),
        },
        targets: targets.iter().map(route).collect(),
        protocol: Protocol::Udp,
        strategy: Strategy::Paris,
        port: 33_434,
        first: 1,
        max_hops: 30,
        queries: 3,
        packet_bytes: 60,
    }
}

pub fn rtt(us: f64) -> Rtt {
    let (p99, p999, max) = (us, us, us + 100.0);
    let times = Statistics { min: us, mean: us, p50: us, p90: us, p99, p999, max, stddev: 0.5 };
    Rtt { last: us, times, jitter: 0.25 }
}

/// A router that answered `received` of `sent` after `us`.
pub fn router(at: &str, sent: u64, received: u64, us: f64) -> Router {
    Router {
        address: address(at).into(),
        name: None,
        sent,
        received,
        loss_pct: (sent - received) as f64 * 100.0 / sent as f64,
        limited: false,
        rtt_us: (received > 0).then(|| rtt(us)),
        mpls: Vec::new(),
        extensions: Vec::new(),
        icmp: "time_exceeded".into(),
        mark: None,
        reply_ttl: 64,
        back_hops: None,
        mtu: None,
        port_state: None,
        asn: None,
        other_asns: Vec::new(),
    }
}

pub fn hop(ttl: u8, sent: u64, routers: Vec<Router>) -> Hop {
    let received = routers.iter().map(|router| router.received).sum();
    Hop {
        ttl,
        sent,
        received,
        loss_pct: (sent - received) as f64 * 100.0 / sent as f64,
        limited: false,
        balancing: (routers.len() > 1).then_some(Balancing::PerFlow),
        routers,
    }
}

pub fn summary(target: &str, hops: Vec<Hop>) -> Summary {
    let at = target.parse().unwrap_or(address(TARGET));
    let last = hops.last();
    let reached = last.is_some_and(|hop| hop.routers.iter().any(|router| router.address == at));
    let path = hops.iter().map(|hop| hop.routers.first().map(|router| router.address)).collect();
    Summary {
        error: None,
        target: target.into(),
        address: Some(at),
        reached,
        distance: last.map(|hop| hop.ttl).filter(|_| reached),
        answered_by: None,
        rounds: 1,
        hops,
        paths: vec![path],
        path_stats: vec![PathStats {
            flows: 1,
            sent: 3,
            received: 3,
            loss_pct: 0.0,
            rtt_us: Some(rtt(20_000.0)),
        }],
        links: Vec::new(),
        multipath: None,
        mtu: None,
        mtu_at_least: None,
        mtu_hop: None,
        mtu_black_hole: None,
        port_state: None,
        echo_only: false,
        nat: Vec::new(),
        duplicates: 0,
        late: 0,
        elapsed_s: 0.0201,
    }
}

/// Six hops, without `--paths`.
pub fn plain() -> Summary {
    let hops = [
        ("10.0.0.254", 200.0),
        ("172.16.12.2", 2000.0),
        ("172.16.23.2", 4000.0),
        ("172.16.34.4", 8000.0),
        ("172.16.45.5", 12_000.0),
        (TARGET, 20_000.0),
    ];
    let hop = |(ttl, (at, us)): (u8, (&str, f64))| hop(ttl, 3, vec![router(at, 3, 3, us)]);
    summary(TARGET, (1..).zip(hops).map(hop).collect())
}

/// The same with `--paths`: a diamond at hop 3, behind which hop 4 is silent for one branch.
pub fn diamond() -> Summary {
    let mut summary = plain();
    for hop in &mut summary.hops {
        hop.sent = 24;
        hop.received = 24;
        for router in &mut hop.routers {
            (router.sent, router.received) = (24, 24);
        }
    }
    let two = vec![router("172.16.23.2", 14, 14, 4000.0), router("172.16.23.3", 10, 9, 4500.0)];
    summary.hops[2] = hop(3, 24, two);
    summary.hops[3] = hop(4, 24, vec![router("172.16.34.4", 14, 14, 8000.0)]);
    let first = summary.paths[0].clone();
    let mut second = first.clone();
    second[2] = Some(address("172.16.23.3").into());
    second[3] = None;
    let links = |path: &[Option<Zoned>]| -> Vec<Link> {
        let pairs = (1..).zip(path.windows(2));
        pairs.map(|(ttl, pair)| Link { ttl, from: pair[0], to: pair[1] }).collect()
    };
    summary.links = links(&first);
    summary.links.extend(links(&second));
    summary.links.sort();
    summary.links.dedup();
    summary.paths = vec![first, second];
    let stats = &summary.path_stats[0];
    let (first, second) = (
        PathStats { flows: 14, sent: 14, received: 14, ..stats.clone() },
        PathStats { flows: 10, sent: 10, received: 9, loss_pct: 10.0, ..stats.clone() },
    );
    summary.path_stats = vec![first, second];
    summary.multipath = Some(Certainty {
        confidence: 0.95,
        flows: 24,
        probes: 144,
        complete: true,
        stopped: false,
    });
    summary
}

/// A silent hop, a forbidding router, labels, a NAT, and no target.
pub fn troubled() -> Summary {
    let labelled = Router {
        mpls: vec![Label { label: 24_001, tc: 0, bottom: true, ttl: 1 }],
        name: Some("core.example.net".into()),
        ..router("172.16.23.2", 3, 2, 4000.0)
    };
    let last = Router {
        mark: Some("!X".into()),
        icmp: "communication_administratively_prohibited".into(),
        ..router("172.16.34.4", 3, 3, 8000.0)
    };
    let mut summary = summary(
        TARGET,
        vec![
            hop(1, 3, vec![router("10.0.0.254", 3, 3, 200.0)]),
            hop(2, 3, Vec::new()),
            hop(3, 3, vec![labelled]),
            hop(4, 3, vec![last]),
        ],
    );
    summary.path_stats[0].received = 0;
    summary.path_stats[0].rtt_us = None;
    summary.nat = vec![fluxnet::tools::trace::Nat {
        ttl: 3,
        address: address("172.16.23.2").into(),
        rewritten: fluxnet::tools::trace::Rewritten::SourceAddress,
    }];
    summary
}
