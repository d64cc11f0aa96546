//! The device half against what Linux 6.18 does in copy mode.

use super::*;
use crate::backend::{Kick, Match};
use crate::config::BindMode;
use crate::error::ErrorKind;
use crate::ring::Desc;

const PACKET: [u8; 60] = [7; 60];

fn copy(port: &str) -> Config {
    Config::new(port)
}

/// A rig whose fill ring holds exactly `fill` frames.
fn rig(sim: &Simulator, port: &str, ring: u32, fill: u32) -> Rig {
    let mut rig = Rig::with(sim, &copy(port), &[0], ring, Filter::Everything, fill).unwrap();
    rig.refill();
    rig
}

#[test]
fn what_is_sent_on_loopback_comes_back_at_once() {
    let sim = Simulator::loopback(1);
    let mut rig = Rig::open(&sim, "lo0", Filter::Everything);
    for n in 0..200u8 {
        let packet = [n; 100];
        let start = rig.backend.now();
        rig.send(&packet);
        let got = rig.take();
        assert_eq!(got, [Received { bytes: packet.to_vec(), stamp: Some(start) }]);
    }
    rig.assert_balance();
}

#[test]
fn crossed_ports_receive_what_the_other_sends() {
    let sim = Simulator::crossed_pair(2);
    let mut a = Rig::open(&sim, "a0", Filter::Everything);
    let mut b = Rig::open(&sim, "b0", Filter::Everything);
    a.send(b"fourteen bytes and a bit more");
    b.send(b"the other way round, likewise");
    assert_eq!(a.take()[0].bytes, b"the other way round, likewise");
    assert_eq!(b.take()[0].bytes, b"fourteen bytes and a bit more");
    a.assert_balance();
    b.assert_balance();
}

#[test]
fn without_a_fill_entry_a_packet_is_dropped_and_both_counters_say_so() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 8, 2);
    for _ in 0..5 {
        sim.inject("lo0", None, &PACKET).unwrap();
    }
    let stats = rig.stats();
    assert_eq!((stats.rx_dropped, stats.rx_fill_ring_empty_descs, stats.rx_ring_full), (3, 3, 0));
    assert_eq!(rig.take().len(), 2);
    rig.assert_balance();
}

#[test]
fn with_a_full_rx_ring_the_frame_is_kept_and_used_before_the_fill_ring() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 4, 4);
    for _ in 0..4 {
        sim.inject("lo0", None, &PACKET).unwrap();
    }
    // The RX ring is full and the fill ring has four fresh frames.
    let fill = &mut rig.sockets[0].rx.fill;
    let mut frames: Vec<_> = std::iter::from_fn(|| rig.umem.alloc()).take(4).collect();
    assert_eq!(fill.post(&mut frames, 4), 4);
    for _ in 0..3 {
        sim.inject("lo0", None, &PACKET).unwrap();
    }
    let stats = rig.stats();
    assert_eq!((stats.rx_ring_full, stats.rx_dropped), (3, 0));
    let left = |rig: &Rig| rig.sockets[0].rx.fill.snapshot().used().unwrap();
    assert_eq!(left(&rig), 4, "taken, and not told yet: nothing went through");
    rig.sockets[0].rx.rx.receive(4, |buffer| rig.umem.free(buffer.frame));
    sim.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(left(&rig), 3, "the one frame that served all three");
    sim.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(left(&rig), 2);
    assert_eq!(rig.take().len(), 2);
    rig.assert_balance();
}

#[test]
fn a_packet_longer_than_a_frame_without_headroom_is_dropped() {
    let sim = Simulator::loopback(1);
    sim.with_port("lo0", |port, _| port.mtu = 4000).unwrap();
    let mut rig = rig(&sim, "lo0", 8, 4);
    sim.inject("lo0", None, &[1; 1792]).unwrap();
    sim.inject("lo0", None, &[1; 1793]).unwrap();
    let stats = rig.stats();
    assert_eq!((stats.rx_dropped, stats.rx_fill_ring_empty_descs), (1, 0));
    assert_eq!(rig.take()[0].bytes.len(), 1792);
    rig.assert_balance();
}

