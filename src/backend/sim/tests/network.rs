//! The default network's table.

use super::packets::*;
use super::*;

const US: super::super::MacAddr = [2, 0, 0, 0, 0, 1];

fn default_rig(spec: &str) -> Rig {
    Rig::open(&Simulator::new(spec.parse().unwrap()), "sim0", Filter::Everything)
}

/// Source, and the Ethernet address to send to.
fn way(rig: &Rig, dst: IpAddr) -> ((MacAddr, MacAddr), (IpAddr, IpAddr)) {
    let route = rig.sim.route(dst).unwrap();
    let mac = rig.sim.neighbour("sim0", route.gateway.unwrap_or(dst)).unwrap();
    ((mac, US), (route.source, dst))
}

use super::super::MacAddr;
use std::net::IpAddr;

#[test]
fn echo_is_answered_after_the_documented_round_trip() {
    let mut rig = default_rig("");
    let table = [
        ("10.0.0.2", 200_000),
        ("10.0.0.9", 200_000),
        ("10.0.0.254", 200_000),
        ("203.0.113.7", 20_000_000),
        ("198.51.100.9", 10_000_000),
        ("2001:db8::2", 200_000),
        ("2001:db8::fe", 200_000),
        ("2001:db8:7::7", 20_000_000),
        ("2001:db8:9::9", 10_000_000),
    ];
    for (address, round_trip) in table {
        let (macs, addresses) = way(&rig, ip(address));
        let request = echo(macs, addresses, 64, 5, 56);
        let (reply, took) = rig.ask(&request).expect(address);
        assert_eq!(took, round_trip, "{address}");
        let header = judge(&reply);
        assert_eq!((header.src, header.dst), (addresses.1, addresses.0));
        let payload = header.l4 + 4;
        assert_eq!(reply[payload..], request[payload..], "identifier, sequence and payload");
    }
    for silent in ["10.0.0.66", "2001:db8::66"] {
        let (macs, addresses) = way(&rig, ip(silent));
        assert_eq!(rig.ask(&echo(macs, addresses, 64, 5, 56)), None);
    }
    rig.assert_balance();
}
