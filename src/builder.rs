//! Where every mode starts: from interface names to open, bound, primed queues.

use crate::backend::fault::{Faults, Faulty};
#[cfg(any(test, feature = "tools"))]
use crate::backend::meter::{Meter, Metered};
use crate::backend::{Backend, Filter, Opened, PortPlan, RingSet};
#[cfg(all(target_os = "linux", feature = "bpf"))]
use crate::backend::{Place, kernel};
use crate::config::{AttachMode, BindMode, Config, FRAMES, HugePages, Poller, Queues};
use crate::engine::FluxEngine;
use crate::error::{Advice, ErrorKind, FluxError, Result};
use crate::ids::{PortIndex, QueueIndex};
use crate::port::Port;
use crate::raw::FluxRaw;
use crate::simulator::Simulator;
use crate::socket::{Number, Queue};
use crate::system::{FluxRx, FluxTx};
use crate::umem::region::PAGE;
use crate::umem::{FrameCache, Region, Umem};
use crate::worker::Parts;
use std::sync::Arc;

/// Opens interfaces on one UMEM, on the real kernel or on the simulated one.
///
/// Nothing is redirected to a socket unless a [`filter`](Self::filter) asks for it: on a live
/// interface every other packet goes on to the kernel's stack. Without a filter nothing is
/// received. Every queue of the interface is opened unless [`queues`](Self::queues) or
/// [`queue_id`](Self::queue_id) says which: packets that come in on others go to the kernel's stack.
///
/// One interface needs one name. Each [`port`](Self::port) adds another on the same UMEM, so that
/// packets can leave by it without a copy:
///
/// ```
/// use fluxnet::{Filter, FluxBuilder, simulator::Simulator};
///
/// let network = Simulator::crossed_pair(1);
/// let mut engine = FluxBuilder::new("a0")
///     .simulator(&network)
///     .filter(Filter::Everything)
///     .port("b0")
///     .build_engine()?;
/// let other = engine.ports()[1].index();
/// engine.turn(|batch| batch.iter_mut().for_each(|packet| packet.forward(other)), None)?;
/// # Ok::<(), fluxnet::FluxError>(())
/// ```
///
/// Settings that belong to the UMEM or to the workers (`frames`, `frame_size`, `huge_pages`,
/// `memory`, `poller`, `batch`, `rx_frames`, `ring_size`, `simulator`, `faults`, `prefill`) are for
/// all ports, whenever they are made; all others are for the port named last.
pub struct FluxBuilder {
    /// Never empty.
    ports: Vec<PortSpec>,
    simulator: Option<Simulator>,
    faults: Option<Faults>,
    memory: Option<Region>,
    #[cfg(any(test, feature = "tools"))]
    meter: Option<Arc<Meter>>,
    prefill: bool,
    /// Start as a kernel would that has zero-copy on some queues only.
    #[cfg(test)]
    partly_zero_copy: bool,
}

/// What is asked for one port.
#[derive(Clone)]
struct PortSpec {
    config: Config,
    filter: Filter,
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    place: Place,
}

impl FluxBuilder {
    /// An interface by name, with the defaults of [`Config::new`].
    #[must_use]
    pub fn new(interface: impl Into<String>) -> Self {
        Self::from_config(Config::new(interface))
    }

    /// An interface with everything already chosen.
    #[must_use]
    pub fn from_config(config: Config) -> Self {
        Self {
            ports: vec![PortSpec::new(config)],
            simulator: None,
            faults: None,
            memory: None,
            #[cfg(any(test, feature = "tools"))]
            meter: None,
            prefill: true,
            #[cfg(test)]
            partly_zero_copy: false,
        }
    }

    /// One more interface on the same UMEM, with the settings of the one before, its filter and its
    /// namespace included; calls that follow change those of the new one.
    #[must_use]
    pub fn port(mut self, interface: impl Into<String>) -> Self {
        let mut spec = self.last().clone();
        spec.config.interface = interface.into();
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        {
            spec.place.xskmap = None;
        }
        self.ports.push(spec);
        self
    }

    /// One more interface on the same UMEM, with everything already chosen. What belongs to the UMEM
    /// or to the workers is as the first port has it; the frame sizes must be the same.
    #[must_use]
    pub fn port_config(mut self, config: Config) -> Self {
        self.ports.push(PortSpec::new(config));
        self
    }

    /// The port named last.
    fn last(&mut self) -> &mut PortSpec {
        let last = self.ports.len() - 1;
        &mut self.ports[last]
    }

    /// Sets what is the same for all ports.
    fn all(mut self, set: impl Fn(&mut Config)) -> Self {
        self.ports.iter_mut().for_each(|port| set(&mut port.config));
        self
    }

    /// One RX queue, by the NIC's number.
    #[must_use]
    pub fn queue_id(self, queue: u32) -> Self {
        self.queues(Queues::Only(vec![queue]))
    }

    /// Several RX queues, each with its own socket over one shared UMEM.
    #[must_use]
    pub fn queues(mut self, queues: Queues) -> Self {
        self.last().config.queues = queues;
        self
    }

