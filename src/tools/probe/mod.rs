//! Probing: where probes go and by what, and which answer belongs to which.
//!
//! ```text
//!   ProbeTargets ─▶ NextHops ─▶ Sender ─▶ wire ─▶ ProbeTable
//!   where to, by    link layer   room and          what an answer
//!   which source    addresses    retries           answers
//! ```
//!
//! Invariant: time is always a parameter; nothing in here reads a clock.

pub(crate) mod next_hops;
pub(crate) mod sender;
pub mod table;
pub(crate) mod targets;

pub use targets::VlanTag;
