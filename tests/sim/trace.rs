//! `tools::trace` on simulated networks, in virtual time.

use fluxnet::proto::extensions::MplsEntry;
use fluxnet::proto::{Headers, TcpFlags, TcpView, Transport};
use fluxnet::simulator::{
    Balance, End, Flaw, HostOptions, IcmpLimit, NatQuotes, NetworkBuilder, NodeId, Profile,
    Quoting, RouterOptions, SimSpec, Simulator, UdpPorts, WrongLength,
};
use fluxnet::tools::trace::{
    Balancing, Event, Hop, Multipath, Outcome, Plan, PortState, Protocol, Rewritten, Rounds,
    Strategy, Summary, run,
};
use fluxnet::tools::{Control, Env, topology};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A run on `simulator`: what it told, and what it came to.
fn traced(plan: &Plan, simulator: &Simulator) -> (Vec<Event>, Outcome) {
    let mut events = Vec::new();
    let mut env = Env::simulated(simulator.clone());
    let outcome =
        run(plan, &mut env, &Control::default(), &mut |event| events.push(event)).unwrap();
    (events, outcome)
}

fn summaries(events: &[Event]) -> Vec<&Summary> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Summary(summary) = event {
            found.push(summary);
        }
    }
    found
}

fn summary(plan: &Plan, simulator: &Simulator) -> Summary {
    let (events, _) = traced(plan, simulator);
    summaries(&events)[0].clone()
}

fn default_network(seed: u64) -> Simulator {
    Simulator::new(SimSpec { seed: Some(seed), ..SimSpec::default() })
}

/// A plan for one target without per-probe events.
fn plan(target: &str) -> Plan {
    Plan { each: false, ..Plan::new([target]) }
}

fn one(hop: &Hop) -> Option<IpAddr> {
    match &hop.routers[..] {
        [] => None,
        [router] => Some(router.address.address),
        several => panic!("{several:?}"),
    }
}

fn addresses(summary: &Summary) -> Vec<Option<IpAddr>> {
    summary.hops.iter().map(one).collect()
}

/// We, routers in a row, and a host: 10.n.0.1 and .2, 2001:db8:n::1 and ::2 on link n.
struct Chain {
    net: NetworkBuilder,
    us: NodeId,
    routers: Vec<NodeId>,
    host: NodeId,
}

const TARGET: &str = "192.0.2.9";
const TARGET_V6: &str = "2001:db8:ffff::9";

impl Chain {
    fn new(seed: u64, routers: &[RouterOptions], host: HostOptions) -> Self {
        let mut net = NetworkBuilder::new(seed);
        let us = net.port("sim0", 1);
        let routers = routers.iter().map(|options| net.router_with(options.clone())).collect();
        let host = net.host_with(host);
        Self { net, us, routers, host }
    }

    fn plain(routers: usize) -> Self {
        Self::new(1, &vec![RouterOptions::default(); routers], HostOptions::default())
    }

    /// Lays the links: `end` may change the nearer and the farther end of link n, `delay` is what
    /// one way of link n takes.
    fn build(
        self,
        delay: impl Fn(usize) -> Duration,
        end: impl Fn(usize, End, End) -> (End, End),
    ) -> Simulator {
        let Self { mut net, us, routers, host } = self;
        let nodes: Vec<_> = [us].into_iter().chain(routers.clone()).chain([host]).collect();
        let last = routers.len();
        for (n, pair) in nodes.windows(2).enumerate() {
            let (near, far) = (End::new(pair[0]), End::new(pair[1]));
            let (near, far) = if n == last {
                (
                    near.address("192.0.2.1/24").address("2001:db8:ffff::1/64"),
                    far.address("192.0.2.9/24").address("2001:db8:ffff::9/64"),
                )
            } else {
                (
                    near.address(format!("10.{n}.0.1/24")).address(format!("2001:db8:{n}::1/64")),
                    far.address(format!("10.{n}.0.2/24")).address(format!("2001:db8:{n}::2/64")),
                )
            };
            let (near, far) = end(n, near, far);
            net.link(near, far, Profile::delay(delay(n)));
        }
        net.gateway(us, "10.0.0.2");
        net.gateway(us, "2001:db8:0::2");
        for (n, &router) in routers.iter().enumerate() {
            if n + 1 < last {
                let next = n + 1;
                net.route(router, "192.0.2.0/24", &[&format!("10.{next}.0.2")]);
                net.route(router, "2001:db8:ffff::/64", &[&format!("2001:db8:{next}::2")]);
            }
            if n > 0 {
                net.route(router, "0.0.0.0/0", &[&format!("10.{n}.0.1")]);
                net.route(router, "::/0", &[&format!("2001:db8:{n}::1")]);
            }
        }
        net.build().unwrap()
    }

    fn with_delay(self, delay: Duration) -> Simulator {
        self.build(|_| delay, |_, near, far| (near, far))
    }
}

/// What a chain's hops are.
fn chain_hops(routers: usize, v4: bool) -> Vec<Option<IpAddr>> {
    let hop = |n: usize| {
        if v4 { ip(&format!("10.{n}.0.2")) } else { ip(&format!("2001:db8:{n}::2")) }
    };
    let target = ip(if v4 { TARGET } else { TARGET_V6 });
    (0..routers).map(hop).chain([target]).map(Some).collect()
}

#[test]
fn every_protocol_and_strategy_finds_the_same_hops_over_both_families() {
    for (target, v4) in [(TARGET, true), (TARGET_V6, false)] {
        for (protocol, strategies) in [
            (Protocol::Udp, &[Strategy::Paris, Strategy::Classic, Strategy::Dublin][..]),
            (Protocol::Tcp, &[Strategy::Paris, Strategy::Classic]),
            (Protocol::Icmp, &[Strategy::Paris, Strategy::Classic]),
        ] {
            for &strategy in strategies {
                let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
                let plan = Plan { protocol, strategy, port, ..plan(target) };
                let found = summary(&plan, &Chain::plain(5).with_delay(MS));
                let what = format!("{protocol:?} {strategy:?} {target}");
                assert_eq!(addresses(&found), chain_hops(5, v4), "{what}");
                assert_eq!((found.reached, found.distance), (true, Some(6)), "{what}");
                assert!(found.hops.iter().all(|hop| (hop.sent, hop.received) == (3, 3)), "{what}");
                assert!(found.nat.is_empty(), "{what}: {:?}", found.nat);
            }
        }
    }
}

