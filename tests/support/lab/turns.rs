//! Who runs when. Tests on the real kernel run side by side; one that measures, or needs the CPUs
//! for both ends of a wire, waits until it is alone and keeps the others waiting.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURNS: RwLock<()> = RwLock::new(());

thread_local! {
    /// What this thread holds already.
    static HELD: Cell<Held> = const { Cell::new(Held::Nothing) };
}

#[derive(Clone, Copy, PartialEq)]
enum Held {
    Nothing,
    Shared,
    Alone,
}

enum Guard {
    Shared(#[allow(dead_code)] RwLockReadGuard<'static, ()>),
    Alone(#[allow(dead_code)] RwLockWriteGuard<'static, ()>),
}

/// This test's turn, until drop.
#[must_use]
pub struct Turn {
    /// `None` where this thread has a turn already.
    guard: Option<Guard>,
    _thread: PhantomData<*const ()>,
}

impl Turn {
    /// Beside other tests.
    pub fn shared() -> Self {
        Self::take(Held::Shared)
    }

    /// With no other test on the real kernel beside it. Comes before the lab.
    pub fn alone() -> Self {
        assert!(HELD.get() != Held::Shared, "a test asks to be alone before it makes its lab");
        Self::take(Held::Alone)
    }

    fn take(held: Held) -> Self {
        let guard = (HELD.get() == Held::Nothing).then(|| {
            // A panic leaves nothing half done: the lock protects no data.
            let guard = if held == Held::Alone {
                Guard::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner))
            } else {
                Guard::Shared(TURNS.read().unwrap_or_else(PoisonError::into_inner))
            };
            HELD.set(held);
            guard
        });
        Self { guard, _thread: PhantomData }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.guard.is_some() {
            HELD.set(Held::Nothing);
        }
    }
}
