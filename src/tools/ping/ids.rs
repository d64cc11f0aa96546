//! [`EchoIds`]: which identifier and sequence number on the wire stand for which probe.
//!
//! ```text
//!   identifier = base + slot × 4 + bits 16 and 17 of the sequence number
//!   slot: 0 for a host that is given once, 1 for its first copy, …; behind these one for each group
//! ```

use crate::error::{FluxError, Result};
use crate::tools::probe::Path;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Identifiers of a slot: with them a sequence number has 18 bits, so that an answer is not taken
/// for one to the probe 65536 later.
const IDS_PER_SLOT: u16 = 4;
/// Sequence numbers that identifier and sequence field tell apart.
const SEQUENCES: u64 = IDS_PER_SLOT as u64 * 0x1_0000;
/// Most slots: what remains of 16 bits of identifier.
const MAX_SLOTS: u16 = 1024;
/// First identifier on the simulated network, where two runs are to be alike.
const SIMULATED_ID: u16 = 0x4658;

/// The identifiers of a run.
pub(super) struct EchoIds {
    base: u16,
    /// How many slots there are.
    slots: u16,
    /// By target.
    slot_of: Vec<u16>,
    /// Hosts, by address and slot: answers come from their own address.
    by_address: HashMap<(IpAddr, u16), u32>,
    /// Groups: answers come from addresses of their members.
    by_slot: HashMap<u16, u32>,
}

impl EchoIds {
    /// Of these targets. Not those of another run at the same time, as far as chance can do that.
    pub(super) fn new(paths: &[Path], simulated: bool) -> Result<Self> {
        let (slot_of, slots) = assign(paths)?;
        let span = slots.saturating_mul(IDS_PER_SLOT).max(1);
        let room = u16::MAX - span;
        let wish = if simulated {
            SIMULATED_ID
        } else {
            RandomState::new().build_hasher().finish() as u16
        };
        let (mut by_address, mut by_slot) = (HashMap::new(), HashMap::new());
        for ((path, &slot), at) in paths.iter().zip(&slot_of).zip(0_u32..) {
            if path.multicast {
                by_slot.insert(slot, at);
            } else {
                by_address.insert((path.address, slot), at);
            }
        }
        Ok(Self { base: wish % room + 1, slots, slot_of, by_address, by_slot })
    }

    /// All identifiers: for the filter.
    pub(super) fn range(&self) -> RangeInclusive<u16> {
        let span = self.slots.saturating_mul(IDS_PER_SLOT).max(1);
        self.base..=self.base + (span - 1)
    }

    /// The identifier of a target's probe.
    pub(super) fn id_of(&self, target: usize, sequence: u64) -> u16 {
        let generation = (sequence >> 16) as u16 % IDS_PER_SLOT;
        self.base + self.slot_of[target] * IDS_PER_SLOT + generation
    }

    /// The target and the sequence number that an answer from or about `address` names; `None` if
    /// no such probe was sent. `last` knows the newest sequence number of a target.
    pub(super) fn find(
        &self,
        address: IpAddr,
        id: u16,
        seq: u16,
        last: impl FnOnce(usize) -> u64,
    ) -> Option<(usize, u64)> {
        let offset = id.checked_sub(self.base)?;
        let (slot, generation) = (offset / IDS_PER_SLOT, offset % IDS_PER_SLOT);
        let group = self.by_slot.get(&slot);
        let target = *group.or_else(|| self.by_address.get(&(address, slot)))? as usize;
        let last = last(target);
        let low = u64::from(generation) << 16 | u64::from(seq);
        // The newest probe with these 18 bits.
        let age = last.wrapping_sub(low) % SEQUENCES;
        let sequence = last.checked_sub(age).filter(|&sequence| sequence > 0)?;
        Some((target, sequence))
    }
}

/// The slot of each target, and how many slots there are. They tell apart what address and sequence
/// number do not: the copies of a target that is given twice, and groups.
fn assign(paths: &[Path]) -> Result<(Vec<u16>, u16)> {
    let mut copies: HashMap<IpAddr, u16> = HashMap::new();
    let (mut groups, mut most) = (0_u16, 1_u16);
    let mut slots = Vec::with_capacity(paths.len());
    for path in paths {
        let count =
            if path.multicast { &mut groups } else { copies.entry(path.address).or_insert(0) };
        slots.push(*count);
        *count = count.saturating_add(1);
        if !path.multicast {
            most = most.max(*count);
        }
    }
    if groups.saturating_add(most) > MAX_SLOTS {
        return Err(FluxError::config(
            format!("{groups} groups and {most} copies of a target"),
            format!("must be at most {MAX_SLOTS} together"),
        ));
    }
    // Groups are behind the slots of single hosts, which answers from these use alone.
    let grouped = slots.iter_mut().zip(paths).filter(|(_, path)| path.multicast);
    grouped.for_each(|(slot, _)| *slot += most);
    Ok((slots, groups + most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::probe::Question;

    fn paths(targets: &[&str]) -> Vec<Path> {
        let path = |target: &&str| {
            let address: IpAddr = target.parse().unwrap();
            Path {
                name: (*target).into(),
                address,
                source: [10, 0, 0, 1].into(),
                gateway: None,
                link: 0,
                hop: 0,
                multicast: address.is_multicast(),
                zone: "sim0".into(),
                question: Question::default(),
                broken: None,
            }
        };
        targets.iter().map(path).collect()
    }

    #[test]
    fn copies_are_told_apart_and_groups_have_slots_behind_those_of_hosts() {
        let slots = |targets: &[&str]| assign(&paths(targets)).unwrap();
        assert_eq!(slots(&["10.8.0.1", "10.9.0.1", "10.8.0.1", "10.1.0.5"]), (vec![0, 0, 1, 0], 2));
        let mixed = ["224.0.0.1", "10.1.0.5", "10.1.0.5", "224.0.0.1"];
        assert_eq!(slots(&mixed), (vec![2, 0, 1, 3], 4));
        let error = assign(&paths(&["10.1.0.5"; 1025])).unwrap_err().to_string();
        assert!(error.contains("1025 copies of a target: must be at most 1024"), "{error}");
    }

    #[test]
    fn an_answer_names_the_newest_probe_with_its_18_bits() {
        let ids = EchoIds::new(&paths(&["10.0.0.2", "10.0.0.2", "224.0.0.1"]), true).unwrap();
        let host: IpAddr = [10, 0, 0, 2].into();
        for (target, from) in [(0, host), (1, host), (2, [10, 0, 0, 9].into())] {
            for sequence in [1_u64, 65_535, 65_536, 262_144, 1_000_000] {
                let id = ids.id_of(target, sequence);
                assert!(ids.range().contains(&id));
                let found = |last| ids.find(from, id, sequence as u16, |_| last);
                assert_eq!(found(sequence), Some((target, sequence)));
                assert_eq!(found(sequence + SEQUENCES - 1), Some((target, sequence)));
                assert_eq!(found(sequence + SEQUENCES), Some((target, sequence + SEQUENCES)));
            }
            assert_eq!(ids.find(from, ids.id_of(target, 5), 5, |_| 4), None, "not sent yet");
        }
        assert_eq!(ids.find([10, 0, 0, 3].into(), *ids.range().start(), 1, |_| 9), None);
        assert_eq!(ids.find(host, *ids.range().start() - 1, 1, |_| 9), None);
    }
}
