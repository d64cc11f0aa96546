//! The kernel's half of one queue's rings: AF_XDP copy mode as Linux 6.18 does it
//! (`net/xdp/xsk.c`; compared with 6.18.44 on a veth, call by call).

use crate::backend::{Kick, RingSet};
use crate::ring::{Consumer, Desc, Producer, heap_ring};
use crate::snapshot::{SocketOptions, SocketSnapshot, SocketState, UmemSnapshot};
use crate::stats::XdpStatistics;
use crate::umem::ledger::Holder;
use crate::umem::{Frame, RX_HEADROOM, Umem};
use std::sync::Arc;

/// What decides how a queue behaves.
#[derive(Clone, Copy)]
pub(super) struct QueueMode {
    pub(super) zero_copy: bool,
    /// Whether the XDP program writes its receive time in front of each packet.
    pub(super) stamps: bool,
    /// Whether the driver keeps all frames and uses none.
    pub(super) starves: bool,
}

/// What tells a socket from the others, here and as seen from outside.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// Inode number.
    pub(super) inode: u64,
    /// Number of its UMEM.
    pub(super) umem: u32,
}

/// Why the kernel stopped sending. As seen on 6.18.44, where it differs from what one expects:
#[derive(Clone, Copy, PartialEq, Eq)]
enum TxEnd {
    /// It found the ring empty. Counted, also after it sent something.
    Empty,
    /// At an invalid entry, which is consumed, counted, and *completed* like a sent one; the kick
    /// ends well, and whatever follows waits for the next one.
    Invalid,
    /// The completion ring is full: EAGAIN. (The budget, `XDP_MAX_TX_SKB_BUDGET`, never ends it:
    /// opening a socket raises it to the size of the TX ring.)
    Later,
    /// The device dropped the packet, which is completed all the same: EBUSY.
    Refused,
}

/// An AF_XDP socket seen from inside the kernel.
pub(super) struct KernelQueue {
    fill: Consumer<u64>,
    rx: Producer<Desc>,
    tx: Consumer<Desc>,
    comp: Producer<u64>,
    umem: Arc<Umem>,
    /// Frames taken from the fill ring whose packet then found no room: used before the ring.
    pool: Vec<Frame>,
    /// Fill entries taken whose slots are not given back yet: the kernel does that when a packet
    /// went through, or when it finds no more.
    unpublished: u32,
    mode: QueueMode,
    bound: bool,
    in_map: bool,
    /// Zero-copy: the driver looks at the TX ring by itself.
    awake: bool,
    /// Fill entries outside the UMEM. Linux counts them and shows nobody: `xdp_statistics`
    /// reads the counter of the RX ring, which never moves.
    fill_invalid: u64,
    pub(super) numbers: Numbers,
    stats: XdpStatistics,
}

impl KernelQueue {
    /// Both halves of four new rings; ours is returned, the kernel's is kept.
    pub(super) fn create(
        umem: &Arc<Umem>,
        ring_size: u32,
        mode: QueueMode,
        numbers: Numbers,
    ) -> (Self, RingSet) {
        let (fill_user, fill) = heap_ring(ring_size, 0);
        let (rx, rx_user) = heap_ring(ring_size, 0);
        let (tx_user, tx) = heap_ring(ring_size, 0);
        let (comp, comp_user) = heap_ring(ring_size, 0);
        // Set from creation on: TX has to be kicked the first time.
        tx.set_need_wakeup(true);
        let queue = Self {
            fill,
            rx,
            tx,
            comp,
            umem: Arc::clone(umem),
            pool: Vec::new(),
            unpublished: 0,
            mode,
            bound: false,
            in_map: true,
            awake: false,
            fill_invalid: 0,
            numbers,
            stats: XdpStatistics::default(),
        };
        let rings = RingSet {
            fill: fill_user,
            comp: comp_user,
            rx: rx_user,
            tx: tx_user,
            tx_shows_parts: true,
        };
        (queue, rings)
    }

    pub(super) fn bind(&mut self) {
        self.bound = true;
        self.swallow();
    }

    pub(super) fn is_bound(&self) -> bool {
        self.bound
    }

