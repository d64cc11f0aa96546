//! Where in its frame a packet lies.

use std::fmt;

/// Set in [`Span::start`] while a packet lies where it was received: then what the XDP program wrote
/// in front of it is still there.
const AS_RECEIVED: u16 = 1 << 15;

/// Offset and length of a packet within its frame, in bytes. Never leaves the frame.
#[derive(Clone, Copy)]
pub struct Span {
    start: u16,
    len: u16,
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        (self.start(), self.len) == (other.start(), other.len)
    }
}

impl Eq for Span {}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("start", &self.start()).field("len", &self.len).finish()
    }
}

/// The frame has no room for that; the packet is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the frame")
    }
}

impl std::error::Error for NoRoom {}

impl Span {
    /// `len` bytes at `start` in a frame of `frame_size` (at most 4096) bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when that reaches beyond the frame.
    pub fn new(start: u32, len: u32, frame_size: u32) -> Result<Self, NoRoom> {
        match start.checked_add(len) {
            Some(end) if end <= frame_size && frame_size <= 4096 => {
                Ok(Self { start: start as u16, len: len as u16 })
            }
            _ => Err(NoRoom),
        }
    }

    /// The same place, of a packet that was just received there.
    #[inline(always)]
    pub(crate) fn received(self) -> Self {
        Self { start: self.start | AS_RECEIVED, ..self }
    }

    /// Whether the packet's start has stayed where it was received.
    #[inline(always)]
    pub(super) fn is_as_received(self) -> bool {
        self.start & AS_RECEIVED != 0
    }

    /// Offset of the first byte.
    #[must_use]
    #[inline(always)]
    pub fn start(self) -> usize {
        usize::from(self.start & !AS_RECEIVED)
    }

    /// Number of bytes.
    #[must_use]
    #[inline(always)]
    pub fn len(self) -> usize {
        usize::from(self.len)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Offset after the last byte.
    #[must_use]
    #[inline(always)]
    pub fn end(self) -> usize {
        self.start() + self.len()
    }

    /// The same start, `len` bytes long.
    ///
    /// # Errors
    /// [`NoRoom`] when that reaches beyond the frame.
    pub fn with_len(self, len: usize, frame_size: u32) -> Result<Self, NoRoom> {
        let len = u32::try_from(len).map_err(|_| NoRoom)?;
        let span = Self::new(self.start() as u32, len, frame_size)?;
        Ok(Self { start: self.start, ..span })
    }

    /// Moves the start by `delta` bytes and keeps the end, as `bpf_xdp_adjust_head` does:
    /// positive strips from the front, negative opens headroom.
    ///
    /// # Errors
    /// [`NoRoom`] when the start would leave the frame or pass the end.
    pub fn adjust_head(self, delta: i32) -> Result<Self, NoRoom> {
        let start = (self.start() as i32).checked_add(delta).ok_or(NoRoom)?;
        let len = i32::from(self.len).checked_sub(delta).ok_or(NoRoom)?;
        if start < 0 || len < 0 {
            return Err(NoRoom);
        }
        // The end is unchanged and at most 4096, so both fit.
        Ok(Self { start: start as u16, len: len as u16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_sequence_of_changes_leaves_the_frame(
            start in 0u32..5000, len in 0u32..5000, steps in prop::collection::vec((any::<bool>(), any::<i32>(), -300i32..300), 0..40),
        ) {
            const SIZE: u32 = 2048;
            let Ok(mut span) = Span::new(start, len, SIZE) else {
                prop_assert!(start + len > SIZE);
                return Ok(());
            };
            for (head, wild, tame) in steps {
                for delta in [wild, tame] {
                    let before = span;
                    if head {
                        if let Ok(next) = span.adjust_head(delta) {
                            prop_assert_eq!(next.end(), before.end());
                            prop_assert_eq!(next.start() as i64, before.start() as i64 + i64::from(delta));
                            span = next;
                        }
                    } else if let Ok(next) = span.with_len(delta as u32 as usize, SIZE) {
                        prop_assert_eq!(next.start(), before.start());
                        span = next;
                    }
                    prop_assert!(span.end() <= SIZE as usize);
                }
            }
        }
    }
}
