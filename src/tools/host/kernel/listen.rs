//! [`Sockets`]: raw sockets that hear answers to our probes, and whose filter keeps everything else away.

use crate::proto::{EtherType, IpProto};
use crate::sys::clock;
use crate::sys::raw::{Meta, RawSocket};
use crate::tools::host::{Cause, Heard, HostError, Listen, Listener, Probes};
use libc::sock_filter;
use std::io;
use std::ops::RangeInclusive;

/// Longest IP packet.
const LONGEST: usize = 65_535;
const ETHERNET: usize = 14;
const IPV6: usize = 40;

/// Sockets of all protocols in which answers come.
pub(super) struct Sockets {
    sockets: Vec<(RawSocket, u8)>,
    /// A packet, as the socket shows it.
    buffer: Vec<u8>,
    /// Whether the kernel is known to stamp packets as they come. It begins a moment after it was asked to,
    /// and says of what came before that it came when it is read.
    stamps: bool,
}

impl Sockets {
    /// In the network namespace of the calling thread. Needs CAP_NET_RAW.
    pub(super) fn open(what: &Listen) -> io::Result<Self> {
        let (own, numbers) = parts(&what.probes);
        let mut sockets = Vec::new();
        for v6 in [false, true].into_iter().filter(|&v6| if v6 { what.v6 } else { what.v4 }) {
            let icmp = if v6 { IpProto::ICMPV6.0 } else { IpProto::ICMP.0 };
            let probe = own.unwrap_or(icmp);
            let errors = Filter::of_icmp(v6, probe, own.is_none(), &numbers);
            sockets.push((RawSocket::open(v6, icmp, &errors)?, icmp));
            if let Some(own) = own {
                let answers = Filter::of_ports(v6, &numbers);
                sockets.push((RawSocket::open(v6, own, &answers)?, own));
            }
        }
        Ok(Self { sockets, buffer: vec![0; LONGEST], stamps: false })
    }
}

/// The protocol of probes besides ICMP, and their numbers.
fn parts(probes: &Probes) -> (Option<u8>, RangeInclusive<u16>) {
    match probes {
        Probes::Echo(ids) => (None, ids.clone()),
        Probes::Udp(ports) => (Some(IpProto::UDP.0), ports.clone()),
        Probes::Tcp(ports) => (Some(IpProto::TCP.0), ports.clone()),
    }
}

impl Listener for Sockets {
    fn hear(&mut self, take: &mut dyn FnMut(Heard<'_>)) -> Result<(), HostError> {
        let failed = |error| HostError::new("listen for", "answers", Cause::Os(error));
        // The clocks are compared when something came, since the wall clock may be set at any time.
        let mut ahead = None;
        for (socket, protocol) in &self.sockets {
            let v6 = socket.is_v6();
            loop {
                let read = (!self.stamps).then(clock::wall_ns);
                let Some(meta) = socket.recv(&mut self.buffer).map_err(failed)? else { break };
                let came = arrival(meta.wall_ns, read);
                self.stamps |= came.is_some();
                let ahead = *ahead.get_or_insert_with(wall_ahead_ns);
                let at = came.map(|wall| i128::from(wall) - ahead);
                let head = header(v6, *protocol, &meta);
                let head = &head[..ETHERNET + if v6 { IPV6 } else { 0 }];
                let packet = self.buffer.get(..meta.len).unwrap_or_default();
                // What is heard is rare: a copy does not matter.
                take(Heard {
                    frame: &[head, packet].concat(),
                    ifindex: meta.ifindex,
                    at_ns: at.and_then(|at| u64::try_from(at).ok()),
                    fragments: meta.fragment,
                });
            }
        }
        Ok(())
    }
}

/// When a packet came by its stamp; `None` where that may be the time of a read which began at `read`.
fn arrival(stamp: Option<u64>, read: Option<u64>) -> Option<u64> {
    stamp.filter(|&stamp| read.is_none_or(|read| stamp < read))
}

/// How far the wall clock is ahead of the one that a run goes by.
fn wall_ahead_ns() -> i128 {
    i128::from(clock::wall_ns()) - i128::from(clock::monotonic_ns())
}

/// An Ethernet header without addresses, and the IPv6 header that the kernel keeps.
fn header(v6: bool, protocol: u8, meta: &Meta) -> [u8; ETHERNET + IPV6] {
    let mut head = [0; ETHERNET + IPV6];
    let kind = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
    head[12..14].copy_from_slice(&kind.0.to_be_bytes());
    let (true, Some(from), Some(to)) = (v6, meta.from, meta.to) else { return head };
    head[14] = 0x60;
    head[18..20].copy_from_slice(&(meta.len as u16).to_be_bytes());
    (head[20], head[21]) = (protocol, meta.hop_limit);
    head[22..38].copy_from_slice(&from.octets());
    head[38..54].copy_from_slice(&to.octets());
    head
}

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// The instruction behind it.
    Next,
    /// So many instructions further.
    Skip(u8),
    /// The end that drops the packet.
    Drop,
    /// The end that takes it.
    Take,
}

/// A classic BPF program that ends in two instructions: drop, and take.
struct Filter(Vec<(u32, To, To, u32)>);

