use super::super::rings::TxLimits;
use super::*;
use crate::raw::FluxRaw;
use crate::ring::{Consumer, Producer, heap_ring};
use crate::simulator::Simulator;
use crate::umem::RX_HEADROOM;
use crate::umem::Region;
use crate::{Filter, FluxBuilder, XdpStatistics};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

const RING: u32 = 8;
const FRAMES: u32 = 64;
const SIZE: u32 = 2048;

/// Where the kernel puts a received packet: the span of a packet to send again.
fn span(len: u32) -> Span {
    Span::new(RX_HEADROOM, len, SIZE).unwrap()
}

/// Of a queue that sends, with the usual MTU.
fn limits() -> TxLimits {
    TxLimits { sends: true, longest: Arc::new(AtomicU32::new(1518)) }
}

/// Recycles up to `max` packets: how many, and their bytes.
fn drop_to(rx: &mut RxRing, fill: &mut FillRing, max: u32) -> (u32, usize) {
    let mut bytes = 0;
    let done = rx.route(fill, [], max, |packet| {
        bytes += packet.len();
        Route::Recycle
    });
    assert_eq!((done.sent, done.taken), (0, 0));
    (done.packets, bytes)
}

/// Shows up to `max` packets before they are recycled.
fn read_to(rx: &mut RxRing, fill: &mut FillRing, max: u32, mut each: impl FnMut(&[u8])) -> u32 {
    let look = |packet: &mut PacketView<'_>| {
        each(packet.data());
        Route::Recycle
    };
    rx.route(fill, [], max, look).packets
}

/// Sends up to `max` packets on, as `each` leaves them.
fn forward_to(
    rx: &mut RxRing,
    (fill, tx): (&mut FillRing, &mut TxRing),
    max: u32,
    mut each: impl FnMut(&mut [u8]),
) -> u32 {
    let edit = |packet: &mut PacketView<'_>| {
        each(packet.data_mut());
        Route::Send(0)
    };
    rx.route(fill, [tx], max, edit).sent
}

/// Two ports in one network; what `a0` sends is kept.
struct Bench {
    network: Simulator,
    raw: FluxRaw,
}

impl Bench {
    fn new(prefetch: bool) -> Self {
        let network = Simulator::crossed_pair(1);
        network.tap("a0").unwrap();
        let raw = FluxBuilder::new("a0")
            .simulator(&network)
            .filter(Filter::Everything)
            .frames(FRAMES)
            .ring_size(RING)
            .prefetch(prefetch)
            .prefill(false)
            .build_raw()
            .unwrap();
        Self { network, raw }
    }

    /// Posts free frames, as many as asked for or as fit.
    fn post(&mut self, n: u32) -> u32 {
        let umem = Arc::clone(self.raw.umem());
        let mut frames = Vec::new();
        umem.alloc_many(n, &mut frames);
        let posted = self.raw.fill.post(&mut frames, n);
        umem.free_all(frames);
        posted
    }

    /// A packet of `60 + tag` bytes, all of them `tag`.
    fn inject(&self, tag: u8) {
        self.network.inject("a0", None, &packet(tag)).unwrap();
    }

    /// As many packets in the RX ring as `tags` says.
    fn received(&mut self, tags: std::ops::Range<u8>) {
        let n = tags.len() as u32;
        assert_eq!(self.post(n), n);
        tags.for_each(|tag| self.inject(tag));
        assert_eq!(self.raw.rx.waiting(), n);
    }

    /// As many frames in the completion ring, each of a packet that went out.
    fn completed(&mut self, tags: std::ops::Range<u8>) {
        let umem = Arc::clone(self.raw.umem());
        let n = tags.len() as u32;
        let mut room = self.raw.tx.reserve(n);
        for tag in tags {
            let bytes = packet(tag);
            let mut buffer = umem.alloc_buffer(RX_HEADROOM, bytes.len() as u32).unwrap().unwrap();
            umem.packet_mut(&mut buffer).copy_from_slice(&bytes);
            room.push(buffer).unwrap();
        }
        drop(room);
        self.send(n);
    }

