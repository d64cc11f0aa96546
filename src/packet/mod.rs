//! Packets as the modes hand them out: borrowed in a batch ([`PacketRef`], [`PacketMut`]), or owned
//! ([`Packet`], [`Packets`]).
//!
//! ```text
//!   frame  | headroom …… | packet bytes …… | tailroom …… |
//!                        ▲ adjust_head(−n) ◀ ▶ (+n)  ▲ set_len(n)
//! ```
//!
//! All can only name bytes inside their own frame: the frame token gives the bytes, and
//! [`Span`](crate::umem::Span) keeps start and length inside.

mod packets;

pub(crate) use packets::PacketSlot;
pub use packets::{PacketMut, Packets};

use crate::ids::{PortIndex, QueueIndex};
use crate::socket::{Number, headroom};
use crate::umem::{Buffer, NoRoom, Umem};
use crate::worker::{NoWay, Routes};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// A packet's place in a batch of mode A; its frame token is taken out when the packet is extracted.
pub(crate) struct Slot {
    pub(crate) buffer: Buffer,
    /// Which of the worker's TX rings it leaves by, or [`Slot::RECYCLE`].
    pub(crate) to: u16,
}

impl Slot {
    /// Nothing was said, or recycle: the frame goes back to reception.
    pub(crate) const RECYCLE: u16 = u16::MAX;
    /// To a port that the worker does not have: recycled, and counted.
    pub(crate) const NOWHERE: u16 = u16::MAX - 1;
    /// To a port whose queues here only receive: recycled, and counted.
    pub(crate) const RECEIVE_ONLY: u16 = u16::MAX - 2;

    /// The ring of a way out, or what is said instead of one.
    #[inline(always)]
    pub(crate) fn ring(way: Result<usize, NoWay>) -> u16 {
        match way {
            Ok(to) => to as u16,
            Err(NoWay::NotHere) => Self::NOWHERE,
            Err(NoWay::ReceiveOnly) => Self::RECEIVE_ONLY,
        }
    }
}

/// Where a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The queue that it came from or was given.
    pub(crate) queue: QueueIndex,
    /// The port, if it is not that queue itself.
    pub(crate) port: Option<PortIndex>,
}

impl Way {
    /// Of what was received on a queue: by that queue, or where it only receives, by its port.
    #[inline(always)]
    pub(crate) fn of(Number { port, queue, sends }: Number) -> Self {
        Self { queue, port: if sends { None } else { Some(port) } }
    }

    /// Which of the rings it is.
    #[inline(always)]
    pub(crate) fn ring(self, routes: &Routes) -> Result<usize, NoWay> {
        match self.port {
            None => routes.to_queue(self.queue),
            Some(port) => routes.to_port(self.queue, port),
        }
    }
}

/// Where new packets leave: by the first of these queues that sends. Without one there is no way out,
/// as sending them will say.
pub(crate) fn first_way(mut queues: impl Iterator<Item = Number>) -> Option<Way> {
    let first = queues.next()?;
    let sends = if first.sends { None } else { queues.find(|number| number.sends) };
    Some(Way { queue: sends.unwrap_or(first).queue, port: None })
}

