//! [`Session`]: open ports, from the moment that packets can pass to the end of the run.

use super::carrier::{self, Idle};
use super::env::Env;
use super::event::SessionEvent;
use super::link_watch::{InterfaceChange, Watch};
use super::losses::{self, Losses, Observed};
use super::opened::{Opened, check_sends};
use crate::backend::Filter;
use crate::config::{Config, Poller};
use crate::error::Result;
use crate::packet::Packets;
use crate::port::Port;
use crate::system::{FluxRx, FluxTx};
use crate::tools::Control;
use crate::tools::host::Host;

/// What all commands do about the ports that they opened, in whatever mode.
pub(crate) struct Session {
    ports: Vec<WatchedPort>,
}

struct WatchedPort {
    opened: Opened,
    watch: Watch,
    /// How often the link had come or gone when the run began.
    changes_before: u32,
}

impl Session {
    /// Opens one port in mode B, with sockets that send, and waits for its link.
    ///
    /// # Errors
    /// What the kernel refuses, each with its next step.
    pub(crate) fn open(
        env: &Env,
        config: Config,
        filter: Filter,
        control: &Control,
    ) -> Result<(Self, FluxRx, FluxTx)> {
        let poller = config.poller;
        let (mut rx, tx) = env.builder(config).filter(filter).build_system()?;
        check_sends(&tx)?;
        let ports = rx.ports().to_vec();
        let session = Self::begin(&ports, poller, &*env.host, control, &mut rx)?;
        Ok((session, rx, tx))
    }

    /// Waits for the links of ports that were opened in any mode. `idle` lets time pass meanwhile.
    /// A link that does not come is not an error: it is reported while the run goes on.
    ///
    /// # Errors
    /// When an interface is gone.
    pub(crate) fn begin(
        ports: &[Port],
        poller: Poller,
        host: &dyn Host,
        control: &Control,
        idle: &mut dyn Idle,
    ) -> Result<Self> {
        let stop = || control.is_stopped();
        for port in ports {
            let name = &port.granted().interface;
            carrier::wait(host, name, Some(carrier::AFTER_ATTACH), &stop, idle)?;
        }
        let watched = |port: &Port| WatchedPort {
            opened: Opened::new(port.granted(), poller, host),
            watch: Watch::new(port),
            changes_before: carrier::changes(host, &port.granted().interface),
        };
        Ok(Self { ports: ports.iter().map(watched).collect() })
    }

    /// What was granted, port by port: for the start event.
    pub(crate) fn opened(&self) -> impl Iterator<Item = &Opened> {
        self.ports.iter().map(|port| &port.opened)
    }

    /// Whether packets could pass on all ports at the last look.
    pub(crate) fn has_link(&self) -> bool {
        self.ports.iter().all(|port| port.watch.has_link())
    }

    /// Reports what changed since the last look. True when a link was lost meanwhile: what was under
    /// way then is lost, too.
    ///
    /// # Errors
    /// When an interface is gone, or its XDP program was detached.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(SessionEvent)) -> Result<bool> {
        let mut lost = false;
        let mut tell = |change: InterfaceChange| tell(SessionEvent::Interface(change));
        for port in &mut self.ports {
            lost |= port.watch.look(now, &mut tell)?;
        }
        Ok(lost)
    }

    /// Reports at the end why packets were lost, as far as that shows in mode B.
    pub(crate) fn tell_losses(
        &self,
        host: &dyn Host,
        (rx, tx): (&mut FluxRx, &mut FluxTx),
        inbox: &mut Packets,
        losses: Losses,
        tell: impl FnMut(SessionEvent),
    ) {
        let device = self.ports.first().map_or("", |port| &port.opened.interface);
        let observed = Observed { device, link_changes: self.link_changes(host), losses };
        losses::find(rx, tx, inbox, &observed).for_each(tell);
    }

    /// How often links went or came since the start.
    pub(crate) fn link_changes(&self, host: &dyn Host) -> u32 {
        let since = |port: &WatchedPort| {
            carrier::changes(host, &port.opened.interface).saturating_sub(port.changes_before)
        };
        self.ports.iter().map(since).sum()
    }
}
