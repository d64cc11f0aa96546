//! What happens to an interface while it is open, in virtual time, in every mode.

use fluxnet::simulator::{Simulator, Trouble, Troubles};
use fluxnet::{ErrorKind, Filter, FluxBuilder, Link, Poller, PortIndex};
use std::time::Duration;

const POLLERS: [Poller; 3] = [Poller::Busy, Poller::ADAPTIVE, Poller::Syscall];
const PACKET: [u8; 60] = [0xff; 60];
const MS: u64 = 1_000_000;

/// A machine whose trouble comes 400 ms after its start, and a builder on it.
fn troubled(trouble: impl Into<Troubles>) -> (Simulator, FluxBuilder) {
    let net = Simulator::loopback(2);
    net.set_troubles("lo0", trouble.into()).unwrap();
    let builder = FluxBuilder::new("lo0").simulator(&net).filter(Filter::Everything);
    (net, builder)
}

/// Every call that waits, each until its first error; returns that and when it came, in ms.
fn errors(trouble: Trouble, poller: Poller) -> Vec<(&'static str, fluxnet::FluxError, u64)> {
    let mut errors = Vec::new();
    let start = Simulator::loopback(1).now();
    let build = || {
        let (net, builder) = troubled(trouble);
        (net, builder.poller(poller))
    };
    let mut add =
        |what, net: &Simulator, error| errors.push((what, error, (net.now() - start) / MS));

    let (net, builder) = build();
    let (mut rx, _tx) = builder.build_system().unwrap();
    add("recv", &net, rx.recv(None).unwrap_err());

    let (net, builder) = build();
    let (mut rx, _tx) = builder.build_system().unwrap();
    add("recv_batch", &net, rx.recv_batch(&mut fluxnet::Packets::new(), None).unwrap_err());

    let (net, builder) = build();
    let mut engine = builder.build_engine().unwrap();
    add("run", &net, engine.run(|_| {}).unwrap_err());

    let (net, builder) = build();
    let mut workers = builder.build_engine().unwrap().into_workers(2, |_| ()).unwrap();
    add("workers", &net, workers.run(|(), _| {}).unwrap_err());

    let (net, builder) = build();
    let raw = builder.build_raw_queues().unwrap();
    let error = loop {
        let spun =
            if poller == Poller::Busy { raw[0].spin().err() } else { raw[0].wait(None).err() };
        if let Some(error) = spun {
            break error;
        }
    };
    add("raw", &net, error);

    #[cfg(feature = "async")]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (net, builder) = build();
        let (mut rx, _tx) = builder.build_system().unwrap();
        add("recv_async", &net, runtime.block_on(rx.recv_async()).unwrap_err());
        let (net, builder) = build();
        let mut raw = fluxnet::AsyncFluxRaw::new(builder.queue_id(0).build_raw().unwrap());
        add("readable", &net, runtime.block_on(raw.readable()).unwrap_err());
    }
    errors
}

#[test]
fn every_wait_ends_when_the_interface_is_removed() {
    for poller in POLLERS {
        for (what, error, ms) in errors(Trouble::Gone, poller) {
            assert_eq!((error.kind(), error.port()), (ErrorKind::Device, Some(PortIndex::new(0))));
            let text = error.to_string();
            assert!(text.starts_with("cannot use lo0: the interface is gone"), "{what}: {text}");
            assert!((400..700).contains(&ms), "{what}, {poller}: after {ms} ms");
        }
    }
}

#[test]
fn reception_ends_when_somebody_detaches_the_program_and_says_so() {
    for poller in POLLERS {
        for (what, error, ms) in errors(Trouble::NoProgram, poller) {
            assert_eq!(error.kind(), ErrorKind::Detached, "{what}");
            let text = error.to_string();
            assert_eq!(text, "cannot receive on lo0: somebody detached its XDP program", "{what}");
            assert!((400..1400).contains(&ms), "{what}, {poller}: after {ms} ms");
        }
    }
}

