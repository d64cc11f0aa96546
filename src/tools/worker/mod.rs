//! Runs the workers of a command: what each does is a turn, on both kernels the same code.
//!
//! ```text
//!   real kernel        a thread a worker, pinned if asked: turn(WAIT), turn(WAIT), …
//!   virtual time       the calling thread: a turn of each with no wait, in order; when none of
//!                      them had anything to do, time goes on to what happens next
//! ```
//!
//! Invariant: no worker runs once [`run`] has returned, however it ends. When one of them fails or
//! panics, the others end as well. Callers: the commands.

mod stepped;
mod threads;

use crate::error::{ErrorKind, FluxError, Result};
use crate::simulator::Simulator;
use crate::tools::Control;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The longest time that a turn is let wait: after it the run looks whether it was asked to end.
pub const WAIT: Duration = Duration::from_millis(10);

/// What one worker does, a turn at a time. A turn handles a batch at most, so that who asks for the
/// end of the run does not wait for it.
pub trait Turn: Send {
    /// One turn. With nothing to do it waits up to `wait` for packets, and not at all when that is
    /// zero.
    ///
    /// # Errors
    /// What ends the whole run.
    fn turn(&mut self, wait: Duration) -> Result<Progress>;
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was done, and the next turn may find more.
    Worked,
    /// There was nothing to do.
    Idle {
        /// When the worker has something to do although no packet comes, by the clock of its
        /// sockets; `None`: never.
        until_ns: Option<u64>,
    },
    /// The worker has done all it was there for, and takes no more turns.
    Done,
}

/// Where workers run.
#[derive(Clone, Copy, Debug)]
pub enum Place<'p> {
    /// A thread each. Worker `n` keeps to CPU `cpus[n]`; with fewer CPUs they are used in turn, and
    /// with none the scheduler chooses, as it does for a CPU that is not there or not ours.
    Threads {
        /// By the kernel's numbers.
        cpus: &'p [usize],
    },
    /// In turn on the calling thread, in the virtual time of this simulator.
    InTurn(&'p Simulator),
}

impl<'p> Place<'p> {
    /// Where workers over `simulator` run: in turn, or where it follows a real clock as on the real
    /// kernel.
    #[must_use]
    pub fn simulated(simulator: &'p Simulator) -> Self {
        if simulator.is_realtime() {
            Place::Threads { cpus: &[] }
        } else {
            Place::InTurn(simulator)
        }
    }
}

/// Lets `workers` take turns until all are done, one fails, or `control` asks for the end.
///
/// # Errors
/// That of the first worker that failed; a worker that panicked is an error that names it.
pub fn run<T: Turn>(workers: &mut [T], control: &Control, place: &Place<'_>) -> Result<()> {
    match place {
        Place::Threads { cpus } => threads::run(workers, control, cpus),
        Place::InTurn(simulator) => stepped::run(workers, control, simulator),
    }
}

/// Calls `f` of worker number `at`; a panic in it is its error.
fn caught<R>(at: usize, f: impl FnOnce() -> Result<R>) -> Result<R> {
    // What a worker that panicked leaves half done is used by nobody: the run is over.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(panicked(at, &*panic)))
}

#[cold]
fn panicked(at: usize, panic: &(dyn Any + Send)) -> FluxError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let what = format!("worker {at} ended by a bug");
    FluxError::new(ErrorKind::System, what, text.unwrap_or("it panicked"))
        .with_hint("please report it with the command line")
}

#[cfg(test)]
mod tests;
