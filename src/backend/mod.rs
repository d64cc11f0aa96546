//! THE SEAM: the other side of the four rings, the real or the simulated kernel.
//!
//! ```text
//!            socket, engine, system, raw          the same compiled code on both
//!   ───────────┬───────────────────────┬────────
//!   RingSets   │ shared memory         │ dyn Backend: kick, wait, stats, clock
//!   ───────────┴──────────┬────────────┴────────
//!        kernel (AF_XDP)  │  sim (simulated kernel and network)      fault wraps either
//! ```
//!
//! A backend serves all ports that were opened on one UMEM, each with one or more queues. Ports and
//! queues are named by their positions, the queues of all ports in one list. It is called where a
//! system call would be made, never per packet: packets move through the rings alone.

mod datagram;
pub mod fault;
pub mod filter;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) mod kernel;
#[cfg(any(test, feature = "tools"))]
pub(crate) mod meter;
pub mod sim;
#[cfg(all(target_os = "linux", feature = "bpf"))]
pub(crate) mod xdp;

pub use filter::{Filter, Match, PayloadMatch, VlanMatch};

use crate::config::{Config, Granted};
use crate::error::Result;
use crate::ids::{PortIndex, QueueIndex};
use crate::life::PortState;
use crate::ring::{Consumer, Desc, Producer};
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Our half of one queue's four rings.
pub(crate) struct RingSet {
    pub(crate) fill: Producer<u64>,
    pub(crate) comp: Consumer<u64>,
    pub(crate) rx: Consumer<Desc>,
    pub(crate) tx: Producer<Desc>,
    /// Whether the TX ring tells after each kick how far the kernel got.
    pub(crate) tx_shows_parts: bool,
}

/// One port that is to be opened: every value checked, the queues chosen.
pub(crate) struct PortPlan {
    pub(crate) config: Config,
    pub(crate) filter: Filter,
    /// NIC queue numbers.
    pub(crate) queues: Vec<u32>,
    /// TX queues of the interface: queues from this number on only receive.
    pub(crate) tx_available: u32,
    /// Entries per ring.
    pub(crate) ring_size: u32,
    /// Where the interface is, and what stands in for a program of ours.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    pub(crate) place: Place,
}

#[cfg(test)]
impl PortPlan {
    /// A plan of the simulated kernel, for tests that are their own builder.
    pub(crate) fn of(config: &Config, queues: &[u32], ring_size: u32, filter: Filter) -> Self {
        Self {
            config: config.clone(),
            filter,
            queues: queues.to_vec(),
            tx_available: u32::MAX,
            ring_size,
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            place: Place::default(),
        }
    }
}

/// What only the real kernel has of a port.
#[cfg(all(target_os = "linux", feature = "bpf"))]
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// The network namespace of the interface; the calling thread's without.
    pub(crate) netns: Option<Arc<std::os::fd::OwnedFd>>,
    /// The XSKMAP of a foreign program that is attached already.
    pub(crate) xskmap: Option<Arc<std::os::fd::OwnedFd>>,
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
impl Place {
    /// Whether both are in one namespace. Two descriptors of one are told apart.
    pub(crate) fn is_beside(&self, other: &Place) -> bool {
        match (&self.netns, &other.netns) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Ports whose rings exist and whose queues are not bound yet ([`Backend::start`]).
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    /// One per queue, in the order of the backend's queue positions.
    pub(crate) rings: Vec<RingSet>,
}

/// What a kick achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// The kernel took what it found.
    Done,
    /// Not all of it (EAGAIN, EBUSY, ENOBUFS): kick again later.
    Again,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// An RX ring with entries.
    Rx,
    /// Room in a TX ring.
    Tx,
}

/// The other side of the rings.
pub(crate) trait Backend: Send + Sync {
    /// Binds the queues and attaches the XDP programs; tells what each port was granted. Called
    /// once, after the fill rings got their first frames (some drivers never look again at a ring
    /// that was empty at bind time).
    ///
    /// # Errors
    /// Bind, load and attach errors, each with its next step.
    fn start(&self) -> Result<Vec<Granted>>;

    /// "The TX ring has work." Called only when its NEED_WAKEUP flag is set. Without a link, what is
    /// there waits for it.
    ///
    /// # Errors
    /// When the interface is gone.
    fn kick_tx(&self, queue: QueueIndex) -> Result<Kick>;

    /// "The fill ring has frames." Called only when its NEED_WAKEUP flag is set, and in busy
    /// mode to let the kernel poll the device.
    ///
    /// # Errors
    /// When the interface is gone.
    fn kick_rx(&self, queue: QueueIndex) -> Result<Kick>;

    /// Blocks until one of `queues`, of any ports, is ready or `timeout` (`None`: for ever) passes.
    /// False on timeout; may return early, also when a signal arrives.
    ///
    /// # Errors
    /// When the interface of one of them is gone, somebody detached its XDP program (for those who
    /// receive), or its link has been away for longer than the link timeout.
    fn wait(
        &self,
        queues: &[QueueIndex],
        interest: Interest,
        timeout: Option<Duration>,
    ) -> Result<bool>;

