//! [`Wire`]: the open sockets of a run of probes, and what came that was no answer.
//!
//! ```text
//!   link ─▶ Lane ─▶ Sockets   devices that were opened together: those of the start, and one more
//!                             set for each device that a route has moved to since
//! ```

use super::link::Link;
use super::next_hops::NextHops;
use super::sender::Sender;
use super::sockets::{Lane, Opener, Sockets};
use super::targets::{Path, ProbeTargets};
use crate::backend::Filter;
use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::packet::Packet;
use crate::tools::host::Host;
use crate::tools::session::{Losses, Note, Opened, SessionEvent, Trouble, carrier};
use crate::tools::{Control, Env};
use std::time::Duration;

/// With more than one set of sockets, all but one are looked at this often.
const LOOK_NS: u64 = 1_000_000;
/// Sockets that nothing is sent by any more are closed after this long: answers may be on their way.
const KEEP_NS: u64 = 10_000_000_000;

/// What a received frame was, to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// About one of our probes.
    Ours,
    /// A sound packet that is not.
    Foreign,
    /// Bytes that are no packet.
    Malformed,
}

/// The sockets of a run.
pub(crate) struct Wire {
    opener: Opener,
    stuck: Duration,
    /// Never empty.
    sets: Vec<Sockets>,
    /// The device of each link, and whether anything is sent by it.
    links: Vec<(String, bool)>,
    /// By link; `None` where nothing is open for it.
    lanes: Vec<Option<Lane>>,
    /// Links whose devices could not be opened, and why.
    closed: Vec<(usize, String)>,
    /// The longest frame that is to be sent.
    longest: usize,
    /// Packets that answered none of our probes.
    pub(crate) foreign: u64,
    /// Packets that made no sense.
    pub(crate) malformed: u64,
    /// Packets that the XDP program could not stamp.
    pub(crate) unstamped: u64,
}

/// Where a packet leaves, for those who answer what they read.
pub(crate) struct Outlet<'a> {
    sender: &'a mut Sender,
    lanes: &'a [Option<Lane>],
    set: usize,
}

impl Wire {
    /// Opens the devices of `links`, and waits for theirs. A probe that finds no room for `stuck` is
    /// given up.
    ///
    /// # Errors
    /// What the kernel refuses, each with its next step.
    pub(crate) fn open(
        env: &Env,
        config: &Config,
        links: &[Link],
        filter: &Filter,
        control: &Control,
        stuck: Duration,
    ) -> Result<Self> {
        let opener = Opener::new(config, env.simulator.clone());
        let stop = || control.is_stopped();
        let patience = (carrier::AFTER_ATTACH, &stop as &dyn Fn() -> bool);
        let set = opener.open(devices(links), filter, &*env.host, stuck, patience, true)?;
        let mut wire = Self {
            opener,
            stuck,
            sets: vec![set],
            links: links.iter().map(|link| (link.device.clone(), true)).collect(),
            lanes: Vec::new(),
            closed: Vec::new(),
            longest: 0,
            foreign: 0,
            malformed: 0,
            unstamped: 0,
        };
        wire.connect();
        Ok(wire)
    }

    /// Finds the way of each link.
    fn connect(&mut self) {
        let lane = |(device, _): &(String, bool)| {
            let mut sets = self.sets.iter().enumerate().rev();
            sets.find_map(|(at, set)| set.lane(device, at))
        };
        self.lanes = self.links.iter().map(lane).collect();
    }

    /// Closes sockets that ended, or that nothing was sent by for long.
    fn retire(&mut self, now: u64) {
        if self.sets.len() == 1 {
            return;
        }
        let used = |at: usize| {
            let mut lanes = self.links.iter().zip(&self.lanes);
            lanes.any(|((_, used), lane)| *used && lane.as_ref().is_some_and(|l| l.set == at))
        };
        let uses: Vec<bool> = (0..self.sets.len()).map(used).collect();
        let last = self.sets.len() - 1;
        let mut retired = None;
        for (at, (set, used)) in self.sets.iter_mut().zip(uses).enumerate() {
            set.unused_since_ns = (!used).then(|| set.unused_since_ns.unwrap_or(now));
            let unused = set.unused_since_ns.is_some_and(|since| now - since >= KEEP_NS);
            if unused || set.session.has_ended() && at < last {
                retired = Some(at);
            }
        }
        // One at a time: closing one takes a moment.
        if let Some(at) = retired {
            self.sets.remove(at);
            self.connect();
        }
    }

