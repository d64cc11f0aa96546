//! Mode C: a packet pump. Every descriptor and every kick is ours, and the rings are looked at.
//!
//! `cargo run --no-default-features --example manual_packet_pump`

use fluxnet::simulator::Simulator;
use fluxnet::umem::Frame;
use fluxnet::{Filter, FluxBuilder, FluxError};
use std::time::Duration;

const PACKETS: u64 = 10_000;
const BATCH: u32 = 32;

fn main() -> Result<(), FluxError> {
    let network = Simulator::loopback(1);
    let mut raw = FluxBuilder::new("lo0")
        .simulator(&network)
        .filter(Filter::Everything)
        .frames(512)
        .build_raw()?;
    let umem = raw.umem().clone();
    let mut frames: Vec<Frame> = Vec::with_capacity(BATCH as usize);

    while raw.rx.received() < PACKETS {
        // Completion → free list.
        raw.comp.reap(BATCH, |frame| frames.push(frame));
        umem.free_all(frames.drain(..));

        // Free list → TX.
        let mut room = raw.tx.reserve(BATCH);
        while room.room() > 0
            && let Ok(Some(mut buffer)) = umem.alloc_buffer(256, 64)
        {
            umem.packet_mut(&mut buffer).fill(0x5a);
            if let Err(back) = room.push(buffer) {
                umem.free(back.frame);
                break;
            }
        }
        drop(room); // commits
        if raw.tx.needs_wakeup() {
            raw.kick_tx()?;
        }

        // RX → fill.
        if raw.rx.receive(BATCH, |buffer| frames.push(buffer.frame)) == 0 {
            raw.wait(Some(Duration::from_millis(1)))?;
        }
        raw.fill.post(&mut frames, BATCH);
        umem.free_all(frames.drain(..));
        if raw.fill.needs_wakeup() {
            raw.kick_rx()?;
        }
    }
    println!("{:#?}", raw.debug_rings());
    println!("{:?}", raw.kernel_stats()?);
    Ok(())
}
