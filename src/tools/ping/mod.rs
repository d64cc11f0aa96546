//! What `flux ping` does: ICMP echo to many targets, each reply matched to its probe.
//!
//! ```text
//!   Plan ──▶ ProbeTargets ──▶ NextHops ──▶ Run: schedule ─▶ template ─▶ FluxTx ─▶ wire
//!            resolve,    MAC           table ◀── answer ◀──── FluxRx ◀── wire
//!            route       addresses     tally ──▶ Event … Event, Summary per target
//! ```
//!
//! Invariant: send times are kept here, never in a packet; a packet off the wire can at worst be
//! counted as foreign. No terminal and no argument parsing in here.

mod answer;
mod end;
mod event;
mod frame;
mod icmp_text;
mod open;
mod plan;
mod receive;
mod run;
mod schedule;
mod tally;

pub use event::*;
pub use open::run;
pub use plan::*;
