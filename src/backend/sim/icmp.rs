//! A router's ICMP errors: how many, when, and what they look like.

use super::balance::Dice;
use super::icmp_limit::Limiter;
use super::outbox::Outbox;
use super::wire::Ip;
use super::{Flaw, IcmpLimit, Quoting, RouterOptions, WrongLength};
use crate::proto::extensions::{self, ORIGINAL_LEN};
use crate::proto::respond::{self, IcmpError};
use crate::proto::{ICMP_LEN, IpPair, MacAddr, checksum};
use std::net::IpAddr;

/// Most MPLS labels of a router: more than fit into any stack that is in use.
pub(super) const MAX_LABELS: usize = 32;

/// MTU of [`Flaw::TooBig`].
const NONSENSE: u16 = 9000;

/// How a router refuses packets for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With "host unreachable".
    Unreachable,
    /// With "administratively prohibited".
    Prohibited,
    /// With "packet too big" and this MTU, however short the packet is.
    TooBig(u16),
    /// Without a word.
    BlackHole,
}

/// Whose errors they are: the address and Ethernet address they come from.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) address: IpAddr,
    pub(super) mac: MacAddr,
}

/// Who asked, and how long the prefix is of the route that leads there.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) address: IpAddr,
    pub(super) prefix_len: u8,
}

/// What a router does about packets that it cannot forward.
pub(super) struct Errors {
    limit: Option<Limiter>,
    delay_ns: u64,
    options: RouterOptions,
    /// Nothing has to be done to an error after it was written.
    plain: bool,
}

impl Errors {
    pub(super) fn new(options: RouterOptions) -> Self {
        let RouterOptions { ref mpls, quoting, flaw, ttl, .. } = options;
        let plain =
            mpls.is_empty() && quoting == Quoting::Full && flaw.is_none() && ttl == respond::TTL;
        Self {
            limit: options.icmp_limit.map(Limiter::new),
            delay_ns: super::clock::nanos(options.icmp_delay),
            plain,
            options,
        }
    }

    /// The limit of later errors, instead of the one there was.
    pub(super) fn set_limit(&mut self, limit: IcmpLimit) {
        self.limit = Some(Limiter::new(limit));
    }

    /// How much later than it could an error leaves.
    pub(super) fn hold(&self, dice: &mut Dice) -> u64 {
        if self.delay_ns == 0 { 0 } else { dice.below(self.delay_ns.saturating_add(1)) }
    }

    /// The error about `packet`, if one is to be sent.
    pub(super) fn write(
        &mut self,
        packet: &[u8],
        (sender, asker): (Sender, Asker),
        trouble: IcmpError,
        out: &mut Outbox,
    ) -> Option<Vec<u8>> {
        if self.options.silent {
            return None;
        }
        let trouble = match (self.options.flaw, trouble) {
            (Some(Flaw::TooBig), IcmpError::TimeExceeded) => IcmpError::PacketTooBig(NONSENSE),
            _ => trouble,
        };
        let Sender { address, mac } = sender;
        let mut error =
            out.answer_to(packet, |to| respond::icmp_error(to, packet, address, mac, trouble))?;
        let now = out.now;
        let Asker { address: asker, prefix_len } = asker;
        let allowed = self.limit.as_mut().is_none_or(|l| l.allows(asker, trouble, prefix_len, now));
        if !allowed || !(self.plain || self.shape(&mut error, trouble).is_some()) {
            out.recycle(error);
            return None;
        }
        Some(error)
    }

    /// Makes a well-formed error into what this router sends.
    fn shape(&self, error: &mut Vec<u8>, trouble: IcmpError) -> Option<()> {
        let RouterOptions { ref mpls, mpls_length, wrong_length, quoting, flaw, ttl, .. } =
            self.options;
        let ip = Ip::of_frame(error)?;
        let quote = ip.l4 + ICMP_LEN;
        let quoted = ip.quoted(error)?;
        if quoting == Quoting::Short {
            error.truncate(quoted.l4 + 8);
        }
        if trouble == IcmpError::TimeExceeded && !mpls.is_empty() {
            error.resize(quote + ORIGINAL_LEN, 0);
            let mut structure = [0; 8 + 4 * MAX_LABELS];
            let len = extensions::emit(mpls, &mut structure)?;
            error.extend_from_slice(&structure[..len]);
            // In words of 32 bits, and of 64 for IPv6 (RFC 4884 §4).
            let (at, words) = if ip.src.is_ipv4() { (5, 4) } else { (4, 8) };
            let right = mpls_length.then_some((ORIGINAL_LEN / words) as u8);
            let length = match wrong_length {
                Some(WrongLength::Bytes) => Some(ORIGINAL_LEN as u8),
                Some(WrongLength::Value(value)) => Some(value),
                None => right,
            };
            error[ip.l4 + at] = length.unwrap_or(0);
        }
        if flaw == Some(Flaw::Lengths) {
            if ip.src.is_ipv4() {
                error[ip.l4 + 5] = u8::MAX;
                error[quote] |= 0x0f;
            } else {
                // Those bytes are the MTU of a packet-too-big.
                if !matches!(trouble, IcmpError::PacketTooBig(_)) {
                    error[ip.l4 + 4] = u8::MAX;
                }
                error[quote + 4..quote + 6].fill(u8::MAX);
            }
        }
        super::answer::set_ttl(error, ttl);
        seal(error, &ip, flaw == Some(Flaw::Checksum))
    }
}

/// Writes the length and the checksums of an ICMP message that has grown, shrunk or changed.
pub(super) fn seal(error: &mut [u8], ip: &Ip, wrongly: bool) -> Option<()> {
    let len = error.len() - ip.l3;
    let (mut sum, proto) = (checksum::Sum::new(), ip.proto);
    if ip.src.is_ipv4() {
        error[ip.l3 + 2..ip.l3 + 4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        super::fragment::seal_header(&mut error[ip.l3..ip.l4]);
    } else {
        let payload = u16::try_from(error.len() - ip.l4).ok()?;
        error[ip.l3 + 4..ip.l3 + 6].copy_from_slice(&payload.to_be_bytes());
        sum = IpPair::new(ip.src, ip.dst)?.pseudo_sum(proto, error.len() - ip.l4);
    }
    let message = error.get_mut(ip.l4..)?;
    message[2..4].fill(0);
    let sum = sum.bytes(message).finish();
    let sum = if wrongly { sum ^ 0x00ff } else { sum };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(())
}
