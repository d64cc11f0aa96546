//! Each trouble by itself, seen by the socket and from outside.

use super::super::{PortInfo, Trouble, Troubles};
use super::*;
use crate::backend::Kick;
use crate::config::BindMode;
use crate::error::ErrorKind;
use crate::snapshot::{RingsSnapshot, SocketSnapshot, SocketState, Source, XskMapSlot};

const PACKET: [u8; 60] = [7; 60];

fn troubled(queues: u32, troubles: impl Into<Troubles>) -> Simulator {
    let sim = Simulator::loopback(queues);
    sim.set_troubles("lo0", troubles.into()).unwrap();
    sim
}

fn lo0(sim: &Simulator) -> PortInfo {
    sim.port("lo0").unwrap()
}

/// What is seen of the one socket there is.
fn seen(sim: &Simulator) -> SocketSnapshot {
    let mut sockets = sim.sockets();
    assert_eq!(sockets.len(), 1);
    sockets.remove(0)
}

fn used(ring: &Option<crate::ring::RingSnapshot>) -> u32 {
    ring.as_ref().unwrap().used().unwrap()
}

#[test]
fn with_the_wrong_queue_everything_comes_to_the_last_one() {
    let sim = troubled(3, Trouble::WrongQueue);
    let config = Config::new("lo0");
    let mut rig = Rig::with(&sim, &config, &[0], 32, Filter::Everything, 8).unwrap();
    rig.refill();
    for n in 0..20 {
        sim.inject("lo0", None, &[n; 60]).unwrap();
        sim.inject("lo0", Some(0), &[n; 60]).unwrap();
    }
    assert!(rig.take().is_empty());
    assert_eq!(lo0(&sim).queue_rx_packets, [0, 0, 40]);
    let elsewhere: Vec<_> = rig.backend.queue_counters(PortIndex::new(0)).unwrap();
    assert_eq!(elsewhere.iter().map(|c| c.no_socket).collect::<Vec<_>>(), [0, 0, 40]);
    rig.assert_balance();
    let mut all = Rig::open(&sim, "lo0", Filter::Everything);
    sim.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(all.take().len(), 1, "whoever opens all queues gets it");
    all.assert_balance();
}

#[test]
fn a_false_claim_of_zero_copy_is_an_error_by_name_and_a_note_otherwise() {
    let granted = |troubles, bind| {
        let sim = troubled(1, troubles);
        let config = Config { bind, ..Config::new("lo0") };
        let umem = Arc::new(Umem::new(Region::allocate(8 * 2048).unwrap(), 2048));
        let opened = sim.open(&[PortPlan::of(&config, &[0], 4, Filter::Nothing)], &umem);
        let granted = opened.and_then(|opened| Ok(opened.backend.start()?.remove(0)));
        (granted, lo0(&sim).claims_zero_copy)
    };
    let lie = Troubles::from(Trouble::NoZeroCopy);
    let (refused, claims) = granted(lie, BindMode::ZeroCopy);
    let error = refused.unwrap_err();
    assert!(claims && error.kind() == ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("says that it has zero-copy"), "{error:?}");
    let auto = granted(lie, BindMode::Auto).0.unwrap();
    assert!(!auto.zero_copy && auto.notes[0].starts_with("copy mode: the driver of lo0"));
    assert!(granted(lie, BindMode::Copy).0.unwrap().notes.is_empty(), "it was asked for");
    let honest = granted(Troubles::NONE, BindMode::ZeroCopy).0.unwrap();
    assert!(honest.zero_copy && honest.notes.is_empty());
    assert!(granted(Troubles::NONE, BindMode::Auto).0.unwrap().notes.is_empty());
}

