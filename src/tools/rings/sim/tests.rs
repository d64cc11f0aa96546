//! What is seen of the application in each trouble, and what is said about it.

use super::*;
use crate::simulator::{End, NetworkBuilder, Profile, SimSpec};
use crate::tools::Control;
use crate::tools::rings::{Event, Outcome, Plan, Sample, Sampler, Selection, SocketSample, run};
use crate::tools::session::Trouble;

fn simulator(spec: &str) -> Simulator {
    Simulator::new(spec.parse::<SimSpec>().unwrap())
}

fn config() -> Config {
    Config::new("")
}

/// Time of a sample: each simulated second takes its time to simulate.
const SHORT: Duration = Duration::from_millis(200);
/// Long enough to see what happens once a second.
const LONG: Duration = Duration::from_millis(500);

/// The samples of a run on `sim0`, each over this time.
fn samples(observer: &mut SimObserver, over: Duration, count: u64) -> Vec<Sample> {
    samples_on(Some("sim0"), observer, over, count)
}

fn samples_on(
    interface: Option<&str>,
    observer: &mut SimObserver,
    over: Duration,
    count: u64,
) -> Vec<Sample> {
    let plan = Plan {
        select: Selection { interface: interface.map(Into::into), ..Selection::default() },
        over,
        every: (count > 1).then_some(over),
        count: Some(count),
        watched: false,
    };
    let mut samples = Vec::new();
    let mut sampler = Sampler::new(observer, &plan.select).unwrap();
    let outcome = run(&plan, &mut sampler, &Control::default(), &mut |event| {
        if let Event::Sample(sample) = event {
            samples.push(*sample);
        }
    });
    let sockets = samples[0].sockets.len();
    assert_eq!(outcome.unwrap(), Outcome { samples: count, sockets, doubts: Vec::new() });
    samples
}

fn sample(spec: &str, config: &Config, behaviour: Behaviour) -> Sample {
    let mut observer = SimObserver::with_behaviour(&simulator(spec), config, behaviour).unwrap();
    samples(&mut observer, SHORT, 1).remove(0)
}

fn kinds(socket: &SocketSample) -> Vec<Trouble> {
    socket.diagnosis.iter().map(|diagnosis| diagnosis.kind).collect()
}

/// What is said about each socket.
fn said(sample: &Sample) -> Vec<Vec<Trouble>> {
    sample.sockets.iter().map(kinds).collect()
}

#[test]
fn a_healthy_run_moves_all_four_rings_steadily_and_nothing_is_said_about_it() {
    let mut observer = SimObserver::new(&simulator(""), &config()).unwrap();
    for sample in samples(&mut observer, SHORT, 2) {
        assert_eq!((sample.scanned_by, sample.sockets.len()), ("sim", 1));
        let socket = &sample.sockets[0];
        assert_eq!(kinds(socket), []);
        let rings = &socket.rings;
        for ring in [&rings.rx, &rings.tx, &rings.fill, &rings.comp] {
            let rate = ring.as_ref().unwrap().per_s.unwrap();
            assert!((99_000.0..101_000.0).contains(&rate), "{rate}: {rings:?}");
        }
        let risen = socket.stats_per_s.unwrap();
        let lost = risen.rx_dropped_per_s
            + risen.rx_ring_full_per_s
            + risen.rx_fill_ring_empty_descs_per_s;
        assert_eq!(lost + risen.rx_invalid_descs_per_s + risen.tx_invalid_descs_per_s, 0.0);
        assert_eq!((socket.zero_copy, socket.pid), (Some(true), Some(std::process::id())));
        assert_eq!(
            (socket.interface.as_deref(), socket.comm.as_deref()),
            (Some("sim0"), Some("sim-app"))
        );
        let interface = &sample.interfaces[0];
        let rate = interface.rx_pps.unwrap();
        assert!(interface.carrier && (99_000.0..101_000.0).contains(&rate), "{interface:?}");
        assert_eq!(interface.xdp_name.as_deref(), Some("redirect"));
    }
}

