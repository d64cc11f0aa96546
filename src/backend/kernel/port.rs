//! One port: its interface, wherever that is, and its XDP program.

use super::super::xdp::{self, Attachment, FilterTables, XskMap};
use super::watch::{Watch, Watched};
use crate::backend::{Filter, Place, PortPlan};
use crate::config::limits::QueueCounts;
use crate::config::{Attached, BindMode, Config, Granted, limits};
use crate::error::{Advice, ErrorKind, FluxError, Op, Result};
use crate::stats::XdpStatistics;
use crate::sys::if_xdp::Statistics;
use crate::sys::promisc::Promiscuous;
use crate::sys::{ethtool, netdev, netns};
use crate::umem::Umem;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An interface that was found, and what it is to be.
pub(super) struct KernelPort {
    pub(super) ifindex: u32,
    /// RX queues that it has.
    pub(super) available: u32,
    pub(super) config: Config,
    pub(super) filter: Filter,
    /// NIC queue numbers.
    pub(super) queues: Vec<u32>,
    /// Those of them that can send.
    tx_queues: Vec<u32>,
    pub(super) ring_size: u32,
    /// Longest packet that is sent, in bytes; follows the MTU.
    pub(super) longest: Arc<AtomicU32>,
    pub(super) place: Place,
    pub(super) notes: Vec<String>,
    pub(super) watch: Watch,
    program: Mutex<PortProgram>,
}

/// What was put on the interface; taken off it again on drop.
pub(super) struct PortProgram {
    /// First, so that the program is detached before its maps go.
    pub(super) attachment: Attachment,
    pub(super) xsks: Option<XskMap>,
    pub(super) tables: Option<FilterTables>,
    /// NIC queues whose receiver has gone: a program that comes later does not find them.
    pub(super) stopped: Vec<u32>,
    _program: Option<OwnedFd>,
    _promiscuous: Option<Promiscuous>,
}

impl KernelPort {
    pub(super) fn new(
        plan: &PortPlan,
        ifindex: u32,
        available: u32,
        watch: Watch,
        mut notes: Vec<String>,
    ) -> Self {
        let PortPlan { config, queues, tx_available, .. } = plan;
        let (tx_queues, note) = limits::sending(&config.interface, queues, *tx_available);
        notes.extend(note);
        Self {
            ifindex,
            available,
            config: plan.config.clone(),
            filter: plan.filter.clone(),
            queues: plan.queues.clone(),
            tx_queues,
            ring_size: plan.ring_size,
            longest: Arc::new(AtomicU32::new(limits::longest(watch.state().mtu))),
            place: plan.place.clone(),
            notes,
            watch,
            program: Mutex::new(PortProgram {
                attachment: Attachment::None,
                xsks: None,
                tables: None,
                stopped: Vec::new(),
                _program: None,
                _promiscuous: None,
            }),
        }
    }

    /// Looks at it, and says whether all is well.
    pub(super) fn look(&self, now: u64) -> bool {
        self.watch.look(self, now)
    }

    pub(super) fn interface(&self) -> &str {
        &self.config.interface
    }

    pub(super) fn program(&self) -> MutexGuard<'_, PortProgram> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `f` where the interface is.
    pub(super) fn inside<R: Send>(&self, f: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        inside(&self.place, self.interface(), f)
    }

    pub(super) fn driver(&self) -> Option<String> {
        self.inside(|| Ok(ethtool::driver_info(self.interface()).ok())).ok().flatten()
    }

    /// What it became; `notes` are those that came while it was started.
    pub(super) fn granted(
        &self,
        umem: &Umem,
        zero_copy: bool,
        (driver, kernel_busy_poll): (Option<String>, bool),
        notes: Vec<String>,
    ) -> Granted {
        Granted {
            backend: "xdp",
            interface: self.interface().to_owned(),
            ifindex: self.ifindex,
            driver,
            attach: self.program().attachment.mode(),
            zero_copy,
            queues: self.queues.clone(),
            tx_queues: self.tx_queues.clone(),
            mtu: self.watch.state().mtu,
            ring_size: self.ring_size,
            frames: umem.frames(),
            frame_size: umem.frame_size(),
            pages: umem.pages(),
            kernel_busy_poll,
            rx_clock: "monotonic",
            tx_clock: "monotonic",
            notes,
        }
    }

