//! What a trace reports while it goes and at its end. The command prints these as text or JSON.

use super::plan::{Protocol, Strategy};
use crate::tools::measure::Statistics;
use crate::tools::probe::{NeighbourFound, Refused, SendError, TargetRoute, Zone, Zoned};
use crate::tools::session::{Opened, SessionEvent};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One thing that happened. Times in µs, sizes in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Before the first packet: what was really granted.
    Start(Start),
    /// The link layer address of a next hop was found; its time is in no RTT.
    Neighbour(NeighbourFound),
    /// The first answer to a probe, in time.
    Reply(Reply),
    /// A further answer to a probe that was answered.
    Duplicate(Reply),
    /// An answer to a probe that had been given up.
    Late(Reply),
    /// A probe was not answered in time.
    Timeout(Timeout),
    /// Probes to a target cannot be sent.
    SendError(SendError),
    /// What is known of one target at the end.
    Summary(Summary),
    /// What is known of one target while the run goes on.
    Interim(Summary),
    /// What happens to the sockets, and at the end why packets were lost.
    #[serde(untagged)]
    Session(SessionEvent),
}

/// What was really granted.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// Interface, mode, queues, clocks.
    #[serde(flatten)]
    pub opened: Opened,
    /// Every interface, where probes leave by more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Opened>,
    /// Every target that can be used, as given and resolved, in order.
    pub targets: Vec<TargetRoute>,
    /// What probes are made of.
    pub protocol: Protocol,
    /// Where they carry their number.
    pub strategy: Strategy,
    /// Destination port; 0 for ICMP.
    pub port: u16,
    /// First TTL.
    pub first: u8,
    /// Last TTL.
    pub max_hops: u8,
    /// Probes per hop and round.
    pub queries: u8,
    /// Length of the IP packets in bytes; 0 where it is not the same for all targets, of which each
    /// has its own.
    pub packet_bytes: u16,
}

/// An answer to a probe.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The target, as given.
    pub target: String,
    /// TTL or hop limit of the probe.
    pub ttl: u8,
    /// Number of the probe, from 1; over all hops of a target.
    pub probe: u64,
    /// Flow of the probe: 0, except with `--paths`.
    pub flow: u16,
    /// Round, from 1.
    pub round: u64,
    /// Who answered.
    pub from: Zoned,
    /// Round-trip time; `None` where it cannot be known.
    pub rtt_us: Option<f64>,
    /// What was answered: `time_exceeded`, `port_unreachable`, `echo_reply`, `syn_ack`, `reset`, …
    pub icmp: String,
    /// As traceroute marks it: `!H`, `!N`, `!X`, `!F-1400`.
    pub mark: Option<String>,
    /// Whether the target itself answered.
    pub reached: bool,
    /// TTL of the answer when it came here.
    pub reply_ttl: u8,
    /// TTL of the probe when it was answered, as quoted; usually 1.
    pub quoted_ttl: Option<u8>,
    /// MPLS labels, outermost first (RFC 4950).
    pub mpls: Vec<Label>,
    /// Other ICMP extension objects (RFC 4884).
    pub extensions: Vec<ExtensionObject>,
    /// Next-hop MTU, where the answer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// What a NAT on the way changed in the probe, as the quote shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
    /// What the TCP port that was probed is, where the target said so. A port that was once open
    /// stays so: it resets what comes before our own reset does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_state: Option<PortState>,
    /// The autonomous system that the address belongs to, by `--asn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Further systems that announce the same prefix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_asns: Vec<u32>,
}

/// One entry of an MPLS label stack (RFC 3032 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub tc: u8,
    /// Whether it is the last of the stack.
    pub bottom: bool,
    /// TTL of the entry.
    pub ttl: u8,
}

/// An extension object that is not an MPLS label stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExtensionObject {
    /// Class number (2: interface information, RFC 5837).
    pub class: u8,
    /// C-type.
    pub ctype: u8,
    /// The object's payload in hexadecimal.
    pub data: String,
}

/// What of a probe was not as we sent it when it was quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewritten {
    /// The source address.
    SourceAddress,
    /// The source port or ICMP identifier.
    SourcePort,
    /// The destination address.
    DestinationAddress,
    /// The destination port.
    DestinationPort,
    /// The transport checksum alone: a NAT that restored the rest of the quote.
    Checksum,
}

