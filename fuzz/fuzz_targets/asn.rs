//! Any bytes as a table of autonomous systems: it is read or refused with a line that is there, and
//! every address has an answer.
#![no_main]

use fluxnet::tools::trace::AsTable;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
    match AsTable::parse(bytes) {
        Err(bad) => assert!((1..=lines).contains(&bad.line) && bad.count <= lines),
        Ok(table) => {
            for words in bytes.as_chunks::<16>().0 {
                let v6 = Ipv6Addr::from(*words);
                let v4 = Ipv4Addr::from([words[0], words[1], words[2], words[3]]);
                for address in [v4.into(), v6.into()] {
                    let origin = table.of(address);
                    assert!(origin.first() != Some(0) && (origin.others().is_empty() || !table.is_empty()));
                }
            }
        }
    }
});
