//! What happens to a packet between two ends of a link.

use super::clock::nanos;
use super::vlan;
use rand_xoshiro::Xoshiro256StarStar;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// Bytes that wait for a rate-limited link before the next packet is dropped: 100 full frames.
const DEFAULT_QUEUE_BYTES: u64 = 150_000;

/// How much later than its turn a reordered packet arrives.
const REORDER_NS: u64 = 1_000_000;

/// What a link does to the packets of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Time on the way.
    pub delay: Duration,
    /// Up to this much more, evenly distributed. Order is kept.
    pub jitter: Duration,
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of packets that arrive 1 ms after their turn, so that later ones overtake, 0 to 1.
    pub reorder: f64,
    /// Share of packets with one bit flipped behind the Ethernet header, 0 to 1.
    pub corrupt: f64,
    /// Bits per second; `None`: no limit.
    pub rate: Option<u64>,
    /// Bytes that may wait when there is a rate; what comes on top is lost.
    pub queue_bytes: u64,
    /// The VLAN tags that packets arrive with instead of their own, outermost first: a switch that
    /// mixes VLANs up.
    pub vlan: Option<Vec<u16>>,
}

impl Default for Profile {
    /// A perfect wire: no delay, no loss.
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            rate: None,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            vlan: None,
        }
    }
}

impl Profile {
    /// A perfect wire with this delay.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    fn is_plain(&self) -> bool {
        self.rate.is_none()
            && self.vlan.is_none()
            && self.jitter.is_zero()
            && [self.loss, self.duplicate, self.reorder, self.corrupt].iter().all(|&p| p <= 0.0)
    }
}

/// One direction of a link.
pub(super) struct LinkDirection {
    /// Receiving node and its interface.
    pub(super) to: (usize, usize),
    profile: Profile,
    plain: bool,
    /// What is sent by it is lost.
    pub(super) down: bool,
    delay_ns: u64,
    jitter_ns: u64,
    rng: Xoshiro256StarStar,
    /// When the last bit accepted so far has left.
    busy_until: u64,
    /// When the last packet that kept its turn arrives.
    last_arrival: u64,
}

/// What became of one packet: when it arrives, once or twice or not at all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) arrival: Option<u64>,
    pub(super) again: Option<u64>,
}

impl LinkDirection {
    pub(super) fn new(to: (usize, usize), profile: Profile, seed: u64) -> Self {
        Self {
            to,
            plain: profile.is_plain(),
            down: false,
            delay_ns: nanos(profile.delay),
            jitter_ns: nanos(profile.jitter),
            profile,
            rng: Xoshiro256StarStar::seed_from_u64(seed),
            busy_until: 0,
            last_arrival: 0,
        }
    }

    /// Sends `packet` at `now`. A bit of it may flip, and its VLAN tags may change.
    pub(super) fn send(&mut self, packet: &mut Vec<u8>, now: u64) -> Passage {
        if self.down {
            return Passage::default();
        }
        if self.plain {
            return Passage { arrival: Some(now.saturating_add(self.delay_ns)), again: None };
        }
        let mut departure = now;
        if let Some(rate) = self.profile.rate {
            let backlog_ns = self.busy_until.saturating_sub(now);
            if bytes_in(backlog_ns, rate) > self.profile.queue_bytes {
                return Passage::default();
            }
            departure = now.max(self.busy_until).saturating_add(time_of(packet.len(), rate));
            self.busy_until = departure;
        }
        if self.happens(self.profile.loss) {
            return Passage::default();
        }
        if self.happens(self.profile.corrupt) {
            self.flip(packet);
        }
        if let Some(vlans) = &self.profile.vlan {
            vlan::retag(packet, vlans);
        }
        let mut arrival = departure.saturating_add(self.delay_ns);
        if self.jitter_ns > 0 {
            let late = self.rng.next_u64() % self.jitter_ns.saturating_add(1);
            arrival = arrival.saturating_add(late);
        }
        if self.happens(self.profile.reorder) {
            arrival = arrival.saturating_add(REORDER_NS);
        } else {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        let again = self.happens(self.profile.duplicate).then_some(arrival);
        Passage { arrival: Some(arrival), again }
    }

    fn happens(&mut self, share: f64) -> bool {
        // 53 bits, the precision of the share.
        share > 0.0 && ((self.rng.next_u64() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    fn flip(&mut self, packet: &mut [u8]) {
        let from = if packet.len() > 14 { 14 } else { 0 };
        let bits = (packet.len() - from) as u64 * 8;
        if bits > 0 {
            let bit = self.rng.next_u64() % bits;
            packet[from + (bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

fn time_of(bytes: usize, rate: u64) -> u64 {
    let ns = bytes as u128 * 8 * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX / 4)
}

fn bytes_in(ns: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(ns) * u128::from(rate) / 8_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(profile: Profile) -> LinkDirection {
        LinkDirection::new((0, 0), profile, 7)
    }

    #[test]
    fn a_plain_link_only_takes_time() {
        let mut direction = direction(Profile::delay(Duration::from_micros(50)));
        let mut packet = vec![1, 2, 3];
        let passage = direction.send(&mut packet, 1000);
        assert_eq!(passage, Passage { arrival: Some(51_000), again: None });
        assert_eq!(packet, [1, 2, 3]);
    }

    #[test]
    fn a_rate_spaces_packets_out_and_a_full_queue_loses_them() {
        let mut direction = direction(Profile {
            rate: Some(1_000_000_000),
            queue_bytes: 3000,
            ..Profile::default()
        });
        let arrivals: Vec<_> =
            (0..6).map(|_| direction.send(&mut vec![0; 1250], 0).arrival).collect();
        // 1250 bytes take 10 µs at 1 Gbit/s; 3000 bytes may wait besides the one that arrives.
        let at = |n: u64| Some(n * 10_000);
        assert_eq!(arrivals, [at(1), at(2), at(3), None, None, None]);
    }

    #[test]
    fn shares_are_kept_and_jitter_keeps_the_order() {
        let profile = Profile {
            loss: 0.3,
            duplicate: 0.1,
            jitter: Duration::from_micros(10),
            ..Profile::default()
        };
        let mut direction = direction(profile);
        let (mut lost, mut twice, mut last) = (0, 0, 0);
        for now in 0..10_000 {
            let passage = direction.send(&mut vec![0; 60], now);
            lost += u32::from(passage.arrival.is_none());
            twice += u32::from(passage.again.is_some());
            if let Some(at) = passage.arrival {
                assert!(at >= last && at <= now + 10_000 || at == last);
                last = at;
            }
        }
        assert!((2850..=3150).contains(&lost), "{lost} lost");
        assert!((620..=780).contains(&twice), "{twice} twice");
    }

    #[test]
    fn corruption_flips_one_bit_behind_the_ethernet_header() {
        let mut direction = direction(Profile { corrupt: 1.0, ..Profile::default() });
        for _ in 0..200 {
            let mut packet = vec![0u8; 60];
            direction.send(&mut packet, 0);
            assert_eq!(packet.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
            assert_eq!(packet[..14], [0; 14]);
        }
    }

    #[test]
    fn a_reordered_packet_is_overtaken() {
        let mut direction = direction(Profile { reorder: 0.5, ..Profile::default() });
        let arrivals: Vec<_> =
            (0..50).filter_map(|t| direction.send(&mut vec![0; 60], t).arrival).collect();
        assert!(arrivals.windows(2).any(|w| w[0] > w[1]));
    }
}
