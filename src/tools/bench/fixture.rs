//! Reports for the tests of this module.

use super::plan::{Library, Poll, Workload};
use super::report::{Machine, Report, SettingReport, Start};
use super::stats::Spread;
use crate::config::Pages;
use crate::tools::measure::Statistics;
use crate::tools::session::Opened;

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

/// A report of these settings.
pub fn report(results: Vec<SettingReport>) -> Report {
    Report {
        backend: "xdp".to_owned(),
        place: "lab".to_owned(),
        remark: None,
        version: "0.1.0".to_owned(),
        machine: Machine {
            cpu: Some("Example CPU".to_owned()),
            cpus: 2,
            kernel: Some("6.18.0".to_owned()),
        },
        opened: Some(Start {
            opened: Opened {
                backend: "xdp".to_owned(),
                interface: "veth0".to_owned(),
                queues: vec![0],
                poll: "busy".to_owned(),
                driver: Some("veth".to_owned()),
                attach: "native".to_owned(),
                zero_copy: false,
                ring_size: 2048,
                frames: 4096,
                frame_size: 2048,
                pages: "4k".into(),
                kernel_busy_poll: false,
                notes: Vec::new(),
                ..Opened::default()
            },
            out: None,
        }),
        sample_s: 0.4,
        repeat: 5,
        complete: true,
        best: super::advise::best(&results),
        results,
    }
}