    /// Kicks until all is sent and completed.
    fn send(&mut self, n: u32) -> Vec<Vec<u8>> {
        while self.raw.tx.pending() > 0 {
            self.raw.kick_tx().unwrap();
            self.raw.wait(Some(Duration::from_micros(10))).unwrap();
        }
        assert_eq!(self.raw.comp.snapshot().used(), Some(n));
        self.network.sent("a0")
    }

    /// In reception, in transmission, held by the caller.
    fn places(&self) -> (u64, u64, i64) {
        let rings = self.raw.debug_rings();
        let socket = &rings.sockets[0];
        let account = socket.account.unwrap();
        let held = rings.held().unwrap();
        assert_eq!(account.invalid, 0, "{rings:#?}");
        if let Some(user) = self.raw.umem().held_by_user() {
            assert_eq!(i64::from(user), held, "the ledger: {rings:#?}");
        }
        (account.in_reception, account.in_transmission, held)
    }
}

fn packet(tag: u8) -> Vec<u8> {
    vec![tag; 60 + usize::from(tag)]
}

#[test]
fn dropped_packets_are_counted_and_their_frames_received_into_again() {
    let mut bench = Bench::new(true);
    for round in 0..5 {
        if round == 0 {
            bench.received(0..5);
        } else {
            (0..5).for_each(|tag| bench.inject(tag));
        }
        let FluxRaw { rx, fill, .. } = &mut bench.raw;
        assert_eq!(drop_to(rx, fill, 0), (0, 0));
        assert_eq!(drop_to(rx, fill, 3), (3, 60 + 61 + 62));
        assert_eq!(drop_to(rx, fill, u32::MAX), (2, 63 + 64));
        assert_eq!(drop_to(rx, fill, u32::MAX), (0, 0));
        let n = 5 * (round + 1);
        assert_eq!((rx.received(), fill.posted()), (n, 5 + n));
        assert_eq!(bench.places(), (5, 0, 0));
    }
    assert_eq!(bench.raw.kernel_stats().unwrap(), XdpStatistics::default());
}

#[test]
fn packets_are_shown_in_order_before_their_frames_go_back() {
    let mut bench = Bench::new(true);
    bench.received(0..6);
    let mut seen = Vec::new();
    let FluxRaw { rx, fill, .. } = &mut bench.raw;
    assert_eq!(read_to(rx, fill, 4, |bytes| seen.push(bytes.to_vec())), 4);
    assert_eq!(read_to(rx, fill, 4, |bytes| seen.push(bytes.to_vec())), 2);
    assert_eq!(read_to(rx, fill, 4, |_| panic!("there is none")), 0);
    assert_eq!((rx.received(), fill.posted()), (6, 12));
    assert_eq!(seen, (0..6).map(packet).collect::<Vec<_>>());
    assert_eq!(bench.places(), (6, 0, 0));
}

#[test]
fn a_forwarded_packet_leaves_as_it_was_edited_and_its_frame_comes_back() {
    let mut bench = Bench::new(true);
    bench.received(0..6);
    for (max, tags) in [(4, 0..4), (u32::MAX, 4..6)] {
        let n = tags.len() as u32;
        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        assert_eq!(forward_to(rx, (fill, tx), max, |bytes| bytes[0] ^= 0xff), n);
        assert_eq!(bench.places().1, u64::from(n));
        let edited = tags.map(|tag| {
            let mut bytes = packet(tag);
            bytes[0] ^= 0xff;
            bytes
        });
        assert_eq!(bench.send(n), edited.collect::<Vec<_>>());
        let FluxRaw { comp, fill, .. } = &mut bench.raw;
        assert_eq!(comp.refill(fill, u32::MAX), n);
        assert_eq!(bench.places(), (6, 0, 0));
    }
    let FluxRaw { rx, tx, fill, comp, .. } = &mut bench.raw;
    assert_eq!(forward_to(rx, (fill, tx), 1, |_| panic!("there is none")), 0);
    assert_eq!((rx.received(), tx.posted(), comp.completed(), fill.posted()), (6, 6, 6, 12));
    (10..16).for_each(|tag| bench.inject(tag));
    assert_eq!(bench.raw.rx.waiting(), 6, "all of them are good for reception");
}