    /// Puts the socket into the XSKMAP, or takes it out.
    pub(super) fn put_into_map(&mut self, there: bool) {
        self.in_map = there;
    }

    /// Whether the XDP program finds the socket.
    pub(super) fn receives(&self) -> bool {
        self.bound && self.in_map
    }

    /// What tells itself from outside: rings as this side knows them, counters, UMEM.
    pub(super) fn snapshot(&self, users: u32) -> SocketSnapshot {
        let (frames, frame_size) = (self.umem.frames(), self.umem.frame_size());
        SocketSnapshot {
            inode: Some(self.numbers.inode),
            state: if self.bound { SocketState::Bound } else { SocketState::Ready },
            zero_copy: Some(self.mode.zero_copy),
            uses_need_wakeup: Some(true),
            options: SocketOptions {
                multi_buffer: Some(false),
                prefer_busy_poll: Some(false),
                busy_poll_us: Some(0),
                busy_poll_budget: Some(0),
                tx_budget: Some(self.tx.size()),
                tx_metadata_len: Some(0),
            },
            fill: Some(self.fill.snapshot()),
            rx: Some(self.rx.snapshot()),
            tx: Some(self.tx.snapshot()),
            comp: Some(self.comp.snapshot()),
            stats: Some(self.stats),
            umem: Some(UmemSnapshot {
                id: Some(self.numbers.umem),
                size_bytes: Some(u64::from(frames) * u64::from(frame_size)),
                frames: Some(frames),
                frame_size: Some(frame_size),
                headroom: Some(0),
                users: Some(users),
                unaligned: Some(false),
                free: None,
            }),
            ..SocketSnapshot::unknown(0)
        }
    }

    pub(super) fn stats(&self) -> XdpStatistics {
        self.stats
    }

    pub(super) fn fill_invalid(&self) -> u64 {
        self.fill_invalid
    }

    /// EPOLLIN.
    pub(super) fn readable(&self) -> bool {
        self.rx.pending() > 0
    }

    /// EPOLLOUT: at most half of the TX ring is waiting (`xsk_tx_writeable`).
    pub(super) fn writable(&self) -> bool {
        self.tx.waiting() <= self.tx.size() / 2
    }

    /// A frame to receive into (`xp_alloc`).
    fn frame(&mut self) -> Option<Frame> {
        if self.mode.starves {
            self.swallow();
            self.found_no_frame();
            return None;
        }
        if let Some(frame) = self.pool.pop() {
            return Some(frame);
        }
        loop {
            let mut drain = self.fill.peek(self.unpublished + 1);
            for _ in 0..self.unpublished {
                drain.take();
            }
            let Some(addr) = drain.take() else {
                drain.release();
                self.unpublished = 0;
                self.found_no_frame();
                return None;
            };
            self.unpublished += 1;
            match claim_fill(&self.umem, addr) {
                Some(frame) => return Some(frame),
                None => self.fill_invalid += 1,
            }
        }
    }

    fn found_no_frame(&mut self) {
        self.stats.rx_fill_ring_empty_descs += 1;
        if self.mode.zero_copy {
            self.fill.set_need_wakeup(true);
        }
    }

    /// What a driver that starves its queue does whenever it runs: it takes the frames and is
    /// never heard of them again.
    pub(super) fn swallow(&mut self) {
        if !self.mode.starves || !self.bound {
            return;
        }
        let mut drain = self.fill.peek(u32::MAX);
        while let Some(addr) = drain.take() {
            match claim_fill(&self.umem, addr) {
                Some(frame) => self.pool.push(frame),
                None => self.fill_invalid += 1,
            }
        }
        drain.release();
    }

    /// A packet that the XDP program redirected to this socket (`xsk_rcv`).
    pub(super) fn receive(&mut self, packet: &[u8], now: u64) {
        let room = (self.umem.frame_size() - RX_HEADROOM) as usize;
        if packet.len() > room {
            self.stats.rx_dropped += 1;
            return;
        }
        let Some(mut frame) = self.frame() else {
            self.stats.rx_dropped += 1;
            return;
        };
        let start = RX_HEADROOM as usize;
        self.umem.bytes_mut(&mut frame)[start..start + packet.len()].copy_from_slice(packet);
        if self.mode.stamps {
            self.umem.put_rx_stamp(&mut frame, start, Some(now));
        }
        let mut slots = self.rx.reserve(1);
        if slots.room() == 0 {
            self.stats.rx_ring_full += 1;
            self.pool.push(frame);
            return;
        }
        let base = self.umem.post(frame, Holder::SimReception, Holder::Reception);
        let addr = base + u64::from(RX_HEADROOM);
        let _ = slots.write(Desc { addr, len: packet.len() as u32, options: 0 }); // room() > 0
        slots.commit();
        self.publish_fill();
    }

