//! The loop: look, pause, look again; a sample out of what changed.

use super::observe::{InterfaceKey, InterfaceSnapshot, Observer, Scan};
use super::sample::{self, Sample};
use crate::error::Result;
use crate::snapshot::{RingsSnapshot, SocketSnapshot, SocketState};
use crate::tools::Control;
use serde::Serialize;
use std::collections::VecDeque;
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
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Something the user should know once: why a better source is not used, an owner that went.
    Note {
        /// In words.
        text: String,
    },
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
pub(super) struct Observation {
    pub(super) time_ns: u64,
    pub(super) snapshot: RingsSnapshot,
    pub(super) missing: Vec<String>,
    pub(super) interfaces: Vec<InterfaceSnapshot>,
    pub(super) took: Duration,
}

impl Observation {
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
    pub(super) moments: VecDeque<Observation>,
}

impl History {
    fn push(&mut self, moment: Observation) {
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

    /// What is said of sockets that may be meant, were it known where they are bound.
    fn left_out(&self, sockets: &[SocketSnapshot]) -> Option<String> {
        let unknown = |socket: &&SocketSnapshot| {
            let here = |key: InterfaceKey| match (socket.netns, socket.ifindex) {
                (Some(netns), _) if key.netns.is_some_and(|ours| ours != netns) => false,
                (_, Some(ifindex)) => ifindex == key.ifindex,
                (_, None) => true,
            };
            let place = self.key.is_some() && socket.ifindex.is_none()
                || !self.queues.is_empty() && socket.queue.is_none();
            socket.state == SocketState::Bound && place && self.key.is_none_or(here)
        };
        match sockets.iter().filter(unknown).count() {
            0 => None,
            1 => Some("this source cannot tell where one socket is bound: leave out the interface and --queue to see it".into()),
            n => Some(format!("this source cannot tell where {n} sockets are bound: leave out the interface and --queue to see them")),
        }
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
    observer.notes().into_iter().for_each(|note| tell(Event::Note { text: note }));
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
            if control.is_stopped() {
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
        let Some(every) = plan.every.filter(|_| !done && !control.is_stopped()) else {
            return Ok(outcome);
        };
        (pause, looks) = (every, 1);
        observer.pause(pause)?;
        if control.is_stopped() {
            return Ok(outcome);
        }
    }
}

fn look(observer: &mut dyn Observer, chosen: &Chosen) -> Result<Observation> {
    let start = Instant::now();
    let Scan { time_ns, sockets, mut missing } = observer.sockets()?;
    let took = start.elapsed();
    missing.extend(chosen.left_out(&sockets));
    let shown = sockets.iter().filter(|socket| chosen.has(socket));
    let mut keys: Vec<_> = shown.filter_map(InterfaceKey::of).collect();
    keys.sort_unstable();
    keys.dedup();
    let interfaces = keys.into_iter().filter_map(|key| observer.interface(key)).collect();
    let snapshot = RingsSnapshot { source: observer.source(), sockets };
    Ok(Observation { time_ns, snapshot, missing, interfaces, took })
}

/// Says which owners went between two looks.
fn tell_of_the_gone(
    history: &History,
    now: &Observation,
    chosen: &Chosen,
    tell: &mut dyn FnMut(Event),
) {
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
        tell(Event::Note { text: format!("{whose}{place} is gone") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, FluxError};
    use crate::ring::RingSnapshot;
    use crate::snapshot::{Owner, Source};

    const HERE: InterfaceKey = InterfaceKey { netns: Some(1), ifindex: 2 };

    /// A machine where time is what `pause` adds up to. The application of pid 10 receives 1000
    /// packets a second on queue 0 of eth0; that of pid 11 on queue 1 ends after 1.2 s.
    struct Machine {
        now_ns: u64,
        paused: Vec<Duration>,
    }

    impl Observer for Machine {
        fn source(&self) -> Source {
            Source::Iter
        }

        fn notes(&self) -> Vec<String> {
            vec!["a note".into()]
        }

        fn find(&mut self, name: &str) -> Result<InterfaceKey> {
            let none = || FluxError::new(ErrorKind::Device, format!("cannot find {name}"), "none");
            (name == "eth0").then_some(HERE).ok_or_else(none)
        }

        fn sockets(&mut self) -> Result<Scan> {
            let count = (self.now_ns / 1_000_000) as u32;
            let one = |inode, pid, netns, queue| SocketSnapshot {
                inode: Some(inode),
                owners: vec![Owner { pid, fd: 4, comm: "app".into() }],
                netns: Some(netns),
                interface: Some("eth0".into()),
                ifindex: Some(2),
                queue: Some(queue),
                state: SocketState::Bound,
                rx: Some(RingSnapshot {
                    size: Some(2048),
                    producer: Some(count.wrapping_sub(100)),
                    consumer: Some(count.wrapping_sub(103)),
                    ..RingSnapshot::default()
                }),
                ..SocketSnapshot::unknown(self.now_ns)
            };
            let mut sockets = vec![one(1, 10, 1, 0), one(3, 12, 9, 0)];
            if self.now_ns < 1_200_000_000 {
                sockets.push(one(2, 11, 1, 1));
            }
            Ok(Scan { time_ns: self.now_ns, sockets, missing: Vec::new() })
        }

        fn interface(&mut self, _key: InterfaceKey) -> Option<InterfaceSnapshot> {
            None
        }

        fn pause(&mut self, time: Duration) -> Result<()> {
            self.now_ns += time.as_nanos() as u64;
            self.paused.push(time);
            Ok(())
        }
    }

    fn plan(interface: &str) -> Plan {
        Plan {
            select: Selection { interface: Some(interface.into()), ..Selection::default() },
            over: Duration::from_millis(500),
            every: None,
            count: None,
        }
    }

    fn go(plan: &Plan) -> (Result<Outcome>, Vec<Sample>, Vec<String>, Vec<Duration>) {
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let (mut samples, mut notes) = (Vec::new(), Vec::new());
        let outcome = run(plan, &mut machine, &Control::default(), &mut |event| match event {
            Event::Sample(sample) => samples.push(*sample),
            Event::Note { text } => notes.push(text),
        });
        (outcome, samples, notes, machine.paused)
    }

    fn pids(sample: &Sample) -> Vec<u32> {
        sample.sockets.iter().filter_map(|socket| socket.pid).collect()
    }

    #[test]
    fn one_sample_is_made_of_looks_over_the_time_that_was_asked_for() {
        let (outcome, samples, notes, paused) = go(&plan("eth0"));
        assert_eq!(outcome.unwrap(), Outcome { samples: 1, sockets: 2 });
        assert_eq!(paused, [Duration::from_millis(100); 5]);
        assert_eq!(notes, ["a note"]);
        let rx = samples[0].sockets[0].rings.rx.as_ref().unwrap();
        assert_eq!((rx.per_s, rx.used, samples[0].over_s), (Some(1000.0), Some(3), Some(0.5)));
        // The third socket is bound to the interface of that number in another namespace.
        assert_eq!(pids(&samples[0]), [10, 11]);
    }

    #[test]
    fn a_single_look_has_no_rates() {
        let (_, samples, _, paused) = go(&Plan { over: Duration::ZERO, ..plan("eth0") });
        assert_eq!(paused, []);
        assert_eq!(samples[0].over_s, None);
        assert_eq!(samples[0].sockets[0].rings.rx.as_ref().unwrap().per_s, None);
    }

    #[test]
    fn watching_goes_on_at_its_pace_and_tells_who_went() {
        let every = Some(Duration::from_secs(1));
        let (outcome, samples, notes, paused) = go(&Plan { every, count: Some(3), ..plan("eth0") });
        assert_eq!(outcome.unwrap(), Outcome { samples: 3, sockets: 2 });
        assert_eq!(paused[5..], [Duration::from_secs(1); 2]);
        assert_eq!(
            samples.iter().map(|s| s.over_s).collect::<Vec<_>>(),
            [Some(0.5), Some(1.0), Some(1.0)]
        );
        assert_eq!(pids(&samples[2]), [10]);
        assert_eq!(notes[1..], ["the socket of app (pid 11, fd 4) on eth0 queue 1 is gone"]);
    }

    #[test]
    fn sockets_are_chosen_by_interface_process_and_queue() {
        let all = Selection::default();
        let chosen = |select: Selection| pids(&go(&Plan { select, ..plan("eth0") }).1[0]);
        assert_eq!(chosen(all.clone()), [10, 11, 12]);
        assert_eq!(chosen(Selection { pid: Some(11), ..all.clone() }), [11]);
        assert_eq!(chosen(Selection { queues: vec![0], ..all.clone() }), [10, 12]);
        assert_eq!(chosen(Selection { pid: Some(11), queues: vec![0], ..all }), [0; 0]);
    }

    #[test]
    fn sockets_that_may_be_meant_are_not_left_out_in_silence() {
        let bound = SocketSnapshot {
            netns: Some(1),
            state: SocketState::Bound,
            ..SocketSnapshot::unknown(0)
        };
        let elsewhere = SocketSnapshot { netns: Some(2), ..bound.clone() };
        let placed = SocketSnapshot { ifindex: Some(2), ..bound.clone() };
        let ready = SocketSnapshot { state: SocketState::Ready, ..bound.clone() };
        let sockets = [bound.clone(), elsewhere, placed, ready, bound];
        let left_out = |key, queues: &[u32]| {
            let text = Chosen { key, pid: None, queues: queues.to_vec() }.left_out(&sockets)?;
            text.split(' ').find_map(|word| word.parse::<u32>().ok())
        };
        assert_eq!(left_out(Some(HERE), &[]), Some(2));
        assert_eq!(left_out(Some(HERE), &[0]), Some(3));
        assert_eq!(left_out(None, &[0]), Some(4));
        assert_eq!(left_out(None, &[]), None);
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let (outcome, samples, ..) = go(&plan("eth7"));
        assert_eq!(outcome.unwrap_err().to_string(), "cannot find eth7: none");
        assert_eq!(samples, []);
    }
}
