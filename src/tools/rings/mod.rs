//! `flux rings`: every AF_XDP socket of the machine, its rings, and why it does not go.
//!
//! ```text
//!   kernel: iter │ pidfd │ diag ──┐
//!                interfaces ──────┤ dyn Observer ─▶ Scan ─▶ History ─▶ diagnose ─┐
//!   sim: a simulated run ─────────┘                            └────▶ sample ◀──┘ ─▶ Event
//! ```
//!
//! Invariant: an observer never touches what it looks at: it takes no descriptor beyond a look,
//! and writes to no ring. What a source cannot know stays `None`, down to the JSON.

mod diagnose;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod kernel;
mod observe;
mod run;
mod sample;
mod sim;

pub use diagnose::Diagnosis;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub use kernel::KernelObserver;
pub use observe::{InterfaceKey, InterfaceSnapshot, Observer, Scan};
pub use run::{Event, Outcome, Plan, Selection, run};
pub use sample::{
    InterfaceSample, OwnerSample, RingSample, RingsSample, Sample, SocketSample, StatsSample,
    UmemSample, XskMapSample,
};
pub use sim::{Behaviour, SimObserver};