    /// How to wait for packets.
    #[must_use]
    pub fn poller(self, poller: Poller) -> Self {
        self.all(|config| config.poller = poller)
    }

    /// Packets per batch.
    #[must_use]
    pub fn batch(self, packets: u32) -> Self {
        self.all(|config| config.batch = packets)
    }

    /// UMEM frames in all.
    #[must_use]
    pub fn frames(self, frames: u32) -> Self {
        self.all(|config| config.frames = Some(frames))
    }

    /// The old name of [`frames`](Self::frames).
    #[deprecated(note = "renamed to `frames`")]
    #[must_use]
    pub fn umem_pages(self, frames: u32) -> Self {
        self.frames(frames)
    }

    /// Frames posted for reception on each queue; the others are for transmission, and for packets
    /// that are being worked on.
    #[must_use]
    pub fn rx_frames(self, frames: u32) -> Self {
        self.all(|config| config.rx_frames = Some(frames))
    }

    /// Memory of one's own for the UMEM, in place of what the library would map: it decides how
    /// many frames there are.
    #[must_use]
    pub fn memory(mut self, memory: Region) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Bytes per frame: 2048 or 4096.
    #[must_use]
    pub fn frame_size(self, bytes: u32) -> Self {
        self.all(|config| config.frame_size = bytes)
    }

    /// Entries per ring, a power of two.
    #[must_use]
    pub fn ring_size(self, entries: u32) -> Self {
        self.all(|config| config.ring_size = Some(entries))
    }

    /// Huge pages for the UMEM.
    #[must_use]
    pub fn huge_pages(self, huge: HugePages) -> Self {
        self.all(|config| config.huge_pages = huge)
    }

    /// Where the XDP program hooks in.
    #[must_use]
    pub fn attach(mut self, mode: AttachMode) -> Self {
        self.last().config.attach = mode;
        self
    }

    /// Copy or zero-copy: for all ports of a UMEM or for none.
    #[must_use]
    pub fn bind(mut self, mode: BindMode) -> Self {
        self.last().config.bind = mode;
        self
    }

    /// Lets the XDP program write its receive time in front of each packet.
    #[must_use]
    pub fn rx_timestamps(mut self, on: bool) -> Self {
        self.last().config.rx_timestamps = on;
        self
    }

    /// Whether the first bytes of received packets are prefetched (the default). Without,
    /// programs that never look at a packet save an instruction or two.
    #[must_use]
    pub fn prefetch(mut self, on: bool) -> Self {
        self.last().config.prefetch = on;
        self
    }

    /// Whether the interface is promiscuous as long as it is open: it then takes packets for other
    /// Ethernet addresses, too, as a forwarder needs. Undone also when the process is killed.
    #[must_use]
    pub fn promiscuous(mut self, on: bool) -> Self {
        self.last().config.promiscuous = on;
        self
    }

    /// The network namespace that the interface is in: an open `/run/netns/NAME` or
    /// `/proc/PID/ns/net`. Without, it is the calling thread's. Ports on one UMEM may be in
    /// different ones.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    #[must_use]
    pub fn netns(mut self, namespace: std::os::fd::OwnedFd) -> Self {
        self.last().place.netns = Some(Arc::new(namespace));
        self
    }

    /// The XSKMAP of a foreign XDP program that is attached to the interface already: the sockets
    /// are put in there by queue number, and no program of ours is attached. What comes to them is
    /// that program's choice, so the filter is not looked at.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    #[must_use]
    pub fn xskmap(mut self, map: std::os::fd::OwnedFd) -> Self {
        self.last().place.xskmap = Some(Arc::new(map));
        self
    }

