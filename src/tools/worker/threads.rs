//! Workers side by side: a thread each.

use super::{Progress, Turn, WAIT, caught};
use crate::error::{ErrorKind, FluxError, Result};
use crate::tools::Control;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(super) fn run<T: Turn>(workers: &mut [T], control: &Control, cpus: &[usize]) -> Result<()> {
    // When one of them fails, the others end as well. Relaxed: it carries no data besides itself.
    let failed = AtomicBool::new(false);
    let failed = &failed;
    thread::scope(|scope| {
        let mut cpus = cpus.iter().copied().cycle();
        let (mut threads, mut result) = (Vec::with_capacity(workers.len()), Ok(()));
        for (at, worker) in workers.iter_mut().enumerate() {
            let cpu = cpus.next();
            let body = move || {
                let ended = caught(at, || turns(worker, cpu, control, failed));
                ended.inspect_err(|_| failed.store(true, Ordering::Relaxed))
            };
            match thread::Builder::new().name(format!("flux-worker-{at}")).spawn_scoped(scope, body)
            {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    result = Err(no_thread(error));
                    break;
                }
            }
        }
        for thread in threads {
            // Panics are caught within.
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(ended); // the first error
        }
        result
    })
}

fn turns<T: Turn>(
    worker: &mut T,
    cpu: Option<usize>,
    control: &Control,
    failed: &AtomicBool,
) -> Result<()> {
    if let Some(cpu) = cpu {
        pin(cpu);
    }
    while !control.is_stopped() && !failed.load(Ordering::Relaxed) {
        if worker.turn(WAIT)? == Progress::Done {
            break;
        }
    }
    Ok(())
}

fn no_thread(error: std::io::Error) -> FluxError {
    let cause = crate::error::errno_text(&error);
    FluxError::new(ErrorKind::System, "cannot start a thread for a worker", cause)
        .with_hint("use fewer workers")
        .with_source(error)
}

/// A CPU that is not there, or not ours, leaves the choice to the scheduler.
#[cfg(all(target_os = "linux", feature = "bpf"))]
fn pin(cpu: usize) {
    let _ = crate::sys::affinity::pin(cpu);
}

#[cfg(not(all(target_os = "linux", feature = "bpf")))]
fn pin(_cpu: usize) {}
