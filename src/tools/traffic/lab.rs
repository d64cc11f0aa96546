//! [`Lab`]: a network of our own to measure on.
//!
//! ```text
//!        namespace ours                         namespace peer
//!   ┌───────────────────────┐    veth    ┌───────────────────────────────────┐
//!   │ sockets ── flux0 ◀────┼────────────┼── flux1 ◀── LiveSource: in XDP    │
//!   │            N queues   │            │  N queues   PacedSource: AF_XDP   │
//!   │         ── flux2 ─────┼────────────┼──▶ flux3    (workload forward)    │
//!   └───────────────────────┘            └───────────────────────────────────┘
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

use super::egress::{Egress, entering, refused};
use super::rfc2544;
use crate::error::{FluxError, Op, Result};
use crate::sys::netns::NetNs;
use crate::tools::host::veth::{self, End, EndSpec, LinkStats};
use std::io;

/// Names of the two ends.
const OURS: &str = "flux0";
const PEER: &str = "flux1";
/// Of the second pair.
const OUT: &str = "flux2";
const SINK: &str = "flux3";

/// As many as the kernel gives an interface.
pub(super) const MOST_QUEUES: u32 = 4096;

/// Two namespaces and the veth pair between them, or two pairs.
pub struct Lab {
    ours: NetNs,
    peer: NetNs,
    our_end: End,
    peer_end: End,
    /// Our end of the second pair.
    out_end: Option<End>,
    queues: u32,
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
            EndSpec { namespace: &ours, name: OURS, mac: rfc2544::OUR_MAC },
            EndSpec { namespace: &peer, name: PEER, mac: rfc2544::PEER_MAC },
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
            EndSpec { namespace: &lab.ours, name: OUT, mac: rfc2544::OUT_MAC },
            EndSpec { namespace: &lab.peer, name: SINK, mac: rfc2544::SINK_MAC },
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

    /// Where a source sends to our end, on `cpu`.
    ///
    /// # Errors
    /// When this process has no descriptor left.
    pub fn egress(&self, cpu: usize) -> Result<Egress> {
        Ok(Egress {
            namespace: self.peer.try_clone().map_err(entering)?,
            interface: PEER,
            index: self.peer_end.index(),
            queue: self.queue_of(cpu),
            cpu,
        })
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
    /// [`LiveSource`](super::LiveSource) sent while a socket was open, each is in `tx_packets` or in `tx_dropped`; without
    /// an XDP program on our end the kernel drops them uncounted.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn peer_stats(&self) -> Result<LinkStats> {
        self.peer_end.stats().map_err(|error| FluxError::os(Op::Netdev, PEER, error))
    }
}
