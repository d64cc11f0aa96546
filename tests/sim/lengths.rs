//! Packets of length 0, or longer than the port sends: each way to send gives them back, or counts
//! them, and no frame is lost over it.

use crate::pairs::{both, network};
use fluxnet::simulator::Simulator;
use fluxnet::umem::Span;
use fluxnet::{Filter, FluxBuilder, PacketRef, Packets, PortIndex, Route, Routed, SendError};

/// What leaves at the usual MTU: 1500 bytes, an Ethernet header and a VLAN tag.
const LONGEST: usize = 1518;

fn a0(network: &Simulator) -> FluxBuilder {
    network.tap("a0").unwrap();
    FluxBuilder::new("a0").simulator(network).filter(Filter::Everything).frames(64)
}

fn lengths(network: &Simulator) -> Vec<usize> {
    network.sent("a0").iter().map(Vec::len).collect()
}

/// The reason, and the packet.
fn why(result: Result<(), SendError>) -> Option<&'static str> {
    match result.err()? {
        SendError::Empty(packet) => packet.is_empty().then_some("empty"),
        SendError::TooLong(packet) => (packet.len() > LONGEST).then_some("too long"),
        other => panic!("{other}"),
    }
}

const TABLE: [(usize, Option<&str>); 5] =
    [(0, Some("empty")), (14, None), (LONGEST, None), (LONGEST + 1, Some("too long")), (60, None)];

#[test]
fn mode_b_gives_them_back_with_the_reason() {
    let network = network(1);
    let (rx, mut tx) = a0(&network).build_system().unwrap();
    assert_eq!((rx.granted().mtu, tx.max_len()), (1500, 1792));
    let mut batch = Packets::new();
    for (len, reason) in TABLE {
        let packet = tx.alloc(len).unwrap();
        assert_eq!(why(tx.send(packet)), reason, "{len}");
        batch.push(tx.alloc(len).unwrap()).unwrap();
    }
    let packet = tx.alloc(1600).unwrap();
    let error = tx.send(packet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the packet is longer than the MTU of the interface allows: shorten it, or raise the MTU"
    );
    drop(error);
    let sent = tx.send_batch(&mut batch).unwrap();
    assert_eq!((sent.sent, sent.full, sent.refused), (3, 0, 2));
    let left: Vec<_> = batch.iter_mut().map(|packet| packet.len()).collect();
    assert_eq!(left, [0, LONGEST + 1], "in their order");
    drop(batch);
    assert!(tx.flush().unwrap());
    assert_eq!(lengths(&network), [14, LONGEST, 60, 14, LONGEST, 60]);
    assert_eq!(network.tx_dropped("a0"), 0);
    assert_eq!(rx.debug_rings().join(tx.debug_rings()).held(), Some(0));
}

#[test]
fn a_full_ring_makes_no_packet_of_the_wrong_length_wait() {
    let network = network(1);
    let (_rx, mut tx) = a0(&network).ring_size(2).build_system().unwrap();
    let mut batch = Packets::new();
    for len in [60, 60, 60, 0, 1600] {
        batch.push(tx.alloc(len).unwrap()).unwrap();
    }
    network.set_link_up("a0", false).unwrap();
    let _ = tx.send_batch(&mut batch); // nothing leaves while it is down
    network.set_link_up("a0", true).unwrap();
    assert_eq!(why(tx.send(batch.pop().unwrap())), Some("too long"));
    assert_eq!(why(tx.send(batch.pop().unwrap())), Some("empty"));
}

#[test]
fn the_limit_follows_the_mtu() {
    let network = network(1);
    let (_rx, mut tx) = a0(&network).build_system().unwrap();
    for (mtu, len, ok) in [(1500, 1600, false), (1582, 1600, true), (100, 119, false)] {
        network.set_mtu("a0", mtu).unwrap();
        let packet = tx.alloc(len).unwrap();
        assert_eq!(tx.send(packet).is_ok(), ok, "MTU {mtu}");
    }
    network.set_mtu("a0", 1582).unwrap();
    assert!(tx.flush().unwrap());
    assert_eq!(lengths(&network), [1600]);
}

