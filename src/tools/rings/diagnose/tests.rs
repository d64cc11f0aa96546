//! Made-up histories, one trouble each, and healthy ones.

use super::*;
use crate::ring::{NEED_WAKEUP, RingSnapshot};
use crate::snapshot::{
    Owner, RingsSnapshot, SocketSnapshot, SocketState, Source, UmemSnapshot, XskMapSlot,
};
use crate::stats::XdpStatistics;
use crate::tools::rings::history::{FIRST_LOOKS, History, Observation};
use crate::tools::rings::observe::{InterfaceKey, InterfaceSnapshot};
use proptest::prelude::*;
use std::time::Duration;

const FRAMES: u32 = 4096;
/// Packets from one look to the next, 100 ms later.
const STEP: u32 = 10_000;

fn ring(size: u32, produced: u32, used: u32, flags: u32) -> RingSnapshot {
    RingSnapshot {
        size: Some(size),
        producer: Some(produced),
        consumer: Some(produced.wrapping_sub(used)),
        cached_producer: None,
        cached_consumer: None,
        flags: Some(flags),
    }
}

/// A socket that forwards what it receives, in look `i`. The indices wrap on the way.
fn healthy(i: u32) -> SocketSnapshot {
    let passed = (u32::MAX - 2 * STEP).wrapping_add(i * STEP);
    SocketSnapshot {
        inode: Some(7),
        owners: vec![Owner { pid: 42, fd: 5, comm: "app".into() }],
        netns: Some(1),
        interface: Some("eth0".into()),
        ifindex: Some(2),
        queue: Some(0),
        state: SocketState::Bound,
        zero_copy: Some(false),
        uses_need_wakeup: Some(true),
        xskmaps: Some(vec![XskMapSlot { map: 3, key: 0 }]),
        fill: Some(ring(2048, passed.wrapping_add(2000), 2000, 0)),
        rx: Some(ring(2048, passed, 30 + i % 3, 0)),
        tx: Some(ring(2048, passed, i % 2, NEED_WAKEUP)),
        comp: Some(ring(2048, passed, 10, 0)),
        stats: Some(XdpStatistics {
            tx_ring_empty_descs: u64::from(i) * 100,
            ..XdpStatistics::default()
        }),
        umem: Some(UmemSnapshot {
            id: Some(1),
            frames: Some(FRAMES),
            frame_size: Some(2048),
            ..UmemSnapshot::default()
        }),
        ..SocketSnapshot::unknown(1_000_000_000 + u64::from(i) * 100_000_000)
    }
}

fn interface(i: u32) -> InterfaceSnapshot {
    InterfaceSnapshot {
        time_ns: 1_000_000_000 + u64::from(i) * 100_000_000,
        key: InterfaceKey { netns: Some(1), ifindex: 2 },
        name: "eth0".into(),
        driver: Some("veth".into()),
        up: true,
        carrier: true,
        carrier_changes: Some(2),
        mtu: 1500,
        queues: Some(4),
        tx_queues: Some(4),
        rx_packets: Some(u64::from(i * STEP)),
        tx_packets: Some(u64::from(i * STEP)),
        queue_rx_packets: Some(vec![u64::from(i * STEP), 3, 3, 3]),
        xdp: Some((9, "redirect".into())),
        zero_copy: Some(false),
        nic_ring: Some(1024),
    }
}

type Change<'a> = &'a dyn Fn(u32, &mut SocketSnapshot, &mut InterfaceSnapshot);

fn history(looks: u32, change: Change<'_>) -> History {
    let mut history = History::default();
    for i in 0..looks {
        let (mut socket, mut interface) = (healthy(i), interface(i));
        change(i, &mut socket, &mut interface);
        history.observations.push_back(Observation {
            time_ns: socket.time_ns,
            snapshot: RingsSnapshot { source: Source::Iter, sockets: vec![socket] },
            missing: Vec::new(),
            interfaces: vec![interface],
            took: Duration::ZERO,
        });
    }
    history
}

