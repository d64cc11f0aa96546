//! Packets as the modes hand them out: borrowed in a batch ([`PacketRef`]), or owned ([`Packet`]).
//!
//! ```text
//!   frame  | headroom …… | packet bytes …… | tailroom …… |
//!                        ▲ adjust_head(−n) ◀ ▶ (+n)  ▲ set_len(n)
//! ```
//!
//! Both can only name bytes inside their own frame: the frame token gives the bytes, and
//! [`Span`](crate::umem::Span) keeps start and length inside.

use crate::proto::Headroom;
use crate::umem::{Buffer, NoRoom, Umem};
use std::fmt;
use std::sync::Arc;

/// What becomes of a packet after the batch was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was said, or drop: the frame is recycled.
    Recycle,
    /// Out again on the queue it came from.
    Send,
}

/// A packet's place in a batch; its frame token is taken out when the packet is extracted.
pub(crate) struct Slot {
    pub(crate) buffer: Buffer,
    pub(crate) verdict: Verdict,
}

/// VLAN push and pop, which move headers and no payload.
macro_rules! headroom {
    ($packet:ty) => {
        impl Headroom for $packet {
            type Error = NoRoom;

            fn adjust_head(&mut self, delta: i32) -> Result<(), NoRoom> {
                self.adjust_head(delta)
            }

            fn bytes(&self) -> &[u8] {
                self.data()
            }

            fn bytes_mut(&mut self) -> &mut [u8] {
                self.data_mut()
            }
        }
    };
}

headroom!(PacketRef<'_>);
headroom!(Packet);

/// The methods that both kinds of packet have, over `umem()`, `buffer()` and `parts_mut()`.
macro_rules! packet_methods {
    () => {
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

        /// When the XDP program saw the packet, in ns of [`crate::backend::Backend::now`].
        /// `None` without receive stamps, and after the packet's start was moved.
        #[must_use]
        pub fn rx_timestamp(&self) -> Option<u64> {
            self.umem().rx_stamp(self.buffer())
        }
    };
}

/// A packet in a [`crate::PacketBatch`]. Say what becomes of it with [`send`](Self::send),
/// [`drop`](Self::drop) or [`extract`](Self::extract); one that is left alone is recycled.
pub struct PacketRef<'b> {
    pub(crate) slot: &'b mut Slot,
    pub(crate) umem: &'b Arc<Umem>,
    pub(crate) queue: usize,
}

impl PacketRef<'_> {
    packet_methods!();

    /// Sends the packet out on the queue it came from, after the batch.
    #[inline(always)]
    pub fn send(self) {
        self.slot.verdict = Verdict::Send;
    }

    /// Drops the packet: its frame goes back to reception after the batch.
    #[inline(always)]
    pub fn drop(self) {
        self.slot.verdict = Verdict::Recycle;
    }

    /// Takes the packet out of the batch, to keep or to send to another thread.
    #[must_use = "an extracted packet that is dropped is recycled"]
    pub fn extract(self) -> Packet {
        let buffer = Buffer { frame: self.slot.buffer.frame.take(), span: self.slot.buffer.span };
        Packet::new(buffer, self.umem, self.queue)
    }

    #[inline(always)]
    fn umem(&self) -> &Umem {
        self.umem
    }

    #[inline(always)]
    fn buffer(&self) -> &Buffer {
        &self.slot.buffer
    }

    #[inline(always)]
    fn parts_mut(&mut self) -> (&Umem, &mut Buffer) {
        (self.umem, &mut self.slot.buffer)
    }
}

/// An owned packet. May go to any thread; dropping it returns its frame through the lock-free
/// free list.
pub struct Packet {
    buffer: Buffer,
    umem: Arc<Umem>,
    queue: usize,
}

impl Packet {
    packet_methods!();

    pub(crate) fn new(buffer: Buffer, umem: &Arc<Umem>, queue: usize) -> Self {
        Self { buffer, umem: Arc::clone(umem), queue }
    }

    /// Position, among the opened queues, of the one it came from and will leave by.
    #[must_use]
    pub fn queue(&self) -> usize {
        self.queue
    }

    /// Chooses the queue, by position among the opened ones, that it will leave by.
    pub fn set_queue(&mut self, queue: usize) {
        self.queue = queue;
    }

    /// The token without the comfort; `Drop` then finds nothing to return.
    pub(crate) fn into_buffer(mut self) -> Buffer {
        Buffer { frame: self.buffer.frame.take(), span: self.buffer.span }
    }

    pub(crate) fn is_of(&self, umem: &Arc<Umem>) -> bool {
        Arc::ptr_eq(&self.umem, umem)
    }

    #[inline(always)]
    fn umem(&self) -> &Umem {
        &self.umem
    }

    #[inline(always)]
    fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    #[inline(always)]
    fn parts_mut(&mut self) -> (&Umem, &mut Buffer) {
        (&self.umem, &mut self.buffer)
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
