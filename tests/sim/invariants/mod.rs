//! Two invariants over a long random life of every mode: *frames are conserved*, and no counter goes
//! down or wraps. Links go and come, drivers misbehave, receivers and senders are dropped, ports
//! removed, closures panic.
//!
//! A life is some thousand steps on one set of ports; then everything is closed and the next begins.
//! Release builds have no overflow checks and no ledger, so a wrapped counter shows here alone:
//! `make test-long`.

mod mode_a;
mod mode_b;
mod mode_c;

use crate::pairs::{PORTS, both, network, packet};
use fluxnet::simulator::{Simulator, Trouble};
use fluxnet::snapshot::SocketSnapshot;
use fluxnet::umem::Umem;
use fluxnet::{
    BindMode, EngineStats, Fail, Faults, Filter, FluxBuilder, Match, Packet, Poller, Port,
    PortIndex, Queues, RingsSnapshot, SendError,
};
use rand_xoshiro::Xoshiro256StarStar;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

const QUEUES: u32 = 2;
/// Steps of one life.
const LIFE: u64 = 2500;
/// Steps from one check of the counters to the next; the frames are checked after each step.
const LOOK: u64 = 8;

/// What a life of a mode can do.
trait Mode {
    /// Opens everything.
    fn open(world: &mut World, builder: FluxBuilder) -> Self;
    /// One call of it, or several.
    fn step(&mut self, world: &mut World);
    /// The rings that still have an owner.
    fn rings(&self) -> RingsSnapshot;
    /// Its own counters, each with a name that it keeps.
    fn counters(&self, seen: &mut dyn FnMut(&'static str, usize, u64));
    /// What it holds of packets and frames, and frees.
    fn held(&self) -> usize;
    /// Posted descriptors that stand for no frame.
    fn spoilt(&self) -> u64 {
        0
    }
}

/// Random numbers.
struct Dice(Xoshiro256StarStar);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Xoshiro256StarStar::seed_from_u64(seed))
    }

    fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    /// Once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn share(&mut self) -> f64 {
        self.below(40) as f64 / 100.0
    }
}

