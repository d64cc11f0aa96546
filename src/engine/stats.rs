//! What an engine did, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an engine did so far, in packets unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Received.
    pub received: u64,
    /// Queued for transmission.
    pub sent: u64,
    /// Dropped by verdict or left alone, or sent by verdict although nothing could be sent, as some
    /// of the counts below tell.
    pub recycled: u64,
    /// Taken out by the closure.
    pub extracted: u64,
    /// Sent by verdict but dropped, because the TX ring stayed full.
    pub tx_full: u64,
    /// Forwarded by verdict to a port that this worker does not have, and recycled; they are in
    /// `recycled` as well.
    pub no_port: u64,
    /// Sent by verdict where every queue of the port that this worker has only receives, because the
    /// interface has fewer TX than RX queues; they are in `recycled` as well.
    pub receive_only: u64,
    /// Sent by verdict, but longer than the port can send: more than its MTU and 18 bytes. They are
    /// in `recycled` as well.
    pub too_long: u64,
    /// Sent by verdict without having a byte; they are in `recycled` as well.
    pub empty: u64,
    /// Sent with [`super::FluxEngine::send`] or [`super::PacketBatch::send`], which is in no other count.
    pub extra: u64,
    /// Given to [`super::PacketBatch::send`] but dropped, because the TX ring stayed full, the closure
    /// panicked or the MTU was lowered; in no other count.
    pub extra_full: u64,
    /// Batches with at least one packet.
    pub batches: u64,
}

impl std::ops::Add for EngineStats {
    type Output = EngineStats;

    fn add(self, other: EngineStats) -> EngineStats {
        EngineStats {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            recycled: self.recycled + other.recycled,
            extracted: self.extracted + other.extracted,
            tx_full: self.tx_full + other.tx_full,
            no_port: self.no_port + other.no_port,
            receive_only: self.receive_only + other.receive_only,
            too_long: self.too_long + other.too_long,
            empty: self.empty + other.empty,
            extra: self.extra + other.extra,
            extra_full: self.extra_full + other.extra_full,
            batches: self.batches + other.batches,
        }
    }
}

/// Ends [`super::FluxEngine::run`] from the closure, another thread or a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks the engine to return after the batch it is in. It does not run again until
    /// [`reset`](Self::reset).
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Takes the wish back, so that the engine can run again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
