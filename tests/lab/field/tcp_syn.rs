//! TCP probes behind a firewall that drops SYNs which no Linux would send.

use crate::command::{flux, stdout};
use crate::lab::routers::Chain;
use crate::lab::{Wire, has};
use crate::running::Ended;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The TCP headers of the SYNs to that port which came to a wire.
fn syns(wire: &Wire, target: IpAddr, port: u16) -> Vec<Vec<u8>> {
    let (ether_type, header) = if target.is_ipv4() { (0x0800, 20) } else { (0x86dd, 40) };
    let mut found = Vec::new();
    while let Some(frame) = wire.recv_type(ether_type, Duration::ZERO) {
        let (ip, tcp) = frame[14..].split_at(header);
        let proto = if target.is_ipv4() { ip[9] } else { ip[6] };
        if proto == 6 && tcp[2..4] == port.to_be_bytes() && tcp[13] == 2 {
            found.push(tcp.to_vec());
        }
    }
    found
}

/// A SYN without what is another one in each (ports, number, checksum, the clock) and what depends
/// on a machine's memory (the window and its scale).
fn alike(syn: &[u8]) -> Vec<u8> {
    let mut syn = syn.to_vec();
    for part in [0..8, 14..18, 28..32, 39..40] {
        syn[part].fill(0);
    }
    syn
}

#[test]
fn syns_look_like_those_of_linux() {
    if !has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(1).mtu(0, 1400).up() else { return };
    lab.nft(
        1,
        "table inet f { chain fo { type filter hook forward priority 0; policy accept;
           tcp flags syn / syn,ack tcp option maxseg missing drop
         }
         }
",
    );
    // Our kernel would reset what was answered to us.
    lab.no_resets(0);
    let wire = lab.wire(1);
    for target in lab.targets() {
        let _open = lab.at(2, || TcpListener::bind((target, 80)).unwrap());
        let bytes = if target.is_ipv4() { 60 } else { 80 };
        for (port, state) in [(80, "open"), (81, "closed")] {
            let options = format!("trace -n -m 2 -q 1 --patient -w 60 -T -p {port} {target}");
            let traced = Ended::of_line(&options);
            assert_eq!(traced.status, Some(0), "{traced:?}");
            let summary = traced.first("summary");
            assert_eq!((&summary["reached"], &summary["distance"]), (&true.into(), &2.into()));
            assert_eq!(summary["port_state"], state, "{traced:?}");
            assert_eq!(summary["hops"][1]["routers"][0]["port_state"], state, "{traced:?}");
            assert!(summary["hops"][0]["routers"][0].get("port_state").is_none(), "{traced:?}");
            let start = traced.first("start");
            assert_eq!(
                (&start["packet_bytes"], &start["targets"][0]["packet_bytes"]),
                (&bytes.into(), &bytes.into())
            );
            let ours = syns(&wire, target, port);
            assert!(!ours.is_empty());
            assert!(ours.iter().all(|syn| (&syn[14..16], syn[39]) == (&[0xfa, 0xf0][..], 7)));
            // The kernel's own one.
            let _ =
                TcpStream::connect_timeout(&SocketAddr::new(target, port), Duration::from_secs(5));
            let theirs = syns(&wire, target, port);
            assert_eq!(alike(&ours[0]), alike(&theirs[0]), "{target} port {port}");
            let text = stdout(&flux(&options).output().unwrap());
            assert!(text.contains(&format!(" 2  {target} [{state}]  ")), "{text}");
            assert!(text.contains(&format!(", {bytes} byte packets, TCP port {port}")), "{text}");
            let _ = syns(&wire, target, port);
        }
        // Data is sent behind the options.
        let traced = Ended::of_line(&format!(
            "trace -n -m 2 -q 1 --patient -w 60 --size 200 -T -p 81 {target}"
        ));
        assert_eq!((traced.status, &traced.first("start")["packet_bytes"]), (Some(0), &200.into()));
        let data = syns(&wire, target, 81);
        let header = bytes - 40;
        assert!(data.iter().all(|syn| syn.len() == 200 - header && syn[12] >> 4 == 10), "{data:?}");
    }
}
