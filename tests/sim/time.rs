//! Virtual time: long waits, waits in vain, and what is scheduled.

use fluxnet::simulator::{End, NetworkBuilder, Profile, Simulator};
use fluxnet::{Filter, FluxBuilder, Poller};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const POLLERS: [Poller; 3] = [Poller::Syscall, Poller::ADAPTIVE, Poller::Busy];

fn lo0(network: &Simulator, poller: Poller) -> FluxBuilder {
    FluxBuilder::new("lo0").simulator(network).filter(Filter::Everything).frames(64).poller(poller)
}

fn inject_after(network: &Simulator, time: Duration) {
    let wire = network.clone();
    network.schedule(time, move || wire.inject("lo0", None, &[9; 60]).unwrap());
}

#[test]
fn the_longest_timeout_is_none_and_leaves_the_clock_alone() {
    for poller in POLLERS {
        let network = Simulator::loopback(1);
        let (mut rx, mut tx) = lo0(&network, poller).build_system().unwrap();
        let start = network.now();
        assert!(rx.recv(Some(Duration::MAX)).unwrap().is_none(), "{poller:?}: nothing can come");
        assert!(network.now() <= start + 1_000_000, "{poller:?}: {}", network.now());
        inject_after(&network, Duration::from_secs(7));
        assert!(rx.recv(Some(Duration::MAX)).unwrap().is_some(), "{poller:?}");
        let packet = tx.alloc(60).unwrap();
        tx.send(packet).unwrap();
        assert!(tx.flush().unwrap());
        assert!(tx.wait(Some(u64::MAX)).unwrap());
        let mut engine = lo0(&Simulator::loopback(1), poller).build_engine().unwrap();
        assert_eq!(engine.turn(|_| {}, Some(Duration::MAX)).unwrap(), 0);
    }
}

#[test]
fn at_the_end_of_time_everything_still_works() {
    let mut net = NetworkBuilder::new(1);
    let (us, peer) = (net.port("lo0", 1), net.host());
    let profile = Profile {
        delay: Duration::MAX,
        jitter: Duration::MAX,
        reorder: 0.5,
        duplicate: 0.5,
        rate: Some(1),
        ..Profile::default()
    };
    net.link(End::new(us).address("10.0.0.1/24"), End::new(peer).address("10.0.0.2/24"), profile);
    let network = net.build().unwrap();
    let (mut rx, mut tx) = lo0(&network, Poller::Syscall).build_system().unwrap();
    for round in 0..4 {
        for _ in 0..8 {
            let mut packet = tx.alloc(60).unwrap();
            packet.data_mut().fill(0xff);
            tx.send(packet).unwrap();
        }
        assert!(tx.flush().unwrap());
        network.step(if round % 2 == 0 { Duration::MAX } else { Duration::from_secs(1) });
        inject_after(&network, Duration::from_secs(1));
        assert!(rx.recv(Some(Duration::from_secs(5))).unwrap().is_some());
    }
    assert_eq!(network.now(), u64::MAX);
}

#[test]
fn a_wait_in_vain_ends_in_every_poll_mode() {
    for poller in POLLERS {
        let network = Simulator::loopback(1);
        let (mut rx, _tx) = lo0(&network, poller).build_system().unwrap();
        assert!(rx.recv(None).unwrap().is_none(), "{poller:?}");
        inject_after(&network, Duration::from_secs(1));
        assert!(rx.recv(None).unwrap().is_some(), "{poller:?}");
        assert!(rx.recv(None).unwrap().is_none(), "{poller:?}");
    }
}

#[test]
fn a_spin_in_vain_says_so() {
    let network = Simulator::loopback(1);
    let raw = lo0(&network, Poller::Busy).build_raw().unwrap();
    assert!(!raw.spin().unwrap());
    inject_after(&network, Duration::from_secs(1));
    assert!(raw.spin().unwrap());
    assert_eq!(raw.rx.waiting(), 1);
    assert!(!raw.spin().unwrap());
}

#[test]
fn what_is_scheduled_happens_in_its_order_and_at_its_time() {
    let network = Simulator::loopback(1);
    let (start, seen) = (network.now(), Arc::new(Mutex::new(Vec::new())));
    for ms in [3, 1, 2] {
        let (at, seen) = (network.clone(), Arc::clone(&seen));
        network.schedule(Duration::from_millis(ms), move || {
            seen.lock().unwrap().push((ms, at.now() - start));
            let (again, seen) = (at.clone(), Arc::clone(&seen));
            at.schedule(Duration::from_millis(10), move || {
                seen.lock().unwrap().push((ms, again.now() - start));
            });
        });
    }
    network.step(Duration::from_millis(20));
    let expected = [(1, 1), (2, 2), (3, 3), (1, 11), (2, 12), (3, 13)];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(ms, at)| (ms, at * 1_000_000)));
    assert_eq!(network.now(), start + 20_000_000);
}
