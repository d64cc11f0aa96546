//! The probes to one target, ready but for their numbers.

use super::plan::{Protocol, Strategy};

/// What the probes of a run have in common, and by which their answers are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) protocol: Protocol,
    pub(super) strategy: Strategy,
    /// Source port or ICMP identifier of flow 0; flow `f` has `base + f`.
    pub(super) base: u16,
    /// How many source ports or identifiers are ours, from `base` on.
    pub(super) span: u16,
    /// Destination port (UDP, TCP); with the classic strategy and UDP that of the first probe.
    pub(super) port: u16,
}

/// What differs from probe to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// Below [`Identity::span`].
    pub(super) flow: u16,
    /// Tells the probes of a target apart; never 0.
    pub(super) number: u16,
    /// Length of the IP packet.
    pub(super) size: u16,
}
