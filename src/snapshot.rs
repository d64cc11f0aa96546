//! What a set of AF_XDP sockets looks like at one moment, whoever looks.
//!
//! ```text
//!   FluxRaw::debug_rings()            the owner's own view
//!   tools::rings  iter, pidfd, diag   another process's view, best first
//!                 sim                 the simulated kernel's view
//!                      └──────▶ RingsSnapshot ─▶ SocketSnapshot ─▶ RingSnapshot × 4
//! ```
//!
//! Invariant: what a source cannot know is `None`, never a guess.

use crate::ring::RingSnapshot;
use crate::stats::XdpStatistics;

/// Who looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The process that owns the sockets.
    Owner,
    /// A BPF iterator over the files of all tasks, inside the kernel.
    Iter,
    /// `pidfd_getfd(2)` and a read-only mapping of the rings.
    Pidfd,
    /// `sock_diag(7)`, `linux/xdp_diag.h`: configuration and counters, no ring indices.
    Diag,
    /// The simulated kernel.
    Sim,
}

impl Source {
    /// As in the output and in `--source`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Owner => "owner",
            Source::Iter => "iter",
            Source::Pidfd => "pidfd",
            Source::Diag => "diag",
            Source::Sim => "sim",
        }
    }
}

/// One look at AF_XDP sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingsSnapshot {
    /// Who looked.
    pub source: Source,
    /// Each socket once, whatever number of descriptors it has.
    pub sockets: Vec<SocketSnapshot>,
}

impl RingsSnapshot {
    /// Frames of the UMEM of `self.sockets[at]` that lie in none of the rings listed here: held
    /// by the application, free or not, and in zero-copy mode by the driver. The far indices move
    /// while one reads them, so it may be off by a batch, also below zero.
    ///
    /// `None` where the UMEM's size or one of its rings is not known.
    #[must_use]
    pub fn unaccounted(&self, at: usize) -> Option<i64> {
        let own = self.sockets.get(at)?;
        let frames = i64::from(own.umem.as_ref()?.frames?);
        let mut in_rings = 0i64;
        // Sockets that share a UMEM and a queue also share fill and completion ring.
        let mut pools: Vec<[Option<u32>; 3]> = Vec::new();
        let sharing = self.sockets.iter().enumerate().filter(|(other, socket)| {
            let ids = (own.umem_id(), socket.umem_id());
            *other == at || matches!(ids, (Some(ours), Some(theirs)) if ours == theirs)
        });
        for (_, socket) in sharing {
            // Interfaces of different namespaces may have the same index.
            let pool = [socket.netns, socket.ifindex, socket.queue];
            let first = socket.state != SocketState::Bound || !pools.contains(&pool);
            pools.push(pool);
            let shared = [&socket.fill, &socket.comp].into_iter().filter(|_| first);
            for ring in shared.chain([&socket.rx, &socket.tx]).flatten() {
                in_rings += i64::from(ring.used()?);
            }
        }
        Some(frames - in_rings)
    }

    /// This look together with another one at the same moment: the two halves of sockets become one,
    /// other sockets are added. For [`crate::FluxRx::debug_rings`] and the sender's, for several
    /// workers, and for several queues of mode C.
    #[must_use]
    pub fn join(mut self, other: RingsSnapshot) -> Self {
        for theirs in other.sockets {
            let half = self.sockets.iter_mut().find(|ours| {
                let same = |s: &SocketSnapshot| (s.interface.clone(), s.ifindex, s.queue);
                let lacks = |ours: &Option<RingSnapshot>, theirs: &Option<RingSnapshot>| {
                    ours.is_none() || theirs.is_none()
                };
                same(ours) == same(&theirs)
                    && lacks(&ours.rx, &theirs.rx)
                    && lacks(&ours.tx, &theirs.tx)
            });
            let Some(ours) = half else {
                self.sockets.push(theirs);
                continue;
            };
            ours.fill = ours.fill.or(theirs.fill);
            ours.rx = ours.rx.or(theirs.rx);
            ours.tx = ours.tx.or(theirs.tx);
            ours.comp = ours.comp.or(theirs.comp);
            ours.account = match (ours.account, theirs.account) {
                (Some(a), Some(b)) => Some(Account {
                    in_reception: a.in_reception + b.in_reception,
                    in_transmission: a.in_transmission + b.in_transmission,
                    invalid: a.invalid + b.invalid,
                    cached: a.cached + b.cached,
                }),
                (a, b) => a.or(b),
            };
        }
        self
    }

