//! [`Session`]: open ports, from the moment that packets can pass to the end of the run.

use super::carrier::{self, Idle};
use super::event::SessionEvent;
use super::link_watch::{InterfaceChange, Watch};
use super::losses::{self, Losses, Observed};
use super::opened::{Opened, check_sends};
use crate::builder::FluxBuilder;
use crate::config::Poller;
use crate::error::{FluxError, Result};
use crate::ids::PortIndex;
use crate::packet::Packets;
use crate::port::Port;
use crate::system::{FluxRx, FluxTx};
use crate::tools::host::Host;
use std::time::Duration;

/// What all commands do about the ports that they opened, in whatever mode.
pub(crate) struct Session {
    ports: Vec<WatchedPort>,
}

struct WatchedPort {
    opened: Opened,
    watch: Watch,
    /// How often the link had come or gone when the run began.
    changes_before: u32,
    /// Whether it is used no more, and why, until that is told.
    ended: bool,
    why: Option<FluxError>,
}

/// What happened to ports since the last look.
#[derive(Default)]
pub(crate) struct LinkLosses {
    /// A link was lost: what was under way then is lost, too.
    pub(crate) lost: bool,
    /// Ports that are not used any more.
    pub(crate) ended: Vec<PortIndex>,
}

impl Session {
    /// Opens ports in mode B, each with a socket that sends, and waits `patience` for their links.
    ///
    /// # Errors
    /// What the kernel refuses, each with its next step.
    pub(crate) fn open(
        builder: FluxBuilder,
        poller: Poller,
        host: &dyn Host,
        (patience, stop): (Duration, &dyn Fn() -> bool),
    ) -> Result<(Self, FluxRx, FluxTx)> {
        let (mut rx, tx) = builder.build_system()?;
        check_sends(&tx)?;
        let ports = rx.ports().to_vec();
        let session = Self::begin(&ports, poller, host, (patience, stop), &mut rx)?;
        Ok((session, rx, tx))
    }

    /// Waits for the links of ports that were opened in any mode. `idle` lets time pass meanwhile.
    /// A link that does not come is not an error: it is reported while the run goes on.
    ///
    /// # Errors
    /// When an interface is gone.
    fn begin(
        ports: &[Port],
        poller: Poller,
        host: &dyn Host,
        (patience, stop): (Duration, &dyn Fn() -> bool),
        idle: &mut dyn Idle,
    ) -> Result<Self> {
        for port in ports {
            let name = &port.granted().interface;
            carrier::wait(host, name, Some(patience), stop, idle)?;
        }
        let watched = |port: &Port| WatchedPort {
            opened: Opened::new(port.granted(), poller, host),
            watch: Watch::new(port),
            changes_before: carrier::changes(host, &port.granted().interface),
            ended: false,
            why: None,
        };
        Ok(Self { ports: ports.iter().map(watched).collect() })
    }

    /// What was granted, port by port: for the start event.
    pub(crate) fn opened(&self) -> impl Iterator<Item = &Opened> {
        self.ports.iter().map(|port| &port.opened)
    }

    /// Whether packets could pass on a port at the last look.
    pub(crate) fn has_link(&self, port: PortIndex) -> bool {
        let port = self.ports.get(port.get()).filter(|port| !port.ended);
        port.is_some_and(|port| port.watch.has_link())
    }

    /// Reports what changed since the last look.
    pub(crate) fn look(&mut self, now: u64, mut tell: impl FnMut(SessionEvent)) -> LinkLosses {
        let mut losses = LinkLosses::default();
        for (at, port) in self.ports.iter_mut().enumerate() {
            if port.ended {
                continue;
            }
            let tell = |change: InterfaceChange| tell(SessionEvent::Interface(change));
            match port.watch.look(now, tell) {
                Ok(lost) => losses.lost |= lost,
                Err(error) => {
                    losses.ended.push(PortIndex::at(at));
                    (port.ended, port.why) = (true, Some(error));
                }
            }
        }
        losses
    }

    /// A port's interface is called `name` now: told where it was called otherwise.
    pub(crate) fn call(
        &mut self,
        port: PortIndex,
        name: &str,
        tell: &mut impl FnMut(SessionEvent),
    ) {
        if let Some(port) = self.ports.get_mut(port.get())
            && port.opened.interface != name
        {
            name.clone_into(&mut port.opened.interface);
            tell(SessionEvent::Interface(port.watch.call(name)));
        }
    }

    /// Whether no port is used any more: the interfaces are gone, or their XDP programs were
    /// detached.
    pub(crate) fn has_ended(&self) -> bool {
        self.ports.iter().all(|port| port.ended)
    }

    /// Why it has ended.
    pub(crate) fn take_end(&mut self) -> Option<FluxError> {
        self.ports.iter_mut().filter_map(|port| port.why.take()).next_back()
    }

    /// Whether a port is used no more.
    pub(crate) fn is_over(&self, port: PortIndex) -> bool {
        self.ports.get(port.get()).is_none_or(|port| port.ended)
    }

    /// Why it is used no more.
    pub(crate) fn why_over(&self, port: PortIndex) -> Option<String> {
        let port = self.ports.get(port.get()).filter(|port| port.ended)?;
        let gone = || format!("{} is not there any more", port.opened.interface);
        Some(port.why.as_ref().map_or_else(gone, FluxError::to_string))
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