#[test]
fn thirty_hops_are_known_in_little_more_than_the_slowest_round_trip() {
    // 29 routers and the target; the farthest takes 29 × 2 × 3 ms.
    let simulator = Chain::plain(29).with_delay(3 * MS);
    let found = summary(&plan(TARGET), &simulator);
    let slowest = 30.0 * 2.0 * 3.0;
    assert_eq!(addresses(&found), chain_hops(29, true));
    assert!(found.elapsed_s * 1e3 < 1.2 * slowest, "{} ms", found.elapsed_s * 1e3);
    // One router that takes its time, nearer than the target.
    let mut options = vec![RouterOptions::default(); 29];
    options[9].icmp_delay = 300 * MS;
    let simulator = Chain::new(1, &options, HostOptions::default()).with_delay(3 * MS);
    let found = summary(&plan(TARGET), &simulator);
    let slowest = found.hops.iter().flat_map(|hop| &hop.routers).filter_map(|r| r.rtt_us);
    let slowest = slowest.map(|rtt| rtt.times.max).fold(0.0, f64::max) / 1e3;
    assert_eq!(addresses(&found), chain_hops(29, true));
    assert!(
        found.elapsed_s * 1e3 < 1.2 * slowest.max(180.0),
        "{} of {slowest}",
        found.elapsed_s * 1e3
    );
    // And two silent ones.
    let mut options = vec![RouterOptions::default(); 29];
    (options[4].silent, options[20].silent) = (true, true);
    let simulator = Chain::new(1, &options, HostOptions::default()).with_delay(3 * MS);
    let found = summary(&plan(TARGET), &simulator);
    let mut expected = chain_hops(29, true);
    (expected[4], expected[20]) = (None, None);
    assert_eq!(addresses(&found), expected);
    assert!(found.elapsed_s * 1e3 <= 1.2 * 180.0 + 1000.0, "{} ms", found.elapsed_s * 1e3);
}

#[test]
fn a_silent_router_is_a_gap_and_shifts_nothing() {
    let mut options = vec![RouterOptions::default(); 6];
    options[2].silent = true;
    for protocol in [Protocol::Udp, Protocol::Icmp] {
        let simulator = Chain::new(1, &options, HostOptions::default()).with_delay(MS);
        let found = summary(&Plan { protocol, ..plan(TARGET) }, &simulator);
        let mut expected = chain_hops(6, true);
        expected[2] = None;
        assert_eq!(addresses(&found), expected);
        assert_eq!((found.hops[2].sent, found.hops[2].received), (3, 0));
        assert_eq!(found.hops[2].loss_pct, 100.0);
    }
}

#[test]
fn answers_that_came_while_we_slept_are_not_late_however_many_they_are() {
    let simulator = Chain::plain(5).with_delay(MS);
    let mut plan = Plan { queries: 10, each: true, ..plan(TARGET) };
    plan.config.batch = 4;
    let (mut answers, mut found) = (0, None);
    let mut sink = |event| match event {
        Event::Reply(_) => {
            answers += 1;
            if answers == 1 {
                // The others come long before our next look at the clock.
                simulator.step(10 * plan.wait);
            }
        }
        Event::Summary(told) => found = Some(told),
        _ => {}
    };
    run(&plan, &mut Env::simulated(simulator.clone()), &Control::default(), &mut sink).unwrap();
    let found = found.unwrap();
    assert_eq!((addresses(&found), found.late), (chain_hops(5, true), 0));
    assert!(found.hops.iter().all(|hop| hop.received == 10), "{found:?}");
}

#[test]
fn a_router_that_answers_little_shifts_nothing() {
    let mut options = vec![RouterOptions::default(); 6];
    options[2].icmp_limit = Some((1, 1).into());
    let simulator = Chain::new(1, &options, HostOptions::default()).with_delay(MS);
    let found = summary(&plan(TARGET), &simulator);
    assert_eq!(addresses(&found), chain_hops(6, true));
    assert_eq!(found.hops[2].received, 1);
    let whole = found.hops.iter().filter(|hop| hop.received == 3).count();
    assert_eq!(whole, 6);
}

#[test]
fn what_does_not_get_there_is_marked_and_ends_the_path() {
    let (events, outcome) = traced(&Plan::new(["192.0.2.1"]), &default_network(1));
    let found = summaries(&events)[0];
    assert_eq!((outcome.reached, found.reached, found.distance), (0, false, None));
    assert_eq!(found.hops.len(), 4);
    let last = &found.hops[3].routers[0];
    assert_eq!((last.mark.as_deref(), last.icmp.as_str()), (Some("!H"), "host_unreachable"));
    // Nobody at all: every TTL up to the last is silent.
    let found = summary(&plan("10.0.0.66"), &default_network(1));
    assert_eq!((found.hops.len(), found.reached), (30, false));
    assert!(found.hops.iter().all(|hop| hop.routers.is_empty()) && found.paths.is_empty());
    assert!(found.elapsed_s * 1e3 < 1100.0);
    // Forbidden.
    let mut chain = Chain::plain(3);
    let router = chain.routers[1];
    chain.net.prohibit(router, "198.51.100.0/24");
    for n in 0..1 {
        let router = chain.routers[n];
        chain.net.route(router, "198.51.100.0/24", &["10.1.0.2"]);
    }
    let simulator = chain.with_delay(MS);
    let found = summary(&plan("198.51.100.7"), &simulator);
    let marks: Vec<_> = found.hops.iter().map(|hop| hop.routers[0].mark.as_deref()).collect();
    assert_eq!(marks.last(), Some(&Some("!X")));
    assert!(!found.reached);
}

/// The network of a report: the first router spreads packets, and one of the two behind it refuses.
const HALF_REFUSED: &str = r#"
[us]
addresses = ["192.0.2.1/24"]
[[router]]
name = "r1"
balance = "packet"
[[router]]
name = ["a", "b", "r3"]
[[host]]
name = "server"
addresses = ["203.0.113.7/24"]
[[link]]
between = ["us", "r1", ["a", "b"], "r3", "server"]
delay = "2ms"
[[route]]
at = "a"
to = "203.0.113.0/24"
action = "prohibited"
"#;

