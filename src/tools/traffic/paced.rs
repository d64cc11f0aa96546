//! [`PacedSource`]: single packets at a steady rate, by an AF_XDP socket of our own.

use super::egress::Egress;
use super::runner::Runner;
use super::source::Source;
use super::template::PacketTemplate;
use crate::backend::Filter;
use crate::builder::FluxBuilder;
use crate::error::{FluxError, Result};
use crate::raw::FluxRaw;
use crate::sys::clock;
use crate::tools::measure::{Deadlines, Rate};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Packets per second where nothing else is asked for.
pub const DEFAULT_RATE_PPS: u32 = 10_000;
/// One kick per packet reaches a few hundred thousand a second at most.
const HIGHEST_RATE_PPS: u32 = 1_000_000;

/// Frames in flight are one or two; the rest is there because UMEMs are not smaller.
const FRAMES: u32 = 128;
const RING: u32 = 64;

/// A thread that sends one packet after the other, each at its time.
pub type PacedSource = Source<Arc<PacedCount>>;

/// What the thread counts. Written by the thread alone; nothing else depends on them, so that no order is needed.
#[derive(Default)]
pub struct PacedCount {
    sent: AtomicU64,
    missed: AtomicU64,
}

impl PacedSource {
    /// Starts to send `packet`, `rate_pps` times a second. It keeps its CPU busy.
    ///
    /// # Errors
    /// For rates of 0 or above a million, CPUs that are not ours, and whatever opening a socket may
    /// meet.
    pub fn start(egress: Egress, packet: PacketTemplate, rate_pps: u32) -> Result<Self> {
        let rate = Rate::per_second(u64::from(rate_pps)).filter(|_| rate_pps <= HIGHEST_RATE_PPS);
        let rate = rate.ok_or_else(|| {
            FluxError::config(
                format!("a rate of {rate_pps} packets a second"),
                format!("must be 1 to {HIGHEST_RATE_PPS}"),
            )
        })?;
        let counts = Arc::new(PacedCount::default());
        let (sent, shared) = (packet.clone(), Arc::clone(&counts));
        let runner = Runner::start(egress, move |egress| {
            let mut sender = Sender { raw: open(egress)?, packet: sent, counts: shared };
            let mut deadlines = Deadlines::new(rate, clock::monotonic_ns());
            Ok(move |fresh| {
                if fresh {
                    deadlines.restart(clock::monotonic_ns());
                }
                let now = wait_until(deadlines.due_ns());
                deadlines.meet(now);
                let missed = deadlines.skip_missed(now);
                sender.counts.missed.fetch_add(missed, Ordering::Relaxed);
                sender.send()
            })
        })?;
        Ok(Self { runner, packet, count: counts })
    }

    /// Packets that the kernel took.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.count.sent.load(Ordering::Relaxed)
    }

    /// Times at which none was sent, because the thread was not running or still busy with the
    /// one before. They are left out, and not made up for by a burst.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.count.missed.load(Ordering::Relaxed)
    }

    /// Stops for good; returns the number of packets sent.
    ///
    /// # Errors
    /// What ended it before it was told to.
    pub fn stop(mut self) -> Result<u64> {
        self.runner.stop()?;
        Ok(self.sent())
    }
}

fn open(egress: &Egress) -> Result<FluxRaw> {
    FluxBuilder::new(egress.interface)
        .filter(Filter::Nothing)
        .queue_id(egress.queue)
        .frames(FRAMES)
        .ring_size(RING)
        .prefill(false)
        .build_raw()
}

fn wait_until(deadline_ns: u64) -> u64 {
    loop {
        let now = clock::monotonic_ns();
        if now >= deadline_ns {
            return now;
        }
        std::hint::spin_loop();
    }
}

struct Sender {
    raw: FluxRaw,
    packet: PacketTemplate,
    counts: Arc<PacedCount>,
}

impl Sender {
    fn send(&mut self) -> Result<()> {
        let raw = &mut self.raw;
        let umem = Arc::clone(raw.umem());
        raw.comp.reap(RING, |frame| umem.free(frame));
        // Without a frame or room, the kernel still has all those before: the kick is what helps.
        let bytes = self.packet.bytes();
        if let Ok(Some(mut buffer)) = umem.alloc_buffer(0, bytes.len() as u32) {
            umem.packet_mut(&mut buffer).copy_from_slice(bytes);
            if let Err(buffer) = raw.tx.reserve(1).push(buffer) {
                umem.free(buffer.frame);
            }
        }
        if raw.tx.needs_wakeup() {
            raw.kick_tx()?;
        }
        let taken = raw.tx.posted() - u64::from(raw.tx.pending());
        self.counts.sent.store(taken, Ordering::Relaxed);
        Ok(())
    }
}
