//! The rules, one function each: what is wrong in words, or nothing.

use super::case::{COMP, Case, FILL, Pick, RX, TX, amount, duration};
use crate::snapshot::SocketState;
use crate::stats::XdpStatistics;
use crate::text::counts::times;

/// Fewest packets on other queues that make a queue the wrong one, and their rate per second:
/// below, it is the network's own chatter.
const CHATTER: u64 = 5;
const CHATTER_PPS: f64 = 20.0;
/// One frame in this many may be outside the rings in one look and inside in the next, though
/// nothing is wrong: the rings move while they are read.
const NOISE: i64 = 64;

fn bound(case: &Case<'_>) -> bool {
    case.now.state == SocketState::Bound
}

/// `2048 of 2048`.
fn filled(case: &Case<'_>, pick: Pick) -> String {
    let ring = pick(case.now);
    let number = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let used = number(ring.and_then(|ring| ring.used()));
    format!("{used} of {}", number(ring.and_then(|ring| ring.size)))
}

/// Whether most of what the RX ring or the UMEM can hold waits to be read: what the fill ring lacks
/// is there.
fn waits_to_be_read(case: &Case<'_>) -> bool {
    let Some(ring) = RX(case.now) else { return false };
    let room = [ring.size, case.frames()].into_iter().flatten().min();
    matches!((ring.used(), room), (Some(n), Some(room)) if u64::from(n) * 4 >= u64::from(room) * 3)
}

pub(super) fn gone(case: &Case<'_>) -> Option<String> {
    let name = case.name();
    (case.now.state == SocketState::Unbound).then(|| {
        format!(
            "{name} is gone: it was removed, or moved to another network namespace; close the \
             socket and open it anew"
        )
    })
}

pub(super) fn link_flap(case: &Case<'_>) -> Option<String> {
    let name = case.name();
    if case.now.state == SocketState::Unbound {
        return None;
    }
    let (_, now) = case.interface?;
    if !now.up {
        return Some(format!("{name} is down: ip link set {name} up"));
    }
    let before = case.oldest.unwrap_or(now);
    let changes = now.carrier_changes?.saturating_sub(before.carrier_changes?);
    let time = duration(now.time_ns.saturating_sub(before.time_ns) as f64 / 1e9);
    let what = match (now.carrier, changes) {
        (true, 0) => return None,
        (true, n) => format!("the link of {name} changed {} in {time}", times(n)),
        (false, 0) => format!("{name} has no carrier"),
        (false, n) => format!("{name} has no carrier, and its link changed {} in {time}", times(n)),
    };
    Some(format!(
        "{what}: what is sent meanwhile is lost; look at cable, switch port and peer, and wait \
         for the link after attaching XDP"
    ))
}

pub(super) fn no_program(case: &Case<'_>) -> Option<String> {
    let name = case.name();
    (bound(case) && case.waits_for_packets() && case.without_program()).then(|| {
        format!(
            "no XDP program is attached to {name}: nothing reaches the socket; it was detached, or \
             never attached: restart the application, or attach one that redirects to the socket \
             (one that only sends needs none)"
        )
    })
}

pub(super) fn not_in_map(case: &Case<'_>) -> Option<String> {
    let (_, now) = case.interface?;
    let (id, program) = now.xdp.as_ref()?;
    (bound(case) && case.waits_for_packets() && case.in_no_map()).then(|| {
        let key = case.now.queue.map_or_else(|| "its queue number".to_owned(), |n| n.to_string());
        format!(
            "the socket on {} is in no XSKMAP: what comes on this queue goes to the kernel's stack, \
             or is dropped, as XDP program {id} ({program}) has it; the receiver was closed, or it \
             was never put there: add the socket under key {key}, or close it",
            case.queue()
        )
    })
}