/// The network of a report: a first link with a short queue.
const SHORT_QUEUE: &str = r#"
[us]
addresses = ["192.0.2.1/24"]
[[router]]
name = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]
[[host]]
name = "server"
addresses = ["203.0.113.7/24"]
[[link]]
between = ["us", "r1"]
rate = "RATE"
queue = 1000
delay = "5ms"
[[link]]
between = ["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "server"]
"#;

fn network(text: &str, seed: u64) -> Simulator {
    topology::parse(text, &SimSpec { seed: Some(seed), ..SimSpec::default() }).unwrap()
}

#[test]
fn a_refusal_for_some_packets_does_not_end_the_path_of_the_others() {
    for seed in 1..=30 {
        for paths in [None, Some(Multipath::default())] {
            let plan = Plan { queries: 6, paths, ..plan("203.0.113.7") };
            let found = summary(&plan, &network(HALF_REFUSED, seed));
            assert!(found.reached, "seed {seed}: {found:?}");
            assert_eq!(found.distance, Some(found.hops.len() as u8), "seed {seed}");
            let last = found.hops.last().unwrap();
            assert!(
                last.routers.iter().any(|router| Some(router.address.address) == found.address)
            );
            let marked = |hop: &Hop| hop.routers.iter().any(|r| r.mark.as_deref() == Some("!X"));
            assert!(found.hops.iter().any(marked), "seed {seed}: {found:?}");
        }
    }
}

#[test]
fn a_short_queue_gets_a_second_try_and_a_rate_paces_a_single_path() {
    for rate in ["1mbit", "100kbit"] {
        for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
            let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
            let plan = Plan { protocol, port, ..plan("203.0.113.7") };
            let net = || network(&SHORT_QUEUE.replace("RATE", rate), 1);
            let found = summary(&plan, &net());
            assert_eq!((found.reached, found.distance), (true, Some(9)), "{rate} {protocol:?}");
            assert!(found.hops.iter().all(|hop| hop.received > 0 && !hop.limited), "{found:?}");
            let found = summary(&Plan { rate: 10.0, ..plan.clone() }, &net());
            assert!(found.hops.iter().all(|hop| hop.received == 3), "{rate} {protocol:?}");
        }
    }
}

#[test]
fn routers_that_limit_their_answers_as_linux_have_no_loss_and_hide_no_path() {
    let limit = Some(IcmpLimit::Linux);
    let options = RouterOptions { icmp_limit: limit, ..RouterOptions::default() };
    let host = HostOptions { icmp_limit: limit, ..HostOptions::default() };
    let net = || Chain::new(1, &vec![options.clone(); 3], host.clone()).with_delay(MS);
    let found = summary(&Plan { queries: 10, ..plan(TARGET) }, &net());
    assert_eq!(addresses(&found), chain_hops(3, true));
    for hop in &found.hops[..3] {
        assert!(hop.limited && hop.loss_pct == 0.0 && hop.received < hop.sent, "{hop:?}");
        assert!(hop.routers[0].limited && hop.routers[0].loss_pct == 0.0, "{hop:?}");
    }
    // Ten ports unreachable are more than the host says at once, and it answers echo requests.
    assert!(found.hops[3].limited && found.hops[3].loss_pct == 0.0, "{found:?}");
    let found = summary(&Plan { paths: Some(Multipath::default()), ..plan(TARGET) }, &net());
    assert_eq!(
        found.paths,
        [chain_hops(3, true).into_iter().map(|hop| hop.map(Into::into)).collect::<Vec<_>>()]
    );
    assert!(found.multipath.unwrap().complete && found.elapsed_s < 60.0, "{found:?}");
    assert!(found.hops.iter().all(|hop| hop.loss_pct == 0.0), "{found:?}");
}

#[test]
fn routers_that_limit_their_answers_are_neither_silent_nor_more_than_there_are() {
    for seed in 1..=12 {
        let net = Simulator::new(SimSpec { seed: Some(seed), .."icmp_limit".parse().unwrap() });
        let plan = Plan { paths: Some(Multipath::default()), ..plan("203.0.113.7") };
        let found = summary(&plan, &net);
        assert!(found.reached && found.elapsed_s < 60.0, "seed {seed}: {found:?}");
        assert_eq!(found.paths.len(), 2, "seed {seed}: {:?}", found.paths);
        let mut hops = found.paths.iter().flatten();
        assert!(hops.all(Option::is_some), "seed {seed}: {:?}", found.paths);
        assert!(found.links.iter().all(|link| link.from.is_some() && link.to.is_some()));
        let sure = found.multipath.unwrap();
        assert!(sure.complete != sure.stopped, "seed {seed}: {sure:?}");
    }
}

#[test]
fn a_target_is_not_farther_than_it_is_because_it_limits_its_answers() {
    let limit = Some(IcmpLimit::Linux);
    let host = HostOptions { icmp_limit: limit, ..HostOptions::default() };
    let options = RouterOptions { icmp_limit: limit, ..RouterOptions::default() };
    for routers in [0, 1] {
        for target in [TARGET, TARGET_V6] {
            let net = Chain::new(1, &vec![options.clone(); routers], host.clone()).with_delay(MS);
            for run in 0..6 {
                let rate = if run % 2 == 0 { 1000.0 } else { 5.0 };
                let found = summary(&Plan { rate, ..plan(target) }, &net);
                let distance = Some(routers as u8 + 1);
                assert_eq!((found.reached, found.distance), (true, distance), "{routers} {run}");
            }
        }
    }
}

#[test]
fn a_linux_host_is_reached_however_often_it_was_traced_before() {
    let limit = Some(IcmpLimit::Linux);
    for (protocol, target) in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp]
        .into_iter()
        .flat_map(|protocol| [(protocol, TARGET), (protocol, TARGET_V6)])
    {
        let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
        let options = RouterOptions { icmp_limit: limit, ..RouterOptions::default() };
        let host = HostOptions { icmp_limit: limit, ..HostOptions::default() };
        let net = Chain::new(1, &[options], host).with_delay(MS);
        for run in 0..20 {
            let found = summary(&Plan { protocol, port, ..plan(target) }, &net);
            assert_eq!((found.reached, found.distance), (true, Some(2)), "{protocol:?} {run}");
            assert!(found.elapsed_s < 3.0 && found.hops.len() == 2, "{protocol:?} {run}");
        }
    }
}

