//! A network of our own to measure on, and what sends in it.
//!
//! ```text
//!        namespace ours                         namespace peer
//!   ┌───────────────────────┐    veth    ┌──────────────────────────────────┐
//!   │ sockets ── flux0 ◀────┼────────────┼── flux1 ◀── Source: live frames  │
//!   │            N queues   │            │  N queues   PacedSource: AF_XDP  │
//!   │         ── flux2 ─────┼────────────┼──▶ flux3    (workload forward)   │
//!   └───────────────────────┘            └──────────────────────────────────┘
//! ```
//!
//! The second pair is there when two are asked for. Packets at its far end are for another Ethernet
//! address, as is what is sent back on the first: the stack there counts it and drops it at once.
//!
//! Invariant: nothing moves on the pair but what a source or the measured socket sends (no
//! addresses, no autoconfiguration), and nothing outlives the process: the namespaces have no
//! name, so they go with their last descriptor, thread and socket, also after SIGKILL.
//! A source on CPU c feeds queue c mod N of our end, and the kernel does our end's share of
//! receiving on that CPU, too.

use super::frame;
use crate::error::{ErrorKind, FluxError, Op, Result, errno_text};
use crate::sys::affinity;
use crate::sys::netns::NetNs;
use crate::tools::host::veth::{self, End, EndSpec, LinkStats};
use std::io;

/// Names of the two ends.
pub(super) const OURS: &str = "flux0";
pub(super) const PEER: &str = "flux1";
/// Of the second pair.
const OUT: &str = "flux2";
const SINK: &str = "flux3";

/// As many as the kernel gives an interface.
pub(super) const MOST_QUEUES: u32 = 4096;

/// Two namespaces and the veth pair between them, or two pairs.
pub struct Lab {
    pub(super) ours: NetNs,
    pub(super) peer: NetNs,
    pub(super) our_end: End,
    pub(super) peer_end: End,
    /// Our end of the second pair.
    out_end: Option<End>,
    pub(super) queues: u32,
}

impl Lab {
    /// A pair with `queues` queues on each end. The calling thread stays in its own namespace;
    /// whoever opens a socket on [`Lab::ours`] calls [`Lab::enter_ours`] first.
    ///
    /// # Errors
    /// For 0 queues or more than 4096, without CAP_SYS_ADMIN (namespaces) or CAP_NET_ADMIN
    /// (interfaces), and when the kernel has no veth.
    pub fn open(queues: u32) -> Result<Self> {
        if !(1..=MOST_QUEUES).contains(&queues) {
            return Err(FluxError::config(
                format!("{queues} queues"),
                format!("a veth pair has 1 to {MOST_QUEUES}"),
            ));
        }
        let namespace = || NetNs::create().map_err(|error| refused("a network namespace", error));
        let (ours, peer) = (namespace()?, namespace()?);
        let (our_end, peer_end) = veth::pair(
            queues,
            EndSpec { namespace: &ours, name: OURS, mac: frame::OUR_MAC },
            EndSpec { namespace: &peer, name: PEER, mac: frame::PEER_MAC },
        )
        .map_err(|error| refused(&format!("a veth pair with {queues} queues"), error))?;
        Ok(Self { ours, peer, our_end, peer_end, out_end: None, queues })
    }

    /// The same with a second pair, whose near end is [`Lab::out`].
    ///
    /// # Errors
    /// As [`Lab::open`].
    pub fn open_two(queues: u32) -> Result<Self> {
        let mut lab = Self::open(queues)?;
        let (out_end, _) = veth::pair(
            queues,
            EndSpec { namespace: &lab.ours, name: OUT, mac: frame::OUT_MAC },
            EndSpec { namespace: &lab.peer, name: SINK, mac: frame::SINK_MAC },
        )
        .map_err(|error| refused("a second veth pair", error))?;
        lab.out_end = Some(out_end);
        Ok(lab)
    }

