//! How probes leave: by the sockets that their links are reached by.

use super::outlet::Outlet;
use super::sockets::Sockets;
use super::wire::Wire;
use crate::error::Result;
use crate::packet::Packet;

impl Wire {
    /// Sockets that something can be sent by.
    fn live(&self) -> impl Iterator<Item = &Sockets> {
        self.sets.iter().filter(|set| !set.session.has_ended())
    }

    /// Begins a batch: what a full ring did not take last time goes first.
    pub(crate) fn begin(&mut self, now: u64) {
        self.sets.iter_mut().for_each(|set| set.sender.begin(now));
    }

    /// Whether a packet waits for a ring: others would only wait behind it.
    pub(crate) fn is_full(&self) -> bool {
        self.live().any(|set| set.sender.is_full())
    }

    /// When to try again although nothing else is due.
    pub(crate) fn retry_ns(&self) -> Option<u64> {
        self.live().filter_map(|set| set.sender.retry_ns()).min()
    }

    /// Whether nothing waits to be sent or to be told to the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        self.live().all(|set| set.sender.is_idle())
    }

    /// Packets may be as long as `len` bytes.
    pub(crate) fn expect(&mut self, len: usize) {
        self.longest = self.longest.max(len);
        self.sets.iter_mut().for_each(|set| set.sender.expect(len));
    }

    /// Whether a packet that is due may be asked for: see `Sender::has_room`.
    pub(crate) fn has_room(&mut self, now: u64) -> bool {
        let mut live = self.sets.iter_mut().filter(|set| !set.session.has_ended());
        live.all(|set| set.sender.has_room(now))
    }

    /// A frame for a packet that leaves by `link`, where [`Self::has_room`] found one.
    pub(crate) fn take(&mut self, link: usize) -> Option<Packet> {
        let lane = self.lanes.get(link)?.as_ref()?;
        self.sets[lane.set].sender.take()
    }

    /// Puts `packet` into the ring of one of the queues of `link` that send, the same for all packets
    /// of the target with this position.
    pub(crate) fn send(&mut self, packet: Packet, link: usize, target: usize, now: u64) {
        if let Some(mut outlet) = self.outlet(link) {
            outlet.put(packet, link, target, now);
        }
    }

    /// Where the packets of a link leave.
    pub(crate) fn outlet(&mut self, link: usize) -> Option<Outlet<'_>> {
        let set = self.lanes.get(link)?.as_ref()?.set;
        Some(Outlet { sender: &mut self.sets[set].sender, lanes: &self.lanes, set })
    }

    /// Ends a batch: tells the kernel. `leave` is told how many packets are about to go, and when,
    /// if they have not gone yet: in zero-copy mode the device may take packets before it is told.
    pub(crate) fn finish(&mut self, now: u64, leave: impl FnOnce(usize, u64)) -> Result<()> {
        let written = self.sets.iter().map(|set| set.sender.written()).sum();
        if written > 0 {
            leave(written, self.now());
        }
        for set in 0..self.sets.len() {
            if let Err(error) = self.sets[set].sender.finish(now) {
                self.survive(set, error)?;
            }
        }
        Ok(())
    }
}