#[test]
fn frames_of_sent_packets_are_received_into() {
    let mut bench = Bench::new(true);
    bench.completed(0..6);
    let FluxRaw { comp, fill, .. } = &mut bench.raw;
    assert_eq!(comp.refill(fill, 2), 2);
    assert_eq!(comp.refill(fill, u32::MAX), 4);
    assert_eq!(comp.refill(fill, u32::MAX), 0);
    assert_eq!((comp.completed(), fill.posted()), (6, 6));
    assert_eq!(bench.places(), (6, 0, 0));
    (0..6).for_each(|tag| bench.inject(tag));
    let mut seen = 0;
    let FluxRaw { rx, fill, .. } = &mut bench.raw;
    read_to(rx, fill, u32::MAX, |bytes| {
        assert_eq!(bytes, packet(seen));
        seen += 1;
    });
    assert_eq!(seen, 6);
}

#[test]
fn what_was_sent_is_sent_again_as_it_lies_in_its_frame() {
    let mut bench = Bench::new(true);
    bench.completed(0..4);
    for round in 1..4 {
        let FluxRaw { comp, tx, .. } = &mut bench.raw;
        assert_eq!(comp.resend(tx, span(60), 1), 1);
        assert_eq!(comp.resend(tx, span(60), u32::MAX), 3);
        assert_eq!(comp.resend(tx, span(60), u32::MAX), 0);
        assert_eq!((comp.completed(), tx.posted()), (4 * round, 4 + 4 * round));
        assert_eq!(bench.places(), (0, 4, 0));
        let again: Vec<_> = (0..4u8).map(|tag| vec![tag; 60]).collect();
        assert_eq!(bench.send(4), again);
    }
}

#[test]
fn a_span_of_a_larger_frame_is_not_sent_again() {
    let mut bench = Bench::new(true);
    bench.completed(0..3);
    let FluxRaw { comp, tx, .. } = &mut bench.raw;
    for (start, len) in [(SIZE, 60), (SIZE - 59, 60), (0, SIZE + 1)] {
        let span = Span::new(start, len, 4096).unwrap();
        assert_eq!(comp.resend(tx, span, u32::MAX), 0);
    }
    assert_eq!((comp.completed(), tx.posted()), (0, 3));
    bench.network.set_mtu("a0", SIZE).unwrap();
    assert_eq!(comp.resend(tx, Span::new(0, SIZE, SIZE).unwrap(), u32::MAX), 3);
}

#[test]
fn frames_that_find_no_room_in_the_fill_ring_go_to_the_free_list() {
    let mut bench = Bench::new(true);
    bench.received(0..5);
    assert_eq!(bench.post(RING - 2), RING - 2);
    let free = bench.raw.umem().free_hint();
    let FluxRaw { rx, fill, .. } = &mut bench.raw;
    assert_eq!(drop_to(rx, fill, u32::MAX).0, 5);
    assert_eq!((rx.waiting(), fill.posted()), (0, 5 + 6 + 2), "two found room");
    assert_eq!(bench.raw.umem().free_hint(), free + 3);
    assert_eq!(bench.places(), (8, 0, 0));
}

#[test]
fn what_finds_no_room_to_be_sent_stays_where_it_is_and_goes_the_next_time() {
    let mut bench = Bench::new(true);
    // Nobody kicks, so the TX ring stays full.
    for tags in [0..5, 5..8] {
        let n = tags.len() as u32;
        bench.received(tags);
        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        assert_eq!(forward_to(rx, (fill, tx), u32::MAX, |_| {}), n);
    }
    bench.received(8..10);
    let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
    let nothing = rx.route(fill, [&mut *tx], u32::MAX, |_| panic!("no room for it"));
    assert_eq!(nothing, Routed::default());
    assert_eq!((tx.pending(), rx.waiting()), (RING, 2));
    let sent = bench.send(RING);
    assert!(sent.iter().map(|bytes| bytes[0]).eq(0..8));
    let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
    let mut next = 8;
    let each = |bytes: &mut [u8]| {
        assert_eq!(bytes[0], next);
        next += 1;
    };
    assert_eq!(forward_to(rx, (fill, tx), u32::MAX, each), 2);

    // From completion: into a full fill ring nothing, into a TX ring with room what fits.
    assert_eq!(bench.post(RING), RING);
    let FluxRaw { tx, comp, fill, .. } = &mut bench.raw;
    assert_eq!(comp.refill(fill, u32::MAX), 0);
    assert_eq!(comp.resend(tx, span(60), u32::MAX), RING - 2);
    assert_eq!(comp.resend(tx, span(60), u32::MAX), 0);
    assert_eq!(comp.snapshot().used(), Some(2));
    bench.places();
}

