//! A bump in the wire: two hosts, each in a namespace of its own, and us between them.
//!
//! ```text
//!   left namespace            this thread's namespace           right namespace
//!   far0  02:00:00:00:09:01   left0 :03         right0 :04      far0  02:00:00:00:09:02
//!         10.9.0.1/24   ◀─ veth ─▶ │  nothing  │ ◀─ veth ─▶           10.9.0.2/24
//!         fd09::1/64               │ between   │                      fd09::2/64
//! ```
//!
//! The hosts are on one Ethernet as soon as somebody forwards in the middle. Offloads are what Linux
//! has by default: TCP and UDP packets hold a part of their checksum only.

use super::{
    OUR_IP, OUR_IP6, OUR_MAC, PEER_IP, PEER_IP6, PEER_MAC, Turn, as_root, enter, has_what_it_takes,
    inside, ip_batch, mac, new_namespace, run, set_ipv6_defaults, skip, this_namespace,
    wait_for_carrier, wait_for_links,
};
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Our two interfaces.
pub const LEFT: &str = "left0";
pub const RIGHT: &str = "right0";
/// The interface of either host.
pub const FAR: &str = "far0";
pub const LEFT_MAC: [u8; 6] = OUR_MAC;
pub const RIGHT_MAC: [u8; 6] = PEER_MAC;
pub const LEFT_IP: Ipv4Addr = OUR_IP;
pub const RIGHT_IP: Ipv4Addr = PEER_IP;
pub const RIGHT_IP6: Ipv6Addr = PEER_IP6;

/// The three namespaces. This thread is in ours until drop.
pub struct Bump {
    outside: File,
    left: File,
    right: File,
    ours: File,
    /// Last, as in [`Lab`].
    _turn: Turn,
}

impl Bump {
    /// The network of the picture with `queues` queues on each end of both pairs; `None` (and a line
    /// that says SKIP) when not root.
    pub fn new(queues: u32) -> Option<Self> {
        let turn = as_root()?;
        if !has_what_it_takes() {
            return None;
        }
        let outside = this_namespace().expect("this thread's namespace");
        let left = match new_namespace() {
            Ok(left) => left,
            Err(error) => {
                skip(&format!("no new network namespace: {error}"));
                return None;
            }
        };
        set_ipv6_defaults();
        let right = new_namespace().expect("a second namespace");
        set_ipv6_defaults();
        let ours = new_namespace().expect("a third namespace");
        set_ipv6_defaults();
        let bump = Self { outside, left, right, ours, _turn: turn };
        let pair = |near: &str, last: u8, far: [u8; 6], namespace: &File| {
            let ns = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
            let (own, far) = (mac([2, 0, 0, 0, 9, last]), mac(far));
            format!(
                "link add {near} address {own} numtxqueues {queues} numrxqueues {queues} type veth \
                   peer name {FAR} address {far} numtxqueues {queues} numrxqueues {queues} netns {ns}\n\
                 link set {near} addrgenmode none up\n"
            )
        };
        ip_batch(&pair(LEFT, 3, LEFT_MAC, &bump.left));
        ip_batch(&pair(RIGHT, 4, RIGHT_MAC, &bump.right));
        let host = |v4, v6| {
            ip_batch(&format!(
                "link set lo up\n\
                 link set {FAR} addrgenmode none up\n\
                 addr add {v4}/24 dev {FAR}\n\
                 addr add {v6}/64 dev {FAR} nodad\n"
            ));
            wait_for_links(&[FAR]);
        };
        bump.in_left(|| host(LEFT_IP, OUR_IP6));
        bump.in_right(|| host(RIGHT_IP, RIGHT_IP6));
        wait_for_carrier(&[LEFT, RIGHT]);
        Some(bump)
    }

    /// Calls `f` on a thread in the left host's namespace. What it opens there stays there.
    pub fn in_left<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        inside(self.left.as_fd(), f)
    }

    /// The same in the right host's.
    pub fn in_right<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        inside(self.right.as_fd(), f)
    }

    /// A descriptor of our namespace.
    pub fn ours(&self) -> OwnedFd {
        self.ours.as_fd().try_clone_to_owned().expect("a descriptor")
    }

    /// Moves our right interface to a namespace of its own, where nobody else is; returns that.
    pub fn part(&self) -> OwnedFd {
        let there = inside(self.ours.as_fd(), || new_namespace().expect("a fourth namespace"));
        let ns = format!("/proc/{}/fd/{}", std::process::id(), there.as_raw_fd());
        run(&format!("ip link set {RIGHT} netns {ns}"));
        inside(there.as_fd(), || {
            set_ipv6_defaults();
            ip_batch(&format!("link set {RIGHT} addrgenmode none up\n"));
            wait_for_carrier(&[RIGHT]);
        });
        self.in_right(|| wait_for_carrier(&[FAR]));
        there.into()
    }

    /// Calls `f` on a thread in a namespace where there is nothing.
    pub fn elsewhere<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        inside(self.ours.as_fd(), || {
            let _there = new_namespace().expect("a namespace");
            f()
        })
    }
}

/// How many want an interface of the calling thread's namespace to be promiscuous.
pub fn promiscuity(interface: &str) -> u32 {
    let told = run(&format!("ip -d link show dev {interface}"));
    let (_, rest) = told.split_once("promiscuity ").expect("ip -d tells it");
    rest.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number")
}

impl Drop for Bump {
    fn drop(&mut self) {
        if enter(self.outside.as_fd()).is_err() {
            // The thread ends with the test, and the namespace with it.
            eprintln!("lab: could not leave the namespace");
        }
    }
}
