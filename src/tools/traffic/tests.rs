//! The lab on the real kernel. All of it needs root.

use super::lab::*;
use super::rfc2544::{from_us, to_us};
use super::*;
use crate::backend::Filter;
use crate::builder::FluxBuilder;
use crate::error::{ErrorKind, Result};
use crate::lab::vanish::{Watch, namespaces_of};
use crate::lab::{PATIENCE, as_root, wait_until, with_capabilities};
use crate::raw::FluxRaw;
use crate::sys::affinity;
use crate::umem::Frame;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Calls `f` on a thread in our namespace, which ends before the lab does.
fn inside<R: Send>(lab: &Lab, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let body = || {
            lab.enter_ours().unwrap();
            f()
        };
        scope.spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn open(lab: &Lab, queue: u32) -> FluxRaw {
    let builder = FluxBuilder::new(lab.ours()).filter(Filter::Everything).queue_id(queue);
    builder.frames(4096).build_raw().unwrap()
}

/// Receives until `enough` says so, and gives the frames back to the kernel.
fn receive(raw: &mut FluxRaw, mut enough: impl FnMut(&[u8]) -> bool) {
    let umem = raw.umem().clone();
    let mut free: Vec<Frame> = Vec::new();
    let mut done = false;
    wait_until("enough packets", || {
        while !done
            && raw.rx.receive(64, |buffer| {
                done |= enough(umem.packet(&buffer));
                free.push(buffer.frame);
            }) > 0
        {
            raw.fill.post(&mut free, u32::MAX);
        }
        done
    });
    umem.free_all(free);
}

fn first_cpu() -> usize {
    affinity::allowed().unwrap()[0]
}

#[test]
fn threads_can_share_a_lab_and_its_sources() {
    fn shared<T: Send + Sync>() {}
    shared::<Lab>();
    shared::<LiveSource>();
    shared::<PacedSource>();
}

#[test]
fn a_source_sends_what_it_says_to_the_socket_of_our_end() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(1).unwrap();
    let source = LiveSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap()).unwrap();
    let expected = source.packet().bytes().to_vec();
    assert_eq!(expected, to_us(60).unwrap().bytes());
    inside(&lab, || {
        let mut raw = open(&lab, 0);
        let mut received = 0;
        receive(&mut raw, |bytes| {
            assert_eq!(bytes, expected);
            received += 1;
            received > 100_000
        });
    });
    let sent = source.stop().unwrap();
    assert!(sent > 100_000, "{sent} sent");
}

#[test]
fn every_frame_of_a_source_arrives_or_counts_as_dropped() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(1).unwrap();
    let _raw = inside(&lab, || open(&lab, 0));
    let source = LiveSource::start_batched(
        lab.egress(first_cpu()).unwrap(),
        to_us(1514).unwrap(),
        LARGEST_BATCH,
    )
    .unwrap();
    wait_until("100,000 frames", || source.sent().unwrap() >= 100_000);
    at_rest(&lab, source.stop().unwrap());
}

/// Waits until all frames that were sent have arrived or are dropped, the last of which may still be
/// between the ends; how many arrived.
fn at_rest(lab: &Lab, sent: u64) -> u64 {
    let mut arrived = 0;
    wait_until("an end of each frame", || {
        let (peer, ours) = (lab.peer_stats().unwrap(), lab.our_stats().unwrap());
        assert_eq!((ours.tx_packets, peer.rx_packets), (0, 0), "nothing else moves");
        assert!(peer.tx_packets + peer.tx_dropped <= sent, "{sent} sent, {peer:?}");
        arrived = ours.rx_packets;
        peer.tx_packets + peer.tx_dropped == sent && ours.rx_packets == peer.tx_packets
    });
    arrived
}

#[test]
fn a_paused_source_sends_nothing_until_it_is_resumed() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(1).unwrap();
    let _raw = inside(&lab, || open(&lab, 0));
    let source = LiveSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap()).unwrap();
    source.pause();
    let sent = source.sent().unwrap();
    let arrived = at_rest(&lab, sent);
    source.pause();
    // While it is paused, another one on its CPU has the time to send.
    let other =
        PacedSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap(), 1000).unwrap();
    wait_until("20 frames of another", || other.sent() >= 20);
    let others = other.stop().unwrap();
    assert_eq!(at_rest(&lab, sent + others), arrived + others);
    assert_eq!(source.sent().unwrap(), sent);
    source.resume();
    wait_until("another frame", || source.sent().unwrap() > sent);
}

#[test]
fn a_source_feeds_the_queue_of_its_cpu() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(2).unwrap();
    for cpu in affinity::allowed().unwrap().into_iter().take(2) {
        let source = LiveSource::start(lab.egress(cpu).unwrap(), to_us(60).unwrap()).unwrap();
        inside(&lab, || {
            let mut raw = open(&lab, lab.queue_of(cpu));
            receive(&mut raw, |_| true);
        });
        source.stop().unwrap();
    }
}

