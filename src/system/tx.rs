//! The sending half.

use super::{Sender, Shared};
use crate::backend::Interest;
use crate::config::Granted;
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::packet::{Packet, PacketSlot, Packets, SendError, Way, first_way};
use crate::poll::PollState;
use crate::port::Port;
use crate::snapshot::{RingsSnapshot, Source};
use crate::socket::{Halves, Number};
use crate::umem::{Buffer, FrameCache, RX_HEADROOM, Span};
use crate::worker::Routes;
use std::sync::Arc;

/// A full TX ring, or one that the kernel was not told about, is looked at again after this time, then
/// after twice the time, and so on.
#[cfg(feature = "async")]
const FIRST_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);
/// The longest of these pauses.
#[cfg(feature = "async")]
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Sends owned packets on one or more queues.
pub struct FluxTx {
    halves: Vec<Sender>,
    queues: Vec<QueueIndex>,
    /// Those of them that send.
    sending: Vec<QueueIndex>,
    routes: Routes,
    shared: Shared,
    cache: FrameCache,
    /// Of a batch: for other rings, and refused. Empty between calls.
    later: Vec<PacketSlot>,
    back: Vec<PacketSlot>,
    #[cfg(feature = "async")]
    readiness: crate::reactor::Readiness,
}

/// Positions of the queues that send.
fn sending(halves: &[Sender]) -> Vec<QueueIndex> {
    let numbers = halves.iter().map(|half| half.number);
    numbers.filter(|number| number.sends).map(|number| number.queue).collect()
}

/// What became of a batch that was sent, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Queued for transmission.
    pub sent: usize,
    /// Still in the container, because a TX ring is full: flush, and send again.
    pub full: usize,
    /// Still in the container, because they name no queue or port that is open here, or one that only
    /// receives; have no bytes, or more than the port can send; or are of another UMEM.
    /// [`FluxTx::send`] says which of these.
    pub refused: usize,
}

impl FluxTx {
    pub(super) fn new(halves: Vec<Sender>, shared: Shared, caches: usize) -> Self {
        let sending = sending(&halves);
        Self {
            #[cfg(feature = "async")]
            readiness: crate::reactor::Readiness::new(&shared.backend, &sending, Interest::Tx),
            queues: halves.iter().map(|half| half.number.queue).collect(),
            sending,
            routes: Routes::new(halves.iter().map(|half| half.number)),
            cache: shared.cache(caches),
            halves,
            shared,
            later: Vec::new(),
            back: Vec::new(),
        }
    }

    /// A new packet of `len` bytes with room in front for more headers. Its bytes are whatever
    /// the frame held. It leaves by the first queue that sends unless it is told another way. `None`
    /// when every frame is in use, or `len` exceeds [`max_len`](Self::max_len).
    pub fn alloc(&mut self, len: usize) -> Option<Packet> {
        let way = first_way(self.halves.iter().map(|half| half.number))?;
        let umem = &self.shared.umem;
        let len = u32::try_from(len).ok()?;
        let span = Span::new(RX_HEADROOM, len, umem.frame_size()).ok()?;
        let mut frame = self.cache.take();
        if frame.is_none() {
            for half in &mut self.halves {
                half.reap(&mut self.cache);
            }
            frame = self.cache.take();
            self.cache.settle();
        }
        frame.map(|frame| Packet::new(Buffer { frame, span }, umem, way))
    }

    /// Longest packet that [`alloc`](Self::alloc) can make, in bytes: what a frame holds. What a port
    /// sends may be less ([`SendError::TooLong`]).
    #[must_use]
    pub fn max_len(&self) -> usize {
        (self.shared.umem.frame_size() - RX_HEADROOM) as usize
    }

