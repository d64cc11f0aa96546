//! The named troubles of the simulator, as `flux ping` and `flux bench` meet them: each run comes
//! to an end, and says why.

use crate::command::{assert_exit, events, json_lines, of, only, run, stderr, stdout};
use fluxnet::simulator::{NetworkTrouble, Trouble};
use serde_json::{Value, json};

/// What `flux ping` has to say about a trouble.
struct Case {
    line: &'static str,
    exit: i32,
    /// On standard error.
    told: &'static str,
    /// Answers of all probes.
    received: u64,
    sent: u64,
}

const CASES: [Case; 9] = [
    Case {
        // Heard on the kernel's stack.
        line: "ping -c 5 --queue 0 10.0.0.2 --sim=wrong_queue",
        exit: 0,
        told: "answers on queue 1, where no socket is bound: 5; use --queue all\n",
        received: 5,
        sent: 5,
    },
    Case {
        line: "ping -v -c 5 10.0.0.2 --sim=wrong_queue",
        exit: 0,
        told: "queues 0,1,",
        received: 5,
        sent: 5,
    },
    Case {
        line: "ping -c 5 10.0.0.2 --sim=no_zero_copy",
        exit: 0,
        told: "note: copy mode: the driver of sim0 says that it has zero-copy, and refuses it\n",
        received: 5,
        sent: 5,
    },
    Case {
        line: "ping -c 5 10.0.0.2 --sim=starved",
        exit: 1,
        told: "note: the kernel dropped 5 of our packets: it found the fill ring empty 5 times \
               (starved)\n",
        received: 0,
        sent: 5,
    },
    Case {
        line: "ping -c 5 10.0.0.2 --sim=stuck_tx",
        exit: 1,
        told: "note: 5 packets were never sent: the kernel leaves them in the TX ring, however \
               often it is told (stuck TX)\n",
        received: 0,
        sent: 5,
    },
    Case {
        line: "ping -c 5 10.0.0.2 --sim=short_ring",
        exit: 0,
        told: "note: sim0's own rings have 511 entries, no power of two: the AF_XDP rings are \
               256\n",
        received: 5,
        sent: 5,
    },
    Case {
        line: "ping -c 20 -i 0.05 10.0.0.2 --sim=link_flap",
        exit: 0,
        told: "note: the carrier of sim0 changed 2 times: what was on its way is lost, and 4 probes \
               were not sent\n",
        received: 16,
        sent: 16,
    },
    Case {
        line: "ping -c 9 -i 0.1 10.0.0.2 --sim=gone",
        exit: 2,
        told: "error: cannot use sim0: the interface is gone: it was removed, or moved to another \
               network namespace\n",
        received: 4,
        sent: 4,
    },
    Case {
        line: "ping -c 9 -i 0.1 10.0.0.2 --sim=no_program",
        exit: 2,
        told: "error: cannot receive on sim0: somebody detached its XDP program\n",
        received: 4,
        sent: 4,
    },
];

#[test]
fn ping_comes_to_an_end_in_each_trouble_and_says_why() {
    for Case { line, exit, told, received, sent } in CASES {
        let output = run(line);
        assert_exit(line, &output, exit);
        let text = stderr(&output);
        assert!(text.contains(told), "flux {line}\n{text}");
        let counts = format!("{sent} packets transmitted, {received} received, ");
        assert!(stdout(&output).contains(&counts), "flux {line}\n{}", stdout(&output));
    }
    for trouble in Trouble::ALL {
        assert!(CASES.iter().any(|case| case.line.ends_with(trouble.name())), "{trouble:?}");
    }
}

