//! What happens to a port while it is open: heard from netlink, and looked up where nobody tells.

use crate::config::Config;
use crate::error::Result;
use crate::life::{Life, Link, PortState, Seen};
use crate::sys::clock;
use crate::sys::link_watch::{LinkEvent, LinkWatch};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a watch asks of the interface, which no event tells.
pub(super) trait Watched {
    /// RX queues in use.
    fn rx_queues(&self) -> Option<u32>;
    /// Somebody took our program off it.
    fn is_detached(&self) -> bool;
    /// It is not there any more.
    fn is_gone(&self) -> bool;
    /// Its MTU may be another one.
    fn set_mtu(&self, mtu: u32);
}

/// One port's watch. Any thread that waits looks; the lock is held for the look alone.
pub(super) struct Watch {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Without it only what the sockets' system calls say is known.
    events: Option<LinkWatch>,
    life: Life,
    seen: Seen,
}

impl Watch {
    /// Of a port that is up, in the network namespace of the calling thread; with a note when nothing
    /// will be heard of it.
    pub(super) fn begin(config: &Config, ifindex: u32, mut seen: Seen) -> (Self, Option<String>) {
        // The answer to what it is like now is there already.
        let opened = LinkWatch::open(ifindex).and_then(|mut events| {
            events.read(|event| take(&mut seen, event))?;
            Ok(events)
        });
        let note = opened.as_ref().err().map(|error| {
            let (name, why) = (&config.interface, crate::error::errno_text(error));
            format!("changes of the link of {name} are not heard (netlink: {why})")
        });
        let events = opened.ok();
        let life = Life::new(config, clock::monotonic_ns(), seen);
        (Self { inner: Mutex::new(Inner { events, life, seen }) }, note)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> PortState {
        self.lock().life.state()
    }

    /// See [`Life::verdict`].
    pub(super) fn verdict(&self, now: u64, receives: bool) -> Result<()> {
        self.lock().life.verdict(now, receives)
    }

    /// See [`Life::check_program`].
    pub(super) fn check_program(&self) -> Result<()> {
        self.lock().life.check_program()
    }

    /// Looks at `interface`, and says whether all is well.
    pub(super) fn look(&self, interface: &impl Watched, now: u64) -> bool {
        let mut inner = self.lock();
        let Inner { events, life, seen } = &mut *inner;
        let mut heard = false;
        let read = events.as_mut().map(|events| {
            events.read(|event| {
                heard = true;
                take(seen, event);
                // Each by itself: a link that went and came was there in between.
                life.see(now, *seen);
            })
        });
        if let Some(Err(_)) = read {
            *events = None; // nothing more is heard; what the sockets say remains
        }
        if heard && seen.link != Link::Gone {
            // Drivers take the link away while the number of queues changes.
            seen.rx_queues = interface.rx_queues().unwrap_or(seen.rx_queues);
        }
        if !seen.detached && interface.is_detached() {
            // Programs end with their interface, whose removal may not have been told yet.
            if interface.is_gone() {
                seen.link = Link::Gone;
            } else {
                seen.detached = true;
            }
        }
        life.see(now, *seen);
        interface.set_mtu(seen.mtu);
        let state = life.state();
        state.link == Link::Up && !state.detached
    }

    /// A system call of ours found the interface gone.
    pub(super) fn is_gone(&self, now: u64) {
        let mut inner = self.lock();
        inner.seen.link = Link::Gone;
        let seen = inner.seen;
        inner.life.see(now, seen);
    }
}

fn take(seen: &mut Seen, event: LinkEvent) {
    let LinkEvent::Now(now) = event else {
        seen.link = Link::Gone;
        return;
    };
    seen.link = match (now.up, now.carrier) {
        _ if seen.link == Link::Gone => Link::Gone,
        (true, true) => Link::Up,
        (true, false) => Link::NoCarrier,
        (false, _) => Link::Down,
    };
    seen.mtu = now.mtu.unwrap_or(seen.mtu);
    seen.losses = now.carrier_losses.map_or(seen.losses, u64::from);
}
