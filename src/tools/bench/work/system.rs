//! The workloads in mode B: one thread for all queues.

use super::{Job, OUT, Work, parse, swap_addresses};
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::packet::Packets;
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::system::{FluxRx, FluxTx};
use crate::tools::bench::plan::Workload;
use crate::tools::measure::duration_stats::DurationStats;
use std::time::Duration;

/// Both halves.
pub(super) struct System {
    rx: FluxRx,
    tx: FluxTx,
    job: Job,
    packets: Packets,
    latencies: DurationStats,
}

impl System {
    pub(super) fn new(rx: FluxRx, tx: FluxTx, job: Job) -> Self {
        let packets = Packets::with_capacity(job.batch as usize * tx.positions().len());
        Self { rx, tx, job, packets, latencies: DurationStats::new() }
    }

    fn receive(&mut self, wait: Duration) -> Result<u32> {
        let deadline = self.rx.now().saturating_add(wait.as_nanos() as u64);
        self.rx.recv_batch(&mut self.packets, Some(deadline)).map(|n| n as u32)
    }

    fn send(&mut self) -> Result<u32> {
        let mut sent = 0;
        while sent < self.job.batch
            && let Some(mut packet) = self.tx.alloc(self.job.packet.len())
        {
            packet.data_mut().copy_from_slice(&self.job.packet);
            if self.tx.send(packet).is_err() {
                break;
            }
            sent += 1;
        }
        self.tx.flush()?;
        Ok(sent)
    }
}

impl Work for System {
    fn turn(&mut self, wait: Duration) -> Result<u32> {
        if self.job.workload == Workload::Txonly {
            return self.send();
        }
        let n = self.receive(wait)?;
        let Self { packets, tx, rx, latencies, job, .. } = self;
        match job.workload {
            Workload::Parse => packets.iter_mut().for_each(|packet| parse(packet.data())),
            Workload::L2fwd if n > 0 => {
                packets.iter_mut().for_each(|mut packet| swap_addresses(packet.data_mut()));
                tx.send_batch(packets)?; // what a full ring refuses is dropped, as by a bridge
                tx.flush()?;
            }
            Workload::Forward if n > 0 => {
                packets.iter_mut().for_each(|mut packet| packet.set_port(OUT));
                tx.send_batch(packets)?; // as above
                tx.flush()?;
            }
            Workload::Latency if n > 0 => {
                let now = rx.now();
                let stamps = packets.iter_mut().filter_map(|packet| packet.rx_timestamp());
                stamps.for_each(|stamp| latencies.record(now.saturating_sub(stamp)));
            }
            _ => {}
        }
        packets.clear();
        Ok(n)
    }

    fn queues(&self) -> Vec<QueueIndex> {
        self.tx.positions().to_vec()
    }

    fn calls(&self) -> Calls {
        self.rx.calls()
    }

    fn stats(&self) -> Result<XdpStatistics> {
        self.rx.kernel_stats()
    }

    fn counters(&self) -> Result<Vec<QueueCounters>> {
        self.rx.queue_counters()
    }

    fn latencies(&mut self) -> DurationStats {
        std::mem::take(&mut self.latencies)
    }
}
