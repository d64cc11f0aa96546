//! How many ICMP errors a node sends: a bucket of its own, or the limits that Linux has.

use super::fib::QuickMap;
use crate::proto::respond::IcmpError;
use std::net::IpAddr;

/// How many ICMP errors a router or a host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpLimit {
    /// This many a second, and `burst` at once, for all who ask together.
    Rate {
        /// A second.
        per_second: u32,
        /// At once.
        burst: u32,
    },
    /// As Linux without settings: six at once to each asker and then one a second (IPv6: more for
    /// askers behind a route with a short prefix), 1000 a second to all of them together and 50 at
    /// once. Errors about packets that are too big are not limited, and echo replies are no errors.
    Linux,
}

impl From<(u32, u32)> for IcmpLimit {
    /// A number a second, and a burst.
    fn from((per_second, burst): (u32, u32)) -> Self {
        Self::Rate { per_second, burst }
    }
}

const SECOND: u64 = 1_000_000_000;

/// `XRLIM_BURST_FACTOR`: errors to one asker at once.
const BURST: u64 = 6;
/// `icmp_ratelimit`: the time between two of them after that.
const GAP: u64 = SECOND;
/// `icmp_msgs_per_sec` and `icmp_msgs_burst`: errors to all askers together.
const ALL: (u32, u32) = (1000, 50);
/// Askers that are remembered at most; all of them are forgotten when there are more.
const MOST_ASKERS: usize = 1 << 16;

/// A bucket: `burst` at once, and one more every `gap` ns.
struct Bucket {
    burst: u64,
    gap: u64,
    /// When it will be full again.
    full_at: u64,
}

impl Bucket {
    fn new((per_second, burst): (u32, u32)) -> Self {
        let gap = SECOND / u64::from(per_second.max(1));
        Self { burst: u64::from(burst.max(1)), gap, full_at: 0 }
    }

    fn has_one(&self, now: u64) -> bool {
        let full_at = self.full_at.max(now).saturating_add(self.gap);
        full_at - now <= self.burst * self.gap
    }

    fn take(&mut self, now: u64) {
        self.full_at = self.full_at.max(now).saturating_add(self.gap);
    }
}

/// What an asker has left: time that was saved up, and when that was counted.
#[derive(Clone, Copy)]
struct Asker {
    saved: u64,
    counted_at: u64,
}

/// The limit of one node.
pub(super) enum Limiter {
    Rate(Box<RateLimit>),
    Linux(Box<LinuxLimit>),
}

/// A bucket for everybody.
pub(super) struct RateLimit(Bucket);

/// A bucket for everybody, and one for each asker.
pub(super) struct LinuxLimit {
    all: Bucket,
    askers: QuickMap<IpAddr, Asker>,
}

impl Limiter {
    pub(super) fn new(limit: IcmpLimit) -> Self {
        match limit {
            IcmpLimit::Rate { per_second, burst } => {
                Self::Rate(Box::new(RateLimit(Bucket::new((per_second, burst)))))
            }
            IcmpLimit::Linux => {
                let askers = QuickMap::default();
                Self::Linux(Box::new(LinuxLimit { all: Bucket::new(ALL), askers }))
            }
        }
    }

    /// Whether an error may be sent to `asker`, to whom a route leads whose prefix has `len` bits.
    /// If so, it is counted.
    pub(super) fn allows(&mut self, asker: IpAddr, error: IcmpError, len: u8, now: u64) -> bool {
        match self {
            Self::Rate(limit) => {
                let allowed = limit.0.has_one(now);
                if allowed {
                    limit.0.take(now);
                }
                allowed
            }
            // Linux does not hinder the discovery of a path's MTU.
            Self::Linux(_) if matches!(error, IcmpError::PacketTooBig(_)) => true,
            Self::Linux(limit) => limit.allows(asker, gap(asker, len), now),
        }
    }
}

/// `icmpv6_xrlim_allow` gives wide prefixes more.
fn gap(asker: IpAddr, len: u8) -> u64 {
    match asker {
        IpAddr::V4(_) => GAP,
        IpAddr::V6(_) => GAP >> (128u8.saturating_sub(len) >> 5),
    }
}

impl LinuxLimit {
    fn allows(&mut self, asker: IpAddr, gap: u64, now: u64) -> bool {
        if !self.all.has_one(now) {
            return false;
        }
        if self.askers.len() >= MOST_ASKERS {
            self.askers.clear();
        }
        let most = BURST * gap;
        let asker = self.askers.entry(asker).or_insert(Asker { saved: most, counted_at: now });
        asker.saved = (asker.saved + now.saturating_sub(asker.counted_at)).min(most);
        asker.counted_at = now;
        if asker.saved < gap {
            return false;
        }
        asker.saved -= gap;
        self.all.take(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `asked` errors get through at `now`.
    fn allowed(limit: &mut Limiter, asker: &str, len: u8, now: u64, asked: u32) -> u32 {
        let error = IcmpError::TimeExceeded;
        (0..asked).filter(|_| limit.allows(ip(asker), error, len, now)).count() as u32
    }

    #[test]
    fn linux_sends_six_at_once_and_one_a_second_to_each_asker() {
        let mut limit = Limiter::new(IcmpLimit::Linux);
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, SECOND, 20), 6);
        assert_eq!(allowed(&mut limit, "10.0.0.2", 0, SECOND, 20), 6, "another asker");
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, 2 * SECOND - 1, 20), 0);
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, 2 * SECOND, 20), 1);
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, 4 * SECOND + SECOND / 2, 20), 2);
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, 60 * SECOND, 20), 6, "six at most");
    }

    #[test]
    fn linux_gives_ipv6_askers_behind_wide_prefixes_more() {
        for (len, gap) in [(128, SECOND), (64, SECOND / 4), (48, SECOND / 4), (0, SECOND >> 4)] {
            let mut limit = Limiter::new(IcmpLimit::Linux);
            assert_eq!(allowed(&mut limit, "2001:db8::1", len, SECOND, 20), 6);
            assert_eq!(allowed(&mut limit, "2001:db8::1", len, SECOND + gap - 1, 20), 0, "{len}");
            assert_eq!(allowed(&mut limit, "2001:db8::1", len, SECOND + gap, 20), 1, "{len}");
        }
    }

    #[test]
    fn linux_limits_all_askers_together_and_never_what_is_too_big() {
        let mut limit = Limiter::new(IcmpLimit::Linux);
        let one = |limit: &mut Limiter, n: u32, now| {
            let asker = format!("10.0.{}.{}", n / 200, n % 200 + 1);
            allowed(limit, &asker, 0, now, 1)
        };
        assert_eq!((0..200).map(|n| one(&mut limit, n, SECOND)).sum::<u32>(), 50);
        let after = SECOND + SECOND / 100;
        assert_eq!((200..400).map(|n| one(&mut limit, n, after)).sum::<u32>(), 10);
        assert!(
            (0..100).all(|_| {
                limit.allows(ip("10.0.0.1"), IcmpError::PacketTooBig(1400), 0, SECOND)
            })
        );
    }

    #[test]
    fn a_rate_is_everybodys() {
        let mut limit = Limiter::new(IcmpLimit::from((10, 3)));
        assert_eq!(allowed(&mut limit, "10.0.0.1", 0, SECOND, 2), 2);
        assert_eq!(allowed(&mut limit, "10.0.0.2", 0, SECOND, 8), 1);
        assert_eq!(allowed(&mut limit, "10.0.0.2", 0, SECOND + SECOND / 10, 8), 1);
    }
}
