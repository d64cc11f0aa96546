//! Who gets what comes on a queue: the owner of its RX ring, or the kernel's stack.

use crate::backend::Backend;
use crate::error::Result;
use crate::ids::QueueIndex;
use std::sync::Arc;

/// The place of a queue's socket in the XSKMAP. The RX ring owns it, in every mode: once nobody can
/// read that ring, what comes on the queue goes on to the kernel's stack instead of into it.
pub(super) struct Receiver {
    backend: Arc<dyn Backend>,
    queue: QueueIndex,
    stopped: bool,
}

impl Receiver {
    pub(super) fn new(backend: &Arc<dyn Backend>, queue: QueueIndex) -> Self {
        Self { backend: Arc::clone(backend), queue, stopped: false }
    }

    /// Leaves what comes from now on to the kernel's stack. An interface that is gone has nothing
    /// to leave to it.
    pub(super) fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            let _ = self.backend.stop_rx(self.queue);
        }
    }

    /// Takes the place again.
    pub(super) fn start(&mut self) -> Result<()> {
        if self.stopped {
            self.backend.start_rx(self.queue)?;
            self.stopped = false;
        }
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}
