//! `flux doctor`: whether AF_XDP can run here, how well, and what to do about what is wrong.
//!
//! ```text
//!   this machine:  gather ──┐
//!                           ├─▶ Facts ─▶ checks: machine, device, xdp, packets ─▶ Report
//!   simulated:     sim ─────┘
//! ```
//!
//! Invariant: only `gather` touches the machine, and leaves it as it was: a program that it
//! attaches is detached again before the next fact. Checks are functions of facts alone; what is
//! not known is told as not checked, and is never fine.

mod checks;
// Without a kernel to ask, some facts are never found.
#[cfg_attr(not(all(target_os = "linux", feature = "bpf")), allow(dead_code))]
mod facts;
#[cfg(all(target_os = "linux", feature = "bpf"))]
mod gather;
mod report;
mod sim;

pub use report::{Check, Report, Status, Unchecked};

use crate::error::Result;
use crate::tools::topology::SimOptions;

/// What is to be examined.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface; without one, the machine and a line for each interface.
    pub interface: Option<String>,
    /// Whether a program may be attached, and detached at once, to see which modes work.
    pub attach: bool,
    /// The simulated machine instead of this one.
    pub sim: Option<SimOptions>,
}

/// Examines the machine, and the interface that was asked for.
///
/// # Errors
/// When there is no kernel to ask: on other systems than Linux, or without the feature `bpf`; when
/// there is no such interface; and when the topology file of a simulated machine cannot be used.
pub fn run(plan: &Plan) -> Result<Report> {
    let facts = match &plan.sim {
        Some(spec) => sim::facts(spec, plan.interface.as_deref())?,
        None => kernel(plan)?,
    };
    Ok(checks::examine(&facts))
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
fn kernel(plan: &Plan) -> Result<facts::Facts> {
    gather::facts(plan)
}

#[cfg(not(all(target_os = "linux", feature = "bpf")))]
fn kernel(_plan: &Plan) -> Result<facts::Facts> {
    use crate::error::{ErrorKind, FluxError};
    let error = FluxError::new(
        ErrorKind::Unsupported,
        "cannot examine AF_XDP",
        "this system is not Linux, or flux was built without the feature bpf",
    );
    Err(error.with_hint("use --sim: the simulated machine can be examined everywhere"))
}
