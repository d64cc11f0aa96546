//! What the core costs per packet, batch by batch: rings, free list, moves from ring to ring,
//! tokens, and a turn of the engine. Memory and caches are warm, and nothing here waits.
//!
//! The rings are the simulator's. Only our side of them is timed: what the simulated kernel does
//! (receive, send, complete) happens between two timed stretches.
//!
//! `cargo bench --bench core`, or for one group `cargo bench --bench core -- moves`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use fluxnet::internals::{FreeList, Magazine, heap_ring};
use fluxnet::simulator::Simulator;
use fluxnet::umem::{Buffer, Frame, Span};
use fluxnet::{Desc, Filter, FluxBuilder, FluxRaw, FluxRx, FluxTx, PacketView, Packets, Route};

const BATCHES: [u32; 4] = [16, 32, 64, 256];
const RING: u32 = 2048;
const FRAMES: u32 = 4096;
/// Packets put in at a time, to be worked off in batches: reading the clock costs as much as a
/// few packets, so it is read for many.
const BURST: u32 = 1024;
const PACKET: [u8; 60] = [0x5a; 60];
/// Where in its frame a received packet begins.
const HEADROOM: u32 = 256;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// One benchmark for each batch size; `work` does one batch.
fn batches<W: FnMut()>(group: &mut Group<'_>, name: &str, mut work: impl FnMut(u32) -> W) {
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        let mut work = work(batch);
        group.bench_function(BenchmarkId::new(name, batch), |b| b.iter(&mut work));
    }
}

/// The same over sockets: `between` is not timed, and comes before each stretch of batches with
/// the number of packets in it.
fn stretches<S>(
    group: &mut Group<'_>,
    name: &str,
    open: impl Fn(u32) -> S,
    mut between: impl FnMut(&mut S, u32),
    mut work: impl FnMut(&mut S, u32),
) {
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        let mut state = open(batch);
        group.bench_function(BenchmarkId::new(name, batch), |b| {
            b.iter_custom(|iterations| {
                let (mut left, mut total) = (iterations, Duration::ZERO);
                while left > 0 {
                    let n = left.min((BURST / batch).into());
                    between(&mut state, n as u32 * batch);
                    let start = Instant::now();
                    (0..n).for_each(|_| work(&mut state, batch));
                    total += start.elapsed();
                    left -= n;
                }
                total
            });
        });
    }
}

fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    batches(&mut group, "write_take", |batch| {
        let (mut tx, mut rx) = heap_ring::<Desc>(RING, u32::MAX - RING);
        move || {
            let mut slots = tx.reserve(batch);
            for n in 0..u64::from(batch) {
                let _ = slots.write(Desc { addr: n << 11, len: 60, options: 0 });
            }
            slots.commit();
            let mut drain = rx.peek(batch);
            while let Some(desc) = drain.take() {
                black_box(desc);
            }
            drain.release();
        }
    });
    batches(&mut group, "fill_take_all", |batch| {
        let (mut tx, mut rx) = heap_ring::<Desc>(RING, u32::MAX - RING);
        move || {
            let mut slots = tx.reserve(batch);
            slots.fill((0..u64::from(batch)).map(|n| Desc { addr: n << 11, len: 60, options: 0 }));
            slots.commit();
            let mut drain = rx.peek(batch);
            drain.take_all(|desc| {
                black_box(desc);
            });
            drain.release();
        }
    });
    group.finish();
}

fn free_list(c: &mut Criterion) {
    let mut group = c.benchmark_group("free_list");
    batches(&mut group, "pop_push", |batch| {
        let (list, mut taken) = (FreeList::full(FRAMES), Vec::with_capacity(batch as usize));
        move || {
            taken.extend((0..batch).map_while(|_| list.pop()));
            taken.drain(..).for_each(|index| list.push(index));
        }
    });
    batches(&mut group, "pop_many_push_all", |batch| {
        let (list, mut taken) = (FreeList::full(FRAMES), Vec::with_capacity(batch as usize));
        move || {
            list.pop_many(batch, |index| taken.push(index));
            list.push_all(taken.drain(..));
        }
    });
    batches(&mut group, "magazine", |batch| {
        let (list, mut taken) = (FreeList::full(FRAMES), Vec::with_capacity(batch as usize));
        let mut magazine = Magazine::new(256, FRAMES);
        move || {
            taken.extend(magazine.draw(batch, &list));
            taken.drain(..).for_each(|index| magazine.put(index));
            magazine.settle(&list);
        }
    });
    group.finish();
}

