//! The three modes on the real kernel: AF_XDP on both ends of a veth pair, in namespaces of the
//! test's own. The same forwarder and generator as on the simulator (`sim/conservation.rs`).

use crate::lab::{self, ETH_LAB, Lab, OUR_MAC, OURS, PATIENCE, PEER, PEER_MAC, lab_frame};
use crate::rig::{Forwarder, Generator, ModeA, ModeB, ModeC, Moves, forward};
use fluxnet::{Filter, FluxBuilder, Match, Queues};
use std::sync::Arc;

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
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let mut queues = end(OURS).queues(Queues::All).build_raw_queues().unwrap();
    assert_eq!(queues[0].granted().queues, [0, 1]);
    let wire = lab.wire();
    for (queue, raw) in queues.iter_mut().enumerate() {
        let payload = [queue as u8; 46];
        wire.send_on(queue as u32, &lab_frame(PEER_MAC, OUR_MAC, &payload));
        assert!(raw.wait(Some(PATIENCE)).unwrap(), "queue {queue}");
        let mut got = Vec::new();
        raw.rx.receive(8, |buffer| got.push(buffer));
        let umem = Arc::clone(raw.umem());
        assert_eq!(got.len(), 1, "queue {queue}");
        for buffer in got {
            assert_eq!(umem.packet(&buffer)[14..60], payload);
            umem.free(buffer.frame);
        }
    }
}

#[tokio::test]
async fn the_real_kernel_wakes_the_runtime_again_and_again() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (mut rx, mut tx) = end(OURS).build_system().unwrap();
    let wire = lab.wire();
    for i in 0..50u8 {
        // The receiver is already waiting when the packet comes, on either queue.
        let (got, ()) = tokio::join!(tokio::time::timeout(PATIENCE, rx.recv_async()), async {
            tokio::task::yield_now().await;
            wire.send_on(u32::from(i) % 2, &lab_frame(PEER_MAC, OUR_MAC, &[i; 46]));
        });
        assert_eq!(got.expect("in time").unwrap().data()[14], i);

        let answer = lab_frame(OUR_MAC, PEER_MAC, &[i; 46]);
        let mut packet = tx.alloc(answer.len()).unwrap();
        packet.data_mut().copy_from_slice(&answer);
        tx.send_async(packet).await.unwrap();
        assert_eq!(wire.recv_type(ETH_LAB, PATIENCE).expect("sent"), answer);
    }
}
