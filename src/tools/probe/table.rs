//! [`ProbeTable`]: which probe an answer answers.
//!
//! ```text
//!            forgotten        declared lost, or answered      in flight, or answered
//!   ┌ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┬───────────────────────────────┬──────────────────────────────┐
//!   └ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┴───────────────────────────────┴──────────────────────────────┘
//!     older           first                          expiring                  newest
//! ```
//!
//! One queue in the order of sending holds all probes of all targets. Timeouts are the same for
//! all, so both limits only ever move forward, and an index finds a probe by target and sequence.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A probe that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The target, by index.
    pub target: u32,
    /// The sequence number, which goes on counting where 16 bits end.
    pub sequence: u64,
    /// When it was sent.
    pub sent_ns: u64,
}

impl Probe {
    /// The sequence number as the packet carries it.
    pub fn wire_sequence(&self) -> u16 {
        self.sequence as u16
    }
}

/// What an answer turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The first one to a probe in flight.
    First {
        /// The probe.
        probe: Probe,
        /// An answer to a later probe of this target came first.
        reordered: bool,
    },
    /// Not the first one to this probe.
    Duplicate {
        /// The probe.
        probe: Probe,
        /// How many came before.
        earlier: u32,
    },
    /// The first one to a probe that had been declared lost.
    Late {
        /// The probe.
        probe: Probe,
    },
    /// To no probe that is remembered.
    Unknown,
}

/// Why a probe must not be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefused {
    /// The probe 65536 before it is still in flight, and answers to the two could not be told
    /// apart. Expire first, or wait until it times out.
    SequenceInFlight(Probe),
    /// There is no such target.
    NoSuchTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Lost,
    /// With how many answers.
    Answered(u32),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    probe: Probe,
    state: State,
}

#[derive(Debug, Clone, Copy)]
struct TargetState {
    next_sequence: u64,
    /// One more than the highest sequence answered in time.
    answered_below: u64,
}

/// The probes in flight and those finished recently, of up to 2^32 targets.
///
/// Every operation takes constant time on average, and none allocates in the long run: memory
/// settles at the largest number of probes remembered, plus 16 bytes for each target.
#[derive(Debug)]
pub struct ProbeTable {
    timeout_ns: u64,
    retain_ns: u64,
    targets: Vec<TargetState>,
    slots: VecDeque<Slot>,
    /// Number of the slot at the front, counted from the first one ever.
    first: u64,
    /// Number of the first slot that may be in flight.
    expiring: u64,
    index: HashMap<(u32, u16), u64>,
    in_flight: usize,
    /// Clocks that go back stand still, so that `slots` stay in the order of time.
    last_ns: u64,
}