#[test]
fn healthy_runs_of_any_shape_have_nothing_said_about_them() {
    let many = Config { queues: Queues::Only(vec![0, 2]), ..config() };
    let small = Config { frames: Some(16), batch: 1, ..config() };
    let large = Config { frames: Some(65536), batch: 4096, ..config() };
    let table = [
        ("queues=4", &config()),
        ("queues=4", &many),
        ("", &small),
        ("", &large),
        ("zerocopy=no", &config()),
        ("loss=20%,jitter=1ms,delay=5ms,dup=5%,reorder=5%,corrupt=5%", &config()),
    ];
    for (spec, config) in table {
        let sample = sample(spec, config, Behaviour::Healthy);
        assert!(said(&sample).iter().all(Vec::is_empty), "--sim={spec}: {:?}", said(&sample));
        let stats = |s: &SocketSample| s.stats.unwrap();
        let dropped: u64 =
            sample.sockets.iter().map(|s| stats(s).rx_dropped + stats(s).rx_ring_full).sum();
        assert_eq!(dropped, 0, "--sim={spec}");
        let rates = sample.sockets.iter().map(|s| s.rings.rx.as_ref().unwrap().per_s.unwrap());
        assert!(rates.sum::<f64>() > 40_000.0, "--sim={spec}: {:?}", sample.sockets);
        let zero_copy = spec != "zerocopy=no";
        assert!(sample.sockets.iter().all(|s| s.zero_copy == Some(zero_copy)), "--sim={spec}");
    }
}

#[test]
fn each_trouble_is_named() {
    let table = [
        ("wrong_queue", Trouble::WrongQueue),
        ("no_zero_copy", Trouble::NoZeroCopy),
        ("starved", Trouble::Starved),
        ("stuck_tx", Trouble::StuckTx),
        ("short_ring", Trouble::ShortRing),
        ("link_flap", Trouble::LinkFlap),
        ("gone", Trouble::Gone),
        ("no_program", Trouble::NoProgram),
    ];
    for (spec, kind) in table {
        let mut observer = SimObserver::new(&simulator(spec), &config()).unwrap();
        let later = [Trouble::LinkFlap, Trouble::Gone, Trouble::NoProgram].contains(&kind);
        let over = if later { LONG } else { SHORT };
        // A socket whose interface is gone is on none.
        let interface = Some("sim0").filter(|_| kind != Trouble::Gone);
        for sample in samples_on(interface, &mut observer, over, 2) {
            assert_eq!(said(&sample), [[kind]], "--sim={spec}: {:?}", sample.sockets);
        }
    }
    // The same in copy mode.
    let later = ["no_zero_copy", "link_flap", "gone", "no_program"];
    for (spec, kind) in table.into_iter().filter(|(spec, _)| !later.contains(spec)) {
        let sample = sample(&format!("{spec},zerocopy=no"), &config(), Behaviour::Healthy);
        assert_eq!(said(&sample), [[kind]], "--sim={spec},zerocopy=no: {:?}", sample.sockets);
    }
}

#[test]
fn counters_are_told_per_second() {
    // All that comes is dropped: one count a packet.
    let sample = sample("starved", &config(), Behaviour::Healthy);
    let socket = &sample.sockets[0];
    let (risen, rx_pps) = (socket.stats_per_s.unwrap(), sample.interfaces[0].rx_pps.unwrap());
    let dropped = risen.rx_fill_ring_empty_descs_per_s;
    assert!((99_000.0..101_000.0).contains(&dropped), "{risen:?}");
    assert!((dropped / rx_pps - 1.0).abs() < 0.01, "{dropped} of {rx_pps} packets a second");
}

#[test]
fn what_an_application_does_wrong_is_named() {
    let table = [
        (Behaviour::StopsReading, Trouble::SlowApplication),
        (Behaviour::StopsRefilling, Trouble::Starved),
        (Behaviour::Leaks(3000), Trouble::Leak),
        (Behaviour::Idle, Trouble::Idle),
    ];
    for (behaviour, kind) in table {
        for spec in ["", "zerocopy=no"] {
            let sample = sample(spec, &config(), behaviour);
            assert_eq!(said(&sample), [[kind]], "{behaviour:?}: {:?}", sample.sockets);
        }
    }
}

