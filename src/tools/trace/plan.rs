//! What a trace is asked to do. Made by the command from its arguments; checked here.

use super::asn::AsTable;
use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::tools::host::Family;
use crate::tools::measure::Rate;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What probes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// UDP to a port where nobody listens, as traceroute.
    #[default]
    Udp,
    /// TCP SYN; a SYN-ACK is answered with a reset.
    Tcp,
    /// ICMP or ICMPv6 echo requests, as mtr.
    Icmp,
}

impl Protocol {
    /// Destination port without `-p`: traceroute's first for UDP, HTTP for TCP.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Protocol::Udp => 33_434,
            Protocol::Tcp => 80,
            Protocol::Icmp => 0,
        }
    }
}

/// Where a probe carries its number, and so what load balancers see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Everything that routers hash stays the same: the number is in the UDP checksum, the TCP
    /// sequence number, or the ICMP sequence number with the checksum kept.
    #[default]
    Paris,
    /// As traceroute of old: the number changes the destination port (UDP), the source port (TCP)
    /// or the ICMP checksum, so that each probe may take another path.
    Classic,
    /// UDP alone: ports and checksum stay the same, the number is in the IPv4 identification or,
    /// over IPv6, in the payload. A quoted checksum that differs is a NAT's.
    Dublin,
}

/// How often the path is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// Until every hop is known once; `queries` probes a hop.
    Once,
    /// This many rounds.
    Count(u64),
    /// Until stopped.
    Endless,
}

/// How all paths are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multipath {
    /// Probability that no router was missed, for the whole graph: 0.5 to 0.9999.
    pub confidence: f64,
    /// Most flows per target, 1 to [`MAX_FLOWS`].
    pub max_flows: u16,
}

impl Default for Multipath {
    fn default() -> Self {
        Self { confidence: 0.95, max_flows: 1024 }
    }
}

/// One trace run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names or addresses, as given.
    pub targets: Vec<String>,
    /// Which family names may resolve to.
    pub family: Family,
    /// What probes are made of.
    pub protocol: Protocol,
    /// Where they carry their number.
    pub strategy: Strategy,
    /// Destination port (UDP, TCP).
    pub port: u16,
    /// First TTL or hop limit, from 1.
    pub first: u8,
    /// Last TTL or hop limit, up to 255.
    pub max_hops: u8,
    /// Probes per hop and round, 1 to 255.
    pub queries: u8,
    /// Longest wait for an answer.
    pub wait: Duration,
    /// Wait the whole of `wait`, also where other answers show that it is useless.
    pub patient: bool,
    /// Source address, where one was asked for.
    pub source: Option<IpAddr>,
    /// The interface, where one was asked for; `config.interface` is filled in by the run.
    pub interface: Option<String>,
    /// TOS or traffic class byte.
    pub tos: u8,
    /// Length of IP packets in bytes, as traceroute's; `None`: as short as they can be.
    pub size: Option<u16>,
    /// The same from the Ethernet header on, without the frame check sequence; replaces `size`.
    pub packet_size: Option<u16>,
    /// How often.
    pub rounds: Rounds,
    /// Time between the starts of two rounds.
    pub interval: Duration,
    /// Probes per second over all targets.
    pub rate: f64,
    /// Look for all paths.
    pub paths: Option<Multipath>,
    /// Look for the path MTU.
    pub mtu: bool,
    /// Look up names of addresses.
    pub names: bool,
    /// Which autonomous system addresses belong to, where that is to be reported.
    pub asns: Option<Arc<AsTable>>,
    /// Whether frames of 4096 bytes are taken where the MTU asks for them; else those of `config`.
    pub fit_frames: bool,
    /// Whether single answers and timeouts are reported.
    pub each: bool,
    /// Whether the numbers so far are reported after every round.
    pub each_round: bool,
    /// Socket options.
    pub config: Config,
}

