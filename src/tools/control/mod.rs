//! What a run is asked for from outside: by signals, keys, the control socket, another thread.
//!
//! ```text
//!   signals ─┐                                    ┌─▶ the run: asks before each turn
//!   keys ────┼─▶ Control: stop, interim, reload ──┼─▶ who sleeps: wait(), a waker
//!   socket ──┘                                    └─▶ the engine: its StopHandle
//! ```
//!
//! Invariant: a request is kept before anybody is woken, so that nobody sleeps over one.

#[cfg(target_os = "linux")]
pub mod socket;

use crate::StopHandle;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a run is asked for, shared between it and who asks.
#[derive(Default)]
pub struct Control {
    stop: StopHandle,
    interim: AtomicU64,
    reload: AtomicU64,
    /// A hang-up asks for a reload.
    reloads: AtomicBool,
    /// Locked for a moment by who asks and who is about to sleep, never by a run that looks.
    wakers: Mutex<Vec<Waker>>,
    changed: Condvar,
}

/// All that a [`Control`] was asked for, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// To end.
    pub stop: bool,
    /// How often for the numbers so far.
    pub interim: u64,
    /// How often to read rules and configuration again.
    pub reload: u64,
}

impl Control {
    /// Asks the run to end now, with what there is.
    pub fn stop(&self) {
        self.stop.stop();
        self.wake();
    }

    /// Whether the run was asked to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    /// A handle on the same wish to end, for [`FluxEngine::with_stop_handle`](crate::FluxEngine::with_stop_handle).
    /// [`StopHandle::stop`] wakes nobody: [`Control::stop`] does.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Asks for the numbers so far.
    pub fn ask_interim(&self) {
        self.interim.fetch_add(1, Relaxed); // it carries no data besides itself, here and below
        self.wake();
    }

    /// How often the numbers so far were asked for.
    #[must_use]
    pub fn interim(&self) -> u64 {
        self.interim.load(Relaxed)
    }

    /// Asks to read rules and configuration again.
    pub fn ask_reload(&self) {
        self.reload.fetch_add(1, Relaxed);
        self.wake();
    }

    /// From now on a hang-up is a wish to reload. Called by a run that can.
    pub fn reload_on_hang_up(&self) {
        self.reloads.store(true, Relaxed);
    }

    /// SIGHUP: a reload where the run can, else the end, as the terminal is gone.
    pub fn hang_up(&self) {
        if self.reloads.load(Relaxed) {
            self.ask_reload();
        } else {
            self.stop();
        }
    }

    /// How often rules and configuration were to be read again.
    #[must_use]
    pub fn reload(&self) -> u64 {
        self.reload.load(Relaxed)
    }

    /// All that was asked for so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked { stop: self.is_stopped(), interim: self.interim(), reload: self.reload() }
    }

    /// Sleeps until more is asked for than `seen`, at most for `time`; what was asked for by then.
    pub fn wait(&self, seen: Asked, time: Duration) -> Asked {
        let start = Instant::now();
        let mut wakers = self.wakers();
        loop {
            let asked = self.asked();
            let left = time.saturating_sub(start.elapsed());
            if asked != seen || left.is_zero() {
                return asked;
            }
            let woken = self.changed.wait_timeout(wakers, left);
            wakers = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Calls `wake` after each request from now on, on the thread of who asks: to wake one that
    /// sleeps elsewhere than in [`wait`](Self::wait). It must return at once.
    pub fn on_request(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.wakers().push(Arc::new(wake));
    }

    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The lock is not held while they are called: one may ask for something itself.
        let wakers = self.wakers().clone();
        self.changed.notify_all();
        wakers.iter().for_each(|wake| wake());
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Control").field(&self.asked()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_request_wakes_who_sleeps_in_wait() {
        let control = Control::default();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let first = control.wait(Asked::default(), LONG);
                (first, control.wait(Asked { stop: false, ..first }, LONG).stop)
            });
            control.ask_reload();
            control.stop();
            let (first, stopped) = sleeper.join().unwrap();
            assert!(first.reload == 1 && stopped, "{first:?}");
        });
    }

    #[test]
    fn a_request_from_before_the_sleep_is_not_slept_over() {
        let control = Control::default();
        let seen = control.asked();
        control.ask_interim();
        assert_eq!(control.wait(seen, LONG), Asked { interim: 1, ..seen });
        assert_eq!(control.wait(control.asked(), Duration::from_millis(1)), control.asked());
    }

    #[test]
    fn wakers_are_called_after_the_request_is_there_and_may_ask_themselves() {
        let control = Arc::new(Control::default());
        let (teller, told) = channel();
        let weak = Arc::downgrade(&control);
        control.on_request(move || {
            let control = weak.upgrade().unwrap();
            teller.send(control.asked()).unwrap();
            if !control.is_stopped() {
                control.stop();
            }
        });
        control.ask_reload();
        let asked: Vec<_> = told.try_iter().collect();
        assert_eq!(asked.iter().map(|a| a.stop).collect::<Vec<_>>(), [false, true]);
        assert!(asked.iter().all(|a| a.reload == 1));
    }

    #[test]
    fn a_hang_up_ends_a_run_that_cannot_reload() {
        let control = Control::default();
        control.reload_on_hang_up();
        control.hang_up();
        assert_eq!(control.asked(), Asked { reload: 1, ..Asked::default() });
        let control = Control::default();
        control.hang_up();
        assert_eq!(control.asked(), Asked { stop: true, ..Asked::default() });
    }

    #[test]
    fn the_engines_handle_is_the_same_wish() {
        let control = Control::default();
        let handle = control.stop_handle();
        control.stop();
        assert!(handle.is_stopped());
        handle.reset();
        assert!(!control.is_stopped());
    }
}
