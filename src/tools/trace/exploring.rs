//! [`Exploring`]: the probes of `--paths`, no faster than the routers answer.

use super::explore::{Explorer, Found};
use super::gate::{Gate, Out};
use super::plan::Multipath;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Probes are repeated so often before a hop counts as silent.
const REPEATS: u8 = 2;
/// Probes that are asked for at a time.
const ROOM: usize = 64;
/// While nobody knows where the path ends, this many leave together, at this distance.
const GROUP: u32 = 4;
const GROUP_NS: u64 = 1_000_000;
/// Where routers limit their answers, or may do so, what is not known after that is not found.
const LONGEST_NS: u64 = 50_000_000_000;

/// A probe that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) flow: u16,
    pub(super) ttl: u8,
    pub(super) tries: u8,
    /// Whether its answer is known, and only whether there is one is of interest.
    pub(super) check: bool,
}

/// Looks for all paths to one target.
pub(super) struct Exploring {
    pub(super) explorer: Explorer,
    queue: VecDeque<(u16, u8)>,
    asked: Vec<(u16, u8)>,
    gates: BTreeMap<u8, Gate>,
    /// Those of the gates where something is held up or checked.
    busy: Vec<u8>,
    group: (u32, u64),
    /// Whether somebody said where the path ends.
    ended: bool,
    /// Whether it took too long.
    over: bool,
    began_ns: Option<u64>,
}

impl Exploring {
    pub(super) fn new(first: u8, max_hops: u8, paths: Multipath) -> Self {
        Self {
            explorer: Explorer::new(first, max_hops, paths.confidence, paths.max_flows),
            queue: VecDeque::new(),
            asked: Vec::new(),
            gates: BTreeMap::new(),
            busy: Vec::new(),
            group: (0, 0),
            ended: false,
            over: false,
            began_ns: None,
        }
    }

    /// The next probe that is due.
    pub(super) fn next(&mut self, now: u64) -> Option<Asked> {
        let began = *self.began_ns.get_or_insert(now);
        if self.is_limited() && now.saturating_sub(began) >= LONGEST_NS {
            self.give_up();
        }
        if self.over {
            return None;
        }
        if let Some(held) = self.next_held(now) {
            return Some(held);
        }
        loop {
            if self.queue.is_empty() {
                self.asked.clear();
                self.explorer.next(ROOM, &mut self.asked);
                self.queue.extend(&self.asked);
            }
            if !self.ended && self.group.0 >= GROUP && self.group.1 > now {
                return None;
            }
            let (flow, ttl) = self.queue.pop_front()?;
            let gate = self.gates.entry(ttl).or_default();
            if !gate.is_open() {
                gate.hold((flow, 0));
                self.note(ttl);
                continue;
            }
            gate.sent();
            self.group = match self.group {
                (0 | GROUP.., _) => (1, now.saturating_add(GROUP_NS)),
                (sent, until) => (sent + 1, until),
            };
            return Some(Asked { flow, ttl, tries: 0, check: false });
        }
    }

    /// The next probe that was held up, or that checks a hop.
    fn next_held(&mut self, now: u64) -> Option<Asked> {
        let mut at = 0;
        while let Some(&ttl) = self.busy.get(at) {
            match self.gates.get_mut(&ttl).and_then(|gate| gate.next(now)) {
                None => at += 1,
                Some(Out::Check(flow)) => {
                    return Some(Asked { flow, ttl, tries: 0, check: true });
                }
                Some(Out::Probe((flow, tries))) if !self.explorer.is_behind_end(flow, ttl) => {
                    return Some(Asked { flow, ttl, tries, check: false });
                }
                // The flow ends before: nobody wants to know any more.
                Some(Out::Probe((flow, _))) => {
                    if let Some(gate) = self.gates.get_mut(&ttl) {
                        gate.forget();
                    }
                    self.silent(ttl, std::iter::once(flow));
                }
            }
        }
        None
    }

