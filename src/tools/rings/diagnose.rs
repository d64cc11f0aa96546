//! Why a socket does not go, in words, with the numbers that led to it and the next step.
//!
//! Each rule looks at the last few looks ([`Case`]) and speaks only when all of them agree, so
//! that a ring which is full or empty for a moment is no trouble. What is not known rules nothing
//! out and nothing in.

mod case;
mod rules;
#[cfg(test)]
mod tests;

use super::run::History;
use case::Case;
use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The interface was removed.
    Gone,
    /// The link is away, or comes and goes.
    LinkFlap,
    /// The socket waits for packets, and no XDP program is attached that could send it any.
    NoProgram,
    /// The socket waits for packets, and is in no XSKMAP: the XDP program cannot send it any.
    NotInMap,
    /// The kernel finds no free frame in the fill ring.
    Starved,
    /// The RX ring is full: the application does not read fast enough.
    SlowApplication,
    /// Entries wait in the TX ring of a queue that the interface has no TX queue for.
    NoTxQueue,
    /// Entries wait in the TX ring and nobody takes them.
    StuckTx,
    /// Frames go from the rings and do not come back.
    Leak,
    /// The interface receives, but on queues that have no socket.
    WrongQueue,
    /// Copy mode, though the driver says that it has zero-copy.
    NoZeroCopy,
    /// The NIC's rings are no power of two, and the socket's were rounded down to one.
    ShortRing,
    /// Nothing moves.
    Idle,
}

impl Kind {
    /// As in the JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gone => "gone",
            Kind::LinkFlap => "link_flap",
            Kind::NoProgram => "no_program",
            Kind::NotInMap => "not_in_map",
            Kind::Starved => "starved",
            Kind::SlowApplication => "slow_application",
            Kind::NoTxQueue => "no_tx_queue",
            Kind::StuckTx => "stuck_tx",
            Kind::Leak => "leak",
            Kind::WrongQueue => "wrong_queue",
            Kind::NoZeroCopy => "no_zero_copy",
            Kind::ShortRing => "short_ring",
            Kind::Idle => "idle",
        }
    }
}

/// One thing that is wrong with a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What, for programs.
    pub kind: Kind,
    /// The same in words: the numbers that led to it, and the next step.
    pub text: String,
}

type Rule = fn(&Case<'_>) -> Option<String>;

/// In the order in which they are told: the cause before what follows from it.
const RULES: [(Kind, Rule); 12] = [
    (Kind::Gone, rules::gone),
    (Kind::LinkFlap, rules::link_flap),
    (Kind::NoProgram, rules::no_program),
    (Kind::NotInMap, rules::not_in_map),
    (Kind::Starved, rules::starved),
    (Kind::SlowApplication, rules::slow_application),
    (Kind::NoTxQueue, rules::no_tx_queue),
    (Kind::StuckTx, rules::stuck_tx),
    (Kind::Leak, rules::leak),
    (Kind::WrongQueue, rules::wrong_queue),
    (Kind::NoZeroCopy, rules::no_zero_copy),
    (Kind::ShortRing, rules::short_ring),
];

/// What is wrong with socket `at` of the newest moment, by the last `span` moments. Nothing can
/// be said after one look.
pub(super) fn diagnose(history: &History, span: usize, at: usize) -> Vec<Diagnosis> {
    let Some(case) = Case::of(history, span, at) else { return Vec::new() };
    let told =
        RULES.iter().filter_map(|&(kind, rule)| Some(Diagnosis { kind, text: rule(&case)? }));
    let mut told: Vec<_> = told.collect();
    // What stands still for a known reason is not called idle as well.
    let explained = told.iter().any(|d| !matches!(d.kind, Kind::NoZeroCopy | Kind::ShortRing));
    if !explained && let Some(text) = rules::idle(&case) {
        told.push(Diagnosis { kind: Kind::Idle, text });
    }
    told
}