headroom!(PacketRef<'_>);
headroom!(PacketMut<'_>);
headroom!(Packet);

/// The methods that all kinds of packet have, over their UMEM and the field that is their buffer.
macro_rules! packet_methods {
    ($($buffer:ident).+) => {
        #[inline(always)]
        fn umem(&self) -> &Umem {
            &self.umem
        }

        #[inline(always)]
        fn buffer(&self) -> &Buffer {
            &self.$($buffer).+
        }

        #[inline(always)]
        fn parts_mut(&mut self) -> (&Umem, &mut Buffer) {
            (&self.umem, &mut self.$($buffer).+)
        }

        /// The packet's bytes, from the Ethernet header on.
        #[inline(always)]
        #[must_use]
        pub fn data(&self) -> &[u8] {
            self.umem().packet(self.buffer())
        }

        /// The packet's bytes, for writing.
        #[inline(always)]
        #[must_use]
        pub fn data_mut(&mut self) -> &mut [u8] {
            let (umem, buffer) = self.parts_mut();
            umem.packet_mut(buffer)
        }

        /// Length in bytes.
        #[inline(always)]
        #[must_use]
        pub fn len(&self) -> usize {
            self.buffer().span.len()
        }

        /// Whether it has no bytes.
        #[must_use]
        pub fn is_empty(&self) -> bool {
            self.buffer().span.is_empty()
        }

        /// Bytes in front of the packet that [`Self::adjust_head`] can open.
        #[must_use]
        pub fn headroom(&self) -> usize {
            self.buffer().span.start()
        }

        /// Cuts or grows the packet at its end to `len` bytes. Bytes that come in are whatever
        /// the frame held there.
        ///
        /// # Errors
        /// [`NoRoom`] when the frame ends before that; the packet is unchanged.
        pub fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
            let (umem, buffer) = self.parts_mut();
            buffer.span = buffer.span.with_len(len, umem.frame_size())?;
            Ok(())
        }

        /// Moves the packet's start by `delta` bytes, as `bpf_xdp_adjust_head` does: positive
        /// strips from the front, negative opens headroom (whose bytes are whatever was there).
        /// The payload does not move.
        ///
        /// # Errors
        /// [`NoRoom`] when the start would leave the frame or pass the end; the packet is
        /// unchanged.
        pub fn adjust_head(&mut self, delta: i32) -> Result<(), NoRoom> {
            let buffer = self.parts_mut().1;
            buffer.span = buffer.span.adjust_head(delta)?;
            Ok(())
        }

        /// When the XDP program saw the packet, in ns of `CLOCK_MONOTONIC` (virtual time on the
        /// simulator). `None` without receive stamps, and after the packet's start was moved.
        #[must_use]
        pub fn rx_timestamp(&self) -> Option<u64> {
            self.umem().rx_timestamp(self.buffer())
        }
    };
}
pub(crate) use packet_methods;

/// A packet in a [`crate::PacketBatch`]. Say what becomes of it with [`send`](Self::send),
/// [`forward`](Self::forward), [`recycle`](Self::recycle) or [`extract`](Self::extract); one that
/// is left alone is recycled.
pub struct PacketRef<'b> {
    pub(crate) slot: &'b mut Slot,
    pub(crate) umem: &'b Arc<Umem>,
    pub(crate) number: Number,
    pub(crate) ways: Ways<'b>,
}

/// Where the packets of a batch may leave.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'b> {
    /// The TX ring of the queue that they came from; another of the port where that only receives
    /// ([`Slot::ring`]).
    pub(crate) own: u16,
    pub(crate) routes: &'b Routes,
    /// Whether some packet goes nowhere.
    pub(crate) lost: &'b Cell<bool>,
}

impl PacketRef<'_> {
    packet_methods!(slot.buffer);

    /// Sends the packet out on the queue it came from, after the batch; where that only receives, by
    /// another of its port, always the same one. Where no queue of the port sends here, where the
    /// packet is empty or longer than the port can send, it is recycled and counted
    /// ([`crate::EngineStats`]).
    #[inline(always)]
    pub fn send(self) {
        self.slot.to = self.ways.own;
    }

    /// Sends the packet out by another port, after the batch; nothing is copied. Packets of one
    /// queue leave a port by one queue, in their order. To a port that is not open here it is
    /// recycled and counted ([`crate::EngineStats::no_port`]), and so is one that the port cannot
    /// send, as with [`send`](Self::send). The bytes leave as they are: packets
    /// that a veth received need [`complete_checksum`](crate::proto::complete_checksum) first.
    #[inline(always)]
    pub fn forward(self, port: PortIndex) {
        let to = self.ways.routes.to_port(self.number.queue, port);
        self.slot.to = Slot::ring(to);
        if to.is_err() {
            self.ways.lost.set(true);
        }
    }

    /// Drops the packet: its frame goes back to reception after the batch.
    #[inline(always)]
    pub fn recycle(self) {
        self.slot.to = Slot::RECYCLE;
    }

    /// The old name of [`recycle`](Self::recycle).
    #[deprecated(note = "renamed to `recycle`")]
    pub fn drop(self) {
        self.recycle();
    }

    /// Takes the packet out of the batch, to keep or to send to another thread.
    #[must_use = "an extracted packet that is dropped is recycled"]
    pub fn extract(self) -> Packet {
        let buffer = Buffer { frame: self.slot.buffer.frame.take(), span: self.slot.buffer.span };
        Packet::new(buffer, self.umem, Way::of(self.number))
    }
}