pub(super) fn starved(case: &Case<'_>) -> Option<String> {
    let risen = case.risen();
    let misses = risen.rx_fill_ring_empty_descs;
    if !bound(case) || misses == 0 || waits_to_be_read(case) {
        return None;
    }
    let empty = case.times(FILL, |ring| ring.used() == Some(0));
    // A zero-copy driver takes all there is into the NIC's own ring, and looks for more: an empty
    // fill ring alone is no trouble there.
    let still = case.put(RX) == Some(0);
    if case.now.zero_copy == Some(true) && !(still && empty == case.looks()) {
        return None;
    }
    let seen = match FILL(case.now).and_then(|ring| ring.used()) {
        Some(_) => format!(
            "the fill ring holds {} frames and was empty in {empty} of {} looks",
            filled(case, FILL),
            case.looks()
        ),
        None => "the fill ring runs empty".to_owned(),
    };
    let lost = match risen.rx_dropped {
        0 => String::new(),
        n => format!(" and dropped {}", case.rate(n, " packets")),
    };
    let next = match (case.outside_now(), case.frames()) {
        (Some(out), Some(frames)) if out * 2 >= i64::from(frames) => format!(
            "{out} of its {frames} frames are outside the rings: give each received frame back \
             to the fill ring"
        ),
        _ => "refill it after each batch, or give the socket more frames".to_owned(),
    };
    Some(format!(
        "{seen}; the kernel found none there {}{lost}; {next}",
        case.rate(misses, " times")
    ))
}

pub(super) fn slow_application(case: &Case<'_>) -> Option<String> {
    let risen = case.risen();
    let full = case.times(RX, |ring| ring.used().is_some() && ring.used() >= ring.size);
    let hoarded = waits_to_be_read(case) && risen.rx_fill_ring_empty_descs > 0;
    if !bound(case) || (risen.rx_ring_full == 0 && full < case.looks() && !hoarded) {
        return None;
    }
    let dropped = if hoarded { risen.rx_dropped } else { 0 };
    let lost = risen.rx_ring_full.saturating_add(dropped);
    let read = match case.taken(RX) {
        Some(0) => format!("the application read nothing in {}", case.time()),
        Some(n) => format!("the application reads {}", case.rate(n, " packets")),
        None => "the application does not read fast enough".to_owned(),
    };
    let waiting = match RX(case.now).and_then(|ring| ring.used()) {
        Some(_) => format!("{} entries wait in the RX ring", filled(case, RX)),
        None => "the RX ring was full".to_owned(),
    };
    Some(format!(
        "{waiting} and {} were dropped for it; {read}: read more often, spread the load \
         over more queues, or take a larger RX ring for bursts",
        case.rate(lost, " packets")
    ))
}

/// How many entries wait in the TX ring, where none was taken in any of the looks.
fn waits_to_be_sent(case: &Case<'_>) -> Option<u32> {
    let waiting = TX(case.now)?.used().filter(|&n| n > 0)?;
    let always = case.times(TX, |ring| ring.used().is_some_and(|n| n > 0)) == case.looks();
    (bound(case) && always && case.taken(TX) == Some(0)).then_some(waiting)
}

/// TX queues of the interface, where the socket's queue is none of them.
fn lacks_tx_queue(case: &Case<'_>) -> Option<u32> {
    let (queue, (_, interface)) = (case.now.queue?, case.interface?);
    interface.tx_queues.filter(|&count| queue >= count)
}

pub(super) fn no_tx_queue(case: &Case<'_>) -> Option<String> {
    let (waiting, count) = (waits_to_be_sent(case)?, lacks_tx_queue(case)?);
    let (name, queue) = (case.name(), case.queue());
    let plural = if count == 1 { "" } else { "s" };
    Some(format!(
        "{queue} of {name} cannot send: {name} has {count} TX queue{plural}, so the kernel never \
         takes the {waiting} entries in the TX ring, and says nothing; send by queue 0, or give \
         {name} more TX queues: ethtool -L {name}"
    ))
}

