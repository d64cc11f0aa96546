//! The thread that makes metrics: it may take long, and clients are to be accepted meanwhile.

use crate::sys::poll::{PollFd, entry};
use std::io::{self, PipeReader, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

/// The metrics, or why there are none.
pub(super) type Text = Result<String, String>;

/// The thread, which ends when this is dropped and `render` has returned.
pub(super) struct Renderer {
    ask: Sender<()>,
    /// None: `render` panicked.
    texts: Receiver<Option<Text>>,
    /// Has a byte for each text, so that it can be polled.
    ready: PipeReader,
}

impl Renderer {
    /// # Errors
    /// When the system has no thread or no pipe.
    pub(super) fn start(mut render: impl FnMut() -> Text + Send + 'static) -> io::Result<Self> {
        let (ready, mut bell) = pipe()?;
        let ((ask, asked), (answer, texts)) = (channel(), channel());
        Builder::new().name("metrics-render".into()).spawn(move || {
            for () in asked {
                // A fault of `render` is the end of one connection, not of the server.
                let text = catch_unwind(AssertUnwindSafe(&mut render)).ok();
                if answer.send(text).is_err() || bell.write_all(&[0]).is_err() {
                    return; // the server is gone
                }
            }
        })?;
        Ok(Self { ask, texts, ready })
    }

    /// Asks for metrics: once, before they are taken.
    pub(super) fn ask(&self) {
        let _ = self.ask.send(()); // a thread that ended is seen by its pipe
    }

    /// To be polled.
    pub(super) fn entry(&self) -> PollFd {
        entry(self.ready.as_raw_fd(), libc::POLLIN)
    }

    /// Takes what was asked for, once [`entry`](Self::entry) is ready.
    ///
    /// # Errors
    /// When the thread has ended.
    pub(super) fn take(&mut self) -> io::Result<Option<Text>> {
        self.ready.read_exact(&mut [0])?;
        self.texts.recv().map_err(io::Error::other)
    }
}