    /// Why there must be no zero-copy, though the driver has it. An igb counts its buffers in KiB: of
    /// the 1792 bytes that a frame of 2048 has for a packet it uses 1024, and cuts off the rest in
    /// silence.
    pub(super) fn cuts_packets(&self) -> Option<FluxError> {
        let size = self.config.frame_size;
        (size < 4096 && self.driver().as_deref() == Some("igb")).then(|| {
            let why = "the driver igb receives no more than 1024 bytes of a packet into it in zero-copy mode";
            FluxError::config(format!("frame size {size}"), why)
                .with_advice("", Advice::LargerFrames)
        })
    }

    /// The error of a queue that is there and does not bind in zero-copy mode. virtio_net answers EINVAL
    /// when its device does without the DMA API (`iommu_platform`).
    pub(super) fn refuses_zero_copy(&self, queue: u32, error: &io::Error) -> FluxError {
        let what = format!("cannot bind to {} queue {queue} in zero-copy mode", self.interface());
        let why = crate::error::errno_text(error);
        FluxError::new(ErrorKind::Unsupported, what, format!("the driver refuses it: {why}"))
            .with_advice("", Advice::CopyMode)
    }

    /// What to tell of copy mode: the kernel falls back to it in silence.
    pub(super) fn copied(&self, driver: Option<&str>) -> Option<String> {
        let native = self.program().attachment.mode() == Attached::Native;
        if !native || self.config.bind != BindMode::Auto || is_virtual(driver) {
            return None;
        }
        let refused = || {
            format!(
                "the driver {} of {} gives no zero-copy",
                driver.unwrap_or("?"),
                self.interface()
            )
        };
        let why = self.cuts_packets().map_or_else(refused, |error| error.to_string());
        Some(format!("copy mode: {why}"))
    }

    /// What comes before the sockets are bound; returns what fell back.
    pub(super) fn begin(&self) -> Result<Option<String>> {
        if self.config.promiscuous {
            let on = self.inside(|| {
                Promiscuous::on(self.ifindex)
                    .map_err(|error| FluxError::os(Op::Netdev, self.interface(), error))
            })?;
            self.program()._promiscuous = Some(on);
        }
        if let Some(map) = &self.place.xskmap {
            let map = map.try_clone();
            let map = map.map_err(|error| FluxError::os(Op::MapUpdate, self.interface(), error))?;
            let mut program = self.program();
            program.xsks = Some(XskMap::from_fd(map, self.interface())?);
            program.attachment = Attachment::Foreign;
            return Ok(None);
        }
        if self.filter == Filter::Nothing { Ok(None) } else { self.attach(&self.filter) }
    }

    /// Loads our program and attaches it; returns what fell back. The sockets are added by the
    /// caller.
    pub(super) fn attach(&self, filter: &Filter) -> Result<Option<String>> {
        self.attach_to(&mut self.program(), filter)
    }

    fn attach_to(&self, program: &mut PortProgram, filter: &Filter) -> Result<Option<String>> {
        let (loaded, attachment, note) = self.inside(|| {
            let (name, mode) = (self.interface(), self.config.attach);
            let mut loaded = xdp::load(name, self.available, self.config.rx_timestamps)?;
            loaded.tables.fail(self.config.fail);
            loaded.tables.set(filter)?;
            let program = loaded.program.as_fd();
            let (attachment, note) = Attachment::ours(program, name, self.ifindex, mode)?;
            Ok((loaded, attachment, note))
        })?;
        program.attachment = attachment;
        program.xsks = Some(loaded.xsks);
        program.tables = Some(loaded.tables);
        program._program = Some(loaded.program);
        Ok(note)
    }

