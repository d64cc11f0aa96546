use super::super::fixture::setting;
use super::*;
use crate::config::Pages;
use crate::tools::bench::plan::{Library, Poll};
use Poll::{Adaptive, Busy, Syscall};
use Workload::{Latency, Parse, Rxdrop};

/// Five samples half a percent apart.
fn near(value: f64) -> [f64; 5] {
    [value, value * 0.99, value * 1.01, value * 0.995, value * 1.005]
}

fn with_cpu(setting: SettingReport, cpu: f64) -> SettingReport {
    SettingReport { cpu_pct: Some(cpu), ..setting }
}

/// Poll mode, batch and reason of the one recommendation.
fn only(results: &[SettingReport]) -> (Poll, u32, String) {
    let list = best(results);
    let [Best { poll, batch, why, .. }] = &list[..] else { panic!("{list:?}") };
    (*poll, *batch, why.clone())
}

#[test]
fn the_fastest_is_taken_and_tells_its_lead() {
    let slow = SettingReport {
        syscalls_per_packet: Some(0.25),
        ..setting(Rxdrop, Syscall, 64, &near(4.0))
    };
    let (poll, batch, why) =
        only(&[setting(Rxdrop, Busy, 64, &near(5.0)), slow, setting(Rxdrop, Busy, 16, &near(4.5))]);
    assert_eq!((poll, batch), (Busy, 64));
    assert_eq!(
        why,
        "5.00 Mpps; 25 % above the next poll mode (syscall, batch 64: 4.00 Mpps, 0.250 system \
         calls a packet instead of 0.0156)"
    );
}

#[test]
fn among_equals_the_one_with_less_cpu_is_taken() {
    let (poll, batch, why) = only(&[
        with_cpu(setting(Rxdrop, Busy, 64, &near(5.02)), 100.0),
        with_cpu(setting(Rxdrop, Adaptive, 64, &near(5.0)), 38.0),
    ]);
    assert_eq!((poll, batch), (Adaptive, 64));
    assert_eq!(
        why,
        "5.00 Mpps: as fast as busy, batch 64 (5.02 Mpps) within noise, at 38 % of a core \
         instead of 100 %"
    );
}

#[test]
fn a_fastest_that_also_takes_least_names_its_rival() {
    let (poll, _, why) = only(&[
        with_cpu(setting(Rxdrop, Busy, 64, &near(5.0)), 100.0),
        with_cpu(setting(Rxdrop, Adaptive, 64, &near(5.02)), 38.0),
    ]);
    assert_eq!(poll, Adaptive);
    assert_eq!(
        why,
        "5.02 Mpps; busy, batch 64 is as fast within noise: this one is taken, at 38 % of a core \
         instead of 100 %"
    );
}

#[test]
fn among_equals_with_the_same_cpu_the_smaller_batch_is_taken() {
    let settings =
        [64, 16, 32].map(|batch| setting(Rxdrop, Busy, batch, &near(5.0 + f64::from(batch) / 1e4)));
    let (_, batch, why) = only(&settings);
    assert_eq!(batch, 16);
    assert!(why.contains("with batches of 16 instead of 64"), "{why}");
}

#[test]
fn what_is_outside_the_spread_is_no_equal_however_cheap() {
    let (poll, ..) = only(&[
        with_cpu(setting(Rxdrop, Busy, 64, &near(5.0)), 100.0),
        with_cpu(setting(Rxdrop, Syscall, 64, &near(4.5)), 10.0),
    ]);
    assert_eq!(poll, Busy);
}

#[test]
fn one_wild_sample_does_not_make_equals() {
    let (poll, ..) = only(&[
        with_cpu(setting(Rxdrop, Busy, 64, &[5.0, 5.01, 4.99, 5.0, 1.0]), 100.0),
        with_cpu(setting(Rxdrop, Syscall, 64, &near(2.0)), 10.0),
    ]);
    assert_eq!(poll, Busy);
}

