use super::super::fixture::{report, setting};
use super::super::plan::{Poll, Workload};
use super::*;
use crate::config::Pages;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const BATCHES: [u32; 3] = [16, 32, 64];

/// A die with normal noise.
struct Noise(Xoshiro256PlusPlus);

impl Noise {
    fn seeded(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `count` samples around `mean` with a relative deviation of `noise` (Box and Muller).
    fn samples(&mut self, count: usize, mean: f64, noise: f64) -> Vec<f64> {
        (0..count)
            .map(|_| {
                let (radius, angle) = (1.0 - self.uniform(), self.uniform());
                let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
                mean * (1.0 + noise * normal)
            })
            .collect()
    }

    /// A run of 45 settings, each around `mean` with 3 % of noise.
    fn run(&mut self, mean: f64) -> Report {
        let mut results = Vec::new();
        for workload in [
            Workload::Rxdrop,
            Workload::Txonly,
            Workload::L2fwd,
            Workload::Latency,
            Workload::Parse,
        ] {
            for poll in [Poll::Busy, Poll::Adaptive, Poll::Syscall] {
                for batch in BATCHES {
                    results.push(setting(workload, poll, batch, &self.samples(5, mean, 0.03)));
                }
            }
        }
        report(results)
    }
}

fn one(workload: Workload, samples: &[f64]) -> Report {
    report(vec![setting(workload, Poll::Busy, 64, samples)])
}

#[test]
fn equal_runs_with_three_percent_of_noise_do_not_cry_wolf() {
    let mut noise = Noise::seeded(1);
    let mut cries = 0;
    for _ in 0..400 {
        let (a, b) = (noise.run(5.0), noise.run(5.0));
        let diff = diff(&a, &b, 5.0).unwrap();
        assert_eq!(diff.changes.len(), 45);
        cries += diff.regressions + diff.improvements;
    }
    assert!(cries <= 2, "{cries} of {} settings", 400 * 45);
}

#[test]
fn a_slowdown_of_a_fifth_is_found_in_every_setting() {
    let mut noise = Noise::seeded(2);
    for _ in 0..400 {
        let (a, b) = (noise.run(5.0), noise.run(4.0));
        let diff = diff(&a, &b, 5.0).unwrap();
        for change in diff.changes {
            // A latency of 4 µs after 5 µs is an improvement.
            let want = match change.metric {
                Metric::Mpps => Verdict::Slower,
                Metric::P50Us => Verdict::Faster,
            };
            assert_eq!(change.verdict, want, "{change:?}");
        }
    }
}

#[test]
fn a_change_inside_the_tolerance_is_none_however_clear() {
    let quiet = |value: f64| one(Workload::Rxdrop, &[value; 5]);
    let verdict =
        |b: f64, tolerance| diff(&quiet(5.0), &quiet(b), tolerance).unwrap().changes[0].verdict;
    assert_eq!(verdict(4.8, 5.0), Verdict::Same);
    assert_eq!(verdict(4.7, 5.0), Verdict::Slower);
    assert_eq!(verdict(4.8, 1.0), Verdict::Slower);
    assert_eq!(verdict(5.0, 0.0), Verdict::Same);
    assert_eq!(verdict(5.3, 5.0), Verdict::Faster);
}

#[test]
fn a_median_that_fell_inside_the_noise_is_no_regression() {
    let a = one(Workload::Rxdrop, &[5.0, 4.0, 6.0, 4.5, 5.5]);
    let b = one(Workload::Rxdrop, &[4.5, 3.8, 5.6, 4.2, 5.2]);
    let diff = diff(&a, &b, 5.0).unwrap();
    assert_eq!((diff.regressions, diff.changes[0].verdict), (0, Verdict::Same));
    assert!(diff.changes[0].change_pct.unwrap() < -9.0);
    assert!(diff.changes[0].noise_pct.unwrap() > 19.0);
}

#[test]
fn a_longer_latency_is_a_regression() {
    let run = |p50: f64| one(Workload::Latency, &[p50, p50 * 1.01, p50 * 0.99]);
    let slower = diff(&run(10.0), &run(13.0), 5.0).unwrap();
    assert_eq!(slower.changes[0].verdict, Verdict::Slower);
    assert_eq!(slower.changes[0].metric, Metric::P50Us);
    assert!((slower.changes[0].change_pct.unwrap() - 30.0).abs() < 1e-9);
    assert_eq!(diff(&run(13.0), &run(10.0), 5.0).unwrap().improvements, 1);
}

#[test]
fn a_setting_whose_packets_stay_away_is_a_regression() {
    let (some, none) = (one(Workload::Rxdrop, &[5.0; 5]), one(Workload::Rxdrop, &[0.0; 5]));
    let lost = diff(&some, &none, 5.0).unwrap();
    assert_eq!((lost.regressions, lost.changes[0].b), (1, None));
    assert_eq!(diff(&none, &some, 5.0).unwrap().improvements, 1);
    assert_eq!(diff(&none, &none, 5.0).unwrap().changes[0].verdict, Verdict::Same);
    let mut silent = one(Workload::Latency, &[9.0; 5]);
    silent.results[0].latency_us = None;
    assert_eq!(diff(&one(Workload::Latency, &[9.0; 5]), &silent, 5.0).unwrap().regressions, 1);
}

#[test]
fn too_few_samples_give_no_verdict() {
    let run = |samples: &[f64]| one(Workload::Rxdrop, samples);
    for (a, b) in [(&[5.0][..], &[1.0][..]), (&[5.0, 5.1], &[1.0, 1.1]), (&[5.0; 5], &[1.0])] {
        let diff = diff(&run(a), &run(b), 5.0).unwrap();
        assert_eq!((diff.regressions, diff.changes[0].verdict), (0, Verdict::Unknown));
        assert!(diff.notes[0].contains("too few samples"), "{:?}", diff.notes);
    }
    assert_eq!(diff(&run(&[5.0; 3]), &run(&[1.0; 3]), 5.0).unwrap().regressions, 1);
}

#[test]
fn unlike_runs_are_refused_with_the_difference() {
    let a = one(Workload::Rxdrop, &[5.0; 5]);
    let error = |b: &Report, tolerance| diff(&a, b, tolerance).unwrap_err().to_string();
    let sim = Report { backend: "sim".into(), place: "sim".into(), ..a.clone() };
    assert_eq!(
        error(&sim, 5.0),
        "cannot compare the two runs: the first run has backend xdp, the second sim"
    );
    let device = Report { place: "interface".into(), ..a.clone() };
    assert!(error(&device, 5.0).contains("place lab, the second interface"));
    assert!(error(&one(Workload::Parse, &[5.0; 5]), 5.0).contains("no setting in common"));
    for tolerance in [-1.0, 100.0, f64::NAN] {
        assert!(error(&a, tolerance).contains("must be at least 0 %"), "{tolerance}");
    }
}

#[test]
fn what_differs_besides_is_noted() {
    let a = one(Workload::Rxdrop, &[5.0; 5]);
    let mut b = a.clone();
    assert!(diff(&a, &b, 5.0).unwrap().notes.is_empty());
    b.machine.kernel = Some("6.19.0".into());
    b.machine.cpu = None;
    b.sample_s = 2.0;
    b.complete = false;
    b.results.push(setting(Workload::Parse, Poll::Busy, 64, &[1.0]));
    b.results[0].mpps.samples.truncate(1);
    if let Some(start) = &mut b.opened {
        start.opened.attach = "skb".into();
    }
    assert_eq!(
        diff(&a, &b, 5.0).unwrap().notes,
        [
            "another processor: Example CPU @ 2.60GHz, then unknown",
            "another kernel: 6.18.0, then 6.19.0",
            "another socket: driver veth, native attach, copy, then driver veth, skb attach, copy",
            "another time per sample: 400 ms, then 2000 ms",
            "the second run was ended early",
            "not compared: 1 settings that only the second run has",
            "1 settings have too few samples to know a change from noise: use --repeat 3 or more",
        ]
    );
}

#[test]
fn cells_that_cannot_be_told_apart_are_taken_in_order() {
    let twice = |x: f64, y: f64| {
        report(vec![
            setting(Workload::Rxdrop, Poll::Busy, 64, &[x; 5]),
            setting(Workload::Rxdrop, Poll::Busy, 64, &[y; 5]),
        ])
    };
    let diff = diff(&twice(5.0, 1.0), &twice(5.0, 1.0), 5.0).unwrap();
    assert_eq!((diff.regressions, diff.improvements, diff.changes.len()), (0, 0, 2));
}

#[test]
fn a_setting_goes_with_the_one_in_the_same_pages_and_else_with_one_in_other_huge_pages() {
    let run = |settings: &[(Pages, f64)]| {
        let results = settings.iter().map(|&(pages, mpps)| SettingReport {
            pages,
            ..setting(Workload::Rxdrop, Poll::Busy, 64, &[mpps; 5])
        });
        report(results.collect())
    };
    use Pages::{Huge, Ordinary, Transparent};
    let figures = |a: &[(Pages, f64)], b: &[(Pages, f64)]| {
        let found = diff(&run(a), &run(b), 5.0).unwrap();
        found.changes.iter().map(|c| (c.key.pages, c.b.unwrap())).collect::<Vec<_>>()
    };
    let both = [(Transparent, 1.0), (Huge, 2.0), (Ordinary, 3.0)];
    let other_order = [(Ordinary, 3.0), (Huge, 2.0), (Transparent, 1.0)];
    assert_eq!(figures(&both, &other_order), both);
    assert_eq!(figures(&both, &[(Huge, 2.0)]), [(Huge, 2.0)]);
    assert_eq!(figures(&both[..1], &[(Huge, 2.0)]), [(Transparent, 2.0)]);
}

#[test]
fn the_json_has_its_event_and_flat_settings() {
    let a = one(Workload::Rxdrop, &[5.0; 5]);
    let json = serde_json::to_value(diff(&a, &one(Workload::Rxdrop, &[4.0; 5]), 5.0).unwrap());
    let json = json.unwrap();
    assert_eq!((&json["event"], &json["regressions"]), (&"diff".into(), &1.into()));
    let change = &json["changes"][0];
    assert_eq!((&change["workload"], &change["batch"]), (&"rxdrop".into(), &64.into()));
    assert_eq!((&change["verdict"], &change["metric"]), (&"slower".into(), &"mpps".into()));
}
