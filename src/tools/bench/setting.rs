//! From samples to what is reported of a setting.

use super::plan::{Setting, Workload};
use super::report::SettingReport;
use super::sample::Sample;
use super::stats::Spread;
use crate::config::Pages;
use crate::tools::measure::{DurationStats, Statistics};

/// What was measured of a setting.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) samples: Vec<Sample>,
    /// Queues that were opened.
    pub(super) queues: u32,
    /// What the UMEM lay in.
    pub(super) pages: Pages,
}

/// The report of a setting; `None` without samples.
pub(super) fn report(setting: &Setting, measured: &Measured) -> Option<SettingReport> {
    let &Measured { ref samples, queues, pages } = measured;
    let mpps = Spread::of(samples.iter().map(|s| s.rate / 1e6).collect())?;
    let packets: u64 = samples.iter().map(|s| s.packets).sum();
    // What nobody counted, or without a packet to divide by, is left out; so is the whole number
    // where no sample has it.
    let middle = |of: &dyn Fn(&Sample) -> Option<f64>| {
        Spread::of(samples.iter().filter_map(of).collect()).map(|spread| spread.median)
    };
    let per_packet = |of: &dyn Fn(&Sample) -> Option<f64>| {
        middle(&|s| (s.packets > 0).then(|| Some(of(s)? / s.packets as f64)).flatten())
    };
    let latency = setting.workload == Workload::Latency;
    let latency_p50_us = Spread::of(
        samples.iter().filter(|_| latency).filter_map(|s| s.latencies.quantile_us(0.5)).collect(),
    );
    let perf = samples.iter().any(|s| s.perf.is_some());
    let noisy = match &latency_p50_us {
        Some(spread) => spread.noisy(),
        None => mpps.noisy(),
    };
    Some(SettingReport {
        workload: setting.workload,
        mode: setting.mode,
        batch: setting.batch,
        poll: setting.poll,
        packet_size: setting.packet_size,
        queues,
        pages,
        prefetch: setting.prefetch,
        user_ns_per_packet: per_packet(&|s| Some(s.cpu?.user_ns as f64)),
        system_ns_per_packet: per_packet(&|s| Some(s.cpu?.system_ns as f64)),
        batch_ns_per_packet: per_packet(&|s| Some(s.batch?.0)),
        cycles_per_packet: per_packet(&|s| match s.perf {
            Some((cycles, _)) => Some(cycles as f64),
            None => Some(s.batch?.1),
        }),
        cycle_source: Some(if perf { "perf" } else { "tsc" }.to_owned()),
        instructions_per_packet: per_packet(&|s| Some(s.perf?.1 as f64)),
        syscalls_per_packet: per_packet(&|s| Some(s.calls.total() as f64)),
        packets_per_wakeup: middle(&|s| {
            (s.calls.wakeups > 0).then(|| s.packets as f64 / s.calls.wakeups as f64)
        }),
        packets_per_batch: middle(&|s| {
            (s.batches > 0).then(|| s.packets as f64 / s.batches as f64)
        }),
        cpu_pct: middle(&|s| Some(s.cpu?.total_ns as f64 / s.elapsed_ns * 100.0)),
        ring_full: samples.iter().map(|s| s.stats.rx_ring_full).sum(),
        fill_empty: samples.iter().map(|s| s.stats.rx_fill_ring_empty_descs).sum(),
        dropped: samples.iter().map(dropped).sum(),
        packets,
        latency_us: latency.then(|| percentiles(samples)).flatten(),
        latency_p50_us,
        noisy,
        mpps,
    })
}

fn dropped(sample: &Sample) -> u64 {
    sample.stats.rx_dropped
        + sample.stats.rx_ring_full
        + sample.stats.tx_invalid_descs
        + sample.lost
}

/// Over all samples.
fn percentiles(samples: &[Sample]) -> Option<Statistics> {
    let mut all = DurationStats::new();
    samples.iter().for_each(|s| all.merge(&s.latencies));
    all.summary()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HugePages, Queues};
    use crate::stats::{Calls, XdpStatistics};
    use crate::tools::bench::plan::{Library, Poll};
    use crate::tools::bench::sample::CpuTime;

    fn setting(workload: Workload) -> Setting {
        Setting {
            workload,
            mode: Library::Raw,
            batch: 64,
            poll: Poll::Busy,
            packet_size: 60,
            queues: Queues::Only(vec![0]),
            hugepages: HugePages::Off,
            prefetch: true,
        }
    }

    fn sample(packets: u64) -> Sample {
        Sample {
            packets,
            batches: packets / 50,
            rate: packets as f64,
            elapsed_ns: 1e9,
            cpu: Some(CpuTime {
                user_ns: packets * 30,
                system_ns: packets * 10,
                total_ns: 500_000_000,
            }),
            batch: Some((packets as f64 * 4.0, packets as f64 * 12.0)),
            calls: Calls {
                tx_kicks: packets / 100,
                rx_kicks: 0,
                waits: packets / 100,
                wakeups: 10,
            },
            stats: XdpStatistics { rx_dropped: 3, rx_ring_full: 4, ..XdpStatistics::default() },
            lost: 5,
            ..Sample::default()
        }
    }

    fn measured<const N: usize>(queues: u32, samples: [Sample; N]) -> Measured {
        Measured { samples: samples.into(), queues, pages: Pages::Ordinary }
    }

    #[test]
    fn every_number_is_divided_by_its_own_samples_packets() {
        let samples = [sample(1_000_000), sample(3_000_000), sample(2_000_000)];
        let report = report(&setting(Workload::Rxdrop), &measured(1, samples)).unwrap();
        assert_eq!((report.mpps.median, report.mpps.min, report.mpps.max), (2.0, 1.0, 3.0));
        assert_eq!(report.user_ns_per_packet, Some(30.0));
        assert_eq!(report.system_ns_per_packet, Some(10.0));
        assert_eq!(report.batch_ns_per_packet, Some(4.0));
        assert_eq!(
            (report.cycles_per_packet, report.cycle_source.as_deref()),
            (Some(12.0), Some("tsc"))
        );
        assert_eq!(report.instructions_per_packet, None);
        assert_eq!(report.syscalls_per_packet, Some(0.02));
        assert_eq!(report.packets_per_wakeup, Some(200_000.0));
        assert_eq!(report.packets_per_batch, Some(50.0));
        assert_eq!(report.cpu_pct, Some(50.0));
        assert_eq!((report.ring_full, report.dropped, report.packets), (12, 36, 6_000_000));
        assert!(report.noisy && report.latency_us.is_none());
    }

    #[test]
    fn a_setting_that_saw_no_packet_divides_by_none() {
        let report = report(&setting(Workload::L2fwd), &measured(2, [sample(0)])).unwrap();
        assert_eq!((report.mpps.median, report.queues), (0.0, 2));
        assert_eq!((report.user_ns_per_packet, report.packets_per_batch), (None, None));
        assert!(super::report(&setting(Workload::L2fwd), &Measured::default()).is_none());
    }

    #[test]
    fn latency_is_judged_by_its_medians() {
        let with = |ns: u64| {
            let mut sample = sample(10);
            (1..=100).for_each(|n| sample.latencies.record(ns + n));
            sample
        };
        let samples = [with(10_000), with(10_100), with(10_050)];
        let report = report(&setting(Workload::Latency), &measured(1, samples)).unwrap();
        let latency = report.latency_us.unwrap();
        assert!(latency.min >= 10.0 && latency.p50 < latency.p99 && latency.max < 10.3);
        assert!(!report.noisy && report.latency_p50_us.unwrap().samples.len() == 3);
    }
}