/// An owned packet. May go to any thread; dropping it returns its frame through the lock-free
/// free list.
pub struct Packet {
    buffer: Buffer,
    umem: Arc<Umem>,
    way: Way,
}

impl Packet {
    packet_methods!(buffer);

    pub(crate) fn new(buffer: Buffer, umem: &Arc<Umem>, way: Way) -> Self {
        Self { buffer, umem: Arc::clone(umem), way }
    }

    /// Position, among the opened queues, of the one it came from, or was given with
    /// [`set_queue`](Self::set_queue).
    #[must_use]
    pub fn queue(&self) -> QueueIndex {
        self.way.queue
    }

    /// Chooses the queue that it will leave by. One that only receives refuses it
    /// ([`SendError::ReceiveOnly`]); a packet that was received on such a queue leaves by its port.
    pub fn set_queue(&mut self, queue: QueueIndex) {
        self.way = Way { queue, port: None };
    }

    /// Chooses the port that it will leave by. The sender picks one of the port's queues that send:
    /// the same one for all packets of one queue, so that they keep their order. The bytes leave as they are, as with
    /// [`PacketRef::forward`].
    pub fn set_port(&mut self, port: PortIndex) {
        self.way.port = Some(port);
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// The token without the comfort; `Drop` then finds nothing to return.
    pub(crate) fn into_buffer(mut self) -> Buffer {
        Buffer { frame: self.buffer.frame.take(), span: self.buffer.span }
    }

    pub(crate) fn umem_arc(&self) -> &Arc<Umem> {
        &self.umem
    }

    pub(crate) fn is_of(&self, umem: &Arc<Umem>) -> bool {
        Arc::ptr_eq(&self.umem, umem)
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if !self.buffer.frame.is_taken() {
            self.umem.free(self.buffer.frame.take());
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes, frame {})", self.len(), self.buffer.frame.index())
    }
}

/// Why a packet was not queued for transmission; it is in there.
#[derive(Debug)]
pub enum SendError {
    /// The TX ring is full: flush, and send it again.
    Full(Packet),
    /// The queue or port that it names is not open here.
    NoSuchQueue(Packet),
    /// The queue that it names only receives, or every one of the port that it names: the interface
    /// has fewer TX than RX queues ([`crate::Granted::tx_queues`]). The kernel would leave it in the
    /// ring for ever.
    ReceiveOnly(Packet),
    /// It lies in the memory of another UMEM.
    Foreign(Packet),
    /// It has no bytes: the kernel would not send it.
    Empty(Packet),
    /// It is longer than the interface sends: more than its MTU and 18 bytes, for an Ethernet header
    /// and a VLAN tag. The kernel would drop it.
    TooLong(Packet),
}

impl SendError {
    /// The packet.
    #[must_use = "a packet that is dropped is lost"]
    pub fn into_packet(self) -> Packet {
        match self {
            Self::Full(packet)
            | Self::NoSuchQueue(packet)
            | Self::ReceiveOnly(packet)
            | Self::Foreign(packet)
            | Self::Empty(packet)
            | Self::TooLong(packet) => packet,
        }
    }

    /// Whether it may work later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl From<NoWay> for fn(Packet) -> SendError {
    fn from(why: NoWay) -> Self {
        match why {
            NoWay::NotHere => SendError::NoSuchQueue,
            NoWay::ReceiveOnly => SendError::ReceiveOnly,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the TX ring is full",
            Self::NoSuchQueue(_) => "the packet names a queue or port that is not open here",
            Self::ReceiveOnly(_) => {
                "the queue only receives, the interface has fewer TX queues: send by another queue, \
                 or name the port alone"
            }
            Self::Foreign(_) => "the packet lies in the memory of another UMEM",
            Self::Empty(_) => "the packet has no bytes",
            Self::TooLong(_) => {
                "the packet is longer than the MTU of the interface allows: shorten it, or raise the \
                 MTU"
            }
        })
    }
}

impl std::error::Error for SendError {}
