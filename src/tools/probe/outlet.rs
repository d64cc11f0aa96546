//! [`Outlet`]: where a packet leaves.

use super::sender::Sender;
use super::sockets::Lane;
use crate::packet::Packet;

/// Where a packet leaves, for those who answer what they read.
pub(crate) struct Outlet<'a> {
    pub(super) sender: &'a mut Sender,
    pub(super) lanes: &'a [Option<Lane>],
    pub(super) set: usize,
}

impl Outlet<'_> {
    /// A frame for a packet besides the probes.
    pub(crate) fn alloc(&mut self, len: usize) -> Option<Packet> {
        self.sender.tx.alloc(len)
    }

    /// As [`Wire::send`]. What leaves by other sockets than these is dropped.
    pub(crate) fn put(&mut self, mut packet: Packet, link: usize, target: usize, now: u64) {
        let lane = self.lanes.get(link).and_then(Option::as_ref);
        if let Some(lane) = lane.filter(|lane| lane.set == self.set)
            && lane.direct(&mut packet, target)
        {
            self.sender.put(packet, now);
        }
    }
}
