//! Answers that no XDP program of ours gets: by another interface, and in fragments. The stack of our
//! machine has them, and they count.

use fluxnet::simulator::SimSpec;
use fluxnet::tools::session::{Note, SessionEvent, Trouble};
use fluxnet::tools::{Control, Env, ping, topology, trace};
use std::time::Duration;

/// We have two links; what goes out by the first comes back by the second.
const TWO_LINKS: &str = r#"
    [us]
    addresses = ["10.0.0.1/24", "2001:db8::1/64"]

    [[router]]
    name = ["left", "right", "far"]

    [[host]]
    name = "server"
    addresses = ["203.0.113.7/24", "2001:db8:7::7/64"]

    [[link]]
    between = ["us", "left", "far"]
    delay = "1ms"

    [[link]]
    between = ["us", "right", "far"]
    delay = "1ms"
    cost = 10

    [[link]]
    between = ["far", "server"]

    [[route]]
    at = "far"
    to = "us"
    via = ["right"]

    [[route]]
    at = "right"
    to = "us"
    via = ["us"]
"#;

/// The server's answers come in fragments.
const IN_PIECES: &str = r#"
    [us]
    addresses = ["10.0.0.1/24", "2001:db8::1/64"]

    [[router]]
    name = "r"

    [[host]]
    name = "server"
    addresses = ["203.0.113.7/24", "2001:db8:7::7/64"]
    fragment = 1300

    [[link]]
    between = ["us", "r"]
    delay = "1ms"

    [[link]]
    between = ["r", "server"]
"#;

fn env(text: &str) -> Env {
    let name = format!("overheard-{}", text.len());
    let dir = std::env::temp_dir().join(format!("flux-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("net.toml");
    std::fs::write(&file, text).unwrap();
    let network = topology::load(&file, &SimSpec::default()).unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    Env::simulated(network)
}

/// What was received and lost, the round-trip times in ms, and the notes.
fn pinged(text: &str, plan: &ping::Plan) -> (u64, u64, f64, Vec<Note>) {
    let (mut notes, mut last) = (Vec::new(), None);
    let mut sink = |event| match event {
        ping::Event::Session(SessionEvent::Note(note)) => notes.push(note),
        ping::Event::Summary(summary) => last = Some(summary),
        _ => {}
    };
    ping::run(plan, &mut env(text), &Control::default(), &mut sink).unwrap();
    let summary = last.unwrap();
    let rtt = summary.rtt_us.as_ref().map_or(0.0, |rtt| rtt.max / 1000.0);
    (summary.received, summary.lost, rtt, notes)
}

fn plan(target: &str) -> ping::Plan {
    ping::Plan { count: Some(5), interval: Duration::from_millis(30), ..ping::Plan::new([target]) }
}

#[test]
fn answers_by_the_other_interface_count_with_their_own_times() {
    for target in ["203.0.113.7", "2001:db8:7::7"] {
        let (received, lost, rtt_ms, notes) = pinged(TWO_LINKS, &plan(target));
        assert_eq!((received, lost), (5, 0));
        assert!((4.0..5.0).contains(&rtt_ms), "{rtt_ms} ms");
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert_eq!(note.kind, Trouble::OtherInterface);
        assert!(note.text.starts_with("answers come in by sim1, not by sim0: "), "{note:?}");
    }
}

#[test]
fn a_trace_ends_at_a_target_that_answers_by_the_other_interface() {
    for target in ["203.0.113.7", "2001:db8:7::7"] {
        for protocol in [trace::Protocol::Udp, trace::Protocol::Tcp, trace::Protocol::Icmp] {
            let plan = trace::Plan { protocol, port: 80, ..trace::Plan::new([target]) };
            let mut notes = Vec::new();
            let mut sink = |event| {
                if let trace::Event::Session(SessionEvent::Note(note)) = event {
                    notes.push(note.kind);
                }
            };
            let done = trace::run(&plan, &mut env(TWO_LINKS), &Control::default(), &mut sink);
            assert_eq!(done.unwrap().reached, 1, "{target} {protocol:?}");
            assert_eq!(notes, [Trouble::OtherInterface], "{target} {protocol:?}");
        }
    }
}

#[test]
fn answers_in_fragments_are_put_together() {
    for target in ["203.0.113.7", "2001:db8:7::7"] {
        let plan = ping::Plan { size: 1400, ..plan(target) };
        let (received, lost, rtt_ms, notes) = pinged(IN_PIECES, &plan);
        assert_eq!((received, lost), (5, 0), "{notes:?}");
        assert!(rtt_ms < 5.0, "{rtt_ms} ms");
        assert_eq!(notes.iter().map(|note| note.kind).collect::<Vec<_>>(), [Trouble::Fragmented]);
        let (received, _, _, notes) = pinged(IN_PIECES, &ping::Plan { size: 1200, ..plan });
        assert_eq!((received, notes.len()), (5, 0));
    }
}
