//! `flux bench --lab` on the real kernel: every setting sees packets, and nothing is left behind,
//! however the run ends.

use crate::command::{assert_exit, flux, stderr, stdout};
use crate::lab::vanish::{Watch, namespaces_of};
use crate::lab::{self, PATIENCE};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

/// Calls `f` on a thread in a new network namespace, unless not root. Its run wants the CPUs for both
/// ends of its wire.
fn alone(f: impl FnOnce() + Send) {
    let Some(_turn) = lab::alone() else { return };
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: takes a number; changes this thread's namespace only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            f();
            assert_eq!(interfaces(), ["lo"], "something was left where we are");
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Names of the interfaces in this thread's namespace.
fn interfaces() -> Vec<String> {
    let names = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let lines = names.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.trim().to_owned()).collect()
}

fn report(line: &str) -> Value {
    let output = flux(line).output().unwrap();
    assert_exit(line, &output, 0);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["event"], &report["complete"]), (&json!("report"), &json!(true)));
    assert_eq!((&report["backend"], &report["place"]), (&json!("xdp"), &json!("lab")));
    let opened = &report["opened"];
    assert_eq!((&opened["interface"], &opened["driver"]), (&json!("flux0"), &json!("veth")));
    assert!(stderr(&output).starts_with("flux0: driver veth, "), "{}", stderr(&output));
    report
}

fn cells(report: &Value) -> &[Value] {
    report["results"].as_array().unwrap()
}

#[test]
fn every_workload_moves_packets_in_every_setting() {
    alone(|| {
        let report = report(
            "bench --lab --batch 16,32,64 --poll busy,adaptive,syscall --duration 30ms \
             --repeat 2 --json",
        );
        assert_eq!(cells(&report).len(), 5 * 9);
        for cell in cells(&report) {
            assert!(cell["packets"].as_u64() > Some(0), "{cell}");
            assert!(cell["user_ns_per_packet"].as_f64() >= Some(0.0), "{cell}");
            assert!(cell["syscalls_per_packet"].as_f64() >= Some(0.0), "{cell}");
            assert!(cell["packets_per_batch"].as_f64() >= Some(1.0), "{cell}");
            assert_eq!((&cell["mode"], &cell["queues"]), (&json!("raw"), &json!(1)), "{cell}");
            let times = &cell["latency_us"];
            if cell["workload"] == "latency" {
                let time = |key: &str| times[key].as_f64().unwrap_or_else(|| panic!("{cell}"));
                let times = ["min", "p50", "p90", "p99", "p999", "max"].map(time);
                assert!(times[0] > 0.0 && times.is_sorted(), "{cell}");
            } else {
                assert_eq!(times, &Value::Null, "{cell}");
            }
        }
        let best = report["best"].as_array().unwrap();
        let workloads: Vec<_> = best.iter().map(|b| b["workload"].as_str().unwrap()).collect();
        assert_eq!(workloads, ["rxdrop", "txonly", "l2fwd", "latency", "parse"]);
        assert!(best.iter().all(|best| best["why"].as_str().is_some_and(|why| !why.is_empty())));
    });
}

#[test]
fn every_mode_of_the_library_works_all_queues() {
    alone(|| {
        let report = report(
            "bench --lab --mode raw,engine,system --workload rxdrop,l2fwd --batch 64 --poll busy \
             --queue all --duration 30ms --repeat 2 --json",
        );
        assert_eq!(cells(&report).len(), 6);
        let cpus = std::thread::available_parallelism().unwrap().get();
        for cell in cells(&report) {
            assert!(cell["packets"].as_u64() > Some(0), "{cell}");
            assert_eq!(cell["queues"], cpus, "{cell}");
        }
    });
}

#[test]
fn a_table_is_printed_where_nobody_asks_for_json() {
    alone(|| {
        let line = "bench --lab --workload txonly,latency --batch 32 --poll busy --duration 20ms \
                    --repeat 2 --frame 64,512";
        let output = flux(line).output().unwrap();
        assert_exit(line, &output, 0);
        let text = stdout(&output);
        assert!(
            text.starts_with("lab on flux0 (") && text.contains("copy), 2 samples of 20 ms"),
            "{text}"
        );
        for word in ["txonly", "latency", "Mpps", "p99.9", "best: "] {
            assert!(text.contains(word), "no {word}: {text}");
        }
    });
}

/// A long run that has taken its third sample, and the namespaces that it made.
fn running() -> (Child, BufReader<ChildStderr>, Watch) {
    let mut child =
        flux("bench --lab --workload rxdrop,l2fwd,latency --duration 20ms --repeat 900 --json -v")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("3/") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let namespaces = namespaces_of(child.id());
    assert!(namespaces.len() >= 2, "ours and the peer's: {namespaces:?}");
    let watch = Watch::new(&namespaces.into_values().collect::<Vec<_>>());
    (child, told, watch)
}

#[test]
fn ctrl_c_ends_a_run_with_what_is_done_and_leaves_nothing() {
    alone(|| {
        let (child, mut told, watch) = running();
        // SAFETY: takes two numbers; the child has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) }, 0);
        // Standard error stays open to the end, or its next line would find nobody.
        io::copy(&mut told, &mut io::sink()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit("bench --lab", &output, 0);
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["complete"], false);
        assert!(cells(&report).len() >= 3, "{report}");
        assert_eq!(watch.left_after(PATIENCE), 0);
    });
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    alone(|| {
        let (mut child, _told, watch) = running();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(watch.left_after(PATIENCE), 0);
    });
}

#[test]
fn a_run_that_is_done_leaves_nothing() {
    alone(|| {
        let line = "bench --lab --workload rxdrop --duration 20ms --repeat 40 --batch 64 \
                    --poll busy --json -v";
        let mut child = flux(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        told.read_line(&mut first).unwrap();
        let watch = Watch::new(&namespaces_of(child.id()).into_values().collect::<Vec<_>>());
        assert!(watch.waiting.len() >= 2);
        io::copy(&mut told, &mut io::sink()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit(line, &output, 0);
        assert_eq!(watch.left_after(PATIENCE), 0);
    });
}

#[test]
fn a_namespace_that_somebody_holds_is_seen_to_be_there() {
    alone(|| {
        let namespace = || {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    // SAFETY: takes a number; changes this thread's namespace only.
                    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
                    File::open("/proc/thread-self/ns/net").unwrap()
                });
                other.join().unwrap()
            })
        };
        let held = namespace();
        let watch = Watch::new(std::slice::from_ref(&held));
        assert_eq!(watch.left_after(Duration::from_millis(50)), 1);
        let watch = Watch::new(&[namespace()]);
        assert_eq!(watch.left_after(PATIENCE), 0);
        drop(held);
    });
}

#[test]
fn a_lab_without_the_right_to_one_names_the_capability_and_the_way_without() {
    use std::os::unix::process::CommandExt;
    let mut command = flux("bench --lab --json");
    if lab::is_root() {
        // `SECBIT_NOROOT` of linux/securebits.h: what is executed next has no capability.
        // SAFETY: takes two numbers.
        let no_root = || match unsafe { libc::prctl(libc::PR_SET_SECUREBITS, 1) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: one system call between fork and exec, and no memory of the parent's is touched.
        unsafe { command.pre_exec(no_root) };
    }
    let output = command.output().unwrap();
    assert_exit("bench --lab", &output, 2);
    let event: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let (error, hint) = (event["error"].as_str().unwrap(), event["hint"].as_str().unwrap());
    assert!(error.contains("network namespace"), "{event}");
    assert!(hint.contains("CAP_SYS_ADMIN") && hint.contains("--sim"), "{event}");
}
