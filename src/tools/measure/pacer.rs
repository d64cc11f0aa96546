//! [`Pacer`]: when the next packet may be sent.

use super::rate::{BitRate, Rate};
use std::time::Duration;

/// Decides how many packets may be sent at a given time, and when the next one is due.
///
/// A token bucket in whole numbers: a nanosecond earns `rate.packets` credits and a packet costs
/// `rate.period_ns`, so nothing is ever rounded and nothing drifts.
///
/// It counts packets, or bytes where it was made by [`Pacer::of_bits`]: there a packet may go once
/// one byte is due, and what it has beyond is owed, so that packets of all lengths keep the rate.
///
/// - In any window of `w`, at most `rate * w + burst` packets go.
/// - Whoever asks less than `burst - 1` intervals late each time has sent `rate * t`, ±1, after
///   any time `t`. Being later than that forfeits what did not fit into the burst. So a pacer
///   that must keep its beat although its caller wakes up late needs a burst of at least 2.
#[derive(Debug, Clone)]
pub struct Pacer {
    rate: Rate,
    burst: u32,
    /// Below zero after more was sent than was due.
    credit: i128,
    updated_ns: u64,
}

impl Pacer {
    /// Starts at `now_ns`, with one packet due at once. A burst of 0 counts as 1.
    pub fn new(rate: Rate, burst: u32, now_ns: u64) -> Self {
        let credit = i128::from(rate.period_ns);
        Pacer { rate, burst: burst.max(1), credit, updated_ns: now_ns }
    }

    /// The same in bits: what is due and spent are bytes (without frame check sequence), and so is
    /// the burst.
    pub fn of_bits(rate: BitRate, burst_bytes: u32, now_ns: u64) -> Self {
        Self::new(rate.bytes(), burst_bytes, now_ns)
    }

    /// The same with the whole burst due at once.
    #[must_use]
    pub fn full(mut self) -> Self {
        self.credit = self.cost() * i128::from(self.burst);
        self
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many packets may be sent at `now_ns`; no more than the burst. A clock that goes back
    /// stands still.
    pub fn due(&mut self, now_ns: u64) -> u32 {
        self.earn(now_ns);
        // At most `burst`, by the cap in earn().
        u32::try_from(self.credit / self.cost()).unwrap_or(0)
    }

    /// Takes note that `packets` were sent. More than were due are owed, and delay the next one.
    pub fn spend(&mut self, packets: u32) {
        self.credit -= self.cost() * i128::from(packets);
    }

    /// The time at which at least one packet is due: the last time known, if one is due by then.
    pub fn next_due_ns(&self) -> u64 {
        let missing = self.cost() - self.credit;
        if missing <= 0 {
            return self.updated_ns;
        }
        let per_ns = i128::from(self.rate.packets);
        let wait = (missing + per_ns - 1) / per_ns;
        self.updated_ns.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// Changes the rate from `now_ns` on. What was earned so far stays earned.
    pub fn set_rate(&mut self, rate: Rate, now_ns: u64) {
        self.earn(now_ns);
        // Fractions of a packet shrink or grow with its cost; rounded down, never in our favour.
        let (old, new) = (self.cost(), i128::from(rate.period_ns));
        let (whole, part) = (self.credit.div_euclid(old), self.credit.rem_euclid(old));
        self.credit = whole * new + part * new / old;
        self.rate = rate;
    }

    fn earn(&mut self, now_ns: u64) {
        let elapsed = now_ns.saturating_sub(self.updated_ns);
        self.updated_ns = self.updated_ns.max(now_ns);
        let earned = i128::from(elapsed) * i128::from(self.rate.packets);
        let cap = self.cost() * i128::from(self.burst);
        self.credit = self.credit.saturating_add(earned).min(cap);
    }

    fn cost(&self) -> i128 {
        i128::from(self.rate.period_ns)
    }
}

/// Nanoseconds; plans stay below a hundred years.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::rate::NS_PER_SECOND;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_pacer_has_its_burst_due_and_then_keeps_the_rate() {
        let rate = Rate::per_second(1000).unwrap();
        let mut pacer = Pacer::new(rate, 5, 0).full();
        assert_eq!(pacer.due(0), 5);
        pacer.spend(5);
        assert_eq!((pacer.due(0), pacer.next_due_ns()), (0, 1_000_000));
    }

    #[test]
    fn the_first_packet_is_due_at_once_and_the_second_an_interval_later() {
        let mut pacer = Pacer::new(Rate::every(Duration::from_secs(1)).unwrap(), 1, 500);
        assert_eq!(pacer.due(500), 1);
        pacer.spend(1);
        assert_eq!(pacer.due(500), 0);
        assert_eq!(pacer.next_due_ns(), 1_000_000_500);
        assert_eq!(pacer.due(1_000_000_499), 0);
        assert_eq!(pacer.due(1_000_000_500), 1);
    }

