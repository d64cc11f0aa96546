//! Packets from one port to another on one UMEM: all of them, in order, from the memory that they
//! were received into.

use crate::pairs::{ENDS, PORTS, both, joined, network, packet};
use fluxnet::engine::Workers;
use fluxnet::simulator::{End, NetworkBuilder, Profile, Simulator};
use fluxnet::{
    EngineStats, Faults, Filter, FluxBuilder, FluxRaw, Packet, PortIndex, QueueIndex, Route,
    SendError,
};
use std::sync::Arc;
use std::time::Duration;

const MILLION: u32 = 1_000_000;
const FLOWS: u8 = 8;
const LEN: usize = 64;

fn faults(seed: u64) -> Faults {
    Faults { seed, kick_refused: 0.05, kick_delayed: 0.05, wait_spurious: 0.1 }
}

/// Forwards all packets to the other port.
fn cross<S>(_: &mut S, batch: &mut fluxnet::PacketBatch<'_>) {
    let other = PortIndex::new(1 - batch.port().get() as u16);
    batch.iter_mut().for_each(|packet| packet.forward(other));
}

/// The far end of a wire: sends numbered packets of several flows, and looks at those that come.
struct FarEnd {
    raw: FluxRaw,
    next: u32,
    /// By flow, the number that came last.
    last: [Option<u32>; FLOWS as usize],
    received: u32,
}

impl FarEnd {
    fn new(network: &Simulator, port: &str, seed: u64) -> Self {
        let builder = FluxBuilder::new(port).simulator(network).filter(Filter::Everything);
        let raw = builder.frames(1024).faults(faults(seed)).build_raw().unwrap();
        Self { raw, next: 0, last: Default::default(), received: 0 }
    }

    fn burst(&mut self, n: u32) {
        let umem = Arc::clone(self.raw.umem());
        self.raw.comp.reap(u32::MAX, |frame| umem.free(frame));
        let mut room = self.raw.tx.reserve(n);
        while room.room() > 0
            && let Some(mut buffer) = umem.alloc_buffer(256, LEN as u32).unwrap()
        {
            let bytes = umem.packet_mut(&mut buffer);
            bytes.copy_from_slice(&packet((self.next % u32::from(FLOWS)) as u8, LEN));
            bytes[20..24].copy_from_slice(&self.next.to_be_bytes());
            room.push(buffer).unwrap();
            self.next += 1;
        }
        drop(room);
        let _ = self.raw.flush().unwrap();
    }

    fn collect(&mut self) {
        let Self { raw: FluxRaw { rx, fill, .. }, last, received, .. } = self;
        rx.route(fill, [], u32::MAX, |packet| {
            let bytes = packet.data();
            let number = u32::from_be_bytes(bytes[20..24].try_into().unwrap());
            let flow = usize::from(bytes[0]);
            assert_eq!(bytes[13], 0xb0 + bytes[0], "its own header");
            assert!(last[flow] < Some(number), "in order, and none twice");
            last[flow] = Some(number);
            *received += 1;
            Route::Recycle
        });
    }
}

#[test]
fn a_million_packets_each_way_cross_two_workers_under_faults_and_no_frame_is_lost() {
    let network = network(2);
    let builder = both(&network).frames(2048).faults(faults(3));
    let mut workers = builder.build_engine().unwrap().into_workers(2, |at| at).unwrap().into_vec();
    let mut ends = [FarEnd::new(&network, ENDS[0], 1), FarEnd::new(&network, ENDS[1], 2)];
    let umem = Arc::clone(workers[0].engine.umem());
    while ends.iter().any(|end| end.received < MILLION) {
        let before: u32 = ends.iter().map(|end| end.received).sum();
        for _ in 0..64 {
            ends.iter_mut().for_each(|end| end.burst(64));
            for worker in &mut workers {
                let turn = worker.engine.turn(|batch| cross(&mut worker.state, batch), None);
                let _ = turn.unwrap();
            }
            ends.iter_mut().for_each(FarEnd::collect);
        }
        assert!(ends.iter().map(|end| end.received).sum::<u32>() > before, "nothing moves");
    }
    let sum = |stats: EngineStats| (stats.received, stats.sent);
    for worker in &workers {
        let stats = worker.engine.stats();
        assert!(stats.sent > u64::from(MILLION) / 2, "both work: {stats:?}");
        assert_eq!(sum(stats), (stats.received, stats.received - stats.tx_full), "{stats:?}");
    }
    // Every frame: what is queued goes out, and then all are in fill rings, caches or free.
    for _ in 0..1000 {
        for worker in &mut workers {
            let _ = worker.engine.turn(|batch| cross(&mut worker.state, batch), None).unwrap();
            let _ = worker.engine.flush().unwrap();
        }
    }
    let rings = joined(workers.iter().map(|worker| worker.engine.debug_rings()));
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
    let accounts: Vec<_> = rings.sockets.iter().map(|socket| socket.account.unwrap()).collect();
    assert_eq!(accounts.len(), 4);
    assert!(accounts.iter().all(|a| a.in_transmission == 0 && a.invalid == 0), "{rings:#?}");
    let out: u64 = accounts.iter().map(|a| a.in_reception + a.cached).sum();
    assert_eq!(u64::from(umem.free_hint()) + out, u64::from(umem.frames()));
    assert_eq!(umem.held_by_user().unwrap_or(0), 0);
}