#[test]
fn who_answers_from_another_address_is_the_end_of_the_path_and_named() {
    let other = ip("192.0.2.77");
    let host = HostOptions { answers_from: vec![other], ..HostOptions::default() };
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
        let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
        let net = Chain::new(1, &vec![RouterOptions::default(); 2], host.clone()).with_delay(MS);
        let found = summary(&Plan { protocol, port, ..plan(TARGET) }, &net);
        assert_eq!((found.reached, found.distance), (true, Some(3)), "{protocol:?} {found:?}");
        assert_eq!((found.answered_by, found.hops.len()), (Some(other.into()), 3), "{protocol:?}");
    }
}

#[test]
fn what_was_under_way_when_the_link_was_lost_is_sent_once_more() {
    let simulator = Chain::plain(5).with_delay(20 * MS);
    let mut env = Env::simulated(simulator.clone());
    let (mut told, mut lost) = (None, false);
    let plan = Plan { each: true, ..plan(TARGET) };
    let mut sink = |event| match event {
        Event::Reply(_) if !lost => {
            lost = true;
            simulator.set_link_up("sim0", false).unwrap();
            simulator.step(100 * MS);
            simulator.set_link_up("sim0", true).unwrap();
        }
        Event::Summary(summary) => told = Some(summary),
        _ => {}
    };
    run(&plan, &mut env, &Control::default(), &mut sink).unwrap();
    let found = told.unwrap();
    assert_eq!(addresses(&found), chain_hops(5, true));
    assert!(found.hops.iter().all(|hop| hop.loss_pct == 0.0), "{found:?}");
}

#[test]
fn a_routing_loop_goes_on_to_the_last_hop() {
    let mut chain = Chain::plain(3);
    let (a, b) = (chain.routers[0], chain.routers[1]);
    chain.net.route(a, "198.51.100.0/24", &["10.1.0.2"]);
    chain.net.route(b, "198.51.100.0/24", &["10.1.0.1"]);
    let simulator = chain.with_delay(MS);
    let found = summary(&Plan { max_hops: 9, ..plan("198.51.100.7") }, &simulator);
    assert_eq!((found.hops.len(), found.reached), (9, false));
    assert_eq!(one(&found.hops[7]), one(&found.hops[5]));
    assert_ne!(one(&found.hops[7]), one(&found.hops[6]));
}

#[test]
fn first_and_last_hop_are_kept_to() {
    let simulator = Chain::plain(5).with_delay(MS);
    let found = summary(&Plan { first: 3, ..plan(TARGET) }, &simulator);
    assert_eq!(addresses(&found), chain_hops(5, true)[2..]);
    assert_eq!((found.hops[0].ttl, found.distance), (3, Some(6)));
    let found = summary(&Plan { max_hops: 4, ..plan(TARGET) }, &simulator);
    assert_eq!(addresses(&found), chain_hops(5, true)[..4]);
    assert!(!found.reached);
}

#[test]
fn answers_may_come_in_any_order() {
    // Nearer routers take longer to answer than farther ones.
    let mut options = vec![RouterOptions::default(); 6];
    for (router, slow) in options.iter_mut().zip([400, 300, 200, 100, 50, 0]) {
        router.icmp_delay = slow * MS;
    }
    let simulator = Chain::new(3, &options, HostOptions::default()).with_delay(MS);
    let found = summary(&Plan { patient: true, ..plan(TARGET) }, &simulator);
    assert_eq!(addresses(&found), chain_hops(6, true));
    assert!(found.hops.iter().all(|hop| hop.received == 3));
}

#[test]
fn rounds_keep_statistics_and_outlive_their_numbers() {
    let simulator = Chain::plain(3).with_delay(MS);
    let rounds = 25_000;
    let plan = Plan {
        rounds: Rounds::Count(rounds),
        queries: 1,
        interval: Duration::from_millis(10),
        rate: 100_000.0,
        ..plan(TARGET)
    };
    let found = summary(&plan, &simulator);
    // The first round probes 30 hops, the others 4: over 65535 numbers.
    assert_eq!((found.rounds, found.hops.len()), (rounds, 4));
    for hop in &found.hops {
        assert_eq!((hop.sent, hop.received, hop.loss_pct), (rounds, rounds, 0.0));
        let rtt = hop.routers[0].rtt_us.unwrap();
        assert!(rtt.times.min == rtt.times.max && rtt.jitter == 0.0, "{rtt:?}");
    }
    assert_eq!((found.duplicates, found.late), (0, 0));
}

#[test]
fn duplicates_and_late_answers_are_told_apart() {
    let spec = SimSpec { duplicate: 1.0, ..SimSpec::default() };
    let (events, _) = traced(&Plan::new(["203.0.113.7"]), &Simulator::new(spec));
    let found = summaries(&events)[0];
    assert!(found.duplicates >= 15 && found.hops.iter().all(|hop| hop.received == 3));
    assert!(events.iter().any(|event| matches!(event, Event::Duplicate(_))));
    // Waiting for 10 ms where answers take 20.
    let plan = Plan { wait: 10 * MS, rounds: Rounds::Count(3), ..Plan::new(["203.0.113.7"]) };
    let (events, outcome) = traced(&plan, &default_network(1));
    let found = summaries(&events)[0];
    assert!(found.late > 0 && events.iter().any(|event| matches!(event, Event::Late(_))));
    assert_eq!(outcome.reached, 0, "what is late is lost");
    assert_eq!((found.hops[1].received, found.hops[5].received), (9, 0));
}

#[test]
fn later_rounds_go_no_further_than_the_target() {
    let simulator = Chain::plain(3).with_delay(MS);
    simulator.tap("sim0").unwrap();
    let plan = Plan { rounds: Rounds::Count(3), queries: 2, ..plan(TARGET) };
    let found = summary(&plan, &simulator);
    assert_eq!((found.distance, found.rounds), (Some(4), 3));
    assert!(found.hops.iter().all(|hop| (hop.sent, hop.received) == (6, 6)));
    // 30 hops by the first query of all, and 4 by each of the others.
    assert_eq!(simulator.sent("sim0").len(), 30 + 4 + 2 * (4 + 4));
}

