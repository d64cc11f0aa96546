//! The per-packet path allocates nothing: counted, not timed.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[cfg(all(target_os = "linux", feature = "bpf"))]
mod lab;
mod rig;

use fluxnet::simulator::Simulator;
use fluxnet::{Filter, FluxBuilder};
use rig::{Forwarder, Generator, ModeA, ModeB, ModeC, forward};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system allocator, with a count per thread.
struct Counting;

// SAFETY: everything is passed on to the system allocator; counting touches a thread-local Cell
// that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// Warms up, then counts over many packets.
fn steady_state(generator: &mut Generator, forwarder: &mut dyn Forwarder) -> u64 {
    forward(generator, forwarder, 20_000);
    // forward() compares snapshots, which are lists, a few times a call; packets are thousands.
    allocations(|| forward(generator, forwarder, 20_000))
}

/// Snapshots and assertions of the rig itself, at its end and every 4096 turns.
const RIG: u64 = 40;

/// What the simulated kernel may allocate on its side of the seam: a few lists a kick, so far
/// less than one a packet.
const SIMULATED_KERNEL: u64 = 20_000 / 10;

fn on_simulator(make: impl FnOnce(FluxBuilder) -> Box<dyn Forwarder>) {
    let network = Simulator::crossed_pair(1);
    let end = |port: &str| {
        FluxBuilder::new(port).simulator(&network).filter(Filter::Everything).umem_pages(1024)
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
}

#[test]
fn mode_c_allocates_nothing_per_packet() {
    on_simulator(|b| Box::new(ModeC::new(b.build_raw().unwrap())));
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
    let makers: [fn(FluxBuilder) -> Box<dyn Forwarder>; 3] = [
        |b| Box::new(ModeA(b.build_engine().unwrap())),
        |b| Box::new(ModeB::new(b.build_system().unwrap())),
        |b| Box::new(ModeC::new(b.build_raw().unwrap())),
    ];
    for make in makers {
        let mut forwarder = make(end(OURS));
        let count = steady_state(&mut generator, &mut *forwarder);
        assert!(count <= RIG, "{count} allocations for 20,000 packets");
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
        let plan = ping::Plan {
            // Side by side, so that a kick is for many packets.
            targets: vec!["10.0.0.2".into(); 64],
            family: fluxnet::tools::net::Family::Any,
            count: Some(probes / 64),
            interval: std::time::Duration::ZERO,
            rate: None,
            flood: true,
            size: 56,
            timeout: std::time::Duration::from_secs(1),
            deadline: None,
            ttl: 64,
            tos: 0,
            path_mtu: ping::PathMtu::Dont,
            pattern: Vec::new(),
            vlan: None,
            wall_clock: false,
            histogram: false,
            each: false,
            interface: None,
            config: fluxnet::Config::new(""),
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
