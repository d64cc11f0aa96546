//! Sockets of a program that is not ours, over a veth pair in namespaces of the test's own.

use super::*;
use crate::foreign::{COMM, Foreign, State};
use crate::lab::{self, Lab, OURS, PEER, with_capabilities};
use crate::sys::netdev;
use crate::sys::xsk::Xsk;
use crate::tools::rings::kernel::diag::DiagSockets;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};

/// Sizes that tell the rings apart, each of more than one page.
const SIZES: [&str; 4] = ["rx=512", "tx=1024", "fill=2048", "comp=4096"];

fn found(looked: &Scan, pid: u32) -> Option<&SocketSnapshot> {
    let mut of_it = looked.sockets.iter().filter(|s| s.owners.iter().any(|o| o.pid == pid));
    let first = of_it.next();
    assert!(of_it.next().is_none(), "more than one socket of {pid}: {:?}", looked.sockets);
    first
}

/// The only socket of that program.
fn look_at(sockets: &mut dyn Sockets, owner: &Foreign) -> SocketSnapshot {
    let looked = sockets.scan().unwrap();
    found(&looked, owner.pid()).expect("its socket").clone()
}

/// A program on our end with the four sizes.
fn start(mode: &str, options: &[&str]) -> Foreign {
    Foreign::start(OURS, &[&[mode], &SIZES[..], options].concat())
}

/// One that sends from the peer's end.
fn sender(lab: &Lab, pps: &str) -> Foreign {
    lab.in_peer(|| Foreign::start(PEER, &["mode=tx", "attach=0", "rx=0", pps]))
}

fn size(ring: Option<RingSnapshot>) -> Option<u32> {
    ring.expect("the ring").size
}

#[test]
fn a_foreign_program_is_found_with_its_place_and_its_four_rings() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut owner = start("mode=drop", &["queue=1"]);
    let peer = lab.in_peer(|| Foreign::start(PEER, &["mode=tx", "queue=1", "pps=20000"]));
    owner.wait("100 packets", |state| state.count("received") > 100);

    let mut sockets = PidfdSockets::open().unwrap();
    let looked = sockets.scan().unwrap();
    let socket = found(&looked, owner.pid()).unwrap();
    let this = Owner { pid: owner.pid(), fd: owner.fd(), comm: COMM.into() };
    assert_eq!(socket.owners, [this]);
    assert_eq!(socket.netns, Some(NetNs::current().unwrap().inode().unwrap()));
    assert_eq!(socket.interface.as_deref(), Some(OURS));
    assert_eq!((socket.ifindex, socket.queue), (netdev::index(OURS).ok(), Some(1)));
    assert_eq!((socket.state, socket.zero_copy), (SocketState::Bound, Some(false)));
    assert_eq!((size(socket.rx), size(socket.tx)), (Some(512), Some(1024)));
    assert_eq!((size(socket.fill), size(socket.comp)), (Some(2048), Some(4096)));
    assert_eq!(socket.options.prefer_busy_poll, Some(false));
    assert_eq!((socket.umem, socket.account), (None, None));
    // The other end is in another namespace, which was entered for it.
    let other = found(&looked, peer.pid()).unwrap();
    assert_ne!(other.netns, socket.netns);
    assert_eq!((other.interface.as_deref(), other.queue), (Some(PEER), Some(1)));
}

/// The order of `struct xdp_statistics`.
const COUNTERS: [&str; 6] = [
    "rx_dropped",
    "rx_invalid_descs",
    "tx_invalid_descs",
    "rx_ring_full",
    "rx_fill_ring_empty_descs",
    "tx_ring_empty_descs",
];

/// Producer, consumer and flags of RX, TX, fill and completion ring.
type Words = [[u32; 3]; 4];

fn as_the_owner_sees_it(state: &State) -> Words {
    ["rx", "tx", "fill", "comp"]
        .map(|ring| ["producer", "consumer", "flags"].map(|field| state.ring(ring, field)))
}

fn as_we_see_it(socket: &SocketSnapshot) -> Words {
    [socket.rx, socket.tx, socket.fill, socket.comp].map(|ring| {
        let ring = ring.unwrap();
        [ring.producer.unwrap(), ring.consumer.unwrap(), ring.flags.unwrap()]
    })
}

/// A look during which nothing moved, and the owner's own view of the same moment.
fn look_at_rest(sockets: &mut PidfdSockets, owner: &mut Foreign) -> (SocketSnapshot, State) {
    lab::wait_for("rest", || {
        let before = owner.stats();
        let seen = look_at(sockets, owner);
        let after = owner.stats();
        let counters = |state: &State| COUNTERS.map(|name| state.count(name));
        let indices = as_the_owner_sees_it(&before) == as_the_owner_sees_it(&after);
        (indices && counters(&before) == counters(&after)).then_some((seen, after))
    })
}

