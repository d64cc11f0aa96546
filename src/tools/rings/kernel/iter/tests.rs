//! The iterator against what the owners of the sockets see.

use super::*;
use crate::backend::{Filter, Match};
use crate::builder::FluxBuilder;
use crate::config::{HugePages, Pages, Queues};
use crate::lab::{self, ETH_LAB, Lab, OUR_MAC, OURS, PEER_MAC, lab_frame, with_capabilities};
use crate::raw::FluxRaw;
use crate::sys::if_xdp::Ring as Which;
use crate::sys::xsk::Xsk;
use crate::umem::region::Region;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

const RING: u32 = 64;
const FRAMES: u32 = 512;

fn builder() -> FluxBuilder {
    let sizes = FluxBuilder::new(OURS).ring_size(RING).frames(FRAMES).frame_size(4096);
    let ours = Match { ether_type: Some(ETH_LAB), ..Match::default() };
    sizes.huge_pages(HugePages::Off).filter(Filter::Any(vec![ours]))
}

fn inode(fd: RawFd) -> u64 {
    fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino()
}

fn our_netns() -> u32 {
    fs::metadata("/proc/thread-self/ns/net").unwrap().ino() as u32
}

fn look(iter: &mut IterSockets, fd: RawFd) -> SocketSnapshot {
    let inode = inode(fd);
    let mut found: Vec<_> = iter.scan().unwrap().sockets;
    found.retain(|socket| socket.inode == Some(inode));
    assert_eq!(found.len(), 1, "each socket once");
    found.remove(0)
}

/// Without those of children that other tests are just starting: they hold all our descriptors
/// until they run another program.
fn ours(seen: &SocketSnapshot) -> Vec<Owner> {
    let ours = |owner: &&Owner| owner.pid == std::process::id();
    seen.owners.iter().filter(ours).cloned().collect()
}

fn fd_of(raw: &FluxRaw) -> RawFd {
    raw.fd().unwrap().as_raw_fd()
}

/// Without the cached indices: the kernel and the owner have their own.
fn published(ring: Option<RingSnapshot>) -> Option<RingSnapshot> {
    Some(RingSnapshot { cached_producer: None, cached_consumer: None, ..ring? })
}

fn assert_agree(seen: &SocketSnapshot, raw: &FluxRaw) {
    let own = raw.debug_rings().sockets.remove(0);
    assert_eq!(published(seen.fill), published(own.fill));
    assert_eq!(published(seen.rx), published(own.rx));
    assert_eq!(published(seen.tx), published(own.tx));
    assert_eq!(published(seen.comp), published(own.comp));
    assert_eq!(seen.stats, own.stats);
    assert_eq!((&seen.interface, seen.ifindex), (&own.interface, own.ifindex));
    assert_eq!((seen.queue, seen.state), (own.queue, own.state));
    assert_eq!(seen.zero_copy, own.zero_copy);
    assert_eq!(seen.uses_need_wakeup, own.uses_need_wakeup);
    let (seen, own) = (seen.umem.unwrap(), own.umem.unwrap());
    assert_eq!((seen.size_bytes, seen.frames), (own.size_bytes, own.frames));
    assert_eq!((seen.frame_size, seen.headroom), (own.frame_size, own.headroom));
    assert_eq!(seen.unaligned, own.unaligned);
}

