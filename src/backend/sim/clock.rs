//! The world's time: virtual, or following the machine's monotonic clock.

use std::time::{Duration, Instant};

/// Virtual time starts here, so that "0" is never a valid time stamp.
pub(super) const START_NS: u64 = 1_000_000_000;

/// Where "now" comes from.
pub(super) enum Clock {
    /// It moves when somebody waits.
    Virtual,
    /// `CLOCK_MONOTONIC` since then, counted from [`START_NS`].
    Realtime(Instant),
}

impl Clock {
    pub(super) fn new(realtime: bool) -> Self {
        if realtime { Self::Realtime(Instant::now()) } else { Self::Virtual }
    }

    pub(super) fn is_realtime(&self) -> bool {
        matches!(self, Self::Realtime(_))
    }

    /// The machine's time, where it rules.
    pub(super) fn reading(&self) -> Option<u64> {
        match self {
            Self::Virtual => None,
            Self::Realtime(start) => Some(START_NS + nanos(start.elapsed())),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        if self.is_realtime() { "monotonic" } else { "virtual" }
    }
}

/// A duration in ns; the longest ones saturate (584 years).
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
