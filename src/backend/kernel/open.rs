//! From an interface name to sockets with mapped rings, not bound yet; and the packet memory.

use super::KernelBackend;
use crate::backend::filter::Filter;
use crate::backend::{Counters, Opened, RingSet};
use crate::config::{Config, HugePages, Pages};
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::ring::{Consumer, Producer};
use crate::sys::hugepages::{GIANT_PAGE, HUGE_PAGE};
use crate::sys::if_xdp::Ring;
use crate::sys::xsk::Xsk;
use crate::sys::{ethtool, hugepages, netdev};
use crate::umem::region::Region;
use crate::umem::{RX_HEADROOM, Umem};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Ethernet header and one VLAN tag.
const LINK_HEADER: u32 = 18;

fn no_such_interface(interface: &str) -> FluxError {
    FluxError::new(ErrorKind::Device, format!("cannot open {interface}"), "no such interface")
        .with_hint("`ip -brief link` lists the interfaces of this network namespace")
}

fn index(interface: &str) -> Result<u32> {
    netdev::index(interface).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => no_such_interface(interface),
        _ => FluxError::os(Op::Netdev, interface, error),
    })
}

/// RX queues of the interface.
pub(crate) fn queue_count(interface: &str) -> Result<u32> {
    let index = index(interface)?;
    match ethtool::channels(interface) {
        Ok(channels) if channels.rx + channels.combined > 0 => Ok(channels.rx + channels.combined),
        _ => Ok(netdev::sysfs_rx_queues(interface, index)),
    }
}

/// Packet memory, and what to tell the user when it is not what the machine is set up for.
pub(crate) fn region(bytes: usize, huge: HugePages) -> Result<(Region, Option<String>)> {
    let ordinary = || {
        let map = Region::map(bytes, Pages::Ordinary);
        map.map_err(|error| FluxError::os(Op::Map, "the UMEM", error))
    };
    match huge {
        HugePages::Off => Ok((ordinary()?, None)),
        HugePages::Auto => {
            let (have, need) = (hugepages::count(HUGE_PAGE), bytes.div_ceil(HUGE_PAGE));
            if have.free >= need
                && let Ok(region) = Region::map(bytes, Pages::Huge)
            {
                return Ok((region, None));
            }
            // Whoever reserved huge pages wants to know that they were not enough.
            let note = (have.total > 0).then(|| {
                format!("{} of {} huge pages are free, {need} needed", have.free, have.total)
            });
            match Region::map(bytes, Pages::Transparent) {
                Ok(region) => {
                    Ok((region, note.map(|why| format!("transparent huge pages: {why}"))))
                }
                Err(_) => Ok((ordinary()?, note.map(|why| format!("ordinary pages: {why}")))),
            }
        }
        HugePages::On => reserved(bytes, Pages::Huge, HUGE_PAGE),
        HugePages::Giant => reserved(bytes, Pages::Giant, GIANT_PAGE),
        HugePages::Transparent => match Region::map(bytes, Pages::Transparent) {
            Ok(region) => Ok((region, None)),
            Err(error) => Err(FluxError::os(Op::Map, "the UMEM in transparent huge pages", error)
                .with_cause("the kernel has none, or found no free ones")
                .with_advice(
                    "set /sys/kernel/mm/transparent_hugepage/enabled to madvise or always, or ",
                    crate::error::Advice::AnyPages,
                )),
        },
    }
}

/// Packet memory in reserved pages of `size` bytes, or an error that tells how to reserve them.
fn reserved(bytes: usize, pages: Pages, size: usize) -> Result<(Region, Option<String>)> {
    let error = match Region::map(bytes, pages) {
        Ok(region) => return Ok((region, None)),
        Err(error) => error,
    };
    let (have, need, mib) = (hugepages::count(size), bytes.div_ceil(size), size >> 20);
    let wanted = have.total + need.saturating_sub(have.free);
    let how = match pages {
        Pages::Giant => {
            let file = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";
            format!("write {wanted} to {file}")
        }
        _ => format!("reserve them with `sysctl -w vm.nr_hugepages={wanted}`"),
    };
    Err(FluxError::os(Op::Map, "the UMEM in huge pages", error)
        .with_cause(format!(
            "{need} free pages of {mib} MiB are needed, nr_hugepages is {} with {} free",
            have.total, have.free
        ))
        .with_advice(format!("{how}, or "), crate::error::Advice::AnyPages))
}

