//! Minutes of forwarding between two ports with faults: memory stays flat, and every packet is in a
//! counter. By hand: `make soak`.

use crate::lab::bump::{Bump, FAR, LEFT, LEFT_MAC, RIGHT, RIGHT_MAC};
use crate::lab::{self, ETH_LAB, Wire, lab_frame};
use fluxnet::engine::Worker;
use fluxnet::{
    ErrorKind, Filter, FluxBuilder, Link, Match, PacketBatch, Port, PortIndex, RingSnapshot,
    RingsSnapshot, Workers, XdpStatistics,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Packets of each burst of a host; between two of them it sleeps for a millisecond.
const BURST: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    OurLink,
    FarLink,
    Mtu,
    Stall,
    Panic,
    Detach,
}

const FAULTS: [Fault; 7] = [
    Fault::None,
    Fault::OurLink,
    Fault::FarLink,
    Fault::Mtu,
    Fault::Stall,
    Fault::Panic,
    Fault::Detach,
];

/// What hosts and workers are told.
#[derive(Default)]
struct Orders {
    paused: AtomicBool,
    over: AtomicBool,
    stall: AtomicBool,
    panic: AtomicBool,
    seen: AtomicU64,
}

impl Orders {
    fn host(&self, wire: &Wire, frame: &[u8]) {
        while !self.over.load(Relaxed) {
            if !self.paused.load(Relaxed) {
                (0..BURST).for_each(|_| wire.try_send(frame));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn judge(&self, batch: &mut PacketBatch<'_>) {
        let out = PortIndex::new(u16::from(batch.port() == PortIndex::new(0)));
        for packet in batch.iter_mut() {
            packet.forward(out);
        }
        let seen = self.seen.fetch_add(batch.len() as u64, Relaxed);
        if self.stall.swap(false, Relaxed) {
            thread::sleep(Duration::from_millis(200));
        }
        if seen > 0 && self.panic.swap(false, Relaxed) {
            panic!("on purpose");
        }
    }
}

/// Ends the hosts also when the test fails.
struct Over<'a>(&'a Orders);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
    }
}

fn open() -> Workers<()> {
    let ours = || Filter::Any(vec![Match { ether_type: Some(ETH_LAB), ..Match::default() }]);
    let builder = FluxBuilder::new(LEFT).filter(ours()).promiscuous(true);
    let builder = builder.port(RIGHT).filter(ours()).promiscuous(true);
    builder.frames(2048).ring_size(256).build_engine().unwrap().into_workers(2, |_| ()).unwrap()
}

/// Packets that a device sent, or dropped instead.
fn device(name: &str) -> u64 {
    let told = lab::run(&format!("ip -s link show dev {name}"));
    let mut lines = told.lines().skip_while(|line| !line.trim().starts_with("TX:")).skip(1);
    let numbers: Vec<u64> =
        lines.next().unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    numbers[1] + numbers[3] // packets and dropped
}

fn total(ports: &[Port], count: impl Fn(&Port) -> u64) -> u64 {
    ports.iter().map(count).sum()
}

