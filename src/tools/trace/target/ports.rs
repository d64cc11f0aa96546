//! What the port of a target is, as far as its answers say so.

use super::{Answer, Kind, TargetTrace};
use crate::tools::trace::event::PortState;
use crate::tools::trace::icmp_names;
use std::net::IpAddr;

impl TargetTrace {
    /// What the port is that was probed, as far as the target said so.
    pub(crate) fn port_state(&self) -> Option<PortState> {
        let routers = self.tally.hops.iter().flat_map(|hop| &hop.routers);
        let told = |kind, from| self.port_told(kind, from);
        let of_target = routers.filter(|router| router.address == self.goal.target);
        let mut states = of_target.filter_map(|router| told(router.last.kind, router.address));
        let first = states.next()?;
        // One that was once open is not closed: it resets what comes before our reset does.
        Some(if states.any(|state| state == PortState::Open) { PortState::Open } else { first })
    }

    /// What an answer of that kind says of the port. A target that refuses a SYN by ICMP has a
    /// firewall: its TCP would have reset it.
    pub(crate) fn port_told(&self, kind: Kind, from: IpAddr) -> Option<PortState> {
        let refuses = || self.is_tcp() && from == self.goal.target && icmp_names::ends_path(kind);
        icmp_names::port_state(kind).or_else(|| refuses().then_some(PortState::Filtered))
    }

    /// The same of an answer that came.
    pub(crate) fn port_of(&self, answer: &Answer) -> Option<PortState> {
        self.port_told(answer.kind, answer.from)
    }

    /// Whether SYNs are sent.
    fn is_tcp(&self) -> bool {
        self.mtu_last
    }
}
