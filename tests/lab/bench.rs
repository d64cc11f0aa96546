//! `flux bench --lab` on the real kernel: every setting sees packets, and nothing is left behind,
//! however the run ends.

use crate::command::{assert_exit, flux, line_of, only, run, signal, start, stderr, stdout};
use crate::lab::vanish::{Watch, namespaces_of};
use crate::lab::{self, PATIENCE};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
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
    let output = run(line);
    assert_exit(line, &output, 0);
    let report = only(&output, "report");
    assert_eq!((&report["event"], &report["complete"]), (&json!("report"), &json!(true)));
    assert_eq!((&report["backend"], &report["place"]), (&json!("xdp"), &json!("lab")));
    let opened = &report["opened"];
    assert_eq!((&opened["interface"], &opened["driver"]), (&json!("flux0"), &json!("veth")));
    assert_eq!(stderr(&output), "", "what was granted is in the report");
    let forwards = settings(&report).iter().any(|setting| setting["workload"] == "forward");
    assert_eq!(opened["out"], if forwards { json!("flux2") } else { Value::Null });
    report
}

fn settings(report: &Value) -> &[Value] {
    report["results"].as_array().unwrap()
}

/// Looks between which a loop that spins makes no system call, on the whole. Each takes more than
/// 1 ns.
const SPINS_NS: f64 = 65536.0;
/// The longest that a loop sleeps, in ns; then it asks whether the interface lives.
const SLEEP_NS: f64 = 10e6;

/// Asserts of the one sample of a setting that its numbers are those of a loop that worked `batch`
/// packets at a time, and called the kernel no more often than that takes.
fn check_costs(setting: &Value) {
    let number = |key: &str| setting[key].as_f64().unwrap_or_else(|| panic!("{key}: {setting}"));
    let packets = number("packets");
    assert!(packets > 0.0, "{setting}");
    let elapsed_ns = packets * 1e3 / setting["mpps"]["median"].as_f64().unwrap();
    assert!(elapsed_ns > 0.999 * DURATION_NS, "{elapsed_ns} ns: {setting}");
    let per_batch = number("packets_per_batch");
    assert!((1.0..=number("batch")).contains(&per_batch), "{setting}");
    let inside_ns = number("batch_ns_per_packet") * packets;
    assert!(0.0 < inside_ns && inside_ns < 1.001 * elapsed_ns, "{inside_ns} ns: {setting}");
    // One thread. The kernel tells its time in steps, and the clocks are not read at once.
    let user_ns = number("user_ns_per_packet") * packets;
    assert!((0.0..1.1 * elapsed_ns + 10e6).contains(&user_ns), "{user_ns} ns: {setting}");

    let calls = number("syscalls_per_packet") * packets;
    let batches = packets / per_batch;
    let sends = ["txonly", "l2fwd", "forward"].map(Value::from).contains(&setting["workload"]);
    let kicks = if sends { batches } else { 0.0 };
    // Who does not spin may sleep before each batch, and when none comes.
    let waits = if setting["poll"] == "busy" {
        assert_eq!(setting["packets_per_wakeup"], Value::Null, "{setting}");
        0.0
    } else {
        batches + 2.0 * (elapsed_ns / SLEEP_NS + 1.0)
    };
    let most = kicks + waits + elapsed_ns / SPINS_NS;
    assert!((kicks - 0.5..most + 0.5).contains(&calls), "{calls} calls, not {most}: {setting}");
}

/// Time of a sample in the two tests of all settings.
const DURATION_NS: f64 = 30e6;

#[test]
fn every_workload_moves_packets_in_every_setting() {
    alone(|| {
        let report = report(
            "bench --lab --batch 16,32,64 --poll busy,adaptive,syscall --duration 30ms \
             --repeat 1 --json",
        );
        assert_eq!(settings(&report).len(), 6 * 9);
        for setting in settings(&report) {
            check_costs(setting);
            assert_eq!(
                (&setting["mode"], &setting["queue_count"]),
                (&json!("raw"), &json!(1)),
                "{setting}"
            );
            let times = &setting["latency_us"];
            if setting["workload"] == "latency" {
                let time = |key: &str| times[key].as_f64().unwrap_or_else(|| panic!("{setting}"));
                let times = ["min", "p50", "p90", "p99", "p999", "max"].map(time);
                assert!(times[0] > 0.0 && times.is_sorted(), "{setting}");
            } else {
                assert_eq!(times, &Value::Null, "{setting}");
            }
        }
        // One sample of each decides nothing.
        assert_eq!(report["best"], json!([]));
        let open = report["undecided"].as_array().unwrap();
        let workloads: Vec<_> = open.iter().map(|b| b["workload"].as_str().unwrap()).collect();
        assert_eq!(workloads, ["rxdrop", "txonly", "l2fwd", "forward", "latency", "parse"]);
        assert!(open.iter().all(|one| one["why"].as_str().unwrap().contains("too few samples")));
    });
}