fn told(change: Change<'_>) -> Vec<Diagnosis> {
    diagnose(&history(FIRST_LOOKS as u32, change), FIRST_LOOKS, 0)
}

/// The one trouble that there is.
fn only(kind: Trouble, change: Change<'_>) -> String {
    let told = told(change);
    assert_eq!(told.iter().map(|d| d.kind).collect::<Vec<_>>(), [kind], "{told:#?}");
    told[0].text.clone()
}

/// Everything in the rings stands as it was in the first look.
fn still(socket: &mut SocketSnapshot) {
    let first = healthy(0);
    let SocketSnapshot { fill, rx, tx, comp, .. } = first;
    (socket.fill, socket.rx, socket.tx, socket.comp) = (fill, rx, tx, comp);
    socket.tx = Some(ring(2048, 0, 0, NEED_WAKEUP));
}

fn count(socket: &mut SocketSnapshot, counts: impl Fn(&mut XdpStatistics)) {
    counts(socket.stats.as_mut().unwrap());
}

#[test]
fn a_healthy_run_gets_no_diagnosis() {
    assert_eq!(told(&|_, _, _| ()), []);
    // Nor does what sends alone, on a machine that receives on other queues.
    assert_eq!(
        told(&|i, socket, interface| {
            socket.rx = None;
            interface.queue_rx_packets = Some(vec![0, u64::from(i * STEP), 0, 0]);
        }),
        []
    );
    // Nor a zero-copy driver that took the whole fill ring and looks for more.
    assert_eq!(
        told(&|i, socket, _| {
            socket.zero_copy = Some(true);
            socket.fill.as_mut().unwrap().consumer = socket.fill.unwrap().producer;
            count(socket, |stats| stats.rx_fill_ring_empty_descs = u64::from(i) * 1000);
        }),
        []
    );
}

#[test]
fn nothing_is_said_after_one_look() {
    let one = history(1, &|_, socket, _| socket.state = SocketState::Unbound);
    assert_eq!(diagnose(&one, FIRST_LOOKS, 0), []);
}

#[test]
fn an_empty_fill_ring_with_misses_is_starved() {
    let starving = |i: u32, socket: &mut SocketSnapshot, _: &mut InterfaceSnapshot| {
        socket.fill = Some(ring(2048, 2048, 0, 0));
        socket.rx = Some(ring(2048, 2048, 0, 0));
        socket.comp = Some(ring(2048, 0, 0, 0));
        socket.tx = Some(ring(2048, 1500, 1500, 0));
        count(socket, |stats| {
            stats.rx_fill_ring_empty_descs = u64::from(i) * 1000;
            stats.rx_dropped = u64::from(i) * 1000;
        });
        socket.tx.as_mut().unwrap().consumer = Some(i);
        socket.tx.as_mut().unwrap().producer = Some(i + 1500);
    };
    let text = only(Trouble::Starved, &starving);
    assert_eq!(
        text,
        "the fill ring holds 0 of 2048 frames and was empty in 6 of 6 looks; the kernel \
         found none there 10.0k times/s and dropped 10.0k packets/s; 2596 of its 4096 frames \
         are outside the rings: give each received frame back to the fill ring"
    );
}

#[test]
fn frames_that_all_left_the_rings_are_a_leak_too() {
    let told = told(&|i, socket, _| {
        still(socket);
        socket.fill = Some(ring(2048, 2048, 0, 0));
        socket.rx = Some(ring(2048, 2048, 0, 0));
        socket.comp = Some(ring(2048, 0, 0, 0));
        count(socket, |stats| stats.rx_fill_ring_empty_descs = u64::from(i) * 1000);
    });
    assert_eq!(told.iter().map(|d| d.kind).collect::<Vec<_>>(), [Trouble::Starved, Trouble::Leak]);
    assert!(told[1].text.starts_with("all 4096 frames have been outside the rings for 0.5 s"));
}