    /// Frames in none of these queues' rings, not on their way through the kernel and not free:
    /// held by the application, or by queues that share the UMEM and are not listed. Exact while
    /// nothing moves. `None` unless the owner looked.
    #[must_use]
    pub fn held(&self) -> Option<i64> {
        let umem = self.sockets.first()?.umem.as_ref()?;
        let mut held = i64::from(umem.frames?) - i64::from(umem.free?);
        for socket in &self.sockets {
            let account = socket.account?;
            let out = account.in_reception + account.in_transmission + account.cached;
            held -= i64::try_from(out).unwrap_or(i64::MAX);
        }
        Some(held)
    }
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Not bound yet.
    Ready,
    /// Bound to a queue.
    Bound,
    /// Its interface is gone.
    Unbound,
}

/// One AF_XDP socket: its rings, its counters, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSnapshot {
    /// When it was looked at: ns of `CLOCK_MONOTONIC`, or of virtual time.
    pub time_ns: u64,
    /// Inode number: the same socket has the same one in the next snapshot.
    pub inode: Option<u64>,
    /// Descriptors of it. Empty: not known, or on its way from one process to another.
    pub owners: Vec<Owner>,
    /// Inode number of its network namespace, as `ls -l /proc/PID/ns/net` shows it.
    pub netns: Option<u32>,
    /// Name of the interface.
    pub interface: Option<String>,
    /// Index of the interface.
    pub ifindex: Option<u32>,
    /// NIC queue number.
    pub queue: Option<u32>,
    /// How far it has come.
    pub state: SocketState,
    /// Whether frames are shared with the NIC instead of copied.
    pub zero_copy: Option<bool>,
    /// Whether it was bound with `XDP_USE_NEED_WAKEUP`. Without it the flags in the rings say
    /// nothing.
    pub uses_need_wakeup: Option<bool>,
    /// What else was asked for.
    pub options: SocketOptions,
    /// Where XSKMAPs hold it; empty: in none, so no XDP program can redirect to it.
    pub xskmaps: Option<Vec<XskMapSlot>>,
    /// Free frames offered to the kernel. Shared with the sockets on the same queue and UMEM.
    pub fill: Option<RingSnapshot>,
    /// Received packets; `None` also where the socket has no such ring.
    pub rx: Option<RingSnapshot>,
    /// Packets to send; `None` also where the socket has no such ring.
    pub tx: Option<RingSnapshot>,
    /// Frames of sent packets. Shared like the fill ring.
    pub comp: Option<RingSnapshot>,
    /// The kernel's counters.
    pub stats: Option<XdpStatistics>,
    /// The packet memory.
    pub umem: Option<UmemSnapshot>,
    /// What the owner alone can tell.
    pub account: Option<Account>,
}

impl SocketSnapshot {
    /// Of which all is unknown but when it was looked at, and that it is there.
    #[must_use]
    pub fn unknown(time_ns: u64) -> Self {
        Self {
            time_ns,
            inode: None,
            owners: Vec::new(),
            netns: None,
            interface: None,
            ifindex: None,
            queue: None,
            state: SocketState::Ready,
            zero_copy: None,
            uses_need_wakeup: None,
            options: SocketOptions::default(),
            xskmaps: None,
            fill: None,
            rx: None,
            tx: None,
            comp: None,
            stats: None,
            umem: None,
            account: None,
        }
    }

    /// Number of the UMEM, where the source tells UMEMs apart.
    #[must_use]
    pub fn umem_id(&self) -> Option<u32> {
        self.umem.as_ref()?.id
    }
}

/// A process and the descriptor that it has a socket under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Process id, in our pid namespace.
    pub pid: u32,
    /// Descriptor number.
    pub fd: i32,
    /// Command name, at most 15 bytes (`/proc/PID/comm`).
    pub comm: String,
}

/// Options of a socket; `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// `XDP_USE_SG`: packets of several frames.
    pub multi_buffer: Option<bool>,
    /// `SO_PREFER_BUSY_POLL`.
    pub prefer_busy_poll: Option<bool>,
    /// `SO_BUSY_POLL`, in µs; 0 is off.
    pub busy_poll_us: Option<u32>,
    /// `SO_BUSY_POLL_BUDGET`, packets.
    pub busy_poll_budget: Option<u32>,
    /// `XDP_MAX_TX_SKB_BUDGET`: packets that one `sendto(2)` sends in copy mode.
    pub tx_budget: Option<u32>,
    /// Bytes of TX metadata in front of each packet; 0 is none.
    pub tx_metadata_len: Option<u32>,
}

