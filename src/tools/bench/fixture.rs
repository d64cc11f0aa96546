//! Reports for the tests of this module.

use super::plan::{Library, Poll, Workload};
use super::report::{Report, SettingReport};
use super::stats::Spread;
use crate::config::Pages;
use crate::tools::measure::Statistics;

/// A setting with these samples: of Mpps, or of the median latency for that workload.
pub fn setting(workload: Workload, poll: Poll, batch: u32, samples: &[f64]) -> SettingReport {
    let spread = Spread::of(samples.to_vec()).unwrap();
    let latency = workload == Workload::Latency;
    let noisy = spread.noisy();
    SettingReport {
        workload,
        mode: Library::Raw,
        batch,
        poll,
        packet_size: 60,
        queues: 1,
        pages: Pages::Ordinary,
        prefetch: true,
        mpps: if latency { Spread::of(vec![0.1; samples.len()]).unwrap() } else { spread.clone() },
        user_ns_per_packet: Some(40.5),
        system_ns_per_packet: Some(120.25),
        batch_ns_per_packet: Some(31.5),
        cycles_per_packet: Some(88.5),
        cycle_source: Some("tsc".to_owned()),
        instructions_per_packet: None,
        syscalls_per_packet: Some(0.015_625),
        packets_per_wakeup: Some(24.5),
        packets_per_batch: Some(f64::from(batch) / 2.0),
        cpu_pct: Some(100.0),
        ring_full: 0,
        fill_empty: 0,
        dropped: 0,
        packets: 1_000_000,
        latency_us: latency.then(|| Statistics {
            min: spread.min / 2.0,
            mean: spread.median * 1.1,
            p50: spread.median,
            p90: spread.median * 1.5,
            p99: spread.median * 2.0,
            p999: spread.median * 4.0,
            max: spread.median * 8.0,
            stddev: spread.median * 0.3,
        }),
        latency_p50_us: latency.then_some(spread),
        noisy,
    }
}

/// All of a report but its settings: the command's tests have the same one.
const REST: &[u8] = include_bytes!("../../../tests/saved/bench-without-results.json");

/// A report of these settings.
pub fn report(results: Vec<SettingReport>) -> Report {
    let (best, undecided) = super::advise::advise(&results);
    Report { best, undecided, results, ..Report::from_json(REST).unwrap() }
}
