//! `flux rings` from the outside, where no privilege is needed: usage, streams, simulated sockets.

use crate::command::{
    assert_ends_with_its_reader, assert_exit, assert_refused, assert_refused_as_json, events, flux,
    of, run, start, stderr, stdout,
};
use serde_json::Value;
use std::net::TcpListener;

#[test]
fn bad_input_exits_2_names_the_value_and_tells_the_next_step() {
    let table = [
        ("rings eth0 eth1", "eth1"),
        ("rings eth0 --all", "--all"),
        ("rings -p none", "'none'"),
        ("rings -p 0", "0"),
        ("rings --queue 5-2", "'5-2'"),
        ("rings --source ss", "'ss'"),
        ("rings --source diag --sim", "--sim"),
        ("rings --over -1", "'-1'"),
        ("rings --watch=often", "'often'"),
        ("rings -c 0", "'0'"),
        ("rings --sim=los=3%", "los"),
        ("rings --frames 4k", "--frames"),
        ("rings --sim --frame-size 3000", "3000"),
        ("rings --metrics 127.0.0.1 --sim", "'127.0.0.1'"),
        ("rings --metrics 127.0.0.1:99999 --sim", "99999"),
        ("rings --metrics 127.0.0.1:0 --watch --sim", "--watch"),
        ("rings --frobnicate", "--frobnicate"),
    ];
    for (line, value) in table {
        assert_refused(line, value);
        assert_refused_as_json(line, value);
    }
}

#[test]
fn help_tells_sources_columns_and_exit_status() {
    for line in ["rings --help", "rings -h", "help rings"] {
        let output = run(line);
        assert_exit(line, &output, 0);
        for word in ["--source", "--watch", "--metrics", "pidfd", "per s", "Exit status:"] {
            assert!(stdout(&output).contains(word), "flux {line}: no {word}");
        }
        assert_eq!(stderr(&output), "", "flux {line}");
    }
}

#[test]
fn an_address_in_use_is_an_error_before_anything_is_looked_at() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = format!("rings --metrics {address}");
    let output = run(&line);
    assert_exit(&line, &output, 2);
    let text = stderr(&output);
    let error = format!("error: cannot serve metrics on {address}: Address already in use");
    assert!(text.starts_with(&error), "{text}");
    assert!(text.contains("hint: another process listens there"), "{text}");
}

#[test]
fn simulated_sockets_read_at_80_columns() {
    let line = "rings --sim";
    let output = flux(line).env("COLUMNS", "80").output().unwrap();
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    assert!(text.starts_with("source sim, looked in "), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    for ring in ["  rx  ", "  tx  ", "  fill  ", "  comp  "] {
        assert_eq!(text.matches(ring).count(), 1, "{ring}: {text}");
    }
    let utf8 = flux(line).env("LANG", "C.UTF-8").output().unwrap();
    assert!(stdout(&utf8).contains('█'), "{}", stdout(&utf8));
}

#[test]
fn a_sample_has_every_key_that_is_promised() {
    let line = "rings --sim --json -c 2";
    let samples = events(line, 0);
    assert_eq!((samples.len(), of(&samples, "sample").len()), (2, 2));
    for sample in &samples {
        assert_eq!(sample["scanned_by"], "sim");
        assert!(sample["elapsed_s"].as_f64().is_some_and(|over| over > 0.0), "{sample}");
        let socket = &sample["sockets"][0];
        for key in ["pid", "comm", "fd", "interface", "ifindex", "queue", "umem_id", "zero_copy"] {
            assert!(!socket[key].is_null(), "{key}: {socket}");
        }
        assert!(socket.get("netns").is_some(), "{socket}");
        for ring in ["rx", "tx", "fill", "comp"] {
            let ring = &socket["rings"][ring];
            for key in ["size", "producer", "consumer", "used", "need_wakeup", "per_s"] {
                assert!(!ring[key].is_null(), "{key}: {ring}");
            }
        }
        for key in [
            "rx_dropped",
            "rx_invalid_descs",
            "tx_invalid_descs",
            "rx_ring_full",
            "rx_fill_ring_empty_descs",
            "tx_ring_empty_descs",
        ] {
            assert!(socket["stats"][key].is_u64(), "{key}: {socket}");
            assert!(socket["stats_per_s"][format!("{key}_per_s")].is_f64(), "{key}: {socket}");
        }
        for key in ["frames", "frame_size", "unaccounted"] {
            assert!(socket["umem"][key].is_i64(), "{key}: {socket}");
        }
        assert_eq!(socket["diagnosis"], Value::Array(Vec::new()), "{socket}");
    }
}

#[test]
fn one_look_has_no_rates() {
    let sample = &events("rings --sim --json --over 0", 0)[0];
    assert_eq!(sample["elapsed_s"], Value::Null);
    let socket = &sample["sockets"][0];
    assert_eq!(socket["rings"]["rx"]["per_s"], Value::Null);
    assert_eq!(socket["stats_per_s"], Value::Null);
    let text = stdout(&run("rings --sim --over 0"));
    assert!(text.contains("one look, so no rates"), "{text}");
}

#[test]
fn no_socket_is_the_answer_no_and_tells_what_was_looked_for() {
    let line = "rings --sim --queue 7 --over 0";
    let output = run(line);
    assert_exit(line, &output, 1);
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(text.contains("there is no AF_XDP socket on queue 7"), "{text}");
    let line = "rings --sim --pid 1 --over 0 --json";
    let samples = events(line, 1);
    assert_eq!(samples[0]["sockets"], Value::Array(Vec::new()));
    let text = samples[1]["text"].as_str().unwrap();
    assert!(text.starts_with("process 1 has no AF_XDP socket"), "{text}");
    assert_eq!(stderr(&run(line)), "");
}

#[test]
fn a_watch_off_a_terminal_prints_samples_one_after_another() {
    for term in ["xterm-256color", "dumb"] {
        let line = "rings --sim --over 10ms --watch 10ms -c 3";
        let output = flux(line).env("TERM", term).output().unwrap();
        assert_exit(line, &output, 0);
        let text = stdout(&output);
        assert!(!text.contains('\x1b') && !text.contains('\r'), "{text}");
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("source ")).collect();
        assert_eq!(heads.len(), 3, "{text}");
        assert!(heads[0].starts_with("source sim, at 0.0 s, "), "{text}");
    }
}

