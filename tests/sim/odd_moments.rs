//! Calls that are allowed and that nobody plans for: panics, ports that go at odd moments, parts
//! that are exchanged.

use crate::pairs::{PORTS, both, network, packet};
use fluxnet::{BindMode, EngineStats, FluxBuilder, FluxEngine, Packets, PortIndex, QueueIndex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const FIRST: PortIndex = PortIndex::new(0);
const SECOND: PortIndex = PortIndex::new(1);

fn add_up(stats: EngineStats) {
    let sum = stats.sent + stats.recycled + stats.extracted + stats.tx_full;
    assert_eq!(stats.received, sum, "{stats:?}");
}

/// A turn whose closure has forwarded everything when it panics.
fn turn_that_panics(engine: &mut FluxEngine) {
    let turn = catch_unwind(AssertUnwindSafe(|| {
        engine.turn(
            |batch| {
                batch.iter_mut().for_each(|packet| packet.forward(SECOND));
                let mut own = batch.alloc(60).unwrap();
                own.set_port(SECOND);
                batch.send(own).unwrap();
                panic!("on purpose");
            },
            None,
        )
    }));
    assert!(turn.is_err());
}

#[test]
fn packets_of_a_closure_that_panics_are_recycled_and_counted() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    (0..3).for_each(|_| network.inject(PORTS[0], None, &packet(0, 60)).unwrap());
    turn_that_panics(&mut engine);
    assert_eq!(engine.debug_rings().held(), Some(0));
    let stats = engine.stats();
    assert_eq!((stats.received, stats.recycled, stats.extra_full), (3, 3, 1));
    add_up(stats);
    // What comes next is judged anew.
    network.inject(PORTS[0], None, &packet(0, 60)).unwrap();
    engine.turn(|batch| assert_eq!(batch.len(), 1), None).unwrap();
    add_up(engine.stats());
}

#[test]
fn a_port_may_be_removed_after_a_closure_panicked() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    network.inject(PORTS[0], None, &packet(0, 60)).unwrap();
    turn_that_panics(&mut engine);
    engine.remove_port(SECOND);
    for _ in 0..3 {
        network.inject(PORTS[0], None, &packet(0, 60)).unwrap();
        let handled = engine.turn(|batch| batch.iter_mut().for_each(|p| p.send()), None).unwrap();
        assert_eq!(handled, 1);
    }
    assert_eq!(engine.stats().sent, 3);
}

#[test]
fn workers_are_made_of_the_queues_that_an_engine_has() {
    let network = network(3);
    let open = || both(&network).frames(256).build_engine().unwrap();
    // The port that is gone counts no more.
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).queue_id(0).frames(256);
    let builder = builder.port(PORTS[1]).queues(fluxnet::Queues::All);
    let mut engine = builder.build_engine().unwrap();
    engine.remove_port(FIRST);
    let workers = engine.into_workers(2, |_| ()).unwrap();
    let counts = workers.workers().iter().map(|worker| worker.engine.positions().len());
    assert!(counts.eq([2, 1]));
    drop(workers);
    // A worker of three has one queue a port, which two cannot share.
    let mut workers = open().into_workers(3, |_| ()).unwrap().into_vec();
    let worker = workers.pop().unwrap().engine;
    let error = worker.into_workers(2, |_| ()).err().unwrap();
    assert!(error.to_string().contains("a0 has one queue"), "{error}");
    drop(workers);
    // Nor is there anything to share without a port.
    let mut engine = open();
    engine.remove_port(FIRST);
    engine.remove_port(SECOND);
    let error = engine.into_workers(1, |_| ()).err().unwrap();
    assert_eq!(error.to_string(), "1 workers: no port is left");
}

#[test]
fn a_port_that_is_gone_keeps_no_packet_of_another_from_leaving() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    network.tap(PORTS[1]).unwrap();
    for port in [FIRST, SECOND] {
        let mut own = engine.alloc(60).unwrap();
        own.set_port(port);
        engine.send(own).unwrap();
    }
    network.remove_port(PORTS[0]).unwrap();
    let error = engine.flush().unwrap_err();
    assert!(error.to_string().contains("a0"), "{error}");
    assert_eq!(network.sent(PORTS[1]).len(), 1);
}

#[test]
fn a_port_that_is_gone_keeps_no_packet_of_another_from_being_handled() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    let mut own = engine.alloc(60).unwrap();
    own.set_port(FIRST);
    engine.send(own).unwrap();
    network.remove_port(PORTS[0]).unwrap();
    for handled in 1..4 {
        network.inject(PORTS[1], None, &packet(0, 60)).unwrap();
        assert!(engine.turn(|batch| batch.iter_mut().for_each(|p| p.send()), None).is_err());
        assert_eq!(engine.stats().sent, handled);
    }
}

#[test]
fn a_port_that_is_gone_keeps_no_packet_of_another_from_being_received() {
    let network = network(1);
    let builder = both(&network).frames(16).bind(BindMode::ZeroCopy);
    let (mut rx, _tx) = builder.build_system().unwrap();
    // More than it has frames for: the driver asks to be woken, which fails once it is gone.
    (0..20).for_each(|_| network.inject(PORTS[0], None, &packet(0, 60)).unwrap());
    network.remove_port(PORTS[0]).unwrap();
    network.inject(PORTS[1], None, &packet(1, 60)).unwrap();
    let mut packets = Packets::new();
    assert!(rx.try_recv(&mut packets).is_err());
    assert!(packets.iter_mut().any(|packet| packet.data()[0] == 1), "{packets:?}");
}

