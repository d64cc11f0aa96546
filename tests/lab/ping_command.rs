//! `flux` as a neighbour: the binary on a live interface, with the kernel's own traffic beside it.

use crate::command::{assert_exit, run, stderr};
use crate::lab::{
    self, Lab, OURS, PATIENCE, PEER_IP, PEER_IP6, Wire, counter, wait_until, xdp_attached,
};
use crate::running::{Ended, Running};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A run that goes on, and has had its first answer.
fn running(line: &str) -> Running {
    let mut flux = Running::start(&format!("ping {line}"));
    flux.until_event("reply");
    flux
}

#[test]
fn a_thousand_probes_over_two_queues_lose_nothing_and_disturb_nobody() {
    const MEGABYTES: usize = 64;
    let Some(lab) = Lab::veth(2).map(Lab::with_neighbours) else { return };
    if !lab::has(&["ping"]) {
        return;
    }
    // TCP has no more on its way than fits the 256 packets of a veth's queue: a probe that finds
    // that full is nobody's loss but the kernel's.
    let window = "4096 131072 262144";
    lab.in_peer(|| std::fs::write("/proc/sys/net/ipv4/tcp_rmem", window)).unwrap();
    let mut flux = running(&format!("-i 0.001 -W 60 {PEER_IP}"));
    assert!(xdp_attached(OURS));

    // While it runs: the kernel's own ping, and a TCP transfer, both over the same interface.
    let listener = lab.in_peer(|| TcpListener::bind((PEER_IP, 7000))).unwrap();
    let sink = std::thread::spawn(move || {
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 16];
        let (mut stream, _) = listener.accept().unwrap();
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            assert!(buffer[..n].iter().all(|&b| b == 0x5a));
            taken += n;
        }
        taken
    });
    let mut stream = TcpStream::connect((PEER_IP, 7000)).unwrap();
    let block = vec![0x5a; 1 << 20];
    for _ in 0..MEGABYTES {
        stream.write_all(&block).unwrap();
    }
    drop(stream);
    assert_eq!(sink.join().unwrap(), MEGABYTES << 20);
    lab::assert_undisturbed_ping(PEER_IP.into(), 50);

    // Every probe up to the last of that time is answered sooner or later.
    let answered = |event: &serde_json::Value| event["seq"].as_u64().unwrap();
    let replies = flux.so_far().iter().filter(|event| event["event"] == "reply");
    let replies: BTreeSet<u64> = replies.map(answered).collect();
    let last = replies.last().copied().unwrap_or(0).max(1000);
    let mut open: BTreeSet<u64> = (1..=last).filter(|seq| !replies.contains(seq)).collect();
    flux.until("an answer to every probe", |event| {
        if event["event"] == "reply" {
            open.remove(&answered(event));
        }
        open.is_empty()
    });
    assert!(xdp_attached(OURS), "it was there all the time");
    let ended = flux.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let summary = ended.first("summary");
    assert_eq!((&summary["duplicates"], &summary["corrupt"]), (&json!(0), &json!(0)), "{summary}");
    assert!(!xdp_attached(OURS));
}

#[test]
fn after_sigkill_no_program_is_left_and_the_queue_is_free() {
    let Some(_lab) = Lab::veth(2).map(Lab::with_neighbours) else { return };
    let flux = running(&format!("-i 0.01 {PEER_IP}"));
    assert!(xdp_attached(OURS));
    flux.kill();
    wait_until("the program is gone", || !xdp_attached(OURS));
    let line = format!("ping -q -c 3 -i 0.01 -W 30 {PEER_IP}");
    assert_exit(&line, &run(&line), 0);
}

