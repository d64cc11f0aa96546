//! What counts as an answer, and as whose: hand-made answers to the probes of a silent host, and of
//! hosts that answer from other addresses.

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::{Headers, Icmpv4Message, Icmpv6Message, IpPair, MacAddr, Transport};
use fluxnet::simulator::{SimSpec, Simulator};
use fluxnet::tools::ping::{Event, Outcome, Plan, Reply, Summary, WrongByte, run};
use fluxnet::tools::{Control, Env};
use std::net::IpAddr;
use std::time::Duration;

/// Answers nothing of itself, and has a link layer address.
const SILENT: &str = "10.0.0.66";
/// Answers at once: its answers are the clock of a test.
const CLOCK: &str = "10.0.0.2";
const OURS: &str = "10.0.0.1";

/// A probe that was sent.
struct Probe {
    frame: Vec<u8>,
    id: u16,
    seq: u16,
    payload: Vec<u8>,
    to: IpAddr,
}

impl Probe {
    fn of(frame: &[u8]) -> Option<Self> {
        let headers = Headers::parse(frame).ok()?;
        let (Transport::Icmpv4 { id, seq, .. } | Transport::Icmpv6 { id, seq, .. }) =
            headers.transport
        else {
            return None;
        };
        let payload = headers.payload(frame).to_vec();
        Some(Self { frame: frame.to_vec(), id, seq, payload, to: headers.ip?.dst() })
    }

    /// From who got it to who sent it.
    fn back(&self) -> Link {
        let mac = |at: usize| MacAddr(*self.frame[at..].first_chunk().unwrap());
        Link::new(mac(0), mac(6))
    }

    /// An answer to it.
    fn answer(&self, from: &str, data: &[u8]) -> Vec<u8> {
        let (id, seq, mut frame) = (self.id, self.seq, vec![0; 2048]);
        let (link, from) = (self.back(), from.parse());
        let ours = if self.to.is_ipv4() { OURS } else { "2001:db8::1" };
        let pair = IpPair::new(from.unwrap(), ours.parse().unwrap()).unwrap();
        let len = match pair {
            IpPair::V4 { .. } => {
                let message = Icmpv4Message::EchoReply { id, seq, data };
                build::icmpv4(&mut frame, &link, &Net::new(pair), &message)
            }
            IpPair::V6 { .. } => {
                let message = Icmpv6Message::EchoReply { id, seq, data };
                build::icmpv6(&mut frame, &link, &Net::new(pair), &message)
            }
        };
        frame.truncate(len.unwrap());
        frame
    }

    /// A router's word that it did not get there.
    fn unreachable(&self) -> Vec<u8> {
        let pair = IpPair::new("10.0.0.254".parse().unwrap(), OURS.parse().unwrap()).unwrap();
        let (link, mut frame) = (self.back(), vec![0; 2048]);
        let message =
            Icmpv4Message::Unreachable { code: 1, next_hop_mtu: 0, quote: &self.frame[14..] };
        let len = build::icmpv4(&mut frame, &link, &Net::new(pair), &message).unwrap();
        frame.truncate(len);
        frame
    }
}

struct Done {
    outcome: Outcome,
    events: Vec<Event>,
}

impl Done {
    /// The numbers of the first target.
    fn summary(&self) -> &Summary {
        let mut events = self.events.iter();
        events.find_map(|e| if let Event::Summary(s) = e { Some(s) } else { None }).unwrap()
    }

    /// What came for the first target: the kind of event, and the answer.
    fn answers(&self) -> Vec<(&'static str, &Reply)> {
        let answers = self.events.iter().filter_map(|event| match event {
            Event::Reply(reply) => Some(("reply", reply)),
            Event::Duplicate(reply) => Some(("duplicate", reply)),
            Event::Late(reply) => Some(("late", reply)),
            Event::Corrupt(reply) => Some(("corrupt", reply)),
            _ => None,
        });
        let first = &self.summary().target;
        answers.filter(|(_, reply)| reply.target == *first).collect()
    }
}

/// Pings `targets` and the clock; `answer` says what comes for a probe to the former, when the
/// clock has answered.
fn ping(plan: Plan, mut answer: impl FnMut(&Probe) -> Vec<Vec<u8>>) -> Done {
    let world = Simulator::new("".parse::<SimSpec>().unwrap());
    world.tap("sim0").unwrap();
    let mut targets = plan.targets.clone();
    targets.push(CLOCK.into());
    let (interval, count) = (Duration::from_millis(50), plan.count.or(Some(2)));
    let plan = Plan { targets, interval, count, ..plan };
    let (mut events, mut env) = (Vec::new(), Env::simulated(world.clone()));
    let mut sink = |event: Event| {
        if matches!(&event, Event::Reply(reply) if reply.target == CLOCK) {
            for probe in world.sent("sim0").iter().filter_map(|frame| Probe::of(frame)) {
                if probe.to.to_string() != CLOCK {
                    for frame in answer(&probe) {
                        world.inject("sim0", None, &frame).unwrap();
                    }
                }
            }
        }
        events.push(event);
    };
    let outcome = run(&plan, &mut env, &Control::default(), &mut sink).unwrap();
    Done { outcome, events }
}