/// What is around the sockets, and the books.
struct World {
    network: Simulator,
    dice: Dice,
    ports: Vec<Port>,
    umem: Option<std::sync::Arc<Umem>>,
    /// Frames that nobody can reach any more, as their rings were dropped.
    gone: u64,
    /// Frames with senders that were dropped: some may come back, and none twice.
    adrift: u64,
    /// How high each counter was.
    floors: HashMap<(&'static str, usize), u64>,
    /// How often what happened.
    tally: HashMap<&'static str, u64>,
}

impl World {
    fn did(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn builder(&mut self) -> FluxBuilder {
        let dice = &mut self.dice;
        let faults = Faults {
            seed: dice.word(),
            kick_refused: dice.share(),
            kick_delayed: dice.share(),
            wait_spurious: dice.share(),
        };
        let poller = [Poller::Busy, Poller::ADAPTIVE, Poller::Syscall][dice.below(3)];
        let fail = [Fail::Open, Fail::Closed][dice.below(2)];
        let zero_copy = dice.once_in(2);
        let builder = both(&self.network).queues(Queues::All).fail(fail);
        let builder = builder.frames(16 + dice.below(300) as u32).batch(32).poller(poller);
        // Drivers that promise zero-copy and refuse it make that an error.
        let bind = if zero_copy { BindMode::ZeroCopy } else { BindMode::Auto };
        builder.bind(bind).rx_timestamps(dice.once_in(2)).faults(faults)
    }

    /// What happens around the sockets, in each mode.
    fn around(&mut self) {
        let Self { network, dice, ports, .. } = self;
        let port = dice.below(PORTS.len());
        // What is done to a port that was removed is an error, and changes nothing.
        let what = match dice.below(24) {
            0 if dice.once_in(40) => {
                drop(network.remove_port(PORTS[port]));
                "gone"
            }
            0 if dice.once_in(20) => {
                drop(network.detach(PORTS[port]));
                "detach"
            }
            0 => {
                drop(network.set_link_up(PORTS[port], !dice.once_in(3)));
                "link"
            }
            1 => {
                let all = Trouble::ALL.into_iter().filter(|trouble| *trouble != Trouble::Starved);
                let troubles = all.filter(|_| dice.once_in(4)).collect();
                drop(network.set_troubles(PORTS[port], troubles));
                "trouble"
            }
            2 => {
                let some = Match { ether_type: Some(0x88b1), ..Match::default() };
                let filter = [Filter::Nothing, Filter::Any(vec![some]), Filter::Everything];
                let filter = &filter[dice.below(4).min(2)];
                drop(ports[port].set_filter(filter)); // none any more, once it was detached
                "filter"
            }
            3..=5 => {
                network.step(Duration::from_micros(dice.below(2000) as u64));
                "time"
            }
            _ => {
                let (packets, len) = (dice.below(24), [60, 60, 60, 300, 1514, 2200][dice.below(6)]);
                for flow in 0..packets {
                    drop(network.inject(PORTS[port], None, &packet(flow as u8 % 8, len)));
                }
                "packets"
            }
        };
        self.did(what);
    }

    /// A timeout of some µs, or none.
    fn some_time(&mut self) -> Option<Duration> {
        self.dice.once_in(2).then(|| Duration::from_micros(self.dice.below(50) as u64))
    }

    /// Frames conserved: free + in rings and caches + held + gone = all.
    fn balanced(&self, mode: &impl Mode) {
        let Some(umem) = &self.umem else { return };
        let (rings, held) = (mode.rings(), mode.held());
        let accounts = rings.sockets.iter().map(|socket| socket.account.unwrap());
        let in_rings: u64 = accounts.map(|a| a.in_reception + a.in_transmission + a.cached).sum();
        let all = u64::from(umem.free_hint()) + in_rings + held as u64 + self.gone;
        let want = u64::from(umem.frames()) + mode.spoilt();
        let fits = (want - self.adrift..=want).contains(&all);
        assert!(fits, "{all} of {want}: {held} held, {} gone, {rings:#?}", self.gone);
        if let Some(user) = umem.held_by_user() {
            assert_eq!(user as usize, held, "the ledger");
        }
    }

    /// No counter is lower than it was, or higher than it can be.
    fn look(&mut self, mode: &impl Mode) {
        let Self { ports, floors, .. } = self;
        let mut seen = |name: &'static str, of: usize, now: u64| {
            let floor = floors.entry((name, of)).or_default();
            assert!((*floor..1 << 40).contains(&now), "{name} of {of}: {now} after {floor}");
            *floor = now;
        };
        mode.counters(&mut seen);
        for (at, port) in ports.iter().enumerate() {
            let calls = port.calls();
            seen("tx_kicks", at, calls.tx_kicks);
            seen("rx_kicks", at, calls.rx_kicks);
            seen("waits", at, calls.waits);
            let stats = port.kernel_stats().unwrap();
            seen("rx_dropped", at, stats.rx_dropped);
            seen("rx_ring_full", at, stats.rx_ring_full);
            seen("tx_invalid_descs", at, stats.tx_invalid_descs);
            seen("rx_fill_ring_empty_descs", at, stats.rx_fill_ring_empty_descs);
            for count in port.queue_counters().unwrap() {
                let of = at * QUEUES as usize + count.queue as usize;
                seen("redirected", of, count.redirected);
                seen("passed", of, count.passed);
                seen("no_socket", of, count.no_socket);
                seen("dropped", of, count.dropped);
            }
        }
    }
}

fn engine_stats(stats: EngineStats, of: usize, seen: &mut dyn FnMut(&'static str, usize, u64)) {
    let sum = stats.sent + stats.recycled + stats.extracted + stats.tx_full;
    assert_eq!(stats.received, sum, "{stats:?}");
    for (name, now) in [
        ("received", stats.received),
        ("sent", stats.sent),
        ("recycled", stats.recycled),
        ("extracted", stats.extracted),
        ("tx_full", stats.tx_full),
        ("no_port", stats.no_port),
        ("extra", stats.extra),
        ("extra_full", stats.extra_full),
        ("batches", stats.batches),
    ] {
        seen(name, of, now);
    }
}

/// Frames of dropped rings that nobody can reach: all but the packets that waited to be received.
fn out_of_reach<'s>(sockets: impl IntoIterator<Item = &'s SocketSnapshot>) -> u64 {
    let one = |socket: &SocketSnapshot| {
        let account = socket.account.unwrap();
        let waiting = socket.rx.map_or(0, |rx| rx.used().unwrap());
        account.in_reception + account.in_transmission - u64::from(waiting)
    };
    sockets.into_iter().map(one).sum()
}

fn is_of(port: usize) -> impl Fn(&&SocketSnapshot) -> bool {
    move |socket| socket.interface.as_deref() == Some(PORTS[port])
}

/// No rings.
fn none() -> RingsSnapshot {
    RingsSnapshot { source: fluxnet::snapshot::Source::Owner, sockets: Vec::new() }
}

/// Calls `f`, in which [`panic`] may be called.
fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| assert!(panic.is::<OnPurpose>())).ok()
}

