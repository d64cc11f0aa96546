//! Whether every vertex had flows enough, and how many are missing.

use super::loss::lost;
use super::steps::{SILENT, Step, Steps};
use super::stops::Stops;
use super::{Flow, Hop};

/// A vertex some of whose successors are silent is given up at this many times the flows that it
/// would need if all answered: a router that answers one probe in a hundred would take too many.
const PATIENCE: usize = 4;
/// A vertex that no flow went through for this many flows per router of its hop is given up: the
/// route changed. One with a quarter of its share only is given up in one of 10⁷ cases.
const GONE: usize = 64;

/// What is missing.
#[derive(Default)]
pub(super) struct Survey {
    lost: Vec<bool>,
    missing: usize,
    given_up: bool,
}

impl Survey {
    pub(super) fn of(flows: &[Flow], hops: &[Hop], stops: &mut Stops) -> Self {
        let steps = Steps::of(flows, hops);
        let lost = lost(flows, hops, &steps);
        let vertices = vertices(hops, &steps, &lost);
        let all = vertices.iter().map(|vertex| vertex.routers).sum();
        let mut survey = Self { lost, missing: 0, given_up: false };
        for vertex in vertices {
            match vertex.judge(flows.len(), |successors| stops.flows(all, successors) as usize) {
                Verdict::Enough => {}
                Verdict::GivenUp => survey.given_up = true,
                Verdict::Missing(flows) => survey.missing = survey.missing.max(flows),
            }
        }
        survey
    }

    /// How many more flows will do, about.
    pub(super) fn missing(&self) -> usize {
        self.missing
    }

    /// Whether no vertex lacks any.
    pub(super) fn certain(&self) -> bool {
        self.missing == 0 && !self.given_up
    }

    /// Whether the silence at this hop is nothing but lost answers.
    pub(super) fn is_lost(&self, hop: usize) -> bool {
        self.lost.get(hop).is_some_and(|&lost| lost)
    }
}

/// A vertex that has successors; or all routers of a hop behind a per-packet balancer, as no flow
/// can be kept to one of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Vertex {
    routers: usize,
    /// How many routers its hop has.
    width: usize,
    /// Flows that went on from here.
    flows: usize,
    /// Those that found a router.
    answered: usize,
    /// Routers that were found.
    successors: usize,
    /// The last of the flows.
    last: usize,
}

enum Verdict {
    Enough,
    GivenUp,
    Missing(usize),
}

fn vertices(hops: &[Hop], steps: &Steps, lost: &[bool]) -> Vec<Vertex> {
    let mut vertices = Vec::new();
    for at in 0..hops.len() {
        let before = at.checked_sub(1).map(|before| &hops[before]);
        let width = before.map_or(1, |hop| hop.routers.len());
        let is_vertex = |from| at == 0 || from != SILENT || !lost[at - 1];
        let groups = steps.to(at).chunk_by(|a, b| a.from == b.from);
        let groups = groups.filter(|group| group.first().is_some_and(|step| is_vertex(step.from)));
        if before.is_some_and(Hop::per_packet) {
            let groups: Vec<_> = groups.collect();
            if !groups.is_empty() {
                vertices.push(Vertex::of(groups.len(), width, &groups.concat()));
            }
        } else {
            vertices.extend(groups.map(|group| Vertex::of(1, width, group)));
        }
    }
    vertices
}

impl Vertex {
    fn of(routers: usize, width: usize, steps: &[Step]) -> Self {
        let mut vertex = Self { routers, width, ..Self::default() };
        let mut found: Vec<u16> = Vec::new();
        for step in steps {
            if let Some(flow) = step.flow() {
                vertex.flows += 1;
                vertex.answered += usize::from(step.to != SILENT);
                vertex.last = vertex.last.max(usize::from(flow));
            }
            if step.to != SILENT {
                found.push(step.to);
            }
        }
        found.sort_unstable();
        found.dedup();
        vertex.successors = found.len();
        vertex
    }

    /// `stop` gives the stopping points; `all` is how many flows there are.
    fn judge(&self, all: usize, mut stop: impl FnMut(usize) -> usize) -> Verdict {
        let &Self { routers, successors, flows, .. } = self;
        let have = if successors == 0 { flows } else { self.answered };
        // Behind a per-packet balancer each router gets its share of the flows.
        let each = routers * stop(successors.div_ceil(routers));
        let need = stop(successors).max(each);
        if have >= need {
            return Verdict::Enough;
        }
        let hopeless = flows > self.answered && flows >= PATIENCE * stop(successors + 1).max(each);
        let gone = all - 1 - self.last.min(all - 1) > GONE * self.width.max(1);
        if hopeless || gone {
            return Verdict::GivenUp;
        }
        // A few flows show little of a vertex's share, so every router of the hop is counted as
        // if it had had two more.
        let more = (need - have) * (all + 2 * self.width) / (have + 2);
        Verdict::Missing(more.max(1))
    }
}
