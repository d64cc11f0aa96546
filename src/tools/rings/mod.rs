//! `flux rings`: every AF_XDP socket of the machine, its rings, and what is wrong with it.
//!
//! ```text
//!   kernel: iter │ pidfd │ diag ──┐
//!                interfaces ──────┤ dyn Observer ─▶ Sampler: look() ─▶ History ─▶ diagnose ─┐
//!   sim: a simulated run ─────────┘                 sample() ◀──────────────────── sample ◀┘
//!
//!   run: looks and pauses as planned ─▶ Event
//! ```
//!
//! Invariant: an observer never touches what it looks at: it takes no descriptor beyond a look,
//! and writes to no ring. What a source cannot know stays `None`, down to the JSON. Time is the
//! caller's: nothing here but [`run`] waits.

mod diagnose;
mod history;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod kernel;
mod observe;
mod run;
mod sample;
mod sampler;
mod select;
mod sim;

pub use diagnose::Diagnosis;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use kernel::KernelObserver;
pub use observe::{Clock, InterfaceKey, InterfaceSnapshot, Missing, Observer, Scan, Unseen};
pub use run::{Event, Outcome, Plan, run};
pub use sample::{
    InterfaceSample, OwnerSample, RingSample, RingsSample, Sample, SocketSample, StatsRates,
    StatsSample, UmemSample, XskMapSample,
};
pub use sampler::Sampler;
pub use select::Selection;
pub use sim::{Behaviour, SimObserver};
