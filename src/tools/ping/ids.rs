//! [`EchoIds`]: which identifier and sequence number on the wire stand for which probe.
//!
//! ```text
//!   identifier = base + slot × 4 + bits 16 and 17 of the sequence number
//!   slot: 0 for a host that is given once, 1 for its first copy, …; behind these one for each group
//! ```

use super::mark::{Claim, Mark};
use crate::error::{FluxError, Result};
use crate::tools::probe::Path;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Identifiers of a slot: with them a sequence number has 18 bits, so that an answer without a mark
/// is not taken for one to the probe 65536 later.
const IDS_PER_SLOT: u16 = 4;
/// Sequence numbers that identifier and sequence field tell apart, where there is no mark.
pub(super) const SEQUENCES: u64 = IDS_PER_SLOT as u64 * 0x1_0000;
/// Most slots: what remains of 16 bits of identifier.
const MAX_SLOTS: u16 = 1024;
/// First identifier on the simulated network, where two runs are to be alike.
const SIMULATED_ID: u16 = 0x4658;

/// What says that an answer is ours and not of another program that has the same identifier: random,
/// at the front of the payload.
pub(super) type Token = [u8; 8];
/// The one on the simulated network.
const SIMULATED_TOKEN: Token = *b"flux\x15\xca\x1e\x5e";
/// How often an identifier is chosen anew that somebody else uses.
const TRIES: usize = 64;

/// The identifiers of a run.
pub(super) struct EchoIds {
    base: u16,
    token: Token,
    /// How many slots there are.
    slots: u16,
    /// By target.
    slot_of: Vec<u16>,
    /// Hosts, by address and slot.
    by_address: HashMap<(IpAddr, u16), u32>,
    /// Groups: answers come from addresses of their members.
    by_slot: HashMap<u16, u32>,
    /// The one target of its slot, by slot; `None` where several share it.
    alone: Vec<Option<u32>>,
}

impl EchoIds {
    /// Of these targets. None that is in `used`, nor those of another run at the same time, as far as
    /// chance can do that.
    pub(super) fn new(paths: &[Path], simulated: bool, used: &[u16]) -> Result<Self> {
        let (slot_of, slots) = assign(paths)?;
        let span = slots.saturating_mul(IDS_PER_SLOT).max(1);
        let room = u16::MAX - span;
        let random = || RandomState::new().build_hasher().finish();
        let base = |wish: u16| wish % room + 1;
        let free = |&base: &u16| !used.iter().any(|id| (base..base + span).contains(id));
        let (base, token) = if simulated {
            (base(SIMULATED_ID), SIMULATED_TOKEN)
        } else {
            let mut tries = (0..TRIES).map(|_| base(random() as u16));
            (tries.find(free).unwrap_or_else(|| base(random() as u16)), random().to_ne_bytes())
        };
        let (mut by_address, mut by_slot) = (HashMap::new(), HashMap::new());
        let (mut alone, mut taken) =
            (vec![None; usize::from(slots)], vec![false; usize::from(slots)]);
        for ((path, &slot), at) in paths.iter().zip(&slot_of).zip(0_u32..) {
            let shared = std::mem::replace(&mut taken[usize::from(slot)], true);
            alone[usize::from(slot)] = (!shared).then_some(at);
            if path.multicast {
                by_slot.insert(slot, at);
            } else {
                by_address.insert((path.address, slot), at);
            }
        }
        Ok(Self { base, token, slots, slot_of, by_address, by_slot, alone })
    }

