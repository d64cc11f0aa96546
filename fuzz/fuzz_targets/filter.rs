//! Any frame against the filter's reader, which mirrors the XDP program.
#![no_main]

use fluxnet::{Filter, Match};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let icmp = Match { icmp_id: Some(1..=9), ..Match::default() };
    let quoted = Match { quoted: true, ..icmp.clone() };
    let ports = Match { src_ports: Some(80..=90), ip_proto: Some(6), ..Match::default() };
    let _ = Filter::Any(vec![icmp, quoted, ports]).matches(bytes);
    assert!(Filter::Everything.matches(bytes) && !Filter::Nothing.matches(bytes));
});