/// A number of `/proc/self`: pages of memory, or open descriptors.
fn footprint() -> (u64, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    (resident, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

/// Counts what came in, what went out and where every frame is, while nothing moves.
fn balance(workers: &mut Workers<()>, before: u64, name: &str) {
    let ports = workers.ports().to_vec();
    let used = |ring: &Option<RingSnapshot>| ring.as_ref().and_then(|r| r.used()).unwrap_or(0);
    let mut waiting = 0;
    lab::wait_until(&format!("all frames, {name}"), || {
        // They are told to stop: this only sends what is still queued, and takes back what was sent.
        drop(workers.run(|(), _| {}));
        let rings = workers.workers().iter().map(|Worker { engine, .. }| engine.debug_rings());
        let rings = rings.reduce(RingsSnapshot::join).unwrap();
        // After a panic packets are left in the RX rings until the next run.
        waiting = rings.sockets.iter().map(|socket| u64::from(used(&socket.rx))).sum();
        rings.held() == Some(0) && rings.sockets.iter().all(|socket| used(&socket.tx) == 0)
    });
    let stats = workers.stats();
    let redirected =
        total(&ports, |port| port.queue_counters().unwrap().iter().map(|q| q.redirected).sum());
    let lost = total(&ports, |port| {
        let XdpStatistics { rx_dropped, rx_ring_full, .. } = port.kernel_stats().unwrap();
        rx_dropped + rx_ring_full
    });
    assert_eq!(stats.received + waiting + lost, redirected, "in, {name}: {stats:?}");
    let judged = stats.sent + stats.recycled + stats.extracted + stats.tx_full;
    assert_eq!(stats.received, judged, "judged, {name}: {stats:?}");
    let left = device(LEFT) + device(RIGHT) - before;
    assert_eq!(stats.sent, left, "out, {name}: {stats:?}");
}

/// Lets it come down on the ports while they forward.
fn strike(bump: &Bump, fault: Fault, orders: &Orders, ports: &[Port]) {
    let set = |what: &str| {
        let line = |name: &str| format!("ip link set {name} {what}");
        match fault {
            Fault::FarLink => bump.in_right(|| lab::run(&line(FAR))),
            _ => lab::run(&line(LEFT)),
        };
    };
    match fault {
        Fault::None => {}
        Fault::OurLink | Fault::FarLink => {
            let port = &ports[usize::from(fault == Fault::FarLink)];
            set("down");
            lab::wait_until("no link", || port.state().link != Link::Up);
            set("up");
            lab::wait_until("the link", || port.state().link == Link::Up);
        }
        Fault::Mtu => {
            set("mtu 1400");
            lab::wait_until("the MTU", || ports[0].state().mtu == 1400);
            set("mtu 1500");
        }
        Fault::Stall => orders.stall.store(true, Relaxed),
        Fault::Panic => orders.panic.store(true, Relaxed),
        Fault::Detach => lab::detach::detach_xdp(LEFT),
    }
}

#[test]
#[ignore = "takes ten minutes: make soak"]
fn forwarding_through_faults_keeps_memory_flat_and_every_packet_in_a_counter() {
    let seconds = std::env::var("FLUX_SOAK_S").map_or(600, |s| s.parse().unwrap());
    let Some(bump) = Bump::new(2) else { return };
    let frames =
        [lab_frame(LEFT_MAC, RIGHT_MAC, &[1; 46]), lab_frame(RIGHT_MAC, LEFT_MAC, &[2; 46])];
    let wires =
        [bump.in_left(|| Wire::open(FAR).unwrap()), bump.in_right(|| Wire::open(FAR).unwrap())];
    let (orders, start) = (Orders::default(), Instant::now());
    let (mut rounds, mut packets, mut first) = (0usize, 0, None);
    thread::scope(|scope| {
        let _over = Over(&orders);
        for (wire, frame) in wires.iter().zip(&frames) {
            let orders = &orders;
            scope.spawn(move || orders.host(wire, frame));
        }
        let (mut workers, mut before) = (open(), device(LEFT) + device(RIGHT));
        while start.elapsed() < Duration::from_secs(seconds) {
            // A prime step goes through all of them in every order.
            let fault = FAULTS[rounds * 5 % FAULTS.len()];
            let name = format!("round {rounds}, {fault:?}");
            let (stop, ports) = (workers.stop_handle(), workers.ports().to_vec());
            stop.reset();
            orders.paused.store(false, Relaxed);
            let ended = thread::scope(|scope| {
                let run = || workers.run(|(), batch| orders.judge(batch));
                let running = scope.spawn(|| catch_unwind(AssertUnwindSafe(run)));
                let more = || {
                    let goal = orders.seen.load(Relaxed) + 1000;
                    let done = || orders.seen.load(Relaxed) >= goal || running.is_finished();
                    lab::wait_until(&format!("packets, {name}"), done);
                };
                more();
                strike(&bump, fault, &orders, &ports);
                match fault {
                    Fault::Panic | Fault::Detach => {
                        let what = format!("the end, {name}");
                        lab::wait_until(&what, || running.is_finished());
                    }
                    _ => more(),
                }
                orders.paused.store(true, Relaxed);
                thread::sleep(Duration::from_millis(50)); // what is on its way arrives
                stop.stop();
                running.join().unwrap()
            });
            match (fault, ended) {
                (Fault::Panic, Err(_)) => {}
                (Fault::Detach, Ok(Err(error))) => assert_eq!(error.kind(), ErrorKind::Detached),
                (Fault::Panic | Fault::Detach, _) => panic!("{name}: nothing happened"),
                (_, Ok(Ok(_))) => {}
                (_, Ok(Err(error))) => panic!("{name}: {error}"),
                (_, Err(_)) => panic!("{name}: a panic"),
            }
            balance(&mut workers, before, &name);
            if fault == Fault::Detach {
                packets += workers.stats().received;
                drop((ports, workers));
                (workers, before) = (open(), device(LEFT) + device(RIGHT));
            }
            rounds += 1;
            // Once everything has happened, nothing may grow.
            if rounds == 3 * FAULTS.len() {
                first = Some(footprint());
            }
        }
        packets += workers.stats().received;
    });
    let (first, last) = (first.expect("rounds enough"), footprint());
    println!("{rounds} rounds, {packets} packets; pages and descriptors: {first:?}, then {last:?}");
    assert!(last.0 <= first.0 + 256 && last.1 <= first.1, "{first:?} {last:?}");
}
