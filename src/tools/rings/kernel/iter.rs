//! Source 1: a BPF iterator over the open files of all tasks (`bpf/rings.bpf.c`).

use super::Sockets;
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::ring::RingSnapshot;
use crate::snapshot::{
    Owner, SocketOptions, SocketSnapshot, SocketState, UmemSnapshot, XskMapSlot,
};
use crate::stats::XdpStatistics;
use crate::sys::libbpf::Refused;
use crate::sys::rights::{FOR_ITERATORS, Rights};
use crate::sys::rings_iter::{Record, Ring, RingsIter, known};
use crate::tools::rings::observe::{Missing, Scan, Unseen};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MORE_FILES: &str = "raise the limit of open files: `ulimit -n 1024`";

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// `PROC_PID_INIT_INO` of the kernel: the pid namespace that all others are in.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// `XDP_UMEM_UNALIGNED_CHUNK_FLAG`.
const UNALIGNED: u32 = 1;

/// The loaded iterator.
pub(super) struct IterSockets {
    iter: RingsIter,
    /// Why what it sees may not be all.
    missing: Vec<Missing>,
}

impl IterSockets {
    /// Loads it.
    ///
    /// # Errors
    /// When a capability, the kernel's type information or the iterator is missing.
    pub(super) fn open() -> Result<Self> {
        let iter = RingsIter::load().map_err(refused)?;
        let inside = fs::read_link("/proc/self/ns/pid")
            .is_ok_and(|name| name.as_os_str() != FIRST_PID_NAMESPACE);
        let missing = inside.then(|| Missing {
            text:
                "processes outside this pid namespace are not seen: run flux outside the container"
                    .into(),
            unseen: Unseen::Outside,
        });
        Ok(Self { iter, missing: missing.into_iter().collect() })
    }
}

impl Sockets for IterSockets {
    fn scan(&mut self) -> Result<Scan> {
        let records = self.iter.records().map_err(|error| {
            let what = "cannot look at AF_XDP sockets by BPF iterator";
            let failed = FluxError::new(ErrorKind::System, what, errno_text(&error));
            let failed = match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => failed.with_hint(MORE_FILES),
                _ => failed,
            };
            failed.with_source(error)
        })?;
        let missing = self.missing.clone();
        Ok(Scan { sockets: sockets(&records), missing, ..Scan::default() })
    }
}

/// Why the iterator could not be loaded, and what would help.
fn refused(refused: Refused) -> FluxError {
    let Refused { source, said } = refused;
    let (kind, cause, hint) = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let (cause, hint) = Rights::now().explain(FOR_ITERATORS);
            (ErrorKind::Permission, cause, hint)
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            (ErrorKind::System, errno_text(&source), MORE_FILES.into())
        }
        Some(libc::ENOMEM) => (
            ErrorKind::System,
            errno_text(&source),
            "free some memory; before Linux 5.11 programs count as locked memory: `ulimit -l \
             unlimited` as root"
                .into(),
        ),
        Some(libc::ESRCH) => {
            let (cause, hint) = nothing_there(Path::new(BTF).exists());
            (ErrorKind::Unsupported, cause.into(), hint.into())
        }
        _ => (
            ErrorKind::Unsupported,
            if said.is_empty() { errno_text(&source) } else { said },
            "it needs Linux 5.10 or later with AF_XDP and type information (BTF); --source pidfd \
             needs neither"
                .into(),
        ),
    };
    FluxError::new(kind, "cannot load the BPF iterator over open files", cause)
        .with_hint(hint)
        .with_source(source)
}

/// Cause and hint of an ESRCH.
fn nothing_there(btf: bool) -> (&'static str, &'static str) {
    if btf {
        ("the kernel has no such iterator", "it needs Linux 5.10 or later; try --source pidfd")
    } else {
        (
            "the kernel has no type information (no /sys/kernel/btf/vmlinux)",
            "it needs a kernel with CONFIG_DEBUG_INFO_BTF; --source pidfd works without",
        )
    }
}

