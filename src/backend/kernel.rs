//! The real kernel: AF_XDP sockets, one per queue, over one UMEM.
//!
//! ```text
//!   open()   socket(AF_XDP) × queues ── first registers the UMEM ── rings sized and mapped
//!   start()  XDP program attached ── sockets bound (the rest share the first's UMEM) ── XSKMAP
//!   drop     link closed: detached ── sockets closed: unbound ── UMEM unmapped
//! ```
//!
//! Invariant: the UMEM outlives the sockets, and a ring's mapping its `Producer` or `Consumer`.

mod open;

pub(crate) use open::{open, queue_count, region};

use super::filter::Filter;
use super::xdp::{self, Attachment, Loaded};
use super::{Backend, Calls, Counters, Interest, Kick, QueueCounters, XdpStatistics};
use crate::config::{Attached, BindMode, Config, Granted, Poller};
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::sys::if_xdp::{
    Statistics, XDP_COPY, XDP_SHARED_UMEM, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY,
};
use crate::sys::poll::Woken;
use crate::sys::xsk::Xsk;
use crate::sys::{clock, ethtool, poll, xsk};
use crate::umem::Umem;
use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// The XDP program on the interface.
struct Program {
    /// First, so that it is detached before the maps go.
    attachment: Attachment,
    loaded: Loaded,
}

struct KernelBackend {
    /// First, so that the program is detached before its sockets close.
    program: Mutex<Option<Program>>,
    sockets: Vec<Xsk>,
    /// Keeps the packet memory mapped until the sockets are closed.
    umem: Arc<Umem>,
    config: Config,
    ifindex: u32,
    available: u32,
    queues: Vec<u32>,
    ring_size: u32,
    filter: Filter,
    notes: Vec<String>,
    busy_poll: AtomicBool,
    /// By queue position.
    calls: Vec<Counters>,
}

impl KernelBackend {
    fn interface(&self) -> &str {
        &self.config.interface
    }

    fn program(&self) -> MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue_error(&self, op: Op, queue: usize, error: io::Error) -> FluxError {
        let queue = self.queues.get(queue).copied().unwrap_or(u32::MAX);
        FluxError::os(op, format_args!("{} queue {queue}", self.interface()), error)
    }

    fn socket(&self, queue: usize) -> Result<&Xsk> {
        self.sockets.get(queue).ok_or_else(|| {
            self.queue_error(Op::Query, queue, io::Error::from_raw_os_error(libc::ENOENT))
        })
    }

    /// Loads and attaches; the sockets are added by the caller.
    fn attach(&self, filter: &Filter) -> Result<(Program, Option<String>)> {
        let interface = self.interface();
        let mut loaded = xdp::load(interface, self.available, self.config.rx_timestamps)?;
        loaded.tables.set(filter)?;
        let (program, mode) = (loaded.program.as_fd(), self.config.attach);
        let (attachment, note) = Attachment::ours(program, interface, self.ifindex, mode)?;
        Ok((Program { attachment, loaded }, note))
    }

    fn add_sockets(&self, program: &Program) -> Result<()> {
        let mut pairs = self.queues.iter().zip(&self.sockets);
        pairs.try_for_each(|(&queue, socket)| program.loaded.xsks.insert(queue, socket.raw_fd()))
    }

    /// Binds all queues, the first with `mode`; says whether that is zero-copy.
    fn bind_all(&self, mode: BindMode) -> Result<bool> {
        let flags = XDP_USE_NEED_WAKEUP
            | match mode {
                BindMode::Auto => 0,
                BindMode::Copy => XDP_COPY,
                BindMode::ZeroCopy => XDP_ZEROCOPY,
            };
        let first = self.socket(0)?;
        self.bind(0, first, flags, None)?;
        for (at, socket) in self.sockets.iter().enumerate().skip(1) {
            self.bind(at, socket, XDP_SHARED_UMEM, Some(first))?;
        }
        let mut zero_copy = true;
        for (at, socket) in self.sockets.iter().enumerate() {
            zero_copy &= socket.is_zero_copy().map_err(|e| self.queue_error(Op::Query, at, e))?;
        }
        Ok(zero_copy)
    }

