//! Receivers that go while the rest of what was opened lives: their queues are the kernel's again,
//! and nobody else's.

use crate::pairs::{PORTS, both, network, packet};
use fluxnet::engine::Worker;
use fluxnet::simulator::Simulator;
use fluxnet::{
    Fail, Faults, FluxBuilder, FluxEngine, FluxRaw, Packets, Port, PortIndex, Queues, Route,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// By queue of a port, what came for us: to a socket, to the kernel, nowhere.
fn ways(port: &Port) -> Vec<(u64, u64, u64)> {
    let counters = port.queue_counters().unwrap();
    counters.iter().map(|c| (c.redirected, c.no_socket, c.dropped)).collect()
}

/// Both ports of two queues, over a backend that is wrapped.
fn builder(network: &Simulator) -> FluxBuilder {
    both(network).queues(Queues::All).frames(256).faults(Faults::default())
}

fn one_each(network: &Simulator) {
    for port in PORTS {
        for queue in 0..2 {
            network.inject(port, Some(queue), &packet(queue as u8, 60)).unwrap();
        }
    }
}

fn received(engine: &mut FluxEngine) -> usize {
    let mut seen = 0;
    engine.turn(|batch| seen += batch.len(), None).unwrap();
    seen
}

#[test]
fn one_engine_of_several_that_is_dropped_gives_its_queues_back_and_no_others() {
    let network = network(2);
    let engine = builder(&network).build_engine().unwrap();
    let mut workers = engine.into_workers(2, |_| ()).unwrap().into_vec();
    one_each(&network);
    assert_eq!(received(&mut workers[0].engine), 2);
    let ports = workers[0].engine.ports().to_vec();
    // What it has not received yet is dropped, and its frame free again.
    let umem = workers[0].engine.umem().clone();
    let free = umem.free_hint();
    drop(workers.pop());
    assert!(umem.free_hint() >= free + 2);
    one_each(&network);
    assert_eq!(received(&mut workers[0].engine), 2);
    for port in &ports {
        assert_eq!(ways(port), [(2, 0, 0), (1, 1, 0)]);
    }
    assert_eq!(network.passed_to_host(PORTS[0]), 1);
}

#[test]
fn a_thread_that_panics_gives_the_queues_of_its_engine_back() {
    let network = network(2);
    let engine = builder(&network).build_engine().unwrap();
    let mut workers = engine.into_workers(2, |_| ()).unwrap().into_vec();
    let Worker { mut engine, .. } = workers.pop().unwrap();
    one_each(&network);
    let thread = std::thread::spawn(move || engine.turn(|_| panic!("on purpose"), None));
    assert!(thread.join().is_err());
    one_each(&network);
    let ports = workers[0].engine.ports();
    assert!(ports.iter().all(|port| ways(port) == [(2, 0, 0), (1, 1, 0)]));
}

#[test]
fn raw_rings_that_change_places_take_their_queues_along() {
    let network = network(2);
    let mut raws = builder(&network).build_raw_queues().unwrap();
    let ports = [raws[0].port().clone(), raws[2].port().clone()];
    let [first, second, ..] = &mut raws[..] else { panic!("four queues") };
    std::mem::swap(&mut first.rx, &mut second.rx);
    drop(raws.remove(0)); // with the ring of queue 1
    one_each(&network);
    assert_eq!(ways(&ports[0]), [(1, 0, 0), (0, 1, 0)]);
    assert_eq!(ways(&ports[1]), [(1, 0, 0), (1, 0, 0)]);
    // A ring alone keeps its queue.
    let FluxRaw { mut rx, .. } = raws.remove(0);
    one_each(&network);
    assert_eq!(rx.receive(8, |buffer| rx_frames(&raws[0], buffer)), 2);
    drop(rx);
    one_each(&network);
    assert_eq!(ways(&ports[0]), [(2, 1, 0), (0, 3, 0)]);
}

fn rx_frames(raw: &FluxRaw, buffer: fluxnet::umem::Buffer) {
    raw.umem().free(buffer.frame);
}

#[test]
fn a_removed_port_leaves_its_packets_to_the_kernel_or_to_nobody() {
    for fail in [Fail::Open, Fail::Closed] {
        let network = network(2);
        let (mut rx, _tx) = builder(&network).fail(fail).build_system().unwrap();
        let ports = rx.ports().to_vec();
        rx.remove_port(PortIndex::new(1));
        one_each(&network);
        let mut packets = Packets::new();
        assert_eq!(rx.try_recv(&mut packets).unwrap(), 2);
        assert_eq!(ways(&ports[0]), [(1, 0, 0); 2]);
        let (lost, passed) = match fail {
            Fail::Open => ((0, 1, 0), 2),
            Fail::Closed => ((0, 0, 1), 0),
        };
        assert_eq!(ways(&ports[1]), [lost; 2], "{fail}");
        assert_eq!(network.passed_to_host(PORTS[1]), passed, "{fail}");
        let received = network.port(PORTS[1]).unwrap();
        assert_eq!((received.queue_rx_packets, received.rx_packets), (vec![1, 1], 2));
    }
}

#[test]
fn how_a_port_fails_is_its_own_and_covers_queues_that_were_not_opened() {
    let network = network(2);
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).queue_id(0).fail(Fail::Closed);
    let builder = builder.filter(fluxnet::Filter::Everything);
    let engine = builder.port(PORTS[1]).fail(Fail::Open).frames(64).build_engine().unwrap();
    one_each(&network);
    assert_eq!(ways(&engine.ports()[0]), [(1, 0, 0), (0, 0, 1)]);
    assert_eq!(ways(&engine.ports()[1]), [(1, 0, 0), (0, 1, 0)]);
    // With the last of it the program goes, and the kernel gets everything.
    drop(engine);
    one_each(&network);
    assert_eq!(network.passed_to_host(PORTS[0]), 2);
}

