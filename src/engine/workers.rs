//! Several workers of mode A: dealing the queues out, and running them.

use super::{EngineStats, FluxEngine, PacketBatch, STOP_CHECK, StopHandle};
use crate::backend::Interest;
use crate::error::{ErrorKind, FluxError, Result};
use crate::ids::PortIndex;
use crate::poll::PollState;
use crate::port::Port;
use crate::umem::FrameCache;
use crate::worker::{deal, shares};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// One worker: its queues, and what is its own.
pub struct Worker<S> {
    /// The queues, with a cache of free frames and a poll state.
    pub engine: FluxEngine,
    /// What the user gave it.
    pub state: S,
}

/// The workers of [`FluxEngine::into_workers`], to be run together or to be taken apart.
pub struct Workers<S> {
    workers: Vec<Worker<S>>,
    cpus: Vec<usize>,
    stop: StopHandle,
}

pub(super) fn split<S>(
    engine: FluxEngine,
    workers: usize,
    mut state: impl FnMut(usize) -> S,
) -> Result<Workers<S>> {
    let queues = engine.rx.iter().map(|half| half.number);
    let shares = shares(&engine.ports, queues, workers)?;
    let stop = engine.stop.clone();
    let made = divide(engine, &shares, workers);
    let made = made.into_iter().enumerate().map(|(at, engine)| Worker { engine, state: state(at) });
    Ok(Workers { workers: made.collect(), cpus: Vec::new(), stop })
}

/// One engine per queue.
pub(super) fn by_queue(engine: FluxEngine) -> Vec<FluxEngine> {
    let queues = engine.queues.len();
    divide(engine, &(0..queues).collect::<Vec<_>>(), queues)
}

fn divide(engine: FluxEngine, shares: &[usize], workers: usize) -> Vec<FluxEngine> {
    let FluxEngine { rx, tx, cache, backend, ports, batch, poll, stop, .. } = engine;
    let (rx, tx) = (deal(rx, shares, workers), deal(tx, shares, workers));
    let one = |halves| {
        FluxEngine::over(
            halves,
            FrameCache::new(cache.umem(), workers),
            Arc::clone(&backend),
            Arc::clone(&ports),
            batch,
            PollState::new(poll.poller()),
            stop.clone(),
        )
    };
    rx.into_iter().zip(tx).map(one).collect()
}

impl<S> Workers<S> {
    /// Pins worker `n` to `cpus[n]` while it runs; with fewer CPUs they are used in turn. On the
    /// simulator it changes nothing.
    #[must_use]
    pub fn pinned(mut self, cpus: impl Into<Vec<usize>>) -> Self {
        self.cpus = cpus.into();
        self
    }

