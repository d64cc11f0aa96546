//! Links with MTUs that the usual frames do not hold: what is measured is the path, not a frame.

use crate::command::{flux, stdout};
use crate::lab::has;
use crate::lab::routers::Chain;
use crate::running::Ended;
use serde_json::{Value, json};

const PATIENT: &str = "--patient -w 60";

/// A `--json` run, its path MTU and what it is at least.
fn mtu(line: &str) -> (Ended, Value, Value) {
    let ended = Ended::of_line(line);
    let summary = ended.first("summary").clone();
    (ended, summary["mtu"].clone(), summary["mtu_at_least"].clone())
}

#[test]
fn a_jumbo_path_is_at_least_as_long_as_our_frames() {
    let Some(lab) = Chain::of(1).mtu(0, 9000).mtu(1, 9000).up() else { return };
    for target in lab.targets() {
        let line = format!("trace -n --mtu {PATIENT} {target}");
        let (ended, found, least) = mtu(&line);
        assert_eq!((ended.status, found, least), (Some(0), Value::Null, json!(3826)), "{ended:?}");
        assert_eq!(ended.first("start")["frame_size"], 4096, "{ended:?}");
        let text = stdout(&flux(&line).output().unwrap());
        assert!(text.contains("path MTU at least 3826: frames hold no more"), "{text}");
        // What was asked for counts, and says nothing of the path either.
        let (ended, found, least) = mtu(&format!("{line} --frame-size 2048"));
        assert_eq!((found, least), (Value::Null, json!(1778)), "{ended:?}");
    }
}

#[test]
fn frames_are_as_large_as_the_mtu_asks() {
    let Some(lab) = Chain::of(1).mtu(0, 2000).mtu(1, 2000).up() else { return };
    for target in lab.targets() {
        let (ended, found, least) = mtu(&format!("trace -n --mtu {PATIENT} {target}"));
        assert_eq!((ended.status, found, least), (Some(0), json!(2000), Value::Null), "{ended:?}");
        for line in [format!("ping -c 1 -s 1900 {target}"), format!("trace -n {PATIENT} {target}")]
        {
            let ended = Ended::of_line(&line);
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let start = ended.first("start");
            assert_eq!(start["frame_size"], 4096, "{ended:?}");
            assert!(!start["notes"].to_string().contains("MTU"), "{ended:?}");
        }
    }
}

#[test]
fn the_hop_that_limits_is_shown() {
    if !has(&["traceroute"]) {
        return;
    }
    let Some(lab) = Chain::of(2).mtu(0, 9000).mtu(1, 1400).up() else { return };
    for (at, target) in lab.targets().into_iter().enumerate() {
        let router = [lab.hop4(1), lab.hop6(1)][at];
        let line = format!("trace -n --mtu {PATIENT} {target}");
        let (ended, found, _) = mtu(&line);
        assert_eq!((ended.status, found), (Some(0), json!(1400)), "{ended:?}");
        let hop = json!({"ttl": 1, "address": router.to_string(), "mtu": 1400});
        assert_eq!(ended.first("summary")["mtu_hop"], hop, "{ended:?}");
        let text = stdout(&flux(&line).output().unwrap());
        assert!(text.contains(&format!(" 1  {router} F=1400  ")), "{text}");
        assert!(
            text.contains(&format!("; path MTU 1400; larger packets stop at hop 1 ({router})")),
            "{text}"
        );
    }
}