/// Each socket once, in the order of inode numbers, with all its descriptors.
fn sockets(records: &[Record]) -> Vec<SocketSnapshot> {
    let mut by_inode: BTreeMap<u64, SocketSnapshot> = BTreeMap::new();
    for record in records {
        let mut now = snapshot(record);
        if let Some(before) = by_inode.remove(&record.inode) {
            now.owners.extend(before.owners);
        }
        // A process id of 0: the process is just ending. Threads can have tables of descriptors
        // of their own with the same numbers.
        if record.pid != 0 {
            now.owners.push(Owner { pid: record.pid, fd: record.fd, comm: record.comm.clone() });
        }
        now.owners.sort();
        now.owners.dedup();
        by_inode.insert(record.inode, now);
    }
    by_inode.into_values().collect()
}

fn snapshot(record: &Record) -> SocketSnapshot {
    let state = match record.state {
        1 => SocketState::Bound,
        2 => SocketState::Unbound,
        _ => SocketState::Ready,
    };
    let bound = state == SocketState::Bound;
    let was_bound = state != SocketState::Ready;
    SocketSnapshot {
        inode: Some(record.inode),
        netns: Some(record.netns),
        interface: bound.then(|| record.ifname.clone()),
        ifindex: bound.then_some(record.ifindex),
        queue: was_bound.then_some(record.queue),
        state,
        zero_copy: was_bound.then_some(record.zero_copy),
        uses_need_wakeup: record.knows(known::NEED_WAKEUP).then_some(record.uses_need_wakeup),
        options: options(record),
        xskmaps: record
            .knows(known::MAPS)
            .then(|| record.maps.iter().map(|&(map, key)| XskMapSlot { map, key }).collect()),
        fill: record.fill.map(ring),
        rx: record.rx.map(ring),
        tx: record.tx.map(ring),
        comp: record.comp.map(ring),
        stats: record.knows(known::COUNTERS).then(|| stats(record)),
        umem: record.knows(known::UMEM).then(|| umem(record)),
        ..SocketSnapshot::unknown(record.time_ns)
    }
}

fn options(record: &Record) -> SocketOptions {
    SocketOptions {
        multi_buffer: record.knows(known::SG).then_some(record.sg),
        prefer_busy_poll: record.knows(known::PREFER_BUSY_POLL).then_some(record.prefer_busy_poll),
        busy_poll_us: record.knows(known::BUSY_POLL_US).then_some(record.busy_poll_us),
        busy_poll_budget: record.knows(known::BUSY_POLL_BUDGET).then_some(record.busy_poll_budget),
        tx_budget: record.knows(known::TX_BUDGET).then_some(record.tx_budget),
        tx_metadata_len: record.knows(known::TX_METADATA).then_some(record.tx_metadata),
    }
}

fn ring(ring: Ring) -> RingSnapshot {
    RingSnapshot {
        size: Some(ring.size),
        producer: Some(ring.producer),
        consumer: Some(ring.consumer),
        cached_producer: Some(ring.cached_prod),
        cached_consumer: Some(ring.cached_cons),
        flags: Some(ring.flags),
    }
}

fn stats(record: &Record) -> XdpStatistics {
    let [rx_dropped, rx_invalid_descs, tx_invalid_descs, rx_full, fill_empty, tx_empty] =
        record.counters;
    XdpStatistics {
        rx_dropped,
        rx_invalid_descs,
        tx_invalid_descs,
        rx_ring_full: rx_full,
        rx_fill_ring_empty_descs: fill_empty,
        tx_ring_empty_descs: tx_empty,
    }
}

fn umem(record: &Record) -> UmemSnapshot {
    let chunk_size = record.knows(known::CHUNK_SIZE).then_some(record.umem_chunk_size);
    let frames = if record.knows(known::CHUNKS) {
        Some(record.umem_chunks)
    } else {
        let frames = chunk_size.and_then(|bytes| record.umem_size.checked_div(bytes.into()));
        frames.and_then(|frames| u32::try_from(frames).ok())
    };
    UmemSnapshot {
        id: Some(record.umem_id),
        size_bytes: Some(record.umem_size),
        frames,
        frame_size: chunk_size,
        headroom: Some(record.umem_headroom),
        users: Some(record.umem_users),
        unaligned: Some(record.umem_flags & UNALIGNED != 0),
        free: None,
    }
}

#[cfg(test)]
mod tests;
