//! Receivers that go while the rest of what was opened lives: the kernel's own traffic is back at
//! once.

use crate::lab::{self, ETH_LAB, Lab, OUR_IP, OUR_MAC, OURS, PATIENCE, PEER_MAC, Wire, lab_frame};
use fluxnet::engine::Worker;
use fluxnet::{Fail, Filter, FluxBuilder, FluxEngine, Match, Port, PortIndex, Queues};
use std::time::Duration;

fn lab_frames() -> Filter {
    Filter::Any(vec![Match { ether_type: Some(ETH_LAB), ..Match::default() }])
}

fn to_us(tag: u8) -> Vec<u8> {
    lab_frame(PEER_MAC, OUR_MAC, &[tag; 46])
}

/// By queue, what came for us: to a socket, to the kernel, nowhere.
fn ways(port: &Port) -> Vec<(u64, u64, u64)> {
    let counters = port.queue_counters().unwrap();
    counters.iter().map(|c| (c.redirected, c.no_socket, c.dropped)).collect()
}

#[test]
fn the_kernel_answers_pings_again_once_the_receiver_is_dropped() {
    let Some(lab) = Lab::veth(1) else { return };
    if !lab::has(&["ping"]) {
        return;
    }
    let icmp = Match { ip_proto: Some(1), ..Match::default() };
    let open = || FluxBuilder::new(OURS).queue_id(0).filter(Filter::Any(vec![icmp.clone()]));
    let ping = || lab.in_peer(|| lab::assert_undisturbed_ping(OUR_IP.into(), 3));
    let unanswered = || {
        let ping = || lab::try_run(&format!("ping -q -c 2 -i 0.01 -W 1 {OUR_IP}"));
        assert!(lab.in_peer(ping).is_err(), "nobody answers");
    };
    ping();
    let (rx, tx) = open().build_system().unwrap();
    unanswered();
    drop(rx);
    ping();
    assert!(lab::xdp_attached(OURS), "the sender keeps the rest");
    drop(tx);
    ping();
    // The same in mode C, by the RX ring alone, and closed.
    let raw = open().fail(Fail::Closed).build_raw().unwrap();
    let port = raw.port().clone();
    drop(raw);
    assert!(lab::xdp_attached(OURS), "a port is enough");
    unanswered();
    assert!(ways(&port)[0].2 >= 2, "{:?}", ways(&port));
    drop(port);
    ping();
}

/// Sends a frame to each of two queues; which of them the kernel's stack got.
fn to_both(wire: &Wire, kernel: &Wire, tag: u8, want: usize) -> Vec<Vec<u8>> {
    (0..2).for_each(|queue| wire.send_on(queue, &to_us(tag + queue as u8)));
    (0..want).map_while(|_| kernel.recv_type(ETH_LAB, PATIENCE)).collect()
}

fn receive(engine: &mut FluxEngine, want: u8) {
    let mut seen = Vec::new();
    lab::wait_until("the packet", || {
        let look = |batch: &mut fluxnet::PacketBatch<'_>| {
            seen.extend(batch.iter_mut().map(|packet| packet.data()[14]));
        };
        engine.turn(look, Some(Duration::from_millis(1))).unwrap();
        !seen.is_empty()
    });
    assert_eq!(seen, [want]);
}

#[test]
fn one_engine_of_two_that_is_dropped_by_its_thread_gives_its_queue_back_and_no_other() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (wire, kernel) = (lab.wire(), Wire::open(OURS).unwrap());
    let engine = FluxBuilder::new(OURS).filter(lab_frames()).build_engine().unwrap();
    let port = engine.ports()[0].clone();
    let mut workers = engine.into_workers(2, |_| ()).unwrap().into_vec();
    let Worker { engine: mut second, .. } = workers.pop().unwrap();
    let first = &mut workers[0].engine;
    assert!(to_both(&wire, &kernel, 0, 0).is_empty());
    receive(first, 0);
    receive(&mut second, 1);
    // Its thread ends by a panic.
    wire.send_on(1, &to_us(9));
    let thread =
        std::thread::spawn(
            move || {
                while second.turn(|_| panic!("on purpose"), Some(PATIENCE)).is_ok() {}
            },
        );
    assert!(thread.join().is_err());
    assert_eq!(to_both(&wire, &kernel, 10, 1), [to_us(11)]);
    receive(first, 10);
    assert_eq!(ways(&port), [(2, 0, 0), (2, 1, 0)]);
    first.remove_port(PortIndex::new(0));
    let mut passed = to_both(&wire, &kernel, 20, 2);
    passed.sort_unstable();
    assert_eq!(passed, [to_us(20), to_us(21)]);
}

#[test]
fn queues_of_raw_rings_are_given_back_one_by_one() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (wire, kernel) = (lab.wire(), Wire::open(OURS).unwrap());
    let builder = FluxBuilder::new(OURS).queues(Queues::All).filter(lab_frames());
    let mut raws = builder.fail(Fail::Open).build_raw_queues().unwrap();
    let [first, second] = &mut raws[..] else { panic!("two queues") };
    std::mem::swap(&mut first.rx, &mut second.rx);
    drop(raws.remove(0)); // with the ring of queue 1
    assert_eq!(to_both(&wire, &kernel, 0, 1), [to_us(1)]);
    lab::wait_until("the packet", || raws[0].rx.waiting() == 1);
}

#[test]
fn queues_that_were_not_opened_are_closed_as_well() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (wire, kernel) = (lab.wire(), Wire::open(OURS).unwrap());
    let builder = FluxBuilder::new(OURS).queue_id(0).filter(lab_frames()).fail(Fail::Closed);
    let mut engine = builder.build_engine().unwrap();
    assert!(to_both(&wire, &kernel, 0, 0).is_empty());
    receive(&mut engine, 0);
    let port = engine.ports()[0].clone();
    lab::wait_until("the other packet", || ways(&port)[1] == (0, 0, 1));
    // Another filter, written later, does not open it.
    port.set_filter(&Filter::Everything).unwrap();
    drop(engine);
    assert!(to_both(&wire, &kernel, 10, 0).is_empty());
    lab::wait_until("both packets", || ways(&port).iter().all(|way| way.2 >= 1));
    drop(port);
    let mut passed = to_both(&wire, &kernel, 20, 2);
    passed.sort_unstable();
    assert_eq!(passed, [to_us(20), to_us(21)], "and nothing before them");
}
