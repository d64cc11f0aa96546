//! Measuring: when to send, and what the times are that were seen.
//!
//! ```text
//!   rate            packets or bits in a time, exactly
//!   pacer           how many may go now, that a rate is kept
//!   deadlines       when each is to go, and how late it went
//!   duration_stats  a histogram of durations, and its numbers as reports show them
//!   times           the same of very many, most of whom have few
//! ```
//!
//! Invariant: time is always a parameter; nothing in here reads a clock. Callers: the commands, and
//! what sends for them.

pub mod deadlines;
pub mod duration_stats;
pub mod pacer;
pub mod rate;
pub(crate) mod times;

pub use deadlines::Deadlines;
pub use duration_stats::{DurationStats, HistogramRow, Statistics};
pub use pacer::Pacer;
pub use rate::{BitRate, Rate};
