//! The seam seen from the simulated kernel: what would be system calls.

use super::clock::nanos;
use super::queue::KernelQueue;
use super::{Shared, World};
use crate::backend::{
    Backend, Calls, Counters, Filter, Interest, Kick, QueueCounters, XdpStatistics,
};
use crate::config::Granted;
use crate::error::{ErrorKind, FluxError, Result};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// What one look at the rings costs while spinning, when nothing else is to come.
const SPIN_NS: u64 = 1_000;

/// Our sockets on one port of a simulated machine.
pub(super) struct SimBackend {
    pub(super) shared: Arc<Shared>,
    /// The port's node.
    pub(super) port: usize,
    /// NIC queue numbers by position.
    pub(super) queues: Vec<u32>,
    pub(super) granted: Granted,
    /// By queue position.
    pub(super) calls: Vec<Counters>,
}

impl SimBackend {
    fn queue(&self, position: usize) -> Result<u32> {
        self.queues.get(position).copied().ok_or_else(|| {
            FluxError::config(
                format!("queue position {position}"),
                format!("{} queues are open", self.queues.len()),
            )
        })
    }

    fn socket<'w>(&self, world: &'w mut World, position: usize) -> Result<&'w mut KernelQueue> {
        let queue = self.queue(position)?;
        let name = &self.granted.interface;
        let socket = world.port(self.port).and_then(|port| port.socket(queue));
        socket.ok_or_else(|| {
            FluxError::new(
                ErrorKind::Device,
                format!("cannot use {name} queue {queue}"),
                "the socket is closed",
            )
        })
    }

    /// The two checks that Linux makes at each entry (`xsk_check_common`).
    fn check(&self, world: &mut World, position: usize) -> Result<()> {
        let name = &self.granted.interface;
        if !self.socket(world, position)?.is_bound() {
            return Err(FluxError::new(
                ErrorKind::Device,
                format!("cannot send on {name}"),
                "the socket is not bound yet",
            ));
        }
        match world.port(self.port) {
            Some(port) if port.up => Ok(()),
            _ => Err(net_down(name)),
        }
    }

    fn counted(&self, queue: usize, count: fn(&Counters)) {
        if let Some(counters) = self.calls.get(queue) {
            count(counters);
        }
    }

    fn ready(&self, world: &mut World, queues: &[usize], interest: Interest) -> Result<bool> {
        for &position in queues {
            let socket = self.socket(world, position)?;
            let ready = match interest {
                Interest::Rx => socket.readable(),
                Interest::Tx => socket.writable(),
            };
            if ready {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(unix)]
fn net_down(interface: &str) -> FluxError {
    let source = std::io::Error::from_raw_os_error(libc::ENETDOWN);
    FluxError::os(crate::error::Op::Kick, interface, source)
}

#[cfg(not(unix))]
fn net_down(interface: &str) -> FluxError {
    FluxError::new(ErrorKind::Device, format!("cannot send on {interface}"), "Network is down")
}

impl Backend for SimBackend {
    fn start(&self) -> Result<Granted> {
        let mut world = self.shared.enter();
        for position in 0..self.queues.len() {
            self.socket(&mut world, position)?.bind();
        }
        Ok(self.granted.clone())
    }

    fn kick_tx(&self, queue: usize) -> Result<Kick> {
        self.counted(queue, Counters::tx_kick);
        let mut world = self.shared.enter();
        self.check(&mut world, queue)?;
        let kick = world.transmit(self.port, self.queue(queue)?);
        drop(world);
        self.shared.changed.notify_all();
        Ok(kick)
    }

    fn kick_rx(&self, queue: usize) -> Result<Kick> {
        self.counted(queue, Counters::rx_kick);
        let mut world = self.shared.enter();
        self.check(&mut world, queue)?;
        self.socket(&mut world, queue)?.wake_rx();
        Ok(Kick::Done)
    }

    fn wait(
        &self,
        queues: &[usize],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let first = queues.first().copied().unwrap_or_default();
        self.counted(first, Counters::wait);
        let mut world = self.shared.enter();
        let deadline = timeout.map(|timeout| world.now().saturating_add(nanos(timeout)));
        // poll(2) drives TX in copy mode (and counts a TX ring that it finds empty). While the
        // interface is down it does nothing, and says nothing.
        for &position in queues {
            if self.socket(&mut world, position)?.is_bound() {
                world.transmit(self.port, self.queue(position)?);
            }
        }
        loop {
            if self.ready(&mut world, queues, interest)? {
                self.counted(first, Counters::wakeup);
                return Ok(true);
            }
            if deadline.is_some_and(|at| at <= world.now()) {
                return Ok(false);
            }
            let until = match (world.next_event(), deadline) {
                (Some(event), Some(deadline)) => Some(event.min(deadline)),
                (event, deadline) => event.or(deadline),
            };
            if !world.clock.is_realtime() {
                // Nothing will ever happen and nobody set an end: say so at once.
                let Some(until) = until else { return Ok(false) };
                world.advance_to(until);
            } else {
                let changed = &self.shared.changed;
                world = match until {
                    Some(until) => {
                        let left = Duration::from_nanos(until.saturating_sub(world.now()));
                        changed.wait_timeout(world, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => changed.wait(world).unwrap_or_else(PoisonError::into_inner),
                };
                world.catch_up();
            }
        }
    }

    fn spin(&self, _queues: &[usize], deadline: Option<u64>) -> Result<()> {
        let mut world = self.shared.enter();
        if world.clock.is_realtime() {
            drop(world);
            std::hint::spin_loop();
            return Ok(());
        }
        let next = match (world.next_event(), deadline) {
            (Some(event), Some(deadline)) => event.min(deadline),
            (Some(event), None) => event,
            (None, Some(deadline)) => deadline,
            (None, None) => world.now() + SPIN_NS,
        };
        world.advance_to(next);
        Ok(())
    }

    fn calls(&self, queue: usize) -> Calls {
        self.calls.get(queue).map(Counters::read).unwrap_or_default()
    }

    fn stats(&self, queue: usize) -> Result<XdpStatistics> {
        let mut world = self.shared.enter();
        Ok(self.socket(&mut world, queue)?.stats())
    }

    fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        let mut world = self.shared.enter();
        Ok(world.port(self.port).map(|port| port.counters.clone()).unwrap_or_default())
    }

    fn now(&self) -> u64 {
        let world = self.shared.lock();
        world.clock.reading().unwrap_or_else(|| world.now())
    }

    #[cfg(unix)]
    fn fd(&self, _queue: usize) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn set_filter(&self, filter: &Filter) -> Result<()> {
        filter.check()?;
        if let Some(port) = self.shared.enter().port(self.port) {
            port.filter = filter.clone();
        }
        Ok(())
    }
}

impl Drop for SimBackend {
    /// Closing: the queues are free again, and what was on its way to them goes to the stack.
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        if let Some(port) = world.port(self.port) {
            for &queue in &self.queues {
                if let Some(slot) = port.sockets.get_mut(queue as usize) {
                    *slot = None;
                }
            }
            if port.sockets.iter().all(Option::is_none) {
                port.filter = Filter::Nothing;
            }
        }
    }
}