#[test]
fn live_off_a_terminal_is_refused_as_in_every_command() {
    for line in ["rings --sim --live", "rings --sim --live --watch 10ms -c 3"] {
        let output = run(line);
        assert_exit(line, &output, 2);
        let text = stderr(&output);
        assert!(text.starts_with("error: cannot draw for --live: "), "{text}");
        assert!(text.contains("hint: leave out --live"), "{text}");
    }
}

#[test]
fn that_there_is_no_socket_is_a_note_among_the_events() {
    let told = events("rings --sim --pid 1 --over 0 --json", 1);
    let [note] = &of(&told, "note")[..] else { panic!("{told:?}") };
    assert!(note["text"].as_str().unwrap().starts_with("process 1 has no AF_XDP socket"), "{note}");
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    for line in [
        "rings --sim --over 1ms --watch 1ms -c 100000 --json",
        "rings --sim --over 1ms --watch 1ms -c 100000",
        "rings --sim --over 1ms",
        "rings --help",
    ] {
        assert_ends_with_its_reader(line);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_simulated_time_that_has_a_year_to_go() {
    use crate::command::{json_lines, signal};
    use crate::lab::wait_until;
    for (line, number) in [
        ("rings --sim --over 1y --json", libc::SIGINT),
        ("rings --sim --over 30d --json", libc::SIGTERM),
        ("rings --sim --over 1ms --watch=1y -c 1000000000 --json", libc::SIGINT),
    ] {
        let child = start(line);
        let status = format!("/proc/{}/status", child.id());
        wait_until("a handler of the signal", || {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask >> (number - 1) & 1 != 0)
        });
        signal(&child, number);
        let output = child.wait_with_output().unwrap();
        assert_exit(line, &output, 0);
        let samples = json_lines(&output);
        assert_eq!(of(&samples, "sample").len(), 1, "flux {line}: {samples:#?}");
    }
}

/// Serves metrics until a signal tells it to end.
#[cfg(target_os = "linux")]
mod metrics {
    use super::*;
    use crate::command::{line_of, signal};
    use crate::lab::{PATIENCE, wait_until};
    use std::io::{BufReader, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    fn scrape(address: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        answer
    }

    fn value(answer: &str, series: &str) -> f64 {
        let line = answer.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series}: {answer}"));
        line[series.len()..].trim().parse().unwrap()
    }

    #[test]
    fn ten_silent_connections_do_not_delay_a_scrape() {
        let mut child = start("rings --metrics 0 --sim");
        let mut told = BufReader::new(child.stderr.take().unwrap());
        const AT: &str = "metrics are at http://";
        let line = line_of(&mut told, AT);
        let address = line[AT.len()..].split('/').next().unwrap();
        let median = || {
            let mut took: Vec<_> = (0..9)
                .map(|_| {
                    let start = Instant::now();
                    scrape(address);
                    start.elapsed()
                })
                .collect();
            took.sort_unstable();
            took[4]
        };
        let alone = median();
        let silent: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        let beside = median();
        // With one connection at a time it was ten deadlines: 20 s.
        assert!(beside < alone + Duration::from_millis(100), "{alone:?} alone, {beside:?} beside");
        drop(silent);
        signal(&child, libc::SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn metrics_are_served_until_a_signal() {
        for number in [libc::SIGINT, libc::SIGTERM] {
            let line = match number {
                libc::SIGINT => "rings --metrics 0 --sim",
                _ => "rings --metrics 127.0.0.1:0 --sim=realtime",
            };
            let mut child = start(line);
            let mut told = BufReader::new(child.stderr.take().unwrap());
            const AT: &str = "metrics are at http://";
            let line = line_of(&mut told, AT);
            let address = line[AT.len()..].split('/').next().unwrap();
            let produced = r#"flux_ring_produced_total{interface="sim0",queue="0",ring="rx"}"#;
            let first = value(&scrape(address), produced);
            // Simulated time passes beside ours, virtual or not.
            wait_until("a packet", || value(&scrape(address), produced) > first);
            signal(&child, number);
            assert_eq!(child.wait().unwrap().code(), Some(0), "signal {number}");
            let mut data = String::new();
            child.stdout.take().unwrap().read_to_string(&mut data).unwrap();
            assert_eq!(data, "");
        }
    }
}

#[cfg(target_os = "linux")]
mod live {
    use crate::lab;
    use crate::terminal::{TAKEN, Terminal};

    /// Reads on until the view shows its socket; the pid of the simulated application, which is
    /// the process itself.
    fn pid(terminal: &mut Terminal) -> String {
        terminal.until(|seen| {
            let (pid, _) = seen.split_once("sim-app[")?.1.split_once(']')?;
            Some(pid.to_owned())
        })
    }

    #[test]
    fn keys_leave_the_live_view_with_the_terminal_as_it_was() {
        for keys in ["q", "\x03", "vjkGgq"] {
            let line = match keys {
                "q" => "rings --sim --over 50ms --watch 50ms --live",
                "\x03" => "rings --sim --live",
                _ => "rings --sim --over 50ms --watch 50ms",
            };
            let Some(mut terminal) = Terminal::start(line) else { return };
            pid(&mut terminal);
            terminal.keys(keys);
            assert_eq!(terminal.end(), "0", "{keys:?}");
        }
    }

    #[test]
    fn a_counted_live_view_gives_the_terminal_back_and_an_error_does_not_take_it() {
        let line = "rings --sim --over 50ms --watch 50ms -c 3";
        let Some(terminal) = Terminal::start(line) else { return };
        assert_eq!(terminal.end(), "0");
        let Some(terminal) = Terminal::start("rings none0 --sim --watch") else { return };
        let seen = terminal.rest();
        assert!(seen.contains("status 2") && !seen.contains(TAKEN), "{seen}");
    }

    #[test]
    fn a_terminal_that_hangs_up_ends_the_live_view() {
        // In a session of its own, where no SIGHUP tells it.
        let line = "rings --sim --over 50ms --watch 50ms";
        if !lab::has(&["setsid"]) {
            return;
        }
        let Some(mut terminal) = Terminal::start_by("setsid -w", line) else { return };
        let pid = pid(&mut terminal);
        terminal.hang_up();
        let stat = format!("/proc/{pid}/stat");
        // Without a parent that waits for it, it may stay as a zombie.
        lab::wait_until("the end of who has no terminal", || {
            !std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "))
        });
    }
}

#[test]
fn an_interface_that_is_not_there_is_an_error() {
    for line in ["rings sim7 --sim", "rings --sim sim7", "rings sim7 --sim --json -c 3"] {
        let output = run(line);
        assert_exit(line, &output, 2);
        assert!(stderr(&output).contains("error: cannot find interface sim7"), "{output:?}");
        assert!(stderr(&output).contains("sim0"), "the one that there is: {output:?}");
    }
    let told = events("rings sim7 --sim --json", 2);
    assert_eq!((told.len(), &told[0]["event"]), (1, &"error".into()));
}
