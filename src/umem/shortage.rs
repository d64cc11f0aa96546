//! Waking a receiver that waits for frames.
//!
//! ```text
//!   receiver   no frame for its fill ring ── announce ── free list still empty? ── wait, 10 ms at most
//!   anybody    frame into the free list ── announced? ── wake, once
//! ```
//!
//! Who frees pays one relaxed load. Between its push and that load nothing keeps the order on weakly
//! ordered CPUs; and of several receivers that wait at once, one may take the wake that was for all.
//! So a wake may be missed: the receiver looks again after 10 ms in any case, and so late it is then
//! at most.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering, fence};

/// Nobody waits for frames.
const NOBODY: u8 = 0;
/// A receiver does.
const ANNOUNCED: u8 = 1;
/// Frames came for it, and it has not seen that yet.
const WOKEN: u8 = 2;

/// Wakes the threads that wait on the backend. Any thread may call it, also one that drops a frame.
pub(super) type Waker = Box<dyn Fn() + Send + Sync>;

/// Whether a receiver waits for frames, and how it is woken.
#[derive(Default)]
pub(super) struct Shortage {
    state: AtomicU8,
    waker: OnceLock<Waker>,
}

impl Shortage {
    pub(super) fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker); // a UMEM is opened once
    }

    /// From now on the next frame that is freed wakes. Look at the free list after this.
    pub(super) fn announce(&self) {
        self.state.store(ANNOUNCED, Ordering::Relaxed);
        // The list is looked at after those who free may see this.
        fence(Ordering::SeqCst);
    }

    #[inline(always)]
    pub(super) fn is_announced(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ANNOUNCED
    }

    /// Whether a receiver waits for a wake, or has one to see.
    #[cfg(any(test, all(target_os = "linux", feature = "bpf")))]
    pub(super) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) != NOBODY
    }

    /// Whether frames came since [`Self::announce`]; true once.
    pub(super) fn take_wake(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WOKEN && self.change(WOKEN, NOBODY)
    }

    /// Frames came into the free list.
    #[inline(always)]
    pub(super) fn freed(&self) {
        if self.is_announced() {
            self.wake();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        // One of those who free at the same time wakes.
        if self.change(ANNOUNCED, WOKEN)
            && let Some(wake) = self.waker.get()
        {
            wake();
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
