//! *Frames are conserved* with two ports on one UMEM and two workers: whatever they do, with
//! packets that cross over between ports and workers, ports that go, and any faults.

use crate::pairs::{PORTS, both, joined, network, packet};
use fluxnet::engine::Worker;
use fluxnet::simulator::Simulator;
use fluxnet::snapshot::SocketSnapshot;
use fluxnet::umem::{Buffer, Span, Umem};
use fluxnet::{
    Faults, FluxBuilder, FluxEngine, FluxRaw, FluxRx, FluxTx, Packet, PacketBatch, Packets, Poller,
    PortIndex, QueueIndex, RingsSnapshot, Route, SendError,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::sync::Arc;
use std::time::Duration;

const QUEUES: u32 = 2;

/// What somebody does; the numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    /// Packets from the wire, some longer than a frame can hold, of several flows.
    Inject {
        port: usize,
        packets: u8,
        len: u16,
    },
    /// A worker receives; `dice` decides about each packet.
    Turn {
        worker: usize,
        dice: u64,
        wait_us: u8,
    },
    /// The oldest packets held are sent by a worker, which may be another than received them.
    Send {
        worker: usize,
        packets: u8,
        dice: u64,
    },
    /// The oldest packets held are dropped.
    Release(u8),
    Alloc {
        worker: usize,
        packets: u8,
        len: u16,
    },
    Flush {
        worker: usize,
    },
    /// From ring to ring (mode C).
    Move {
        from: usize,
        to: usize,
        dice: u64,
        max: u8,
    },
    Link {
        port: usize,
        up: bool,
    },
    Step(u16),
    Remove {
        port: usize,
    },
    Mtu {
        port: usize,
        bytes: u16,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let two = || 0usize..2;
    prop_oneof![
        6 => (two(), 0u8..60, 0u16..2300)
            .prop_map(|(port, packets, len)| Op::Inject { port, packets, len }),
        8 => (two(), any::<u64>(), 0u8..50)
            .prop_map(|(worker, dice, wait_us)| Op::Turn { worker, dice, wait_us }),
        4 => (two(), 0u8..40, any::<u64>())
            .prop_map(|(worker, packets, dice)| Op::Send { worker, packets, dice }),
        2 => (0u8..40).prop_map(Op::Release),
        1 => (two(), 0u8..40, 0u16..2300)
            .prop_map(|(worker, packets, len)| Op::Alloc { worker, packets, len }),
        3 => two().prop_map(|worker| Op::Flush { worker }),
        6 => (0usize..4, 0usize..4, any::<u64>(), 0u8..60)
            .prop_map(|(from, to, dice, max)| Op::Move { from, to, dice, max }),
        1 => (two(), prop::bool::weighted(0.7)).prop_map(|(port, up)| Op::Link { port, up }),
        1 => (0u16..1000).prop_map(Op::Step),
        1 => (two(), 60u16..1800).prop_map(|(port, bytes)| Op::Mtu { port, bytes }),
        1 => (prop::bool::weighted(0.15), two())
            .prop_map(|(really, port)| if really { Op::Remove { port } } else { Op::Step(1) }),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..150)
}

fn some_faults() -> impl Strategy<Value = Faults> {
    (any::<u64>(), 0.0..0.6, 0.0..0.6, 0.0..0.6).prop_map(|(seed, refused, delayed, spurious)| {
        Faults { seed, kick_refused: refused, kick_delayed: delayed, wait_spurious: spurious }
    })
}

fn poller() -> impl Strategy<Value = Poller> {
    prop_oneof![Just(Poller::Busy), Just(Poller::ADAPTIVE), Just(Poller::Syscall)]
}

fn open(network: &Simulator, faults: &Faults, poller: Poller, frames: u32) -> FluxBuilder {
    both(network).frames(frames).batch(32).poller(poller).faults(faults.clone())
}

/// Bits of dice for packet `at`.
fn roll(dice: u64, at: usize) -> u64 {
    dice.rotate_right(3 * at as u32) % 8
}

/// Gives a packet one of the ways out, some of which do not exist.
fn choose_way(packet: &mut Packet, roll: u64) {
    match roll {
        0..=1 => packet.set_port(PortIndex::new(roll as u16)),
        2..=5 => packet.set_queue(QueueIndex::new(roll as u16 - 2)),
        6 => packet.set_port(PortIndex::new(7)),
        _ => {}
    }
}

/// Frames of a removed port that nobody can reach any more: with the kernel, or on the way to it.
fn out_of_reach(sockets: &[SocketSnapshot]) -> u64 {
    let one = |socket: &SocketSnapshot| {
        let account = socket.account.unwrap();
        let used = |ring: Option<fluxnet::RingSnapshot>| ring.map_or(0, |r| r.used().unwrap());
        // Received packets are dropped, completed frames taken.
        account.in_reception + account.in_transmission
            - u64::from(used(socket.rx) + used(socket.comp))
    };
    sockets.iter().map(one).sum()
}

fn of_port(rings: &RingsSnapshot, port: usize) -> Vec<SocketSnapshot> {
    let ours = |s: &&SocketSnapshot| s.interface.as_deref() == Some(PORTS[port]);
    rings.sockets.iter().filter(ours).cloned().collect()
}

/// The books: free + in rings + in caches + held + gone with a port = all frames.
fn balanced(
    umem: &Umem,
    rings: &RingsSnapshot,
    held: usize,
    gone: u64,
) -> Result<(), TestCaseError> {
    let accounts = rings.sockets.iter().map(|socket| socket.account.unwrap());
    let in_rings: u64 = accounts.map(|a| a.in_reception + a.in_transmission + a.cached).sum();
    let all = u64::from(umem.free_hint()) + in_rings + held as u64 + gone;
    prop_assert_eq!(all, u64::from(umem.frames()), "{} held, {} gone, {:#?}", held, gone, rings);
    if !rings.sockets.is_empty() {
        prop_assert_eq!(rings.held(), Some(held as i64 + gone as i64), "{:#?}", rings);
    }
    prop_assert!(rings.sockets.iter().all(|socket| socket.account.unwrap().invalid == 0));
    if let Some(user) = umem.held_by_user() {
        prop_assert_eq!(user as usize, held, "the ledger");
    }
    Ok(())
}

fn inject(network: &Simulator, port: usize, packets: u8, len: u16) {
    for flow in 0..packets {
        network.inject(PORTS[port], None, &packet(flow % 8, len.into())).unwrap();
    }
}

fn oldest(held: &mut Vec<Packet>, n: u8) -> Vec<Packet> {
    held.drain(..held.len().min(n.into())).collect()
}

/// Mode A: what a worker does with a batch.
fn verdicts(batch: &mut PacketBatch<'_>, dice: u64, held: &mut Vec<Packet>) {
    for (at, packet) in batch.iter_mut().enumerate() {
        match roll(dice, at) {
            0 => packet.send(),
            1 => packet.forward(PortIndex::new(0)),
            2 | 3 => packet.forward(PortIndex::new(1)),
            4 => packet.forward(PortIndex::new(7)),
            5 => packet.recycle(),
            6 => held.push(packet.extract()),
            _ => {}
        }
    }
    // Others than those of the batch leave with it.
    let ours = held.pop().into_iter().chain(batch.alloc(60)).take(dice as usize % 3);
    for (at, mut packet) in ours.collect::<Vec<_>>().into_iter().enumerate() {
        choose_way(&mut packet, roll(dice, at + 1));
        held.extend(batch.send(packet).err().map(SendError::into_packet));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn mode_a_conserves_frames_with_two_ports_and_two_workers(
        ops in ops(), faults in some_faults(), poller in poller(), frames in 16u32..300,
        tx in 1..=QUEUES,
    ) {
        // A worker for each queue that sends; the others only receive.
        let network = network(QUEUES);
        PORTS.iter().for_each(|port| network.set_tx_queues(port, tx).unwrap());
        let n = tx as usize;
        let engine = open(&network, &faults, poller, frames).build_engine().unwrap();
        let umem = Arc::clone(engine.umem());
        let mut workers = engine.into_workers(n, |at| at).unwrap().into_vec();
        let look = |workers: &[Worker<usize>]| {
            joined(workers.iter().map(|worker| worker.engine.debug_rings()))
        };
        let (mut held, mut gone): (Vec<Packet>, u64) = (Vec::new(), 0);
        for op in ops {
            match op {
                Op::Inject { port, packets, len } => inject(&network, port, packets, len),
                Op::Turn { worker, dice, wait_us } => {
                    let wait = (wait_us > 9).then(|| Duration::from_micros(wait_us.into()));
                    // A link that is down is an error, and costs no frame either.
                    let engine = &mut workers[worker % n].engine;
                    let _ = engine.turn(|batch| verdicts(batch, dice, &mut held), wait);
                }
                Op::Send { worker, packets, dice } => {
                    let engine: &mut FluxEngine = &mut workers[worker % n].engine;
                    for (at, mut packet) in oldest(&mut held, packets).into_iter().enumerate() {
                        choose_way(&mut packet, roll(dice, at));
                        held.extend(engine.send(packet).err().map(SendError::into_packet));
                    }
                }
                Op::Release(n) => drop(oldest(&mut held, n)),
                Op::Alloc { worker, packets, len } => {
                    let engine = &mut workers[worker % n].engine;
                    held.extend((0..packets).map_while(|_| engine.alloc(len.into())));
                }
                Op::Flush { worker } => drop(workers[worker % n].engine.flush()),
                Op::Move { .. } => {}
                Op::Link { port, up } => network.set_link_up(PORTS[port], up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
                Op::Mtu { port, bytes } => network.set_mtu(PORTS[port], bytes.into()).unwrap(),
                Op::Remove { port } => {
                    gone += out_of_reach(&of_port(&look(&workers), port));
                    let port = PortIndex::new(port as u16);
                    workers.iter_mut().for_each(|worker| worker.engine.remove_port(port));
                }
            }
            balanced(&umem, &look(&workers), held.len(), gone)?;
            for Worker { engine, .. } in &workers {
                let stats = engine.stats();
                prop_assert_eq!(
                    stats.received, stats.sent + stats.recycled + stats.extracted + stats.tx_full
                );
            }
        }
        PORTS.iter().for_each(|port| network.set_link_up(port, true).unwrap());
        let in_transmission = |workers: &[Worker<usize>]| {
            let rings = look(workers);
            rings.sockets.iter().map(|s| s.account.unwrap().in_transmission).sum::<u64>()
        };
        for _ in 0..1000 {
            for worker in &mut workers {
                let _ = worker.engine.flush().unwrap();
            }
            network.step(Duration::from_micros(1));
        }
        prop_assert_eq!(in_transmission(&workers), 0, "all that was queued went out");
        balanced(&umem, &look(&workers), held.len(), gone)?;
        let left = Arc::downgrade(&umem);
        drop((umem, held, workers));
        prop_assert_eq!(left.strong_count(), 0);
    }

    #[test]
    fn mode_b_conserves_frames_with_two_ports_and_two_workers(
        ops in ops(), faults in some_faults(), poller in poller(), frames in 16u32..300,
        tx in 1..=QUEUES,
    ) {
        // A worker for each queue that sends; the others only receive.
        let network = network(QUEUES);
        PORTS.iter().for_each(|port| network.set_tx_queues(port, tx).unwrap());
        let n = tx as usize;
        let builder = open(&network, &faults, poller, frames);
        let mut workers = builder.build_system_workers(n).unwrap();
        let umem = Arc::clone(workers[0].0.umem());
        let look = |workers: &[(FluxRx, FluxTx)]| {
            joined(workers.iter().flat_map(|(rx, tx)| [rx.debug_rings(), tx.debug_rings()]))
        };
        // Received with a batch and not asked for yet.
        let ready = |(rx, _): &(FluxRx, FluxTx)| {
            let accounts = rx.debug_rings().sockets.into_iter().map(|s| s.account.unwrap());
            rx.frames() - accounts.map(|a| a.in_reception + a.cached).sum::<u64>()
        };
        let (mut held, mut gone): (Vec<Packet>, u64) = (Vec::new(), 0);
        for op in ops {
            match op {
                Op::Inject { port, packets, len } => inject(&network, port, packets, len),
                Op::Turn { worker, dice, wait_us } => {
                    let rx = &mut workers[worker % n].0;
                    let mut packets = Packets::new();
                    match dice % 3 {
                        0 => drop(rx.try_recv(&mut packets)),
                        1 => {
                            let deadline = Some(rx.now() + u64::from(wait_us) * 1000);
                            let _ = rx.recv_batch(&mut packets, deadline);
                        }
                        _ => held.extend(rx.recv(Some(Duration::ZERO)).unwrap_or(None)),
                    }
                    let mut at = 0;
                    packets.retain(|_| {
                        at += 1;
                        roll(dice, at) < 6
                    });
                    held.extend(std::iter::from_fn(|| packets.pop()));
                }
                Op::Send { worker, packets, dice } => {
                    let tx = &mut workers[worker % n].1;
                    let mut batch = Packets::new();
                    for (at, mut packet) in oldest(&mut held, packets).into_iter().enumerate() {
                        choose_way(&mut packet, roll(dice, at));
                        if dice % 2 == 0 {
                            held.extend(tx.send(packet).err().map(SendError::into_packet));
                        } else {
                            batch.push(packet).unwrap();
                        }
                    }
                    let n = batch.len();
                    if let Ok(sent) = tx.send_batch(&mut batch) {
                        prop_assert_eq!(sent.sent + sent.full + sent.refused, n);
                        prop_assert_eq!(sent.full + sent.refused, batch.len());
                    }
                    held.extend(std::iter::from_fn(|| batch.pop()));
                }
                Op::Release(n) => drop(oldest(&mut held, n)),
                Op::Alloc { worker, packets, len } => {
                    let tx = &mut workers[worker % n].1;
                    held.extend((0..packets).map_while(|_| tx.alloc(len.into())));
                }
                Op::Flush { worker } => drop(workers[worker % n].1.flush()),
                Op::Move { .. } => {}
                Op::Link { port, up } => network.set_link_up(PORTS[port], up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
                Op::Mtu { port, bytes } => network.set_mtu(PORTS[port], bytes.into()).unwrap(),
                Op::Remove { port } => {
                    gone += out_of_reach(&of_port(&look(&workers), port));
                    let port = PortIndex::new(port as u16);
                    for (rx, tx) in &mut workers {
                        rx.remove_port(port);
                        tx.remove_port(port);
                    }
                }
            }
            // A receiver without queues lists no ring for its cache, and has none.
            let ready: u64 = workers.iter().map(ready).sum();
            balanced(&umem, &look(&workers), held.len() + ready as usize, gone)?;
        }
        let left = Arc::downgrade(&umem);
        drop((umem, held, workers));
        prop_assert_eq!(left.strong_count(), 0);
    }

    #[test]
    fn mode_c_conserves_frames_with_two_ports_and_rings_used_across_them(
        ops in ops(), faults in some_faults(), frames in 16u32..300, prefill: bool,
        tx in 1..=QUEUES,
    ) {
        let network = network(QUEUES);
        PORTS.iter().for_each(|port| network.set_tx_queues(port, tx).unwrap());
        let builder = open(&network, &faults, Poller::Busy, frames).prefill(prefill);
        let mut raws = builder.build_raw_queues().unwrap();
        let umem = Arc::clone(raws[0].umem());
        let (mut held, mut gone): (Vec<Buffer>, u64) = (Vec::new(), 0);
        for op in ops {
            let n = raws.len().max(1);
            match op {
                Op::Inject { port, packets, len } => inject(&network, port, packets, len),
                Op::Turn { worker, dice, wait_us } => {
                    let Some(raw) = raws.get_mut(dice as usize % n) else { continue };
                    let _ = raw.wait(Some(Duration::from_micros(wait_us.into())));
                    raw.rx.receive(dice as u32 % 40, |buffer| held.push(buffer));
                    if worker == 1 {
                        let _ = raw.kick_rx();
                    }
                }
                Op::Send { packets, dice, .. } => {
                    let Some(raw) = raws.get_mut(dice as usize % n) else { continue };
                    let mut room = raw.tx.reserve(packets.into());
                    for _ in 0..packets {
                        let Some(buffer) = held.pop() else { break };
                        if let Err(back) = room.push(buffer) {
                            held.push(back);
                            break;
                        }
                    }
                }
                Op::Release(n) => {
                    let n = held.len().min(n.into());
                    umem.free_all(held.drain(..n).map(|buffer| buffer.frame));
                }
                Op::Alloc { worker, packets, .. } => {
                    let mut frames = Vec::new();
                    umem.alloc_many(packets.into(), &mut frames);
                    if let Some(raw) = raws.get_mut(worker) {
                        raw.fill.post(&mut frames, u32::MAX);
                    }
                    umem.free_all(frames);
                }
                Op::Flush { worker } => {
                    raws.iter_mut().skip(worker).for_each(|raw| drop(raw.flush()));
                }
                Op::Move { from, to, dice, max } if !raws.is_empty() => {
                    across(&mut raws, from % n, to % n, dice, max.into(), &mut held)?;
                }
                Op::Move { .. } => {}
                Op::Link { port, up } => network.set_link_up(PORTS[port], up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
                Op::Mtu { port, bytes } => network.set_mtu(PORTS[port], bytes.into()).unwrap(),
                Op::Remove { port } => {
                    let ours = |raw: &FluxRaw| raw.granted().interface == PORTS[port];
                    for raw in raws.iter().filter(|raw| ours(raw)) {
                        let account = raw.debug_rings().sockets[0].account.unwrap();
                        // What waits to be received goes to the free list with the ring.
                        gone += account.in_reception - u64::from(raw.rx.waiting());
                        gone += account.in_transmission;
                    }
                    raws.retain(|raw| !ours(raw));
                }
            }
            if raws.is_empty() {
                break;
            }
            balanced(&umem, &joined(raws.iter().map(FluxRaw::debug_rings)), held.len(), gone)?;
        }
        umem.free_all(held.drain(..).map(|buffer| buffer.frame));
        let left = Arc::downgrade(&umem);
        drop((umem, raws));
        prop_assert_eq!(left.strong_count(), 0);
    }
}

/// Moves packets from the rings of one queue to those of others, of any port.
fn across(
    raws: &mut [FluxRaw],
    from: usize,
    to: usize,
    dice: u64,
    max: u32,
    held: &mut Vec<Buffer>,
) -> Result<(), TestCaseError> {
    let (mut rx, mut tx, mut fill, mut comp) = (vec![], vec![], vec![], vec![]);
    for raw in raws {
        rx.push(&mut raw.rx);
        tx.push(&mut raw.tx);
        fill.push(&mut raw.fill);
        comp.push(&mut raw.comp);
    }
    match dice % 4 {
        0 => {
            comp[from].refill(fill[to], max);
        }
        1 => {
            let span = Span::new(0, (dice >> 8) as u32 % 2300, 4096).unwrap();
            comp[from].resend(tx[to], span, max);
        }
        _ => {
            let other = (to + 1) % tx.len();
            let Ok([one, two]) = tx.get_disjoint_mut([to, other]) else { return Ok(()) };
            let (mut at, before) = (0, held.len());
            let routed = rx[from].route(fill[to], [one, two], max, |packet| {
                at += 1;
                let _ = packet.adjust_head(roll(dice, at) as i32 - 4);
                match roll(dice, at) {
                    0..=2 => Route::Send(0),
                    3 | 4 => Route::Send(1),
                    5 => Route::Send(2),
                    6 => {
                        held.extend(packet.take());
                        Route::Send(0)
                    }
                    _ => Route::Recycle,
                }
            });
            prop_assert_eq!(routed.packets as usize, at);
            prop_assert_eq!(routed.taken as usize, held.len() - before);
        }
    }
    Ok(())
}
