//! The loop: look, pause, look again; a sample out of what changed.

use super::observe::{InterfaceKey, InterfaceSnapshot, Look, Observer};
use super::sample::{self, Sample};
use crate::error::Result;
use crate::snapshot::{RingsSnapshot, SocketSnapshot};
use crate::tools::Control;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Looks that a first sample is made of: enough to see a trend in them.
pub(super) const FIRST_LOOKS: usize = 6;
/// Looks that a later sample's diagnosis goes by.
const LATER_LOOKS: usize = 3;
/// Looks that are remembered while watching.
const REMEMBERED: usize = 60;

/// Which sockets are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Bound to the interface of this name in our namespace; `None`: all, in all namespaces.
    pub interface: Option<String>,
    /// Open in this process.
    pub pid: Option<u32>,
    /// On one of these queues; empty: all.
    pub queues: Vec<u32>,
}

/// What to show, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which sockets.
    pub select: Selection,
    /// Time over which a first sample's rates are taken; zero: one look, no rates and no
    /// diagnosis.
    pub over: Duration,
    /// Time from one sample to the next; `None`: one sample.
    pub every: Option<Duration>,
    /// Samples; `None`: until stopped.
    pub count: Option<u64>,
}

/// What a run tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something the user should know once: why a better source is not used, an owner that went.
    Note(String),
    /// One sample.
    Sample(Box<Sample>),
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Samples told.
    pub samples: u64,
    /// Most sockets in one of them.
    pub sockets: usize,
}

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) snapshot: RingsSnapshot,
    pub(super) missing: Vec<String>,
    pub(super) interfaces: Vec<InterfaceSnapshot>,
    pub(super) took: Duration,
}

impl Moment {
    /// The same socket in this moment.
    pub(super) fn socket(&self, like: &SocketSnapshot) -> Option<(usize, &SocketSnapshot)> {
        self.snapshot.sockets.iter().enumerate().find(|(_, socket)| same(socket, like))
    }

    pub(super) fn interface(&self, key: InterfaceKey) -> Option<&InterfaceSnapshot> {
        self.interfaces.iter().find(|interface| interface.key == key)
    }
}

/// Inode numbers of sockets are unique in the machine as long as they live.
fn same(a: &SocketSnapshot, b: &SocketSnapshot) -> bool {
    match (a.inode, b.inode) {
        (Some(a), Some(b)) => a == b,
        _ => (a.netns, a.ifindex, a.queue) == (b.netns, b.ifindex, b.queue),
    }
}

/// What was seen so far, oldest first.
#[derive(Default)]
pub(super) struct History {
    pub(super) moments: VecDeque<Moment>,
}

impl History {
    fn push(&mut self, moment: Moment) {
        if self.moments.len() == REMEMBERED {
            self.moments.pop_front();
        }
        self.moments.push_back(moment);
    }
}

/// Whether a socket is one of those asked for.
struct Chosen {
    key: Option<InterfaceKey>,
    pid: Option<u32>,
    queues: Vec<u32>,
}

impl Chosen {
    fn has(&self, socket: &SocketSnapshot) -> bool {
        let here = self.key.is_none_or(|key| InterfaceKey::of(socket) == Some(key));
        let owned = self.pid.is_none_or(|pid| socket.owners.iter().any(|owner| owner.pid == pid));
        let queue = self.queues.is_empty()
            || socket.queue.is_some_and(|queue| self.queues.contains(&queue));
        here && owned && queue
    }
}

/// Looks at `observer`'s machine as `plan` says, until it is done or `control` says stop.
///
/// # Errors
/// When the interface does not exist, or the kernel refuses to show its sockets.
pub fn run(
    plan: &Plan,
    observer: &mut dyn Observer,
    control: &Control,
    tell: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let key = plan.select.interface.as_deref().map(|name| observer.find(name)).transpose()?;
    let chosen = Chosen { key, pid: plan.select.pid, queues: plan.select.queues.clone() };
    observer.notes().into_iter().for_each(|note| tell(Event::Note(note)));
    let mut history = History::default();
    let mut outcome = Outcome::default();
    let mut pause = plan.over / (FIRST_LOOKS as u32 - 1);
    let mut looks = if plan.over.is_zero() { 1 } else { FIRST_LOOKS };
    loop {
        for left in (0..looks).rev() {
            let moment = look(observer, &chosen)?;
            tell_of_the_gone(&history, &moment, &chosen, tell);
            history.push(moment);
            if left > 0 {
                observer.pause(pause)?;
            }
            if control.stop.load(Relaxed) {
                break;
            }
        }
        let span = if outcome.samples == 0 { FIRST_LOOKS } else { LATER_LOOKS };
        if let Some(sample) = sample::of(&history, span, |socket| chosen.has(socket)) {
            outcome.samples += 1;
            outcome.sockets = outcome.sockets.max(sample.sockets.len());
            tell(Event::Sample(Box::new(sample)));
        }
        let done = plan.count.is_some_and(|count| outcome.samples >= count);
        let Some(every) = plan.every.filter(|_| !done && !control.stop.load(Relaxed)) else {
            return Ok(outcome);
        };
        (pause, looks) = (every, 1);
        observer.pause(pause)?;
        if control.stop.load(Relaxed) {
            return Ok(outcome);
        }
    }
}

fn look(observer: &mut dyn Observer, chosen: &Chosen) -> Result<Moment> {
    let start = Instant::now();
    let Look { sockets, missing } = observer.sockets()?;
    let took = start.elapsed();
    let shown = sockets.iter().filter(|socket| chosen.has(socket));
    let mut keys: Vec<_> = shown.filter_map(InterfaceKey::of).collect();
    keys.sort_unstable();
    keys.dedup();
    let interfaces = keys.into_iter().filter_map(|key| observer.interface(key)).collect();
    let snapshot = RingsSnapshot { source: observer.source(), sockets };
    Ok(Moment { snapshot, missing, interfaces, took })
}

/// Says which owners went between two looks.
fn tell_of_the_gone(history: &History, now: &Moment, chosen: &Chosen, tell: &mut dyn FnMut(Event)) {
    let Some(before) = history.moments.back() else { return };
    for socket in before.snapshot.sockets.iter().filter(|socket| chosen.has(socket)) {
        if now.socket(socket).is_some() {
            continue;
        }
        let whose = socket.owners.first().map_or_else(
            || "a socket".to_owned(),
            |owner| format!("the socket of {} (pid {}, fd {})", owner.comm, owner.pid, owner.fd),
        );
        let place = match (&socket.interface, socket.queue) {
            (Some(name), Some(queue)) => format!(" on {name} queue {queue}"),
            (Some(name), None) => format!(" on {name}"),
            _ => String::new(),
        };
        tell(Event::Note(format!("{whose}{place} is gone")));
    }
}
