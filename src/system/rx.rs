//! The receiving half.

use super::Shared;
use crate::backend::Interest;
use crate::config::{Granted, Poller};
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::packet::{Packet, PacketSlot, Packets, Way};
use crate::poll::{Idle, LOOK_FOR_FRAMES, PollState, nanos};
use crate::port::{Port, sum_calls, sum_stats};
use crate::snapshot::{RingsSnapshot, Source};
use crate::socket::{Halves, RxHalf};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use crate::umem::FrameCache;
use std::time::Duration;

/// The ports are looked at this often, in looks for packets.
const LOOK_AT_PORTS: u32 = 8;

/// Receives owned packets from one or more queues.
pub struct FluxRx {
    halves: Vec<RxHalf>,
    queues: Vec<QueueIndex>,
    shared: Shared,
    cache: FrameCache,
    poll: PollState,
    batch: u32,
    /// Looks for packets.
    looks: u32,
    /// Received with a batch and not asked for yet, by [`FluxRx::recv`] alone; the next one last.
    ready: Packets,
    #[cfg(feature = "async")]
    readiness: crate::reactor::Readiness,
}

impl FluxRx {
    pub(super) fn new(
        halves: Vec<RxHalf>,
        shared: Shared,
        poller: Poller,
        batch: u32,
        caches: usize,
    ) -> Self {
        let queues: Vec<_> = halves.iter().map(|half| half.number.queue).collect();
        Self {
            #[cfg(feature = "async")]
            readiness: crate::reactor::Readiness::new(&shared.backend, &queues, Interest::Rx),
            ready: Packets::with_capacity(batch as usize * halves.len()),
            cache: shared.cache(caches),
            halves,
            queues,
            shared,
            poll: PollState::new(poller),
            batch,
            looks: 0,
        }
    }

    /// Moves what has arrived, up to a batch per queue, to the end of `out` without waiting;
    /// returns how many. Packets of another UMEM that are still in `out` are dropped.
    ///
    /// # Errors
    /// As [`recv_batch`](Self::recv_batch). What came on the other queues is in `out` all the same.
    pub fn try_recv(&mut self, out: &mut Packets) -> Result<usize> {
        let Self { halves, shared, cache, ready, batch, .. } = self;
        let slots = out.of(&shared.umem);
        let (mut total, mut outcome) = (ready.slots.len(), Ok(()));
        slots.extend(ready.slots.drain(..).rev());
        for half in halves {
            let way = Way::of(half.number);
            let n = half.rx.receive(*batch, |buffer| slots.push(PacketSlot { buffer, way }));
            // Also when nothing came: packets dropped elsewhere may have freed frames.
            outcome = outcome.and(half.refill(cache, false));
            total += n as usize;
        }
        cache.settle();
        outcome?;
        if self.is_short() {
            self.find_frames()?;
        }
        if total > 0 {
            let backend = &self.shared.backend;
            self.poll.on_packets(total, || backend.now());
        }
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(LOOK_AT_PORTS) {
            // Loops that never wait want to know, too, what happens to their interfaces.
            self.shared.backend.look(&self.queues)?;
        }
        Ok(total)
    }

    /// Whether a fill ring lacks frames, after a refill: then there is none in the cache either.
    #[inline]
    fn is_short(&self) -> bool {
        self.cache.len() == 0 && self.halves.iter().any(RxHalf::is_short)
    }

    /// Refills from the completion rings of all queues: their senders may have nothing to do for long.
    #[cold]
    fn find_frames(&mut self) -> Result<()> {
        let Self { halves, shared, cache, .. } = self;
        if shared.reap_all(cache) == 0 {
            return Ok(());
        }
        let refilled = halves.iter_mut().map(|half| half.refill(cache, false));
        let refilled = refilled.fold(Ok(()), Result::and);
        cache.settle();
        refilled
    }

    /// Like [`try_recv`](Self::try_recv), but waits for the first packet until `deadline`, in ns
    /// of [`now`](Self::now) (`None` and `u64::MAX`: for ever). 0 when it passed, and sometimes before,
    /// when a signal came, or in virtual time when nothing is to come any more.
    ///
    /// Reception goes on as soon as frames are free: while a fill ring is short of them, it looks for
    /// some every 10 ms, and dropping a packet on another thread wakes it.
    ///
    /// # Errors
    /// When an interface goes away, somebody detached its XDP program, or its link has been away for
    /// longer than the link timeout.
    pub fn recv_batch(&mut self, out: &mut Packets, deadline: Option<u64>) -> Result<usize> {
        let deadline = deadline.filter(|&at| at < u64::MAX);
        loop {
            let n = self.try_recv(out)?;
            if n > 0 {
                return Ok(n);
            }
            self.cache.give_back();
            let backend = &self.shared.backend;
            let now = backend.now();
            if deadline.is_some_and(|at| at <= now) {
                return Ok(0);
            }
            match self.poll.on_empty(|| now) {
                Idle::Spin => {
                    if !backend.spin(&self.queues, deadline)? {
                        return self.try_recv(out);
                    }
                }
                Idle::Block if self.is_short() => {
                    if !self.wait_short(now, deadline)? {
                        return self.try_recv(out);
                    }
                }
                Idle::Block => {
                    let timeout = PollState::timeout(now, deadline);
                    if !backend.wait(&self.queues, Interest::Rx, timeout)? {
                        return self.try_recv(out);
                    }
                }
            }
        }
    }

