//! What is wrong with a socket, in words, with the numbers that led to it and the next step.
//!
//! Each rule looks at the last few looks ([`Case`]) and speaks only when all of them agree, so
//! that a ring which is full or empty for a moment is not called a trouble. What is not known rules nothing
//! out and nothing in.

mod case;
mod rules;
#[cfg(test)]
mod tests;

use super::history::History;
use crate::tools::session::Trouble;
use case::Case;
use serde::Serialize;

/// One thing that is wrong with a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What, for programs.
    pub kind: Trouble,
    /// The same in words: the numbers that led to it, and the next step.
    pub text: String,
}

impl Diagnosis {
    /// Every trouble that a diagnosis can name.
    pub fn kinds() -> impl Iterator<Item = Trouble> {
        RULES.iter().map(|&(kind, _)| kind).chain([Trouble::Idle])
    }
}

type Rule = fn(&Case<'_>) -> Option<String>;

/// In the order in which they are told: the cause before what follows from it.
const RULES: [(Trouble, Rule); 12] = [
    (Trouble::Gone, rules::gone),
    (Trouble::LinkFlap, rules::link_flap),
    (Trouble::NoProgram, rules::no_program),
    (Trouble::NotInMap, rules::not_in_map),
    (Trouble::Starved, rules::starved),
    (Trouble::SlowApplication, rules::slow_application),
    (Trouble::NoTxQueue, rules::no_tx_queue),
    (Trouble::StuckTx, rules::stuck_tx),
    (Trouble::Leak, rules::leak),
    (Trouble::WrongQueue, rules::wrong_queue),
    (Trouble::NoZeroCopy, rules::no_zero_copy),
    (Trouble::ShortRing, rules::short_ring),
];

/// What is wrong with socket `at` of the newest observation, by the last `span` of them. Nothing can
/// be said after one look.
pub(super) fn diagnose(history: &History, span: usize, at: usize) -> Vec<Diagnosis> {
    let Some(case) = Case::of(history, span, at) else { return Vec::new() };
    let told =
        RULES.iter().filter_map(|&(kind, rule)| Some(Diagnosis { kind, text: rule(&case)? }));
    let mut told: Vec<_> = told.collect();
    // What stands still for a known reason is not called idle as well.
    let explained =
        told.iter().any(|d| !matches!(d.kind, Trouble::NoZeroCopy | Trouble::ShortRing));
    if !explained && let Some(text) = rules::idle(&case) {
        told.push(Diagnosis { kind: Trouble::Idle, text });
    }
    told
}
