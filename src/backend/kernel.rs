//! The real kernel: AF_XDP sockets, one per queue of each port, over one UMEM.
//!
//! ```text
//!   open()   socket(AF_XDP) × queues ── first registers the UMEM ── rings sized and mapped
//!   start()  XDP programs attached ── sockets bound (the rest share the first's UMEM) ── XSKMAPs
//!   drop     links closed: detached ── sockets closed: unbound ── UMEM unmapped
//! ```
//!
//! Invariant: the UMEM outlives the sockets, and a ring's mapping its `Producer` or `Consumer`.

mod open;
mod port;

pub(crate) use open::{open, queue_count, region};

use super::filter::Filter;
use super::{Backend, Interest, Kick};
use crate::config::{Attached, BindMode, Granted, Poller};
use crate::error::{Advice, ErrorKind, FluxError, Op, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::stats::{Calls, Counters, QueueCounters, XdpStatistics};
use crate::sys::if_xdp::{
    Statistics, XDP_COPY, XDP_SHARED_UMEM, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY,
};
use crate::sys::poll::Woken;
use crate::sys::xsk::Xsk;
use crate::sys::{clock, poll, xsk};
use crate::umem::Umem;
use port::KernelPort;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A queue that its last owner just closed stays taken until the kernel gets round to it: some
/// milliseconds, but seconds where many interfaces are being removed (it needs the rtnl lock). While
/// other AF_XDP sockets are open, the queue may as well be one of theirs.
const BIND_PATIENCE: Duration = Duration::from_secs(1);
/// The same where nobody else has a socket, so that the queue must become free.
const BIND_PATIENCE_ALONE: Duration = Duration::from_secs(20);
const BIND_RETRY: Duration = Duration::from_millis(5);

/// `poll(2)` does not end when the interface goes: the socket just stays unready. So the kernel
/// is asked this often whether the queue still lives.
const PULSE: Duration = Duration::from_millis(200);
/// The same while spinning, in rounds (some milliseconds).
const PULSE_SPINS: u32 = 1 << 16;

/// Longest time that the kernel polls the device in one system call of ours.
const BUSY_POLL_US: u32 = 20;

struct KernelBackend {
    /// First, so that programs are detached before their sockets close.
    ports: Vec<KernelPort>,
    /// By queue position, like all that follows.
    sockets: Vec<Xsk>,
    /// Port and NIC queue number.
    places: Vec<(usize, u32)>,
    calls: Vec<Counters>,
    /// Keeps the packet memory mapped until the sockets are closed.
    umem: Arc<Umem>,
    busy_poll: AtomicBool,
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

    /// What all sockets are to be bound with: a UMEM has zero-copy or not.
    fn bind_mode(&self) -> Result<BindMode> {
        let asked = |mode| self.ports.iter().any(|port| port.config.bind == mode);
        let skb = self.ports.iter().find(|port| port.program().attachment.mode() == Attached::Skb);
        let cuts = self.ports.iter().find_map(KernelPort::cuts_packets);
        // Drivers deliver into a zero-copy UMEM from their native hook alone.
        match skb {
            Some(port) if asked(BindMode::ZeroCopy) => Err(FluxError::new(
                ErrorKind::Unsupported,
                format!("cannot bind to {} in zero-copy mode", port.interface()),
                "the XDP program is attached in skb mode",
            )
            .with_advice("", Advice::CopyOrNativeMode)),
            Some(_) => Ok(BindMode::Copy),
            None if asked(BindMode::ZeroCopy) => cuts.map_or(Ok(BindMode::ZeroCopy), Err),
            None if asked(BindMode::Copy) || cuts.is_some() => Ok(BindMode::Copy),
            None => Ok(BindMode::Auto),
        }
    }

    /// Binds all queues, the first with `mode`, which the others inherit; says whether that is
    /// zero-copy.
    fn bind_all(&self, mode: BindMode) -> Result<bool> {
        let flags = XDP_USE_NEED_WAKEUP
            | match mode {
                BindMode::Auto => 0,
                BindMode::Copy => XDP_COPY,
                BindMode::ZeroCopy => XDP_ZEROCOPY,
            };
        let is_zero_copy = |at: QueueIndex| {
            let mode = self.socket(at)?.is_zero_copy();
            mode.map_err(|error| self.queue_error(Op::Query, at, error))
        };
        let mut queues = (0..self.sockets.len()).map(QueueIndex::at);
        let Some(first) = queues.next() else { return Ok(false) };
        self.bind(first, flags, None).map_err(|error| self.named_asker(mode, error))?;
        let zero_copy = is_zero_copy(first)?;
        for queue in queues {
            let bound = self.bind(queue, XDP_SHARED_UMEM, Some(self.socket(first)?));
            if let Err(error) = bound {
                let busy = matches!(error.kind(), ErrorKind::Busy | ErrorKind::Device);
                return Err(match mode {
                    BindMode::Auto if zero_copy && !busy => {
                        FluxError::partly_zero_copy(self.name(queue))
                    }
                    _ => error,
                });
            }
        }
        Ok(zero_copy)
    }

    /// An error of the first socket, which carries the mode for all: names the port that asked for it,
    /// where that is another one.
    fn named_asker(&self, mode: BindMode, error: FluxError) -> FluxError {
        let asks = |port: &&KernelPort| port.config.bind == mode;
        match self.ports.iter().find(asks) {
            Some(port) if mode == BindMode::ZeroCopy && !asks(&&self.ports[0]) => {
                let name = port.interface();
                let why = format!("{name} asks for zero-copy, which is for all ports of a UMEM");
                error.with_cause(why)
            }
            _ => error,
        }
    }

    fn bind(&self, queue: QueueIndex, flags: u16, shared: Option<&Xsk>) -> Result<()> {
        let (port, number) = self.places[queue.get()];
        let (port, socket) = (&self.ports[port], self.socket(queue)?);
        let start = clock::monotonic_ns();
        loop {
            let error = match socket.bind(port.ifindex, number, flags, shared) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EBUSY)
                    if clock::monotonic_ns() - start < nanos(self.bind_patience(port)?) =>
                {
                    poll::pause(BIND_RETRY);
                }
                // The number of queues may have shrunk since open().
                Some(libc::EINVAL) => {
                    let available = queue_count(port.interface(), &port.place)?;
                    return Err(if number >= available {
                        open::no_such_queue(port.interface(), number, available)
                    } else if flags & XDP_ZEROCOPY != 0 {
                        port.refuses_zero_copy(number, &error)
                    } else {
                        self.queue_error(Op::Bind, queue, error)
                    });
                }
                _ => return Err(self.queue_error(Op::Bind, queue, error)),
            }
        }
    }

    fn bind_patience(&self, port: &KernelPort) -> Result<Duration> {
        // What is counted are those of the port's namespace, so that is what ours are, too.
        let here = |(at, _): &&(usize, u32)| self.ports[*at].place.is_beside(&port.place);
        let ours = self.places.iter().filter(here).count();
        let others = port.inside(|| Ok(xsk::open_here()))?;
        let others = others.map(|all| all.saturating_sub(ours));
        Ok(if others == Some(0) { BIND_PATIENCE_ALONE } else { BIND_PATIENCE })
    }

    /// Kernel busy polling where it does something: not on veth, whose NAPI has nothing to poll
    /// until its peer sends.
    fn enable_busy_poll(&self, port: usize, driver: Option<&str>, notes: &mut Vec<String>) -> bool {
        let config = &self.ports[port].config;
        if config.poller != Poller::Busy || port::is_virtual(driver) {
            return false;
        }
        let budget = config.batch.clamp(8, 64);
        for (_, socket) in self.sockets_of(port) {
            if let Err(error) = socket.set_busy_poll(BUSY_POLL_US, budget) {
                let why = crate::error::errno_text(&error);
                notes.push(format!("no kernel busy polling ({why}): spinning on the rings alone"));
                return false;
            }
        }
        true
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

    /// Whether the queues still live: ENXIO after the interface was removed, ENETDOWN while it is
    /// down.
    fn pulse(&self, queues: &[QueueIndex]) -> Result<()> {
        for &queue in queues {
            self.counted(queue, Counters::rx_kick);
            match self.socket(queue)?.wake_rx() {
                Err(error) if gone(&error) => {
                    return Err(self.queue_error(Op::Wait, queue, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENETDOWN | libc::ENODEV))
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
            granted.push(Granted {
                backend: "xdp",
                interface: port.interface().to_owned(),
                ifindex: port.ifindex,
                driver,
                attach: port.program().attachment.mode(),
                zero_copy,
                queues: port.queues.clone(),
                ring_size: port.ring_size,
                frames: self.umem.frames(),
                frame_size: self.umem.frame_size(),
                pages: self.umem.pages(),
                kernel_busy_poll,
                rx_clock: "monotonic",
                tx_clock: "monotonic",
                notes,
            });
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
        let fds = if queues.len() <= stack.len() {
            &mut stack[..queues.len()]
        } else {
            heap = vec![poll::entry(-1, 0); queues.len()];
            &mut heap[..]
        };
        for (fd, &queue) in fds.iter_mut().zip(queues) {
            *fd = poll::entry(self.socket(queue)?.raw_fd(), events);
        }
        let first = queues.first().copied().unwrap_or_default();
        let until = timeout.map(|t| clock::monotonic_ns().saturating_add(nanos(t)));
        loop {
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

    fn spin(&self, queues: &[QueueIndex], _deadline: Option<u64>) -> Result<()> {
        thread_local! {
            static SPINS: Cell<u32> = const { Cell::new(0) };
        }
        if self.busy_poll.load(Ordering::Relaxed) {
            return self.pulse(queues);
        }
        let spins = SPINS.get().wrapping_add(1);
        SPINS.set(spins);
        if spins.is_multiple_of(PULSE_SPINS) {
            self.pulse(queues)?;
        }
        std::hint::spin_loop();
        Ok(())
    }

    fn calls(&self, queue: QueueIndex) -> Calls {
        self.calls.get(queue.get()).map(Counters::read).unwrap_or_default()
    }

    fn stop_rx(&self, queue: QueueIndex) -> Result<()> {
        let Some(&(port, number)) = self.places.get(queue.get()) else { return Ok(()) };
        let mut program = self.ports[port].program();
        program.stopped.push(number);
        program.xsks.as_ref().map_or(Ok(()), |xsks| xsks.remove(number))
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

    fn is_virtual(&self) -> bool {
        false
    }

    fn set_filter(&self, port: PortIndex, filter: &Filter) -> Result<()> {
        if self.port(port)?.set_filter(filter)? {
            self.add_sockets(port.get())?;
        }
        Ok(())
    }

    fn queue_counters(&self, port: PortIndex) -> Result<Vec<QueueCounters>> {
        self.port(port)?.program().tables.as_ref().map_or_else(|| Ok(Vec::new()), |t| t.counters())
    }
}

impl KernelBackend {
    fn kick_result(&self, op: Op, queue: QueueIndex, error: io::Error) -> Result<Kick> {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => Ok(Kick::Again),
            _ => Err(self.queue_error(op, queue, error)),
        }
    }
}

impl From<Statistics> for XdpStatistics {
    fn from(stats: Statistics) -> Self {
        Self {
            rx_dropped: stats.rx_dropped,
            rx_invalid_descs: stats.rx_invalid_descs,
            tx_invalid_descs: stats.tx_invalid_descs,
            rx_ring_full: stats.rx_ring_full,
            rx_fill_ring_empty_descs: stats.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: stats.tx_ring_empty_descs,
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)] // the lab's system calls
pub(crate) mod tests;
