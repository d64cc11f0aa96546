//! Two ends of a wire that send each other numbered packets of all lengths, and look at every byte.

use crate::guest::mac;
use crate::lab::{ETH_LAB, PATIENCE};
use fluxnet::{ErrorKind, FluxBuilder, FluxEngine};
use std::thread;
use std::time::Instant;

/// Packets on their way to an end: an igb has no room for many more.
const WINDOW: u64 = 64;

/// Lengths in turn: the least and the most of Ethernet, and around the sizes of buffers.
const LENGTHS: [usize; 9] = [60, 61, 64, 255, 1000, 1024, 1025, 1500, 1514];

/// Packet `number` of a series from one interface to another.
pub fn packet(from: [u8; 6], to: [u8; 6], series: u8, number: u64) -> Vec<u8> {
    let len = LENGTHS[number as usize % LENGTHS.len()];
    let mut packet = [&to[..], &from, &ETH_LAB.to_be_bytes(), &[series]].concat();
    packet.extend(number.to_be_bytes());
    let byte = |at: usize| (at as u64).wrapping_mul(7).wrapping_add(number) as u8;
    packet.extend((packet.len()..len).map(byte));
    packet
}

/// Series and number of a packet of ours, after a look at every byte.
#[track_caller]
pub fn look(data: &[u8], from: [u8; 6], to: [u8; 6]) -> (u8, u64) {
    let series = data[14];
    let number = u64::from_be_bytes(data[15..23].try_into().unwrap());
    assert_eq!(data, packet(from, to, series, number), "packet {number}");
    (series, number)
}

/// One end.
pub struct End {
    pub engine: FluxEngine,
    own: [u8; 6],
    other: [u8; 6],
    sent: u64,
    got: u64,
    series: u8,
}

impl End {
    pub fn open(builder: FluxBuilder, own: &str, other: &str) -> Self {
        let engine = builder.build_engine().unwrap();
        Self { engine, own: mac(own), other: mac(other), sent: 0, got: 0, series: 0 }
    }

    fn send(&mut self, most: u64) {
        for _ in 0..most {
            let bytes = packet(self.own, self.other, self.series, self.sent);
            let Some(mut packet) = self.engine.alloc(bytes.len()) else { return };
            packet.data_mut().copy_from_slice(&bytes);
            if self.engine.send(packet).is_err() {
                return;
            }
            self.sent += 1;
        }
    }

    /// Takes what has come: the next of its series each.
    fn receive(&mut self) -> usize {
        let Self { engine, got, series, own, other, .. } = self;
        let turn = engine.turn(
            |batch| {
                for packet in batch {
                    let (of, number) = look(packet.data(), *other, *own);
                    if of == *series {
                        assert_eq!(number, *got, "lost, twice, or out of order");
                        *got += 1;
                    }
                }
            },
            None,
        );
        turn.unwrap()
    }

    /// Begins a new series: what is left of the one before no longer counts.
    fn restart(&mut self) {
        self.series += 1;
        (self.sent, self.got) = (0, 0);
    }

    /// A turn while the link may be away, which the library may report.
    pub fn turn_in_trouble(&mut self) {
        match self.engine.turn(|_| {}, None) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Device, "{error:?}"),
        }
    }
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (engine, sent, got) = (&self.engine, self.sent, self.got);
        writeln!(f, "{}: sent {sent}, got {got}", engine.granted().interface)?;
        writeln!(f, "{:?}\n{:?}", engine.stats(), engine.kernel_stats())?;
        write!(f, "{:?}\n{:#?}", engine.queue_counters(), engine.debug_rings())
    }
}

/// Each end sends that many packets, and gets those of the other.
#[track_caller]
pub fn exchange(ends: &mut [End; 2], count: u64) {
    ends.iter_mut().for_each(End::restart);
    let mut last = Instant::now();
    while ends.iter().any(|end| end.got < count) {
        let mut moved = 0;
        for at in 0..2 {
            moved += ends[at].receive();
            let waiting = ends[at].sent - ends[1 - at].got;
            let most = (count - ends[at].sent).min(WINDOW - waiting);
            ends[at].send(most);
            ends[at].engine.flush().unwrap();
        }
        if moved > 0 {
            last = Instant::now();
        } else {
            thread::yield_now();
        }
        assert!(last.elapsed() < PATIENCE / 2, "nothing moves: {ends:#?}");
    }
}

/// No frame is lost: each is in a ring, with the kernel, or free.
#[track_caller]
pub fn assert_accounted(ends: &[End; 2]) {
    for end in ends {
        let rings = end.engine.debug_rings();
        assert_eq!(rings.held(), Some(0), "{rings:#?}");
    }
}
