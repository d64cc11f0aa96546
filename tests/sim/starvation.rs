//! A receiver whose frames are all in use elsewhere receives again once some are given back.

use fluxnet::simulator::Simulator;
use fluxnet::{Faults, Filter, FluxBuilder, FluxRx, FluxTx, Packet, Poller, Queues};
use std::time::Duration;

const MS: u64 = 1_000_000;
const POLLERS: [Poller; 3] = [Poller::Syscall, Poller::ADAPTIVE, Poller::Busy];
/// When consumers drop what they hold.
const DROP: Duration = Duration::from_millis(100);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn open(network: &Simulator, poller: Poller) -> FluxBuilder {
    let builder = FluxBuilder::new("a0").simulator(network).filter(Filter::Everything);
    builder.queues(Queues::All).poller(poller).frames(64)
}

/// A packet each millisecond, for two seconds from now on.
fn traffic(network: &Simulator, queue: u32) {
    for at in 1..=2000 {
        let (wire, packet) = (network.clone(), [queue as u8; 60]);
        network.schedule(ms(at), move || wire.inject("a0", Some(queue), &packet).unwrap());
    }
}

/// Takes packets until no frame is left for the next.
fn hold_everything(network: &Simulator, queue: u32, rx: &mut FluxRx) -> Vec<Packet> {
    let mut held = Vec::new();
    loop {
        network.inject("a0", Some(queue), &[0xee; 60]).unwrap();
        match rx.recv(Some(Duration::ZERO)).unwrap() {
            Some(packet) => held.push(packet),
            None => return held,
        }
    }
}

/// Lets consumers drop packets later, and says when.
fn drop_later(network: &Simulator, held: Vec<Packet>) -> u64 {
    network.schedule(DROP, move || drop(held));
    network.now() + DROP.as_nanos() as u64
}

#[test]
fn a_receiver_goes_on_at_once_when_its_packets_are_dropped_elsewhere() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(1);
        let (mut rx, _tx) = open(&network, poller).build_system().unwrap();
        let held = hold_everything(&network, 0, &mut rx);
        assert_eq!((held.len(), rx.umem().free_hint()), (64, 0));
        let dropped = drop_later(&network, held);
        traffic(&network, 0);
        assert_eq!(rx.recv(None).unwrap().unwrap().data(), [0; 60], "{poller:?}");
        // The next packet comes a millisecond later.
        assert!(rx.now() <= dropped + MS, "{poller:?}: {} ns late", rx.now() - dropped);
    }
}

#[test]
fn a_starved_queue_goes_on_though_another_has_all_that_it_needs() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(2);
        let (mut rx, _tx) = open(&network, poller).build_system().unwrap();
        let held = hold_everything(&network, 1, &mut rx);
        assert_eq!((held.len(), rx.umem().free_hint()), (48, 0));
        let dropped = drop_later(&network, held);
        traffic(&network, 1);
        assert_eq!(rx.recv(None).unwrap().unwrap().data(), [1; 60], "{poller:?}");
        assert!(rx.now() <= dropped + MS, "{poller:?}: {} ns late", rx.now() - dropped);
    }
}

/// Sends packets whose frames the sender does not take back: the kernel sends them later.
fn send_and_leave(tx: &mut FluxTx, packets: Vec<Packet>) {
    for mut packet in packets {
        packet.set_queue(tx.positions()[0]);
        tx.send(packet).unwrap();
    }
    let _ = tx.flush().unwrap();
    assert_eq!(tx.pending(), 64);
}

#[test]
fn frames_that_lie_completed_are_found() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(1);
        let faults = Faults { kick_delayed: 1.0, ..Faults::default() };
        let builder = open(&network, poller).faults(faults).ring_size(64);
        let (mut rx, mut tx) = builder.build_system().unwrap();
        let held = hold_everything(&network, 0, &mut rx);
        send_and_leave(&mut tx, held);
        traffic(&network, 0);
        let start = rx.now();
        assert!(rx.recv(None).unwrap().is_some(), "{poller:?}");
        assert!(rx.now() <= start + 11 * MS, "{poller:?}: {} ns late", rx.now() - start);
        let held = rx.debug_rings().join(tx.debug_rings()).held().unwrap();
        assert_eq!(held, 0, "{poller:?}");
    }
}

#[test]
fn frames_that_lie_completed_at_another_worker_are_found_also_when_its_sender_is_gone() {
    for gone in [false, true] {
        let network = Simulator::crossed_pair(2);
        let faults = Faults { kick_delayed: 1.0, ..Faults::default() };
        let builder = open(&network, Poller::Syscall).faults(faults).ring_size(64);
        let mut workers = builder.build_system_workers(2).unwrap();
        let (mut rx, _tx) = workers.pop().unwrap();
        let (mut other, mut tx) = workers.pop().unwrap();
        let mut held = hold_everything(&network, 0, &mut other);
        held.extend(hold_everything(&network, 1, &mut rx));
        assert_eq!(held.len(), 64, "nothing is left in either fill ring");
        send_and_leave(&mut tx, held);
        let mut tx = Some(tx);
        if gone {
            tx = None;
        }
        traffic(&network, 1);
        let start = rx.now();
        assert_eq!(rx.recv(None).unwrap().unwrap().data(), [1; 60]);
        assert!(rx.now() <= start + 11 * MS, "{} ns late", rx.now() - start);
        drop(tx);
    }
}

