//! The probes to one target that were sent, by number.

use super::probe::Numbers;
use std::collections::VecDeque;

/// Numbers on the wire: all of 16 bits but 0.
const NUMBERS: u64 = u16::MAX as u64;
/// Most probes remembered: beyond that a number would stand for two.
const MOST: usize = 60_000;

/// Why a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To see who answers at its TTL.
    Hop,
    /// To see whether a packet of its size gets through.
    Size,
}

/// A probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Counts all probes to a target from 0.
    pub(super) serial: u64,
    pub(super) numbers: Numbers,
    /// From 1.
    pub(super) round: u64,
    /// Which of the probes alike it is: of one TTL and round, or (with `--paths`) of one flow.
    pub(super) lane: u16,
    /// How often it was sent before.
    pub(super) tries: u8,
    pub(super) role: Role,
    pub(super) sent_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    GivenUp,
    Answered,
}

/// What an answer with some number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    First(Sent),
    Late(Sent),
    Duplicate(Sent),
    /// No such probe was sent, or it is forgotten.
    Unknown,
}

/// The probes of a target.
#[derive(Default)]
pub(super) struct Flight {
    slots: VecDeque<(Sent, State)>,
    /// Serial of the first slot.
    first: u64,
    /// Serial of the oldest probe that may be in flight.
    oldest: u64,
}

impl Flight {
    /// Probes so far.
    pub(super) fn count(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The number that the next probe gets; `None` while too many are remembered.
    pub(super) fn next_number(&self) -> Option<u16> {
        (self.slots.len() < MOST).then(|| number_of(self.count()))
    }

    /// Remembers a probe. Its serial must be [`Self::count`].
    pub(super) fn push(&mut self, sent: Sent) {
        debug_assert_eq!(sent.serial, self.count());
        self.slots.push_back((sent, State::InFlight));
    }

    /// A probe leaves for the wire now: what was between is no part of a round trip.
    pub(super) fn leave(&mut self, serial: u64, now: u64) {
        if let Some((sent, State::InFlight)) = self.slot(serial) {
            sent.sent_ns = now;
        }
    }

    /// Finds the probe with this number, the newest there is, and notes that it was answered.
    pub(super) fn answer(&mut self, number: u16) -> Match {
        let found = self.serial_of(number).and_then(|serial| self.slot(serial));
        let Some((sent, state)) = found else { return Match::Unknown };
        let sent = *sent;
        match std::mem::replace(state, State::Answered) {
            State::InFlight => Match::First(sent),
            State::GivenUp => Match::Late(sent),
            State::Answered => Match::Duplicate(sent),
        }
    }

    /// The oldest probe of `flow` in flight with a TTL of at least `ttl`: whom an answer without a
    /// number may be for.
    pub(super) fn guess(&self, flow: u16, ttl: u8) -> Option<u16> {
        let open = self.in_flight().filter(|sent| sent.numbers.flow == flow);
        open.filter(|sent| sent.numbers.ttl >= ttl)
            .min_by_key(|sent| (sent.numbers.ttl, sent.serial))
            .map(|sent| sent.numbers.number)
    }

    /// The probes in flight, oldest first.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &Sent> {
        let skip = (self.oldest - self.first) as usize;
        let open = self.slots.iter().skip(skip).filter(|slot| slot.1 == State::InFlight);
        open.map(|slot| &slot.0)
    }

