//! Time that a user lets pass, and what is to be done in it.

use super::Simulator;
use super::clock::nanos;
use std::time::Duration;

impl Simulator {
    /// The time in ns, as `now()` of every mode tells it.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.enter().now()
    }

    /// Lets virtual time pass, with everything that happens in it. A real clock cannot be pushed:
    /// with one, this only does what is due.
    pub fn step(&self, time: Duration) {
        let mut world = self.shared.enter();
        if world.clock.is_realtime() {
            return;
        }
        let to = world.now().saturating_add(nanos(time));
        // Event by event, as a call may make new ones.
        while let Some(event) = world.next_event().filter(|&event| event <= to) {
            world.advance_to(event);
            world = self.shared.call(world);
        }
        world.advance_to(to);
    }

    /// Lets virtual time pass to what happens next, with all that happens then; to `until` where
    /// nothing does before.
    #[cfg(feature = "tools")]
    pub(crate) fn step_to_event(&self, until: u64) {
        let mut world = self.shared.enter();
        if world.clock.is_realtime() {
            return;
        }
        let to = world.next_event().unwrap_or(until).min(until).max(world.now());
        world.advance_to(to);
        drop(self.shared.call(world));
    }

    /// When something happens next, if it will by itself; `None`: never. Nobody knows that where time
    /// follows the real clock: then it may be now.
    #[cfg(feature = "tools")]
    pub(crate) fn next_change_ns(&self) -> Option<u64> {
        let world = self.shared.enter();
        if world.clock.is_realtime() {
            return Some(world.now());
        }
        [world.next_event(), world.next_end(), world.next_flap()].into_iter().flatten().min()
    }

    /// Whether its time follows the real clock.
    #[cfg(feature = "tools")]
    pub(crate) fn is_realtime(&self) -> bool {
        self.shared.lock().clock.is_realtime()
    }

    /// Makes `call` once this much time has passed: somebody drops packets, sets a link down, injects
    /// a packet. As everything here it happens within a call for the simulator, such as a wait, and
    /// it may use the simulator itself.
    pub fn schedule(&self, after: Duration, call: impl FnOnce() + Send + 'static) {
        let mut world = self.shared.enter();
        let time = world.now().saturating_add(nanos(after));
        world.call_at(time, Box::new(call));
        drop(world);
        self.shared.changed.notify_all();
    }
}
