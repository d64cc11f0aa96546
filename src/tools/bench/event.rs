//! What a run reports while it goes.

use super::report::Start;
use crate::tools::session::Trouble;
use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// When the first sample is there: what the kernel granted.
    Start(Box<Start>),
    /// A sample was taken.
    Sample {
        /// Which setting, as [`super::Plan::settings`] orders them.
        setting: usize,
        /// Which sample of that setting, from 0.
        round: u32,
        /// Samples that are done, this one included.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// Something the user should know.
    Note(Note),
}

/// Why there was less to measure than there should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The trouble behind it.
    pub kind: Trouble,
    /// The same in words.
    pub text: String,
}

impl Note {
    pub(super) fn new(kind: Trouble, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
