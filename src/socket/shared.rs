//! A completion ring that its sender empties, and so does a receiver that has no frames.
//!
//! The sender takes the lock once a batch, and has it to itself all but always: a receiver only tries,
//! and only when it would wait otherwise.

use super::CompRing;
use crate::umem::FrameCache;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// See the module.
#[derive(Clone)]
pub(crate) struct SharedComp(Arc<Mutex<CompRing>>);

impl SharedComp {
    pub(super) fn new(ring: CompRing) -> Self {
        Self(Arc::new(Mutex::new(ring)))
    }

    /// The ring; a thread that panicked with it left it whole.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, CompRing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of everything that was sent into `cache`, unless the sender does so just now.
    pub(crate) fn try_reap(&self, cache: &mut FrameCache) -> u32 {
        let mut ring = match self.0.try_lock() {
            Ok(ring) => ring,
            Err(TryLockError::Poisoned(ring)) => ring.into_inner(),
            Err(TryLockError::WouldBlock) => return 0,
        };
        ring.reap(u32::MAX, |frame| cache.put(frame))
    }
}
