//! [`Sequences`]: which echo request an answer answers, by target and sequence number.
//!
//! All targets share one table. The timeout is the same for all of their probes, so the oldest one
//! in flight is always the next to be lost, and an index finds a probe by target and sequence.

use crate::tools::measure::pacer::ns;
use crate::tools::probe::table::{self, ProbeTable};
use std::collections::HashMap;
use std::time::Duration;

/// A probe that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// The target, by index.
    pub(super) target: u32,
    /// The sequence number, which goes on counting where 16 bits end.
    pub(super) sequence: u64,
    /// When it was sent.
    pub(super) sent_ns: u64,
    /// An ICMP error about it came.
    pub(super) failed: bool,
}

impl Probe {
    /// The sequence number as the packet carries it.
    pub(super) fn wire_sequence(&self) -> u16 {
        self.sequence as u16
    }
}

/// What an answer turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first one to a probe in flight.
    First {
        probe: Probe,
        /// An answer to a later probe of this target came first.
        reordered: bool,
    },
    /// Not the first one to this probe.
    Duplicate {
        probe: Probe,
        /// How many came before.
        earlier: u32,
    },
    /// The first one to a probe that had been declared lost.
    Late { probe: Probe },
    /// To no probe that is remembered.
    Unknown,
}

/// A probe that an ICMP error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) probe: Probe,
    /// It had been declared lost.
    pub(super) given_up: bool,
    /// There was an error about it before.
    pub(super) again: bool,
}

/// Why a probe must not be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendRefused {
    /// The probe that is a whole span of numbers before it is still in flight, and answers to the two
    /// could not be told apart. Expire first, or wait until it times out.
    SequenceInFlight(Probe),
    /// The target does not exist.
    NoSuchTarget,
}

/// What the table remembers of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Echo {
    target: u32,
    failed: bool,
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct TargetState {
    next_sequence: u64,
    /// One more than the highest sequence answered in time.
    answered_below: u64,
}

/// The probes of up to 2^32 targets, each numbered on its own.
#[derive(Debug)]
pub(super) struct Sequences {
    timeout_ns: u64,
    retain_ns: u64,
    targets: Vec<TargetState>,
    table: ProbeTable<Echo>,
    /// Serial in the table, by target and sequence number within the span.
    index: HashMap<(u32, u64), u64>,
    /// Of how many numbers each is another, less one.
    mask: u64,
    /// Clocks that go back stand still, so that the table stays in the order of time.
    last_ns: u64,
}

impl Sequences {
    /// For `targets` targets. A probe is lost `timeout` after it was sent, and forgotten `retain`
    /// after that: until then an answer to it is late or a duplicate, later it is unknown. Sequence
    /// numbers start at `first_sequence`; at most `span` of them, rounded up to a power of two, are
    /// in flight to one target.
    pub(super) fn new(
        targets: usize,
        first_sequence: u64,
        span: u64,
        (timeout, retain): (Duration, Duration),
    ) -> Self {
        let target = TargetState { next_sequence: first_sequence, answered_below: 0 };
        Self {
            timeout_ns: ns(timeout),
            retain_ns: ns(retain),
            targets: vec![target; targets],
            table: ProbeTable::default(),
            index: HashMap::new(),
            mask: span.checked_next_power_of_two().map_or(u64::MAX, |span| span - 1),
            last_ns: 0,
        }
    }

    /// How many probes are neither answered nor declared lost.
    pub(super) fn in_flight(&self) -> usize {
        self.table.in_flight()
    }

    /// Takes note of a probe to `target`, about to be sent, and numbers it.
    pub(super) fn send(&mut self, target: u32, now_ns: u64) -> Result<Probe, SendRefused> {
        let now_ns = self.forward(now_ns);
        self.forget(now_ns);
        let state = self.targets.get_mut(target as usize).ok_or(SendRefused::NoSuchTarget)?;
        let sequence = state.next_sequence;
        let key = (target, sequence & self.mask);
        if let Some(&serial) = self.index.get(&key)
            && self.table.is_in_flight(serial)
            && let Some(old) = self.table.get(serial)
        {
            return Err(SendRefused::SequenceInFlight(probe_of(old)));
        }
        state.next_sequence += 1;
        let sent = self.table.send(Echo { target, failed: false, sequence }, now_ns);
        // A finished probe with this number is forgotten here.
        self.index.insert(key, sent.serial);
        Ok(probe_of(sent))
    }

    /// Notes that the newest `count` probes in flight leave together, now: they were numbered
    /// while they were written, and that time is not part of a round trip.
    pub(super) fn leave(&mut self, count: usize, now_ns: u64) {
        let now_ns = self.forward(now_ns);
        self.table.leave_newest(count, now_ns);
    }

