//! Zero-copy on NICs that have it, asked for by name, so that nothing falls back.

use crate::command::{self, assert_exit, events};
use crate::ends::{End, assert_accounted, exchange, look, packet};
use crate::forward_two_ports as cable;
use crate::guest::{
    FAR, MIDDLE, PAIR, assert_zero_copy, beside, driver, kernel_has, mac, open, plug, set_up,
    settle,
};
use crate::lab::{self, ETH_LAB, PATIENCE, Wire};
use crate::running::Running;
use fluxnet::error::Advice;
use fluxnet::proto::{IpPair, MacAddr, UdpRepr, build};
use fluxnet::umem::Frame;
use fluxnet::{BindMode, Filter, FluxRaw, HugePages, Match, Pages, Poller};
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Long enough to see that nothing comes, also where seconds pass between two looks.
const NOTHING_COMES: Duration = Duration::from_millis(500);

/// Both ends of the first wire, ready to send.
fn both() -> [End; 2] {
    let [one, other] = PAIR;
    let ends = [
        End::open(open(one, BindMode::ZeroCopy), one, other),
        End::open(open(other, BindMode::ZeroCopy), other, one),
    ];
    ends.iter().for_each(|end| assert_zero_copy(end.engine.granted()));
    settle(&PAIR);
    ends
}

/// One queue of the first interface, and a packet socket on the other end.
fn raw(prefill: bool) -> (FluxRaw, Wire) {
    let raw = open(PAIR[0], BindMode::ZeroCopy).queue_id(0).prefill(prefill).build_raw().unwrap();
    assert_zero_copy(raw.granted());
    settle(&PAIR);
    (raw, Wire::open(PAIR[1]).unwrap())
}

fn post(raw: &mut FluxRaw, count: u32) {
    let mut frames: Vec<Frame> = (0..count).map(|_| raw.umem().alloc().unwrap()).collect();
    assert_eq!(raw.fill.post(&mut frames, count), count);
}

#[test]
fn the_kernel_says_so_in_flux_rings_and_doctor_says_what_was_promised() {
    let ends = both();
    let output = command::run("rings --json");
    assert_exit("rings", &output, 0);
    let sample: Value = serde_json::from_str(&command::stdout(&output)).unwrap();
    let sockets = sample["sockets"].as_array().unwrap();
    let queues: usize = ends.iter().map(|end| end.engine.granted().queues.len()).sum();
    assert_eq!(sockets.len(), queues, "{sample:#}");
    assert!(sockets.iter().all(|socket| socket["zero_copy"] == true), "{sample:#}");
    drop(ends);
    settle(&PAIR);
    let report = &events("doctor eth0 --json", 0)[0];
    let summary = report["conclusion"].as_str().unwrap();
    assert!(summary.ends_with("the driver says that it has zero-copy"), "{report:#}");
}

#[test]
fn packets_of_all_lengths_pass_both_ways_unharmed() {
    let mut ends = both();
    exchange(&mut ends, 3000);
    assert_accounted(&ends);
    for end in &ends {
        let lost = end.engine.kernel_stats().unwrap();
        assert_eq!((lost.rx_dropped, lost.rx_ring_full, lost.tx_invalid_descs), (0, 0, 0));
    }
}

#[test]
fn every_poller_receives() {
    for poller in [Poller::Syscall, Poller::ADAPTIVE] {
        let builder = open(PAIR[0], BindMode::ZeroCopy).poller(poller);
        let (mut rx, _tx) = builder.build_system().unwrap();
        assert_zero_copy(rx.granted());
        settle(&PAIR);
        let wire = Wire::open(PAIR[1]).unwrap();
        for number in 0..20 {
            wire.send(&packet(mac(PAIR[1]), mac(PAIR[0]), 0, number));
            let got = rx.recv(Some(PATIENCE)).unwrap().expect("it was sent");
            assert_eq!(look(got.data(), mac(PAIR[1]), mac(PAIR[0])), (0, number));
        }
    }
}

#[test]
fn without_a_kick_nothing_is_sent_and_with_one_everything() {
    let (mut raw, wire) = raw(true);
    lab::wait_until("the driver wants to be woken for TX", || raw.tx.needs_wakeup());
    let sent: Vec<Vec<u8>> =
        (0..8).map(|number| packet(mac(PAIR[0]), mac(PAIR[1]), 1, number)).collect();
    let umem = raw.umem().clone();
    let mut room = raw.tx.reserve(8);
    for bytes in &sent {
        let mut buffer = umem.alloc_buffer(256, bytes.len() as u32).unwrap().unwrap();
        umem.packet_mut(&mut buffer).copy_from_slice(bytes);
        room.push(buffer).unwrap();
    }
    drop(room);
    assert!(wire.recv_type(ETH_LAB, NOTHING_COMES).is_none(), "it was sent without a kick");
    assert_eq!(raw.tx.pending(), 8);
    lab::wait_until("the ring is empty", || raw.flush().unwrap());
    assert!(raw.calls().tx_kicks > 0);
    for bytes in &sent {
        assert_eq!(&wire.recv_type(ETH_LAB, PATIENCE).expect("sent"), bytes);
    }
    let mut frames = Vec::new();
    lab::wait_until("all are completed", || {
        raw.comp.reap(8, |frame| frames.push(frame));
        frames.len() == 8
    });
    umem.free_all(frames);
    lab::wait_until("it wants to be woken again", || raw.tx.needs_wakeup());
}