#[test]
fn one_full_ring_holds_back_packets_for_the_others_so_that_they_keep_their_order() {
    let mut bench = Bench::new(true);
    bench.received(0..8);
    // The second ring has the same UMEM and is full.
    let (ring, _kernel) = heap_ring(1, 0);
    let mut full = TxRing::new(ring, Arc::clone(bench.raw.umem()), limits());
    let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
    let done = rx
        .route(fill, [tx, &mut full], 8, |packet| Route::Send(usize::from(packet.data()[0] == 2)));
    assert_eq!((done, rx.waiting()), (Routed { packets: 3, sent: 3, ..Routed::default() }, 5));
    assert_eq!((tx.posted(), full.posted()), (2, 1));
}

#[test]
fn rings_of_different_umems_are_refused_and_nothing_moves() {
    let (mut bench, mut other) = (Bench::new(true), Bench::new(true));
    bench.received(0..2);
    bench.completed(0..2);
    let (before, others) = (bench.raw.debug_rings(), other.raw.debug_rings());
    let calls: [fn(&mut FluxRaw, &mut FluxRaw) -> u32; 4] = [
        |ours, theirs| read_to(&mut ours.rx, &mut theirs.fill, 8, |_| {}),
        |ours, theirs| forward_to(&mut ours.rx, (&mut ours.fill, &mut theirs.tx), 8, |_| {}),
        |ours, theirs| ours.comp.refill(&mut theirs.fill, 8),
        |ours, theirs| ours.comp.resend(&mut theirs.tx, span(60), 8),
    ];
    for call in calls {
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&mut bench.raw, &mut other.raw)));
        let panic = *outcome.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(panic, "the two rings belong to different UMEMs");
    }
    assert_eq!(bench.raw.debug_rings(), before);
    assert_eq!(other.raw.debug_rings(), others);
}

#[test]
fn a_closure_that_panics_keeps_what_came_before_and_frees_its_own_frame_alone() {
    for forward in [false, true] {
        let mut bench = Bench::new(true);
        bench.received(0..5);
        let mut seen = Vec::new();
        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        let mut look = |bytes: &[u8]| {
            seen.push(bytes[0]);
            assert!(seen.len() != 3, "on purpose");
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| match forward {
            true => forward_to(rx, (fill, tx), 5, |bytes| look(bytes)),
            false => read_to(rx, fill, 5, look),
        }));
        assert!(outcome.is_err());
        let written = if forward { tx.posted() } else { fill.posted() - 5 };
        assert_eq!((rx.received(), written, rx.waiting()), (3, 2, 2));
        // The frame in the closure's hands is in no ring, and in nobody's hands either.
        assert_eq!(bench.places().2, 0);

        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        let mut rest = Vec::new();
        match forward {
            true => forward_to(rx, (fill, tx), 5, |bytes| rest.push(bytes[0])),
            false => read_to(rx, fill, 5, |bytes| rest.push(bytes[0])),
        };
        assert_eq!((seen, rest), (vec![0, 1, 2], vec![3, 4]));
        if forward {
            assert_eq!(bench.places(), (0, 4, 0));
            let sent: Vec<_> = bench.send(4).iter().map(|bytes| bytes[0]).collect();
            assert_eq!(sent, [0, 1, 3, 4]);
        } else {
            assert_eq!(bench.places(), (4, 0, 0));
        }
    }
}

