//! How a kernel treats the four rings, its counters and flags, written down once for every kernel:
//! `sim/conformance.rs` holds the simulated one to it, `lab/conformance.rs` the real one. So the two
//! agree with each other, too.

use fluxnet::engine::Worker;
use fluxnet::umem::{Buffer, Frame};
use fluxnet::{
    Desc, ErrorKind, Fail, Filter, FluxBuilder, FluxRaw, Kick, Link, Match, Port, Route, SendError,
    XdpStatistics,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// EtherType of the scenarios' frames (local experimental): no kernel answers them.
pub const ETHER_TYPE: u16 = 0x88b5;
const RING: u32 = 8;

/// What somebody else may do to the interface while it is open.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    Down,
    Up,
    /// In bytes.
    Mtu(u32),
    Remove,
    /// The XDP program.
    Detach,
}

/// A kernel, and the wire in front of a socket.
pub trait World {
    fn builder(&self) -> FluxBuilder;
    fn inject(&mut self, packet: &[u8]);
    /// The same on a queue; after [`make_receive_only`](Self::make_receive_only).
    fn inject_on(&mut self, queue: u32, packet: &[u8]);
    /// Gives the interface two RX queues and one TX queue; false when that cannot be.
    fn make_receive_only(&mut self) -> bool;
    /// What the socket sent since the last call, in order; waits for `n`.
    fn sent(&mut self, n: usize) -> Vec<Vec<u8>>;
    /// What went on to the kernel's stack since the last call, in order; waits for `n`.
    fn passed(&mut self, n: usize) -> Vec<Vec<u8>>;
    /// Does to the interface what somebody else may do.
    fn strike(&mut self, blow: Blow);
    /// Waits for what the kernel does sooner or later, and fails when it does not.
    fn wait_until(&self, what: &str, is_so: &mut dyn FnMut() -> bool);
    /// Says what this kernel does not have, so that the scenario ends.
    fn lacks(&self, what: &str);
}

/// Makes a test of every scenario: `$on` gets it as a function of a [`World`].
macro_rules! scenarios {
    ($on:ident) => {
        $crate::scenarios::scenarios! { $on:
            without_fill_entries_packets_are_dropped_and_counted
            a_full_rx_ring_drops_counts_and_keeps_the_frames_it_took
            packets_lie_behind_256_bytes_of_headroom
            invalid_tx_descriptors_end_the_kick_are_counted_and_complete_no_frame
            completions_come_in_the_order_of_transmission
            packets_moved_from_ring_to_ring_leave_as_edited_and_their_frames_come_back
            recycled_packets_leave_their_frames_to_the_next_ones
            one_kick_sends_a_whole_ring
            what_was_sent_is_sent_again_from_the_same_frames
            a_kick_for_nothing_is_counted_and_harmless
            transmission_stops_while_the_completion_ring_is_full
            a_frame_is_good_again_after_each_use
            packets_that_are_not_ours_go_on_to_the_kernel
            a_socket_closed_with_frames_in_flight_leaves_the_queue_free
            a_queue_that_only_receives_sends_nothing_and_says_so
            packets_of_length_0_and_too_long_ones_are_given_back
            a_removed_interface_ends_every_wait
            a_link_that_is_down_keeps_what_is_to_be_sent_and_is_counted
            a_detached_program_ends_reception_and_not_transmission
            a_new_mtu_is_the_limit_of_the_next_packets
            packets_of_a_dropped_receiver_go_on_to_the_kernel
            packets_of_a_dropped_receiver_are_dropped_and_counted_where_it_fails_closed
            packets_of_a_worker_that_panicked_go_on_to_the_kernel_until_it_runs_again
        }
    };
    ($on:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $on($crate::scenarios::$name);
            }
        )*
    };
}
pub(crate) use scenarios;

