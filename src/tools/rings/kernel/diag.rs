//! [`DiagSockets`]: what the kernel's socket diagnosis reports (`linux/xdp_diag.h`): sizes and
//! counters. Where the rings stand it does not tell, nor whose a socket is: owners are joined by
//! inode number from a walk over `/proc`.

use super::place::{self, Namespace};
use super::walk;
use super::{Missing, Scan, Sockets, Unseen};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::ring::RingSnapshot;
use crate::snapshot::{SocketSnapshot, SocketState, UmemSnapshot};
use crate::stats::XdpStatistics;
use crate::sys::clock::monotonic_ns;
use crate::sys::if_xdp::AF_XDP;
use crate::sys::netns::NetNs;
use crate::tools::host::genl;
use std::collections::BTreeMap;
use std::io;

// linux/xdp_diag.h
const XDP_SHOW_INFO: u32 = 1;
const XDP_SHOW_RING_CFG: u32 = 1 << 1;
const XDP_SHOW_UMEM: u32 = 1 << 2;
const XDP_SHOW_STATS: u32 = 1 << 4;
const XDP_DIAG_INFO: u16 = 1;
const XDP_DIAG_RX_RING: u16 = 3;
const XDP_DIAG_TX_RING: u16 = 4;
const XDP_DIAG_UMEM: u16 = 5;
const XDP_DIAG_UMEM_FILL_RING: u16 = 6;
const XDP_DIAG_UMEM_COMPLETION_RING: u16 = 7;
const XDP_DIAG_STATS: u16 = 9;
const XDP_DU_F_ZEROCOPY: u32 = 1;
/// `struct xdp_diag_msg`.
const MESSAGE_LEN: usize = 16;

/// Asks the socket diagnosis.
pub(super) struct DiagSockets(());

impl DiagSockets {
    /// # Errors
    /// When this kernel has no diagnosis of AF_XDP sockets.
    pub(super) fn open() -> Result<Self> {
        match genl::sock_diag(&request()) {
            Ok(_) => Ok(Self(())),
            Err(error) => Err(cannot_ask(error)),
        }
    }
}

fn cannot_ask(error: io::Error) -> FluxError {
    let what = "cannot ask for the diagnosis of AF_XDP sockets";
    let (kind, cause) = match error.raw_os_error() {
        Some(libc::ENOENT) => (
            ErrorKind::Unsupported,
            "this kernel has no XDP_DIAG (CONFIG_XDP_SOCKETS_DIAG)".to_owned(),
        ),
        Some(libc::EPROTONOSUPPORT) => (
            ErrorKind::Unsupported,
            "this kernel has no socket diagnosis (CONFIG_NET_DIAG)".to_owned(),
        ),
        _ => (ErrorKind::System, errno_text(&error)),
    };
    FluxError::new(kind, what, cause)
        .with_hint("`modprobe xsk_diag` where it is a module; --source iter and pidfd do without")
        .with_source(error)
}

/// `struct xdp_diag_req`: all sockets, all that it has on them.
fn request() -> Vec<u8> {
    let show = XDP_SHOW_INFO | XDP_SHOW_RING_CFG | XDP_SHOW_UMEM | XDP_SHOW_STATS;
    let head = [AF_XDP as u8, 0, 0, 0];
    let (any, show, no_cookie) = ([0; 4], show.to_ne_bytes(), [0; 8]);
    [&head[..], &any, &show, &no_cookie].concat()
}