/// Rings whose other side is the test, so that it may be wrong.
struct Bare {
    umem: Arc<Umem>,
    rx: RxRing,
    tx: TxRing,
    fill: FillRing,
    comp: CompRing,
    kernel_rx: Producer<Desc>,
    kernel_tx: Consumer<Desc>,
    kernel_fill: Consumer<u64>,
    kernel_comp: Producer<u64>,
}

impl Bare {
    fn new(start: u32, prefetch: bool) -> Self {
        let region = Region::allocate((FRAMES * SIZE) as usize).unwrap();
        let umem = Arc::new(Umem::new(region, SIZE));
        let (kernel_rx, rx) = heap_ring(RING, start);
        let (tx, kernel_tx) = heap_ring(RING, start);
        let (fill, kernel_fill) = heap_ring(RING, start);
        let (kernel_comp, comp) = heap_ring(RING, start);
        Self {
            rx: RxRing::new(rx, Arc::clone(&umem), prefetch),
            tx: TxRing::new(tx, Arc::clone(&umem), limits()),
            fill: FillRing::new(fill, Arc::clone(&umem)),
            comp: CompRing::new(comp, Arc::clone(&umem)),
            umem,
            kernel_rx,
            kernel_tx,
            kernel_fill,
            kernel_comp,
        }
    }

    /// Takes `n` posted frames out of the fill ring.
    fn posted(&mut self, n: u32) -> Vec<u64> {
        let mut frames = Vec::new();
        self.umem.alloc_many(n, &mut frames);
        assert_eq!(self.fill.post(&mut frames, n), n);
        self.filled()
    }

    fn filled(&mut self) -> Vec<u64> {
        take(&mut self.kernel_fill)
    }
}

fn take<T: Copy>(ring: &mut Consumer<T>) -> Vec<T> {
    let mut taken = Vec::new();
    let mut drain = ring.peek(u32::MAX);
    drain.take_all(|item| taken.push(item));
    drain.release();
    taken
}

fn give<T: Copy>(ring: &mut Producer<T>, items: &[T]) {
    let mut slots = ring.reserve(items.len() as u32);
    items.iter().for_each(|&item| assert!(slots.write(item).is_ok()));
    slots.commit();
}

const OUTSIDE: u64 = (FRAMES * SIZE) as u64;

#[test]
fn a_descriptor_that_names_no_frame_of_ours_is_counted_and_passed_over() {
    for (start, prefetch) in [(0, true), (u32::MAX - 2, false), (u32::MAX - 4, true)] {
        for forward in [false, true] {
            let mut bare = Bare::new(start, prefetch);
            let frames = bare.posted(2);
            let desc = |addr: u64, len: u32| Desc { addr, len, options: 0 };
            give(
                &mut bare.kernel_rx,
                &[
                    desc(OUTSIDE, 60),
                    desc(frames[0] + 256, 60),
                    desc(u64::MAX, 60),
                    desc(frames[1] + 512, 61),
                    desc(u64::MAX - 3, u32::MAX),
                ],
            );
            let mut lens = Vec::new();
            let Bare { rx, tx, fill, .. } = &mut bare;
            let n = match forward {
                true => forward_to(rx, (fill, tx), 7, |bytes| lens.push(bytes.len())),
                false => read_to(rx, fill, 7, |bytes| lens.push(bytes.len())),
            };
            assert_eq!((n, rx.received(), rx.invalid(), rx.waiting()), (2, 2, 3, 0));
            assert_eq!(lens, [60, 61]);
            if forward {
                let out = [desc(frames[0] + 256, 60), desc(frames[1] + 512, 61)];
                assert_eq!(take(&mut bare.kernel_tx), out);
                assert_eq!(bare.tx.posted(), 2);
            } else {
                assert_eq!(bare.filled(), frames);
                assert_eq!(bare.fill.posted(), 4);
            }
        }
    }
}

