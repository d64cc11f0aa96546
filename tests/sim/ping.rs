//! `flux ping` without its terminal, over the simulated network.

use fluxnet::simulator::{SimSpec, Simulator};
use fluxnet::tools::host::Family;
use fluxnet::tools::ping::{Event, Outcome, PathMtu, Plan, Summary, run};
use fluxnet::tools::probe::VlanTag;
use fluxnet::tools::session::{SessionEvent, Trouble};
use fluxnet::tools::topology;
use fluxnet::tools::{Control, Env};
use fluxnet::{ErrorKind, FluxError, Queues};
use std::sync::Arc;
use std::time::Duration;

fn plan(targets: &[&str]) -> Plan {
    Plan { count: Some(5), ..Plan::new(targets.iter().copied()) }
}

fn simulator(spec: &str) -> Simulator {
    Simulator::new(spec.parse::<SimSpec>().unwrap())
}

struct Done {
    outcome: Outcome,
    events: Vec<Event>,
}

impl Done {
    fn summary(&self) -> &Summary {
        match self.events.last() {
            Some(Event::Summary(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    fn summaries(&self) -> Vec<&Summary> {
        self.events
            .iter()
            .filter_map(|e| if let Event::Summary(s) = e { Some(s) } else { None })
            .collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> u64 {
        self.events.iter().filter(|event| wanted(event)).count() as u64
    }
}

fn ping_with(plan: &Plan, simulator: &Simulator) -> Result<Done, FluxError> {
    let (mut events, control) = (Vec::new(), Control::default());
    let mut env = Env::simulated(simulator.clone());
    let outcome = run(plan, &mut env, &control, &mut |event| events.push(event))?;
    Ok(Done { outcome, events })
}

fn ping(plan: &Plan, spec: &str) -> Done {
    ping_with(plan, &simulator(spec)).unwrap()
}

#[test]
fn the_default_network_answers_in_exactly_200_us() {
    let done = ping(&plan(&["10.0.0.2"]), "");
    assert_eq!((done.outcome.answered, done.outcome.targets), (1, 1));
    let replies: Vec<_> = done
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Reply(r) => Some((r.seq, r.bytes, r.reply_ttl, r.rtt_us)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = (1..=5).map(|seq| (seq, 64, 64, Some(200.0))).collect();
    assert_eq!(replies, expected);
    let summary = done.summary();
    assert_eq!((summary.sent, summary.received, summary.lost), (5, 5, 0));
    assert_eq!(summary.loss_pct, 0.0);
    let rtt = summary.rtt_us.unwrap();
    assert_eq!(
        (rtt.min, rtt.mean, rtt.p50, rtt.p99, rtt.max, rtt.stddev),
        (200.0, 200.0, 200.0, 200.0, 200.0, 0.0)
    );
    assert_eq!(summary.elapsed_s, 4.0002);
}

#[test]
fn two_runs_tell_the_same() {
    let spec = "loss=5%,jitter=1ms,dup=3%,reorder=3%,corrupt=2%,seed=11";
    let mut plan = plan(&["10.0.0.2", "203.0.113.7", "2001:db8::3"]);
    (plan.count, plan.interval, plan.wall_clock) = (Some(200), Duration::from_millis(1), true);
    let told = || serde_json::to_string(&ping(&plan, spec).events).unwrap();
    assert_eq!(told(), told());
}

#[test]
fn who_never_answers_is_lost_and_a_mistyped_host_too() {
    let done = ping(&plan(&["10.0.0.66"]), "");
    assert_eq!(done.outcome.answered, 0);
    assert_eq!((done.summary().sent, done.summary().lost, done.summary().errors), (5, 5, 0));
    assert_eq!(done.count(|e| matches!(e, Event::Timeout(_))), 5);
    // Nobody has this address: no probe leaves, each is lost, and it is said once.
    let done = ping(&plan(&["10.0.0.77"]), "");
    let none = done.summary();
    assert_eq!((none.sent, none.unsent, none.lost, none.errors), (0, 5, 0, 5));
    assert_eq!(none.loss_pct, 100.0);
    let told = done.events.iter().find_map(|event| match event {
        Event::SendError(e) => Some(e.error.as_str()),
        _ => None,
    });
    assert_eq!(told, Some("Destination Host Unreachable: 10.0.0.77 did not answer ARP for 1.0 s"));
    assert_eq!(done.count(|e| matches!(e, Event::SendError(_))), 1);
}

#[test]
fn a_missing_neighbour_does_not_hold_up_the_others() {
    let done = ping(&plan(&["10.0.0.77", "10.0.0.2"]), "");
    assert_eq!((done.outcome.answered, done.outcome.targets), (1, 2));
    let summaries = done.summaries();
    assert_eq!((summaries[0].received, summaries[1].received), (0, 5));
    assert_eq!(summaries[1].rtt_us.unwrap().max, 200.0, "waiting for a neighbour is in no RTT");
    assert!(summaries[1].elapsed_s < 4.01);
}

#[test]
fn thirty_percent_loss_loses_thirty_percent() {
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.interval, plan.each) = (Some(10_000), Duration::from_millis(1), false);
    let done = ping(&plan, "loss=30%,seed=7");
    let summary = done.summary();
    assert_eq!(summary.sent, 10_000);
    assert!((28.0..=32.0).contains(&summary.loss_pct), "{}", summary.loss_pct);
    assert_eq!(summary.received + summary.lost, 10_000);
    assert_eq!(done.events.len(), 3, "start, neighbour, summary");
}

#[test]
fn duplicates_and_reordering_are_counted_as_such() {
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.interval) = (Some(2_000), Duration::from_micros(200));
    let done = ping(&plan, "dup=10%,seed=3");
    let summary = done.summary();
    assert_eq!((summary.received, summary.lost, summary.reordered), (2_000, 0, 0));
    assert!((150..=250).contains(&summary.duplicates), "{}", summary.duplicates);
    assert_eq!(summary.duplicates, done.count(|e| matches!(e, Event::Duplicate(_))));

    let done = ping(&plan, "reorder=5%,seed=3");
    let summary = done.summary();
    assert_eq!((summary.received, summary.duplicates), (2_000, 0));
    assert!((60..=140).contains(&summary.reordered), "{}", summary.reordered);
    let told = done.count(|e| matches!(e, Event::Reply(r) if r.out_of_order));
    assert_eq!(summary.reordered, told);
}

#[test]
fn corrupt_answers_are_no_answers() {
    let mut plan = plan(&["10.0.0.2", "2001:db8::2"]);
    (plan.count, plan.interval) = (Some(2_000), Duration::from_millis(1));
    let done = ping(&plan, "corrupt=10%,seed=5");
    for summary in done.summaries() {
        assert_eq!(summary.received + summary.lost, 2_000);
        assert!((150..=250).contains(&summary.lost), "{}", summary.lost);
        // A flip in addresses, lengths, numbers or our token makes it an answer to nobody.
        assert!((80..=summary.lost).contains(&summary.corrupt), "{}", summary.corrupt);
    }
    let corrupt: u64 = done.summaries().iter().map(|s| s.corrupt).sum();
    assert_eq!(corrupt, done.count(|e| matches!(e, Event::Corrupt(_))));
}

#[test]
fn an_answer_after_the_timeout_is_late() {
    let mut plan = plan(&["203.0.113.7"]);
    (plan.timeout, plan.linger) = (Duration::from_millis(15), Duration::ZERO);
    plan.interval = Duration::from_millis(50);
    let done = ping(&plan, "");
    let summary = done.summary();
    assert_eq!((summary.sent, summary.received, summary.lost), (5, 0, 5));
    // The run ends 15 ms after the last probe, before that one's answer.
    assert_eq!(summary.late, 4);
    let rtt = done.events.iter().find_map(|event| match event {
        Event::Late(reply) => reply.rtt_us,
        _ => None,
    });
    assert_eq!(rtt, Some(20_000.0));
}

#[test]
fn answers_that_came_while_we_slept_are_not_late_however_many_they_are() {
    let mut plan = plan(&["203.0.113.7"]);
    (plan.count, plan.interval, plan.config.batch) = (Some(100), Duration::from_millis(1), 4);
    let simulator = simulator("");
    let (mut answers, mut summary) = (0, None);
    let mut sink = |event| match event {
        Event::Reply(_) => {
            answers += 1;
            if answers == 1 {
                // Twenty are on their way, and come long before our next look at the clock.
                simulator.step(10 * plan.timeout);
            }
        }
        Event::Summary(told) => summary = Some(told),
        _ => {}
    };
    run(&plan, &mut Env::simulated(simulator.clone()), &Control::default(), &mut sink).unwrap();
    let summary = summary.unwrap();
    assert_eq!((summary.received, summary.lost, summary.late), (100, 0, 0), "{summary:?}");
    assert_eq!(summary.rtt_us.unwrap().max, 20_000.0);
}

#[test]
fn far_hosts_answer_and_refusing_routers_are_named() {
    let done = ping(&plan(&["203.0.113.7"]), "");
    assert_eq!(done.summary().rtt_us.unwrap().p50, 20_000.0);
    let done = ping(&plan(&["192.0.2.1"]), "");
    assert_eq!((done.outcome.answered, done.summary().errors, done.summary().lost), (0, 5, 5));
    let error = done.events.iter().find_map(|event| match event {
        Event::Icmp(error) => Some(error),
        _ => None,
    });
    let error = error.unwrap();
    assert_eq!((error.seq, error.icmp_type, error.code), (1, 3, 1));
    assert_eq!(error.text, "Destination Host Unreachable");
    assert_eq!(error.from, "172.16.23.2".parse::<std::net::IpAddr>().unwrap());
}

#[test]
fn a_ttl_that_is_too_small_ends_at_a_router() {
    let mut plan = plan(&["203.0.113.7"]);
    plan.ttl = 2;
    let done = ping(&plan, "");
    assert_eq!(done.summary().errors, 5);
    assert_eq!(done.count(|e| matches!(e, Event::Icmp(i) if i.text == "Time to live exceeded")), 5);
}

#[test]
fn a_narrow_link_says_its_mtu() {
    let mut plan = plan(&["198.51.100.9"]);
    (plan.size, plan.path_mtu) = (1450, PathMtu::Do);
    let done = ping(&plan, "");
    assert_eq!((done.summary().received, done.summary().errors), (0, 5));
    let told = done.events.iter().find_map(|event| match event {
        Event::Icmp(error) => Some((error.text.as_str(), error.mtu)),
        _ => None,
    });
    assert_eq!(told, Some(("Frag needed and DF set (mtu = 1400)", Some(1400))));
    plan.size = 1372;
    assert_eq!(ping(&plan, "").summary().received, 5);
    // IPv6 routers never fragment.
    plan.targets = vec!["2001:db8:9::9".into()];
    plan.size = 1450 - 20;
    let done = ping(&plan, "");
    assert_eq!(done.count(|e| matches!(e, Event::Icmp(i) if i.mtu == Some(1400))), 5);
}

#[test]
fn ipv6_is_answered_too() {
    let done = ping(&plan(&["2001:db8::2", "2001:db8:7::7"]), "");
    let rtt: Vec<_> = done.summaries().iter().map(|s| s.rtt_us.unwrap().p50).collect();
    assert_eq!((done.outcome.answered, rtt), (2, vec![200.0, 20_000.0]));
}

#[test]
fn many_targets_are_probed_side_by_side() {
    let names: Vec<String> =
        (0..10_000).map(|n| format!("203.0.{}.{}", 113 + n / 250, n % 250)).collect();
    let mut plan = plan(&[]);
    plan.targets = names;
    (plan.count, plan.each, plan.interval) = (Some(2), false, Duration::from_secs(10));
    let done = ping(&plan, "");
    assert_eq!(done.summaries().len(), 10_000);
    assert_eq!(done.outcome.targets, 10_000);
    assert!(done.summaries().iter().all(|s| s.sent == 2));
    assert!(done.summaries().iter().any(|s| s.received == 2));
    // The same target many times over: each copy has its own numbers.
    plan.targets = vec!["10.0.0.3".into(); 100];
    plan.interval = Duration::from_millis(1);
    let done = ping(&plan, "dup=10%");
    assert!(done.summaries().iter().all(|s| (s.received, s.lost) == (2, 0)));
}

#[test]
fn sequence_numbers_go_on_where_16_bits_end() {
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.rate) = (Some(70_000), Some(100_000.0));
    let done = ping(&plan, "dup=1%,seed=9");
    let summary = done.summary();
    assert_eq!((summary.sent, summary.received, summary.late), (70_000, 70_000, 0));
    let last = done.events.iter().rev().find_map(|event| match event {
        Event::Reply(reply) => Some(reply.seq),
        _ => None,
    });
    assert_eq!(last, Some(70_000));
}

#[test]
fn a_lost_probe_does_not_stop_the_numbers_from_coming_round() {
    let mut plan = plan(&["10.0.0.2"]);
    // 65536 probes take 0.33 s: each number comes round long before its timeout.
    (plan.count, plan.rate, plan.each) = (Some(200_000), Some(200_000.0), false);
    plan.timeout = Duration::from_secs(5);
    let done = ping(&plan, "loss=1%,seed=4");
    let summary = done.summary();
    assert_eq!(summary.sent, 200_000);
    assert!((0.8..1.2).contains(&summary.loss_pct), "{}", summary.loss_pct);
    // All sent at the rate asked for: 1 s, then the last losses' timeout.
    assert!((5.9..6.1).contains(&summary.elapsed_s), "{}", summary.elapsed_s);
}

#[test]
fn a_flood_sends_when_an_answer_comes_or_after_10_ms() {
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.flood) = (Some(1_000), true);
    let done = ping(&plan, "");
    assert_eq!(done.summary().received, 1_000);
    assert!((0.2..0.201).contains(&done.summary().elapsed_s), "{}", done.summary().elapsed_s);
    plan.targets = vec!["10.0.0.66".into()];
    plan.count = Some(100);
    let done = ping(&plan, "");
    assert_eq!((done.summary().sent, done.summary().received), (100, 0));
    assert!((1.98..2.0).contains(&done.summary().elapsed_s));
}

#[test]
fn a_deadline_ends_the_run_and_with_a_count_waits_for_that_many_answers() {
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.deadline) = (None, Some(Duration::from_millis(2_500)));
    let done = ping(&plan, "");
    assert_eq!((done.summary().sent, done.summary().received), (3, 3));
    assert_eq!(done.summary().elapsed_s, 2.5);

    (plan.count, plan.deadline) = (Some(5), Some(Duration::from_secs(60)));
    let done = ping(&plan, "loss=30%,seed=7");
    assert_eq!((done.outcome.answered, done.summary().received), (1, 5));
    assert!(done.summary().sent > 5);
    plan.deadline = Some(Duration::from_secs(2));
    let done = ping(&plan, "");
    assert_eq!((done.outcome.answered, done.summary().received), (0, 2));
}

#[test]
fn a_stop_ends_with_the_summary_and_a_question_gets_interim_numbers() {
    let (control, mut events) = (Control::default(), Vec::new());
    let mut plan = plan(&["10.0.0.2", "10.0.0.3"]);
    plan.count = None;
    let mut env = Env::simulated(simulator(""));
    let mut sink = |event: Event| {
        match &event {
            Event::Reply(reply) if reply.seq == 2 => {
                control.ask_interim();
            }
            Event::Interim(_) => control.stop(),
            _ => {}
        }
        events.push(event);
    };
    let outcome = run(&plan, &mut env, &control, &mut sink).unwrap();
    assert_eq!(outcome.answered, 2);
    let interim = events.iter().filter(|e| matches!(e, Event::Interim(s) if s.lost == 0)).count();
    let ends = events.iter().filter(|e| matches!(e, Event::Summary(_))).count();
    assert_eq!((interim, ends), (2, 2));
}

#[test]
fn the_start_tells_what_was_granted() {
    let done = ping(&plan(&["203.0.113.7"]), "queues=4");
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    assert_eq!((start.opened.backend.as_str(), start.opened.interface.as_str()), ("sim", "sim0"));
    assert_eq!(start.opened.queues, [0, 1, 2, 3]);
    assert_eq!(start.opened.driver.as_deref(), Some("sim"));
    assert!(start.opened.tx_clock == "virtual" && start.opened.rx_clock == "virtual");
    let target = &start.targets[0];
    assert_eq!(target.source.to_string(), "10.0.0.1");
    assert_eq!(target.gateway.unwrap().to_string(), "10.0.0.254");
    assert_eq!(done.summary().received, 5);
}

#[test]
fn what_does_not_work_is_refused_with_value_and_next_step() {
    type Change = fn(&mut Plan);
    let cases: &[(Change, ErrorKind, &str, &str)] = &[
        (|p| p.targets.clear(), ErrorKind::Config, "no target", ""),
        (|p| p.count = Some(0), ErrorKind::Config, "count 0: must be at least 1", ""),
        (|p| p.size = 65_508, ErrorKind::Config, "size 65508: must be at most 65507", ""),
        (|p| p.size = 1_473, ErrorKind::Config, "MTU 1500 of sim0", "is 1472"),
        (|p| p.ttl = 0, ErrorKind::Config, "ttl 0", ""),
        (|p| p.pattern = vec![1; 17], ErrorKind::Config, "pattern of 17 bytes", ""),
        (|p| p.rate = Some(0.0), ErrorKind::Config, "rate 0", ""),
        (|p| p.rate = Some(f64::NAN), ErrorKind::Config, "rate NaN", ""),
        (|p| p.rate = Some(-1.0), ErrorKind::Config, "rate -1", ""),
        (|p| p.timeout = Duration::ZERO, ErrorKind::Config, "timeout 0s", ""),
        (|p| p.deadline = Some(Duration::ZERO), ErrorKind::Config, "deadline 0s", ""),
        (|p| p.interval = Duration::MAX, ErrorKind::Config, "at most 100 years", ""),
        (|p| p.vlan = Some(VlanTag { id: 4095, priority: 0 }), ErrorKind::Config, "VLAN 4095", ""),
        (|p| p.vlan = Some(VlanTag { id: 5, priority: 8 }), ErrorKind::Config, "priority 8", ""),
        (|p| p.config.batch = 0, ErrorKind::Config, "batch 0", ""),
        (|p| p.config.frame_size = 3000, ErrorKind::Config, "not a power of two", ""),
        (
            |p| p.config.queues = Queues::Only(vec![3]),
            ErrorKind::Config,
            "queue 3",
            "another queue",
        ),
        (|p| p.targets[0] = "example.org".into(), ErrorKind::Host, "example.org", "flux help sim"),
        (|p| p.targets[0] = "10.0.0.1".into(), ErrorKind::Host, "own address", "another host"),
        (|p| p.targets[0] = "10.0.0.255".into(), ErrorKind::Config, "broadcast", "one by one"),
        (|p| p.targets[0] = "0.0.0.0".into(), ErrorKind::Config, "unspecified", ""),
        (|p| p.targets[0] = "fe80::7".into(), ErrorKind::Config, "link", "fe80::7%sim0"),
        (|p| p.family = Family::V6, ErrorKind::Config, "-6 asks for IPv6", "-6"),
        (|p| p.interface = Some("eth7".into()), ErrorKind::Device, "eth7", "sim0"),
        (|p| p.interface = Some("10.0.0.9".into()), ErrorKind::Config, "10.0.0.9", ""),
        (|p| p.interface = Some("2001:db8::1".into()), ErrorKind::Config, "family", ""),
    ];
    for (change, kind, message, hint) in cases {
        let mut plan = plan(&["10.0.0.2"]);
        change(&mut plan);
        let error = ping_with(&plan, &simulator("")).err().unwrap();
        assert_eq!(error.kind(), *kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}: {:?}", error.hint());
    }
}

/// Answers that nobody should have to survive: real ones, cut, stretched and with flipped bits.
fn garbage(sent: &[u8], dice: &mut impl FnMut() -> usize) -> Vec<u8> {
    let mut frame = sent.to_vec();
    for _ in 0..dice() % 4 {
        let at = dice() % frame.len();
        frame[at] = dice() as u8;
    }
    match dice() % 4 {
        0 => frame.truncate(dice() % (frame.len() + 1)),
        1 => frame.resize(frame.len() + dice() % 64, 0xa5),
        _ => {}
    }
    frame
}

#[test]
fn no_packet_off_the_wire_makes_it_stumble() {
    // What the network answers, as seeds for worse.
    let seeds: Vec<Vec<u8>> = {
        let world = simulator("");
        world.tap("sim0").unwrap();
        let mut plan = plan(&["10.0.0.2", "2001:db8::2"]);
        plan.count = Some(1);
        ping_with(&plan, &world).unwrap();
        world.sent("sim0")
    };
    assert_eq!(seeds.len(), 2);
    let mut state = 7_u64;
    let mut dice = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let world = simulator("seed=2");
    let (mut events, control) = (Vec::new(), Control::default());
    let mut env = Env::simulated(world.clone());
    let mut plan = plan(&["10.0.0.2", "2001:db8::2"]);
    (plan.count, plan.interval) = (Some(500), Duration::from_millis(1));
    let mut sink = |event: Event| {
        for _ in 0..4 {
            let mut seed = seeds[dice() % 2].clone();
            // A reply to us, a reply's checksum being as wrong as it likes.
            let (v4, l3) = (seed[12] == 8, 14);
            let (from, to) = if v4 { (l3 + 12, 4) } else { (l3 + 8, 16) };
            let (a, b) = seed[from..from + 2 * to].split_at_mut(to);
            a.swap_with_slice(b);
            seed[from + 2 * to] =
                if v4 { [0, 3, 11, 5][dice() % 4] } else { [129, 1, 2, 3][dice() % 4] };
            world.inject("sim0", None, &garbage(&seed, &mut dice)).unwrap();
        }
        events.push(event);
    };
    let outcome = run(&plan, &mut env, &control, &mut sink).unwrap();
    assert_eq!(outcome.answered, 2);
    let summaries = events.iter().filter_map(|e| match e {
        Event::Summary(s) => Some((s.sent, s.received)),
        _ => None,
    });
    assert_eq!(summaries.collect::<Vec<_>>(), [(500, 500), (500, 500)]);
    let corrupt = events.iter().filter(|e| matches!(e, Event::Corrupt(_))).count() as u64;
    assert!(corrupt > 100 && outcome.foreign + outcome.malformed > 0, "{corrupt} {outcome:?}");
}

#[test]
fn a_tag_goes_in_front_of_ip_and_answers_carry_none_of_our_secrets() {
    let world = simulator("");
    world.tap("sim0").unwrap();
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.size, plan.tos) = (Some(2), 5, 0x10);
    (plan.pattern, plan.path_mtu) = (vec![0xab, 0xcd], PathMtu::Do);
    plan.vlan = Some(VlanTag { id: 100, priority: 5 });
    ping_with(&plan, &world).unwrap();
    let sent = world.sent("sim0");
    assert_eq!(sent.len(), 2);
    for (frame, seq) in sent.iter().zip(1..) {
        assert_eq!(frame[12..18], [0x81, 0x00, 0xa0, 100, 0x08, 0x00]);
        let headers = fluxnet::proto::Headers::parse(frame).unwrap();
        assert!(headers.verify_checksums(frame));
        assert_eq!((headers.ttl, headers.tos), (64, 0x10));
        assert_eq!(headers.payload(frame), [0xab, 0xcd, 0xab, 0xcd, 0xab]);
        assert_eq!(frame[24] & 0x40, 0x40, "DF");
        assert!(matches!(
            headers.transport,
            fluxnet::proto::Transport::Icmpv4 { seq: s, .. } if s == seq
        ));
    }
    assert_ne!(sent[0][22..24], sent[1][22..24], "IPv4 identification varies");
}