#[test]
fn fill_entries_outside_the_umem_are_skipped() {
    let sim = Simulator::loopback(1);
    let config = copy("lo0");
    let region = Region::allocate(4 * 2048).unwrap();
    let umem = Arc::new(Umem::new(region, 2048));
    let plan = PortPlan::of(&config, &[0], 8, Filter::Everything);
    let mut opened = sim.open(&[plan], &umem).unwrap();
    opened.backend.start().unwrap();
    let frame = umem.alloc().unwrap();
    let addr =
        umem.post(frame, crate::umem::ledger::Holder::User, crate::umem::ledger::Holder::Reception);
    let mut slots = opened.rings[0].fill.reserve(3);
    for bad in [4 * 2048, u64::MAX, addr + 77] {
        slots.write(bad).unwrap();
    }
    slots.commit();
    sim.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(sim.fill_invalid("lo0", 0), 2);
    // The statistics show the RX ring's own counter, as on Linux.
    assert_eq!(opened.backend.stats(FIRST).unwrap(), XdpStatistics::default());
    let desc = opened.rings[0].rx.peek(1).take().unwrap();
    assert_eq!(desc, Desc { addr: addr + 256, len: 60, options: 0 }, "an address means its chunk");
}

#[test]
#[allow(unsafe_code)]
fn an_invalid_descriptor_ends_the_kick_and_is_completed_with_its_address() {
    let sim = Simulator::loopback(1);
    sim.tap("lo0").unwrap();
    let mut rig = Rig::with(&sim, &copy("lo0"), &[0], 32, Filter::Nothing, 0).unwrap();
    let end = u64::from(Rig::FRAMES) * 2048;
    let bad = [(end, 60), (u64::MAX, 60), (2048 - 59, 60), (0, 0), (0, u32::MAX)];
    for (addr, len) in bad {
        rig.post(0, &PACKET);
        let desc = Desc { addr, len, options: 0 };
        // SAFETY: none of them is a valid descriptor, so none gives a frame away.
        assert!(unsafe { rig.sockets[0].tx.tx.reserve(1).push_desc(desc) });
    }
    for n in 1..=bad.len() as u64 {
        assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
        assert_eq!((rig.stats().tx_invalid_descs, sim.sent("lo0").len()), (n, 1));
        assert_eq!(u64::from(rig.sockets[0].tx.comp.snapshot().used().unwrap()), 2 * n);
    }
    assert_eq!(rig.stats().tx_ring_empty_descs, 0, "no kick came to the end");
    assert_eq!(rig.reap(), bad.len() as u32);
    #[cfg(debug_assertions)]
    assert_eq!(rig.sockets[0].tx.comp.invalid(), bad.len() as u64);
    rig.assert_balance();
}

#[test]
fn what_the_device_drops_is_completed_and_ends_the_kick_as_busy() {
    let sim = Simulator::crossed_pair(1);
    let mut rig = Rig::with(&sim, &copy("a0"), &[0], 32, Filter::Nothing, 0).unwrap();
    let kick = |rig: &mut Rig, len: usize| {
        // Queued while it could leave.
        sim.set_mtu("a0", 2000).unwrap();
        rig.post(0, &vec![0; len]);
        sim.set_mtu("a0", 1500).unwrap();
        let kick = rig.backend.kick_tx(FIRST).unwrap();
        assert_eq!(rig.reap(), 1, "completed either way");
        kick
    };
    assert_eq!(
        [1518, 1519, 14, 13].map(|len| kick(&mut rig, len)),
        [Kick::Done, Kick::Again, Kick::Done, Kick::Again]
    );
    sim.set_link_up("b0", false).unwrap();
    assert_eq!(kick(&mut rig, 60), Kick::Again, "no carrier");
    assert_eq!(sim.tx_dropped("a0"), 3);
    assert_eq!(sim.passed_to_host("b0"), 2);
    rig.assert_balance();
}

#[test]
fn waiting_sends_what_nobody_kicked() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 8, 4);
    rig.post(0, &PACKET);
    assert!(rig.backend.wait(&[FIRST], Interest::Rx, Some(Duration::ZERO)).unwrap());
    assert_eq!((rig.take().len(), rig.reap()), (1, 1));
    assert_eq!(rig.stats().tx_ring_empty_descs, 1);
    rig.assert_balance();
}

#[test]
fn one_kick_sends_all_there_is_in_order() {
    let sim = Simulator::loopback(1);
    sim.tap("lo0").unwrap();
    let mut rig = Rig::with(&sim, &copy("lo0"), &[0], 64, Filter::Nothing, 0).unwrap();
    for n in 0..40u8 {
        rig.post(0, &[n; 60]);
    }
    assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
    assert_eq!(rig.sockets[0].tx.tx.pending(), 0);
    assert!(sim.sent("lo0").iter().map(|p| p[0]).eq(0..40));
    assert_eq!(rig.reap(), 40);
    assert_eq!(rig.stats().tx_ring_empty_descs, 1);
    rig.assert_balance();
}

#[test]
fn a_full_completion_ring_stops_transmission() {
    let sim = Simulator::loopback(1);
    let mut rig = Rig::with(&sim, &copy("lo0"), &[0], 4, Filter::Nothing, 0).unwrap();
    for _ in 0..4 {
        rig.post(0, &PACKET);
    }
    assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
    rig.post(0, &PACKET);
    assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Again);
    assert_eq!(rig.sockets[0].tx.tx.pending(), 1);
    assert_eq!(rig.reap(), 4);
    assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
    assert_eq!(rig.reap(), 1);
    rig.assert_balance();
}

