//! The workloads in mode B: one thread for all queues.

use super::{Job, LONGEST_WAIT, Work, parse, swap_addresses};
use crate::backend::{Calls, QueueCounters, XdpStatistics};
use crate::error::Result;
use crate::packet::Packet;
use crate::system::{FluxRx, FluxTx};
use crate::tools::bench::plan::Workload;
use crate::tools::net::histogram::RttStats;

/// Both halves.
pub(super) struct System {
    rx: FluxRx,
    tx: FluxTx,
    job: Job,
    queues: usize,
    packets: Vec<Packet>,
    latencies: RttStats,
}

impl System {
    pub(super) fn new(rx: FluxRx, tx: FluxTx, job: Job, queues: usize) -> Self {
        let packets = Vec::with_capacity(job.batch as usize * queues);
        Self { rx, tx, job, queues, packets, latencies: RttStats::new() }
    }

    fn receive(&mut self) -> Result<u32> {
        let deadline = self.rx.now().saturating_add(LONGEST_WAIT.as_nanos() as u64);
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
    fn turn(&mut self) -> Result<u32> {
        if self.job.workload == Workload::Txonly {
            return self.send();
        }
        let n = self.receive()?;
        let Self { packets, tx, rx, latencies, job, .. } = self;
        match job.workload {
            Workload::Parse => packets.iter().for_each(|packet| parse(packet.data())),
            Workload::L2fwd if n > 0 => {
                for mut packet in packets.drain(..) {
                    swap_addresses(packet.data_mut());
                    let _ = tx.send(packet); // a full ring drops it, as a bridge would
                }
                tx.flush()?;
            }
            Workload::Latency if n > 0 => {
                let now = rx.now();
                let stamps = packets.iter().filter_map(Packet::rx_timestamp);
                stamps.for_each(|stamp| latencies.record(now.saturating_sub(stamp)));
            }
            _ => {}
        }
        packets.clear();
        Ok(n)
    }

    fn queues(&self) -> Vec<usize> {
        (0..self.queues).collect()
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

    fn latencies(&mut self) -> RttStats {
        std::mem::take(&mut self.latencies)
    }
}
