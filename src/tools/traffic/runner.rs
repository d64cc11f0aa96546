//! A thread that sends, turn by turn, until it is told otherwise.

use super::egress::Egress;
use crate::error::{ErrorKind, FluxError, Result};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;

/// What the owner wants and whether the thread rests. `wanted` changes under the lock alone; it
/// is an atomic so that a turn begins with a load and not with a lock.
#[derive(Default)]
struct Control {
    wanted: AtomicU8,
    resting: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    fn resting(&self) -> MutexGuard<'_, bool> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, what: u8) -> MutexGuard<'_, bool> {
        let resting = self.resting();
        self.wanted.store(what, Ordering::Relaxed); // the lock orders it
        self.changed.notify_all();
        resting
    }

    fn wait<'a>(&self, resting: MutexGuard<'a, bool>) -> MutexGuard<'a, bool> {
        self.changed.wait(resting).unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the thread before each turn: whether there is to be another, and whether it is
    /// the first one after a rest.
    fn proceed(&self) -> Option<bool> {
        if self.wanted.load(Ordering::Relaxed) == RUN {
            return Some(false);
        }
        let mut resting = self.resting();
        loop {
            match self.wanted.load(Ordering::Relaxed) {
                RUN => {
                    *resting = false;
                    return Some(true);
                }
                STOP => return None,
                _ => {
                    *resting = true;
                    self.changed.notify_all();
                    resting = self.wait(resting);
                }
            }
        }
    }
}

/// Lets the owner go on when the thread ends, however it does.
struct Ended<'a>(&'a Control);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0.resting() = true;
        self.0.changed.notify_all();
    }
}

/// The owner's side. Dropping it stops the thread.
pub(super) struct Runner {
    control: Arc<Control>,
    thread: Option<JoinHandle<Result<()>>>,
    interface: &'static str,
}

impl Runner {
    /// Starts a thread at `egress`. `prepare` makes what takes the turns there; its error is
    /// returned. A turn is told whether it is the first after a rest.
    pub(super) fn start<Turn: FnMut(bool) -> Result<()>>(
        egress: Egress,
        prepare: impl FnOnce(&Egress) -> Result<Turn> + Send + 'static,
    ) -> Result<Self> {
        let interface = egress.interface;
        let control = Arc::new(Control::default());
        let shared = Arc::clone(&control);
        let (ready, started) = sync_channel::<Result<()>>(1);
        let body = move || {
            let _ended = Ended(&shared);
            let prepared = egress.enter().and_then(|()| prepare(&egress));
            drop(egress); // the thread is in the namespace: its descriptor is not needed
            let turn = announce(prepared, &ready);
            let Some(mut turn) = turn else { return Ok(()) };
            while let Some(fresh) = shared.proceed() {
                turn(fresh)?;
            }
            Ok(())
        };
        let thread = Builder::new().name("flux-source".into()).spawn(body).map_err(|error| {
            let cause = crate::error::errno_text(&error);
            FluxError::new(ErrorKind::System, "cannot start a thread", cause).with_source(error)
        })?;
        let runner = Self { control, thread: Some(thread), interface };
        match started.recv() {
            Ok(Ok(())) => Ok(runner),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(died(interface)),
        }
    }

    /// Returns once no further turn is taken.
    pub(super) fn pause(&self) {
        let mut resting = self.control.want(PAUSE);
        while !*resting {
            resting = self.control.wait(resting);
        }
    }

    /// Takes turns again.
    pub(super) fn resume(&self) {
        drop(self.control.want(RUN));
    }

    /// Returns once the thread has ended, with the error that a turn met.
    pub(super) fn stop(&mut self) -> Result<()> {
        drop(self.control.want(STOP));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(died(self.interface)),
            None => Ok(()),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.stop(); // who wants the error calls stop()
    }
}

fn announce<T>(prepared: Result<T>, ready: &SyncSender<Result<()>>) -> Option<T> {
    let (turn, outcome) = match prepared {
        Ok(turn) => (Some(turn), Ok(())),
        Err(error) => (None, Err(error)),
    };
    ready.send(outcome).ok().and(turn)
}

fn died(interface: &str) -> FluxError {
    FluxError::new(ErrorKind::System, format!("cannot send on {interface}"), "its thread panicked")
}
