//! How often the kernel was called, by what for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// System calls made for one queue since it was opened (on the simulator: what would be one).
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
            tx_kicks: self.tx_kicks - before.tx_kicks,
            rx_kicks: self.rx_kicks - before.rx_kicks,
            waits: self.waits - before.waits,
            wakeups: self.wakeups - before.wakeups,
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