    /// A handle that ends [`run`](Self::run).
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// All ports that were opened together.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        self.workers.first().map_or(&[], |worker| worker.engine.ports())
    }

    /// The workers, for looking at them.
    #[must_use]
    pub fn workers(&self) -> &[Worker<S>] {
        &self.workers
    }

    /// The workers, for threads of one's own.
    #[must_use]
    pub fn into_vec(self) -> Vec<Worker<S>> {
        self.workers
    }

    /// Lets every worker go on without a port, as [`FluxEngine::remove_port`] does.
    pub fn remove_port(&mut self, port: PortIndex) {
        self.workers.iter_mut().for_each(|worker| worker.engine.remove_port(port));
    }

    /// What all of them did so far.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.workers.iter().fold(EngineStats::default(), |sum, w| sum + w.engine.stats())
    }

    /// Calls `handle` with the batches of all workers and what is each one's own, until the stop
    /// handle is used; returns what all of them did. Each worker has a thread of its own. In virtual
    /// time they take turns on the calling thread instead, the same each time: time moves only when
    /// none of them has anything to do.
    ///
    /// Once it has returned, with an error or without, the queues are still ours: packets wait in
    /// their RX rings for the next run, and the kernel drops and counts those that find no room
    /// ([`crate::XdpStatistics`]). Drop the workers, or the one that is not to go on
    /// ([`into_vec`](Self::into_vec)), to give its queues back to the kernel's stack.
    ///
    /// # Errors
    /// As [`FluxEngine::run`]: then all of them end. What becomes of the other ports is the
    /// caller's choice: [`remove_port`](Self::remove_port) and run again, or end.
    ///
    /// # Panics
    /// When `handle` does. Then all of them end, and what comes on the queues of the worker that
    /// panicked goes to the kernel's stack at once ([`crate::Fail`] chooses), until they run again.
    pub fn run(
        &mut self,
        handle: impl Fn(&mut S, &mut PacketBatch<'_>) + Sync,
    ) -> Result<EngineStats>
    where
        S: Send,
    {
        self.workers.iter_mut().try_for_each(|worker| worker.engine.take_back())?;
        let is_virtual = self.workers.first().is_some_and(|w| w.engine.backend.is_virtual());
        if is_virtual {
            self.in_turn(handle)?
        } else {
            self.side_by_side(&handle)?
        }
        let settled = self.workers.iter_mut().map(|worker| worker.engine.settle());
        settled.fold(Ok(()), Result::and)?; // all of them, and then the first error
        Ok(self.stats())
    }

    fn in_turn(&mut self, handle: impl Fn(&mut S, &mut PacketBatch<'_>)) -> Result<()> {
        let queues: Vec<_> =
            self.workers.iter().flat_map(|worker| worker.engine.queues.iter().copied()).collect();
        let failed = AtomicBool::new(false); // the panic itself ends the others here
        while !self.stop.is_stopped() {
            let mut received = 0;
            for worker in &mut self.workers {
                let mut at_work = AtWork { worker, failed: &failed };
                let turn = at_work.turn(&handle, None);
                at_work.done();
                received += turn?;
            }
            if received == 0
                && let Some(worker) = self.workers.first()
            {
                let patience = self.workers.iter().map(|w| w.engine.patience(STOP_CHECK)).min();
                worker.engine.backend.wait(&queues, Interest::Rx, patience.or(Some(STOP_CHECK)))?;
            }
        }
        Ok(())
    }

    fn side_by_side(
        &mut self,
        handle: &(impl Fn(&mut S, &mut PacketBatch<'_>) + Sync),
    ) -> Result<()>
    where
        S: Send,
    {
        let (stop, cpus) = (self.stop.clone(), &self.cpus);
        // When one of them ends by an error or a panic, the others end as well.
        let failed = AtomicBool::new(false);
        let one = |worker: &mut Worker<S>, cpu: Option<usize>| -> Result<()> {
            if let Some(cpu) = cpu {
                pin(cpu);
            }
            let mut at_work = AtWork { worker, failed: &failed };
            let mut ended = Ok(());
            while ended.is_ok() && !stop.is_stopped() && !failed.load(Ordering::Relaxed) {
                ended = at_work.turn(handle, Some(STOP_CHECK)).map(drop);
            }
            at_work.done();
            ended.inspect_err(|_| failed.store(true, Ordering::Relaxed))
        };
        thread::scope(|scope| {
            let mut cpus = cpus.iter().copied().cycle();
            let mut threads = Vec::with_capacity(self.workers.len());
            let mut result = Ok(());
            for worker in &mut self.workers {
                let cpu = cpus.next();
                let thread = thread::Builder::new().name("flux-worker".into());
                match thread.spawn_scoped(scope, move || one(worker, cpu)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        let what = "cannot start a thread for a worker";
                        let error = FluxError::new(ErrorKind::System, what, error.to_string());
                        result = Err(error.with_hint("use fewer workers"));
                        break;
                    }
                }
            }
            for thread in threads {
                let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(ended); // the first error
            }
            result
        })
    }
}

/// A worker whose closure is called. When that panics, what comes on its queues goes on to the
/// kernel's stack at once, as nobody reads them any more, and the others are told to end.
struct AtWork<'w, S> {
    worker: &'w mut Worker<S>,
    failed: &'w AtomicBool,
}

impl<S> AtWork<'_, S> {
    fn turn(
        &mut self,
        handle: impl Fn(&mut S, &mut PacketBatch<'_>),
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let Worker { engine, state } = &mut *self.worker;
        engine.turn(|batch| handle(state, batch), timeout)
    }

    /// It came back.
    fn done(self) {
        std::mem::forget(self); // borrows alone
    }
}

impl<S> Drop for AtWork<'_, S> {
    #[cold]
    fn drop(&mut self) {
        self.worker.engine.leave();
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// A CPU that is not there, or not ours, leaves the choice to the scheduler.
#[cfg(all(target_os = "linux", feature = "bpf"))]
fn pin(cpu: usize) {
    let _ = crate::sys::affinity::pin(cpu);
}

#[cfg(not(all(target_os = "linux", feature = "bpf")))]
fn pin(_cpu: usize) {}