impl ProbeTable {
    /// A table of `targets` targets. A probe is lost `timeout` after it was sent, and forgotten
    /// `retain` after that: until then an answer to it is late or a duplicate, later it is
    /// unknown. Sequence numbers start at `first_sequence`.
    pub fn new(targets: usize, first_sequence: u64, timeout: Duration, retain: Duration) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let target = TargetState { next_sequence: first_sequence, answered_below: 0 };
        ProbeTable {
            timeout_ns: ns(timeout),
            retain_ns: ns(retain),
            targets: vec![target; targets],
            slots: VecDeque::new(),
            first: 0,
            expiring: 0,
            index: HashMap::new(),
            in_flight: 0,
            last_ns: 0,
        }
    }

    /// How many probes are neither answered nor declared lost.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many probes are remembered.
    pub fn remembered(&self) -> usize {
        self.slots.len()
    }

    /// Takes note of a probe to `target`, about to be sent, and numbers it.
    pub fn send(&mut self, target: u32, now_ns: u64) -> Result<Probe, SendRefused> {
        let now_ns = self.forward(now_ns);
        self.forget(now_ns);
        let state = self.targets.get_mut(target as usize).ok_or(SendRefused::NoSuchTarget)?;
        let probe = Probe { target, sequence: state.next_sequence, sent_ns: now_ns };
        let key = (target, probe.wire_sequence());
        if let Some(&number) = self.index.get(&key)
            && let Some(slot) = slot_at(&self.slots, self.first, number)
            && slot.state == State::InFlight
        {
            return Err(SendRefused::SequenceInFlight(slot.probe));
        }
        state.next_sequence += 1;
        // A finished probe with this number on the wire is forgotten here.
        self.index.insert(key, self.first + self.slots.len() as u64);
        self.slots.push_back(Slot { probe, state: State::InFlight });
        self.in_flight += 1;
        Ok(probe)
    }

    /// Notes that the newest `count` probes in flight leave together, now: they were numbered
    /// while they were written, which is no part of a round trip.
    pub fn leave(&mut self, count: usize, now_ns: u64) {
        let now_ns = self.forward(now_ns);
        let in_flight = |slot: &&mut Slot| slot.state == State::InFlight;
        for slot in self.slots.iter_mut().rev().filter(in_flight).take(count) {
            slot.probe.sent_ns = now_ns;
        }
    }

    /// Takes a probe back that could not be sent. It is neither lost nor in flight then; its
    /// sequence number stays used.
    pub fn cancel(&mut self, probe: Probe) {
        let key = (probe.target, probe.wire_sequence());
        let Some(&number) = self.index.get(&key) else { return };
        let Some(slot) = slot_at_mut(&mut self.slots, self.first, number) else { return };
        if slot.probe == probe && slot.state == State::InFlight {
            slot.state = State::Lost;
            self.in_flight -= 1;
            self.index.remove(&key);
        }
    }

    /// Finds out what an answer from `target` with `wire_sequence` is. It is in time as long as
    /// [`expire`](Self::expire) has not declared its probe lost.
    pub fn answer(&mut self, target: u32, wire_sequence: u16) -> Answer {
        let Some(&number) = self.index.get(&(target, wire_sequence)) else {
            return Answer::Unknown;
        };
        let Some(slot) = slot_at_mut(&mut self.slots, self.first, number) else {
            return Answer::Unknown;
        };
        let probe = slot.probe;
        match slot.state {
            State::InFlight => {
                slot.state = State::Answered(1);
                self.in_flight -= 1;
                let reordered = self.targets.get_mut(target as usize).is_some_and(|state| {
                    let reordered = probe.sequence < state.answered_below;
                    state.answered_below = state.answered_below.max(probe.sequence + 1);
                    reordered
                });
                Answer::First { probe, reordered }
            }
            State::Lost => {
                slot.state = State::Answered(1);
                Answer::Late { probe }
            }
            State::Answered(earlier) => {
                slot.state = State::Answered(earlier.saturating_add(1));
                Answer::Duplicate { probe, earlier }
            }
        }
    }

    /// As [`answer`](Self::answer), for answers that echo the whole sequence number in their
    /// payload: these cannot be taken for the answer to a later probe with the same 16 bits.
    pub fn answer_exactly(&mut self, target: u32, sequence: u64) -> Answer {
        let known = self
            .index
            .get(&(target, sequence as u16))
            .and_then(|&number| slot_at(&self.slots, self.first, number));
        match known {
            Some(slot) if slot.probe.sequence == sequence => self.answer(target, sequence as u16),
            _ => Answer::Unknown,
        }
    }

    /// Declares the next probe lost whose timeout has passed, in the order of sending. Call until
    /// `None`.
    pub fn expire(&mut self, now_ns: u64) -> Option<Probe> {
        let now_ns = self.forward(now_ns);
        if self.next_deadline_ns().is_some_and(|deadline| deadline <= now_ns) {
            return self.lose();
        }
        self.forget(now_ns);
        None
    }

    /// Declares the next probe in flight lost, whatever its time. Call until `None`.
    pub fn lose(&mut self) -> Option<Probe> {
        self.next_deadline_ns()?;
        let slot = slot_at_mut(&mut self.slots, self.first, self.expiring)?;
        slot.state = State::Lost;
        self.in_flight -= 1;
        self.expiring += 1;
        Some(slot.probe)
    }

    /// When the oldest probe in flight times out.
    pub fn next_deadline_ns(&mut self) -> Option<u64> {
        while let Some(slot) = slot_at(&self.slots, self.first, self.expiring) {
            if slot.state == State::InFlight {
                return Some(slot.probe.sent_ns.saturating_add(self.timeout_ns));
            }
            self.expiring += 1;
        }
        None
    }

    /// Drops finished probes from the front: those remembered long enough, and those whose number
    /// on the wire is in use again.
    fn forget(&mut self, now_ns: u64) {
        while let Some(slot) = self.slots.front().filter(|slot| slot.state != State::InFlight) {
            let key = (slot.probe.target, slot.probe.wire_sequence());
            let kept = self.timeout_ns.saturating_add(self.retain_ns);
            let indexed = self.index.get(&key) == Some(&self.first);
            if indexed {
                if slot.probe.sent_ns.saturating_add(kept) > now_ns {
                    return;
                }
                self.index.remove(&key);
            }
            self.slots.pop_front();
            self.first += 1;
            self.expiring = self.expiring.max(self.first);
        }
    }

    fn forward(&mut self, now_ns: u64) -> u64 {
        self.last_ns = self.last_ns.max(now_ns);
        self.last_ns
    }
}

fn slot_at(slots: &VecDeque<Slot>, first: u64, number: u64) -> Option<&Slot> {
    slots.get(usize::try_from(number.checked_sub(first)?).ok()?)
}

fn slot_at_mut(slots: &mut VecDeque<Slot>, first: u64, number: u64) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
}

#[cfg(test)]
mod tests;
