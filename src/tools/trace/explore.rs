//! Which flows to probe until all paths are known (the multipath detection algorithm, MDA).

use super::event::{Balancing, Link};
use std::net::IpAddr;

/// What a flow's probe with some TTL found, in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A router on the way.
    Router(IpAddr),
    /// The target, or whoever says that there is no way on: nothing is behind it.
    End(IpAddr),
    /// Nobody, however often the probe was repeated.
    Silent,
}

/// Looks for all paths to one target.
pub(super) struct Explorer {
    _first: u8,
}