#[test]
fn a_driver_without_frames_wants_to_be_woken_and_then_goes_on() {
    if !kernel_has(7, 0) {
        return lab::skip("drivers before 7.0 do not say that they have no frames");
    }
    let (mut raw, wire) = raw(false);
    let send = |number| wire.send(&packet(mac(PAIR[1]), mac(PAIR[0]), 0, number));
    lab::wait_until("the driver wants frames", || raw.fill.needs_wakeup());
    (0..4).for_each(send);
    thread::sleep(NOTHING_COMES);
    assert_eq!(raw.rx.waiting(), 0, "there was no frame for it");
    post(&mut raw, 512); // more than a NIC has room for
    raw.kick_rx().unwrap();
    lab::wait_until("the driver took the frames", || !raw.fill.needs_wakeup());
    // Whether those from before had room in the device is its own affair.
    let umem = raw.umem().clone();
    (100..108).for_each(send);
    let mut got = Vec::new();
    lab::wait_until("all packets", || {
        raw.rx.receive(64, |buffer| {
            let (_, number) = look(umem.packet(&buffer), mac(PAIR[1]), mac(PAIR[0]));
            got.extend((number >= 100).then_some(number));
            umem.free(buffer.frame);
        });
        got.len() == 8
    });
    assert_eq!(got, (100..108).collect::<Vec<u64>>());
}

#[test]
fn a_umem_in_huge_pages_does_as_well() {
    let [one, other] = PAIR;
    let huge = |name| open(name, BindMode::ZeroCopy).huge_pages(HugePages::On);
    let mut ends = [End::open(huge(one), one, other), End::open(huge(other), other, one)];
    for end in &ends {
        assert_zero_copy(end.engine.granted());
        assert_eq!(end.engine.granted().pages, Pages::Huge);
    }
    settle(&PAIR);
    exchange(&mut ends, 500);
    assert_accounted(&ends);
}

#[test]
fn frames_in_which_an_igb_would_cut_packets_get_no_zero_copy() {
    if driver() != "igb" {
        return lab::skip("this is about the igb");
    }
    let small = |mode| open(PAIR[0], mode).frame_size(2048).build_engine();
    let error = small(BindMode::ZeroCopy).err().expect("it would cut packets");
    assert_eq!(error.advice(), Some(Advice::LargerFrames), "{error:?}");
    let engine = small(BindMode::Auto).unwrap();
    let granted = engine.granted();
    assert!(!granted.zero_copy);
    assert!(granted.notes[0].contains("1024 bytes of a packet"), "{:?}", granted.notes);
}

/// A UDP packet whose source address decides about its queue.
fn flow(from: &str, to: &str, host: u8) -> Vec<u8> {
    let link = build::Link::new(MacAddr(mac(from)), MacAddr(mac(to)));
    let ip = IpPair::V4 { src: [10, 9, 1, host].into(), dst: [10, 9, 0, 1].into() };
    let header = UdpRepr { src_port: 1000, dst_port: 9 };
    let (mut bytes, net) = (vec![0; 200], build::Net::new(ip));
    let len = build::udp(&mut bytes, &link, &net, &header, &[host; 40]);
    bytes.truncate(len.unwrap());
    bytes
}

