//! Any bytes as a saved run of `flux bench`: it is refused, or compared with itself and found alike.
#![no_main]

use fluxnet::tools::bench::{Names, Report, diff};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Half a report is hardly ever found by chance, so two short bytes may change a whole one.
    let planted = match *bytes {
        [place, with, ..] if bytes.len() < 8 => {
            let mut whole = WHOLE.as_bytes().to_vec();
            let at = (usize::from(place) * 256 + usize::from(with)) % whole.len();
            whole[at] = *bytes.last().unwrap_or(&b'0');
            whole
        }
        _ => bytes.to_vec(),
    };
    let Ok(report) = Report::from_json(&planted) else { return };
    let names = Names::of(&report.results);
    report.results.iter().for_each(|setting| {
        let _ = (names.setting(&setting.key()), names.besides(&setting.key()));
    });
    let Ok(same) = diff(&report, &report, 5.0) else { return };
    assert_eq!((same.regressions, same.improvements), (0, 0), "{same:?}");
    assert_eq!(same.changes.len(), report.results.len());
});

const WHOLE: &str = r#"{"event":"report","backend":"sim","place":"sim","note":null,"version":"0.1.0",
"machine":{"cpu":null,"cpus":2,"kernel":null},"opened":null,"duration_ms":5.0,"repeat":2,
"complete":true,"results":[{"workload":"latency","mode":"raw","batch":16,"poll":"busy","frame":64,
"queues":1,"hugepages":false,"prefetch":true,"mpps":{"median":5.1,"min":4.9,"max":5.2,"q1":5.0,
"q3":5.1,"iqr_pct":2.8,"samples":[4.9,5.2]},"user_ns_per_packet":null,"system_ns_per_packet":null,
"batch_ns_per_packet":195.9,"cycles_per_packet":509.5,"cycle_source":"tsc",
"instructions_per_packet":null,"syscalls_per_packet":0.0625,"packets_per_wakeup":null,
"packets_per_batch":16.0,"cpu_pct":null,"ring_full":0,"fill_empty":0,"dropped":0,"packets":11264,
"latency_us":{"min":1.0,"p50":2.0,"p90":3.0,"p99":4.0,"p999":5.0,"max":6.0},
"latency_p50_us":{"median":2.0,"min":2.0,"max":2.1,"q1":2.0,"q3":2.1,"iqr_pct":1.0,
"samples":[2.0,2.1]},"noisy":false}],"best":[]}"#;
