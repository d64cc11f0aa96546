//! `flux bench` from the outside: bad input, help, and saved runs compared.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

mod cli;

use cli::{assert_exit, events, flux, run, stderr, stdout};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Output;

/// A data directory that is gone with its owner.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("flux-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("flux/bench")).unwrap();
        Self(dir)
    }

    /// Keeps `report` as if `flux bench --save NAME` had.
    fn save(&self, name: &str, report: &Value) {
        fs::write(self.0.join(format!("flux/bench/{name}.json")), report.to_string()).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        flux(line).env("XDG_DATA_HOME", &self.0).output().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Five samples around `value`, half a percent apart, and where they lie.
fn spread(value: f64) -> Value {
    let samples = [0.0, -0.005, 0.005, -0.0025, 0.0025].map(|part| value * (1.0 + part));
    json!({
        "median": value, "min": samples[1], "max": samples[2], "q1": samples[3], "q3": samples[4],
        "iqr_pct": 0.5, "samples": samples,
    })
}

fn cell(workload: &str, poll: &str, batch: u32, value: f64) -> Value {
    let timed = workload == "latency";
    let latency = json!({
        "min": value / 2.0, "p50": value, "p90": value * 1.5, "p99": value * 2.0,
        "p999": value * 3.0, "max": value * 9.0,
    });
    json!({
        "workload": workload, "mode": "raw", "batch": batch, "poll": poll, "frame": 64,
        "queues": 1, "hugepages": false, "prefetch": true,
        "mpps": spread(if timed { 0.01 } else { value }),
        "user_ns_per_packet": 100.0, "system_ns_per_packet": null, "batch_ns_per_packet": null,
        "cycles_per_packet": null, "cycle_source": null, "instructions_per_packet": null,
        "syscalls_per_packet": 0.25, "packets_per_wakeup": 4.0, "packets_per_batch": 8.0,
        "cpu_pct": 40.0, "ring_full": 0, "fill_empty": 0, "dropped": 0, "packets": 1_000_000,
        "latency_us": if timed { latency } else { Value::Null },
        "latency_p50_us": if timed { spread(value) } else { Value::Null },
        "noisy": false,
    })
}

/// A run whose batches of 64 in rxdrop reach `rxdrop` Mpps, and whose median latency is `p50`.
fn report(rxdrop: f64, p50: f64) -> Value {
    json!({
        "event": "report", "backend": "xdp", "place": "lab", "note": null, "version": "0.1.0",
        "machine": {"cpu": "Example CPU", "cpus": 2, "kernel": "6.18.0"},
        "opened": null, "duration_ms": 400.0, "repeat": 5, "complete": true,
        "results": [
            cell("rxdrop", "busy", 64, rxdrop),
            cell("rxdrop", "syscall", 64, 3.0),
            cell("latency", "busy", 64, p50),
        ],
        "best": [],
    })
}

#[test]
fn bad_input_exits_2_names_the_value_and_tells_the_next_step() {
    let table = [
        ("bench", "no place to measure in"),
        ("bench --batch 16", "no place to measure in"),
        ("bench --sim --lab", "--lab"),
        ("bench --sim -I eth0", "--interface"),
        ("bench --sim --batch 0", "batch 0"),
        ("bench --sim --batch 16,9999", "batch 9999"),
        ("bench --sim --batch 16,", "''"),
        ("bench --sim --frame 63", "frame 63"),
        ("bench --sim --frame 64,9000", "frame 9000"),
        ("bench --sim --workload rxdorp", "'rxdorp'"),
        ("bench --sim --workload txonly --mode engine", "txonly in mode engine"),
        ("bench --sim --poll lazily", "'lazily'"),
        ("bench --sim --queue 3-1", "'3-1'"),
        ("bench --sim --hugepages auto", "'auto'"),
        ("bench --sim --duration 0", "'0'"),
        ("bench --sim --duration 2h", "duration 7200s"),
        ("bench --sim --repeat 0", "0 repeats"),
        ("bench --sim=los=3%", "los"),
        ("bench --sim --plot chart.png", "'chart.png'"),
        ("bench --sim --plot /no/such/dir/chart.svg", "/no/such/dir"),
        ("bench --sim --save ..", "'..'"),
        ("bench diff", "<A>"),
        ("bench diff one", "<B>"),
        ("bench diff ./none-a.json ./none-b.json", "none-a.json"),
        ("bench diff a b --tolerance fast", "'fast'"),
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

        let line = format!("{line} --json");
        let events = events(&line, 2);
        let last = events.last().unwrap_or_else(|| panic!("flux {line}: no event"));
        assert!(last["error"].as_str().is_some_and(|e| e.contains(value)), "flux {line}: {last}");
        assert!(last["hint"].is_string(), "flux {line}: {last}");
    }
    let line = "bench --sim --json --csv";
    assert_exit(line, &run(line), 2);
}

#[test]
fn help_tells_that_packets_are_sent_and_what_the_exit_status_means() {
    for line in ["bench --help", "help bench"] {
        let output = run(line);
        assert_exit(line, &output, 0);
        let text = stdout(&output);
        for want in ["--workload", "--lab", "SENDS", "Exit status", "bench diff"] {
            assert!(text.contains(want), "flux {line}: no {want}");
        }
    }
    let output = run("bench diff --help");
    assert_exit("bench diff --help", &output, 0);
    assert!(stdout(&output).contains("--tolerance"), "{}", stdout(&output));
}

#[test]
fn a_run_as_good_as_the_first_exits_0() {
    let home = Home::new("same");
    home.save("before", &report(5.0, 10.0));
    home.save("after", &report(4.95, 10.1));
    let line = "bench diff before after";
    let output = home.run(line);
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    assert!(text.starts_with("A: before, B: after; xdp, lab, tolerance 5%\n"), "{text}");
    assert!(text.contains("0 of 3 settings slower, 0 faster"), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_planted_regression_exits_1_and_is_named() {
    let home = Home::new("slower");
    home.save("before", &report(5.0, 10.0));
    home.save("after", &report(4.0, 12.5));
    let line = "bench diff before after";
    let output = home.run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert!(text.contains("2 of 3 settings slower, 0 faster"), "{text}");
    let row = text.lines().find(|line| line.starts_with("rxdrop")).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words,
        ["rxdrop", "64", "busy", "5.000", "4.000", "mpps", "-20.0%", "0.5%", "slower"]
    );

    // The other way round it is faster, and a wide tolerance takes it.
    assert_exit("diff", &home.run("bench diff after before"), 0);
    assert_exit("diff", &home.run("bench diff before after --tolerance 30%"), 0);
    assert_exit("diff", &home.run("bench diff before after --tolerance=24%"), 0);
}

#[test]
fn a_diff_is_one_object_in_json_and_lines_in_csv() {
    let home = Home::new("formats");
    home.save("before", &report(5.0, 10.0));
    home.save("after", &report(4.0, 10.0));
    let output = home.run("bench diff before after --json --tolerance 2%");
    assert_exit("--json", &output, 1);
    let text = stdout(&output);
    assert!(text.starts_with(r#"{"event":"diff","#) && text.lines().count() == 1, "{text}");
    let diff: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&diff["regressions"], &diff["improvements"]), (&json!(1), &json!(0)));
    assert_eq!((&diff["tolerance_pct"], &diff["backend"]), (&json!(2.0), &json!("xdp")));
    let change = &diff["changes"][0];
    assert_eq!((&change["workload"], &change["verdict"]), (&json!("rxdrop"), &json!("slower")));
    assert_eq!((&change["a"], &change["b"]), (&json!(5.0), &json!(4.0)));

    let output = home.run("bench diff before after --csv");
    assert_exit("--csv", &output, 1);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("workload,mode,batch,poll,frame,"), "{text}");
    assert!(lines[1].starts_with("rxdrop,raw,64,busy,64,1,false,true,mpps,5.0,4.0,"), "{text}");
    assert!(lines[1].ends_with(",slower"), "{text}");
}

#[test]
fn unlike_runs_are_refused_and_unlike_machines_are_noted() {
    let home = Home::new("unlike");
    home.save("before", &report(5.0, 10.0));
    let mut sim = report(5.0, 10.0);
    sim["backend"] = json!("sim");
    home.save("sim", &sim);
    let mut device = report(5.0, 10.0);
    device["place"] = json!("interface");
    home.save("device", &device);
    let mut other = report(5.0, 10.0);
    for cell in other["results"].as_array_mut().unwrap() {
        cell["batch"] = json!(128);
    }
    home.save("other", &other);
    for (name, want) in [("sim", "backend"), ("device", "place"), ("other", "no setting in common")]
    {
        let line = format!("bench diff before {name}");
        let output = home.run(&line);
        assert_exit(&line, &output, 2);
        let text = stderr(&output);
        assert!(text.starts_with("error: cannot compare the two runs: "), "{text}");
        assert!(text.contains(want) && text.contains("\nhint: "), "{text}");
    }

    let mut newer = report(5.0, 10.0);
    newer["machine"]["kernel"] = json!("6.19.0");
    newer["duration_ms"] = json!(2000.0);
    home.save("newer", &newer);
    let output = home.run("bench diff before newer");
    assert_exit("bench diff before newer", &output, 0);
    let text = stdout(&output);
    assert!(text.contains("note: another kernel: 6.18.0, then 6.19.0\n"), "{text}");
    assert!(text.contains("note: another time per sample: 400 ms, then 2000 ms\n"), "{text}");
}

#[test]
fn a_name_that_was_not_saved_lists_those_that_were() {
    let home = Home::new("names");
    home.save("before", &report(5.0, 10.0));
    home.save("later", &report(5.0, 10.0));
    let line = "bench diff before after";
    let output = home.run(line);
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    assert!(text.starts_with("error: no saved run 'after': "), "{text}");
    assert!(text.contains("hint: saved are: before, later\n"), "{text}");
}

#[test]
fn what_is_no_report_is_told_from_one_of_another_version() {
    let home = Home::new("formats-of-files");
    home.save("before", &report(5.0, 10.0));
    home.save("summary", &json!({"event": "summary"}));
    home.save("newer", &json!({"event": "report", "version": "9.0.0"}));
    for (name, want) in
        [("summary", "no report of flux bench"), ("newer", "flux 9.0.0 wrote it in a format")]
    {
        let line = format!("bench diff before {name}");
        let output = home.run(&line);
        assert_exit(&line, &output, 2);
        assert!(stderr(&output).contains(want), "{}", stderr(&output));
    }
}

#[test]
fn a_table_of_changes_keeps_to_the_columns_it_is_given() {
    let home = Home::new("narrow");
    home.save("before", &report(5.0, 10.0));
    home.save("after", &report(4.0, 10.0));
    for columns in [60, 80, 120] {
        let line = "bench diff before after";
        let output = flux(line)
            .env("XDG_DATA_HOME", &home.0)
            .env("COLUMNS", columns.to_string())
            .output()
            .unwrap();
        assert_exit(line, &output, 1);
        let text = stdout(&output);
        assert!(text.is_ascii() && text.lines().all(|line| line.len() <= columns), "{text}");
        assert!(text.contains("-20.0%") && text.contains("slower"), "{text}");
    }
}