fn open(world: &dyn World) -> FluxRaw {
    let ours = Match { ether_type: Some(ETHER_TYPE), ..Match::default() };
    world
        .builder()
        .filter(Filter::Any(vec![ours]))
        .queue_id(0)
        .frames(64)
        .ring_size(RING)
        .prefill(false)
        .build_raw()
        .unwrap()
}

/// A packet of `len` bytes that carries `tag`.
fn packet(tag: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![tag; len];
    bytes[..6].copy_from_slice(&[0xff; 6]);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 2]);
    bytes[12..14].copy_from_slice(&ETHER_TYPE.to_be_bytes());
    bytes
}

fn post(raw: &mut FluxRaw, n: u32) {
    let mut frames: Vec<Frame> = (0..n).map(|_| raw.umem().alloc().unwrap()).collect();
    assert_eq!(raw.fill.post(&mut frames, n), n);
}

/// Waits until the counters of [`troubles`] are these; they must not go past them.
fn expect_stats(world: &dyn World, raw: &FluxRaw, want: XdpStatistics) {
    world.wait_until(&format!("{want:?}"), &mut || {
        // The simulated kernel works while somebody waits.
        let _ = raw.wait(Some(Duration::from_millis(1))).unwrap();
        troubles(raw) == want
    });
}

/// Receives `n` packets, and no more.
fn receive(world: &dyn World, raw: &mut FluxRaw, n: usize) -> Vec<Buffer> {
    arrived(world, raw, n as u32);
    let mut got = Vec::new();
    raw.rx.receive(u32::MAX, |buffer| got.push(buffer));
    got
}

fn free(raw: &FluxRaw, buffers: Vec<Buffer>) {
    raw.umem().free_all(buffers.into_iter().map(|b| b.frame));
}

fn transmit(raw: &mut FluxRaw, packets: &[Vec<u8>]) -> Vec<u32> {
    let umem = std::sync::Arc::clone(raw.umem());
    let mut room = raw.tx.reserve(packets.len() as u32);
    let mut order = Vec::new();
    for bytes in packets {
        let mut buffer = umem.alloc_buffer(256, bytes.len() as u32).unwrap().unwrap();
        umem.packet_mut(&mut buffer).copy_from_slice(bytes);
        order.push(buffer.frame.index());
        room.push(buffer).unwrap();
    }
    order
}

fn reap(world: &dyn World, raw: &mut FluxRaw, n: usize) -> Vec<u32> {
    let umem = std::sync::Arc::clone(raw.umem());
    let mut order = Vec::new();
    world.wait_until(&format!("{n} completions"), &mut || {
        raw.comp.reap(u32::MAX, |frame| {
            order.push(frame.index());
            umem.free(frame);
        });
        order.len() >= n
    });
    order
}

fn balanced(raw: &FluxRaw) {
    let rings = raw.debug_rings();
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
}

pub fn without_fill_entries_packets_are_dropped_and_counted(world: &mut dyn World) {
    let mut raw = open(world);
    for tag in 0..3 {
        world.inject(&packet(tag, 60));
    }
    let want =
        XdpStatistics { rx_dropped: 3, rx_fill_ring_empty_descs: 3, ..XdpStatistics::default() };
    expect_stats(world, &raw, want);
    assert_eq!(raw.rx.waiting(), 0);
    post(&mut raw, 1);
    world.inject(&packet(9, 60));
    let got = receive(world, &mut raw, 1);
    assert_eq!(raw.umem().packet(&got[0]), packet(9, 60));
    expect_stats(world, &raw, want);
    free(&raw, got);
    balanced(&raw);
}