/// One `struct xdp_diag_msg` with its attributes. What is torn or too short is left out; `None`
/// where that is the socket itself.
fn parse(body: &[u8], time_ns: u64) -> Option<SocketSnapshot> {
    let (head, rest) = body.split_at_checked(MESSAGE_LEN)?;
    if i32::from(*head.first()?) != AF_XDP {
        return None;
    }
    let mut socket = SocketSnapshot {
        inode: Some(u64::from(u32_at(head, 4)?)),
        ..SocketSnapshot::unknown(time_ns)
    };
    for (kind, value) in genl::attributes(rest) {
        match kind {
            XDP_DIAG_INFO => {
                // Not bound yet, or its interface is gone: index 0.
                socket.ifindex = u32_at(value, 0).filter(|&ifindex| ifindex != 0);
                socket.queue = socket.ifindex.and_then(|_| u32_at(value, 4));
            }
            XDP_DIAG_RX_RING => socket.rx = ring(value),
            XDP_DIAG_TX_RING => socket.tx = ring(value),
            XDP_DIAG_UMEM_FILL_RING => socket.fill = ring(value),
            XDP_DIAG_UMEM_COMPLETION_RING => socket.comp = ring(value),
            XDP_DIAG_UMEM => {
                socket.umem = umem(value);
                socket.zero_copy = u32_at(value, 32).map(|flags| flags & XDP_DU_F_ZEROCOPY != 0);
            }
            XDP_DIAG_STATS => socket.stats = statistics(value),
            _ => {}
        }
    }
    if socket.ifindex.is_some() {
        socket.state = SocketState::Bound;
    }
    Some(socket)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// `struct xdp_diag_ring`
fn ring(value: &[u8]) -> Option<RingSnapshot> {
    Some(RingSnapshot { size: Some(u32_at(value, 0)?), ..RingSnapshot::default() })
}

/// `struct xdp_diag_umem`
fn umem(value: &[u8]) -> Option<UmemSnapshot> {
    let (size, frame_size) = (u64_at(value, 0)?, u32_at(value, 16)?);
    let frames = size.checked_div(u64::from(frame_size)).and_then(|n| u32::try_from(n).ok());
    Some(UmemSnapshot {
        id: u32_at(value, 8),
        size_bytes: Some(size),
        frames,
        frame_size: Some(frame_size),
        headroom: u32_at(value, 20),
        users: u32_at(value, 36),
        ..UmemSnapshot::default()
    })
}

/// `struct xdp_diag_stats`, whose order is not that of `struct xdp_statistics`.
fn statistics(value: &[u8]) -> Option<XdpStatistics> {
    Some(XdpStatistics {
        rx_dropped: u64_at(value, 0)?,
        rx_invalid_descs: u64_at(value, 8)?,
        rx_ring_full: u64_at(value, 16)?,
        rx_fill_ring_empty_descs: u64_at(value, 24)?,
        tx_invalid_descs: u64_at(value, 32)?,
        tx_ring_empty_descs: u64_at(value, 40)?,
    })
}

impl Sockets for DiagSockets {
    fn scan(&mut self) -> Result<Scan> {
        let mut walk = walk::walk().map_err(walk::no_proc)?;
        let mut missing = walk.missing();
        let mut sockets = Vec::new();
        for namespace in namespaces(&walk)? {
            match inside(&namespace) {
                Ok(found) => sockets.extend(found),
                Err(error) => missing.push(place::not_entered(namespace.inode, &error)),
            }
        }
        for socket in &mut sockets {
            let owners = socket.inode.and_then(|inode| walk.sockets.remove(&inode));
            socket.owners = owners.unwrap_or_default();
        }
        // Those that were closed since the walk are not missed.
        for owner in walk.sockets.into_values().flatten().filter(walk::still_there) {
            let (comm, pid, fd) = (owner.comm, owner.pid, owner.fd);
            let text = format!(
                "the socket of {comm} (pid {pid}, fd {fd}) is in a network namespace out of sight"
            );
            missing.push(Missing { text, unseen: Unseen::Namespace });
        }
        Ok(Scan { sockets, missing, ..Scan::default() })
    }
}

/// Ours, and those of all processes that have a socket.
fn namespaces(walk: &walk::Walk) -> Result<Vec<Namespace>> {
    let ours = NetNs::current().map_err(walk::no_proc)?;
    let inode = ours.inode().map_err(walk::no_proc)?;
    let mut found = BTreeMap::new();
    let pids = walk.sockets.values().flatten().map(|owner| owner.pid);
    let theirs = pids.filter_map(|pid| NetNs::of_process(pid).ok());
    for netns in std::iter::once(ours).chain(theirs) {
        if let Ok(namespace) = Namespace::new(netns, inode) {
            found.entry(namespace.inode).or_insert(namespace);
        }
    }
    Ok(found.into_values().collect())
}

fn inside(namespace: &Namespace) -> io::Result<Vec<SocketSnapshot>> {
    let (mut sockets, names) = namespace.inside(|| {
        let time_ns = monotonic_ns();
        let answers = genl::sock_diag(&request())?;
        let sockets: Vec<_> = answers.iter().filter_map(|body| parse(body, time_ns)).collect();
        let names = place::names(sockets.iter().filter_map(|socket| socket.ifindex));
        Ok((sockets, names))
    })?;
    for socket in &mut sockets {
        socket.netns = Some(namespace.inode);
        socket.interface = socket.ifindex.and_then(|ifindex| names.get(&ifindex).cloned());
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers as C puts them one after another.
    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }

    fn head(inode: u32) -> Vec<u8> {
        [vec![AF_XDP as u8, 3, 0, 0], words(&[inode, 7, 0])].concat()
    }

    fn whole() -> Vec<u8> {
        let counters: Vec<u8> = (1u64..=6).flat_map(u64::to_ne_bytes).collect();
        let umem =
            [(8_388_608u64).to_ne_bytes().to_vec(), words(&[5, 2048, 2048, 256, 7, 1, 1, 3])];
        let attributes = [
            genl::attribute(XDP_DIAG_INFO, &words(&[7, 1])),
            genl::attribute(2, &words(&[0])),
            genl::attribute(XDP_DIAG_RX_RING, &words(&[64])),
            genl::attribute(XDP_DIAG_TX_RING, &words(&[128])),
            genl::attribute(XDP_DIAG_UMEM, &umem.concat()),
            genl::attribute(XDP_DIAG_UMEM_FILL_RING, &words(&[256])),
            genl::attribute(XDP_DIAG_UMEM_COMPLETION_RING, &words(&[512])),
            genl::attribute(XDP_DIAG_STATS, &counters),
        ];
        [head(4711), attributes.concat()].concat()
    }

    #[test]
    fn a_message_tells_place_sizes_memory_and_counters() {
        let socket = parse(&whole(), 9).unwrap();
        assert_eq!((socket.inode, socket.time_ns), (Some(4711), 9));
        assert_eq!((socket.ifindex, socket.queue), (Some(7), Some(1)));
        assert_eq!((socket.state, socket.zero_copy), (SocketState::Bound, Some(true)));
        let size = |ring: Option<RingSnapshot>| ring.unwrap().size;
        assert_eq!((size(socket.rx), size(socket.tx)), (Some(64), Some(128)));
        assert_eq!((size(socket.fill), size(socket.comp)), (Some(256), Some(512)));
        assert_eq!(socket.rx.unwrap().used(), None);
        let umem = socket.umem.unwrap();
        assert_eq!((umem.id, umem.users, umem.headroom), (Some(5), Some(3), Some(256)));
        assert_eq!((umem.frames, umem.frame_size), (Some(4096), Some(2048)));
        let stats = socket.stats.unwrap();
        assert_eq!((stats.rx_dropped, stats.rx_invalid_descs, stats.rx_ring_full), (1, 2, 3));
        let tx = (stats.tx_invalid_descs, stats.tx_ring_empty_descs);
        assert_eq!((stats.rx_fill_ring_empty_descs, tx), (4, (5, 6)));
    }

    #[test]
    fn a_socket_without_attributes_is_there_and_not_bound() {
        let socket = parse(&head(3), 0).unwrap();
        let bare = SocketSnapshot { inode: Some(3), ..SocketSnapshot::unknown(0) };
        assert_eq!(socket, bare);
        let unbound = [head(3), genl::attribute(XDP_DIAG_INFO, &words(&[0, 0]))].concat();
        assert_eq!(parse(&unbound, 0).unwrap(), bare);
    }

    #[test]
    fn another_family_is_no_socket_of_ours() {
        let mut other = whole();
        other[0] = libc::AF_INET as u8;
        assert_eq!(parse(&other, 0), None);
    }

    #[test]
    fn a_umem_of_frames_of_no_size_has_no_number_of_frames() {
        let bytes = [(4096u64).to_ne_bytes().to_vec(), words(&[5, 1, 0, 0, 7, 1, 0, 1])].concat();
        assert_eq!(umem(&bytes).unwrap().frames, None);
    }

    #[test]
    fn the_request_is_laid_out_as_the_kernel_wants_it() {
        let request = request();
        assert_eq!(request.len(), 20);
        assert_eq!((request[0], u32_at(&request, 8)), (44, Some(0b10111)));
    }

    #[test]
    fn a_kernel_without_the_diagnosis_is_said_by_the_option_that_it_lacks() {
        let error = cannot_ask(io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("no XDP_DIAG (CONFIG_XDP_SOCKETS_DIAG)"), "{error}");
    }

    proptest! {
        #[test]
        fn a_torn_message_tells_less_and_nothing_else(len in 0usize..400) {
            let whole = whole();
            let full = parse(&whole, 0).unwrap();
            let cut = &whole[..len.min(whole.len())];
            let Some(torn) = parse(cut, 0) else {
                prop_assert!(cut.len() < MESSAGE_LEN);
                return Ok(());
            };
            prop_assert_eq!(torn.inode, full.inode);
            prop_assert!(torn.ifindex.is_none() || torn.ifindex == full.ifindex);
            prop_assert!(torn.rx.is_none() || torn.rx == full.rx);
            prop_assert!(torn.umem.is_none() || torn.umem == full.umem);
            prop_assert!(torn.stats.is_none() || torn.stats == full.stats);
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            xdp in any::<bool>(),
        ) {
            let head = if xdp { head(1) } else { Vec::new() };
            let _ = parse(&[head, bytes].concat(), 0);
        }
    }
}
