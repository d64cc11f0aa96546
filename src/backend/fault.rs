//! Faults that wrap a backend.
//!
//! ```text
//!   socket ── Faulty ── sim or kernel
//!               │ a seeded die at each call: refuse the kick, put it off, wake for nothing
//! ```
//!
//! Invariant: a fault is something that Linux may do too, so whoever loses a frame or hangs over
//! one has a bug. Callers: the builder wraps the backend that it opened; nobody else.

use super::{Backend, Interest, Kick, pass_on};
use crate::error::Result;
use crate::ids::QueueIndex;
use rand_xoshiro::Xoshiro256StarStar;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong, and how often: shares from 0 to 1. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Seed of the dice. Same seed and same calls, same faults.
    pub seed: u64,
    /// TX kicks that end in "again" (EAGAIN, EBUSY, ENOBUFS) and did nothing. With a share of 1
    /// no kick ever arrives.
    pub kick_refused: f64,
    /// TX kicks that end well, but are only carried out at the next call.
    pub kick_delayed: f64,
    /// Waits that end at once for nothing: half of them say "ready", half "timeout". Never two
    /// in a row, so that a waiting loop gets on.
    pub wait_spurious: f64,
}

struct State {
    rng: Xoshiro256StarStar,
    /// Queues with a kick that is still to be carried out.
    owed: Vec<QueueIndex>,
    woke_for_nothing: bool,
}

impl State {
    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.rng.next_u64() >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

/// A backend with faults.
pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    faults: Faults,
    state: Mutex<State>,
}

impl Faulty {
    /// `inner` with `faults`.
    pub(crate) fn wrap(inner: Arc<dyn Backend>, faults: Faults) -> Arc<dyn Backend> {
        let rng = Xoshiro256StarStar::seed_from_u64(faults.seed);
        let state = Mutex::new(State { rng, owed: Vec::new(), woke_for_nothing: false });
        Arc::new(Self { inner, faults, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out the kicks that were put off.
    fn settle(&self) -> Result<()> {
        let owed = std::mem::take(&mut self.state().owed);
        owed.into_iter().try_for_each(|queue| self.inner.kick_tx(queue).map(drop))
    }
}

impl Backend for Faulty {
    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick> {
        self.settle()?;
        let mut state = self.state();
        if state.happens(self.faults.kick_refused) {
            return Ok(Kick::Again);
        }
        if state.happens(self.faults.kick_delayed) {
            state.owed.push(queue);
            return Ok(Kick::Done);
        }
        drop(state);
        self.inner.kick_tx(queue)
    }

    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick> {
        self.settle()?;
        self.inner.kick_rx(queue)
    }

    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        self.settle()?;
        let mut state = self.state();
        if !state.woke_for_nothing && state.happens(self.faults.wait_spurious) {
            state.woke_for_nothing = true;
            return Ok(state.happens(0.5));
        }
        state.woke_for_nothing = false;
        drop(state);
        self.inner.wait(queues, interest, timeout)
    }

    fn spin(&self, queues: &[QueueIndex], deadline: Option<u64>) -> Result<bool> {
        self.settle()?;
        self.inner.spin(queues, deadline)
    }

    pass_on!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Filter, PortPlan};
    use crate::config::Config;
    use crate::ids::PortIndex;
    use crate::simulator::Simulator;
    use crate::socket::{Number, Queue};
    use crate::umem::{FrameCache, Region, Umem};

    const FIRST: QueueIndex = QueueIndex::new(0);

    fn socket(faults: Faults) -> (Simulator, FrameCache, Queue) {
        let sim = Simulator::loopback(1);
        sim.tap("lo0").unwrap();
        let umem = Arc::new(Umem::new(Region::allocate(64 * 2048).unwrap(), 2048));
        let config = Config::new("lo0");
        let plan = PortPlan::of(&config, &[0], 16, Filter::Everything);
        let mut opened = sim.open(&[plan], &umem).unwrap();
        let backend = Faulty::wrap(opened.backend, faults);
        backend.start().unwrap();
        let number = Number { port: PortIndex::new(0), queue: FIRST, sends: true };
        let mut socket = Queue::new(opened.rings.remove(0), number, &backend, &umem, 16, &config);
        let mut cache = FrameCache::new(&umem, 1);
        socket.rx.refill(&mut cache, false).unwrap();
        (sim, cache, socket)
    }

    fn post(cache: &FrameCache, socket: &mut Queue) {
        let buffer = cache.umem().alloc_buffer(0, 60).unwrap().unwrap();
        socket.tx.tx.reserve(1).push(buffer).unwrap();
    }

    #[test]
    fn a_refused_kick_does_nothing() {
        let (sim, cache, mut socket) = socket(Faults { kick_refused: 1.0, ..Faults::default() });
        post(&cache, &mut socket);
        assert!(!socket.tx.flush().unwrap(), "not all of it is out");
        assert!(sim.sent("lo0").is_empty());
    }

    #[test]
    fn a_delayed_kick_is_carried_out_at_the_next_call() {
        let (sim, cache, mut socket) = socket(Faults { kick_delayed: 1.0, ..Faults::default() });
        post(&cache, &mut socket);
        assert_eq!(socket.tx.backend.kick_tx(FIRST).unwrap(), Kick::Done);
        assert!(sim.sent("lo0").is_empty());
        assert!(socket.rx.backend.wait(&[FIRST], Interest::Rx, Some(Duration::ZERO)).unwrap());
        assert_eq!(sim.sent("lo0").len(), 1);
    }

    #[test]
    fn a_waiting_loop_gets_on_whatever_the_share() {
        let (sim, _cache, socket) = socket(Faults { wait_spurious: 1.0, ..Faults::default() });
        let start = sim.now();
        for n in 1..=10 {
            let _ = socket
                .rx
                .backend
                .wait(&[FIRST], Interest::Rx, Some(Duration::from_secs(1)))
                .unwrap();
            assert_eq!(sim.now(), start + n / 2 * 1_000_000_000);
        }
    }

    #[test]
    fn no_frame_is_lost_over_faults() {
        for seed in 0..20 {
            let faults = Faults { seed, kick_refused: 0.3, kick_delayed: 0.3, wait_spurious: 0.3 };
            let (sim, mut cache, mut socket) = socket(faults);
            let umem = Arc::clone(cache.umem());
            let mut received = 0;
            for _ in 0..200 {
                post(&cache, &mut socket);
                let _ = socket.tx.flush().unwrap();
                socket.tx.reap(&mut cache);
                let _ =
                    socket.rx.backend.wait(&[FIRST], Interest::Rx, Some(Duration::ZERO)).unwrap();
                received += socket.rx.rx.receive(64, |buffer| umem.free(buffer.frame));
                socket.rx.refill(&mut cache, false).unwrap();
                cache.settle();
            }
            while socket.tx.tx.pending() > 0 {
                let _ = socket.tx.flush().unwrap();
                socket.tx.reap(&mut cache);
            }
            received += socket.rx.rx.receive(64, |buffer| umem.free(buffer.frame));
            socket.tx.reap(&mut cache);
            cache.give_back();
            assert_eq!((received, sim.sent("lo0").len()), (200, 200));
            assert_eq!(umem.held_by_user().unwrap_or(0), 0);
            assert_eq!(umem.free_hint() + socket.rx.fill.snapshot().used().unwrap(), 64);
        }
    }
}
