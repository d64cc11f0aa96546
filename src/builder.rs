//! Where every mode starts: from an interface name to open, bound, primed sockets.

use crate::backend::fault::{Faults, Faulty};
#[cfg(any(test, feature = "tools"))]
use crate::backend::meter::{Meter, Metered};
use crate::backend::{Backend, Filter, Opened};
use crate::config::{AttachMode, BindMode, Config, Granted, HugePages, Poller, Queues};
use crate::engine::FluxEngine;
use crate::error::{ErrorKind, FluxError, Result};
use crate::raw::FluxRaw;
use crate::simulator::Simulator;
use crate::socket::Socket;
use crate::system::{FluxRx, FluxTx};
use crate::umem::Umem;
use crate::umem::region::Region;
use std::sync::Arc;

/// Opens an interface, on the real kernel or on the simulated one.
///
/// Nothing is redirected to the socket unless a [`filter`](Self::filter) asks for it: on a live
/// interface every other packet goes on to the kernel's stack.
#[derive(Clone)]
pub struct FluxBuilder {
    config: Config,
    filter: Filter,
    simulator: Option<Simulator>,
    faults: Option<Faults>,
    #[cfg(any(test, feature = "tools"))]
    meter: Option<Arc<Meter>>,
    prefill: bool,
}

/// What a mode takes apart.
pub(crate) struct Parts {
    pub(crate) sockets: Vec<Socket>,
    pub(crate) umem: Arc<Umem>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) granted: Arc<Granted>,
    pub(crate) batch: u32,
    pub(crate) poller: Poller,
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
            config,
            filter: Filter::Nothing,
            simulator: None,
            faults: None,
            #[cfg(any(test, feature = "tools"))]
            meter: None,
            prefill: true,
        }
    }

    /// One RX queue, by the NIC's number.
    #[must_use]
    pub fn queue_id(self, queue: u32) -> Self {
        self.queues(Queues::Only(vec![queue]))
    }

    /// Several RX queues, each with its own socket over one shared UMEM.
    #[must_use]
    pub fn queues(mut self, queues: Queues) -> Self {
        self.config.queues = queues;
        self
    }

    /// How to wait for packets.
    #[must_use]
    pub fn poller(mut self, poller: Poller) -> Self {
        self.config.poller = poller;
        self
    }

    /// Packets per batch.
    #[must_use]
    pub fn batch(mut self, packets: u32) -> Self {
        self.config.batch = packets;
        self
    }

    /// UMEM frames in all. (A "page" is a frame: one cell for one packet.)
    #[must_use]
    pub fn umem_pages(mut self, frames: u32) -> Self {
        self.config.frames = Some(frames);
        self
    }

    /// Bytes per frame: 2048 or 4096.
    #[must_use]
    pub fn frame_size(mut self, bytes: u32) -> Self {
        self.config.frame_size = bytes;
        self
    }

    /// Entries per ring, a power of two.
    #[must_use]
    pub fn ring_size(mut self, entries: u32) -> Self {
        self.config.ring_size = Some(entries);
        self
    }

    /// Huge pages for the UMEM.
    #[must_use]
    pub fn huge_pages(mut self, huge: HugePages) -> Self {
        self.config.huge_pages = huge;
        self
    }

    /// Where the XDP program hooks in.
    #[must_use]
    pub fn attach(mut self, mode: AttachMode) -> Self {
        self.config.attach = mode;
        self
    }

    /// Copy or zero-copy.
    #[must_use]
    pub fn bind(mut self, mode: BindMode) -> Self {
        self.config.bind = mode;
        self
    }

    /// Lets the XDP program write its receive time in front of each packet.
    #[must_use]
    pub fn rx_timestamps(mut self, on: bool) -> Self {
        self.config.rx_timestamps = on;
        self
    }

    /// Whether the first bytes of received packets are prefetched (the default). Without,
    /// programs that never look at a packet save an instruction or two.
    #[must_use]
    pub fn prefetch(mut self, on: bool) -> Self {
        self.config.prefetch = on;
        self
    }

    /// Which packets are ours.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Runs on the simulated kernel instead of the real one; the interface is one of its ports.
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

    /// Mode C on one queue: the four rings.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine), and when more than one queue is asked for.
    pub fn build_raw(self) -> Result<FluxRaw> {
        let mut queues = self.build_raw_queues()?;
        match (queues.pop(), queues.is_empty()) {
            (Some(raw), true) => Ok(raw),
            _ => Err(FluxError::config("raw mode", "takes one queue")
                .with_hint("choose one with queue_id(), or use build_raw_queues()")),
        }
    }

    /// Mode C on several queues over one UMEM.
    ///
    /// # Errors
    /// As [`build_engine`](Self::build_engine).
    pub fn build_raw_queues(self) -> Result<Vec<FluxRaw>> {
        self.open().map(FluxRaw::from_parts)
    }

    fn open(self) -> Result<Parts> {
        let Self { config, filter, simulator, faults, prefill, .. } = self;
        config.validate()?;
        let available = match &simulator {
            Some(simulator) => simulator.queues(&config.interface)?,
            None => kernel::queue_count(&config.interface)?,
        };
        let queues = chosen_queues(&config, available)?;
        let (frames, ring) = config.sizes(queues.len());
        let share = (frames / 2 / queues.len() as u32).min(ring);
        if share == 0 {
            return Err(FluxError::config(
                format!("{frames} frames"),
                format!("are too few for {} queues", queues.len()),
            )
            .with_advice("", crate::error::Advice::MoreFrames));
        }
        let bytes = frames as usize * config.frame_size as usize;
        let (region, note) = match &simulator {
            Some(_) => (allocate(bytes)?, None),
            None => kernel::region(bytes, config.huge_pages)?,
        };
        let umem = Arc::new(Umem::new(region, config.frame_size));
        let opened = match &simulator {
            Some(simulator) => simulator.open(&config, &queues, &umem, ring, &filter)?,
            None => kernel::open(&config, &queues, &umem, ring, &filter)?,
        };
        let Opened { mut backend, rings } = opened;
        if let Some(faults) = faults {
            backend = Faulty::wrap(backend, faults);
        }
        #[cfg(any(test, feature = "tools"))]
        if let Some(meter) = self.meter {
            backend = Metered::wrap(backend, meter);
        }
        // Rings may have been granted smaller than they were asked for.
        let share = rings.first().map_or(share, |rings| share.min(rings.fill.size()));
        let mut sockets: Vec<_> = (rings.into_iter().enumerate())
            .map(|(at, rings)| Socket::new(rings, at, &backend, &umem, share, &config))
            .collect();
        if prefill {
            sockets.iter_mut().for_each(|socket| socket.rx.prime());
        }
        let mut granted = backend.start()?;
        granted.notes.extend(note);
        Ok(Parts {
            sockets,
            umem,
            backend,
            granted: Arc::new(granted),
            batch: config.batch,
            poller: config.poller,
        })
    }
}

