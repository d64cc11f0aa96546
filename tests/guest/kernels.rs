//! What a kernel must be able to do for the library and the command: veth pairs between namespaces.

use crate::command::{self, events, of, stdout};
use crate::forward_two_ports as cable;
use crate::guest::beside;
use crate::lab::bump::{Bump, FAR, LEFT, LEFT_MAC, RIGHT, RIGHT_IP, RIGHT_MAC};
use crate::lab::{
    self, ETH_LAB, Lab, OURS, PATIENCE, PEER_IP, PEER_IP6, Wire, lab_frame, xdp_attached,
};
use crate::running::Running;
use fluxnet::{AttachMode, Attached, Filter, FluxBuilder, Poller};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

#[test]
fn programs_load_and_attach_in_both_modes_and_are_gone_afterwards() {
    let _lab = Lab::veth(2).expect("a lab");
    for (mode, attached) in
        [(AttachMode::Native, Attached::Native), (AttachMode::Skb, Attached::Skb)]
    {
        let engine =
            FluxBuilder::new(OURS).filter(Filter::Everything).attach(mode).build_engine().unwrap();
        let granted = engine.granted();
        println!("{granted:#?}");
        assert_eq!((granted.attach, granted.zero_copy), (attached, false));
        assert_eq!(granted.queues, [0, 1]);
        assert!(xdp_attached(OURS));
        drop(engine);
        assert!(!xdp_attached(OURS));
    }
}

#[test]
fn flux_ping_between_namespaces_loses_nothing() {
    let _lab = Lab::veth(2).expect("a lab").with_neighbours();
    for poll in ["busy", "adaptive", "syscall"] {
        let line = format!("ping --poll {poll} -q -i 0.01 -c 100 {PEER_IP} {PEER_IP6} --json");
        let events = events(&line, 0);
        for target in of(&events, "summary") {
            println!("{target}");
        }
    }
}

#[test]
fn flux_trace_reaches_the_other_end() {
    let _lab = Lab::veth(2).expect("a lab").with_neighbours();
    events(&format!("trace -n --json {PEER_IP}"), 0);
}

#[test]
fn flux_rings_sees_a_running_ping_by_each_source() {
    let _lab = Lab::veth(2).expect("a lab").with_neighbours();
    let ping = Running::start(&format!("ping -q -i 0.01 -c 100000 {PEER_IP}"));
    // Before 6.15 the second cannot tell which interface a socket is bound to.
    for line in [format!("rings {OURS} --source iter"), "rings --source pidfd".into()] {
        let (sample, found) = lab::wait_for("both sockets of ping's", || {
            let text = stdout(&command::run(&format!("{line} --json")));
            let sample: Value = serde_json::from_str(text.lines().next()?).ok()?;
            let found = sample["sockets"].as_array()?.clone();
            (found.len() == 2).then_some((sample, found))
        });
        println!("{line}: missing {}", sample["missing"]);
        for socket in found {
            println!("{}", json!([socket["queue"], socket["rings"], socket["diagnosis"]]));
            assert_eq!(socket["pid"], ping.pid(), "{socket:#}");
            assert_eq!(socket["zero_copy"], false, "{socket:#}");
        }
    }
    assert_eq!(ping.interrupt().status, Some(0));
}

#[test]
fn flux_doctor_finds_no_blocker() {
    let _lab = Lab::veth(2).expect("a lab").with_neighbours();
    let report = &events(&format!("doctor {OURS} --json"), 0)[0];
    for check in report["checks"].as_array().unwrap() {
        if check["status"] != "ok" || check["id"] == "kernel" {
            println!("{} {}: {}", check["status"], check["id"], check["finding"]);
        }
    }
    for check in report["unchecked"].as_array().unwrap() {
        println!("unchecked {}: {}", check["id"], check["reason"]);
    }
    println!("{}", report["conclusion"]);
    assert_eq!(report["blockers"], 0, "{report:#}");
    assert!(!xdp_attached(OURS));
}

#[test]
fn numbered_packets_pass_a_forwarder_of_two_ports_without_loss() {
    const COUNT: u32 = 20_000;
    let bump = Bump::new(2).expect("a lab");
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let (left, right) = (bump.in_left(|| Wire::open(FAR)), bump.in_right(|| Wire::open(FAR)));
    let (left, right) = (left.unwrap(), right.unwrap());
    lab::stay(); // else packets overtake each other
    let begin = Instant::now();
    let stats = beside(&mut workers, || {
        for at in 0..COUNT {
            let frame = lab_frame(LEFT_MAC, RIGHT_MAC, &at.to_be_bytes());
            left.send(&frame);
            if at % 64 == 63 || at == COUNT - 1 {
                for number in at - at % 64..=at {
                    let got = right.recv_type(ETH_LAB, PATIENCE / 2).expect("forwarded");
                    assert_eq!(got, lab_frame(LEFT_MAC, RIGHT_MAC, &number.to_be_bytes()));
                }
            }
        }
    });
    println!("{COUNT} packets in {:?}: {stats:?}", begin.elapsed());
    assert_eq!((stats.received, stats.tx_full), (stats.sent, 0), "{stats:?}");
}

#[test]
fn tcp_passes_a_forwarder_of_two_ports() {
    const BYTES: usize = 4 << 20;
    let bump = Bump::new(2).expect("a lab");
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let begin = Instant::now();
    let stats = beside(&mut workers, || {
        let listener = bump.in_right(|| TcpListener::bind((RIGHT_IP, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let sender = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&[0x5a; BYTES]).unwrap();
        });
        let mut stream = bump.in_left(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        sender.join().unwrap();
        assert!(bytes.len() == BYTES && bytes.iter().all(|&byte| byte == 0x5a));
    });
    println!("{BYTES} bytes in {:?}: {stats:?}", begin.elapsed());
}

#[test]
fn a_burst_longer_than_a_kick_takes_leaves_by_one_flush() {
    // Kernels before 6.18 send 32 packets a call.
    const BURST: usize = 200;
    let lab = Lab::veth(1).expect("a lab");
    let builder = FluxBuilder::new(OURS).filter(Filter::Nothing).poller(Poller::Syscall);
    let (_rx, mut tx) = builder.build_system().unwrap();
    let wire = lab.wire();
    for number in 0..BURST {
        let frame = lab_frame(lab::OUR_MAC, lab::PEER_MAC, &(number as u32).to_be_bytes());
        let mut packet = tx.alloc(frame.len()).unwrap();
        packet.data_mut().copy_from_slice(&frame);
        tx.send(packet).unwrap();
    }
    assert!(tx.flush().unwrap(), "{} packets are left", tx.pending());
    for number in 0..BURST {
        let frame = lab_frame(lab::OUR_MAC, lab::PEER_MAC, &(number as u32).to_be_bytes());
        assert_eq!(wire.recv_type(ETH_LAB, PATIENCE), Some(frame), "packet {number}");
    }
}
