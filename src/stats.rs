//! What is counted of a queue, by the kernel, by the XDP program and by us.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// System calls made for one queue since it was opened (on the simulator: what would be one). Looks
/// at the ports, two calls ten times a second at most, are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// `sendto(2)`: "the TX ring has work".
    pub tx_kicks: u64,
    /// `recvfrom(2)`: "the fill ring has frames", busy polls, and looks whether the interface
    /// lives.
    pub rx_kicks: u64,
    /// `poll(2)`. One for several queues counts at the first of them.
    pub waits: u64,
    /// Those of the waits that ended because something was ready.
    pub wakeups: u64,
}

impl Calls {
    /// All system calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tx_kicks + self.rx_kicks + self.waits
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Calls) -> Calls {
        Calls {
            tx_kicks: self.tx_kicks.saturating_sub(before.tx_kicks),
            rx_kicks: self.rx_kicks.saturating_sub(before.rx_kicks),
            waits: self.waits.saturating_sub(before.waits),
            wakeups: self.wakeups.saturating_sub(before.wakeups),
        }
    }
}

impl std::ops::Add for Calls {
    type Output = Calls;

    fn add(self, other: Calls) -> Calls {
        Calls {
            tx_kicks: self.tx_kicks + other.tx_kicks,
            rx_kicks: self.rx_kicks + other.rx_kicks,
            waits: self.waits + other.waits,
            wakeups: self.wakeups + other.wakeups,
        }
    }
}

/// The counters of one queue. Each is written by the one thread that works that half of the
/// queue, so a plain load and store will do; readers may be elsewhere.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Counters {
    tx_kicks: AtomicU64,
    rx_kicks: AtomicU64,
    waits: AtomicU64,
    wakeups: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

impl Counters {
    pub(crate) fn tx_kick(&self) {
        count(&self.tx_kicks);
    }

    pub(crate) fn rx_kick(&self) {
        count(&self.rx_kicks);
    }

    pub(crate) fn wait(&self) {
        count(&self.waits);
    }

    pub(crate) fn wakeup(&self) {
        count(&self.wakeups);
    }

    pub(crate) fn read(&self) -> Calls {
        Calls {
            tx_kicks: self.tx_kicks.load(Relaxed),
            rx_kicks: self.rx_kicks.load(Relaxed),
            waits: self.waits.load(Relaxed),
            wakeups: self.wakeups.load(Relaxed),
        }
    }
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
    /// The same, but dropped: the port fails closed ([`crate::Fail::Closed`]).
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_is_lower_than_before_has_not_risen() {
        // The interface was opened anew in between.
        let before = Calls { tx_kicks: 5, rx_kicks: u64::MAX, waits: 1, wakeups: 0 };
        let after = Calls { tx_kicks: 3, rx_kicks: 0, waits: 4, wakeups: 2 };
        let risen = Calls { tx_kicks: 0, rx_kicks: 0, waits: 3, wakeups: 2 };
        assert_eq!(after.since(&before), risen);
        let before = XdpStatistics { rx_dropped: 9, rx_ring_full: 1, ..Default::default() };
        let after = XdpStatistics { rx_dropped: 2, rx_ring_full: 6, ..Default::default() };
        let risen = XdpStatistics { rx_ring_full: 5, ..Default::default() };
        assert_eq!(after.since(&before), risen);
    }
}