#[test]
fn a_lost_link_is_told_as_it_happens_and_ends_the_run_after_the_link_timeout_alone() {
    let flapping = "ping -q -c 20 -i 0.05 10.0.0.2 --sim=link_flap";
    let text = stderr(&run(flapping));
    assert!(text.contains("note: sim0 has no carrier: waiting for its link\n"), "{text}");
    assert!(text.contains("note: the link of sim0 is back after 0.2 s\n"), "{text}");
    let told = events(&format!("{flapping} --json"), 0);
    let links: Vec<_> = of(&told, "interface")
        .iter()
        .map(|change| (change["link"].as_str().unwrap(), change["link_losses"].as_u64().unwrap()))
        .collect();
    assert_eq!(links, [("no_carrier", 1), ("up", 1), ("no_carrier", 2)][..links.len()]);
    let changes = &of(&told, "interface")[0];
    assert_eq!((&changes["interface"], &changes["mtu"]), (&json!("sim0"), &json!(1500)));

    let line = "ping -c 20 -i 0.05 --link-timeout 100ms 10.0.0.2 --sim=link_flap";
    let output = run(line);
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    let want = "error: cannot wait for the link of sim0: it has been without carrier for 100ms\n";
    assert!(text.contains(want), "{text}");
    let hint =
        "hint: look at cable, switch port or peer; or use a longer --link-timeout, or none\n";
    assert!(text.ends_with(hint), "{text}");
    for bad in ["never", "-1s", "2y"] {
        let line = format!("ping -c 1 --link-timeout={bad} --sim 10.0.0.2");
        let output = run(&line);
        assert_exit(&line, &output, 2);
        assert!(stderr(&output).contains("--link-timeout"), "{}", stderr(&output));
    }
}

#[test]
fn trace_waits_for_a_lost_link_and_ends_with_a_reason_when_it_cannot_go_on() {
    let told = events("trace -j -c 8 -i 0.1 203.0.113.7 --sim=link_flap", 0);
    assert!(of(&told, "interface").len() >= 2, "{told:#?}");
    for (trouble, want) in [("gone", "the interface is gone"), ("no_program", "somebody detached")]
    {
        let line = format!("trace -c 20 -i 0.1 203.0.113.7 --sim={trouble}");
        let output = run(&line);
        assert_exit(&line, &output, 2);
        assert!(stderr(&output).contains(want), "{}", stderr(&output));
    }
}

