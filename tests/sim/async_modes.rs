//! The awaitable variants on the simulated kernel.

use fluxnet::simulator::Simulator;
use fluxnet::{AsyncFluxRaw, Faults, Filter, FluxBuilder};

fn lo0(network: &Simulator) -> FluxBuilder {
    FluxBuilder::new("lo0").simulator(network).filter(Filter::Everything).frames(64)
}

#[tokio::test]
async fn packets_are_sent_and_received_without_blocking() {
    let network = Simulator::loopback(1);
    let (mut rx, mut tx) = lo0(&network).build_system().unwrap();
    for i in 0..200u8 {
        let mut packet = tx.alloc(60).unwrap();
        packet.data_mut().fill(i);
        tx.send_async(packet).await.unwrap();
        assert_eq!(rx.recv_async().await.unwrap().data(), [i; 60]);
    }
}

#[tokio::test]
async fn more_packets_than_the_ring_holds_wait_their_turn() {
    let network = Simulator::crossed_pair(1);
    let end = |port: &str| {
        FluxBuilder::new(port).simulator(&network).filter(Filter::Everything).frames(4096)
    };
    let (mut rx, _keep) = end("b0").ring_size(1024).build_system().unwrap();
    let (_keep_too, mut tx) = end("a0").ring_size(8).build_system().unwrap();
    for i in 0..500u16 {
        let mut packet = tx.alloc(60).unwrap();
        packet.data_mut()[..2].copy_from_slice(&i.to_be_bytes());
        tx.send_async(packet).await.unwrap();
    }
    for i in 0..500u16 {
        assert_eq!(rx.recv_async().await.unwrap().data()[..2], i.to_be_bytes());
    }
}

#[tokio::test]
async fn a_packet_of_another_socket_is_refused_and_its_frame_goes_home() {
    let (one, two) = (Simulator::loopback(1), Simulator::loopback(1));
    let (rx, mut tx_one) = lo0(&one).build_system().unwrap();
    let (_rx, mut tx_two) = lo0(&two).build_system().unwrap();
    // The sender keeps some free frames at hand from here on.
    let foreign = tx_one.alloc(60).unwrap();
    let before = rx.umem().free_hint();
    assert!(tx_two.send_async(foreign).await.is_err());
    assert_eq!(rx.umem().free_hint(), before + 1);
}

#[tokio::test]
async fn raw_rings_can_be_awaited() {
    let network = Simulator::loopback(1);
    let mut raw = AsyncFluxRaw::new(lo0(&network).build_raw().unwrap());
    network.inject("lo0", None, &[9; 60]).unwrap();
    raw.readable().await.unwrap();
    let mut raw = raw.into_inner();
    let umem = raw.umem().clone();
    assert_eq!(raw.rx.receive(8, |buffer| umem.free(buffer.frame)), 1);
    assert_eq!(raw.debug_rings().held(), Some(0));
}

#[test]
fn a_full_ring_on_the_simulator_needs_no_timer() {
    let network = Simulator::loopback(1);
    let faults = Faults { kick_refused: 0.9, ..Faults::default() };
    let builder = FluxBuilder::new("lo0").simulator(&network).frames(64).ring_size(4);
    let (_rx, mut tx) = builder.faults(faults).build_system().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    network.tap("lo0").unwrap();
    runtime.block_on(async {
        for _ in 0..20 {
            let packet = tx.alloc(60).unwrap();
            tx.send_async(packet).await.unwrap();
            assert_eq!(tx.pending(), 0, "the kernel was told");
        }
    });
    assert_eq!(network.sent("lo0").len(), 20);
}

#[tokio::test]
async fn a_receiver_goes_on_when_its_packets_are_dropped_elsewhere() {
    let network = Simulator::loopback(1);
    let (mut rx, _tx) = lo0(&network).build_system().unwrap();
    let mut held = Vec::new();
    while held.len() < 64 {
        network.inject("lo0", None, &[1; 60]).unwrap();
        held.extend(rx.recv(Some(std::time::Duration::ZERO)).unwrap());
    }
    let ms = std::time::Duration::from_millis;
    for at in 1..=200 {
        let wire = network.clone();
        network.schedule(ms(at), move || wire.inject("lo0", None, &[7; 60]).unwrap());
    }
    network.schedule(ms(100), move || drop(held));
    let start = network.now();
    assert_eq!(rx.recv_async().await.unwrap().data(), [7; 60]);
    assert!(network.now() <= start + 111_000_000);
}
