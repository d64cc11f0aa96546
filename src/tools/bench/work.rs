//! The loops that are measured: each workload, written as a user of each mode would.
//!
//! A turn handles at most one batch, and makes at most one system call when it had packets.
//!
//! Workload forward has two ports on one UMEM: packets come in on the first and leave by the
//! second, whose completions refill the first.

mod engine;
mod raw;
mod system;

use super::plan::{Library, Setting, Workload};
use super::ways;
use crate::FluxBuilder;
use crate::config::Granted;
use crate::error::{FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::port::Port;
use crate::proto::{EthernetMut, Headers};
use crate::raw::FluxRaw;
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::tools::measure::duration_stats::DurationStats;
use std::time::Duration;

/// The port that workload forward sends by.
const OUT: PortIndex = PortIndex::new(1);

/// One worker's share of a workload.
pub(super) trait Work: Send {
    /// One turn; returns how many packets were handled. With none it waits as its poll mode says, up
    /// to `wait`.
    fn turn(&mut self, wait: Duration) -> Result<u32>;

    /// Positions of the queues that it works, those that it only sends by last.
    fn queues(&self) -> Vec<QueueIndex>;

    /// System calls so far.
    fn calls(&self) -> Calls;

    /// The kernel's counters.
    fn stats(&self) -> Result<XdpStatistics>;

    /// What came to each queue of the interface, with and without a socket.
    fn counters(&self) -> Result<Vec<QueueCounters>>;

    /// Takes the times that were recorded since the last call.
    fn latencies(&mut self) -> DurationStats;
}

/// What a loop needs to know.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) workload: Workload,
    pub(super) batch: u32,
    /// The packet that txonly sends.
    pub(super) packet: Vec<u8>,
}

/// Opens the sockets of a setting and makes one loop for each thread.
pub(super) fn start(
    builder: FluxBuilder,
    setting: &Setting,
    packet: &[u8],
) -> Result<(Vec<Box<dyn Work>>, Granted)> {
    let job = Job { workload: setting.workload, batch: setting.batch, packet: packet.to_vec() };
    match setting.mode {
        Library::Raw => {
            let mut queues = builder.build_raw_queues()?;
            let ports = ports_of(&queues);
            let granted = granted(&ports)?;
            ways::check(setting, &ports)?;
            let mut outs = queues.split_off(granted.queues.len());
            outs.retain(FluxRaw::sends);
            let mut outs = outs.into_iter();
            let poller = setting.poll.poller();
            let work = queues.into_iter().map(|raw| {
                let raw = raw::Raw::new(raw, outs.next(), job.clone(), poller);
                Box::new(raw) as Box<dyn Work>
            });
            Ok((work.collect(), granted))
        }
        Library::Engine => {
            let engine = builder.build_engine()?;
            let granted = granted(engine.ports())?;
            ways::check(setting, engine.ports())?;
            let engines = if setting.workload.sends() {
                let workers = engine.into_workers(granted.queues.len(), |_| ())?.into_vec();
                workers.into_iter().map(|worker| worker.engine).collect()
            } else {
                engine.one_per_queue()
            };
            let engines = engines.into_iter();
            let work = engines.map(|e| Box::new(engine::Engine::new(e, &job)) as Box<dyn Work>);
            Ok((work.collect(), granted))
        }
        Library::System => {
            let (rx, tx) = builder.build_system()?;
            let granted = granted(rx.ports())?;
            ways::check(setting, rx.ports())?;
            let work = Box::new(system::System::new(rx, tx, job));
            Ok((vec![work], granted))
        }
    }
}

/// What was granted for the first port, with the notes of all.
fn granted(ports: &[Port]) -> Result<Granted> {
    let Some((first, others)) = ports.split_first() else {
        return Err(FluxError::config("queue list", "names no queue"));
    };
    let mut granted = first.granted().clone();
    for port in others {
        let new = port.granted().notes.iter().filter(|note| !granted.notes.contains(note));
        let new: Vec<String> = new.cloned().collect();
        granted.notes.extend(new);
    }
    Ok(granted)
}

fn ports_of(queues: &[FluxRaw]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for port in queues.iter().map(FluxRaw::port) {
        if ports.last().is_none_or(|last| last.index() != port.index()) {
            ports.push(port.clone());
        }
    }
    ports
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
