//! [`Wire`]: the open sockets of a run of probes, and what came that was no answer.
//!
//! ```text
//!   link ─▶ Lane ─▶ Sockets   devices that were opened together: those of the start, and one more
//!                             set for each device that a route has moved to since
//! ```

use super::arrival::Arrival;
#[cfg(doc)]
use super::arrival::UNKNOWN;
use super::known::{Known, devices, is_in_vlan};
use super::link::Link;
use super::outlet::Outlet;
use super::overheard::Overheard;
use super::sender::Sender;
use super::sockets::{Lane, Opener, Sockets};
use super::targets::ProbeTargets;
use crate::backend::Filter;
use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::tools::host::{Host, Listener};
use crate::tools::session::{Losses, Opened, SessionEvent, carrier};
use crate::tools::{Control, Env};
use std::time::Duration;

/// With more than one set of sockets, all but one are looked at this often.
const LOOK_NS: u64 = 1_000_000;
/// Sockets that nothing is sent by any more are closed after this long: answers may be on their way.
pub(super) const KEEP_NS: u64 = 10_000_000_000;

/// The sockets of a run.
pub(crate) struct Wire {
    pub(super) opener: Opener,
    pub(super) stuck: Duration,
    /// Never empty.
    pub(super) sets: Vec<Sockets>,
    /// What is known of each link.
    pub(super) links: Vec<Known>,
    /// By link; `None` where nothing is open for it.
    pub(super) lanes: Vec<Option<Lane>>,
    /// Links whose devices could not be opened, and why.
    pub(super) closed: Vec<(usize, String)>,
    /// Answers that come to the host's stack.
    pub(super) overheard: Overheard,
    /// Until then answers to what left by another link than now may be on their way.
    pub(super) settled_ns: u64,
    /// The longest frame that is to be sent.
    pub(super) longest: usize,
    /// Packets that answered none of our probes.
    pub(crate) foreign: u64,
    /// Packets that made no sense.
    pub(crate) malformed: u64,
    /// Packets that the XDP program could not stamp.
    pub(crate) unstamped: u64,
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
        let opener = Opener::new(env, config);
        let stop = || control.is_stopped();
        let patience = (carrier::AFTER_ATTACH, &stop as &dyn Fn() -> bool);
        let set = opener.open(&devices(links), filter, &*env.host, stuck, patience, true)?;
        let known = |link| Known { is_used: true, ..Known::new(link, &*env.host) };
        let mut wire = Self {
            opener,
            stuck,
            sets: vec![set],
            links: links.iter().map(known).collect(),
            lanes: Vec::new(),
            closed: Vec::new(),
            overheard: Overheard::default(),
            settled_ns: 0,
            longest: 0,
            foreign: 0,
            malformed: 0,
            unstamped: 0,
        };
        wire.connect();
        Ok(wire)
    }

    /// Finds the way of each link.
    pub(super) fn connect(&mut self) {
        let lane = |link: &Known| {
            let mut sets = self.sets.iter().enumerate().rev();
            sets.find_map(|(at, set)| set.lane(link.ifindex, at))
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
            lanes.any(|(link, lane)| link.is_used && lane.as_ref().is_some_and(|l| l.set == at))
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

    /// Whether packets can be sent by a link, once it is there.
    pub(crate) fn is_open(&self, link: usize) -> bool {
        let lane = self.lanes.get(link).and_then(Option::as_ref);
        lane.is_some_and(|lane| !self.sets[lane.set].session.is_over(lane.port))
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

    /// Hears from now on what comes to the host's stack instead of to our sockets. `listener` is best
    /// opened before the sockets: the kernel begins to stamp packets a moment later.
    pub(crate) fn listen(
        &mut self,
        host: &dyn Host,
        listener: Option<Box<dyn Listener>>,
        targets: &ProbeTargets,
    ) {
        let links: Vec<_> = targets.links.iter().collect();
        self.overheard = Overheard::open(host, listener, &links);
    }

    /// Fetches at the end what came to the host's stack.
    pub(crate) fn listen_at_last(&mut self) {
        self.overheard.look_at_last(self.now());
    }

    /// Why nothing can be sent by a link any more.
    pub(super) fn ended(&self, link: usize) -> Option<String> {
        let lane = self.lanes.get(link)?.as_ref()?;
        self.sets[lane.set].session.why_over(lane.port)
    }

    /// Reports what changed since the last look, and what the host's stack got that is worth a word.
    /// True when all that was under way was lost.
    ///
    /// # Errors
    /// When nothing is left to send by: the interfaces are gone, or their XDP programs were detached.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(SessionEvent)) -> Result<bool> {
        self.overheard.notes().into_iter().for_each(|note| tell(SessionEvent::Note(note)));
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
    pub(super) fn survive(&mut self, set: usize, error: FluxError) -> Result<()> {
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
        self.wait_for_packets(until)?;
        self.overheard.look(self.now());
        Ok(())
    }

    fn wait_for_packets(&mut self, until: u64) -> Result<()> {
        if self.sets.len() == 1 {
            return self.receive(0, until).map(drop);
        }
        // Where probes go now, answers come first.
        let mut lanes = self.links.iter().zip(&self.lanes).rev();
        let used = lanes.find_map(|(link, lane)| lane.as_ref().filter(|_| link.is_used));
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
        if came == 0 {
            self.overheard.look_before_giving_up(self.now());
        }
        Ok(came > 0 || !self.overheard.is_empty())
    }

    /// UMEM frames: how many packets can wait to be read.
    pub(crate) fn frames(&self) -> usize {
        self.sets.iter().map(|set| set.rx.granted().frames as usize).sum()
    }

    /// Shows each packet that came to `take`, with the time of its arrival (or [`UNKNOWN`]) and the time
    /// now, and counts those that are no answer.
    pub(crate) fn read(
        &mut self,
        mut take: impl FnMut(&[u8], u64, u64, &mut Outlet<'_>) -> Arrival,
    ) {
        let Self { sets, lanes, links, unstamped, foreign, malformed, overheard, .. } = self;
        let settled_ns = self.settled_ns;
        for (set, sockets) in sets.iter_mut().enumerate() {
            let Sockets { rx, inbox, sender, devices, .. } = sockets;
            if inbox.is_empty() {
                continue;
            }
            let mut outlet = Outlet { sender, lanes, set };
            let now = rx.now();
            for packet in inbox.iter_mut() {
                // A stamp of the future is none.
                let stamp = packet.rx_timestamp().filter(|&at| at <= now);
                *unstamped += u64::from(stamp.is_none());
                let port = rx.ports().iter().position(|p| p.queue_number(packet.queue()).is_some());
                let device = port.and_then(|port| devices.get(port)).map_or(0, |&ifindex| ifindex);
                if !is_in_vlan(links, device, packet.data()) {
                    *foreign += 1;
                    continue;
                }
                match take(packet.data(), stamp.unwrap_or(now), now, &mut outlet) {
                    Arrival::Ours(link) => {
                        let left_by = links.get(link).map_or(device, |link| &link.device);
                        if left_by != device && now >= settled_ns {
                            overheard.note_own(device, left_by);
                        }
                    }
                    Arrival::Foreign => *foreign += 1,
                    Arrival::Malformed => *malformed += 1,
                }
            }
            inbox.clear();
        }
        if !overheard.is_empty() {
            let (now, set) = (sets[0].rx.now(), 0);
            let mut outlet = Outlet { sender: &mut sets[0].sender, lanes, set };
            overheard.read(now, |frame, at| {
                matches!(take(frame, at, now, &mut outlet), Arrival::Ours(_))
            });
        }
    }

    /// Reports at the end why packets were lost. `lost`: whether any was; `unsent`: how many were due
    /// while there was no link.
    pub(crate) fn tell_losses(
        &mut self,
        host: &dyn Host,
        (lost, unsent): (bool, u64),
        mut tell: impl FnMut(SessionEvent),
    ) {
        if lost {
            self.overheard.tell_losses(host);
        }
        self.overheard.notes().into_iter().for_each(|note| tell(SessionEvent::Note(note)));
        for set in &mut self.sets {
            let Sender { no_tx_frame, too_long, .. } = set.sender;
            let losses = Losses { lost, no_tx_frame, too_long, unsent };
            let sockets = (&mut set.rx, &mut set.sender.tx);
            set.session.tell_losses(host, sockets, &mut set.inbox, losses, &mut tell);
        }
    }
}
