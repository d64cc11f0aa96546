//! The per-packet path allocates nothing: counted, not timed.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "support/counting.rs"]
mod counting;
#[cfg(all(target_os = "linux", feature = "bpf"))]
#[path = "support/lab/mod.rs"]
mod lab;
#[path = "support/rig.rs"]
mod rig;

use counting::allocations;
use fluxnet::simulator::Simulator;
use fluxnet::{Filter, FluxBuilder, FluxRaw, Packets, PortIndex, Route};
use rig::{Forwarder, Generator, ModeA, ModeB, ModeC, Moves, forward};
use std::time::{Duration, Instant};

/// Warms up, then counts over many packets.
fn steady_state(generator: &mut Generator, forwarder: &mut dyn Forwarder) -> u64 {
    forward(generator, forwarder, 20_000);
    // forward() looks at the balance, in lists, at its end; packets are thousands.
    allocations(|| forward(generator, forwarder, 20_000))
}

/// Snapshots and assertions of the rig itself, at its end.
const RIG: u64 = 10;

/// What the simulated kernel may allocate on its side of the seam: a few lists a kick, so far
/// less than one a packet.
const SIMULATED_KERNEL: u64 = 20_000 / 10;

fn on_simulator(make: impl FnOnce(FluxBuilder) -> Box<dyn Forwarder>) {
    let network = Simulator::crossed_pair(1);
    let end = |port: &str| {
        FluxBuilder::new(port).simulator(&network).filter(Filter::Everything).frames(1024)
    };
    let mut forwarder = make(end("a0"));
    let mut generator = Generator::new(end("b0"), &[0x5a; 64]);
    let count = steady_state(&mut generator, &mut *forwarder);
    assert!(count <= RIG + SIMULATED_KERNEL, "{count} allocations for 20,000 packets");
}

#[test]
fn mode_a_allocates_nothing_per_packet() {
    on_simulator(|b| Box::new(ModeA(b.build_engine().unwrap())));
}

#[test]
fn mode_b_allocates_nothing_per_packet() {
    on_simulator(|b| Box::new(ModeB::new(b.build_system().unwrap())));
    on_simulator(|b| Box::new(ModeB::singly(b.build_system().unwrap())));
}

#[test]
fn mode_c_allocates_nothing_per_packet() {
    on_simulator(|b| Box::new(ModeC::new(b.build_raw().unwrap())));
}

#[test]
fn moves_allocate_nothing_per_packet() {
    on_simulator(|b| Box::new(Moves(b.build_raw().unwrap())));
}

/// Forwards from the first port to the second; returns how many packets it queued.
type Turn = Box<dyn FnMut() -> u64>;
/// Opens what it forwards with.
type Make = fn(FluxBuilder) -> Turn;

