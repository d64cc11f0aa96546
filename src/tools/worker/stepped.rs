//! Workers in virtual time: one turn after the other, the same in each run.

use super::{Progress, Turn, WAIT, caught};
use crate::error::Result;
use crate::simulator::Simulator;
use crate::tools::Control;
use std::time::Duration;

pub(super) fn run<T: Turn>(
    workers: &mut [T],
    control: &Control,
    simulator: &Simulator,
) -> Result<()> {
    let mut left: Vec<(usize, &mut T)> = workers.iter_mut().enumerate().collect();
    while !left.is_empty() && !control.is_stopped() {
        // The earliest time that one of them waits for, while none had anything to do.
        let mut idle = Some(simulator.now().saturating_add(WAIT.as_nanos() as u64));
        let (mut failed, mut done) = (Ok(()), false);
        left.retain_mut(|(at, worker)| {
            if failed.is_err() {
                return true;
            }
            match caught(*at, || worker.turn(Duration::ZERO)) {
                Ok(Progress::Worked) => idle = None,
                Ok(Progress::Idle { until_ns }) => {
                    idle = idle.map(|idle| until_ns.map_or(idle, |until| until.min(idle)));
                }
                Ok(Progress::Done) => {
                    done = true;
                    return false;
                }
                Err(error) => failed = Err(error),
            }
            true
        });
        failed?;
        // One that is done may have left work for another, such as frames it gave back.
        if let Some(until) = idle.filter(|_| !done) {
            simulator.step_to_event(until);
        }
    }
    Ok(())
}
