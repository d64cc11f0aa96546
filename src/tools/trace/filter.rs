//! What depends on the ways to the targets, and is made again when these change: which packets are about
//! our probes, and how long packets can be.

use super::identity::Identity;
use super::plan::Plan;
use super::probe;
use super::sizes::Sizes;
use crate::backend::Filter;
use crate::tools::probe::ProbeTargets;

/// Lengths of packets, by link.
pub(super) fn sizes(plan: &Plan, targets: &ProbeTargets) -> Vec<Sizes> {
    targets.links.iter().map(|link| Sizes::new(plan, link)).collect()
}

/// Answers to our probes; everything else goes on to the kernel.
pub(super) fn filter(identity: &Identity, targets: &ProbeTargets) -> Filter {
    let paths: Vec<_> = targets.paths.iter().map(|path| (path.source, path.address)).collect();
    Filter::Any(probe::rows(identity, &paths))
}
