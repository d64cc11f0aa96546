//! [`ProbeTable`]: the probes in flight, and those finished recently.
//!
//! ```text
//!            forgotten        given up, or answered           in flight, or answered
//!   ┌ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┬───────────────────────────────┬──────────────────────────────┐
//!   └ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┴───────────────────────────────┴──────────────────────────────┘
//!     older           first                           oldest                    newest
//! ```
//!
//! One queue in the order of sending. The table numbers the probes from 0 and knows what became of
//! each. Which number a packet carries, and how long an answer is waited for, is the command's.
//!
//! Invariant: both limits only ever move forward, so that every operation takes constant time on
//! average, and none allocates in the long run: memory settles at the largest number of probes
//! remembered.

use std::collections::VecDeque;

/// A probe that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe<T> {
    /// Counts all probes of the table from 0.
    pub(crate) serial: u64,
    /// When it was sent.
    pub(crate) sent_ns: u64,
    /// What the command knows it by.
    pub(crate) what: T,
}

/// What an answer turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<P> {
    /// The first one to a probe in flight.
    First(P),
    /// The first one to a probe that had been given up.
    Late(P),
    /// Not the first one to this probe.
    Duplicate {
        /// The probe.
        probe: P,
        /// How many came before.
        earlier: u32,
    },
    /// To no probe that is remembered.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    GivenUp,
    /// With how many answers.
    Answered(u32),
}

#[derive(Debug, Clone, Copy)]
struct Slot<T> {
    sent_ns: u64,
    what: T,
    state: State,
}

/// The probes in flight and those finished recently.
#[derive(Debug)]
pub(crate) struct ProbeTable<T> {
    slots: VecDeque<Slot<T>>,
    /// Serial of the first slot.
    first: u64,
    /// Serial of the oldest probe that may be in flight.
    oldest: u64,
    in_flight: usize,
}

impl<T> Default for ProbeTable<T> {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl<T> ProbeTable<T> {
    /// A table whose first probe has this serial.
    pub(crate) fn starting_at(serial: u64) -> Self {
        Self { slots: VecDeque::new(), first: serial, oldest: serial, in_flight: 0 }
    }
}

impl<T: Copy> ProbeTable<T> {
    /// Serial of the next probe: how many there were so far.
    pub(crate) fn next_serial(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// How many probes are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.slots.len()
    }

    /// How many probes are neither answered nor given up.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes note of a probe that is about to be sent.
    pub(crate) fn send(&mut self, what: T, now_ns: u64) -> Probe<T> {
        let serial = self.next_serial();
        self.slots.push_back(Slot { sent_ns: now_ns, what, state: State::InFlight });
        self.in_flight += 1;
        Probe { serial, sent_ns: now_ns, what }
    }

    /// A probe in flight leaves for the wire now: the time before that is not part of a round trip.
    pub(crate) fn leave(&mut self, serial: u64, now_ns: u64) {
        if let Some(slot) = self.slot_mut(serial).filter(|slot| slot.state == State::InFlight) {
            slot.sent_ns = now_ns;
        }
    }

    /// The newest `count` probes in flight leave together, now.
    pub(crate) fn leave_newest(&mut self, count: usize, now_ns: u64) {
        let in_flight = |slot: &&mut Slot<T>| slot.state == State::InFlight;
        for slot in self.slots.iter_mut().rev().filter(in_flight).take(count) {
            slot.sent_ns = now_ns;
        }
    }

    /// The probe with this serial, if it is remembered.
    pub(crate) fn get(&self, serial: u64) -> Option<Probe<T>> {
        let slot = self.slot(serial)?;
        Some(Probe { serial, sent_ns: slot.sent_ns, what: slot.what })
    }

    /// Whether the probe with this serial is neither answered nor given up.
    pub(crate) fn is_in_flight(&self, serial: u64) -> bool {
        self.slot(serial).is_some_and(|slot| slot.state == State::InFlight)
    }

    /// Whether an answer to the probe with this serial came.
    pub(crate) fn is_answered(&self, serial: u64) -> bool {
        self.slot(serial).is_some_and(|slot| matches!(slot.state, State::Answered(_)))
    }

    /// What the command knows the probe with this serial by.
    pub(crate) fn what_mut(&mut self, serial: u64) -> Option<&mut T> {
        self.slot_mut(serial).map(|slot| &mut slot.what)
    }

    /// Takes note of an answer to the probe with this serial, and returns what it is. It is in time
    /// as long as the probe was not given up.
    pub(crate) fn answer(&mut self, serial: u64) -> Answer<Probe<T>> {
        let Some(slot) = self.slot_mut(serial) else { return Answer::Unknown };
        let probe = Probe { serial, sent_ns: slot.sent_ns, what: slot.what };
        match slot.state {
            State::InFlight => {
                slot.state = State::Answered(1);
                self.in_flight -= 1;
                Answer::First(probe)
            }
            State::GivenUp => {
                slot.state = State::Answered(1);
                Answer::Late(probe)
            }
            State::Answered(earlier) => {
                slot.state = State::Answered(earlier.saturating_add(1));
                Answer::Duplicate { probe, earlier }
            }
        }
    }