#[test]
fn a_packet_that_reaches_beyond_its_frame_shows_no_byte_and_is_recycled() {
    for len in [49, 2048, u32::MAX] {
        let mut bare = Bare::new(0, true);
        let frames = bare.posted(1);
        give(&mut bare.kernel_rx, &[Desc { addr: frames[0] + 2000, len, options: 0 }]);
        let Bare { rx, tx, fill, .. } = &mut bare;
        let done = rx.route(fill, [tx], 8, |packet| {
            assert!(packet.data().is_empty() && packet.data_mut().is_empty());
            assert!(packet.adjust_head(1).is_err() && packet.set_len(9).is_err());
            assert!(packet.take().is_none() && packet.rx_timestamp().is_none());
            Route::Send(0)
        });
        assert_eq!(done, Routed { packets: 1, refused: 1, ..Routed::default() });
        assert_eq!(bare.filled(), frames);
    }
}

#[test]
fn options_of_a_received_packet_are_not_sent_on() {
    let mut bare = Bare::new(0, true);
    let frames = bare.posted(1);
    give(&mut bare.kernel_rx, &[Desc { addr: frames[0] + 300, len: 60, options: 1 }]);
    let Bare { rx, tx, fill, .. } = &mut bare;
    assert_eq!(forward_to(rx, (fill, tx), 1, |_| {}), 1);
    assert_eq!(take(&mut bare.kernel_tx), [Desc { addr: frames[0] + 300, len: 60, options: 0 }]);
}

#[test]
fn each_packet_goes_where_its_verdict_says_and_keeps_its_place() {
    for start in [0, u32::MAX - 1, u32::MAX - 4] {
        let mut bare = Bare::new(start, true);
        let frames = bare.posted(8);
        let desc = |n: usize| Desc { addr: frames[n] + 256, len: 60 + n as u32, options: 0 };
        give(&mut bare.kernel_rx, &(0..8).map(desc).collect::<Vec<_>>());
        let (ring, mut kernel_other) = heap_ring(RING, start.wrapping_add(3));
        let mut other = TxRing::new(ring, Arc::clone(&bare.umem), limits());
        let Bare { rx, tx, fill, umem, .. } = &mut bare;
        let mut tokens = Vec::new();
        let done = rx.route(fill, [tx, &mut other], 8, |packet| {
            assert_eq!(packet.addr(), frames[packet.len() - 60] + 256);
            match packet.len() - 60 {
                0 | 3 => Route::Send(0),
                1 | 6 => Route::Send(1),
                2 => {
                    tokens.extend(packet.take());
                    assert!(packet.take().is_none() && packet.is_empty());
                    Route::Send(0) // not looked at
                }
                4 => {
                    packet.set_len(0).unwrap();
                    Route::Send(0) // the kernel would not send it
                }
                5 => Route::Send(2), // there is none
                _ => Route::Recycle,
            }
        });
        assert_eq!(done, Routed { packets: 8, sent: 4, taken: 1, refused: 2 });
        assert_eq!(umem.packet(&tokens[0]).len(), 62);
        assert_eq!(u64::from(tokens[0].frame.index()) * u64::from(SIZE), frames[2]);
        assert_eq!(bare.filled(), [frames[4], frames[5], frames[7]]);
        assert_eq!(take(&mut bare.kernel_tx), [desc(0), desc(3)]);
        assert_eq!(take(&mut kernel_other), [desc(1), desc(6)]);
        bare.umem.free_all(tokens.into_iter().map(|buffer| buffer.frame));
    }
}

#[test]
fn a_packet_leaves_with_the_start_and_length_that_it_was_given() {
    let mut bare = Bare::new(0, true);
    let frames = bare.posted(1);
    give(&mut bare.kernel_rx, &[Desc { addr: frames[0] + 256, len: 60, options: 0 }]);
    let Bare { rx, tx, fill, .. } = &mut bare;
    rx.route(fill, [tx], 1, |packet| {
        assert!(packet.adjust_head(61).is_err() && packet.adjust_head(-257).is_err());
        assert!(packet.set_len(SIZE as usize - 255).is_err());
        assert_eq!((packet.addr(), packet.len()), (frames[0] + 256, 60), "unchanged");
        packet.adjust_head(-4).unwrap();
        packet.set_len(50).unwrap();
        packet.data_mut().fill(9);
        Route::Send(0)
    });
    let out = take(&mut bare.kernel_tx);
    assert_eq!(out, [Desc { addr: frames[0] + 252, len: 50, options: 0 }]);
}