    /// The token of probes with `size` bytes of payload; `None` where it has no room.
    pub(super) fn token(&self, size: usize) -> Option<Token> {
        (size >= self.token.len()).then_some(self.token)
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

    /// The target and the sequence number that an answer from `address`, or an error about a probe to
    /// it, names; `None` if no such probe was sent. `claim` is what its payload says. `last` knows the
    /// newest sequence number of a target.
    pub(super) fn find(
        &self,
        address: IpAddr,
        (id, seq): (u16, u16),
        claim: Claim,
        last: impl Fn(usize) -> u64,
    ) -> Option<(usize, u64)> {
        let offset = id.checked_sub(self.base)?;
        let (slot, generation) = (offset / IDS_PER_SLOT, offset % IDS_PER_SLOT);
        if let Claim::Marked(mark) = claim
            && let Some(found) = self.marked(mark, (id, seq), &last)
        {
            return Some(found);
        }
        let anybody = || *self.alone.get(usize::from(slot)).filter(|_| claim == Claim::Ours)?;
        let group = self.by_slot.get(&slot).or_else(|| self.by_address.get(&(address, slot)));
        let target = group.copied().or_else(anybody)? as usize;
        let last = last(target);
        let low = u64::from(generation) << 16 | u64::from(seq);
        // The newest probe with these 18 bits.
        let age = last.wrapping_sub(low) % SEQUENCES;
        let sequence = last.checked_sub(age).filter(|&sequence| sequence > 0)?;
        Some((target, sequence))
    }

    /// The probe that a mark names, if identifier and sequence number agree with it.
    fn marked(
        &self,
        mark: Mark,
        (id, seq): (u16, u16),
        last: impl Fn(usize) -> u64,
    ) -> Option<(usize, u64)> {
        let (target, sequence) = self.named(mark, last)?;
        let agree = (id, seq) == (self.id_of(target, sequence), sequence as u16);
        agree.then_some((target, sequence))
    }

    /// The probe that a mark names, whatever identifier and sequence number say.
    pub(super) fn named(&self, mark: Mark, last: impl Fn(usize) -> u64) -> Option<(usize, u64)> {
        let target = mark.target as usize;
        let known = target < self.slot_of.len();
        Some((target, mark.sequence(known.then(|| last(target))?)?))
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

    fn paths(targets: &[&str]) -> Vec<Path> {
        let path = |target: &&str| Path::between([10, 0, 0, 1].into(), target.parse().unwrap());
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
    fn an_identifier_that_a_socket_has_is_not_taken() {
        let paths = paths(&["10.0.0.2"]);
        let used: Vec<u16> = (0..=u16::MAX).filter(|id| !(16_384..50_000).contains(id)).collect();
        for _ in 0..100 {
            let range = EchoIds::new(&paths, false, &used).unwrap().range();
            assert!(!used.iter().any(|id| range.contains(id)), "{range:?}");
        }
        // With none left, chance and the token have to do.
        let all: Vec<u16> = (0..=u16::MAX).collect();
        assert!(*EchoIds::new(&paths, false, &all).unwrap().range().start() > 0);
    }

    #[test]
    fn there_is_a_token_where_the_payload_has_room() {
        let ids = EchoIds::new(&paths(&["10.0.0.2"]), true, &[]).unwrap();
        assert_eq!((ids.token(7), ids.token(8)), (None, Some(SIMULATED_TOKEN)));
    }

    #[test]
    fn an_answer_without_a_mark_names_the_newest_probe_with_its_18_bits() {
        let ids = EchoIds::new(&paths(&["10.0.0.2", "10.0.0.2", "224.0.0.1"]), true, &[]).unwrap();
        let host: IpAddr = [10, 0, 0, 2].into();
        let find = |from, id, seq, last: u64| ids.find(from, (id, seq), Claim::Silent, |_| last);
        for (target, from) in [(0, host), (1, host), (2, [10, 0, 0, 9].into())] {
            for sequence in [1_u64, 65_535, 65_536, 262_144, 1_000_000] {
                let id = ids.id_of(target, sequence);
                assert!(ids.range().contains(&id));
                let found = |last| find(from, id, sequence as u16, last);
                assert_eq!(found(sequence), Some((target, sequence)));
                assert_eq!(found(sequence + SEQUENCES - 1), Some((target, sequence)));
                assert_eq!(found(sequence + SEQUENCES), Some((target, sequence + SEQUENCES)));
            }
            assert_eq!(find(from, ids.id_of(target, 5), 5, 4), None, "not sent yet");
        }
        assert_eq!(find([10, 0, 0, 3].into(), *ids.range().start(), 1, 9), None);
        assert_eq!(find(host, *ids.range().start() - 1, 1, 9), None);
    }

    #[test]
    fn a_mark_names_the_probe_from_any_address_and_however_old_it_is() {
        let ids = EchoIds::new(&paths(&["10.0.0.2", "10.0.0.3", "10.0.0.2"]), true, &[]).unwrap();
        let foreign: IpAddr = [10, 9, 9, 9].into();
        let last = |_| 1_000_000;
        for target in 0..3_u32 {
            for sequence in [1_u64, 65_536, 262_145, 1_000_000] {
                let id = ids.id_of(target as usize, sequence);
                let claim = Claim::Marked(Mark::of(target, sequence));
                let found = ids.find(foreign, (id, sequence as u16), claim, last);
                assert_eq!(found, Some((target as usize, sequence)));
                // A mark that identifier and number do not agree with names nothing.
                let wrong = Claim::Marked(Mark::of(target, sequence + (1 << 16)));
                assert_eq!(ids.find(foreign, (id, sequence as u16), wrong, last), None);
            }
            let claim = Claim::Marked(Mark::of(target, 1_000_001));
            let id = ids.id_of(target as usize, 1_000_001);
            assert_eq!(ids.find(foreign, (id, 1_000_001_u64 as u16), claim, last), None);
        }
        // Without room for a mark it must be the only target of its slot.
        let id = |target| (ids.id_of(target, 5), 5);
        assert_eq!(ids.find(foreign, id(0), Claim::Ours, last), None);
        assert_eq!(ids.find(foreign, id(2), Claim::Ours, |_| 9), Some((2, 5)));
        assert_eq!(ids.find(foreign, id(2), Claim::Silent, last), None);
    }
}
