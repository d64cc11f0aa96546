//! THE SEAM: whoever stands on the other side of the four rings.
//!
//! ```text
//!            socket, engine, system, raw          the same compiled code on both
//!   ───────────┬───────────────────────┬────────
//!   RingSets   │ shared memory         │ dyn Backend: kick, wait, stats, clock
//!   ───────────┴──────────┬────────────┴────────
//!        kernel (AF_XDP)  │  sim (simulated kernel and network)      fault wraps either
//! ```
//!
//! A backend serves one interface with one or more queues; `queue` below is the position in the
//! list of opened queues, not the NIC's number. It is called where a system call would be made,
//! never per packet: packets move through the rings alone.

mod calls;
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

pub use calls::Calls;
pub(crate) use calls::Counters;
pub use filter::{Filter, Match};

use crate::config::Granted;
use crate::error::Result;
use crate::ring::{Consumer, Desc, Producer};
use std::sync::Arc;
use std::time::Duration;

/// Our half of one queue's four rings.
pub(crate) struct RingSet {
    pub(crate) fill: Producer<u64>,
    pub(crate) comp: Consumer<u64>,
    pub(crate) rx: Consumer<Desc>,
    pub(crate) tx: Producer<Desc>,
}

/// An interface whose rings exist and whose queues are not bound yet ([`Backend::start`]).
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

/// The counters of `struct xdp_statistics` (`linux/if_xdp.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpStatistics {
    /// Dropped for other reasons: no frame to put it in, longer than a frame.
    pub rx_dropped: u64,
    /// Fill ring entries with an address outside the UMEM.
    pub rx_invalid_descs: u64,
    /// TX ring entries with an address or length outside the UMEM.
    pub tx_invalid_descs: u64,
    /// Dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times the kernel wanted a fill ring entry and found none.
    pub rx_fill_ring_empty_descs: u64,
    /// Times the kernel looked for a TX ring entry and found none.
    pub tx_ring_empty_descs: u64,
}

impl XdpStatistics {
    /// What came since `before`; nothing where a counter is lower than it was.
    #[must_use]
    pub fn since(&self, before: &XdpStatistics) -> XdpStatistics {
        let risen = |count: fn(&XdpStatistics) -> u64| count(self).saturating_sub(count(before));
        XdpStatistics {
            rx_dropped: risen(|s| s.rx_dropped),
            rx_invalid_descs: risen(|s| s.rx_invalid_descs),
            tx_invalid_descs: risen(|s| s.tx_invalid_descs),
            rx_ring_full: risen(|s| s.rx_ring_full),
            rx_fill_ring_empty_descs: risen(|s| s.rx_fill_ring_empty_descs),
            tx_ring_empty_descs: risen(|s| s.tx_ring_empty_descs),
        }
    }
}

impl std::ops::Add for XdpStatistics {
    type Output = XdpStatistics;

    fn add(self, other: XdpStatistics) -> XdpStatistics {
        XdpStatistics {
            rx_dropped: self.rx_dropped + other.rx_dropped,
            rx_invalid_descs: self.rx_invalid_descs + other.rx_invalid_descs,
            tx_invalid_descs: self.tx_invalid_descs + other.tx_invalid_descs,
            rx_ring_full: self.rx_ring_full + other.rx_ring_full,
            rx_fill_ring_empty_descs: self.rx_fill_ring_empty_descs
                + other.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: self.tx_ring_empty_descs + other.tx_ring_empty_descs,
        }
    }
}

/// What the XDP program did with the packets of one RX queue since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// NIC queue number.
    pub queue: u32,
    /// Ours, and sent to the queue's socket. Not counted where everything is ours and no receive
    /// stamps are wanted: the way of a packet is shortest then.
    pub redirected: u64,
    /// Not ours: left to the kernel's own stack.
    pub passed: u64,
    /// Redirected without the receive stamp that was asked for.
    pub no_meta: u64,
    /// Ours, but they came on a queue without a socket and were left to the kernel's stack.
    pub no_socket: u64,
}

/// The other side of the rings.
pub trait Backend: Send + Sync {
    /// Binds the queues and attaches the XDP program. Called once, after the fill rings got
    /// their first frames (some drivers never look again at a ring that was empty at bind time).
    ///
    /// # Errors
    /// Bind, load and attach errors, each with its next step.
    fn start(&self) -> Result<Granted>;

    /// "The TX ring has work." Called only when its NEED_WAKEUP flag is set.
    ///
    /// # Errors
    /// When the interface is gone or down.
    fn kick_tx(&self, queue: usize) -> Result<Kick>;

    /// "The fill ring has frames." Called only when its NEED_WAKEUP flag is set, and in busy
    /// mode to let the kernel poll the device.
    ///
    /// # Errors
    /// When the interface is gone or down.
    fn kick_rx(&self, queue: usize) -> Result<Kick>;

    /// Blocks until one of `queues` is ready or `timeout` (`None`: for ever) passes. False on
    /// timeout; may return early, also when a signal arrives.
    ///
    /// # Errors
    /// When the interface is gone or down.
    fn wait(&self, queues: &[usize], interest: Interest, timeout: Option<Duration>)
    -> Result<bool>;

    /// Called after each empty look at the rings while spinning, until `deadline` (ns of
    /// [`Backend::now`]) at the latest: a CPU pause on the real kernel, a step of virtual time
    /// on the simulated one.
    ///
    /// # Errors
    /// When the interface is gone or down.
    fn spin(&self, queues: &[usize], deadline: Option<u64>) -> Result<()>;

    /// The kernel's counters of one queue.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn stats(&self, queue: usize) -> Result<XdpStatistics>;

    /// How often the kernel was called for one queue so far; nothing for a queue that is not open.
    fn calls(&self, queue: usize) -> Calls;

    /// The clock of receive stamps, in ns: `CLOCK_MONOTONIC`, or virtual time.
    fn now(&self) -> u64;

    /// A descriptor that polls readable when RX has work; `None` on the simulator, which is
    /// waited for with [`Backend::wait`].
    #[cfg(unix)]
    fn fd(&self, queue: usize) -> Option<std::os::fd::BorrowedFd<'_>>;

    /// Replaces what the XDP program redirects to us.
    ///
    /// # Errors
    /// When the kernel refuses, or there are too many rows.
    fn set_filter(&self, filter: &Filter) -> Result<()>;

    /// What the XDP program did with the packets of each RX queue of the interface, the queues
    /// that were not opened included; empty where there is no program.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        Ok(Vec::new())
    }
}
