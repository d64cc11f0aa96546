//! More RX than TX queues: all receive, some send. The kernel takes nothing from the TX rings of the
//! others and says nothing; so nothing may get in there, count as sent, or wait for it.

use crate::pairs::{ENDS, PORTS, both, network};
use fluxnet::simulator::Simulator;
use fluxnet::{Filter, FluxBuilder, Packets, PortIndex, QueueIndex, Route, Routed, SendError};
use std::time::Duration;

const A0: PortIndex = PortIndex::new(0);
const A1: PortIndex = PortIndex::new(1);

/// Two ports of ours with `rx` queues, of which the first `tx` send; what they send is kept.
fn machine(rx: u32, tx: u32) -> Simulator {
    let network = network(rx);
    for port in PORTS {
        network.set_tx_queues(port, tx).unwrap();
        network.tap(port).unwrap();
    }
    network
}

fn one(network: &Simulator) -> FluxBuilder {
    FluxBuilder::new(PORTS[0]).simulator(network).filter(Filter::Everything)
}

/// Packets `tags` from the wire, on this queue of a port.
fn inject(network: &Simulator, port: &str, queue: u32, tags: std::ops::Range<u8>) {
    tags.for_each(|tag| network.inject(port, Some(queue), &[tag; 60]).unwrap());
}

/// What a port sent since the last call, by tag.
fn sent(network: &Simulator, port: &str) -> Vec<u8> {
    network.sent(port).iter().map(|packet| packet[0]).collect()
}

fn queue(at: u16) -> QueueIndex {
    QueueIndex::new(at)
}

#[test]
fn what_was_granted_names_the_queues_that_send_and_a_note_the_others() {
    let network = machine(4, 2);
    let engine = one(&network).build_engine().unwrap();
    let granted = engine.granted();
    assert_eq!((&*granted.queues, &*granted.tx_queues), (&[0, 1, 2, 3][..], &[0, 1][..]));
    assert_eq!(granted.notes, ["queues 2 and 3 of a0 only receive: it has 2 TX queues"]);
    let port = &engine.ports()[0];
    assert_eq!([0, 1, 2, 3, 4].map(|at| port.sends(queue(at))), [true, true, false, false, false]);
    drop(engine);
    let engine = one(&network).queue_id(3).build_engine().unwrap();
    let note = "queue 3 of a0 only receives: it has 2 TX queues; nothing can be sent, unless queue \
                0 is opened as well";
    assert_eq!(
        (engine.granted().tx_queues.len(), &*engine.granted().notes),
        (0, &[note.into()][..])
    );
    drop(engine);
    network.set_tx_queues("a0", 4).unwrap();
    let engine = one(&network).build_engine().unwrap();
    assert_eq!((engine.granted().tx_queues.len(), engine.granted().notes.len()), (4, 0));
}

#[test]
fn mode_a_sends_back_by_a_queue_of_the_port_that_sends() {
    let network = machine(4, 2);
    let mut engine = one(&network).build_engine().unwrap();
    for queue in 0..4 {
        inject(&network, "a0", queue, 10 * queue as u8..10 * queue as u8 + 3);
    }
    engine.turn(|batch| batch.iter_mut().for_each(|packet| packet.send()), None).unwrap();
    let stats = engine.stats();
    assert_eq!((stats.received, stats.sent, stats.recycled), (12, 12, 0));
    // In the order of each queue.
    let sent = sent(&network, "a0");
    for queue in 0..4u8 {
        let of: Vec<u8> = sent.iter().copied().filter(|tag| tag / 10 == queue).collect();
        assert_eq!(of, [0, 1, 2].map(|n| 10 * queue + n), "{sent:?}");
    }
    assert_eq!(engine.debug_rings().held(), Some(0));
}

#[test]
fn mode_a_forwards_by_queues_that_send_alone() {
    let network = machine(3, 1);
    let mut engine = both(&network).build_engine().unwrap();
    (0..3).for_each(|queue| inject(&network, "a0", queue, 10 * queue as u8..10 * queue as u8 + 2));
    let mut extracted = Vec::new();
    engine
        .turn(
            |batch| {
                for packet in batch {
                    match packet.data()[0] % 2 {
                        0 => packet.forward(A1),
                        _ => extracted.push(packet.extract()),
                    }
                }
            },
            None,
        )
        .unwrap();
    assert_eq!(sent(&network, "a1"), [0, 10, 20]);
    // Those that were taken out leave by the port that they came from, new ones by any that sends.
    for packet in extracted {
        engine.send(packet).unwrap();
    }
    let mut packet = engine.alloc(60).unwrap();
    packet.data_mut().fill(99);
    engine.send(packet).unwrap();
    assert!(engine.flush().unwrap());
    assert_eq!(sent(&network, "a0"), [1, 11, 21, 99]);
    assert_eq!((engine.stats().sent, engine.stats().extra), (3, 4));
    let _ = engine.flush().unwrap();
    assert_eq!(engine.debug_rings().held(), Some(0));
}

