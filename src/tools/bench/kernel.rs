//! Measuring on the real kernel: in the lab, or on an interface of the user's.

use super::event::Note;
use super::plan::{Plan, Setting, Workload};
use super::sample::{Sample, ticks};
use super::ways;
use super::window::{Measured, Window};
use super::work::{self, Work};
use crate::FluxBuilder;
use crate::backend::meter::Meter;
use crate::backend::{Filter, Match};
use crate::config::{Config, Granted, Queues};
use crate::error::{ErrorKind, FluxError, Result};
use crate::life;
use crate::proto::MacAddr;
use crate::sys::affinity;
use crate::sys::clock::monotonic_ns;
use crate::tools::Control;
use crate::tools::host::{Host, KernelHost};
use crate::tools::session::Trouble;
use crate::tools::session::carrier::{self, KernelClock};
use crate::tools::traffic::{Lab, LiveSource, PacedSource, rfc2544};
use crate::tools::worker;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Packets a second in workload latency.
const LATENCY_PPS: u32 = 10_000;
/// The warm-up before a sample: a share of its length, within bounds.
const WARM_UP: (u32, Duration, Duration) =
    (4, Duration::from_millis(10), Duration::from_millis(250));

/// How often a sample's sockets are opened where the link goes each time in between.
const OPENS: u32 = 10;

/// Where settings are measured, opened once a run.
pub(super) enum Site {
    /// The lab, with the sources that its settings needed so far.
    Lab { lab: Lab, cpus: Vec<usize>, sources: HashMap<(usize, u32), LiveSource> },
    /// The user's interface, and the one that workload forward sends by.
    Interface { name: String, out: Option<String>, mac: MacAddr, cpus: Vec<usize>, begun: bool },
}

impl Site {
    /// Our own place, with as many queues as `plan` asks for.
    pub(super) fn lab(plan: &Plan) -> Result<Self> {
        let cpus = affinity::allowed().map_err(no_cpus)?;
        let queues = plan.queues.iter().map(|queues| match queues {
            Queues::All => cpus.len() as u32,
            Queues::Only(list) => list.iter().max().map_or(1, |most| most + 1),
        });
        let queues = queues.max().unwrap_or(1);
        let two = plan.workloads.contains(&Workload::Forward);
        let lab = if two { Lab::open_two(queues)? } else { Lab::open(queues)? };
        Ok(Site::Lab { lab, cpus, sources: HashMap::new() })
    }

    /// The interface `name`, and `out` to send by.
    pub(super) fn interface(plan: &Plan, name: &str, out: Option<&str>) -> Result<Self> {
        let host = KernelHost::open()?;
        let interface = host.interface(name)?;
        // From here on by the name that the kernel goes by: what was asked for may be another.
        let name = interface.name.as_str();
        ways::check_plan(plan, name, host.queues(name)?)?;
        let out = out.map(|out| host.interface(out)).transpose()?.map(|out| out.name);
        let mac = interface.mac.ok_or_else(|| {
            FluxError::config(format!("interface {name}"), "is not an Ethernet interface")
        })?;
        let cpus = affinity::allowed().map_err(no_cpus)?;
        let name = name.to_owned();
        Ok(Site::Interface { name, out, mac: MacAddr(mac), cpus, begun: false })
    }

