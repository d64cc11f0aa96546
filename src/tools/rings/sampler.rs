//! [`Sampler`]: looks when it is told to, and makes a sample of what it saw.

use super::history::{FIRST_LOOKS, History, LATER_LOOKS, Observation};
use super::observe::{Clock, InterfaceKey, Observer, Scan};
use super::sample::{self, Sample};
use super::select::{Chosen, Selection};
use crate::error::Result;
use crate::snapshot::RingsSnapshot;
use crate::tools::Control;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest time that a simulated machine runs before a stop is seen.
const STEP: Duration = Duration::from_millis(100);

/// Looks at the sockets that were chosen. Time is the caller's: it calls [`look`](Self::look) when
/// it likes, and asks for a [`sample`](Self::sample) of the looks so far.
pub struct Sampler<'a> {
    observer: &'a mut dyn Observer,
    chosen: Chosen,
    history: History,
    /// Looks that the diagnosis of the next sample goes by.
    span: usize,
    notes: Vec<String>,
}

impl<'a> Sampler<'a> {
    /// Of the sockets of `observer`'s machine that `select` chooses.
    ///
    /// # Errors
    /// When the interface does not exist.
    pub fn new(observer: &'a mut dyn Observer, select: &Selection) -> Result<Self> {
        let key = select.interface.as_deref().map(|name| observer.find(name)).transpose()?;
        let chosen = Chosen { key, pid: select.pid, queues: select.queues.clone() };
        let notes = observer.notes();
        Ok(Self { observer, chosen, history: History::default(), span: FIRST_LOOKS, notes })
    }

    /// Looks at the machine now.
    ///
    /// # Errors
    /// When the kernel refuses to show its sockets.
    pub fn look(&mut self) -> Result<()> {
        let start = Instant::now();
        let Scan { time_ns, sockets, mut missing } = self.observer.sockets()?;
        let took = start.elapsed();
        missing.extend(self.chosen.left_out(&sockets));
        let shown = sockets.iter().filter(|socket| self.chosen.has(socket));
        let mut keys: Vec<_> = shown.filter_map(InterfaceKey::of).collect();
        keys.sort_unstable();
        keys.dedup();
        let interfaces = keys.into_iter().filter_map(|key| self.observer.interface(key)).collect();
        let snapshot = RingsSnapshot { source: self.observer.source(), sockets };
        let now = Observation { time_ns, snapshot, missing, interfaces, took };
        self.note_the_gone(&now);
        self.history.push(now);
        Ok(())
    }

    /// What the looks so far show: the first time the first six of them, later what changed since
    /// the look before. `None` before the first look.
    pub fn sample(&mut self) -> Option<Sample> {
        let mut sample = sample::of(&self.history, self.span, |socket| self.chosen.has(socket))?;
        self.span = LATER_LOOKS;
        let mut names: HashMap<u32, Option<String>> = HashMap::new();
        let mut name = |inode: Option<u32>| {
            let inode = inode?;
            names.entry(inode).or_insert_with(|| self.observer.namespace(inode)).clone()
        };
        for socket in &mut sample.sockets {
            socket.netns_name = name(socket.netns);
        }
        for interface in &mut sample.interfaces {
            interface.netns_name = name(interface.netns);
        }
        Some(sample)
    }

    /// Why the last look may have missed sockets that were chosen, in words.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let missing = self.history.observations.back().map_or(&[][..], |look| &look.missing);
        let may_hide = missing.iter().filter(|missing| self.chosen.may_be(&missing.unseen));
        may_hide.map(|missing| missing.text.clone()).collect()
    }

    /// The interface that was chosen, by the kernel's name; `None` for all, or when it is gone.
    pub fn interface(&mut self) -> Option<String> {
        Some(self.observer.interface(self.chosen.key?)?.name)
    }

    /// What the user should know, each once: why a better source is not used, an owner that went.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// How time passes on the machine.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.observer.clock()
    }

    /// Lets a simulated machine run for this time, see [`Observer::advance`]; less when `control`
    /// says stop.
    ///
    /// # Errors
    /// When the simulated run cannot go on.
    pub fn advance(&mut self, time: Duration, control: &Control) -> Result<()> {
        if self.clock() == Clock::Machine {
            return Ok(());
        }
        let mut left = time;
        while !left.is_zero() && !control.is_stopped() {
            let step = left.min(STEP);
            self.observer.advance(step)?;
            left -= step;
        }
        Ok(())
    }

    /// Notes which owners went since the look before.
    fn note_the_gone(&mut self, now: &Observation) {
        let Some(before) = self.history.observations.back() else { return };
        for socket in before.snapshot.sockets.iter().filter(|socket| self.chosen.has(socket)) {
            if now.socket(socket).is_some() {
                continue;
            }
            let whose = socket.owners.first().map_or_else(
                || "a socket".to_owned(),
                |owner| {
                    format!("the socket of {} (pid {}, fd {})", owner.comm, owner.pid, owner.fd)
                },
            );
            let place = match (&socket.interface, socket.queue) {
                (Some(name), Some(queue)) => format!(" on {name} queue {queue}"),
                (Some(name), None) => format!(" on {name}"),
                _ => String::new(),
            };
            self.notes.push(format!("{whose}{place} is gone"));
        }
    }
}