#[test]
fn every_mode_of_the_library_works_all_queues() {
    alone(|| {
        let report = report(
            "bench --lab --mode raw,engine,system --workload rxdrop,l2fwd,forward --batch 64 --poll busy \
             --queue all --duration 30ms --repeat 2 --json",
        );
        assert_eq!(settings(&report).len(), 9);
        let cpus = lab::cpus().len();
        for setting in settings(&report) {
            assert!(setting["packets"].as_u64() > Some(0), "{setting}");
            assert_eq!(setting["queue_count"], cpus, "{setting}");
        }
    });
}

#[test]
fn a_table_is_printed_where_nobody_asks_for_json() {
    alone(|| {
        let line = "bench --lab --workload txonly,latency --batch 32 --poll busy --duration 20ms \
                    --repeat 2 --frame 64,512";
        let output = run(line);
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
    let mut child = start(
        "bench --lab --workload rxdrop,forward,latency --duration 20ms --repeat 900 --json -v",
    );
    let mut told = BufReader::new(child.stderr.take().unwrap());
    line_of(&mut told, "3/");
    let namespaces = namespaces_of(child.id());
    assert!(namespaces.len() >= 2, "ours and the peer's: {namespaces:?}");
    let watch = Watch::new(&namespaces.into_values().collect::<Vec<_>>());
    (child, told, watch)
}

#[test]
fn ctrl_c_ends_a_run_with_what_is_done_and_leaves_nothing() {
    alone(|| {
        let (child, mut told, watch) = running();
        signal(&child, libc::SIGINT);
        // Standard error stays open to the end, or its next line would find nobody.
        io::copy(&mut told, &mut io::sink()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit("bench --lab", &output, 0);
        let report = only(&output, "report");
        assert_eq!(report["complete"], false);
        assert!(settings(&report).len() >= 3, "{report}");
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
        // Nobody reads yet and there is no room for a line: it waits after its first sample, however
        // late we are to look.
        let (mut told, full) = io::pipe().unwrap();
        // SAFETY: takes numbers and asks how many bytes a pipe of ours holds.
        let room = unsafe { libc::fcntl(full.as_raw_fd(), libc::F_GETPIPE_SZ) };
        (&full).write_all(&vec![b'\n'; usize::try_from(room).unwrap()]).unwrap();
        let child = flux(line).stdout(Stdio::piped()).stderr(full).spawn().unwrap();
        lab::wait_until("ours and the peer's", || namespaces_of(child.id()).len() >= 2);
        let watch = Watch::new(&namespaces_of(child.id()).into_values().collect::<Vec<_>>());
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
    let event = only(&output, "error");
    let (error, hint) = (event["error"].as_str().unwrap(), event["hint"].as_str().unwrap());
    assert!(error.contains("network namespace"), "{event}");
    assert!(hint.contains("CAP_SYS_ADMIN") && hint.contains("--sim"), "{event}");
}

#[test]
fn two_interfaces_of_the_users_forward_what_comes_in_as_it_came() {
    use fluxnet::proto::build::{Link, Net, udp};
    use fluxnet::proto::{IpPair, MacAddr, UdpRepr};
    let Some(lab) = lab::Lab::veth(1) else { return };
    lab::ip_batch(
        "link add out0 type veth peer name out1\n\
         link set out0 addrgenmode none up\n\
         link set out1 addrgenmode none up\n",
    );
    lab::wait_until("a second link", || lab::run("ip link show dev out0").contains("LOWER_UP"));
    let mut packet = [0; 60];
    let link = Link::new(MacAddr(lab::PEER_MAC), MacAddr(lab::OUR_MAC));
    let pair = IpPair::V4 { src: [198, 18, 0, 2].into(), dst: [198, 18, 0, 1].into() };
    let discard = UdpRepr { src_port: 9, dst_port: 9 };
    udp(&mut packet, &link, &Net::new(pair), &discard, &[0x5a; 18]).unwrap();
    let (wire, far) = (lab.wire(), lab::Wire::open("out1").unwrap());
    let done = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                (0..32).for_each(|_| wire.send(&packet));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let line = "bench -I flux0 --out out0 --workload forward --mode raw,engine,system \
                    --batch 64 --poll syscall --duration 500ms --repeat 1 --json";
        let output = run(line);
        done.store(true, Ordering::Relaxed);
        assert_exit(line, &output, 0);
        only(&output, "report")
    });
    assert_eq!(report["place"], "interface");
    let opened = &report["opened"];
    assert_eq!((&opened["interface"], &opened["out"]), (&json!("flux0"), &json!("out0")));
    assert_eq!(settings(&report).len(), 3);
    for setting in settings(&report) {
        assert!(setting["packets"].as_u64() > Some(0), "{setting}");
    }
    let arrived = far.recv_type(0x0800, PATIENCE).expect("a packet at the far end");
    assert_eq!(arrived, packet);
    for interface in ["flux0", "out0"] {
        assert!(!lab::xdp_attached(interface), "{interface}");
    }
}

#[test]
fn a_link_that_is_lost_between_samples_or_in_one_is_waited_for_and_no_longer_than_asked() {
    let Some(lab) = lab::Lab::veth(1) else { return };
    let name = lab::OURS;
    let line = format!(
        "bench -I {name} --workload txonly --batch 16 --poll syscall --duration 50ms --repeat 1000 \
         --link-timeout 1s"
    );
    let wire = lab.wire();
    let mut child = start(&line);
    // The kernels send packets too (IPv6): only one of ours shows that a sample has begun.
    let sample = || wire.recv_type(0x0800, PATIENCE).is_some();
    assert!(sample(), "no packet of a sample");
    // At all moments: while a sample runs, between two, and while the next one opens its sockets.
    for round in 0..20 {
        std::thread::sleep(Duration::from_millis(round * 3));
        lab.run(&format!("ip link set {name} down"));
        std::thread::sleep(Duration::from_millis(20));
        lab.run(&format!("ip link set {name} up"));
        let (more, ended) = (sample(), child.try_wait().unwrap());
        assert!(more && ended.is_none(), "round {round}: {:?}", child.wait_with_output());
    }
    lab.run(&format!("ip link set {name} down"));
    let down = child.wait_with_output().unwrap();
    assert_exit(&line, &down, 2);
    let text = stderr(&down);
    assert!(
        text.contains(&format!("cannot wait for the link of {name}: it has been down")),
        "{text}"
    );
}

#[test]
fn what_was_measured_before_the_interface_went_is_printed_and_saved() {
    use std::io::{BufRead, Read};
    let Some(lab) = lab::Lab::veth(1) else { return };
    let name = lab::OURS;
    let saved = crate::command::temp_dir("bench-gone").join("gone.json");
    fs::create_dir_all(saved.parent().unwrap()).unwrap();
    let line = format!(
        "bench -v -I {name} --workload txonly --batch 16 --poll syscall --duration 20ms \
         --repeat 1000 --save {}",
        saved.display()
    );
    let mut child = start(&line);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let (mut text, mut samples) = (String::new(), 0);
    while samples < 3 && told.read_line(&mut text).unwrap() > 0 {
        samples = text.matches(": sample ").count();
    }
    assert_eq!(samples, 3, "{text}");
    lab.run(&format!("ip link del {name}"));
    told.read_to_string(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("txonly"), "{table}\n{text}");
    assert!(text.contains(name) && text.contains("error: "), "{text}");
    let report: Value = serde_json::from_slice(&fs::read(&saved).unwrap()).unwrap();
    let kept = settings(&report)[0]["mpps"]["samples"].as_array().map(Vec::len);
    assert!(kept >= Some(3), "{report}");
    assert_eq!(report["complete"], false);
    let _ = fs::remove_dir_all(saved.parent().unwrap());
}
