//! Labels behind quotes whose length is said wrongly (traceroute of Debian and Fedora show them).

use crate::lab::icmp::LabelRouter;
use crate::lab::routers::Chain;
use crate::lab::{has, run};
use crate::running::Ended;
use serde_json::json;

/// Label 416240 with TTL 1, the only one of its stack.
const LABEL: u32 = 416_240 << 12 | 1 << 8 | 1;

#[test]
fn labels_are_shown_whatever_the_length_of_the_quote_says() {
    if !has(&["traceroute", "nft"]) {
        return;
    }
    let Some(lab) = Chain::of(2).up() else { return };
    // Without padding; one word too many; bytes instead of words; the other family's words; as long
    // as no message; none.
    for (lengths, sum) in [
        ([15, 10], true),
        ([17, 9], true),
        ([0x80, 0x80], true),
        ([0x80, 0x80], false),
        ([16, 32], true),
        ([255, 255], false),
        ([0, 0], false),
    ] {
        let _router = LabelRouter::odd(&lab, 1, &[LABEL], lengths, sum);
        for target in lab.targets() {
            let peer = run(&format!("traceroute -e -n -m 1 -q 1 -w 60,0,0 {target} 60"));
            // Traceroute believes the right lengths alone over IPv6.
            assert!(target.is_ipv6() || peer.contains("L=416240"), "{lengths:?}: {peer}");
            for options in ["", "--icmp", "-T -p 81"] {
                let line = format!("trace -n -m 1 -q 1 --patient -w 60 {options} {target}");
                let traced = Ended::of_line(&line);
                let router = &traced.first("summary")["hops"][0]["routers"][0];
                let label = json!([{"label": 416_240, "tc": 0, "bottom": true, "ttl": 1}]);
                assert_eq!(router["mpls"], label, "{lengths:?} {sum}: {traced:?}");
            }
        }
    }
}