#[test]
fn what_is_seen_is_what_the_owner_sees() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut raw = builder().build_raw().unwrap();
    let mut iter = IterSockets::open().unwrap();
    let before = crate::sys::clock::monotonic_ns();
    let seen = look(&mut iter, fd_of(&raw));
    assert!((before..=crate::sys::clock::monotonic_ns()).contains(&seen.time_ns));
    assert_agree(&seen, &raw);

    let comm = fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
    assert_eq!(ours(&seen), [Owner { pid: std::process::id(), fd: fd_of(&raw), comm }]);
    assert_eq!(seen.netns, Some(our_netns()));
    let slots = seen.xskmaps.unwrap();
    assert_eq!(slots.len(), 1);
    assert!(slots[0].map > 0 && slots[0].key == 0, "{slots:?}");
    // Older kernels know neither.
    let SocketOptions { multi_buffer, prefer_busy_poll, .. } = seen.options;
    assert!(multi_buffer != Some(true) && prefer_busy_poll != Some(true));
    assert_eq!((seen.account, seen.umem.unwrap().free), (None, None));

    // Received and left lying; then more than there are frames; then more than there is room for.
    let wire = lab.wire();
    let (mut sent, mut taken) = (0, 0);
    let mut arrive = |raw: &mut FluxRaw, more: u32| {
        (0..more).for_each(|_| wire.send(&lab_frame(PEER_MAC, OUR_MAC, b"to us")));
        sent += u64::from(more);
        lab::wait_until("all frames have arrived, or were counted", || {
            let stats = raw.kernel_stats().unwrap();
            let here = u64::from(raw.rx.snapshot().used().unwrap()) + taken;
            here + stats.rx_dropped + stats.rx_ring_full == sent
        });
        settle(&mut iter, raw);
        let umem = Arc::clone(raw.umem());
        raw.rx.receive(3, |buffer| {
            taken += 1;
            umem.free(buffer.frame);
        });
        settle(&mut iter, raw).stats.unwrap()
    };
    assert_eq!(arrive(&mut raw, 5), XdpStatistics::default());
    let starved = arrive(&mut raw, 70);
    assert_eq!(starved.rx_dropped, 11, "64 frames for 75 packets");
    assert!(starved.rx_fill_ring_empty_descs >= 11);
    let mut frames = Vec::new();
    raw.umem().alloc_many(20, &mut frames);
    assert_eq!(raw.fill.post(&mut frames, 20), 20);
    assert_eq!(arrive(&mut raw, 20).rx_ring_full, 14, "room for 6");

    // Waiting in the TX ring, then sent.
    let payload = lab_frame(OUR_MAC, PEER_MAC, b"to the peer");
    for _ in 0..4 {
        let mut buffer = raw.umem().alloc_buffer(256, payload.len() as u32).unwrap().unwrap();
        raw.umem().packet_mut(&mut buffer).copy_from_slice(&payload);
        raw.tx.reserve(1).push(buffer).unwrap();
    }
    let seen = look(&mut iter, fd_of(&raw));
    assert_eq!((seen.tx.unwrap().used(), seen.comp.unwrap().used()), (Some(4), Some(0)));
    assert_eq!(seen.tx.unwrap().need_wakeup(), Some(true));
    assert_agree(&seen, &raw);
    raw.kick_tx().unwrap();
    for _ in 0..4 {
        assert!(wire.recv_type(ETH_LAB, lab::PATIENCE).is_some());
    }
    settle(&mut iter, &raw);
}

/// Looks until nothing has moved between two looks at one's own rings with a foreign look in
/// between, and compares.
fn settle(iter: &mut IterSockets, raw: &FluxRaw) -> SocketSnapshot {
    let seen = lab::wait_for("the rings come to rest", || {
        let before = raw.debug_rings().sockets.remove(0);
        let seen = look(iter, fd_of(raw));
        let after = raw.debug_rings().sockets.remove(0);
        (SocketSnapshot { time_ns: after.time_ns, ..before } == after).then_some(seen)
    });
    assert_agree(&seen, raw);
    seen
}

#[test]
fn sockets_that_share_a_umem_have_the_same_number_for_it() {
    let Some(_lab) = Lab::veth(2) else { return };
    let two = builder().queues(Queues::All).build_raw_queues().unwrap();
    let alone = Xsk::open().unwrap();
    let region = Region::map(8192, Pages::Ordinary).unwrap();
    alone.register_umem(region.base().as_ptr() as u64, 8192, 4096).unwrap();
    let mut iter = IterSockets::open().unwrap();
    let seen: Vec<_> = two.iter().map(|raw| look(&mut iter, fd_of(raw))).collect();
    for (seen, raw) in seen.iter().zip(&two) {
        assert_agree(seen, raw);
    }
    assert_eq!([seen[0].queue, seen[1].queue], [Some(0), Some(1)]);
    assert_eq!(seen[0].umem_id(), seen[1].umem_id());
    let users: Vec<_> = seen.iter().map(|s| s.umem.unwrap().users).collect();
    assert_eq!(users, [Some(2), Some(2)]);
    let slots: Vec<_> = seen.iter().map(|s| s.xskmaps.clone().unwrap()[0]).collect();
    assert_eq!(slots[0].map, slots[1].map);
    assert_eq!([slots[0].key, slots[1].key], [0, 1]);
    let other = look(&mut iter, alone.raw_fd());
    assert_ne!(other.umem_id(), seen[0].umem_id());
    assert_eq!(other.umem.unwrap().users, Some(1));
}

