//! What an interface cannot do for the sockets on it: queues that do not send, packets that are too
//! long. The real and the simulated kernel say it in the same words.

use crate::error::Advice;

/// Ethernet header and one VLAN tag: what a packet may have on top of the MTU, in bytes.
pub(crate) const LINK_HEADER: u32 = 18;

/// Largest frame that a UMEM can have, in bytes.
const LARGEST_FRAME: u32 = 4096;

/// Queues of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueCounts {
    /// Those that receive: 0 to `rx - 1`.
    pub(crate) rx: u32,
    /// Those that send: 0 to `tx - 1`.
    pub(crate) tx: u32,
}

/// Longest packet that an interface sends, in bytes from the Ethernet header on. Linux drops what
/// is longer, and completes it as if it had been sent.
pub(crate) fn longest(mtu: u32) -> u32 {
    mtu.saturating_add(LINK_HEADER)
}

/// Those of the opened `queues` that can send where the interface has `tx` TX queues, and what to
/// tell the user when these are not all.
pub(crate) fn sending(interface: &str, queues: &[u32], tx: u32) -> (Vec<u32>, Option<String>) {
    let (send, only): (Vec<u32>, Vec<u32>) = queues.iter().partition(|queue| **queue < tx);
    let (verb, which) = match only.as_slice() {
        [] => return (send, None),
        [one] => ("receives", format!("queue {one}")),
        [first, second] => ("receive", format!("queues {first} and {second}")),
        [first, .., last] if last - first + 1 == only.len() as u32 => {
            ("receive", format!("queues {first} to {last}"))
        }
        [all @ .., last] => {
            let all: Vec<_> = all.iter().map(u32::to_string).collect();
            ("receive", format!("queues {} and {last}", all.join(", ")))
        }
    };
    let mut note = format!("{which} of {interface} only {verb}: it has {}", tx_queues(tx));
    if send.is_empty() {
        note += "; nothing can be sent, unless queue 0 is opened as well";
    }
    (send, Some(note))
}

fn tx_queues(count: u32) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} TX queue{plural}")
}

/// What to tell the user of an MTU whose packets do not fit into a frame: `room` bytes of one of
/// `frame_size` are for a packet.
pub(crate) fn mtu_note(interface: &str, mtu: u32, room: u32, frame_size: u32) -> Option<String> {
    if longest(mtu) <= room {
        return None;
    }
    let headroom = frame_size - room;
    let advice = match longest(mtu) <= LARGEST_FRAME - headroom {
        true => format!("; {}", Advice::LargerFrames),
        false => String::new(),
    };
    Some(format!(
        "MTU {mtu} of {interface} needs more than the {room} bytes that a frame has for it: longer \
         packets are dropped on arrival{advice}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_beyond_the_tx_queues_are_named() {
        let note = |queues: &[u32], tx| sending("v0", queues, tx).1;
        assert_eq!(note(&[0, 1], 2), None);
        assert_eq!(note(&[0, 1], 1).unwrap(), "queue 1 of v0 only receives: it has 1 TX queue");
        assert_eq!(
            note(&[3, 0, 2], 2).unwrap(),
            "queues 3 and 2 of v0 only receive: it has 2 TX queues"
        );
        assert_eq!(
            note(&[0, 1, 2, 3], 1).unwrap(),
            "queues 1 to 3 of v0 only receive: it has 1 TX queue"
        );
        assert_eq!(
            note(&[0, 2, 4, 6], 1).unwrap(),
            "queues 2, 4 and 6 of v0 only receive: it has 1 TX queue"
        );
        assert_eq!(
            note(&[1], 1).unwrap(),
            "queue 1 of v0 only receives: it has 1 TX queue; nothing can be sent, unless queue 0 \
             is opened as well"
        );
        assert_eq!(sending("v0", &[3, 0, 1], 2).0, [0, 1]);
    }

    #[test]
    fn an_mtu_beyond_a_frame_is_told_with_larger_frames_where_these_would_do() {
        let note = |mtu, frame| mtu_note("v0", mtu, frame - 256, frame);
        assert_eq!(note(1500, 2048), None);
        assert_eq!(note(1774, 2048), None);
        assert_eq!(
            note(3000, 2048).unwrap(),
            "MTU 3000 of v0 needs more than the 1792 bytes that a frame has for it: longer packets \
             are dropped on arrival; use frames of 4096 bytes"
        );
        assert_eq!(note(3000, 4096), None);
        for frame in [2048, 4096] {
            let text = note(9000, frame).unwrap();
            assert!(text.ends_with("longer packets are dropped on arrival"), "{text}");
        }
    }
}