pub fn a_full_rx_ring_drops_counts_and_keeps_the_frames_it_took(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, RING);
    for tag in 0..RING as u8 {
        world.inject(&packet(tag, 60));
    }
    arrived(world, &raw, RING);
    post(&mut raw, RING);
    for tag in 0..3 {
        world.inject(&packet(100 + tag, 60));
    }
    expect_stats(world, &raw, XdpStatistics { rx_ring_full: 3, ..XdpStatistics::default() });
    let got = receive(world, &mut raw, RING as usize);
    let tags: Vec<u8> = got.iter().map(|b| raw.umem().packet(b)[14]).collect();
    assert_eq!(tags, (0..RING as u8).collect::<Vec<_>>());
    free(&raw, got);
    // All eight posted frames are still good for packets.
    for tag in 0..RING as u8 {
        world.inject(&packet(tag, 60));
    }
    let got = receive(world, &mut raw, RING as usize);
    free(&raw, got);
    expect_stats(world, &raw, XdpStatistics { rx_ring_full: 3, ..XdpStatistics::default() });
    balanced(&raw);
}

pub fn packets_lie_behind_256_bytes_of_headroom(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 2);
    world.inject(&packet(1, 60));
    world.inject(&packet(2, 1514));
    let got = receive(world, &mut raw, 2);
    let places: Vec<_> = got.iter().map(|b| (b.span.start(), b.span.len())).collect();
    assert_eq!(places, [(256, 60), (256, 1514)]);
    assert_eq!(raw.umem().packet(&got[1]), packet(2, 1514));
    free(&raw, got);
    balanced(&raw);
}

pub fn invalid_tx_descriptors_end_the_kick_are_counted_and_complete_no_frame(
    world: &mut dyn World,
) {
    let mut raw = open(world);
    let frames = u64::from(raw.umem().frames());
    let size = u64::from(raw.umem().frame_size());
    let good = transmit(&mut raw, &[packet(1, 60)]);
    {
        let mut room = raw.tx.reserve(3);
        for (addr, len) in [(frames * size, 60), (frames * size + 4096, 60), (1 << 60, 60)] {
            // SAFETY: all lie outside the UMEM, so no frame is named.
            assert!(unsafe { room.push_desc(Desc { addr, len, options: 0 }) });
        }
    }
    let more = transmit(&mut raw, &[packet(2, 60)]);
    // Linux takes an invalid descriptor off the ring and goes back to user space.
    let left: Vec<_> = (0..4)
        .map(|_| {
            raw.kick_tx().unwrap();
            raw.tx.pending()
        })
        .collect();
    assert_eq!(left, [3, 2, 1, 0]);
    assert_eq!(world.sent(2), [packet(1, 60), packet(2, 60)]);
    assert_eq!(reap(world, &mut raw, 2), [good, more].concat());
    let stats = raw.kernel_stats().unwrap();
    assert_eq!((stats.tx_invalid_descs, stats.rx_dropped), (3, 0));
    assert_eq!(raw.tx.pending(), 0);
    // Linux gives their addresses back too; they name no frame, so none is made of them.
    assert_eq!(raw.comp.invalid(), 3);
    balanced(&raw);
}

pub fn completions_come_in_the_order_of_transmission(world: &mut dyn World) {
    let mut raw = open(world);
    let packets: Vec<_> = (0..RING as u8).map(|tag| packet(tag, 60 + usize::from(tag))).collect();
    let order = transmit(&mut raw, &packets);
    assert!(raw.tx.needs_wakeup(), "copy mode always wants a kick");
    raw.kick_tx().unwrap();
    assert_eq!(world.sent(packets.len()), packets);
    assert_eq!(reap(world, &mut raw, order.len()), order);
    balanced(&raw);
}

/// Waits until `n` sent packets are completed.
fn completed(world: &dyn World, raw: &FluxRaw, n: u32) {
    let used = || raw.comp.snapshot().used();
    world.wait_until(&format!("{n} completions"), &mut || used() >= Some(n));
    assert_eq!(used(), Some(n));
}

/// Waits until `n` packets lie in the RX ring.
fn arrived(world: &dyn World, raw: &FluxRaw, n: u32) {
    world.wait_until(&format!("{n} packets"), &mut || {
        // The simulated kernel works while somebody waits.
        let _ = raw.wait(Some(Duration::from_millis(1))).unwrap();
        raw.rx.waiting() >= n
    });
    assert_eq!(raw.rx.waiting(), n);
}

