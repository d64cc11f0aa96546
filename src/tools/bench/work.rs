//! The loops that are measured: each workload, written as a user of each mode would.
//!
//! A loop is one turn long, so that whoever measures can look at the clock in between; a turn
//! handles at most one batch, and makes at most one system call when it had packets.

mod engine;
mod raw;
mod system;

use super::plan::{Cell, Library, Workload};
use crate::FluxBuilder;
use crate::config::Granted;
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::proto::{EthernetMut, Headers};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::tools::net::histogram::RttStats;
use std::time::Duration;

/// Longest time that a turn may block: whoever measures wants to look at the clock.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// One thread's share of a workload.
pub(super) trait Work: Send {
    /// One turn; returns how many packets were handled. With none it waits as its poll mode says.
    fn turn(&mut self) -> Result<u32>;

    /// Positions of the queues that it works.
    fn queues(&self) -> Vec<QueueIndex>;

    /// System calls so far.
    fn calls(&self) -> Calls;

    /// The kernel's counters.
    fn stats(&self) -> Result<XdpStatistics>;

    /// What came to each queue of the interface, with and without a socket.
    fn counters(&self) -> Result<Vec<QueueCounters>>;

    /// Takes the times that were recorded since the last call.
    fn latencies(&mut self) -> RttStats;
}

/// What a loop needs to know.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) workload: Workload,
    pub(super) batch: u32,
    /// The packet that txonly sends.
    pub(super) packet: Vec<u8>,
}

/// Opens the sockets of a cell and makes one loop for each thread.
pub(super) fn start(
    builder: FluxBuilder,
    cell: &Cell,
    packet: &[u8],
) -> Result<(Vec<Box<dyn Work>>, Granted)> {
    let job = Job { workload: cell.workload, batch: cell.batch, packet: packet.to_vec() };
    match cell.mode {
        Library::Raw => {
            let queues = builder.build_raw_queues()?;
            let granted = queues.first().map(|raw| raw.granted().clone());
            let poller = cell.poll.poller();
            let work = queues
                .into_iter()
                .map(|raw| Box::new(raw::Raw::new(raw, job.clone(), poller)) as Box<dyn Work>);
            let work = work.collect();
            granted.map(|granted| (work, granted)).ok_or_else(no_queue)
        }
        Library::Engine => {
            let engine = builder.build_engine()?;
            let granted = engine.granted().clone();
            let workers = engine.into_workers(granted.queues.len(), |_| ())?.into_vec();
            let engines = workers.into_iter().map(|worker| worker.engine);
            let work = engines.map(|e| Box::new(engine::Engine::new(e, &job)) as Box<dyn Work>);
            Ok((work.collect(), granted))
        }
        Library::System => {
            let (rx, tx) = builder.build_system()?;
            let granted = rx.granted().clone();
            let work = Box::new(system::System::new(rx, tx, job));
            Ok((vec![work], granted))
        }
    }
}

fn no_queue() -> crate::error::FluxError {
    crate::error::FluxError::config("queue list", "names no queue")
}

/// What l2fwd does to a packet.
#[inline(always)]
fn swap_addresses(packet: &mut [u8]) {
    if let Ok(mut ethernet) = EthernetMut::parse(packet) {
        ethernet.swap();
    }
}

/// What parse does with a packet.
#[inline(always)]
fn parse(packet: &[u8]) {
    let _ = std::hint::black_box(Headers::parse(packet));
}
