//! `flux doctor` as a command: help, text, JSON, the simulated machine, exit status.

use crate::command::{assert_exit, events, flux, run, stderr, stdout};
use crate::terminal::Terminal;
use serde_json::Value;

fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"))
}

#[test]
fn help_tells_the_options_and_the_exit_status() {
    for line in ["doctor --help", "help doctor"] {
        let output = run(line);
        assert_exit(line, &output, 0);
        let text = stdout(&output);
        for word in ["[IFACE]", "--no-attach", "--sim", "--json", "Exit status"] {
            assert!(text.contains(word), "{line}: no {word}: {text}");
        }
    }
}

#[test]
fn the_simulated_machine_needs_nothing_and_is_fine() {
    let report = &events("doctor sim0 --sim --json", 0)[0];
    assert_eq!((&report["event"], &report["interface"]), (&"report".into(), &"sim0".into()));
    assert_eq!((&report["warnings"], &report["blockers"]), (&0.into(), &0.into()), "{report:#}");
    for id in ["up", "carrier", "queues", "zero_copy", "attach_native", "mtu"] {
        let check = check(report, id);
        assert_eq!(check["status"], "ok", "{check:#}");
        assert!(check["title"].is_string() && check["finding"].is_string(), "{check:#}");
        assert!(check.as_object().unwrap().contains_key("fix"), "{check:#}");
    }
    assert!(report["conclusion"].as_str().unwrap().contains("zero-copy"), "{report:#}");
    assert_eq!(check(report, "queues")["finding"], "1 combined");
}

#[test]
fn the_spec_of_the_simulated_machine_is_seen() {
    let report = &events("doctor sim0 --json --sim=zerocopy=no,queues=4,mtu=3000", 0)[0];
    assert!(check(report, "zero_copy")["finding"].as_str().unwrap().starts_with("none"));
    assert_eq!(check(report, "queues")["finding"], "4 combined");
    let mtu = check(report, "mtu");
    assert_eq!(mtu["status"], "warning");
    assert!(mtu["fix"].as_str().unwrap().contains("--frame-size 4096"), "{mtu:#}");
    assert_eq!(report["warnings"], 1);
    let ring = &events("doctor sim0 --json --sim short_ring", 0)[0];
    assert_eq!(check(ring, "nic_ring")["status"], "warning", "{ring:#}");
}

#[test]
fn without_an_interface_there_is_a_line_for_each() {
    let report = &events("doctor --sim --json", 0)[0];
    assert_eq!(report["interface"], Value::Null);
    let check = check(report, "interface");
    assert_eq!(check["title"], "sim0");
    assert!(check["finding"].as_str().unwrap().contains("zero-copy"), "{check:#}");
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_names_those_that_are() {
    let error = &events("doctor eth7 --sim --json", 2)[0];
    assert_eq!((&error["event"], &error["command"]), (&"error".into(), &"doctor".into()));
    assert_eq!(error["error"], "cannot find interface eth7: no such interface");
    assert_eq!(error["hint"], "there are: sim0");
}

#[test]
fn text_keeps_to_the_width_and_ends_with_the_summary() {
    let line = "doctor sim0 --sim=mtu=9000";
    let output = flux(line).env("COLUMNS", "80").output().unwrap();
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.is_ascii() && text.starts_with("interface sim0\n"), "{text}");
    assert!(text.contains("\n  warning  MTU "), "{text}");
    assert!(text.contains(" fix: ip link set dev sim0 mtu 1500\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("works here") || last.starts_with("  "), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_terminal_that_does_not_know_its_rows_has_a_width_all_the_same() {
    let seen = ["stty cols 44 rows 24;", "stty cols 44 rows 0;"].map(|size| {
        let terminal = Terminal::start_by(size, "doctor --sim=mtu=9000 sim0")?;
        let seen = terminal.rest();
        // After the settings of the terminal, which the size is a part of.
        let (_, report) = seen.split_once("interface sim0")?;
        let (report, _) = report.split_once("status ")?;
        Some(report.to_owned())
    });
    // None without script(1), which is said.
    let [Some(known), Some(unknown)] = seen else { return };
    assert!(known.lines().count() > 20, "{known}");
    assert_eq!(known, unknown);
}

#[test]
fn bad_input_exits_2() {
    for (line, value) in [
        ("doctor a b", "b"),
        ("doctor --attach native", "--attach"),
        ("doctor --sim=queues=0", "queues=0"),
    ] {
        let output = run(line);
        assert_exit(line, &output, 2);
        assert!(stderr(&output).contains(value), "{line}: {}", stderr(&output));
        assert!(stdout(&output).is_empty());
        let events = events(&format!("{line} --json"), 2);
        assert_eq!(events.last().unwrap()["event"], "error");
    }
}