/// All counters but the one that each poll(2) moves, of which there are as many as it takes.
fn troubles(raw: &FluxRaw) -> XdpStatistics {
    XdpStatistics { tx_ring_empty_descs: 0, ..raw.kernel_stats().unwrap() }
}

pub fn packets_moved_from_ring_to_ring_leave_as_edited_and_their_frames_come_back(
    world: &mut dyn World,
) {
    let mut raw = open(world);
    post(&mut raw, 4);
    // More rounds than frames and slots: each is used again and again.
    for round in 0..20u8 {
        let packets: Vec<_> = (0..3).map(|i| packet(round, 60 + i * 7)).collect();
        packets.iter().for_each(|bytes| world.inject(bytes));
        arrived(world, &raw, 3);
        let FluxRaw { rx, tx, fill, .. } = &mut raw;
        let mut seen = Vec::new();
        let routed = rx.route(fill, [tx], 8, |packet| {
            seen.push(packet.data().to_vec());
            packet.data_mut()[14] = !round;
            Route::Send(0)
        });
        assert_eq!((routed.sent, &seen), (3, &packets));
        raw.kick_tx().unwrap();
        let mut edited = packets;
        edited.iter_mut().for_each(|bytes| bytes[14] = !round);
        assert_eq!(world.sent(3), edited);
        completed(world, &raw, 3);
        let FluxRaw { fill, comp, .. } = &mut raw;
        assert_eq!(comp.refill(fill, 8), 3);
        let account = raw.debug_rings().sockets[0].account.unwrap();
        assert_eq!((account.in_reception, account.in_transmission, account.invalid), (4, 0, 0));
    }
    assert_eq!(troubles(&raw), XdpStatistics::default());
    balanced(&raw);
}

pub fn recycled_packets_leave_their_frames_to_the_next_ones(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 4);
    for round in 0..20u8 {
        (0..4).for_each(|i| world.inject(&packet(round, 60 + i)));
        arrived(world, &raw, 4);
        let FluxRaw { rx, fill, .. } = &mut raw;
        assert_eq!(rx.route(fill, [], 2, |_| Route::Recycle).packets, 2);
        let mut seen = Vec::new();
        let routed = rx.route(fill, [], 8, |packet| {
            seen.push(packet.data().to_vec());
            Route::Recycle
        });
        assert_eq!((routed.packets, routed.sent), (2, 0));
        assert_eq!(seen, [packet(round, 62), packet(round, 63)]);
    }
    assert_eq!(troubles(&raw), XdpStatistics::default());
    assert_eq!((raw.rx.received(), raw.fill.posted()), (80, 84));
    balanced(&raw);
}

pub fn one_kick_sends_a_whole_ring(world: &mut dyn World) {
    let mut raw = world
        .builder()
        .filter(Filter::Nothing)
        .frames(256)
        .ring_size(128)
        .prefill(false)
        .build_raw()
        .unwrap();
    let packets: Vec<_> = (0..128).map(|tag| packet(tag, 60)).collect();
    transmit(&mut raw, &packets);
    let kick = raw.kick_tx().unwrap();
    if raw.granted().backend == "xdp" && raw.tx.pending() == 96 {
        return world.lacks("XDP_MAX_TX_SKB_BUDGET");
    }
    assert_eq!((kick, raw.tx.pending()), (Kick::Done, 0));
    assert_eq!(world.sent(128), packets);
    assert_eq!(reap(world, &mut raw, 128).len(), 128);
    balanced(&raw);
}