#[test]
fn a_starved_queue_looks_empty_drops_all_and_loses_no_frame() {
    for bind in [BindMode::Copy, BindMode::ZeroCopy] {
        let sim = troubled(1, Trouble::Starved);
        let config = Config { bind, ..Config::new("lo0") };
        let mut rig = Rig::with(&sim, &config, &[0], 32, Filter::Everything, 16).unwrap();
        rig.refill();
        assert_eq!(used(&seen(&sim).fill), 0, "taken before anything came");
        for n in 1..=5 {
            sim.inject("lo0", None, &PACKET).unwrap();
            let stats = rig.stats();
            assert_eq!((stats.rx_dropped, stats.rx_fill_ring_empty_descs), (n, n));
            assert_eq!(stats.rx_ring_full, 0);
        }
        assert!(rig.take().is_empty());
        let socket = seen(&sim);
        assert_eq!((used(&socket.fill), used(&socket.rx)), (0, 0));
        let asks = socket.fill.unwrap().need_wakeup().unwrap();
        assert_eq!(asks, bind == BindMode::ZeroCopy);
        rig.send(&PACKET);
        assert_eq!(rig.stats().rx_dropped, 6, "sending goes on");
        rig.assert_balance();
    }
}

#[test]
fn a_lost_kick_ends_well_and_leaves_everything_where_it_was() {
    for bind in [BindMode::Copy, BindMode::ZeroCopy] {
        let sim = troubled(1, Trouble::StuckTx);
        let config = Config { bind, ..Config::new("lo0") };
        let mut rig = Rig::with(&sim, &config, &[0], 8, Filter::Everything, 4).unwrap();
        rig.refill();
        rig.post(0, &PACKET);
        assert_eq!(rig.backend.kick_tx(FIRST).unwrap(), Kick::Done);
        assert!(!rig.sockets[0].tx.flush().unwrap());
        let start = rig.backend.now();
        let woken =
            rig.backend.wait(&[FIRST], Interest::Rx, Some(Duration::from_millis(5))).unwrap();
        assert_eq!((woken, rig.backend.now() - start), (false, 5_000_000));
        assert_eq!(rig.reap(), 0);
        let socket = seen(&sim);
        assert_eq!((used(&socket.tx), used(&socket.comp)), (1, 0));
        assert_eq!(socket.tx.unwrap().need_wakeup(), Some(true));
        assert_eq!(rig.stats(), XdpStatistics::default());
        assert_eq!(lo0(&sim).tx_packets, 0);
        rig.assert_balance();
    }
}

#[test]
fn odd_nic_rings_make_smaller_rings_and_say_so() {
    let sim = troubled(1, Trouble::ShortRing);
    let umem = Arc::new(Umem::new(Region::allocate(64 * 2048).unwrap(), 2048));
    let open = |ring| {
        let plan = PortPlan::of(&Config::new("lo0"), &[0], ring, Filter::Nothing);
        sim.open(&[plan], &umem).unwrap()
    };
    let opened = open(2048);
    let granted = opened.backend.start().unwrap().remove(0);
    assert_eq!((granted.ring_size, opened.rings[0].rx.size()), (256, 256));
    assert!(granted.notes[0].contains("511 entries") && granted.notes[0].contains("are 256"));
    drop(opened);
    let opened = open(128);
    assert!(
        opened.rings[0].tx.size() == 128 && opened.backend.start().unwrap()[0].notes.is_empty()
    );
    assert_eq!(lo0(&sim).nic_ring, Some(511));
    assert_eq!(lo0(&Simulator::loopback(1)).nic_ring, Some(1024));
}

#[test]
fn a_flapping_link_loses_both_ways_for_200_ms_of_each_second() {
    let sim = Simulator::crossed_pair(1);
    sim.set_troubles("a0", Trouble::LinkFlap.into()).unwrap();
    let mut a = Rig::open(&sim, "a0", Filter::Everything);
    let mut b = Rig::open(&sim, "b0", Filter::Everything);
    let mut lost = Vec::new();
    for at in (0..2000u64).step_by(50) {
        let (there, back) = (cross(&mut a, &mut b), cross(&mut b, &mut a));
        assert_eq!(there, back, "{at} ms");
        if !there {
            lost.push(at);
        }
        sim.step(Duration::from_millis(50));
    }
    assert_eq!(lost, [300, 350, 400, 450, 1300, 1350, 1400, 1450]);
    let ends = [sim.port("a0").unwrap(), sim.port("b0").unwrap()];
    assert_eq!((ends[0].carrier_changes, sim.tx_dropped("a0"), sim.tx_dropped("b0")), (4, 8, 8));
    assert!(ends.iter().all(|end| end.rx_packets == 32 && end.tx_packets == 32));
    a.assert_balance();
    b.assert_balance();
    sim.step(Duration::from_millis(350));
    assert!(!sim.port("a0").unwrap().carrier && sim.port("a0").unwrap().up);
}

