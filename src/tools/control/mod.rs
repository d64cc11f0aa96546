//! What signal handlers tell a run.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// What signal handlers tell a run.
#[derive(Debug, Default)]
pub struct Control {
    /// End now, with what there is.
    pub stop: AtomicBool,
    /// Counts requests for interim numbers.
    pub interim: AtomicU64,
}