#[test]
fn at_rest_indices_flags_and_counters_are_those_that_the_owner_sees() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let mut owner = start("mode=drop", &[]);
    let mut peer = sender(&lab, "pps=50000");
    owner.wait("1000 packets", |state| state.count("received") > 1000);
    // Some stay in the RX ring, and the fill ring runs empty: all of it has to be seen.
    owner.tell("noread");
    owner.wait("the RX ring is full", |state| {
        let used = state.ring("rx", "producer").wrapping_sub(state.ring("rx", "consumer"));
        // The counter alone may have risen before: a program that is late loses packets, too.
        used == 512 && state.count("rx_ring_full") > 0
    });
    owner.tell("txstuck");
    peer.tell("quiet");
    let (seen, state) = look_at_rest(&mut sockets, &mut owner);
    assert_eq!(as_we_see_it(&seen), as_the_owner_sees_it(&state));
    assert_eq!(seen.rx.unwrap().used(), Some(512));
    assert_eq!(seen.tx.unwrap().used(), Some(1024));
    assert_eq!(seen.tx.unwrap().need_wakeup(), Some(true));
    let stats = seen.stats.unwrap();
    let seen = [
        stats.rx_dropped,
        stats.rx_invalid_descs,
        stats.tx_invalid_descs,
        stats.rx_ring_full,
        stats.rx_fill_ring_empty_descs,
        stats.tx_ring_empty_descs,
    ];
    assert_eq!(seen, COUNTERS.map(|name| state.count(name)));
}

#[test]
fn under_load_the_rates_of_two_looks_are_those_of_the_owner() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let mut owner = start("mode=drop", &[]);
    let mut peer = sender(&lab, "pps=100000");
    owner.wait("1000 packets", |state| state.count("received") > 1000);

    // Each look lies between what the owner says before and after it: so do all rates of two.
    let (first, own_first) = look_beside(&mut sockets, &mut owner);
    owner.wait_for_more(&own_first, "received", 1000);
    let (second, _) = look_beside(&mut sockets, &mut owner);
    let [first, second] = [first, second].map(|seen| seen.rx.unwrap().consumer.unwrap());
    assert!(second.wrapping_sub(first) >= 1000, "{first} {second}");
    // The sender's end as well: what it sent and what came back to it.
    let (seen, sent) = look_beside(&mut sockets, &mut peer);
    let sent = sent.count("sent") as u32;
    assert!(seen.tx.unwrap().producer.unwrap() <= sent && sent > 1000, "{seen:?}");
    assert_eq!(seen.rx, None);
}

/// A look while all is moving, and what the owner says after it.
fn look_beside(sockets: &mut PidfdSockets, owner: &mut Foreign) -> (SocketSnapshot, State) {
    let before = owner.stats();
    let seen = look_at(sockets, owner);
    let after = owner.stats();
    let rings = [("rx", seen.rx), ("tx", seen.tx), ("fill", seen.fill), ("comp", seen.comp)];
    for (name, ring) in rings {
        let Some(ring) = ring else { continue };
        before.assert_read_before(&after, name, "producer", ring.producer.unwrap());
        before.assert_read_before(&after, name, "consumer", ring.consumer.unwrap());
        assert!(ring.used() <= ring.size, "{name}: {seen:?}");
    }
    let times = before.count("time_ns")..=after.count("time_ns");
    assert!(times.contains(&seen.time_ns), "{times:?} {seen:?}");
    (seen, after)
}

#[test]
fn nothing_of_a_socket_is_held_after_a_look() {
    // The other tests of this process take sockets as well.
    let Some(_turn) = lab::alone() else { return };
    let Some(_lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let owner = start("mode=drop", &[]);
    let inode = look_at(&mut sockets, &owner).inode.unwrap();
    // Other programs may look at all sockets of this machine right now, and hold it.
    let holders = walk::walk().unwrap().sockets.remove(&inode).unwrap();
    assert!(holders.iter().any(|holder| holder.pid == owner.pid()), "{holders:?}");
    assert!(holders.iter().all(|holder| holder.pid != std::process::id()), "{holders:?}");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(&format!("socket:[{inode}]")), "{maps}");
    owner.kill();
    // It would not come up on a queue that is taken.
    let next = start("mode=drop", &[]);
    assert_ne!(look_at(&mut sockets, &next).inode, Some(inode));
    lab::wait_until("it is forgotten", || {
        sockets.scan().unwrap();
        !sockets.sizes.contains_key(&inode)
    });
}

