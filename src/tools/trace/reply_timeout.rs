//! How long an answer is waited for.

use super::tally::HopTally;

/// An answer is not waited for longer than this many times the slowest of the same hop took; as
/// traceroute has it.
const HERE: u64 = 3;
/// The same for hops that have not answered yet, and the slowest of those behind them.
const NEAR: u64 = 10;
/// But at least for this long: routers answer when they have time.
const LEAST_NS: u64 = 20_000_000;
/// The same for packets whose silence is a likely answer.
const LEAST_SIZE_NS: u64 = 200_000_000;

/// How long each TTL is waited for, by what others took.
pub(super) struct ReplyTimeout {
    most_ns: u64,
    /// Always all of `most_ns` for hops.
    fixed: bool,
    hops: Vec<u64>,
    slowest: Option<u64>,
}

impl ReplyTimeout {
    pub(super) fn new(most_ns: u64, fixed: bool) -> Self {
        Self { most_ns, fixed, hops: Vec::new(), slowest: None }
    }

    /// Learns from the answers so far.
    pub(super) fn learn(&mut self, hops: &[HopTally]) {
        self.hops.clear();
        self.hops.resize(hops.len(), self.most_ns);
        let mut behind = None;
        for (hop, wait) in hops.iter().zip(&mut self.hops).rev() {
            let here = hop.slowest_ns.map(|ns| ns.saturating_mul(HERE));
            let near = behind.map(|ns: u64| ns.saturating_mul(NEAR));
            *wait = here.max(near).map_or(self.most_ns, |ns| ns.max(LEAST_NS).min(self.most_ns));
            behind = behind.max(hop.slowest_ns);
        }
        self.slowest = behind;
    }

    /// For a probe to the hop at this position.
    pub(super) fn for_hop(&self, at: usize) -> u64 {
        let hurried = self.hops.get(at).copied().filter(|_| !self.fixed);
        hurried.unwrap_or(self.most_ns)
    }

    /// For a probe behind a refusal, which most likely got no further.
    pub(super) fn behind_refusal(&self) -> u64 {
        let near = self.slowest.map_or(self.most_ns, |ns| ns.saturating_mul(NEAR));
        near.max(LEAST_NS).min(self.most_ns)
    }

    /// For a packet of some size; `silence` is to be expected.
    pub(super) fn for_size(&self, silence: bool) -> u64 {
        let slowest = self.slowest.filter(|_| silence);
        let near = slowest.map_or(self.most_ns, |ns| ns.saturating_mul(NEAR));
        near.max(LEAST_SIZE_NS).min(self.most_ns)
    }

    /// The most there is.
    pub(super) fn most_ns(&self) -> u64 {
        self.most_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn hops(slowest: &[Option<u64>]) -> Vec<HopTally> {
        let hop = |&slowest_ns: &Option<u64>| HopTally { slowest_ns, ..HopTally::default() };
        slowest.iter().map(hop).collect()
    }

    #[test]
    fn what_others_took_shortens_the_wait_and_nothing_else_does() {
        let mut reply_timeout = ReplyTimeout::new(1000 * MS, false);
        reply_timeout.learn(&hops(&[None, Some(5 * MS), None, Some(30 * MS), None]));
        let waits: Vec<_> = (0..6).map(|at| reply_timeout.for_hop(at) / MS).collect();
        // Ten times those behind, three times itself, and the whole where nobody is behind.
        assert_eq!(waits, [300, 300, 300, 90, 1000, 1000]);
        assert_eq!(
            (reply_timeout.for_size(true) / MS, reply_timeout.for_size(false) / MS),
            (300, 1000)
        );
        reply_timeout.learn(&hops(&[None, Some(MS / 10)]));
        assert_eq!((reply_timeout.for_hop(0), reply_timeout.for_hop(1)), (LEAST_NS, LEAST_NS));
        assert_eq!(reply_timeout.for_size(true), LEAST_SIZE_NS);
        reply_timeout.learn(&hops(&[None, Some(900 * MS)]));
        assert_eq!(reply_timeout.for_hop(0), 1000 * MS);
    }

    #[test]
    fn a_fixed_timeout_is_waited_for_in_full() {
        let mut reply_timeout = ReplyTimeout::new(1000 * MS, true);
        reply_timeout.learn(&hops(&[None, Some(MS)]));
        assert_eq!((reply_timeout.for_hop(0), reply_timeout.for_hop(1)), (1000 * MS, 1000 * MS));
    }
}
