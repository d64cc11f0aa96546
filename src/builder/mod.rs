//! Where every mode starts: from interface names to open, bound, primed queues.
//!
//! ```text
//!   FluxBuilder ── what is asked for ──▶ open ── plans, UMEM, rings, start ──▶ Parts ──▶ a mode
//! ```

mod open;

use crate::backend::Filter;
#[cfg(all(target_os = "linux", feature = "bpf"))]
use crate::backend::Place;
use crate::backend::fault::Faults;
#[cfg(any(test, feature = "tools"))]
use crate::backend::meter::Meter;
use crate::config::{AttachMode, BindMode, Config, Fail, HugePages, Poller, Queues};
use crate::engine::FluxEngine;
use crate::error::{FluxError, Result};
use crate::raw::FluxRaw;
use crate::simulator::Simulator;
use crate::system::{FluxRx, FluxTx};
use crate::umem::Region;
#[cfg(any(test, feature = "tools", all(target_os = "linux", feature = "bpf")))]
use std::sync::Arc;
use std::time::Duration;

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

    /// Bytes per frame: 2048 or 4096. They hold packets of 1792 and 3840 bytes. An interface whose MTU
    /// asks for more is opened all the same, with a note for a port that receives
    /// ([`Granted::notes`](crate::Granted::notes)): longer packets are dropped on arrival.
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

    /// What becomes of packets that the filter takes when there is no socket on their queue: they go
    /// on to the kernel's stack (the default), or are dropped and counted. [`Fail`] says what that
    /// covers.
    #[must_use]
    pub fn fail(mut self, fail: Fail) -> Self {
        self.last().config.fail = fail;
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
    /// are put in there by queue number, and no program of ours is attached. What they receive is
    /// that program's choice, so the filter is not looked at, and [`Fail::Closed`] is an error.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    #[must_use]
    pub fn xskmap(mut self, map: std::os::fd::OwnedFd) -> Self {
        self.last().place.xskmap = Some(Arc::new(map));
        self
    }

    /// How long the link of the interface may be away before calls that wait for it end with an
    /// error. Without, they wait for it to come back; [`Port::state`](crate::Port::state) tells.
    #[must_use]
    pub fn link_timeout(mut self, time: Duration) -> Self {
        self.last().config.link_timeout = Some(time);
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

    /// Times all calls of the kernel, real or simulated.
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
    /// As [`build_engine`](Self::build_engine), and when a port has fewer queues that send than there
    /// are workers, as with [`FluxEngine::into_workers`].
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
