//! The workloads in mode C.

use super::{Job, Work, parse, swap_addresses};
use crate::config::Poller;
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::poll::{Idle, PollState};
use crate::raw::FluxRaw;
use crate::socket::{PacketView, Route};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::tools::bench::plan::Workload;
use crate::tools::measure::duration_stats::DurationStats;
use crate::umem::{Buffer, Frame, RX_HEADROOM};
use std::time::Duration;

/// One queue's rings, and those of one queue of the port out where there is one.
pub(super) struct Raw {
    raw: FluxRaw,
    out: Option<FluxRaw>,
    job: Job,
    poll: PollState,
    received: Vec<Buffer>,
    frames: Vec<Frame>,
    latencies: DurationStats,
}

impl Raw {
    pub(super) fn new(raw: FluxRaw, out: Option<FluxRaw>, job: Job, poller: Poller) -> Self {
        let batch = job.batch as usize;
        Self {
            raw,
            out,
            job,
            poll: PollState::new(poller),
            received: Vec::with_capacity(batch),
            frames: Vec::with_capacity(batch),
            latencies: DurationStats::new(),
        }
    }

    /// Both queues, or the one there is.
    fn both(&self) -> impl Iterator<Item = &FluxRaw> {
        std::iter::once(&self.raw).chain(&self.out)
    }

    fn forward(&mut self) -> Result<u32> {
        let Self { raw, out, job, .. } = self;
        let Some(out) = out else { return Ok(0) };
        out.comp.refill(&mut raw.fill, u32::MAX);
        let FluxRaw { rx, fill, .. } = raw;
        let done = rx.route(fill, [&mut out.tx], job.batch, |_| Route::Send(0));
        out.flush()?;
        Ok(done.packets)
    }

    fn swap_and_send_back(&mut self) -> Result<u32> {
        let Self { raw, job, .. } = self;
        raw.comp.refill(&mut raw.fill, u32::MAX);
        let FluxRaw { rx, tx, fill, .. } = raw;
        let done = rx.route(fill, [tx], job.batch, |packet| {
            swap_addresses(packet.data_mut());
            Route::Send(0)
        });
        raw.flush()?;
        Ok(done.packets)
    }

    fn send(&mut self) -> Result<u32> {
        let mut n = self.resend()?;
        if n < self.job.batch {
            // Frames that the kernel still has are replaced by new ones; so there are never more
            // of them, and more cache in use, than it takes.
            n += self.send_new(self.job.batch - n);
        }
        self.raw.flush()?;
        Ok(n)
    }

    fn resend(&mut self) -> Result<u32> {
        let Self { raw, job, .. } = self;
        let span =
            crate::umem::Span::new(RX_HEADROOM, job.packet.len() as u32, raw.umem().frame_size());
        Ok(span.map_or(0, |span| raw.comp.resend(&mut raw.tx, span, job.batch)))
    }

    fn send_new(&mut self, want: u32) -> u32 {
        let Self { raw, job, .. } = self;
        let umem = std::sync::Arc::clone(raw.umem());
        let mut slots = raw.tx.reserve(want);
        let mut sent = 0;
        while slots.room() > 0
            && let Ok(Some(mut buffer)) = umem.alloc_buffer(RX_HEADROOM, job.packet.len() as u32)
        {
            umem.packet_mut(&mut buffer).copy_from_slice(&job.packet);
            if let Err(buffer) = slots.push(buffer) {
                umem.free(buffer.frame); // cannot be: there is room, and the frame is ours
                break;
            }
            sent += 1;
        }
        sent
    }

    fn stamp(&mut self) -> u32 {
        let Self { raw, job, received, frames, latencies, .. } = self;
        let n = raw.rx.receive(job.batch, |buffer| received.push(buffer));
        if n == 0 {
            return 0;
        }
        let (now, umem) = (raw.now(), std::sync::Arc::clone(raw.umem()));
        for mut buffer in received.drain(..) {
            if let Some(stamp) = umem.rx_timestamp(&buffer) {
                latencies.record(now.saturating_sub(stamp));
            }
            // The next packet in this frame may come without a stamp of its own.
            umem.put_rx_stamp(&mut buffer.frame, buffer.span.start(), None);
            frames.push(buffer.frame);
        }
        raw.fill.post(frames, n);
        umem.free_all(frames.drain(..)); // what did not fit: nothing
        n
    }

    fn idle(&mut self, wait: Duration) -> Result<()> {
        let raw = &self.raw;
        match (self.poll.on_empty(|| raw.now()), self.job.workload) {
            (Idle::Spin, _) => raw.spin().map(drop),
            (Idle::Block, Workload::Txonly) => raw.wait_tx(Some(wait)).map(drop),
            (Idle::Block, _) => raw.wait(Some(wait)).map(drop),
        }
    }
}

impl Work for Raw {
    fn turn(&mut self, wait: Duration) -> Result<u32> {
        let Self { raw, job, .. } = self;
        let n = match job.workload {
            Workload::Rxdrop => {
                raw.rx.route(&mut raw.fill, [], job.batch, |_| Route::Recycle).packets
            }
            Workload::Parse => {
                let look = |packet: &mut PacketView<'_>| {
                    parse(packet.data());
                    Route::Recycle
                };
                raw.rx.route(&mut raw.fill, [], job.batch, look).packets
            }
            Workload::L2fwd => self.swap_and_send_back()?,
            Workload::Forward => self.forward()?,
            Workload::Txonly => self.send()?,
            Workload::Latency => self.stamp(),
        };
        if n == 0 {
            self.idle(wait)?;
        } else {
            let raw = &self.raw;
            self.poll.on_packets(n as usize, || raw.now());
        }
        Ok(n)
    }

    fn queues(&self) -> Vec<QueueIndex> {
        self.both().map(FluxRaw::position).collect()
    }

    fn calls(&self) -> Calls {
        self.both().map(FluxRaw::calls).fold(Calls::default(), |a, b| a + b)
    }

    fn stats(&self) -> Result<XdpStatistics> {
        self.both().try_fold(XdpStatistics::default(), |sum, raw| Ok(sum + raw.kernel_stats()?))
    }

    fn counters(&self) -> Result<Vec<QueueCounters>> {
        self.raw.queue_counters()
    }

    fn latencies(&mut self) -> DurationStats {
        std::mem::take(&mut self.latencies)
    }
}