#[test]
fn a_paced_source_keeps_its_rate_and_all_arrives() {
    let Some(_turn) = as_root() else { return };
    // Slow enough that our end has room for all that comes while it does not get its CPU: some
    // 2000 frames, so seconds.
    const RATE: u32 = 500;
    let lab = Lab::open(1).unwrap();
    inside(&lab, || {
        let mut raw = open(&lab, 0);
        let start = Instant::now();
        let source =
            PacedSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap(), RATE).unwrap();
        let expected = source.packet().bytes().to_vec();
        let mut received = 0;
        receive(&mut raw, |bytes| {
            assert_eq!(bytes, expected);
            received += 1;
            received == 250
        });
        source.pause();
        let elapsed = start.elapsed();
        let beats = source.sent() + source.missed();
        let due = elapsed.as_secs_f64() * f64::from(RATE);
        assert!(beats as f64 <= due, "{beats} beats in {elapsed:?}");
        assert!(elapsed >= Duration::from_millis(499), "250 frames in {elapsed:?}");
        let sent = source.stop().unwrap();
        if received < sent {
            receive(&mut raw, |_| {
                received += 1;
                received == sent
            });
        }
        let (ours, peer) = (lab.our_stats().unwrap(), lab.peer_stats().unwrap());
        assert_eq!((ours.rx_packets, ours.rx_dropped), (sent, 0), "{ours:?}");
        assert_eq!((ours.tx_packets, peer.rx_packets), (0, 0), "nothing else moves");
    });
}

#[test]
fn what_we_send_reaches_the_far_end_and_is_counted_there() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(1).unwrap();
    inside(&lab, || {
        let mut raw = open(&lab, 0);
        let bytes = from_us(60).unwrap();
        let mut buffer = raw.umem().alloc_buffer(0, 60).unwrap().unwrap();
        raw.umem().packet_mut(&mut buffer).copy_from_slice(bytes.bytes());
        assert!(raw.tx.reserve(1).push(buffer).is_ok());
        raw.kick_tx().unwrap();
        wait_until("the frame", || lab.peer_stats().unwrap().rx_packets > 0);
        assert_eq!(lab.our_stats().unwrap().tx_packets, 1);
    });
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let Some(_turn) = as_root() else { return };
    let lab = Lab::open(1).unwrap();
    let cases: [(Result<LiveSource>, &str); 3] = [
        (LiveSource::start(lab.egress(65_000).unwrap(), to_us(60).unwrap()), "CPU 65000"),
        (LiveSource::start_batched(lab.egress(0).unwrap(), to_us(60).unwrap(), 0), "batches of 0"),
        (
            LiveSource::start_batched(
                lab.egress(0).unwrap(),
                to_us(60).unwrap(),
                LARGEST_BATCH + 1,
            ),
            "batches of 257",
        ),
    ];
    for (outcome, names) in cases {
        let Err(error) = outcome else { panic!("{names} is taken") };
        assert!(error.to_string().contains(names), "{error}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    for queues in [0, MOST_QUEUES + 1] {
        let Err(error) = Lab::open(queues) else { panic!("{queues} queues") };
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    for rate in [0, 2_000_000] {
        assert!(PacedSource::start(lab.egress(0).unwrap(), to_us(60).unwrap(), rate).is_err());
    }
}

#[test]
fn without_the_capability_the_error_says_which_and_the_way_without() {
    let Some(_turn) = as_root() else { return };
    let Err(error) = with_capabilities(&[], || Lab::open(1)) else { panic!("no capability") };
    assert_eq!(error.kind(), ErrorKind::Permission);
    let hint = error.hint().unwrap();
    assert!(hint.contains("CAP_SYS_ADMIN") && hint.contains("--sim"), "{hint}");
}

/// Not a test of its own: what the two below start, to look at it from outside.
#[test]
#[ignore = "run by other tests, as a process of its own"]
fn holder() {
    let lab = Lab::open(2).unwrap();
    let source = LiveSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap()).unwrap();
    let paced =
        PacedSource::start(lab.egress(first_cpu()).unwrap(), to_us(60).unwrap(), DEFAULT_RATE_PPS)
            .unwrap();
    let raw = inside(&lab, || open(&lab, 0));
    say("up");
    let mut order = String::new();
    std::io::stdin().read_line(&mut order).unwrap();
    drop((raw, paced, source, lab));
    say("dropped");
    let _ = std::io::stdin().read(&mut [0]);
}

/// A line to the process that started this one.
fn say(word: &str) {
    writeln!(std::io::stdout(), "\n{word}").unwrap();
    std::io::stdout().flush().unwrap();
}

/// A process that runs `holder`, and the namespaces that it has made.
fn held() -> (Child, Watch) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tools::traffic::tests::holder", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    wait_for(&mut child, "up");
    let namespaces = namespaces_of(child.id());
    assert_eq!(namespaces.len(), 3, "ours, the peer's, and the source's own");
    let watch = Watch::new(&namespaces.into_values().collect::<Vec<_>>());
    (child, watch)
}

fn wait_for(child: &mut Child, word: &str) {
    // Unbuffered, so that no byte after the line is taken.
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(format!("\n{word}\n").as_bytes()) {
        let got = child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
        assert_eq!(got, 1, "{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

#[test]
fn nothing_is_left_of_a_lab_that_was_dropped() {
    let Some(_turn) = as_root() else { return };
    let (mut child, watch) = held();
    writeln!(child.stdin.as_mut().unwrap(), "drop").unwrap();
    wait_for(&mut child, "dropped");
    assert_eq!(watch.left_after(PATIENCE), 0, "while the process lives on");
    assert!(namespaces_of(child.id()).is_empty());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn nothing_is_left_of_a_lab_whose_process_was_killed() {
    let Some(_turn) = as_root() else { return };
    let (mut child, watch) = held();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(watch.left_after(PATIENCE), 0);
}
