//! On the real kernel, in the lab's network namespaces.
#![cfg(feature = "bpf")] // to poll, and for the lab

use super::*;
use crate::lab::{self, Lab, OURS};
use crate::sys::poll::{Woken, entry, poll};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The changes until one is as wanted.
fn until(watch: &mut dyn Watch, what: &str, wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
    let mut all = Vec::new();
    lab::wait_until(what, || {
        all.extend(watch.changes().unwrap());
        all.iter().any(&wanted)
    });
    all
}

fn now(change: &Change) -> Option<&Interface> {
    match change {
        Change::Interface { now, .. } => Some(now),
        _ => None,
    }
}

#[test]
fn interfaces_are_told_when_they_come_change_and_go() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut watch = KernelWatch::open().unwrap();
    let ours = |change: &Change| now(change).filter(|now| now.name == OURS).cloned();
    assert!(watch.interfaces().iter().any(|known| known.name == OURS && known.carrier));
    lab::run("ip link add other type veth peer name behind");
    until(
        &mut watch,
        "a new interface",
        |change| matches!(change, Change::Interface { before: None, now } if now.name == "other"),
    );
    lab::run("ip link set other name another");
    until(&mut watch, "a new name", |change| {
        matches!(change, Change::Interface { before: Some(before), now }
            if before.name == "other" && now.name == "another" && before.index == now.index)
    });
    lab.run_in_peer("ip link set flux1 down");
    until(&mut watch, "no carrier", |c| ours(c).is_some_and(|now| now.up && !now.carrier));
    lab.run_in_peer("ip link set flux1 up");
    until(&mut watch, "the carrier", |c| ours(c).is_some_and(|now| now.carrier));
    lab::run(&format!("ip link set {OURS} mtu 1400"));
    until(&mut watch, "an MTU", |c| ours(c).is_some_and(|now| now.mtu == 1400));
    lab::run(&format!("ip link set {OURS} down"));
    until(&mut watch, "down", |c| ours(c).is_some_and(|now| !now.up));
    lab::run(&format!("ip link set {OURS} up"));
    until(&mut watch, "up", |c| ours(c).is_some_and(|now| now.up));
    lab::run("ip link del another");
    until(
        &mut watch,
        "a removal",
        |change| matches!(change, Change::Gone(gone) if gone.name == "another"),
    );
    let names: Vec<_> = watch.interfaces().iter().map(|known| known.name.clone()).collect();
    assert!(!names.contains(&"another".to_owned()), "{names:?}");
}

#[test]
fn an_interface_that_moves_to_another_namespace_is_gone_here_and_new_there() {
    let Some(lab) = Lab::veth(1) else { return };
    lab::run("ip link add mover type veth peer name behind");
    let mut here = KernelWatch::open().unwrap();
    let mut there = lab.in_peer(|| KernelWatch::open().unwrap());
    let gone = |change: &Change| matches!(change, Change::Gone(gone) if gone.name == "mover");
    let came = |change: &Change| now(change).is_some_and(|now| now.name == "mover");
    let peer = lab.in_peer(|| std::fs::File::open("/proc/thread-self/ns/net").unwrap());
    let path = format!("/proc/{}/fd/{}", std::process::id(), peer.as_raw_fd());
    lab::run(&format!("ip link set mover netns {path}"));
    until(&mut here, "the one that moved away", gone);
    // Asked from this thread, whose namespace is another.
    until(&mut there, "the one that moved here", came);
    lab.run_in_peer("ip link del mover");
    until(&mut there, "the one that was removed", gone);
}

