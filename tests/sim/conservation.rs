//! *Frames are conserved*: after any sequence of calls, with any faults, every frame is in the
//! free list, in a ring, or in the caller's hands.

use crate::rig::{Forwarder, Generator, ModeA, ModeB, ModeC, Moves, forward};
use fluxnet::simulator::Simulator;
use fluxnet::umem::{Buffer, Span};
use fluxnet::{Faults, Filter, FluxBuilder, FluxRaw, Packet, Packets, Poller, Route, SendError};
use proptest::prelude::*;
use std::time::Duration;

const MILLION: u64 = 1_000_000;

fn faults(seed: u64) -> Faults {
    Faults { seed, kick_refused: 0.05, kick_delayed: 0.05, wait_spurious: 0.1 }
}

fn builder(network: &Simulator, port: &str) -> FluxBuilder {
    FluxBuilder::new(port).simulator(network).filter(Filter::Everything).frames(1024)
}

fn million(make: impl FnOnce(FluxBuilder) -> Box<dyn Forwarder>) {
    let network = Simulator::crossed_pair(1);
    let ours = builder(&network, "a0").faults(faults(1));
    let mut forwarder = make(ours);
    let theirs = builder(&network, "b0").faults(faults(2));
    let mut generator = Generator::new(theirs, &[0x5a; 64]);
    forward(&mut generator, &mut *forwarder, MILLION);
}

#[test]
fn mode_a_forwards_a_million_packets_under_faults_and_loses_no_frame() {
    million(|b| Box::new(ModeA(b.build_engine().unwrap())));
}

#[test]
fn mode_b_forwards_a_million_packets_under_faults_and_loses_no_frame() {
    million(|b| Box::new(ModeB::new(b.build_system().unwrap())));
}

#[test]
fn mode_b_forwards_a_million_packets_one_by_one_and_loses_no_frame() {
    million(|b| Box::new(ModeB::singly(b.build_system().unwrap())));
}

#[test]
fn mode_c_forwards_a_million_packets_under_faults_and_loses_no_frame() {
    million(|b| Box::new(ModeC::new(b.build_raw().unwrap())));
}

#[test]
fn moves_forward_a_million_packets_under_faults_and_lose_no_frame() {
    million(|b| Box::new(Moves(b.build_raw().unwrap())));
}

#[derive(Clone, Debug)]
enum Op {
    /// Packets from the wire, some longer than a frame can hold.
    Inject {
        packets: u8,
        len: u16,
    },
    /// One turn; bit `i` of each mask decides about packet `i` of a batch.
    Turn {
        send: u64,
        extract: u64,
        wait_us: u8,
    },
    /// Drop the oldest packets held.
    Release(u8),
    /// Send the oldest packets held (modes A and B).
    SendHeld(u8),
    /// New packets (modes A and B).
    Alloc {
        packets: u8,
        len: u16,
    },
    Flush,
    /// Packets from ring to ring (mode C).
    Move {
        which: Move,
        max: u8,
    },
    Link(bool),
    Step(u16),
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Recycle,
    Forward,
    /// Bit `i` of each mask decides about packet `i`.
    Route {
        send: u64,
        take: u64,
    },
    Refill,
    /// Sends that many bytes of each frame, some of them more than there are.
    Resend(u16),
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        Just(Move::Recycle),
        Just(Move::Forward),
        (any::<u64>(), any::<u64>())
            .prop_map(|(send, take)| Move::Route { send, take: take & send }),
        Just(Move::Refill),
        (0u16..2300).prop_map(Move::Resend),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..80, 0u16..2300).prop_map(|(packets, len)| Op::Inject { packets, len }),
        6 => (any::<u64>(), any::<u64>(), 0u8..50)
            .prop_map(|(send, extract, wait_us)| Op::Turn { send, extract: extract & send, wait_us }),
        2 => (0u8..40).prop_map(Op::Release),
        2 => (0u8..40).prop_map(Op::SendHeld),
        1 => (0u8..40, 0u16..2300).prop_map(|(packets, len)| Op::Alloc { packets, len }),
        2 => Just(Op::Flush),
        4 => (a_move(), 0u8..80).prop_map(|(which, max)| Op::Move { which, max }),
        1 => prop::bool::weighted(0.7).prop_map(Op::Link),
        1 => (0u16..1000).prop_map(Op::Step),
    ]
}

