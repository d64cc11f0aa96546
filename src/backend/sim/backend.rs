//! The seam seen from the simulated kernel: what would be system calls.

use super::clock::nanos;
use super::queue::KernelQueue;
use super::{Shared, World};
use crate::backend::{Backend, Filter, Interest, Kick};
use crate::config::Granted;
use crate::error::{ErrorKind, FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::life::{self, Life, Link, PortState, Seen};
use crate::stats::{Calls, Counters, QueueCounters, XdpStatistics};
use crate::umem::Umem;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one look at the rings costs while spinning, when nothing else is to come.
const SPIN_NS: u64 = 1_000;

/// Our sockets on ports of a simulated machine.
pub(super) struct SimBackend {
    pub(super) shared: Arc<Shared>,
    pub(super) umem: Arc<Umem>,
    pub(super) ports: Vec<SimPort>,
    /// By queue position: port and NIC queue number.
    pub(super) places: Vec<(usize, u32)>,
    /// By queue position.
    pub(super) calls: Vec<Counters>,
}

/// One of the ports.
pub(super) struct SimPort {
    /// Its node.
    pub(super) node: usize,
    pub(super) granted: Granted,
    pub(super) life: Mutex<Life>,
}

impl SimPort {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at a port sees.
pub(super) fn seen(world: &World, node: usize) -> Option<Seen> {
    let port = world.look_at(node)?;
    let now = world.now();
    let link = match (port.up, world.carrier(node)) {
        _ if port.is_gone(now) => Link::Gone,
        (true, true) => Link::Up,
        (true, false) => Link::NoCarrier,
        (false, _) => Link::Down,
    };
    let changes = port.link_moves + port.troubles.link_changes(now);
    Some(Seen {
        link,
        losses: changes.div_ceil(2),
        mtu: port.mtu,
        rx_queues: port.queues(),
        detached: port.is_detached(now),
    })
}

impl SimBackend {
    /// The port of a queue, and the NIC's number.
    fn place(&self, queue: QueueIndex) -> Result<(&SimPort, u32)> {
        let place = self.places.get(queue.get()).map(|&(port, number)| (&self.ports[port], number));
        place.ok_or_else(|| {
            FluxError::config(
                format!("queue position {queue}"),
                format!("{} queues are open", self.places.len()),
            )
        })
    }

    fn port(&self, port: PortIndex) -> Result<&SimPort> {
        self.ports.get(port.get()).ok_or_else(|| {
            FluxError::config(
                format!("port {port}"),
                format!("{} ports are open", self.ports.len()),
            )
        })
    }

    fn socket<'w>(&self, world: &'w mut World, queue: QueueIndex) -> Result<&'w mut KernelQueue> {
        let (port, number) = self.place(queue)?;
        let socket = world.port(port.node).and_then(|port| port.socket(number));
        socket.ok_or_else(|| {
            let name = &port.granted.interface;
            FluxError::new(
                ErrorKind::Device,
                format!("cannot use {name} queue {number}"),
                "the socket is closed",
            )
        })
    }

    /// Looks at a port.
    fn see(&self, world: &World, port: &SimPort) {
        if let Some(seen) = seen(world, port.node) {
            port.life().see(world.now(), seen);
        }
    }

    /// Looks at the ports, and tells what ends a wait for these queues.
    fn attend(&self, world: &World, queues: &[QueueIndex], interest: Interest) -> Result<()> {
        for (at, port) in self.ports.iter().enumerate() {
            self.see(world, port);
            if queues.iter().any(|queue| self.places.get(queue.get()).is_some_and(|p| p.0 == at)) {
                let verdict = port.life().verdict(world.now(), interest == Interest::Rx);
                verdict.map_err(|error| error.of_port(PortIndex::at(at)))?;
            }
        }
        Ok(())
    }

    /// When the clock stops next while somebody waits until `deadline`: something happens, or the
    /// wait ends by itself. Nothing: never.
    fn next(&self, world: &World, deadline: Option<u64>) -> Option<u64> {
        let give_up = self.ports.iter().filter_map(|port| port.life().gives_up_ns());
        let ends = [world.next_event(), world.next_end(), deadline];
        let next = ends.into_iter().flatten().chain(give_up).min()?;
        // A link that only goes and comes is nothing to wait for.
        Some(world.next_flap().map_or(next, |flap| flap.min(next)))
    }

    /// The checks that Linux makes at each entry (`xsk_check_common`): ENETDOWN is "later".
    fn check(&self, world: &mut World, queue: QueueIndex) -> Result<()> {
        let of = self.places.get(queue.get()).map_or(0, |place| place.0);
        let (SimPort { node, granted, .. }, _) = self.place(queue)?;
        let name = &granted.interface;
        if !self.socket(world, queue)?.is_bound() {
            return Err(FluxError::new(
                ErrorKind::Device,
                format!("cannot send on {name}"),
                "the socket is not bound yet",
            ));
        }
        let now = world.now();
        match world.port(*node) {
            Some(port) if !port.is_gone(now) => Ok(()),
            _ => Err(life::gone(name).of_port(PortIndex::at(of))),
        }
    }

    fn transmit(&self, world: &mut World, queue: QueueIndex) -> Result<Kick> {
        let (port, number) = self.place(queue)?;
        Ok(world.transmit(port.node, number))
    }

    fn counted(&self, queue: QueueIndex, count: fn(&Counters)) {
        if let Some(counters) = self.calls.get(queue.get()) {
            count(counters);
        }
    }

    fn ready(&self, world: &mut World, queues: &[QueueIndex], interest: Interest) -> Result<bool> {
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

/// The end of time is none: nobody may move the clock there.
fn is_a_time(deadline: &u64) -> bool {
    *deadline < u64::MAX
}

impl Backend for SimBackend {
    fn start(&self) -> Result<Vec<Granted>> {
        let mut world = self.shared.enter();
        for queue in (0..self.places.len()).map(QueueIndex::at) {
            self.socket(&mut world, queue)?.bind();
        }
        Ok(self.ports.iter().map(|port| port.granted.clone()).collect())
    }

    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick> {
        self.counted(queue, Counters::tx_kick);
        let mut world = self.shared.enter();
        self.check(&mut world, queue)?;
        let kick = self.transmit(&mut world, queue)?;
        drop(world);
        self.shared.changed.notify_all();
        Ok(kick)
    }

    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick> {
        self.counted(queue, Counters::rx_kick);
        let mut world = self.shared.enter();
        self.check(&mut world, queue)?;
        self.socket(&mut world, queue)?.wake_rx();
        Ok(Kick::Done)
    }

    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let first = queues.first().copied().unwrap_or_default();
        self.counted(first, Counters::wait);
        let mut world = self.shared.enter();
        let deadline = timeout.map(|timeout| world.now().saturating_add(nanos(timeout)));
        let deadline = deadline.filter(is_a_time);
        // poll(2) drives TX in copy mode (and counts a TX ring that it finds empty). While the
        // interface is down it does nothing, and says nothing.
        for &position in queues {
            if self.socket(&mut world, position)?.is_bound() {
                self.transmit(&mut world, position)?;
            }
        }
        loop {
            // Frames were freed: there is something to do, if nothing to receive.
            let freed = interest == Interest::Rx && self.umem.take_wake();
            self.attend(&world, queues, interest)?;
            if freed || self.ready(&mut world, queues, interest)? {
                self.counted(first, Counters::wakeup);
                return Ok(true);
            }
            if deadline.is_some_and(|at| at <= world.now()) {
                return Ok(false);
            }
            let until = self.next(&world, deadline);
            if !world.clock.is_realtime() {
                // Nothing will ever happen and nobody set an end: say so at once.
                let Some(until) = until else { return Ok(false) };
                world.advance_to(until);
                world = self.shared.call(world);
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
                world = self.shared.call(world);
            }
        }
    }

    fn spin(&self, queues: &[QueueIndex], deadline: Option<u64>) -> Result<bool> {
        let mut world = self.shared.enter();
        self.attend(&world, queues, Interest::Rx)?;
        if world.clock.is_realtime() {
            drop(world);
            std::hint::spin_loop();
            return Ok(true);
        }
        let next = self.next(&world, deadline.filter(is_a_time));
        let to = next.unwrap_or_else(|| world.now().saturating_add(SPIN_NS));
        world.advance_to(to);
        drop(self.shared.call(world));
        Ok(next.is_some())
    }

    fn nothing_to_come(&self) -> bool {
        let world = self.shared.enter();
        !world.clock.is_realtime() && self.next(&world, None).is_none()
    }

    fn look(&self, queues: &[QueueIndex]) -> Result<()> {
        let world = self.shared.enter();
        self.attend(&world, queues, Interest::Rx)
    }

    fn state(&self, port: PortIndex) -> PortState {
        let world = self.shared.enter();
        let port = &self.ports[port.get()];
        self.see(&world, port);
        port.life().state()
    }

    fn calls(&self, queue: QueueIndex) -> Calls {
        self.calls.get(queue.get()).map(Counters::read).unwrap_or_default()
    }

    fn stop_rx(&self, queue: QueueIndex) -> Result<()> {
        let mut world = self.shared.enter();
        self.socket(&mut world, queue)?.put_into_map(false);
        Ok(())
    }

    fn start_rx(&self, queue: QueueIndex) -> Result<()> {
        let mut world = self.shared.enter();
        self.socket(&mut world, queue)?.put_into_map(true);
        Ok(())
    }

    fn stats(&self, queue: QueueIndex) -> Result<XdpStatistics> {
        let mut world = self.shared.enter();
        Ok(self.socket(&mut world, queue)?.stats())
    }

    fn queue_counters(&self, port: PortIndex) -> Result<Vec<QueueCounters>> {
        let node = self.port(port)?.node;
        let mut world = self.shared.enter();
        Ok(world.port(node).map(|port| port.counters.clone()).unwrap_or_default())
    }

    fn now(&self) -> u64 {
        let world = self.shared.lock();
        world.clock.reading().unwrap_or_else(|| world.now())
    }

    #[cfg(unix)]
    fn fd(&self, _queue: QueueIndex) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn longest(&self, port: PortIndex) -> Arc<AtomicU32> {
        let node = self.ports.get(port.get()).map(|port| port.node);
        let mut world = self.shared.lock();
        node.and_then(|node| world.port(node)).map(|port| port.longest()).unwrap_or_default()
    }

    fn is_virtual(&self) -> bool {
        !self.shared.lock().clock.is_realtime()
    }

    fn set_filter(&self, port: PortIndex, filter: &Filter) -> Result<()> {
        filter.check()?;
        let ours = self.port(port)?;
        let mut world = self.shared.enter();
        self.see(&world, ours);
        ours.life().check_program()?;
        if let Some(port) = world.port(ours.node) {
            port.filter = filter.clone();
        }
        Ok(())
    }
}

impl Drop for SimBackend {
    /// Closing: the queues are free again, and what was on its way to them goes to the stack.
    fn drop(&mut self) {
        let mut world = self.shared.lock();
        for &(at, number) in &self.places {
            if let Some(port) = world.port(self.ports[at].node) {
                if let Some(slot) = port.sockets.get_mut(number as usize) {
                    *slot = None;
                }
                if !port.is_open() {
                    port.detach();
                }
            }
        }
    }
}