#[test]
fn groups_are_answered_by_their_members() {
    let mut plan = plan(&["ff02::1%sim0"]);
    (plan.count, plan.interval) = (Some(2), Duration::from_millis(1));
    let world = simulator("");
    world.tap("sim0").unwrap();
    let member = |host: u8, probe: &[u8]| {
        // The member's answer: its own address as source, ours as destination.
        let ours: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        let theirs: std::net::Ipv6Addr = format!("2001:db8::{host}").parse().unwrap();
        let pair = fluxnet::proto::IpPair::V6 { src: theirs, dst: ours };
        let (id, seq) = (
            u16::from_be_bytes([probe[58], probe[59]]),
            u16::from_be_bytes([probe[60], probe[61]]),
        );
        let message = fluxnet::proto::Icmpv6Message::EchoReply { id, seq, data: &probe[62..] };
        let link = fluxnet::proto::build::Link::new(Default::default(), Default::default());
        let net = fluxnet::proto::build::Net::new(pair);
        let mut frame = vec![0; 256];
        let len = fluxnet::proto::build::icmpv6(&mut frame, &link, &net, &message).unwrap();
        frame.truncate(len);
        frame
    };
    let (control, mut events) = (Control::default(), Vec::new());
    let mut env = Env::simulated(world.clone());
    plan.targets.push("10.0.0.2".into());
    let mut sink = |event: Event| {
        // The single host's answers are the clock.
        if matches!(&event, Event::Reply(reply) if reply.target == "10.0.0.2") {
            for probe in world.sent("sim0").iter().filter(|probe| probe[12] == 0x86) {
                for host in [3, 4, 4] {
                    world.inject("sim0", None, &member(host, probe)).unwrap();
                }
            }
        }
        events.push(event);
    };
    let outcome = run(&plan, &mut env, &control, &mut sink).unwrap();
    assert_eq!(outcome.answered, 2);
    let group = events.iter().find_map(|event| match event {
        Event::Summary(summary) => Some(summary),
        _ => None,
    });
    let group = group.unwrap();
    assert_eq!((group.sent, group.received, group.lost), (2, 2, 0));
    assert_eq!(group.duplicates, 2, "of the member that says everything twice");
    let from = |event: &Event| match event {
        Event::Reply(r) if r.target != "10.0.0.2" => Some((r.from.to_string(), "")),
        Event::Duplicate(r) if r.target != "10.0.0.2" => Some((r.from.to_string(), "DUP")),
        _ => None,
    };
    let from: Vec<_> = events.iter().filter_map(from).collect();
    let (a, b) = ("2001:db8::3".to_owned(), "2001:db8::4".to_owned());
    let round = [(a, ""), (b.clone(), ""), (b, "DUP")];
    assert_eq!(from, [round.clone(), round].concat());
    let answerers = group.answerers.as_ref().unwrap();
    let numbers: Vec<_> =
        answerers.iter().map(|a| (a.address.to_string(), a.received, a.duplicates)).collect();
    assert_eq!(numbers, [("2001:db8::3".to_owned(), 2, 0), ("2001:db8::4".to_owned(), 2, 2)]);
    assert!(answerers.iter().all(|a| a.rtt_us.is_some_and(|rtt| rtt.mean > 0.0)));
}