    /// Queues a packet on the queue or port that it names; it leaves with the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// Gives the packet back, and says why: the TX ring is full (flush and try again), it names no
    /// queue or port that is open here, or one that only receives, it comes from another UMEM, it has
    /// no bytes, or more than the port can send.
    pub fn send(&mut self, packet: Packet) -> std::result::Result<(), SendError> {
        if !packet.is_of(&self.shared.umem) {
            return Err(SendError::Foreign(packet));
        }
        if packet.is_empty() {
            return Err(SendError::Empty(packet));
        }
        let way = packet.way();
        let at = match way.ring(&self.routes) {
            Ok(at) => at,
            Err(why) => return Err(<fn(Packet) -> SendError>::from(why)(packet)),
        };
        let mut room = self.halves[at].tx.reserve(1);
        if packet.len() > room.longest() as usize {
            return Err(SendError::TooLong(packet));
        }
        if room.room() == 0 {
            return Err(SendError::Full(packet));
        }
        room.push(packet.into_buffer()).map_err(|buffer| {
            // There is room, its length will do, and it is ours: its span leaves the frame.
            SendError::Foreign(Packet::new(buffer, &self.shared.umem, way))
        })
    }

    /// Queues packets, each on the queue or port that it names; they leave with the next
    /// [`flush`](Self::flush). Those that are not queued stay in `packets`, in their order.
    ///
    /// # Errors
    /// When a ring is full, and the kernel refuses the kick that should make room.
    pub fn send_batch(&mut self, packets: &mut Packets) -> Result<Sent> {
        let mut sent = Sent::default();
        let ours = packets.umem.as_ref().is_some_and(|umem| Arc::ptr_eq(umem, &self.shared.umem));
        if !ours {
            sent.refused = packets.len();
            return Ok(sent);
        }
        let slots = &mut packets.slots;
        self.later.reserve(slots.len());
        self.back.reserve(slots.len());
        let mut result = Ok(());
        while let Some(way) = slots.first().map(|slot| slot.way) {
            match way.ring(&self.routes) {
                Ok(at) => result = result.and(self.send_to(at, way, slots, &mut sent)),
                Err(_) => {
                    for slot in slots.drain(..) {
                        let list = if slot.way == way {
                            sent.refused += 1;
                            &mut self.back
                        } else {
                            &mut self.later
                        };
                        list.push(slot);
                    }
                }
            }
            std::mem::swap(slots, &mut self.later);
        }
        std::mem::swap(slots, &mut self.back);
        self.cache.settle();
        result.map(|()| sent)
    }

    /// Queues the packets that go that way; the others go to `later`, the refused ones to `back`.
    #[inline]
    fn send_to(
        &mut self,
        at: usize,
        way: Way,
        slots: &mut Vec<PacketSlot>,
        sent: &mut Sent,
    ) -> Result<()> {
        let Self { halves, cache, later, back, .. } = self;
        let (half, all) = (&mut halves[at], slots.len() as u32);
        let mut flushed = Ok(());
        // Most batches find room for all of their packets, and then nobody has to count.
        if half.tx.reserve(all).room() < all {
            let wanted = slots.iter().filter(|slot| slot.way == way).count() as u32;
            if half.tx.reserve(wanted).room() < wanted {
                flushed = half.flush().map(drop);
                half.reap(cache);
            }
        }
        let mut room = half.tx.reserve(all);
        for PacketSlot { buffer, way: other } in slots.drain(..) {
            if other != way {
                later.push(PacketSlot { buffer, way: other });
                continue;
            }
            match room.push(buffer) {
                Ok(()) => sent.sent += 1,
                Err(buffer) => {
                    let sound = (1..=room.longest() as usize).contains(&buffer.span.len());
                    let full = room.room() == 0 && sound;
                    *if full { &mut sent.full } else { &mut sent.refused } += 1;
                    back.push(PacketSlot { buffer, way });
                }
            }
        }
        flushed
    }

    /// Tells the kernel about queued packets and takes the frames of sent ones back. True when
    /// the kernel took everything; false when it wants to be asked again later.
    ///
    /// # Errors
    /// When an interface goes away. What belongs to other ports is flushed all the same.
    pub fn flush(&mut self) -> Result<bool> {
        let Self { halves, cache, .. } = self;
        let mut all = Ok(true);
        for half in halves {
            let flushed = half.flush();
            half.reap(cache);
            all = all.and_then(|all| flushed.map(|flushed| all & flushed));
        }
        cache.settle();
        all
    }

