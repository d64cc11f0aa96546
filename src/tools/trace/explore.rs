//! Which flows to probe until all paths are known (the multipath detection algorithm, MDA).
//!
//! ```text
//!            TTL first  …        end        A flow is probed at every TTL up to its end, so that
//!   flow 0     a    b    d    f   T         it gives a whole path. A column is a hop; equal cells
//!   flow 1     a    c    d    g   T         of a column are one vertex of the graph, and cells
//!   flow 2     a    b    *    f   T         side by side are its edges. `*`: silent.
//!     …
//!
//!   next ◀─ ready (flow, TTL) ◀─ extend: how far a flow is to be probed
//!   found ─▶ cell ─▶ all answered? ─▶ survey: is every vertex done? ─▶ new flows, repeats, or end
//! ```
//!
//! Invariant: a cell is given out once and answered once; only repeats of a probe, which tell a
//! per-packet balancer from a per-flow one, are given out for a cell that is known. Whether all is
//! found is decided only when nothing is under way: then the flows are a sample that does not
//! depend on which answers were fast.

mod loss;
mod paths;
mod repeat;
mod steps;
mod stops;
mod survey;

#[cfg(all(test, not(flux_loom)))]
mod tests;

use super::event::{Balancing, Link};
use super::plan::MAX_FLOWS;
use repeat::Repeats;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use stops::Stops;
use survey::Survey;

pub(super) use paths::Way;

/// What a flow's probe with some TTL found, in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A router on the way.
    Router(IpAddr),
    /// The target, or a router that says that the way ends there: nothing is behind it.
    End(IpAddr),
    /// Nobody, however often the probe was repeated.
    Silent,
}

/// A flow goes this many hops beyond the last one that answers: over one silent router to the next.
const BEYOND: usize = 2;
/// A flow may be this many hops longer than the shortest one, all of them silent.
const LONGER: usize = 4;
/// This many flows are probed to the last TTL when nobody says where the path ends: it may be that
/// one branch swallows all packets and another does not.
const SCOUTS: usize = 4;
/// From this flow on, a silent hop behind a router that is known to lead to the end is taken for
/// a lost answer of the end. Targets limit the rate of their answers.
const TRUSTING: usize = 32;
/// The first flows are as many as one successor needs in a graph of this many vertices. And where
/// this many probes are not answered, it is not waited for the next before more flows are begun.
const USUAL: usize = 8;

/// What is known of one flow at one TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Unsent,
    /// To be given out.
    Ready,
    /// Given out.
    Sent,
    Silent,
    /// Number of a router of the hop.
    Router(u16),
}

/// One flow.
struct Flow {
    /// As far as it is probed.
    cells: Vec<Cell>,
    /// Cells that are to be answered.
    open: usize,
    /// The nearest hop at which the end answered.
    end: Option<usize>,
    /// The farthest hop at which anybody answered.
    top: Option<usize>,
}

/// One TTL.
#[derive(Default)]
struct Hop {
    routers: Vec<IpAddr>,
    numbers: HashMap<IpAddr, u16>,
    /// Whether the end was seen right behind this router.
    before_end: Vec<bool>,
    /// Probes of flows that are given out, those that were answered and those that were not.
    under_way: usize,
    answered: usize,
    silent: usize,
    repeats: Repeats,
    /// Whether some probes were neither answered nor believed to be silent in the end.
    unknown: bool,
    /// Whether routers here limit their answers: a silence may be that, and shows no router.
    limited: bool,
}

impl Hop {
    /// The number of a router at this hop.
    fn number(&mut self, addr: IpAddr) -> u16 {
        let Self { routers, numbers, before_end, .. } = self;
        *numbers.entry(addr).or_insert_with(|| {
            routers.push(addr);
            before_end.push(false);
            (routers.len() - 1) as u16 // no more than flows and repeats
        })
    }

    /// Whether nobody is expected to answer here.
    fn is_dumb(&self) -> bool {
        self.routers.is_empty() && self.silent >= USUAL
    }

    /// Whether less than half as many probes met silence as would if a silent router took its
    /// share.
    fn is_rarely_silent(&self) -> bool {
        self.silent > 0 && self.silent * 2 * (self.routers.len() + 1) < self.silent + self.answered
    }

    /// Whether a silence here says nothing of who is there.
    fn is_doubtful(&self) -> bool {
        self.unknown || self.limited
    }

    fn per_packet(&self) -> bool {
        self.repeats.balancing() == Balancing::PerPacket
    }
}

/// Looks for all paths to one target.
pub(super) struct Explorer {
    first: u8,
    max_flows: usize,
    stops: Stops,
    hops: Vec<Hop>,
    flows: Vec<Flow>,
    /// To be given out, in this order.
    ready: VecDeque<(u16, u8)>,
    /// Given out and not answered.
    outstanding: usize,
    /// The farthest hop at which anybody answered, over all flows.
    reach: Option<usize>,
    /// The nearest and the farthest hop at which the end answered.
    ends: Option<(usize, usize)>,
    survey: Survey,
    complete: bool,
    given_up: bool,
}