    fn bind(&self, at: usize, socket: &Xsk, flags: u16, shared: Option<&Xsk>) -> Result<()> {
        let queue = self.queues[at];
        let start = clock::monotonic_ns();
        loop {
            let error = match socket.bind(self.ifindex, queue, flags, shared) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EBUSY)
                    if clock::monotonic_ns() - start < nanos(self.bind_patience()) =>
                {
                    poll::pause(BIND_RETRY);
                }
                // The number of queues may have shrunk since open().
                Some(libc::EINVAL) => {
                    let available = queue_count(self.interface())?;
                    return Err(if queue >= available {
                        open::no_such_queue(self.interface(), queue, available)
                    } else {
                        self.queue_error(Op::Bind, at, error)
                    });
                }
                _ => return Err(self.queue_error(Op::Bind, at, error)),
            }
        }
    }

    fn bind_patience(&self) -> Duration {
        let others = xsk::open_here().map(|all| all.saturating_sub(self.sockets.len()));
        if others == Some(0) { BIND_PATIENCE_ALONE } else { BIND_PATIENCE }
    }

    /// Kernel busy polling where it does something: not on veth, whose NAPI has nothing to poll
    /// until its peer sends.
    fn enable_busy_poll(&self, driver: Option<&str>, notes: &mut Vec<String>) -> bool {
        if self.config.poller != Poller::Busy || matches!(driver, Some("veth" | "tun")) {
            return false;
        }
        let budget = self.config.batch.clamp(8, 64);
        for socket in &self.sockets {
            if let Err(error) = socket.set_busy_poll(BUSY_POLL_US, budget) {
                let why = crate::error::errno_text(&error);
                notes.push(format!("no kernel busy polling ({why}): spinning on the rings alone"));
                return false;
            }
        }
        true
    }

    fn counted(&self, queue: usize, count: fn(&Counters)) {
        if let Some(counters) = self.calls.get(queue) {
            count(counters);
        }
    }

    /// Whether the queue still lives: ENXIO after the interface was removed, ENETDOWN while it is
    /// down.
    fn pulse(&self, queues: &[usize]) -> Result<()> {
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
    fn start(&self) -> Result<Granted> {
        let mut notes = self.notes.clone();
        let driver = ethtool::driver_info(self.interface()).ok();
        let mut slot = self.program();
        let mut program = None;
        if self.filter != Filter::Nothing {
            let (attached, note) = self.attach(&self.filter)?;
            program = Some(attached);
            notes.extend(note);
        }
        let none = Attachment::None;
        let mode = |program: &Option<Program>| {
            program.as_ref().map_or(&none, |program| &program.attachment).mode()
        };
        // Drivers deliver into a zero-copy UMEM from their native hook alone.
        let bind = match self.config.bind {
            BindMode::ZeroCopy if mode(&program) == Attached::Skb => {
                return Err(FluxError::new(
                    ErrorKind::Unsupported,
                    format!("cannot bind to {} in zero-copy mode", self.interface()),
                    "the XDP program is attached in skb mode",
                )
                .with_hint("use --bind auto or --bind copy, or --attach native"));
            }
            BindMode::Auto if mode(&program) == Attached::Skb => BindMode::Copy,
            mode => mode,
        };
        let zero_copy = self.bind_all(bind)?;
        if zero_copy && program.is_none() {
            // Drivers set their zero-copy queues going with the program, also for sending.
            let (attached, note) = self.attach(&self.filter)?;
            program = Some(attached);
            notes.extend(note);
        }
        if let Some(program) = &program {
            self.add_sockets(program)?;
        }
        let attach = mode(&program);
        *slot = program;
        let kernel_busy_poll = self.enable_busy_poll(driver.as_deref(), &mut notes);
        self.busy_poll.store(kernel_busy_poll, Ordering::Relaxed);
        Ok(Granted {
            backend: "xdp",
            interface: self.interface().to_owned(),
            ifindex: self.ifindex,
            driver,
            attach,
            zero_copy,
            queues: self.queues.clone(),
            ring_size: self.ring_size,
            frames: self.umem.frames(),
            frame_size: self.umem.frame_size(),
            pages: self.umem.pages(),
            kernel_busy_poll,
            rx_clock: "monotonic",
            tx_clock: "monotonic",
            notes,
        })
    }

    fn kick_tx(&self, queue: usize) -> Result<Kick> {
        self.counted(queue, Counters::tx_kick);
        let kicked = self.socket(queue)?.wake_tx();
        kicked.map_or_else(|error| self.kick_result(queue, error), |()| Ok(Kick::Done))
    }

    fn kick_rx(&self, queue: usize) -> Result<Kick> {
        self.counted(queue, Counters::rx_kick);
        let kicked = self.socket(queue)?.wake_rx();
        kicked.map_or_else(|error| self.kick_result(queue, error), |()| Ok(Kick::Done))
    }

    fn wait(
        &self,
        queues: &[usize],
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
                .map_err(|e| FluxError::os(Op::Wait, self.interface(), e))?;
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

    fn spin(&self, queues: &[usize], _deadline: Option<u64>) -> Result<()> {
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

    fn calls(&self, queue: usize) -> Calls {
        self.calls.get(queue).map(Counters::read).unwrap_or_default()
    }

    fn stats(&self, queue: usize) -> Result<XdpStatistics> {
        let stats = self.socket(queue)?.statistics();
        let stats = stats.map_err(|e| self.queue_error(Op::Query, queue, e))?;
        Ok(stats.into())
    }

    fn now(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn fd(&self, queue: usize) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.sockets.get(queue).map(std::os::fd::AsFd::as_fd)
    }

    fn set_filter(&self, filter: &Filter) -> Result<()> {
        let mut slot = self.program();
        if let Some(program) = slot.as_mut() {
            return program.loaded.tables.set(filter);
        }
        if *filter != Filter::Nothing {
            let (program, _) = self.attach(filter)?;
            self.add_sockets(&program)?;
            *slot = Some(program);
        }
        Ok(())
    }

    fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        let program = self.program();
        program.as_ref().map_or_else(|| Ok(Vec::new()), |program| program.loaded.tables.counters())
    }
}

impl KernelBackend {
    fn kick_result(&self, queue: usize, error: io::Error) -> Result<Kick> {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => Ok(Kick::Again),
            _ => Err(self.queue_error(Op::Kick, queue, error)),
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
