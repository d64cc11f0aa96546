//! Interfaces by names other than the one that the kernel goes by, which may have 127 letters.

use crate::command::{assert_exit, events, of, run, stderr};
use crate::foreign::Foreign;
use crate::lab::{Lab, OUR_IP, OURS, PEER_IP};

/// More than the 15 letters that an interface's own name may have.
const LONG: &str = "an-alternative-name-with-more-letters-than-a-name-of-the-kernel-may-have";
const SHORT: &str = "uplink";

#[test]
fn every_command_finds_an_interface_by_an_alternative_name_of_any_length() {
    let Some(lab) = Lab::veth(1) else { return };
    let bench = "--workload txonly --batch 16 --poll busy --duration 20ms --repeat 1";
    for name in [LONG, SHORT] {
        lab.run(&format!("ip link property add dev {OURS} altname {name}"));
        for line in [
            format!("ping -c 1 -I {name} -j {PEER_IP}"),
            format!("ping -c 1 -I {name} -I {OUR_IP} -j {PEER_IP}"),
            // Echo replies have no rate limit, as the errors about UDP probes have.
            format!("trace --icmp -I {name} -j {PEER_IP}"),
            format!("bench -I {name} {bench} -j"),
        ] {
            let events = events(&line, 0);
            assert_eq!(of(&events, "start")[0]["interface"], OURS, "flux {line}");
        }
        let owner = Foreign::start(OURS, &["mode=drop"]);
        let sample = &events(&format!("rings {name} --over 0 -j"), 0)[0];
        assert_eq!(sample["sockets"].as_array().map(Vec::len), Some(1), "{sample:#}");
        drop(owner);
        let none = run(&format!("rings {name} --over 0"));
        assert_exit("rings without a socket", &none, 1);
        assert!(stderr(&none).contains(&format!("{OURS} has no AF_XDP socket")), "{none:?}");
        let report = &events(&format!("doctor {name} -j"), 0)[0];
        assert_eq!((&report["event"], &report["interface"]), (&"report".into(), &OURS.into()));
    }
    // Nobody has a name that long.
    let line = format!("ping -c 1 -I {} {PEER_IP}", "x".repeat(200));
    let output = run(&line);
    assert_exit(&line, &output, 2);
    assert!(stderr(&output).contains(": no such interface"), "{}", stderr(&output));
}
