//! The edges of the graph, as flows took them.

use super::{Cell, Flow, Hop};

/// A hop that did not answer, as a vertex.
pub(super) const SILENT: u16 = u16::MAX;
/// An edge that only a repeat took.
const REPEAT: u16 = u16::MAX;

/// A flow from one vertex to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) from: u16,
    pub(super) to: u16,
    flow: u16,
}

impl Step {
    /// The flow, if it was not a repeat alone.
    pub(super) fn flow(&self) -> Option<u16> {
        (self.flow != REPEAT).then_some(self.flow)
    }
}

/// For each hop, how it was reached, in order. To the first from the source, which is vertex 0.
pub(super) struct Steps(Vec<Vec<Step>>);

impl Steps {
    pub(super) fn of(flows: &[Flow], hops: &[Hop]) -> Self {
        let mut steps: Vec<Vec<Step>> = vec![Vec::new(); hops.len()];
        for (flow, number) in flows.iter().zip(0..) {
            let mut from = 0;
            for (cell, steps) in flow.way(hops).iter().zip(&mut steps) {
                let to = vertex(*cell);
                steps.push(Step { from, to, flow: number });
                from = to;
            }
        }
        for (at, (hop, steps)) in hops.iter().zip(&mut steps).enumerate() {
            for &(before, to) in &hop.repeats.extra {
                let from = if at == 0 { 0 } else { vertex(before) };
                steps.push(Step { from, to, flow: REPEAT });
            }
            steps.sort_unstable();
        }
        Self(steps)
    }

    /// How hop `at` was reached, in order.
    pub(super) fn to(&self, at: usize) -> &[Step] {
        self.0.get(at).map_or(&[], Vec::as_slice)
    }

    /// How hop `at` was reached from vertex `from` of the hop before.
    pub(super) fn from(&self, at: usize, from: u16) -> &[Step] {
        let steps = self.to(at);
        let begin = steps.partition_point(|step| step.from < from);
        let end = steps.partition_point(|step| step.from <= from);
        &steps[begin..end]
    }
}

pub(super) fn vertex(cell: Cell) -> u16 {
    match cell {
        Cell::Router(router) => router,
        Cell::Unsent | Cell::Ready | Cell::Sent | Cell::Silent => SILENT,
    }
}

impl Flow {
    /// The cells that are its way: to its end or, without one, to the first silence behind the
    /// last that answered. Where the end answered behind its distance alone, to its distance.
    pub(super) fn way(&self, hops: &[Hop]) -> &[Cell] {
        let behind = self.top.map_or(0, |top| top + 1);
        let length = self.end.map_or(behind + 1, |end| self.distance(end, hops) + 1);
        &self.cells[..length.min(self.cells.len())]
    }

    fn distance(&self, end: usize, hops: &[Hop]) -> usize {
        let answered = |cell: &Cell| matches!(cell, Cell::Router(_));
        let Some(last) = self.cells[..end].iter().rposition(answered) else { return end };
        let Cell::Router(router) = self.cells[last] else { return end };
        let lost = hops[last].before_end[usize::from(router)] && hops[last + 1].is_rarely_silent();
        if last + 1 < end && lost { last + 1 } else { end }
    }
}