/// A probe that was given up.
#[derive(Clone, Debug, Serialize)]
pub struct Timeout {
    /// The target, as given.
    pub target: String,
    /// TTL or hop limit of the probe.
    pub ttl: u8,
    /// Number of the probe.
    pub probe: u64,
    /// Flow of the probe.
    pub flow: u16,
    /// Round.
    pub round: u64,
}

/// What is known of the way to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The target, as given.
    pub target: String,
    /// Its address; `None` where it has none, as the name of no host.
    pub address: Option<IpAddr>,
    /// Whether the target itself answered.
    pub reached: bool,
    /// TTL with which the target was reached: the least of all flows.
    pub distance: Option<u8>,
    /// Who answered as the target, where that is another address than the one that was asked.
    #[serde(default)]
    pub answered_by: Option<Zoned>,
    /// Rounds that were begun.
    pub rounds: u64,
    /// Every hop from the first TTL to the target, or to the last one from which more is known
    /// than silence; with `max_hops` silent ones when the target did not answer.
    pub hops: Vec<Hop>,
    /// The distinct ways that probes were seen to take, one address per hop from the first TTL on;
    /// `None` where a hop was silent. With a per-packet balancer these are what flows showed.
    pub paths: Vec<Vec<Option<Zoned>>>,
    /// Numbers for each of `paths`, in order.
    pub path_stats: Vec<PathStats>,
    /// Which router follows which, with `--paths`.
    pub links: Vec<Link>,
    /// How sure `--paths` is; `None` without it.
    pub multipath: Option<Certainty>,
    /// Path MTU in bytes; `None` where it was not looked for or not found.
    pub mtu: Option<u32>,
    /// What the path MTU is at least, in bytes, where our frames hold no longer packets; `mtu` is
    /// `None` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_at_least: Option<u32>,
    /// Who said last that a packet was too big: larger packets than the path MTU stop there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_hop: Option<MtuHop>,
    /// After which TTL larger packets vanish without a word.
    pub mtu_black_hole: Option<u8>,
    /// What the target's TCP port is, where it was probed and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_state: Option<PortState>,
    /// Whether the target answered echo requests alone, and none of the probes that were asked for:
    /// it filters these, or limits its answers to them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub echo_only: bool,
    /// Where a NAT rewrites probes.
    pub nat: Vec<Nat>,
    /// Further answers to answered probes.
    pub duplicates: u64,
    /// Answers that came after their probe was given up.
    pub late: u64,
    /// From the first probe to the last answer or timeout that was waited for, in seconds.
    pub elapsed_s: f64,
    /// Why no probe was sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Summary {
    /// Of a target that was left out of the run.
    pub(super) fn refused(refused: &Refused) -> Self {
        Self {
            target: refused.name.clone(),
            address: refused.address,
            reached: false,
            distance: None,
            answered_by: None,
            rounds: 0,
            hops: Vec::new(),
            paths: Vec::new(),
            path_stats: Vec::new(),
            links: Vec::new(),
            multipath: None,
            mtu: None,
            mtu_at_least: None,
            mtu_hop: None,
            mtu_black_hole: None,
            port_state: None,
            echo_only: false,
            nat: Vec::new(),
            duplicates: 0,
            late: 0,
            elapsed_s: 0.0,
            error: Some(refused.error.to_string()),
        }
    }

    /// Link-local addresses get the zone that they were heard in.
    pub(super) fn hear_in(&mut self, zone: Option<Zone>) {
        let Self { answered_by, hops, paths, links, mtu_hop, nat, .. } = self;
        let routers = hops.iter_mut().flat_map(|hop| &mut hop.routers);
        let ends = links.iter_mut().flat_map(|link| [&mut link.from, &mut link.to]);
        let several = routers
            .map(|router| &mut router.address)
            .chain(ends.chain(paths.iter_mut().flatten()).chain([answered_by]).flatten())
            .chain(mtu_hop.as_mut().map(|hop| &mut hop.address))
            .chain(nat.iter_mut().map(|nat| &mut nat.address));
        several.for_each(|address| *address = Zoned::new(address.address, zone));
    }

    /// No probe was sent, and nothing is known of any hop.
    pub(super) fn left_out(&mut self, why: String) {
        self.hops.clear();
        self.error = Some(why);
    }
}

/// A router that said that a packet is too big for its next link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MtuHop {
    /// How far away it is, where the TTL that it quoted shows it.
    pub ttl: Option<u8>,
    /// Its address.
    pub address: Zoned,
    /// The MTU that it told; `None` of routers older than RFC 1191.
    pub mtu: Option<u32>,
}

