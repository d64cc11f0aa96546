//! Trouble under traffic, round after round: nothing hangs, no frame is lost, and the kernel's own
//! traffic is back each time.

use crate::lab::{self, Lab, OUR_IP, OUR_MAC, OURS, PEER, PEER_MAC, Wire, lab_frame};
use fluxnet::engine::Worker;
use fluxnet::{
    EngineStats, ErrorKind, Filter, FluxBuilder, Link, PacketBatch, Poller, RingsSnapshot,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const ROUNDS: u32 = 200;
/// Packets of each stretch without trouble.
const STRETCH: u64 = 20;
/// A packet with this tag makes a worker panic.
const BAD: u8 = 0xbd;

#[derive(Clone, Copy, Debug)]
enum Trouble {
    OurLink,
    TheirLink,
    Detach,
    Panic,
    Drop,
}

const TROUBLES: [Trouble; 5] =
    [Trouble::OurLink, Trouble::TheirLink, Trouble::Detach, Trouble::Panic, Trouble::Drop];
const POLLERS: [Poller; 3] = [Poller::Busy, Poller::ADAPTIVE, Poller::Syscall];

/// What the senders are told.
struct Traffic {
    tag: AtomicU8,
    paused: AtomicBool,
    over: AtomicBool,
}

impl Traffic {
    /// Sends to one queue until it is over.
    fn send(&self, wire: &Wire, queue: usize) {
        lab::pin(queue);
        while !self.over.load(Relaxed) {
            if !self.paused.load(Relaxed) {
                // A link that is down takes nothing, and that is no fault here.
                let frame = lab_frame(PEER_MAC, OUR_MAC, &[self.tag.load(Relaxed); 46]);
                wire.try_send(&frame);
            }
            thread::sleep(Duration::from_micros(300));
        }
    }
}

/// Ends the traffic also when the test fails.
struct Over<'a>(&'a Traffic);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
    }
}

/// The next of a series of numbers that look like chance, and are the same each time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

fn open(poller: Poller) -> FluxBuilder {
    let builder = FluxBuilder::new(OURS).filter(Filter::Everything).poller(poller);
    builder.frames(512).ring_size(64).batch(16)
}

fn more(seen: &AtomicU64, what: &str) {
    let goal = seen.load(Relaxed) + STRETCH;
    lab::wait_until(what, || seen.load(Relaxed) >= goal);
}

fn link(lab: &Lab, ours: bool, up: bool) {
    let set = if up { "up" } else { "down" };
    match ours {
        true => lab.run(&format!("ip link set {OURS} {set}")),
        false => lab.run_in_peer(&format!("ip link set {PEER} {set}")),
    };
}

fn kernel_answers(lab: &Lab, round: &str) {
    let ping = || lab::try_run(&format!("ping -q -c 1 -W 1 {OUR_IP}"));
    lab::wait_until(&format!("an answer of the kernel, {round}"), || lab.in_peer(ping).is_ok());
}

