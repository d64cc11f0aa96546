//! Binding the sockets of all ports to their queues, in one mode: they share a UMEM.

use super::port::KernelPort;
use super::{KernelBackend, open, port, queue_counts};
use crate::backend::xdp;
use crate::config::{Attached, BindMode, Poller};
use crate::error::{Advice, ErrorKind, FluxError, Op, Result};
use crate::ids::QueueIndex;
use crate::sys::if_xdp::{XDP_COPY, XDP_SHARED_UMEM, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY};
use crate::sys::xsk::Xsk;
use crate::sys::{poll, xsk};
use std::time::Duration;

/// A queue that its last owner just closed stays taken until the kernel gets round to it: some
/// milliseconds, but seconds where many interfaces are being removed (it needs the rtnl lock). While
/// other AF_XDP sockets are open, the queue may as well be one of theirs.
///
/// Counted in tries: bind(2) takes the rtnl lock as well, and while somebody holds that, no queue
/// becomes free.
const BIND_TRIES: u32 = 200;
/// The same where nobody else has a socket, so that the queue must become free.
const BIND_TRIES_ALONE: u32 = 4000;
/// The pause between two tries: 1 s and 20 s in all.
const BIND_RETRY: Duration = Duration::from_millis(5);
/// Longest time that the kernel polls the device in one system call of ours.
pub(super) const BUSY_POLL_US: u32 = 20;

impl KernelBackend {
    /// What all sockets are to be bound with: a UMEM has zero-copy or not.
    pub(super) fn bind_mode(&self) -> Result<BindMode> {
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
    pub(super) fn bind_all(&self, mode: BindMode) -> Result<bool> {
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
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match socket.bind(port.ifindex, number, flags, shared) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EBUSY) if tries < self.bind_tries(port)? => poll::pause(BIND_RETRY),
                // The number of queues may have shrunk since open().
                Some(libc::EINVAL) => {
                    let available = queue_counts(port.interface(), &port.place)?.rx;
                    return Err(if number >= available {
                        open::no_such_queue(port.interface(), number, available)
                    } else if flags & XDP_ZEROCOPY != 0 {
                        port.refuses_zero_copy(number, &error)
                    } else {
                        self.queue_error(Op::Bind, queue, error)
                    });
                }
                Some(libc::EBUSY) => {
                    let error = self.queue_error(Op::Bind, queue, error);
                    return Err(self.named_owner(port, number, error));
                }
                _ => return Err(self.queue_error(Op::Bind, queue, error)),
            }
        }
    }

    /// The error of a queue that is taken, with the process that has it, where that can be seen.
    fn named_owner(&self, port: &KernelPort, queue: u32, error: FluxError) -> FluxError {
        let owner = port.inside(|| Ok(xdp::socket_on(port.ifindex, Some(queue))));
        match owner.ok().flatten() {
            Some(owner) => error
                .with_cause(format!("{owner} has an AF_XDP socket on it"))
                .with_hint(format!("wait until it ends, or stop it (`kill {}`)", owner.pid)),
            None => error,
        }
    }

    fn bind_tries(&self, port: &KernelPort) -> Result<u32> {
        // What is counted are those of the port's namespace, so that is what ours are, too.
        let here = |(at, _): &&(usize, u32)| self.ports[*at].place.is_beside(&port.place);
        let ours = self.places.iter().filter(here).count();
        let others = port.inside(|| Ok(xsk::open_here()))?;
        let others = others.map(|all| all.saturating_sub(ours));
        Ok(if others == Some(0) { BIND_TRIES_ALONE } else { BIND_TRIES })
    }

    /// Kernel busy polling where it does something: not on veth, whose NAPI has nothing to poll
    /// until its peer sends.
    pub(super) fn enable_busy_poll(
        &self,
        port: usize,
        driver: Option<&str>,
        notes: &mut Vec<String>,
    ) -> bool {
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
}