#[test]
fn what_a_detached_program_no_longer_takes_goes_to_the_kernel_and_sending_goes_on() {
    let (net, builder) = troubled(Troubles::NONE);
    let (mut rx, mut tx) = builder.build_system().unwrap();
    net.inject("lo0", None, &PACKET).unwrap();
    assert!(rx.recv(Some(Duration::ZERO)).unwrap().is_some());
    net.detach("lo0").unwrap();
    net.inject("lo0", None, &PACKET).unwrap();
    assert_eq!(net.passed_to_host("lo0"), 1);
    assert!(rx.recv(Some(Duration::from_millis(1))).is_err() && rx.ports()[0].state().detached);
    let packet = tx.alloc(60).unwrap();
    tx.send(packet).unwrap();
    assert!(tx.flush().unwrap());
    assert_eq!(net.passed_to_host("lo0"), 2);
    assert!(net.port("lo0").unwrap().xdp_program.is_none());
    drop((rx, tx));
    // Opened anew it has a program again.
    let again = FluxBuilder::new("lo0").simulator(&net).filter(Filter::Everything);
    let (mut rx, _tx) = again.build_system().unwrap();
    net.inject("lo0", None, &PACKET).unwrap();
    assert!(rx.recv(Some(Duration::ZERO)).unwrap().is_some() && !rx.ports()[0].state().detached);
}

#[test]
fn a_lost_link_is_a_state_and_all_goes_on_when_it_is_back() {
    let net = Simulator::crossed_pair(1);
    let open = |name: &str| {
        let builder = FluxBuilder::new(name).simulator(&net).filter(Filter::Everything);
        builder.build_engine().unwrap()
    };
    let (mut a, mut b) = (open("a0"), open("b0"));
    let frames = |engine: &fluxnet::FluxEngine| {
        let rings = engine.debug_rings();
        assert_eq!(rings.held(), Some(0));
    };
    let mut seen = 0;
    for round in 0..10u64 {
        let down = if round % 2 == 0 { "a0" } else { "b0" };
        net.set_link_up(down, false).unwrap();
        let state = a.ports()[0].state();
        let how = if down == "a0" { Link::Down } else { Link::NoCarrier };
        assert_eq!((state.link, state.link_losses), (how, round + 1));
        let packet = a.alloc(60).unwrap();
        a.send(packet).unwrap();
        a.turn(|_| {}, Some(Duration::from_millis(50))).unwrap();
        net.set_link_up(down, true).unwrap();
        assert_eq!(a.ports()[0].state().link, Link::Up);
        let packet = a.alloc(60).unwrap();
        a.send(packet).unwrap();
        assert!(a.flush().unwrap());
        b.turn(|batch| seen += batch.len(), None).unwrap();
        frames(&a);
        frames(&b);
    }
    // What waited in the ring while our own end was down left later; without a carrier the device
    // dropped it.
    assert_eq!((seen, net.tx_dropped("a0")), (15, 5));
}

#[test]
fn a_link_that_stays_away_ends_a_wait_after_the_link_timeout_alone() {
    for poller in POLLERS {
        let net = Simulator::crossed_pair(1);
        let builder = FluxBuilder::new("a0").simulator(&net).filter(Filter::Everything);
        let builder = builder.poller(poller).link_timeout(Duration::from_secs(3));
        let (mut rx, _tx) = builder.build_system().unwrap();
        net.step(Duration::from_secs(60));
        net.set_link_up("b0", false).unwrap();
        let start = net.now();
        let error = rx.recv(None).unwrap_err();
        assert_eq!(net.now() - start, 3_000 * MS);
        let text = error.to_string();
        assert_eq!(text, "cannot wait for the link of a0: it has been without carrier for 3s");
        net.set_link_up("b0", true).unwrap();
        net.inject("a0", None, &PACKET).unwrap();
        assert!(rx.recv(None).unwrap().is_some(), "and goes on all the same");
    }
}

#[test]
fn a_busy_port_does_not_hide_the_trouble_of_another() {
    let net = Simulator::crossed_pair(1);
    let builder = FluxBuilder::new("a0").simulator(&net).filter(Filter::Everything).port("b0");
    let mut engine = builder.filter(Filter::Everything).build_engine().unwrap();
    net.remove_port("b0").unwrap();
    let error = (0..20).find_map(|_| {
        net.inject("a0", None, &PACKET).unwrap();
        engine.turn(|_| {}, Some(Duration::ZERO)).err()
    });
    assert_eq!(error.unwrap().port(), Some(PortIndex::new(1)));
    engine.remove_port(PortIndex::new(1));
    net.inject("a0", None, &PACKET).unwrap();
    assert_eq!(engine.turn(|_| {}, Some(Duration::ZERO)).unwrap(), 1, "without it");
}
