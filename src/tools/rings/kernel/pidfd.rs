//! [`PidfdSockets`]: each socket is taken from its owner for a moment, and its rings are mapped
//! read-only.
//!
//! ```text
//!   /proc walk ─▶ pidfd_getfd(2) ─▶ options, counters, index words ─▶ closed again
//!                      └─▶ its namespace ─▶ queues that have sockets ─▶ place
//! ```
//!
//! Invariant: no descriptor and no mapping outlives a look. The socket would stay bound after its
//! owner's death, and the owner's successor would find the queue taken.

use super::place::{self, Namespace, Placed, Queues};
use super::walk;
use super::{Missing, Scan, Sockets, Unseen};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::ring::RingSnapshot;
use crate::snapshot::{Owner, SocketOptions, SocketSnapshot, SocketState};
use crate::stats::XdpStatistics;
use crate::sys::clock::monotonic_ns;
use crate::sys::foreign::{ForeignSocket, Process};
use crate::sys::if_xdp::Ring;
use crate::sys::netns::NetNs;
use crate::tools::host::genl;
use std::collections::{BTreeMap, HashMap};
use std::io;

const RINGS: [Ring; 4] = [Ring::Rx, Ring::Tx, Ring::Fill, Ring::Comp];

/// First kernel of which it was seen that it maps the rings of bound sockets, and shows whether
/// one is bound.
const TELLS_BOUND: (u32, u32) = (6, 12);

/// Looks at sockets by taking them from their owners.
pub(super) struct PidfdSockets {
    /// Sizes of rings do not change; by inode number of the socket.
    sizes: HashMap<u64, [Option<Option<u32>>; 4]>,
    /// Whether this kernel shows which sockets are bound.
    tells_bound: bool,
}

impl PidfdSockets {
    /// # Errors
    /// When this kernel, or what confines us, has no `pidfd_getfd(2)`, or there is no `/proc`.
    pub(super) fn open() -> Result<Self> {
        Process::try_on_ourselves().map_err(|error| {
            let hint = match error.raw_os_error() {
                Some(libc::ENOSYS) => "pidfd_getfd(2) needs Linux 5.6",
                _ => "a seccomp filter may forbid pidfd_getfd(2), as those of containers do",
            };
            FluxError::new(
                ErrorKind::Unsupported,
                "cannot take sockets from their owners",
                errno_text(&error),
            )
            .with_hint(hint)
            .with_source(error)
        })?;
        let release =
            std::fs::read_to_string("/proc/sys/kernel/osrelease").map_err(walk::no_proc)?;
        let tells_bound = version(&release).is_some_and(|version| version >= TELLS_BOUND);
        Ok(Self { sizes: HashMap::new(), tells_bound })
    }

