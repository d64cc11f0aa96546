//! What a run reports while it goes.

use super::report::Opened;
use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// When the first sample is there: what the kernel granted.
    Start(Opened),
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
    Note {
        /// In words.
        text: String,
    },
}