impl Explorer {
    /// Paths with TTLs from `first` to `max_hops`. `confidence` holds for the whole graph.
    pub(super) fn new(first: u8, max_hops: u8, confidence: f64, max_flows: u16) -> Self {
        let hops = usize::from(max_hops.saturating_sub(first)) + 1;
        let mut stops = Stops::new(confidence);
        let start = stops.flows(USUAL, 1) as usize;
        let mut explorer = Self {
            first,
            max_flows: usize::from(max_flows.clamp(1, MAX_FLOWS)),
            stops,
            hops: (0..hops).map(|_| Hop::default()).collect(),
            flows: Vec::new(),
            ready: VecDeque::new(),
            outstanding: 0,
            reach: None,
            ends: None,
            survey: Survey::default(),
            complete: false,
            given_up: false,
        };
        explorer.start(start);
        explorer
    }

    /// Appends at most `room` pairs of flow and TTL that are to be probed next. None while it
    /// waits for answers.
    pub(super) fn next(&mut self, room: usize, out: &mut Vec<(u16, u8)>) {
        let mut room = room;
        while room > 0 {
            let Some((number, hop)) = self.ready.pop_front() else { break };
            if let Some(flow) = self.flows.get_mut(usize::from(number)) {
                let cell = &mut flow.cells[usize::from(hop)];
                if *cell == Cell::Ready {
                    *cell = Cell::Sent;
                    self.hops[usize::from(hop)].under_way += 1;
                }
            }
            self.outstanding += 1;
            out.push((number, self.first + hop));
            room -= 1;
        }
    }

    /// What came of a probe in the end. What was not given out, or is answered already, is
    /// ignored.
    pub(super) fn found(&mut self, flow: u16, ttl: u8, found: Found) {
        let number = usize::from(flow);
        let Some(hop) = ttl.checked_sub(self.first).map(usize::from) else { return };
        let Some(&cell) = self.flows.get(number).and_then(|flow| flow.cells.get(hop)) else {
            return;
        };
        let was_dumb = self.hops[hop].is_dumb();
        match cell {
            Cell::Unsent | Cell::Ready => return,
            Cell::Sent => self.first_answer(number, hop, found),
            Cell::Silent | Cell::Router(_) => {
                if !self.hops[hop].repeats.take(flow) {
                    return;
                }
                self.repeated(number, hop, found);
            }
        }
        self.outstanding -= 1;
        if !self.ready.is_empty() {
            return;
        }
        if self.outstanding == 0 {
            self.judge();
            self.complete = self.ready.is_empty();
        } else if !was_dumb && self.outstanding == self.expected_silent() {
            self.judge();
        }
    }

    /// Nothing more to probe, and every answer is there.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Every router on the way has as many flows as the confidence asks for.
    pub(super) fn is_certain(&self) -> bool {
        self.complete && !self.given_up && self.survey.certain()
    }

    /// Whether a flow is known to end before this TTL.
    pub(super) fn is_behind_end(&self, flow: u16, ttl: u8) -> bool {
        let end = self.flows.get(usize::from(flow)).and_then(|flow| flow.end);
        end.is_some_and(|end| usize::from(ttl.saturating_sub(self.first)) > end)
    }

    /// Nothing more is asked: what was not answered by now is not known, and no silence either.
    pub(super) fn give_up(&mut self) {
        (self.complete, self.given_up) = (true, true);
        self.ready.clear();
        for hop in &mut self.hops {
            hop.unknown = hop.under_way > 0;
        }
        self.survey = Survey::of(&self.flows, &self.hops, &mut self.stops);
    }

    /// Routers with this TTL limit their answers.
    pub(super) fn limits(&mut self, ttl: u8) {
        let at = ttl.checked_sub(self.first).map(usize::from);
        if let Some(hop) = at.and_then(|at| self.hops.get_mut(at)) {
            hop.limited = true;
        }
    }

    /// How many flows were begun.
    pub(super) fn flows(&self) -> u16 {
        self.flows.len() as u16 // at most `max_flows`
    }

    /// How the routers of a TTL share it; `None` where there is one or none.
    pub(super) fn balancing(&self, ttl: u8) -> Option<Balancing> {
        let hop = self.hops.get(usize::from(ttl.checked_sub(self.first)?))?;
        (hop.routers.len() > 1).then(|| hop.repeats.balancing())
    }

    /// Which router follows which, in order. A silence that is but a lost answer is none.
    pub(super) fn links(&self) -> Vec<Link> {
        paths::links(self)
    }

    /// The distinct ways that flows took, the most frequent first.
    pub(super) fn paths(&self) -> Vec<Way> {
        paths::ways(self)
    }

