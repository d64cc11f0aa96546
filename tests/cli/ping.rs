//! `flux ping` from the outside, on the simulated network: what it measures and answers.

use crate::command;
use crate::command::{assert_exit, events, of, run, stderr, stdout};
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn five_probes_get_five_replies_of_exactly_200_us() {
    let events = events("ping -c 5 10.0.0.2 --sim --json", 0);
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events[0]["backend"], "sim");
    for key in
        ["interface", "driver", "attach", "zero_copy", "queues", "tx_clock", "rx_clock", "poll"]
    {
        assert!(!events[0][key].is_null(), "{key}: {}", events[0]);
    }
    let replies = of(&events, "reply");
    assert_eq!(replies.len(), 5);
    for (index, reply) in replies.iter().enumerate() {
        assert_eq!(reply["target"], "10.0.0.2");
        assert_eq!(reply["from"], "10.0.0.2");
        assert_eq!(reply["seq"], index as u64 + 1);
        assert_eq!((&reply["bytes"], &reply["reply_ttl"]), (&Value::from(64), &Value::from(64)));
        assert_eq!(reply["rtt_us"], 200.0);
    }
    let summary = &events[events.len() - 1];
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["sent"], 5);
    assert_eq!(summary["received"], 5);
    assert_eq!(summary["lost"], 0);
    assert_eq!(summary["loss_pct"], 0.0);
    for key in ["duplicates", "reordered", "late", "corrupt", "errors"] {
        assert_eq!(summary[key], 0, "{key}");
    }
    for key in ["min", "mean", "p50", "p90", "p99", "max"] {
        assert_eq!(summary["rtt_us"][key], 200.0, "{key}");
    }
    assert_eq!(summary["rtt_us"]["stddev"], 0.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for line in [
        "ping -c 5 10.0.0.2 --sim --json",
        "ping -c 200 -i 10ms --json --sim=loss=5%,jitter=1ms,dup=2%,reorder=3%,seed=9 10.0.0.2 10.0.0.3",
        "ping -c 20 --histogram --sim=jitter=1ms,seed=9 10.0.0.2",
    ] {
        let (first, second) = (run(line), run(line));
        assert_exit(line, &first, 0);
        assert!(first.stdout == second.stdout, "flux {line}");
        assert!(first.stderr == second.stderr, "flux {line}");
    }
}

#[test]
fn text_reads_as_ping_and_the_start_line_is_not_among_the_data() {
    let line = "ping -c 2 10.0.0.2 --sim";
    let output = run(line);
    assert_exit(line, &output, 0);
    assert_eq!(
        stdout(&output),
        "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n\
         64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.200 ms\n\
         64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.200 ms\n\
         \n\
         --- 10.0.0.2 ping statistics ---\n\
         2 packets transmitted, 2 received, 0% packet loss, time 1000ms\n\
         rtt min/mean/p50/p90/p99/max/sd = 0.200/0.200/0.200/0.200/0.200/0.200/0.000 ms\n"
    );
    assert_eq!(stderr(&output), "", "all is as it should be");
    let started = stderr(&run("ping -v -c 2 10.0.0.2 --sim"));
    assert!(started.starts_with("sim0: "), "{started}");
    assert!(started.contains("clocks: tx "), "{started}");
}

#[test]
fn who_does_not_answer_makes_the_answer_no() {
    let line = "ping -c 3 10.0.0.66 --sim";
    let output = run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert!(text.contains("icmp_seq=3 timed out\n"), "{text}");
    assert!(text.contains("3 packets transmitted, 0 received, 100% packet loss"), "{text}");
    assert!(!text.contains("rtt "), "{text}");

    let events = events("ping -c 2 -j 10.0.0.2 10.0.0.66 --sim", 1);
    assert_eq!(of(&events, "timeout").len(), 2);
    assert_eq!(of(&events, "summary").len(), 2);
    assert_eq!(of(&events, "summary")[1]["rtt_us"], Value::Null);
}