#[test]
fn a_receive_stamp_is_told_until_the_start_moves_also_of_a_packet_that_is_taken() {
    let network = Simulator::loopback(1);
    let builder = FluxBuilder::new("lo0").simulator(&network).filter(Filter::Everything);
    let mut raw = builder.frames(16).rx_timestamps(true).build_raw().unwrap();
    (0..3).for_each(|tag| network.inject("lo0", None, &packet(tag)).unwrap());
    let now = Some(raw.now());
    let (mut tokens, mut n) = (Vec::new(), 0);
    let FluxRaw { rx, fill, .. } = &mut raw;
    rx.route(fill, [], 8, |packet| {
        assert_eq!(packet.rx_timestamp(), now);
        if n == 1 {
            packet.adjust_head(1).unwrap();
            packet.adjust_head(-1).unwrap();
            assert_eq!(packet.rx_timestamp(), None);
        }
        n += 1;
        tokens.extend(packet.take().filter(|_| n < 3));
        assert_eq!(packet.rx_timestamp(), None);
        Route::Recycle
    });
    let umem = raw.umem();
    let stamps: Vec<_> = tokens.iter().map(|buffer| umem.rx_timestamp(buffer)).collect();
    assert_eq!(stamps, [now, None]);
    umem.free_all(tokens.into_iter().map(|buffer| buffer.frame));
}

#[test]
fn completions_that_name_no_frame_of_ours_are_counted_and_passed_over() {
    for resend in [false, true] {
        let mut bare = Bare::new(u32::MAX - 2, true);
        let mut room = bare.tx.reserve(2);
        for _ in 0..2 {
            room.push(bare.umem.alloc_buffer(256, 60).unwrap().unwrap()).unwrap();
        }
        drop(room);
        let sent: Vec<_> = take(&mut bare.kernel_tx).iter().map(|desc| desc.addr).collect();
        give(&mut bare.kernel_comp, &[OUTSIDE, sent[0], u64::MAX, sent[1], OUTSIDE + 1]);
        let Bare { comp, fill, tx, .. } = &mut bare;
        let n = if resend { comp.resend(tx, span(70), 8) } else { comp.refill(fill, 8) };
        assert_eq!((n, comp.completed(), comp.invalid()), (2, 2, 3));
        let frames: Vec<_> = sent.iter().map(|addr| addr - 256).collect();
        if resend {
            let again = frames.iter().map(|addr| Desc {
                addr: addr + u64::from(RX_HEADROOM),
                len: 70,
                options: 0,
            });
            assert_eq!(take(&mut bare.kernel_tx), again.collect::<Vec<_>>());
            assert_eq!(bare.tx.posted(), 4);
        } else {
            assert_eq!(bare.filled(), frames);
            assert_eq!(bare.fill.posted(), 2);
        }
    }
}

/// Only the ledger knows, and it is there in debug builds alone.
#[cfg(debug_assertions)]
#[test]
fn a_frame_that_comes_back_twice_has_one_owner() {
    let mut bare = Bare::new(0, true);
    let frames = bare.posted(1);
    let twice = Desc { addr: frames[0] + 256, len: 60, options: 0 };
    give(&mut bare.kernel_rx, &[twice, twice]);
    let Bare { rx, tx, fill, .. } = &mut bare;
    assert_eq!(forward_to(rx, (fill, tx), 8, |_| {}), 1);
    assert_eq!((bare.rx.received(), bare.rx.invalid()), (1, 1));
    give(&mut bare.kernel_rx, &[twice]);
    assert_eq!(drop_to(&mut bare.rx, &mut bare.fill, 8), (0, 0));
    assert_eq!(bare.rx.invalid(), 2);
    give(&mut bare.kernel_comp, &[frames[0], frames[0]]);
    assert_eq!(bare.comp.refill(&mut bare.fill, 8), 1);
    assert_eq!((bare.comp.completed(), bare.comp.invalid()), (1, 1));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Post(u32),
    Inject(u8),
    Drop(u32),
    Read(u32),
    Forward(u32),
    Kick,
    Refill(u32),
    Resend(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0u32..10).prop_map(Step::Post),
        3 => (0u8..10).prop_map(Step::Inject),
        1 => (0u32..10).prop_map(Step::Drop),
        1 => (0u32..10).prop_map(Step::Read),
        2 => (0u32..10).prop_map(Step::Forward),
        2 => Just(Step::Kick),
        1 => (0u32..10).prop_map(Step::Refill),
        1 => (0u32..10).prop_map(Step::Resend),
    ]
}