#[test]
fn mpls_labels_come_with_the_routers_that_tell_them() {
    for mpls_length in [true, false] {
        let mpls = vec![
            MplsEntry { label: 24_001, tc: 5, ttl: 1 },
            MplsEntry { label: 16, tc: 0, ttl: 63 },
        ];
        let mut options = vec![RouterOptions::default(); 4];
        options[1] = RouterOptions { mpls, mpls_length, ..RouterOptions::default() };
        let simulator = Chain::new(1, &options, HostOptions::default()).with_delay(MS);
        for target in [TARGET, TARGET_V6] {
            for protocol in [Protocol::Udp, Protocol::Icmp] {
                // Without a length field the quote must reach to the 128th byte.
                let size = if mpls_length { None } else { Some(128) };
                let found = summary(&Plan { protocol, size, ..plan(target) }, &simulator);
                let labels: Vec<_> = found.hops[1].routers[0].mpls.clone();
                let told: Vec<_> =
                    labels.iter().map(|l| (l.label, l.tc, l.bottom, l.ttl)).collect();
                assert_eq!(told, [(24_001, 5, false, 1), (16, 0, true, 63)]);
                assert!(found.hops[0].routers[0].mpls.is_empty());
                assert_eq!(found.distance, Some(5));
            }
        }
    }
}

#[test]
fn nat_on_the_way_is_marked_where_it_begins_to_show() {
    let nat = |quotes| {
        move |n: usize, near: End, far: End| {
            (if n == 2 { near.nat_with(quotes) } else { near }, far)
        }
    };
    for strategy in [Strategy::Paris, Strategy::Dublin] {
        let simulator = Chain::plain(5).build(|_| MS, nat(NatQuotes::ChecksumKept));
        let found = summary(&Plan { strategy, ..plan(TARGET) }, &simulator);
        assert_eq!(addresses(&found), chain_hops(5, true), "{strategy:?}");
        let marks: Vec<_> = found.nat.iter().map(|nat| (nat.ttl, nat.rewritten)).collect();
        assert_eq!(marks, [(3, Rewritten::Checksum)], "{strategy:?}");
    }
    // One that restores all of the quote leaves no trace.
    let simulator = Chain::plain(5).build(|_| MS, nat(NatQuotes::Restored));
    let found = summary(&plan(TARGET), &simulator);
    assert_eq!((addresses(&found), found.nat.len()), (chain_hops(5, true), 0));
}

#[test]
fn the_path_mtu_is_found_with_and_without_help() {
    let narrow = |black_hole: bool| {
        move |n: usize, near: End, far: End| match n {
            3 if black_hole => (near.mtu(1400).black_hole(), far.mtu(1400)),
            3 => (near.mtu(1400), far.mtu(1400)),
            _ => (near, far),
        }
    };
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
        let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
        for target in [TARGET, TARGET_V6] {
            let plan = Plan { protocol, port, mtu: true, ..plan(target) };
            let simulator = Chain::plain(5).build(|_| MS, narrow(false));
            let found = summary(&plan, &simulator);
            assert_eq!((found.mtu, found.mtu_black_hole), (Some(1400), None), "{protocol:?}");
            assert_eq!(found.hops[2].routers[0].mtu, Some(1400), "{protocol:?} {target}");
            let simulator = Chain::plain(5).build(|_| MS, narrow(true));
            let found = summary(&plan, &simulator);
            assert_eq!((found.mtu, found.mtu_black_hole), (Some(1400), Some(3)), "{protocol:?}");
            let simulator = Chain::plain(5).with_delay(MS);
            let found = summary(&plan, &simulator);
            assert_eq!((found.mtu, found.mtu_black_hole), (Some(1500), None));
        }
    }
}

#[test]
fn a_probe_that_is_too_big_names_the_mtu() {
    let plan = Plan { size: Some(1500), ..plan("198.51.100.9") };
    let found = summary(&plan, &default_network(1));
    let last = &found.hops.last().unwrap().routers[0];
    assert_eq!(last.mark.as_deref(), Some("!F-1400"));
    assert!(!found.reached);
}

#[test]
fn both_branches_of_the_diamond_are_found_with_nearly_every_seed() {
    let (mut missed, mut certain) = (0, 0);
    for seed in 0..1000 {
        let plan = Plan { paths: Some(Multipath::default()), ..plan("203.0.113.7") };
        let found = summary(&plan, &default_network(seed));
        let wide = found.hops.iter().filter(|hop| hop.routers.len() == 2).count();
        missed += usize::from(wide != 2 || found.paths.len() != 2);
        certain += usize::from(found.multipath.unwrap().complete);
        assert!(found.reached && found.hops.len() == 6);
        if wide == 2 {
            assert_eq!(found.hops[2].balancing, Some(Balancing::PerFlow));
            assert_eq!(found.links.len(), 8);
            let flows: u32 = found.path_stats.iter().map(|path| path.flows).sum();
            assert_eq!(flows, found.multipath.unwrap().flows);
            assert!(found.path_stats.iter().all(|path| path.rtt_us.unwrap().times.p50 == 20_000.0));
        }
    }
    assert!(missed <= 50, "missed in {missed} of 1000");
    assert!(certain >= 990, "certain in {certain} of 1000");
}

