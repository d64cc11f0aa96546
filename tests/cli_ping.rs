//! `flux ping` from the outside, on the simulated network: bytes on the two streams, exit status.
#![allow(missing_docs)]

use assert_cmd::assert::Assert;
use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The command with an environment that no machine's settings get into.
fn flux(line: &str) -> Command {
    let mut command = Command::new(cargo_bin!("flux"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    for name in ["COLUMNS", "NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(name);
    }
    command
}

fn run(line: &str) -> Output {
    flux(line).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts the exit status and shows everything when it is another.
#[track_caller]
fn assert_exit(line: &str, output: &Output, status: i32) {
    Assert::new(output.clone()).append_context("command line", line.to_owned()).code(status);
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
}

/// Runs to `status` and reads standard output as JSON lines.
#[track_caller]
fn events(line: &str, status: i32) -> Vec<Value> {
    let output = run(line);
    assert_exit(line, &output, status);
    let text = stdout(&output);
    text.lines()
        .map(|line| {
            assert!(line.starts_with(r#"{"event":""#), "{line}");
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        })
        .collect()
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn five_probes_get_five_replies_of_exactly_200_us() {
    let events = events("ping -c 5 10.0.0.2 --sim --json", 0);
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events[0]["backend"], "sim");
    for key in ["interface", "driver", "attach", "zero_copy", "queues", "clocks", "poll"] {
        assert!(!events[0][key].is_null(), "{key}: {}", events[0]);
    }
    let replies = of(&events, "reply");
    assert_eq!(replies.len(), 5);
    for (index, reply) in replies.iter().enumerate() {
        assert_eq!(reply["target"], "10.0.0.2");
        assert_eq!(reply["from"], "10.0.0.2");
        assert_eq!(reply["seq"], index as u64 + 1);
        assert_eq!((&reply["bytes"], &reply["ttl"]), (&Value::from(64), &Value::from(64)));
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
         rtt min/mean/p50/p90/p99/max/stddev = 0.200/0.200/0.200/0.200/0.200/0.200/0.000 ms\n"
    );
    let started = stderr(&output);
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
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let elapsed = of(&events, "summary")[0]["elapsed_ms"].as_f64().unwrap();
    assert!((999_000.0..1_001_000.0).contains(&elapsed), "{elapsed}");
    // Nothing but a default would end this one.
    assert_eq!(of(&self::events("ping -j --sim 10.0.0.2", 0), "reply").len(), 5);
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

#[test]
fn bad_input_exits_2_names_the_value_and_tells_the_next_step() {
    let table = [
        ("ping", "TARGET"),
        ("ping --sim", "TARGET"),
        ("ping -c 1 --sim no.such.host.invalid", "no.such.host.invalid"),
        ("ping -c 1 --sim=los=3% 10.0.0.2", "los"),
        ("ping -c 1 --sim los=3% 10.0.0.2", "los"),
        ("ping -c 1 --sim=loss=300% 10.0.0.2", "300%"),
        ("ping -c 1 --sim --batch 0 10.0.0.2", "batch 0"),
        ("ping -c 1 --sim --frame-size 3000 10.0.0.2", "3000"),
        ("ping -c 1 --sim --queue 99 10.0.0.2", "99"),
        ("ping -c 1 --sim -I eth7 10.0.0.2", "eth7"),
        ("ping -c 99999999999999999999 --sim 10.0.0.2", "99999999999999999999"),
        ("ping -c 0 --sim 10.0.0.2", "'0'"),
        ("ping -c 1 -s 100000 --sim 10.0.0.2", "100000"),
        ("ping -c 1 -s 9999 --sim 10.0.0.2", "9999"),
        ("ping -c 1 -i -1 --sim 10.0.0.2", "'-1'"),
        ("ping -c 1 -i nan --sim 10.0.0.2", "'nan'"),
        ("ping -c 1 -W 1e300 --sim 10.0.0.2", "1e300"),
        ("ping -c 1 -4 -6 --sim 10.0.0.2", "-6"),
        ("ping -c 1 --rate 5 -i 1 --sim 10.0.0.2", "--rate"),
        ("ping -c 1 -6 --sim 10.0.0.2", "10.0.0.2"),
        ("ping -c 1 --frobnicate 10.0.0.2", "--frobnicate"),
        ("pong 10.0.0.2", "pong"),
        ("help pong", "pong"),
        ("completions tcsh", "tcsh"),
        ("man /dev/null/man", "/dev/null/man"),
    ];
    for (line, value) in table {
        let output = run(line);
        assert_exit(line, &output, 2);
        let text = stderr(&output);
        let mut lines = text.lines().skip_while(|line| !line.starts_with("error: "));
        let error = lines.next().unwrap_or_else(|| panic!("flux {line}: {text}"));
        assert!(error.contains(value), "flux {line}: {error}");
        let hint = lines.next().unwrap_or_else(|| panic!("flux {line}: {text}"));
        assert!(hint.starts_with("hint: "), "flux {line}: {hint}");
        assert!(stdout(&output).is_empty(), "flux {line}: {}", stdout(&output));

        // The same with --json: the stream stays JSON and ends with the error.
        let line = format!("{line} --json");
        if !line.starts_with("ping") {
            continue;
        }
        let events = events(&line, 2);
        let last = events.last().unwrap_or_else(|| panic!("flux {line}: no event"));
        assert_eq!(last["event"], "error", "flux {line}");
        assert!(last["error"].as_str().is_some_and(|e| e.contains(value)), "flux {line}: {last}");
        assert!(last["hint"].is_string(), "flux {line}: {last}");
    }
}

#[test]
fn help_and_version_are_data() {
    for (line, want) in [
        ("--help", "Usage: flux"),
        ("--version", "flux "),
        ("ping --help", "--histogram"),
        ("ping -h", "--histogram"),
        ("ping --version", "ping"),
        ("help", "Usage: flux"),
        ("help ping", "--histogram"),
        ("help sim", "10.0.0.66"),
        ("completions bash", "complete"),
    ] {
        let output = run(line);
        assert_exit(line, &output, 0);
        assert!(stdout(&output).contains(want), "flux {line}: {}", stdout(&output));
        assert_eq!(stderr(&output), "", "flux {line}");
    }
    let nothing = run("");
    assert_exit("", &nothing, 2);
    assert!(stderr(&nothing).contains("Usage: flux") && nothing.stdout.is_empty());
}

#[test]
fn the_knobs_that_help_sim_tells_are_taken() {
    let output = run("help sim");
    let text = stdout(&output);
    let knobs: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split("  ").next())
        .map(str::trim)
        .filter(|word| !word.contains(' ') && (word.contains('=') || *word == "realtime"))
        .filter(|word| !word.starts_with('-'))
        .collect();
    assert!(knobs.len() >= 11, "{knobs:?}");
    for knob in knobs {
        let line = format!("ping -c 1 -q -i 1ms --sim={knob} 10.0.0.2");
        let status = run(&line).status.code();
        assert!(matches!(status, Some(0 | 1)), "flux {line}: {status:?}");
    }
}

#[test]
fn nothing_is_coloured_and_nothing_moves_off_a_terminal() {
    for no_color in [None, Some("1")] {
        let line = "ping -c 3 -q --histogram --sim 10.0.0.2 10.0.0.66";
        let mut command = flux(line);
        command.env("TERM", "xterm-256color");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let output = command.output().unwrap();
        assert_exit(line, &output, 1);
        for text in [stdout(&output), stderr(&output)] {
            assert!(!text.contains('\x1b') && !text.contains('\r'), "{text}");
        }
    }
    let flood = run("ping -f -c 100 --sim=loss=20% 10.0.0.2");
    assert_exit("-f", &flood, 0);
    assert_eq!(stdout(&flood).lines().nth(1), Some(""), "{}", stdout(&flood));
}

#[test]
fn a_table_keeps_to_the_columns_it_is_given() {
    let line = "ping -c 10 -q --sim=dup=10%,seed=3 10.0.0.2 2001:db8::2 203.0.113.7 10.0.0.66";
    for columns in [30, 40, 60, 80, 100, 200] {
        let output = flux(line).env("COLUMNS", columns.to_string()).output().unwrap();
        assert_exit(line, &output, 1);
        let text = stdout(&output);
        let table: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).skip(1).collect();
        assert_eq!(table.len(), 5, "a heading and four rows at {columns}:\n{text}");
        assert!(table[0].starts_with("target"), "{text}");
        assert!(table.iter().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
    }
}

#[test]
fn a_histogram_is_drawn_in_ascii_where_the_locale_has_no_more() {
    let line = "ping -c 500 -i 1ms -q --histogram --sim=jitter=1ms,seed=5 10.0.0.2";
    let ascii = flux(line).env("COLUMNS", "60").output().unwrap();
    assert_exit(line, &ascii, 0);
    assert!(stdout(&ascii).is_ascii() && stdout(&ascii).contains("##"), "{}", stdout(&ascii));
    assert!(stdout(&ascii).lines().skip(5).all(|line| line.len() <= 60), "{}", stdout(&ascii));
    let utf8 = flux(line).env("LANG", "C.UTF-8").output().unwrap();
    assert!(stdout(&utf8).contains('█'), "{}", stdout(&utf8));
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    for line in [
        "ping -c 100000 -i 1ms --sim 10.0.0.2",
        "ping -c 100000 -i 1ms --sim --json 10.0.0.2",
        "help sim",
        "completions zsh",
        "--help",
    ] {
        let mut child = flux(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_exit(line, &output, 0);
        assert!(!stderr(&output).contains("error"), "flux {line}: {}", stderr(&output));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = flux("ping -c 1 --sim 10.0.0.2").stdout(full).output().unwrap();
    assert_exit("> /dev/full", &output, 2);
    let text = stderr(&output);
    assert!(text.contains("error: cannot write to standard output: No space left"), "{text}");
}

/// Sends `signal` with kill(1) and waits for the end.
#[cfg(unix)]
mod signals {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::process::Child;

    fn send(child: &Child, signal: &str) {
        let status =
            Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
        assert!(status.unwrap().success());
    }

    /// Started, and known to run: two replies were read.
    fn running(line: &str) -> (Child, BufReader<std::process::ChildStdout>) {
        let mut child = flux(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while text.matches("reply").count() < 2 {
            assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
        }
        (child, out)
    }

    #[test]
    fn an_interrupt_ends_with_the_summary_and_the_status_of_what_was_seen() {
        for signal in ["INT", "TERM"] {
            let (mut child, mut out) = running("ping -j -i 20ms --sim=realtime 10.0.0.2");
            send(&child, signal);
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
            let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
            assert_eq!(last["event"], "summary");
            assert!(last["received"].as_u64() >= Some(2), "{last}");
        }
    }

    #[test]
    fn quit_asks_for_the_numbers_so_far_and_the_run_goes_on() {
        let (mut child, mut out) = running("ping -j -i 20ms --sim=realtime 10.0.0.2");
        send(&child, "QUIT");
        let mut line = String::new();
        while !line.contains(r#"{"event":"interim""#) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0);
        }
        while !line.contains(r#"{"event":"reply""#) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0);
        }
        send(&child, "INT");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