impl Bench {
    /// What came of a step, in numbers and bytes.
    fn take_step(&mut self, step: Step, tag: &mut u8) -> Vec<u64> {
        let FluxRaw { rx, tx, fill, comp, .. } = &mut self.raw;
        let mut seen = Vec::new();
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let n = match step {
            Step::Post(n) => self.post(n),
            Step::Inject(n) => {
                for _ in 0..n {
                    *tag = (*tag + 1) % 100;
                    self.inject(*tag);
                }
                u32::from(n)
            }
            Step::Drop(max) => {
                let (packets, bytes) = drop_to(rx, fill, max);
                seen.push(bytes as u64);
                packets
            }
            Step::Read(max) => read_to(rx, fill, max, |bytes| seen.push(sum(bytes))),
            Step::Forward(max) => forward_to(rx, (fill, tx), max, |bytes| {
                seen.push(sum(bytes));
                bytes[0] = 1;
            }),
            Step::Kick => {
                let _ = self.raw.kick_tx().unwrap();
                0
            }
            Step::Refill(max) => comp.refill(fill, max),
            Step::Resend(max) => comp.resend(tx, span(60), max),
        };
        seen.push(u64::from(n));
        seen.extend(self.network.sent("a0").iter().map(|bytes| sum(bytes)));
        seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Prefetch is a hint to the CPU and nothing else.
    #[test]
    fn with_and_without_prefetch_the_same_happens(steps in prop::collection::vec(step(), 0..80)) {
        let (mut with, mut without) = (Bench::new(true), Bench::new(false));
        let mut tags = (0, 0);
        for step in steps {
            let both = (with.take_step(step, &mut tags.0), without.take_step(step, &mut tags.1));
            prop_assert_eq!(both.0, both.1, "{:?}", step);
            prop_assert_eq!(with.raw.debug_rings(), without.raw.debug_rings());
            prop_assert_eq!(with.places().2, 0);
        }
    }
}

#[test]
fn a_packet_that_the_kernel_would_not_send_is_recycled_and_counted() {
    let mut bare = Bare::new(0, true);
    let frames = bare.posted(4);
    let lens = [1518, 1519, 60, 1792];
    let desc = |n: usize| Desc { addr: frames[n] + 256, len: lens[n], options: 0 };
    give(&mut bare.kernel_rx, &(0..4).map(desc).collect::<Vec<_>>());
    let (ring, mut kernel_mute) = heap_ring(RING, 0);
    let mute = TxLimits { sends: false, ..limits() };
    let mut mute = TxRing::new(ring, Arc::clone(&bare.umem), mute);
    let Bare { rx, tx, fill, .. } = &mut bare;
    let done =
        rx.route(fill, [tx, &mut mute], 8, |packet| Route::Send((packet.len() == 60).into()));
    assert_eq!(done, Routed { packets: 4, sent: 1, taken: 0, refused: 3 });
    assert_eq!(bare.filled(), [frames[1], frames[2], frames[3]]);
    assert_eq!(take(&mut bare.kernel_tx), [desc(0)]);
    assert!(take(&mut kernel_mute).is_empty());
    // Nor by any other door.
    assert_eq!(mute.reserve(8).room(), 0);
    assert!(mute.flush(|| unreachable!("nothing to kick for")).unwrap());
    give(&mut bare.kernel_comp, &frames[..1]);
    assert_eq!(bare.comp.resend(&mut mute, span(60), 8), 0);
    assert_eq!(bare.comp.resend(&mut bare.tx, span(1519), 8), 0);
    assert_eq!(bare.comp.resend(&mut bare.tx, span(1518), 8), 1);
}