    /// One sample of a setting.
    pub(super) fn measure(
        &mut self,
        plan: &Plan,
        setting: &Setting,
        control: &Control,
    ) -> Result<(Sample, Granted)> {
        let len = setting.packet_size as usize;
        let config = Config {
            interface: self.name().to_owned(),
            queues: setting.queues.clone(),
            poller: setting.poll.poller(),
            batch: setting.batch,
            huge_pages: setting.hugepages,
            prefetch: setting.prefetch,
            rx_timestamps: setting.workload == Workload::Latency,
            ..plan.config.clone()
        };
        let filter = match (setting.workload, &*self) {
            (Workload::Txonly, _) => Filter::Nothing,
            (_, Site::Lab { .. }) => Filter::Everything,
            (_, Site::Interface { .. }) => Filter::Any(vec![Match {
                ip_proto: Some(crate::proto::IpProto::UDP.0),
                dst_ports: Some(rfc2544::PORT..=rfc2544::PORT),
                ..Match::default()
            }]),
        };
        let packet = match self {
            Site::Lab { .. } => rfc2544::from_us(len)?,
            // To ourselves: a switch sends such a packet nowhere.
            Site::Interface { mac, .. } => rfc2544::between(*mac, *mac, len)?,
        };
        let meter = Meter::new(MOST_QUEUES, ticks);
        let builder = || {
            let first = FluxBuilder::from_config(config.clone());
            let first = first.filter(filter.clone()).metered(&meter);
            if setting.workload != Workload::Forward {
                return first;
            }
            // What comes in there is none of ours.
            first.port(self.out().unwrap_or_default()).filter(Filter::Nothing)
        };
        let patience = plan.config.link_timeout;
        let begun = matches!(self, Site::Interface { begun: true, .. });
        let mut tries = 0;
        let (loops, granted) = loop {
            // Before the first sample the error of an interface that is down is better.
            if begun {
                self.await_link(setting, patience, control)?;
            }
            tries += 1;
            match self.inside(|| work::start(builder(), setting, packet.bytes())) {
                // The link went after the look at it, and may be back by now.
                Err(error) if begun && error.kind() == ErrorKind::Device && tries < OPENS => {}
                opened => break opened?,
            }
        };
        if let Site::Interface { begun, .. } = self {
            *begun = true;
        }
        self.await_link(setting, patience, control)?;
        self.make_sources(setting, &granted.queues, len)?;
        let sending = self.send(setting, &granted.queues, len)?;
        let (before, changes) = (self.far_end(setting)?, self.link_changes(setting)?);
        let sample = self.run(loops, &meter, plan.duration, &granted.queues, control);
        drop(sending);
        let mut sample = sample?;
        if self.link_changes(setting)? != changes {
            let name = self.name();
            let text = format!(
                "the link of {name} was lost during a sample, so its figures mean nothing: what was \
                 sent meanwhile is counted and lost"
            );
            sample.trouble = Some(Note::new(Trouble::LinkFlap, text));
        }
        if let (Some(before), Some(after)) = (before, self.far_end(setting)?) {
            sample.lost = after.saturating_sub(before);
        }
        Ok((sample, granted))
    }

    fn name(&self) -> &str {
        match self {
            Site::Lab { lab, .. } => lab.ours(),
            Site::Interface { name, .. } => name,
        }
    }

    /// The interface that workload forward sends by.
    pub(super) fn out(&self) -> Option<&str> {
        match self {
            Site::Lab { lab, .. } => Some(lab.out()),
            Site::Interface { out, .. } => out.as_deref(),
        }
    }

    fn cpus(&self) -> &[usize] {
        match self {
            Site::Lab { cpus, .. } | Site::Interface { cpus, .. } => cpus,
        }
    }

    /// Packets of a workload that the far end refused so far.
    fn far_end(&self, setting: &Setting) -> Result<Option<u64>> {
        match (self, setting.workload) {
            (Site::Lab { lab, .. }, Workload::Txonly) => Ok(Some(lab.our_stats()?.tx_dropped)),
            (Site::Lab { lab, .. }, Workload::Forward) => Ok(Some(lab.out_stats()?.tx_dropped)),
            _ => Ok(None),
        }
    }

    /// Calls `f` on a thread that sees the interface.
    fn inside<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                if let Site::Lab { lab, .. } = self {
                    lab.enter_ours()?;
                }
                f()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The interfaces of the user's that a setting needs.
    fn names(&self, setting: &Setting) -> impl Iterator<Item = &str> {
        let (name, out) = match self {
            Site::Lab { .. } => (None, None),
            Site::Interface { name, out, .. } => (Some(name.as_str()), out.as_deref()),
        };
        name.into_iter().chain(out.filter(|_| setting.workload == Workload::Forward))
    }

    /// Waits for the link: some drivers take it down when a program is attached, for seconds, and
    /// between two samples it may be lost like at any other time.
    fn await_link(
        &self,
        setting: &Setting,
        patience: Option<Duration>,
        control: &Control,
    ) -> Result<()> {
        let host = KernelHost::open()?;
        let stop = || control.is_stopped();
        for name in self.names(setting) {
            let missing = carrier::wait(&host, name, patience, &stop, &mut KernelClock)?;
            if let Some((link, patience)) = missing.zip(patience) {
                return Err(life::no_link(name, link, patience));
            }
        }
        Ok(())
    }

