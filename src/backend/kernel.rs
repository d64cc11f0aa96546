//! The real kernel: AF_XDP sockets, one per queue of each port, over one UMEM.
//!
//! ```text
//!   open()   socket(AF_XDP) × queues ── first registers the UMEM ── rings sized and mapped
//!   start()  XDP programs attached ── sockets bound (the rest share the first's UMEM) ── XSKMAPs
//!   drop     links closed: detached ═ sockets closed: unbound ── UMEM unmapped
//! ```
//!
//! Invariant: the UMEM outlives the sockets, and a ring's mapping its `Producer` or `Consumer`.

mod bind;
mod freed;
mod open;
mod port;
mod refused;
mod watch;

pub(crate) use open::{open, queue_counts, region};
pub(crate) use refused::{affordable, explained};

use super::filter::Filter;
use super::{Backend, Interest, Kick};
use crate::config::{Attached, Granted};
use crate::error::{FluxError, Op, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::life::{self, PortState};
use crate::stats::{Calls, Counters, QueueCounters, XdpStatistics};
use crate::sys::poll::Woken;
use crate::sys::xsk::Xsk;
use crate::sys::{clock, poll};
use crate::umem::Umem;
use freed::Freed;
use port::KernelPort;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// `poll(2)` does not end when the interface goes: the socket just stays unready. So the kernel
/// is asked this often whether the queue still lives.
const PULSE: Duration = Duration::from_millis(200);
/// How often the ports are looked at while something is waited for.
const LOOK_NS: u64 = 100_000_000;
/// The same while spinning, in rounds (some milliseconds).
const PULSE_SPINS: u32 = 1 << 16;
/// The same where each round is a system call that polls the device.
const PULSE_POLLS: u32 = 1 << 8;

struct KernelBackend {
    ports: Vec<KernelPort>,
    /// By queue position, like all that follows.
    sockets: Vec<Xsk>,
    /// Port and NIC queue number.
    places: Vec<(usize, u32)>,
    calls: Vec<Counters>,
    /// Keeps the packet memory mapped until the sockets are closed.
    umem: Arc<Umem>,
    freed: Freed,
    busy_poll: AtomicBool,
    next_look_ns: AtomicU64,
    /// Whether the last look found one of the ports without link or program.
    troubled: AtomicBool,
}

impl KernelBackend {
    /// The queue's name, for errors.
    fn name(&self, queue: QueueIndex) -> String {
        match self.places.get(queue.get()) {
            Some(&(port, number)) => format!("{} queue {number}", self.ports[port].interface()),
            None => format!("the queue at position {queue}"),
        }
    }

    fn queue_error(&self, op: Op, queue: QueueIndex, error: io::Error) -> FluxError {
        let error = FluxError::os(op, self.name(queue), error);
        match self.places.get(queue.get()) {
            Some(&(port, _)) => error.of_port(PortIndex::at(port)),
            None => error,
        }
    }

    fn socket(&self, queue: QueueIndex) -> Result<&Xsk> {
        self.sockets.get(queue.get()).ok_or_else(|| {
            self.queue_error(Op::Query, queue, io::Error::from_raw_os_error(libc::ENOENT))
        })
    }

    fn port(&self, port: PortIndex) -> Result<&KernelPort> {
        self.ports.get(port.get()).ok_or_else(|| {
            FluxError::config(
                format!("port {port}"),
                format!("{} ports are open", self.ports.len()),
            )
        })
    }

    /// The sockets of a port, with their NIC queue numbers.
    fn sockets_of(&self, port: usize) -> impl Iterator<Item = (u32, &Xsk)> {
        let places = self.places.iter().zip(&self.sockets);
        places.filter(move |((of, _), _)| *of == port).map(|((_, number), xsk)| (*number, xsk))
    }

    /// Puts the sockets of a port where its program finds them.
    fn add_sockets(&self, port: usize) -> Result<()> {
        let program = self.ports[port].program();
        let Some(xsks) = &program.xsks else { return Ok(()) };
        let mut sockets = self.sockets_of(port).filter(|(n, _)| !program.stopped.contains(n));
        sockets.try_for_each(|(number, socket)| xsks.insert(number, socket.raw_fd()))
    }

    fn counted(&self, queue: QueueIndex, count: fn(&Counters)) {
        if let Some(counters) = self.calls.get(queue.get()) {
            count(counters);
        }
    }

    /// Whether the queues still live, as the sockets tell: ENXIO after the interface was removed.
    /// ENETDOWN, while it is down, ends nothing.
    fn pulse(&self, queues: &[QueueIndex]) -> Result<()> {
        for &queue in queues {
            self.counted(queue, Counters::rx_kick);
            match self.socket(queue)?.wake_rx() {
                Err(error) if gone(&error) => return Err(self.gone(queue)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The error of a queue whose socket found its interface gone.
    fn gone(&self, queue: QueueIndex) -> FluxError {
        let Some(&(port, _)) = self.places.get(queue.get()) else { return life::gone("it") };
        self.ports[port].watch.is_gone(clock::monotonic_ns());
        self.troubled.store(true, Ordering::Relaxed);
        life::gone(self.ports[port].interface()).of_port(PortIndex::at(port))
    }

    /// Looks at the ports, if it is time to.
    fn watch(&self) {
        let now = clock::monotonic_ns();
        if now < self.next_look_ns.load(Ordering::Relaxed) {
            return;
        }
        self.next_look_ns.store(now.saturating_add(LOOK_NS), Ordering::Relaxed);
        let well = self.ports.iter().fold(true, |well, port| port.look(now) & well);
        self.troubled.store(!well, Ordering::Relaxed);
    }

    /// Looks at the ports, and tells what ends a wait for these queues.
    fn attend(&self, queues: &[QueueIndex], interest: Interest) -> Result<()> {
        self.watch();
        if !self.troubled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = clock::monotonic_ns();
        for (at, port) in self.ports.iter().enumerate() {
            let concerns = |queue: &&QueueIndex| {
                self.places.get(queue.get()).is_some_and(|place| place.0 == at)
            };
            if queues.iter().any(|queue| concerns(&queue)) {
                let verdict = || port.watch.verdict(now, interest == Interest::Rx);
                // Nothing is given up by an old look.
                let verdict = verdict().or_else(|_| {
                    port.look(now);
                    verdict()
                });
                verdict.map_err(|error| error.of_port(PortIndex::at(at)))?;
            }
        }
        Ok(())
    }

    /// Something happened: the next look is due.
    fn look_soon(&self) {
        self.next_look_ns.store(0, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV))
}

impl Backend for KernelBackend {
    fn start(&self) -> Result<Vec<Granted>> {
        let mut fallback = Vec::with_capacity(self.ports.len());
        for port in &self.ports {
            fallback.push(port.begin()?);
        }
        let zero_copy = self.bind_all(self.bind_mode()?)?;
        let mut granted = Vec::with_capacity(self.ports.len());
        for (at, port) in self.ports.iter().enumerate() {
            let mut notes = port.notes.clone();
            notes.extend(fallback[at].take());
            if zero_copy && port.program().attachment.mode() == Attached::None {
                // Drivers set their zero-copy queues going with the program, also for sending.
                notes.extend(port.attach(&port.filter)?);
            }
            self.add_sockets(at)?;
            let driver = port.driver();
            if !zero_copy {
                notes.extend(port.copied(driver.as_deref()));
            }
            let kernel_busy_poll = self.enable_busy_poll(at, driver.as_deref(), &mut notes);
            self.busy_poll.fetch_or(kernel_busy_poll, Ordering::Relaxed);
            let how = (driver, kernel_busy_poll);
            granted.push(port.granted(&self.umem, zero_copy, how, notes));
        }
        Ok(granted)
    }

    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick> {
        self.counted(queue, Counters::tx_kick);
        let kicked = self.socket(queue)?.wake_tx();
        kicked.map_or_else(|error| self.kick_result(Op::Kick, queue, error), |()| Ok(Kick::Done))
    }

    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick> {
        self.counted(queue, Counters::rx_kick);
        let kicked = self.socket(queue)?.wake_rx();
        kicked.map_or_else(|error| self.kick_result(Op::Wait, queue, error), |()| Ok(Kick::Done))
    }

    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool> {
        let events = match interest {
            Interest::Rx => libc::POLLIN,
            Interest::Tx => libc::POLLOUT,
        };
        let mut stack = [poll::entry(-1, 0); 64];
        let mut heap;
        // One more than queues: frames that are freed.
        let fds = if queues.len() < stack.len() {
            &mut stack[..=queues.len()]
        } else {
            heap = vec![poll::entry(-1, 0); queues.len() + 1];
            &mut heap[..]
        };
        fds[queues.len()] = self.freed.entry(interest);
        for (fd, &queue) in fds.iter_mut().zip(queues) {
            *fd = poll::entry(self.socket(queue)?.raw_fd(), events);
        }
        let first = queues.first().copied().unwrap_or_default();
        let until = timeout.map(|t| clock::monotonic_ns().saturating_add(nanos(t)));
        loop {
            self.attend(queues, interest)?;
            let left = until.map_or(PULSE, |at| {
                Duration::from_nanos(at.saturating_sub(clock::monotonic_ns())).min(PULSE)
            });
            self.counted(first, Counters::wait);
            let woken = poll::poll(fds, Some(left))
                .map_err(|error| self.queue_error(Op::Wait, first, error))?;
            let broken = libc::POLLERR | libc::POLLNVAL | libc::POLLHUP;
            if woken == Woken::Timeout || fds.iter().any(|fd| fd.revents & broken != 0) {
                self.pulse(queues)?;
            }
            match woken {
                Woken::Ready => {
                    self.freed.seen(fds[queues.len()]);
                    self.counted(first, Counters::wakeup);
                    return Ok(true);
                }
                Woken::Signal => return Ok(false),
                Woken::Timeout if until.is_some_and(|at| clock::monotonic_ns() >= at) => {
                    return Ok(false);
                }
                Woken::Timeout => {}
            }
        }
    }

    fn spin(&self, queues: &[QueueIndex], _deadline: Option<u64>) -> Result<bool> {
        thread_local! {
            static SPINS: Cell<u32> = const { Cell::new(0) };
        }
        let busy_poll = self.busy_poll.load(Ordering::Relaxed);
        let spins = SPINS.get().wrapping_add(1);
        SPINS.set(spins);
        let due = if busy_poll { PULSE_POLLS } else { PULSE_SPINS };
        if busy_poll || spins.is_multiple_of(due) {
            self.pulse(queues)?;
        }
        if spins.is_multiple_of(due) {
            self.attend(queues, Interest::Rx)?;
        }
        if busy_poll {
            return Ok(true);
        }
        std::hint::spin_loop();
        Ok(true)
    }

    fn nothing_to_come(&self) -> bool {
        false
    }

    fn look(&self, queues: &[QueueIndex]) -> Result<()> {
        self.attend(queues, Interest::Rx)
    }

    fn state(&self, port: PortIndex) -> PortState {
        self.watch();
        self.ports[port.get()].watch.state()
    }

    fn calls(&self, queue: QueueIndex) -> Calls {
        self.calls.get(queue.get()).map(Counters::read).unwrap_or_default()
    }

    fn stop_rx(&self, queue: QueueIndex) -> Result<()> {
        let place = self.places.get(queue.get());
        place.map_or(Ok(()), |&(port, number)| self.ports[port].stop(number))
    }

    fn start_rx(&self, queue: QueueIndex) -> Result<()> {
        let socket = self.socket(queue)?.raw_fd();
        let (port, number) = self.places[queue.get()];
        self.ports[port].start(number, socket)
    }

    fn stats(&self, queue: QueueIndex) -> Result<XdpStatistics> {
        let stats = self.socket(queue)?.statistics();
        let stats = stats.map_err(|e| self.queue_error(Op::Query, queue, e))?;
        Ok(stats.into())
    }

    fn now(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn fd(&self, queue: QueueIndex) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.sockets.get(queue.get()).map(std::os::fd::AsFd::as_fd)
    }

    fn longest(&self, port: PortIndex) -> Arc<AtomicU32> {
        self.ports.get(port.get()).map_or_else(Arc::default, |port| Arc::clone(&port.longest))
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn set_filter(&self, port: PortIndex, filter: &Filter) -> Result<()> {
        self.watch();
        self.port(port)?.watch.check_program()?;
        if self.port(port)?.set_filter(filter)? {
            self.add_sockets(port.get())?;
        }
        Ok(())
    }

    fn queue_counters(&self, port: PortIndex) -> Result<Vec<QueueCounters>> {
        self.port(port)?.program().tables.as_ref().map_or_else(|| Ok(Vec::new()), |t| t.counters())
    }
}

impl Drop for KernelBackend {
    /// Detaching and closing each wait for what other CPUs still run, ten milliseconds and more. So
    /// they wait side by side. A packet that comes meanwhile goes to a socket or to the kernel.
    fn drop(&mut self) {
        let (ports, sockets) = (std::mem::take(&mut self.ports), std::mem::take(&mut self.sockets));
        thread::scope(|scope| {
            for socket in sockets {
                // Without a thread the socket is closed here, with the closure that owns it.
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(socket));
            }
            drop(ports);
        });
    }
}

impl KernelBackend {
    fn kick_result(&self, op: Op, queue: QueueIndex, error: io::Error) -> Result<Kick> {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => Ok(Kick::Again),
            Some(libc::ENETDOWN) => {
                self.look_soon();
                Ok(Kick::Again)
            }
            _ if gone(&error) => Err(self.gone(queue)),
            _ => Err(self.queue_error(op, queue, error)),
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)] // the lab's system calls
pub(crate) mod tests;