/// Opens one socket per queue and maps their rings; [`Backend::start`] binds them.
pub(crate) fn open(
    config: &Config,
    queues: &[u32],
    umem: &Arc<Umem>,
    ring_size: u32,
    filter: &Filter,
) -> Result<Opened> {
    let interface = config.interface.as_str();
    let ifindex = index(interface)?;
    let available = queue_count(interface)?;
    for &queue in queues {
        if queue >= available {
            return Err(no_such_queue(interface, queue, available));
        }
    }
    let netdev = |e| FluxError::os(Op::Netdev, interface, e);
    if !netdev::is_up(interface).map_err(netdev)? {
        return Err(FluxError::new(
            ErrorKind::Device,
            format!("cannot open {interface}"),
            "the interface is down",
        )
        .with_hint(format!("`ip link set {interface} up` raises it")));
    }
    let mut notes = Vec::new();
    let room = umem.frame_size().saturating_sub(RX_HEADROOM);
    let mtu = netdev::mtu(interface).map_err(netdev)?;
    if mtu + LINK_HEADER > room {
        let cause = format!("MTU {mtu} needs more than the {room} bytes that a frame has for it");
        if mtu + LINK_HEADER <= 4096 - RX_HEADROOM {
            return Err(FluxError::config(format!("frame size {}", umem.frame_size()), cause)
                .with_advice("", crate::error::Advice::LargerFrames));
        }
        notes.push(format!("{cause}: longer packets are dropped"));
    }

    let mut sockets = Vec::with_capacity(queues.len());
    let mut rings = Vec::with_capacity(queues.len());
    for &queue in queues {
        let (socket, set) = open_queue(interface, queue, umem, ring_size, sockets.is_empty())?;
        sockets.push(socket);
        rings.push(set);
    }
    let backend = KernelBackend {
        program: Mutex::new(None),
        sockets,
        umem: Arc::clone(umem),
        config: config.clone(),
        ifindex,
        available,
        queues: queues.to_vec(),
        ring_size,
        filter: filter.clone(),
        notes,
        busy_poll: AtomicBool::new(false),
        calls: queues.iter().map(|_| Counters::default()).collect(),
    };
    Ok(Opened { backend: Arc::new(backend), rings })
}

pub(super) fn no_such_queue(interface: &str, queue: u32, available: u32) -> FluxError {
    let valid = match available {
        1 => "it has queue 0 only".to_owned(),
        n => format!("it has queues 0 to {}", n - 1),
    };
    FluxError::new(
        ErrorKind::Config,
        format!("cannot bind to {interface} queue {queue}"),
        format!("no such queue: {valid}"),
    )
    .with_advice("", crate::error::Advice::OtherQueue)
}

fn open_queue(
    interface: &str,
    queue: u32,
    umem: &Umem,
    size: u32,
    first: bool,
) -> Result<(Xsk, RingSet)> {
    let name = format!("{interface} queue {queue}");
    let fail = |op: Op| {
        let name = name.clone();
        move |error: io::Error| FluxError::os(op, name, error)
    };
    let socket = Xsk::open().map_err(fail(Op::Socket))?;
    if first {
        let region = umem.region();
        let address = region.base().as_ptr() as u64;
        let len = u64::from(umem.frames()) * u64::from(umem.frame_size());
        socket.register_umem(address, len, umem.frame_size()).map_err(fail(Op::RegisterUmem))?;
    }
    for ring in [Ring::Fill, Ring::Comp, Ring::Rx, Ring::Tx] {
        socket.size_ring(ring, size).map_err(fail(Op::SizeRing))?;
    }
    // A kick should send all there is; older kernels send 32 frames per call, and say so here.
    let _ = socket.set_tx_budget(size);
    let offsets = socket.mmap_offsets().map_err(fail(Op::Query))?;
    let rings = RingSet {
        fill: Producer::new(socket.map_ring(Ring::Fill, &offsets, size).map_err(fail(Op::Map))?),
        comp: Consumer::new(socket.map_ring(Ring::Comp, &offsets, size).map_err(fail(Op::Map))?),
        rx: Consumer::new(socket.map_ring(Ring::Rx, &offsets, size).map_err(fail(Op::Map))?),
        tx: Producer::new(socket.map_ring(Ring::Tx, &offsets, size).map_err(fail(Op::Map))?),
    };
    Ok((socket, rings))
}
