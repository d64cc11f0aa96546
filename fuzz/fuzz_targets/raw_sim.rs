//! Any sequence of mode C's calls on the simulator, tokens and moves from ring to ring, with faults
//! from the same bytes: it never panics, and every frame is where it should be.
#![no_main]

use fluxnet::simulator::Simulator;
use fluxnet::umem::{Buffer, Frame, Span};
use fluxnet::{Faults, Filter, FluxBuilder, FluxRaw, Route};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[seed, faults, shape], calls)) = bytes.split_first_chunk() else { return };
    let share = f64::from(faults) / 512.0;
    let network = Simulator::loopback(1);
    let mut raw = FluxBuilder::new("lo0")
        .simulator(&network)
        .filter(Filter::Everything)
        .frames(32)
        .ring_size(1 << (1 + shape % 5))
        .prefetch(shape & 0x80 == 0)
        .prefill(shape & 0x40 == 0)
        .faults(Faults {
            seed: seed.into(),
            kick_refused: share,
            kick_delayed: share,
            wait_spurious: share,
        })
        .build_raw()
        .unwrap();
    let umem = Arc::clone(raw.umem());
    let mut packets: Vec<Buffer> = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    for call in calls.chunks_exact(2) {
        let (what, arg) = (call[0] % 13, call[1]);
        let max = u32::from(arg % 40);
        let FluxRaw { rx, tx, fill, comp, .. } = &mut raw;
        match what {
            0 => (0..max).for_each(|n| {
                // Up to a few bytes more than a frame has room for.
                let packet = vec![n as u8; usize::from(arg) * 8];
                network.inject("lo0", None, &packet).unwrap();
            }),
            1 => {
                let _ = rx.route(fill, [], max, |_| Route::Recycle);
            }
            2 => {
                let mut n = 0u8;
                let routed = rx.route(fill, [tx], max, |packet| {
                    n = n.wrapping_add(1);
                    assert!(packet.data().len() <= 2048 - 256);
                    let _ = packet.adjust_head(i32::from(seed) - i32::from(n));
                    let _ = packet.set_len(usize::from(arg) * 8);
                    if arg >> (n % 8) & 1 == 1 {
                        packets.extend(packet.take());
                    }
                    Route::Send(usize::from(n & 1)) // there is one ring
                });
                assert_eq!(routed.packets, u32::from(n));
            }
            3 => {
                let edit = |packet: &mut fluxnet::PacketView<'_>| {
                    packet.data_mut().fill(arg);
                    Route::Send(0)
                };
                let _ = rx.route(fill, [tx], max, edit);
            }
            4 => drop(comp.refill(fill, max)),
            5 => {
                // Some end beyond the frame.
                let span = Span::new(u32::from(arg) * 8, u32::from(seed), 4096).unwrap();
                comp.resend(tx, span, max);
            }
            6 => drop(rx.receive(max, |buffer| packets.push(buffer))),
            7 => {
                let mut room = tx.reserve(max);
                while let Some(buffer) = packets.pop() {
                    if let Err(back) = room.push(buffer) {
                        packets.push(back);
                        break;
                    }
                }
            }
            8 => drop(comp.reap(max, |frame| frames.push(frame))),
            9 => {
                frames.extend((0..max / 2).map_while(|_| umem.alloc()));
                fill.post(&mut frames, max);
            }
            10 => {
                umem.free_all(frames.drain(..));
                umem.free_all(packets.drain(..).map(|buffer| buffer.frame));
            }
            11 => drop(raw.kick_tx().unwrap()),
            _ => drop(raw.wait(Some(Duration::from_micros(arg.into()))).unwrap()),
        }
        let holding = (packets.len() + frames.len()) as i64;
        let rings = raw.debug_rings();
        assert_eq!(rings.held(), Some(holding), "{rings:?}");
        assert_eq!(rings.sockets[0].account.unwrap().invalid, 0, "{rings:?}");
        assert!(umem.held_by_user().is_none_or(|held| i64::from(held) == holding));
    }
    umem.free_all(frames);
    umem.free_all(packets.into_iter().map(|buffer| buffer.frame));
});