#[test]
fn what_is_not_ours_goes_on_to_the_kernel_also_where_it_fails_closed() {
    let network = network(2);
    let ours = fluxnet::Match { ether_type: Some(0x88b0), ..Default::default() };
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).queue_id(1).fail(Fail::Closed);
    let filter = fluxnet::Filter::Any(vec![ours]);
    let engine = builder.filter(filter).frames(64).build_engine().unwrap();
    for flow in 0..2 {
        network.inject(PORTS[0], Some(0), &packet(flow, 60)).unwrap();
    }
    let count = engine.queue_counters().unwrap()[0];
    assert_eq!((count.dropped, count.passed, count.no_socket), (1, 1, 0));
}

#[test]
fn workers_run_again_after_one_of_them_panicked() {
    let network = network(2);
    let engine = builder(&network).build_engine().unwrap();
    let mut workers = engine.into_workers(2, |at| (at, 0)).unwrap();
    let ports = workers.ports().to_vec();
    one_each(&network);
    let run = catch_unwind(AssertUnwindSafe(|| {
        workers.run(|(at, seen), batch| {
            *seen += batch.len();
            assert!(*at == 0, "on purpose");
        })
    }));
    assert!(run.is_err());
    // The other one keeps its queues, and what comes there waits.
    one_each(&network);
    assert!(ports.iter().all(|port| ways(port) == [(2, 0, 0), (1, 1, 0)]));
    let stop = workers.stop_handle();
    workers
        .run(|(_, seen), batch| {
            *seen += batch.len();
            one_each(&network);
            if *seen > 20 {
                stop.stop();
            }
        })
        .unwrap();
    for port in &ports {
        let ways = ways(port);
        assert_eq!(ways[1].1, 1, "not one more: {ways:?}");
        assert!(ways[1].0 > 10, "{ways:?}");
    }
    let held =
        crate::pairs::joined(workers.workers().iter().map(|w| w.engine.debug_rings())).held();
    assert_eq!(held, Some(0));
    let (sum, stats) =
        (|s: fluxnet::EngineStats| s.sent + s.recycled + s.extracted + s.tx_full, workers.stats());
    assert_eq!(stats.received, sum(stats), "{stats:?}");
}

#[test]
fn a_closure_of_route_that_panics_frees_the_frame_that_it_was_shown() {
    let network = network(1);
    let mut raws = both(&network).frames(64).build_raw_queues().unwrap();
    let [raw, other] = &mut raws[..] else { panic!("one queue a port") };
    let umem = raw.umem().clone();
    for takes in [false, true] {
        (0..4).for_each(|n| network.inject(PORTS[0], None, &packet(n, 60)).unwrap());
        let (mut seen, mut taken) = (0, Vec::new());
        let FluxRaw { rx, fill, .. } = raw;
        let routed = catch_unwind(AssertUnwindSafe(|| {
            rx.route(fill, [&mut other.tx], 8, |packet| {
                seen += 1;
                if seen == 3 {
                    if takes {
                        taken.extend(packet.take());
                    }
                    panic!("on purpose");
                }
                if seen == 1 { Route::Send(0) } else { Route::Recycle }
            })
        }));
        assert!(routed.is_err());
        assert_eq!((raw.rx.waiting(), other.tx.pending()), (1, 1));
        let looks = || crate::pairs::joined([raw.debug_rings(), other.debug_rings()]);
        assert_eq!(looks().held(), Some(i64::from(takes)), "{:#?}", looks());
        assert_eq!(umem.held_by_user().unwrap_or(u32::from(takes)), u32::from(takes));
        umem.free_all(taken.into_iter().map(|buffer| buffer.frame));
        assert_eq!(raw.rx.receive(8, |buffer| umem.free(buffer.frame)), 1);
        assert!(other.flush().unwrap());
        assert_eq!(other.comp.reap(8, |frame| umem.free(frame)), 1);
        // The frames that reception lost are posted anew.
        let mut frames: Vec<_> = (0..3).filter_map(|_| umem.alloc()).collect();
        assert_eq!(raw.fill.post(&mut frames, 3), 3);
    }
}

