//! What `flux ping` does: ICMP echo to many targets, each reply matched to its probe.
//!
//! ```text
//!   Plan ──▶ run(plan, env) ──▶ Event … Event, Summary per target
//!               │  ▲
//!      FluxTx ◀─┘  └─ FluxRx        routes, neighbours: dyn Host
//! ```
//!
//! Invariant: send times are kept here, never in a packet; a packet off the wire can at worst be
//! counted as foreign. No terminal and no argument parsing in here.

mod event;
mod plan;

pub use event::*;
pub use plan::*;