    /// Which packets are ours.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.last().filter = filter;
        self
    }

    /// Runs on the simulated kernel instead of the real one; the interfaces are ports of it.
    #[must_use]
    pub fn simulator(mut self, simulator: &Simulator) -> Self {
        self.simulator = Some(simulator.clone());
        self
    }

    /// Puts trouble between the socket and its kernel, for tests.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Times all calls of the kernel, or of whoever stands for it.
    #[cfg(any(test, feature = "tools"))]
    #[must_use]
    pub(crate) fn metered(mut self, meter: &Arc<Meter>) -> Self {
        self.meter = Some(Arc::clone(meter));
        self
    }

    /// Whether the fill rings get their first frames before the queues are bound (the default).
    /// Without, mode C posts all itself; modes A and B post at their first turn.
    #[must_use]
    pub fn prefill(mut self, on: bool) -> Self {
        self.prefill = on;
        self
    }

    /// Mode A: the library owns the loop.
    ///
    /// # Errors
    /// Values out of range, missing rights, and whatever the kernel refuses, each with its next
    /// step.
    pub fn build_engine(self) -> Result<FluxEngine> {
        self.open().map(FluxEngine::new)
    }

    /// Mode B: a receiver and a sender.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine).
    pub fn build_system(self) -> Result<(FluxRx, FluxTx)> {
        self.open().map(crate::system::split)
    }

    /// Mode B for several workers: a receiver and a sender each, with queues of every port.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine), and when a port has fewer queues than there are
    /// workers.
    pub fn build_system_workers(self, workers: usize) -> Result<Vec<(FluxRx, FluxTx)>> {
        crate::system::split_workers(self.open()?, workers)
    }

    /// Mode C on one queue: the four rings.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine), and when more than one queue is asked for: without
    /// [`queue_id`](Self::queue_id) that is every queue of the interface.
    pub fn build_raw(self) -> Result<FluxRaw> {
        let mut queues = self.build_raw_queues()?;
        match (queues.pop(), queues.is_empty()) {
            (Some(raw), true) => Ok(raw),
            _ => Err(FluxError::config("build_raw()", "opens one queue, and more were asked for")
                .with_hint("choose one with queue_id(), or use build_raw_queues()")),
        }
    }

    /// Mode C on several queues over one UMEM: those of the first port, then those of the next.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine).
    pub fn build_raw_queues(self) -> Result<Vec<FluxRaw>> {
        self.open().map(FluxRaw::from_parts)
    }

    fn open(self) -> Result<Parts> {
        let Self { ports, simulator, faults, memory, prefill, .. } = self;
        agree(&ports, simulator.is_some())?;
        let mut plans = Vec::with_capacity(ports.len());
        for port in ports {
            port.config.validate()?;
            let available = match &simulator {
                Some(simulator) => simulator.queues(&port.config.interface)?,
                None => port.queue_count()?,
            };
            plans.push(port.plan(available)?);
        }
        let first = &plans[0].config;
        let (batch, poller, frame_size) = (first.batch, first.poller, first.frame_size);
        let queues = plans.iter().map(|plan| plan.queues.len()).sum();
        let names: Vec<&str> = plans.iter().map(|plan| plan.config.interface.as_str()).collect();
        let frames = memory.as_ref().map(|memory| frames_of(memory, frame_size)).transpose()?;
        let sizes = first.sizes(queues, frames, &names.join(" and "))?;
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
            let umem = Arc::new(Umem::new(memory, frame_size));
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
            Err((error, _)) => Err(error),
        }
    }
}

impl PortSpec {
    fn new(config: Config) -> Self {
        Self {
            config,
            filter: Filter::Nothing,
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            place: Place::default(),
        }
    }

    fn queue_count(&self) -> Result<u32> {
        #[cfg(all(target_os = "linux", feature = "bpf"))]
        return kernel::queue_count(&self.config.interface, &self.place);
        #[cfg(not(all(target_os = "linux", feature = "bpf")))]
        kernel::absent()
    }

    fn plan(self, available: u32) -> Result<PortPlan> {
        Ok(PortPlan {
            queues: chosen_queues(&self.config, available)?,
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
    let of = |(port, plan): (usize, &PortPlan)| {
        let config = Config { rx_timestamps, ..plan.config.clone() };
        vec![(PortIndex::at(port), config); plan.queues.len()]
    };
    let owners = plans.iter().enumerate().flat_map(of);
    let queue = |(at, (rings, (port, config))): (usize, (RingSet, (PortIndex, Config)))| {
        // Rings may have been granted smaller than they were asked for.
        let share = posted.min(rings.fill.size());
        let number = Number { port, queue: QueueIndex::at(at) };
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
    use super::{
        Advice, Arc, ErrorKind, FluxError, HugePages, Opened, PortPlan, Region, Result, Umem,
    };

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::umem::region::tests::brought;

    #[test]
    fn zero_copy_on_some_queues_only_makes_all_fall_back_and_says_so() {
        let network = Simulator::crossed_pair(1);
        let guard = Arc::new(());
        let mut builder = FluxBuilder::new("a0")
            .simulator(&network)
            .filter(Filter::Everything)
            .port("b0")
            .memory(brought(64 * 2048, Arc::clone(&guard)));
        builder.partly_zero_copy = true;
        let engine = builder.build_engine().unwrap();
        let note =
            "copy mode: b0 queue 0: has no zero-copy, and all queues on a UMEM have it or none";
        assert_eq!(engine.granted().notes, [note]);
        assert!(engine.ports().iter().all(|port| !port.granted().zero_copy));
        // The memory is the same, and no frame stayed with the first attempt.
        assert_eq!((engine.umem().frames(), engine.debug_rings().held()), (64, Some(0)));
        assert_eq!(Arc::strong_count(&guard), 2);
        drop(engine);
        assert_eq!(Arc::strong_count(&guard), 1, "memory goes with the last that uses it");
    }

    #[test]
    fn memory_that_no_umem_can_be_is_refused_with_the_rule() {
        let network = Simulator::crossed_pair(1);
        let refused = |bytes| {
            let builder = FluxBuilder::new("a0").simulator(&network).memory(brought(bytes, ()));
            builder.build_raw().err().unwrap().to_string()
        };
        assert_eq!(
            refused(5000),
            "5000 bytes of packet memory: must begin at a page of 4096 bytes and be a multiple of \
             it long"
        );
        assert_eq!(
            refused(8192),
            "8192 bytes of packet memory: must have room for 16 to 1048576 frames of 2048 bytes"
        );
    }
}