/// We, a router, a balancer over `width` routers, one behind them, the host.
fn fan(seed: u64, width: usize, balance: Balance) -> Simulator {
    let mut net = NetworkBuilder::new(seed);
    let us = net.port("sim0", 1);
    let near = net.router();
    let balancer = net.router_with(RouterOptions { balance, ..RouterOptions::default() });
    let behind = net.router();
    let host = net.host();
    let wire = || Profile::delay(MS);
    net.link(End::new(us).address("10.0.0.1/24"), End::new(near).address("10.0.0.2/24"), wire());
    net.link(
        End::new(near).address("10.1.0.1/24"),
        End::new(balancer).address("10.1.0.2/24"),
        wire(),
    );
    net.gateway(us, "10.0.0.2");
    net.route(near, "0.0.0.0/0", &["10.1.0.2"]);
    net.route(balancer, "10.0.0.0/24", &["10.1.0.1"]);
    let mut branches = Vec::new();
    for n in 0..width {
        let branch = net.router();
        let (a, b) = (format!("10.2.{n}"), format!("10.3.{n}"));
        net.link(
            End::new(balancer).address(format!("{a}.1/24")),
            End::new(branch).address(format!("{a}.2/24")),
            wire(),
        );
        net.link(
            End::new(branch).address(format!("{b}.1/24")),
            End::new(behind).address(format!("{b}.2/24")),
            wire(),
        );
        net.route(branch, "192.0.2.0/24", &[&format!("{b}.2")]);
        net.route(branch, "0.0.0.0/0", &[&format!("{a}.1")]);
        branches.push(format!("{a}.2"));
    }
    let hops: Vec<&str> = branches.iter().map(String::as_str).collect();
    net.route(balancer, "192.0.2.0/24", &hops);
    net.route(behind, "0.0.0.0/0", &["10.3.0.1"]);
    net.link(
        End::new(behind).address("192.0.2.1/24"),
        End::new(host).address("192.0.2.9/24"),
        wire(),
    );
    net.build().unwrap()
}

#[test]
fn sixteen_branches_are_missed_in_at_most_one_of_twenty_runs() {
    // A thousand take their time without optimisation; the explorer's own tests have more.
    let runs = if cfg!(debug_assertions) { 250 } else { 1000 };
    let mut missed = 0;
    for seed in 0..runs {
        let plan = Plan { paths: Some(Multipath::default()), ..plan(TARGET) };
        let found = summary(&plan, &fan(seed, 16, Balance::Flow));
        missed += usize::from(found.hops[2].routers.len() != 16);
        assert_eq!(found.hops[2].balancing, Some(Balancing::PerFlow), "seed {seed}");
    }
    assert!(missed * 20 <= runs as usize, "missed in {missed} of {runs}");
}

#[test]
fn a_balancer_of_packets_is_told_from_one_of_flows() {
    for (balance, expected) in [
        (Balance::Packet, Balancing::PerPacket),
        (Balance::RoundRobin, Balancing::PerPacket),
        (Balance::Flow, Balancing::PerFlow),
    ] {
        let mut wrong = 0;
        for seed in 0..100 {
            let plan = Plan { paths: Some(Multipath::default()), ..plan(TARGET) };
            let found = summary(&plan, &fan(seed, 3, balance));
            assert_eq!(found.distance, Some(5));
            wrong += usize::from(found.hops[2].balancing != Some(expected));
        }
        assert!(wrong <= 2, "{balance:?}: {wrong} of 100");
    }
    // By destination nothing varies: one path.
    let plan = Plan { paths: Some(Multipath::default()), ..plan(TARGET) };
    let found = summary(&plan, &fan(1, 3, Balance::Destination));
    assert_eq!((found.paths.len(), found.hops[2].balancing), (1, None));
}

#[test]
fn flows_keep_to_their_path_and_classic_probes_do_not() {
    let classic = Plan { strategy: Strategy::Classic, queries: 9, ..plan(TARGET) };
    let found = summary(&classic, &fan(1, 8, Balance::Flow));
    assert!(found.hops[2].routers.len() > 2, "{}", found.hops[2].routers.len());
    for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
        let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
        for seed in 0..20 {
            let paris = Plan { protocol, port, queries: 9, ..plan(TARGET) };
            let found = summary(&paris, &fan(seed, 8, Balance::Flow));
            assert_eq!(found.hops[2].routers.len(), 1, "{protocol:?}");
            assert_eq!(found.paths.len(), 1);
        }
        let paths = Some(Multipath::default());
        let found =
            summary(&Plan { protocol, port, paths, ..plan(TARGET) }, &fan(1, 8, Balance::Flow));
        assert_eq!(found.hops[2].routers.len(), 8, "{protocol:?} has flows, too");
    }
}

#[test]
fn the_way_back_may_be_longer_than_the_way_there() {
    // Two routers there, four back: r2 → x → y → r1.
    let mut net = NetworkBuilder::new(1);
    let us = net.port("sim0", 1);
    let [r1, r2, x, y] = std::array::from_fn(|_| net.router());
    let host = net.host();
    let mut n = 0;
    let mut wire = |net: &mut NetworkBuilder, a, b| {
        net.link(
            End::new(a).address(format!("10.{n}.0.1/24")),
            End::new(b).address(format!("10.{n}.0.2/24")),
            Profile::delay(MS),
        );
        n += 1;
    };
    wire(&mut net, us, r1);
    wire(&mut net, r1, r2);
    wire(&mut net, r2, x);
    wire(&mut net, x, y);
    wire(&mut net, y, r1);
    net.link(
        End::new(r2).address("192.0.2.1/24"),
        End::new(host).address("192.0.2.9/24"),
        Profile::delay(MS),
    );
    net.gateway(us, "10.0.0.2");
    net.route(r1, "192.0.2.0/24", &["10.1.0.2"]);
    net.route(r2, "10.0.0.0/24", &["10.2.0.2"]);
    net.route(x, "10.0.0.0/24", &["10.3.0.2"]);
    net.route(y, "10.0.0.0/24", &["10.4.0.2"]);
    let found = summary(&plan(TARGET), &net.build().unwrap());
    assert_eq!(found.distance, Some(3));
    let back: Vec<_> = found.hops.iter().map(|hop| hop.routers[0].back_hops.unwrap()).collect();
    assert_eq!(back, [1, 4, 5]);
}

