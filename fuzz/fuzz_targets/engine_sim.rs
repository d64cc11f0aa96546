//! Any packets into mode A on the simulator, with verdicts and faults from the same bytes: it
//! never panics, and every frame is where it should be.
#![no_main]

use fluxnet::proto::{Headers, respond, vlan};
use fluxnet::simulator::Simulator;
use fluxnet::{Faults, Filter, FluxBuilder, Packet};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[seed, faults, send, extract], packets)) = bytes.split_first_chunk() else { return };
    let share = f64::from(faults) / 512.0;
    let network = Simulator::loopback(2);
    let mut engine = FluxBuilder::new("lo0")
        .simulator(&network)
        .filter(Filter::Everything)
        .frames(32)
        .batch(8)
        .faults(Faults {
            seed: seed.into(),
            kick_refused: share,
            kick_delayed: share,
            wait_spurious: share,
        })
        .build_engine()
        .unwrap();
    let mut held: Vec<Packet> = Vec::new();
    for packet in packets.chunks(97) {
        network.inject("lo0", None, packet).unwrap();
        engine
            .turn(
                |batch| {
                    for (i, mut packet) in batch.iter_mut().enumerate() {
                        let _ = Headers::parse(packet.data());
                        let _ = respond::echo_in_place(packet.data_mut());
                        let _ = vlan::pop(&mut packet);
                        let _ = packet.adjust_head(i32::from(seed) - 128);
                        let _ = packet.set_len(usize::from(extract) * 16);
                        if extract >> (i % 8) & 1 == 1 {
                            held.push(packet.extract());
                        } else if send >> (i % 8) & 1 == 1 {
                            packet.send();
                        }
                    }
                },
                Some(Duration::from_micros(1)),
            )
            .unwrap();
        let rings = engine.debug_rings();
        assert_eq!(rings.held(), Some(held.len() as i64), "{rings:?}");
        held.truncate(8);
    }
});
