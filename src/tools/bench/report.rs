//! What a run found. These structs are the JSON; their keys are API.

use super::plan::{Library, Poll, Workload};
use super::stats::Spread;
use crate::config::Pages;
use crate::tools::measure::Statistics;
use crate::tools::session::Opened;
use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "report")]
pub struct Report {
    /// `xdp` or `sim`.
    pub backend: String,
    /// `lab`, `interface` or `sim`.
    pub place: String,
    /// What a reader must know before comparing: "simulated rings: not a NIC figure" and such.
    #[serde(alias = "note")]
    pub remark: Option<String>,
    /// Version of flux. It stands at the head of every report: written with what all objects have.
    #[serde(skip_serializing)]
    pub version: String,
    /// What it ran on.
    pub machine: Machine,
    /// What the kernel granted to the first setting.
    pub opened: Option<Start>,
    /// Measured time of one sample in s.
    pub sample_s: f64,
    /// Samples per setting that were asked for.
    pub repeat: u32,
    /// False when the run was ended early; settings may then have fewer samples.
    pub complete: bool,
    /// The settings that have at least one sample, in the order of the plan.
    pub results: Vec<SettingReport>,
    /// The best setting of each workload that had packets, where one is.
    pub best: Vec<Best>,
    /// Workloads that had packets, and no setting that can be called the best.
    #[serde(default)]
    pub undecided: Vec<Undecided>,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor model.
    pub cpu: Option<String>,
    /// Processors that are online.
    pub cpus: u32,
    /// Kernel release.
    pub kernel: Option<String>,
}

/// What was granted to the first setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// As all commands tell it.
    #[serde(flatten)]
    pub opened: Opened,
    /// The interface that workload forward sends by, where that is measured.
    #[serde(default)]
    pub out: Option<String>,
}

/// One setting. Numbers other than `mpps` are medians over the samples, and `null` where the machine
/// or the place has no such number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingReport {
    /// What was done.
    pub workload: Workload,
    /// By which mode of the library.
    pub mode: Library,
    /// Packets per batch.
    pub batch: u32,
    /// How it waited.
    pub poll: Poll,
    /// Packet length in bytes, without frame check sequence.
    pub packet_size: u32,
    /// Number of queues, one thread each.
    #[serde(rename = "queue_count", alias = "queues")]
    pub queues: u32,
    /// What the UMEM lay in.
    #[serde(with = "word")]
    pub pages: Pages,
    /// Whether headers were prefetched.
    pub prefetch: bool,
    /// Million packets a second over all queues.
    pub mpps: Spread,
    /// User CPU time divided by packets, empty looks at the rings included.
    pub user_ns_per_packet: Option<f64>,
    /// Kernel CPU time of our threads divided by packets.
    pub system_ns_per_packet: Option<f64>,
    /// Time in user space inside batches that had packets, kernel calls left out.
    pub batch_ns_per_packet: Option<f64>,
    /// The same in cycles: core cycles where the machine counts them, else of the time stamp
    /// counter.
    pub cycles_per_packet: Option<f64>,
    /// `perf` or `tsc`.
    pub cycle_source: Option<String>,
    /// Instructions in user space, where the machine counts them.
    pub instructions_per_packet: Option<f64>,
    /// System calls divided by packets.
    pub syscalls_per_packet: Option<f64>,
    /// Packets per return from `poll(2)` with something to receive.
    pub packets_per_wakeup: Option<f64>,
    /// Packets per batch that had any.
    pub packets_per_batch: Option<f64>,
    /// Share of a CPU that our threads used, in percent, over all queues.
    pub cpu_pct: Option<f64>,
    /// Packets that the kernel dropped because the RX ring was full.
    pub ring_full: u64,
    /// Times the kernel wanted a fill ring entry and found none.
    pub fill_empty: u64,
    /// Packets dropped on their way to or from us, for whatever reason.
    pub dropped: u64,
    /// Packets in all.
    pub packets: u64,
    /// For workload latency: from XDP stamp to user space.
    pub latency_us: Option<Statistics>,
    /// For workload latency: the median time of each sample, and how far these are apart.
    #[serde(default)]
    pub latency_p50_us: Option<Spread>,
    /// Whether the samples' interquartile range is over 5 % of their median: of their Mpps, for
    /// workload latency of `latency_p50_us`.
    pub noisy: bool,
}

impl SettingReport {
    /// What tells this setting from the others.
    #[must_use]
    pub fn key(&self) -> SettingKey {
        let &Self { workload, mode, batch, poll, packet_size, queues, pages, prefetch, .. } = self;
        SettingKey { workload, mode, batch, poll, packet_size, queues, pages, prefetch }
    }
}

/// What tells one setting from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingKey {
    /// What was done.
    pub workload: Workload,
    /// By which mode of the library.
    pub mode: Library,
    /// Packets per batch.
    pub batch: u32,
    /// How it waited.
    pub poll: Poll,
    /// Packet length in bytes, without frame check sequence.
    pub packet_size: u32,
    /// Number of queues, one thread each.
    #[serde(rename = "queue_count", alias = "queues")]
    pub queues: u32,
    /// What the UMEM lay in.
    #[serde(with = "word")]
    pub pages: Pages,
    /// Whether headers were prefetched.
    pub prefetch: bool,
}

/// The best setting for a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The workload.
    pub workload: Workload,
    /// The mode of the library.
    pub mode: Library,
    /// Packets per batch.
    pub batch: u32,
    /// How to wait.
    pub poll: Poll,
    /// Packet length.
    pub packet_size: u32,
    /// Number of queues.
    #[serde(rename = "queue_count", alias = "queues")]
    pub queues: u32,
    /// What the UMEM lay in.
    #[serde(with = "word")]
    pub pages: Pages,
    /// Prefetch.
    pub prefetch: bool,
    /// The reason, in a sentence with its numbers.
    pub why: String,
}

/// Why a workload has no best setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// The workload.
    pub workload: Workload,
    /// Packet length.
    pub packet_size: u32,
    /// The settings that it is between, fastest first.
    pub settings: Vec<SettingKey>,
    /// The reason, in a sentence with its numbers.
    pub why: String,
}

impl SettingKey {
    /// Whether two runs measured the same setting. Which kind of huge pages a machine had to give is
    /// no choice.
    pub(super) fn is_same(&self, other: &SettingKey) -> bool {
        let pages =
            if self.pages.are_huge() && other.pages.are_huge() { other.pages } else { self.pages };
        SettingKey { pages, ..*self } == *other
    }
}

/// Values that are written as words.
mod word {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
