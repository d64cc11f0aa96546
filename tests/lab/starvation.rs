//! Receivers without frames, and waits in a runtime, on the real kernel: none lasts for ever.

use crate::lab::{self, ETH_LAB, Lab, OUR_MAC, OURS, PATIENCE, PEER_MAC, lab_frame};
use fluxnet::{
    AsyncFluxRaw, ErrorKind, Filter, FluxBuilder, FluxError, FluxRx, Match, Packet, Poller, Queues,
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn ours(poller: Poller) -> FluxBuilder {
    let lab_frames = Match { ether_type: Some(ETH_LAB), ..Match::default() };
    let builder = FluxBuilder::new(OURS).queues(Queues::All).frames(64).ring_size(64);
    builder.poller(poller).filter(Filter::Any(vec![lab_frames]))
}

/// A frame each millisecond on the last queue, while `during` runs.
fn traffic<R>(lab: &Lab, during: impl FnOnce() -> R) -> R {
    /// Ends the traffic, also when a test fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let (wire, over, queue) = (lab.wire(), AtomicBool::new(false), lab.queues - 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lab::pin(queue as usize);
            while !over.load(Relaxed) {
                wire.send(&lab_frame(PEER_MAC, OUR_MAC, &[7; 46]));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let _end = End(&over);
        during()
    })
}

fn hold_everything(rx: &mut FluxRx, most: usize) -> Vec<Packet> {
    let mut held = Vec::new();
    lab::wait_until("all frames held", || {
        held.extend(rx.recv(Some(Duration::from_millis(50))).unwrap());
        held.len() == most
    });
    held
}

/// What `call` returns on a thread of its own, which a test that fails leaves behind.
fn in_time<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(call()));
    result.recv_timeout(PATIENCE).expect("it waits for ever")
}

/// Drops them once the receiver sleeps, or soon after.
fn drop_soon(held: Vec<Packet>) {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        drop(held);
    });
}

fn goes_on(queues: u32, most: usize) {
    if !lab::has_queues(queues as usize) {
        return;
    }
    let Some(lab) = Lab::veth(queues) else { return };
    for poller in [Poller::Syscall, Poller::ADAPTIVE] {
        let (mut rx, _tx) = ours(poller).build_system().unwrap();
        traffic(&lab, || {
            let held = hold_everything(&mut rx, most);
            drop_soon(held);
            in_time(move || rx.recv(None).unwrap().unwrap());
        });
    }
}

#[test]
fn a_receiver_goes_on_when_its_packets_are_dropped_elsewhere() {
    goes_on(1, 64);
}

#[test]
fn a_starved_queue_goes_on_though_another_has_all_that_it_needs() {
    goes_on(2, 48);
}

#[test]
fn frames_that_lie_completed_are_found() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rx, mut tx) = ours(Poller::Syscall).build_system().unwrap();
    traffic(&lab, || {
        for packet in hold_everything(&mut rx, 64) {
            tx.send(packet).unwrap();
        }
        // The sender never looks again. In copy mode the receiver's poll(2) sends.
        in_time(move || rx.recv(None).unwrap().unwrap());
    });
    drop(tx);
}

#[test]
fn an_awaiting_receiver_goes_on_when_its_packets_are_dropped_elsewhere() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rx, _tx) = ours(Poller::Syscall).build_system().unwrap();
    traffic(&lab, || {
        let held = hold_everything(&mut rx, 64);
        drop_soon(held);
        in_time(move || in_runtime(async move { rx.recv_async().await.unwrap() }));
    });
}

fn in_runtime<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Deletes the interface while `future` waits; it must be an error soon.
fn while_it_is_deleted(lab: &Lab, future: impl Future<Output = FluxError> + Send + 'static) {
    let (gone, when) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let error = in_runtime(async { tokio::time::timeout(PATIENCE, future).await });
        let error = error.expect("an error");
        (error, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(100)); // it waits, or soon does
    lab.run(&format!("ip link del {OURS}"));
    gone.send(Instant::now()).unwrap();
    let (error, at) = waiting.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    let late = at.saturating_duration_since(when.recv().unwrap());
    // It looks every 0.2 s.
    assert!(late < Duration::from_secs(3), "{late:?}");
}

#[test]
fn awaiting_ends_with_an_error_when_the_interface_is_deleted() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rx, _tx) = ours(Poller::Syscall).build_system().unwrap();
    while_it_is_deleted(&lab, async move { rx.recv_async().await.unwrap_err() });
}

#[test]
fn awaiting_raw_rings_ends_with_an_error_when_the_interface_is_deleted() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut raw = AsyncFluxRaw::new(ours(Poller::Syscall).build_raw().unwrap());
    while_it_is_deleted(&lab, async move { raw.readable().await.unwrap_err() });
}

#[test]
fn sending_in_a_runtime_ends_with_an_error_when_the_interface_is_deleted() {
    let Some(lab) = Lab::veth(1) else { return };
    let (_rx, mut tx) = ours(Poller::Syscall).build_system().unwrap();
    while_it_is_deleted(&lab, async move {
        loop {
            let Some(packet) = tx.alloc(60) else { panic!("no frame came back") };
            if let Err(error) = tx.send_async(packet).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn awaiting_two_ports_notices_one_that_is_deleted_while_the_other_has_packets() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add idle0 type veth peer name idle1");
    lab.run("ip link set idle1 up");
    lab.run("ip link set idle0 up");
    lab::wait_until("the carrier of idle0", || lab.run("ip link show idle0").contains("LOWER_UP"));
    let error = traffic(&lab, || {
        in_runtime(async {
            let builder = ours(Poller::Syscall).port("idle0").filter(Filter::Everything);
            let (mut rx, _tx) = builder.build_system().unwrap();
            drop(rx.recv_async().await.unwrap());
            lab::run("ip link del idle0");
            // A packet a millisecond wakes us: without a look of its own it would take forever.
            for _ in 0..PATIENCE.as_millis() / 10 {
                match rx.recv_async().await {
                    Ok(packet) => drop(packet),
                    Err(error) => return error,
                }
            }
            panic!("not noticed");
        })
    });
    assert_eq!(error.port().map(|port| port.get()), Some(1), "{error}");
}
