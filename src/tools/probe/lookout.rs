//! [`Lookout`]: what changes of the host while a run goes on, and where its packets go then.
//!
//! ```text
//!   host's notifications ─┬─ neighbours ─────────────────────────────▶ NextHops
//!                         └─ routes, addresses, links ─▶ look again ─▶ ProbeTargets ─▶ the caller:
//!   losses in a row ──▶ suspects, once a second: ────────▲              sockets, filter, templates
//!                       make the host ask the neighbour
//! ```

use super::next_hops::{NeighbourFound, NextHops};
use super::targets::{Hop, Path, ProbeTargets};
use crate::tools::host::{Change, Doubt, Host, Watch};
use crate::tools::session::{RouteMoved, SessionEvent};
use ipnet::IpNet;
use std::collections::VecDeque;

/// The host's notifications are read this often at most, and before each probe where these are further
/// apart: a run never sleeps for longer than 100 ms.
const LOOK_NS: u64 = 5_000_000;
/// After losses a path is looked at again this often at most.
const SUSPECT_NS: u64 = 1_000_000_000;
/// Losses in a row that make a path suspect.
const SUSPECT: u32 = 2;
/// Most suspects that are looked at in a second, and kept for later ones.
const SUSPECTS: (usize, usize) = (64, 1024);
/// Most routes that are asked for again at a look: the packets of the run wait meanwhile.
const ROUTES: usize = 256;
/// With more changed prefixes than these at a time all routes are asked for again.
const PREFIXES: usize = 8;
/// Most next hops that the host is made to ask at the start.
const DOUBTED: usize = 256;

/// Something that changed.
pub(crate) enum News {
    /// The link layer address of a next hop.
    Neighbour(NeighbourFound),
    /// Anything else.
    Session(SessionEvent),
}

/// Watches the host on behalf of a run.
pub(crate) struct Lookout {
    /// `None`: the host has none.
    watch: Option<Box<dyn Watch>>,
    next_ns: u64,
    /// Paths whose route is to be asked for again.
    due: VecDeque<usize>,
    losses: Vec<Losses>,
    suspects: VecDeque<usize>,
    next_suspect_ns: u64,
}

/// What is known of the losses of one path.
#[derive(Clone, Copy, Default)]
struct Losses {
    in_a_row: u32,
    /// Answers before them.
    received: u64,
    is_suspect: bool,
}

impl Lookout {
    /// From now on: to be made before the routes are looked up that it is to watch.
    pub(crate) fn new(host: &dyn Host) -> Self {
        Self {
            watch: host.watch().ok(),
            next_ns: 0,
            due: VecDeque::new(),
            losses: Vec::new(),
            suspects: VecDeque::new(),
            next_suspect_ns: 0,
        }
    }

    /// The host's answers for next hops may be old: makes it ask those again that it has doubts about.
    pub(crate) fn begin(&mut self, host: &mut dyn Host, targets: &ProbeTargets) {
        self.losses = vec![Losses::default(); targets.paths.len()];
        let hops = targets.hops.iter().take(DOUBTED).map(|hop| (hop.ifindex, hop.address));
        host.confirm(&hops.collect::<Vec<_>>(), Doubt::Unused);
    }

    /// A probe to a target was lost, which had answered `received` times before.
    pub(crate) fn lost(&mut self, target: usize, received: u64) {
        let Some(losses) = self.losses.get_mut(target) else { return };
        if losses.received != received {
            (losses.in_a_row, losses.received) = (0, received);
        }
        losses.in_a_row = losses.in_a_row.saturating_add(1);
        if losses.in_a_row >= SUSPECT && !losses.is_suspect && self.suspects.len() < SUSPECTS.1 {
            losses.is_suspect = true;
            self.suspects.push_back(target);
        }
    }

    /// All routes are to be asked for again at the next look, which is due at once.
    pub(crate) fn doubt_all(&mut self, targets: &ProbeTargets) {
        self.due = (0..targets.paths.len()).collect();
        self.next_ns = 0;
    }

    /// Looks what changed, if it is time to. True when packets go elsewhere now.
    pub(crate) fn look(
        &mut self,
        host: &mut dyn Host,
        (targets, hops): (&mut ProbeTargets, &mut NextHops),
        now: u64,
        mut tell: impl FnMut(News),
    ) -> bool {
        if now < self.next_ns {
            return false;
        }
        self.next_ns = now.saturating_add(LOOK_NS);
        let mut moved = self.hear(targets, hops, &mut tell);
        self.suspect(host, targets, hops, now);
        if !self.due.is_empty() {
            moved |= self.look_again(host, targets, &mut tell);
            hops.add(&targets.hops);
        }
        moved
    }