#[test]
fn an_interface_that_is_removed_ends_the_run_with_summary_and_error() {
    let world = simulator("");
    let (control, mut events) = (Control::default(), Vec::new());
    let mut env = Env::simulated(world.clone());
    let mut sink = |event: Event| {
        if matches!(&event, Event::Reply(reply) if reply.seq == 2) {
            world.remove_port("sim0").unwrap();
        }
        events.push(event);
    };
    let error = run(&plan(&["10.0.0.2"]), &mut env, &control, &mut sink).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    assert!(matches!(events.last(), Some(Event::Summary(s)) if s.received == 2));
    let down = simulator("");
    down.set_link_up("sim0", false).unwrap();
    let error = ping_with(&plan(&["10.0.0.2"]), &down).err().unwrap();
    assert_eq!(error.to_string(), "cannot use interface sim0: the interface is down");
}

#[test]
fn small_rings_and_few_frames_delay_and_lose_nothing() {
    for (frames, ring) in [(16, 8), (64, 16)] {
        let mut plan = plan(&["10.0.0.2", "10.0.0.3", "2001:db8::4"]);
        (plan.count, plan.rate, plan.each) = (Some(2_000), Some(1e6), false);
        (plan.config.frames, plan.config.ring_size) = (Some(frames), Some(ring));
        let done = ping(&plan, "rate=1gbit");
        for summary in done.summaries() {
            assert_eq!(summary.sent, 2_000);
            // What comes faster than we read is lost on the way in, and counted as lost.
            assert_eq!(summary.received + summary.lost, 2_000);
        }
        // At a rate that the rings can take nothing is.
        plan.rate = Some(20_000.0);
        let done = ping(&plan, "");
        assert!(done.summaries().iter().all(|s| (s.received, s.lost) == (2_000, 0)));
    }
}

