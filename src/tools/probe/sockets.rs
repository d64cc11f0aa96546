//! [`Sockets`]: devices that were opened together, on one UMEM, and what came by them.

use super::sender::Sender;
use crate::backend::Filter;
use crate::config::{Config, Poller};
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::packet::{Packet, Packets};
use crate::simulator::Simulator;
use crate::system::FluxRx;
use crate::tools::Env;
use crate::tools::host::Host;
use crate::tools::session::{Opened, Session};
use crate::{FluxBuilder, port::Port};
use std::time::Duration;

/// Adaptive waiting spins through gaps as short as that: what else runs on the CPU while we sleep
/// makes the next round trip slower (on veth by half). With longer gaps it learns not to.
const SPIN: Duration = Duration::from_micros(2_500);
/// Frames of 2048 bytes over all queues, or half as many of 4096: as much as the usual memlock limit of
/// 8 MiB lets a user without CAP_IPC_LOCK pin, and plenty for probes.
pub(crate) const FRAMES: u32 = 4096;
/// Frames of devices that are opened while others are open: there may be little left of that limit.
const MORE_FRAMES: u32 = 1024;
/// Packets that are read at a time.
const INBOX: usize = 256;

/// What a run opens its devices with.
pub(super) struct Opener {
    config: Config,
    simulator: Option<Simulator>,
}

/// Devices on one UMEM.
pub(super) struct Sockets {
    pub(super) session: Session,
    pub(super) rx: FluxRx,
    pub(super) sender: Sender,
    pub(super) inbox: Packets,
    /// Since when nothing has been sent by them.
    pub(super) unused_since_ns: Option<u64>,
    /// The devices, port by port: by index, as one may be renamed.
    pub(super) devices: Vec<u32>,
}

/// How the packets of a link leave.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Position of the sockets.
    pub(super) set: usize,
    pub(super) port: PortIndex,
    /// Queues of the port that send.
    queues: Vec<QueueIndex>,
}

impl Opener {
    pub(super) fn new(env: &Env, config: &Config) -> Self {
        let mut config = config.clone();
        let size = config.frame_size;
        config.frames.get_or_insert(env.affordable(FRAMES / (size / 2048).max(1), size));
        config.rx_timestamps = true;
        if config.poller == Poller::ADAPTIVE {
            config.poller = Poller::Adaptive { spin: SPIN };
        }
        Self { config, simulator: env.simulator.clone() }
    }

    /// Opens these devices beside those that are open. A probe that finds no room for `stuck` is
    /// given up.
    pub(super) fn open(
        &self,
        devices: &[(u32, String)],
        filter: &Filter,
        host: &dyn Host,
        stuck: Duration,
        (patience, stop): (Duration, &dyn Fn() -> bool),
        first: bool,
    ) -> Result<Sockets> {
        let mut config = self.config.clone();
        let frames = config.frames.unwrap_or(FRAMES);
        config.frames = Some(if first { frames } else { frames.min(MORE_FRAMES) });
        let poller = config.poller;
        let mut names = devices.iter().map(|(_, name)| name);
        names.next().unwrap_or(&String::new()).clone_into(&mut config.interface);
        let mut builder = FluxBuilder::from_config(config).filter(filter.clone());
        if let Some(simulator) = &self.simulator {
            builder = builder.simulator(simulator);
        }
        for name in names {
            builder = builder.port(name);
        }
        let (session, rx, tx) = Session::open(builder, poller, host, (patience, stop))?;
        Ok(Sockets {
            session,
            rx,
            sender: Sender::new(tx, stuck),
            inbox: Packets::with_capacity(INBOX),
            unused_since_ns: None,
            devices: devices.iter().map(|(ifindex, _)| *ifindex).collect(),
        })
    }
}

impl Sockets {
    /// How packets leave by a device, if it is one of these; `set` is their position.
    pub(super) fn lane(&self, device: u32, set: usize) -> Option<Lane> {
        let at = self.devices.iter().position(|&known| known == device)?;
        let port = self.port(PortIndex::at(at))?;
        if self.session.is_over(port.index()) {
            return None;
        }
        // Those of a port that ended are not in this list any more.
        let sending = self.sender.tx.sending().iter().copied();
        let queues = sending.filter(|&queue| port.sends(queue)).collect();
        Some(Lane { set, port: port.index(), queues })
    }

    fn port(&self, port: PortIndex) -> Option<&Port> {
        self.rx.ports().get(port.get())
    }

    /// What was granted for a port.
    pub(super) fn opened(&self, port: PortIndex) -> Opened {
        self.session.opened().nth(port.get()).cloned().unwrap_or_default()
    }

    /// Goes on without a port.
    pub(super) fn end(&mut self, port: PortIndex) {
        self.rx.remove_port(port);
        self.sender.tx.remove_port(port);
    }
}

impl Lane {
    /// Sends a packet this way: by one of the queues, the same for all packets of the target with this
    /// position. False when no queue is left.
    pub(super) fn direct(&self, packet: &mut Packet, target: usize) -> bool {
        let some = !self.queues.is_empty();
        if some {
            packet.set_queue(self.queues[target % self.queues.len()]);
        }
        some
    }
}
