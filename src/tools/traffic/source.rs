//! What all sources are: a thread that sends one packet over and over, and what counts it.

use super::runner::Runner;
use super::template::PacketTemplate;

/// A thread that sends one packet over and over; `C` counts what it sends.
pub struct Source<C> {
    pub(super) runner: Runner,
    pub(super) packet: PacketTemplate,
    pub(super) count: C,
}

impl<C> Source<C> {
    /// The packet that it sends.
    #[must_use]
    pub fn packet(&self) -> &PacketTemplate {
        &self.packet
    }

    /// Stops sending for now; nothing is sent any more when it returns, which takes some
    /// milliseconds at most.
    pub fn pause(&self) {
        self.runner.pause();
    }

    /// Goes on; a source that keeps a rate counts its times from now.
    pub fn resume(&self) {
        self.runner.resume();
    }
}
