//! Packets on their way into the TX ring, and what to do while there is no room.

use crate::error::Result;
use crate::packet::Packet;
use crate::system::FluxTx;
use crate::tools::measure::pacer::ns;
use std::time::Duration;

/// When the kernel takes no more, it is asked again after this long, and as long as it takes
/// nothing twice as long each time, up to the second.
const RETRY_NS: (u64, u64) = (20_000, 1_000_000);

/// The sending side of sockets.
pub(super) struct Sender {
    pub(super) tx: FluxTx,
    /// Written, but not taken by a full ring.
    held: Option<Packet>,
    /// A frame not needed last time.
    spare: Option<Packet>,
    longest: usize,
    /// Packets in the ring that the kernel was not told about.
    queued: usize,
    unflushed: bool,
    retry_ns: Option<u64>,
    /// Time to the next retry.
    patience_ns: u64,
    /// Since when there has been no room for a packet.
    full_since_ns: Option<u64>,
    stuck_ns: u64,
    /// Packets that there was no room for until it was too late for them.
    pub(super) no_tx_frame: u64,
    /// Packets that are longer than the interface sends now.
    pub(super) too_long: u64,
}

impl Sender {
    /// What finds no room for `stuck` is given up.
    pub(super) fn new(tx: FluxTx, stuck: Duration) -> Self {
        Self {
            tx,
            held: None,
            spare: None,
            longest: 0,
            queued: 0,
            unflushed: false,
            retry_ns: None,
            patience_ns: RETRY_NS.0,
            full_since_ns: None,
            stuck_ns: ns(stuck),
            no_tx_frame: 0,
            too_long: 0,
        }
    }

    /// Begins a batch: what a full ring did not take last time goes first.
    pub(super) fn begin(&mut self, now: u64) {
        if let Some(packet) = self.held.take() {
            self.put(packet, now);
        }
        self.retry_ns = None;
    }

    /// Whether a packet waits for the ring: others would only wait behind it.
    pub(super) fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// When to try again although nothing else is due.
    pub(super) fn retry_ns(&self) -> Option<u64> {
        self.retry_ns
    }

    /// Whether nothing waits to be sent or to be told to the kernel.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_none() && self.queued == 0
    }

    /// Packets may be as long as `len` bytes.
    pub(super) fn expect(&mut self, len: usize) {
        self.longest = self.longest.max(len);
    }

    /// Whether a packet that is due may be asked for. True as well when there has been no frame for
    /// so long that it is not waited for any more: then [`Self::take`] has none, and the packet
    /// counts as lost.
    pub(super) fn has_room(&mut self, now: u64) -> bool {
        if self.spare.is_some() || self.longest == 0 {
            return true;
        }
        self.spare = self.tx.alloc(self.longest);
        let since = *self.full_since_ns.get_or_insert(now);
        if self.spare.is_some() {
            self.full_since_ns = None;
        } else if !self.is_stuck(since, now) {
            self.retry_ns = Some(now.saturating_add(self.patience_ns));
            return false;
        }
        true
    }

    /// The frame that [`Self::has_room`] found.
    pub(super) fn take(&mut self) -> Option<Packet> {
        let frame = self.spare.take();
        self.no_tx_frame += u64::from(frame.is_none());
        frame
    }

    /// Puts a packet into the ring. One that finds no room waits for some, but not for ever: then
    /// it counts as lost, and so does one that is longer than the interface sends: the MTU was lowered.
    pub(super) fn put(&mut self, packet: Packet, now: u64) {
        match self.tx.send(packet) {
            Ok(()) => {
                self.queued += 1;
                self.full_since_ns = None;
            }
            Err(refused) if !refused.is_full() => {
                // Its queue sends and its frame is ours: it is too long.
                self.too_long += 1;
                self.spare = Some(refused.into_packet());
            }
            Err(refused) => {
                let packet = refused.into_packet();
                let since = *self.full_since_ns.get_or_insert(now);
                if self.is_stuck(since, now) {
                    self.no_tx_frame += 1;
                    self.spare = Some(packet);
                } else {
                    self.held = Some(packet);
                }
            }
        }
    }

    fn is_stuck(&self, full_since_ns: u64, now: u64) -> bool {
        now.saturating_sub(full_since_ns) >= self.stuck_ns
    }

    /// Packets that the kernel is about to be told of and that have not gone yet: in zero-copy mode
    /// the device may take them before.
    pub(super) fn written(&self) -> usize {
        if self.tx.granted().zero_copy { 0 } else { self.queued }
    }

    /// Ends a batch: tells the kernel.
    pub(super) fn finish(&mut self, now: u64) -> Result<()> {
        let waiting = self.tx.pending();
        if self.queued > 0 {
            self.queued = 0;
            self.unflushed = true;
        }
        if self.unflushed {
            self.unflushed = !self.tx.flush()?;
        }
        if self.unflushed || self.held.is_some() {
            self.retry_ns = Some(now.saturating_add(self.patience_ns));
        }
        let moves = self.retry_ns.is_none() || self.tx.pending() < waiting;
        self.patience_ns = if moves { RETRY_NS.0 } else { RETRY_NS.1.min(2 * self.patience_ns) };
        Ok(())
    }
}