pub(super) fn stuck_tx(case: &Case<'_>) -> Option<String> {
    let waiting = waits_to_be_sent(case)?;
    if lacks_tx_queue(case).is_some() {
        return None;
    }
    let what =
        format!("{waiting} entries wait in the TX ring and none was taken in {}", case.time());
    let completed = COMP(case.now);
    if completed.is_some_and(|ring| ring.used().is_some() && ring.used() >= ring.size) {
        return Some(format!(
            "{what}: the completion ring is full ({}); take its entries out and use those frames \
             again",
            filled(case, COMP)
        ));
    }
    let asks = TX(case.now)?.need_wakeup();
    let kick = format!("call sendto() on {} after each batch", case.descriptor());
    Some(match (case.now.uses_need_wakeup, asks) {
        (Some(true) | None, Some(true)) => {
            format!("{what}, and need_wakeup is set: the kernel waits to be woken; {kick}")
        }
        (Some(false), _) => {
            format!("{what}: the socket was bound without need_wakeup, so {kick}")
        }
        _ => format!(
            "{what}, and need_wakeup is not set: the driver of {} should take them; look at its \
             link, and at dmesg",
            case.name()
        ),
    })
}

pub(super) fn leak(case: &Case<'_>) -> Option<String> {
    let (frames, outside) = (case.frames()?, case.outside_now()?);
    let moving = [RX, TX].into_iter().any(|ring| case.taken(ring).is_some_and(|n| n > 0));
    let advice = "each frame from the RX and completion ring must go back to the fill ring, or \
                  be sent";
    if moving && let Some(grown) = steady_growth(&case.outside, i64::from(frames) / NOISE) {
        return Some(format!(
            "{outside} of {frames} frames are outside the rings, {grown} more than {} looks \
             ago, and none came back: {advice}",
            case.outside.len() - 1
        ));
    }
    let gone = case.outside.iter().rev().take(case.looks()).all(|&out| out >= i64::from(frames));
    (bound(case) && gone && case.risen().rx_fill_ring_empty_descs > 0).then(|| {
        format!("all {frames} frames have been outside the rings for {}: {advice}", case.time())
    })
}

/// How much a series grew, if each third of it lies above the one before by more than `noise`.
fn steady_growth(series: &[i64], noise: i64) -> Option<i64> {
    let third = series.len() / 3;
    if third < 2 {
        return None;
    }
    let (old, rest) = series.split_at(third);
    let (middle, new) = rest.split_at(rest.len() - third);
    let above = |low: &[i64], high: &[i64]| {
        let (low, high) = (low.iter().max(), high.iter().min());
        matches!((low, high), (Some(low), Some(high)) if low + noise < *high)
    };
    let grows = above(old, middle) && above(middle, new);
    grows.then(|| series.last().zip(series.first()).map(|(last, first)| last - first)).flatten()
}

pub(super) fn wrong_queue(case: &Case<'_>) -> Option<String> {
    let explained = case.in_no_map() || case.without_program();
    let reached = case.put(RX)? > 0 || case.risen().rx_dropped > 0 || case.risen().rx_ring_full > 0;
    if !bound(case) || explained || reached {
        return None;
    }
    let (before, now) = case.interface?;
    let counts = now.queue_rx_packets.as_ref()?.iter().zip(before.queue_rx_packets.as_ref()?);
    let counts = counts.map(|(now, before)| now.saturating_sub(*before));
    let own = case.now.queue?;
    let taken = |queue: u32| {
        let mut sockets = case.observation.snapshot.sockets.iter();
        sockets.any(|socket| {
            let here = (socket.netns, socket.ifindex) == (case.now.netns, case.now.ifindex);
            here && socket.queue == Some(queue)
        })
    };
    let mut others: Vec<(u64, u32)> = Vec::new();
    for (queue, count) in (0u32..).zip(counts) {
        if queue == own && count > 0 {
            return None;
        }
        if count > 0 && !taken(queue) {
            others.push((count, queue));
        }
    }
    let total = others.iter().fold(0u64, |sum, (count, _)| sum.saturating_add(*count));
    if total < CHATTER || (total as f64) < CHATTER_PPS * case.seconds {
        return None;
    }
    others.sort_unstable_by(|a, b| b.cmp(a));
    let most: Vec<_> = others
        .iter()
        .take(3)
        .map(|(count, queue)| format!("queue {queue} ({})", case.rate(*count, "")))
        .collect();
    let more = others.len() - most.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let name = case.name();
    Some(format!(
        "nothing arrives on {}, while {name} receives on {}{more}, where there is no socket: \
         open all queues, or steer the traffic here: ethtool -L {name} combined 1, or ethtool -X or \
         -N {name}",
        case.queue(),
        most.join(", ")
    ))
}

