//! [`PathEnd`]: the one place that says where a path ends, and whether that is the target.
//!
//! ```text
//!   answers ─▶ took ─┬─ reached: somebody took the packet for its own     ─▶ distance
//!                    ├─ refused: this packet does not get any further     ─▶ refusal, unless …
//!                    └─ on the way: others with a larger TTL got further  ─▶ … one got beyond it
//! ```

use super::answer::Kind;
use super::icmp_names;
use std::net::IpAddr;

/// This many hops behind a refusal are probed: other probes may get through.
const SCOUTS: u8 = 8;

/// What an answer says about the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A router on the way.
    OnTheWay,
    /// This packet does not get any further, for a reason that others need not share.
    Refused,
    /// A host took the packet for its own.
    Reached,
}

/// What an answer of this kind to a packet of `size` bytes says.
pub(super) fn meaning(kind: Kind, from_target: bool, size: u16) -> Meaning {
    match kind.too_big() {
        // Who says that a packet is too big which is not has something else in mind.
        Some(mtu) if mtu >= u32::from(size) => Meaning::OnTheWay,
        Some(_) => Meaning::Refused,
        None if icmp_names::reaches(kind, from_target) => Meaning::Reached,
        None if icmp_names::ends_path(kind) => Meaning::Refused,
        None => Meaning::OnTheWay,
    }
}

/// What the answers of one round, and of the one before, say.
#[derive(Default)]
struct Told {
    /// TTLs of refused probes, in order.
    refused: Vec<u8>,
    /// The largest TTL at which a router on the way answered.
    beyond: Option<u8>,
}

/// Where the path to one target ends.
#[derive(Default)]
pub(super) struct PathEnd {
    reached: Option<(u8, IpAddr)>,
    round: u64,
    now: Told,
    before: Told,
}

impl PathEnd {
    /// A probe of `round` with this TTL was answered.
    pub(super) fn took(&mut self, (round, ttl): (u64, u8), from: IpAddr, meaning: Meaning) {
        if round > self.round {
            self.before = std::mem::take(&mut self.now);
            self.round = round;
        }
        match meaning {
            Meaning::Reached if self.reached.is_none_or(|(known, _)| ttl < known) => {
                self.reached = Some((ttl, from));
            }
            Meaning::Reached => {}
            Meaning::Refused => {
                if let Err(at) = self.now.refused.binary_search(&ttl) {
                    self.now.refused.insert(at, ttl);
                }
            }
            Meaning::OnTheWay => {
                self.now.beyond = self.now.beyond.max(Some(ttl));
                if round > 1 {
                    // The way became longer than it was: the next round looks how long.
                    self.reached = self.reached.filter(|&(known, _)| known > ttl);
                }
            }
        }
    }

    /// The least TTL with which the target was reached.
    pub(super) fn distance(&self) -> Option<u8> {
        self.reached.map(|(ttl, _)| ttl)
    }

    /// Who answered as the target.
    pub(super) fn answered_by(&self) -> Option<IpAddr> {
        self.reached.map(|(_, from)| from)
    }

    /// The least TTL at which probes are refused, and behind which none got.
    pub(super) fn refusal(&self) -> Option<u8> {
        if self.reached.is_some() {
            return None;
        }
        let beyond = self.last_router();
        let first = |told: &Told| told.refused.iter().copied().find(|ttl| Some(*ttl) > beyond);
        first(&self.now).into_iter().chain(first(&self.before)).min()
    }

    /// The largest TTL at which a router on the way answered lately.
    pub(super) fn last_router(&self) -> Option<u8> {
        self.now.beyond.max(self.before.beyond)
    }

    /// The last TTL that matters, where it is known.
    pub(super) fn cut(&self) -> Option<u8> {
        self.distance().or_else(|| self.refusal())
    }

    /// The last TTL up to which it is looked whether probes get past a refusal, if there is one.
    pub(super) fn scouts(&self) -> Option<u8> {
        self.refusal().filter(|_| self.round <= 1).map(|ttl| ttl.saturating_add(SCOUTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn end(answers: &[(u64, u8, Meaning)]) -> PathEnd {
        let mut end = PathEnd::default();
        answers.iter().for_each(|&(round, ttl, meaning)| end.took((round, ttl), A, meaning));
        end
    }

    #[test]
    fn a_refusal_ends_the_path_unless_some_probe_got_further() {
        use Meaning::{OnTheWay, Reached, Refused};
        let refused = end(&[(1, 1, OnTheWay), (1, 4, Refused), (1, 3, Refused)]);
        assert_eq!((refused.cut(), refused.distance()), (Some(3), None));
        assert_eq!(refused.scouts(), Some(3 + SCOUTS));
        let passed = end(&[(1, 3, Refused), (1, 4, OnTheWay)]);
        assert_eq!(passed.cut(), None);
        let later = end(&[(1, 3, Refused), (1, 4, OnTheWay), (1, 6, Refused), (1, 5, Refused)]);
        assert_eq!(later.cut(), Some(5));
        let reached = end(&[(1, 3, Refused), (1, 5, Reached), (1, 4, Reached)]);
        assert_eq!((reached.cut(), reached.distance()), (Some(4), Some(4)));
        assert_eq!((reached.refusal(), reached.answered_by()), (None, Some(A)));
    }

    #[test]
    fn what_two_rounds_did_not_say_again_is_forgotten() {
        use Meaning::{OnTheWay, Reached, Refused};
        let kept = end(&[(1, 3, Refused), (2, 2, OnTheWay)]);
        assert_eq!((kept.cut(), kept.scouts()), (Some(3), None));
        let gone = end(&[(1, 3, Refused), (2, 2, OnTheWay), (3, 2, OnTheWay)]);
        assert_eq!(gone.cut(), None);
        let longer = end(&[(1, 3, Reached), (2, 3, OnTheWay)]);
        assert_eq!(longer.cut(), None);
    }

    #[test]
    fn port_unreachable_is_the_end_from_any_address_and_a_size_that_fits_is_none() {
        let error = |v4, icmp_type, code, mtu| Kind::Error { v4, icmp_type, code, mtu };
        for kind in [
            error(true, 3, 3, None),
            error(true, 3, 2, None),
            error(false, 1, 4, None),
            error(false, 4, 1, None),
            Kind::EchoReply,
            Kind::Reset,
            Kind::SynAck { ack: 1 },
            Kind::UdpReply,
        ] {
            assert_eq!(meaning(kind, false, 60), Meaning::Reached, "{kind:?}");
        }
        let prohibited = error(true, 3, 13, None);
        assert_eq!(meaning(prohibited, false, 60), Meaning::Refused);
        assert_eq!(meaning(prohibited, true, 60), Meaning::Reached);
        assert_eq!(meaning(error(true, 3, 4, Some(9000)), false, 60), Meaning::OnTheWay);
        assert_eq!(meaning(error(true, 3, 4, Some(1400)), false, 1500), Meaning::Refused);
        assert_eq!(meaning(error(true, 3, 4, None), false, 60), Meaning::Refused);
        assert_eq!(meaning(error(false, 2, 0, Some(1280)), true, 1500), Meaning::Refused);
        assert_eq!(meaning(error(true, 11, 1, None), false, 60), Meaning::OnTheWay);
        assert_eq!(meaning(Kind::TimeExceeded, true, 60), Meaning::OnTheWay);
    }
}