    /// How often the links that a setting needs went or came.
    fn link_changes(&self, setting: &Setting) -> Result<u32> {
        let host = KernelHost::open()?;
        Ok(self.names(setting).map(|name| carrier::changes(&host, name)).sum())
    }

    /// Makes the sources that a setting needs, if it is the first to need them. They do not send yet.
    fn make_sources(&mut self, setting: &Setting, queues: &[u32], len: usize) -> Result<()> {
        let Site::Lab { lab, cpus, sources } = self else { return Ok(()) };
        if matches!(setting.workload, Workload::Txonly | Workload::Latency) {
            return Ok(());
        }
        for cpu in source_cpus(cpus, lab, queues) {
            if let Entry::Vacant(place) = sources.entry((cpu, setting.packet_size)) {
                let source = LiveSource::start(lab.egress(cpu)?, rfc2544::to_us(len)?)?;
                source.pause();
                place.insert(source);
            }
        }
        Ok(())
    }

    /// Whether each of these queues is sure to get packets.
    fn feeds(&self, queues: &[u32]) -> bool {
        match self {
            Site::Lab { lab, cpus, .. } => source_cpus(cpus, lab, queues).len() == queues.len(),
            Site::Interface { .. } => false,
        }
    }

    /// Has the lab send what a setting needs, until the result is dropped.
    fn send(&self, setting: &Setting, queues: &[u32], len: usize) -> Result<Sending<'_>> {
        let Site::Lab { lab, cpus, sources } = self else { return Ok(Sending::Nothing) };
        let mut from = source_cpus(cpus, lab, queues).into_iter();
        match setting.workload {
            Workload::Txonly => Ok(Sending::Nothing),
            Workload::Latency => {
                let paced = from.map(|cpu| {
                    PacedSource::start(lab.egress(cpu)?, rfc2544::to_us(len)?, LATENCY_PPS)
                });
                Ok(Sending::Paced { _sources: paced.collect::<Result<_>>()? })
            }
            _ => {
                let flood =
                    from.by_ref().filter_map(|cpu| sources.get(&(cpu, setting.packet_size)));
                Ok(Sending::Flood(flood.inspect(|source| source.resume()).collect()))
            }
        }
    }

    /// Runs the loops side by side, one CPU each.
    fn run(
        &self,
        loops: Vec<Box<dyn Work>>,
        meter: &Meter,
        length: Duration,
        queues: &[u32],
        control: &Control,
    ) -> Result<Sample> {
        let (share, least, most) = WARM_UP;
        let from_ns = monotonic_ns() + (length / share).clamp(least, most).as_nanos() as u64;
        let window = Window { from_ns, length, queues, fed: self.feeds(queues) };
        let mut measured: Vec<_> =
            loops.into_iter().map(|work| Measured::new(work, meter, window)).collect();
        // Sources begin at the first CPU, so loops begin at the last.
        let cpus: Vec<usize> = self.cpus().iter().rev().copied().collect();
        worker::run(&mut measured, control, &worker::Place::Threads { cpus: &cpus })?;
        let samples = measured.into_iter().filter_map(Measured::sample);
        Ok(Sample::together(samples).unwrap_or_default())
    }
}

/// Most queues that are measured at a time.
const MOST_QUEUES: usize = 4096;

/// For each queue a CPU whose source feeds it, from the first CPU on. A queue that no CPU feeds
/// gets nothing.
fn source_cpus(cpus: &[usize], lab: &Lab, queues: &[u32]) -> Vec<usize> {
    let feeds = |queue: &u32| cpus.iter().copied().find(|&cpu| lab.queue_of(cpu) == *queue);
    queues.iter().filter_map(feeds).collect()
}

/// Traffic for as long as it lives.
enum Sending<'s> {
    Nothing,
    Flood(Vec<&'s LiveSource>),
    Paced { _sources: Vec<PacedSource> },
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Sending::Flood(sources) = self {
            sources.iter().for_each(|source| source.pause());
        }
    }
}

fn no_cpus(error: std::io::Error) -> FluxError {
    FluxError::os(crate::error::Op::Query, "the CPUs of this process", error)
}