/// A socket whose packets go to a port where nobody listens.
struct Bench {
    network: Simulator,
    raw: FluxRaw,
    packets: Vec<Buffer>,
    frames: Vec<Frame>,
}

fn builder(network: &Simulator, batch: u32) -> FluxBuilder {
    let builder = FluxBuilder::new("a0").simulator(network).filter(Filter::Everything);
    builder.frames(FRAMES).ring_size(RING).batch(batch)
}

fn inject(network: &Simulator, packets: u32) {
    (0..packets).for_each(|_| good(network.inject("a0", None, &PACKET)));
}

/// The simulator never says no to what is done here; an error would make the numbers nonsense.
fn good<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

impl Bench {
    fn new(batch: u32) -> Self {
        let network = Simulator::crossed_pair(1);
        let raw = good(builder(&network, batch).build_raw());
        let room = || Vec::with_capacity(BURST as usize);
        Self { network, raw, packets: room(), frames: Vec::with_capacity(BURST as usize) }
    }

    /// The same with [`BURST`] frames in transmission.
    fn sending(batch: u32) -> Self {
        let mut bench = Self::new(batch);
        let umem = Arc::clone(bench.raw.umem());
        let mut room = bench.raw.tx.reserve(BURST);
        while room.room() > 0
            && let Some(buffer) = good(umem.alloc_buffer(HEADROOM, 60))
        {
            assert!(room.push(buffer).is_ok());
        }
        drop(room);
        bench
    }

    /// The simulated kernel sends all that is queued.
    fn send(&mut self) {
        while self.raw.tx.pending() > 0 {
            good(self.raw.kick_tx());
            good(self.raw.wait(Some(Duration::from_micros(1))));
        }
    }

    /// All that was received is sent on.
    fn forward(&mut self) {
        let FluxRaw { rx, tx, fill, .. } = &mut self.raw;
        rx.route(fill, [tx], u32::MAX, |_| Route::Send(0));
        self.send();
    }

    /// What was sent is received into again, and more packets come.
    fn send_and_receive(&mut self, packets: u32) {
        self.send();
        self.raw.comp.refill(&mut self.raw.fill, u32::MAX);
        inject(&self.network, packets);
        assert_eq!(self.raw.rx.waiting(), packets);
    }
}

fn moves(c: &mut Criterion) {
    let mut group = c.benchmark_group("moves");
    let receive = |bench: &mut Bench, packets: u32| inject(&bench.network, packets);
    stretches(&mut group, "recycle", Bench::new, receive, |bench, batch| {
        let FluxRaw { rx, fill, .. } = &mut bench.raw;
        let routed = rx.route(fill, [], batch, |_| Route::Recycle);
        assert_eq!(routed.packets, batch);
    });
    stretches(&mut group, "look", Bench::new, receive, |bench, batch| {
        let FluxRaw { rx, fill, .. } = &mut bench.raw;
        let routed = rx.route(fill, [], batch, |packet| {
            black_box(packet.data()[0]);
            Route::Recycle
        });
        assert_eq!(routed.packets, batch);
    });
    stretches(&mut group, "forward", Bench::new, Bench::send_and_receive, |bench, batch| {
        let swap = |packet: &mut PacketView<'_>| {
            let (to, from) = packet.data_mut().split_at_mut(6);
            to.swap_with_slice(&mut from[..6]);
            Route::Send(0)
        };
        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        assert_eq!(rx.route(fill, [tx], batch, swap).sent, batch);
    });
    stretches(&mut group, "send", Bench::new, Bench::send_and_receive, |bench, batch| {
        let FluxRaw { rx, tx, fill, .. } = &mut bench.raw;
        assert_eq!(rx.route(fill, [tx], batch, |_| Route::Send(0)).sent, batch);
    });
    let again = |bench: &mut Bench, _| {
        bench.raw.comp.resend(&mut bench.raw.tx, span(), u32::MAX);
        bench.send();
    };
    stretches(&mut group, "resend", Bench::sending, again, |bench, batch| {
        assert_eq!(bench.raw.comp.resend(&mut bench.raw.tx, span(), batch), batch);
    });
    let completed = |bench: &mut Bench, packets: u32| {
        bench.forward();
        bench.raw.comp.refill(&mut bench.raw.fill, u32::MAX);
        inject(&bench.network, packets);
        bench.forward();
    };
    stretches(&mut group, "refill", Bench::new, completed, |bench, batch| {
        assert_eq!(bench.raw.comp.refill(&mut bench.raw.fill, batch), batch);
    });
    group.finish();
}

