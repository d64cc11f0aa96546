//! What is different between two saved traces.
//!
//! Runs differ by chance: another flow takes another of the balanced paths, a probe gets lost. So
//! numbers count only where they are worse by more than a tolerance, and a path is new only when
//! it takes an edge that the other run did not see.

mod earlier;
mod read;

#[cfg(all(test, not(flux_loom)))]
mod tests;

use super::event::{Balancing, Hop, Label, Nat, Router, Summary};
use crate::error::{FluxError, Result};
use crate::tools::probe::Zoned;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

pub use read::{Saved, read};

/// A median that grows by less than this has not changed, whatever the percentage: hosts and
/// schedulers take that long.
const LEAST_RTT_US: f64 = 1000.0;
/// A loss that this many probes could explain is chance.
const LEAST_LOST: f64 = 2.0;

/// Two saved runs compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename = "diff")]
pub struct Diff {
    /// Whether nothing is different.
    pub same: bool,
    /// What loss may grow by, in points, and an RTT, in percent.
    pub tolerance_pct: f64,
    /// Targets that both have.
    pub compared: usize,
    /// Targets that only the first run has.
    pub only_a: Vec<String>,
    /// Targets that only the second run has.
    pub only_b: Vec<String>,
    /// What a reader must know before believing it.
    pub notes: Vec<String>,
    /// Targets with differences, in the order of the first run.
    pub targets: Vec<TargetDiff>,
}

impl Diff {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.same
    }
}

/// What is different for one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetDiff {
    /// The target, as given in the first run.
    pub target: String,
    /// What is different: of the whole way first, then hop by hop, then the paths.
    pub changes: Vec<Change>,
}

/// One difference: `a` is what the first run saw, `b` what the second did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// The target's name has another address.
    Address {
        /// First run.
        a: IpAddr,
        /// Second run.
        b: IpAddr,
    },
    /// Whether it answered.
    Reached {
        /// First run.
        a: bool,
        /// Second run.
        b: bool,
    },
    /// How far away it is.
    Distance {
        /// First run.
        a: Option<u8>,
        /// Second run.
        b: Option<u8>,
    },
    /// Path MTU in bytes.
    Mtu {
        /// First run.
        a: Option<u32>,
        /// Second run.
        b: Option<u32>,
    },
    /// After which TTL larger packets vanish.
    MtuBlackHole {
        /// First run.
        a: Option<u8>,
        /// Second run.
        b: Option<u8>,
    },
    /// Where a NAT rewrites probes.
    Nat {
        /// First run.
        a: Vec<Nat>,
        /// Second run.
        b: Vec<Nat>,
    },
    /// Who answers at a TTL; none for a silent hop or one that is not there.
    Routers {
        /// Which TTL.
        ttl: u8,
        /// First run.
        a: Vec<Zoned>,
        /// Second run.
        b: Vec<Zoned>,
    },
    /// How the routers of a TTL share it.
    Balancing {
        /// Which TTL.
        ttl: u8,
        /// First run.
        a: Option<Balancing>,
        /// Second run.
        b: Option<Balancing>,
    },
    /// The MPLS labels that a router reports.
    Mpls {
        /// Which TTL.
        ttl: u8,
        /// Which router.
        address: Zoned,
        /// First run.
        a: Vec<Label>,
        /// Second run.
        b: Vec<Label>,
    },
    /// A router loses more, in percent.
    Loss {
        /// Which TTL.
        ttl: u8,
        /// Which router.
        address: Zoned,
        /// First run.
        a: f64,
        /// Second run.
        b: f64,
    },
    /// A router's median RTT is longer, in µs.
    Rtt {
        /// Which TTL.
        ttl: u8,
        /// Which router.
        address: Zoned,
        /// First run.
        a: f64,
        /// Second run.
        b: f64,
    },
    /// Paths with an edge that the other run did not see.
    Paths {
        /// Only in the first run.
        a: Vec<Vec<Option<Zoned>>>,
        /// Only in the second run.
        b: Vec<Vec<Option<Zoned>>>,
    },
}

/// Compares run `b` with run `a`, target by target: by its name, or else by its address.
///
/// # Errors
/// `ErrorKind::Config` when the tolerance is none.
pub fn diff(a: &Saved, b: &Saved, tolerance_pct: f64) -> Result<Diff> {
    if !(0.0..=1000.0).contains(&tolerance_pct) {
        let what = format!("tolerance {tolerance_pct} %");
        return Err(FluxError::config(what, "must be 0 % to 1000 %"));
    }
    let (pairs, only_a, only_b) = pairs(&a.summaries, &b.summaries);
    let targets: Vec<TargetDiff> = pairs
        .iter()
        .map(|(a, b)| TargetDiff {
            target: a.target.clone(),
            changes: changes(a, b, tolerance_pct),
        })
        .filter(|target| !target.changes.is_empty())
        .collect();
    Ok(Diff {
        same: targets.is_empty() && only_a.is_empty() && only_b.is_empty(),
        tolerance_pct,
        compared: pairs.len(),
        only_a,
        only_b,
        notes: notes(a, b, &pairs, &targets),
        targets,
    })
}