#[test]
fn every_kick_that_reaches_the_end_of_the_tx_ring_is_counted() {
    let sim = Simulator::loopback(1);
    let rig = rig(&sim, "lo0", 8, 0);
    for n in 1..=3 {
        assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
        assert_eq!(rig.stats().tx_ring_empty_descs, n);
    }
    rig.assert_balance();
}

#[test]
fn copy_mode_always_wants_to_be_kicked_for_tx_and_never_for_rx() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 8, 1);
    for _ in 0..3 {
        assert!(rig.sockets[0].tx.tx.needs_wakeup() && !rig.sockets[0].rx.fill.needs_wakeup());
        rig.send(&PACKET);
    }
    rig.assert_balance();
}

#[test]
fn zero_copy_is_granted_by_name_and_takes_packets_without_a_kick_while_awake() {
    let sim = Simulator::loopback(1);
    sim.tap("lo0").unwrap();
    let config = Config { bind: BindMode::ZeroCopy, ..copy("lo0") };
    let mut rig = Rig::with(&sim, &config, &[0], 32, Filter::Everything, 0).unwrap();
    assert!(rig.backend.start().unwrap()[0].zero_copy);
    assert!(rig.sockets[0].tx.tx.needs_wakeup(), "asleep");
    rig.post(0, &PACKET);
    rig.backend.kick_tx(FIRST).unwrap();
    assert!(!rig.sockets[0].tx.tx.needs_wakeup(), "awake");
    rig.post(0, &PACKET);
    rig.backend.now();
    sim.step(Duration::ZERO);
    assert_eq!(sim.sent("lo0").len(), 2);
    sim.step(Duration::ZERO);
    assert!(rig.sockets[0].tx.tx.needs_wakeup(), "asleep again");
    assert!(rig.sockets[0].rx.fill.needs_wakeup(), "it found the fill ring empty");
    assert_eq!(rig.reap(), 2);
    rig.assert_balance();
}

#[test]
fn zero_copy_is_refused_where_the_driver_has_none() {
    let sim = Simulator::new("zerocopy=no".parse().unwrap());
    let config = Config { bind: BindMode::ZeroCopy, ..copy("sim0") };
    let error = Rig::with(&sim, &config, &[0], 8, Filter::Nothing, 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let rig = Rig::with(&sim, &copy("sim0"), &[0], 8, Filter::Nothing, 0).unwrap();
    assert!(!rig.backend.start().unwrap()[0].zero_copy);
}

#[test]
fn only_what_the_filter_takes_is_redirected_and_the_rest_goes_to_the_stack() {
    let sim = Simulator::loopback(1);
    sim.tap("lo0").unwrap();
    let arp = Match { ether_type: Some(0x0806), ..Match::default() };
    let mut rig = Rig::open(&sim, "lo0", Filter::Any(vec![arp]));
    let mut packet = [0u8; 60];
    packet[12..14].copy_from_slice(&[8, 6]);
    sim.inject("lo0", None, &packet).unwrap();
    sim.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(rig.take().len(), 1);
    assert_eq!((sim.passed_to_host("lo0"), sim.passed("lo0")), (1, vec![PACKET.to_vec()]));
    rig.backend.set_filter(PortIndex::new(0), &Filter::Nothing).unwrap();
    sim.inject("lo0", None, &packet).unwrap();
    assert_eq!((rig.take().len(), sim.passed_to_host("lo0")), (0, 2));
    rig.assert_balance();
}

#[test]
fn a_queue_without_a_socket_leaves_its_packets_to_the_stack() {
    let sim = Simulator::loopback(2);
    let mut rig = Rig::with(&sim, &copy("lo0"), &[1], 8, Filter::Everything, 4).unwrap();
    rig.refill();
    sim.inject("lo0", Some(0), &PACKET).unwrap();
    sim.inject("lo0", Some(1), &PACKET).unwrap();
    assert_eq!((rig.take().len(), sim.passed_to_host("lo0")), (1, 1));
    rig.assert_balance();
}

#[test]
fn a_kick_while_the_link_is_down_is_to_be_repeated_and_loses_nothing() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 8, 4);
    sim.set_link_up("lo0", false).unwrap();
    rig.post(0, &PACKET);
    assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Again);
    sim.inject("lo0", None, &PACKET).unwrap();
    assert!(rig.take().is_empty());
    sim.set_link_up("lo0", true).unwrap();
    rig.backend.kick_tx(FIRST).unwrap();
    assert_eq!(rig.take().len(), 1);
    rig.assert_balance();
}