pub(super) fn no_zero_copy(case: &Case<'_>) -> Option<String> {
    let (_, interface) = case.interface?;
    let copied = bound(case) && case.now.zero_copy == Some(false);
    (copied && interface.zero_copy == Some(true)).then(|| {
        let driver = interface.driver.as_deref().unwrap_or("its driver");
        format!(
            "packets are copied, though {driver} offers zero-copy on {}: bind with XDP_ZEROCOPY \
             (flux: --bind zerocopy) to be told why not",
            case.name()
        )
    })
}

pub(super) fn short_ring(case: &Case<'_>) -> Option<String> {
    let (_, interface) = case.interface?;
    let nic = interface.nic_ring.filter(|&n| n > 1 && !n.is_power_of_two())?;
    let size = RX(case.now)?.size?;
    let below = 1 << nic.ilog2();
    (bound(case) && size == below).then(|| {
        let budget = match case.put(RX) {
            Some(n) if n > 0 => {
                let seconds = f64::from(size) * case.seconds / f64::from(n);
                format!("; at {} it is full after {}", case.rate(n, " packets"), duration(seconds))
            }
            _ => String::new(),
        };
        format!(
            "the RX ring has {size} entries, as if taken from the {nic} of the NIC, which is not a \
             power of two{budget}: AF_XDP rings need not follow the NIC's, ask for 2048"
        )
    })
}

pub(super) fn idle(case: &Case<'_>) -> Option<String> {
    match case.now.state {
        SocketState::Ready => return Some("the socket is not bound to a queue yet".to_owned()),
        SocketState::Unbound => return None,
        SocketState::Bound => {}
    }
    let some = |n: Option<u32>| n.is_some_and(|n| n > 0);
    let moves = [RX, TX, FILL, COMP].into_iter().any(|r| some(case.put(r)) || some(case.taken(r)));
    let known = [RX, TX].into_iter().any(|ring| case.put(ring).is_some());
    // poll(2) counts a TX ring that it finds empty: that is waiting, not work.
    let counted = XdpStatistics { tx_ring_empty_descs: 0, ..case.risen() };
    if moves || !known || counted != XdpStatistics::default() {
        return None;
    }
    let nothing = format!("no packet came or went in {}", case.time());
    if case.now.xskmaps.as_ref().is_some_and(Vec::is_empty) && case.now.rx.is_some() {
        return Some(format!(
            "{nothing}: the socket is in no XSKMAP, so no XDP program can redirect to it; add it \
             under key {}",
            case.now.queue.unwrap_or_default()
        ));
    }
    let Some((before, now)) = case.interface else { return Some(nothing) };
    if now.xdp.is_none() {
        let name = case.name();
        return Some(format!("{nothing}: no XDP program is attached to {name}"));
    }
    let came = now.rx_packets.unwrap_or(0).saturating_sub(before.rx_packets.unwrap_or(0));
    Some(match came {
        0 => format!("{nothing}, and {} received nothing", case.name()),
        n => format!(
            "{nothing}, while {} received {} packet{}: its XDP program left them to the kernel",
            case.name(),
            amount(n as f64),
            if n == 1 { "" } else { "s" }
        ),
    })
}
