//! The workloads in mode A.

use super::{Job, OUT, Work, parse, swap_addresses};
use crate::engine::FluxEngine;
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::tools::bench::plan::Workload;
use crate::tools::measure::duration_stats::DurationStats;
use std::time::Duration;

/// An engine of one queue, and one of the port out where there is one.
pub(super) struct Engine {
    engine: FluxEngine,
    workload: Workload,
    latencies: DurationStats,
}

impl Engine {
    pub(super) fn new(engine: FluxEngine, job: &Job) -> Self {
        Self { engine, workload: job.workload, latencies: DurationStats::new() }
    }
}

impl Work for Engine {
    fn turn(&mut self, wait: Duration) -> Result<u32> {
        let Self { engine, workload, latencies } = self;
        let wait = Some(wait);
        let n = match workload {
            Workload::Parse => engine
                .turn(|batch| batch.iter_mut().for_each(|packet| parse(packet.data())), wait)?,
            Workload::L2fwd => engine.turn(
                |batch| {
                    for mut packet in batch {
                        swap_addresses(packet.data_mut());
                        packet.send();
                    }
                },
                wait,
            )?,
            Workload::Forward => engine
                .turn(|batch| batch.iter_mut().for_each(|packet| packet.forward(OUT)), wait)?,
            Workload::Latency => engine.turn(
                |batch| {
                    let now = batch.now();
                    let stamps = batch.iter_mut().filter_map(|packet| packet.rx_timestamp());
                    stamps.for_each(|stamp| latencies.record(now.saturating_sub(stamp)));
                },
                wait,
            )?,
            // The plan has no txonly for engines: they answer what they receive.
            Workload::Rxdrop | Workload::Txonly => engine.turn(|_| {}, wait)?,
        };
        Ok(n as u32)
    }

    fn queues(&self) -> Vec<QueueIndex> {
        self.engine.positions().to_vec()
    }

    fn calls(&self) -> Calls {
        self.engine.calls()
    }

    fn stats(&self) -> Result<XdpStatistics> {
        self.engine.kernel_stats()
    }

    fn counters(&self) -> Result<Vec<QueueCounters>> {
        self.engine.queue_counters()
    }

    fn latencies(&mut self) -> DurationStats {
        std::mem::take(&mut self.latencies)
    }
}