    /// Takes a probe back that could not be sent. It is neither lost nor in flight then; its
    /// sequence number stays used.
    pub(super) fn cancel(&mut self, probe: Probe) {
        let key = (probe.target, probe.sequence & self.mask);
        let Some(&serial) = self.index.get(&key) else { return };
        if self.table.get(serial).map(probe_of) == Some(probe)
            && self.table.give_up(serial).is_some()
        {
            self.index.remove(&key);
        }
    }

    /// Finds out what an answer from `target` to probe `sequence` is. It is in time as long as
    /// [`expire`](Self::expire) has not declared its probe lost. It is not taken for the answer to
    /// another probe a span away.
    pub(super) fn answer(&mut self, target: u32, sequence: u64) -> Answer {
        let Some(serial) = self.serial(target, sequence) else { return Answer::Unknown };
        match self.table.answer(serial) {
            table::Answer::First(probe) => {
                let reordered = self.targets.get_mut(target as usize).is_some_and(|state| {
                    let reordered = sequence < state.answered_below;
                    state.answered_below = state.answered_below.max(sequence + 1);
                    reordered
                });
                Answer::First { probe: probe_of(probe), reordered }
            }
            table::Answer::Late(probe) => Answer::Late { probe: probe_of(probe) },
            table::Answer::Duplicate { probe, earlier } => {
                Answer::Duplicate { probe: probe_of(probe), earlier }
            }
            table::Answer::Unknown => Answer::Unknown,
        }
    }

    /// Takes note of an ICMP error about a probe, which stays what it is: an answer may still come.
    /// `None` if the probe is forgotten.
    pub(super) fn fail(&mut self, target: u32, sequence: u64) -> Option<Failed> {
        let serial = self.serial(target, sequence)?;
        let in_flight = self.table.is_in_flight(serial);
        let answered = self.table.is_answered(serial);
        let echo = self.table.what_mut(serial)?;
        let again = std::mem::replace(&mut echo.failed, true);
        let probe = self.table.get(serial).map(probe_of)?;
        Some(Failed { probe, given_up: !in_flight && !answered, again })
    }

    /// Whether the probe with this number is neither answered nor given up.
    pub(super) fn is_in_flight(&self, target: u32, sequence: u64) -> bool {
        self.serial(target, sequence).is_some_and(|serial| self.table.is_in_flight(serial))
    }

    /// Whether nothing became of the probe with this number yet.
    pub(super) fn is_open(&self, target: u32, sequence: u64) -> bool {
        let Some(serial) = self.serial(target, sequence) else { return false };
        let failed = self.table.get(serial).is_some_and(|probe| probe.what.failed);
        self.table.is_in_flight(serial) && !failed
    }

    /// The probe with this number, if it is remembered.
    pub(super) fn get(&self, target: u32, sequence: u64) -> Option<Probe> {
        self.table.get(self.serial(target, sequence)?).map(probe_of)
    }

    fn serial(&self, target: u32, sequence: u64) -> Option<u64> {
        let serial = *self.index.get(&(target, sequence & self.mask))?;
        let probe = self.table.get(serial)?;
        (probe.what.sequence == sequence).then_some(serial)
    }

    /// Declares the next probe lost whose timeout has passed, in the order of sending. Call until
    /// `None`.
    pub(super) fn expire(&mut self, now_ns: u64) -> Option<Probe> {
        let now_ns = self.forward(now_ns);
        if self.next_deadline_ns().is_some_and(|deadline| deadline <= now_ns) {
            return self.lose();
        }
        self.forget(now_ns);
        None
    }

    /// Declares the next probe in flight lost, whatever its time. Call until `None`.
    pub(super) fn lose(&mut self) -> Option<Probe> {
        let oldest = self.table.oldest()?.serial;
        self.table.give_up(oldest).map(probe_of)
    }

    /// When the oldest probe in flight times out.
    pub(super) fn next_deadline_ns(&mut self) -> Option<u64> {
        self.table.oldest().map(|probe| probe.sent_ns.saturating_add(self.timeout_ns))
    }

    /// Forgets finished probes: those remembered long enough, and those whose number is in
    /// use again.
    fn forget(&mut self, now_ns: u64) {
        let kept = self.timeout_ns.saturating_add(self.retain_ns);
        let (index, mask) = (&mut self.index, self.mask);
        self.table.forget(|probe| {
            let key = (probe.what.target, probe.what.sequence & mask);
            if index.get(&key) != Some(&probe.serial) {
                return true;
            }
            let old = probe.sent_ns.saturating_add(kept) <= now_ns;
            if old {
                index.remove(&key);
            }
            old
        });
    }

    fn forward(&mut self, now_ns: u64) -> u64 {
        self.last_ns = self.last_ns.max(now_ns);
        self.last_ns
    }
}

fn probe_of(probe: table::Probe<Echo>) -> Probe {
    let Echo { target, failed, sequence } = probe.what;
    Probe { target, sequence, sent_ns: probe.sent_ns, failed }
}

#[cfg(test)]
mod tests;