#[test]
fn routers_with_a_fault_are_silent_or_short_and_nothing_worse() {
    let with = |change: fn(&mut RouterOptions)| {
        let mut options = vec![RouterOptions::default(); 4];
        change(&mut options[1]);
        Chain::new(1, &options, HostOptions::default()).with_delay(MS)
    };
    for target in [TARGET, TARGET_V6] {
        for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
            let port = if protocol == Protocol::Udp { 33_434 } else { 80 };
            let plan = Plan { protocol, port, ..plan(target) };
            // Eight bytes of transport are enough over IPv4.
            let found = summary(&plan, &with(|router| router.quoting = Quoting::Short));
            assert_eq!(addresses(&found), chain_hops(4, target == TARGET), "{protocol:?}");
            let simulator = with(|router| router.flaw = Some(Flaw::Checksum));
            let (events, outcome) = traced(&plan, &simulator);
            let found = summaries(&events)[0];
            assert!(found.hops[1].routers.is_empty() && found.reached);
            assert_eq!(outcome.malformed, 4, "three queries and the second try");
            let simulator = with(|router| router.flaw = Some(Flaw::Lengths));
            let (events, _) = traced(&plan, &simulator);
            let found = summaries(&events)[0];
            assert!(found.reached && found.hops.len() == 5);
        }
    }
}

#[test]
fn forged_answers_are_counted_and_change_nothing() {
    let simulator = default_network(1);
    simulator.tap("sim0").unwrap();
    let plan = Plan { queries: 1, ..Plan::new(["203.0.113.7"]) };
    let clean = summary(&plan, &simulator);
    // What a real router said about a real probe, with another number in the quote.
    let probes = simulator.sent("sim0");
    let probe = probes.iter().find(|frame| frame[14 + 9] == 17).unwrap();
    let mut forged = probe.clone();
    // Numbers that were never sent: both marks of the quote.
    forged[14 + 4..14 + 6].copy_from_slice(&60_000_u16.to_be_bytes());
    forged[34 + 6..34 + 8].copy_from_slice(&60_000_u16.to_be_bytes());
    let mac = fluxnet::proto::MacAddr([2, 0, 0, 0, 0, 9]);
    let mut error = vec![0; 600];
    let len = fluxnet::proto::respond::icmp_error(
        &mut error,
        &forged,
        ip("172.16.99.9"),
        mac,
        fluxnet::proto::respond::IcmpError::TimeExceeded,
    )
    .unwrap();
    error.truncate(len);
    let mut broken = error.clone();
    broken[34 + 2] ^= 1;
    let mut short = error.clone();
    short.truncate(14 + 20 + 8 + 20 + 4);
    let len = (short.len() - 14) as u16;
    short[16..18].copy_from_slice(&len.to_be_bytes());
    let fresh = default_network(1);
    let mut env = Env::simulated(fresh.clone());
    let mut events = Vec::new();
    let inject = fresh.clone();
    let outcome = run(&plan, &mut env, &Control::default(), &mut |event| {
        if matches!(event, Event::Neighbour(_)) {
            for frame in [&error, &broken, &short] {
                inject.inject("sim0", None, frame).unwrap();
            }
        }
        events.push(event);
    })
    .unwrap();
    let found = summaries(&events)[0];
    assert_eq!(addresses(found), addresses(&clean));
    assert_eq!(found.hops.iter().map(|hop| hop.received).sum::<u64>(), 6);
    assert_eq!(outcome.foreign, 1, "the forged one");
    // The other two are broken: a filter may not even let them through.
    assert!(outcome.malformed >= 1, "{outcome:?}");
}

#[test]
fn tos_and_dont_fragment_are_on_every_probe() {
    let simulator = default_network(1);
    simulator.tap("sim0").unwrap();
    let _ = summary(&Plan { tos: 0xb8, ..plan("203.0.113.7") }, &simulator);
    let sent = simulator.sent("sim0");
    assert_eq!(sent.len(), 90);
    let mut ports = Vec::new();
    for frame in &sent {
        let headers = Headers::parse(frame).unwrap();
        assert!(headers.verify_checksums(frame));
        assert_eq!((headers.tos, frame[14 + 6] & 0x40), (0xb8, 0x40));
        let Transport::Udp { src_port, dst_port } = headers.transport else { panic!() };
        ports.push((src_port, dst_port));
    }
    ports.dedup();
    assert_eq!(ports.len(), 1, "one flow");
}

#[test]
fn tcp_leaves_no_half_open_connection() {
    let simulator = default_network(1);
    simulator.tap("sim0").unwrap();
    let plan = Plan { protocol: Protocol::Tcp, port: 80, ..plan("10.0.0.2") };
    let found = summary(&plan, &simulator);
    assert_eq!((found.distance, found.hops[0].routers[0].icmp.as_str()), (Some(1), "syn_ack"));
    let flags = |frame: &Vec<u8>| match Headers::parse(frame).unwrap().transport {
        Transport::Tcp { flags, .. } => flags,
        other => panic!("{other:?}"),
    };
    let sent: Vec<_> = simulator.sent("sim0").iter().map(flags).collect();
    let resets = sent.iter().filter(|flags| flags.contains(TcpFlags::RST)).count();
    assert!(resets >= 3 && sent.iter().all(|flags| !flags.contains(TcpFlags::ACK)), "{resets}");
    let closed = Plan { port: 81, ..plan };
    let found = summary(&closed, &simulator);
    assert_eq!((found.distance, found.hops[0].routers[0].icmp.as_str()), (Some(1), "reset"));
}

#[test]
fn syns_look_like_those_of_linux() {
    let simulator = default_network(1);
    simulator.tap("sim0").unwrap();
    for (target, ip) in [("203.0.113.7", 20), ("2001:db8:7::7", 40)] {
        let plan = Plan { protocol: Protocol::Tcp, port: 80, ..plan(target) };
        let found = summary(&plan, &simulator);
        assert_eq!((found.distance, found.port_state), (Some(6), Some(PortState::Open)));
        let mut syns = 0;
        for frame in simulator.sent("sim0") {
            let Transport::Tcp { flags, .. } = Headers::parse(&frame).unwrap().transport else {
                continue;
            };
            let tcp = &frame[14 + ip..];
            let view = TcpView::parse(tcp).unwrap();
            if flags == TcpFlags::SYN {
                syns += 1;
                let mss = (1500 - ip as u16 - 20).to_be_bytes();
                assert_eq!((tcp.len(), view.header_len(), view.window()), (40, 40, 64_240));
                assert_eq!(tcp[20..28], [2, 4, mss[0], mss[1], 4, 2, 8, 10]);
                assert_eq!(tcp[32..40], [0, 0, 0, 0, 1, 3, 3, 7]);
            } else {
                assert_eq!((flags, tcp.len(), view.window()), (TcpFlags::RST, 20, 0));
            }
        }
        assert!(syns >= 6 * 3, "{syns}");
    }
}