#[test]
fn a_socket_that_is_not_bound_yet_shows_what_it_has_so_far() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut iter = IterSockets::open().unwrap();
    let xsk = Xsk::open().unwrap();
    let bare = look(&mut iter, xsk.raw_fd());
    assert_eq!((bare.state, bare.interface, bare.ifindex), (SocketState::Ready, None, None));
    assert_eq!((bare.fill, bare.rx, bare.tx, bare.comp), (None, None, None, None));
    assert_eq!((bare.queue, bare.umem, bare.zero_copy), (None, None, None));
    assert_eq!((bare.xskmaps, bare.uses_need_wakeup), (Some(Vec::new()), None));
    assert_eq!(bare.stats, Some(XdpStatistics::default()));

    let region = Region::map(16 * 2048, Pages::Ordinary).unwrap();
    xsk.register_umem(region.base().as_ptr() as u64, 16 * 2048, 2048).unwrap();
    xsk.size_ring(Which::Fill, 16).unwrap();
    xsk.size_ring(Which::Comp, 32).unwrap();
    xsk.size_ring(Which::Tx, 64).unwrap();
    // Not on every kernel.
    let busy_polls = xsk.set_busy_poll(37, 19).is_ok();
    let budget = xsk.set_tx_budget(48).is_ok();
    let seen = look(&mut iter, xsk.raw_fd());
    let sizes = [seen.fill, seen.comp, seen.tx].map(|ring| ring.unwrap().size);
    assert_eq!((sizes, seen.rx), ([Some(16), Some(32), Some(64)], None));
    let umem = seen.umem.unwrap();
    assert_eq!((umem.frames, umem.frame_size), (Some(16), Some(2048)));
    assert_eq!(umem.size_bytes, Some(32768));
    if busy_polls {
        let SocketOptions { prefer_busy_poll, busy_poll_us, busy_poll_budget, .. } = seen.options;
        assert_eq!((prefer_busy_poll, busy_poll_us), (Some(true), Some(37)));
        assert_eq!(busy_poll_budget, Some(19));
    }
    if budget {
        assert_eq!(seen.options.tx_budget, Some(48));
    }

    // Bound without XDP_USE_NEED_WAKEUP and without a program.
    let index = crate::sys::netdev::index(OURS).unwrap();
    xsk.bind(index, 0, 0, None).unwrap();
    let seen = look(&mut iter, xsk.raw_fd());
    assert_eq!((seen.state, seen.ifindex, seen.queue), (SocketState::Bound, Some(index), Some(0)));
    assert_eq!(seen.interface.as_deref(), Some(OURS));
    assert_eq!((seen.uses_need_wakeup, seen.xskmaps), (Some(false), Some(Vec::new())));
    assert_eq!(seen.zero_copy, Some(false));
    let sizes = [seen.fill, seen.comp, seen.tx].map(|ring| ring.unwrap().size);
    assert_eq!((sizes, seen.rx), ([Some(16), Some(32), Some(64)], None));
}

#[test]
fn a_socket_whose_interface_is_gone_is_unbound() {
    let Some(lab) = Lab::veth(1) else { return };
    let raw = builder().build_raw().unwrap();
    let mut iter = IterSockets::open().unwrap();
    assert_eq!(look(&mut iter, fd_of(&raw)).state, SocketState::Bound);
    lab.run("ip link del flux0");
    let seen = look(&mut iter, fd_of(&raw));
    assert_eq!(seen.state, SocketState::Unbound);
    assert_eq!((seen.interface, seen.ifindex), (None, None));
    assert_eq!(seen.rx.unwrap().size, Some(RING));
}

