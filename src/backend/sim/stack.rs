//! The stack of our simulated kernel, for those who listen: what the XDP programs of all ports left to
//! it, as a raw socket gets that.
//!
//! It takes what is for one of our addresses, on whatever port it came, puts fragments together, and
//! drops what belongs to a VLAN, of which it has none.

use super::port::Port;
use super::reassembly::Reassembly;
use super::{Simulator, vlan};
use crate::proto::{Headers, MacAddr};
use std::net::IpAddr;

/// A packet that the stack took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackPacket {
    /// Index of the interface that it came on.
    pub ifindex: u32,
    /// When it came, on the clock of `now()`; of several fragments the last one counts.
    pub time_ns: u64,
    /// How many fragments it came in; 1: in one piece.
    pub fragments: u32,
    /// The whole packet, with its Ethernet header and without tags.
    pub packet: Vec<u8>,
}

/// Packets that wait for who listens at most; what comes on top is dropped, as by a full socket.
const MOST: usize = 1 << 16;

/// What the stack of a machine has for who listens.
pub(super) struct Stack {
    reassembly: Reassembly,
    taken: Vec<StackPacket>,
}

impl Stack {
    /// Takes a packet that a port left to it, or does not. `ours` knows the machine's addresses.
    pub(super) fn take(
        &mut self,
        port: &Port,
        now: u64,
        packet: &[u8],
        ours: impl Fn(IpAddr) -> bool,
    ) -> Option<()> {
        let headers = Headers::parse(packet).ok()?;
        let mac = MacAddr(*packet.first_chunk()?);
        let for_us = mac == port.mac || mac.is_multicast();
        let dst = headers.dst()?;
        let accepted = for_us && vlan::is_of(&headers, None) && (ours(dst) || dst.is_multicast());
        if !accepted || self.taken.len() >= MOST {
            return None;
        }
        let (mut packet, fragments) = if headers.is_fragment() {
            let whole = self.reassembly.add(packet, &headers)?;
            (whole.packet, whole.fragments)
        } else {
            (packet.to_vec(), 1)
        };
        vlan::untag(&mut packet);
        let ifindex = port.ifindex;
        self.taken.push(StackPacket { ifindex, time_ns: now, fragments, packet });
        Some(())
    }
}

impl Simulator {
    /// Starts to keep what the stack of our kernel takes, as a raw socket does from when it is
    /// opened. What was kept so far is gone.
    pub fn listen(&self) {
        let reassembly = Reassembly::default();
        self.shared.enter().stack = Some(Box::new(Stack { reassembly, taken: Vec::new() }));
    }

    /// Takes what the stack took since [`Simulator::listen`] or the last call: packets that no XDP
    /// program redirected to a socket, on any interface, for one of our addresses or a group.
    /// Fragments are put together, and what belongs to a VLAN is dropped.
    #[must_use]
    pub fn stack_packets(&self) -> Vec<StackPacket> {
        let mut world = self.shared.enter();
        world.stack.as_mut().map(|stack| std::mem::take(&mut stack.taken)).unwrap_or_default()
    }

    /// Whether [`Simulator::stack_packets`] has any, without a copy.
    #[must_use]
    pub fn has_stack_packets(&self) -> bool {
        self.shared.lock().stack.as_ref().is_some_and(|stack| !stack.taken.is_empty())
    }
}
