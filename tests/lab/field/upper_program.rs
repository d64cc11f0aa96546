//! A program on the bridge above an interface, where the kernel says no more than "File exists"; and a
//! port of a bridge, whose address is the bridge's.

use super::{command_in, refused};
use crate::command::{assert_exit, events, run, start};
use crate::lab::xdp::{Hook, attach_by_netlink};
use crate::lab::{self, Lab, OUR_IP, OURS, PEER_IP, wait_until, xdp_attached};

/// `flux0` becomes a port of br0.
fn bridge() -> Option<Lab> {
    let lab = Lab::veth(1)?.with_neighbours();
    lab.run("ip link add br0 type bridge");
    lab.run(&format!("ip link set {OURS} master br0"));
    lab.run("ip link set br0 up");
    Some(lab)
}

#[test]
fn a_program_on_the_bridge_above_is_named_with_what_takes_it_off() {
    let Some(_lab) = bridge() else { return };
    attach_by_netlink("br0", Hook::Skb);
    let line = format!("ping -c 1 -I {OURS} {PEER_IP}");
    for line in [line.clone(), format!("{line} --attach skb"), format!("{line} --attach native")] {
        let (error, hint) = refused(&line);
        assert!(error.contains("br0 above it") && error.contains("pass_all, skb mode"), "{error}");
        assert_eq!(command_in(&hint), "ip link set dev br0 xdpgeneric off");
    }
    let report = &events(&format!("doctor {OURS} -j"), 1)[0];
    let checks = report["checks"].as_array().unwrap();
    let blockers: Vec<_> = checks.iter().filter(|check| check["status"] == "blocker").collect();
    assert_eq!((blockers.len(), &blockers[0]["id"]), (1, &"program".into()), "{blockers:#?}");
    assert!(blockers[0]["finding"].as_str().unwrap().contains("br0 above it"));
    lab::run(command_in(blockers[0]["fix"].as_str().unwrap()));
    assert_exit(&line, &run(&line), 0);
}

#[test]
fn a_flux_on_the_bridge_is_named_to_one_on_its_port() {
    let Some(lab) = bridge() else { return };
    lab.run(&format!("ip addr add {OUR_IP}/24 dev br0"));
    let mut first = start(&format!("ping -q -i 0.2 -I br0 {PEER_IP}"));
    wait_until("its program", || xdp_attached("br0"));
    let (error, hint) = refused(&format!("ping -c 1 -I {OURS} {PEER_IP}"));
    assert!(error.contains(&format!("of flux ping (pid {})", first.id())), "{error}");
    lab::run(command_in(&hint));
    first.wait().unwrap();
}

#[test]
fn what_stands_on_an_interface_is_in_the_way_as_well() {
    let Some(_lab) = Lab::veth(1) else { return };
    let kinds = ["vlan id 7", "macvlan mode bridge"];
    let add = |kind: &&str| lab::try_run(&format!("ip link add link {OURS} name on0 type {kind}"));
    if !kinds.iter().any(|kind| add(kind).is_ok()) {
        return; // a kernel without either
    }
    lab::run("ip link set on0 up");
    attach_by_netlink("on0", Hook::Skb);
    let line = format!("ping -c 1 {PEER_IP}");
    let (error, hint) = refused(&line);
    assert!(error.contains("on0 above it"), "{error}");
    lab::run(command_in(&hint));
    assert_exit(&line, &run(&line), 0);
}

#[test]
fn a_port_without_address_is_told_from_an_interface_without_one() {
    let Some(lab) = bridge() else { return };
    lab.run(&format!("ip addr flush dev {OURS}"));
    // Its neighbours are those of the bridge, too.
    let line = format!("ping -c 1 -I {OURS} {PEER_IP}");
    let (error, hint) = refused(&line);
    assert!(error.contains(&format!("{OURS} is a port of br0")), "{error}");
    assert!(hint.contains("-I br0") && hint.contains("ip address add"), "{hint}");
    lab.run(&format!("ip addr add {OUR_IP}/24 dev br0"));
    for line in [line, format!("trace --icmp -I {OURS} {PEER_IP}")] {
        let (error, hint) = refused(&line);
        assert!(error.ends_with(&format!("is a port of br0, which has {OUR_IP}")), "{error}");
        assert!(hint.starts_with("use -I br0"), "{hint}");
    }
    // The command that is given works.
    let by = format!("ping -c 5 -i 0.2 -I br0 {PEER_IP}");
    assert_exit(&by, &run(&by), 0);
}
