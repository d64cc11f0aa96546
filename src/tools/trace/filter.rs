//! What depends on the ways to the targets, and is made again when these change: which packets are about
//! our probes, and how long packets can be.

use super::identity::Identity;
use super::plan::Plan;
use super::probe;
use super::sizes::Sizes;
use crate::backend::filter::MAX_MATCHES;
use crate::backend::{Filter, VlanMatch};
use crate::tools::host::Host;
use crate::tools::probe::ProbeTargets;

/// Lengths of packets, by link.
pub(super) fn sizes(plan: &Plan, targets: &ProbeTargets) -> Vec<Sizes> {
    targets.links.iter().map(|link| Sizes::new(plan, link)).collect()
}

/// Answers to our probes, and to echo requests among them; everything else goes on to the kernel.
pub(super) fn filter(
    (identity, echo): (&Identity, Option<&Identity>),
    targets: &ProbeTargets,
    host: &dyn Host,
) -> Filter {
    let rows_in = |links: &[usize], vlan: Option<VlanMatch>| {
        let paths = targets.paths.iter().filter(|path| links.contains(&path.link));
        let paths: Vec<_> = paths.map(|path| (path.source, path.address)).collect();
        let mut rows = probe::rows(identity, &paths, vlan);
        rows.extend(echo.iter().flat_map(|echo| probe::rows(echo, &paths, vlan)));
        rows
    };
    let links = targets.links.iter().enumerate();
    let rows: Vec<_> = links.flat_map(|(at, link)| rows_in(&[at], link.vlan(host))).collect();
    if rows.len() <= MAX_MATCHES {
        return Filter::Any(rows);
    }
    // The run itself looks at the VLAN as well.
    Filter::Any(rows_in(&(0..targets.links.len()).collect::<Vec<_>>(), None))
}