/// One round in mode A with two workers.
fn engine(lab: &Lab, traffic: &Traffic, trouble: Trouble, poller: Poller, round: &str) {
    let mut workers = open(poller).build_engine().unwrap().into_workers(2, |_| ()).unwrap();
    let (stop, port, seen) = (workers.stop_handle(), workers.ports()[0].clone(), AtomicU64::new(0));
    let judge = |(): &mut (), batch: &mut PacketBatch<'_>| {
        for (at, packet) in batch.iter_mut().enumerate() {
            assert_ne!(packet.data().get(14), Some(&BAD), "on purpose");
            seen.fetch_add(1, Relaxed);
            if at % 2 == 0 {
                packet.send();
            }
        }
    };
    let ended = thread::scope(|scope| {
        let running = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| workers.run(judge))));
        more(&seen, &format!("packets before, {round}"));
        match trouble {
            Trouble::OurLink | Trouble::TheirLink => {
                let ours = matches!(trouble, Trouble::OurLink);
                link(lab, ours, false);
                lab::wait_until("no link", || port.state().link != Link::Up);
                link(lab, ours, true);
                lab::wait_until("the link", || port.state().link == Link::Up);
                more(&seen, &format!("packets after, {round}"));
                assert!(port.state().link_losses > 0, "{round}");
                stop.stop();
            }
            Trouble::Detach => lab::detach::detach_xdp(OURS),
            _ => traffic.tag.store(BAD, Relaxed),
        }
        lab::wait_until(&format!("the end, {round}"), || running.is_finished());
        running.join().unwrap()
    });
    traffic.tag.store(0, Relaxed);
    match (trouble, ended) {
        (Trouble::Panic, Err(_)) => {
            // The queue of that worker is the kernel's, while all else is still open.
            let given_back = || port.queue_counters().unwrap().iter().any(|c| c.no_socket > 0);
            lab::wait_until(&format!("packets for the kernel, {round}"), given_back);
        }
        (Trouble::Detach, Ok(Err(error))) => assert_eq!(error.kind(), ErrorKind::Detached),
        (Trouble::OurLink | Trouble::TheirLink, Ok(Ok(_))) => {}
        (_, other) => panic!("{round}: {:?}", other.map(|run| run.map_err(|e| e.to_string()))),
    }
    traffic.paused.store(true, Relaxed);
    let stats = workers.stats();
    let EngineStats { received, sent, recycled, extracted, tx_full, .. } = stats;
    assert_eq!(received, sent + recycled + extracted + tx_full, "{round}: {stats:?}");
    let mut workers = workers.into_vec();
    lab::wait_until(&format!("all frames, {round}"), || {
        let flush = |worker: &mut Worker<()>| drop(worker.engine.flush());
        workers.iter_mut().for_each(flush);
        let rings = workers.iter().map(|worker| worker.engine.debug_rings());
        rings.reduce(RingsSnapshot::join).unwrap().held() == Some(0)
    });
    drop(port);
}

/// One round in mode B: the receiver is dropped while the sender lives.
fn system(lab: &Lab, traffic: &Traffic, poller: Poller, round: &str) {
    let (mut rx, mut tx) = open(poller).build_system().unwrap();
    let mut got = 0;
    while got < STRETCH {
        let packet = rx.recv(Some(lab::PATIENCE)).unwrap().expect("packets before");
        got += 1;
        if got % 2 == 0 {
            drop(tx.send(packet));
            tx.flush().unwrap();
        }
    }
    traffic.paused.store(true, Relaxed);
    lab::wait_until(&format!("all frames, {round}"), || {
        while rx.recv(Some(Duration::ZERO)).unwrap().is_some() {}
        drop(tx.flush());
        rx.debug_rings().join(tx.debug_rings()).held() == Some(0)
    });
    traffic.paused.store(false, Relaxed);
    drop(rx);
    kernel_answers(lab, round);
    assert!(lab::xdp_attached(OURS), "{round}");
    drop(tx);
}

#[test]
fn two_hundred_rounds_of_trouble_lose_no_frame_and_leave_the_kernel_its_traffic() {
    if !lab::has_queues(2) || !lab::has(&["ping"]) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let lab = lab.with_neighbours();
    let traffic = Traffic {
        tag: AtomicU8::new(0),
        paused: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let wires = [lab.wire(), lab.wire()];
    let mut seed = 13;
    thread::scope(|scope| {
        let _over = Over(&traffic);
        for (queue, wire) in wires.iter().enumerate() {
            let traffic = &traffic;
            scope.spawn(move || traffic.send(wire, queue));
        }
        for round in 0..ROUNDS {
            let trouble = TROUBLES[next(&mut seed) % TROUBLES.len()];
            let poller = POLLERS[next(&mut seed) % POLLERS.len()];
            let name = format!("round {round}: {trouble:?}, {poller}");
            match trouble {
                Trouble::Drop => system(&lab, &traffic, poller, &name),
                _ => engine(&lab, &traffic, trouble, poller, &name),
            }
            assert!(!lab::xdp_attached(OURS), "{name}");
            traffic.paused.store(false, Relaxed);
            kernel_answers(&lab, &name);
        }
    });
}
