//! What `flux trace` does: probes for every hop at once, each answer matched by what it quotes.
//!
//! ```text
//!   Plan ─▶ Journey ─▶ Hops ─▶ Run ── Session per target: which probe next, what is known
//!                               │        └─ Explorer: flows, until all paths are known
//!                               │        └─ PathMtu:  sizes, until the largest is known
//!                       Template ─▶ FluxTx ─▶ wire          names ◀─ resolver threads
//!                       answer::read ◀─ FluxRx ◀─ wire      Event … Event, Summary per target
//! ```
//!
//! Invariant: send times are kept here, never in a packet; a packet off the wire can at worst be
//! counted as foreign. No terminal and no argument parsing in here.

mod answer;
mod diff;
mod event;
mod explore;
mod flight;
mod names;
mod open;
mod path_mtu;
mod plan;
mod probe;
mod receive;
mod run;
mod session;
mod summary;
mod tally;
mod words;

pub use diff::{Change, Diff, Saved, TargetDiff, diff, read};
pub use event::*;
pub use open::run;
pub use plan::*;