#[test]
fn long_classic_runs_keep_to_the_ports_of_traceroute() {
    for target in [TARGET, TARGET_V6] {
        let chain = Chain::new(1, &vec![RouterOptions::default(); 3], HostOptions::default());
        let simulator = chain.with_delay(MS);
        simulator.tap("sim0").unwrap();
        for (rounds, queries) in [(Rounds::Count(100), 1), (Rounds::Once, 60)] {
            let strategy = Strategy::Classic;
            let plan = Plan { strategy, rounds, queries, ..plan(target) };
            let found = summary(&plan, &simulator);
            assert_eq!((found.distance, found.hops.len()), (Some(4), 4));
            for hop in &found.hops {
                assert_eq!(hop.received, hop.sent, "{hop:?}");
                assert!(hop.sent >= 60, "{hop:?}");
            }
            let mut ports = BTreeSet::new();
            for frame in simulator.sent("sim0") {
                if let Transport::Udp { dst_port, .. } = Headers::parse(&frame).unwrap().transport {
                    ports.insert(dst_port);
                }
            }
            assert_eq!((ports.first(), ports.last()), (Some(&33_434), Some(&33_534)));
        }
    }
}

#[test]
fn labels_behind_a_quote_whose_length_is_wrong_are_read() {
    let lengths = [
        WrongLength::Bytes,
        WrongLength::Value(15),
        WrongLength::Value(17),
        WrongLength::Value(1),
        WrongLength::Value(255),
    ];
    for wrong in lengths {
        let mpls = vec![MplsEntry { label: 416_240, tc: 0, ttl: 1 }];
        let odd = RouterOptions { mpls, wrong_length: Some(wrong), ..RouterOptions::default() };
        let routers = vec![RouterOptions::default(), odd, RouterOptions::default()];
        for target in [TARGET, TARGET_V6] {
            for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Icmp] {
                let simulator = Chain::new(1, &routers, HostOptions::default()).with_delay(MS);
                let port = protocol.default_port();
                let found = summary(&Plan { protocol, port, ..plan(target) }, &simulator);
                assert_eq!(found.hops.len(), 4, "{wrong:?} {protocol:?}");
                for hop in &found.hops {
                    let labels: Vec<_> = hop.routers[0].mpls.iter().map(|l| l.label).collect();
                    let expected: &[u32] = if hop.ttl == 2 { &[416_240] } else { &[] };
                    assert_eq!(labels, expected, "{wrong:?} {protocol:?} {target}");
                }
            }
        }
    }
}

#[test]
fn an_open_udp_port_is_the_target_as_well() {
    let host = HostOptions { udp: UdpPorts::Open, ..HostOptions::default() };
    let simulator = Chain::new(1, &vec![RouterOptions::default(); 4], host).with_delay(MS);
    let found = summary(&plan(TARGET), &simulator);
    assert_eq!((found.distance, found.reached), (Some(5), true));
    assert_eq!(found.hops[4].routers[0].icmp, "udp_reply");
    let host = HostOptions { udp: UdpPorts::Silent, ..HostOptions::default() };
    let simulator = Chain::new(1, &vec![RouterOptions::default(); 4], host).with_delay(MS);
    let found = summary(&plan(TARGET), &simulator);
    // Nobody answers there but to the echo requests of the second try.
    assert_eq!((addresses(&found), found.reached), (chain_hops(4, true), true));
    assert_eq!((&*found.hops[4].routers[0].icmp, found.hops[4].limited), ("echo_reply", false));
    assert!(found.echo_only, "no UDP was answered: that is more than a limit");
}

#[test]
fn many_targets_are_traced_side_by_side_and_each_once() {
    let host = HostOptions { prefixes: vec!["198.18.0.0/15".into()], ..HostOptions::default() };
    let mut chain = Chain::new(1, &vec![RouterOptions::default(); 3], host);
    for (n, hop) in ["10.1.0.2", "10.2.0.2", "192.0.2.9"].into_iter().enumerate() {
        let router = chain.routers[n];
        chain.net.route(router, "198.18.0.0/15", &[hop]);
    }
    let simulator = chain.with_delay(MS);
    let targets: Vec<_> = (0..300).map(|n| format!("198.18.{}.{}", n / 250, n % 250 + 1)).collect();
    let plan = Plan { each: false, rate: 100_000.0, ..Plan::new(targets.clone()) };
    let (events, outcome) = traced(&plan, &simulator);
    assert_eq!((outcome.reached, outcome.targets), (300, 300));
    let mut found: Vec<_> = summaries(&events).iter().map(|s| s.target.clone()).collect();
    let sent: u64 = summaries(&events).iter().flat_map(|s| &s.hops).map(|hop| hop.sent).sum();
    assert_eq!(sent, 300 * 4 * 3);
    found.sort();
    let mut expected = targets.clone();
    expected.sort();
    assert_eq!(found, expected);
    assert!(summaries(&events).iter().all(|s| s.distance == Some(4)));
    let (events, outcome) = traced(&Plan::new(["198.18.0.1", "198.18.0.1"]), &simulator);
    assert_eq!((outcome.reached, outcome.targets, outcome.refused), (1, 2, 1));
    let twice = summaries(&events)[1].error.as_ref().unwrap();
    assert!(twice.contains("which 198.18.0.1 is, too"), "{twice}");
}

#[test]
fn a_stop_tells_what_is_known() {
    let control = Control::default();
    let mut env = Env::simulated(default_network(1));
    let mut events = Vec::new();
    let plan = Plan { rounds: Rounds::Endless, queries: 1, ..Plan::new(["203.0.113.7"]) };
    let outcome = run(&plan, &mut env, &control, &mut |event| {
        if matches!(&event, Event::Reply(reply) if reply.round == 4) {
            control.stop();
        }
        events.push(event);
    })
    .unwrap();
    let found = summaries(&events)[0];
    assert_eq!((outcome.reached, found.rounds, found.hops.len()), (1, 4, 6));
    // What is still in flight is not lost.
    assert!(found.hops.iter().all(|hop| hop.loss_pct == 0.0 && hop.sent >= 3), "{:?}", found.hops);
}