/// Two ports of ours at the two ends of one wire that loses, repeats, delays and overtakes.
fn ring_road(seed: u64) -> Simulator {
    let mut net = NetworkBuilder::new(seed);
    let (a, b) = (net.port(PORTS[0], 2), net.port(PORTS[1], 2));
    let wire = Profile {
        delay: Duration::from_micros(50),
        jitter: Duration::from_micros(20),
        loss: 0.01,
        duplicate: 0.012,
        reorder: 0.02,
        ..Profile::default()
    };
    net.link(End::new(a), End::new(b), wire);
    net.build().unwrap()
}

/// What a run leaves behind: bytes sent by each port, what each worker saw, and the time.
type Trail = ([Vec<Vec<u8>>; 2], Vec<Vec<(u64, QueueIndex, usize)>>, EngineStats, u64);

/// Packets circle until a few thousand batches are done; each turn around changes them.
fn circle(network_seed: u64) -> Trail {
    let network = ring_road(network_seed);
    PORTS.iter().for_each(|port| network.tap(port).unwrap());
    let builder = both(&network).frames(1024).batch(16).faults(faults(5));
    let engine = builder.build_engine().unwrap();
    let mut workers: Workers<Vec<_>> = engine.into_workers(2, |_| Vec::new()).unwrap();
    for n in 0..200u8 {
        network.inject(PORTS[usize::from(n % 2)], None, &packet(n % FLOWS, LEN)).unwrap();
    }
    let stop = workers.stop_handle();
    let stats = workers
        .run(|seen, batch| {
            seen.push((batch.now(), batch.queue(), batch.len()));
            for mut packet in batch.iter_mut() {
                let bytes = packet.data_mut();
                let turns = u32::from_be_bytes(bytes[20..24].try_into().unwrap());
                bytes[20..24].copy_from_slice(&turns.wrapping_add(1).to_be_bytes());
            }
            cross(seen, batch);
            if seen.len() > 2000 {
                stop.stop();
            }
        })
        .unwrap();
    let seen = workers.into_vec().into_iter().map(|worker| worker.state).collect();
    (PORTS.map(|port| network.sent(port)), seen, stats, network.now())
}

#[test]
fn two_runs_of_the_workers_with_one_seed_send_the_same_bytes_in_the_same_order() {
    let first = circle(11);
    assert!(first.0.iter().all(|sent| sent.len() > 2000), "packets went round");
    assert!(first.1.iter().all(|seen| !seen.is_empty()), "both workers had some");
    assert!(first == circle(11), "the same seed");
    assert!(first != circle(12), "another seed");
}