/// A place in an XSKMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XskMapSlot {
    /// Id of the map, as `bpftool map` shows it.
    pub map: u32,
    /// Key in it.
    pub key: u32,
}

/// The packet memory of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UmemSnapshot {
    /// The kernel's number for it: sockets with the same one share it.
    pub id: Option<u32>,
    /// Bytes.
    pub size_bytes: Option<u64>,
    /// Frames.
    pub frames: Option<u32>,
    /// Bytes per frame (chunk).
    pub frame_size: Option<u32>,
    /// Bytes that were asked to stay free in front of each packet.
    pub headroom: Option<u32>,
    /// Sockets that use it.
    pub users: Option<u32>,
    /// `XDP_UMEM_UNALIGNED_CHUNK_FLAG`.
    pub unaligned: Option<bool>,
    /// Frames in the owner's free list.
    pub free: Option<u32>,
}

/// What the owner alone can tell of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Frames posted for reception and not yet received: in the fill ring, the kernel, or the RX
    /// ring.
    pub in_reception: u64,
    /// Descriptors posted for transmission and not yet completed.
    pub in_transmission: u64,
    /// Descriptors from the other side that named no frame of ours.
    pub invalid: u64,
    /// Free frames in the cache of the worker that the queue belongs to; told with its first queue.
    pub cached: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(used: u32) -> Option<RingSnapshot> {
        // The indices wrap in between.
        let consumer = u32::MAX - used / 2;
        Some(RingSnapshot {
            size: Some(2048),
            producer: Some(consumer.wrapping_add(used)),
            consumer: Some(consumer),
            ..RingSnapshot::default()
        })
    }

    fn socket(umem: u32, queue: u32, used: [u32; 4]) -> SocketSnapshot {
        let [fill, rx, tx, comp] = used.map(ring);
        SocketSnapshot {
            queue: Some(queue),
            ifindex: Some(2),
            state: SocketState::Bound,
            umem: Some(UmemSnapshot {
                id: Some(umem),
                frames: Some(4096),
                ..UmemSnapshot::default()
            }),
            fill,
            rx,
            tx,
            comp,
            ..SocketSnapshot::unknown(0)
        }
    }

    fn snapshot(sockets: Vec<SocketSnapshot>) -> RingsSnapshot {
        RingsSnapshot { source: Source::Iter, sockets }
    }

    #[test]
    fn frames_in_no_ring_are_counted_over_all_sockets_of_a_umem() {
        let rings = snapshot(vec![
            socket(1, 0, [1000, 10, 20, 30]),
            socket(1, 1, [500, 1, 2, 3]),
            socket(2, 2, [4096, 0, 0, 0]),
        ]);
        assert_eq!(rings.unaccounted(0), Some(4096 - 1060 - 506));
        assert_eq!(rings.unaccounted(1), rings.unaccounted(0));
        assert_eq!(rings.unaccounted(2), Some(0));
        assert_eq!(rings.unaccounted(3), None);
    }

    #[test]
    fn a_fill_ring_shared_on_one_queue_counts_once() {
        let shared = socket(1, 0, [1000, 10, 0, 30]);
        let rings = snapshot(vec![shared.clone(), SocketSnapshot { rx: ring(5), ..shared }]);
        assert_eq!(rings.unaccounted(0), Some(4096 - 1040 - 5));
    }

    #[test]
    fn fill_rings_of_one_index_in_two_namespaces_count_both() {
        let inside =
            |netns| SocketSnapshot { netns: Some(netns), ..socket(1, 0, [1000, 10, 0, 30]) };
        assert_eq!(snapshot(vec![inside(7), inside(8)]).unaccounted(0), Some(4096 - 2 * 1040));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let mut one = socket(1, 0, [1, 1, 1, 1]);
        one.rx = Some(RingSnapshot { size: Some(64), ..RingSnapshot::default() });
        assert_eq!(snapshot(vec![one.clone()]).unaccounted(0), None);
        one.rx = None; // no such ring
        assert_eq!(snapshot(vec![one.clone()]).unaccounted(0), Some(4093));
        one.umem = None;
        assert_eq!(snapshot(vec![one]).unaccounted(0), None);
        // Without a number two UMEMs are not known to be the same.
        let mut other = socket(1, 1, [1, 1, 1, 1]);
        other.umem.as_mut().unwrap().id = None;
        assert_eq!(snapshot(vec![other.clone(), other]).unaccounted(0), Some(4092));
    }
}
