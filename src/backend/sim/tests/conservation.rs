//! Frames are conserved, whatever is done and whatever goes wrong.

use super::super::Trouble;
use super::*;
use crate::backend::fault::{Faults, Faulty};
use crate::ring::Desc;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Inject { count: u8, len: u16 },
    Post { count: u8, len: u16 },
    PostInvalid,
    Kick,
    Reap { max: u32 },
    Receive { max: u32 },
    Refill,
    Wait { us: u64 },
    Link { up: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u8..40, 14u16..2000).prop_map(|(count, len)| Op::Inject { count, len }),
        (0u8..40, 0u16..2000).prop_map(|(count, len)| Op::Post { count, len }),
        Just(Op::PostInvalid),
        Just(Op::Kick),
        (0u32..40).prop_map(|max| Op::Reap { max }),
        (0u32..40).prop_map(|max| Op::Receive { max }),
        Just(Op::Refill),
        (0u64..100).prop_map(|us| Op::Wait { us }),
        prop::bool::weighted(0.8).prop_map(|up| Op::Link { up }),
    ]
}

fn faults() -> impl Strategy<Value = Faults> {
    (any::<u64>(), 0.0..0.5, 0.0..0.5, 0.0..0.5).prop_map(|(seed, refused, delayed, spurious)| {
        Faults { seed, kick_refused: refused, kick_delayed: delayed, wait_spurious: spurious }
    })
}

/// One queue on loopback, over faults.
struct Bench {
    sim: Simulator,
    umem: Arc<Umem>,
    socket: Queue,
    cache: FrameCache,
    /// Invalid descriptors posted; their completions name no frame.
    spoilt: u64,
}

impl Bench {
    fn new(ring: u32, share: u32, zero_copy: bool, faults: Faults, troubles: &[Trouble]) -> Self {
        let sim = Simulator::loopback(1);
        sim.set_troubles("lo0", troubles.iter().copied().collect()).unwrap();
        let umem = Arc::new(Umem::new(Region::allocate(64 * 2048).unwrap(), 2048));
        let mut config = Config::new("lo0");
        if zero_copy {
            config.bind = crate::config::BindMode::ZeroCopy;
        }
        let plan = PortPlan::of(&config, &[0], ring, Filter::Everything);
        let mut opened = sim.open(&[plan], &umem).unwrap();
        let backend = Faulty::wrap(opened.backend, faults);
        backend.start().unwrap();
        let socket = Queue::new(opened.rings.remove(0), number(0), &backend, &umem, share, &config);
        let cache = FrameCache::new(&umem, 1);
        Self { sim, umem, socket, cache, spoilt: 0 }
    }

    /// Errors are those of an interface that is gone, or of a program that was detached.
    #[allow(unsafe_code)]
    fn apply(&mut self, op: Op) {
        let Self { sim, umem, socket, cache, spoilt } = self;
        match op {
            Op::Inject { count, len } => {
                // An interface that was removed is not there.
                let packet = vec![1; usize::from(len)];
                (0..count).for_each(|_| drop(sim.inject("lo0", None, &packet)));
            }
            Op::Post { count, len } => {
                for _ in 0..count {
                    let Some(buffer) = umem.alloc_buffer(0, u32::from(len)).unwrap() else { break };
                    if let Err(buffer) = socket.tx.tx.reserve(1).push(buffer) {
                        umem.free(buffer.frame);
                    }
                }
            }
            Op::PostInvalid => {
                let desc = Desc { addr: 64 * 2048, len: 60, options: 0 };
                // SAFETY: the address lies outside the UMEM, so it names no frame.
                *spoilt += u64::from(unsafe { socket.tx.tx.reserve(1).push_desc(desc) });
            }
            Op::Kick => drop(socket.tx.flush()),
            Op::Reap { max } => {
                socket.tx.comp.reap(max, |frame| umem.free(frame));
            }
            Op::Receive { max } => {
                socket.rx.rx.receive(max, |buffer| umem.free(buffer.frame));
            }
            Op::Refill => drop(socket.rx.refill(cache, false)),
            Op::Wait { us } => {
                let timeout = Some(Duration::from_micros(us));
                drop(socket.rx.backend.wait(&[FIRST], Interest::Rx, timeout));
            }
            Op::Link { up } => drop(sim.set_link_up("lo0", up)),
        }
    }