fn span() -> Span {
    good(Span::new(HEADROOM, 60, 2048))
}

fn tokens(c: &mut Criterion) {
    let mut group = c.benchmark_group("tokens");
    let receive = |bench: &mut Bench, packets: u32| inject(&bench.network, packets);
    stretches(&mut group, "receive_post", Bench::new, receive, |bench, batch| {
        let Bench { raw, frames, .. } = bench;
        raw.rx.receive(batch, |buffer| frames.push(buffer.frame));
        assert_eq!(raw.fill.post(frames, batch), batch);
    });
    let completed = |bench: &mut Bench, packets: u32| {
        bench.send();
        let Bench { raw, frames, .. } = bench;
        raw.comp.reap(u32::MAX, |frame| frames.push(frame));
        raw.fill.post(frames, u32::MAX);
        inject(&bench.network, packets);
    };
    stretches(&mut group, "receive_send", Bench::new, completed, |bench, batch| {
        let Bench { raw, packets, .. } = bench;
        raw.rx.receive(batch, |buffer| packets.push(buffer));
        let mut room = raw.tx.reserve(batch);
        packets.drain(..).for_each(|buffer| assert!(room.push(buffer).is_ok()));
    });
    group.finish();
}

/// Mode B, to be held against `moves/recycle` and `moves/send`.
struct Owned {
    network: Simulator,
    rx: FluxRx,
    tx: FluxTx,
    packets: Packets,
}

impl Owned {
    fn new(batch: u32) -> Self {
        let network = Simulator::crossed_pair(1);
        let (rx, tx) = good(builder(&network, batch).build_system());
        Self { network, rx, tx, packets: Packets::with_capacity(batch as usize) }
    }

    /// The simulated kernel sends all that is queued, its frames are taken back, and more packets
    /// come.
    fn send_and_receive(&mut self, packets: u32) {
        while self.tx.pending() > 0 {
            good(self.tx.flush());
            let soon = self.tx.now() + 1000;
            good(self.tx.wait(Some(soon)));
        }
        good(self.tx.flush());
        inject(&self.network, packets);
    }
}

fn system(c: &mut Criterion) {
    let mut group = c.benchmark_group("system");
    let receive = |bench: &mut Owned, packets: u32| inject(&bench.network, packets);
    stretches(&mut group, "recv_batch_drop", Owned::new, receive, |bench, batch| {
        let Owned { rx, packets, .. } = bench;
        assert_eq!(good(rx.try_recv(packets)), batch as usize);
        packets.clear();
    });
    let between = Owned::send_and_receive;
    stretches(&mut group, "recv_send_batch", Owned::new, between, |bench, batch| {
        let Owned { rx, tx, packets, .. } = bench;
        assert_eq!(good(rx.try_recv(packets)), batch as usize);
        assert_eq!(good(tx.send_batch(packets)).sent, batch as usize);
    });
    group.finish();
}

fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    let open = |batch: u32| {
        let network = Simulator::crossed_pair(1);
        let engine = good(builder(&network, batch).build_engine());
        (network, engine)
    };
    stretches(
        &mut group,
        "turn_recycle",
        open,
        |(network, _), packets| inject(network, packets),
        |(_, engine), batch| assert_eq!(good(engine.turn(|_| {}, None)), batch as usize),
    );
    stretches(
        &mut group,
        "turn_look",
        open,
        |(network, _), packets| inject(network, packets),
        |(_, engine), batch| {
            let look = |packets: &mut fluxnet::PacketBatch<'_>| {
                for packet in packets {
                    black_box(packet.data()[0]);
                }
            };
            assert_eq!(good(engine.turn(look, None)), batch as usize);
        },
    );
    group.finish();
}

criterion_group!(benches, ring, free_list, moves, tokens, system, engine);
criterion_main!(benches);
