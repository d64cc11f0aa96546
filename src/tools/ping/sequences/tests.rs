use super::*;
use proptest::prelude::*;

const TIMEOUT: u64 = 1_000;
const RETAIN: u64 = 500;
/// Small, so that tests get around it.
const SPAN: u64 = 65_536;

fn table(targets: usize, first_sequence: u64) -> Sequences {
    let ns = Duration::from_nanos;
    Sequences::new(targets, first_sequence, SPAN, (ns(TIMEOUT), ns(RETAIN)))
}

impl Sequences {
    /// As [`Sequences::answer`], to the newest probe with these 16 bits.
    fn answer_wire(&mut self, target: u32, wire: u16) -> Answer {
        let serial = self.index.get(&(target, u64::from(wire))).copied();
        match serial.and_then(|serial| self.table.get(serial)) {
            Some(probe) => self.answer(target, probe.what.sequence),
            None => Answer::Unknown,
        }
    }
}

#[test]
fn an_answer_is_first_then_duplicate() {
    let mut table = table(1, 1);
    let probe = table.send(0, 10).unwrap();
    assert_eq!((probe.sequence, probe.sent_ns), (1, 10));
    assert_eq!(table.answer_wire(0, 1), Answer::First { probe, reordered: false });
    assert_eq!(table.answer_wire(0, 1), Answer::Duplicate { probe, earlier: 1 });
    assert_eq!(table.answer_wire(0, 1), Answer::Duplicate { probe, earlier: 2 });
    assert_eq!(table.answer_wire(0, 2), Answer::Unknown);
    assert_eq!(table.answer_wire(1, 1), Answer::Unknown);
}

#[test]
fn an_answer_after_the_loss_is_late_and_after_that_unknown() {
    let mut table = table(1, 0);
    let probe = table.send(0, 0).unwrap();
    assert_eq!(table.next_deadline_ns(), Some(TIMEOUT));
    assert_eq!(table.expire(TIMEOUT - 1), None);
    assert_eq!(table.expire(TIMEOUT), Some(probe));
    assert_eq!(table.expire(TIMEOUT), None);
    assert_eq!(table.answer_wire(0, 0), Answer::Late { probe });
    assert_eq!(table.answer_wire(0, 0), Answer::Duplicate { probe, earlier: 1 });
    assert_eq!(table.expire(TIMEOUT + RETAIN), None);
    assert_eq!(table.answer_wire(0, 0), Answer::Unknown);
    assert_eq!(table.table.remembered(), 0);
}

#[test]
fn an_answer_to_an_earlier_probe_than_the_last_answered_is_reordered() {
    let mut table = table(2, 0);
    let early = table.send(0, 0).unwrap();
    let other = table.send(1, 0).unwrap();
    let late = table.send(0, 1).unwrap();
    assert_eq!(table.answer_wire(0, 1), Answer::First { probe: late, reordered: false });
    assert_eq!(table.answer_wire(1, 0), Answer::First { probe: other, reordered: false });
    assert_eq!(table.answer_wire(0, 0), Answer::First { probe: early, reordered: true });
}

#[test]
fn a_sequence_in_flight_is_not_used_again_until_it_is_lost() {
    let mut table = table(1, 0);
    let oldest = table.send(0, 0).unwrap();
    for _ in 1..=u16::MAX {
        table.send(0, 1).unwrap();
    }
    assert_eq!(table.send(0, 2), Err(SendRefused::SequenceInFlight(oldest)));
    assert_eq!(table.expire(TIMEOUT), Some(oldest));
    let again = table.send(0, TIMEOUT).unwrap();
    assert_eq!((again.sequence, again.wire_sequence()), (65_536, 0));
    // Exactly the old one is no longer known, and does not pass for the new one.
    assert_eq!(table.answer(0, 0), Answer::Unknown);
    assert_eq!(table.answer(0, 65_536), Answer::First { probe: again, reordered: false });
}

#[test]
fn sequences_wrap_where_sixteen_bits_end() {
    let mut table = table(1, 65_535);
    let last = table.send(0, 0).unwrap();
    let next = table.send(0, 0).unwrap();
    assert_eq!((last.wire_sequence(), next.wire_sequence()), (65_535, 0));
    assert_eq!(table.answer_wire(0, 65_535), Answer::First { probe: last, reordered: false });
    assert_eq!(table.answer_wire(0, 0), Answer::First { probe: next, reordered: false });
}

