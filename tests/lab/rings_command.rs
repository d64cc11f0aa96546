//! `flux rings` on the real kernel, looking at a program that is not ours.

use crate::command;
use crate::foreign::{COMM, Foreign, State};
use crate::lab;
use crate::lab::{ETH_LAB, Lab, OUR_MAC, OURS, PEER, PEER_MAC, lab_frame};
use crate::running::Running;
use fluxnet::{Filter, FluxBuilder, Match};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// Packets a second. Two seconds' worth fit into a ring, so the program that reads them may be late.
const PPS: u32 = 1000;

/// A program at the peer's end that sends on its queue.
fn sender(lab: &Lab, queue: u32, pps: u32) -> Foreign {
    let (queue, pps) = (format!("queue={queue}"), format!("pps={pps}"));
    lab.in_peer(|| Foreign::start(PEER, &["mode=tx", "rx=0", "attach=0", &queue, &pps]))
}

/// The only sample of a one-shot run.
fn sample(line: &str) -> Value {
    let line = format!("rings {OURS} --json --over 200ms {line}");
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

/// An index of the only socket's.
fn index(sample: &Value, ring: &str, field: &str) -> u32 {
    only_socket(sample)["rings"][ring][field].as_u64().unwrap() as u32
}

/// Samples until one is right to go by: by its own numbers, and by what the owner said before and
/// after it. The latter comes with it.
#[track_caller]
fn sample_when(
    what: &str,
    owner: &mut Foreign,
    line: &str,
    is_right: impl Fn(&State, &State, &Value) -> bool,
) -> (Value, State) {
    lab::wait_for(what, || {
        let (before, sample, after) = (owner.stats(), sample(line), owner.stats());
        is_right(&before, &after, &sample).then_some((sample, after))
    })
}

/// A sample during which the owner received, and lost nothing.
#[track_caller]
fn sample_when_healthy(owner: &mut Foreign, line: &str) -> Value {
    let what = "packets that are all received";
    let sample = sample_when(what, owner, line, |before, after, sample| {
        let received = only_socket(sample)["rings"]["rx"]["per_s"].as_f64() > Some(0.0);
        received && before.losses() == after.losses()
    });
    sample.0
}

/// A sample during which nothing came to the owner. The peer's kernel sends something now and then.
#[track_caller]
fn sample_when_quiet(owner: &mut Foreign, line: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    let sample = sample_when("no packet for a while", owner, line, |before, after, sample| {
        let taken = |state: &State| state.ring("fill", "consumer");
        taken(before) == taken(after) && before.losses() == after.losses() && is_right(sample)
    });
    sample.0
}

/// Pid, rings and rates of a foreign program under load, by one source.
fn a_foreign_program_is_seen_as_it_sees_itself(source: &str) {
    let Some(lab) = Lab::veth(1) else { return };
    let mut owner = Foreign::start(OURS, &["mode=drop", "size=1024", "comp=512", "frames=3000"]);
    let mut sender = sender(&lab, 0, 50_000);
    let start = owner.stats();
    owner.wait_for_more(&start, "received", 1000);
    let before = owner.stats();
    let line =
        format!("rings {OURS} --json --over 100ms --watch 200ms --count 3 --source {source}");
    let samples = command::events(&line, 0);
    let after = owner.stats();

    let [_, middle, last] = &samples[..] else { panic!("{samples:#?}") };
    assert_eq!(last["scanned_by"], source);
    // A sandbox may keep some process from root, too; we have all that it takes.
    assert!(!last["missing"].to_string().contains("CAP_"), "{last:#}");
    let socket = only_socket(last);
    assert_eq!(socket["pid"], owner.pid());
    assert_eq!(socket["comm"], COMM);
    assert_eq!(socket["fd"], owner.fd());
    assert_eq!((&socket["interface"], &socket["queue"]), (&OURS.into(), &0.into()));
    assert_eq!((&socket["state"], &socket["zero_copy"]), (&"bound".into(), &false.into()));
    let sizes = ["rx", "tx", "fill", "comp"].map(|ring| socket["rings"][ring]["size"].clone());
    assert_eq!(sizes, [1024, 1024, 1024, 512].map(Value::from));

    for ring in ["rx", "tx", "fill", "comp"] {
        for field in ["producer", "consumer"] {
            for sample in &samples {
                before.assert_read_before(&after, ring, field, index(sample, ring, field));
            }
        }
        let rate = socket["rings"][ring]["per_s"].as_f64().unwrap();
        let between = [middle, last].map(|sample| index(sample, ring, "consumer"));
        before.assert_rate_before(&after, rate, between, 0.2);
    }
    sender.tell(&format!("pps {PPS}"));
    let line = format!("--source {source}");
    assert_kinds(&sample_when_healthy(&mut owner, &line), &[]);
    // At rest the counters are the same to the last packet.
    drop(sender);
    let (still, state) = sample_when("rest", &mut owner, &line, |before, after, _| {
        before.count("received") == after.count("received") && before.losses() == after.losses()
    });
    let stats = &only_socket(&still)["stats"];
    for name in ["rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs", "tx_invalid_descs"] {
        assert_eq!(stats[name], state.count(name), "{name}");
    }
    assert_eq!(index(&still, "rx", "consumer"), state.count("received") as u32);
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
    let mut sender = sender(&lab, 0, PPS);
    assert_kinds(&sample_when_healthy(&mut owner, ""), &[]);
    drop(owner);

    // First the RX ring is the bottleneck, then it takes all frames and the fill ring runs empty.
    for (rx, counter) in [("rx=1024", "rx_ring_full"), ("rx=2048", "rx_fill_ring_empty_descs")] {
        let mut owner = Foreign::start(OURS, &["mode=noread", rx]);
        sender.tell("pps 50000");
        let start = owner.stats();
        owner.wait_for_more(&start, counter, 1000);
        // It stays full, however late we are.
        assert_kinds(&sample(""), &["slow_application"]);
        sender.tell(&format!("pps {PPS}"));
        let full = owner.tell("drop").ring("rx", "producer");
        owner.wait("all is read", |state| state.ring("rx", "consumer") > full);
        assert_kinds(&sample_when_healthy(&mut owner, ""), &[]);
    }
    let mut owner = Foreign::start(OURS, &["mode=norefill", "fill=64"]);
    owner.wait("all frames are out", |state| state.count("received") >= 64);
    let starved = sample_when("packets without a frame", &mut owner, "", |_, _, sample| {
        let per_s = &only_socket(sample)["stats_per_s"];
        per_s["rx_fill_ring_empty_descs_per_s"].as_f64() > Some(0.0)
    });
    assert_kinds(&starved.0, &["starved", "leak"]);
    drop(owner);

    let mut owner = Foreign::start(OURS, &["mode=drop"]);
    drop(sender);
    owner.tell("txstuck");
    owner.wait("the TX ring is full", |state| state.count("sent") == 2048);
    let told = sample("");
    assert_kinds(&told, &["stuck_tx"]);
    let text = &kinds(&told)[0].1;
    assert!(text.contains(&format!("call sendto() on fd {}", owner.fd())), "{text}");
    drop(owner);

    let mut owner = Foreign::start(OURS, &["mode=quiet"]);
    assert_kinds(&sample_when_quiet(&mut owner, "", |_| true), &["idle"]);
    lab.run_in_peer(&format!("ip link set {PEER} down"));
    let told = sample("");
    assert_kinds(&told, &["link_flap"]);
    assert!(kinds(&told)[0].1.starts_with(&format!("{OURS} has no carrier")), "{told:#}");
}

#[test]
fn a_socket_that_nothing_can_reach_is_told_with_the_reason() {
    let Some(_lab) = Lab::veth(1) else { return };
    // The receiver goes, and the sender goes on.
    let ours = Match { ether_type: Some(ETH_LAB), ..Match::default() };
    let builder = FluxBuilder::new(OURS).filter(Filter::Any(vec![ours]));
    let (rx, mut tx) = builder.queue_id(0).build_system().unwrap();
    drop(rx);
    let stop = AtomicBool::new(false);
    let frame = lab_frame(OUR_MAC, PEER_MAC, &[1; 46]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if let Some(mut packet) = tx.alloc(frame.len()) {
                    packet.data_mut().copy_from_slice(&frame);
                    let _ = tx.send(packet);
                }
                tx.flush().unwrap();
            }
        });
        let told = std::panic::catch_unwind(|| {
            let told = sample("");
            assert_kinds(&told, &["not_in_map"]);
            let sent = only_socket(&told)["rings"]["tx"]["per_s"].as_f64();
            assert!(sent > Some(0.0), "{told:#}");
        });
        stop.store(true, Ordering::Relaxed);
        told.unwrap();
    });
    drop(tx);
    // It was never given a program.
    let mut owner = Foreign::start(OURS, &["mode=drop", "attach=0", "fill=64"]);
    let told = sample_when_quiet(&mut owner, "", |_| true);
    assert_kinds(&told, &["no_program"]);
}

