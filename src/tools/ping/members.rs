//! [`Members`]: who answers for a group, and how often.

use super::event::{Answerer, Brief};
use crate::tools::probe::Zoned;
use std::collections::HashMap;
use std::net::IpAddr;

/// Most members that are told apart; what more there are is counted as if it were one.
const MOST: usize = 65_536;
/// How many probes back a second answer of a member is known as one.
const WINDOW: u64 = 128;

/// One member.
#[derive(Clone, Copy, Debug)]
struct Member {
    address: IpAddr,
    received: u64,
    duplicates: u64,
    /// Newest probe that it answered.
    newest: u64,
    /// Which of the probes before that it answered: bit 0 is the newest.
    answered: u128,
    times: Option<(u64, u64, u64)>,
}

/// The members of a group that answered, in the order of their first answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
    by_address: HashMap<IpAddr, usize>,
}

impl Members {
    /// Takes note of an answer of `address` to probe `sequence`; whether it is its first one to that.
    pub(super) fn answered(&mut self, address: IpAddr, sequence: u64) -> bool {
        let at = match self.by_address.get(&address) {
            Some(&at) => at,
            None if self.all.len() >= MOST => return true,
            None => {
                let (received, duplicates) = (0, 0);
                let (newest, answered, times) = (sequence, 0, None);
                self.all.push(Member { address, received, duplicates, newest, answered, times });
                self.by_address.insert(address, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let member = &mut self.all[at];
        if sequence > member.newest {
            let ahead = sequence - member.newest;
            member.answered = if ahead < WINDOW { member.answered << ahead } else { 0 };
            member.newest = sequence;
        }
        let bit = 1_u128.checked_shl((member.newest - sequence).min(WINDOW) as u32).unwrap_or(0);
        let fresh = member.answered & bit == 0;
        member.answered |= bit;
        if fresh {
            member.received += 1;
        } else {
            member.duplicates += 1;
        }
        fresh
    }

    /// Takes note of how long a member's answer took.
    pub(super) fn took(&mut self, address: IpAddr, ns: u64) {
        let Some(&at) = self.by_address.get(&address) else { return };
        let (min, sum, max) = self.all[at].times.unwrap_or((u64::MAX, 0, 0));
        self.all[at].times = Some((min.min(ns), sum.saturating_add(ns), max.max(ns)));
    }

    /// Each with its numbers.
    pub(super) fn answerers(&self, zoned: impl Fn(IpAddr) -> Zoned) -> Vec<Answerer> {
        let us = |ns: u64| ns as f64 / 1e3;
        let answerer = |member: &Member| Answerer {
            address: zoned(member.address),
            received: member.received,
            duplicates: member.duplicates,
            rtt_us: member.times.map(|(min, sum, max)| Brief {
                min: us(min),
                mean: us(sum) / member.received.max(1) as f64,
                max: us(max),
            }),
        };
        self.all.iter().map(answerer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_answer_of_the_same_member_alone_is_a_duplicate() {
        let mut members = Members::default();
        let [a, b]: [IpAddr; 2] = [[10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
        assert!(members.answered(a, 1) && members.answered(b, 1));
        assert!(!members.answered(a, 1));
        // In any order, and over gaps.
        assert!(members.answered(a, 9) && members.answered(a, 3) && !members.answered(a, 3));
        assert!(!members.answered(a, 9) && !members.answered(a, 1));
        assert!(members.answered(a, 1000) && !members.answered(a, 1000) && members.answered(a, 9));
        for (took, from) in [(1_000, a), (3_000, a), (2_000, b)] {
            members.took(from, took);
        }
        let told = members.answerers(Zoned::from);
        assert_eq!((told[0].address.address, told[0].received, told[0].duplicates), (a, 5, 5));
        assert_eq!((told[1].address.address, told[1].received, told[1].duplicates), (b, 1, 0));
        assert_eq!(told[1].rtt_us.map(|rtt| (rtt.min, rtt.mean, rtt.max)), Some((2.0, 2.0, 2.0)));
    }
}
