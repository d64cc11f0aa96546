//! From what was asked for to open ports: checked, planned, started, or refused as a whole.

use super::{FluxBuilder, PortSpec};
use crate::backend::fault::Faulty;
#[cfg(any(test, feature = "tools"))]
use crate::backend::meter::Metered;
use crate::backend::{Backend, Filter, Opened, PortPlan, RingSet};
#[cfg(all(target_os = "linux", feature = "bpf"))]
use crate::backend::{Place, kernel};
#[cfg(all(target_os = "linux", feature = "bpf"))]
use crate::config::Fail;
use crate::config::limits::QueueCounts;
use crate::config::{BindMode, Config, FRAMES, Queues};
use crate::error::{Advice, ErrorKind, FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::port::Port;
use crate::socket::{Number, Queue};
use crate::umem::region::PAGE;
use crate::umem::{FrameCache, Region, Umem};
use crate::worker::Parts;
use std::sync::Arc;

impl FluxBuilder {
    pub(super) fn open(self) -> Result<Parts> {
        let Self { ports, simulator, faults, memory, prefill, .. } = self;
        agree(&ports, simulator.is_some())?;
        let mut plans = Vec::with_capacity(ports.len());
        for port in ports {
            port.config.validate()?;
            let available = match &simulator {
                Some(simulator) => simulator.queue_counts(&port.config.interface)?,
                None => port.queue_counts()?,
            };
            plans.push(port.plan(available)?);
        }
        let first = &plans[0].config;
        let (batch, poller, frame_size) = (first.batch, first.poller, first.frame_size);
        let queues = plans.iter().map(|plan| plan.queues.len()).sum();
        let names: Vec<&str> = plans.iter().map(|plan| plan.config.interface.as_str()).collect();
        let frames = memory.as_ref().map(|memory| frames_of(memory, frame_size)).transpose()?;
        let mut sizes = first.sizes(queues, frames, &names.join(" and "))?;
        if simulator.is_none() && frames.or(first.frames).is_none() {
            let fewer = kernel::affordable(sizes.frames, frame_size);
            // Where they are too few for the queues, the kernel may say so.
            sizes = first.sizes(queues, Some(fewer), "").unwrap_or(sizes);
        }
        for plan in &mut plans {
            plan.ring_size = sizes.ring;
            // A worker has one way to wait, whatever its ports were configured with.
            (plan.config.batch, plan.config.poller) = (batch, poller);
        }
        let bytes = sizes.frames as usize * frame_size as usize;
        let (memory, note) = match (memory, &simulator) {
            (Some(memory), _) => (memory, None),
            (None, Some(_)) => (allocate(bytes)?, None),
            (None, None) => kernel::region(bytes, plans[0].config.huge_pages)?,
        };
        let wrap = |mut backend: Arc<dyn Backend>| {
            if let Some(faults) = &faults {
                backend = Faulty::wrap(backend, faults.clone());
            }
            #[cfg(any(test, feature = "tools"))]
            if let Some(meter) = &self.meter {
                backend = Metered::wrap(backend, Arc::clone(meter));
            }
            backend
        };
        let attempt = |plans: &[PortPlan], memory: Region, notes: Vec<String>| {
            let stamps = plans.iter().any(|plan| plan.config.rx_timestamps);
            let umem = Arc::new(Umem::new(memory, frame_size).with_stamps(stamps));
            let opened = match &simulator {
                Some(simulator) => simulator.open(plans, &umem),
                None => kernel::open(plans, &umem),
            };
            let Opened { backend, rings } = match opened {
                Ok(opened) => opened,
                Err(error) => return Err((error, umem)),
            };
            let backend = wrap(backend);
            let mut queues = assemble(plans, rings, &backend, &umem, sizes.posted);
            if prefill {
                let mut cache = FrameCache::new(&umem, 1);
                queues.iter_mut().for_each(|queue| queue.rx.prime(&mut cache));
            }
            #[cfg(test)]
            if self.partly_zero_copy && plans.iter().any(|p| p.config.bind == BindMode::Auto) {
                return Err((FluxError::partly_zero_copy("b0 queue 0"), umem));
            }
            match backend.start() {
                Ok(mut granted) => {
                    granted[0].notes.extend(notes);
                    let ports = Port::all(&backend, granted);
                    Ok(Parts { queues, ports, umem, backend, batch, poller })
                }
                Err(error) => Err((error, umem)),
            }
        };
        let mut notes: Vec<String> = note.into_iter().collect();
        match attempt(&plans, memory, notes.clone()) {
            Ok(parts) => Ok(parts),
            // Zero-copy on some queues only: all of them fall back, with sockets and UMEM of their
            // own, as the kernel never takes zero-copy from a UMEM again.
            Err((error, umem)) if error.is_partly_zero_copy() => {
                notes.push(format!("copy mode: {error}"));
                let memory = Arc::into_inner(umem).map(Umem::into_region).ok_or(error)?;
                plans.iter_mut().for_each(|plan| plan.config.bind = BindMode::Copy);
                attempt(&plans, memory, notes).map_err(|(error, _)| error)
            }
            Err((error, _)) if simulator.is_none() => Err(kernel::explained(error, bytes)),
            Err((error, _)) => Err(error),
        }
    }
}

impl PortSpec {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            filter: Filter::Nothing,
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            place: Place::default(),
        }
    }

    fn queue_counts(&self) -> Result<QueueCounts> {
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        return kernel::queue_counts(&self.config.interface, &self.place);
        #[cfg(not(all(target_os = "linux", feature = "bpf")))]
        kernel::absent()
    }

    fn plan(self, available: QueueCounts) -> Result<PortPlan> {
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        if self.place.xskmap.is_some() && self.config.fail == Fail::Closed {
            return Err(FluxError::config(
                format!("fail closed on {}", self.config.interface),
                "a foreign XDP program decides what becomes of packets without a socket",
            )
            .with_hint("have that program drop them, or open the interface without its XSKMAP"));
        }
        Ok(PortPlan {
            queues: chosen_queues(&self.config, available.rx)?,
            tx_available: available.tx,
            config: self.config,
            filter: self.filter,
            ring_size: 0,
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            place: self.place,
        })
    }
}