#[test]
fn traffic_on_another_queue_is_the_wrong_queue() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut owner = Foreign::start(OURS, &["mode=drop", "queue=0"]);
    let _sender = sender(&lab, 1, PPS);
    let told = sample_when_quiet(&mut owner, "", |sample| {
        let pps = |queue: usize| sample["interfaces"][0]["queue_rx_pps"][queue].as_f64().unwrap();
        pps(0) == 0.0 && pps(1) > 100.0
    });
    assert_kinds(&told, &["wrong_queue"]);
    assert!(kinds(&told)[0].1.contains("receives on queue 1 ("), "{told:#}");
    // With a second program on that queue nothing is astray: the first one is idle.
    let _other = Foreign::start(OURS, &["mode=drop", "queue=1", "attach=0"]);
    let told = sample_when_quiet(&mut owner, "--queue 0", |_| true);
    assert_kinds(&told, &["idle"]);
}

#[test]
fn our_own_ping_is_seen_healthy_with_its_shared_umem() {
    let Some(lab) = Lab::veth(2) else { return };
    let _lab = lab.with_neighbours();
    let ping = Running::start(&format!("ping -q -i 1ms -c 1000000 {}", lab::PEER_IP));
    let pid = ping.pid();
    // There is one before there are both, and they are there before packets come.
    let is_healthy = |socket: &Value| {
        let per_s = &socket["stats_per_s"];
        let lost = ["rx_dropped", "rx_ring_full", "rx_fill_ring_empty_descs"];
        socket["rings"]["rx"]["per_s"].as_f64() > Some(0.0)
            && lost.iter().all(|name| per_s[format!("{name}_per_s")] == 0.0)
    };
    let (sockets, healthy) = lab::wait_for("both sockets of ping's at work", || {
        let output = command::run(&format!("rings {OURS} --json"));
        let sample = command::only(&output, "sample");
        let sockets = sample["sockets"].as_array()?.clone();
        let healthy = sockets.iter().find(|socket| is_healthy(socket))?.clone();
        (sockets.len() == 2).then_some((sockets, healthy))
    });
    assert!(sockets.iter().all(|s| s["pid"] == pid && s["comm"] == "flux"), "{sockets:#?}");
    assert_eq!(sockets[0]["umem_id"], sockets[1]["umem_id"]);
    assert_eq!(sockets[0]["umem"]["unaccounted"], sockets[1]["umem"]["unaccounted"]);
    assert_eq!(healthy["diagnosis"], serde_json::json!([]), "{healthy:#}");
}

