//! Waiting for rings inside a tokio runtime.
//!
//! One registration per socket, shared by nobody: epoll refuses a second one of the same
//! descriptor.

use crate::backend::{Backend, Interest};
use crate::error::Result;
#[cfg(unix)]
use crate::error::{ErrorKind, FluxError};
use crate::ids::QueueIndex;
use crate::raw::FluxRaw;
use std::sync::Arc;
use std::time::Duration;

/// Virtual time that one empty look at simulated rings may take.
const SIM_STEP: Duration = Duration::from_millis(1);

/// The longest wait for descriptors: they stay silent when their interface goes, so the kernel is
/// asked this often whether it lives.
pub(crate) const PULSE: Duration = Duration::from_millis(200);

/// Readiness of some queues of a backend.
pub(crate) struct Readiness {
    #[cfg(unix)]
    fds: Option<Vec<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>>,
    backend: Arc<dyn Backend>,
    queues: Vec<QueueIndex>,
    interest: Interest,
}

impl Readiness {
    pub(crate) fn new(
        backend: &Arc<dyn Backend>,
        queues: &[QueueIndex],
        interest: Interest,
    ) -> Self {
        Self {
            #[cfg(unix)]
            fds: None,
            backend: Arc::clone(backend),
            queues: queues.to_vec(),
            interest,
        }
    }

    /// Returns when a ring may have entries, and after `longest` in any case; look, and wait again.
    #[cfg(unix)]
    pub(crate) async fn wait(&mut self, longest: Duration) -> Result<()> {
        // The simulator needs no timer, which a runtime may be without.
        if self.backend.fd(QueueIndex::new(0)).is_none() {
            return self.step(longest).await;
        }
        match tokio::time::timeout(longest, self.ready()).await {
            // Also when one port keeps us awake, another may be in trouble.
            Ok(ready) => ready.and_then(|()| match self.interest {
                Interest::Rx => self.backend.look(&self.queues),
                Interest::Tx => Ok(()),
            }),
            // Asks whether the interface lives, and in copy mode makes the kernel send.
            Err(_) => {
                self.backend.wait(&self.queues, self.interest, Some(Duration::ZERO)).map(drop)
            }
        }
    }

    #[cfg(unix)]
    async fn ready(&mut self) -> Result<()> {
        use std::task::Poll;
        use tokio::io::{Interest as Ready, unix::AsyncFd};
        if self.fds.is_none() {
            let Some(fds) =
                self.queues.iter().map(|&q| self.backend.fd(q)).collect::<Option<Vec<_>>>()
            else {
                return Ok(()); // the simulator, which has none
            };
            let register = |fd: std::os::fd::BorrowedFd<'_>| {
                let fd = fd.try_clone_to_owned()?;
                let interest = match self.interest {
                    Interest::Rx => Ready::READABLE,
                    Interest::Tx => Ready::WRITABLE,
                };
                // SAFETY: the OwnedFd keeps the descriptor open and is never handed out, so it
                // refers to the same socket until AsyncFd deregisters it.
                let fd = unsafe { AsyncFd::register_with_interest(fd, interest) };
                fd.map_err(Into::into)
            };
            let fds = fds.into_iter().map(register).collect::<std::io::Result<_>>();
            self.fds = Some(fds.map_err(|e| {
                FluxError::new(ErrorKind::System, "cannot register with the runtime", e.to_string())
            })?);
        }
        let fds = self.fds.as_deref().unwrap_or_default();
        std::future::poll_fn(|cx| {
            let mut ready = false;
            for fd in fds {
                // Cleared before the caller looks at the ring, so an entry that comes later
                // makes it ready again.
                let polled = match self.interest {
                    Interest::Rx => fd.poll_read_ready(cx),
                    Interest::Tx => fd.poll_write_ready(cx),
                };
                if let Poll::Ready(guard) = polled {
                    match guard {
                        Ok(mut guard) => guard.clear_ready(),
                        Err(e) => {
                            let e = FluxError::new(
                                ErrorKind::System,
                                "cannot wait in the runtime",
                                e.to_string(),
                            );
                            return Poll::Ready(Err(e));
                        }
                    }
                    ready = true;
                }
            }
            if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// As on Unix, where only the simulator exists.
    #[cfg(not(unix))]
    pub(crate) async fn wait(&mut self, longest: Duration) -> Result<()> {
        self.step(longest).await
    }

    /// The simulator has no descriptor: move its time on, and let other tasks run.
    async fn step(&self, longest: Duration) -> Result<()> {
        self.backend.wait(&self.queues, self.interest, Some(longest.min(SIM_STEP)))?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// [`FluxRaw`] with a way to await reception.
pub struct AsyncFluxRaw {
    raw: FluxRaw,
    readiness: Readiness,
}

impl AsyncFluxRaw {
    /// Makes a raw socket awaitable.
    #[must_use]
    pub fn new(raw: FluxRaw) -> Self {
        let (backend, queue) = raw.backend();
        Self { readiness: Readiness::new(backend, &[queue], Interest::Rx), raw }
    }

    /// The rings.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut FluxRaw {
        &mut self.raw
    }

    /// Returns when the RX ring has entries.
    ///
    /// # Errors
    /// When the interface goes away, somebody detached its XDP program, or its link has been away for
    /// longer than the link timeout.
    ///
    /// # Panics
    /// On the real kernel, outside a tokio runtime with I/O and time.
    pub async fn readable(&mut self) -> Result<()> {
        while self.raw.rx.waiting() == 0 {
            self.readiness.wait(PULSE).await?;
        }
        Ok(())
    }

    /// The raw socket back.
    #[must_use]
    pub fn into_inner(self) -> FluxRaw {
        self.raw
    }
}
