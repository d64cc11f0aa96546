//! What a session knows, in the shape of its report.

use super::event::{Balancing, Certainty, Hop, PathStats, Summary};
use super::plan::Multipath;
use super::session::Session;
use super::tally::{Cell, Tally, loss_pct, rtt};
use crate::tools::net::times::Times;
use std::net::IpAddr;

/// Addresses of a way, by TTL; `None` is silent.
type Way = Vec<Option<IpAddr>>;

impl Session {
    /// What is known now.
    pub(super) fn summary(
        &self,
        target: &str,
        address: IpAddr,
        paths: Option<Multipath>,
    ) -> Summary {
        let last = self.last_hop();
        let explorer = self.explorer();
        let hops = self.tally.report(last, |ttl| match explorer {
            Some(explorer) => explorer.balancing(ttl),
            // Without flows it cannot be told what made the difference.
            None => Some(Balancing::Unknown),
        });
        let ways = match explorer {
            Some(explorer) => explorer.paths(),
            None => lanes(&self.tally, &hops),
        };
        let path_stats = ways.iter().map(|(_, flows)| stats(&self.tally, flows)).collect();
        Summary {
            target: target.to_owned(),
            address,
            reached: self.distance.is_some(),
            distance: self.distance,
            rounds: self.rounds(),
            hops,
            paths: ways.into_iter().map(|(way, _)| way).collect(),
            path_stats,
            links: explorer.map(|explorer| explorer.links()).unwrap_or_default(),
            multipath: explorer.zip(paths).map(|(explorer, paths)| Certainty {
                confidence: paths.confidence,
                flows: explorer.flows().into(),
                probes: self.probes(),
                complete: explorer.is_certain(),
            }),
            mtu: self.mtu().and_then(|mtu| mtu.mtu()).map(u32::from),
            mtu_black_hole: self.mtu().and_then(|mtu| mtu.black_hole()),
            nat: self.tally.nat.clone(),
            duplicates: self.tally.duplicates,
            late: self.tally.late,
            elapsed_ms: self
                .started_ns
                .map_or(0.0, |start| self.last_event_ns.saturating_sub(start) as f64 / 1e6),
        }
    }
}

/// The ways that the probes of each lane show, each once, with the lanes that took it. One with a
/// hop that another saw is the same way with a loss.
fn lanes(tally: &Tally, hops: &[Hop]) -> Vec<(Way, Vec<u16>)> {
    let mut ways: Vec<(Way, Vec<u16>)> = Vec::new();
    let mut seen: Vec<(Way, u16)> = Vec::new();
    for (lane, cells) in (0..).zip(&tally.lanes) {
        let at = |at: usize| cells.get(at).and_then(|cell| cell.addr);
        seen.push(((0..hops.len()).map(at).collect(), lane));
    }
    // Those that know most first: the others may be the same.
    seen.sort_by_key(|(way, lane)| (way.iter().filter(|hop| hop.is_none()).count(), *lane));
    for (way, lane) in seen {
        let agrees = |known: &Way| {
            known.iter().zip(&way).all(|(a, b)| b.is_none() || a == b)
        };
        match ways.iter_mut().find(|(known, _)| agrees(known)) {
            Some((_, lanes)) => lanes.push(lane),
            None => ways.push((way, vec![lane])),
        }
    }
    ways.retain(|(way, _)| way.iter().any(Option::is_some));
    ways
}

/// The numbers of these flows at their ends.
fn stats(tally: &Tally, flows: &[u16]) -> PathStats {
    let ends = flows.iter().filter_map(|&flow| {
        let cells = tally.lanes.get(usize::from(flow))?;
        let answered = |cell: &&Cell| cell.addr.is_some();
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
        loss_pct: loss_pct(sent, received),
        rtt_us: rtt(&times, last_ns, 0.0),
    }
}
