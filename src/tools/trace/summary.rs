//! What is known of a target, in the shape of its report.

use super::event::{Balancing, Certainty, Hop, PathStats, PortState, Summary};
use super::explore::Way;
use super::limits;
use super::plan::Multipath;
use super::tally::{Cell, Tally, loss_pct, rtt};
use super::target::TargetTrace;
use crate::tools::measure::times::Times;
use crate::tools::probe::Zoned;
use std::net::IpAddr;

impl TargetTrace {
    /// What is known now.
    pub(super) fn summary(
        &self,
        target: &str,
        address: IpAddr,
        paths: Option<Multipath>,
    ) -> Summary {
        let last = self.last_hop();
        let explorer = self.explorer();
        let mut hops = self.tally.report(last, |ttl| match explorer {
            Some(explorer) => explorer.balancing(ttl),
            // Without flows it cannot be told what made the difference.
            None => Some(Balancing::Unknown),
        });
        for router in hops.iter_mut().flat_map(|hop| &mut hop.routers) {
            if router.address == address && self.port_state() == Some(PortState::Filtered) {
                router.port_state = Some(PortState::Filtered);
            }
        }
        limits::mark(&mut hops, self.is_limited_target(), explorer.is_none());
        let ways = match explorer {
            Some(explorer) => explorer.paths(),
            None => lanes(&self.tally, &hops, self.distance().is_some()),
        };
        let stats = |way: &Way| {
            let end = way.hops.len().checked_sub(1).and_then(|end| hops.get(end));
            stats(&self.tally, &way.flows, end.is_some_and(|end| end.limited))
        };
        let path_stats = ways.iter().map(stats).collect();
        Summary {
            target: target.to_owned(),
            address: Some(address),
            reached: self.distance().is_some(),
            distance: self.distance(),
            answered_by: self.end.answered_by().filter(|from| *from != address).map(Zoned::from),
            rounds: self.rounds(),
            hops,
            paths: ways
                .into_iter()
                .map(|way| way.hops.into_iter().map(as_told).collect())
                .collect(),
            path_stats,
            links: explorer.map(|explorer| explorer.links()).unwrap_or_default(),
            multipath: explorer.zip(paths).map(|(explorer, paths)| Certainty {
                confidence: paths.confidence,
                flows: explorer.flows().into(),
                probes: self.probes(),
                complete: explorer.is_certain(),
                stopped: self.was_stopped(),
            }),
            mtu: self.path_mtu().0.map(u32::from),
            mtu_at_least: self.path_mtu().1.map(u32::from),
            mtu_hop: self.mtu_hop(),
            mtu_black_hole: self.mtu_black_hole(),
            port_state: self.port_state(),
            echo_only: self.is_echo_only(),
            nat: self.tally.nat.clone(),
            duplicates: self.tally.duplicates,
            late: self.tally.late,
            elapsed_s: self
                .started_ns
                .map_or(0.0, |start| self.last_event_ns.saturating_sub(start) as f64 / 1e9),
            error: None,
        }
    }
}

/// The ways that the probes of each lane show, each once, with the lanes that took it. One with a
/// hop that another saw is the same way with a loss.
fn lanes(tally: &Tally, hops: &[Hop], ended: bool) -> Vec<Way> {
    let mut seen = Vec::with_capacity(tally.lanes.len());
    for (lane, cells) in (0..).zip(&tally.lanes) {
        let at = |at: usize| cells.get(at).and_then(|cell| cell.address);
        seen.push(Way { hops: (0..hops.len()).map(at).collect(), flows: vec![lane], ended });
    }
    // Those that know most first: the others may be the same.
    seen.sort_by_key(|way| way.hops.iter().filter(|hop| hop.is_none()).count());
    let mut ways: Vec<Way> = Vec::new();
    for way in seen {
        let agrees =
            |known: &Way| known.hops.iter().zip(&way.hops).all(|(a, b)| b.is_none() || a == b);
        match ways.iter_mut().find(|known| agrees(known)) {
            Some(known) => known.flows.extend(way.flows),
            None => ways.push(way),
        }
    }
    ways.retain(|way| way.hops.iter().any(Option::is_some));
    ways
}

/// The numbers of these flows at their ends.
fn stats(tally: &Tally, flows: &[u16], limited: bool) -> PathStats {
    let ends = flows.iter().filter_map(|&flow| {
        let cells = tally.lanes.get(usize::from(flow))?;
        let answered = |cell: &&Cell| cell.address.is_some();
        cells.iter().rev().find(answered)
    });
    let (mut sent, mut received, mut last_ns) = (0, 0, None);
    let mut times = Times::default();
    for cell in ends {
        sent += cell.sent;
        received += cell.received;
        last_ns = cell.last_ns.or(last_ns);
        times.add(&cell.times);
    }
    PathStats {
        flows: flows.len() as u32,
        sent,
        received,
        loss_pct: if limited { 0.0 } else { loss_pct(sent, received) },
        rtt_us: rtt(&times, last_ns, 0.0),
    }
}

/// An address of a path as it is told, its zone aside.
fn as_told(address: Option<IpAddr>) -> Option<Zoned> {
    address.map(Zoned::from)
}