    /// Waits, not for long, while a fill ring is short. False when nothing is to come in virtual time,
    /// or when a signal came.
    fn wait_short(&self, now: u64, deadline: Option<u64>) -> Result<bool> {
        let Shared { umem, backend, .. } = &self.shared;
        if !umem.wait_for_frames() {
            return Ok(true); // some came meanwhile
        }
        if deadline.is_none() && backend.nothing_to_come() {
            return Ok(false);
        }
        let look = LOOK_FOR_FRAMES;
        let timeout = PollState::timeout(now, deadline).map_or(look, |left| left.min(look));
        let woken = backend.wait(&self.queues, Interest::Rx, Some(timeout))?;
        let until = now.saturating_add(nanos(timeout));
        Ok(woken || backend.now() >= until)
    }

    /// The next packet; `None` when `timeout` passes without one (`None`: wait for ever).
    ///
    /// # Errors
    /// As [`recv_batch`](Self::recv_batch).
    pub fn recv(&mut self, timeout: Option<Duration>) -> Result<Option<Packet>> {
        if self.ready.is_empty() {
            let deadline = timeout.map(|t| self.now().saturating_add(nanos(t)));
            self.get_ready(|rx, ready| rx.recv_batch(ready, deadline))?;
        }
        Ok(self.ready.pop())
    }

    fn get_ready(
        &mut self,
        receive: impl FnOnce(&mut Self, &mut Packets) -> Result<usize>,
    ) -> Result<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        let received = receive(self, &mut ready);
        ready.slots.reverse();
        self.ready = ready;
        received
    }

    /// The next packet, without blocking the thread. On the simulator each empty look moves
    /// virtual time on. While a fill ring is short of frames, it looks for some every 10 ms. When the
    /// future is dropped no packet is lost.
    ///
    /// # Errors
    /// When an interface goes away; 0.2 s later at most.
    ///
    /// # Panics
    /// On the real kernel, outside a tokio runtime with I/O and time.
    #[cfg(feature = "async")]
    pub async fn recv_async(&mut self) -> Result<Packet> {
        loop {
            if let Some(packet) = self.ready.pop() {
                return Ok(packet);
            }
            if self.get_ready(Self::try_recv)? == 0 {
                self.cache.give_back();
                let short = self.is_short();
                let longest = if short { LOOK_FOR_FRAMES } else { crate::reactor::PULSE };
                self.readiness.wait(longest).await?;
            }
        }
    }

    /// Goes on without a port, for instance after its interface is gone. The frames that lie with
    /// its kernel stay there until the UMEM is closed.
    pub fn remove_port(&mut self, port: PortIndex) {
        let Self { halves, cache, .. } = self;
        for half in halves.iter_mut().filter(|half| half.number.port == port) {
            half.stop();
            half.rx.receive(u32::MAX, |buffer| cache.put(buffer.frame));
        }
        halves.retain(|half| half.number.port != port);
        cache.give_back();
        self.shared.forget_port(port);
        self.queues = self.halves.iter().map(|half| half.number.queue).collect();
        #[cfg(feature = "async")]
        {
            let backend = &self.shared.backend;
            self.readiness = crate::reactor::Readiness::new(backend, &self.queues, Interest::Rx);
        }
    }

    /// Now, in ns of the clock of [`Packet::rx_timestamp`].
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.backend.now()
    }

    /// All ports that were opened together.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.shared.ports
    }

    /// What the kernel granted for the first port.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        self.shared.ports[0].granted()
    }

    /// The kernel's counters, summed over the queues.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        sum_stats(&*self.shared.backend, self.queues.iter().copied())
    }

    /// System calls made so far, over all queues and both halves.
    #[must_use]
    pub fn calls(&self) -> Calls {
        sum_calls(&*self.shared.backend, self.queues.iter().copied())
    }

    /// What the XDP program of the first port did ([`Port::queue_counters`]).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.shared.ports[0].queue_counters()
    }

    /// Frames that reception holds: posted and not yet received, received and not yet asked for, or
    /// kept for the next refill.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let posted = self.halves.iter().map(RxHalf::held).sum::<u64>();
        posted + self.ready.len() as u64 + self.cache.len() as u64
    }

    /// Fill and RX rings of its queues; [`RingsSnapshot::join`] adds the sender's.
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let mut cached = self.cache.len();
        let sockets = self.halves.iter().map(|half| {
            let halves = Halves { rx: Some((&half.fill, &half.rx)), tx: None };
            self.shared.snapshot(half.number, halves, std::mem::take(&mut cached))
        });
        RingsSnapshot { source: Source::Owner, sockets: sockets.collect() }
    }

    /// The packet memory, for looking at its free list.
    #[must_use]
    pub fn umem(&self) -> &std::sync::Arc<crate::umem::Umem> {
        &self.shared.umem
    }
}
