//! What a command reports of its sockets while it runs and at its end.

use super::link_watch::InterfaceChange;
use super::trouble::Trouble;
use serde::Serialize;
use std::net::IpAddr;

/// What happens to the sockets of any command. Its own events hold these, as one of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SessionEvent {
    /// The interface changed: its link, its MTU, its queues.
    Interface(InterfaceChange),
    /// Targets are reached another way than before, or not at all.
    Route(RouteMoved),
    /// Packets for us came on a queue that no socket of ours is bound to; they were not seen.
    WrongQueue(WrongQueue),
    /// Why packets were lost, at the end, where the kernel knows.
    Note(Note),
}

impl SessionEvent {
    /// What happened, where the event says it in words.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Interface(change) => Some(&change.text),
            Self::Route(moved) => Some(&moved.text),
            Self::Note(note) => Some(&note.text),
            Self::WrongQueue(_) => None,
        }
    }
}

/// Another way to some targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteMoved {
    /// The targets, as given.
    pub targets: Vec<String>,
    /// The interface that probes leave by now; `None`: they cannot be sent.
    pub interface: Option<String>,
    /// Next hop now, where it is not the target itself.
    pub gateway: Option<IpAddr>,
    /// Our address now.
    pub source: Option<IpAddr>,
    /// What changed, in words.
    pub text: String,
}

/// Packets for us that the NIC put on a queue without a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongQueue {
    /// Queue number.
    pub queue: u32,
    /// Packets for us that arrived there.
    pub packets: u64,
}

/// Something that the kernel's own counters and rings show about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What happened, for programs.
    pub kind: Trouble,
    /// Packets; changes of a [`Trouble::LinkFlap`]; looks into an empty fill ring where the
    /// packets of a [`Trouble::Starved`] were not counted.
    pub count: u64,
    /// The same in words.
    pub text: String,
}