    /// Reads the host's notifications.
    fn hear(
        &mut self,
        targets: &ProbeTargets,
        hops: &mut NextHops,
        tell: &mut impl FnMut(News),
    ) -> bool {
        let Some(watch) = &mut self.watch else { return false };
        // A later call may succeed, and says what was missed.
        let changes = watch.changes().unwrap_or_default();
        let (mut moved, mut prefixes, mut all) = (false, Vec::<IpNet>::new(), false);
        for change in changes {
            match change {
                Change::Neighbour { ifindex, addr, mac } => {
                    let hop = Hop { ifindex, address: addr };
                    moved |= hops.heard(hop, mac, |found| tell(News::Neighbour(found)));
                }
                Change::Route(route) => prefixes.push(route.to),
                Change::Overrun => {
                    hops.open_all();
                    all = true;
                }
                // Routes of an address or a link vanish with it, some without a word.
                _ => all = true,
            }
        }
        if all || prefixes.len() > PREFIXES {
            self.due = (0..targets.paths.len()).collect();
        } else if !prefixes.is_empty() {
            let leads = |path: &Path| prefixes.iter().any(|to| to.contains(&path.address));
            let (due, paths) = (&mut self.due, targets.paths.iter().enumerate());
            for (at, _) in paths.filter(|(_, path)| leads(path)) {
                if due.len() < ROUTES && due.contains(&at) {
                    continue;
                }
                due.push_back(at);
            }
        }
        moved
    }

    /// Looks after paths that lose probe after probe, whatever the host says.
    fn suspect(
        &mut self,
        host: &mut dyn Host,
        targets: &ProbeTargets,
        hops: &mut NextHops,
        now: u64,
    ) {
        if self.suspects.is_empty() || now < self.next_suspect_ns {
            return;
        }
        self.next_suspect_ns = now.saturating_add(SUSPECT_NS);
        let mut doubted = Vec::new();
        let count = self.suspects.len().min(SUSPECTS.0);
        for at in self.suspects.drain(..count) {
            self.losses[at] = Losses { is_suspect: false, ..self.losses[at] };
            let hop = targets.paths[at].hop;
            if !doubted.contains(&hop) {
                doubted.push(hop);
            }
            self.due.push_back(at);
        }
        if self.watch.is_none() {
            doubted.iter().for_each(|&hop| hops.open(hop));
        }
        let hops: Vec<_> = doubted.iter().map(|&hop| targets.hops[hop]).collect();
        let asked: Vec<_> = hops.iter().map(|hop| (hop.ifindex, hop.address)).collect();
        host.confirm(&asked, Doubt::All);
    }

    /// Asks for some of the routes that may be other ones.
    fn look_again(
        &mut self,
        host: &mut dyn Host,
        targets: &mut ProbeTargets,
        tell: &mut impl FnMut(News),
    ) -> bool {
        let Ok(interfaces) = host.interfaces() else { return false };
        let mut moves: Vec<(Path, Path, Vec<String>)> = Vec::new();
        let (mut moved, count) = (false, self.due.len().min(ROUTES));
        for at in self.due.drain(..count) {
            let Some(before) = targets.look_again(at, host, &interfaces) else { continue };
            moved = true;
            let now = &targets.paths[at];
            let name = now.name.clone();
            // Its own Ethernet address alone is another one.
            if now.goes_as(&before) {
                continue;
            }
            let same = |(from, to, _): &&mut (Path, Path, Vec<String>)| {
                from.goes_as(&before) && to.goes_as(now)
            };
            match moves.iter_mut().find(same) {
                Some((_, _, names)) => names.push(name),
                None => moves.push((before, now.clone(), vec![name])),
            }
        }
        for (before, now, names) in moves {
            tell(News::Session(SessionEvent::Route(told(targets, &before, &now, names))));
        }
        moved
    }
}

/// The event of targets that go another way.
fn told(targets: &ProbeTargets, before: &Path, now: &Path, names: Vec<String>) -> RouteMoved {
    let way = |path: &Path| {
        let by = &targets.link(path).interface.name;
        let via = path.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        format!("by {by}{via} from {}", path.source)
    };
    let (who, are) = match names.len() {
        1 => (names[0].clone(), "is"),
        n => (format!("{n} targets ({} and others)", names[0]), "are"),
    };
    let text = match (&before.broken, &now.broken) {
        (_, Some(why)) => format!("{who} cannot be reached now: {why}"),
        (Some(_), None) => format!("{who} {are} reached again, {}", way(now)),
        (None, None) => format!("{who} {are} reached {} now; before {}", way(now), way(before)),
    };
    let there = now.broken.is_none();
    RouteMoved {
        targets: names,
        interface: there.then(|| targets.link(now).interface.name.clone()),
        gateway: now.gateway.filter(|_| there),
        source: there.then_some(now.source),
        text,
    }
}
