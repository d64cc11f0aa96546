//! `flux rings` on the real kernel, looking at a program that is not ours.

use crate::command;
use crate::foreign::{COMM, Foreign, State};
use crate::lab;
use crate::lab::{Lab, OURS, PEER};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// Packets a second that two busy CPUs carry with ease.
const PPS: f64 = 50_000.0;

/// A program at the peer's end that sends on its queue.
fn sender(lab: &Lab, queue: u32) -> Foreign {
    let (queue, pps) = (format!("queue={queue}"), format!("pps={PPS}"));
    lab.in_peer(|| Foreign::start(PEER, &["mode=tx", "rx=0", "attach=0", &queue, &pps]))
}

/// The only sample of a one-shot run.
fn sample(line: &str) -> Value {
    let line = format!("rings {OURS} --json {line}");
    let mut events = command::events(&line, 0);
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

fn only_socket(sample: &Value) -> &Value {
    let sockets = sample["sockets"].as_array().unwrap();
    assert_eq!(sockets.len(), 1, "{sample:#}");
    &sockets[0]
}

/// What is wrong with the only socket, by kind; the texts are for failures.
fn kinds(sample: &Value) -> Vec<(String, String)> {
    let told = only_socket(sample)["diagnosis"].as_array().unwrap();
    let word = |d: &Value, key: &str| d[key].as_str().unwrap().to_owned();
    told.iter().map(|d| (word(d, "kind"), word(d, "text"))).collect()
}

#[track_caller]
fn assert_kinds(sample: &Value, expected: &[&str]) {
    let told = kinds(sample);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, expected, "{told:#?}\n{sample:#}");
}

/// A watching `flux rings`, killed on drop.
struct Watch(Child, BufReader<std::process::ChildStdout>);

