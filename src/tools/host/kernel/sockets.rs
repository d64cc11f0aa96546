//! What sockets of this host have: identifiers of echo requests, ports.

use crate::sys::port;
use crate::tools::host::{HeldPorts, PortKind};
use std::io;
use std::ops::RangeInclusive;

/// Ports that are held at most: each takes a descriptor, of which a process has 1024 by default.
const MOST: usize = 256;

/// The identifiers of ping sockets in the network namespace of the calling thread.
pub(super) fn echo_ids() -> Vec<u16> {
    let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    let tables = ["icmp", "icmp6"].into_iter().filter_map(|name| read(name).ok());
    tables.flat_map(|table| local_ports(&table)).collect()
}

/// The local port of each line, which for a ping socket is its identifier.
fn local_ports(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
    };
    table.lines().skip(1).filter_map(port).collect()
}

/// What `rp_filter` dropped in the network namespace of the calling thread.
pub(super) fn reverse_path_drops() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/netstat").ok()?;
    counter(&table, "IPReversePathFilter")
}

/// A counter of a table that has a line of names above each line of values.
fn counter(table: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = table.lines().collect();
    lines.chunks_exact(2).find_map(|pair| {
        let at = pair[0].split_whitespace().position(|word| word == name)?;
        pair[1].split_whitespace().nth(at)?.parse().ok()
    })
}

/// Sockets bound to these ports, of all addresses of both families.
pub(super) fn hold_ports(kind: PortKind, ports: RangeInclusive<u16>) -> io::Result<HeldPorts> {
    let mut held = HeldPorts::default();
    for number in ports.take(MOST) {
        held.add(port::bind(kind == PortKind::Tcp, number)?);
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifiers_of_ping_sockets_are_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue\n \
             1: 00000000:BEEF 00000000:0000 07 00000000:00000000 00:00000000\n \
             2: 00000000000000000000000000000000:0007 00000000000000000000000000000000:0000 07\n\
             nonsense\n";
        assert_eq!(local_ports(table), [0xbeef, 7]);
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let table =
            "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 3 14\nIpExt: InX\nIpExt: 9\n";
        assert_eq!(counter(table, "IPReversePathFilter"), Some(14));
        assert_eq!((counter(table, "InX"), counter(table, "Nothing")), (Some(9), None));
        assert!(reverse_path_drops().is_some());
    }

    #[test]
    fn a_held_port_is_nobody_elses_until_the_drop() {
        for kind in [PortKind::Udp, PortKind::Tcp] {
            let mut ports = 61_000..65_000;
            let held = ports.find_map(|port| Some((hold_ports(kind, port..=port).ok()?, port)));
            let (held, port) = held.unwrap();
            assert_eq!(held.count(), 1);
            let again = || hold_ports(kind, port..=port).map(|held| held.count());
            assert_eq!(again().unwrap_err().kind(), io::ErrorKind::AddrInUse);
            let taken = match kind {
                PortKind::Udp => std::net::UdpSocket::bind(("127.0.0.1", port)).is_err(),
                PortKind::Tcp => std::net::TcpListener::bind(("127.0.0.1", port)).is_err(),
            };
            assert!(taken, "in one family as well");
            drop(held);
            assert_eq!(again().unwrap(), 1);
        }
    }
}