    /// Opens what is missing for where the targets are reached now, and lets `filter` hold on all.
    /// What is open stays open for a while, so that answers on their way are heard. What cannot be
    /// opened is told.
    pub(crate) fn follow(
        &mut self,
        targets: &ProbeTargets,
        filter: &Filter,
        host: &dyn Host,
        mut tell: impl FnMut(SessionEvent),
    ) {
        self.closed.clear();
        for set in &self.sets {
            let ports = set.rx.ports().iter();
            for port in ports.filter(|port| !set.session.is_over(port.index())) {
                if let Err(error) = port.set_filter(filter) {
                    tell(cannot("hear answers to the new address", &error));
                }
            }
        }
        self.links = targets.links.iter().map(|link| (link.device.clone(), false)).collect();
        for path in targets.paths.iter().filter(|path| path.broken.is_none()) {
            self.links[path.link].1 = true;
        }
        self.connect();
        for link in 0..self.links.len() {
            let (device, used) = self.links[link].clone();
            if !used || self.is_open(link) {
                continue;
            }
            // Its link is there, or no route would lead to it; the next look says otherwise.
            let patience = (Duration::ZERO, &(|| false) as &dyn Fn() -> bool);
            let opened = vec![device.clone()];
            match self.opener.open(opened, filter, host, self.stuck, patience, false) {
                Ok(mut set) => {
                    set.sender.expect(self.longest);
                    self.sets.push(set);
                    self.connect();
                }
                Err(error) => {
                    tell(cannot(&format!("go on by {device}"), &error));
                    self.closed.push((link, error.to_string()));
                }
            }
        }
    }

    /// Whether packets can be sent by a link, once it is there.
    pub(crate) fn is_open(&self, link: usize) -> bool {
        let lane = self.lanes.get(link).and_then(Option::as_ref);
        lane.is_some_and(|lane| !self.sets[lane.set].session.is_over(lane.port))
    }

    /// Why nothing can be sent to a target.
    pub(crate) fn why_not(&self, path: &Path, hops: &NextHops) -> String {
        let closed = || {
            let closed = self.closed.iter().find(|(link, _)| *link == path.link);
            closed.map(|(_, why)| why.clone()).or_else(|| self.ended(path.link))
        };
        let missing = || hops.get(path.hop).err().map(str::to_owned);
        let why = path.broken.clone().or_else(closed).or_else(missing);
        why.unwrap_or_else(|| "the probe is too long".to_owned())
    }

    /// What was granted, link by link, under the names of the interfaces that have our addresses.
    pub(crate) fn opened(&self, links: &[Link]) -> Vec<Opened> {
        let opened = |(link, lane): (&Link, &Option<Lane>)| {
            let lane = lane.as_ref()?;
            let opened = self.sets[lane.set].opened(lane.port);
            Some(Opened { interface: link.interface.name.clone(), ..opened })
        };
        links.iter().zip(&self.lanes).filter_map(opened).collect()
    }

    /// The time now, in ns.
    pub(crate) fn now(&self) -> u64 {
        self.sets[0].rx.now()
    }

    /// Whether packets could pass on a link at the last look.
    pub(crate) fn passes(&self, link: usize) -> bool {
        let lane = self.lanes.get(link).and_then(Option::as_ref);
        lane.is_some_and(|lane| self.sets[lane.set].session.has_link(lane.port))
    }

    /// Whether packets could pass anywhere at the last look.
    pub(crate) fn has_link(&self) -> bool {
        (0..self.lanes.len()).any(|link| self.passes(link))
    }

    /// Why nothing can be sent by a link any more.
    fn ended(&self, link: usize) -> Option<String> {
        let lane = self.lanes.get(link)?.as_ref()?;
        self.sets[lane.set].session.why_over(lane.port)
    }

