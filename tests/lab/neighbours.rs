//! Two ports in two namespaces: what fails leaves both interfaces as they were, and what others have
//! there alone.

use crate::lab::{self, ETH_LAB, Lab, OUR_MAC, OURS, PEER, PEER_MAC, lab_frame};
use fluxnet::{ErrorKind, Filter, FluxBuilder, FluxEngine, Match, PortIndex};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

fn lab_frames() -> Filter {
    Filter::Any(vec![Match { ether_type: Some(ETH_LAB), ..Match::default() }])
}

/// Both ends of the wire on one UMEM.
fn ends(lab: &Lab) -> FluxBuilder {
    let peer = lab.in_peer(|| OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap()));
    let ours = FluxBuilder::new(OURS).filter(lab_frames()).promiscuous(true);
    ours.port(PEER).netns(peer)
}

/// One on the peer alone, as somebody else has it.
fn foreign(lab: &Lab, filter: Filter) -> FluxEngine {
    lab.in_peer(|| FluxBuilder::new(PEER).filter(filter).build_engine().unwrap())
}

fn is_promiscuous(interface: &str) -> bool {
    !lab::run(&format!("ip -d link show dev {interface}")).contains("promiscuity 0 ")
}

/// No program, no promiscuity, and free queues.
fn assert_untouched(lab: &Lab, interfaces: &[&'static str]) {
    for &interface in interfaces {
        let look = || (lab::xdp_attached(interface), is_promiscuous(interface));
        let seen = if interface == OURS { look() } else { lab.in_peer(look) };
        assert_eq!(seen, (false, false), "{interface}");
    }
    if interfaces.len() == 2 {
        ends(lab).build_engine().unwrap();
    }
}

#[test]
fn a_second_port_that_is_taken_fails_soon_and_leaves_both_as_they_were() {
    let Some(lab) = Lab::veth(1) else { return };
    let others = foreign(&lab, Filter::Nothing);
    let begin = Instant::now();
    let error = ends(&lab).build_engine().err().unwrap();
    // A second of patience; twenty seconds are for queues that nobody has.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().starts_with("cannot bind to flux1 queue 0: "), "{error}");
    assert_untouched(&lab, &[OURS]);
    drop(others);
    assert_untouched(&lab, &[OURS, PEER]);
}

#[test]
fn a_foreign_program_on_the_second_port_stays_and_the_first_is_left() {
    let Some(lab) = Lab::veth(1) else { return };
    let others = foreign(&lab, lab_frames());
    let error = ends(&lab).build_engine().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let text = error.to_string();
    assert!(text.starts_with("cannot attach XDP to flux1: this process has it open"), "{error}");
    assert!(lab.in_peer(|| lab::xdp_attached(PEER)));
    assert_untouched(&lab, &[OURS]);
    drop(others);
    assert_untouched(&lab, &[OURS, PEER]);
}

#[test]
fn a_closure_that_panics_leaves_both_as_they_were() {
    let Some(lab) = Lab::veth(1) else { return };
    let wire = lab.wire();
    let mut workers = ends(&lab).build_engine().unwrap().into_workers(1, |_| ()).unwrap();
    wire.send(&lab_frame(PEER_MAC, OUR_MAC, &[1; 46]));
    let run = catch_unwind(AssertUnwindSafe(|| workers.run(|(), _| panic!("on purpose"))));
    assert!(run.is_err());
    drop(workers);
    assert_untouched(&lab, &[OURS, PEER]);
}

#[test]
fn a_filter_that_comes_after_the_receiver_went_takes_nothing_from_the_kernel() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut engine = FluxBuilder::new(OURS).build_engine().unwrap();
    let port = engine.ports()[0].clone();
    engine.remove_port(PortIndex::new(0));
    port.set_filter(&lab_frames()).unwrap();
    let wire = lab.wire();
    wire.send(&lab_frame(PEER_MAC, OUR_MAC, &[1; 46]));
    let counted = || port.queue_counters().unwrap()[0];
    lab::wait_until("the packet", || counted().redirected + counted().no_socket > 0);
    assert_eq!((counted().redirected, counted().no_socket), (0, 1));
}

#[test]
fn interfaces_of_one_name_in_two_namespaces_are_two_ports() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    lab.run_in_peer(&format!("ip link set {PEER} name {OURS}"));
    lab.run_in_peer(&format!("ip link set {OURS} up"));
    let peer = lab.in_peer(|| OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap()));
    lab::wait_until("the carrier", || {
        lab::run(&format!("ip link show {OURS}")).contains("LOWER_UP")
    });
    let builder = FluxBuilder::new(OURS).filter(lab_frames());
    let mut engine = builder.port(OURS).netns(peer).build_engine().unwrap();
    let mut seen = [0; 2];
    let frame = lab_frame(OUR_MAC, PEER_MAC, &[1; 46]);
    let mut packet = engine.alloc(frame.len()).unwrap();
    packet.data_mut().copy_from_slice(&frame);
    packet.set_port(PortIndex::new(0));
    engine.send(packet).unwrap();
    lab::wait_until("both ways", || {
        let look = |batch: &mut fluxnet::PacketBatch<'_>| {
            let at = batch.port();
            seen[at.get()] += batch.len();
            batch.iter_mut().for_each(|packet| packet.forward(at));
        };
        let _ = engine.turn(look, Some(Duration::from_millis(1))).unwrap();
        seen.iter().all(|&seen| seen > 10)
    });
}