fn silent(size: usize) -> Plan {
    Plan { size, ..Plan::new([SILENT]) }
}

#[test]
fn shorter_answers_are_received_and_called_truncated() {
    for (size, left) in [(100, 64), (100, 16), (100, 15), (100, 8), (100, 3), (100, 0), (4, 1)] {
        let done = ping(silent(size), |probe| vec![probe.answer(SILENT, &probe.payload[..left])]);
        let summary = done.summary();
        assert_eq!(
            (summary.received, summary.lost, summary.truncated_replies),
            (2, 0, 2),
            "{size} {left}"
        );
        assert_eq!((summary.corrupt, done.outcome.answered), (0, 2));
        for (kind, reply) in done.answers() {
            assert!(kind == "reply" && reply.truncated && reply.wrong_byte.is_none(), "{reply:?}");
            assert_eq!(reply.bytes, 8 + left);
            assert!(reply.rtt_us.is_some_and(|rtt| rtt > 0.0));
        }
    }
}

#[test]
fn longer_answers_are_plain_ones() {
    // What is too short to say whose it is must not become long enough to.
    for (size, more) in [(0, 7), (5, 2), (8, 40), (15, 40), (56, 40)] {
        let longer = |probe: &Probe| [&probe.payload[..], &[7; 40][..more]].concat();
        let done = ping(silent(size), |probe| vec![probe.answer(SILENT, &longer(probe))]);
        let summary = done.summary();
        assert_eq!(
            (summary.received, summary.truncated_replies, summary.corrupt),
            (2, 0, 0),
            "{size}"
        );
        for (kind, reply) in done.answers() {
            assert!(kind == "reply" && !reply.truncated && reply.wrong_byte.is_none());
            assert_eq!(reply.bytes, 8 + size + more);
        }
    }
}

#[test]
fn a_changed_byte_is_named_and_the_answer_counts() {
    for (size, at) in [(56, 30), (56, 55), (56, 12), (10, 9), (5, 0)] {
        let mut was = Vec::new();
        let done = ping(silent(size), |probe| {
            let mut data = probe.payload.clone();
            data[at] ^= 0x55;
            was.push(WrongByte { offset: at, expected: probe.payload[at], actual: data[at] });
            vec![probe.answer(SILENT, &data)]
        });
        let summary = done.summary();
        let numbers = (summary.received, summary.lost, summary.corrupt, summary.bad_checksum);
        assert_eq!(numbers, (2, 0, 2, 0), "{size} {at}");
        let told: Vec<_> = done.answers().iter().filter_map(|(_, r)| r.wrong_byte).collect();
        assert_eq!(told, was);
        assert!(done.answers().iter().all(|(kind, r)| *kind == "reply" && r.rtt_us.is_some()));
    }
}

#[test]
fn a_wrong_checksum_is_no_answer_and_a_good_one_may_follow() {
    let spoilt = |probe: &Probe| {
        let mut frame = probe.answer(SILENT, &probe.payload);
        *frame.last_mut().unwrap() ^= 1;
        frame
    };
    let done = ping(silent(56), |probe| vec![spoilt(probe)]);
    let summary = done.summary();
    let numbers = (summary.received, summary.lost, summary.corrupt, summary.bad_checksum);
    assert_eq!(numbers, (0, 2, 2, 2));
    assert!(done.answers().iter().all(|(kind, r)| *kind == "corrupt" && r.rtt_us.is_some()));
    let good = |probe: &Probe| vec![spoilt(probe), probe.answer(SILENT, &probe.payload)];
    let done = ping(silent(56), good);
    assert_eq!((done.summary().received, done.summary().bad_checksum), (2, 2));
}

