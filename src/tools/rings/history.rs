//! What was seen so far: the last observations of sockets and interfaces, oldest first.

use super::observe::{InterfaceKey, InterfaceSnapshot, Missing};
use crate::snapshot::{RingsSnapshot, SocketSnapshot};
use std::collections::VecDeque;
use std::time::Duration;

/// Looks that a first sample is made of: enough to see a trend in them.
pub(super) const FIRST_LOOKS: usize = 6;
/// Looks that a later sample's diagnosis goes by.
pub(super) const LATER_LOOKS: usize = 3;
/// Looks that are remembered while watching.
const REMEMBERED: usize = 60;

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) time_ns: u64,
    pub(super) snapshot: RingsSnapshot,
    pub(super) missing: Vec<Missing>,
    pub(super) interfaces: Vec<InterfaceSnapshot>,
    pub(super) took: Duration,
}

impl Observation {
    /// The same socket in this observation.
    pub(super) fn socket(&self, like: &SocketSnapshot) -> Option<(usize, &SocketSnapshot)> {
        self.snapshot.sockets.iter().enumerate().find(|(_, socket)| same(socket, like))
    }

    pub(super) fn interface(&self, key: InterfaceKey) -> Option<&InterfaceSnapshot> {
        self.interfaces.iter().find(|interface| interface.key == key)
    }
}

/// Inode numbers of sockets are unique in the machine as long as they live.
fn same(a: &SocketSnapshot, b: &SocketSnapshot) -> bool {
    match (a.inode, b.inode) {
        (Some(a), Some(b)) => a == b,
        _ => (a.netns, a.ifindex, a.queue) == (b.netns, b.ifindex, b.queue),
    }
}

/// Observations, oldest first.
#[derive(Default)]
pub(super) struct History {
    pub(super) observations: VecDeque<Observation>,
}

impl History {
    pub(super) fn push(&mut self, observation: Observation) {
        if self.observations.len() == REMEMBERED {
            self.observations.pop_front();
        }
        self.observations.push_back(observation);
    }
}
