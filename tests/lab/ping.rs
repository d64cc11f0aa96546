//! `flux ping` against Linux itself, over a veth pair in namespaces of the test's own.

use crate::lab;
use crate::lab::{Lab, OURS, PATIENCE, PEER_IP, PEER_IP6, counter, wait_until, xdp_attached};
use fluxnet::tools::ping::{Event, Outcome, Plan, Summary, run};
use fluxnet::tools::{Control, Env};
use fluxnet::{ErrorKind, FluxError, Queues};
use std::time::{Duration, Instant};

fn plan(targets: &[&str]) -> Plan {
    Plan {
        count: Some(100),
        interval: Duration::from_millis(1),
        // An answer that comes late is none that is lost. A run ends with its last answer.
        timeout: Duration::from_secs(30),
        ..Plan::new(targets.iter().copied())
    }
}

struct Done {
    outcome: Outcome,
    events: Vec<Event>,
}

impl Done {
    fn summaries(&self) -> Vec<&Summary> {
        self.events
            .iter()
            .filter_map(|e| if let Event::Summary(s) = e { Some(s) } else { None })
            .collect()
    }
}

fn ping(plan: &Plan) -> Result<Done, FluxError> {
    let mut events = Vec::new();
    let mut env = Env::kernel()?;
    let outcome = run(plan, &mut env, &Control::default(), &mut |event| events.push(event))?;
    Ok(Done { outcome, events })
}

/// Messages with a wrong checksum that the peer's kernel got, of both families.
fn checksum_errors(lab: &Lab) -> u64 {
    lab.in_peer(|| counter("IcmpInCsumErrors") + counter("Icmp6InCsumErrors"))
}

#[test]
fn the_kernel_answers_a_thousand_probes_of_each_family() {
    let Some(lab) = Lab::veth(2).map(Lab::with_link_local) else { return };
    let mut plan = plan(&[&PEER_IP.to_string(), &PEER_IP6.to_string()]);
    plan.count = Some(1000);
    let done = ping(&plan).unwrap();
    for summary in done.summaries() {
        assert_eq!((summary.sent, summary.received, summary.lost), (1000, 1000, 0), "{summary:?}");
        assert_eq!((summary.corrupt, summary.errors, summary.duplicates), (0, 0, 0));
        let rtt = summary.rtt_us.unwrap();
        assert!(rtt.min > 0.0 && rtt.min <= rtt.p50 && rtt.p50 <= rtt.max, "{rtt:?}");
        assert!(rtt.max < summary.elapsed_s * 1e6, "{summary:?}");
    }
    assert_eq!((done.outcome.answered, done.outcome.malformed), (2, 0));
    assert_eq!(checksum_errors(&lab), 0, "the peer found our checksums wrong");
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    assert_eq!(
        (start.opened.backend.as_str(), start.opened.driver.as_deref()),
        ("xdp", Some("veth"))
    );
    assert_eq!(
        (start.opened.queues.as_slice(), start.opened.attach.as_str()),
        ([0, 1].as_slice(), "native")
    );
    let found: Vec<_> = done.events.iter().filter(|e| matches!(e, Event::Neighbour(_))).collect();
    assert_eq!(found.len(), 2);
    assert!(matches!(found[0], Event::Neighbour(n) if n.mac == "02:00:00:00:09:02" && !n.cached));
    assert!(!xdp_attached(OURS), "nothing stays attached");
}

#[test]
fn a_dead_neighbour_is_reported_and_does_not_hold_up_the_other() {
    let Some(_lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    let mut plan = plan(&["10.9.0.77", &PEER_IP.to_string()]);
    plan.count = Some(50);
    let done = ping(&plan).unwrap();
    assert_eq!((done.outcome.answered, done.outcome.targets), (1, 2));
    let summaries = done.summaries();
    let dead = summaries[0];
    // No probe left, all are lost.
    assert_eq!((dead.sent, dead.unsent, dead.errors, dead.lost), (0, 50, 50, 0));
    assert_eq!(dead.loss_pct, 100.0);
    assert_eq!((summaries[1].received, summaries[1].lost), (50, 0));
    let told = done.events.iter().find_map(|event| match event {
        Event::SendError(error) => Some(error.error.as_str()),
        _ => None,
    });
    assert!(told.is_some_and(|t| t.starts_with("Destination Host Unreachable: 10.9.0.77")));
}

#[test]
fn a_neighbour_that_comes_later_is_probed_from_then_on() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut plan = plan(&["10.9.0.78", &PEER_IP.to_string()]);
    (plan.count, plan.interval) = (None, Duration::from_millis(20));
    let (control, mut answered) = (Control::default(), false);
    let mut env = Env::kernel().unwrap();
    let start = Instant::now();
    let mut sink = |event: Event| match event {
        Event::SendError(_) => {
            lab.run_in_peer("ip addr add 10.9.0.78/24 dev flux1");
        }
        Event::Reply(reply) => {
            answered |= reply.target == "10.9.0.78";
            if answered || start.elapsed() > PATIENCE {
                control.stop();
            }
        }
        _ => {}
    };
    let outcome = run(&plan, &mut env, &control, &mut sink).unwrap();
    assert!(answered && outcome.answered == 2, "{outcome:?}");
}