#[test]
fn targets_behind_either_interface_are_found_and_dash_i_chooses_another_way() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/two-interfaces.toml");
    let network = || topology::load(file.as_ref(), &SimSpec::default()).unwrap();
    let rtt_ms = |interface: Option<&str>, target: &str| {
        let interface = interface.map(str::to_owned);
        let done = ping_with(&Plan { interface, ..plan(&[target]) }, &network()).unwrap();
        assert_eq!((done.outcome.answered, done.summary().received), (1, 5), "{target}");
        done.summary().rtt_us.unwrap().max / 1000.0
    };
    for (left, right) in [("198.51.100.7", "203.0.113.7"), ("2001:db8:8::7", "2001:db8:7::7")] {
        assert_eq!((rtt_ms(None, left), rtt_ms(None, right)), (2.0, 4.0));
        assert_eq!((rtt_ms(Some("sim0"), left), rtt_ms(Some("sim1"), right)), (2.0, 4.0));
        assert_eq!((rtt_ms(Some("sim1"), left), rtt_ms(Some("sim0"), right)), (24.0, 22.0));
    }
    assert_eq!((rtt_ms(None, "10.0.0.2"), rtt_ms(None, "10.0.1.2")), (2.0, 4.0));
    // One run uses as many interfaces as its targets need, or the one that it is told.
    let both = plan(&["198.51.100.7", "203.0.113.7"]);
    let done = ping_with(&both, &network()).unwrap();
    let times = done.summaries().into_iter().map(|s| s.rtt_us.unwrap().max / 1000.0);
    assert_eq!(times.collect::<Vec<_>>(), [2.0, 4.0]);
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    let names: Vec<_> = start.interfaces.iter().map(|opened| opened.interface.as_str()).collect();
    assert_eq!((names, start.opened.interface.as_str()), (vec!["sim0", "sim1"], "sim0"));
    assert_eq!(start.targets[1].interface, "sim1");
    let by_one = Plan { interface: Some("sim1".into()), ..both };
    assert_eq!(ping_with(&by_one, &network()).unwrap().outcome.answered, 2);
}