#[test]
fn mode_a_recycles_and_counts_them() {
    let network = network(1);
    let mut engine = both(&network).build_engine().unwrap();
    network.tap("a0").unwrap();
    let give = |mut packet: PacketRef<'_>, len: usize| {
        packet.set_len(len).unwrap();
        packet.send();
    };
    (0..5).for_each(|_| network.inject("a0", None, &[7; 60]).unwrap());
    engine
        .turn(
            |batch| {
                let packets: Vec<_> = [0, 1600].map(|len| batch.alloc(len).unwrap()).into();
                let reasons = packets.into_iter().map(|packet| why(batch.send(packet)));
                assert!(reasons.eq([Some("empty"), Some("too long")]));
                let lens = TABLE.map(|(len, _)| len);
                batch.iter_mut().zip(lens).for_each(|(packet, len)| give(packet, len));
            },
            None,
        )
        .unwrap();
    let stats = engine.stats();
    assert_eq!((stats.received, stats.sent, stats.recycled), (5, 3, 2));
    assert_eq!((stats.too_long, stats.empty, stats.tx_full), (1, 1, 0));
    assert_eq!(lengths(&network), [14, LONGEST, 60]);
    for (len, reason) in TABLE {
        let packet = engine.alloc(len).unwrap();
        assert_eq!(why(engine.send(packet)), reason, "{len}");
    }
    // What is too long for one port may leave by another.
    network.set_mtu("a1", 1700).unwrap();
    let mut packet = engine.alloc(1700).unwrap();
    packet.set_port(PortIndex::new(1));
    assert!(engine.send(packet).is_ok());
    assert!(engine.flush().unwrap());
    let _ = engine.flush().unwrap();
    assert_eq!(engine.debug_rings().held(), Some(0));
}

#[test]
fn what_was_given_to_a_batch_is_counted_when_the_mtu_falls_before_it_left() {
    let network = network(1);
    let mut engine = a0(&network).build_engine().unwrap();
    network.inject("a0", None, &[7; 60]).unwrap();
    engine
        .turn(
            |batch| {
                let packet = batch.alloc(1500).unwrap();
                batch.send(packet).unwrap();
                network.set_mtu("a0", 600).unwrap();
            },
            None,
        )
        .unwrap();
    assert_eq!((engine.stats().extra, engine.stats().extra_full), (0, 1));
    assert_eq!(engine.debug_rings().held(), Some(0));
}

#[test]
fn mode_c_gives_them_back_or_recycles_them() {
    let network = network(1);
    let mut raw = a0(&network).build_raw().unwrap();
    let umem = raw.umem().clone();
    assert_eq!(raw.tx.longest() as usize, LONGEST);
    let mut room = raw.tx.reserve(8);
    for (len, reason) in TABLE {
        let buffer = umem.alloc_buffer(256, len as u32).unwrap().unwrap();
        match room.push(buffer) {
            Ok(()) => assert_eq!(reason, None, "{len}"),
            Err(buffer) => {
                assert!(reason.is_some() && buffer.span.len() == len, "{len}");
                umem.free(buffer.frame);
            }
        }
    }
    drop(room);
    assert!(raw.flush().unwrap());
    // The same frames once more, too long or not.
    for (len, n) in [(1600, 0), (0, 0), (1518, 3)] {
        let span = Span::new(256, len, 2048).unwrap();
        assert_eq!(raw.comp.resend(&mut raw.tx, span, 8), n, "{len}");
    }
    assert!(raw.flush().unwrap());
    assert_eq!(lengths(&network), [14, LONGEST, 60, LONGEST, LONGEST, LONGEST]);
    (0..5).for_each(|_| network.inject("a0", None, &[7; 60]).unwrap());
    let mut lens = TABLE.iter().map(|(len, _)| *len);
    let routed = raw.rx.route(&mut raw.fill, [&mut raw.tx], 8, |packet| {
        packet.set_len(lens.next().unwrap()).unwrap();
        Route::Send(0)
    });
    assert_eq!(routed, Routed { packets: 5, sent: 3, refused: 2, ..Routed::default() });
    assert!(raw.flush().unwrap());
    assert_eq!(lengths(&network), [14, LONGEST, 60]);
    assert_eq!(raw.debug_rings().held(), Some(0));
}

#[test]
fn an_mtu_beyond_a_frame_is_a_note_for_who_receives_and_none_for_who_sends() {
    let network = network(1);
    network.set_mtu("a0", 3000).unwrap();
    let notes = |builder: FluxBuilder| builder.build_raw().unwrap().granted().notes.clone();
    let note = "MTU 3000 of a0 needs more than the 1792 bytes that a frame has for it: longer \
                packets are dropped on arrival; use frames of 4096 bytes";
    assert_eq!(notes(a0(&network)), [note]);
    assert!(notes(a0(&network).filter(Filter::Nothing)).is_empty());
    assert!(notes(a0(&network).frame_size(4096)).is_empty());
    network.set_mtu("a0", 9000).unwrap();
    let notes = notes(a0(&network).frame_size(4096));
    assert!(notes[0].ends_with("dropped on arrival"), "no frame would do: {notes:?}");
}