pub fn what_was_sent_is_sent_again_from_the_same_frames(world: &mut dyn World) {
    let mut raw = open(world);
    let packets: Vec<_> = (0..3).map(|tag| packet(tag, 60)).collect();
    transmit(&mut raw, &packets);
    for _ in 0..20 {
        raw.kick_tx().unwrap();
        assert_eq!(world.sent(3), packets);
        completed(world, &raw, 3);
        let FluxRaw { tx, comp, .. } = &mut raw;
        let span = fluxnet::umem::Span::new(256, 60, 2048).unwrap();
        assert_eq!(comp.resend(tx, span, 8), 3);
    }
    raw.kick_tx().unwrap();
    assert_eq!(world.sent(3), packets);
    completed(world, &raw, 3);
    assert_eq!((raw.tx.posted(), raw.comp.completed()), (63, 60));
    assert_eq!(troubles(&raw), XdpStatistics::default());
    balanced(&raw);
}

pub fn a_kick_for_nothing_is_counted_and_harmless(world: &mut dyn World) {
    let mut raw = open(world);
    assert_eq!(raw.kick_tx().unwrap(), Kick::Done);
    let empty = raw.kernel_stats().unwrap().tx_ring_empty_descs;
    assert!(empty >= 1);
    transmit(&mut raw, &[packet(1, 60)]);
    raw.kick_tx().unwrap();
    assert_eq!(world.sent(1), [packet(1, 60)]);
    reap(world, &mut raw, 1);
    balanced(&raw);
}

pub fn transmission_stops_while_the_completion_ring_is_full(world: &mut dyn World) {
    let mut raw = open(world);
    let first: Vec<_> = (0..RING as u8).map(|tag| packet(tag, 60)).collect();
    transmit(&mut raw, &first);
    raw.kick_tx().unwrap();
    assert_eq!(world.sent(first.len()), first);
    completed(world, &raw, RING);
    transmit(&mut raw, &[packet(50, 60)]);
    let _ = raw.kick_tx().unwrap();
    assert_eq!(raw.tx.pending(), 1, "nowhere to complete it to");
    reap(world, &mut raw, RING as usize);
    raw.kick_tx().unwrap();
    assert_eq!(world.sent(1), [packet(50, 60)]);
    reap(world, &mut raw, 1);
    balanced(&raw);
}

pub fn a_frame_is_good_again_after_each_use(world: &mut dyn World) {
    let mut raw = open(world);
    for tag in 0..50 {
        post(&mut raw, 1);
        world.inject(&packet(tag, 60 + usize::from(tag)));
        let got = receive(world, &mut raw, 1);
        assert_eq!(raw.umem().packet(&got[0]), packet(tag, 60 + usize::from(tag)));
        free(&raw, got);
    }
    assert_eq!(troubles(&raw), XdpStatistics::default());
    balanced(&raw);
}

pub fn packets_that_are_not_ours_go_on_to_the_kernel(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 4);
    let mut foreign = packet(7, 60);
    foreign[12..14].copy_from_slice(&0x88b6u16.to_be_bytes());
    world.inject(&foreign);
    world.inject(&packet(8, 60));
    let got = receive(world, &mut raw, 1);
    assert_eq!(raw.umem().packet(&got[0])[14], 8);
    let counters = raw.queue_counters().unwrap();
    assert_eq!(counters[0].redirected, 1, "{counters:?}");
    assert!(counters[0].passed >= 1, "the other, and what the kernel has to say: {counters:?}");
    free(&raw, got);
    balanced(&raw);
}

pub fn a_socket_closed_with_frames_in_flight_leaves_the_queue_free(world: &mut dyn World) {
    for round in 0..3 {
        let mut raw = open(world);
        post(&mut raw, 4);
        world.inject(&packet(round, 60));
        transmit(&mut raw, &[packet(round, 60), packet(round, 60)]);
        raw.kick_tx().unwrap();
        assert_eq!(world.sent(2).len(), 2);
        transmit(&mut raw, &[packet(round, 60)]);
    }
    let mut raw = open(world);
    post(&mut raw, 1);
    world.inject(&packet(9, 60));
    let got = receive(world, &mut raw, 1);
    assert_eq!(raw.umem().packet(&got[0]), packet(9, 60));
    free(&raw, got);
    balanced(&raw);
}