/// Most flows of a run: as many source ports as there are above Linux's ephemeral ones.
pub const MAX_FLOWS: u16 = 4096;
/// Destination ports of the classic strategy: 33434 to 33534, to which hosts and firewalls expect
/// traceroute's probes.
pub(super) const CLASSIC_PORTS: u16 = 101;
/// Most targets of a run.
pub const MAX_TARGETS: usize = 1 << 20;
/// Shortest and longest IP packet that can be asked for.
pub const SIZES: (u16, u16) = (28, 65_000);
/// Probes a second without `--rate`. What is due within 10 ms leaves together.
pub const RATE: f64 = 10_000.0;
/// Longest of all times that can be asked for: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Plan {
    /// What `trace TARGET…` does without options: UDP, three probes to each of 30 hops, at once.
    #[must_use]
    pub fn new<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self {
            targets: targets.into_iter().map(Into::into).collect(),
            family: Family::Any,
            protocol: Protocol::Udp,
            strategy: Strategy::Paris,
            port: Protocol::Udp.default_port(),
            first: 1,
            max_hops: 30,
            queries: 3,
            wait: Duration::from_secs(1),
            patient: false,
            source: None,
            interface: None,
            tos: 0,
            size: None,
            packet_size: None,
            rounds: Rounds::Once,
            interval: Duration::from_secs(1),
            rate: RATE,
            paths: None,
            mtu: false,
            names: false,
            asns: None,
            fit_frames: true,
            each: true,
            each_round: false,
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
                wrong(&what, "must be at most 1048576").with_hint("trace them in several runs")
            );
        }
        if self.max_hops == 0 {
            return bad("max hops 0".into(), "must be 1 to 255");
        }
        if self.first == 0 {
            return Err(
                wrong("first hop 0", "must be at least 1").with_hint("use 1, the nearest router")
            );
        }
        if self.first > self.max_hops {
            let (first, last) = (self.first, self.max_hops);
            let why = format!("is beyond the last hop {last} (-m)");
            return Err(FluxError::config(format!("first hop {first} (-f)"), why)
                .with_hint(format!("use -f 1 to {last}, or a larger -m")));
        }
        if self.queries == 0 {
            return bad("0 queries".into(), "must be 1 to 255 probes per hop");
        }
        if self.protocol != Protocol::Icmp && self.port == 0 {
            return bad("port 0".into(), "must be 1 to 65535");
        }
        if self.strategy == Strategy::Dublin && self.protocol != Protocol::Udp {
            return Err(FluxError::config("strategy dublin", "is for UDP")
                .with_hint("leave out -T and --icmp"));
        }
        if self.strategy == Strategy::Classic && self.paths.is_some() {
            let why = "changes path with every probe, so that --paths finds no flow again";
            return Err(FluxError::config("strategy classic", why)
                .with_hint("leave --strategy out: paris is the default"));
        }
        if self.rounds == Rounds::Count(0) {
            return Err(wrong("0 rounds", "must be at least 1")
                .with_hint("probe once, or in rounds until stopped"));
        }
        if self.paths.is_some() && self.rounds != Rounds::Once {
            return Err(FluxError::config("--paths", "probes until all paths are known")
                .with_hint("leave out -c and --live"));
        }
        if let Some(Multipath { confidence, max_flows }) = self.paths {
            if !(0.5..=0.9999).contains(&confidence) {
                return bad(format!("confidence {confidence}"), "must be 50% to 99.99%");
            }
            if !(1..=MAX_FLOWS).contains(&max_flows) {
                return bad(format!("{max_flows} flows"), "must be 1 to 4096");
            }
        }
        if let Some(size) = self.size
            && !(SIZES.0..=SIZES.1).contains(&size)
        {
            return bad(format!("size {size}"), "must be 28 to 65000 bytes");
        }
        self.pace()?;
        if self.wait.is_zero() {
            return Err(wrong("wait 0s", "must be above 0s")
                .with_hint("use a time that is longer than the slowest answer takes, such as 1s"));
        }
        for (name, time) in [("wait", self.wait), ("interval", self.interval)] {
            if time > LONGEST {
                return bad(format!("{name} {time:?}"), "must be at most 100 years");
            }
        }
        self.config.validate()
    }

    /// How many probes in a row have different destination ports, where these vary.
    pub(super) fn ports_in_a_row(&self) -> Option<u16> {
        let varied = (self.protocol, self.strategy) == (Protocol::Udp, Strategy::Classic);
        varied.then_some(CLASSIC_PORTS)
    }

    /// The rate, as something to count with.
    pub(super) fn pace(&self) -> Result<Rate> {
        Rate::per_second_f64(self.rate).ok_or_else(|| {
            let why = "must be above 0 and below 10^12 packets a second";
            FluxError::config(format!("rate {}", self.rate), why)
        })
    }
}

/// The result of a run, for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Targets that answered.
    pub reached: usize,
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
