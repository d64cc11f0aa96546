//! The three modes on the real kernel: AF_XDP on both ends of a veth pair, in namespaces of the
//! test's own. The same forwarder and generator as on the simulator (`conservation.rs`).
#![cfg(all(target_os = "linux", feature = "bpf", not(flux_loom)))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

mod lab;
mod rig;

use fluxnet::{Filter, FluxBuilder, Match, Queues};
use lab::{ETH_LAB, Lab, OUR_MAC, OURS, PEER, PEER_MAC, lab_frame};
use rig::{Forwarder, Generator, ModeA, ModeB, ModeC, Moves, forward};

const MILLION: u64 = 1_000_000;

/// The test's own frames; what the two kernels say to each other stays theirs.
fn end(interface: &str) -> FluxBuilder {
    let lab_frames = Match { ether_type: Some(ETH_LAB), ..Match::default() };
    FluxBuilder::new(interface).filter(Filter::Any(vec![lab_frames]))
}

fn million(make: impl FnOnce(FluxBuilder) -> Box<dyn Forwarder>) {
    let Some(lab) = Lab::veth(1) else { return };
    let mut forwarder = make(end(OURS));
    let packet = lab_frame(PEER_MAC, OUR_MAC, &[0x5a; 46]);
    let mut generator = lab.in_peer(|| Generator::new(end(PEER), &packet));
    forward(&mut generator, &mut *forwarder, MILLION);
}

#[test]
fn mode_a_forwards_a_million_packets_over_veth_and_loses_no_frame() {
    million(|b| Box::new(ModeA(b.build_engine().unwrap())));
}

#[test]
fn mode_b_forwards_a_million_packets_over_veth_and_loses_no_frame() {
    million(|b| Box::new(ModeB::new(b.build_system().unwrap())));
}

#[test]
fn mode_c_forwards_a_million_packets_over_veth_and_loses_no_frame() {
    million(|b| Box::new(ModeC::new(b.build_raw().unwrap())));
}

#[test]
fn moves_forward_a_million_packets_over_veth_and_lose_no_frame() {
    million(|b| Box::new(Moves(b.build_raw().unwrap())));
}

#[test]
fn each_queue_gets_its_own_packets_over_one_umem() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut queues = end(OURS).queues(Queues::All).build_raw_queues().unwrap();
    assert_eq!(queues[0].granted().queues, [0, 1]);
    let wire = lab.wire();
    for (queue, raw) in queues.iter_mut().enumerate() {
        let payload = [queue as u8; 46];
        wire.send_on(queue as u32, &lab_frame(PEER_MAC, OUR_MAC, &payload));
        let patience = std::time::Instant::now();
        let mut got = Vec::new();
        while got.is_empty() && patience.elapsed().as_secs() < 5 {
            raw.wait(Some(std::time::Duration::from_millis(100))).unwrap();
            raw.rx.receive(8, |buffer| got.push(buffer));
        }
        let umem = std::sync::Arc::clone(raw.umem());
        assert_eq!(got.len(), 1, "queue {queue}");
        for buffer in got {
            assert_eq!(umem.packet(&buffer)[14..60], payload);
            umem.free(buffer.frame);
        }
    }
}