#[test]
fn the_peers_kernel_finds_no_fault_with_our_checksums() {
    let Some(lab) = Lab::veth(2).map(Lab::with_neighbours) else { return };
    let peers = |name| lab.in_peer(|| counter(name));
    let errors = || peers("IcmpInCsumErrors") + peers("Icmp6InCsumErrors");
    let (before, echos) = (errors(), || (peers("IcmpInEchos"), peers("Icmp6InEchos")));
    for size in [0, 1, 7, 56, 1000, 1452] {
        let (v4, v6) = echos();
        let line = format!("ping -q -c 20 -i 0.002 -W 30 -s {size} {PEER_IP} {PEER_IP6}");
        assert_exit(&line, &run(&line), 0);
        assert_eq!(echos(), (v4 + 20, v6 + 20), "{line}");
    }
    assert_eq!(errors(), before);
}

#[test]
fn a_payload_over_the_mtu_is_refused_with_the_largest_that_fits() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    lab.run(&format!("ip link set {OURS} mtu 1400"));
    let line = format!("ping -c 1 -s 1400 {PEER_IP}");
    let refused = run(&line);
    assert_exit(&line, &refused, 2);
    let stderr = stderr(&refused);
    assert!(stderr.contains("1400") && stderr.contains("1372"), "{stderr}");
    let line = format!("ping -c 1 -s 1372 -M do -W 30 {PEER_IP}");
    assert_exit(&line, &run(&line), 0);
}

#[test]
fn a_router_with_a_smaller_mtu_is_named_with_it() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    // The peer routes on to a link of its own with a smaller MTU, on which nobody lives.
    lab.in_peer(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
    lab.run_in_peer("ip link add small0 type veth peer name small1");
    lab.run_in_peer("ip link set small0 mtu 1300 up");
    lab.run_in_peer("ip link set small1 up");
    lab.run_in_peer("ip addr add 10.77.0.1/24 dev small0");
    lab.run_in_peer("ip neigh add 10.77.0.2 lladdr 02:00:00:00:77:02 dev small0 nud permanent");
    lab.run(&format!("ip route add 10.77.0.0/24 via {PEER_IP}"));
    // The error ends the wait.
    let ended = Ended::of_line("ping -c 1 -W 30 -s 1400 -M do 10.77.0.2");
    let error = ended.first("icmp");
    assert_eq!((&error["mtu"], &error["code"]), (&1300.into(), &4.into()), "{error}");
    assert_eq!(error["from"], PEER_IP.to_string());
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

/// The kernel here has no VLAN interfaces, so the far end answers tagged requests by hand.
#[test]
fn tagged_probes_get_tagged_answers() {
    let Some(lab) = Lab::veth(1) else { return };
    let lab = lab.with_neighbours();
    let wire = lab.wire();
    let flux = Running::start(&format!("ping -c 3 -i 0.01 -W 60 --vlan 100:5 {PEER_IP}"));
    for _ in 0..3 {
        let request = tagged(&wire).expect("a tagged request");
        let mut answer = request.clone();
        answer[..6].copy_from_slice(&request[6..12]);
        answer[6..12].copy_from_slice(&request[..6]);
        answer[30..34].copy_from_slice(&request[34..38]); // addresses behind the tag
        answer[34..38].copy_from_slice(&request[30..34]);
        answer[38] = 0; // echo reply, and the checksum that follows from it (RFC 1624)
        let sum = u16::from_be_bytes([request[40], request[41]]);
        let (sum, carry) = sum.overflowing_add(0x0800);
        answer[40..42].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        wire.send(&answer);
    }
    let ended = flux.end();
    assert_eq!(ended.first("summary")["received"], 3, "{ended:?}");
}

/// The next echo request with VLAN tag 100 of priority 5; the tag is put back where the packet
/// socket took it out.
fn tagged(wire: &Wire) -> Option<Vec<u8>> {
    loop {
        let frame = wire.recv(PATIENCE)?;
        if frame.get(12..14) == Some(&[0x81, 0x00]) && frame.get(14..16) == Some(&[0xa0, 100]) {
            return Some(frame);
        }
        if frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(34) == Some(&8) {
            let tag = [0x81, 0x00, 0xa0, 100];
            return Some([&frame[..12], &tag, &frame[12..]].concat());
        }
    }
}

#[test]
fn a_queue_that_is_taken_and_a_foreign_program_are_named() {
    let Some(_lab) = Lab::veth(2).map(Lab::with_neighbours) else { return };
    let mut first = running(&format!("-i 0.1 {PEER_IP}"));
    let line = format!("ping -c 1 {PEER_IP}");
    let second = run(&line);
    assert_exit(&line, &second, 2);
    let stderr = stderr(&second);
    assert!(stderr.contains("error:") && stderr.contains("hint:"), "{stderr}");
    assert!(stderr.contains(OURS), "{stderr}");
    // The first goes on.
    first.so_far();
    first.until_event("reply");
}

#[test]
fn bad_interfaces_are_named_with_the_next_step() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add lone0 type veth peer name lone1");
    lab.run("ip link add bare0 type veth peer name bare1");
    lab.run("ip link set bare0 up");
    lab.run("ip link set bare1 up");
    let cases = [
        ("-I nosuch0 10.9.0.2", "nosuch0"),
        ("-I lone0 10.9.0.2", "lone0"),
        ("-I bare0 10.9.0.2", "bare0"),
        ("203.0.113.1", "203.0.113.1"),
        ("--queue 7 10.9.0.2", "7"),
        ("10.9.0.1", "10.9.0.1"),
        ("--bind zerocopy 10.9.0.2", "zero-copy"),
        ("--batch 0 10.9.0.2", "0"),
        ("no.such.host.invalid", "no.such.host.invalid"),
    ];
    for (arguments, named) in cases {
        let line = format!("ping -c 1 {arguments}");
        let refused = run(&line);
        assert_exit(&line, &refused, 2);
        let stderr = stderr(&refused);
        assert!(stderr.contains(named), "{arguments}: {stderr}");
        assert!(stderr.contains("error:") && stderr.contains("hint:"), "{arguments}: {stderr}");
        eprintln!("$ flux {line}\n{stderr}");
    }
    assert!(!xdp_attached(OURS), "nothing is left behind by a run that failed");
}

