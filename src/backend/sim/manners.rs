//! What a host does to its answers before they leave.

use super::HostOptions;
use super::fragment;
use super::icmp::seal;
use super::outbox::Outbox;
use super::wire::Ip;
use crate::proto::{Headers, ICMP_LEN, IpProto, rewrite};
use std::net::{IpAddr, SocketAddr};

/// What added bytes are.
const ADDED: u8 = 0xad;

/// How a host answers.
pub(super) struct Manners {
    vlan: Option<u16>,
    /// Most bytes of an echo request's payload that come back.
    truncate: Option<usize>,
    /// Bytes that come back besides.
    longer: usize,
    /// Where answers come from instead of where they were asked.
    from: Vec<IpAddr>,
    error_first: bool,
    hold_ns: u64,
    /// Longest packet, whatever the link would take.
    longest: usize,
    /// Nothing is done to an answer that the link takes.
    plain: bool,
    /// Of the next answer in fragments.
    ident: u16,
}

impl Manners {
    pub(super) fn new(options: &HostOptions) -> Self {
        let HostOptions { vlan, truncate, longer, error_first, fragment, .. } = *options;
        let hold_ns = super::clock::nanos(options.answer_delay);
        let plain = truncate.is_none()
            && longer == 0
            && options.answers_from.is_empty()
            && hold_ns == 0
            && fragment.is_none();
        Self {
            vlan,
            truncate: truncate.map(|len| len as usize),
            longer: longer as usize,
            from: options.answers_from.clone(),
            error_first,
            hold_ns,
            longest: fragment.map_or(usize::MAX, |len| len as usize),
            plain,
            ident: 1,
        }
    }

    /// Answers come from these addresses, unless there are others already.
    pub(super) fn answer_from(&mut self, addresses: Vec<IpAddr>) {
        if self.from.is_empty() {
            self.from = addresses;
            self.plain = false;
        }
    }

    /// The VLAN that it is in.
    pub(super) fn vlan(&self) -> Option<u16> {
        self.vlan
    }

    /// Whether it says "host unreachable" before it answers.
    pub(super) fn error_first(&self) -> bool {
        self.error_first
    }

    /// Sends an answer by a link of this MTU.
    pub(super) fn send(&mut self, mut answer: Vec<u8>, mtu: u32, out: &mut Outbox) {
        if !self.plain {
            self.resize(&mut answer);
            self.move_source(&mut answer);
        }
        let longest = self.longest.min(mtu as usize);
        let whole = Ip::of_frame(&answer).is_none_or(|ip| ip.end - ip.l3 <= longest);
        if whole {
            out.send_later(0, self.hold_ns, answer);
            return;
        }
        self.ident = self.ident.wrapping_add(1).max(1);
        fragment::of_our_own(&mut answer, self.ident, longest, self.hold_ns, out);
        out.recycle(answer);
    }

    /// Makes an echo reply shorter or longer than what was asked.
    fn resize(&self, answer: &mut Vec<u8>) -> Option<()> {
        let ip = Ip::of_frame(answer).filter(|ip| ip.echo_id(answer).is_some())?;
        let data = ip.l4 + ICMP_LEN;
        let kept = self.truncate.map_or(ip.end, |most| ip.end.min(data + most));
        answer.truncate(kept);
        answer.resize(kept + self.longer, ADDED);
        seal(answer, &ip, false)
    }

    /// Makes an answer come from another address.
    fn move_source(&self, answer: &mut [u8]) -> Option<()> {
        let mut headers = Headers::parse(answer).ok()?;
        let asked = headers.src()?;
        let from = self.from.iter().find(|from| from.is_ipv4() == asked.is_ipv4())?;
        let port = match headers.proto {
            IpProto::TCP | IpProto::UDP => headers.ports()?.0,
            _ => 0,
        };
        rewrite::set_source(answer, &mut headers, SocketAddr::new(*from, port)).then_some(())
    }
}
