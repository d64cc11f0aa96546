//! [`Rate`]: packets in a time; [`BitRate`]: bits in a time.

use std::time::Duration;

pub(crate) const NS_PER_SECOND: u64 = 1_000_000_000;

/// A packet rate: a number of packets per number of nanoseconds, kept as these two whole numbers,
/// so that nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    pub(super) packets: u64,
    pub(super) period_ns: u64,
}

impl Rate {
    /// `packets` a second; `None` for zero.
    pub fn per_second(packets: u64) -> Option<Self> {
        (packets > 0).then_some(Rate { packets, period_ns: NS_PER_SECOND })
    }

    /// A rate that need not be whole, such as 0.2 a second, to the nearest millionth of a packet.
    /// `None` unless that is above zero and below 10^12.
    pub fn per_second_f64(packets: f64) -> Option<Self> {
        let millionths = (packets * 1e6).round();
        if !(1.0..1e18).contains(&millionths) {
            return None;
        }
        Some(Rate { packets: millionths as u64, period_ns: NS_PER_SECOND * 1_000_000 })
    }

    /// One packet every `interval`; `None` for zero, or more than 500 years.
    pub fn every(interval: Duration) -> Option<Self> {
        let period_ns = u64::try_from(interval.as_nanos()).ok()?;
        (period_ns > 0).then_some(Rate { packets: 1, period_ns })
    }

    /// Packets a second, for display.
    pub fn packets_per_second(self) -> f64 {
        self.packets as f64 * NS_PER_SECOND as f64 / self.period_ns as f64
    }

    /// The mean time between two packets, rounded to the nanosecond.
    pub fn interval(self) -> Duration {
        Duration::from_nanos((self.period_ns + self.packets / 2) / self.packets)
    }

    /// How many packets are due in `elapsed_ns`, the first one at its end.
    pub fn packets_in(self, elapsed_ns: u64) -> u64 {
        let packets = u128::from(elapsed_ns) * u128::from(self.packets) / self.period_ns as u128;
        u64::try_from(packets).unwrap_or(u64::MAX)
    }

    /// The first nanosecond in which `packets` packets are due, the inverse of
    /// [`packets_in`](Self::packets_in); `u64::MAX` where it lies beyond.
    pub fn time_of_ns(self, packets: u64) -> u64 {
        let ns =
            (u128::from(packets) * u128::from(self.period_ns)).div_ceil(u128::from(self.packets));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// A rate in bits per second. What counts is the Ethernet frame as a ring holds it, from the
/// addresses to the last byte of the payload: without frame check sequence, preamble and the gap
/// between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BitRate {
    bits: u64,
}

impl BitRate {
    /// `bits` a second; `None` for zero.
    pub fn per_second(bits: u64) -> Option<Self> {
        (bits > 0).then_some(BitRate { bits })
    }

    /// The rate of packets of `bytes` bytes each (without frame check sequence), exactly. `None`
    /// for zero bytes.
    pub fn of_packets(self, bytes: u32) -> Option<Rate> {
        (bytes > 0).then_some(Rate { packets: self.bits, period_ns: u64::from(bytes) * BYTE_NS })
    }

    /// Bits a second.
    pub fn bits_per_second(self) -> u64 {
        self.bits
    }

    /// The same in bytes, as a [`Rate`] whose packets are bytes.
    pub(super) fn bytes(self) -> Rate {
        Rate { packets: self.bits, period_ns: BYTE_NS }
    }
}

/// How long a byte takes at one bit a second.
const BYTE_NS: u64 = 8 * NS_PER_SECOND;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_that_make_no_sense_are_refused() {
        assert_eq!(Rate::per_second(0), None);
        assert_eq!(Rate::per_second_f64(f64::NAN), None);
        assert_eq!(Rate::per_second_f64(-1.0), None);
        assert_eq!(Rate::per_second_f64(f64::INFINITY), None);
        assert_eq!(Rate::every(Duration::ZERO), None);
        assert_eq!(Rate::per_second_f64(0.2).unwrap().interval(), Duration::from_secs(5));
        assert_eq!(BitRate::per_second(0), None);
        assert_eq!(BitRate::per_second(1).unwrap().of_packets(0), None);
    }

    #[test]
    fn bits_a_second_are_packets_a_second_of_a_length() {
        let gigabit = BitRate::per_second(1_000_000_000).unwrap();
        let packets = |bytes| gigabit.of_packets(bytes).unwrap().packets_in(NS_PER_SECOND);
        assert_eq!((packets(60), packets(125), packets(1514)), (2_083_333, 1_000_000, 82_562));
    }

    proptest! {
        #[test]
        fn a_packet_is_due_at_its_time_and_not_a_nanosecond_before(
            packets in 1_u64..1 << 40, period_ns in 1_u64..1 << 40, n in 1_u64..1 << 20,
        ) {
            let rate = Rate { packets, period_ns };
            let time = rate.time_of_ns(n);
            prop_assert!(rate.packets_in(time) >= n);
            prop_assert!(rate.packets_in(time - 1) < n);
        }
    }
}
