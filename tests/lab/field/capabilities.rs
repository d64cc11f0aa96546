//! What is really missing is named: each of the four capabilities, a user namespace, open files. Starts
//! of a user with these capabilities in a row, and beside each other, all work.

use crate::command::{Copy, assert_exit, stderr};
use crate::foreign::Foreign;
use crate::lab::{self, Lab, OURS, PEER_IP, has, wait_until, xdp_attached};
use std::process::{Child, Command, Output, Stdio};

const NEEDED: [&str; 4] = ["net_raw", "net_admin", "bpf", "perfmon"];

fn capabilities(names: &[&str]) -> String {
    names.iter().map(|name| format!(",+{name}")).collect()
}

/// The error of a ping by a user with these capabilities.
#[track_caller]
fn error_with(flux: &Copy, names: &[&str]) -> String {
    let output = flux.as_nobody(&capabilities(names), &format!("ping -c 1 {PEER_IP}"));
    assert_exit("ping", &output, 2);
    let text = stderr(&output);
    assert!(text.contains(fluxnet::error::SETCAP), "{names:?}: {text}");
    text.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned()
}

#[test]
fn the_capability_that_is_missing_is_named_and_no_other() {
    let Some(_lab) = Lab::veth(1).filter(|_| has(&["setpriv"])) else { return };
    let flux = Copy::new("flux-capabilities");
    for missing in NEEDED {
        let others: Vec<_> = NEEDED.into_iter().filter(|name| *name != missing).collect();
        let error = error_with(&flux, &others);
        let name = format!(": CAP_{} is missing", missing.to_uppercase());
        assert!(error.ends_with(&name), "{error}");
    }
    let error = error_with(&flux, &["net_raw", "net_admin"]);
    assert!(error.ends_with(": CAP_BPF and CAP_PERFMON are missing"), "{error}");
    let error = error_with(&flux, &["net_raw"]);
    assert!(error.ends_with(": CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are missing"), "{error}");
}

/// A command line of flux in a shell that was prepared by `before`.
fn in_shell(wrap: &[&str], before: &str, line: &str) -> Output {
    let flux = assert_cmd::cargo::cargo_bin!("flux");
    let mut command = Command::new(wrap[0]);
    command.args(&wrap[1..]).arg(format!("{before}; exec {} {line}", flux.display()));
    command.output().unwrap()
}

#[test]
fn root_of_a_user_namespace_is_told_so_and_is_not_sent_for_capabilities() {
    let Some(_turn) = lab::as_root() else { return };
    if Command::new("unshare").args(["-Urn", "true"]).status().map_or(true, |s| !s.success()) {
        return lab::skip("this machine allows no user namespace");
    }
    let pair = "ip link add v0 type veth peer v1; ip link set v0 up; ip link set v1 up; ip addr add \
                10.9.0.1/24 dev v0; ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:01 dev v0; until ip \
                link show v0 | grep -q LOWER_UP; do :; done";
    let wrap = ["unshare", "-Urn", "sh", "-c"];
    let ping = in_shell(&wrap, pair, "ping -c 1 10.9.0.2");
    assert_exit("ping", &ping, 2);
    let text = stderr(&ping);
    assert!(text.contains("root of a user namespace (a container) is not enough"), "{text}");
    assert!(text.contains("hint: run it outside of the container") && !text.contains("setcap"));
    let doctor = in_shell(&wrap, pair, "doctor v0");
    assert_exit("doctor", &doctor, 1);
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(text.contains("effective, in this user namespace alone"), "{text}");
    assert!(text.contains("cannot be loaded: root of a user namespace"), "{text}");
    let rings = in_shell(&wrap, pair, "rings");
    assert_exit("rings", &rings, 2);
    assert!(stderr(&rings).contains("no AF_XDP socket that can be seen from here"));
}

/// A process, killed with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn starts_in_a_row_and_two_at_once_all_work_within_the_memory_that_a_user_may_lock() {
    let Some(lab) = Lab::veth(2).filter(|_| has(&["setpriv", "prlimit"])) else { return };
    let flux = Copy::new("flux-memlock");
    let rights = capabilities(&NEEDED);
    // The usual UMEM takes 8 MiB: all that may be locked.
    let limited = |line: &str| {
        let inner = flux.command_as_nobody(&rights, line);
        let mut outer = Command::new("prlimit");
        outer.arg("--memlock=8388608:8388608").arg(inner.get_program()).args(inner.get_args());
        outer
    };
    let line = format!("ping -c 1 {PEER_IP}");
    // One that stays, by another pair.
    lab.run("ip link add by0 type veth peer name by1");
    lab.run("ip link set by0 up");
    lab.run("ip link set by1 up");
    lab.run("ip addr add 192.0.2.1/24 dev by0");
    lab.run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev by0");
    let beside = limited("ping -q -w 30 192.0.2.2").stdout(Stdio::null()).spawn().unwrap();
    let beside = Running(beside);
    wait_until("the first", || xdp_attached("by0"));
    for start in 0..6 {
        let output = limited(&line).output().unwrap();
        assert_exit(&format!("start {start}"), &output, 0);
    }
    drop(beside);
    let tight = limited(&format!("{line} --frames 8192")).output().unwrap();
    assert_exit("more than the limit", &tight, 2);
    let text = stderr(&tight);
    assert!(text.contains("it takes 16 MiB, and this user may lock 8 MiB"), "{text}");
    assert!(text.contains("fewer --frames"), "{text}");
}

#[test]
fn too_few_open_files_are_named_and_not_the_kernel() {
    let Some(_lab) = Lab::veth(1) else { return };
    for files in [6, 8, 12] {
        for line in ["rings".to_owned(), format!("ping -c 1 {PEER_IP}"), format!("doctor {OURS}")] {
            let output = in_shell(&["sh", "-c"], &format!("ulimit -n {files}"), &line);
            let text = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
            assert!(!text.contains("Linux 5.10") && !text.contains("mount -t proc"), "{text}");
            assert!(!text.contains("dmesg") && !text.contains("os error"), "{line}: {text}");
            if output.status.code() == Some(2) {
                assert!(text.contains("ulimit -n"), "{files} {line}: {text}");
            }
        }
    }
}

#[test]
fn sockets_that_cannot_be_seen_are_not_said_to_be_absent() {
    let Some(_lab) = Lab::veth(1).filter(|_| has(&["setpriv"])) else { return };
    let _owner = Foreign::start(OURS, &["mode=quiet"]);
    let flux = Copy::new("flux-blind");
    let blind = flux.as_nobody("", "rings --over 0");
    assert_exit("rings", &blind, 2);
    let text = stderr(&blind);
    assert!(text.contains("can be seen from here") && text.contains("are missing"), "{text}");
    // What the hint says is enough.
    let seeing = flux.as_nobody(",+bpf,+perfmon", "rings --over 0");
    assert_exit("rings", &seeing, 0);
}