#[test]
fn a_cancelled_probe_is_neither_in_flight_nor_lost() {
    let mut table = table(1, 0);
    let probe = table.send(0, 0).unwrap();
    table.cancel(probe);
    table.cancel(probe);
    assert_eq!(table.in_flight(), 0);
    assert_eq!(table.answer_wire(0, 0), Answer::Unknown);
    assert_eq!(table.expire(u64::MAX), None);
    assert_eq!(table.send(0, 0).unwrap().sequence, 1);
}

#[test]
fn an_error_leaves_a_probe_open_and_is_news_once() {
    let mut table = table(1, 0);
    let probe = table.send(0, 0).unwrap();
    let failed = Probe { failed: true, ..probe };
    assert_eq!(table.fail(0, 0), Some(Failed { probe: failed, given_up: false, again: false }));
    assert_eq!(table.fail(0, 0), Some(Failed { probe: failed, given_up: false, again: true }));
    assert_eq!((table.fail(0, 1), table.in_flight()), (None, 1));
    assert_eq!(table.answer(0, 0), Answer::First { probe: failed, reordered: false });
    // Lost first, explained later.
    let probe = table.send(0, 0).unwrap();
    assert_eq!(table.expire(TIMEOUT), Some(probe));
    let failed = Probe { failed: true, ..probe };
    assert_eq!(table.fail(0, 1), Some(Failed { probe: failed, given_up: true, again: false }));
    assert_eq!(table.answer(0, 1), Answer::Late { probe: failed });
}

#[test]
fn as_many_probes_are_in_flight_as_the_span_has_numbers() {
    let ns = Duration::from_nanos;
    let mut table = Sequences::new(1, 1, 100_000, (ns(TIMEOUT), ns(RETAIN)));
    let probes: Vec<Probe> = (0..131_072).map(|_| table.send(0, 0).unwrap()).collect();
    assert_eq!(table.send(0, 0), Err(SendRefused::SequenceInFlight(probes[0])));
    for probe in probes {
        assert!(matches!(table.answer(0, probe.sequence), Answer::First { .. }));
    }
}

#[test]
fn a_flood_to_one_target_remembers_no_more_than_its_sequences() {
    let mut table = table(1, 0);
    for _ in 0..300_000 {
        let probe = table.send(0, 1).unwrap();
        table.answer_wire(0, probe.wire_sequence());
    }
    assert!(table.table.remembered() <= 65_537, "{}", table.table.remembered());
}

#[test]
fn a_hundred_thousand_targets_reuse_the_memory_of_the_first_round() {
    let mut table = table(100_000, 0);
    let round = |table: &mut Sequences, start: u64| {
        for target in 0..100_000 {
            let probe = table.send(target, start).unwrap();
            if target % 3 != 0 {
                table.answer_wire(target, probe.wire_sequence());
            }
        }
        let mut lost = 0;
        while table.expire(start + TIMEOUT).is_some() {
            lost += 1;
        }
        assert_eq!(lost, 33_334);
        assert_eq!(table.expire(start + TIMEOUT + RETAIN), None);
        assert_eq!((table.table.remembered(), table.in_flight()), (0, 0));
    };
    round(&mut table, 0);
    round(&mut table, 10_000);
    for start in 2..8 {
        round(&mut table, start * 10_000);
        // The index is less than its room where deleted entries are not yet swept up.
        assert_eq!(table.table.capacity(), 131_072);
        assert!(table.index.capacity() <= 262_144 / 8 * 7, "{}", table.index.capacity());
    }
}

/// The same behaviour: everything kept for ever, searched from end to end, and judged anew each
/// time.
#[derive(Default)]
struct Model {
    /// By target; sequences count from `first` without gaps.
    probes: [Vec<ModelProbe>; 3],
    first: u64,
}

struct ModelProbe {
    probe: Probe,
    lost: bool,
    cancelled: bool,
    answers: u32,
}

impl ModelProbe {
    fn in_flight(&self) -> bool {
        !self.lost && !self.cancelled && self.answers == 0
    }
}

impl Model {
    fn next(&self, target: u32) -> u64 {
        self.first + self.probes[target as usize].len() as u64
    }

    /// The last probe with this number on the wire, unless it is forgotten.
    fn find(&mut self, target: u32, wire: u16, now: u64) -> Option<&mut ModelProbe> {
        let back = (self.next(target).wrapping_sub(1) as u16).wrapping_sub(wire);
        let probes = &mut self.probes[target as usize];
        let found = probes.len().checked_sub(1 + usize::from(back))?;
        let found = &mut probes[found];
        let forgotten = !found.in_flight() && found.probe.sent_ns + TIMEOUT + RETAIN <= now;
        (!found.cancelled && !forgotten).then_some(found)
    }