    /// The name of our end.
    #[must_use]
    pub fn ours(&self) -> &str {
        OURS
    }

    /// The name of our end of the second pair, if the lab has one.
    #[must_use]
    pub fn out(&self) -> &str {
        OUT
    }

    /// The name of the far end of the second pair, if the lab has one.
    #[must_use]
    pub fn sink(&self) -> &str {
        SINK
    }

    /// Queues of each end.
    #[must_use]
    pub fn queues(&self) -> u32 {
        self.queues
    }

    /// The queue of our end that a source on `cpu` feeds.
    #[must_use]
    pub fn queue_of(&self, cpu: usize) -> u32 {
        (cpu % self.queues as usize) as u32
    }

    /// Moves the calling thread into the namespace of our end, for good. It keeps the lab alive.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN.
    pub fn enter_ours(&self) -> Result<()> {
        self.ours.enter().map_err(entering)
    }

    /// The same for the far ends.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN.
    pub fn enter_peer(&self) -> Result<()> {
        self.peer.enter().map_err(entering)
    }

    /// What our end has counted: `rx_packets` is what its XDP program saw, `tx_packets` what was
    /// sent from here.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn our_stats(&self) -> Result<LinkStats> {
        self.our_end.stats().map_err(|error| FluxError::os(Op::Netdev, OURS, error))
    }

    /// What our end of the second pair has counted: `tx_packets` is what was forwarded.
    ///
    /// # Errors
    /// When the kernel does not answer, or the lab has one pair.
    pub fn out_stats(&self) -> Result<LinkStats> {
        let gone = || io::Error::from_raw_os_error(libc::ENODEV);
        let stats = self.out_end.as_ref().ok_or_else(gone).and_then(End::stats);
        stats.map_err(|error| FluxError::os(Op::Netdev, OUT, error))
    }

    /// What the far end has counted: `rx_packets` is what reached it. Of the frames that a
    /// [`Source`] sent while a socket was open, each is in `tx_packets` or in `tx_dropped`; without
    /// an XDP program on our end the kernel drops them uncounted.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn peer_stats(&self) -> Result<LinkStats> {
        self.peer_end.stats().map_err(|error| FluxError::os(Op::Netdev, PEER, error))
    }
}

fn refused(what: &str, error: io::Error) -> FluxError {
    let (kind, hint) = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => (
            ErrorKind::Permission,
            "CAP_SYS_ADMIN (network namespaces) or CAP_NET_ADMIN (interfaces) is missing: run as \
             root; --sim needs none",
        ),
        Some(libc::EOPNOTSUPP) => (
            ErrorKind::Unsupported,
            "this kernel has no veth (CONFIG_VETH): name an interface, or use --sim",
        ),
        Some(libc::EINVAL) => (
            ErrorKind::Unsupported,
            "this kernel has no network namespaces (CONFIG_NET_NS): name an interface, or use --sim",
        ),
        Some(libc::ENOSPC) => (
            ErrorKind::System,
            "too many network namespaces: raise /proc/sys/user/max_net_namespaces",
        ),
        _ => (ErrorKind::System, "name an interface to measure on, or use --sim"),
    };
    FluxError::new(kind, format!("cannot make {what}"), errno_text(&error))
        .with_hint(hint)
        .with_source(error)
}

pub(super) fn entering(error: io::Error) -> FluxError {
    refused("a thread in a network namespace of our own", error)
}

/// Keeps the calling thread on `cpu`.
///
/// # Errors
/// When the machine has no such CPU, or not for us.
pub fn pin(cpu: usize) -> Result<()> {
    affinity::pin(cpu).map_err(|error| {
        let ours = affinity::allowed().unwrap_or_default();
        FluxError::config(format!("CPU {cpu}"), errno_text(&error))
            .with_hint(format!("this process may run on CPUs {ours:?}"))
            .with_source(error)
    })
}
