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
    let (best, undecided) = advise(results);
    let [Best { poll, batch, why, .. }] = &best[..] else { panic!("{best:?} {undecided:?}") };
    assert!(undecided.is_empty(), "{undecided:?}");
    (*poll, *batch, why.clone())
}

/// Settings and reason of the one workload that has no best.
fn none(results: &[SettingReport]) -> (Vec<(Poll, u32)>, String) {
    let (best, undecided) = advise(results);
    let [Undecided { settings, why, .. }] = &undecided[..] else { panic!("{best:?}") };
    assert!(best.is_empty(), "{best:?}");
    (settings.iter().map(|key| (key.poll, key.batch)).collect(), why.clone())
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
fn none_of_several_equals_is_the_best_and_the_one_with_less_cpu_is_named() {
    let (settings, why) = none(&[
        with_cpu(setting(Rxdrop, Adaptive, 64, &near(5.0)), 38.0),
        with_cpu(setting(Rxdrop, Busy, 64, &near(5.02)), 100.0),
        with_cpu(setting(Rxdrop, Busy, 16, &near(3.0)), 100.0),
    ]);
    assert_eq!(settings, [(Busy, 64), (Adaptive, 64)]);
    assert_eq!(
        why,
        "busy, batch 64 (5.02 Mpps) and adaptive, batch 64 (5.00 Mpps) are as fast within noise; \
         adaptive, batch 64 takes the least CPU, 38 % of a core"
    );
}

#[test]
fn many_equals_are_counted_and_no_gain_is_negative() {
    let settings: Vec<_> =
        (1..=6).map(|n| setting(Rxdrop, Busy, n * 16, &near(5.0 + f64::from(n) / 1e4))).collect();
    let (equals, why) = none(&settings);
    assert_eq!(equals.len(), 6);
    assert!(why.contains(" and 2 more are as fast within noise"), "{why}");
    assert!(!why.contains('-') && !why.contains("least CPU"), "{why}");
}

#[test]
fn too_few_samples_choose_nothing() {
    let one = |poll, value: f64| setting(Rxdrop, poll, 64, &[value]);
    let (_, why) = none(&[one(Busy, 5.0), one(Syscall, 4.0)]);
    assert!(why.starts_with("too few samples to choose (the fastest had 5.00 Mpps: busy"), "{why}");
    assert!(why.ends_with("use --repeat 3 or more"), "{why}");
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
fn noise_is_told_and_where_all_are_noisy_nothing_is_chosen() {
    let wild = |poll| setting(Rxdrop, poll, 64, &[5.0, 4.0, 6.0, 4.5, 5.5]);
    let (_, why) = none(&[wild(Busy), wild(Syscall)]);
    assert!(why.starts_with("too noisy to choose"), "{why}");
    let (_, _, why) = only(&[wild(Busy), setting(Rxdrop, Syscall, 64, &near(2.0))]);
    assert!(why.contains("but its samples are noisy"), "{why}");
}

#[test]
fn latency_goes_by_the_median_and_names_the_shorter_tail_of_equals() {
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
    let (_, why) = none(&[tail, setting(Latency, Busy, 16, &near(10.01))]);
    assert!(why.contains("; busy, batch 16 has the shortest p99, 20.0 µs"), "{why}");
    assert!(why.contains("; adaptive, batch 16 takes the least CPU, 20 % of a core"), "{why}");
}

#[test]
fn each_workload_has_its_own() {
    let (list, _) = advise(&[
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
    let (best, undecided) = advise(&[setting(Rxdrop, Busy, 64, &[0.0; 5]), silent]);
    assert!(best.is_empty() && undecided.is_empty());
    assert!(advise(&[]).0.is_empty());
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
