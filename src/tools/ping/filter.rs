//! Which packets are about the probes of a run.

use super::frame;
use crate::backend::{Filter, Match};
use crate::tools::probe::ProbeTargets;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Source addresses that get filter rows of their own; beyond that, rows are for all addresses.
const MAX_SOURCES: usize = 8;

/// Answers to our probes and errors about them; everything else goes on to the kernel.
pub(super) fn filter(targets: &ProbeTargets, ids: &RangeInclusive<u16>) -> Filter {
    let mut sources: Vec<IpAddr> = Vec::new();
    let mut prefix_len = u8::MAX;
    for path in &targets.paths {
        let same = |s: &IpAddr| {
            *s == path.source || prefix_len == 0 && s.is_ipv4() == path.source.is_ipv4()
        };
        if !sources.iter().any(same) {
            sources.push(path.source);
        }
        if sources.len() > MAX_SOURCES {
            prefix_len = 0;
            let v6 = sources.iter().find(|s| s.is_ipv6()).copied();
            let v4 = sources.iter().find(|s| s.is_ipv4()).copied();
            sources = v4.into_iter().chain(v6).collect();
        }
    }
    let rows = sources.into_iter().flat_map(|source| {
        let prefix = Some((source, prefix_len.min(if source.is_ipv4() { 32 } else { 128 })));
        let row = |(ip_proto, icmp_type): (u8, u8)| Match {
            ip_proto: Some(ip_proto),
            icmp_type: Some(icmp_type),
            icmp_id: Some(ids.clone()),
            ..Match::default()
        };
        [
            Match { dst: prefix, ..row(frame::echo_reply(source)) },
            Match { src: prefix, quoted: true, ..row(frame::echo_request(source)) },
        ]
    });
    Filter::Any(rows.collect())
}
