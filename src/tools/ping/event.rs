//! What a run reports while it goes and at its end. The command prints these as text or JSON.

use crate::tools::measure::duration_stats::{HistogramRow, Statistics};
use crate::tools::probe::{NeighbourFound, Refused, SendError, TargetRoute, Zoned};
use crate::tools::session::{Opened, SessionEvent};
use serde::Serialize;
use std::net::IpAddr;

/// One thing that happened. Times in µs, sizes in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Before the first packet: what was really granted.
    Start(Start),
    /// The link layer address of a next hop was found; its time is in no RTT.
    Neighbour(NeighbourFound),
    /// The first answer to a probe, in time and as it should be.
    Reply(Reply),
    /// A further answer to a probe that was answered.
    Duplicate(Reply),
    /// An answer to a probe that had been given up.
    Late(Reply),
    /// An answer whose checksum or payload is wrong.
    Corrupt(Reply),
    /// A router or host says that a probe did not get there.
    Icmp(IcmpError),
    /// A probe was not answered in time.
    Timeout(Timeout),
    /// A probe could not be sent.
    SendError(SendError),
    /// The numbers of one target, at the end or in between.
    Summary(Summary),
    /// The numbers of one target while the run goes on (SIGQUIT).
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
    /// ICMP payload bytes.
    pub payload_bytes: usize,
}

/// An answer to a probe.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The target, as given.
    pub target: String,
    /// Who answered.
    pub from: Zoned,
    /// Sequence number, extended past 16 bits; the first probe is 1.
    pub seq: u64,
    /// ICMP message length: header and payload.
    pub bytes: usize,
    /// TTL or hop limit of the answer.
    pub reply_ttl: u8,
    /// Round-trip time; `None` where it cannot be known.
    pub rtt_us: Option<f64>,
    /// A reply to a later probe came before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_order: bool,
    /// Wall-clock time of the reply in seconds since 1970, when asked for (`-D`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unix_time_s: Option<f64>,
}

/// An ICMP error about one of our probes.
#[derive(Clone, Debug, Serialize)]
pub struct IcmpError {
    /// The target, as given.
    pub target: String,
    /// Who sent the error.
    pub from: Zoned,
    /// The probe it is about.
    pub seq: u64,
    /// ICMP type.
    #[serde(rename = "type")]
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// In words, as ping says it.
    pub text: String,
    /// Next-hop MTU, where the error says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// From sending to the error.
    pub rtt_us: Option<f64>,
}

/// A probe that was given up.
#[derive(Clone, Debug, Serialize)]
pub struct Timeout {
    /// The target, as given.
    pub target: String,
    /// The probe.
    pub seq: u64,
}

/// The numbers of one target.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The target, as given.
    pub target: String,
    /// Its address; `None` where it has none, as the name of no host.
    pub address: Option<IpAddr>,
    /// Probes sent.
    pub sent: u64,
    /// Probes that were due and could not be sent: there was no way to the target, or no link.
    pub unsent: u64,
    /// Probes answered in time.
    pub received: u64,
    /// Probes given up, ICMP errors and those not sent included.
    pub lost: u64,
    /// `lost ÷ (sent + unsent)`, percent.
    pub loss_pct: f64,
    /// Further answers to answered probes.
    pub duplicates: u64,
    /// Replies that came after the reply to a later probe.
    pub reordered: u64,
    /// Answers that came after their probe was given up.
    pub late: u64,
    /// Answers with a wrong checksum or payload.
    pub corrupt: u64,
    /// ICMP errors.
    pub errors: u64,
    /// Round-trip times; `None` without a reply.
    pub rtt_us: Option<Statistics>,
    /// From the first probe to the end, in seconds.
    pub elapsed_s: f64,
    /// The histogram's rows, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<HistogramRow>,
    /// Why the target was left out of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Summary {
    /// Of a target that was left out of the run.
    pub(super) fn refused(refused: &Refused) -> Self {
        Self {
            target: refused.name.clone(),
            address: refused.address,
            sent: 0,
            unsent: 0,
            received: 0,
            lost: 0,
            loss_pct: 100.0,
            duplicates: 0,
            reordered: 0,
            late: 0,
            corrupt: 0,
            errors: 1,
            rtt_us: None,
            elapsed_s: 0.0,
            histogram: Vec::new(),
            error: Some(refused.error.to_string()),
        }
    }
}
