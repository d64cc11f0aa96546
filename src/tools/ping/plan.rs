//! What a run is asked to do. Made by the command from its arguments; checked here.

use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::tools::host::Family;
use crate::tools::measure::Rate;
use crate::tools::probe::{TargetFile, VlanTag};
use std::net::IpAddr;
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

/// One ping run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names or addresses, as given.
    pub targets: Vec<String>,
    /// Where the last of them were read, if in a file: told of those that cannot be used.
    pub file: Option<TargetFile>,
    /// Addresses of this host among them are not asked, and no error: those of a network, say.
    pub spare_own: bool,
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
    /// Ping broadcast addresses (`ping -b`), too.
    pub broadcast: bool,
    /// Send when a reply comes, or the timeout has passed: one probe per target under way (`ping -A`).
    pub adaptive: bool,
    /// Say of a probe that waits for its answer so, before the next one is sent (`ping -O`).
    pub outstanding: bool,
    /// ICMP payload bytes.
    pub size: usize,
    /// Bytes of a packet from the Ethernet header on, without the frame check sequence; replaces
    /// `size`.
    pub packet_size: Option<usize>,
    /// How long to wait for each reply.
    pub timeout: Duration,
    /// How long to wait at the end, besides, for errors that say why no answer came at all.
    pub linger: Duration,
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
    /// The source address, where one was asked for.
    pub source: Option<IpAddr>,
    /// Whether frames of 4096 bytes are taken where the MTU asks for them; else those of `config`.
    pub fit_frames: bool,
    /// Socket options.
    pub config: Config,
}

/// Largest ICMP payload: 65535 bytes of IPv4 packet without its two headers.
pub const MAX_SIZE: usize = 65507;
/// Longest `pattern`, as `ping -p`.
pub const MAX_PATTERN: usize = 16;
/// Most targets of a run.
pub const MAX_TARGETS: usize = 1 << 20;
/// Routers say that a host is unreachable when it did not answer their three questions for its link
/// layer address, a second apart.
const LINGER: Duration = Duration::from_secs(3);
/// Longest of all times that can be asked for: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Plan {
    /// What `ping TARGET…` does without options: 64-byte messages, one a second, until stopped.
    #[must_use]
    pub fn new<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self {
            targets: targets.into_iter().map(Into::into).collect(),
            file: None,
            spare_own: false,
            family: Family::Any,
            count: None,
            interval: Duration::from_secs(1),
            rate: None,
            flood: false,
            broadcast: false,
            adaptive: false,
            outstanding: false,
            size: 56,
            packet_size: None,
            timeout: Duration::from_secs(1),
            linger: LINGER,
            deadline: None,
            ttl: 64,
            tos: 0,
            path_mtu: PathMtu::default(),
            pattern: Vec::new(),
            vlan: None,
            wall_clock: false,
            histogram: false,
            each: true,
            interface: None,
            source: None,
            fit_frames: true,
            config: Config::new(""),
        }
    }

    /// Checks every value that can be checked without asking host or kernel.
    ///
    /// # Errors
    /// `ErrorKind::Config`, naming the value and the rule.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str, why: &str| FluxError::config(what.to_owned(), why);
        let bad = |what: String, why: &str| Err(wrong(&what, why));
        if self.targets.is_empty() {
            return Err(wrong("no target", "a probe needs somewhere to go")
                .with_hint("name at least one host or address"));
        }
        if self.targets.len() > MAX_TARGETS {
            let what = format!("{} targets", self.targets.len());
            return Err(
                wrong(&what, "must be at most 1048576").with_hint("probe them in several runs")
            );
        }
        if self.count == Some(0) {
            return Err(wrong("count 0", "must be at least 1")
                .with_hint("leave it out to go on until stopped"));
        }
        if self.size > MAX_SIZE {
            return bad(format!("size {}", self.size), "must be at most 65507 bytes");
        }
        if self.ttl == 0 {
            return bad("ttl 0".into(), "must be 1 to 255");
        }
        if self.pattern.len() > MAX_PATTERN {
            let what = format!("pattern of {} bytes", self.pattern.len());
            return bad(what, "must be at most 16 bytes");
        }
        if let Some(rate) = self.rate
            && Rate::per_second_f64(rate).is_none()
        {
            let why = "must be above 0 and below 10^12 packets a second";
            return Err(wrong(&format!("rate {rate}"), why)
                .with_hint("leave it out to send one probe each interval"));
        }
        if self.timeout.is_zero() {
            return Err(wrong("timeout 0s", "must be above 0s")
                .with_hint("use a time that is longer than the slowest answer takes, such as 1s"));
        }
        if self.deadline == Some(Duration::ZERO) {
            return Err(wrong("deadline 0s", "must be above 0s")
                .with_hint("leave it out for a run without a deadline"));
        }
        let times = [
            ("interval", Some(self.interval)),
            ("timeout", Some(self.timeout)),
            ("linger", Some(self.linger)),
            ("deadline", self.deadline),
        ];
        if let Some((name, Some(time))) = times.iter().find(|(_, t)| t.is_some_and(|t| t > LONGEST))
        {
            return bad(format!("{name} {time:?}"), "must be at most 100 years");
        }
        if let Some(tag) = self.vlan {
            if !(1..=4094).contains(&tag.id) {
                return bad(format!("VLAN {}", tag.id), "must be 1 to 4094");
            }
            if tag.priority > 7 {
                return bad(format!("VLAN priority {}", tag.priority), "must be 0 to 7");
            }
        }
        self.config.validate()
    }

    /// Whether probes go out as fast as answers come.
    pub(super) fn floods(&self) -> bool {
        self.rate.is_none() && (self.flood || self.adaptive || self.interval.is_zero())
    }
}

/// The result of a run, for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Targets that answered at least once (with `count` and `deadline`: `count` times).
    pub answered: usize,
    /// All targets.
    pub targets: usize,
    /// Those of them that could not be used, and were left out.
    pub refused: usize,
    /// Packets that came and answered none of our probes.
    pub foreign: u64,
    /// Packets that came and made no sense.
    pub malformed: u64,
    /// Answers that the XDP program could not stamp: their time of arrival is user space's.
    pub unstamped: u64,
}
