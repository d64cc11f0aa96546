//! Hosts behind a router that says that they cannot be reached: at first, or later than one waits for an
//! answer; and an address that others answer for.

use crate::lab::routers::{Chain, Routers};
use crate::lab::{self, PATIENCE};
use crate::running::Running;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr};

/// The router of the path.
const ROUTER: u8 = 1;

fn router() -> Option<Routers> {
    Chain::of(1).up()
}

#[test]
fn a_count_with_a_deadline_waits_for_a_host_that_starts() {
    let Some(lab) = router() else { return };
    for target in lab.targets() {
        let (family, len) = if target.is_ipv4() { ("-4", 32) } else { ("-6", 128) };
        lab.run_at(ROUTER, &format!("ip {family} route add unreachable {target}/{len}"));
        let wait = PATIENCE.as_secs();
        let mut flux = Running::start(&format!("ping -c 1 -w {wait} -i 0.1 {target}"));
        flux.until_event("icmp");
        lab.run_at(ROUTER, &format!("ip {family} route del unreachable {target}/{len}"));
        let ended = flux.end();
        let summary = ended.first("summary");
        assert_eq!((ended.status, &summary["received"]), (Some(0), &json!(1)), "{ended:?}");
        assert!(summary["errors"].as_u64() > Some(0), "{summary}");
    }
}

#[test]
fn a_router_that_finds_nobody_is_heard_after_the_timeout() {
    let Some(lab) = router() else { return };
    // It asks three times, and says so 1.5 s after the probe: after -W has passed.
    let far = lab.run_at(ROUTER, "ip -o route get 10.9.1.2");
    let device = far.split("dev ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    for family in ["ipv4", "ipv6"] {
        let name = format!("{family}/neigh/{device}/retrans_time_ms");
        lab.sysctl(ROUTER, &name, "500");
    }
    let nobody = lab.targets().map(|target| match target {
        IpAddr::V4(target) => IpAddr::from([target.octets()[0], target.octets()[1], 1, 77]),
        IpAddr::V6(target) => Ipv6Addr::from_bits(target.to_bits() & !0xff | 0x77).into(),
    });
    for target in nobody {
        let ended = Running::start(&format!("ping -c 1 {target}")).end();
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let summary = ended.first("summary");
        assert_eq!((&summary["lost"], &summary["errors"]), (&json!(1), &json!(1)), "{ended:?}");
        let text = ended.first("icmp")["text"].as_str().unwrap();
        assert!(text.contains("Unreachable") || text.contains("unreachable"), "{text}");
        // Who says how long to wait waits as long.
        let ended = Running::start(&format!("ping -c 1 -W 0.2 {target}")).end();
        assert_eq!(ended.of("icmp").count(), 0, "{ended:?}");
    }
}

#[test]
fn the_anycast_address_of_a_links_routers_is_answered_from_another_address() {
    let Some(lab) = router() else { return };
    let IpAddr::V6(target) = lab.targets()[1] else { panic!() };
    let anycast = Ipv6Addr::from_bits(target.to_bits() & !0xffff_ffff_ffff_ffff);
    lab::wait_until("the router's anycast address", || {
        lab.run_at(ROUTER, "ip -6 route show table local").contains(&format!("anycast {anycast} "))
    });
    let ended = Running::start(&format!("ping -c 3 -i 0.02 -W 60 {anycast}")).end();
    let summary = ended.first("summary");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        (&summary["received"], &summary["different_address_replies"]),
        (&json!(3), &json!(3))
    );
    let from: Vec<&Value> = ended.of("reply").map(|reply| &reply["from"]).collect();
    assert!(from.iter().all(|from| **from == lab.hop6(1).to_string()), "{from:?}");
}
