//! An end host that answers.

use super::MacAddr;
use super::answer::{self, Trouble};
use super::outbox::Outbox;
use super::wire::{self, ETH, Ip};
use std::net::IpAddr;

/// One machine with one interface.
pub(super) struct Host {
    pub(super) mac: MacAddr,
    pub(super) addresses: Vec<IpAddr>,
    /// Answers ARP and neighbour discovery, and nothing else.
    pub(super) silent: bool,
    pub(super) open_tcp: Vec<u16>,
}

impl Host {
    pub(super) fn receive(&mut self, mut packet: Vec<u8>, out: &mut Outbox) {
        if let Some(answer) = self.answer(&mut packet, out) {
            out.send(0, answer);
        }
        out.recycle(packet);
    }

    fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn answer(&self, packet: &mut Vec<u8>, out: &mut Outbox) -> Option<Vec<u8>> {
        let group = packet.first()? & 1 != 0;
        if !group && packet.get(..6)? != self.mac {
            return None;
        }
        if wire::be16(packet, 12)? == wire::ETHERTYPE_ARP {
            return answer::arp(packet, self.mac, |address| self.owns(address))
                .then(|| std::mem::take(packet));
        }
        let ip = Ip::of_frame(packet).filter(|ip| ip.l3 == ETH)?;
        let owns = |address| self.owns(address);
        if let Some(answer) = answer::neighbour(packet, &ip, self.mac, owns, 0, out) {
            return Some(answer);
        }
        if self.silent || group || !self.owns(ip.dst) || !answer::intact(packet, &ip) {
            return None;
        }
        if answer::echo(packet, &ip, self.mac) {
            return Some(std::mem::take(packet));
        }
        let mut answer = match ip.proto {
            wire::UDP => answer::error(packet, &ip, ip.dst, Trouble::PortUnreachable, out)?,
            wire::TCP => {
                let open = self.open_tcp.contains(&ip.ports(packet)?.1);
                answer::tcp(packet, &ip, open, out)?
            }
            _ => return None,
        };
        answer::set_addresses(&mut answer, answer::sender(packet), self.mac);
        Some(answer)
    }
}