    /// The socket and its namespace. `Ok(None)` when it is gone.
    fn look_at(&mut self, inode: u64, owners: &[Owner]) -> io::Result<Option<Seen>> {
        let mut refusal = None;
        for owner in owners {
            let taken = Process::open(owner.pid).and_then(|owned| owned.socket(owner.fd, inode));
            match taken {
                Ok(socket) => return Ok(Some(self.read(inode, &socket))),
                Err(error) if walk::is_refusal(&error) => refusal = Some(error),
                Err(_) => {} // the process is gone, or has closed it
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    fn read(&mut self, inode: u64, socket: &ForeignSocket) -> Seen {
        let stats = socket.statistics().ok().map(XdpStatistics::from);
        let rings = self.rings(inode, socket);
        let refused = matches!(&rings, Err(error) if error.raw_os_error() == Some(libc::EBUSY));
        let (time_ns, [rx, tx, fill, comp]) =
            rings.unwrap_or_else(|_| (monotonic_ns(), [UNSEEN; 4]));
        // What the kernel alone moves, and only once the socket is bound.
        let moved = [
            rx.and_then(|ring| ring.producer),
            tx.and_then(|ring| ring.consumer),
            fill.and_then(|ring| ring.consumer),
            comp.and_then(|ring| ring.producer),
        ];
        let used = moved.iter().flatten().any(|&index| index != 0)
            || stats.is_some_and(|stats| stats != XdpStatistics::default());
        let told = if self.tells_bound { socket.is_bound() } else { None };
        let (state, unsure) = match told {
            Some(true) => (SocketState::Bound, false),
            _ if refused && self.tells_bound => (SocketState::Unbound, false),
            Some(false) => (SocketState::Ready, false),
            None if used || refused => (SocketState::Bound, false),
            None => (SocketState::Ready, true),
        };
        let asks = fill.and_then(|fill| fill.need_wakeup()).unwrap_or(false);
        let snapshot = SocketSnapshot {
            inode: Some(inode),
            state,
            zero_copy: socket.is_zero_copy().ok(),
            // Drivers set this flag only where it is in use. That of TX is always set in copy
            // mode, and means nothing.
            uses_need_wakeup: asks.then_some(true),
            options: SocketOptions {
                prefer_busy_poll: socket.prefers_busy_poll().ok(),
                busy_poll_us: socket.busy_poll_us().ok(),
                ..SocketOptions::default()
            },
            fill,
            rx,
            tx,
            comp,
            stats,
            ..SocketSnapshot::unknown(time_ns)
        };
        Seen { snapshot, unsure, netns: socket.netns().ok() }
    }

    /// The four rings, and when they were read; those that the socket does not have are `None`.
    fn rings(
        &mut self,
        inode: u64,
        socket: &ForeignSocket,
    ) -> io::Result<(u64, [Option<RingSnapshot>; 4])> {
        let offsets = socket.mmap_offsets()?;
        let view = |ring| match socket.ring(ring, &offsets) {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
            Err(error) => Err(error),
        };
        let [rx, tx, fill, comp] = RINGS.map(view);
        let views = [rx?, tx?, fill?, comp?];
        let time_ns = monotonic_ns();
        let mut rings = views.each_ref().map(|view| {
            let words = view.as_ref()?.read();
            Some(RingSnapshot {
                producer: Some(words.producer),
                consumer: Some(words.consumer),
                flags: Some(words.flags),
                ..RingSnapshot::default()
            })
        });
        let sizes = self.sizes.entry(inode).or_default();
        for ((ring, which), size) in rings.iter_mut().zip(RINGS).zip(sizes) {
            let Some(ring) = ring else { continue };
            ring.size = *size.get_or_insert_with(|| socket.entries(which, &offsets));
        }
        Ok((time_ns, rings))
    }
}

/// A ring that there may be.
const UNSEEN: Option<RingSnapshot> = None;

/// Major and minor number of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A socket that was looked at.
struct Seen {
    snapshot: SocketSnapshot,
    /// Whether it may be bound although it does not say so.
    unsure: bool,
    netns: Option<NetNs>,
}

impl Sockets for PidfdSockets {
    fn scan(&mut self) -> Result<Scan> {
        let walk = walk::walk().map_err(walk::no_proc)?;
        let mut missing = walk.missing();
        let mut complete = walk.is_complete();
        let mut seen = Vec::new();
        let mut namespaces: BTreeMap<u32, (Namespace, Vec<usize>)> = BTreeMap::new();
        let ours = NetNs::current().and_then(|netns| netns.inode()).unwrap_or(0);
        for (inode, owners) in walk.sockets {
            let mut one = match self.look_at(inode, &owners) {
                Ok(Some(one)) => one,
                Ok(None) => continue,
                Err(_) => {
                    missing.push(not_taken(&owners));
                    Seen::from_afar(inode)
                }
            };
            // A process can leave the namespace of its sockets, but few do.
            let netns = one.netns.take().map_or_else(
                || owners.first().map_or_else(NetNs::current, |owner| NetNs::of_process(owner.pid)),
                Ok,
            );
            match netns.and_then(|netns| Namespace::new(netns, ours)) {
                Ok(namespace) => {
                    one.snapshot.netns = Some(namespace.inode);
                    let found = namespaces.entry(namespace.inode);
                    found.or_insert_with(|| (namespace, Vec::new())).1.push(seen.len());
                }
                // It may be in any of them.
                Err(_) => complete = false,
            }
            one.snapshot.owners = owners;
            seen.push(one);
        }
        for (namespace, members) in namespaces.into_values() {
            if let Err(error) = settle(&namespace, complete, &members, &mut seen) {
                missing.push(place::not_entered(namespace.inode, &error));
            }
        }
        let sockets: Vec<_> = seen.into_iter().map(|one| one.snapshot).collect();
        self.sizes.retain(|inode, _| sockets.iter().any(|socket| socket.inode == Some(*inode)));
        Ok(Scan { sockets, missing, ..Scan::default() })
    }
}

impl Seen {
    /// One that may not be taken.
    fn from_afar(inode: u64) -> Self {
        let unknown = SocketSnapshot::unknown(monotonic_ns());
        let snapshot = SocketSnapshot { inode: Some(inode), ..unknown };
        Self { snapshot, unsure: true, netns: None }
    }
}

/// Says where the sockets of a namespace are bound.
fn settle(
    namespace: &Namespace,
    complete: bool,
    members: &[usize],
    seen: &mut [Seen],
) -> io::Result<()> {
    let (queues, names) = namespace.inside(|| {
        // Kernels that do not tell leave the places unknown.
        let queues = genl::xsk_queues(None).unwrap_or_default();
        let names = place::names(queues.iter().map(|&(ifindex, _)| ifindex));
        Ok((queues, names))
    })?;
    let inside = seen.iter_mut().enumerate().filter(|(at, _)| members.contains(at));
    let mut placed: Vec<_> =
        inside.map(|(_, one)| Placed { socket: &mut one.snapshot, unsure: one.unsure }).collect();
    Queues { queues: &queues, complete }.assign(&mut placed);
    for Placed { socket, .. } in placed {
        socket.interface = socket.ifindex.and_then(|ifindex| names.get(&ifindex).cloned());
    }
    Ok(())
}

fn not_taken(owners: &[Owner]) -> Missing {
    let whose = owners.first().map_or_else(String::new, |owner| {
        format!(" of {} (pid {}, fd {})", owner.comm, owner.pid, owner.fd)
    });
    let text = format!("the socket{whose} could not be looked at: {}", walk::why_refused());
    let pids = owners.iter().map(|owner| owner.pid).collect();
    Missing { text, unseen: Unseen::Processes(pids) }
}

#[cfg(test)]
mod tests;
