//! Why packets were lost, as far as counters and rings show it.

use super::event::{Note, SessionEvent, WrongQueue};
use super::trouble::Trouble;
use crate::packet::Packets;
use crate::port::Port;
use crate::system::{FluxRx, FluxTx};
use crate::text::counts::times;

/// Packets that do not move for this long, however often the kernel is told of them, are stuck.
const STUCK_NS: u64 = 10_000_000;

/// What is known besides counters and rings.
pub(crate) struct Observed<'a> {
    /// The interface.
    pub(crate) device: &'a str,
    /// How often the link went or came.
    pub(crate) link_changes: u32,
    /// What the run itself saw.
    pub(crate) losses: Losses,
}

/// What a run saw of its own losses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    /// Whether any packet got no answer.
    pub(crate) lost: bool,
    /// Packets for which there was no room until it was too late for them.
    pub(crate) no_tx_frame: u64,
    /// Packets that are longer than the interface sends now.
    pub(crate) too_long: u64,
    /// Packets that were due while there was no link.
    pub(crate) unsent: u64,
}

/// All that is known of why packets were lost: first those on other queues, then notes.
pub(crate) fn find(
    rx: &mut FluxRx,
    tx: &mut FluxTx,
    inbox: &mut Packets,
    seen: &Observed<'_>,
) -> impl Iterator<Item = SessionEvent> {
    let queues = wrong_queues(rx).into_iter().map(SessionEvent::WrongQueue);
    queues.chain(notes(rx, tx, inbox, seen).into_iter().map(SessionEvent::Note))
}

/// Packets for us that the NIC put on queues without a socket. An interface that is gone has no
/// counters, and its run ended with that error.
fn wrong_queues(rx: &FluxRx) -> Vec<WrongQueue> {
    let of = |port: &Port| {
        // Where a socket is, packets came before it was there.
        let queues = port.granted().queues.clone();
        let counts = port.queue_counters().unwrap_or_default().into_iter();
        let there = counts.filter(move |c| c.no_socket > 0 && !queues.contains(&c.queue));
        there.map(|count| WrongQueue { queue: count.queue, packets: count.no_socket })
    };
    rx.ports().iter().flat_map(of).collect()
}

/// What our own sockets' counters and rings say about packets that were lost.
fn notes(rx: &mut FluxRx, tx: &mut FluxTx, inbox: &mut Packets, seen: &Observed<'_>) -> Vec<Note> {
    let stats = rx.kernel_stats().unwrap_or_default();
    let (dropped, empty) = (stats.rx_dropped, stats.rx_fill_ring_empty_descs);
    let mut notes = Vec::new();
    let mut note = |kind, count, text| notes.push(Note { kind, count, text });
    match (dropped, empty) {
        (0, 0) => {}
        // Zero-copy drivers fetch frames ahead: that alone loses nothing.
        (0, _) if !seen.losses.lost => {}
        (0, _) => note(
            Trouble::Starved,
            empty,
            format!("packets were lost, and the driver found the fill ring empty {}", times(empty)),
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
                 {} (starved)",
                times(empty)
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
        let times = times(link_changes.into());
        let unsent = match seen.losses.unsent {
            0 => String::new(),
            1 => ", and 1 probe was not sent".to_owned(),
            n => format!(", and {n} probes were not sent"),
        };
        let text =
            format!("the carrier of {name} changed {times}: what was on its way is lost{unsent}");
        note(Trouble::LinkFlap, u64::from(link_changes), text);
    }
    if let too_long @ 1.. = seen.losses.too_long {
        let are = if too_long == 1 { "packet was" } else { "packets were" };
        let text = format!(
            "{too_long} {are} never sent: too long since the MTU of {} was lowered",
            seen.device
        );
        note(Trouble::TooLong, too_long, text);
    }
    let (stuck, no_tx_frame) = (stuck(rx, tx, inbox), seen.losses.no_tx_frame);
    if stuck + no_tx_frame > 0 {
        let more = if no_tx_frame > 0 {
            format!(", and {no_tx_frame} more found no room")
        } else {
            String::new()
        };
        let are = if stuck == 1 { "packet was" } else { "packets were" };
        let text = format!(
            "{stuck} {are} never sent: the kernel leaves them in the TX ring, however often it \
             is told{more} (stuck TX)"
        );
        notes.push(Note { kind: Trouble::StuckTx, count: stuck + no_tx_frame, text });
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