/// A forwarder between two ports in each mode. They wait in between, so that simulated time moves.
fn between_two_ports() -> [(&'static str, Make); 3] {
    const OUT: PortIndex = PortIndex::new(1);
    const WAIT: Duration = Duration::from_micros(1);
    let mode_a = |builder: FluxBuilder| -> Turn {
        let mut engine = builder.build_engine().unwrap();
        Box::new(move || {
            let before = engine.stats().sent;
            engine.turn(|batch| batch.iter_mut().for_each(|p| p.forward(OUT)), Some(WAIT)).unwrap();
            engine.stats().sent - before
        })
    };
    let mode_b = |builder: FluxBuilder| -> Turn {
        let (mut rx, mut tx) = builder.build_system().unwrap();
        let mut packets = Packets::new();
        Box::new(move || {
            let deadline = Some(rx.now() + WAIT.as_nanos() as u64);
            rx.recv_batch(&mut packets, deadline).unwrap();
            packets.iter_mut().for_each(|mut packet| packet.set_port(OUT));
            let sent = tx.send_batch(&mut packets).unwrap().sent;
            packets.clear();
            tx.flush().unwrap();
            sent as u64
        })
    };
    let mode_c = |builder: FluxBuilder| -> Turn {
        let mut queues = builder.build_raw_queues().unwrap();
        Box::new(move || {
            let [FluxRaw { rx, fill, .. }, to] = &mut queues[..] else { panic!("two queues") };
            to.comp.refill(fill, u32::MAX);
            let routed = rx.route(fill, [&mut to.tx], 64, |_| Route::Send(0));
            to.flush().unwrap();
            if routed.sent == 0 {
                queues[0].wait(Some(WAIT)).unwrap();
            }
            u64::from(routed.sent)
        })
    };
    [("mode A", mode_a), ("mode B", mode_b), ("mode C", mode_c)]
}

/// Warms up, then counts over many packets. They leave by a link that brings none back.
fn one_way(generator: &mut Generator, turn: &mut Turn) -> u64 {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut forward = |want: u64| {
        let (mut forwarded, mut moved) = (0, Instant::now());
        while forwarded < want {
            generator.burst(64);
            let n = turn();
            forwarded += n;
            if n > 0 {
                moved = Instant::now();
            }
            assert!(moved.elapsed() < PATIENCE, "nothing moves after {forwarded} packets");
        }
    };
    forward(20_000);
    allocations(|| forward(20_000))
}

#[test]
fn forwarding_between_two_ports_allocates_nothing_per_packet_in_any_mode() {
    for (mode, make) in between_two_ports() {
        let network = Simulator::crossed_pairs(2, 1);
        let end = |port: &str| {
            FluxBuilder::new(port).simulator(&network).filter(Filter::Everything).frames(1024)
        };
        let mut turn = make(end("a0").port("a1").filter(Filter::Nothing));
        let mut generator = Generator::new(end("b0"), &[0x5a; 64]);
        let count = one_way(&mut generator, &mut turn);
        let most = RIG + SIMULATED_KERNEL;
        assert!(count <= most, "{mode}: {count} allocations for 20,000 packets");
    }
}

#[test]
fn every_move_allocates_nothing_per_packet() {
    let network = Simulator::loopback(1);
    let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
    let mut raw = builder.frames(1024).build_raw().unwrap();
    let mut round = |packets: u32| {
        let mut moved = 0;
        while moved < packets {
            (0..64).for_each(|_| network.inject("lo0", None, &[1; 60]).unwrap());
            let fluxnet::FluxRaw { rx, tx, fill, comp, .. } = &mut raw;
            let mut seen = 0;
            let count = allocations(|| {
                moved += rx.route(fill, [], 16, |_| Route::Recycle).packets;
                let routed = rx.route(fill, [], 16, |packet| {
                    seen += packet.data().len();
                    Route::Recycle
                });
                moved += routed.packets;
                let routed = rx.route(fill, [tx], 16, |packet| {
                    packet.data_mut()[0] = 2;
                    Route::Send(0)
                });
                moved += routed.packets;
                moved += comp.refill(fill, 8);
                moved += comp.resend(tx, fluxnet::umem::Span::new(256, 60, 2048).unwrap(), 8);
            });
            assert_eq!(count, 0);
            while raw.tx.pending() > 0 {
                raw.kick_tx().unwrap();
                raw.wait(Some(std::time::Duration::from_micros(1))).unwrap();
            }
        }
    };
    round(20_000);
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
#[test]
fn no_mode_allocates_per_packet_on_the_real_kernel() {
    use fluxnet::Match;
    use lab::{ETH_LAB, Lab, OUR_MAC, OURS, PEER, PEER_MAC, lab_frame};
    let Some(lab) = Lab::veth(1) else { return };
    let end = |interface: &str| {
        let lab_frames = Match { ether_type: Some(ETH_LAB), ..Match::default() };
        FluxBuilder::new(interface).filter(Filter::Any(vec![lab_frames]))
    };
    let packet = lab_frame(PEER_MAC, OUR_MAC, &[0x5a; 46]);
    let mut generator = lab.in_peer(|| Generator::new(end(PEER), &packet));
    let makers: [fn(FluxBuilder) -> Box<dyn Forwarder>; 5] = [
        |b| Box::new(ModeA(b.build_engine().unwrap())),
        |b| Box::new(ModeB::new(b.build_system().unwrap())),
        |b| Box::new(ModeB::singly(b.build_system().unwrap())),
        |b| Box::new(ModeC::new(b.build_raw().unwrap())),
        |b| Box::new(Moves(b.build_raw().unwrap())),
    ];
    for make in makers {
        let mut forwarder = make(end(OURS));
        let count = steady_state(&mut generator, &mut *forwarder);
        assert!(count <= RIG, "{count} allocations for 20,000 packets");
    }
    // The stack at the far end of a second pair knows no such packets.
    lab::ip_batch(
        "link add out0 type veth peer name out1\n\
         link set out0 addrgenmode none up\n\
         link set out1 addrgenmode none up\n",
    );
    lab::wait_until("a second link", || lab::run("ip link show dev out0").contains("LOWER_UP"));
    for (mode, make) in between_two_ports() {
        let mut turn = make(end(OURS).port("out0").filter(Filter::Nothing));
        let count = one_way(&mut generator, &mut turn);
        assert!(count <= RIG, "{mode}: {count} allocations for 20,000 packets");
    }
}

#[test]
fn parsing_allocates_nothing() {
    use fluxnet::proto::build::{Link, Net, udp};
    use fluxnet::proto::{Headers, IpPair, MacAddr, UdpRepr};
    let link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    let pair = IpPair::V4 { src: [10, 0, 0, 1].into(), dst: [10, 0, 0, 2].into() };
    let header = UdpRepr { src_port: 1, dst_port: 2 };
    let mut frame = [0; 128];
    let len = udp(&mut frame, &link, &Net::new(pair), &header, b"payload").unwrap();
    let count = allocations(|| {
        for cut in 0..len {
            let _ = std::hint::black_box(Headers::parse(&frame[..cut]));
        }
        let headers = Headers::parse(&frame[..len]).unwrap();
        assert!(headers.verify_checksums(&frame[..len]));
    });
    assert_eq!(count, 0);
}

#[cfg(feature = "tools")]
#[test]
fn a_ping_allocates_nothing_per_probe() {
    use fluxnet::tools::{Control, Env, ping};
    let allocations = |probes: u64| {
        // Side by side, so that a kick is for many packets.
        let targets = vec!["10.0.0.2"; 64];
        let plan = ping::Plan {
            count: Some(probes / 64),
            interval: std::time::Duration::ZERO,
            flood: true,
            each: false,
            ..ping::Plan::new(targets)
        };
        let mut env = Env::simulated(Simulator::new(fluxnet::simulator::SimSpec::default()));
        let control = Control::default();
        allocations(|| {
            ping::run(&plan, &mut env, &control, &mut |_| {}).unwrap();
        })
    };
    // What tables, histograms and summaries take does not grow any more: the rest is per probe.
    let (few, many) = (allocations(160_000), allocations(180_000));
    assert!(many - few <= SIMULATED_KERNEL, "{} allocations for 20,000 probes", many - few);
}
