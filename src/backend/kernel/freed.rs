//! Ends waits of receivers that lack frames when some are freed.

use crate::backend::Interest;
use crate::sys::event::Event;
use crate::sys::poll::{self, PollFd};
use crate::umem::Umem;
use std::sync::Arc;

/// Readable when frames were freed while a receiver waited for some. Where the process has no
/// descriptor left for it, such a receiver is not woken, and looks for frames by the clock.
pub(super) struct Freed {
    event: Option<Arc<Event>>,
    umem: Arc<Umem>,
}

impl Freed {
    pub(super) fn new(umem: &Arc<Umem>) -> Self {
        let event = Event::new().ok().map(Arc::new);
        if let Some(event) = event.clone() {
            umem.set_waker(move || event.set());
        }
        Self { event, umem: Arc::clone(umem) }
    }

    /// What poll(2) is to look at besides the sockets; nothing while no receiver lacks frames.
    pub(super) fn entry(&self, interest: Interest) -> PollFd {
        let waits = interest == Interest::Rx && self.umem.has_waiter();
        let event = self.event.as_ref().filter(|_| waits);
        event.map_or(poll::entry(-1, 0), |event| poll::entry(event.raw_fd(), libc::POLLIN))
    }

    /// What poll(2) said.
    pub(super) fn seen(&self, entry: PollFd) {
        if let Some(event) = self.event.as_ref().filter(|_| entry.revents != 0) {
            event.clear();
            self.umem.take_wake();
        }
    }
}