/// What ports on one UMEM must have in common.
fn agree(ports: &[PortSpec], simulated: bool) -> Result<()> {
    let Some((first, others)) = ports.split_first() else { return Ok(()) };
    let first = &first.config;
    for (at, PortSpec { config, .. }) in others.iter().enumerate() {
        let (name, before) = (&config.interface, &first.interface);
        // A simulated machine has no namespaces.
        let beside = |port: &PortSpec| simulated || same_place(port, &others[at]);
        let mut earlier = ports[..=at].iter();
        if earlier.any(|port| port.config.interface == *name && beside(port)) {
            return Err(FluxError::config(
                format!("port {} on {name}", at + 1),
                "another port is on this interface already",
            )
            .with_hint("open an interface once, with all the queues that you want"));
        }
        if config.frame_size != first.frame_size {
            return Err(FluxError::config(
                format!("frame size {} of {name}", config.frame_size),
                format!("{before} has {}, and they share one UMEM", first.frame_size),
            )
            .with_hint("give all ports the same frame size, or build them apart"));
        }
        let modes = [config.bind, first.bind];
        if modes.contains(&BindMode::ZeroCopy) && modes.contains(&BindMode::Copy) {
            return Err(FluxError::config(
                format!("bind mode {} of {name}", config.bind),
                format!("{before} has {}, and they share one UMEM", first.bind),
            )
            .with_hint(
                "zero-copy is for all ports of a UMEM or for none: give all the same mode",
            ));
        }
    }
    Ok(())
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
fn same_place(one: &PortSpec, other: &PortSpec) -> bool {
    // Of two descriptors of one namespace the kernel says EBUSY.
    one.place.is_beside(&other.place)
}

#[cfg(not(all(target_os = "linux", feature = "bpf")))]
fn same_place(_: &PortSpec, _: &PortSpec) -> bool {
    true
}

/// Wraps the rings of all queues.
fn assemble(
    plans: &[PortPlan],
    rings: Vec<RingSet>,
    backend: &Arc<dyn Backend>,
    umem: &Arc<Umem>,
    posted: u32,
) -> Vec<Queue> {
    // Frames go from port to port: what one stamps, all have to erase.
    let rx_timestamps = plans.iter().any(|plan| plan.config.rx_timestamps);
    let of = |(port, plan)| {
        let plan: &PortPlan = plan;
        let config = Config { rx_timestamps, ..plan.config.clone() };
        let sends = plan.queues.iter().map(|&queue| queue < plan.tx_available);
        let all = sends.map(move |sends| (PortIndex::at(port), sends, config.clone()));
        all.collect::<Vec<_>>()
    };
    let owners = plans.iter().enumerate().flat_map(of);
    let queue = |(at, (rings, (port, sends, config))): (usize, (RingSet, (_, bool, Config)))| {
        // Rings may have been granted smaller than they were asked for.
        let share = posted.min(rings.fill.size());
        let number = Number { port, queue: QueueIndex::at(at), sends };
        Queue::new(rings, number, backend, umem, share, &config)
    };
    rings.into_iter().zip(owners).enumerate().map(queue).collect()
}

/// Frames in memory that the user brought.
fn frames_of(memory: &Region, frame_size: u32) -> Result<u32> {
    let (base, len) = (memory.base().as_ptr() as usize, memory.len());
    let frames = len / frame_size as usize;
    let why = if !base.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) {
        "must begin at a page of 4096 bytes and be a multiple of it long".to_owned()
    } else if !u32::try_from(frames).is_ok_and(|frames| FRAMES.contains(&frames)) {
        let (least, most) = (FRAMES.start(), FRAMES.end());
        format!("must have room for {least} to {most} frames of {frame_size} bytes")
    } else {
        return Ok(frames as u32);
    };
    Err(FluxError::config(format!("{len} bytes of packet memory"), why)
        .with_hint("take it from mmap(2), or give none and say with frames() how much"))
}

