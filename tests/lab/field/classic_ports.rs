//! Long runs of classic probes to a host that answers traceroute's ports alone.

use crate::lab::has;
use crate::lab::routers::Chain;
use crate::running::Ended;

#[test]
fn a_long_classic_run_keeps_to_the_ports_that_hosts_answer() {
    if !has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(1).up() else { return };
    lab.nft(
        2,
        "table inet f { chain in1 { type filter hook input priority 0; policy accept;
           udp dport != 33434-33534 drop
         }
         }
",
    );
    for target in lab.targets() {
        for options in ["-m 5 -c 100 -i 0.01", "-q 120 -m 3"] {
            let line = format!("trace -n --strategy classic --patient -w 20 {options} {target}");
            let ended = Ended::of_line(&line);
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let hops = ended.first("summary")["hops"].as_array().unwrap();
            assert_eq!(hops.len(), 2, "{ended:?}");
            for hop in hops {
                assert_eq!(
                    (&hop["received"], &hop["loss_pct"]),
                    (&hop["sent"], &0.0.into()),
                    "{hop}"
                );
                assert!(hop["sent"].as_u64() >= Some(100), "{hop}");
            }
        }
    }
}