    #[test]
    fn a_rate_that_divides_no_nanosecond_does_not_drift_in_a_day() {
        let rate = Rate::per_second(1_333_337).unwrap();
        let mut pacer = Pacer::new(rate, 32, 0);
        let (mut sent, mut now, step) = (0_u64, 0, 7_654);
        while now < 60 * NS_PER_SECOND {
            let due = pacer.due(now);
            pacer.spend(due);
            sent += u64::from(due);
            now += step;
        }
        assert!(sent.abs_diff(rate.packets_in(now - step)) <= 1, "{sent}");
        // A day in hours-long steps, with a burst that holds them.
        let rate = Rate::per_second(3).unwrap();
        let mut pacer = Pacer::new(rate, u32::MAX, 0);
        let hour = 3600 * NS_PER_SECOND + 1;
        let mut sent = 0;
        for step in 0..=24 {
            let due = pacer.due(step * hour);
            pacer.spend(due);
            sent += u64::from(due);
        }
        assert_eq!(sent, 1 + rate.packets_in(24 * hour));
    }

    #[test]
    fn a_long_silence_earns_no_more_than_the_burst() {
        let mut pacer = Pacer::new(Rate::per_second(1000).unwrap(), 8, 0);
        assert_eq!(pacer.due(u64::MAX), 8);
    }

    #[test]
    fn sending_more_than_is_due_is_paid_back() {
        let mut pacer = Pacer::new(Rate::per_second(1000).unwrap(), 4, 0);
        pacer.spend(5);
        assert_eq!(pacer.next_due_ns(), 5_000_000);
        assert_eq!(pacer.due(4_999_999), 0);
        assert_eq!(pacer.due(5_000_000), 1);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_rate_and_the_burst(
            packets in 1_u64..50_000_000,
            burst in 1_u32..100,
            steps in prop::collection::vec((0_u64..3_000_000, 0_u32..200), 1..200),
        ) {
            let rate = Rate::per_second(packets).unwrap();
            let mut pacer = Pacer::new(rate, burst, 0);
            let mut sends = Vec::new();
            let mut now = 0;
            for (step, want) in steps {
                now += step;
                let sent = pacer.due(now).min(want);
                pacer.spend(sent);
                sends.push((now, u64::from(sent)));
            }
            for (first, &(from, _)) in sends.iter().enumerate() {
                let mut sum = 0;
                for &(to, sent) in &sends[first..] {
                    sum += sent;
                    prop_assert!(sum <= rate.packets_in(to - from) + u64::from(burst));
                }
            }
        }

        #[test]
        fn a_caller_that_comes_when_told_to_sends_rate_times_time(
            period in 1_u64..10_000_000_000, count in 1_u32..2000,
        ) {
            let rate = Rate { packets: 7, period_ns: period };
            let mut pacer = Pacer::new(rate, 1, 1_000);
            for sent in 0..u64::from(count) {
                let now = pacer.next_due_ns();
                prop_assert_eq!(pacer.due(now), 1);
                if now > 1_000 { prop_assert_eq!(pacer.clone().due(now - 1), 1); }
                pacer.spend(1);
                prop_assert!((sent + 1).abs_diff(rate.packets_in(now - 1_000)) <= 1);
            }
        }

        #[test]
        fn packets_of_all_lengths_keep_the_bits_a_second(
            bits in 1_000_u64..100_000_000_000,
            lengths in prop::collection::vec(60_u32..9000, 1..200),
        ) {
            let rate = BitRate::per_second(bits).unwrap();
            // What a nanosecond earns fits in, or it would be lost.
            let mut pacer = Pacer::of_bits(rate, 64, 0);
            let (mut sent, mut last) = (0_u64, 0);
            for length in lengths {
                let now = pacer.next_due_ns();
                prop_assert!(pacer.due(now) >= 1);
                // Before each packet, what went before has had its time, to what a nanosecond earns.
                let due = rate.bytes().packets_in(now);
                prop_assert!(sent.abs_diff(due) <= 14, "{} bytes of {}", sent, due);
                prop_assert!(now >= last);
                pacer.spend(length);
                (sent, last) = (sent + u64::from(length), now);
            }
        }

        #[test]
        fn waking_late_keeps_the_beat_if_the_burst_covers_it(
            late in prop::collection::vec(0_u64..1_000_000, 1..500),
        ) {
            // Less than one interval late each time, with a burst of two.
            let rate = Rate::per_second(1000).unwrap();
            let mut pacer = Pacer::new(rate, 2, 0);
            let mut sent = 0;
            for late in late {
                let now = pacer.next_due_ns() + late;
                let due = pacer.due(now);
                pacer.spend(due);
                sent += u64::from(due);
                prop_assert!(sent.abs_diff(rate.packets_in(now)) <= 1);
            }
        }

        #[test]
        fn a_changed_rate_holds_from_then_on(
            before in 1_u64..1_000_000, after in 1_u64..1_000_000, at in 0_u64..1_000_000_000,
        ) {
            let mut pacer = Pacer::new(Rate::per_second(before).unwrap(), 1, 0);
            let due = pacer.due(at);
            pacer.spend(due);
            pacer.set_rate(Rate::per_second(after).unwrap(), at);
            prop_assert!(pacer.next_due_ns() - at <= NS_PER_SECOND.div_ceil(after));
        }
    }
}
