//! Any text where text is read: the simulator's SPEC, queue lists, keywords, addresses.
#![no_main]

use fluxnet::proto::MacAddr;
use fluxnet::simulator::{SimSpec, Simulator};
use fluxnet::{AttachMode, BindMode, HugePages, Poller, Queues};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(spec) = text.parse::<SimSpec>() {
        let _ = Simulator::new(spec).ports();
    }
    if let Ok(queues) = text.parse::<Queues>() {
        assert_eq!(queues.to_string().parse::<Queues>().ok(), Some(queues));
    }
    if let Ok(mac) = text.parse::<MacAddr>() {
        assert_eq!(mac.to_string().parse::<MacAddr>().ok(), Some(mac));
    }
    let _ = (text.parse::<Poller>(), text.parse::<AttachMode>());
    let _ = (text.parse::<BindMode>(), text.parse::<HugePages>());
});