    /// Called after each empty look at the rings while spinning, until `deadline` (ns of
    /// [`Backend::now`]) at the latest: a CPU pause on the real kernel, a step of virtual time
    /// on the simulated one. False when it would be in vain: there is no deadline, and
    /// [`Backend::nothing_to_come`].
    ///
    /// # Errors
    /// As [`Backend::wait`].
    fn spin(&self, queues: &[QueueIndex], deadline: Option<u64>) -> Result<bool>;

    /// Whether nothing will happen any more unless we do something: virtual time without an event.
    fn nothing_to_come(&self) -> bool;

    /// Looks after the ports of these queues, a few times a second at most: for loops that are too
    /// busy to wait or spin, which look by themselves.
    ///
    /// # Errors
    /// As [`Backend::wait`].
    fn look(&self, queues: &[QueueIndex]) -> Result<()>;

    /// How one of its ports is now.
    fn state(&self, port: PortIndex) -> PortState;

    /// Packets of one queue go on to the kernel's stack from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn stop_rx(&self, queue: QueueIndex) -> Result<()>;

    /// Packets of one queue come to its socket again, after [`Backend::stop_rx`].
    ///
    /// # Errors
    /// When the kernel refuses, or somebody else's socket has its place in a foreign XSKMAP.
    fn start_rx(&self, queue: QueueIndex) -> Result<()>;

    /// The kernel's counters of one queue.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn stats(&self, queue: QueueIndex) -> Result<XdpStatistics>;

    /// How often the kernel was called for one queue so far; nothing for a queue that is not open.
    fn calls(&self, queue: QueueIndex) -> Calls;

    /// The clock of receive stamps, in ns: `CLOCK_MONOTONIC`, or virtual time.
    fn now(&self) -> u64;

    /// Longest packet that a port sends, in bytes from the Ethernet header on. The number follows
    /// the MTU; nothing is sent by a port that is not open.
    fn longest(&self, port: PortIndex) -> Arc<AtomicU32>;

    /// Whether time is virtual: it moves only in calls, so that workers must take turns.
    fn is_virtual(&self) -> bool;

    /// A descriptor that polls readable when RX has work; `None` on the simulator, which is
    /// waited for with [`Backend::wait`].
    #[cfg(unix)]
    fn fd(&self, queue: QueueIndex) -> Option<std::os::fd::BorrowedFd<'_>>;

    /// Replaces what the XDP program of a port redirects to us. Packets may flow meanwhile: each is
    /// judged by the old filter or by the new one.
    ///
    /// # Errors
    /// When the kernel refuses, or there are too many rows.
    fn set_filter(&self, port: PortIndex, filter: &Filter) -> Result<()>;

    /// What the XDP program did with the packets of each RX queue of a port, the queues that were
    /// not opened included; empty where there is no program of ours.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn queue_counters(&self, port: PortIndex) -> Result<Vec<QueueCounters>>;
}

/// What a backend that wraps another (`inner`) leaves to it.
macro_rules! pass_on {
    () => {
        fn start(&self) -> crate::error::Result<Vec<crate::config::Granted>> {
            self.inner.start()
        }

        fn look(&self, queues: &[crate::ids::QueueIndex]) -> crate::error::Result<()> {
            self.inner.look(queues)
        }

        fn state(&self, port: crate::ids::PortIndex) -> crate::life::PortState {
            self.inner.state(port)
        }

        fn calls(&self, queue: crate::ids::QueueIndex) -> crate::stats::Calls {
            self.inner.calls(queue)
        }

        fn stop_rx(&self, queue: crate::ids::QueueIndex) -> crate::error::Result<()> {
            self.inner.stop_rx(queue)
        }

        fn start_rx(&self, queue: crate::ids::QueueIndex) -> crate::error::Result<()> {
            self.inner.start_rx(queue)
        }

        fn stats(
            &self,
            queue: crate::ids::QueueIndex,
        ) -> crate::error::Result<crate::stats::XdpStatistics> {
            self.inner.stats(queue)
        }

        fn now(&self) -> u64 {
            self.inner.now()
        }

        fn nothing_to_come(&self) -> bool {
            self.inner.nothing_to_come()
        }

        #[cfg(unix)]
        fn fd(&self, queue: crate::ids::QueueIndex) -> Option<std::os::fd::BorrowedFd<'_>> {
            self.inner.fd(queue)
        }

        fn longest(
            &self,
            port: crate::ids::PortIndex,
        ) -> std::sync::Arc<std::sync::atomic::AtomicU32> {
            self.inner.longest(port)
        }

        fn is_virtual(&self) -> bool {
            self.inner.is_virtual()
        }

        fn set_filter(
            &self,
            port: crate::ids::PortIndex,
            filter: &crate::backend::Filter,
        ) -> crate::error::Result<()> {
            self.inner.set_filter(port, filter)
        }

        fn queue_counters(
            &self,
            port: crate::ids::PortIndex,
        ) -> crate::error::Result<Vec<crate::stats::QueueCounters>> {
            self.inner.queue_counters(port)
        }
    };
}
pub(crate) use pass_on;