    /// Reports what changed since the last look. True when all that was under way was lost.
    ///
    /// # Errors
    /// When nothing is left to send by: the interfaces are gone, or their XDP programs were detached.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(SessionEvent)) -> Result<bool> {
        let mut lost = false;
        for set in &mut self.sets {
            let losses = set.session.look(now, &mut tell);
            losses.ended.iter().for_each(|&port| set.end(port));
            lost |= losses.lost;
        }
        self.retire(now);
        if self.sets.iter().all(|set| set.session.has_ended()) {
            let end = self.sets.iter_mut().rev().find_map(|set| set.session.take_end());
            return end.map_or(Ok(lost), Err);
        }
        // What is under way elsewhere is not lost with one of several links.
        Ok(lost && !self.has_several())
    }

    /// Whether there are several ports.
    fn has_several(&self) -> bool {
        self.sets.len() > 1 || self.sets[0].rx.ports().len() > 1
    }

    /// A wait or a send failed. That ends the run, unless it is a port that ended.
    fn survive(&mut self, set: usize, error: FluxError) -> Result<()> {
        let set = &mut self.sets[set];
        let mut ended = 0;
        for port in set.rx.ports().to_vec() {
            let state = port.state();
            if state.link == crate::life::Link::Gone || state.detached {
                set.end(port.index());
                ended += 1;
            }
        }
        // The next look says which it was, and ends the run if it was the last.
        if ended > 0 { Ok(()) } else { Err(error) }
    }

    /// Waits until something came or `until`; what came is for [`Self::read`].
    pub(crate) fn wait(&mut self, until: u64) -> Result<()> {
        if self.sets.len() == 1 {
            return self.receive(0, until).map(drop);
        }
        // Where probes go now, answers come first.
        let mut lanes = self.links.iter().zip(&self.lanes).rev();
        let used = lanes.find_map(|((_, used), lane)| lane.as_ref().filter(|_| *used));
        let first = used.map_or(0, |lane| lane.set);
        loop {
            let now = self.now();
            let mut came = 0;
            for set in (0..self.sets.len()).filter(|&set| set != first) {
                came += self.receive(set, now)?;
            }
            let until = if came > 0 { now } else { until.min(now.saturating_add(LOOK_NS)) };
            came += self.receive(first, until)?;
            if came > 0 || now >= until {
                return Ok(());
            }
        }
    }

    fn receive(&mut self, set: usize, until: u64) -> Result<usize> {
        let Sockets { rx, inbox, .. } = &mut self.sets[set];
        match rx.recv_batch(inbox, Some(until)) {
            Ok(came) => Ok(came),
            Err(error) => self.survive(set, error).map(|()| 0),
        }
    }

    /// Fetches packets that have arrived and were not read yet; their time of arrival may be earlier
    /// than their probe's timeout. There are many when others had the CPU for long, but not more than
    /// there are frames: `waiting` counts these down. False when nothing is left.
    pub(crate) fn fetch(&mut self, waiting: &mut usize) -> Result<bool> {
        if *waiting == 0 {
            return Ok(false);
        }
        let mut came = 0;
        for set in 0..self.sets.len() {
            let Sockets { rx, inbox, .. } = &mut self.sets[set];
            match rx.try_recv(inbox) {
                Ok(n) => came += n,
                Err(error) => self.survive(set, error)?,
            }
        }
        *waiting = waiting.saturating_sub(came);
        Ok(came > 0)
    }

    /// UMEM frames: how many packets can wait to be read.
    pub(crate) fn frames(&self) -> usize {
        self.sets.iter().map(|set| set.rx.granted().frames as usize).sum()
    }

    /// Shows each packet that came to `take`, with the time of its arrival and the time now, and
    /// counts those that are no answer.
    pub(crate) fn read(
        &mut self,
        mut take: impl FnMut(&[u8], u64, u64, &mut Outlet<'_>) -> Arrival,
    ) {
        let Self { sets, lanes, unstamped, foreign, malformed, .. } = self;
        for (set, sockets) in sets.iter_mut().enumerate() {
            let Sockets { rx, inbox, sender, .. } = sockets;
            if inbox.is_empty() {
                continue;
            }
            let mut outlet = Outlet { sender, lanes, set };
            let now = rx.now();
            for packet in inbox.iter_mut() {
                // A stamp of the future is none.
                let stamp = packet.rx_timestamp().filter(|&at| at <= now);
                *unstamped += u64::from(stamp.is_none());
                match take(packet.data(), stamp.unwrap_or(now), now, &mut outlet) {
                    Arrival::Ours => {}
                    Arrival::Foreign => *foreign += 1,
                    Arrival::Malformed => *malformed += 1,
                }
            }
            inbox.clear();
        }
    }

    /// Sockets that something can be sent by.
    fn live(&self) -> impl Iterator<Item = &Sockets> {
        self.sets.iter().filter(|set| !set.session.has_ended())
    }

    /// Begins a batch: what a full ring did not take last time goes first.
    pub(crate) fn begin(&mut self, now: u64) {
        self.sets.iter_mut().for_each(|set| set.sender.begin(now));
    }

    /// Whether a packet waits for a ring: others would only wait behind it.
    pub(crate) fn is_full(&self) -> bool {
        self.live().any(|set| set.sender.is_full())
    }

    /// When to try again although nothing else is due.
    pub(crate) fn retry_ns(&self) -> Option<u64> {
        self.live().filter_map(|set| set.sender.retry_ns()).min()
    }

    /// Whether nothing waits to be sent or to be told to the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        self.live().all(|set| set.sender.is_idle())
    }

    /// Packets may be as long as `len` bytes.
    pub(crate) fn expect(&mut self, len: usize) {
        self.longest = self.longest.max(len);
        self.sets.iter_mut().for_each(|set| set.sender.expect(len));
    }

    /// Whether a packet that is due may be asked for: see [`Sender::has_room`].
    pub(crate) fn has_room(&mut self, now: u64) -> bool {
        let mut live = self.sets.iter_mut().filter(|set| !set.session.has_ended());
        live.all(|set| set.sender.has_room(now))
    }

    /// A frame for a packet that leaves by `link`, where [`Self::has_room`] found one.
    pub(crate) fn take(&mut self, link: usize) -> Option<Packet> {
        let lane = self.lanes.get(link)?.as_ref()?;
        self.sets[lane.set].sender.take()
    }

    /// Puts `packet` into the ring of one of the queues of `link` that send, the same for all packets
    /// of the target with this position.
    pub(crate) fn send(&mut self, packet: Packet, link: usize, target: usize, now: u64) {
        if let Some(mut outlet) = self.outlet(link) {
            outlet.put(packet, link, target, now);
        }
    }

    /// Where the packets of a link leave.
    pub(crate) fn outlet(&mut self, link: usize) -> Option<Outlet<'_>> {
        let set = self.lanes.get(link)?.as_ref()?.set;
        Some(Outlet { sender: &mut self.sets[set].sender, lanes: &self.lanes, set })
    }

    /// Ends a batch: tells the kernel. `leave` is told how many packets are about to go, and when,
    /// if they have not gone yet: in zero-copy mode the device may take packets before it is told.
    pub(crate) fn finish(&mut self, now: u64, leave: impl FnOnce(usize, u64)) -> Result<()> {
        let written = self.sets.iter().map(|set| set.sender.written()).sum();
        if written > 0 {
            leave(written, self.now());
        }
        for set in 0..self.sets.len() {
            if let Err(error) = self.sets[set].sender.finish(now) {
                self.survive(set, error)?;
            }
        }
        Ok(())
    }

    /// Reports at the end why packets were lost. `lost`: whether any was; `unsent`: how many were due
    /// while there was no link.
    pub(crate) fn tell_losses(
        &mut self,
        host: &dyn Host,
        (lost, unsent): (bool, u64),
        mut tell: impl FnMut(SessionEvent),
    ) {
        for set in &mut self.sets {
            let Sender { no_tx_frame, too_long, .. } = set.sender;
            let losses = Losses { lost, no_tx_frame, too_long, unsent };
            let sockets = (&mut set.rx, &mut set.sender.tx);
            set.session.tell_losses(host, sockets, &mut set.inbox, losses, &mut tell);
        }
    }
}

impl Outlet<'_> {
    /// A frame for a packet besides the probes.
    pub(crate) fn alloc(&mut self, len: usize) -> Option<Packet> {
        self.sender.tx.alloc(len)
    }

    /// As [`Wire::send`]. What leaves by other sockets than these is dropped.
    pub(crate) fn put(&mut self, mut packet: Packet, link: usize, target: usize, now: u64) {
        let lane = self.lanes.get(link).and_then(Option::as_ref);
        if let Some(lane) = lane.filter(|lane| lane.set == self.set)
            && lane.direct(&mut packet, target)
        {
            self.sender.put(packet, now);
        }
    }
}

/// What could not be done to follow a route.
fn cannot(what: &str, error: &FluxError) -> SessionEvent {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let text = format!("cannot {what}: {error}{hint}");
    SessionEvent::Note(Note { kind: Trouble::NoWay, count: 1, text })
}

/// The devices of these links, each once.
fn devices(links: &[Link]) -> Vec<String> {
    let mut devices: Vec<String> = Vec::new();
    for link in links {
        if !devices.contains(&link.device) {
            devices.push(link.device.clone());
        }
    }
    devices
}