    /// Gives the slots of the fill entries that were taken back (`xsk_flush`).
    fn publish_fill(&mut self) {
        let mut drain = self.fill.peek(self.unpublished);
        while drain.take().is_some() {}
        drain.release();
        self.unpublished = 0;
    }

    /// The fill ring has new frames.
    pub(super) fn wake_rx(&mut self) {
        if self.mode.zero_copy {
            self.fill.set_need_wakeup(false);
        }
    }

    /// Whether a look at the TX ring is due without a kick: an awake zero-copy driver.
    pub(super) fn looks_at_tx(&self) -> bool {
        self.mode.zero_copy && self.awake && self.bound
    }

    /// Whether the TX ring holds something and the completion ring has room for it.
    pub(super) fn can_send(&self) -> bool {
        self.tx.waiting() > 0 && self.comp.pending() < self.comp.size()
    }

    /// Sends what the TX ring holds (`__xsk_generic_xmit`, or the driver in zero-copy mode). `out`
    /// says whether the device took the packet.
    pub(super) fn transmit(&mut self, mut out: impl FnMut(&[u8]) -> bool) -> Kick {
        let mut slots = self.comp.reserve(u32::MAX);
        let mut drain = self.tx.peek(u32::MAX);
        let (mut sent, mut end) = (0u32, TxEnd::Empty);
        while drain.left() > 0 {
            // An entry that must wait stays in the ring: look before taking.
            if slots.room() == 0 {
                end = TxEnd::Later;
                break;
            }
            let Some(desc) = drain.take() else { break };
            let _ = slots.write(desc.addr); // room() > 0
            let Some(buffer) = claim_tx(&self.umem, desc) else {
                self.stats.tx_invalid_descs += 1;
                end = TxEnd::Invalid;
                break;
            };
            let taken = out(self.umem.packet(&buffer));
            self.umem.post(buffer.frame, Holder::SimTransmission, Holder::Transmission);
            if !taken {
                end = TxEnd::Refused;
                break;
            }
            sent += 1;
        }
        drain.release();
        slots.commit();
        if end == TxEnd::Empty {
            self.stats.tx_ring_empty_descs += 1;
        }
        if self.mode.zero_copy {
            self.rest(sent > 0 || end != TxEnd::Empty);
        }
        match end {
            TxEnd::Empty | TxEnd::Invalid => Kick::Done,
            TxEnd::Later | TxEnd::Refused => Kick::Again,
        }
    }

    /// A zero-copy driver stays awake while there is work, then asks to be woken.
    fn rest(&mut self, busy: bool) {
        self.awake = busy;
        self.tx.set_need_wakeup(!busy);
        // An entry written before the flag was seen must not be missed.
        if !busy && self.tx.waiting() > 0 {
            self.awake = true;
            self.tx.set_need_wakeup(false);
        }
    }
}

/// The frame that a fill ring entry names: in aligned mode the chunk that the address lies in.
fn claim_fill(umem: &Umem, addr: u64) -> Option<Frame> {
    let chunk = u64::from(umem.frame_size());
    let desc = Desc { addr: addr / chunk * chunk, len: 0, options: 0 };
    let buffer = umem.claim(desc, Holder::Reception, Holder::SimReception).ok()?;
    Some(buffer.frame)
}

/// The frame of a valid TX descriptor (`xp_aligned_validate_desc`).
fn claim_tx(umem: &Umem, desc: Desc) -> Option<crate::umem::Buffer> {
    if desc.len == 0 || desc.options != 0 {
        return None;
    }
    umem.claim(desc, Holder::Transmission, Holder::SimTransmission).ok()
}
