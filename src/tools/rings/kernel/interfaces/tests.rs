//! On a veth pair of the real kernel. All of it needs root.

use super::*;
use crate::backend::Filter;
use crate::builder::FluxBuilder;
use crate::foreign::Foreign;
use crate::lab::{Lab, OURS, PEER, wait_for, wait_until};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn traffic_on_queue_1_is_counted_on_queue_1() {
    let Some(lab) = Lab::veth(2) else { return };
    // veth counts by queue what a program sees.
    let builder = FluxBuilder::new(OURS).filter(Filter::Everything).queue_id(0);
    let _raw = builder.frames(64).build_raw().unwrap();
    let mut interfaces = Interfaces::open().unwrap();
    let key = interfaces.find(OURS).unwrap();
    let before = interfaces.snapshot(key, None).unwrap();
    // The queue is that of the socket, whatever CPU it sends on.
    let options = ["mode=quiet", "rx=0", "attach=0", "queue=1"];
    let mut peer = lab.in_peer(|| Foreign::start(PEER, &options));
    peer.tell("send 100");
    let grown = |now: &InterfaceSnapshot, queue: usize| {
        now.queue_rx_packets.as_ref().unwrap()[queue]
            - before.queue_rx_packets.as_ref().unwrap()[queue]
    };
    // Those of the interface are read some time before those of the queues.
    let all = before.rx_packets.unwrap() + 100;
    let after = wait_for("100 packets", || {
        let now = interfaces.snapshot(key, None)?;
        (grown(&now, 1) >= 100 && now.rx_packets >= Some(all)).then_some(now)
    });
    // Multicast of the peer's kernel comes on any queue, a few packets in all.
    let (queue_0, queue_1) = (grown(&after, 0), grown(&after, 1));
    assert!(queue_0 < 20 && queue_1 < 120, "{queue_0} {queue_1}");
    assert!(after.time_ns > before.time_ns);
}

#[test]
fn all_that_is_to_be_known_of_a_veth_is_there() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut interfaces = Interfaces::open().unwrap();
    let key = interfaces.find(OURS).unwrap();
    assert_eq!(key.netns, Some(NetNs::current().unwrap().inode().unwrap()));
    let found = interfaces.snapshot(key, None).unwrap();
    assert_eq!((found.name.as_str(), found.driver.as_deref()), (OURS, Some("veth")));
    assert!(found.up && found.carrier);
    assert_eq!((found.mtu, found.queues, found.nic_ring), (1500, Some(2), None));
    assert_eq!((found.xdp, found.zero_copy), (None, Some(false)));
    assert_eq!(found.queue_rx_packets.map(|queues| queues.len()), Some(2));

    let builder = FluxBuilder::new(OURS).filter(Filter::Everything).queue_id(0);
    let raw = builder.frames(64).build_raw().unwrap();
    let (id, name) = interfaces.snapshot(key, None).unwrap().xdp.unwrap();
    assert_eq!(name, "flux_redirect");
    assert!(lab.run(&format!("ip link show {OURS}")).contains(&format!("id {id}")));
    drop(raw);
    assert_eq!(interfaces.snapshot(key, None).unwrap().xdp, None);

    let error = interfaces.find("flux-no-such").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    assert!(error.to_string().contains("flux-no-such"), "{error}");
    lab.run(&format!("ip link delete {OURS}"));
    assert_eq!(interfaces.snapshot(key, None), None);
}

#[test]
fn the_link_going_down_is_seen_and_counted() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut interfaces = Interfaces::open().unwrap();
    let key = interfaces.find(OURS).unwrap();
    let before = interfaces.snapshot(key, None).unwrap();
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    let after = wait_for("the carrier is lost", || {
        interfaces.snapshot(key, None).filter(|now| !now.carrier)
    });
    assert!(after.up);
    assert_eq!(after.carrier_changes.unwrap(), before.carrier_changes.unwrap() + 1);
}

#[test]
fn an_interface_of_another_namespace_is_found_by_any_process_in_it() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut here = Interfaces::open().unwrap();
    let key = lab.in_peer(|| Interfaces::open().unwrap().find(PEER).unwrap());
    // It ends with its input.
    let mut handle = lab.in_peer(|| {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    });
    for _ in 0..2 {
        assert_eq!(here.snapshot(key, None).unwrap().name, PEER);
        // SourceChoice about since the last call: kept. Then not: closed, and found again.
        here.forget_unused();
        assert!(here.namespaces.contains_key(&key.netns.unwrap()));
        here.forget_unused();
        assert!(!here.namespaces.contains_key(&key.netns.unwrap()));
    }
    drop(handle.stdin.take());
    handle.wait().unwrap();
    assert_eq!(here.snapshot(key, None), None, "nobody is in it any more");
}

#[test]
fn an_interface_that_no_process_is_beside_is_found_by_a_socket_on_it() {
    let Some(lab) = Lab::veth(1) else { return };
    let builder = || FluxBuilder::new(PEER).filter(Filter::Everything).frames(64);
    let (raw, key) = lab.in_peer(|| {
        (builder().build_raw().unwrap(), Interfaces::open().unwrap().find(PEER).unwrap())
    });
    let fd = raw.fd().unwrap();
    let socket = fd.try_clone_to_owned().unwrap();
    let socket = File::from(socket).metadata().unwrap().ino();
    let via = NamespaceHandle { pid: std::process::id(), fd: fd.as_raw_fd(), socket };
    let found = Interfaces::open().unwrap().snapshot(key, Some(&via)).unwrap();
    assert_eq!((found.name.as_str(), found.xdp.is_some()), (PEER, true));
}

#[test]
fn a_look_at_a_veth_takes_well_under_a_millisecond() {
    let Some(_lab) = Lab::veth(2) else { return };
    let mut interfaces = Interfaces::open().unwrap();
    let key = interfaces.find(OURS).unwrap();
    interfaces.snapshot(key, None).unwrap();
    // The quickest of many: the others are the machine's other work.
    wait_until("a look in less than a millisecond", || {
        let start = Instant::now();
        interfaces.snapshot(key, None).unwrap();
        start.elapsed() < Duration::from_millis(1)
    });
}