#[test]
fn mode_a_recycles_and_counts_where_no_queue_sends_and_kicks_nothing() {
    let network = machine(2, 1);
    let mut engine = both(&network).queue_id(1).build_engine().unwrap();
    // a0 is open with all queues, a1 with one that only receives.
    inject(&network, "a1", 1, 0..5);
    inject(&network, "a0", 0, 0..5);
    let mut refused = 0;
    engine
        .turn(
            |batch| {
                if batch.port() == A1
                    && let Some(packet) = batch.alloc(60)
                {
                    let error = batch.send(packet).unwrap_err();
                    refused += u32::from(matches!(error, SendError::ReceiveOnly(_)));
                }
                let port = batch.port();
                for (at, packet) in batch.iter_mut().enumerate() {
                    if port == A1 && at % 2 == 0 {
                        packet.send();
                    } else {
                        packet.forward(A1);
                    }
                }
            },
            None,
        )
        .unwrap();
    let stats = engine.stats();
    assert_eq!((stats.received, stats.sent, stats.recycled), (10, 0, 10));
    assert_eq!((stats.receive_only, stats.no_port, stats.tx_full, refused), (10, 0, 0, 1));
    assert_eq!(engine.calls().tx_kicks, 0);
    assert_eq!(engine.debug_rings().held(), Some(0));
}

#[test]
fn each_worker_has_a_queue_that_sends_or_there_are_too_many() {
    let network = machine(4, 2);
    let error = both(&network).build_engine().unwrap().into_workers(3, |_| ()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "3 workers: a0 has 2 queues open that send, and each worker needs one of every port"
    );
    assert_eq!(error.hint(), Some("use 2 workers, or give more TX queues to a0"));
    // Opened in this order, the first two would go to one worker each, and send nothing.
    let order = fluxnet::Queues::Only(vec![2, 3, 0, 1]);
    let builder = || one(&network).queues(order.clone());
    let mut workers = builder().build_engine().unwrap().into_workers(2, |_| ()).unwrap();
    let shares: Vec<_> = workers.workers().iter().map(|w| w.engine.positions().to_vec()).collect();
    assert_eq!(shares, [[queue(0), queue(2)], [queue(1), queue(3)]]);
    (0..4).for_each(|queue| inject(&network, "a0", queue, 10 * queue as u8..10 * queue as u8 + 2));
    let stop = workers.stop_handle();
    let stats = workers
        .run(|(), batch| {
            batch.iter_mut().for_each(|packet| packet.send());
            if batch.len() < 2 {
                stop.stop();
            }
            if batch.queue() == queue(3) {
                stop.stop();
            }
        })
        .unwrap();
    assert_eq!(stats.sent, 8);
    assert_eq!(sent(&network, "a0").len(), 8);
    drop(workers);

    let pairs = builder().build_system_workers(2).unwrap();
    let sending: Vec<_> = pairs.iter().map(|(_, tx)| tx.sending().to_vec()).collect();
    assert_eq!(sending, [[queue(2)], [queue(3)]]);
    drop(pairs);
    let error = builder().build_system_workers(3).err().unwrap();
    assert!(error.to_string().contains("2 queues open that send"), "{error}");
}

#[test]
fn an_echo_program_in_mode_b_answers_on_every_queue() {
    let network = machine(4, 2);
    let (mut rx, mut tx) = one(&network).build_system().unwrap();
    for singly in [true, false] {
        (0..4).for_each(|at| inject(&network, "a0", at, 10 * at as u8..10 * at as u8 + 3));
        let mut packets = Packets::new();
        assert_eq!(rx.try_recv(&mut packets).unwrap(), 12);
        let queues: Vec<_> = packets.iter_mut().map(|packet| packet.queue()).collect();
        assert_eq!(queues[11], queue(3), "a packet tells the queue that it came from");
        if singly {
            while !packets.is_empty() {
                tx.send(packets.take(0).unwrap()).unwrap();
            }
        } else {
            let sent = tx.send_batch(&mut packets).unwrap();
            assert_eq!((sent.sent, sent.full, sent.refused), (12, 0, 0));
        }
        assert!(tx.flush().unwrap());
        assert_eq!(sent(&network, "a0").len(), 12);
    }
    assert_eq!(rx.debug_rings().join(tx.debug_rings()).held(), Some(0));
}

#[test]
fn mode_b_gives_back_what_is_told_to_leave_by_a_queue_that_only_receives() {
    let network = machine(2, 1);
    let (_rx, mut tx) = one(&network).build_system().unwrap();
    assert_eq!((tx.positions(), tx.sending()), (&[queue(0), queue(1)][..], &[queue(0)][..]));
    let mut batch = Packets::new();
    for _ in 0..3 {
        let mut packet = tx.alloc(60).unwrap();
        packet.set_queue(queue(1));
        let refused = tx.send(packet).unwrap_err();
        assert!(matches!(refused, SendError::ReceiveOnly(_)) && !refused.is_full());
        assert_eq!(
            refused.to_string(),
            "the queue only receives, the interface has fewer TX queues: send by another queue, or \
             name the port alone"
        );
        batch.push(refused.into_packet()).unwrap();
    }
    batch.push(tx.alloc(60).unwrap()).unwrap();
    let done = tx.send_batch(&mut batch).unwrap();
    assert_eq!((done.sent, done.full, done.refused, batch.len()), (1, 0, 3, 3));
    assert!(tx.flush().unwrap());
    assert_eq!(sent(&network, "a0").len(), 1);
    // By the port it goes.
    batch.iter_mut().for_each(|mut packet| packet.set_port(A0));
    assert_eq!(tx.send_batch(&mut batch).unwrap().sent, 3);
    assert!(tx.flush().unwrap());
    assert_eq!((sent(&network, "a0").len(), tx.pending()), (3, 0));
}

