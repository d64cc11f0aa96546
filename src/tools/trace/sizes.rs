//! [`Sizes`]: how long probes are, and how long they can be.

use super::plan::{Plan, Protocol};
use super::probe::min_size;
use super::target::Goal;
use crate::proto::ETHERNET_LEN;
use crate::proto::vlan::TAG_LEN;
use crate::tools::probe::Link;
use std::net::IpAddr;

/// Length of UDP and ICMP probes, as traceroute's.
const USUAL_SIZE: u16 = 60;
/// Shortest MTU of a link: RFC 791 and RFC 8200.
const LEAST_MTU: (u16, u16) = (68, 1280);

/// Lengths of IP packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    protocol: Protocol,
    /// What was asked for.
    size: Option<u16>,
    /// The longest packet that our link and our frames hold.
    longest: u16,
    /// Whether our link would take longer ones.
    cut_by_frames: bool,
    /// Whether packets are sent that are as long as that.
    up_to_longest: bool,
}

impl Sizes {
    pub(super) fn new(plan: &Plan, link: &Link) -> Self {
        let l2 = ETHERNET_LEN + link.tags.len() * TAG_LEN;
        let frame = plan.config.frame_size.saturating_sub(crate::umem::RX_HEADROOM) as usize;
        let (room, mtu) = (frame.saturating_sub(l2), link.interface.mtu as usize);
        let most = room.min(mtu);
        Self {
            protocol: plan.protocol,
            size: plan.size,
            longest: u16::try_from(most).unwrap_or(u16::MAX),
            cut_by_frames: room < mtu,
            up_to_longest: plan.mtu,
        }
    }

    /// Length of the probes to `address`.
    pub(super) fn to(&self, address: IpAddr) -> u16 {
        let least = min_size(self.protocol, address.is_ipv4());
        // A SYN with data is odd enough to be dropped on the way.
        let usual = if self.protocol == Protocol::Tcp { least } else { USUAL_SIZE };
        self.size.unwrap_or(usual).max(least)
    }

    /// Length of the longest packet that is sent to `address`.
    pub(super) fn most_to(&self, address: IpAddr) -> u16 {
        if self.up_to_longest { self.longest } else { self.to(address) }
    }

    /// What a trace to `address` begins with.
    pub(super) fn goal(&self, address: IpAddr) -> Goal {
        let least = if address.is_ipv4() { LEAST_MTU.0 } else { LEAST_MTU.1 };
        Goal {
            target: address,
            size: self.to(address),
            sizes: (self.longest, least),
            cut_by_frames: self.cut_by_frames,
        }
    }
}
