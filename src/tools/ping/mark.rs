//! [`Mark`]: what a probe says about itself in its payload, so that its answer names it wherever
//! the answer comes from, and however many probes are in flight.
//!
//! ```text
//!   payload   0 ..  8   the same in all probes of a run, and another one in other runs
//!             8 .. 16   target (24 bits), sequence number (40 bits)
//!            16 ..      pattern
//! ```
//! iputils' ping keeps its time stamp in these 16 bytes: a pattern begins behind them there, too.

use std::ops::Range;

/// Bytes that are the same in all probes of a run.
pub(super) const TOKEN: Range<usize> = 0..8;
/// Bytes that name the probe.
pub(super) const MARK: Range<usize> = 8..16;

/// Bits of the sequence number.
const SEQUENCE_BITS: u32 = 40;
/// More targets than that are not told apart by their marks.
const TARGETS: u32 = 1 << (u64::BITS - SEQUENCE_BITS);

/// Target and sequence number, as far as there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) target: u32,
    low: u64,
}

impl Mark {
    /// Of a probe.
    pub(super) fn of(target: u32, sequence: u64) -> Self {
        Self { target: target % TARGETS, low: sequence % (1 << SEQUENCE_BITS) }
    }

    /// As in the payload.
    pub(super) fn bytes(self) -> [u8; 8] {
        (u64::from(self.target) << SEQUENCE_BITS | self.low).to_be_bytes()
    }

    /// What a payload carries; `None` if it is too short.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let bytes = payload.get(MARK)?.first_chunk::<8>()?;
        let both = u64::from_be_bytes(*bytes);
        Some(Self::of((both >> SEQUENCE_BITS) as u32, both))
    }

    /// The sequence number, which is at most `last`; `None` if there is no such number.
    pub(super) fn sequence(self, last: u64) -> Option<u64> {
        let age = last.wrapping_sub(self.low) % (1 << SEQUENCE_BITS);
        last.checked_sub(age).filter(|&sequence| sequence > 0)
    }
}

/// Whether a payload of this many bytes has room for a mark.
pub(super) fn has_room(size: usize) -> bool {
    size >= MARK.end
}

/// What the payload of an answer, or of a probe that an error quotes, says about whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It has the run's token and this mark.
    Marked(Mark),
    /// It has the run's token and no room for a mark.
    Ours,
    /// It is too short to say anything.
    Silent,
    /// Somebody else's.
    Foreign,
}

impl Claim {
    /// Of `payload`, where our probes carry `sent` (but for the mark).
    pub(super) fn read(payload: &[u8], sent: &[u8]) -> Self {
        match (payload.get(TOKEN), sent.get(TOKEN)) {
            (Some(theirs), Some(ours)) if theirs != ours => Self::Foreign,
            (Some(_), Some(_)) => match Mark::read(payload).filter(|_| has_room(sent.len())) {
                Some(mark) => Self::Marked(mark),
                None => Self::Ours,
            },
            // A foreign one that has room for a token is not cut from ours, which have none.
            (Some(_), None) => Self::Foreign,
            _ => Self::Silent,
        }
    }
}

/// A byte of an answer that is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) at: usize,
    pub(super) sent: u8,
    pub(super) came: u8,
}

/// The first byte of `payload` that is not as in the probe with this `mark`, as far as both go;
/// `sent` is the payload of all probes.
pub(super) fn difference(payload: &[u8], sent: &[u8], mark: Mark) -> Option<Difference> {
    let both = payload.len().min(sent.len());
    let marked = if has_room(sent.len()) { MARK } else { both..both };
    let (start, end) = (marked.start.min(both), marked.end.min(both));
    let mark = mark.bytes();
    let parts = [
        (0, &payload[..start], &sent[..start]),
        (start, &payload[start..end], &mark[..end - start]),
        (end, &payload[end..both], &sent[end..both]),
    ];
    let (from, came, sent) = parts.into_iter().find(|(_, came, sent)| came != sent)?;
    let at = came.iter().zip(sent).position(|(came, sent)| came != sent)?;
    Some(Difference { at: from + at, sent: sent[at], came: came[at] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK_OF: Mark = Mark { target: 7, low: 0x01_0203_0405 };

    fn sent(size: usize) -> (Vec<u8>, Vec<u8>) {
        let all: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let mut this = all.clone();
        if let Some(to) = this.get_mut(MARK) {
            to.copy_from_slice(&MARK_OF.bytes());
        }
        (all, this)
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        assert_eq!(Mark::of(7, 0xff01_0203_0405), MARK_OF);
        assert_eq!(MARK_OF.sequence(0xff01_0203_0405), Some(0xff01_0203_0405));
        assert_eq!(MARK_OF.sequence(0xff01_0203_0404), Some(0xfe01_0203_0405));
        assert_eq!(MARK_OF.sequence(0x01_0203_0404), None);
        let (_, payload) = sent(16);
        assert_eq!(Mark::read(&payload), Some(MARK_OF));
        assert_eq!(Mark::read(&payload[..15]), None);
    }

    #[test]
    fn a_payload_says_whose_it_is_as_far_as_it_goes() {
        let (all, this) = sent(56);
        assert_eq!(Claim::read(&this, &all), Claim::Marked(MARK_OF));
        assert_eq!(Claim::read(&this[..15], &all), Claim::Ours);
        assert_eq!(Claim::read(&this[..8], &all), Claim::Ours);
        assert_eq!(Claim::read(&this[..7], &all), Claim::Silent);
        // Longer than it was sent: what is behind says nothing.
        assert_eq!(Claim::read(&this, &all[..10]), Claim::Ours);
        assert_eq!(Claim::read(&this[..7], &all[..5]), Claim::Silent);
        assert_eq!(Claim::read(&this, &all[..5]), Claim::Foreign);
        let mut other = this;
        other[3] ^= 1;
        assert_eq!(Claim::read(&other, &all), Claim::Foreign);
    }

    #[test]
    fn the_first_byte_that_differs_is_named_wherever_it_is() {
        for size in [0, 5, 8, 15, 16, 17, 56] {
            let (all, this) = sent(size);
            assert_eq!(difference(&this, &all, MARK_OF), None);
            for at in 0..size {
                let mut changed = this.clone();
                changed[at] ^= 0x80;
                let found = Difference { at, sent: this[at], came: changed[at] };
                assert_eq!(difference(&changed, &all, MARK_OF), Some(found));
                // Not in what is left of it.
                assert_eq!(difference(&changed[..at], &all, MARK_OF), None);
                changed.extend([9; 20]);
                assert_eq!(difference(&changed, &all, MARK_OF), Some(found));
            }
        }
    }
}
