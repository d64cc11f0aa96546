//! Round-trip times of somebody, of whom there may be many.

use super::duration_stats::DurationStats;

/// Times kept one by one before they go into a histogram: with many targets most have few.
const FEW: usize = 256;

/// Round-trip times.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    Few(Vec<u64>),
    Many(Box<DurationStats>),
}

impl Default for Times {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Times {
    /// One more.
    pub(crate) fn record(&mut self, ns: u64) {
        match self {
            Self::Few(times) if times.len() < FEW => times.push(ns),
            Self::Few(times) => {
                let mut stats = DurationStats::new();
                times.iter().for_each(|&ns| stats.record(ns));
                stats.record(ns);
                *self = Self::Many(Box::new(stats));
            }
            Self::Many(stats) => stats.record(ns),
        }
    }

    /// Takes over all of `other`.
    pub(crate) fn add(&mut self, other: &Times) {
        match other {
            Self::Few(times) => times.iter().for_each(|&ns| self.record(ns)),
            Self::Many(more) => {
                let mut all = DurationStats::new();
                self.with(|mine| all.merge(mine));
                all.merge(more);
                *self = Self::Many(Box::new(all));
            }
        }
    }

    /// Reads their statistics.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&DurationStats) -> R) -> R {
        match self {
            Self::Few(times) => {
                let mut stats = DurationStats::new();
                times.iter().for_each(|&ns| stats.record(ns));
                read(&stats)
            }
            Self::Many(stats) => read(stats),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_times_have_the_same_statistics() {
        let (mut few, mut many) = (Times::default(), Times::Many(Box::default()));
        for ns in (1..=FEW as u64).map(|n| n * 1000) {
            few.record(ns);
            many.record(ns);
        }
        assert_eq!(few.with(DurationStats::summary), many.with(DurationStats::summary));
        few.record(7);
        assert!(matches!(few, Times::Many(_)));
        assert_eq!(few.with(|s| s.moments().count()), FEW as u64 + 1);
    }
}
