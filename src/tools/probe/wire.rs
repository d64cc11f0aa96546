//! [`Wire`]: the open sockets of a run of probes, and what came that was no answer.

use super::overheard::Overheard;
use super::sender::Sender;
use super::targets::ProbeTargets;
use crate::backend::{Filter, VlanMatch};
use crate::config::{Config, Poller};
use crate::error::Result;
use crate::packet::{Packet, Packets};
use crate::system::FluxRx;
use crate::tools::host::{Host, Listen};
use crate::tools::session::{Losses, Opened, Session, SessionEvent};
use crate::tools::{Control, Env};
use std::time::Duration;

/// Adaptive waiting spins through gaps as short as that: what else runs on the CPU while we sleep
/// makes the next round trip slower (on veth by half). With longer gaps it learns not to.
const SPIN: Duration = Duration::from_micros(2_500);
/// Frames of 2048 bytes over all queues, or half as many of 4096: as much as the usual memlock limit of 8 MiB lets a user without
/// CAP_IPC_LOCK pin, and plenty for probes.
pub(crate) const FRAMES: u32 = 4096;
/// Packets that are read at a time.
const INBOX: usize = 256;

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
    session: Session,
    rx: FluxRx,
    pub(crate) sender: Sender,
    inbox: Packets,
    /// Answers that come to the host's stack.
    overheard: Overheard,
    /// The VLAN that answers are in; `None` where that cannot be told.
    vlan: Option<VlanMatch>,
    /// Packets that answered none of our probes.
    pub(crate) foreign: u64,
    /// Packets that made no sense.
    pub(crate) malformed: u64,
    /// Packets that the XDP program could not stamp.
    pub(crate) unstamped: u64,
}

impl Wire {
    /// Opens the device that `targets` are reached by, and waits for its link. A probe that finds
    /// no room for `stuck` is given up.
    ///
    /// # Errors
    /// What the kernel refuses, each with its next step.
    pub(crate) fn open(
        env: &Env,
        config: &Config,
        targets: &ProbeTargets,
        filter: Filter,
        control: &Control,
        stuck: Duration,
    ) -> Result<Self> {
        let mut config = config.clone();
        config.interface.clone_from(&targets.link.device);
        config.rx_timestamps = true;
        let size = config.frame_size;
        config.frames.get_or_insert(env.affordable(FRAMES / (size / 2048).max(1), size));
        if config.poller == Poller::ADAPTIVE {
            config.poller = Poller::Adaptive { spin: SPIN };
        }
        let vlan = targets.link.vlan(&*env.host);
        let (session, rx, tx) = Session::open(env, config, filter, control)?;
        Ok(Self {
            session,
            overheard: Overheard::default(),
            vlan,
            rx,
            sender: Sender::new(tx, stuck),
            inbox: Packets::with_capacity(INBOX),
            foreign: 0,
            malformed: 0,
            unstamped: 0,
        })
    }

    /// What was granted, under the name of the interface that has our addresses.
    pub(crate) fn opened(&self, targets: &ProbeTargets) -> Opened {
        let opened = self.session.opened().next().cloned().unwrap_or_default();
        Opened { interface: targets.link.interface.name.clone(), ..opened }
    }

    /// The time now, in ns.
    pub(crate) fn now(&self) -> u64 {
        self.rx.now()
    }

    /// Whether packets could pass at the last look.
    pub(crate) fn has_link(&self) -> bool {
        self.session.has_link()
    }

    /// Hears from now on what comes to the host's stack instead of to our sockets.
    pub(crate) fn listen(&mut self, host: &dyn Host, what: &Listen, targets: &ProbeTargets) {
        self.overheard = Overheard::open(host, what, &[&targets.link]);
    }

    /// As [`Session::look`]; besides, what the host's stack got that is worth a word.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(SessionEvent)) -> Result<bool> {
        self.overheard.notes().into_iter().for_each(|note| tell(SessionEvent::Note(note)));
        self.session.look(now, tell)
    }

    /// Fetches at the end what came to the host's stack.
    pub(crate) fn listen_at_last(&mut self) {
        self.overheard.look_at_last(self.rx.now());
    }

    /// Waits until something came or `until`; what came is for [`Self::read`].
    pub(crate) fn wait(&mut self, until: u64) -> Result<()> {
        self.rx.recv_batch(&mut self.inbox, Some(until))?;
        self.overheard.look(self.rx.now());
        Ok(())
    }

    /// Fetches packets that have arrived and were not read yet; their time of arrival may be earlier
    /// than their probe's timeout. There are many when others had the CPU for long, but not more than
    /// there are frames: `waiting` counts these down. False when nothing is left.
    pub(crate) fn fetch(&mut self, waiting: &mut usize) -> Result<bool> {
        if *waiting == 0 {
            return Ok(false);
        }
        let came = self.rx.try_recv(&mut self.inbox)?;
        *waiting = waiting.saturating_sub(came);
        if came == 0 {
            self.overheard.look_before_giving_up(self.rx.now());
        }
        Ok(came > 0 || !self.overheard.is_empty())
    }

    /// UMEM frames: how many packets can wait to be read.
    pub(crate) fn frames(&self) -> usize {
        self.rx.granted().frames as usize
    }

    /// Shows each packet that came to `take`, with the time of its arrival and the time now, and
    /// counts those that are no answer.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8], u64, u64, &mut Sender) -> Arrival) {
        if self.inbox.is_empty() && self.overheard.is_empty() {
            return;
        }
        let now = self.rx.now();
        for packet in self.inbox.iter_mut() {
            // A stamp of the future is none.
            let stamp = packet.rx_timestamp().filter(|&at| at <= now);
            self.unstamped += u64::from(stamp.is_none());
            if self.vlan.is_some_and(|vlan| vlan != VlanMatch::of_frame(packet.data())) {
                self.foreign += 1;
                continue;
            }
            match take(packet.data(), stamp.unwrap_or(now), now, &mut self.sender) {
                Arrival::Ours => {}
                Arrival::Foreign => self.foreign += 1,
                Arrival::Malformed => self.malformed += 1,
            }
        }
        self.inbox.clear();
        let sender = &mut self.sender;
        self.overheard.read(now, |frame, at| take(frame, at, now, sender) == Arrival::Ours);
    }

    /// Puts `packet` into the ring of one of the queues that send, the same for all packets of the
    /// target with this position.
    pub(crate) fn send(&mut self, mut packet: Packet, target: usize, now: u64) {
        let queues = self.sender.tx.sending(); // not empty, or the run would not have begun
        packet.set_queue(queues[target % queues.len()]);
        self.sender.put(packet, now);
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
        let Sender { no_tx_frame, too_long, .. } = self.sender;
        let losses = Losses { lost, no_tx_frame, too_long, unsent };
        let sockets = (&mut self.rx, &mut self.sender.tx);
        self.session.tell_losses(host, sockets, &mut self.inbox, losses, tell);
    }
}
