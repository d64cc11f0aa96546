//! Another program that pings has the answers to its own probes, also when it has our identifier.

use crate::lab::responder::echo_request;
use crate::lab::{self, Lab, PATIENCE, PEER, PEER_IP, PEER_IP6, wait_for};
use crate::running::Running;
use std::net::IpAddr;
use std::time::Duration;

const COUNT: u64 = 10;

/// The peer with another address of each family.
fn lab() -> Option<Lab> {
    let lab = Lab::veth(1).map(Lab::with_neighbours)?;
    if !lab::has(&["ping"]) {
        return None;
    }
    lab.in_peer(|| {
        lab::ip_batch(&format!(
            "addr add 10.9.0.3/24 dev {PEER}\naddr add fd09::3/64 dev {PEER} nodad\n"
        ));
    });
    lab::wait_until("the peer's other address", || {
        lab.run_in_peer("ip -6 route show table local").contains("fd09::3 ")
    });
    Some(lab)
}

/// Each target, and another address of the same host.
fn targets() -> [(IpAddr, IpAddr); 2] {
    let other6 = "fd09::3".parse().unwrap();
    [(PEER_IP.into(), [10, 9, 0, 3].into()), (PEER_IP6.into(), other6)]
}

/// Starts flux; the identifier that its probes have.
fn started(lab: &Lab, line: &str) -> (Running, u16) {
    let wire = lab.wire();
    let flux = Running::start(line);
    let id = wait_for("a probe", || Some(echo_request(&wire.recv(Duration::from_millis(100))?)?.0));
    (flux, id)
}

/// The kernel's own ping with this identifier: it gets all its answers, each once.
fn assert_undisturbed(id: u16, target: IpAddr, options: &str) {
    let wait = PATIENCE.as_secs();
    let line = format!("ping -n -e {id} -c {COUNT} -i 0.01 -W {wait} {options} {target}");
    let told = lab::run(&line);
    assert!(told.contains(&format!("{COUNT} received, 0% packet loss")), "{line}: {told}");
    assert!(!told.contains("DUP") && !told.contains("DIFFERENT"), "{line}: {told}");
}

#[test]
fn a_ping_with_our_identifier_has_its_answers_and_we_have_ours() {
    let Some(lab) = lab() else { return };
    for (mode, size) in [("native", 56), ("skb", 56), ("native", 8), ("native", 4)] {
        for (target, other) in targets() {
            let line = format!("ping --attach {mode} -s {size} -i 0.01 -W 60 {target}");
            let (mut flux, id) = started(&lab, &line);
            assert_undisturbed(id, other, "");
            assert_undisturbed(id, target, "");
            flux.until_event("reply");
            let ended = flux.interrupt();
            let summary = ended.first("summary");
            // Those on their way at the end are not lost.
            assert_eq!(
                (&summary["lost"], &summary["duplicates"]),
                (&0.into(), &0.into()),
                "{line}"
            );
            assert!(summary["received"].as_u64().unwrap() >= COUNT, "{line}: {summary}");
            assert_eq!(ended.of("late").count(), 0, "{ended:?}");
        }
    }
}

#[test]
fn a_ping_with_the_identifier_of_a_trace_has_its_answers_as_well() {
    let Some(lab) = lab() else { return };
    for mode in ["native", "skb"] {
        for (target, other) in targets() {
            let line = format!("trace -n --icmp --attach {mode} -m 2 -c 100000 -i 0.02 {target}");
            let (flux, id) = started(&lab, &line);
            assert_undisturbed(id, other, "");
            assert_undisturbed(id, target, "");
            let ended = flux.interrupt();
            assert_eq!(ended.of("duplicate").count(), 0, "{ended:?}");
            assert!(ended.first("summary")["reached"] == true, "{ended:?}");
        }
    }
}

#[test]
fn a_port_that_a_trace_sends_by_is_nobody_elses() {
    use std::net::{TcpListener, UdpSocket};
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    for (option, proto) in [("", 17), ("-T", 6)] {
        let wire = lab.wire();
        let line = format!("trace -n {option} -m 2 -c 100000 -i 0.02 {PEER_IP}");
        let flux = Running::start(&line);
        let port = wait_for("a probe", || {
            let frame = wire.recv(Duration::from_millis(100))?;
            let ours = frame.get(12..14)? == [8, 0] && frame.get(23)? == &proto;
            ours.then(|| u16::from_be_bytes([frame[34], frame[35]]))
        });
        let refused = match proto {
            17 => UdpSocket::bind(("0.0.0.0", port)).is_err(),
            _ => TcpListener::bind(("0.0.0.0", port)).is_err(),
        };
        assert!(refused, "{line}: port {port} was free");
        flux.interrupt();
    }
}
