//! Measuring: when to send, and what the times came to.
//!
//! Invariant: time is always a parameter; nothing in here reads a clock.

pub mod duration_stats;
pub mod pacer;
pub(crate) mod times;

pub use duration_stats::{DurationStats, HistogramRow, Statistics};