#[test]
fn a_full_rx_ring_is_a_slow_application() {
    let full = |i: u32, socket: &mut SocketSnapshot, _: &mut InterfaceSnapshot| {
        still(socket);
        socket.rx = Some(ring(2048, 5000, 2048, 0));
        count(socket, |stats| stats.rx_ring_full = u64::from(i) * 1000);
    };
    let text = only(Trouble::SlowApplication, &full);
    assert!(text.contains("2048 of 2048 entries wait in the RX ring"), "{text}");
    assert!(text.contains("10.0k packets/s were dropped"), "{text}");
    assert!(text.contains("read nothing in 0.5 s"), "{text}");
    // A larger ring than there are frames: it never fills, and the fill ring is what runs empty.
    let hoarding = |i: u32, socket: &mut SocketSnapshot, _: &mut InterfaceSnapshot| {
        still(socket);
        socket.rx = Some(ring(8192, 4090, 4090, 0));
        socket.fill = Some(ring(8192, 4096, 0, 0));
        count(socket, |stats| {
            stats.rx_fill_ring_empty_descs = u64::from(i) * 1000;
            stats.rx_dropped = u64::from(i) * 1000;
        });
    };
    only(Trouble::SlowApplication, &hoarding);
}

#[test]
fn entries_for_a_tx_queue_that_is_not_there_are_told_with_the_number_that_is() {
    let text = only(Trouble::NoTxQueue, &|i, socket, interface| {
        still(socket);
        socket.queue = Some(1);
        socket.tx = Some(ring(2048, 12, 12, NEED_WAKEUP));
        interface.queue_rx_packets = Some(vec![0, u64::from(i * STEP), 0, 0]);
        interface.tx_queues = Some(1);
    });
    assert!(text.starts_with("queue 1 of eth0 cannot send: eth0 has 1 TX queue, so"), "{text}");
    assert!(text.contains("the 12 entries") && text.contains("send by queue 0"), "{text}");
    // One that only receives is well.
    assert_eq!(
        told(&|_, socket, interface| {
            interface.tx_queues = Some(0);
            socket.tx = Some(ring(2048, 0, 0, NEED_WAKEUP));
        }),
        []
    );
}

#[test]
fn entries_that_nobody_takes_are_a_stuck_tx_with_the_reason() {
    let stuck = |flags: u32, uses: bool, completed: u32| {
        only(Trouble::StuckTx, &move |_, socket, _| {
            still(socket);
            socket.tx = Some(ring(2048, 900, 100, flags));
            socket.comp = Some(ring(2048, 800, completed, 0));
            socket.uses_need_wakeup = Some(uses);
        })
    };
    assert!(stuck(NEED_WAKEUP, true, 0).contains("call sendto() on fd 5"));
    assert!(stuck(NEED_WAKEUP, false, 0).contains("bound without need_wakeup"));
    assert!(stuck(0, true, 0).contains("the driver of eth0 should take them"));
    assert!(stuck(NEED_WAKEUP, true, 2048).contains("the completion ring is full (2048 of 2048)"));
}

#[test]
fn frames_that_go_and_do_not_come_back_are_a_leak() {
    let leaking = |i: u32, socket: &mut SocketSnapshot, _: &mut InterfaceSnapshot| {
        let fill = socket.fill.as_mut().unwrap();
        fill.producer = Some(fill.producer.unwrap().wrapping_sub(i * 100));
        fill.consumer = Some(fill.producer.unwrap().wrapping_sub(2000 - i * 100));
    };
    let text = only(Trouble::Leak, &leaking);
    assert!(text.contains("more than 5 looks ago, and none came back"), "{text}");
    // The same loss in between, but they came back.
    assert_eq!(
        told(&|i, socket, interface| leaking(if i == 5 { 0 } else { i }, socket, interface)),
        []
    );
}