type Pair<'a> = (&'a Summary, &'a Summary);

/// Targets that both have, and those of A and B that are left over.
fn pairs<'a>(a: &'a [Summary], b: &'a [Summary]) -> (Vec<Pair<'a>>, Vec<String>, Vec<String>) {
    let mut partner: Vec<Option<usize>> = vec![None; a.len()];
    let mut free: Vec<bool> = vec![true; b.len()];
    let by_name = |summary: &Summary| summary.target.clone();
    // One without an address has its name alone.
    let by_address = |summary: &Summary| match summary.address {
        Some(address) => address.to_string(),
        None => summary.target.clone(),
    };
    for key in [by_name, by_address] {
        let mut places: HashMap<String, usize> = HashMap::new();
        for (at, summary) in b.iter().enumerate().filter(|&(at, _)| free[at]) {
            places.entry(key(summary)).or_insert(at);
        }
        for (summary, partner) in a.iter().zip(&mut partner).filter(|(_, at)| at.is_none()) {
            *partner = places.remove(&key(summary));
            if let Some(at) = *partner {
                free[at] = false;
            }
        }
    }
    let name = |summary: &Summary| summary.target.clone();
    let both = a.iter().zip(&partner).filter_map(|(a, at)| Some((a, &b[(*at)?]))).collect();
    let alone = a.iter().zip(&partner).filter(|(_, at)| at.is_none()).map(|(a, _)| name(a));
    let rest = b.iter().zip(free).filter(|&(_, free)| free).map(|(b, _)| name(b));
    (both, alone.collect(), rest.collect())
}

fn changes(a: &Summary, b: &Summary, tolerance_pct: f64) -> Vec<Change> {
    // Earlier versions wrote no zones.
    if has_zones(a) != has_zones(b) {
        let [a, b] = [a, b].map(|summary| {
            let mut plain = summary.clone();
            plain.hear_in(None);
            plain
        });
        return changes_of(&a, &b, tolerance_pct);
    }
    changes_of(a, b, tolerance_pct)
}

fn has_zones(summary: &Summary) -> bool {
    let mut routers = summary.hops.iter().flat_map(|hop| &hop.routers);
    routers.any(|router| router.address.zone.is_some())
}

fn changes_of(a: &Summary, b: &Summary, tolerance_pct: f64) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (Some(a), Some(b)) = (a.address, b.address)
        && a != b
    {
        changes.push(Change::Address { a, b });
    }
    if a.reached != b.reached {
        changes.push(Change::Reached { a: a.reached, b: b.reached });
    }
    // Only where both know it: else that it was reached, or looked for, says it all.
    if a.distance != b.distance && a.distance.is_some() == b.distance.is_some() {
        changes.push(Change::Distance { a: a.distance, b: b.distance });
    }
    if a.mtu != b.mtu {
        changes.push(Change::Mtu { a: a.mtu, b: b.mtu });
    }
    if a.mtu_black_hole != b.mtu_black_hole {
        changes.push(Change::MtuBlackHole { a: a.mtu_black_hole, b: b.mtu_black_hole });
    }
    let key = |nat: &Nat| (nat.ttl, nat.address, nat.rewritten);
    let nats = |nats: &[Nat]| nats.iter().map(key).collect::<BTreeSet<_>>();
    if nats(&a.nat) != nats(&b.nat) {
        changes.push(Change::Nat { a: a.nat.clone(), b: b.nat.clone() });
    }
    let ttls: BTreeSet<u8> = a.hops.iter().chain(&b.hops).map(|hop| hop.ttl).collect();
    for ttl in ttls {
        let hop = |summary: &Summary| summary.hops.iter().find(|hop| hop.ttl == ttl).cloned();
        let none = || Hop {
            ttl,
            routers: Vec::new(),
            sent: 0,
            received: 0,
            loss_pct: 0.0,
            limited: false,
            balancing: None,
        };
        let (old, new) = (hop(a).unwrap_or_else(none), hop(b).unwrap_or_else(none));
        hop_changes(&old, &new, &mut changes, shares(a, b));
        router_changes(&old, &new, tolerance_pct, &mut changes);
    }
    let (only_a, only_b) = match shares(a, b) {
        Shares::Both => (new_paths(a, b), new_paths(b, a)),
        Shares::A => (Vec::new(), new_paths(b, a)),
        Shares::B => (new_paths(a, b), Vec::new()),
    };
    if !only_a.is_empty() || !only_b.is_empty() {
        changes.push(Change::Paths { a: only_a, b: only_b });
    }
    changes
}

/// Which run saw all of the paths that packets are balanced over. One that saw a single path of
/// those does not say that the others are gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shares {
    A,
    B,
    /// Both alike, whether all paths or one.
    Both,
}

fn shares(a: &Summary, b: &Summary) -> Shares {
    match (a.multipath, b.multipath) {
        (Some(_), None) => Shares::A,
        (None, Some(_)) => Shares::B,
        _ => Shares::Both,
    }
}