#[test]
fn a_routed_packet_leaves_another_port_from_the_place_that_it_was_received_into() {
    let network = network(1);
    network.tap(PORTS[1]).unwrap();
    let mut raws = both(&network).frames(64).build_raw_queues().unwrap();
    let umem = Arc::clone(raws[0].umem());
    let size = u64::from(umem.frame_size());
    let [a, b] = &mut raws[..] else { panic!("one queue a port") };
    for round in 0..50u8 {
        let packets: Vec<_> = (0..5).map(|n| packet(n, 60 + usize::from(round))).collect();
        packets.iter().for_each(|bytes| network.inject(PORTS[0], None, bytes).unwrap());
        let mut places = Vec::new();
        let routed = a.rx.route(&mut a.fill, [&mut b.tx], 64, |packet| {
            places.push((packet.addr(), packet.data().as_ptr()));
            Route::Send(0)
        });
        assert_eq!((routed.sent, places.len()), (5, 5));
        assert!(b.flush().unwrap());
        assert_eq!(network.sent(PORTS[1]), packets);
        // The kernel names the frames that it sent from.
        let mut completed = Vec::new();
        b.comp.reap(u32::MAX, |frame| {
            let payload = umem.bytes(&frame)[256..].as_ptr();
            completed.push((u64::from(frame.index()) * size + 256, payload));
            umem.free(frame);
        });
        assert_eq!(completed, places);
        let mut frames = Vec::new();
        umem.alloc_many(5, &mut frames);
        assert_eq!(a.fill.post(&mut frames, 5), 5);
    }
}

#[test]
fn an_engine_forwards_without_a_second_frame() {
    let network = network(1);
    network.tap(PORTS[1]).unwrap();
    // One frame lies in the fill ring of each port, and nobody gets at the others.
    let builder = both(&network).frames(16).rx_frames(1);
    let mut engine = builder.build_engine().unwrap();
    let held: Vec<Packet> = std::iter::from_fn(|| engine.alloc(60)).collect();
    assert_eq!((held.len(), engine.umem().free_hint()), (14, 0));
    let mut places = Vec::new();
    for round in 0..100u8 {
        network.inject(PORTS[0], None, &packet(round % FLOWS, 60)).unwrap();
        let forward = |batch: &mut fluxnet::PacketBatch<'_>| {
            for mut packet in batch.iter_mut() {
                packet.data_mut()[30] = round;
                places.push(packet.data().as_ptr());
                packet.forward(PortIndex::new(1));
            }
        };
        assert_eq!(engine.turn(forward, None).unwrap(), 1);
        let mut edited = packet(round % FLOWS, 60);
        edited[30] = round;
        assert_eq!(network.sent(PORTS[1]), [edited]);
        // The frame comes back from the one port and is posted on the other.
        assert_eq!(engine.turn(|_| panic!("nothing came"), None).unwrap(), 0);
    }
    places.dedup();
    assert_eq!(places.len(), 1, "always from the same place");
    assert_eq!(engine.stats().sent, 100);
}

#[test]
fn an_extracted_packet_is_sent_from_where_it_was_received() {
    let network = network(1);
    network.tap(PORTS[1]).unwrap();
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    network.inject(PORTS[0], None, &packet(1, 60)).unwrap();
    let mut taken = None;
    let extract = |batch: &mut fluxnet::PacketBatch<'_>| {
        for packet in batch.iter_mut() {
            let place = packet.data().as_ptr();
            taken = Some((place, packet.extract()));
        }
    };
    engine.turn(extract, None).unwrap();
    let (place, mut packet) = taken.unwrap();
    assert_eq!((packet.data().as_ptr(), packet.queue()), (place, QueueIndex::new(0)));
    packet.set_port(PortIndex::new(1));
    engine.send(packet).unwrap();
    assert!(engine.flush().unwrap());
    assert_eq!(network.sent(PORTS[1]), [crate::pairs::packet(1, 60)]);
    // Its frame is the one used last, so a new packet lies there.
    assert_eq!(engine.alloc(60).unwrap().data().as_ptr(), place);
}

#[test]
fn packets_for_a_port_that_is_not_open_are_recycled_and_counted() {
    let network = network(1);
    let mut engine = both(&network).frames(64).build_engine().unwrap();
    let send_to = |engine: &mut fluxnet::FluxEngine, port: u16| {
        network.inject(PORTS[0], None, &packet(0, 60)).unwrap();
        let forward = |batch: &mut fluxnet::PacketBatch<'_>| {
            batch.iter_mut().for_each(|packet| packet.forward(PortIndex::new(port)));
        };
        engine.turn(forward, None).unwrap();
        let stats = engine.stats();
        (stats.sent, stats.recycled, stats.no_port)
    };
    assert_eq!(send_to(&mut engine, 7), (0, 1, 1));
    assert_eq!(send_to(&mut engine, 1), (1, 1, 1));
    engine.remove_port(PortIndex::new(1));
    assert_eq!(engine.positions(), [QueueIndex::new(0)]);
    assert_eq!(send_to(&mut engine, 1), (1, 2, 2));
    assert_eq!(send_to(&mut engine, 0), (2, 2, 2), "the other port goes on");
}

