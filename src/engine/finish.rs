//! What becomes of a batch once the closure has seen it.

use super::EngineStats;
use crate::error::Result;
use crate::packet::Slot;
use crate::socket::{RxHalf, TxHalf};
use crate::umem::{Buffer, FrameCache};

/// A batch while the closure has it. A closure that panics gives no verdicts: dropping this
/// recycles all that is left, so that no frame and no way out is kept for a later batch.
pub(super) struct InHand<'a> {
    pub(super) slots: &'a mut Vec<Slot>,
    pub(super) extra: &'a mut Vec<Slot>,
    pub(super) cache: &'a mut FrameCache,
    pub(super) stats: &'a mut EngineStats,
}

impl InHand<'_> {
    /// The closure came back.
    #[inline(always)]
    pub(super) fn judged(self) {
        std::mem::forget(self); // borrows alone
    }
}

impl Drop for InHand<'_> {
    #[cold]
    fn drop(&mut self) {
        let Self { slots, extra, cache, stats } = self;
        for Slot { buffer, .. } in slots.drain(..) {
            if buffer.frame.is_taken() {
                stats.extracted += 1;
            } else {
                stats.recycled += 1;
                cache.put(buffer.frame);
            }
        }
        for Slot { buffer, .. } in extra.drain(..) {
            stats.extra_full += 1;
            cache.put(buffer.frame);
        }
    }
}

/// What became of a batch; the rest was recycled.
#[derive(Default)]
pub(super) struct Done {
    pub(super) sent: u64,
    /// Refused by a full TX ring.
    pub(super) full: u64,
    /// Longer than the port can send.
    pub(super) too_long: u64,
    /// Without a byte.
    pub(super) empty: u64,
    pub(super) extracted: u64,
}

/// Recycles the packets for a port that the worker does not have, or that cannot send here, and
/// counts them.
#[cold]
pub(super) fn nowhere(slots: &mut [Slot], stats: &mut EngineStats) {
    for slot in slots.iter_mut().filter(|slot| !slot.buffer.frame.is_taken()) {
        let count = match slot.to {
            Slot::NOWHERE => &mut stats.no_port,
            Slot::RECEIVE_ONLY => &mut stats.receive_only,
            _ => continue,
        };
        *count += 1;
        slot.to = Slot::RECYCLE;
    }
}

/// Rehomes every frame of a finished batch: one pass over the packets for each TX ring that some of
/// them leave by, which is one as a rule: that of the queue `at` itself, or `back` where this one
/// only receives. `later` is empty before and after; it has room for all.
///
/// # Errors
/// When the kernel refuses a kick; every frame is where it belongs also then.
#[inline]
pub(super) fn finish(
    slots: &mut Vec<Slot>,
    later: &mut Vec<Slot>,
    rx: &mut RxHalf,
    tx: &mut [TxHalf],
    (at, back): (usize, usize),
    cache: &mut FrameCache,
) -> (Done, Result<()>) {
    let (mut done, mut result) = (Done::default(), Ok(()));
    loop {
        let first = slots.first().map_or(Slot::RECYCLE, |slot| slot.to);
        let target = if first == Slot::RECYCLE { back } else { usize::from(first) };
        let Some(out) = tx.get_mut(target) else {
            debug_assert!(false, "a packet for TX ring {target} of {}", tx.len());
            return (done, result);
        };
        deal(slots, later, rx, out, target as u16, cache, &mut done);
        // That of the queue itself is kicked once a turn in any case.
        if target != at
            && let Err(error) = out.flush()
        {
            result = result.and(Err(error));
        }
        if later.is_empty() {
            return (done, result);
        }
        std::mem::swap(slots, later);
    }
}

/// Sends the packets for the TX ring `target`, recycles those that nobody wants, and leaves the
/// others in `later`.
#[inline(always)]
fn deal(
    slots: &mut Vec<Slot>,
    later: &mut Vec<Slot>,
    rx: &mut RxHalf,
    out: &mut TxHalf,
    target: u16,
    cache: &mut FrameCache,
    done: &mut Done,
) {
    let all = slots.len() as u32;
    // Most batches find room for all of their packets, and then nobody has to count.
    if out.tx.reserve(all).room() < all {
        let wanted = slots.iter().filter(|slot| slot.to == target).count() as u32;
        if out.tx.reserve(wanted).room() < wanted {
            // Full: let the kernel take what is there before giving up on new packets.
            let _ = out.flush(); // an error shows again at the next one
            out.reap(cache);
        }
    }
    let mut ring = out.tx.reserve(all);
    // The slots that these frames came by are free again, so there is room for all of them.
    let (mut back, erase) = rx.recycle(all);
    for Slot { buffer, to } in slots.drain(..) {
        let Buffer { mut frame, span } = buffer;
        if frame.is_taken() {
            done.extracted += 1;
            continue;
        }
        if to != Slot::RECYCLE {
            if to != target {
                later.push(Slot { buffer: Buffer { frame, span }, to });
                continue;
            }
            match ring.push(Buffer { frame, span }) {
                Ok(()) => {
                    done.sent += 1;
                    continue;
                }
                Err(buffer) => frame = buffer.frame,
            }
            *match span.len() {
                0 => &mut done.empty,
                len if len > ring.longest() as usize => &mut done.too_long,
                _ => &mut done.full,
            } += 1;
        }
        erase.erase(&mut frame);
        if let Err(frame) = back.push(frame) {
            cache.put(frame);
        }
    }
}
