//! Why packets of a probing run were lost, as far as counters and rings tell.

use super::opened::{Elsewhere, Note};
use super::trouble::Trouble;
use crate::packet::Packets;
use crate::system::{FluxRx, FluxTx};

/// Packets that do not move for this long, however often the kernel is told of them, are stuck.
const STUCK_NS: u64 = 10_000_000;

/// What the run itself saw.
pub(crate) struct Seen<'a> {
    /// Whether any probe was given up.
    pub(crate) lost: bool,
    /// How often the link went or came.
    pub(crate) link_changes: u32,
    /// Probes that there was no room for until it was too late for them.
    pub(crate) roomless: u64,
    /// Probes that are longer than the interface sends now.
    pub(crate) too_long: u64,
    /// Probes that were due while there was no link.
    pub(crate) unsent: u64,
    /// The interface.
    pub(crate) device: &'a str,
}

/// Answers that the NIC put on queues without a socket. An interface that is gone has no counters,
/// and its run ended with that error.
pub(crate) fn elsewhere(rx: &FluxRx) -> Vec<Elsewhere> {
    let counts = rx.queue_counters().unwrap_or_default().into_iter();
    // Where a socket is, packets came before it was there.
    let queues = &rx.granted().queues;
    let there = counts.filter(|count| count.no_socket > 0 && !queues.contains(&count.queue));
    there.map(|count| Elsewhere { queue: count.queue, packets: count.no_socket }).collect()
}

/// What our own sockets' counters and rings say about packets that were lost.
pub(crate) fn notes(
    rx: &mut FluxRx,
    tx: &mut FluxTx,
    inbox: &mut Packets,
    seen: &Seen<'_>,
) -> Vec<Note> {
    let stats = rx.kernel_stats().unwrap_or_default();
    let (dropped, empty) = (stats.rx_dropped, stats.rx_fill_ring_empty_descs);
    let mut notes = Vec::new();
    let mut note = |kind, count, text| notes.push(Note { kind, count, text });
    match (dropped, empty) {
        (0, 0) => {}
        // Zero-copy drivers fetch frames ahead: that alone loses nothing.
        (0, _) if !seen.lost => {}
        (0, _) => note(
            Trouble::Starved,
            empty,
            format!("packets were lost, and the driver found the fill ring empty {empty} times"),
        ),
        (_, 0) => note(
            Trouble::Dropped,
            dropped,
            format!("the kernel dropped {dropped} of our packets: they do not fit a frame"),
        ),
        _ => note(
            Trouble::Starved,
            dropped,
            format!(
                "the kernel dropped {dropped} of our packets: it found the fill ring empty \
                 {empty} times (starved)"
            ),
        ),
    }
    if let full @ 1.. = stats.rx_ring_full {
        let text = format!(
            "the kernel dropped {full} of our packets: the RX ring was full (we read too slowly)"
        );
        note(Trouble::SlowApplication, full, text);
    }
    let link_changes = seen.link_changes;
    if link_changes > 0 {
        let name = seen.device;
        let times = if link_changes == 1 { "once" } else { &format!("{link_changes} times") };
        let unsent = match seen.unsent {
            0 => String::new(),
            1 => ", and 1 probe was not sent".to_owned(),
            n => format!(", and {n} probes were not sent"),
        };
        let text =
            format!("the carrier of {name} changed {times}: what was on its way is lost{unsent}");
        note(Trouble::LinkFlap, u64::from(link_changes), text);
    }
    if let too_long @ 1.. = seen.too_long {
        let are = if too_long == 1 { "packet was" } else { "packets were" };
        let text = format!(
            "{too_long} {are} never sent: too long since the MTU of {} was lowered",
            seen.device
        );
        note(Trouble::TooLong, too_long, text);
    }
    let (stuck, roomless) = (stuck(rx, tx, inbox), seen.roomless);
    if stuck + roomless > 0 {
        let more = if roomless > 0 {
            format!(", and {roomless} more found no room")
        } else {
            String::new()
        };
        let are = if stuck == 1 { "packet was" } else { "packets were" };
        let text = format!(
            "{stuck} {are} never sent: the kernel leaves them in the TX ring, however often it \
             is told{more} (stuck TX)"
        );
        notes.push(Note { kind: Trouble::StuckTx, count: stuck + roomless, text });
    }
    notes
}

/// Packets in the TX ring that do not move. A driver that is at work gets the time to go on.
fn stuck(rx: &mut FluxRx, tx: &mut FluxTx, inbox: &mut Packets) -> u64 {
    let before = tx.pending();
    if before == 0 {
        return 0;
    }
    let until = tx.now().saturating_add(STUCK_NS);
    // The interface may be gone: that was told as the run's error.
    while tx.flush().is_ok() && tx.pending() == before {
        if tx.now() >= until {
            return u64::from(before);
        }
        // What comes now comes too late; waiting for it drives transmission, too.
        if rx.recv_batch(inbox, Some(until)).is_err() {
            break;
        }
        inbox.clear();
    }
    0
}
