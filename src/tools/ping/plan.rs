//! What a run is asked to do. Made by the command from its arguments; checked here.

use crate::config::Config;
use crate::tools::net::Family;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// What to do about the path MTU, as `ping -M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PathMtu {
    /// Set DF: routers must not fragment.
    Do,
    /// Set DF where the packet fits the local MTU (the same as [`PathMtu::Do`] here, as nothing
    /// is fragmented locally).
    Want,
    /// Clear DF: routers may fragment.
    #[default]
    Dont,
}

/// A VLAN tag for every probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub priority: u8,
}

/// One ping run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names or addresses, as given.
    pub targets: Vec<String>,
    /// Which family names may resolve to.
    pub family: Family,
    /// Probes per target; `None`: until stopped.
    pub count: Option<u64>,
    /// Time between two probes to one target. Zero: as fast as replies come (flood).
    pub interval: Duration,
    /// Probes per second over all targets; replaces `interval`.
    pub rate: Option<f64>,
    /// Flood: send when a reply comes, at least 100 a second (as `ping -f`), or at `rate`.
    pub flood: bool,
    /// ICMP payload bytes.
    pub size: usize,
    /// How long to wait for each reply.
    pub timeout: Duration,
    /// End of the whole run.
    pub deadline: Option<Duration>,
    /// TTL or hop limit of the probes.
    pub ttl: u8,
    /// TOS or traffic class byte.
    pub tos: u8,
    /// DF or not.
    pub path_mtu: PathMtu,
    /// Bytes that the payload repeats; empty: counting up, as ping fills it.
    pub pattern: Vec<u8>,
    /// VLAN tag, besides the one of a VLAN interface.
    pub vlan: Option<VlanTag>,
    /// Whether `-D` asks for wall-clock times.
    pub wall_clock: bool,
    /// Whether summaries carry histogram rows.
    pub histogram: bool,
    /// Whether single replies, timeouts and errors are reported (not with `-q`).
    pub each: bool,
    /// The interface, where one was asked for; `config.interface` is filled in by the run.
    pub interface: Option<String>,
    /// Socket options.
    pub config: Config,
}

/// What signal handlers tell a run.
#[derive(Debug, Default)]
pub struct Control {
    /// End now, with the summary.
    pub stop: AtomicBool,
    /// Counts requests for interim numbers.
    pub interim: AtomicU64,
}

/// What a run came to, for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Targets that answered at least once (with `count` and `deadline`: `count` times).
    pub answered: usize,
    /// All targets.
    pub targets: usize,
}
