//! The only system calls: AF_XDP sockets, mappings, interfaces, the clock, libbpf.
//!
//! ```text
//!   if_xdp     what linux/if_xdp.h says              netdev, ethtool   what an interface is
//!   xsk        one AF_XDP socket                     poll, clock       waiting and time
//!   mapping    memory: UMEM and rings                bpf, skel, libbpf programs, maps and links
//!   netns      namespaces without a name             affinity          which CPU a thread runs on
//!   usage      CPU time of a thread                  perf              its cycles, instructions
//!   rings_iter every AF_XDP socket of the machine    foreign           one, from its owner
//!   caps       what a thread may do                  resolver          names of addresses
//!   rights     why it may not
//!   promisc    what a NIC lets through               link_watch        what happens to an interface
//!   event      waking who polls                      process           whose a process is
//!   unix       connecting to a unix socket           port              ports without a listener
//!   raw        hearing packets of the stack
//!   unix       connecting to a unix socket           links             interfaces and their programs
//! ```
//!
//! Invariant: everything here is safe to call; what the kernel writes is checked before it is
//! used. Interfaces are looked up in the network namespace of the calling thread.
//! Callers: `umem::region`, `backend`, `tools`.

#[cfg(feature = "bpf")]
pub(crate) mod affinity;
#[cfg(feature = "bpf")]
pub(crate) mod bpf;
#[cfg(feature = "bpf")]
pub(crate) mod caps;
#[cfg(feature = "bpf")]
pub(crate) mod clock;
#[cfg(any(feature = "bpf", feature = "tools"))]
pub(crate) mod ethtool;
#[cfg(feature = "bpf")]
pub(crate) mod event;
#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) mod foreign;
#[cfg(feature = "bpf")]
pub(crate) mod hugepages;
#[cfg(feature = "bpf")]
pub(crate) mod if_xdp;
#[cfg(feature = "bpf")]
pub(crate) mod libbpf;
#[cfg(feature = "bpf")]
pub(crate) mod link_watch;
#[cfg(feature = "bpf")]
pub(crate) mod links;
#[cfg(feature = "bpf")]
pub(crate) mod mapping;
#[cfg(feature = "bpf")]
pub(crate) mod netdev;
#[cfg(feature = "bpf")]
pub(crate) mod netns;
#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) mod perf;
#[cfg(any(feature = "bpf", feature = "tools"))]
pub(crate) mod poll;
#[cfg(all(target_os = "linux", feature = "tools"))]
pub(crate) mod port;
#[cfg(feature = "tools")]
pub(crate) mod process;
#[cfg(feature = "bpf")]
pub(crate) mod promisc;
#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) mod raw;
#[cfg(all(unix, feature = "tools"))]
pub(crate) mod resolver;
#[cfg(feature = "bpf")]
pub(crate) mod rights;
#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) mod rings_iter;
#[cfg(feature = "bpf")]
mod rtnetlink;
#[cfg(feature = "bpf")]
pub(crate) mod skel;
#[cfg(feature = "tools")]
pub(crate) mod unix;
#[cfg(all(feature = "bpf", feature = "tools"))]
pub(crate) mod usage;
#[cfg(feature = "bpf")]
pub(crate) mod xsk;

#[cfg(any(feature = "bpf", feature = "tools"))]
use std::io;

/// A system call's result: negative is errno.
#[cfg(any(feature = "bpf", feature = "tools"))]
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