#[test]
fn answers_on_a_queue_that_is_not_open_are_told() {
    let line = "ping -q -c 20 -i 0.01 10.0.0.2 --queue 1 --sim=queues=4";
    let output = run(line);
    let text = stderr(&output);
    assert!(text.contains("answers on queue ") && text.contains("use --queue all"), "{text}");

    let line = "ping -q -c 20 -i 0.01 10.0.0.2 --queue 1 -j --sim=queues=4";
    let events = events(line, output.status.code().unwrap());
    let wrong_queue: u64 = of(&events, "wrong_queue")
        .iter()
        .map(|event| {
            assert_ne!(event["queue"], 1);
            event["packets"].as_u64().unwrap()
        })
        .sum();
    let summary = &of(&events, "summary")[0];
    // They are heard on the kernel's stack.
    assert!((1..20).contains(&wrong_queue), "{wrong_queue}");
    assert_eq!((&summary["received"], &summary["lost"]), (&20.into(), &0.into()), "{summary}");

    let line = "ping -q -c 20 -i 0.01 10.0.0.2 -j --sim=queues=4";
    assert_eq!(of(&self::events(line, 0), "wrong_queue").len(), 0);
}

#[test]
fn an_unreachable_target_is_told_by_the_router_that_says_so() {
    let line = "ping -c 1 192.0.2.1 --sim";
    let output = run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert!(text.contains("icmp_seq=1 Destination Host Unreachable"), "{text}");
    assert!(text.contains("+1 errors, 100% packet loss"), "{text}");
    let events = events("ping -c 1 -M do -s 1400 --json 198.51.100.9 --sim", 1);
    assert_eq!(of(&events, "icmp")[0]["mtu"], 1400);
}

#[test]
fn thirty_percent_loss_loses_thirty_percent() {
    for seed in [1, 2, 77] {
        let line = format!("ping -c 10000 -i 1ms -q --json --sim=loss=30%,seed={seed} 10.0.0.2");
        let events = events(&line, 0);
        assert_eq!(of(&events, "summary")[0]["sent"], 10_000);
        let loss = of(&events, "summary")[0]["loss_pct"].as_f64().unwrap();
        assert!((28.0..=32.0).contains(&loss), "seed {seed}: {loss}");
        assert!(of(&events, "reply").is_empty() && of(&events, "timeout").is_empty());
    }
}

#[test]
fn virtual_time_is_not_waited_for() {
    let begin = Instant::now();
    let events = events("ping -c 1000 -i 1 -j --sim 10.0.0.2", 0);
    // Far less than it is said to have taken, which is 999 s.
    assert!(begin.elapsed() < Duration::from_secs(500), "{:?}", begin.elapsed());
    let elapsed = of(&events, "summary")[0]["elapsed_s"].as_f64().unwrap();
    assert!((999.0..1001.0).contains(&elapsed), "{elapsed}");
    // Nothing but a default would end this one.
    assert_eq!(of(&command::events("ping -j --sim 10.0.0.2", 0), "reply").len(), 5);
}

#[test]
fn both_families_and_far_hosts_answer() {
    let six = events("ping -c 1 -j --sim 2001:db8::2", 0);
    assert_eq!(of(&six, "reply")[0]["rtt_us"], 200.0);
    let far = events("ping -c 1 -j --sim 203.0.113.7 2001:db8:7::7", 0);
    for reply in of(&far, "reply") {
        let rtt = reply["rtt_us"].as_f64().unwrap();
        assert!((20_000.0..21_000.0).contains(&rtt), "{reply}");
    }
}