#[test]
fn a_flood_at_a_rate_sends_all_it_was_asked_to() {
    const COUNT: u64 = 100_000;
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    let mut plan = plan(&[&PEER_IP.to_string()]);
    (plan.count, plan.rate, plan.flood, plan.each) = (Some(COUNT), Some(1e5), true, false);
    // What two busy CPUs lose of it is waited for in vain.
    plan.timeout = Duration::from_secs(1);
    // The kernel answers at most 1000 echo requests a second unless told otherwise.
    lab.in_peer(|| {
        for (name, value) in [("icmp_ratelimit", "0"), ("icmp_msgs_per_sec", "10000000")] {
            // Not every kernel has both of them in every namespace.
            let _ = std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
        }
    });
    let done = ping(&plan).unwrap();
    let summary = done.summaries()[0];
    assert_eq!((summary.sent, summary.received + summary.lost), (COUNT, COUNT), "{summary:?}");
    // All of them reached the wire: the peer took them, or had no room for them just then.
    let (mut taken, mut dropped) = (0, 0);
    wait_until("the peer has taken what it has room for", || {
        taken = lab.in_peer(|| counter("IcmpInEchos"));
        dropped = full_at_peer(&lab);
        taken + dropped >= COUNT
    });
    assert!(taken <= COUNT && taken >= summary.received, "{taken} taken, {dropped} dropped");
}

/// Packets that our end sent and the peer had no room for.
fn full_at_peer(lab: &Lab) -> u64 {
    let link = lab.run(&format!("ip -s -json link show dev {OURS}"));
    let link: serde_json::Value = serde_json::from_str(&link).unwrap();
    link[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
}

#[test]
fn what_the_host_cannot_do_is_refused_with_value_and_next_step() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add asleep type veth peer name asleep-peer");
    type Change = fn(&mut Plan);
    let cases: &[(Change, ErrorKind, &str, &str)] = &[
        (|p| p.targets[0] = "192.0.2.9".into(), ErrorKind::Host, "192.0.2.9", "ip route get"),
        (|p| p.targets[0] = "10.9.0.1".into(), ErrorKind::Host, "own address", "another host"),
        (|p| p.targets[0] = "10.9.0.255".into(), ErrorKind::Config, "broadcast", "one by one"),
        (|p| p.targets[0] = "no.such.host.invalid".into(), ErrorKind::Host, "no.such.host", ""),
        (|p| p.interface = Some("nope".into()), ErrorKind::Device, "nope", "there are: lo, flux0"),
        (|p| p.interface = Some("asleep".into()), ErrorKind::Device, "is down", "set asleep up"),
        (|p| p.size = 1473, ErrorKind::Config, "MTU 1500 of flux0", "is 1472"),
        (
            |p| p.config.queues = Queues::Only(vec![7]),
            ErrorKind::Config,
            "queue 7",
            "another queue",
        ),
    ];
    for (change, kind, message, hint) in cases {
        let mut plan = plan(&[&PEER_IP.to_string()]);
        change(&mut plan);
        let error = ping(&plan).err().unwrap_or_else(|| panic!("{message}: no error"));
        assert_eq!(error.kind(), *kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}: {:?}", error.hint());
    }
    // Without any address there is none to send from.
    lab.run("ip addr flush dev flux0");
    let mut plan = plan(&[&PEER_IP.to_string()]);
    plan.interface = Some(OURS.into());
    let error = ping(&plan).err().unwrap();
    assert_eq!(error.to_string(), "cannot send to 10.9.0.2 by flux0: flux0 has no IPv4 address");
    assert!(error.hint().unwrap().contains("ip address add"), "{:?}", error.hint());
}

#[test]
fn without_capabilities_the_missing_one_is_named() {
    let Some(_lab) = Lab::veth(1) else { return };
    let error = lab::with_capabilities(&[], || ping(&plan(&[&PEER_IP.to_string()])).err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Permission);
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("CAP_") && hint.contains("setcap") && hint.contains("simulator"),
        "{hint}"
    );
}
