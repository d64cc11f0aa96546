//! Answers in fragments: the kernel puts them together, and they count.

use crate::lab::{Lab, PEER, PEER_IP, PEER_IP6};
use crate::running::Ended;
use std::net::IpAddr;

#[test]
fn answers_in_fragments_count_and_are_said() {
    let Some(lab) = Lab::veth(1).map(Lab::with_neighbours) else { return };
    lab.run_in_peer(&format!("ip route change 10.9.0.0/24 dev {PEER} mtu 1300"));
    lab.run_in_peer(&format!(
        "ip -6 route replace fd09::/64 dev {PEER} proto kernel metric 256 mtu 1300"
    ));
    let targets: [IpAddr; 2] = [PEER_IP.into(), PEER_IP6.into()];
    for mode in ["native", "skb"] {
        for target in targets {
            let line = format!("ping -c 3 -i 0.05 -W 30 -s 1400 --attach {mode} {target}");
            let ended = Ended::of_line(&line);
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let summary = ended.first("summary");
            assert_eq!(
                (&summary["received"], &summary["corrupt"]),
                (&3.into(), &0.into()),
                "{ended:?}"
            );
            let notes: Vec<_> = ended.of("note").collect();
            assert!(notes.len() == 1 && notes[0]["kind"] == "fragmented", "{ended:?}");
            let longest =
                if target.is_ipv4() { "at most 1300 bytes" } else { "at most 1296 bytes" };
            assert!(notes[0]["text"].as_str().unwrap().contains(longest), "{ended:?}");
            // What fits comes in one piece, and nothing is said.
            let ended = Ended::of_line(&line.replace("1400", "1200"));
            assert_eq!((ended.status, ended.of("note").count()), (Some(0), 0), "{ended:?}");
        }
    }
}