    /// When there is something to be sent although nothing comes.
    pub(super) fn wake_ns(&self) -> Option<u64> {
        if self.over {
            return None;
        }
        let gates = self.busy.iter().filter_map(|ttl| self.gates.get(ttl)?.wake_ns()).min();
        let group = (!self.queue.is_empty()).then_some(self.group.1);
        let stop = self.began_ns.filter(|_| self.is_limited());
        let stop = stop.map(|began| began.saturating_add(LONGEST_NS));
        gates.into_iter().chain(group).chain(stop).min()
    }

    /// A probe was answered: by a router, or by who says that the path ends there.
    pub(super) fn answered(&mut self, asked: Asked, from: IpAddr, end: bool, now: u64) {
        let Asked { flow, ttl, check, .. } = asked;
        self.ended |= end;
        let gate = self.gates.entry(ttl).or_default();
        if check {
            let silent = gate.checked(true, REPEATS, now);
            return self.silent(ttl, silent.into_iter().map(|probe| probe.0));
        }
        gate.answered(flow, from);
        self.note(ttl);
        self.explorer.found(flow, ttl, if end { Found::End(from) } else { Found::Router(from) });
    }

    /// A probe was given up.
    pub(super) fn lost(&mut self, asked: Asked, now: u64) {
        let Asked { flow, ttl, tries, check } = asked;
        let gate = self.gates.entry(ttl).or_default();
        if check {
            gate.checked(false, REPEATS, now);
            return self.note(ttl);
        }
        if self.explorer.is_behind_end(flow, ttl) {
            gate.forget();
            return self.silent(ttl, std::iter::once(flow));
        }
        let real = gate.lost((flow, tries), REPEATS, now);
        let others = gate.take_silent();
        self.note(ttl);
        let flows = real.then_some(flow).into_iter().chain(others.into_iter().map(|other| other.0));
        self.silent(ttl, flows);
    }

    /// The link was lost with a probe, which says nothing about its hop.
    pub(super) fn redo(&mut self, asked: Asked, now: u64) {
        let gate = self.gates.entry(asked.ttl).or_default();
        if asked.check {
            gate.checked(false, REPEATS, now);
        } else {
            gate.redo((asked.flow, asked.tries));
        }
        self.note(asked.ttl);
    }

    fn silent(&mut self, ttl: u8, flows: impl Iterator<Item = u16>) {
        flows.for_each(|flow| self.explorer.found(flow, ttl, Found::Silent));
        self.note(ttl);
    }

    /// Keeps the list of gates where something waits.
    fn note(&mut self, ttl: u8) {
        let Some(gate) = self.gates.get(&ttl) else { return };
        if gate.is_limited() {
            self.explorer.limits(ttl);
        }
        match self.busy.binary_search(&ttl) {
            Err(at) if !gate.is_idle() => self.busy.insert(at, ttl),
            Ok(at) if gate.is_idle() => drop(self.busy.remove(at)),
            _ => {}
        }
    }

    /// Whether some router limits its answers, or may do so.
    fn is_limited(&self) -> bool {
        self.gates.values().any(|gate| gate.is_limited() || gate.was_suspected())
    }

    /// Whether the routers of a hop limit their answers, as far as was seen.
    pub(super) fn was_limited(&self, ttl: u8) -> bool {
        self.gates.get(&ttl).is_some_and(Gate::is_limited)
    }

    /// It takes too long: what is known is known.
    fn give_up(&mut self) {
        self.over = true;
        self.queue.clear();
        self.explorer.give_up();
        self.gates.values_mut().for_each(Gate::close);
        self.busy.clear();
    }

    /// Whether it took too long because routers limit their answers.
    pub(super) fn was_stopped(&self) -> bool {
        self.over
    }

    /// Whether all is known that there is to know.
    pub(super) fn is_complete(&self) -> bool {
        let idle = self.queue.is_empty() && self.busy.is_empty();
        self.over || idle && self.explorer.is_complete()
    }
}
