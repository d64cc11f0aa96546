//! The receiving half.

use super::Shared;
use crate::backend::{Calls, Interest, QueueCounters, XdpStatistics};
use crate::config::{Granted, Poller};
use crate::error::Result;
use crate::packet::Packet;
use crate::poll::{Idle, PollState};
use crate::socket::RxHalf;
use std::collections::VecDeque;
use std::time::Duration;

/// Receives owned packets from one or more queues.
pub struct FluxRx {
    halves: Vec<RxHalf>,
    queues: Vec<usize>,
    shared: Shared,
    poll: PollState,
    batch: u32,
    /// Received with a batch and not asked for yet, by [`FluxRx::recv`] alone.
    ready: VecDeque<Packet>,
    #[cfg(feature = "async")]
    readiness: crate::reactor::Readiness,
}

impl FluxRx {
    pub(super) fn new(halves: Vec<RxHalf>, shared: Shared, poller: Poller, batch: u32) -> Self {
        let queues: Vec<_> = halves.iter().map(|h| h.queue).collect();
        Self {
            #[cfg(feature = "async")]
            readiness: crate::reactor::Readiness::new(&shared.backend, &queues),
            ready: VecDeque::with_capacity(batch as usize * halves.len()),
            halves,
            queues,
            shared,
            poll: PollState::new(poller),
            batch,
        }
    }

    /// Moves what has arrived, up to a batch per queue, to the end of `out` without waiting;
    /// returns how many.
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn try_recv(&mut self, out: &mut impl Extend<Packet>) -> Result<usize> {
        let mut total = self.ready.len();
        out.extend(self.ready.drain(..));
        let umem = &self.shared.umem;
        for half in &mut self.halves {
            let queue = half.queue;
            let n = half.rx.receive(self.batch, |buffer| {
                out.extend(std::iter::once(Packet::new(buffer, umem, queue)));
            });
            // Also when nothing came: packets dropped elsewhere may have freed frames.
            half.refill()?;
            total += n as usize;
        }
        if total > 0 {
            let backend = &self.shared.backend;
            self.poll.on_packets(total, || backend.now());
        }
        Ok(total)
    }

    /// Like [`try_recv`](Self::try_recv), but waits for the first packet until `deadline`, in ns
    /// of [`now`](Self::now) (`None`: for ever). 0 when it passed, and sometimes before, when a
    /// signal came.
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn recv_batch(
        &mut self,
        out: &mut impl Extend<Packet>,
        deadline: Option<u64>,
    ) -> Result<usize> {
        loop {
            let n = self.try_recv(out)?;
            if n > 0 {
                return Ok(n);
            }
            let backend = &self.shared.backend;
            let now = backend.now();
            if deadline.is_some_and(|at| at <= now) {
                return Ok(0);
            }
            match self.poll.on_empty(|| now) {
                Idle::Spin => backend.spin(&self.queues, deadline)?,
                Idle::Block => {
                    let timeout = PollState::timeout(now, deadline);
                    if !backend.wait(&self.queues, Interest::Rx, timeout)? {
                        return self.try_recv(out);
                    }
                }
            }
        }
    }

    /// The next packet; `None` when `timeout` passes without one (`None`: wait for ever).
    ///
    /// # Errors
    /// When the interface goes away.
    pub fn recv(&mut self, timeout: Option<Duration>) -> Result<Option<Packet>> {
        if self.ready.is_empty() {
            let deadline = timeout.map(|t| {
                self.now().saturating_add(u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
            });
            let mut ready = std::mem::take(&mut self.ready);
            let received = self.recv_batch(&mut ready, deadline);
            self.ready = ready;
            received?;
        }
        Ok(self.ready.pop_front())
    }

    /// The next packet, without blocking the thread. On the simulator each empty look moves
    /// virtual time on.
    ///
    /// # Errors
    /// When the interface goes away, or outside a tokio runtime with I/O.
    #[cfg(feature = "async")]
    pub async fn recv_async(&mut self) -> Result<Packet> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Ok(packet);
            }
            let mut ready = std::mem::take(&mut self.ready);
            let received = self.try_recv(&mut ready);
            self.ready = ready;
            if received? == 0 {
                self.readiness.wait().await?;
            }
        }
    }

    /// Now, in ns of the clock of [`Packet::rx_timestamp`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.backend.now()
    }

    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.shared.granted
    }

    /// The kernel's counters, summed over the queues.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        crate::raw::sum_stats(&*self.shared.backend, &self.queues)
    }

    /// System calls made so far, over all queues and both halves.
    #[must_use]
    pub fn calls(&self) -> Calls {
        crate::raw::sum_calls(&*self.shared.backend, &self.queues)
    }

    /// What the XDP program did with the packets of each RX queue of the interface, those
    /// without a socket included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.shared.backend.queue_counters()
    }

    /// Frames that reception holds: posted and not yet received, or received and not yet asked
    /// for.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let posted = self.halves.iter().map(|h| h.fill.posted() - h.rx.received()).sum::<u64>();
        posted + self.ready.len() as u64
    }

    /// The packet memory, for looking at its free list.
    #[must_use]
    pub fn umem(&self) -> &std::sync::Arc<crate::umem::Umem> {
        &self.shared.umem
    }
}