#[test]
fn packets_on_queues_without_a_socket_are_the_wrong_queue() {
    let astray = |i: u32, socket: &mut SocketSnapshot, interface: &mut InterfaceSnapshot| {
        still(socket);
        interface.queue_rx_packets = Some(vec![0, u64::from(i * STEP), u64::from(i), 3]);
    };
    let text = only(Trouble::WrongQueue, &astray);
    assert!(
        text.contains(
            "nothing arrives on queue 0, while eth0 receives on queue 1 (100k/s), queue 2 (10/s)"
        ),
        "{text}"
    );
    // Chatter on another queue is no reason: the socket is idle.
    let text = only(Trouble::Idle, &|i, socket, interface| {
        astray(i, socket, interface);
        interface.queue_rx_packets = Some(vec![0, u64::from(i), 0, 0]);
    });
    assert!(text.contains("its XDP program left them to the kernel"), "{text}");
}

#[test]
fn a_socket_that_nothing_can_reach_is_told_whatever_else_moves() {
    // It sends all the time; what comes goes past it.
    let sends_alone = |i: u32, socket: &mut SocketSnapshot| {
        socket.fill = Some(ring(2048, 2000, 1990, 0));
        socket.rx = Some(ring(2048, 10, 0, 0));
        socket.tx = Some(ring(2048, i * STEP, 0, NEED_WAKEUP));
    };
    let text = only(Trouble::NotInMap, &|i, socket, _| {
        sends_alone(i, socket);
        socket.xskmaps = Some(Vec::new());
    });
    assert_eq!(
        text,
        "the socket on queue 0 is in no XSKMAP: what comes on this queue goes to the kernel's \
         stack, or is dropped, as XDP program 9 (redirect) has it; the receiver was closed, or it \
         was never put there: add the socket under key 0, or close it"
    );
    let text = only(Trouble::NoProgram, &|i, socket, interface| {
        sends_alone(i, socket);
        interface.xdp = None;
        // The map outlives the program. Packets on other queues are no reason.
        interface.queue_rx_packets = Some(vec![0, u64::from(i * STEP), 0, 0]);
    });
    assert!(text.starts_with("no XDP program is attached to eth0: nothing reaches"), "{text}");
    // Also while packets came until it was detached.
    only(Trouble::NoProgram, &|i, _, interface| {
        if i > 0 {
            interface.xdp = None;
        }
    });
    // Only for a moment, not known, not bound, without an RX ring: no reason to speak.
    type Change = fn(u32, &mut SocketSnapshot, &mut InterfaceSnapshot);
    let silent: [Change; 3] = [
        |i, socket, _| {
            if i > 0 {
                socket.xskmaps = Some(Vec::new());
            }
        },
        |_, socket, _| socket.xskmaps = None,
        |_, socket, _| (socket.rx, socket.xskmaps) = (None, Some(Vec::new())),
    ];
    for change in silent {
        let told = told(&|i, socket, interface| {
            sends_alone(i, socket);
            change(i, socket, interface);
        });
        assert_eq!(told, []);
    }
}

#[test]
fn a_link_that_goes_is_named_before_what_follows_from_it() {
    let text = only(Trouble::LinkFlap, &|i, socket, interface| {
        still(socket);
        interface.carrier_changes = Some(u64::from(i));
    });
    assert!(text.starts_with("the link of eth0 changed 5 times in 0.5 s"), "{text}");
    let text = only(Trouble::LinkFlap, &|_, socket, interface| {
        still(socket);
        interface.carrier = false;
    });
    assert!(text.starts_with("eth0 has no carrier"), "{text}");
    let text = only(Trouble::LinkFlap, &|_, socket, interface| {
        still(socket);
        interface.up = false;
    });
    assert_eq!(text, "eth0 is down: ip link set eth0 up");
    let text = only(Trouble::Gone, &|_, socket, _| {
        still(socket);
        socket.state = SocketState::Unbound;
    });
    assert!(text.starts_with("eth0 is gone: it was removed, or moved to"), "{text}");
}

#[test]
fn copy_mode_is_told_only_where_the_driver_offers_more() {
    let text = only(Trouble::NoZeroCopy, &|_, _, interface| interface.zero_copy = Some(true));
    assert!(text.contains("though veth offers zero-copy"), "{text}");
    assert_eq!(
        told(&|_, socket, interface| {
            interface.zero_copy = Some(true);
            socket.zero_copy = Some(true);
        }),
        []
    );
}