#[test]
fn an_answer_from_another_address_counts_and_says_so() {
    // Several targets, as each answer must find its own.
    let plan = Plan { size: 40, ..Plan::new([SILENT, "10.0.0.67", "10.0.0.66"]) };
    let done = ping(plan, |probe| vec![probe.answer("10.9.9.9", &probe.payload)]);
    for summary in done.events.iter().filter_map(|e| match e {
        Event::Summary(s) if s.target != CLOCK => Some(s),
        _ => None,
    }) {
        let wanted = if summary.target == "10.0.0.67" { (0, 0) } else { (2, 2) };
        // Nobody has 10.0.0.67: nothing was sent to it.
        let got = (summary.received, summary.different_address_replies);
        assert!(got == wanted || summary.sent == 0 || summary.errors > 0, "{summary:?}");
        assert_eq!(summary.duplicates + summary.late, 0);
    }
    let from: Vec<_> = done.answers().iter().map(|(_, r)| r.from.to_string()).collect();
    assert!(!from.is_empty() && from.iter().all(|from| from == "10.9.9.9"));
    assert!(done.answers().iter().all(|(kind, r)| *kind == "reply" && r.different_address));
    // IPv6: the anycast address of a subnet's routers.
    let plan = Plan::new(["2001:db8::66"]);
    let done = ping(plan, |probe| vec![probe.answer("2001:db8::fe", &probe.payload)]);
    let different = done.answers().iter().filter(|(_, r)| r.different_address).count();
    assert_eq!(different, 2, "{:?}", done.answers());
    // Too short for the mark of our run: the address must be right.
    let done = ping(silent(4), |probe| vec![probe.answer("10.9.9.9", &probe.payload)]);
    assert_eq!((done.summary().received, done.summary().lost), (0, 2));
}

#[test]
fn what_another_program_asked_is_not_ours_though_the_numbers_are() {
    let done = ping(silent(56), |probe| {
        let mut data = probe.payload.clone();
        data[..8].copy_from_slice(b"another!");
        vec![probe.answer(SILENT, &data), probe.answer(CLOCK, &data)]
    });
    let summary = done.summary();
    let numbers = (summary.received, summary.corrupt, summary.duplicates, summary.late);
    assert_eq!(numbers, (0, 0, 0, 0));
    // They stay with the other one: nothing that is foreign is taken.
    assert_eq!(done.outcome.foreign, 0);
}

#[test]
fn what_is_too_short_to_say_whose_it_is_answers_a_probe_that_waits_and_is_no_duplicate() {
    for size in [8, 15, 56] {
        let done = ping(silent(size), |probe| {
            let short = probe.answer(SILENT, &probe.payload[..7]);
            let other = probe.answer("10.9.9.9", &probe.payload[..7]);
            let own = probe.answer(SILENT, &probe.payload);
            vec![other, own.clone(), short, own]
        });
        let summary = done.summary();
        let numbers = (summary.received, summary.duplicates, summary.truncated_replies);
        assert_eq!(numbers, (2, 2, 0), "{size} {:?}", done.answers());
    }
}

#[test]
fn an_answer_with_the_number_of_another_probe_answers_neither() {
    let mut first: Option<Vec<u8>> = None;
    let done = ping(Plan { count: Some(3), ..silent(56) }, |probe| {
        let own = probe.answer(SILENT, &probe.payload);
        match &first {
            // That of the first one, under the numbers of the second.
            Some(payload) if probe.seq == 2 => vec![probe.answer(SILENT, payload), own],
            Some(payload) => vec![probe.answer(SILENT, payload)],
            None => {
                first = Some(probe.payload.clone());
                vec![own]
            }
        }
    });
    let summary = done.summary();
    let numbers = (summary.received, summary.lost, summary.corrupt, summary.bad_checksum);
    assert_eq!((numbers, summary.duplicates), ((2, 1, 2, 0), 0), "{:?}", done.answers());
    let corrupt: Vec<_> =
        done.answers().into_iter().filter(|(kind, _)| *kind == "corrupt").collect();
    let wrong = |expected| WrongByte { offset: 15, expected, actual: 1 };
    let told: Vec<_> = corrupt.iter().map(|(_, r)| (r.seq, r.wrong_byte)).collect();
    assert_eq!(told, [(2, Some(wrong(2))), (3, Some(wrong(3)))]);
}

#[test]
fn an_error_leaves_a_probe_open_for_its_answer() {
    let both = |probe: &Probe| vec![probe.unreachable(), probe.answer(SILENT, &probe.payload)];
    let done = ping(silent(56), both);
    let summary = done.summary();
    let numbers = (summary.received, summary.lost, summary.errors, summary.duplicates);
    assert_eq!((numbers, summary.loss_pct), ((2, 0, 2, 0), 0.0));
    assert_eq!(done.outcome.answered, 2);
    // The other way round, and said twice: each is counted.
    let done = ping(silent(56), |probe| {
        let error = || probe.unreachable();
        vec![probe.answer(SILENT, &probe.payload), error(), error()]
    });
    let summary = done.summary();
    assert_eq!((summary.received, summary.lost, summary.errors), (2, 0, 4));
    // An error and no answer: lost, once.
    let done = ping(silent(56), |probe| vec![probe.unreachable()]);
    let summary = done.summary();
    assert_eq!((summary.received, summary.lost, summary.errors), (0, 2, 2));
    let timeouts = done.events.iter().filter(|e| matches!(e, Event::Timeout(t) if t.after_error));
    assert_eq!(timeouts.count(), 2);
}