#[test]
fn trouble_on_the_way_is_told_apart() {
    let events = events(
        "ping -c 2000 -i 10ms -q -j --sim=dup=5%,corrupt=3%,reorder=4%,seed=3,jitter=20ms 10.0.0.2",
        0,
    );
    let summary = of(&events, "summary")[0];
    for key in ["duplicates", "reordered", "corrupt"] {
        assert!(summary[key].as_u64() > Some(0), "{key}: {summary}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_live_view_gives_the_terminal_back_and_leaves_the_numbers() {
    use crate::terminal::{BACK, TAKEN, Terminal};
    for (line, keys) in [
        ("ping --live -i 20ms --sim=realtime 10.0.0.2 10.0.0.3", "ppjkq"),
        ("ping --live -i 20ms --sim=realtime 10.0.0.2 10.0.0.3", "\x03"),
        ("ping --live -c 3 --sim 10.0.0.2 10.0.0.3", ""),
    ] {
        let Some(mut terminal) = Terminal::start(line) else { return };
        // The view is up once its last line is there, and has numbers once a target has a row.
        let up = |seen: &str| seen.contains("quit") && seen.contains("10.0.0.3");
        terminal.until(|seen| (up(seen) || seen.contains("status ")).then_some(()));
        terminal.keys(keys);
        let seen = terminal.rest();
        let (_, taken) = seen.split_once(TAKEN).unwrap();
        let (_, after) = taken.rsplit_once(BACK).unwrap();
        assert!(after.contains("target ") && after.contains("10.0.0.3 "), "flux {line}: {after}");
        assert!(after.contains("status 0"), "flux {line}: {after}");
    }
    crate::command::assert_refused("ping --sim --live 10.0.0.2", "--live");
}

#[test]
fn targets_of_a_file_that_cannot_be_used_are_told_with_their_lines_and_the_others_are_probed() {
    let dir = command::temp_dir("target-file");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("hosts.txt");
    std::fs::write(&file, "# ours\n10.0.0.2\n\n10.0.0.2:80\nno-such.sim # gone\n10.0.0.3\n")
        .unwrap();
    let name = file.display();
    let line = format!("ping -c 1 --sim --file {name} 10.0.0.999");
    let run_events = events(&format!("{line} --json"), 2);
    let told: Vec<_> = of(&run_events, "send_error")
        .into_iter()
        .map(|event| (event["target"].as_str().unwrap(), event["error"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("10.0.0.999", "cannot resolve 10.0.0.999: 999 cannot be a part of an IPv4 address"),
            ("10.0.0.2:80", &*format!("{name} line 4: cannot resolve 10.0.0.2:80: it has a port")),
            (
                "no-such.sim",
                &*format!(
                    "{name} line 5: cannot resolve no-such.sim: the simulated network has no host of this name"
                )
            ),
        ]
    );
    let summaries = of(&run_events, "summary");
    let of_line = |target: &str| summaries.iter().find(|s| s["target"] == target).unwrap();
    assert_eq!(of_line("10.0.0.3")["received"], 1);
    assert!(of_line("no-such.sim")["error"].as_str().unwrap().contains("line 5: "));
    let output = run(&line);
    assert!(
        stdout(&output).starts_with("PING 2 of 5 targets, 56 data bytes\n"),
        "{}",
        stdout(&output)
    );
    let told = format!("cannot send to 10.0.0.2:80: {name} line 4: ");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    // The only one.
    std::fs::write(&file, "\n10.0.0.2:80\n").unwrap();
    let output = run(&format!("ping -c 1 --sim --file {name}"));
    assert_exit("the only target", &output, 2);
    let told = format!("error: {name} line 2: cannot resolve 10.0.0.2:80: it has a port");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn one_of_something_is_never_told_as_several() {
    let line = "ping -v -c 1 10.0.0.2 10.0.0.999 --sim";
    let output = run(line);
    let text = stdout(&output) + &stderr(&output);
    assert!(text.starts_with("PING 1 of 2 targets, 56 data bytes\n"), "{text}");
    assert!(text.contains("\nignored: 0 packets of others, 0 malformed\n"), "{text}");
    let output = run("trace -v -n -m 1 10.0.0.2 --sim");
    let text = stdout(&output) + &stderr(&output);
    assert!(text.contains(", 1 hop max, 60 byte packets\n"), "{text}");
    assert!(text.contains("ignored: 0 packets of others, 0 malformed\n"), "{text}");
}
