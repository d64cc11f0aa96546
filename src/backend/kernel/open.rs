//! From an interface name to sockets with mapped rings, not bound yet; and the packet memory.

use super::KernelBackend;
use super::freed::Freed;
use super::port::{KernelPort, inside, queues_of};
use super::watch::Watch;
use crate::backend::{Filter, Opened, Place, PortPlan, RingSet};
use crate::config::limits::{self, QueueCounts};
use crate::config::{HugePages, Pages};
use crate::error::{ErrorKind, FluxError, Op, Result};
use crate::life::{Link, Seen};
use crate::ring::{Consumer, Producer};
use crate::stats::Counters;
use crate::sys::hugepages::{GIANT_PAGE, HUGE_PAGE};
use crate::sys::if_xdp::Ring;
use crate::sys::xsk::Xsk;
use crate::sys::{hugepages, netdev, poll, rights};
use crate::umem::region::Region;
use crate::umem::{RX_HEADROOM, Umem};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// How often memory is asked for that others may be about to give back, and the pause between two
/// tries: 2 s in all.
const LOCK_TRIES: u32 = 200;
const LOCK_RETRY: Duration = Duration::from_millis(10);

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

/// Queues of the interface.
pub(crate) fn queue_counts(interface: &str, place: &Place) -> Result<QueueCounts> {
    inside(place, interface, || Ok(queues_of(interface, index(interface)?)))
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

/// Opens one socket per queue of each port and maps their rings; [`Backend::start`] binds them.
///
/// [`Backend::start`]: crate::backend::Backend::start
pub(crate) fn open(plans: &[PortPlan], umem: &Arc<Umem>) -> Result<Opened> {
    let (mut ports, mut sockets, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut rings = Vec::new();
    for (at, plan) in plans.iter().enumerate() {
        let first = sockets.is_empty();
        let (port, opened) = inside(&plan.place, &plan.config.interface, || {
            let port = look(plan, umem)?;
            let queues = plan.queues.iter().enumerate();
            let opened = queues.map(|(n, &queue)| open_queue(plan, queue, umem, first && n == 0));
            Ok((port, opened.collect::<Result<Vec<_>>>()?))
        })?;
        ports.push(port);
        for ((socket, set), &queue) in opened.into_iter().zip(&plan.queues) {
            sockets.push(socket);
            rings.push(set);
            places.push((at, queue));
        }
    }
    let backend = KernelBackend {
        calls: sockets.iter().map(|_| Counters::default()).collect(),
        ports,
        sockets,
        places,
        umem: Arc::clone(umem),
        freed: Freed::new(umem),
        busy_poll: AtomicBool::new(false),
        next_look_ns: AtomicU64::new(0),
        troubled: AtomicBool::new(false),
    };
    Ok(Opened { backend: Arc::new(backend), rings })
}

/// Whether the interface is as it must be.
fn look(plan: &PortPlan, umem: &Umem) -> Result<KernelPort> {
    let interface = plan.config.interface.as_str();
    let ifindex = index(interface)?;
    let available = queues_of(interface, ifindex).rx;
    for &queue in &plan.queues {
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
    let mtu = netdev::mtu(interface).map_err(netdev)?;
    // A port that only sends has nothing to drop.
    if plan.filter != Filter::Nothing || plan.place.xskmap.is_some() {
        let (size, room) = (umem.frame_size(), umem.frame_size().saturating_sub(RX_HEADROOM));
        notes.extend(limits::mtu_note(interface, mtu, room, size));
    }
    let seen = Seen { link: Link::Up, losses: 0, mtu, rx_queues: available, detached: false };
    let (watch, deaf) = Watch::begin(&plan.config, ifindex, seen);
    notes.extend(deaf);
    Ok(KernelPort::new(plan, ifindex, available, watch, notes))
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

fn open_queue(plan: &PortPlan, queue: u32, umem: &Umem, first: bool) -> Result<(Xsk, RingSet)> {
    let (name, size) = (format!("{} queue {queue}", plan.config.interface), plan.ring_size);
    let fail = |op: Op| {
        let name = name.clone();
        move |error: io::Error| FluxError::os(op, name, error)
    };
    let socket = Xsk::open().map_err(fail(Op::Socket))?;
    if first {
        let region = umem.region();
        let address = region.base().as_ptr() as u64;
        let len = u64::from(umem.frames()) * u64::from(umem.frame_size());
        let mut tries = 0;
        while let Err(error) = socket.register_umem(address, len, umem.frame_size()) {
            tries += 1;
            // What a run before us locked is given back a moment after its end.
            let full = error.raw_os_error() == Some(libc::ENOBUFS);
            let fits = rights::memlock().is_none_or(|limit| len <= limit);
            if !full || !fits || tries == LOCK_TRIES {
                return Err(fail(Op::RegisterUmem)(error));
            }
            poll::pause(LOCK_RETRY);
        }
    }
    for ring in [Ring::Fill, Ring::Comp, Ring::Rx, Ring::Tx] {
        socket.size_ring(ring, size).map_err(fail(Op::SizeRing))?;
    }
    // A kick should send all there is. Older kernels refuse: they send 16 or 32 frames a call, and
    // most of them move their index only when they took all that they had seen.
    let tx_shows_parts = socket.set_tx_budget(size).is_ok();
    let offsets = socket.mmap_offsets().map_err(fail(Op::Query))?;
    let rings = RingSet {
        fill: Producer::new(socket.map_ring(Ring::Fill, &offsets, size).map_err(fail(Op::Map))?),
        comp: Consumer::new(socket.map_ring(Ring::Comp, &offsets, size).map_err(fail(Op::Map))?),
        rx: Consumer::new(socket.map_ring(Ring::Rx, &offsets, size).map_err(fail(Op::Map))?),
        tx: Producer::new(socket.map_ring(Ring::Tx, &offsets, size).map_err(fail(Op::Map))?),
        tx_shows_parts,
    };
    Ok((socket, rings))
}