#[test]
fn a_sender_without_a_queue_that_sends_says_so_instead_of_waiting() {
    let network = machine(2, 1);
    let (mut rx, mut tx) = one(&network).queue_id(1).build_system().unwrap();
    inject(&network, "a0", 1, 7..8);
    let packet = rx.recv(Some(Duration::from_secs(1))).unwrap().unwrap();
    assert!(matches!(tx.send(packet), Err(SendError::ReceiveOnly(_))));
    let packet = tx.alloc(60).unwrap();
    assert!(matches!(tx.send(packet), Err(SendError::ReceiveOnly(_))));
    assert!(tx.flush().unwrap(), "nothing waits");
    let error = tx.wait(None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot send on a0 queue 1: it only receives, as a0 has no TX queue 1"
    );
    assert!(error.hint().unwrap().starts_with("queue 0 sends: "), "{error:?}");
    assert_eq!(rx.calls().tx_kicks, 0);
}

#[cfg(feature = "async")]
#[tokio::test]
async fn send_async_returns_the_error_and_kicks_nothing() {
    let network = machine(2, 1);
    let (mut rx, mut tx) = one(&network).frames(64).build_system().unwrap();
    // More than any ring holds.
    for _ in 0..200 {
        let mut packet = tx.alloc(60).unwrap();
        packet.set_queue(queue(1));
        let error = tx.send_async(packet).await.unwrap_err();
        assert!(error.to_string().contains("only receives"), "{error}");
    }
    assert_eq!(rx.calls().tx_kicks, 0);
    for tag in 0..200 {
        inject(&network, "a0", 1, tag..tag + 1);
        let packet = rx.recv_async().await.unwrap();
        tx.send_async(packet).await.unwrap();
    }
    assert_eq!(sent(&network, "a0"), (0..200).collect::<Vec<u8>>());
    assert!(rx.calls().tx_kicks <= 400, "{:?}", rx.calls());
}

#[test]
fn mode_c_has_no_room_on_a_queue_that_only_receives() {
    let network = machine(2, 1);
    let mut raws = one(&network).build_raw_queues().unwrap();
    let Ok([first, second]) = raws.get_disjoint_mut([0, 1]) else { panic!("two queues") };
    assert_eq!((first.sends(), second.sends(), second.tx.sends()), (true, false, false));
    let umem = second.umem().clone();
    let buffer = umem.alloc_buffer(256, 60).unwrap().unwrap();
    let mut room = second.tx.reserve(8);
    assert_eq!(room.room(), 0);
    umem.free(room.push(buffer).unwrap_err().frame);
    drop(room);
    assert!(second.flush().unwrap() && second.tx.pending() == 0);
    second.kick_tx().unwrap(); // finds an empty ring
    let error = second.wait_tx(None).unwrap_err();
    assert!(error.to_string().contains("a0 has no TX queue 1"), "{error}");
    // From ring to ring: reception does not stop for it.
    inject(&network, "a0", 1, 0..4);
    let routed = second.rx.route(&mut second.fill, [&mut second.tx], 8, |_| Route::Send(0));
    assert_eq!(routed, Routed { packets: 4, refused: 4, ..Routed::default() });
    inject(&network, "a0", 1, 4..8);
    let ways = [&mut second.tx, &mut first.tx];
    let routed = second.rx.route(&mut second.fill, ways, 8, |_| Route::Send(1));
    assert_eq!(routed, Routed { packets: 4, sent: 4, ..Routed::default() });
    assert!(first.flush().unwrap());
    assert_eq!(sent(&network, "a0"), [4, 5, 6, 7]);
    let rings = first.debug_rings().join(second.debug_rings());
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
}

#[test]
fn the_far_ends_of_the_wires_receive_what_was_sent() {
    // The way that a test of the library alone does not see: from end to end.
    let network = machine(2, 1);
    let mut engine = both(&network).build_engine().unwrap();
    let end = FluxBuilder::new(ENDS[1]).simulator(&network).filter(Filter::Everything);
    let (mut far, _keep) = end.build_system().unwrap();
    inject(&network, "a0", 1, 3..4);
    engine.turn(|batch| batch.iter_mut().for_each(|packet| packet.forward(A1)), None).unwrap();
    let packet = far.recv(Some(Duration::from_secs(1))).unwrap().unwrap();
    assert_eq!(packet.data(), [3; 60]);
}
