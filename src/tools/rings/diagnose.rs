//! Why a socket does not go, in words, with the numbers that led to it and the next step.

use super::run::History;
use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The kernel finds no free frame in the fill ring.
    Starved,
    /// The RX ring is full: the application does not read fast enough.
    SlowApplication,
    /// Entries wait in the TX ring and nobody takes them.
    StuckTx,
    /// Frames vanish from the rings and do not come back.
    Leak,
    /// The interface receives, but on queues that the application has no socket on.
    WrongQueue,
    /// Copy mode, though the driver says that it has zero-copy.
    NoZeroCopy,
    /// The NIC's rings are no power of two, and the socket's had to be rounded down.
    ShortRing,
    /// The link goes, or comes and goes.
    LinkFlap,
    /// Nothing moves.
    Idle,
}

/// One thing that is wrong with a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What, for programs.
    pub kind: Kind,
    /// The same in words: the numbers that led to it, and the next step.
    pub text: String,
}

/// What is wrong with socket `at` of the newest moment, by the last `span` moments.
pub(super) fn diagnose(history: &History, span: usize, at: usize) -> Vec<Diagnosis> {
    let _ = (history, span, at);
    Vec::new()
}