    /// Frames that are accounted for.
    fn frames(&self) -> u64 {
        let (rx, tx) = (&self.socket.rx, &self.socket.tx);
        // Invalid descriptors that are under way are no frames.
        let spoilt = self.spoilt - tx.comp.invalid();
        let free = u64::from(self.umem.free_hint()) + self.cache.len() as u64;
        free + rx.held() + tx.held() - spoilt
    }
}

proptest! {
    #[test]
    fn frames_are_conserved(
        ops in prop::collection::vec(op(), 0..150), faults in faults(), bits in 1u32..6,
        share in 0u32..48, zero_copy: bool,
    ) {
        let mut bench = Bench::new(1 << bits, share, zero_copy, faults, &[]);
        for op in ops {
            bench.apply(op);
            prop_assert_eq!(bench.frames(), 64);
            prop_assert_eq!(bench.umem.held_by_user().unwrap_or(0), 0);
        }
        bench.apply(Op::Link { up: true });
        // Everything that was handed over for transmission comes back.
        for _ in 0..1000 {
            bench.apply(Op::Kick);
            bench.apply(Op::Wait { us: 1 });
            bench.apply(Op::Reap { max: 64 });
        }
        prop_assert_eq!(bench.socket.tx.held(), 0);
        prop_assert_eq!(bench.socket.rx.rx.invalid(), 0);
        prop_assert_eq!(bench.socket.tx.comp.invalid(), bench.spoilt);
        let sim = bench.sim.clone();
        let weak = Arc::downgrade(&bench.umem);
        drop(bench);
        prop_assert_eq!(weak.strong_count(), 0);
        prop_assert_eq!(sim.queue_counts("lo0").unwrap().rx, 1);
    }
}

proptest! {
    #[test]
    fn frames_are_conserved_in_any_trouble(
        ops in prop::collection::vec(op(), 0..150), faults in faults(), bits in 1u32..6,
        share in 0u32..48, zero_copy: bool, step_ms in 0u64..600,
        troubles in prop::sample::subsequence(Trouble::ALL.to_vec(), 1..=Trouble::ALL.len()),
    ) {
        // Who asks for zero-copy by name would get an error from a driver that lies about it.
        let zero_copy = zero_copy && !troubles.contains(&Trouble::NoZeroCopy);
        let mut bench = Bench::new(1 << bits, share, zero_copy, faults, &troubles);
        bench.sim.step(Duration::from_millis(step_ms));
        for op in ops {
            bench.apply(op);
            prop_assert_eq!(bench.frames(), 64);
            prop_assert_eq!(bench.umem.held_by_user().unwrap_or(0), 0);
            // A driver that is down takes nothing.
            let up = bench.sim.port("lo0").is_some_and(|port| port.up);
            let fill = bench.sim.sockets().remove(0).fill.unwrap().used();
            prop_assert!(!(up && troubles.contains(&Trouble::Starved)) || fill == Some(0));
        }
        prop_assert_eq!(bench.socket.rx.rx.invalid(), 0);
        if troubles.contains(&Trouble::StuckTx) {
            prop_assert_eq!(bench.socket.tx.comp.completed(), 0);
        }
        let weak = Arc::downgrade(&bench.umem);
        drop(bench);
        prop_assert_eq!(weak.strong_count(), 0);
    }
}

#[test]
fn a_thread_that_waits_in_real_time_wakes_when_another_sends() {
    use super::super::{End, NetworkBuilder, Profile};
    let mut net = NetworkBuilder::new(1);
    net.realtime();
    let (a, b) = (net.port("a0", 1), net.port("b0", 1));
    net.link(End::new(a), End::new(b), Profile::delay(Duration::from_millis(2)));
    let sim = net.build().unwrap();
    let mut from = Rig::open(&sim, "a0", Filter::Nothing);
    let mut to = Rig::open(&sim, "b0", Filter::Everything);
    let backend = Arc::clone(&to.backend);
    let waiter = std::thread::spawn(move || backend.wait(&[FIRST], Interest::Rx, None));
    from.send(&[9; 60]);
    assert!(waiter.join().unwrap().unwrap());
    assert_eq!(to.take().len(), 1);
    from.assert_balance();
    to.assert_balance();
}