pub fn a_queue_that_only_receives_sends_nothing_and_says_so(world: &mut dyn World) {
    if !world.make_receive_only() {
        return world.lacks("queues of which some only receive");
    }
    let builder = |world: &dyn World| {
        let ours = Match { ether_type: Some(ETHER_TYPE), ..Match::default() };
        world.builder().filter(Filter::Any(vec![ours])).frames(64).ring_size(RING)
    };
    let mut raws = builder(world).prefill(false).build_raw_queues().unwrap();
    let granted = raws[0].granted();
    assert_eq!((&*granted.queues, &*granted.tx_queues), (&[0, 1][..], &[0][..]));
    let note = format!("queue 1 of {} only receives: it has 1 TX queue", granted.interface);
    assert!(granted.notes.contains(&note), "{:?}", granted.notes);
    let (mut mute, mut raw) = (raws.pop().unwrap(), raws.pop().unwrap());
    assert!(raw.sends() && !mute.sends());
    assert_eq!(mute.tx.reserve(1).room(), 0);
    assert_eq!((mute.kick_tx().unwrap(), mute.flush().unwrap()), (Kick::Done, true));
    assert!(mute.wait_tx(None).is_err(), "there will never be room");
    // What came there leaves by the other, without a copy.
    post(&mut mute, 2);
    world.inject_on(1, &packet(1, 60));
    arrived(world, &mute, 1);
    let ways = [&mut mute.tx, &mut raw.tx];
    let routed = mute.rx.route(&mut mute.fill, ways, 8, |_| Route::Send(1));
    assert_eq!((routed.sent, routed.refused), (1, 0));
    assert!(raw.flush().unwrap());
    assert_eq!(world.sent(1), [packet(1, 60)]);
    // By its own it goes nowhere, and back.
    world.inject_on(1, &packet(2, 60));
    arrived(world, &mute, 1);
    let routed = mute.rx.route(&mut mute.fill, [&mut mute.tx], 8, |_| Route::Send(0));
    assert_eq!((routed.sent, routed.refused), (0, 1));
    reap(world, &mut raw, 1);
    let rings = raw.debug_rings().join(mute.debug_rings());
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
    drop((raw, mute));

    // The owned packets of mode B find their way by themselves.
    let (mut rx, mut tx) = builder(world).build_system().unwrap();
    world.inject_on(1, &packet(3, 60));
    let got = rx.recv(Some(Duration::from_secs(20))).unwrap().expect("in time");
    tx.send(got).unwrap();
    let mut told = tx.alloc(60).unwrap();
    told.set_queue(rx.ports()[0].queues().nth(1).unwrap());
    assert!(matches!(tx.send(told), Err(SendError::ReceiveOnly(_))));
    assert!(tx.flush().unwrap());
    assert_eq!(world.sent(1), [packet(3, 60)]);
    assert_eq!(tx.pending(), 0);
}

pub fn packets_of_length_0_and_too_long_ones_are_given_back(world: &mut dyn World) {
    let mut raw = open(world);
    assert_eq!((raw.granted().mtu, raw.tx.longest()), (1500, 1518));
    let umem = std::sync::Arc::clone(raw.umem());
    for (len, sent) in [(0, false), (1519, false), (1792, false), (1518, true), (60, true)] {
        let mut buffer = umem.alloc_buffer(256, len).unwrap().unwrap();
        let bytes = packet(7, 1792);
        umem.packet_mut(&mut buffer).copy_from_slice(&bytes[..len as usize]);
        match raw.tx.reserve(1).push(buffer) {
            Ok(()) => assert!(sent, "{len}"),
            Err(back) => {
                assert!(!sent && back.span.len() == len as usize, "{len}");
                umem.free(back.frame);
            }
        }
    }
    assert!(raw.flush().unwrap());
    // Both are taken as they are, the longest with the room for a VLAN tag, and no counter moves.
    assert_eq!(world.sent(2), [packet(7, 1518), packet(7, 60)]);
    reap(world, &mut raw, 2);
    assert_eq!(troubles(&raw), XdpStatistics::default());
    balanced(&raw);
}