#[test]
fn workers_that_end_flush_what_they_have_though_a_port_of_one_is_gone() {
    let network = network(2);
    let mut engine = both(&network).frames(256).build_engine().unwrap();
    // One for the first port of the first worker, one for the second port of the other.
    for queue in [0, 3] {
        let mut own = engine.alloc(60).unwrap();
        own.set_queue(QueueIndex::new(queue));
        engine.send(own).unwrap();
    }
    let mut workers = engine.into_workers(2, |_| ()).unwrap();
    network.tap(PORTS[1]).unwrap();
    network.remove_port(PORTS[0]).unwrap();
    workers.stop_handle().stop();
    let error = workers.run(|(), _| ()).unwrap_err();
    assert!(error.to_string().contains("a0"), "{error}");
    assert_eq!(network.sent(PORTS[1]).len(), 1);
}

#[test]
fn frames_that_went_before_a_panic_in_retain_are_free() {
    let network = network(1);
    let (mut rx, tx) = both(&network).frames(64).build_system().unwrap();
    (0..5).for_each(|_| network.inject(PORTS[0], None, &packet(0, 60)).unwrap());
    let mut packets = Packets::new();
    assert_eq!(rx.try_recv(&mut packets).unwrap(), 5);
    let mut seen = 0;
    let retain = catch_unwind(AssertUnwindSafe(|| {
        packets.retain(|_| {
            seen += 1;
            assert!(seen < 4, "on purpose");
            false
        });
    }));
    assert!(retain.is_err());
    let held = rx.debug_rings().join(tx.debug_rings()).held().unwrap();
    assert_eq!(held, packets.len() as i64, "{packets:?}");
}

#[test]
fn a_receive_stamp_is_not_read_on_a_port_without_stamps() {
    let network = network(1);
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).frames(16);
    let builder = builder.filter(fluxnet::Filter::Everything).rx_timestamps(true);
    let mut engine = builder.port(PORTS[1]).rx_timestamps(false).build_engine().unwrap();
    let mut stamped = [0, 0];
    for _ in 0..100 {
        PORTS.iter().for_each(|port| network.inject(port, None, &packet(0, 60)).unwrap());
        let handle = |batch: &mut fluxnet::PacketBatch<'_>| {
            let port = batch.port().get();
            for packet in batch {
                stamped[port] += u32::from(packet.rx_timestamp().is_some());
                packet.forward(PortIndex::new(1 - port as u16));
            }
        };
        engine.turn(handle, None).unwrap();
    }
    assert_eq!(stamped, [100, 0]);
}

#[test]
fn rings_that_change_places_are_looked_at_without_a_panic() {
    let network = network(1);
    let mut raws = both(&network).frames(64).build_raw_queues().unwrap();
    let umem = Arc::clone(raws[0].umem());
    let [a, b] = &mut raws[..] else { panic!("one queue a port") };
    for _ in 0..3 {
        let buffer = umem.alloc_buffer(256, 60).unwrap().unwrap();
        a.tx.reserve(1).push(buffer).unwrap();
    }
    let _ = a.flush().unwrap();
    a.comp.reap(u32::MAX, |frame| umem.free(frame));
    std::mem::swap(&mut a.tx, &mut b.tx);
    std::mem::swap(&mut a.fill, &mut b.fill);
    let accounts = [a, b].map(|raw| raw.debug_rings().sockets[0].account.unwrap());
    assert_eq!(accounts.map(|account| account.in_transmission), [0, 3]);
}

#[test]
fn a_packet_without_a_byte_is_recycled_and_no_ring_is_called_full() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    (0..2).for_each(|_| network.inject(PORTS[0], None, &packet(0, 60)).unwrap());
    let cut_one = |batch: &mut fluxnet::PacketBatch<'_>| {
        for (at, mut packet) in batch.iter_mut().enumerate() {
            packet.set_len(60 * at).unwrap();
            packet.forward(SECOND);
        }
    };
    engine.turn(cut_one, None).unwrap();
    let stats = engine.stats();
    assert_eq!((stats.sent, stats.recycled, stats.tx_full), (1, 1, 0), "{stats:?}");
}

#[test]
#[cfg(all(target_os = "linux", feature = "bpf"))]
fn a_simulated_interface_is_opened_once_whatever_the_namespace() {
    let network = network(1);
    let here = || std::fs::File::open("/proc/thread-self/ns/net").unwrap().into();
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).netns(here());
    let error = builder.port(PORTS[0]).netns(here()).build_engine().err().unwrap();
    assert_eq!(error.to_string(), "port 1 on a0: another port is on this interface already");
}

#[test]
fn a_descriptor_written_by_hand_is_counted_until_it_is_completed() {
    let network = network(1);
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).frames(16);
    let mut raw = builder.build_raw().unwrap();
    let index = raw.umem().alloc().unwrap().index(); // its token is gone
    let addr = u64::from(index) * u64::from(raw.umem().frame_size()) + 256;
    // SAFETY: there is no token of that frame, so nobody touches its bytes.
    assert!(unsafe { raw.tx.reserve(1).push_desc(fluxnet::Desc { addr, len: 60, options: 0 }) });
    let in_transmission =
        |raw: &fluxnet::FluxRaw| raw.debug_rings().sockets[0].account.unwrap().in_transmission;
    assert_eq!(in_transmission(&raw), 1);
    assert!(raw.flush().unwrap());
    assert_eq!(in_transmission(&raw), 1);
    // The ledger of debug builds does not know the frame as one that was posted.
    let umem = Arc::clone(raw.umem());
    let back = raw.comp.reap(8, |frame| umem.free(frame));
    assert_eq!(u64::from(back) + raw.comp.invalid(), 1);
    assert_eq!(in_transmission(&raw), 0);
}