#[test]
fn with_the_wrong_queue_the_application_has_queue_0_unless_it_is_told_otherwise() {
    let queues = |spec: &str, queues: Queues| {
        let sample = sample(spec, &Config { queues, ..config() }, Behaviour::Healthy);
        sample.sockets.iter().map(|s| s.queue.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(queues("wrong_queue", Queues::All), [0]);
    assert_eq!(queues("wrong_queue,queues=4", Queues::Only(vec![1, 2])), [1, 2]);
    assert_eq!(queues("queues=3", Queues::All), [0, 1, 2]);
    let last = Config { queues: Queues::Only(vec![1]), ..config() };
    assert_eq!(said(&sample("wrong_queue", &last, Behaviour::Healthy)), [[]; 1]);
}

#[test]
fn why_it_is_another_mode_or_ring_size_is_told_once() {
    let notes =
        |spec: &str, config: &Config| SimObserver::new(&simulator(spec), config).unwrap().notes();
    assert!(notes("", &config()).is_empty());
    assert!(notes("no_zero_copy", &config())[0].starts_with("copy mode: "));
    assert!(notes("short_ring", &config())[0].contains("511 entries"));
    let by_name = Config { bind: BindMode::ZeroCopy, ..config() };
    let error = SimObserver::new(&simulator("no_zero_copy"), &by_name).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_same_seed_gives_the_same_samples() {
    for spec in ["seed=3,loss=10%,jitter=1ms", "link_flap,short_ring", "starved,stuck_tx"] {
        let take = || {
            let mut sample = sample(spec, &config(), Behaviour::Healthy);
            sample.took_us = 0.0;
            serde_json::to_string(&sample).unwrap()
        };
        assert_eq!(take(), take(), "--sim={spec}");
    }
}

#[test]
fn interfaces_are_found_by_name_and_others_named() {
    let mut observer = SimObserver::new(&simulator(""), &config()).unwrap();
    let key = observer.find("sim0").unwrap();
    assert_eq!(key, InterfaceKey { netns: None, ifindex: 1 });
    assert_eq!(observer.interface(key).unwrap().nic_ring, Some(1024));
    let gone = InterfaceKey { ifindex: 7, ..key };
    assert_eq!(observer.interface(gone), None);
    let error = observer.find("eth0").unwrap_err();
    assert_eq!(error.to_string(), "cannot find interface eth0: no such interface");
}

#[test]
fn of_two_interfaces_the_application_is_on_the_one_that_its_peer_is_at() {
    let (v4, mut net) = (["10.0.1", "10.0.0"], NetworkBuilder::new(1));
    for (n, net_of) in v4.into_iter().enumerate() {
        let (us, host) = (net.port(&format!("sim{n}"), 1), net.host());
        let end = |node, last: u8| End::new(node).address(format!("{net_of}.{last}/24"));
        net.link(end(us, 1), end(host, 2), Profile::default());
    }
    let mut observer = SimObserver::new(&net.build().unwrap(), &config()).unwrap();
    let sockets = observer.sockets().unwrap().sockets;
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0].interface.as_deref(), Some("sim1"));
    let received = |observer: &mut SimObserver, name: &str| {
        let key = observer.find(name).unwrap();
        observer.interface(key).unwrap().rx_packets.unwrap()
    };
    assert!(received(&mut observer, "sim1") > 0 && received(&mut observer, "sim0") == 0);
}

#[test]
fn a_machine_without_the_network_is_refused() {
    let error = SimObserver::new(&Simulator::loopback(1), &config()).err().unwrap();
    assert!(error.to_string().contains("no interface sim0"), "{error}");
}

#[test]
fn in_real_time_a_pause_takes_as_long_as_it_says() {
    let mut observer = SimObserver::new(&simulator("realtime"), &config()).unwrap();
    let (begin, before) = (std::time::Instant::now(), observer.sockets().unwrap().sockets);
    observer.advance(Duration::from_millis(50)).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(50));
    let after = observer.sockets().unwrap().sockets;
    assert!(after[0].time_ns - before[0].time_ns >= 50_000_000);
    let sent = |s: &crate::snapshot::SocketSnapshot| s.tx.unwrap().producer.unwrap();
    assert!(sent(&after[0]) > sent(&before[0]));
}
