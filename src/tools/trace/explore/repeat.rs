//! Probes that are sent once more, to see whether one flow always finds the same router.

use super::{Cell, Explorer, Found};
use crate::tools::trace::event::Balancing;

/// This many repeats that find the same router as before show a per-flow balancer: one that spreads
/// packets over two routers does that once in 2⁷, over more of them more rarely.
const ENOUGH: u8 = 7;
/// Repeats that are sent at a hop, as long as answers get lost, and how many at once.
const MOST: u8 = 24;
const AT_ONCE: u8 = 8;

/// The repeats at one hop.
#[derive(Default)]
pub(super) struct Repeats {
    given: u8,
    same: u8,
    differ: bool,
    under_way: Vec<u16>,
    /// Routers that a repeat found behind a router (`None`: silent, or the source).
    pub(super) extra: Vec<(Cell, u16)>,
}

impl Repeats {
    /// Whether a repeat of this flow is under way; no longer, then.
    pub(super) fn take(&mut self, flow: u16) -> bool {
        let at = self.under_way.iter().position(|&under_way| under_way == flow);
        at.map(|at| self.under_way.swap_remove(at)).is_some()
    }

    pub(super) fn balancing(&self) -> Balancing {
        match (self.differ, self.same) {
            (true, _) => Balancing::PerPacket,
            (false, ENOUGH..) => Balancing::PerFlow,
            (false, _) => Balancing::Unknown,
        }
    }

    /// How many more are to be sent.
    fn wanted(&self) -> u8 {
        if self.balancing() == Balancing::Unknown {
            (MOST - self.given).min(AT_ONCE).min(ENOUGH + 1 - self.same)
        } else {
            0
        }
    }
}

impl Explorer {
    /// Has probes repeated at every hop with several routers where it is not known how they share.
    pub(super) fn repeat(&mut self) {
        for (at, hop) in self.hops.iter_mut().enumerate() {
            let wanted = usize::from(hop.repeats.wanted());
            if hop.routers.len() < 2 || wanted == 0 {
                continue;
            }
            let answered = |flow: &super::Flow| {
                matches!(flow.cells.get(at), Some(Cell::Router(_)))
                    && flow.end.is_none_or(|end| at <= end)
            };
            let skip = usize::from(hop.repeats.given);
            let flows: Vec<u16> = self
                .flows
                .iter()
                .zip(0..)
                .filter(|(flow, _)| answered(flow))
                .map(|(_, number)| number)
                .collect();
            // Other flows each time, and all over again when there are few. Each twice in a row: a
            // balancer that takes its routers in turn may be in step with the flows as a whole.
            let twice = flows.iter().flat_map(|flow| [flow, flow]);
            for &flow in twice.cycle().skip(skip).take(wanted) {
                hop.repeats.given += 1;
                hop.repeats.under_way.push(flow);
                self.ready.push_back((flow, at as u8));
            }
        }
    }

    /// What a repeat found.
    pub(super) fn repeated(&mut self, number: usize, hop: usize, found: Found) {
        let (Found::Router(addr) | Found::End(addr)) = found else { return };
        let before = hop.checked_sub(1).map_or(Cell::Silent, |hop| self.flows[number].cells[hop]);
        let router = self.hops[hop].number(addr);
        let repeats = &mut self.hops[hop].repeats;
        if self.flows[number].cells[hop] == Cell::Router(router) {
            repeats.same = repeats.same.saturating_add(1);
        } else {
            repeats.differ = true;
            if !repeats.extra.contains(&(before, router)) {
                repeats.extra.push((before, router));
            }
        }
    }
}