#[test]
fn rings_rounded_down_from_an_odd_one_are_told() {
    let text = only(Trouble::ShortRing, &|i, socket, interface| {
        interface.nic_ring = Some(511);
        socket.rx = Some(ring(256, i * STEP, 10, 0));
    });
    assert!(text.contains("256 entries, as if taken from the 511 of the NIC"), "{text}");
    assert!(text.contains("at 100k packets/s it is full after 2.6 ms"), "{text}");
    assert_eq!(told(&|_, _, interface| interface.nic_ring = Some(511)), []);
}

#[test]
fn what_stands_still_for_no_known_reason_is_idle_with_what_is_known() {
    let idle = |change: fn(&mut SocketSnapshot, &mut InterfaceSnapshot)| {
        only(Trouble::Idle, &move |_, socket, interface| {
            still(socket);
            interface.rx_packets = Some(0);
            interface.queue_rx_packets = None;
            change(socket, interface);
        })
    };
    assert_eq!(idle(|_, _| ()), "no packet came or went in 0.5 s, and eth0 received nothing");
    // Who offered no frame is not said to wait for packets.
    let alone = |socket: &mut SocketSnapshot, _: &mut _| {
        (socket.xskmaps, socket.fill) = (Some(vec![]), Some(ring(2048, 0, 0, 0)));
    };
    assert!(idle(alone).contains("is in no XSKMAP"));
    let bare = |socket: &mut SocketSnapshot, interface: &mut InterfaceSnapshot| {
        (socket.fill, interface.xdp) = (Some(ring(2048, 0, 0, 0)), None);
    };
    assert!(idle(bare).contains("no XDP program is attached"));
    assert!(idle(|socket, _| socket.state = SocketState::Ready).contains("not bound"));
}

#[test]
fn counters_alone_are_enough_to_tell_loss() {
    let blind = |socket: &mut SocketSnapshot| {
        for ring in [&mut socket.fill, &mut socket.rx, &mut socket.tx, &mut socket.comp] {
            *ring = Some(RingSnapshot { size: Some(2048), ..RingSnapshot::default() });
        }
        socket.umem = None;
    };
    assert_eq!(told(&|_, socket, _| blind(socket)), []);
    only(Trouble::SlowApplication, &|i, socket, _| {
        blind(socket);
        count(socket, |stats| stats.rx_ring_full = u64::from(i));
    });
    only(Trouble::Starved, &|i, socket, _| {
        blind(socket);
        count(socket, |stats| stats.rx_fill_ring_empty_descs = u64::from(i));
    });
}

proptest! {
    /// Another process's memory is not to be trusted: whatever it holds, there is an answer.
    #[test]
    fn any_numbers_get_an_answer(
        words in proptest::collection::vec(any::<u32>(), 80),
        counts in proptest::collection::vec(any::<u64>(), 8),
        looks in 1u32..8,
    ) {
        let told = diagnose(
            &history(looks, &|i, socket, interface| {
                let word = |n: usize| words[(n + i as usize * 7) % words.len()];
                socket.fill = Some(ring(word(0), word(1), word(2), word(3)));
                socket.rx = Some(ring(word(4), word(5), word(6), word(7)));
                socket.tx = Some(ring(word(8), word(9), word(10), word(11)));
                socket.comp = Some(ring(word(12), word(13), word(14), word(15)));
                socket.umem.as_mut().unwrap().frames = Some(word(16));
                let number = |n: usize| counts[(n + i as usize) % counts.len()];
                socket.stats.as_mut().unwrap().rx_ring_full = number(0);
                socket.stats.as_mut().unwrap().rx_fill_ring_empty_descs = number(1);
                socket.stats.as_mut().unwrap().rx_dropped = number(2) / 2;
                interface.queue_rx_packets = Some(counts.iter().map(|n| n / 16).collect());
                interface.carrier_changes = Some(number(3));
                interface.nic_ring = Some(word(17));
            }),
            FIRST_LOOKS,
            0,
        );
        prop_assert!(told.iter().all(|d| !d.text.is_empty()));
    }
}