/// What a TCP port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// A SYN is answered with a SYN-ACK.
    Open,
    /// A SYN is answered with a reset.
    Closed,
    /// A SYN is refused by an ICMP error, as firewalls do.
    Filtered,
}

impl std::fmt::Display for PortState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
        })
    }
}

/// One TTL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// TTL or hop limit.
    pub ttl: u8,
    /// Who answered, the most frequent first; empty for a silent hop.
    pub routers: Vec<Router>,
    /// Probes with this TTL that were answered or given up.
    pub sent: u64,
    /// Those that were answered.
    pub received: u64,
    /// Those that were not, percent. With `limited` those that the limit explains are left out.
    pub loss_pct: f64,
    /// Whether it limits its answers: those behind it lost less.
    #[serde(default)]
    pub limited: bool,
    /// How several routers share this TTL; `None` with one.
    pub balancing: Option<Balancing>,
}

/// How packets are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancing {
    /// Packets of one flow keep together.
    PerFlow,
    /// Packets of one flow went different ways.
    PerPacket,
    /// Not enough probes of one flow to know.
    Unknown,
}

impl std::fmt::Display for Balancing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PerFlow => "per-flow",
            Self::PerPacket => "per-packet",
            Self::Unknown => "unknown",
        })
    }
}

/// Who answers at a TTL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Router {
    /// Its address.
    pub address: Zoned,
    /// Its name, where names are looked up and it has one.
    pub name: Option<String>,
    /// Probes that it answered, or that were lost and would have gone to it.
    pub sent: u64,
    /// Probes that it answered.
    pub received: u64,
    /// `(sent − received) ÷ sent`, percent. With `limited` what the limit explains is left out.
    pub loss_pct: f64,
    /// Whether it limits its answers.
    #[serde(default)]
    pub limited: bool,
    /// Round-trip times.
    pub rtt_us: Option<Rtt>,
    /// MPLS labels of its last answer, outermost first.
    pub mpls: Vec<Label>,
    /// Other extension objects of its last answer.
    pub extensions: Vec<ExtensionObject>,
    /// What it answered last, as a word.
    pub icmp: String,
    /// As traceroute marks its last answer: `!H`, `!N`, `!X`.
    pub mark: Option<String>,
    /// TTL of its last answer when it came here.
    pub reply_ttl: u8,
    /// Hops that the answer travelled, guessed from its TTL; an asymmetry where it is not the TTL.
    pub back_hops: Option<u8>,
    /// MTU behind it, where it said that a packet was too big.
    pub mtu: Option<u32>,
    /// What the TCP port that was probed is, where this is the target and said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_state: Option<PortState>,
    /// The autonomous system that its address belongs to, by `--asn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Further systems that announce the same prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_asns: Vec<u32>,
}

/// Round-trip times in µs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    /// Of the last answer.
    pub last: f64,
    /// Of all answers.
    #[serde(flatten)]
    pub times: Statistics,
    /// Mean difference between one answer and the next, as mtr's Javg.
    pub jitter: f64,
}

/// What one of the paths is like, measured at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathStats {
    /// Flows that took it.
    pub flows: u32,
    /// Probes of these flows to the target.
    pub sent: u64,
    /// Those that were answered.
    pub received: u64,
    /// Those that were not, percent.
    pub loss_pct: f64,
    /// Round-trip times to the target.
    pub rtt_us: Option<Rtt>,
}

/// A router at one TTL and one that follows it; `None` is a silent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// TTL of `from`.
    pub ttl: u8,
    /// The nearer router.
    pub from: Option<Zoned>,
    /// The one behind it.
    pub to: Option<Zoned>,
}

/// How sure it is that all paths were found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certainty {
    /// What was asked for, 0 to 1.
    pub confidence: f64,
    /// Flows that were used.
    pub flows: u32,
    /// Probes that were sent.
    pub probes: u64,
    /// Whether the stopping rule was met everywhere; else the flows ran out or the run was ended.
    pub complete: bool,
    /// Whether it was ended because routers that limit their answers took too long.
    #[serde(default)]
    pub stopped: bool,
}

/// A NAT on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Nat {
    /// The first TTL from which a probe was quoted as rewritten.
    pub ttl: u8,
    /// Who quoted it.
    pub address: Zoned,
    /// What was rewritten.
    pub rewritten: Rewritten,
}
