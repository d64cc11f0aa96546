//! `flux` as a citizen of the shell: streams, terminals, pipes, signals, bad input, help.

use crate::command::{
    assert_ends_with_its_reader, assert_exit, assert_refused, assert_refused_as_json, flux, run,
    start, stderr, stdout,
};
use serde_json::Value;

#[test]
fn bad_input_exits_2_names_the_value_and_tells_the_next_step() {
    let table = [
        ("ping", "TARGET"),
        ("ping --sim", "TARGET"),
        ("ping -c 1 --sim no.such.host.invalid", "no.such.host.invalid"),
        ("ping -c 1 --sim=los=3% 10.0.0.2", "los"),
        ("ping -c 1 --sim los=3% 10.0.0.2", "los"),
        ("ping -c 1 --sim=loss=300% 10.0.0.2", "300%"),
        ("ping -c 1 --sim --batch 0 10.0.0.2", "'0'"),
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
        ("ping -c 1 -4 -6 --sim 10.0.0.2", "--ipv6"),
        ("ping -c 1 --rate 5 -i 1 --sim 10.0.0.2", "--rate"),
        ("ping -c 1 -6 --sim 10.0.0.2", "10.0.0.2"),
        ("ping -c 1 --frobnicate 10.0.0.2", "--frobnicate"),
        ("pong 10.0.0.2", "pong"),
        ("help pong", "pong"),
        ("completions tcsh", "tcsh"),
        ("man /dev/null/man", "/dev/null/man"),
    ];
    for (line, value) in table {
        assert_refused(line, value);
        if line.starts_with("ping") {
            assert_refused_as_json(line, value);
        }
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
        ("help topology", "[[event]]"),
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
        // A file must be there: topology.rs has some.
        .filter(|word| !word.starts_with("file="))
        .collect();
    assert!(knobs.len() >= 11, "{knobs:?}");
    for knob in knobs {
        // None of them keeps the first probe of this seed from its answer; `realtime` may be late.
        let line = format!("ping -c 1 -q -W 60 --sim={knob} 10.0.0.2");
        assert_exit(&line, &run(&line), 0);
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
        "help topology",
        "completions zsh",
        "--help",
    ] {
        assert_ends_with_its_reader(line);
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

#[cfg(unix)]
mod signals {
    use super::*;
    use crate::command::{line_of, signal};
    #[cfg(target_os = "linux")]
    use crate::lab;
    use std::io::{BufReader, Read};
    use std::process::{Child, ChildStdout};

    const REPLY: &str = r#"{"event":"reply""#;

    /// Started, and known to run: two replies were read.
    fn running(line: &str) -> (Child, BufReader<ChildStdout>) {
        let mut child = start(line);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        (0..2).for_each(|_| drop(line_of(&mut out, REPLY)));
        (child, out)
    }

    #[test]
    fn an_interrupt_ends_with_the_summary_and_the_status_of_what_was_seen() {
        for number in [libc::SIGINT, libc::SIGTERM] {
            let (mut child, mut out) = running("ping -j -i 20ms --sim=realtime 10.0.0.2");
            signal(&child, number);
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
        signal(&child, libc::SIGQUIT);
        line_of(&mut out, r#"{"event":"interim""#);
        line_of(&mut out, REPLY);
        signal(&child, libc::SIGINT);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_second_interrupt_does_not_wait_for_a_reader_that_never_reads() {
        let (mut child, out) = running("ping -j -c 1000000 -i 1ms --sim 10.0.0.2");
        // In virtual time the one thing the main thread can sleep on is the full pipe.
        let stat = format!("/proc/{0}/task/{0}/stat", child.id());
        lab::wait_until("a full pipe", || std::fs::read_to_string(&stat).unwrap().contains(") S "));
        let mut ended = None;
        lab::wait_until("the end", || {
            signal(&child, libc::SIGINT);
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(130));
        drop(out);
    }
}
