//! The probes to one target that were sent, by their number on the wire.

use super::identity::place_of;
use super::probe::Numbers;
use crate::tools::probe::table::{self, ProbeTable};

/// Numbers on the wire: all of 16 bits but 0.
const NUMBERS: u64 = u16::MAX as u64;
/// Most probes remembered: beyond that a number would stand for two.
const MOST: usize = 60_000;

/// Why a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To see who answers at its TTL.
    Hop,
    /// The same once more, slower, where nobody did; or whether who answered before does so again.
    Again,
    /// The same by an echo request, whatever the others are.
    Echo,
    /// To see whether a packet of its size gets through.
    Size,
}

/// What a probe is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) numbers: Numbers,
    /// From 1.
    pub(super) round: u64,
    /// Which of the probes alike it is: of one TTL and round, or (with `--paths`) of one flow.
    pub(super) lane: u16,
    /// How often it was sent before.
    pub(super) tries: u8,
    pub(super) role: Role,
}

/// A probe. Its serial counts all probes to a target from 0.
pub(super) type Sent = table::Probe<Purpose>;
/// What an answer with some number is.
pub(super) type Match = table::Answer<Sent>;

/// The probes of a target.
#[derive(Default)]
pub(super) struct Flight {
    table: ProbeTable<Purpose>,
    /// Probes that may be in flight at a time: those behind the oldest would look like it.
    room: Option<u64>,
}

impl Flight {
    /// At most `room` probes in a row can be told apart.
    pub(super) fn with_room(room: Option<u16>) -> Self {
        Self { room: room.map(u64::from), ..Self::default() }
    }

    /// Probes so far.
    pub(super) fn count(&self) -> u64 {
        self.table.next_serial()
    }

    /// The number that the next probe gets; `None` while too many are remembered or in flight.
    pub(super) fn next_number(&self) -> Option<u16> {
        let fits =
            |room| self.in_flight().next().is_none_or(|sent| sent.serial + room > self.count());
        let free = self.table.remembered() < MOST && self.room.is_none_or(fits);
        free.then(|| number_of(self.count()))
    }

    /// The number of the newest probe with that one of the ports of the classic strategy; one in
    /// flight rather than one that is finished.
    pub(super) fn at_place(&self, place: u16) -> Option<u16> {
        let open = self.in_flight().map(|sent| sent.what.numbers.number);
        // The newest without the room are all that a number may stand for.
        let count = self.count();
        let last = count.saturating_sub(2 * self.room.unwrap_or(0))..count;
        let find = |number: &u16| place_of(*number) == place;
        open.filter(find).last().or_else(|| last.rev().map(number_of).find(find))
    }

    /// Remembers a probe, whose number must be [`Self::next_number`].
    pub(super) fn push(&mut self, purpose: Purpose, now: u64) -> Sent {
        debug_assert_eq!(purpose.numbers.number, number_of(self.count()));
        self.table.send(purpose, now)
    }

    /// A probe leaves for the wire now.
    pub(super) fn leave(&mut self, serial: u64, now: u64) {
        self.table.leave(serial, now);
    }

    /// Finds the probe with this number, the newest there is, and notes that it was answered.
    pub(super) fn answer(&mut self, number: u16) -> Match {
        match self.serial_of(number) {
            Some(serial) => self.table.answer(serial),
            None => Match::Unknown,
        }
    }

    /// The probe with this number, the newest there is.
    pub(super) fn find(&self, number: u16) -> Option<Sent> {
        self.table.get(self.serial_of(number)?)
    }

    /// Gives up a probe in flight, whatever its age.
    pub(super) fn give_up(&mut self, serial: u64) {
        self.table.give_up(serial);
    }

    /// The oldest probe of `flow` in flight with a TTL of at least `ttl`: an answer without a number
    /// may be for it.
    pub(super) fn guess(&self, flow: u16, ttl: u8) -> Option<u16> {
        let open = self.in_flight().filter(|sent| sent.what.numbers.flow == flow);
        open.filter(|sent| sent.what.numbers.ttl >= ttl)
            .min_by_key(|sent| (sent.what.numbers.ttl, sent.serial))
            .map(|sent| sent.what.numbers.number)
    }