impl Filter {
    fn op(&mut self, code: u32, k: u32) {
        self.0.push((code, To::Next, To::Next, k));
    }

    fn jump(&mut self, test: u32, k: u32, yes: To, no: To) {
        self.0.push((libc::BPF_JMP | test | libc::BPF_K, yes, no, k));
    }

    /// A byte of the packet, behind X with IPv4.
    fn byte(&mut self, v6: bool, at: u32) {
        let from = if v6 { libc::BPF_ABS } else { libc::BPF_IND };
        self.op(libc::BPF_LD | libc::BPF_B | from, at);
    }

    fn word(&mut self, v6: bool, at: u32) {
        let from = if v6 { libc::BPF_ABS } else { libc::BPF_IND };
        self.op(libc::BPF_LD | libc::BPF_H | from, at);
    }

    /// Ends with what was loaded last: take it if it is one of these.
    fn end_in(mut self, numbers: &RangeInclusive<u16>) -> Vec<sock_filter> {
        self.jump(libc::BPF_JGE, u32::from(*numbers.start()), To::Next, To::Drop);
        self.jump(libc::BPF_JGT, u32::from(*numbers.end()), To::Drop, To::Take);
        let (drop, all) = (self.0.len(), u32::MAX);
        self.op(libc::BPF_RET | libc::BPF_K, 0);
        self.op(libc::BPF_RET | libc::BPF_K, all);
        let distance = |at: usize, to: To| match to {
            To::Next => 0,
            To::Skip(count) => count,
            To::Drop => (drop - at - 1) as u8,
            To::Take => (drop - at) as u8,
        };
        let lines = self.0.iter().enumerate();
        let line = |(at, &(code, yes, no, k)): (usize, &(u32, To, To, u32))| sock_filter {
            code: code as u16,
            jt: distance(at, yes),
            jf: distance(at, no),
            k,
        };
        lines.map(line).collect()
    }

    /// TCP or UDP to one of these ports.
    fn of_ports(v6: bool, ports: &RangeInclusive<u16>) -> Vec<sock_filter> {
        let mut filter = Self(Vec::new());
        if !v6 {
            filter.op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0);
        }
        filter.word(v6, 2);
        filter.end_in(ports)
    }

    /// Echo replies with one of these identifiers, where `echo`, and errors about a probe of this
    /// protocol with one of them. A raw socket of IPv6 shows what is behind the IP header.
    fn of_icmp(v6: bool, probe: u8, echo: bool, numbers: &RangeInclusive<u16>) -> Vec<sock_filter> {
        let mut filter = Self(Vec::new());
        if !v6 {
            filter.op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0);
        }
        // Echo requests are no errors, so that an echo reply alone can be met first.
        filter.byte(v6, 0);
        let reply = if v6 { 129 } else { 0 };
        let errors: &[u32] = if v6 { &[1, 2, 3, 4] } else { &[3, 4, 5, 11, 12] };
        // Behind the load of the type: the reply's own branch of two instructions, then errors.
        filter.jump(libc::BPF_JEQ, reply, if echo { To::Next } else { To::Drop }, To::Skip(4));
        filter.word(v6, 4);
        filter.jump(libc::BPF_JGE, u32::from(*numbers.start()), To::Next, To::Drop);
        filter.jump(libc::BPF_JGT, u32::from(*numbers.end()), To::Drop, To::Take);
        filter.op(libc::BPF_RET | libc::BPF_K, 0);
        for (at, &kind) in errors.iter().enumerate() {
            let left = errors.len() - 1 - at;
            let no = if left == 0 { To::Drop } else { To::Next };
            filter.jump(libc::BPF_JEQ, kind, To::Skip(left as u8), no);
        }
        // The quoted datagram begins 8 bytes behind the ICMP header.
        let field = if echo { 4 } else { 0 };
        if v6 {
            filter.byte(v6, 8 + 6);
            // What has extension headers is left to the reader.
            for extension in [0, 43, 44, 60] {
                filter.jump(libc::BPF_JEQ, extension, To::Take, To::Next);
            }
            filter.jump(libc::BPF_JEQ, probe.into(), To::Next, To::Drop);
            filter.word(v6, 8 + IPV6 as u32 + field);
        } else {
            filter.byte(v6, 8 + 9);
            filter.jump(libc::BPF_JEQ, probe.into(), To::Next, To::Drop);
            filter.byte(v6, 8);
            filter.op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0x0f);
            filter.op(libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, 2);
            filter.op(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X, 0);
            filter.op(libc::BPF_MISC | libc::BPF_TAX, 0);
            filter.word(v6, 8 + field);
        }
        filter.end_in(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_the_read_is_no_time_of_arrival() {
        assert_eq!(arrival(Some(100), Some(200)), Some(100), "stamped before it was read");
        assert_eq!(arrival(Some(200), Some(200)), None);
        assert_eq!(arrival(Some(201), Some(200)), None, "stamped by the read itself");
        assert_eq!(arrival(Some(201), None), Some(201), "stamps are known to be real");
        assert_eq!(arrival(None, None), None);
    }
}
