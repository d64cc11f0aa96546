//! `flux bench --lab` on the real kernel: every setting sees packets, and nothing is left behind,
//! however the run ends.
#![cfg(all(target_os = "linux", feature = "bpf", feature = "cli", not(flux_loom)))]
#![allow(clippy::unwrap_used, clippy::expect_used, unsafe_code)] // helpers of tests

mod cli;
mod lab;

use cli::{assert_exit, flux, stderr, stdout};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `f` on a thread in a new network namespace, unless not root. One test at a time: each of
/// them wants the CPUs for its two ends.
fn alone(f: impl FnOnce() + Send) {
    static ONE: Mutex<()> = Mutex::new(());
    if !lab::is_root() {
        return lab::skip("needs root: CAP_SYS_ADMIN for network namespaces");
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
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

/// The network namespaces that a process is in or holds, but for this thread's; by inode.
fn namespaces_of(process: u32) -> BTreeMap<String, File> {
    let mut found = BTreeMap::new();
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads = tasks.map(|task| task.unwrap().path().join("ns/net"));
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let descriptors = descriptors.map(|entry| entry.unwrap().path());
    for path in threads.chain(descriptors) {
        // Threads come and go.
        let Ok(target) = fs::read_link(&path) else { continue };
        if target.to_string_lossy().starts_with("net:[")
            && target != own
            && let Ok(file) = File::open(&path)
        {
            found.insert(target.to_string_lossy().into_owned(), file);
        }
    }
    found
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

/// Sees namespaces go, without keeping them: the kernel says so itself (RTM_DELNSID).
struct Watch {
    netlink: OwnedFd,
    waiting: Vec<i32>,
}

/// Of linux/netlink.h, linux/rtnetlink.h and linux/net_namespace.h.
const SOL_NETLINK: libc::c_int = 270;
const RTNLGRP_NSID: libc::c_int = 28;
const RTM_NEWNSID: u16 = 88;
const RTM_DELNSID: u16 = 89;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

impl Watch {
    /// Watches from this thread's namespace, in which those to be watched get numbers.
    fn new(watched: &[File]) -> Self {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes three numbers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else owns.
        let netlink = unsafe { OwnedFd::from_raw_fd(fd) };
        let group = RTNLGRP_NSID;
        let (place, len) = ((&raw const group).cast(), size_of_val(&group) as u32);
        let option = libc::NETLINK_ADD_MEMBERSHIP;
        // SAFETY: reads `len` bytes of the value, which lives through the call.
        let joined = unsafe { libc::setsockopt(fd, SOL_NETLINK, option, place, len) };
        assert_eq!(joined, 0, "{}", io::Error::last_os_error());
        let mut watch = Self { netlink, waiting: Vec::new() };
        // A number is in use for as long as its namespace lives.
        static NEXT: AtomicI32 = AtomicI32::new(0);
        for namespace in watched {
            let id = NEXT.fetch_add(1, Relaxed);
            watch.number(namespace, id);
            watch.waiting.push(id);
        }
        watch
    }

    /// Gives a namespace a number here, and waits for the kernel's consent.
    fn number(&self, namespace: &File, id: i32) {
        let mut message = Vec::new();
        message.extend(36u32.to_ne_bytes());
        message.extend(RTM_NEWNSID.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        message.extend([0; 8]); // sequence and port
        message.extend([0; 4]); // struct rtgenmsg, padded
        for (kind, value) in [(NETNSA_FD, namespace.as_raw_fd()), (NETNSA_NSID, id)] {
            message.extend(8u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value.to_ne_bytes());
        }
        let (fd, place) = (self.netlink.as_raw_fd(), message.as_ptr().cast());
        // SAFETY: reads the message, which lives through the call.
        let sent = unsafe { libc::send(fd, place, message.len(), 0) };
        assert_eq!(sent, 36, "{}", io::Error::last_os_error());
        loop {
            for (kind, body) in self.receive(PATIENCE).expect("an answer") {
                if kind == libc::NLMSG_ERROR as u16 {
                    assert_eq!(body[..4], [0; 4], "{body:?}");
                    return;
                }
            }
        }
    }

    /// The messages of one datagram: type and what comes after the header.
    fn receive(&self, patience: Duration) -> Option<Vec<(u16, Vec<u8>)>> {
        let fd = self.netlink.as_raw_fd();
        let mut ready = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, ours.
        if unsafe { libc::poll(&raw mut ready, 1, patience.as_millis() as i32) } != 1 {
            return None;
        }
        let mut buffer = vec![0u8; 1 << 16];
        let (place, room) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: writes at most `room` bytes into the buffer.
        let got = unsafe { libc::recv(fd, place, room, 0) };
        let mut rest = &buffer[..usize::try_from(got).expect("a datagram")];
        let mut messages = Vec::new();
        while rest.len() >= 16 {
            let len = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
            messages.push((kind, rest[16..len].to_vec()));
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
        Some(messages)
    }

    /// Waits until all are gone; how many are left after `patience`.
    fn left_after(mut self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        while !self.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(messages) = self.receive(left) else { break };
            for (kind, body) in messages {
                let mut attributes = body.get(4..).unwrap_or_default();
                while kind == RTM_DELNSID && attributes.len() >= 8 {
                    let len = u16::from_ne_bytes(attributes[..2].try_into().unwrap()) as usize;
                    let name = u16::from_ne_bytes(attributes[2..4].try_into().unwrap());
                    let value = i32::from_ne_bytes(attributes[4..8].try_into().unwrap());
                    if name == NETNSA_NSID {
                        self.waiting.retain(|id| *id != value);
                    }
                    attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
                }
            }
        }
        self.waiting.len()
    }
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
