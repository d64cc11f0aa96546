//! `flux bench` from the outside: bad input, help, and saved runs compared.

use crate::command::{
    self, assert_exit, assert_refused, assert_refused_as_json, events, flux, only, run, stderr,
    stdout,
};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Output;

/// A data directory that is gone with its owner.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let dir = command::temp_dir(&format!("bench-{name}"));
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

fn setting(workload: &str, poll: &str, batch: u32, value: f64) -> Value {
    let timed = workload == "latency";
    let latency = json!({
        "min": value / 2.0, "mean": value * 1.1, "p50": value, "p90": value * 1.5, "p99": value * 2.0,
        "p999": value * 3.0, "max": value * 9.0, "stddev": value * 0.3,
    });
    json!({
        "workload": workload, "mode": "raw", "batch": batch, "poll": poll, "packet_size": 60,
        "queue_count": 1, "pages": "4k", "prefetch": true,
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
        "event": "report", "backend": "xdp", "place": "lab", "remark": null, "version": "0.1.0",
        "machine": {"cpu": "Example CPU", "cpus": 2, "kernel": "6.18.0"},
        "opened": null, "sample_s": 0.4, "repeat": 5, "complete": true,
        "results": [
            setting("rxdrop", "busy", 64, rxdrop),
            setting("rxdrop", "syscall", 64, 3.0),
            setting("latency", "busy", 64, p50),
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
        ("bench --lab -I eth0", "--interface"),
        ("bench --sim --lab -I eth0", "--lab"),
        ("bench --sim --batch 0", "'0'"),
        ("bench --sim --batch 9999", "'9999'"),
        ("bench --sim --batch 16,9999", "'9999'"),
        ("bench --sim --batch 16,", "''"),
        ("bench --sim --frame 63", "'63'"),
        ("bench --sim --frame 1519", "'1519'"),
        ("bench --sim --frame 64,9000", "'9000'"),
        ("bench --sim --workload latency", "workload latency with --sim"),
        ("bench --sim --workload rxdrop,latency", "workload latency with --sim"),
        ("bench --sim --hugepages on", "huge pages with --sim"),
        ("bench --sim --hugepages auto,thp", "huge pages with --sim"),
        ("bench --sim=queues=2 --queue 0,1", "several queues with --sim"),
        ("bench --sim --workload rxdorp", "'rxdorp'"),
        ("bench -I eth0 --workload forward", "workload forward on eth0 alone"),
        ("bench -I eth0 --out eth0 --workload forward", "--out eth0"),
        ("bench -I eth0 --out eth1 --workload l2fwd", "--out eth1"),
        ("bench --sim --out a1", "--out a1"),
        ("bench --out eth1", "--out eth1"),
        ("bench --sim --workload txonly --mode engine", "txonly in mode engine"),
        ("bench --sim --poll lazily", "'lazily'"),
        ("bench --sim --queue 3-1", "'3-1'"),
        ("bench --sim --hugepages huge", "'huge'"),
        ("bench --sim --duration 0", "'0'"),
        ("bench --sim --duration 2y", "'2y'"),
        ("bench --sim --repeat 0", "'0'"),
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
        assert_refused(line, value);
        assert_refused_as_json(line, value);
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
        for want in ["--workload", "--lab", "--out", "SENDS", "Exit status", "bench diff"] {
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
    assert!(lines[0].starts_with("workload,mode,batch,poll,packet_size,"), "{text}");
    assert!(lines[1].starts_with("rxdrop,raw,64,busy,60,1,4k,true,mpps,5.0,4.0,"), "{text}");
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
    for setting in other["results"].as_array_mut().unwrap() {
        setting["batch"] = json!(128);
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
    newer["sample_s"] = json!(2.0);
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

#[test]
fn forward_without_a_second_interface_is_told_how_to_name_one() {
    let output = run("bench -I eth0 --workload forward");
    assert_exit("bench -I eth0 --workload forward", &output, 2);
    assert!(stderr(&output).contains("\nhint: name the other one with --out IFACE"));
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
#[test]
fn an_interface_that_is_not_there_is_named() {
    let lines =
        ["bench -I nosuch", "bench -I nosuch --workload txonly", "bench -I lo --out nosuch"];
    for line in lines {
        let output = run(line);
        assert_exit(line, &output, 2);
        let text = stderr(&output);
        assert!(text.contains("nosuch: no such interface") && text.contains("\nhint: "), "{text}");
    }
}

const SETTING_KEYS: [&str; 13] = [
    "workload",
    "batch",
    "poll",
    "packet_size",
    "queue_count",
    "pages",
    "prefetch",
    "mpps",
    "user_ns_per_packet",
    "syscalls_per_packet",
    "packets_per_wakeup",
    "dropped",
    "noisy",
];

/// The report of a run on simulated rings, which tells nothing else but its start.
fn measured(line: &str) -> Value {
    let mut events = events(line, 0);
    assert_eq!(events.len(), 2, "flux {line}");
    let (report, start) = (events.remove(1), events.remove(0));
    assert_eq!((&start["event"], &start["schema"]), (&json!("start"), &json!(1)));
    assert_eq!(start["interface"], report["opened"]["interface"]);
    report
}

#[test]
fn a_run_measures_every_combination_and_recommends_one_setting_a_workload() {
    let report = measured(
        "bench --sim --workload rxdrop,txonly,l2fwd,forward,parse --batch 16,32,64 \
         --poll busy,adaptive,syscall --duration 20ms --repeat 3 --json",
    );
    assert_eq!((&report["event"], &report["backend"]), (&json!("report"), &json!("sim")));
    assert_eq!(report["remark"], "simulated rings: not a NIC figure");
    assert_eq!((&report["complete"], &report["repeat"]), (&json!(true), &json!(3)));
    let settings = report["results"].as_array().unwrap();
    assert_eq!(settings.len(), 45);
    assert_eq!(
        (&report["opened"]["interface"], &report["opened"]["out"]),
        (&json!("a0"), &json!("a1"))
    );
    let mut seen = std::collections::BTreeSet::new();
    for setting in settings {
        let object = setting.as_object().unwrap();
        for key in SETTING_KEYS {
            assert!(object.contains_key(key), "no {key} in {setting}");
        }
        let key = (&setting["workload"], &setting["batch"], &setting["poll"]);
        assert!(seen.insert(format!("{key:?}")), "twice: {setting}");
        let mpps = |key: &str| setting["mpps"][key].as_f64().unwrap();
        assert!(0.0 < mpps("min") && mpps("min") <= mpps("median"), "{setting}");
        assert!(mpps("median") <= mpps("max"), "{setting}");
        assert_eq!(setting["mpps"]["samples"].as_array().unwrap().len(), 3, "{setting}");
        assert_eq!(setting["noisy"], mpps("iqr_pct") > 5.0, "{setting}");
        assert_eq!(
            (&setting["packet_size"], &setting["queue_count"]),
            (&json!(60), &json!(1)),
            "{setting}"
        );
        assert_eq!(
            (&setting["dropped"], &setting["ring_full"]),
            (&json!(0), &json!(0)),
            "{setting}"
        );
        // Nobody waits in a run where packets are always there: a call is a kick.
        let calls = setting["syscalls_per_packet"].as_f64().unwrap();
        let batch = setting["batch"].as_f64().unwrap();
        assert_eq!(setting["packets_per_batch"], batch, "{setting}");
        match setting["workload"].as_str().unwrap() {
            "rxdrop" | "parse" => assert_eq!(calls, 0.0, "{setting}"),
            _ => assert!((calls * batch - 1.0).abs() < 1e-9, "{setting}"),
        }
    }
    assert_eq!(advised(&report), ["forward", "l2fwd", "parse", "rxdrop", "txonly"]);
    for best in report["best"].as_array().unwrap() {
        let chosen = |setting: &&Value| {
            ["workload", "batch", "poll"].iter().all(|key| setting[*key] == best[*key])
        };
        let setting =
            settings.iter().find(chosen).unwrap_or_else(|| panic!("never measured: {best}"));
        let why = best["why"].as_str().unwrap();
        assert!(why.contains("Mpps") && !why.contains("; -"), "{why}");
        // None is faster.
        let same = |other: &&Value| other["workload"] == best["workload"];
        let most = settings.iter().filter(same).filter_map(|c| c["mpps"]["median"].as_f64());
        let most = most.fold(0.0, f64::max);
        assert!(setting["mpps"]["median"].as_f64().unwrap() >= most, "{best}");
    }
}

/// The workloads that have a best setting, or a reason why none is, in the order of letters.
fn advised(report: &Value) -> Vec<&str> {
    let of = |list: &str| report[list].as_array().unwrap().iter();
    let all = of("best").chain(of("undecided"));
    let mut all: Vec<_> = all.map(|one| one["workload"].as_str().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn without_a_workload_all_are_measured_that_can_be_simulated() {
    let report = measured("bench --sim --batch 32 --poll busy --duration 2ms --repeat 1 --json");
    let settings = report["results"].as_array().unwrap();
    let workloads: Vec<_> =
        settings.iter().map(|setting| setting["workload"].as_str().unwrap()).collect();
    assert_eq!(workloads, ["rxdrop", "txonly", "l2fwd", "forward", "parse"]);
}

#[test]
fn all_modes_lengths_and_prefetch_settings_can_be_measured_at_once() {
    let report = measured(
        "bench --sim --mode raw,engine,system --workload txonly,l2fwd,forward --batch 32 --poll busy \
         --frame 64,1518 --prefetch on,off --duration 3ms --repeat 1 --json",
    );
    // The engine has no txonly.
    assert_eq!(report["results"].as_array().unwrap().len(), (2 + 3 + 3) * 2 * 2);
    for setting in report["results"].as_array().unwrap() {
        assert!(setting["packets"].as_u64() > Some(0), "{setting}");
        let calls = setting["syscalls_per_packet"].as_f64().unwrap();
        let per_batch = calls * setting["packets_per_batch"].as_f64().unwrap();
        assert!(per_batch <= 1.0 + 1e-9, "{per_batch} calls a batch: {setting}");
    }
    // One sample of each decides nothing.
    assert_eq!(report["undecided"].as_array().unwrap().len(), 3);
    assert_eq!(advised(&report), ["forward", "l2fwd", "txonly"]);
}

#[test]
fn only_a_run_with_forward_names_a_second_interface() {
    let report = measured(
        "bench --sim --workload rxdrop --batch 32 --poll busy --duration 2ms --repeat 1 --json",
    );
    assert_eq!(report["opened"]["out"], Value::Null);
}

#[test]
fn single_samples_are_marked_and_choose_nothing() {
    let line = "bench --sim --workload rxdrop --batch 16,64 --poll busy --duration 2ms --repeat 1";
    let output = run(line);
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    let rows: Vec<_> = text.lines().filter(|line| line.contains(" busy ")).collect();
    assert!(rows.len() == 2 && rows.iter().all(|row| row.contains(" ? ")), "{text}");
    assert!(!text.contains("0.0%") && !text.contains("\nbest: "), "{text}");
    assert!(text.contains("\nno best: too few samples to choose"), "{text}");
    assert!(text.contains("\n? fewer than 3 samples"), "{text}");
}

#[test]
fn a_run_without_a_packet_is_no_table_and_no_success() {
    for (what, why) in [
        ("wrong_queue --workload rxdrop", "no packet came in any setting"),
        // However little of its ring the loop filled before and while it was measured.
        ("stuck_tx --workload txonly", "no packet was sent in any setting"),
        ("stuck_tx --workload txonly,l2fwd,forward", "no packet came in any setting"),
    ] {
        let line = format!("bench --sim={what} --batch 16 --poll busy --duration 2ms");
        let output = run(&line);
        assert_exit(&line, &output, 2);
        assert_eq!(stdout(&output), "");
        let told = stderr(&output);
        assert!(told.contains(why) && told.contains("out of --sim"), "flux {line}\n{told}");
        let events = events(&format!("{line} --json"), 2);
        let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names.last(), Some(&"error"));
        assert!(names.contains(&"report"), "{names:?}");
    }
}

const SHORT: &str = "bench --sim --workload rxdrop,l2fwd --batch 16,64 --poll busy,syscall \
                     --duration 3ms --repeat 3";

#[test]
fn a_table_has_a_row_for_each_setting_and_a_recommendation_for_each_workload() {
    let output = run(SHORT);
    assert_exit(SHORT, &output, 0);
    let text = stdout(&output);
    assert!(text.starts_with("sim, 3 samples of 3 ms a setting: 8 settings"), "{text}");
    assert!(text.contains("note: simulated rings: not a NIC figure\n"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    for workload in ["rxdrop", "l2fwd"] {
        let at = lines.iter().position(|line| *line == workload).expect(workload);
        let block = &lines[at..at + 7];
        for (row, (poll, batch)) in
            [("busy", "16"), ("busy", "64"), ("syscall", "16"), ("syscall", "64")]
                .iter()
                .enumerate()
        {
            let words: Vec<&str> = block[2 + row].split_whitespace().collect();
            assert_eq!(words[..2], [*batch, *poll], "{text}");
            assert!(words[2].parse::<f64>().unwrap() > 0.0, "{text}");
        }
        let advice = block[6].trim_start_matches("no ");
        assert!(advice.starts_with("best: "), "{text}");
    }
}

#[test]
fn csv_has_a_line_for_each_setting_under_one_of_headings() {
    let line = format!("{SHORT} --csv");
    let output = run(&line);
    assert_exit(&line, &output, 0);
    let text = stdout(&output);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 9, "{text}");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
    let column = |name: &str| rows[0].iter().position(|heading| *heading == name).expect(name);
    assert_eq!([rows[1][column("workload")], rows[8][column("workload")]], ["rxdrop", "l2fwd"]);
    for row in &rows[1..] {
        assert!(row[column("mpps_median")].parse::<f64>().unwrap() > 0.0, "{text}");
        assert_eq!(row[column("latency_us_p50")], "", "{text}");
    }
}

/// Whether every element of an XML text is closed where it should be; how many there are.
fn elements(xml: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut count = 0;
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed out of turn");
            continue;
        }
        count += 1;
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    count
}

#[test]
fn a_plot_is_a_chart_of_what_was_measured() {
    let home = Home::new("plot");
    let file = home.0.join("run.svg");
    let line = format!("{SHORT} --json --plot {}", file.display());
    let output = home.run(&line);
    assert_exit(&line, &output, 0);
    let note = only(&output, "note");
    assert!(note["text"].as_str().unwrap().starts_with("drawn into "), "{note}");
    let svg = fs::read_to_string(&file).unwrap();
    assert!(svg.trim_start().starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(elements(&svg) > 20, "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    for word in ["rxdrop", "l2fwd", "busy", "syscall", "not a NIC figure"] {
        assert!(svg.contains(word), "no {word}: {svg}");
    }
}

/// The numbers of a report without what other load did to them: samples close to the median.
fn steadied(report: &Value, factor: impl Fn(&Value) -> f64) -> Value {
    let mut report = report.clone();
    for setting in report["results"].as_array_mut().unwrap() {
        let median = setting["mpps"]["median"].as_f64().unwrap() * factor(setting);
        setting["mpps"] = spread(median);
        setting["noisy"] = json!(false);
    }
    report
}

#[test]
fn a_saved_run_is_like_itself_and_a_planted_slowdown_is_found() {
    let home = Home::new("saved");
    let line = format!("{SHORT} --save first --json");
    let output = home.run(&line);
    assert_exit(&line, &output, 0);
    let note = only(&output, "note");
    assert!(note["text"].as_str().unwrap().starts_with("saved as "), "{note}");
    let report = only(&output, "report");
    let saved = fs::read_to_string(home.0.join("flux/bench/first.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&saved).unwrap(), report, "what was printed is kept");

    let output = home.run("bench diff first first");
    assert_exit("bench diff first first", &output, 0);
    assert!(stdout(&output).contains("0 of 8 settings slower, 0 faster"), "{}", stdout(&output));

    let slow = |setting: &Value| {
        setting["workload"] == "l2fwd" && setting["poll"] == "syscall" && setting["batch"] == 64
    };
    home.save("steady", &steadied(&report, |_| 1.0));
    home.save("slower", &steadied(&report, |setting| if slow(setting) { 0.8 } else { 1.0 }));
    let output = home.run("bench diff steady slower");
    assert_exit("bench diff steady slower", &output, 1);
    let text = stdout(&output);
    assert!(text.contains("1 of 8 settings slower, 0 faster"), "{text}");
    let named: Vec<&str> = text.lines().filter(|line| line.ends_with("slower")).collect();
    let [row] = named[..] else { panic!("{text}") };
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..3], ["l2fwd", "64", "syscall"], "{text}");
    assert!(row.contains("-20.0%"), "{text}");
    let output = home.run("bench diff steady slower --json");
    assert_exit("--json", &output, 1);
    let diff = only(&output, "diff");
    let found: Vec<&Value> =
        diff["changes"].as_array().unwrap().iter().filter(|c| slow(c)).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["verdict"], "slower");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let home = Home::new("unwritable");
    let dir = home.0.display();
    for option in [
        "--save /dev/null/x.json".to_owned(),
        "--save /no/such/dir/x.json".to_owned(),
        format!("--save {}", "x".repeat(300)),
        "--plot /dev/null/x.svg".to_owned(),
        "--plot /no/such/dir/x.svg".to_owned(),
        format!("--save {dir}/flux"),
    ] {
        let line = format!("bench --sim --duration 1h {option}");
        let output = home.run(&line);
        assert_exit(&line, &output, 2);
        let text = stderr(&output);
        assert!(text.starts_with("error: cannot write ") && text.contains("\nhint: "), "{text}");
    }
    // The directory of names is made, but cannot be everywhere.
    let line = "bench --sim --duration 1h --save x";
    let output = flux(line).env("XDG_DATA_HOME", "/dev/null").output().unwrap();
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    assert!(text.starts_with("error: cannot make /dev/null/flux/bench: "), "{text}");
    assert!(text.contains("\nhint: set another path: --save ./x.json"), "{text}");
}

#[test]
fn a_run_that_fails_leaves_the_files_that_were_there() {
    let home = Home::new("kept");
    home.save("before", &report(5.0, 10.0));
    let chart = home.0.join("old.svg");
    fs::write(&chart, "old").unwrap();
    let files = || fs::read_dir(home.0.join("flux/bench")).unwrap().count();
    let saved = fs::read(home.0.join("flux/bench/before.json")).unwrap();
    let line =
        format!("bench --sim --workload rxdrop --queue 7 --save before --plot {}", chart.display());
    let output = home.run(&line);
    assert_exit(&line, &output, 2);
    assert_eq!(fs::read(home.0.join("flux/bench/before.json")).unwrap(), saved);
    assert_eq!((fs::read_to_string(&chart).unwrap(), files()), ("old".to_owned(), 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_cannot_be_printed_is_saved() {
    let home = Home::new("printed");
    let line = "bench --sim --workload rxdrop --batch 32 --poll busy --duration 2ms --repeat 1";
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = flux(&format!("{line} --save kept"))
        .env("XDG_DATA_HOME", &home.0)
        .stdout(full)
        .output()
        .unwrap();
    assert_exit(line, &output, 2);
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
    assert_exit("diff", &home.run("bench diff kept kept"), 0);
}

#[test]
fn a_run_of_an_earlier_version_is_compared_with_one_of_today() {
    let home = Home::new("earlier");
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/saved/bench-before-schema-1.json");
    let line = format!("bench diff {old} {old} --json");
    let output = home.run(&line);
    assert_exit(&line, &output, 0);
    let diff = only(&output, "diff");
    assert_eq!(diff["changes"].as_array().unwrap().len(), 4);
    let change = &diff["changes"][0];
    assert_eq!((&change["packet_size"], &change["pages"]), (&json!(60), &json!("4k")));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_early_and_keeps_what_is_done() {
    use crate::command::{line_of, signal, start};
    use std::io::{self, BufReader};
    for number in [libc::SIGINT, libc::SIGTERM] {
        let line = "bench --sim --workload rxdrop,l2fwd --duration 20ms --repeat 500 --json -v";
        let mut child = start(line);
        // Three samples are told before the signal, so three settings at least have one.
        let mut told = BufReader::new(child.stderr.take().unwrap());
        line_of(&mut told, "3/9000: ");
        signal(&child, number);
        // Standard error stays open to the end, or its next line would find nobody.
        io::copy(&mut told, &mut io::sink()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit(line, &output, 0);
        let report = only(&output, "report");
        assert_eq!((&report["event"], &report["complete"]), (&json!("report"), &json!(false)));
        assert_eq!(report["repeat"], 500);
        let settings = report["results"].as_array().unwrap();
        assert!(settings.len() >= 3, "{report}");
        for setting in settings {
            let samples = setting["mpps"]["samples"].as_array().unwrap().len();
            assert!((1..500).contains(&samples), "{setting}");
        }
        assert_eq!(advised(&report).len(), 1, "{report}");
    }
}