#[test]
fn noise_is_told_and_quiet_equals_are_preferred() {
    let wild = |poll| setting(Rxdrop, poll, 64, &[5.0, 4.0, 6.0, 4.5, 5.5]);
    let (poll, _, why) = only(&[wild(Busy), wild(Syscall)]);
    assert_eq!(poll, Busy);
    assert!(why.contains("but every setting was noisy"), "{why}");

    let quiet = setting(Rxdrop, Syscall, 64, &[4.9, 4.95, 5.05, 4.9, 4.95]);
    let (poll, _, why) = only(&[setting(Rxdrop, Busy, 64, &[5.0, 4.7, 5.4, 4.8, 5.3]), quiet]);
    assert_eq!(poll, Syscall, "{why}");
    assert!(why.contains("with quieter samples") && !why.contains("noisy"), "{why}");

    let (_, _, why) = only(&[wild(Busy), setting(Rxdrop, Syscall, 64, &near(2.0))]);
    assert!(why.contains("but its samples are noisy"), "{why}");
}

#[test]
fn latency_goes_by_the_median_then_the_tail_then_cpu() {
    let (poll, _, why) = only(&[
        setting(Latency, Busy, 16, &near(10.0)),
        setting(Latency, Syscall, 16, &near(25.0)),
    ]);
    assert_eq!(poll, Busy);
    assert_eq!(
        why,
        "10.0 µs at p50, 20.0 at p99; 60 % below the next poll mode (syscall, batch 16: 25.0 µs \
         at p50, 50.0 at p99)"
    );

    let mut tail = with_cpu(setting(Latency, Adaptive, 16, &near(10.0)), 20.0);
    tail.latency_us.as_mut().unwrap().p99 = 90.0;
    let (poll, _, why) = only(&[tail.clone(), setting(Latency, Busy, 16, &near(10.01))]);
    assert_eq!(poll, Busy);
    assert!(why.contains("with a p99 of 20.0 µs instead of 90.0"), "{why}");

    tail.latency_us.as_mut().unwrap().p99 = 20.5;
    let (poll, _, why) = only(&[tail, setting(Latency, Busy, 16, &near(10.0))]);
    assert_eq!(poll, Adaptive);
    assert!(why.contains("at 20 % of a core instead of 100 %"), "{why}");
}

#[test]
fn each_workload_has_its_own() {
    let list = best(&[
        setting(Rxdrop, Busy, 64, &near(5.0)),
        setting(Rxdrop, Syscall, 64, &near(3.0)),
        setting(Parse, Busy, 64, &near(2.0)),
        setting(Parse, Syscall, 64, &near(4.0)),
    ]);
    let settings: Vec<_> = list.iter().map(|best| (best.workload, best.poll)).collect();
    assert_eq!(settings, [(Rxdrop, Busy), (Parse, Syscall)]);
}

#[test]
fn without_packets_there_is_no_advice() {
    let silent = SettingReport { latency_us: None, ..setting(Latency, Busy, 64, &near(1.0)) };
    assert!(best(&[setting(Rxdrop, Busy, 64, &[0.0; 5]), silent]).is_empty());
    assert!(best(&[]).is_empty());
    let (_, _, why) = only(&[setting(Rxdrop, Busy, 64, &near(5.0))]);
    assert_eq!(why, "5.00 Mpps, the only setting measured");
}

#[test]
fn a_longer_packet_that_wants_another_setting_is_told() {
    let long = |setting: SettingReport| SettingReport { packet_size: 1514, ..setting };
    let (poll, _, why) = only(&[
        long(setting(Rxdrop, Busy, 64, &near(0.5))),
        long(setting(Rxdrop, Syscall, 64, &near(0.8))),
        setting(Rxdrop, Busy, 64, &near(5.0)),
        setting(Rxdrop, Syscall, 64, &near(4.0)),
    ]);
    assert_eq!(poll, Busy);
    assert!(why.starts_with("at 60 bytes 5.00 Mpps; "), "{why}");
    assert!(why.ends_with("; at 1514 bytes take syscall, batch 64: 0.800 Mpps"), "{why}");
}

#[test]
fn a_setting_is_named_by_what_was_varied() {
    let engine = SettingReport {
        mode: Library::Engine,
        queues: 2,
        pages: Pages::Huge,
        ..setting(Rxdrop, Busy, 64, &near(4.0))
    };
    let (.., why) = only(&[setting(Rxdrop, Busy, 64, &near(5.0)), engine]);
    assert!(
        why.contains(
            "the next setting (busy, batch 64, mode engine, 2 queues, with huge pages: 4.00"
        ),
        "{why}"
    );
}
