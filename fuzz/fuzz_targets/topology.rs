//! Topology files: any text builds a network, or says what is wrong with it and what to do.
//! A network that was built lets time pass.
#![no_main]

use fluxnet::simulator::SimSpec;
use fluxnet::tools::topology;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match topology::parse(&text, &SimSpec::default()) {
        Ok(network) => {
            let _ = network.route([203, 0, 113, 7].into());
            network.step(Duration::from_secs(1));
        }
        Err(error) => assert!(error.hint().is_some(), "{error} without a next step"),
    }
});