#[test]
fn addresses_routes_rules_and_next_hops_are_told() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut watch = KernelWatch::open().unwrap();
    let index = watch.interfaces().iter().find(|known| known.name == OURS).unwrap().index;
    let address = |text: &str, wanted: bool| {
        let addr = ip(text);
        move |change: &Change| {
            matches!(change, Change::Address { ifindex, address, there }
                if *ifindex == index && address.addr == addr && *there == wanted)
        }
    };
    let route = |text: &str, wanted: bool| {
        let to = text.parse().unwrap();
        move |change: &Change| matches!(change, Change::Route(route) if route.to == to && route.there == wanted)
    };
    lab::run(&format!("ip addr add 10.77.0.1/24 dev {OURS}"));
    let told = until(&mut watch, "an address", address("10.77.0.1", true));
    assert!(told.iter().any(route("10.77.0.0/24", true)), "{told:?}");
    lab::run(&format!("ip addr add fd77::1/64 dev {OURS}"));
    until(&mut watch, "an IPv6 address that is usable", |change| {
        matches!(change, Change::Address { address, there: true, .. }
            if address.addr == ip("fd77::1") && address.is_usable())
    });
    lab::run("ip route add 192.0.2.0/24 via 10.77.0.9 table 77");
    let told = until(&mut watch, "a route", route("192.0.2.0/24", true));
    let route_of = |change: &Change| match change {
        Change::Route(change) if change.to == "192.0.2.0/24".parse().unwrap() => Some(*change),
        _ => None,
    };
    let found = told.iter().find_map(route_of).unwrap();
    let expected = (77, Some(index), Some(ip("10.77.0.9")));
    assert_eq!((found.table, found.ifindex, found.gateway), expected);
    lab::run("ip route del 192.0.2.0/24 table 77");
    until(&mut watch, "a route that went", route("192.0.2.0/24", false));
    lab::run(&format!("ip -6 route add default via fd77::2 dev {OURS}"));
    until(&mut watch, "a default route", route("::/0", true));
    lab::run("ip rule add from 10.77.0.1 table 77");
    until(&mut watch, "a rule", |change| *change == Change::Routing);
    lab::run("ip nexthop add id 7 via 10.77.0.9 dev flux0");
    until(&mut watch, "a next hop", |change| *change == Change::Routing);
    lab::run(&format!("ip addr del 10.77.0.1/24 dev {OURS}"));
    until(&mut watch, "an address that went", address("10.77.0.1", false));
    let known = watch.interfaces();
    let ours = known.iter().find(|known| known.name == OURS).unwrap();
    assert!(!ours.has_address(ip("10.77.0.1")) && ours.has_address(ip("fd77::1")));
}

#[test]
fn neighbours_are_told_with_their_addresses_and_without_when_they_go() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut watch = KernelWatch::open().unwrap();
    let is = |text: &str, wanted: Option<[u8; 6]>| {
        let at = ip(text);
        move |change: &Change| matches!(change, Change::Neighbour { addr, mac, .. } if *addr == at && *mac == wanted)
    };
    let mac = [2, 0, 0, 0, 0x77, 1];
    for address in ["10.9.0.77", "fd09::77"] {
        lab::run(&format!("ip neigh replace {address} lladdr 02:00:00:00:77:01 dev {OURS}"));
        until(&mut watch, "a neighbour", is(address, Some(mac)));
        lab::run(&format!("ip neigh del {address} dev {OURS}"));
        until(&mut watch, "a neighbour that went", is(address, None));
    }
}

#[test]
fn what_was_lost_is_looked_at_again() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut watch = KernelWatch::with_room(0).unwrap(); // as little as the system has
    let add = |n: u32| format!("addr add 10.78.{}.{}/32 dev {OURS}\n", n / 200, 1 + n % 200);
    let script: String = (0..400).map(add).collect();
    lab::ip_batch(&script);
    let told = until(&mut watch, "the loss", |change| *change == Change::Overrun);
    let came = |change: &&Change| matches!(change, Change::Address { there: true, address, .. } if address.prefix_len == 32);
    assert_eq!(told.iter().filter(came).count(), 400);
    // From then on each change is told again.
    lab::run(&format!("ip addr del 10.78.0.1/32 dev {OURS}"));
    let told = until(&mut watch, "a change", |change| {
        matches!(change, Change::Address { there: false, .. })
    });
    assert!(!told.contains(&Change::Overrun), "{told:?}");
}

#[test]
fn the_descriptor_is_readable_when_there_are_changes_and_a_call_never_waits() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut watch = KernelWatch::open().unwrap();
    while !watch.changes().unwrap().is_empty() {}
    let fd = watch.fd().unwrap().as_raw_fd();
    let look = |time| poll(&mut [entry(fd, libc::POLLIN)], Some(time)).unwrap();
    lab::run(&format!("ip link set {OURS} mtu 1300"));
    assert_eq!(look(lab::PATIENCE), Woken::Ready);
    until(&mut watch, "the MTU", |change| now(change).is_some_and(|now| now.mtu == 1300));
}