fn some_faults() -> impl Strategy<Value = Faults> {
    (any::<u64>(), 0.0..0.6, 0.0..0.6, 0.0..0.6).prop_map(|(seed, refused, delayed, spurious)| {
        Faults { seed, kick_refused: refused, kick_delayed: delayed, wait_spurious: spurious }
    })
}

fn poller() -> impl Strategy<Value = Poller> {
    prop_oneof![Just(Poller::Busy), Just(Poller::ADAPTIVE), Just(Poller::Syscall)]
}

/// A rig for random calls: `lo0` receives what it sends.
fn lo0(faults: &Faults, poller: Poller, frames: u32, queues: u32) -> (Simulator, FluxBuilder) {
    let network = Simulator::loopback(queues);
    let builder = FluxBuilder::new("lo0")
        .simulator(&network)
        .filter(Filter::Everything)
        .frames(frames)
        .batch(32)
        .poller(poller)
        .faults(faults.clone());
    (network, builder)
}

/// Moves packets; those that are taken out go to `packets`.
fn apply(which: Move, raw: &mut FluxRaw, max: u32, packets: &mut Vec<Buffer>) -> u32 {
    let FluxRaw { rx, tx, fill, comp, .. } = raw;
    match which {
        Move::Recycle => rx.route(fill, [], max, |_| Route::Recycle).packets,
        Move::Forward => {
            let edit = |packet: &mut fluxnet::PacketView<'_>| {
                packet.data_mut().fill(0xee);
                Route::Send(0)
            };
            rx.route(fill, [tx], max, edit).packets
        }
        Move::Route { send, take } => {
            let (mut i, before) = (0, packets.len());
            let routed = rx.route(fill, [tx], max, |packet| {
                i += 1;
                if take >> (i % 64) & 1 == 1 {
                    packets.extend(packet.take());
                }
                match send >> (i % 64) & 1 {
                    1 => Route::Send(0),
                    _ => Route::Recycle,
                }
            });
            assert_eq!(packets.len() - before, routed.taken as usize);
            routed.packets
        }
        Move::Refill => comp.refill(fill, max),
        Move::Resend(len) => {
            let span = Span::new(0, len.into(), 4096).unwrap();
            comp.resend(tx, span, max)
        }
    }
}

