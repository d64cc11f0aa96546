//! What `flux bench` does: every combination asked for, measured in turn, with its spread and the
//! reason for it.
//!
//! ```text
//!   Plan ─▶ settings ─▶ run: (setting, round) ─▶ Sample ─▶ stats ─▶ advise ─▶ Report ─▶ store, diff
//!                        │ one setting after the other, all of them once a round
//!                        ├── kernel   the lab (namespaces, veth pair, traffic source; root),
//!                        │            or an interface of the user's
//!                        └── sim      simulated rings
//! ```
//!
//! Invariant: a number in a report was measured in this run, or is `null`. No terminal and no
//! argument parsing in here.

mod advise;
mod diff;
mod earlier;
mod event;
#[cfg(test)]
mod fixture;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod kernel;
mod metric;
mod names;
mod plan;
mod report;
mod run;
#[cfg_attr(not(all(target_os = "linux", feature = "bpf")), allow(dead_code))] // kernel.rs uses all
mod sample;
mod setting;
mod sim;
mod stats;
mod store;
mod ways;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod window;
#[cfg_attr(not(all(target_os = "linux", feature = "bpf")), allow(dead_code))] // kernel.rs uses all
mod work;

pub use diff::{Change, Diff, Verdict, diff};
pub use event::{Event, Note};
pub use metric::Metric;
pub use names::Names;
pub use plan::{Library, Place, Plan, Poll, Setting, Workload};
pub use report::{Best, Machine, Report, SettingKey, SettingReport, Start, Undecided};
pub use run::{Outcome, run};
pub use stats::Spread;
pub use store::{Saved, file_of, load};
