//! What a received frame says about our probes. Total: any bytes give one of the three.

use super::event::{ExtensionObject, Label, Rewritten};
use std::net::IpAddr;

/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer to a probe, or something that looks like one: whether the probe was ever sent is
    /// the session's to say.
    Answer(Box<Answer>),
    /// A sound packet that is none.
    Foreign,
    /// A frame that is not what it says it is.
    Malformed,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who sent it.
    pub(super) from: IpAddr,
    /// To whom: our source address.
    pub(super) to: IpAddr,
    /// The target of the probe: quoted, or who answered directly.
    pub(super) target: IpAddr,
    /// Flow of the probe, where it can be told.
    pub(super) flow: Option<u16>,
    /// Number of the probe; `None` where the answer does not tell (a UDP reply).
    pub(super) number: Option<u16>,
    pub(super) kind: Kind,
    /// TTL of the answer.
    pub(super) reply_ttl: u8,
    /// TTL of the probe as quoted.
    pub(super) quoted_ttl: Option<u8>,
    /// MPLS label stack, outermost first.
    pub(super) mpls: Vec<Label>,
    /// Other extension objects.
    pub(super) extensions: Vec<ExtensionObject>,
    /// What of the quote is not as we sent it.
    pub(super) nat: Option<Rewritten>,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TTL or hop limit used up on the way: a router.
    TimeExceeded,
    /// Any other ICMP error; type and code are those of the family.
    Error {
        v4: bool,
        icmp_type: u8,
        code: u8,
        /// Next-hop MTU, where it is told.
        mtu: Option<u32>,
    },
    /// An echo reply.
    EchoReply,
    /// An open TCP port. What a reset must carry as its sequence number.
    SynAck { ack: u32 },
    /// A closed TCP port.
    Reset,
    /// A UDP datagram from the port that was probed.
    UdpReply,
}