#[test]
fn a_queue_belongs_to_one_socket_until_that_is_dropped() {
    let sim = Simulator::loopback(2);
    let open = |queues: &[u32]| Rig::with(&sim, &copy("lo0"), queues, 8, Filter::Nothing, 0);
    let first = open(&[0]).unwrap();
    assert_eq!(open(&[0, 1]).err().unwrap().kind(), ErrorKind::Busy);
    assert!(open(&[1]).is_ok());
    drop(first);
    assert!(open(&[0, 1]).is_ok());
    let error = open(&[2]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.to_string(), "queue 2 of lo0: must be 0 to 1");
    let error = sim.queue_counts("eth0").unwrap_err();
    assert_eq!(error.to_string(), "cannot find interface eth0: the simulated machine has lo0");
}

#[test]
fn waiting_moves_the_clock_to_the_deadline_and_no_further() {
    let sim = Simulator::loopback(1);
    let rig = rig(&sim, "lo0", 8, 1);
    let start = rig.backend.now();
    assert_eq!(start, 1_000_000_000);
    let wait = |timeout| rig.backend.wait(&[FIRST], Interest::Rx, timeout).unwrap();
    assert!(!wait(Some(Duration::from_secs(5))));
    assert_eq!(rig.backend.now(), start + 5_000_000_000);
    assert!(!wait(None), "nothing can ever happen");
    rig.backend.spin(&[FIRST], None).unwrap();
    assert_eq!(rig.backend.now(), start + 5_000_001_000);
    rig.backend.spin(&[FIRST], Some(start + 5_000_001_007)).unwrap();
    assert_eq!(rig.backend.now(), start + 5_000_001_007);
    sim.inject("lo0", None, &PACKET).unwrap();
    assert!(wait(None));
    assert!(rig.backend.wait(&[FIRST], Interest::Tx, None).unwrap());
    rig.assert_balance();
}

#[test]
fn a_closed_rig_leaves_nothing_of_its_umem_in_the_world() {
    let sim = Simulator::loopback(1);
    let mut rig = rig(&sim, "lo0", 8, 8);
    for _ in 0..6 {
        rig.post(0, &PACKET);
    }
    rig.backend.kick_tx(FIRST).unwrap();
    rig.post(0, &PACKET);
    let weak = Arc::downgrade(&rig.umem);
    drop(rig);
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn what_one_port_of_a_crossed_pair_sends_comes_to_its_own_peer_alone() {
    let sim = Simulator::crossed_pairs(2, 1);
    let two = crate::FluxBuilder::new("a0").simulator(&sim).port("a1").build_raw_queues();
    let mut out = two.unwrap().pop().unwrap();
    let umem = std::sync::Arc::clone(out.umem());
    let buffer = umem.alloc_buffer(256, 60).unwrap().unwrap();
    out.tx.reserve(1).push(buffer).unwrap();
    out.kick_tx().unwrap();
    sim.step(Duration::from_millis(1));
    let came = ["a0", "b0", "a1", "b1"].map(|port| sim.port(port).unwrap().rx_packets);
    assert_eq!(came, [0, 0, 0, 1]);
    let indices: std::collections::BTreeSet<_> =
        ["a0", "b0", "a1", "b1"].iter().map(|port| sim.port(port).unwrap().ifindex).collect();
    assert_eq!(indices.len(), 4);
}

#[test]
fn of_a_queue_without_a_tx_queue_nothing_is_taken_and_nothing_is_said() {
    let sim = Simulator::crossed_pair(2);
    let mut rig = Rig::with(&sim, &copy("a0"), &[0, 1], 32, Filter::Nothing, 0).unwrap();
    sim.set_tx_queues("a0", 1).unwrap();
    let mute = QueueIndex::new(1);
    (0..32).for_each(|_| rig.post(1, &PACKET));
    for _ in 0..3 {
        assert_eq!(rig.backend.kick_tx(mute).unwrap(), Kick::Done);
        // poll(2) sends as a kick does, and says that there is room only where there is some.
        let wait = rig.backend.wait(&[mute], Interest::Tx, Some(Duration::from_millis(1)));
        assert!(!wait.unwrap());
    }
    assert_eq!((rig.sockets[1].tx.tx.pending(), sim.passed_to_host("b0")), (32, 0));
    assert_eq!(rig.backend.stats(mute).unwrap(), XdpStatistics::default());
    sim.set_tx_queues("a0", 2).unwrap();
    assert_eq!(rig.backend.kick_tx(mute).unwrap(), Kick::Done);
    assert_eq!((rig.sockets[1].tx.tx.pending(), sim.passed_to_host("b0")), (0, 32));
}