/// The simulator's packet memory.
fn allocate(bytes: usize) -> Result<Region> {
    Region::allocate(bytes).ok_or_else(|| {
        FluxError::new(
            ErrorKind::System,
            format!("cannot allocate {} MiB of packet memory", bytes >> 20),
            "out of memory",
        )
        .with_advice("use ", Advice::FewerFrames)
    })
}

/// The queue numbers asked for, checked against those that exist.
fn chosen_queues(config: &Config, available: u32) -> Result<Vec<u32>> {
    match &config.queues {
        Queues::All => Ok((0..available).collect()),
        Queues::Only(list) => match list.iter().find(|&&q| q >= available) {
            None => Ok(list.clone()),
            Some(missing) => {
                let name = &config.interface;
                let has = match available {
                    1 => "has one queue, number 0".to_owned(),
                    n => format!("has {n} queues, 0 to {}", n - 1),
                };
                Err(FluxError::new(
                    ErrorKind::Config,
                    format!("no queue {missing} on {name}"),
                    format!("{name} {has}"),
                )
                .with_advice("", Advice::OtherQueue))
            }
        },
    }
}

/// Builds without AF_XDP: the simulator alone.
#[cfg(not(all(target_os = "linux", feature = "bpf")))]
mod kernel {
    use super::{Advice, Arc, ErrorKind, FluxError, Opened, PortPlan, Region, Result, Umem};
    use crate::config::HugePages;

    pub(super) fn absent<T>() -> Result<T> {
        Err(FluxError::new(
            ErrorKind::Unsupported,
            "cannot use AF_XDP",
            "this build has the simulated kernel alone",
        )
        .with_advice("build on Linux with the feature `bpf`, or ", Advice::OtherBuild))
    }

    pub(super) fn region(_: usize, _: HugePages) -> Result<(Region, Option<String>)> {
        absent()
    }

    pub(super) fn open(_: &[PortPlan], _: &Arc<Umem>) -> Result<Opened> {
        absent()
    }

    pub(super) fn affordable(usual: u32, _: u32) -> u32 {
        usual
    }

    pub(super) fn explained(error: FluxError, _: usize) -> FluxError {
        error
    }
}