#[test]
fn probes_that_a_lowered_mtu_does_not_let_out_are_told_with_the_reason() {
    let world = simulator("");
    let (control, mut events) = (Control::default(), Vec::new());
    let mut env = Env::simulated(world.clone());
    let mut sink = |event: Event| {
        if matches!(&event, Event::Reply(reply) if reply.seq == 2) {
            world.set_mtu("sim0", 600).unwrap();
        }
        events.push(event);
    };
    let plan = Plan { size: 1400, ..plan(&["10.0.0.2"]) };
    run(&plan, &mut env, &control, &mut sink).unwrap();
    let notes: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let Event::Session(SessionEvent::Note(note)) = e {
                Some((note.kind, note.count))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(notes, [(Trouble::TooLong, 3)]);
    assert!(matches!(events.last(), Some(Event::Summary(s)) if (s.received, s.lost) == (2, 3)));
}

#[test]
fn years_of_virtual_time_take_no_time_and_a_stop_is_noticed_in_them() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let mut plan = plan(&["10.0.0.2"]);
    (plan.count, plan.interval) = (Some(3), year);
    let done = ping(&plan, "");
    let summary = done.summary();
    assert_eq!((summary.sent, summary.received), (3, 3));
    assert!(summary.elapsed_s > 2.0 * year.as_secs_f64());
    // Somebody stops it before the second probe.
    let (simulator, control) = (simulator(""), Arc::new(Control::default()));
    let stop = Arc::clone(&control);
    simulator.schedule(Duration::from_secs(5), move || stop.stop());
    let mut last = None;
    let mut sink = |event: Event| {
        if let Event::Summary(summary) = event {
            last = Some(summary);
        }
    };
    run(&plan, &mut Env::simulated(simulator), &control, &mut sink).unwrap();
    let summary = last.unwrap();
    assert_eq!((summary.sent, summary.received), (1, 1));
    assert!(summary.elapsed_s < 10.0, "{}", summary.elapsed_s);
}