#[test]
fn a_closure_that_panics_keeps_what_it_was_given_and_nothing_else() {
    let network = network(1);
    let mut raws = both(&network).frames(64).build_raw_queues().unwrap();
    let [raw, other] = &mut raws[..] else { panic!("one queue a port") };
    let umem = raw.umem().clone();
    (0..3).for_each(|n| network.inject(PORTS[0], None, &packet(n, 60)).unwrap());
    let mut kept = Vec::new();
    let panics = |kept: usize| assert!(kept != 2, "on purpose");
    let received = catch_unwind(AssertUnwindSafe(|| {
        raw.rx.receive(8, |buffer| {
            kept.push(buffer);
            panics(kept.len());
        })
    }));
    assert!(received.is_err());
    assert_eq!((kept.len(), raw.rx.waiting(), raw.rx.received()), (2, 1, 2));
    let n = raw.rx.receive(8, |buffer| kept.push(buffer));
    assert_eq!(n, 1);
    kept.into_iter().for_each(|buffer| other.tx.reserve(1).push(buffer).unwrap());
    assert!(other.flush().unwrap());
    let mut frames = Vec::new();
    let reaped = catch_unwind(AssertUnwindSafe(|| {
        other.comp.reap(8, |frame| {
            frames.push(frame);
            panics(frames.len());
        })
    }));
    assert!(reaped.is_err());
    assert_eq!((frames.len(), other.comp.completed()), (2, 2));
    assert_eq!(other.comp.reap(8, |frame| frames.push(frame)), 1);
    let held = crate::pairs::joined([raw.debug_rings(), other.debug_rings()]).held();
    assert_eq!(held, Some(3));
    umem.free_all(frames.drain(..));
}

/// A descriptor of one's own, for a token that was forgotten, completes to a token: it is counted
/// both ways. One that names no frame is counted as such.
#[test]
#[allow(unsafe_code)]
fn descriptors_of_ones_own_never_wrap_a_counter() {
    let network = network(1);
    let mut raw = both(&network).frames(64).build_raw_queues().unwrap().remove(0);
    let umem = raw.umem().clone();
    let before = raw.debug_rings().held().unwrap();
    for round in 1..=20 {
        // The token itself is forgotten.
        let frame = u64::from(umem.alloc().unwrap().index());
        let good = fluxnet::Desc { addr: frame * 2048 + 256, len: 60, options: 0 };
        let bad = fluxnet::Desc { addr: 64 * 2048, len: 60, options: 0 };
        {
            let mut slots = raw.tx.reserve(2);
            // SAFETY: the frame's token is gone, and this is the only descriptor that names it.
            assert!(unsafe { slots.push_desc(good) });
            // SAFETY: the address lies outside the UMEM.
            assert!(unsafe { slots.push_desc(bad) });
        }
        let account = raw.debug_rings().sockets[0].account.unwrap();
        assert_eq!((account.in_transmission, account.invalid), (2, round - 1));
        while raw.tx.pending() > 0 {
            raw.kick_tx().unwrap();
        }
        // In debug builds the ledger knows nothing of the token that was forgotten.
        raw.comp.reap(8, |frame| umem.free(frame));
        let account = raw.debug_rings().sockets[0].account.unwrap();
        assert_eq!(account.in_transmission, 0);
        assert!(account.invalid >= round);
        assert_eq!(raw.comp.completed() + raw.comp.invalid(), raw.tx.posted());
        if cfg!(debug_assertions) {
            break;
        }
    }
    if !cfg!(debug_assertions) {
        assert_eq!(raw.debug_rings().held(), Some(before));
    }
}

#[test]
#[cfg(all(target_os = "linux", feature = "bpf"))]
fn fail_closed_behind_a_foreign_program_is_refused_with_the_next_step() {
    let network = network(1);
    let map = std::fs::File::open("/dev/null").unwrap().into();
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).fail(Fail::Closed).xskmap(map);
    let error = builder.build_engine().err().unwrap();
    assert_eq!(error.kind(), fluxnet::ErrorKind::Config);
    assert!(error.to_string().starts_with("fail closed on a0: a foreign"), "{error}");
    assert!(error.hint().unwrap().contains("drop them"), "{error:?}");
}