fn inject(network: &Simulator, packets: u8, len: u16) {
    for i in 0..packets {
        network.inject("lo0", None, &vec![i; usize::from(len)]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn mode_a_conserves_frames(
        ops in prop::collection::vec(op(), 0..120), faults in some_faults(), poller in poller(),
        frames in 16u32..200, queues in 1u32..3,
    ) {
        let (network, builder) = lo0(&faults, poller, frames, queues);
        let mut engine = builder.build_engine().unwrap();
        let mut held: Vec<Packet> = Vec::new();
        for op in ops {
            match op {
                Op::Inject { packets, len } => inject(&network, packets, len),
                Op::Turn { send, extract, wait_us } => {
                    let wait = Duration::from_micros(wait_us.into());
                    // A link that is down is an error, and costs no frame either.
                    let _ = engine.turn(|batch| {
                        for (i, packet) in batch.iter_mut().enumerate() {
                            if extract >> (i % 64) & 1 == 1 {
                                held.push(packet.extract());
                            } else if send >> (i % 64) & 1 == 1 {
                                packet.send();
                            }
                        }
                    }, Some(wait));
                }
                Op::Release(n) => drop(held.drain(..held.len().min(n.into()))),
                Op::SendHeld(n) => {
                    for packet in held.drain(..held.len().min(n.into())).collect::<Vec<_>>() {
                        held.extend(engine.send(packet).err().map(SendError::into_packet));
                    }
                }
                Op::Alloc { packets, len } => {
                    held.extend((0..packets).map_while(|_| engine.alloc(len.into())));
                }
                Op::Flush => {
                    let _ = engine.flush();
                }
                Op::Link(up) => network.set_link_up("lo0", up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
                Op::Move { .. } => {}
            }
            let rings = engine.debug_rings();
            prop_assert_eq!(rings.held(), Some(held.len() as i64), "{:?}", rings);
            if let Some(user) = engine.umem().held_by_user() {
                prop_assert_eq!(user as usize, held.len());
            }
            let stats = engine.stats();
            prop_assert_eq!(
                stats.received, stats.sent + stats.recycled + stats.extracted + stats.tx_full
            );
        }
    }

    #[test]
    fn mode_b_conserves_frames(
        ops in prop::collection::vec(op(), 0..120), faults in some_faults(), poller in poller(),
        frames in 16u32..200, queues in 1u32..3,
    ) {
        let (network, builder) = lo0(&faults, poller, frames, queues);
        let (mut rx, mut tx) = builder.build_system().unwrap();
        let mut held: Vec<Packet> = Vec::new();
        for op in ops {
            match op {
                Op::Inject { packets, len } => inject(&network, packets, len),
                Op::Turn { wait_us, .. } => {
                    let deadline = Some(rx.now() + u64::from(wait_us) * 1000);
                    let mut packets = Packets::new();
                    let _ = rx.recv_batch(&mut packets, deadline);
                    held.extend((0..packets.len()).rev().filter_map(|at| packets.take(at)));
                }
                Op::Release(n) => drop(held.drain(..held.len().min(n.into()))),
                Op::SendHeld(n) => {
                    let oldest = held.drain(..held.len().min(n.into())).collect::<Vec<_>>();
                    if n % 2 == 0 {
                        for packet in oldest {
                            held.extend(tx.send(packet).err().map(SendError::into_packet));
                        }
                    } else {
                        let (mut packets, n) = (Packets::new(), oldest.len());
                        oldest.into_iter().for_each(|packet| packets.push(packet).unwrap());
                        if let Ok(sent) = tx.send_batch(&mut packets) {
                            prop_assert_eq!(sent.sent + sent.full + sent.refused, n);
                            prop_assert_eq!(sent.full + sent.refused, packets.len());
                        }
                        held.extend(std::iter::from_fn(|| packets.pop()));
                    }
                }
                Op::Alloc { packets, len } => {
                    held.extend((0..packets).map_while(|_| tx.alloc(len.into())));
                }
                Op::Flush => {
                    let _ = tx.flush();
                }
                Op::Move { .. } => {}
                Op::Link(up) => network.set_link_up("lo0", up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
            }
            let umem = rx.umem();
            let out = rx.frames() + tx.frames() + held.len() as u64;
            prop_assert_eq!(u64::from(umem.free_hint()) + out, u64::from(umem.frames()));
            let rings = rx.debug_rings().join(tx.debug_rings());
            prop_assert_eq!(rings.held(), Some(held.len() as i64), "{:?}", rings);
            if let Some(user) = umem.held_by_user() {
                prop_assert_eq!(user as usize, held.len());
            }
        }
    }

    #[test]
    fn mode_c_conserves_frames(
        ops in prop::collection::vec(op(), 0..120), faults in some_faults(),
        frames in 16u32..200,
    ) {
        let (network, builder) = lo0(&faults, Poller::Busy, frames, 1);
        let mut raw = builder.prefill(false).build_raw().unwrap();
        let umem = std::sync::Arc::clone(raw.umem());
        let mut packets = Vec::new();
        let mut free = Vec::new();
        for op in ops {
            match op {
                Op::Inject { packets, len } => inject(&network, packets, len),
                Op::Turn { send, wait_us, .. } => {
                    let _ = raw.wait(Some(Duration::from_micros(wait_us.into())));
                    raw.rx.receive(send as u32 % 64, |buffer| packets.push(buffer));
                }
                Op::Release(n) => {
                    raw.comp.reap(n.into(), |frame| free.push(frame));
                    let kept = packets.split_off(packets.len().min(n.into()));
                    free.extend(std::mem::replace(&mut packets, kept).into_iter().map(|b| b.frame));
                }
                Op::SendHeld(n) => {
                    let mut room = raw.tx.reserve(n.into());
                    while let Some(buffer) = packets.pop() {
                        if let Err(back) = room.push(buffer) {
                            packets.push(back);
                            break;
                        }
                    }
                }
                Op::Alloc { packets, .. } => {
                    free.extend((0..packets).map_while(|_| umem.alloc()));
                    raw.fill.post(&mut free, u32::from(packets) / 2);
                }
                Op::Flush => {
                    let _ = raw.kick_tx();
                    umem.free_all(free.drain(..));
                }
                Op::Move { which, max } => {
                    let rx = raw.rx.received();
                    let comp = raw.comp.completed();
                    let moved = apply(which, &mut raw, max.into(), &mut packets);
                    let taken = raw.rx.received() - rx + raw.comp.completed() - comp;
                    prop_assert_eq!(taken, u64::from(moved));
                    prop_assert!(moved <= u32::from(max));
                }
                Op::Link(up) => network.set_link_up("lo0", up).unwrap(),
                Op::Step(us) => network.step(Duration::from_micros(us.into())),
            }
            let holding = (packets.len() + free.len()) as i64;
            let rings = raw.debug_rings();
            prop_assert_eq!(rings.held(), Some(holding), "{:?}", rings);
            prop_assert_eq!(rings.sockets[0].account.unwrap().invalid, 0);
            if let Some(user) = umem.held_by_user() {
                prop_assert_eq!(i64::from(user), holding);
            }
        }
    }
}

#[test]
fn a_callback_that_panics_makes_no_second_owner() {
    let network = Simulator::loopback(1);
    let mut raw = builder(&network, "lo0").build_raw().unwrap();
    for _ in 0..3 {
        network.inject("lo0", None, &[1; 60]).unwrap();
    }
    let mut got = Vec::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        raw.rx.receive(8, |buffer| {
            got.push(buffer);
            assert!(got.len() < 2, "in the middle of a batch");
        });
    }));
    assert!(panicked.is_err());
    raw.rx.receive(8, |buffer| got.push(buffer));
    let mut frames: Vec<_> = got.iter().map(|b| b.frame.index()).collect();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!((got.len(), frames.len()), (3, 3));
    assert_eq!(raw.debug_rings().held(), Some(3));
    raw.umem().free_all(got.into_iter().map(|b| b.frame));
}

#[test]
fn a_span_of_a_larger_frame_is_handed_back() {
    use fluxnet::umem::{Buffer, Span};
    let network = Simulator::loopback(1);
    let mut raw = builder(&network, "lo0").build_raw().unwrap();
    let umem = raw.umem().clone();
    for (start, len) in [(2048, 60), (2000, 60), (0, 2049)] {
        let frame = umem.alloc().unwrap();
        let span = Span::new(start, len, 4096).unwrap();
        let back = raw.tx.reserve(1).push(Buffer { frame, span }).unwrap_err();
        umem.free(back.frame);
    }
    assert_eq!(raw.tx.posted(), 0);
}

#[test]
fn a_receiver_with_sixteen_frames_receives_for_ever() {
    let network = Simulator::loopback(1);
    let (mut rx, _tx) = FluxBuilder::new("lo0")
        .simulator(&network)
        .filter(Filter::Everything)
        .frames(16)
        .build_system()
        .unwrap();
    for i in 0..1000u32 {
        network.inject("lo0", None, &i.to_be_bytes().repeat(15)).unwrap();
        let packet = rx.recv(Some(Duration::from_millis(1))).unwrap().expect("received");
        assert_eq!(packet.data()[..4], i.to_be_bytes());
    }
}

#[test]
fn packets_go_to_another_thread_and_come_back() {
    let network = Simulator::loopback(1);
    let (mut rx, tx) = builder(&network, "lo0").build_system().unwrap();
    let (to_worker, inbox) = std::sync::mpsc::sync_channel::<Packet>(64);
    let worker = std::thread::spawn(move || inbox.into_iter().map(|p| p.len() as u64).sum::<u64>());
    for _ in 0..5000 {
        network.inject("lo0", None, &[1; 60]).unwrap();
        let packet = rx.recv(Some(Duration::from_millis(1))).unwrap().expect("received");
        to_worker.send(packet).unwrap();
    }
    drop(to_worker);
    assert_eq!(worker.join().unwrap(), 5000 * 60);
    let umem = rx.umem();
    assert_eq!(u64::from(umem.free_hint()) + rx.frames() + tx.frames(), u64::from(umem.frames()));
}