#[test]
fn a_closed_socket_is_gone_though_it_was_looked_at() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut iter = IterSockets::open().unwrap();
    for _ in 0..3 {
        let raw = builder().build_raw().unwrap();
        let seen = look(&mut iter, fd_of(&raw)).inode;
        drop(raw);
        // Not at once: see ours().
        lab::wait_until("it is gone", || {
            iter.scan().unwrap().sockets.iter().all(|socket| socket.inode != seen)
        });
    }
}

#[test]
fn a_socket_with_two_descriptors_is_one_socket() {
    let Some(_lab) = Lab::veth(1) else { return };
    let raw = builder().build_raw().unwrap();
    let second = raw.fd().unwrap().try_clone_to_owned().unwrap();
    let seen = look(&mut IterSockets::open().unwrap(), fd_of(&raw));
    let fds: BTreeSet<_> = ours(&seen).iter().map(|owner| owner.fd).collect();
    assert_eq!(fds, BTreeSet::from([fd_of(&raw), second.as_raw_fd()]));
}

#[test]
fn the_missing_capability_is_named() {
    let Some(_turn) = lab::as_root() else { return };
    let open = |capabilities: &[u32]| {
        with_capabilities(capabilities, || IterSockets::open().map(|mut iter| iter.scan()).err())
    };
    let cases: [(&[u32], &str); 3] = [
        (&[], "CAP_BPF and CAP_PERFMON are missing"),
        (&[lab::CAP_BPF], "CAP_PERFMON is missing"),
        (&[lab::CAP_PERFMON], "CAP_BPF is missing"),
    ];
    for (capabilities, cause) in cases {
        let error = open(capabilities).unwrap();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let text = format!("cannot load the BPF iterator over open files: {cause}");
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().contains("cap_bpf,cap_perfmon"), "{error:?}");
    }
    for enough in [&[lab::CAP_BPF, lab::CAP_PERFMON][..], &[lab::CAP_SYS_ADMIN]] {
        assert!(open(enough).is_none(), "{enough:?}: {:?}", open(enough));
    }
}

#[test]
fn a_kernel_without_type_information_is_told_from_one_without_iterator() {
    assert!(nothing_there(false).0.contains("type information"));
    assert!(nothing_there(true).0.contains("iterator"));
}

fn record(inode: u64, pid: u32, fd: i32) -> Record {
    Record { inode, pid, fd, comm: format!("c{pid}"), ..Record::default() }
}

#[test]
fn descriptors_of_one_socket_are_put_together_and_the_newest_look_counts() {
    let old = Record { time_ns: 1, ..record(9, 20, 3) };
    let new = Record { time_ns: 2, queue: 1, state: 1, ..record(9, 10, 4) };
    let dying = Record { time_ns: 3, ..record(5, 0, 7) };
    let twice = record(9, 20, 3);
    let seen = sockets(&[old, dying, twice, new]);
    assert_eq!(seen.iter().map(|s| s.inode).collect::<Vec<_>>(), [Some(5), Some(9)]);
    assert_eq!((seen[1].time_ns, seen[1].queue), (2, Some(1)));
    let owner = |pid, fd| Owner { pid, fd, comm: format!("c{pid}") };
    assert_eq!(seen[1].owners, [owner(10, 4), owner(20, 3)]);
    assert_eq!(seen[0].owners, []);
}

#[test]
fn what_the_kernel_does_not_have_stays_unknown() {
    let nothing = snapshot(&Record { state: 1, ..record(1, 1, 1) });
    assert_eq!(nothing.options, SocketOptions::default());
    assert_eq!((nothing.stats, nothing.umem, nothing.xskmaps), (None, None, None));
    assert_eq!((nothing.rx, nothing.uses_need_wakeup), (None, None));
    let known = known::UMEM | known::CHUNK_SIZE;
    let size = Record { known, umem_size: 10240, umem_chunk_size: 4096, ..record(1, 1, 1) };
    assert_eq!(snapshot(&size).umem.unwrap().frames, Some(2));
    let broken = Record { umem_chunk_size: 0, ..size };
    assert_eq!(snapshot(&broken).umem.unwrap().frames, None);
    let all = Record { known: u32::MAX, ..record(1, 1, 1) };
    let all = snapshot(&all);
    assert_eq!(all.stats, Some(XdpStatistics::default()));
    assert_eq!(all.options.tx_budget, Some(0));
}
