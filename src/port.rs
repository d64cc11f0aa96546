//! One interface on a UMEM: what was granted, its queues, and what its XDP program is told.

use crate::backend::{Backend, Filter};
use crate::config::Granted;
use crate::error::{Advice, ErrorKind, FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::life::PortState;
use crate::stats::{Calls, QueueCounters, XdpStatistics};
use std::sync::Arc;

/// A port: one interface, opened. A handle for any thread; the interface stays open as long as one
/// lives.
#[derive(Clone)]
pub struct Port {
    backend: Arc<dyn Backend>,
    index: PortIndex,
    first: usize,
    granted: Arc<Granted>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Port({}: {})", self.index, self.granted.interface)
    }
}

impl Port {
    /// The ports of a backend that was started.
    pub(crate) fn all(backend: &Arc<dyn Backend>, granted: Vec<Granted>) -> Arc<[Port]> {
        let mut first = 0;
        let port = |(at, granted): (usize, Granted)| {
            let port = Port {
                backend: Arc::clone(backend),
                index: PortIndex::at(at),
                first,
                granted: Arc::new(granted),
            };
            first += port.granted.queues.len();
            port
        };
        granted.into_iter().enumerate().map(port).collect()
    }

    /// Its position among the ports that were opened together: what packets are forwarded to.
    #[must_use]
    pub fn index(&self) -> PortIndex {
        self.index
    }

    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Positions of its queues among all that were opened together, in the order of
    /// [`Granted::queues`].
    pub fn queues(&self) -> impl Iterator<Item = QueueIndex> + Clone {
        (self.first..self.first + self.granted.queues.len()).map(QueueIndex::at)
    }

    /// The NIC's number of a queue, if it is one of this port.
    #[must_use]
    pub fn queue_number(&self, queue: QueueIndex) -> Option<u32> {
        self.granted.queues.get(queue.get().checked_sub(self.first)?).copied()
    }

    /// How it is now: its link, its MTU, its queues, its XDP program. As it was noticed, 0.1 s late at
    /// most; of a lost carrier the kernel itself may tell up to a second late. Asking costs next to
    /// nothing.
    #[must_use]
    pub fn state(&self) -> PortState {
        self.backend.state(self.index)
    }

    /// Whether a queue is one of this port and can send. Where the interface has fewer TX than RX
    /// queues, some only receive ([`Granted::tx_queues`]).
    #[must_use]
    pub fn sends(&self, queue: QueueIndex) -> bool {
        self.queue_number(queue).is_some_and(|number| self.granted.tx_queues.contains(&number))
    }

    /// The error of one that has to send by a queue that only receives.
    pub(crate) fn cannot_send(&self, queue: QueueIndex) -> FluxError {
        receive_only(&self.granted.interface, self.queue_number(queue).unwrap_or_default())
    }

    /// Replaces what the XDP program redirects to our sockets. Packets may flow meanwhile: each is
    /// judged by the old filter or by the new one. Without a program yet one is attached.
    ///
    /// # Errors
    /// When the kernel refuses, a row cannot be, or there are too many of them; then the old filter
    /// stays.
    pub fn set_filter(&self, filter: &Filter) -> Result<()> {
        self.backend.set_filter(self.index, filter)
    }

    /// What the XDP program did with the packets of each RX queue of the interface, those
    /// without a socket included; empty without a program of ours.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn queue_counters(&self) -> Result<Vec<QueueCounters>> {
        self.backend.queue_counters(self.index)
    }

    /// The kernel's counters, added up over its queues.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kernel_stats(&self) -> Result<XdpStatistics> {
        sum_stats(&*self.backend, self.queues())
    }

    /// System calls made so far for its queues.
    #[must_use]
    pub fn calls(&self) -> Calls {
        sum_calls(&*self.backend, self.queues())
    }
}

/// The error of one that has to send by a queue that the interface has no TX queue for; `number` is
/// the NIC's.
pub(crate) fn receive_only(interface: &str, number: u32) -> FluxError {
    let what = format!("cannot send on {interface} queue {number}");
    let why = format!("it only receives, as {interface} has no TX queue {number}");
    FluxError::new(ErrorKind::Unsupported, what, why)
        .with_advice("queue 0 sends: ", Advice::OtherQueue)
}

/// The system calls of several queues, added up.
pub(crate) fn sum_calls(
    backend: &dyn Backend,
    queues: impl IntoIterator<Item = QueueIndex>,
) -> Calls {
    queues.into_iter().fold(Calls::default(), |sum, queue| sum + backend.calls(queue))
}

/// The counters of several queues, added up.
pub(crate) fn sum_stats(
    backend: &dyn Backend,
    queues: impl IntoIterator<Item = QueueIndex>,
) -> Result<XdpStatistics> {
    let mut queues = queues.into_iter();
    queues.try_fold(XdpStatistics::default(), |sum, queue| Ok(sum + backend.stats(queue)?))
}