    /// Leaves what comes on a NIC queue to the kernel's stack.
    pub(super) fn stop(&self, queue: u32) -> Result<()> {
        let mut program = self.program();
        if !program.stopped.contains(&queue) {
            program.stopped.push(queue);
        }
        program.xsks.as_ref().map_or(Ok(()), |xsks| xsks.remove(queue))
    }

    /// Sends it to `socket` again.
    pub(super) fn start(&self, queue: u32, socket: RawFd) -> Result<()> {
        let mut program = self.program();
        if let Some(xsks) = &program.xsks {
            xsks.insert(queue, socket)?;
        }
        program.stopped.retain(|&stopped| stopped != queue);
        Ok(())
    }

    /// Replaces what is redirected; true when a program was attached for it, which has no sockets
    /// yet.
    pub(super) fn set_filter(&self, filter: &Filter) -> Result<bool> {
        // Held to the end: two that find no program must not both attach one.
        let mut program = self.program();
        if let Some(tables) = program.tables.as_mut() {
            return tables.set(filter).map(|()| false);
        }
        if program.attachment.mode() == Attached::Foreign {
            return Err(FluxError::config(
                format!("filter of {}", self.interface()),
                "a foreign XDP program decides what the sockets receive",
            )
            .with_hint("tell that program, or open the interface without its XSKMAP"));
        }
        if *filter == Filter::Nothing {
            return Ok(false);
        }
        self.attach_to(&mut program, filter).map(|_| true)
    }
}

/// Whether it is a driver without hardware.
pub(super) fn is_virtual(driver: Option<&str>) -> bool {
    matches!(driver, Some("veth" | "tun"))
}

/// Calls `f` in the port's network namespace.
pub(super) fn inside<R: Send>(
    place: &Place,
    interface: &str,
    f: impl FnOnce() -> Result<R> + Send,
) -> Result<R> {
    let Some(namespace) = &place.netns else { return f() };
    let refused =
        |error| FluxError::os(Op::Netdev, format_args!("{interface} in its namespace"), error);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            netns::enter(namespace.as_fd()).map_err(refused)?;
            f()
        });
        let joined = thread.map_err(refused)?.join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl From<Statistics> for XdpStatistics {
    fn from(stats: Statistics) -> Self {
        Self {
            rx_dropped: stats.rx_dropped,
            rx_invalid_descs: stats.rx_invalid_descs,
            tx_invalid_descs: stats.tx_invalid_descs,
            rx_ring_full: stats.rx_ring_full,
            rx_fill_ring_empty_descs: stats.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: stats.tx_ring_empty_descs,
        }
    }
}

impl Watched for KernelPort {
    fn rx_queues(&self) -> Option<u32> {
        // It may have another name by now.
        let queues = |name: String| queues_of(&name, self.ifindex).rx;
        self.inside(|| Ok(netdev::name(self.ifindex).map(queues))).ok().flatten()
    }

    fn is_detached(&self) -> bool {
        self.program().attachment.is_detached()
    }

    fn is_gone(&self) -> bool {
        matches!(self.inside(|| Ok(netdev::name(self.ifindex))), Ok(None))
    }

    fn set_mtu(&self, mtu: u32) {
        self.longest.store(limits::longest(mtu), Ordering::Relaxed);
    }
}

/// As the driver tells, else as sysfs shows; where neither does, one of each.
pub(super) fn queues_of(interface: &str, index: u32) -> QueueCounts {
    let told = ethtool::channels(interface).ok();
    let told = told.map(|all| (all.rx + all.combined, all.tx + all.combined));
    let (rx, tx) = told
        .filter(|&(rx, tx)| rx > 0 && tx > 0)
        .or_else(|| netdev::sysfs_queues(interface, index))
        .unwrap_or((1, 1));
    QueueCounts { rx, tx }
}