#[test]
fn a_refused_packet_comes_back_with_the_reason() {
    let network = network(1);
    let (_rx, mut tx) = both(&network).frames(64).ring_size(4).build_system().unwrap();
    let (_rx2, mut stranger) = both(&crate::pairs::network(1)).build_system().unwrap();
    let foreign = tx.send(stranger.alloc(60).unwrap()).unwrap_err();
    assert!(matches!(&foreign, SendError::Foreign(p) if p.len() == 60), "{foreign}");
    let empty = tx.alloc(0).unwrap();
    assert!(matches!(tx.send(empty), Err(SendError::Empty(_))));
    let mut elsewhere = tx.alloc(60).unwrap();
    elsewhere.set_queue(QueueIndex::new(2));
    assert!(matches!(tx.send(elsewhere), Err(SendError::NoSuchQueue(_))));
    let mut elsewhere = tx.alloc(60).unwrap();
    elsewhere.set_port(PortIndex::new(2));
    assert!(matches!(tx.send(elsewhere), Err(SendError::NoSuchQueue(_))));
    for _ in 0..4 {
        let packet = tx.alloc(60).unwrap();
        tx.send(packet).unwrap();
    }
    let packet = tx.alloc(60).unwrap();
    let full = tx.send(packet).unwrap_err();
    assert!(full.is_full() && full.into_packet().len() == 60);
    // The other port has a ring of its own.
    let mut packet = tx.alloc(60).unwrap();
    packet.set_port(PortIndex::new(1));
    tx.send(packet).unwrap();
    assert!(tx.flush().unwrap());
}

#[test]
#[allow(deprecated)]
fn the_old_names_still_do_the_same() {
    let network = Simulator::loopback(2);
    let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
    let engine = builder.umem_pages(64).build_engine().unwrap();
    assert_eq!(engine.umem().frames(), 64);
    let mut engines = engine.into_queues();
    let queues = engines.iter().map(|engine| engine.positions().to_vec());
    assert!(queues.eq([vec![QueueIndex::new(0)], vec![QueueIndex::new(1)]]));
    network.inject("lo0", Some(1), &[1; 60]).unwrap();
    let turn = engines[1].turn(|batch| batch.iter_mut().for_each(|packet| packet.drop()), None);
    assert_eq!((turn.unwrap(), engines[1].stats().recycled), (1, 1));
}

#[test]
fn a_worker_whose_closure_panics_ends_the_others() {
    let mut net = NetworkBuilder::new(1);
    net.realtime();
    let (a, b) = (net.port(PORTS[0], 2), net.port(PORTS[1], 2));
    net.link(End::new(a), End::new(b), Profile::default());
    let network = net.build().unwrap();
    let mut workers =
        both(&network).frames(64).build_engine().unwrap().into_workers(2, |_| ()).unwrap();
    network.inject(PORTS[0], Some(0), &packet(0, 60)).unwrap();
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        workers.run(|(), _| panic!("on purpose"))
    }));
    let panic = run.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
}

#[test]
fn several_raw_queues_are_waited_for_at_once_if_they_were_opened_together() {
    let network = network(1);
    let open = |one: &str, other: &str| {
        let builder = FluxBuilder::new(one).simulator(&network).filter(Filter::Everything);
        builder.port(other).build_raw_queues().unwrap()
    };
    let both = open("a0", "a1");
    let soon = Some(Duration::from_micros(10));
    assert!(!FluxRaw::wait_any(&both, soon).unwrap());
    for port in ["a1", "a0"] {
        network.inject(port, None, &[1; 60]).unwrap();
        assert!(FluxRaw::wait_any(&both, soon).unwrap(), "{port}");
    }
    let apart = open("b0", "b1");
    let error = FluxRaw::wait_any([&both[0], &apart[0]], soon).unwrap_err();
    assert!(error.to_string().contains("opened apart"), "{error}");
    assert!(!FluxRaw::wait_any([], soon).unwrap());
}
