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
    /// The first answer to a probe, in time; of a group, the first of each member.
    Reply(Reply),
    /// A further answer to a probe that was answered.
    Duplicate(Reply),
    /// An answer to a probe that had been given up.
    Late(Reply),
    /// An answer whose checksum is wrong: no answer to its probe.
    Corrupt(Reply),
    /// A router or host says that a probe did not get there. An answer may still come.
    Icmp(IcmpError),
    /// A probe was not answered in time.
    Timeout(Timeout),
    /// A probe was not answered when the next one was to be sent, where that was asked for.
    Outstanding(Outstanding),
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
    /// It has less payload than the probe.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// It comes from another address than the one that was asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub different_address: bool,
    /// The first byte of the payload that is not as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong_byte: Option<WrongByte>,
    /// Wall-clock time of the reply in seconds since 1970, when asked for (`-D`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unix_time_s: Option<f64>,
}

/// A byte of an answer's payload that is not as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WrongByte {
    /// Where in the payload, from 0.
    pub offset: usize,
    /// As sent.
    pub expected: u8,
    /// As it came back.
    pub actual: u8,
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
    /// An ICMP error about it came before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub after_error: bool,
}

/// A probe that still waits for its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Outstanding {
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
    /// `sent − received` at the end; before it, probes given up. Those with an ICMP error and no answer
    /// are among them, and those not sent are not.
    pub lost: u64,
    /// `lost ÷ sent`, percent; 100 where none could be sent.
    pub loss_pct: f64,
    /// Further answers to answered probes.
    pub duplicates: u64,
    /// Replies that came after the reply to a later probe.
    pub reordered: u64,
    /// Answers that came after their probe was given up.
    pub late: u64,
    /// Answers with a wrong checksum or changed payload. With a good checksum they are received.
    pub corrupt: u64,
    /// Of these, those with a wrong checksum.
    pub bad_checksum: u64,
    /// Of the received, those that were shorter than the probe.
    pub truncated_replies: u64,
    /// Of the received, those from another address than the target's.
    pub different_address_replies: u64,
    /// Probes that an ICMP error is about, or that could not be sent.
    pub errors: u64,
    /// Round-trip times; `None` without a reply.
    pub rtt_us: Option<Statistics>,
    /// Who answered, where the target is a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answerers: Option<Vec<Answerer>>,
    /// From the first probe to the end, in seconds.
    pub elapsed_s: f64,
    /// The histogram's rows, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<HistogramRow>,
    /// Why nothing was sent to the target, where it is this host that could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It is an address of this host: alive, and not asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own_address: bool,
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
            bad_checksum: 0,
            truncated_replies: 0,
            different_address_replies: 0,
            errors: 1,
            rtt_us: None,
            answerers: None,
            elapsed_s: 0.0,
            histogram: Vec::new(),
            error: Some(refused.error.to_string()),
            own_address: false,
        }
    }

    /// Of an address of this host.
    pub(super) fn own(refused: &Refused) -> Self {
        let summary = Self::refused(refused);
        Self { own_address: true, errors: 0, loss_pct: 0.0, error: None, ..summary }
    }
}

/// A member of a group that answered.
#[derive(Clone, Debug, Serialize)]
pub struct Answerer {
    /// Its address.
    pub address: Zoned,
    /// Probes that it answered.
    pub received: u64,
    /// Further answers of it to these.
    pub duplicates: u64,
    /// Round-trip times of its answers.
    pub rtt_us: Option<Brief>,
}

/// What is known of durations that are not kept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Brief {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The longest.
    pub max: f64,
}
