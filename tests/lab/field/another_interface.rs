//! Answers that come back by another interface than the probes left by.

use crate::lab::{self, Lab, OUR_IP, OUR_IP6, OURS, PEER_IP, PEER_IP6, wait_until};
use crate::running::Ended;

/// Addresses of the far end: behind the first link, and back by the second.
const FAR: [&str; 2] = ["203.0.113.1", "2001:db8:113::1"];

fn lab() -> Option<Lab> {
    let lab = Lab::veth(1).map(Lab::with_neighbours)?;
    lab.add_pair("flux2", "flux3");
    lab::ip_batch(&format!(
        "addr add 198.51.100.1/24 dev flux2\naddr add fd0a::1/64 dev flux2 nodad\n\
         route add default via {PEER_IP} dev {OURS}\nroute add default via {PEER_IP6} dev {OURS}\n"
    ));
    rp_filter(0);
    lab.in_peer(|| {
        lab::ip_batch(&format!(
            "addr add 198.51.100.2/24 dev flux3\naddr add fd0a::2/64 dev flux3 nodad\n\
             addr add {}/32 dev lo\naddr add {}/128 dev lo\n\
             route add {OUR_IP}/32 via 198.51.100.1 dev flux3\n\
             route add {OUR_IP6}/128 via fd0a::1 dev flux3\n",
            FAR[0], FAR[1]
        ));
        // A trace of many packets is not an attack.
        for name in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
            let _ = std::fs::write(format!("/proc/sys/net/{name}"), "0");
        }
    });
    let told = || lab::run("ip -6 route show table local").contains("fd0a::1 ");
    wait_until("our address on the second link", told);
    let told = || lab.run_in_peer("ip -6 route show table local").contains("fd0a::2 ");
    wait_until("the peer's address on the second link", told);
    Some(lab)
}

fn rp_filter(value: u8) {
    for name in ["all", "flux2"] {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        std::fs::write(path, value.to_string()).unwrap();
    }
}

fn notes<'a>(ended: &'a Ended, kind: &'a str) -> Vec<&'a str> {
    let notes = ended.of("note").filter(|note| note["kind"] == kind);
    notes.map(|note| note["text"].as_str().unwrap()).collect()
}

#[test]
fn ping_has_them_and_says_by_which() {
    let Some(_lab) = lab() else { return };
    for mode in ["native", "skb"] {
        for target in FAR {
            let ended =
                Ended::of_line(&format!("ping -c 3 -i 0.05 -W 30 --attach {mode} {target}"));
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let summary = ended.first("summary");
            assert_eq!(
                (&summary["received"], &summary["lost"]),
                (&3.into(), &0.into()),
                "{ended:?}"
            );
            for reply in ended.of("reply") {
                // By the stamp of the kernel, and not by when we looked.
                let rtt = reply["rtt_us"].as_f64().unwrap();
                assert!(rtt > 0.0 && rtt < 30e6, "{reply}");
            }
            let notes = notes(&ended, "other_interface");
            let said = "answers come in by flux2, not by flux0: ";
            assert!(notes.len() == 1 && notes[0].starts_with(said), "{notes:?}");
        }
    }
}

#[test]
fn trace_has_them_with_each_protocol() {
    let Some(_lab) = lab() else { return };
    for option in ["", "--icmp", "-T"] {
        for target in FAR {
            let line = format!("trace -n -q 1 -m 2 -w 30 {option} {target}");
            let ended = Ended::of_line(&line);
            assert_eq!(ended.first("summary")["reached"], true, "{ended:?}");
            assert_eq!(ended.status, Some(0), "{ended:?}");
            assert_eq!(notes(&ended, "other_interface").len(), 1, "{ended:?}");
        }
    }
}

#[test]
fn what_the_reverse_path_filter_drops_is_said() {
    let Some(lab) = lab() else { return };
    // Else it is the ARP request from the far address that is dropped, and nobody counts that.
    lab::run("ip link set flux2 address 02:00:00:00:09:03");
    lab.run_in_peer(
        "ip neigh replace 198.51.100.1 lladdr 02:00:00:00:09:03 dev flux3 nud permanent",
    );
    rp_filter(1);
    let ended = Ended::of_line(&format!("ping -c 2 -i 0.05 -W 0.5 {}", FAR[0]));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let notes = notes(&ended, "reverse_path");
    assert!(notes.len() == 1 && notes[0].contains("rp_filter=2"), "{ended:?}");
}