    /// Probes under way where nobody is expected to answer.
    fn expected_silent(&self) -> usize {
        self.hops.iter().filter(|hop| hop.is_dumb()).map(|hop| hop.under_way).sum()
    }

    fn first_answer(&mut self, number: usize, hop: usize, found: Found) {
        let router = match found {
            Found::Router(addr) | Found::End(addr) => Some(self.hops[hop].number(addr)),
            Found::Silent => None,
        };
        self.hops[hop].under_way -= 1;
        self.hops[hop].silent += usize::from(router.is_none());
        self.hops[hop].answered += usize::from(router.is_some());
        let flow = &mut self.flows[number];
        flow.open -= 1;
        flow.cells[hop] = router.map_or(Cell::Silent, Cell::Router);
        let mut news = number == 0 && flow.open == 0;
        if router.is_some() {
            flow.top = flow.top.max(Some(hop));
            news |= Some(hop) > self.reach;
            self.reach = self.reach.max(Some(hop));
        }
        if matches!(found, Found::End(_)) && flow.end.is_none_or(|end| hop < end) {
            flow.end = Some(hop);
            let (near, far) = self.ends.unwrap_or((hop, hop));
            let ends = (near.min(hop), far.max(hop));
            news |= self.ends != Some(ends);
            self.ends = Some(ends);
            self.withdraw(number, hop);
        }
        self.note_end(number);
        if news {
            for flow in 0..self.flows.len() {
                self.extend(flow);
            }
        } else {
            self.extend(number);
        }
    }

    /// Takes back what is not needed behind the end of a flow.
    fn withdraw(&mut self, number: usize, end: usize) {
        let flow = &mut self.flows[number];
        let behind = end + 1;
        let mut taken = 0;
        for cell in flow.cells.iter_mut().skip(behind).filter(|cell| **cell == Cell::Ready) {
            *cell = Cell::Unsent;
            taken += 1;
        }
        flow.open -= taken;
        if taken > 0 {
            let cells = &flow.cells;
            self.ready.retain(|&(flow, hop)| {
                usize::from(flow) != number || cells[usize::from(hop)] != Cell::Unsent
            });
        }
    }

    /// Remembers who is right before the end of a flow.
    fn note_end(&mut self, number: usize) {
        let flow = &self.flows[number];
        if let Some(before) = flow.end.and_then(|end| end.checked_sub(1))
            && let Some(&Cell::Router(router)) = flow.cells.get(before)
        {
            self.hops[before].before_end[usize::from(router)] = true;
        }
    }

    /// Whether the farthest router of a flow that answered is one that leads to the end.
    fn is_before_end(&self, flow: &Flow) -> bool {
        flow.top.is_some_and(|top| match flow.cells[top] {
            Cell::Router(router) => self.hops[top].before_end[usize::from(router)],
            _ => false,
        })
    }

    /// How many hops a flow is to be probed at, as far as is known by now.
    fn wanted(&self, number: usize) -> usize {
        let flow = &self.flows[number];
        let all = self.hops.len();
        let wanted = match self.ends {
            _ if flow.end.is_some() => return flow.cells.len(),
            // The distance is not known yet, and this flow is to find it.
            _ if number == 0 => all,
            None if number < SCOUTS && self.flows[0].open == 0 => all,
            None => self.reach.map_or(0, |reach| reach + 1) + BEYOND,
            Some((near, far)) => {
                let top = flow.top.map_or(0, |top| top + 1);
                let asked = flow.open == 0 && flow.cells.len() > near;
                if asked && number >= TRUSTING && self.is_before_end(flow) {
                    top + 1
                } else if asked || top > near {
                    (far.min(near + LONGER) + 1).max(top + BEYOND)
                } else {
                    near + 1
                }
            }
        };
        wanted.min(all)
    }

    /// Has a flow probed as far as is known by now to be needed.
    fn extend(&mut self, number: usize) {
        let wanted = self.wanted(number);
        let flow = &mut self.flows[number];
        while flow.cells.len() < wanted {
            self.ready.push_back((number as u16, flow.cells.len() as u8));
            flow.cells.push(Cell::Ready);
            flow.open += 1;
        }
    }

    /// Begins up to `flows` flows as far as the limit allows.
    fn start(&mut self, flows: usize) {
        let until = self.flows.len().saturating_add(flows).min(self.max_flows);
        for number in self.flows.len()..until {
            self.flows.push(Flow { cells: Vec::new(), open: 0, end: None, top: None });
            self.extend(number);
        }
    }

    /// Everything is answered, or all that is likely to be: what now? What is not answered yet
    /// counts as silent; if it is not, there is another time.
    fn judge(&mut self) {
        self.survey = Survey::of(&self.flows, &self.hops, &mut self.stops);
        self.repeat();
        let flows = self.flows.len();
        // No more than there were, as the first estimates are rough.
        self.start(self.survey.missing().min(flows));
    }
}