fn hop_changes(a: &Hop, b: &Hop, changes: &mut Vec<Change>, shares: Shares) {
    let ttl = a.ttl;
    let addrs =
        |hop: &Hop| hop.routers.iter().map(|router| router.address).collect::<BTreeSet<_>>();
    let (of_a, of_b) = (addrs(a), addrs(b));
    let part = match shares {
        Shares::A => !of_b.is_empty() && of_b.is_subset(&of_a),
        Shares::B => !of_a.is_empty() && of_a.is_subset(&of_b),
        Shares::Both => false,
    };
    if part {
        return;
    }
    if of_a != of_b {
        let (a, b) = (of_a.iter().copied().collect(), of_b.into_iter().collect());
        changes.push(Change::Routers { ttl, a, b });
    } else if a.balancing != b.balancing && !unknown(a.balancing) && !unknown(b.balancing) {
        changes.push(Change::Balancing { ttl, a: a.balancing, b: b.balancing });
    }
}

/// What is different about the routers that answer in both runs.
fn router_changes(a: &Hop, b: &Hop, tolerance_pct: f64, changes: &mut Vec<Change>) {
    let ttl = a.ttl;
    for old in &a.routers {
        let Some(new) = b.routers.iter().find(|new| new.address == old.address) else { continue };
        let address = old.address;
        // TTLs in labels are those of the packet, and differ with where the tunnel was entered.
        let labels = |router: &Router| router.mpls.iter().map(|l| l.label).collect::<Vec<_>>();
        if labels(old) != labels(new) {
            let (a, b) = (old.mpls.clone(), new.mpls.clone());
            changes.push(Change::Mpls { ttl, address, a, b });
        }
        if loses_more(old, new, tolerance_pct) {
            changes.push(Change::Loss { ttl, address, a: old.loss_pct, b: new.loss_pct });
        }
        if let (Some(a), Some(b)) = (old.rtt_us, new.rtt_us)
            && b.times.p50 > a.times.p50 * (1.0 + tolerance_pct / 100.0)
            && b.times.p50 - a.times.p50 > LEAST_RTT_US
        {
            changes.push(Change::Rtt { ttl, address, a: a.times.p50, b: b.times.p50 });
        }
    }
}

fn unknown(balancing: Option<Balancing>) -> bool {
    balancing == Some(Balancing::Unknown)
}

/// Whether loss grew by more than the tolerance, and by more probes than chance takes.
fn loses_more(a: &Router, b: &Router, tolerance_pct: f64) -> bool {
    let lost = b.sent.saturating_sub(b.received) as f64;
    let expected = a.loss_pct / 100.0 * b.sent as f64;
    b.loss_pct - a.loss_pct > tolerance_pct && lost - expected >= LEAST_LOST
}

/// An edge: the TTL of the nearer router, and both.
type Edge = (usize, Zoned, Zoned);

fn first_ttl(summary: &Summary) -> usize {
    summary.hops.first().map_or(1, |hop| hop.ttl.into())
}

/// The edges of a path between routers that both answered.
fn edges(path: &[Option<Zoned>], first: usize) -> impl Iterator<Item = Edge> {
    path.windows(2).zip(first..).filter_map(|(pair, ttl)| match *pair {
        [Some(from), Some(to)] => Some((ttl, from, to)),
        _ => None,
    })
}

/// Paths of `summary` with an edge that `other` does not have.
fn new_paths(summary: &Summary, other: &Summary) -> Vec<Vec<Option<Zoned>>> {
    let first = first_ttl(other);
    let mut known: BTreeSet<Edge> =
        other.paths.iter().flat_map(|path| edges(path, first)).collect();
    known.extend(
        other.links.iter().filter_map(|link| Some((link.ttl.into(), link.from?, link.to?))),
    );
    let first = first_ttl(summary);
    let is_new = |path: &&Vec<_>| edges(path, first).any(|edge| !known.contains(&edge));
    summary.paths.iter().filter(is_new).cloned().collect()
}

fn notes(a: &Saved, b: &Saved, pairs: &[Pair<'_>], targets: &[TargetDiff]) -> Vec<String> {
    let mut notes = Vec::new();
    for (which, saved) in [("first", a), ("second", b)] {
        if let Some(error) = &saved.error {
            notes.push(format!("the {which} run ended with an error: {error}"));
        }
    }
    let all_paths = |summary: &Summary| summary.multipath.is_some();
    if pairs.iter().any(|(a, b)| all_paths(a) != all_paths(b)) {
        notes.push(
            "one run looked for all paths, the other did not: compare two with --paths".into(),
        );
    } else if pairs.iter().any(|(a, _)| !all_paths(a)) && targets.iter().any(changes_routers) {
        notes.push(
            "without --paths a run sees one of the paths that packets are balanced over: another \
             router need not be another route"
                .into(),
        );
    }
    let incomplete = |summary: &Summary| summary.multipath.is_some_and(|sure| !sure.complete);
    if pairs.iter().any(|(a, b)| incomplete(a) || incomplete(b)) {
        notes.push("a run may have missed routers: it had too few flows".into());
    }
    notes
}

fn changes_routers(target: &TargetDiff) -> bool {
    target.changes.iter().any(|change| matches!(change, Change::Routers { .. }))
}