/// All of the queue but the rings, which each mode has its own way.
fn begin(world: &dyn World) -> FluxBuilder {
    let ours = Match { ether_type: Some(ETHER_TYPE), ..Match::default() };
    world.builder().filter(Filter::Any(vec![ours])).queue_id(0).frames(64).ring_size(RING)
}

/// What the program did with packets that are ours: to the socket, to the kernel, nowhere.
fn ways(port: &Port) -> (u64, u64, u64) {
    let count = port.queue_counters().unwrap()[0];
    (count.redirected, count.no_socket, count.dropped)
}

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

pub fn packets_of_a_dropped_receiver_go_on_to_the_kernel(world: &mut dyn World) {
    let (mut rx, mut tx) = begin(world).build_system().unwrap();
    let port = tx.ports()[0].clone();
    world.inject(&packet(1, 60));
    assert_eq!(rx.recv(SECOND).unwrap().unwrap().data(), packet(1, 60));
    drop(rx);
    world.inject(&packet(2, 60));
    assert_eq!(world.passed(1), [packet(2, 60)]);
    assert_eq!(ways(&port), (1, 1, 0));
    // The sender is not concerned.
    let mut ours = tx.alloc(60).unwrap();
    ours.data_mut().copy_from_slice(&packet(3, 60));
    tx.send(ours).unwrap();
    tx.flush().unwrap();
    assert_eq!(world.sent(1), [packet(3, 60)]);
}

pub fn packets_of_a_dropped_receiver_are_dropped_and_counted_where_it_fails_closed(
    world: &mut dyn World,
) {
    let as_is = |builder: FluxBuilder| builder;
    let all = |builder: FluxBuilder| builder.filter(Filter::Everything);
    let stamped = |builder: FluxBuilder| builder.filter(Filter::Everything).rx_timestamps(true);
    for how in [as_is, all, stamped] {
        let (mut rx, tx) = how(begin(world).fail(Fail::Closed)).build_system().unwrap();
        let port = tx.ports()[0].clone();
        world.inject(&packet(1, 60));
        let got = std::iter::from_fn(|| rx.recv(SECOND).unwrap());
        // Who takes everything gets what the kernels say to each other, too.
        assert!(got.into_iter().any(|got| got.data() == packet(1, 60)));
        assert_eq!(ways(&port).2, 0);
        drop(rx);
        world.inject(&packet(2, 60));
        world.wait_until("the packet", &mut || ways(&port).2 >= 1);
        assert_eq!(ways(&port).1, 0);
        // With the last of it the program goes.
        drop((port, tx));
        world.inject(&packet(3, 60));
        assert_eq!(world.passed(1), [packet(3, 60)], "and nothing before it");
    }
}

pub fn packets_of_a_worker_that_panicked_go_on_to_the_kernel_until_it_runs_again(
    world: &mut dyn World,
) {
    let engine = begin(world).build_engine().unwrap();
    let mut workers = engine.into_workers(1, |_| Vec::new()).unwrap();
    let port = workers.ports()[0].clone();
    world.inject(&packet(1, 60));
    let run = catch_unwind(AssertUnwindSafe(|| {
        workers.run(|seen: &mut Vec<_>, batch| {
            seen.extend(batch.iter_mut().map(|packet| packet.data().to_vec()));
            panic!("on purpose");
        })
    }));
    assert!(run.is_err());
    world.inject(&packet(2, 60));
    assert_eq!(world.passed(1), [packet(2, 60)]);
    assert_eq!(ways(&port), (1, 1, 0));
    let Worker { mut engine, state: mut seen } = workers.into_vec().remove(0);
    let mut turn = |seen: &mut Vec<_>| {
        engine
            .turn(|batch| seen.extend(batch.iter_mut().map(|packet| packet.data().to_vec())), None)
            .unwrap()
    };
    assert_eq!(turn(&mut seen), 0);
    world.inject(&packet(3, 60));
    world.wait_until("the packet", &mut || turn(&mut seen) > 0);
    assert_eq!(seen, [packet(1, 60), packet(3, 60)]);
    assert_eq!(ways(&port), (2, 1, 0));
    let rings = engine.debug_rings();
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
}