#[test]
fn two_queues_over_one_umem_get_packets_of_their_own_and_send() {
    if driver() == "virtio_net" {
        return lab::skip("virtio_net has one queue here");
    }
    const FLOWS: u8 = 64;
    let udp = Match { ip_proto: Some(17), ..Match::default() };
    let builder = open(PAIR[0], BindMode::ZeroCopy).filter(Filter::Any(vec![udp]));
    let mut engine = builder.build_engine().unwrap();
    assert_zero_copy(engine.granted());
    assert_eq!(engine.granted().queues, [0, 1]);
    settle(&PAIR);
    let wire = Wire::open(PAIR[1]).unwrap();
    // Every packet goes back by the queue that it came on.
    let mut by_queue = BTreeMap::new();
    for host in 0..FLOWS {
        let (bytes, answer) = (flow(PAIR[1], PAIR[0], host), flow(PAIR[0], PAIR[1], host));
        wire.send(&bytes);
        let mut back = None;
        lab::wait_until("the packet comes back", || {
            let turn = engine.turn(
                |batch| {
                    let queue = batch.queue();
                    for mut packet in batch {
                        assert_eq!(packet.data(), bytes);
                        packet.data_mut()[..12].copy_from_slice(&answer[..12]);
                        *by_queue.entry(queue).or_insert(0) += 1;
                        packet.send();
                    }
                },
                None,
            );
            turn.unwrap();
            back = back.take().or_else(|| wire.recv_type(0x0800, Duration::from_millis(1)));
            back.is_some()
        });
        assert_eq!(back, Some(answer));
    }
    let counts: Vec<u8> = by_queue.into_values().collect();
    assert_eq!(counts.iter().sum::<u8>(), FLOWS);
    assert!(counts.len() == 2 && counts.iter().all(|&n| n > FLOWS / 8), "{counts:?}");
}

#[test]
fn packets_go_from_port_to_port_over_one_umem_both_ways() {
    const COUNT: u64 = 1000;
    let [left, right] = MIDDLE;
    let mut workers = cable::open(open(left, BindMode::ZeroCopy), right).unwrap();
    workers.ports().iter().for_each(|port| assert_zero_copy(port.granted()));
    settle(&[FAR[0], left, right, FAR[1]]);
    let wires = FAR.map(|far| Wire::open(far).unwrap());
    let stats = beside(&mut workers, || {
        for (from, to) in [(0, 1), (1, 0)] {
            let (source, target) = (mac(FAR[from]), mac(FAR[to]));
            let (mut sent, mut got) = (0, 0);
            while got < COUNT {
                while sent < COUNT && sent < got + 32 {
                    wires[from].send(&packet(source, target, 2, sent));
                    sent += 1;
                }
                let bytes = wires[to].recv_type(ETH_LAB, PATIENCE / 2);
                let bytes = bytes.unwrap_or_else(|| panic!("{got} of {sent} came"));
                assert_eq!(look(&bytes, source, target), (2, got));
                got += 1;
            }
        }
    });
    assert_eq!((stats.received, stats.tx_full), (stats.sent, 0), "{stats:?}");
    assert!(stats.sent >= 2 * COUNT, "{stats:?}");
}

#[test]
fn after_the_link_was_down_traffic_goes_on() {
    let mut ends = both();
    exchange(&mut ends, 200);
    for at in [0, 1, 0] {
        set_up(PAIR[at], false);
        for _ in 0..20 {
            ends.iter_mut().for_each(End::turn_in_trouble);
            thread::sleep(Duration::from_millis(5));
        }
        set_up(PAIR[at], true);
        settle(&PAIR);
        exchange(&mut ends, 200);
    }
    assert_accounted(&ends);
}

#[test]
fn after_the_cable_was_out_traffic_goes_on() {
    let mut ends = both();
    exchange(&mut ends, 200);
    for at in [0, 1] {
        plug(PAIR[at], false);
        for _ in 0..20 {
            ends.iter_mut().for_each(End::turn_in_trouble);
            thread::sleep(Duration::from_millis(5));
        }
        plug(PAIR[at], true);
        settle(&PAIR);
        exchange(&mut ends, 200);
    }
    assert_accounted(&ends);
}

/// The far end of the first wire in a namespace of its own, where a kernel answers. Back on drop.
struct FarKernel;

impl FarKernel {
    fn new() -> Self {
        let far = Self;
        lab::run("ip netns add far");
        lab::run("ip link set eth1 netns far");
        lab::run("ip -n far addr add 10.8.0.2/24 dev eth1");
        lab::run("ip -n far link set eth1 up");
        lab::run("ip addr add 10.8.0.1/24 dev eth0");
        settle(&PAIR[..1]);
        far
    }
}

impl Drop for FarKernel {
    fn drop(&mut self) {
        let _ = lab::try_run("ip addr flush dev eth0"); // as far as it had come
        let _ = lab::try_run("ip -n far link set eth1 netns 1");
        let _ = lab::try_run("ip netns del far");
        let _ = lab::try_run("ip link set eth1 up");
    }
}

#[test]
fn flux_ping_is_answered_and_the_kernel_keeps_its_own_traffic() {
    let _far = FarKernel::new();
    let line =
        "ping -I eth0 --bind zerocopy --attach native --frame-size 4096 -i 0.05 -c 60 10.8.0.2";
    let mut flux = Running::start(line);
    flux.until_event("reply");
    lab::assert_undisturbed_ping([10, 8, 0, 2].into(), 10);
    let ended = flux.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.first("start")["zero_copy"], true, "{ended:?}");
}