#[test]
fn with_a_count_and_a_deadline_errors_end_nothing() {
    let run_until = |answered_from: u64| {
        let world = Simulator::new("".parse::<SimSpec>().unwrap());
        world.tap("sim0").unwrap();
        let (mut events, mut env, mut seen) = (Vec::new(), Env::simulated(world.clone()), 0);
        // When a probe is given up, the next one is under way.
        let ms = Duration::from_millis;
        let plan = Plan {
            count: Some(1),
            deadline: Some(ms(4_000)),
            interval: ms(100),
            timeout: ms(150),
            ..Plan::new([SILENT])
        };
        let mut sink = |event: Event| {
            if matches!(&event, Event::Timeout(_)) {
                for probe in world.sent("sim0").iter().filter_map(|frame| Probe::of(frame)) {
                    seen += 1;
                    let frame = if seen < answered_from {
                        probe.unreachable()
                    } else {
                        probe.answer(SILENT, &probe.payload)
                    };
                    world.inject("sim0", None, &frame).unwrap();
                }
            }
            events.push(event);
        };
        let outcome = run(&plan, &mut env, &Control::default(), &mut sink).unwrap();
        let Some(Event::Summary(summary)) = events.last() else { panic!("{events:?}") };
        (summary.clone(), outcome.answered)
    };
    // The host is up after two seconds.
    let (summary, answered) = run_until(20);
    assert_eq!((summary.received, answered), (1, 1), "{summary:?}");
    assert!(summary.errors >= 17 && (1.9..2.2).contains(&summary.elapsed_s), "{summary:?}");
    // It never is.
    let (summary, answered) = run_until(u64::MAX);
    assert_eq!((summary.received, answered, summary.elapsed_s), (0, 0, 4.0), "{summary:?}");
}

#[test]
fn errors_that_come_after_the_timeout_are_waited_for_where_nothing_answered() {
    // They come when the last probe was given up.
    let errors_of = |linger: Duration, answered: bool| {
        let world = Simulator::new("".parse::<SimSpec>().unwrap());
        world.tap("sim0").unwrap();
        let (mut events, mut env) = (Vec::new(), Env::simulated(world.clone()));
        let mut targets = vec![SILENT.to_owned()];
        targets.extend(answered.then(|| CLOCK.to_owned()));
        let mut sink = |event: Event| {
            if matches!(&event, Event::Timeout(timeout) if timeout.seq == 2) {
                for probe in world.sent("sim0").iter().filter_map(|frame| Probe::of(frame)) {
                    if probe.to.to_string() == SILENT {
                        world.inject("sim0", None, &probe.unreachable()).unwrap();
                    }
                }
            }
            events.push(event);
        };
        let plan = Plan { linger, count: Some(2), ..Plan::new(targets) };
        run(&plan, &mut env, &Control::default(), &mut sink).unwrap();
        let summary = events.iter().find_map(|e| match e {
            Event::Summary(s) => Some((s.errors, s.lost, s.elapsed_s)),
            _ => None,
        });
        summary.unwrap()
    };
    let three = Plan::new(["x"]).linger;
    assert_eq!(three, Duration::from_secs(3));
    // The time of the run is that until the last probe was given up.
    assert_eq!(errors_of(three, false), (2, 2, 2.0));
    assert_eq!(errors_of(Duration::ZERO, false), (0, 2, 2.0));
    assert_eq!(errors_of(three, true), (0, 2, 2.0), "who answers needs no reason");
}

#[test]
fn as_many_probes_as_one_likes_are_in_flight() {
    // More than 16 bits tell apart, all in time; a reply to each.
    let plan = Plan {
        count: Some(100_000),
        rate: Some(200_000.0),
        timeout: Duration::from_secs(2),
        each: false,
        ..Plan::new([CLOCK])
    };
    let summary = |plan: &Plan, spec: &str| {
        let mut env = Env::simulated(Simulator::new(spec.parse::<SimSpec>().unwrap()));
        let mut summary = None;
        let mut sink = |event| {
            if let Event::Summary(told) = event {
                summary = Some(told);
            }
        };
        run(plan, &mut env, &Control::default(), &mut sink).map(|_| summary.unwrap())
    };
    let told = summary(&plan, "delay=450ms").unwrap();
    assert_eq!((told.received, told.late, told.duplicates, told.lost), (100_000, 0, 0, 0));
    // What has no room for more numbers is good for 18 bits.
    let told = summary(&Plan { size: 8, ..plan.clone() }, "delay=450ms").unwrap();
    assert_eq!((told.received, told.late), (100_000, 0));
    let error = summary(&Plan { size: 8, count: None, ..plan }, "").unwrap_err();
    assert!(error.to_string().contains("400000 probes to one target"), "{error}");
}