#[test]
fn rings_of_one_page_have_no_size_and_rings_that_are_not_there_are_none() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let owner = Foreign::start(OURS, &["mode=quiet", "rx=64", "tx=0", "fill=256", "comp=512"]);
    // The second look goes by what the first has found out.
    for _ in 0..2 {
        let seen = look_at(&mut sockets, &owner);
        assert_eq!((size(seen.rx), seen.tx), (None, None));
        assert_eq!((size(seen.fill), size(seen.comp)), (None, Some(512)));
        // The kernel itself may have sent a few packets over the new link.
        assert!((200..=256).contains(&seen.fill.unwrap().used().unwrap()), "{seen:?}");
    }
}

#[test]
fn a_socket_that_is_not_bound_has_rings_and_no_place() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let owner = start("mode=quiet", &["bind=0"]);
    let seen = look_at(&mut sockets, &owner);
    assert_eq!((seen.state, seen.ifindex, seen.queue), (SocketState::Ready, None, None));
    assert_eq!(size(seen.fill), Some(2048));
    assert_eq!(seen.fill.unwrap().used(), Some(2048));
}

#[test]
fn two_queues_of_an_interface_tell_the_interface_but_not_the_queue() {
    let Some(_lab) = Lab::veth(2) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let owners = [start("mode=quiet", &["queue=0"]), start("mode=quiet", &["queue=1", "attach=0"])];
    for owner in &owners {
        let seen = look_at(&mut sockets, owner);
        assert_eq!((seen.interface.as_deref(), seen.queue), (Some(OURS), None));
        assert_eq!(seen.state, SocketState::Bound);
    }
}

#[test]
fn a_socket_whose_interface_is_gone_is_unbound() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut sockets = PidfdSockets::open().unwrap();
    let owner = start("mode=quiet", &[]);
    assert_eq!(look_at(&mut sockets, &owner).state, SocketState::Bound);
    lab.run(&format!("ip link del {OURS}"));
    let seen = look_at(&mut sockets, &owner);
    assert_eq!((seen.state, seen.interface), (SocketState::Unbound, None));
    assert_eq!(seen.fill, None);
}

#[test]
fn one_socket_under_two_descriptors_is_listed_once() {
    let Some(_lab) = Lab::veth(1) else { return };
    let socket = Xsk::open().unwrap();
    let second = socket.as_fd().try_clone_to_owned().unwrap();
    let file = std::fs::File::from(second.try_clone().unwrap());
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
    drop(file);
    let looked = PidfdSockets::open().unwrap().scan().unwrap();
    let seen: Vec<_> = looked.sockets.iter().filter(|s| s.inode == Some(inode)).collect();
    let [seen] = seen[..] else { panic!("{seen:?}") };
    let fds: BTreeSet<_> = seen.owners.iter().map(|owner| owner.fd).collect();
    // A look of another test may have a copy at this moment.
    assert!(fds.is_superset(&[socket.raw_fd(), second.as_raw_fd()].into()), "{fds:?}");
    // It has neither memory nor rings.
    assert_eq!((seen.rx, seen.fill, seen.state), (None, None, SocketState::Ready));
}

#[test]
fn without_capabilities_what_is_missing_is_said() {
    let Some(_lab) = Lab::veth(1) else { return };
    let owner = start("mode=quiet", &[]);
    let looked = with_capabilities(&[], || PidfdSockets::open().unwrap().scan().unwrap());
    assert!(found(&looked, owner.pid()).is_none());
    let said = looked
        .missing
        .iter()
        .any(|it| it.text.contains("CAP_SYS_PTRACE") && it.text.contains("CAP_DAC_READ_SEARCH"));
    assert!(said, "{:?}", looked.missing);
}

#[test]
fn the_diagnosis_tells_sizes_and_counters_or_that_the_kernel_has_none() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut owner = start("mode=drop", &[]);
    let _peer = sender(&lab, "pps=20000");
    owner.wait("100 packets", |state| state.count("received") > 100);
    let mut sockets = match DiagSockets::open() {
        Ok(sockets) => sockets,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("CONFIG_XDP_SOCKETS_DIAG"), "{error}");
            return;
        }
    };
    let seen = look_at(&mut sockets, &owner);
    assert_eq!((seen.interface.as_deref(), seen.queue), (Some(OURS), Some(0)));
    assert_eq!((size(seen.rx), size(seen.tx)), (Some(512), Some(1024)));
    assert_eq!((size(seen.fill), size(seen.comp)), (Some(2048), Some(4096)));
    assert_eq!((seen.rx.unwrap().used(), seen.owners[0].fd), (None, owner.fd()));
    assert!(seen.stats.is_some() && seen.umem.unwrap().frames == Some(4096));
}