#[test]
fn an_interface_that_goes_away_ends_the_run_with_a_reason() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    let flux = running(&format!("-i 0.01 {PEER_IP}"));
    lab.run(&format!("ip link del {OURS}"));
    let ended = flux.end();
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.first("error").to_string().contains(OURS), "{ended:?}");
}

#[test]
fn a_link_that_goes_and_comes_is_told_and_the_run_goes_on() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    let mut flux = running(&format!("-i 0.01 {PEER_IP}"));
    let is = |link: &'static str| {
        move |event: &serde_json::Value| event["event"] == "interface" && event["link"] == link
    };
    for (ours, lost) in [(false, "no_carrier"), (true, "down")] {
        let set = |what: &str| match ours {
            true => lab.run(&format!("ip link set {OURS} {what}")),
            false => lab.run_in_peer(&format!("ip link set flux1 {what}")),
        };
        set("down");
        flux.until("the loss", is(lost));
        set("up");
        flux.until("the link", is("up"));
        flux.until_event("reply");
    }
    lab.run(&format!("ip link set {OURS} mtu 1400"));
    flux.until("the MTU", |event| event["event"] == "interface" && event["mtu"] == 1400);
    flux.until_event("reply");
    let ended = flux.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_program_that_somebody_detaches_and_a_link_that_stays_away_end_the_run_with_the_reason() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    let flux = running(&format!("-i 0.01 {PEER_IP}"));
    lab::detach::detach_xdp(OURS);
    let ended = flux.end();
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let error = ended.first("error").to_string();
    assert!(error.contains("somebody detached its XDP program"), "{error}");
    assert!(ended.events.iter().any(|event| event["event"] == "summary"), "the numbers first");
    let flux = running(&format!("-i 0.01 --link-timeout 0.3 {PEER_IP}"));
    lab.run(&format!("ip link set {OURS} down"));
    let error = flux.end().first("error").to_string();
    assert!(error.contains("it has been down for 300ms"), "{error}");
}
