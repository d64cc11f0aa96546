//! What is still to happen, by time.
//!
//! A direction's packets arrive in the order in which they left, all but a few: each direction has a line of
//! its own, and the heap holds the head of each line alone. Those few, and what is no arrival,
//! stand in the heap by themselves.

use super::happening::Happening;
use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

/// Something that a user wants done.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// One thing to come.
pub(super) enum Event {
    /// A packet arrives at the end of a direction.
    Arrival { direction: usize, packet: Vec<u8> },
    /// A packet that its node, by number, held back leaves by one of its interfaces.
    Leaving { from: (usize, usize), packet: Vec<u8> },
    /// A user's call.
    Call(Call),
    /// Something happens to the network.
    Happening(Box<Happening>),
}

/// Where an entry of the heap has its packet.
#[derive(Clone, Copy)]
enum Place {
    /// At the head of a direction's line.
    Line(u32),
    /// In a slot.
    Slot(u32),
}

struct Entry {
    time: u64,
    /// Order of creation: simultaneous events happen in it.
    sequence: u64,
    place: Place,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap gives out its greatest: the earliest is.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.sequence).cmp(&(self.time, self.sequence))
    }
}

/// A packet in a direction's line: when, sequence, bytes.
type Waiting = (u64, u64, Vec<u8>);

/// See the module.
#[derive(Default)]
pub(super) struct EventQueue {
    sequence: u64,
    heap: BinaryHeap<Entry>,
    /// By direction.
    lines: Vec<VecDeque<Waiting>>,
    slots: Vec<Option<Event>>,
    /// Slots that are free.
    free: Vec<u32>,
}

impl EventQueue {
    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.time)
    }

    /// A packet will arrive at the end of `direction`.
    pub(super) fn arrival(&mut self, time: u64, direction: usize, packet: Vec<u8>) {
        if self.lines.len() <= direction {
            self.lines.resize_with(direction + 1, VecDeque::new);
        }
        let line = &mut self.lines[direction];
        match line.back() {
            Some(last) if last.0 > time => {
                return self.put(time, Event::Arrival { direction, packet });
            }
            Some(_) => {}
            None => {
                let place = Place::Line(direction as u32);
                self.heap.push(Entry { time, sequence: self.sequence, place });
            }
        }
        line.push_back((time, self.sequence, packet));
        self.sequence += 1;
    }

    /// Anything else will happen.
    pub(super) fn put(&mut self, time: u64, what: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(what);
        self.heap.push(Entry { time, sequence: self.sequence, place: Place::Slot(slot) });
        self.sequence += 1;
    }

    /// Takes the next thing and its time.
    pub(super) fn pop(&mut self) -> Option<(u64, Event)> {
        let mut top = self.heap.peek_mut()?;
        let time = top.time;
        match top.place {
            Place::Line(direction) => {
                let line = &mut self.lines[direction as usize];
                let (_, _, packet) = line.pop_front()?;
                match line.front() {
                    // The next of the line takes its place, and sinks to where it belongs.
                    Some(&(time, sequence, _)) => (top.time, top.sequence) = (time, sequence),
                    None => {
                        PeekMut::pop(top);
                    }
                }
                Some((time, Event::Arrival { direction: direction as usize, packet }))
            }
            Place::Slot(slot) => {
                PeekMut::pop(top);
                self.free.push(slot);
                Some((time, self.slots[slot as usize].take()?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(event: &Event) -> u8 {
        match event {
            Event::Arrival { packet, .. } | Event::Leaving { packet, .. } => packet[0],
            Event::Call(_) | Event::Happening(_) => unreachable!("none is put in here"),
        }
    }

    proptest! {
        #[test]
        fn things_happen_by_time_and_at_one_time_in_the_order_of_their_making(
            asked in prop::collection::vec((0u64..20, 0usize..4, prop::bool::ANY), 0..200),
        ) {
            let mut events = EventQueue::default();
            let mut expected = Vec::new();
            let mut happened = Vec::new();
            for (n, &(time, direction, take)) in asked.iter().enumerate() {
                let packet = vec![n as u8];
                match direction {
                    3 => events.put(time, Event::Leaving { from: (0, 0), packet }),
                    _ => events.arrival(time, direction, packet),
                }
                expected.push((time, n as u8));
                if take {
                    expected.sort();
                    let first = expected.remove(0);
                    prop_assert_eq!(events.next(), Some(first.0));
                    let (time, what) = events.pop().unwrap();
                    happened.push((time, id(&what)));
                    prop_assert_eq!(happened.last(), Some(&first));
                }
            }
            expected.sort();
            for want in expected {
                let (time, what) = events.pop().unwrap();
                prop_assert_eq!((time, id(&what)), want);
            }
            prop_assert!(events.pop().is_none() && events.next().is_none());
        }
    }
}
