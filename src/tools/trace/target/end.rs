//! Where the path ends.

use super::super::path_end::{Meaning, meaning};
use super::{Answer, Sent, TargetTrace};

impl TargetTrace {
    /// The least TTL with which the target was reached.
    pub(crate) fn distance(&self) -> Option<u8> {
        self.end.distance()
    }

    /// The last TTL that there is something to say about.
    pub(crate) fn last_hop(&self) -> u8 {
        self.end.cut().unwrap_or(self.max_hops)
    }

    /// The last TTL to be probed by first queries.
    pub(super) fn last_probed(&self) -> u8 {
        let scouts = self.end.scouts().map(|last| last.min(self.max_hops));
        scouts.unwrap_or_else(|| self.last_hop())
    }

    pub(super) fn meaning(&self, answer: &Answer, sent: &Sent) -> Meaning {
        meaning(answer.kind, answer.from == self.goal.target, sent.what.numbers.size)
    }

    /// Whether the target itself speaks, or a host that took the packet for its own.
    pub(crate) fn is_reached(&self, answer: &Answer, sent: &Sent) -> bool {
        self.meaning(answer, sent) == Meaning::Reached
    }
}