    /// The probes that nobody answered, oldest first, as far back as is remembered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Sent> {
        self.slots.iter().filter(|slot| slot.1 != State::Answered).map(|slot| &slot.0)
    }

    /// Gives up the oldest probe whose deadline has passed. Call until `None`.
    pub(super) fn expire(&mut self, now: u64, deadline: impl Fn(&Sent) -> u64) -> Option<Sent> {
        self.settle();
        let skip = (self.oldest - self.first) as usize;
        let late =
            |slot: &&mut (Sent, State)| slot.1 == State::InFlight && deadline(&slot.0) <= now;
        let slot = self.slots.iter_mut().skip(skip).find(late)?;
        slot.1 = State::GivenUp;
        Some(slot.0)
    }

    /// Forgets finished probes from before `ns`.
    pub(super) fn forget(&mut self, ns: u64) {
        self.settle();
        while self.first < self.oldest && self.slots.front().is_some_and(|slot| slot.0.sent_ns < ns)
        {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Moves `oldest` over what is finished.
    fn settle(&mut self) {
        while let Some((_, state)) = self.slots.get((self.oldest - self.first) as usize) {
            if *state == State::InFlight {
                break;
            }
            self.oldest += 1;
        }
    }

    fn slot(&mut self, serial: u64) -> Option<(&mut Sent, &mut State)> {
        let at = usize::try_from(serial.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at).map(|slot| (&mut slot.0, &mut slot.1))
    }

    fn serial_of(&self, number: u16) -> Option<u64> {
        let last = self.count().checked_sub(1)?;
        let number = u64::from(number.checked_sub(1)?);
        let age = (last % NUMBERS + NUMBERS - number) % NUMBERS;
        last.checked_sub(age)
    }
}

fn number_of(serial: u64) -> u16 {
    (serial % NUMBERS) as u16 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(flight: &Flight, ttl: u8, now: u64) -> Sent {
        let number = flight.next_number().unwrap();
        Sent {
            serial: flight.count(),
            numbers: Numbers { ttl, flow: 0, number, size: 60 },
            round: 1,
            lane: 0,
            tries: 0,
            role: Role::Hop,
            sent_ns: now,
        }
    }

    fn launch(flight: &mut Flight, ttl: u8, now: u64) -> Sent {
        let probe = sent(flight, ttl, now);
        flight.push(probe);
        probe
    }

    #[test]
    fn an_answer_is_first_then_duplicate_and_late_after_giving_up() {
        let mut flight = Flight::default();
        let (a, b) = (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20));
        assert_eq!(flight.answer(a.numbers.number), Match::First(a));
        assert_eq!(flight.answer(a.numbers.number), Match::Duplicate(a));
        assert_eq!(flight.expire(119, |s| s.sent_ns + 100), None);
        assert_eq!(flight.expire(120, |s| s.sent_ns + 100), Some(b));
        assert_eq!(flight.expire(u64::MAX, |s| s.sent_ns + 100), None);
        assert_eq!(flight.answer(b.numbers.number), Match::Late(b));
        assert_eq!(flight.answer(b.numbers.number), Match::Duplicate(b));
        assert_eq!(flight.answer(3), Match::Unknown);
        assert_eq!(flight.answer(0), Match::Unknown);
    }

    #[test]
    fn an_answer_without_a_number_is_for_the_nearest_that_can_have_got_there() {
        let mut flight = Flight::default();
        let _ = launch(&mut flight, 1, 0);
        let (far, near) = (launch(&mut flight, 3, 0), launch(&mut flight, 2, 0));
        assert_eq!(flight.guess(0, 2), Some(near.numbers.number));
        let _ = flight.answer(near.numbers.number);
        assert_eq!(flight.guess(0, 2), Some(far.numbers.number));
        assert_eq!((flight.guess(0, 4), flight.guess(1, 1)), (None, None));
    }

    #[test]
    fn what_was_given_up_is_unanswered_too_until_it_is_answered() {
        let mut flight = Flight::default();
        let (a, b) = (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20));
        assert_eq!(flight.expire(110, |s| s.sent_ns + 100), Some(a));
        assert_eq!(flight.unanswered().collect::<Vec<_>>(), [&a, &b]);
        let _ = flight.answer(a.numbers.number);
        assert_eq!(flight.unanswered().collect::<Vec<_>>(), [&b]);
    }

    #[test]
    fn what_is_finished_and_old_is_forgotten_and_what_waits_is_not() {
        let mut flight = Flight::default();
        let (a, b, c) =
            (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20), launch(&mut flight, 3, 30));
        let _ = (flight.answer(a.numbers.number), flight.answer(c.numbers.number));
        flight.forget(1000);
        assert_eq!(flight.answer(a.numbers.number), Match::Unknown);
        assert_eq!(flight.answer(c.numbers.number), Match::Duplicate(c));
        assert_eq!(flight.answer(b.numbers.number), Match::First(b));
        assert_eq!(flight.count(), 3);
    }

    proptest! {
        #[test]
        fn numbers_come_round_and_still_name_the_newest_probe(start in 0u64..200_000, more in 1u64..300) {
            let mut flight = Flight { first: start, oldest: start, ..Flight::default() };
            let mut probes = Vec::new();
            for now in 0..more {
                probes.push(launch(&mut flight, 1, now));
            }
            for probe in probes {
                prop_assert!(probe.numbers.number != 0);
                prop_assert_eq!(flight.answer(probe.numbers.number), Match::First(probe));
            }
        }
    }
}