pub fn a_removed_interface_ends_every_wait(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 4);
    transmit(&mut raw, &[packet(1, 60)]);
    assert!(raw.flush().unwrap());
    world.strike(Blow::Remove);
    let wait = |raw: &FluxRaw| loop {
        if let Err(error) = raw.wait(None) {
            return error;
        }
    };
    let errors = [wait(&raw), raw.wait_tx(SECOND).unwrap_err(), raw.kick_tx().unwrap_err()];
    for error in errors {
        assert_eq!((error.kind(), error.port()), (ErrorKind::Device, Some(raw.port().index())));
        let text = error.to_string();
        assert!(text.contains("the interface is gone: it was removed, or moved"), "{text}");
    }
    assert_eq!(raw.port().state().link, Link::Gone);
}

pub fn a_link_that_is_down_keeps_what_is_to_be_sent_and_is_counted(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 4);
    let port = raw.port().clone();
    assert_eq!((port.state().link, port.state().link_losses), (Link::Up, 0));
    world.strike(Blow::Down);
    world.wait_until("no link", &mut || port.state().link == Link::Down);
    transmit(&mut raw, &[packet(1, 60), packet(2, 60)]);
    assert_eq!((raw.kick_tx().unwrap(), raw.flush().unwrap()), (Kick::Again, false));
    assert!(!raw.wait(Some(Duration::from_millis(1))).unwrap(), "no error");
    assert_eq!(raw.tx.pending(), 2);
    world.strike(Blow::Up);
    world.wait_until("the link", &mut || port.state().link == Link::Up);
    assert_eq!(port.state().link_losses, 1);
    world.wait_until("an empty ring", &mut || raw.flush().unwrap());
    assert_eq!(world.sent(2), [packet(1, 60), packet(2, 60)]);
    reap(world, &mut raw, 2);
    world.inject(&packet(3, 60));
    let got = receive(world, &mut raw, 1);
    free(&raw, got);
    balanced(&raw);
}

pub fn a_detached_program_ends_reception_and_not_transmission(world: &mut dyn World) {
    let mut raw = open(world);
    post(&mut raw, 4);
    world.strike(Blow::Detach);
    world.inject(&packet(1, 60));
    assert_eq!(world.passed(1), [packet(1, 60)]);
    let error = loop {
        if let Err(error) = raw.wait(None) {
            break error;
        }
    };
    assert_eq!((error.kind(), error.port()), (ErrorKind::Detached, Some(raw.port().index())));
    let state = raw.port().state();
    assert!(state.detached && state.link == Link::Up);
    transmit(&mut raw, &[packet(2, 60)]);
    assert!(raw.wait_tx(SECOND).unwrap() && raw.flush().unwrap());
    assert_eq!(world.sent(1), [packet(2, 60)]);
}

pub fn a_new_mtu_is_the_limit_of_the_next_packets(world: &mut dyn World) {
    let mut raw = open(world);
    let port = raw.port().clone();
    world.strike(Blow::Mtu(1400));
    world.wait_until("the MTU", &mut || port.state().mtu == 1400);
    assert_eq!((raw.tx.longest(), port.granted().mtu), (1418, 1500));
    let umem = std::sync::Arc::clone(raw.umem());
    for (len, fits) in [(1418, true), (1419, false)] {
        let buffer = umem.alloc_buffer(256, len).unwrap().unwrap();
        let pushed = raw.tx.reserve(1).push(buffer);
        assert_eq!(pushed.is_ok(), fits, "{len}");
        if let Err(buffer) = pushed {
            umem.free(buffer.frame);
        }
    }
    assert!(raw.flush().unwrap());
    reap(world, &mut raw, 1);
    balanced(&raw);
}