    /// Waits until the kernel may take more packets, or until `deadline` in ns of
    /// [`now`](Self::now).
    ///
    /// # Errors
    /// When an interface goes away, or no queue here can send: the wait would have no end.
    pub fn wait(&mut self, deadline: Option<u64>) -> Result<bool> {
        self.cache.give_back();
        if let (Some(half), true) = (self.halves.first(), self.sending.is_empty()) {
            let Number { port, queue, .. } = half.number;
            return Err(self.shared.ports[port.get()].cannot_send(queue));
        }
        let timeout = PollState::timeout(self.now(), deadline);
        self.shared.backend.wait(&self.sending, Interest::Tx, timeout)
    }

    /// Queues a packet and kicks, without blocking the thread. While the ring is full it waits for
    /// room, and then until the kernel was told about the packet, or takes it by itself. It looks again
    /// after 1 ms, and ever more seldom, down to every 50 ms, while nothing changes. When the future is
    /// dropped before it is done, the packet is dropped with it, or queued for the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// When an interface goes away, or the packet cannot be sent here at all: then it is dropped.
    ///
    /// # Panics
    /// On the real kernel, when it has to wait outside a tokio runtime with I/O and time.
    #[cfg(feature = "async")]
    pub async fn send_async(&mut self, packet: Packet) -> Result<()> {
        let out = packet.way().ring(&self.routes).ok();
        let pending = |tx: &Self| out.map_or(0, |at| tx.halves[at].tx.pending());
        let mut pause = FIRST_PAUSE;
        let mut unsent = Some(packet);
        loop {
            match unsent.take().map_or(Ok(()), |packet| self.send(packet)) {
                Ok(()) => {}
                Err(SendError::Full(packet)) => unsent = Some(packet),
                Err(refused) => {
                    return Err(crate::FluxError::config("packet to send", refused.to_string()));
                }
            }
            // A kick is what makes room.
            let before = pending(self);
            self.flush()?;
            if unsent.is_none() && !out.is_some_and(|at| self.halves[at].is_untold()) {
                return Ok(());
            }
            if pending(self) < before {
                pause = FIRST_PAUSE;
                continue;
            }
            self.cache.give_back();
            self.readiness.wait(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Goes on without a port, for instance after its interface is gone: packets for it are refused
    /// from now on. The frames that lie with its kernel stay there until the UMEM is closed.
    pub fn remove_port(&mut self, port: PortIndex) {
        let Self { halves, cache, .. } = self;
        for half in halves.iter_mut().filter(|half| half.number.port == port) {
            half.reap(cache);
        }
        halves.retain(|half| half.number.port != port);
        cache.give_back();
        self.queues = self.halves.iter().map(|half| half.number.queue).collect();
        self.sending = sending(&self.halves);
        self.routes = Routes::new(self.halves.iter().map(|half| half.number));
        #[cfg(feature = "async")]
        {
            let backend = &self.shared.backend;
            self.readiness = crate::reactor::Readiness::new(backend, &self.sending, Interest::Tx);
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

    /// Positions of its queues among the opened ones.
    #[must_use]
    pub fn positions(&self) -> &[QueueIndex] {
        &self.queues
    }

    /// Those of [`positions`](Self::positions) that can send. An interface with fewer TX than RX
    /// queues has others that only receive.
    #[must_use]
    pub fn sending(&self) -> &[QueueIndex] {
        &self.sending
    }

    /// Packets queued that the kernel has not taken yet.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.halves.iter().map(|h| h.tx.pending()).sum()
    }

    /// Frames that transmission holds: queued and not yet taken back, or kept for the next packet.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.halves.iter().map(Sender::held).sum::<u64>() + self.cache.len() as u64
    }

    /// TX and completion rings of its queues, for [`RingsSnapshot::join`].
    #[must_use]
    pub fn debug_rings(&self) -> RingsSnapshot {
        let mut cached = self.cache.len();
        let sockets = self.halves.iter().map(|half| {
            let comp = half.comp.lock();
            let halves = Halves { rx: None, tx: Some((&half.tx, &comp)) };
            self.shared.snapshot(half.number, halves, std::mem::take(&mut cached))
        });
        RingsSnapshot { source: Source::Owner, sockets: sockets.collect() }
    }
}