/// The simulator's packet memory.
fn allocate(bytes: usize) -> Result<Region> {
    Region::allocate(bytes).ok_or_else(|| {
        FluxError::new(
            ErrorKind::System,
            format!("cannot allocate {} MiB of packet memory", bytes >> 20),
            "out of memory",
        )
        .with_advice("use ", crate::error::Advice::FewerFrames)
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
                .with_advice("", crate::error::Advice::OtherQueue))
            }
        },
    }
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
use crate::backend::kernel;

/// Builds without AF_XDP: the simulator alone.
#[cfg(not(all(target_os = "linux", feature = "bpf")))]
mod kernel {
    use super::{
        Arc, Config, ErrorKind, Filter, FluxError, HugePages, Opened, Region, Result, Umem,
    };

    fn absent<T>() -> Result<T> {
        Err(FluxError::new(
            ErrorKind::Unsupported,
            "cannot use AF_XDP",
            "this build has the simulated kernel alone",
        )
        .with_advice(
            "build on Linux with the feature `bpf`, or ",
            crate::error::Advice::OtherBuild,
        ))
    }

    pub(super) fn queue_count(_: &str) -> Result<u32> {
        absent()
    }

    pub(super) fn region(_: usize, _: HugePages) -> Result<(Region, Option<String>)> {
        absent()
    }

    pub(super) fn open(_: &Config, _: &[u32], _: &Arc<Umem>, _: u32, _: &Filter) -> Result<Opened> {
        absent()
    }
}