    /// Gives up a probe; nothing if it is not in flight. An answer to it is late from now on.
    pub(crate) fn give_up(&mut self, serial: u64) -> Option<Probe<T>> {
        let slot = self.slot_mut(serial).filter(|slot| slot.state == State::InFlight)?;
        slot.state = State::GivenUp;
        let probe = Probe { serial, sent_ns: slot.sent_ns, what: slot.what };
        self.in_flight -= 1;
        Some(probe)
    }

    /// The oldest probe in flight.
    pub(crate) fn oldest(&mut self) -> Option<Probe<T>> {
        while self.oldest < self.next_serial() && !self.is_in_flight(self.oldest) {
            self.oldest += 1;
        }
        self.get(self.oldest)
    }

    /// The probes in flight, oldest first.
    pub(crate) fn all_in_flight(&self) -> impl Iterator<Item = Probe<T>> + '_ {
        let in_flight = |slot: &(Probe<T>, State)| slot.1 == State::InFlight;
        self.probes_from(self.oldest).filter(in_flight).map(|slot| slot.0)
    }

    /// The probes without an answer, oldest first, as far back as is remembered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Probe<T>> + '_ {
        let open = |slot: &(Probe<T>, State)| !matches!(slot.1, State::Answered(_));
        self.probes_from(self.first).filter(open).map(|slot| slot.0)
    }

    /// Forgets finished probes from the front, as long as `old` says so.
    pub(crate) fn forget(&mut self, mut old: impl FnMut(Probe<T>) -> bool) {
        while let Some(&Slot { sent_ns, what, state }) = self.slots.front() {
            let probe = Probe { serial: self.first, sent_ns, what };
            if state == State::InFlight || !old(probe) {
                break;
            }
            self.slots.pop_front();
            self.first += 1;
        }
        self.oldest = self.oldest.max(self.first);
    }

    /// `serial` is not below the first that is remembered.
    fn probes_from(&self, serial: u64) -> impl Iterator<Item = (Probe<T>, State)> + '_ {
        let skip = (serial.saturating_sub(self.first) as usize).min(self.slots.len());
        let probe = |(serial, slot): (u64, &Slot<T>)| {
            (Probe { serial, sent_ns: slot.sent_ns, what: slot.what }, slot.state)
        };
        (serial..).zip(self.slots.range(skip..)).map(probe)
    }

    fn slot(&self, serial: u64) -> Option<&Slot<T>> {
        self.slots.get(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    fn slot_mut(&mut self, serial: u64) -> Option<&mut Slot<T>> {
        self.slots.get_mut(usize::try_from(serial.checked_sub(self.first)?).ok()?)
    }

    /// Slots that there is memory for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_first_then_duplicate_and_late_after_giving_up() {
        let mut table = ProbeTable::default();
        let (a, b) = (table.send('a', 10), table.send('b', 20));
        assert_eq!((a.serial, b.serial, table.in_flight()), (0, 1, 2));
        assert_eq!(table.answer(0), Answer::First(a));
        assert_eq!(table.answer(0), Answer::Duplicate { probe: a, earlier: 1 });
        assert_eq!((table.give_up(0), table.give_up(1), table.give_up(1)), (None, Some(b), None));
        assert_eq!(table.answer(1), Answer::Late(b));
        assert_eq!(table.answer(1), Answer::Duplicate { probe: b, earlier: 1 });
        assert_eq!(table.answer(2), Answer::Unknown);
        assert_eq!(table.in_flight(), 0);
    }

    #[test]
    fn what_leaves_later_than_it_was_written_is_as_old_as_that() {
        let mut table = ProbeTable::default();
        for what in 0..4 {
            table.send(what, 10);
        }
        table.answer(2);
        table.leave_newest(2, 50);
        table.leave(0, 60);
        table.leave(2, 70);
        let times = (0..4).filter_map(|serial| table.get(serial)).map(|p| p.sent_ns);
        assert_eq!(times.collect::<Vec<_>>(), [60, 50, 10, 50]);
    }

    #[test]
    fn what_is_finished_and_old_is_forgotten_and_what_waits_is_not() {
        let mut table = ProbeTable::default();
        let [a, b, c] = ['a', 'b', 'c'].map(|what| table.send(what, 0));
        table.answer(a.serial);
        table.answer(c.serial);
        assert_eq!(table.oldest(), Some(b));
        table.forget(|_| true);
        assert_eq!((table.remembered(), table.next_serial()), (2, 3));
        assert_eq!((table.answer(a.serial), table.get(a.serial)), (Answer::Unknown, None));
        assert_eq!(table.all_in_flight().collect::<Vec<_>>(), [b]);
        table.give_up(b.serial);
        assert_eq!((table.oldest(), table.all_in_flight().count()), (None, 0));
        assert_eq!(table.unanswered().collect::<Vec<_>>(), [b]);
        table.forget(|probe| probe.what == 'b');
        assert_eq!(table.remembered(), 1);
        table.forget(|_| true);
        assert_eq!((table.remembered(), table.oldest()), (0, None));
        assert_eq!(table.send('d', 1).serial, 3);
    }
}