#[test]
fn an_interface_without_sockets_or_that_is_not_there_is_said_so() {
    let Some(_lab) = Lab::veth(1) else { return };
    let line = format!("rings {OURS} --over 0");
    let none = command::run(&line);
    command::assert_exit(&line, &none, 1);
    assert!(command::stderr(&none).contains(&format!("{OURS} has no AF_XDP socket")), "{none:?}");
    let missing = command::run("rings no-such0");
    command::assert_exit("rings no-such0", &missing, 2);
    assert!(command::stderr(&missing).contains("cannot find interface no-such0"), "{missing:?}");
}

#[test]
fn an_owner_that_ends_is_told_and_the_watch_goes_on() {
    let Some(_lab) = Lab::veth(1) else { return };
    let owner = Foreign::start(OURS, &["mode=drop"]);
    let mut watch = Running::start(&format!("rings {OURS} --watch 50ms"));
    assert_eq!(only_socket(&watch.next())["pid"], owner.pid());
    let pid = owner.pid();
    owner.kill();
    let nobody = serde_json::json!([]);
    let mut notes = Vec::new();
    let mut next = || loop {
        let event = watch.next();
        if event["event"] != "note" {
            return event;
        }
        notes.push(event["text"].to_string());
    };
    lab::wait_until("a sample without it", || next()["sockets"] == nobody);
    assert_eq!(next()["sockets"], nobody);
    let ended = watch.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    notes.retain(|note| note.contains(&format!("(pid {pid}, fd ")));
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn without_capabilities_the_missing_one_is_named() {
    let Some(_lab) = Lab::veth(1).filter(|_| lab::has(&["setpriv"])) else { return };
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
    // None found is not that there is none.
    let line = format!("rings {OURS} --over 0 --json --source pidfd");
    let output = flux.as_nobody("", &line);
    command::assert_exit(&line, &output, 2);
    let error = command::only(&output, "error");
    let text = error["error"].as_str().unwrap();
    assert!(
        text.starts_with(&format!("{OURS}: no AF_XDP socket that can be seen from here: ")),
        "{text}"
    );
    assert!(text.contains("could not be looked into"), "{text}");
    assert!(error["hint"].as_str().unwrap().starts_with("run as root"), "{error}");
    // Those that the iterator needs are enough for it.
    let line = format!("rings {OURS} --over 0 --json --source iter");
    let output = flux.as_nobody(",+bpf,+perfmon", &line);
    command::assert_exit(&line, &output, 0);
    let sample = command::only(&output, "sample");
    assert_eq!(only_socket(&sample)["pid"], owner.pid());
}

/// A name of a network namespace, which goes with this value.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = lab::try_run(&format!("ip netns del {}", self.0));
    }
}

#[test]
fn namespaces_are_told_by_name() {
    let Some(_lab) = Lab::veth(1) else { return };
    let owner = Foreign::start(OURS, &["mode=drop"]);
    assert_eq!(only_socket(&sample(""))["netns_name"], Value::Null);
    let named = Named(format!("flux-names-{}", std::process::id()));
    lab::run(&format!("ip netns attach {} {}", named.0, owner.pid()));
    let seen = sample("");
    assert_eq!(only_socket(&seen)["netns_name"], named.0);
    assert_eq!(seen["interfaces"][0]["netns_name"], named.0);
}
