//! What `flux ping` does: ICMP echo to many targets, each reply matched to its probe.
//!
//! ```text
//!   Plan ─▶ ProbeTargets ─▶ NextHops ─▶ Run ─▶ Progress: whose turn ─▶ Outgoing ─▶ Wire
//!           resolve,        MAC                  what became of it ◀── Reader ◀─── Wire
//!           route           addresses            └─▶ Reporter: Event … Event, Summary per target
//! ```
//!
//! Invariant: send times are kept here, never in a packet; a packet off the wire can at worst be
//! counted as foreign. No terminal and no argument parsing in here.

mod answer;
mod event;
mod filter;
mod flight;
mod frame;
mod generate;
mod icmp_text;
mod ids;
mod mark;
mod members;
mod open;
mod outgoing;
mod plan;
mod progress;
mod receive;
mod reporter;
mod run;
mod schedule;
mod sequences;
mod tally;

pub use event::*;
pub use generate::{MOST_GENERATED, generate, listed};
pub use open::run;
pub use plan::*;
