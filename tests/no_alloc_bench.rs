//! The loops that `flux bench` measures allocate nothing per packet: counted over all threads, so
//! this test is alone in its process.
#![cfg(all(feature = "tools", not(flux_loom)))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[path = "support/counting.rs"]
mod counting;
#[cfg(all(target_os = "linux", feature = "bpf"))]
#[path = "support/lab/mod.rs"]
mod lab;

use counting::allocations_everywhere;
use fluxnet::simulator::SimSpec;
use fluxnet::tools::Control;
use fluxnet::tools::bench::{Library, Place, Plan, Poll, Workload, run};
use fluxnet::{Config, HugePages, Queues};
use std::time::Duration;

/// Allocations and packets of one sample.
fn sample(place: Place, workload: Workload, mode: Library, duration: Duration) -> (u64, u64) {
    let plan = Plan {
        place,
        workloads: vec![workload],
        modes: vec![mode],
        batches: vec![32],
        polls: vec![Poll::Busy],
        packet_sizes: vec![60],
        queues: vec![Queues::Only(vec![0])],
        hugepages: vec![HugePages::Off],
        prefetch: vec![true],
        duration,
        repeat: 1,
        config: Config::new(""),
    };
    let mut packets = 0;
    let count = allocations_everywhere(|| {
        let report = run(&plan, &Control::default(), &mut |_| {}).unwrap().report;
        packets = report.results[0].packets;
    });
    (count, packets)
}

/// What opening and reporting takes is there in both; the rest would be per packet.
fn compare(place: &Place, workload: Workload, mode: Library, per_packet: f64) {
    let (few, first) = sample(place.clone(), workload, mode, Duration::from_millis(5));
    let mut long = Duration::from_millis(60);
    let (more, packets) = loop {
        let (many, then) = sample(place.clone(), workload, mode, long);
        if then >= first + PACKETS {
            break (many.saturating_sub(few), then - first);
        }
        // Too few to tell: on a busy machine it takes longer until enough have come.
        long *= 2;
        assert!(long < Duration::from_secs(60), "{workload} in mode {mode}: {then} packets");
    };
    let bound = RUN + (packets as f64 * per_packet) as u64;
    assert!(more <= bound, "{workload} in mode {mode}: {more} allocations for {packets} packets");
}

/// What differs between two runs whatever they measure: histograms and /proc files that are as
/// long as they are.
const RUN: u64 = 50;

/// How many packets more the long run has: one allocation for each could not be overlooked.
const PACKETS: u64 = 10 * RUN;

/// What the simulated kernel may allocate on its side of the seam: a few lists a kick.
const SIMULATED_KERNEL: f64 = 0.1;

#[test]
fn the_benchs_loops_allocate_nothing_per_packet() {
    let sim = Place::Sim(SimSpec::default());
    let workloads =
        [Workload::Rxdrop, Workload::Txonly, Workload::L2fwd, Workload::Forward, Workload::Parse];
    let settings = || {
        let modes = [Library::Raw, Library::Engine, Library::System];
        let settings = workloads.iter().flat_map(move |&w| modes.map(|mode| (w, mode)));
        settings.filter(|setting| *setting != (Workload::Txonly, Library::Engine))
    };
    for (workload, mode) in settings() {
        compare(&sim, workload, mode, SIMULATED_KERNEL);
    }

    #[cfg(all(target_os = "linux", feature = "bpf"))]
    {
        let Some(_turn) = lab::alone() else { return };
        for (workload, mode) in settings() {
            compare(&Place::Lab, workload, mode, 0.0);
        }
        for mode in [Library::Raw, Library::Engine, Library::System] {
            compare(&Place::Lab, Workload::Latency, mode, 0.0);
        }
    }
}