    fn send(&mut self, target: u32, now: u64) -> Result<Probe, SendRefused> {
        let probe = Probe { target, sequence: self.next(target), sent_ns: now, failed: false };
        match self.find(target, probe.wire_sequence(), now) {
            Some(old) if old.in_flight() => return Err(SendRefused::SequenceInFlight(old.probe)),
            _ => {}
        }
        let new = ModelProbe { probe, lost: false, cancelled: false, answers: 0 };
        self.probes[target as usize].push(new);
        Ok(probe)
    }

    fn answer(&mut self, target: u32, wire: u16, now: u64) -> Answer {
        let in_time = self.probes[target as usize].iter().filter(|p| p.answers > 0 && !p.lost);
        let highest = in_time.map(|p| p.probe.sequence).max();
        let Some(found) = self.find(target, wire, now) else { return Answer::Unknown };
        found.answers += 1;
        let probe = found.probe;
        match (found.answers, found.lost) {
            (1, false) => Answer::First { probe, reordered: highest > Some(probe.sequence) },
            (1, true) => Answer::Late { probe },
            (answers, _) => Answer::Duplicate { probe, earlier: answers - 1 },
        }
    }

    /// Probes lost by now, by target; the table gives them by time.
    fn expire(&mut self, now: u64) -> Vec<Probe> {
        let mut lost = Vec::new();
        for p in self.probes.iter_mut().flatten() {
            if p.in_flight() && p.probe.sent_ns + TIMEOUT <= now {
                p.lost = true;
                lost.push(p.probe);
            }
        }
        lost
    }
}

fn expire_all(table: &mut Sequences, now: u64) -> Result<Vec<Probe>, TestCaseError> {
    let mut lost: Vec<Probe> = std::iter::from_fn(|| table.expire(now)).collect();
    prop_assert!(lost.is_sorted_by_key(|probe| probe.sent_ns));
    lost.sort_by_key(|probe| (probe.target, probe.sequence));
    Ok(lost)
}

#[derive(Debug, Clone)]
enum Op {
    /// A number of probes to a target, to get around the 16 bits now and then.
    Send(u32, usize),
    /// An answer to the probe this many before the newest.
    Answer(u32, u16),
    Wait(u64),
    Cancel(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let target = 0_u32..3;
    prop_oneof![
        6 => (target.clone(), 1_usize..4).prop_map(|(t, n)| Op::Send(t, n)),
        8 => (target.clone(), 0_u16..6).prop_map(|(t, back)| Op::Answer(t, back)),
        5 => (0..TIMEOUT).prop_map(Op::Wait),
        1 => target.clone().prop_map(Op::Cancel),
    ]
}

fn check(ops: &[Op], first: u64, step: u64) -> Result<(), TestCaseError> {
    let mut model = Model { first, ..Model::default() };
    let mut table = table(3, first);
    let mut now = 0;
    for op in ops {
        match *op {
            Op::Send(target, count) => {
                for _ in 0..count {
                    prop_assert_eq!(table.send(target, now), model.send(target, now));
                    now += step;
                }
            }
            Op::Answer(target, back) => {
                // The table forgets when it is told the time, not by itself.
                prop_assert_eq!(expire_all(&mut table, now)?, model.expire(now));
                let wire = (model.next(target) as u16).wrapping_sub(1).wrapping_sub(back);
                prop_assert_eq!(table.answer_wire(target, wire), model.answer(target, wire, now));
            }
            Op::Wait(ns) => {
                now += ns;
                prop_assert_eq!(expire_all(&mut table, now)?, model.expire(now));
            }
            Op::Cancel(target) => {
                let Some(newest) = model.probes[target as usize].last_mut() else { continue };
                table.cancel(newest.probe);
                newest.cancelled |= newest.in_flight();
            }
        }
        let in_flight = model.probes.iter().flatten().filter(|p| p.in_flight()).count();
        prop_assert_eq!(table.in_flight(), in_flight);
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_naive_model(
        ops in prop::collection::vec(op(), 1..300),
        first in prop_oneof![0_u64..3, 65_500_u64..65_540],
    ) {
        check(&ops, first, 1)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    // Sent at one instant, so that sequences come round while their predecessors are in flight,
    // answered or lost.
    #[test]
    fn the_table_agrees_with_a_naive_model_around_the_wrap(
        before in prop::collection::vec(op(), 1..20),
        after in prop::collection::vec(op(), 1..20),
        lose in any::<bool>(),
    ) {
        let mut ops = before;
        ops.push(Op::Send(0, 40_000));
        if lose { ops.push(Op::Wait(TIMEOUT / 2)); ops.push(Op::Wait(TIMEOUT / 2)); }
        ops.push(Op::Send(0, 25_534));
        ops.extend(after);
        check(&ops, 0, 0)?;
    }
}
