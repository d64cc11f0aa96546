//! `flux ping` against Linux itself, over a veth pair in namespaces of the test's own.

use crate::lab;
use crate::lab::{Lab, OURS, PEER_IP, PEER_IP6};
use fluxnet::tools::ping::{Event, Outcome, Plan, Summary, run};
use fluxnet::tools::{Control, Env};
use fluxnet::{ErrorKind, FluxError, Queues};
use std::time::{Duration, Instant};

fn plan(targets: &[&str]) -> Plan {
    Plan {
        count: Some(100),
        interval: Duration::from_millis(1),
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

/// Answers with a wrong checksum that the peer's kernel was asked about, of both families.
fn checksum_errors(lab: &Lab) -> u64 {
    let snmp = lab.in_peer(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
    let snmp6 = lab.in_peer(|| std::fs::read_to_string("/proc/thread-self/net/snmp6")).unwrap();
    let mut icmp = snmp.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let (names, values) = (icmp.next().unwrap(), icmp.next().unwrap());
    let at = names.split(' ').position(|name| name == "InCsumErrors").unwrap();
    let v4: u64 = values.split(' ').nth(at).unwrap().parse().unwrap();
    let v6 = snmp6.lines().find(|line| line.starts_with("Icmp6InCsumErrors")).unwrap();
    v4 + v6.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
fn the_kernel_answers_a_thousand_probes_of_each_family() {
    let Some(lab) = Lab::veth(2) else { return };
    // Linux asks for IPv6 neighbours from its link-local address.
    lab.run("ip addr add fe80::1/64 dev flux0 nodad");
    let mut plan = plan(&[&PEER_IP.to_string(), &PEER_IP6.to_string()]);
    plan.count = Some(1000);
    let done = ping(&plan).unwrap();
    for summary in done.summaries() {
        assert_eq!((summary.sent, summary.received, summary.lost), (1000, 1000, 0), "{summary:?}");
        assert_eq!((summary.corrupt, summary.errors, summary.duplicates), (0, 0, 0));
        let rtt = summary.rtt_us.unwrap();
        assert!(rtt.min > 0.0 && rtt.p50 < 100_000.0, "{rtt:?}");
    }
    assert_eq!((done.outcome.answered, done.outcome.malformed), (2, 0));
    assert_eq!(checksum_errors(&lab), 0, "the peer found our checksums wrong");
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    assert_eq!((start.opened.backend, start.opened.driver.as_deref()), ("xdp", Some("veth")));
    assert_eq!(
        (start.opened.queues.as_slice(), start.opened.attach),
        ([0, 1].as_slice(), "native")
    );
    let found: Vec<_> = done.events.iter().filter(|e| matches!(e, Event::Neighbour(_))).collect();
    assert_eq!(found.len(), 2);
    assert!(matches!(found[0], Event::Neighbour(n) if n.mac == "02:00:00:00:09:02" && !n.cached));
}

#[test]
fn a_dead_neighbour_is_reported_and_does_not_hold_up_the_other() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut plan = plan(&["10.9.0.77", &PEER_IP.to_string()]);
    plan.count = Some(50);
    let done = ping(&plan).unwrap();
    assert_eq!((done.outcome.answered, done.outcome.targets), (1, 2));
    let summaries = done.summaries();
    assert_eq!((summaries[0].sent, summaries[0].errors, summaries[0].lost), (50, 50, 50));
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
            if answered || start.elapsed().as_secs() > 20 {
                control.stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        _ => {}
    };
    let outcome = run(&plan, &mut env, &control, &mut sink).unwrap();
    assert!(answered && outcome.answered == 2, "{outcome:?}");
}

#[test]
fn the_kernels_own_ping_is_not_disturbed_and_nothing_stays_attached() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut kernel = std::process::Command::new("ping")
        .args(["-q", "-c", "100", "-i", "0.005", &PEER_IP.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("ping (iputils)");
    let mut plan = plan(&[&PEER_IP.to_string()]);
    plan.count = Some(800);
    let done = ping(&plan).unwrap();
    assert_eq!(done.summaries()[0].received, 800);
    assert!(kernel.wait().unwrap().success());
    let text = std::io::read_to_string(kernel.stdout.take().unwrap()).unwrap();
    assert!(text.contains(" 100 received"), "{text}");
    assert!(!lab.run("ip link show dev flux0").contains("xdp"));
}

#[test]
fn a_flood_at_a_rate_sends_all_it_was_asked_to() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut plan = plan(&[&PEER_IP.to_string()]);
    (plan.count, plan.rate, plan.flood, plan.each) = (Some(100_000), Some(100_000.0), true, false);
    // The kernel answers at most 1000 echo requests a second unless told otherwise.
    lab.in_peer(|| std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0")).unwrap();
    lab.in_peer(|| std::fs::write("/proc/sys/net/ipv4/icmp_msgs_per_sec", "10000000")).unwrap();
    let before = received(&lab);
    let done = ping(&plan).unwrap();
    assert_eq!(done.summaries()[0].sent, 100_000);
    assert!(received(&lab) - before >= 100_000, "all of them reached the wire");
}

/// Packets that arrived at the peer.
fn received(lab: &Lab) -> u64 {
    let text = lab.run_in_peer("ip -s link show dev flux1");
    let line = text.lines().skip_while(|line| !line.contains("RX:")).nth(1).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_the_host_cannot_do_is_refused_with_value_and_next_step() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add two type veth peer name two-peer");
    lab.run("ip addr add 10.10.0.1/24 dev two");
    lab.run("ip link set two up");
    lab.run("ip link set two-peer up");
    lab.run("ip link add asleep type veth peer name asleep-peer");
    type Change = fn(&mut Plan);
    let cases: &[(Change, ErrorKind, &str, &str)] = &[
        (|p| p.targets.push("10.10.0.2".into()), ErrorKind::Config, "leaves by two", "-I flux0"),
        (|p| p.targets[0] = "192.0.2.9".into(), ErrorKind::Host, "192.0.2.9", "ip route get"),
        (|p| p.targets[0] = "10.9.0.1".into(), ErrorKind::Host, "own address", "another host"),
        (|p| p.targets[0] = "10.9.0.255".into(), ErrorKind::Config, "broadcast", "one by one"),
        (|p| p.targets[0] = "no.such.host.invalid".into(), ErrorKind::Host, "no.such.host", ""),
        (|p| p.interface = Some("nope".into()), ErrorKind::Device, "nope", "ip -br link"),
        (|p| p.interface = Some("asleep".into()), ErrorKind::Device, "is down", "set asleep up"),
        (|p| p.size = 1473, ErrorKind::Config, "MTU 1500 of flux0", "is 1472"),
        (|p| p.config.queues = Queues::Only(vec![7]), ErrorKind::Config, "queue 7", "--queue"),
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
    lab.run("ip link del two");
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
    assert!(hint.contains("CAP_") && hint.contains("setcap") && hint.contains("--sim"), "{hint}");
}