impl Watch {
    fn start(line: &str) -> Self {
        let mut child =
            command::flux(line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self(child, stdout)
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// By how much, in entries a second, a counter rose between two states of the program.
fn owner_rate(first: &State, last: &State, count: &str) -> f64 {
    let seconds = (last.count("time_ns") - first.count("time_ns")) as f64 / 1e9;
    (last.count(count) - first.count(count)) as f64 / seconds
}

/// The same by the indices of two samples.
fn seen_rate(first: &Value, last: &Value, ring: &str) -> f64 {
    let time = |sample: &Value| sample["time_s"].as_f64().unwrap();
    let index =
        |sample: &Value| only_socket(sample)["rings"][ring]["consumer"].as_u64().unwrap() as u32;
    f64::from(index(last).wrapping_sub(index(first))) / (time(last) - time(first))
}

#[track_caller]
fn assert_near(what: &str, seen: f64, told: f64) {
    assert!((seen / told - 1.0).abs() < 0.02, "{what}: {seen} seen, {told} told by the owner");
}

/// Pid, rings and rates of a foreign program under load, by one source.
fn a_foreign_program_is_seen_as_it_sees_itself(source: &str) {
    let Some(lab) = Lab::veth(1) else { return };
    let mut owner = Foreign::start(OURS, &["mode=drop", "size=1024", "comp=512", "frames=3000"]);
    let _sender = sender(&lab, 0);
    let line = format!("rings {OURS} --json --watch 500ms --source {source}");
    let mut watch = Watch::start(&line);
    let (first, before) = (watch.next(), owner.stats());
    let mut last = first.clone();
    for _ in 0..4 {
        last = watch.next();
    }
    let after = owner.stats();

    assert_eq!(last["source"], source);
    // A sandbox may keep some process from root, too; we have all that it takes.
    assert!(!last["missing"].to_string().contains("CAP_"), "{last:#}");
    let socket = only_socket(&last);
    assert_eq!(socket["pid"], owner.pid());
    assert_eq!(socket["comm"], COMM);
    assert_eq!(socket["fd"], owner.fd());
    assert_eq!((&socket["ifname"], &socket["queue"]), (&OURS.into(), &0.into()));
    assert_eq!((&socket["state"], &socket["zero_copy"]), (&"bound".into(), &false.into()));
    let sizes = ["rx", "tx", "fill", "comp"].map(|ring| socket["rings"][ring]["size"].clone());
    assert_eq!(sizes, [1024, 1024, 1024, 512].map(Value::from));
    assert_kinds(&last, &[]);

    assert_near(
        "received",
        seen_rate(&first, &last, "rx"),
        owner_rate(&before, &after, "received"),
    );
    assert_near(
        "refilled",
        seen_rate(&first, &last, "fill"),
        owner_rate(&before, &after, "refilled"),
    );
    let per_s = socket["rings"]["rx"]["per_s"].as_f64().unwrap();
    assert!((per_s / PPS - 1.0).abs() < 0.2, "{per_s}");
    // At rest the counters are the same to the last packet.
    drop(watch);
    drop(_sender);
    let state = owner.stats();
    let still = sample(&format!("--source {source} --over 0"));
    let stats = &only_socket(&still)["stats"];
    for name in ["rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs", "tx_invalid_descs"] {
        assert_eq!(stats[name], state.count(name), "{name}");
    }
    let consumed = only_socket(&still)["rings"]["rx"]["consumer"].as_u64().unwrap();
    assert_eq!(consumed, state.count("received") & 0xffff_ffff);
}

#[test]
fn a_foreign_program_is_seen_by_the_iterator() {
    a_foreign_program_is_seen_as_it_sees_itself("iter");
}

#[test]
fn a_foreign_program_is_seen_without_the_iterator() {
    a_foreign_program_is_seen_as_it_sees_itself("pidfd");
}

#[test]
fn each_trouble_gets_its_name_and_a_healthy_run_none() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut owner = Foreign::start(OURS, &["mode=drop"]);
    let sender = sender(&lab, 0);
    assert_kinds(&sample(""), &[]);

    owner.tell("leak 20");
    assert_kinds(&sample(""), &["leak"]);
    drop(owner);
    // First the RX ring is the bottleneck, then it takes all frames and the fill ring runs empty.
    for (rx, counter) in [("rx=1024", "rx_ring_full"), ("rx=2048", "rx_fill_ring_empty_descs")] {
        let mut owner = Foreign::start(OURS, &["mode=drop", rx]);
        owner.tell("noread");
        assert_kinds(&wait_for_loss(&mut owner, counter), &["slow_application"]);
        owner.tell("drop");
        assert_kinds(&sample(""), &[]);
    }
    let mut owner = Foreign::start(OURS, &["mode=drop"]);
    owner.tell("norefill");
    let told = kinds(&wait_for_loss(&mut owner, "rx_fill_ring_empty_descs"));
    assert_eq!(told[0].0, "starved", "{told:#?}");
    drop(owner);

    let mut owner = Foreign::start(OURS, &["mode=drop"]);
    drop(sender);
    owner.tell("txstuck");
    let told = sample("");
    assert_kinds(&told, &["stuck_tx"]);
    let text = &kinds(&told)[0].1;
    assert!(text.contains(&format!("call sendto() on fd {}", owner.fd())), "{text}");
    drop(owner);

    let _owner = Foreign::start(OURS, &["mode=quiet"]);
    assert_kinds(&sample(""), &["idle"]);
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    let told = sample("");
    assert_kinds(&told, &["link_flap"]);
    assert!(kinds(&told)[0].1.starts_with(&format!("{OURS} has no carrier")), "{told:#}");
}

/// A sample once the owner itself counts the loss.
fn wait_for_loss(owner: &mut Foreign, counter: &str) -> Value {
    let start = std::time::Instant::now();
    let before = owner.stats().count(counter);
    while owner.stats().count(counter) < before + 1000 {
        assert!(start.elapsed().as_secs() < 10, "{counter} does not rise");
        std::thread::yield_now();
    }
    sample("")
}

#[test]
fn traffic_on_another_queue_is_the_wrong_queue() {
    let Some(lab) = Lab::veth(2) else { return };
    let _owner = Foreign::start(OURS, &["mode=drop", "queue=0"]);
    let _sender = sender(&lab, 1);
    let told = sample("");
    assert_kinds(&told, &["wrong_queue"]);
    assert!(kinds(&told)[0].1.contains("receives on queue 1 ("), "{told:#}");
    // With a second program on that queue nothing is astray: the first one is idle.
    let _other = Foreign::start(OURS, &["mode=drop", "queue=1", "attach=0"]);
    let sample = sample("--queue 0");
    assert_kinds(&sample, &["idle"]);
}

#[test]
fn our_own_ping_is_seen_healthy_with_its_shared_umem() {
    let Some(lab) = Lab::veth(2) else { return };
    let lab = lab.with_neighbours();
    let line = format!("ping -q -i 1ms -c 8000 {}", lab::PEER_IP);
    let mut ping =
        command::flux(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = std::time::Instant::now();
    while command::run(&format!("rings {OURS} --over 0")).status.code() != Some(0) {
        assert!(start.elapsed().as_secs() < 10, "no socket of ping's");
    }
    let sample = sample("");
    let sockets = sample["sockets"].as_array().unwrap();
    assert_eq!(sockets.len(), 2, "{sample:#}");
    assert!(sockets.iter().all(|s| s["pid"] == ping.id() && s["comm"] == "flux"), "{sample:#}");
    assert_eq!(sockets[0]["umem_id"], sockets[1]["umem_id"]);
    assert_eq!(sockets[0]["umem"]["unaccounted"], sockets[1]["umem"]["unaccounted"]);
    assert!(sockets.iter().any(|s| s["diagnosis"] == serde_json::json!([])), "{sample:#}");
    ping.kill().unwrap();
    ping.wait().unwrap();
    drop(lab);
}

#[test]
fn an_interface_without_sockets_or_that_is_not_there_is_said_so() {
    let Some(_lab) = Lab::veth(1) else { return };
    let line = format!("rings {OURS} --over 0");
    let none = command::run(&line);
    command::assert_exit(&line, &none, 1);
    assert!(command::stderr(&none).contains(&format!("{OURS} has no AF_XDP socket")), "{none:?}");
    let missing = command::run("rings no-such0");
    command::assert_exit("rings no-such0", &missing, 1);
    assert!(command::stderr(&missing).contains("cannot find interface no-such0"), "{missing:?}");
}

#[test]
fn an_owner_that_ends_is_told_and_the_watch_goes_on() {
    let Some(_lab) = Lab::veth(1) else { return };
    let owner = Foreign::start(OURS, &["mode=drop"]);
    let mut child = command::flux(&format!("rings {OURS} --json --watch 100ms --count 30"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(only_socket(&first)["pid"], owner.pid());
    let pid = owner.pid();
    owner.kill();
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    assert_eq!(last["sockets"], serde_json::json!([]));
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(stderr.contains(&format!("(pid {pid}, fd ")), "{stderr}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_capabilities_the_missing_one_is_named() {
    let Some(_lab) = Lab::veth(1) else { return };
    let owner = Foreign::start(OURS, &["mode=drop"]);
    let flux = command::Copy::new("flux-rings-nobody");
    for (source, capability) in [("iter", "CAP_BPF"), ("pidfd", "CAP_SYS_PTRACE")] {
        let line = format!("rings {OURS} --over 0 --source {source}");
        let output = flux.as_nobody("", &line);
        assert_ne!(output.status.code(), Some(0), "{source}: {output:?}");
        let stderr = command::stderr(&output);
        assert!(stderr.contains(capability), "{source}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
    // Those that the iterator needs are enough for it.
    let line = format!("rings {OURS} --over 0 --json --source iter");
    let output = flux.as_nobody(",+bpf,+perfmon", &line);
    command::assert_exit(&line, &output, 0);
    let sample: Value = serde_json::from_str(&command::stdout(&output)).unwrap();
    assert_eq!(only_socket(&sample)["pid"], owner.pid());
}
