//! What a ring costs per descriptor, against a plain copy loop over arrays of the same size, in
//! turn in one run. Prints medians and the ratio; bounds are judged by people, not by a test.
//!
//! `cargo bench --bench ring`

use fluxnet::Desc;
use fluxnet::internals::heap_ring;
use std::hint::black_box;
use std::time::Instant;

const SIZE: u32 = 2048;
const BATCH: u32 = 64;
/// Batches per timed run: long enough to drown the clock.
const TURNS: u32 = 20_000;
const RUNS: usize = 51;

fn main() {
    let (mut tx, mut rx) = heap_ring::<Desc>(SIZE, u32::MAX - SIZE);
    let mut source: Vec<Desc> =
        (0..BATCH).map(|i| Desc { addr: u64::from(i) * 2048, len: 64, options: 0 }).collect();
    let mut sink = vec![Desc::default(); BATCH as usize];
    let mut between = vec![Desc::default(); SIZE as usize];

    let mut ring_ns = Vec::with_capacity(RUNS);
    let mut copy_ns = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        ring_ns.push(time(|| {
            for _ in 0..TURNS {
                let mut slots = tx.reserve(BATCH);
                for &desc in black_box(&source) {
                    let _ = slots.write(desc);
                }
                slots.commit();
                let mut drain = rx.peek(BATCH);
                for out in &mut sink {
                    let Some(desc) = drain.take() else { break };
                    *out = desc;
                }
                drain.release();
                black_box(&mut sink);
            }
        }));
        copy_ns.push(time(|| {
            let mut at = 0usize;
            for _ in 0..TURNS {
                for (i, &desc) in black_box(&source).iter().enumerate() {
                    between[(at + i) & (SIZE as usize - 1)] = desc;
                }
                black_box(&mut between);
                for (i, out) in sink.iter_mut().enumerate() {
                    *out = between[(at + i) & (SIZE as usize - 1)];
                }
                black_box(&mut sink);
                at += BATCH as usize;
            }
        }));
        source.rotate_left(1);
    }
    let (ring, copy) = (median(&mut ring_ns), median(&mut copy_ns));
    println!("ring round trip (reserve, write, commit, peek, take, release), batch {BATCH}:");
    println!("  ring        {ring:6.2} ns per descriptor (median of {RUNS})");
    println!("  plain copy  {copy:6.2} ns per descriptor (median of {RUNS})");
    println!("  ratio       {:6.2}", ring / copy);
}

/// Nanoseconds per descriptor.
fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / f64::from(TURNS * BATCH)
}

fn median(runs: &mut [f64]) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