    /// Whether no probe is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.table.in_flight() == 0
    }

    /// The probes in flight, oldest first.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = Sent> + '_ {
        self.table.all_in_flight()
    }

    /// The probes without an answer, oldest first, as far back as is remembered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = Sent> + '_ {
        self.table.unanswered()
    }

    /// Gives up the oldest probe whose deadline has passed. Call until `None`.
    pub(super) fn expire(&mut self, now: u64, deadline: impl Fn(&Sent) -> u64) -> Option<Sent> {
        self.table.oldest();
        let late = self.table.all_in_flight().find(|sent| deadline(sent) <= now)?;
        self.table.give_up(late.serial)
    }

    /// Forgets finished probes from before `ns`, up to the oldest in flight.
    pub(super) fn forget(&mut self, ns: u64) {
        self.table.oldest();
        self.table.forget(|sent| sent.sent_ns < ns);
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

    fn launch(flight: &mut Flight, ttl: u8, now: u64) -> Sent {
        let number = flight.next_number().unwrap();
        let numbers = Numbers { ttl, flow: 0, number, size: 60 };
        flight.push(Purpose { numbers, round: 1, lane: 0, tries: 0, role: Role::Hop }, now)
    }

    #[test]
    fn an_answer_is_first_then_duplicate_and_late_after_giving_up() {
        let mut flight = Flight::default();
        let (a, b) = (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20));
        assert_eq!(flight.answer(a.what.numbers.number), Match::First(a));
        assert_eq!(flight.answer(a.what.numbers.number), Match::Duplicate { probe: a, earlier: 1 });
        assert_eq!(flight.expire(119, |s| s.sent_ns + 100), None);
        assert_eq!(flight.expire(120, |s| s.sent_ns + 100), Some(b));
        assert_eq!(flight.expire(u64::MAX, |s| s.sent_ns + 100), None);
        assert_eq!(flight.answer(b.what.numbers.number), Match::Late(b));
        assert_eq!(flight.answer(b.what.numbers.number), Match::Duplicate { probe: b, earlier: 1 });
        assert_eq!(flight.answer(3), Match::Unknown);
        assert_eq!(flight.answer(0), Match::Unknown);
    }

    #[test]
    fn an_answer_without_a_number_is_for_the_nearest_that_can_have_got_there() {
        let mut flight = Flight::default();
        let _ = launch(&mut flight, 1, 0);
        let (far, near) = (launch(&mut flight, 3, 0), launch(&mut flight, 2, 0));
        assert_eq!(flight.guess(0, 2), Some(near.what.numbers.number));
        let _ = flight.answer(near.what.numbers.number);
        assert_eq!(flight.guess(0, 2), Some(far.what.numbers.number));
        assert_eq!((flight.guess(0, 4), flight.guess(1, 1)), (None, None));
    }

    #[test]
    fn what_was_given_up_is_unanswered_too_until_it_is_answered() {
        let mut flight = Flight::default();
        let (a, b) = (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20));
        assert_eq!(flight.expire(110, |s| s.sent_ns + 100), Some(a));
        assert_eq!(flight.unanswered().collect::<Vec<_>>(), [a, b]);
        let _ = flight.answer(a.what.numbers.number);
        assert_eq!(flight.unanswered().collect::<Vec<_>>(), [b]);
    }

    #[test]
    fn what_is_finished_and_old_is_forgotten_and_what_waits_is_not() {
        let mut flight = Flight::default();
        let (a, b, c) =
            (launch(&mut flight, 1, 10), launch(&mut flight, 2, 20), launch(&mut flight, 3, 30));
        let _ = (flight.answer(a.what.numbers.number), flight.answer(c.what.numbers.number));
        flight.forget(1000);
        assert_eq!(flight.answer(a.what.numbers.number), Match::Unknown);
        assert_eq!(flight.answer(c.what.numbers.number), Match::Duplicate { probe: c, earlier: 1 });
        assert_eq!(flight.answer(b.what.numbers.number), Match::First(b));
        assert_eq!(flight.count(), 3);
    }

    #[test]
    fn no_two_in_flight_have_one_port() {
        let mut flight = Flight::with_room(Some(101));
        for now in 0..101 {
            let _ = launch(&mut flight, 1, now);
        }
        assert_eq!(flight.next_number(), None);
        let _ = flight.answer(2);
        assert_eq!(flight.next_number(), None, "the oldest is still out");
        assert_eq!(flight.at_place(0), Some(1));
        let _ = flight.answer(1);
        assert_eq!(flight.next_number(), Some(102));
        let _ = launch(&mut flight, 1, 200);
        assert_eq!((flight.at_place(0), flight.at_place(1)), (Some(102), Some(2)));
        // What comes late is for the newest that had the port.
        let _ = flight.answer(102);
        assert_eq!(flight.at_place(0), Some(102));
    }

    proptest! {
        #[test]
        fn numbers_come_round_and_still_name_the_newest_probe(start in 0u64..200_000, more in 1u64..300) {
            let mut flight = Flight { table: ProbeTable::starting_at(start), room: None };
            let mut probes = Vec::new();
            for now in 0..more {
                probes.push(launch(&mut flight, 1, now));
            }
            for probe in probes {
                prop_assert!(probe.what.numbers.number != 0);
                prop_assert_eq!(flight.answer(probe.what.numbers.number), Match::First(probe));
            }
        }
    }
}