/// Kind and count of each note.
fn notes(events: &[Value]) -> Vec<(&str, u64)> {
    let notes = of(events, "note").into_iter();
    notes
        .map(|note| {
            assert!(note["text"].as_str().is_some_and(|text| !text.is_empty()), "{note}");
            (note["kind"].as_str().unwrap(), note["count"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn ping_tells_programs_the_same_and_nothing_about_a_healthy_run() {
    let table = [
        ("ping -q -j -c 3 10.0.0.2 --sim=starved", 1, &[("starved", 3)][..]),
        ("ping -q -j -c 3 10.0.0.2 --sim=stuck_tx", 1, &[("stuck_tx", 3)]),
        ("ping -q -j -c 20 -i 0.05 10.0.0.2 --sim=link_flap", 0, &[("link_flap", 2)]),
        ("ping -q -j -c 3 10.0.0.2 --sim=short_ring", 0, &[]),
        ("ping -q -j -c 3 10.0.0.2 --sim=no_zero_copy", 0, &[]),
        ("ping -q -j -c 3 10.0.0.2 --sim=wrong_queue", 0, &[]),
        ("ping -q -j -c 3 --bind zerocopy 10.0.0.2 --sim", 0, &[]),
        ("ping -q -j -c 50000 --rate 100kpps 10.0.0.2 --sim", 0, &[]),
        ("ping -q -j -c 100 -i 0.01 10.0.0.2 --sim=loss=30%", 0, &[]),
    ];
    for (line, exit, expected) in table {
        let events = events(line, exit);
        assert_eq!(notes(&events), expected, "flux {line}");
        // Why before the numbers.
        assert_eq!(events[events.len() - 1]["event"], "summary", "flux {line}");
    }
    let start = |line| of(&events(line, 0), "start")[0].clone();
    assert_eq!(start("ping -q -j -c 1 10.0.0.2 --sim=short_ring")["ring_size"], 256);
    let notes = start("ping -q -j -c 1 10.0.0.2 --sim=no_zero_copy")["notes"].clone();
    assert!(notes[0].as_str().unwrap().starts_with("copy mode: "), "{notes}");
}

#[test]
fn more_probes_than_a_stuck_ring_holds_are_lost_and_counted() {
    for (line, sent) in [
        ("ping -q -j -c 3000 -i 0 10.0.0.2 --sim=stuck_tx", 3000),
        ("ping -q -j -c 10000 --rate 10kpps 10.0.0.2 --sim=stuck_tx", 10_000),
        ("ping -q -j -c 1000 -i 1ms -W 100ms --frames 64 10.0.0.2 --sim=stuck_tx", 1000),
        ("ping -q -j -c 500 -i 1ms 10.0.0.2 10.0.0.3 --frames 16 --sim=stuck_tx,wrong_queue", 500),
    ] {
        let events = events(line, 1);
        let summaries = of(&events, "summary");
        assert!(summaries.iter().all(|s| s["sent"] == sent && s["lost"] == sent), "flux {line}");
        let all = sent * summaries.len() as u64;
        assert_eq!(notes(&events), [("stuck_tx", all)], "flux {line}");
    }
}

#[test]
fn a_deadline_ends_a_run_that_nothing_else_would() {
    let line = "ping -q -j -w 2 -i 10ms 10.0.0.2 --sim=stuck_tx";
    let events = events(line, 1);
    let elapsed = of(&events, "summary")[0]["elapsed_s"].as_f64().unwrap();
    assert!((1.999..2.1).contains(&elapsed), "{elapsed}");
    assert_eq!(notes(&events), [("stuck_tx", 200)]);
}

#[test]
fn zero_copy_by_name_is_refused_with_the_next_step() {
    let line = "ping -c 1 --bind zerocopy 10.0.0.2 --sim=no_zero_copy";
    let output = run(line);
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    assert!(text.contains("cannot bind to sim0 queue 0: Operation not supported"), "{text}");
    assert!(text.contains("use --bind auto or --bind copy"), "{text}");
}

#[test]
fn bench_comes_to_an_end_in_each_trouble_and_says_why() {
    let table = [
        ("wrong_queue", "packets come to queue 1 of a0, which has no socket: use --queue 1"),
        ("no_zero_copy", "copy mode: the driver of a0 says that it has zero-copy, and refuses it"),
        ("starved", "the kernel drops all packets: it finds the fill ring empty (starved)"),
        ("stuck_tx", "packets wait in the TX ring and none is sent, however often"),
        ("short_ring", "a0's own rings have 511 entries, no power of two: the AF_XDP rings"),
    ];
    for name in Trouble::ALL.map(Trouble::name) {
        let Some((_, told)) = table.into_iter().find(|row| row.0 == name) else {
            // Time hardly passes while it measures: nothing of this could happen.
            let output = run(&format!("bench --sim={name}"));
            assert_exit(name, &output, 2);
            assert!(stderr(&output).contains("flux bench has no use for it"), "{name}");
            continue;
        };
        let line = format!(
            "bench --sim={name} --workload rxdrop,txonly,l2fwd,forward,parse --mode raw,engine,system \
             --batch 64 --poll busy,adaptive,syscall --duration 1ms --repeat 1 --json"
        );
        let output = run(&line);
        assert_exit(&line, &output, 0);
        let (events, report) = (json_lines(&output), only(&output, "report"));
        let notes = of(&events, "note").into_iter().map(|note| &note["text"]);
        let notes: Vec<_> = notes.chain(report["opened"]["notes"].as_array().unwrap()).collect();
        let told = |note: &&&Value| note.as_str().is_some_and(|note| note.contains(told));
        assert_eq!(notes.iter().filter(told).count(), 1, "flux {line}\n{notes:#?}");
        assert_eq!(stderr(&output), "", "notes are events");
        assert_eq!((&report["event"], &report["complete"]), (&"report".into(), &true.into()));
    }
    let healthy = "bench --sim --workload rxdrop,txonly,l2fwd,forward,parse --mode raw,engine,system \
                   --batch 64 --poll busy,adaptive,syscall --duration 1ms --repeat 1 --json";
    let output = run(healthy);
    assert_exit(healthy, &output, 0);
    assert_eq!(of(&json_lines(&output), "note").len(), 0, "{}", stdout(&output));
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_trouble_too() {
    let all = Trouble::ALL.map(Trouble::name);
    let specs = all.iter().map(|name| (*name).to_owned()).chain([all.join(",")]);
    for spec in specs {
        let line =
            format!("ping -j -c 40 -i 30ms 10.0.0.2 203.0.113.7 --sim={spec},loss=5%,seed=9");
        let (first, second) = (run(&line), run(&line));
        let ends = ["gone", "no_program"].iter().any(|end| spec.contains(end));
        let worst = if ends { 2 } else { 1 };
        assert!(first.status.code() <= Some(worst), "flux {line}\n{}", stderr(&first));
        assert!(first.stdout == second.stdout, "flux {line}");
        assert!(first.stderr == second.stderr, "flux {line}");
    }
}

#[test]
fn a_contradiction_is_named_with_what_there_is() {
    for (spec, why) in [
        ("wrong_queue,queues=1", "there is only one"),
        ("no_zero_copy,zerocopy=no", "claims zero-copy"),
        ("starved=no", "takes no value"),
        ("starving", "'starving' is unknown"),
    ] {
        let line = format!("ping -c 1 10.0.0.2 --sim={spec}");
        let output = run(&line);
        assert_exit(&line, &output, 2);
        let text = stderr(&output);
        assert!(text.contains(why) && text.contains("\nhint: "), "{text}");
    }
}

#[test]
fn help_tells_each_trouble_and_the_command_that_shows_it() {
    let text = stdout(&run("help sim"));
    for name in Trouble::ALL.map(Trouble::name) {
        assert!(text.contains(&format!("\n  {name} ")), "{name}\n{text}");
        assert!(text.contains(&format!("flux rings --sim={name}\n")), "{name}");
    }
}

#[test]
fn help_tells_each_trouble_of_the_network_with_an_example_that_runs() {
    let text = stdout(&run("help sim"));
    for name in NetworkTrouble::ALL.map(NetworkTrouble::name) {
        let (_, rest) = text.split_once(&format!("\n  {name}")).unwrap_or_else(|| panic!("{name}"));
        let example = rest.lines().find_map(|line| line.trim().strip_prefix("flux ")).unwrap();
        assert!(example.contains(&format!("--sim={name} ")), "{example}");
        let output = run(example);
        assert!(output.status.code().is_some_and(|code| code <= 1), "flux {example}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    assert!(stdout(&run("help topology")).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn troubles_of_the_network_need_one() {
    for name in NetworkTrouble::ALL.map(NetworkTrouble::name) {
        for command in ["bench", "doctor"] {
            let output = run(&format!("{command} --sim={name}"));
            assert_exit(name, &output, 2);
            let text = stderr(&output);
            assert!(text.contains(&format!("flux {command} has no use for it")), "{text}");
        }
    }
}

#[test]
fn simulated_nodes_are_found_by_their_names() {
    for (target, address) in
        [("server.sim", "203.0.113.7"), ("server", "203.0.113.7"), ("-6 h2.sim", "2001:db8::2")]
    {
        let events = events(&format!("ping -q -j -c 1 --sim {target}"), 0);
        assert_eq!(of(&events, "start")[0]["targets"][0]["address"], address, "{target}");
    }
    let line = "ping -c 1 --sim servr.sim";
    let output = run(line);
    assert_exit(line, &output, 2);
    assert!(stderr(&output).contains("hint: did you mean server.sim?"), "{}", stderr(&output));
}

/// Two RX queues, of which one sends.
const RECEIVE_ONLY: &str = "--sim=queues=2,tx-queues=1";

#[test]
fn probes_leave_by_queues_that_send_alone() {
    for line in [
        "ping -q -j -c 3 -i 0.2 10.0.0.2 10.0.0.3 10.0.0.4 2001:db8::5",
        "trace -q 1 -j 10.0.0.2 10.0.0.3 10.0.0.4",
    ] {
        let events = events(&format!("{line} {RECEIVE_ONLY}"), 0);
        let start = of(&events, "start")[0];
        assert_eq!((&start["queues"], &start["tx_queues"]), (&json!([0, 1]), &json!([0])));
        assert_eq!(start["notes"][0], "queue 1 of sim0 only receives: it has 1 TX queue");
        assert_eq!(notes(&events), [], "flux {line}");
        let lost = of(&events, "summary").into_iter().filter_map(|s| s["lost"].as_u64());
        assert_eq!(lost.sum::<u64>(), 0, "flux {line}");
    }
    let events = events("ping -q -j -c 1 10.0.0.2 --sim=queues=2", 0);
    assert!(of(&events, "start")[0].get("tx_queues").is_none(), "all of them send");
    let line = format!("ping -v -c 1 10.0.0.2 {RECEIVE_ONLY}");
    let out = run(&line);
    assert_exit(&line, &out, 0);
    let text = stderr(&out);
    assert!(text.contains("copy, queues 0,1 (sending on 0), rings of"), "{text}");
    assert!(text.contains("note: queue 1 of sim0 only receives: it has 1 TX queue\n"), "{text}");
}

#[test]
fn a_queue_that_only_receives_is_refused_by_who_has_to_send() {
    let said = "cannot send on sim0 queue 1: it only receives, as sim0 has no TX queue 1";
    let bench = "bench --duration 5ms --repeat 1 --batch 16 --poll busy --queue 1";
    for (line, said) in [
        ("ping -c 3 --queue 1 10.0.0.2".to_owned(), said),
        ("trace --queue 1 10.0.0.2".to_owned(), said),
        (format!("{bench} --workload rxdrop,txonly --mode raw"), &said.replace("sim0", "a0")),
        (format!("{bench} --workload l2fwd --mode engine"), &said.replace("sim0", "a0")),
        (format!("{bench} --workload l2fwd --mode system"), &said.replace("sim0", "a0")),
        (
            format!("{bench} --workload forward --mode system"),
            "1 queue of a0: a1 has 1 open of which 0 can send, and each loop needs one to send by",
        ),
    ] {
        let line = format!("{line} {RECEIVE_ONLY}");
        let out = run(&line);
        assert_exit(&line, &out, 2);
        let text = stderr(&out);
        assert!(text.contains(said) && text.contains("hint: "), "flux {line}: {text}");
        assert!(text.contains("--queue"), "flux {line}: {text}");
    }
    // To receive there is fine.
    for mode in ["raw", "engine", "system"] {
        let line = format!("{bench} --workload rxdrop --mode {mode} {RECEIVE_ONLY}");
        let out = run(&line);
        assert_exit(&line, &out, 0);
    }
}

#[test]
fn rings_and_doctor_name_queues_that_only_receive() {
    let line = format!("rings --json {RECEIVE_ONLY}");
    let out = run(&line);
    assert_exit(&line, &out, 0);
    let sample = only(&out, "sample");
    let kinds = |queue: usize| {
        let told = sample["sockets"][queue]["diagnosis"].as_array().unwrap();
        told.iter().map(|d| d["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(kinds(1).contains(&"no_tx_queue".to_owned()), "{sample}");
    assert!(!kinds(1).contains(&"stuck_tx".to_owned()), "{sample}");
    assert!(!kinds(0).contains(&"no_tx_queue".to_owned()), "{sample}");
    let text = sample["sockets"][1]["diagnosis"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("queue 1 of sim0 cannot send: sim0 has 1 TX queue, so"), "{text}");
    let out = run(&format!("doctor sim0 {RECEIVE_ONLY}"));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("1 combined, 1 RX: queue 1 can only receive"), "{text}");
}