/// Sends one packet; whether it came. Without a carrier the device drops it and says EBUSY.
fn cross(from: &mut Rig, to: &mut Rig) -> bool {
    from.post(0, &PACKET);
    let _ = from.sockets[0].tx.flush().unwrap();
    assert_eq!(from.reap(), 1, "also what the device dropped is completed");
    to.take().len() == 1
}

#[test]
fn a_link_that_is_moved_by_hand_is_counted_at_both_ends() {
    let sim = Simulator::crossed_pair(1);
    for up in [false, false, true] {
        sim.set_link_up("a0", up).unwrap();
        let carrier = sim.ports().iter().map(|port| port.carrier).collect::<Vec<_>>();
        assert_eq!(carrier, [up, up]);
    }
    assert!(sim.ports().iter().all(|port| port.carrier_changes == 2));
}

#[test]
fn sockets_are_seen_with_their_owner_place_rings_and_memory() {
    let sim = Simulator::crossed_pair(2);
    assert!(sim.sockets().is_empty());
    let mut a = Rig::open(&sim, "a0", Filter::Everything);
    let b = Rig::open(&sim, "b0", Filter::Nothing);
    a.send(&PACKET);
    let sockets = sim.sockets();
    let place = |socket: &SocketSnapshot| (socket.interface.clone().unwrap(), socket.queue);
    assert_eq!(
        sockets.iter().map(place).collect::<Vec<_>>(),
        [("a0", 0), ("a0", 1), ("b0", 0), ("b0", 1)].map(|(p, q)| (p.to_owned(), Some(q)))
    );
    let inodes: Vec<_> = sockets.iter().map(|socket| socket.inode.unwrap()).collect();
    assert_eq!(inodes, [1001, 1002, 1003, 1004]);
    assert_eq!(sim.sockets().iter().map(|s| s.inode.unwrap()).collect::<Vec<_>>(), inodes);
    assert_eq!(sockets.iter().map(|s| s.owners[0].fd).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert!(sockets.iter().all(|s| s.owners[0].pid == std::process::id()));
    let first = &sockets[0];
    assert_eq!((first.state, first.time_ns), (SocketState::Bound, sim.now()));
    assert_eq!(first.xskmaps.as_deref(), Some(&[XskMapSlot { map: 1, key: 0 }][..]));
    assert_eq!(sockets[3].xskmaps.as_deref(), Some(&[][..]), "nothing is redirected");
    assert_eq!(sim.port("a0").unwrap().xdp_program, Some((1, "redirect".to_owned())));
    assert_eq!(sim.port("b0").unwrap().xdp_program, None);
    let ids: Vec<_> = sockets.iter().map(|s| s.umem_id().unwrap()).collect();
    assert_eq!(ids, [0, 0, 1, 1]);
    let umem = first.umem.unwrap();
    assert_eq!((umem.frames, umem.frame_size, umem.users), (Some(64), Some(2048), Some(2)));
    let fill = first.fill.unwrap();
    assert_eq!((fill.size, fill.producer, fill.used()), (Some(32), Some(16), Some(16)));
    let tx = first.tx.unwrap();
    assert_eq!((tx.producer, tx.consumer, tx.need_wakeup()), (Some(1), Some(1), Some(true)));
    let snapshot = RingsSnapshot { source: Source::Sim, sockets };
    assert_eq!(snapshot.unaccounted(0), Some(32), "the free ones");
    a.assert_balance();
    b.assert_balance();
    assert!(sim.sockets().is_empty());
}