#[test]
fn a_deadline_holds_while_frames_are_waited_for() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(1);
        let (mut rx, _tx) = open(&network, poller).build_system().unwrap();
        let _held = hold_everything(&network, 0, &mut rx);
        let start = rx.now();
        assert!(rx.recv(Some(ms(35))).unwrap().is_none());
        assert_eq!(rx.now(), start + 35 * MS, "{poller:?}");
    }
}

#[test]
fn nobody_waits_for_frames_that_cannot_come() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(1);
        let (mut rx, _tx) = open(&network, poller).build_system().unwrap();
        let _held = hold_everything(&network, 0, &mut rx);
        assert!(rx.recv(None).unwrap().is_none(), "{poller:?}");
    }
}

#[test]
fn the_engine_goes_on_when_extracted_packets_are_dropped_elsewhere() {
    for poller in POLLERS {
        let network = Simulator::crossed_pair(1);
        let mut engine = open(&network, poller).build_engine().unwrap();
        let mut held = Vec::new();
        while held.len() < 64 {
            network.inject("a0", None, &[0xee; 60]).unwrap();
            let all = |batch: &mut fluxnet::PacketBatch<'_>| {
                held.extend(batch.iter_mut().map(fluxnet::PacketRef::extract));
            };
            engine.turn(all, None).unwrap();
        }
        let dropped = drop_later(&network, held);
        traffic(&network, 0);
        let mut handled = 0;
        while handled == 0 {
            let before = network.now();
            handled = engine.turn(|_| {}, Some(ms(60_000))).unwrap();
            assert!(network.now() <= before + 10 * MS, "{poller:?}");
        }
        assert!(network.now() <= dropped + MS, "{poller:?}");
    }
}

#[test]
fn an_engine_that_has_sent_looks_for_the_frames_soon() {
    let network = Simulator::crossed_pair(1);
    let faults = Faults { kick_refused: 1.0, ..Faults::default() };
    let mut engine = open(&network, Poller::Syscall).faults(faults).build_engine().unwrap();
    let start = network.now();
    engine.turn(|_| {}, Some(ms(60_000))).unwrap();
    assert_eq!(network.now(), start + 60_000 * MS, "nothing to look for");
    let packet = engine.alloc(60).unwrap();
    engine.send(packet).unwrap();
    let start = network.now();
    engine.turn(|_| {}, Some(ms(60_000))).unwrap();
    assert!(network.now() <= start + 10 * MS);
}

#[test]
fn workers_in_turn_look_for_frames_soon() {
    let network = Simulator::crossed_pair(2);
    let engine = open(&network, Poller::Syscall).build_engine().unwrap();
    let mut workers = engine.into_workers(2, |_| ()).unwrap();
    let stop = workers.stop_handle();
    // Somebody keeps every packet and drops all of them later; the traffic goes on.
    let (keep, kept) = std::sync::mpsc::channel::<Packet>();
    traffic(&network, 1);
    let start = network.now();
    network.schedule(DROP, move || drop(kept));
    let handle = |(): &mut (), batch: &mut fluxnet::PacketBatch<'_>| {
        for packet in batch {
            if keep.send(packet.extract()).is_err() {
                stop.stop();
            }
        }
    };
    workers.run(handle).unwrap();
    assert!(network.now() <= start + 101 * MS, "{} ns", network.now() - start);
}

#[test]
fn the_simulator_in_real_time_wakes_a_receiver_when_frames_are_freed() {
    let mut net = fluxnet::simulator::NetworkBuilder::new(1);
    net.realtime();
    let (a0, b0) = (net.port("a0", 1), net.port("b0", 1));
    let end = fluxnet::simulator::End::new;
    net.link(end(a0), end(b0), fluxnet::simulator::Profile::default());
    let network = net.build().unwrap();
    let (mut rx, _tx) = open(&network, Poller::Syscall).build_system().unwrap();
    let held = hold_everything(&network, 0, &mut rx);
    let umem = rx.umem().clone();
    let wire = network.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(ms(20)); // the receiver waits, or soon does
            drop(held);
            while umem.free_hint() > 32 {
                std::thread::yield_now(); // until the receiver took its share
            }
            wire.inject("a0", Some(0), &[7; 60]).unwrap();
        });
        let packet = rx.recv(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(packet.expect("one in time").data(), [7; 60]);
    });
}
