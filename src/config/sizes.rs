//! How many frames and ring entries a configuration stands for.

use super::{Config, FRAMES, MAX_RING};
use crate::error::{Advice, FluxError, Result};

/// How many frames there are, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// In all.
    pub(crate) frames: u32,
    /// Posted for reception, on each queue.
    pub(crate) posted: u32,
    /// Entries per ring.
    pub(crate) ring: u32,
}

impl Config {
    /// Frames and ring size for `queues` queues in all, of the interfaces `of`. `frames` is how many
    /// there are, where the memory was brought.
    ///
    /// # Errors
    /// When that many queues need more frames than there are.
    pub(crate) fn sizes(&self, queues: usize, frames: Option<u32>, of: &str) -> Result<Sizes> {
        /// Ring entries, and frames posted: a large NIC's own ring.
        const FULL: u32 = 2048;
        /// Most frames of all queues together that are not asked for: 256 MiB of 2048 bytes each.
        const MOST: u32 = 1 << 17;
        let queues = u32::try_from(queues).unwrap_or(u32::MAX).max(1);
        let posted = self.rx_frames.or(self.ring_size);
        let frames = frames.or(self.frames).unwrap_or_else(|| {
            let each = |posted: u32| posted.saturating_mul(2).saturating_mul(queues);
            let least = each(posted.unwrap_or(0));
            least.max(each(FULL).min(MOST)).clamp(*FRAMES.start(), *FRAMES.end())
        });
        let share = frames / queues / 2;
        let ring = self.ring_size.unwrap_or_else(|| {
            let fits = 1 << share.clamp(8, FULL).ilog2();
            self.rx_frames.map_or(fits, |posted| posted.next_power_of_two().clamp(fits, MAX_RING))
        });
        let posted = match self.rx_frames {
            Some(posted) if posted > ring => {
                return Err(FluxError::config(
                    format!("{posted} frames posted"),
                    format!("a ring has {ring} entries"),
                )
                .with_hint("post fewer, or use larger rings"));
            }
            Some(posted) if u64::from(posted) * u64::from(queues) > u64::from(frames) => 0,
            Some(posted) => posted,
            None => share.min(ring),
        };
        if posted == 0 {
            return Err(FluxError::config(
                format!("{frames} frames"),
                format!("are too few for {queues} queues of {of}"),
            )
            .with_advice("", Advice::MoreFrames));
        }
        Ok(Sizes { frames, posted, ring })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_sizes_leave_half_the_frames_for_transmission_and_fill_a_large_nics_rings() {
        let config = Config::new("eth0");
        for queues in 1..200 {
            let Sizes { frames, posted, ring } = config.sizes(queues, None, "eth0").unwrap();
            assert!(ring.is_power_of_two() && posted <= ring);
            assert!(posted * queues as u32 <= frames / 2, "{queues} queues");
            assert!(posted >= 1024 || queues > 64, "{queues} queues");
            assert!(frames <= 1 << 17, "{queues} queues");
        }
        let one = config.sizes(1, None, "eth0").unwrap();
        assert_eq!(one, Sizes { frames: 4096, posted: 2048, ring: 2048 });
        let many = config.sizes(64, None, "eth0").unwrap();
        assert_eq!(many, Sizes { frames: 1 << 17, posted: 1024, ring: 1024 });
    }

    #[test]
    fn frames_posted_and_frames_in_all_are_separate_figures() {
        let sizes = |rx_frames, frames, ring_size| {
            Config { rx_frames, frames, ring_size, ..Config::new("eth0") }.sizes(2, None, "eth0")
        };
        let made = sizes(Some(100), Some(1000), None).unwrap();
        assert_eq!(made, Sizes { frames: 1000, posted: 100, ring: 128 });
        let made = sizes(None, Some(1000), Some(64)).unwrap();
        assert_eq!(made, Sizes { frames: 1000, posted: 64, ring: 64 });
        let made = sizes(None, None, Some(1 << 15)).unwrap();
        assert_eq!(made, Sizes { frames: 1 << 17, posted: 1 << 15, ring: 1 << 15 });
        let text = |made: Result<Sizes>| made.unwrap_err().to_string();
        assert_eq!(
            text(sizes(Some(100), None, Some(64))),
            "100 frames posted: a ring has 64 entries"
        );
        assert_eq!(
            text(sizes(Some(9), Some(16), None)),
            "16 frames: are too few for 2 queues of eth0"
        );
        assert_eq!(text(sizes(None, Some(3), None)), "3 frames: are too few for 2 queues of eth0");
    }
}