struct OnPurpose;

/// A panic that prints nothing: there are many.
fn panic() -> ! {
    resume_unwind(Box::new(OnPurpose))
}

/// Gives a packet one of the ways out, some of which do not exist.
fn choose_way(packet: &mut Packet, dice: &mut Dice) {
    match dice.below(8) {
        at @ 0..=1 => packet.set_port(PortIndex::new(at as u16)),
        at @ 2..=5 => packet.set_queue(fluxnet::QueueIndex::new(at as u16 - 2)),
        6 => packet.set_port(PortIndex::new(7)),
        _ => {}
    }
}

fn back(refused: SendError) -> Packet {
    refused.into_packet()
}

/// Runs `steps` of a mode, life after life.
fn live<M: Mode>(steps: u64, seed: u64) -> HashMap<&'static str, u64> {
    let (mut left, mut life, mut tally) = (steps, 0, HashMap::new());
    while left > 0 {
        life += 1;
        let network = network(QUEUES);
        let mut dice = Dice::new(seed ^ life << 32);
        for port in PORTS {
            let starved = dice.once_in(12).then_some(Trouble::Starved);
            network.set_troubles(port, starved.into_iter().collect()).unwrap();
        }
        let (gone, adrift, floors) = (0, 0, HashMap::new());
        let (ports, umem) = (Vec::new(), None);
        let mut world = World { network, dice, ports, umem, gone, adrift, floors, tally };
        let builder = world.builder();
        let mut mode = M::open(&mut world, builder);
        let outcome = caught(|| {
            for step in 0..LIFE.min(left) {
                if world.dice.once_in(3) {
                    world.around();
                } else {
                    mode.step(&mut world);
                }
                world.balanced(&mode);
                if step % LOOK == 0 {
                    world.look(&mode);
                }
            }
            world.look(&mode);
        });
        assert!(outcome.is_some(), "a panic got past its call, in life {life}");
        left = left.saturating_sub(LIFE);
        // Nothing keeps the memory once all is closed.
        drop(mode);
        world.ports.clear();
        let umem = world.umem.take().map(|umem| std::sync::Arc::downgrade(&umem));
        assert_eq!(umem.map_or(0, |umem| umem.strong_count()), 0, "in life {life}");
        tally = world.tally;
    }
    tally
}

/// A quarter of the steps for each mode; all that can happen did.
fn all_modes(steps: u64) {
    type Live = fn(u64, u64) -> HashMap<&'static str, u64>;
    let lives: [(&str, Live, &[&str]); 4] = [
        ("mode A, by turns", live::<mode_a::Turns>, mode_a::TURNS),
        ("mode A, run", live::<mode_a::Run>, mode_a::RUN),
        ("mode B", live::<mode_b::Halves>, mode_b::HALVES),
        ("mode C", live::<mode_c::Raw>, mode_c::RAW),
    ];
    std::thread::scope(|scope| {
        for (name, live, expected) in lives {
            scope.spawn(move || {
                let tally = live(steps / 4, 13);
                println!("{name}: {tally:?}");
                for what in expected
                    .iter()
                    .chain(&["link", "gone", "detach", "trouble", "filter", "packets"])
                {
                    assert!(tally.contains_key(what), "{name}: no {what} in {steps} steps");
                }
            });
        }
    });
}

#[test]
fn frames_are_conserved_and_no_counter_falls_in_a_hundred_thousand_random_steps() {
    all_modes(100_000);
}

/// `make test-long`: in a release build, with `FLUX_STEPS` of them.
#[test]
#[ignore = "takes minutes: make test-long"]
fn frames_are_conserved_and_no_counter_falls_in_a_long_random_life() {
    let steps = std::env::var("FLUX_STEPS").ok().and_then(|steps| steps.parse().ok());
    all_modes(steps.unwrap_or(10_000_000));
}
