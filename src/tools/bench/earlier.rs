//! Reports of earlier versions, put into today's keys: people keep them to compare with.

use super::plan::FCS;
use serde_json::{Map, Value};

/// Brings `report` up to date. What it does not know it leaves as it is, for the reader to refuse.
pub(super) fn renew(report: &mut Value) {
    let Some(report) = report.as_object_mut() else { return };
    // Up to schema 1: ms, the packet length with frame check sequence, huge pages or not.
    if let Some(ms) = report.remove("duration_ms").and_then(|ms| ms.as_f64()) {
        report.insert("sample_s".into(), (ms / 1e3).into());
    }
    let opened = report.get("opened").and_then(|opened| opened.get("pages"));
    let huge = opened.and_then(Value::as_str).filter(|pages| *pages != "4k").unwrap_or("2m");
    let huge = huge.to_owned();
    if let Some(opened) = report.get_mut("opened").and_then(Value::as_object_mut) {
        clocks(opened);
    }
    for list in ["results", "best"] {
        let settings = report.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        settings.filter_map(Value::as_object_mut).for_each(|setting| renew_setting(setting, &huge));
    }
}

/// `clocks` had a sentence for each stamp: `monotonic (XDP program)`.
fn clocks(opened: &mut Map<String, Value>) {
    let Some(Value::Object(clocks)) = opened.remove("clocks") else { return };
    for (side, stamp) in [("tx", "user_space"), ("rx", "xdp_program")] {
        let Some(clock) = clocks.get(side).and_then(Value::as_str) else { continue };
        let clock = clock.split(' ').next().unwrap_or_default();
        opened.entry(format!("{side}_clock")).or_insert(clock.into());
        opened.entry(format!("{side}_stamp")).or_insert(stamp.into());
    }
}

fn renew_setting(setting: &mut Map<String, Value>, huge: &str) {
    if let Some(frame) = setting.remove("frame").and_then(|frame| frame.as_u64()) {
        setting.insert("packet_size".into(), frame.saturating_sub(u64::from(FCS)).into());
    }
    if let Some(is_huge) = setting.remove("hugepages").and_then(|is_huge| is_huge.as_bool()) {
        setting.insert("pages".into(), if is_huge { huge } else { "4k" }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Workload;
    use super::super::report::Report;
    use crate::config::Pages;

    /// As `flux bench --json` wrote it before its objects had a schema.
    const OLD: &str = include_str!("../../../tests/saved/bench-before-schema-1.json");

    #[test]
    fn a_report_without_a_schema_is_read_in_todays_units() {
        let report = Report::from_json(OLD.as_bytes()).unwrap();
        assert_eq!((report.sample_s, report.repeat), (0.02, 3));
        let sizes: Vec<_> = report.results.iter().map(|setting| setting.packet_size).collect();
        assert_eq!(sizes, [60, 508, 60, 508]);
        assert!(report.results.iter().all(|setting| setting.pages == Pages::Ordinary));
        let timed = report.results.iter().filter(|setting| setting.workload == Workload::Latency);
        for times in timed.map(|setting| setting.latency_us.unwrap()) {
            assert!(times.p50 > 0.0 && times.mean.is_nan() && times.stddev.is_nan(), "{times:?}");
        }
    }

    #[test]
    fn the_earlier_words_for_a_remark_the_way_of_sending_and_the_clocks_are_read() {
        let old = OLD.replace("\"note\":null", "\"note\":\"simulated\"").replace(
            "\"opened\":{",
            "\"opened\":{\"tx\":\"ring\",\"clocks\":{\"tx\":\"monotonic (user space, before the \
             kick)\",\"rx\":\"virtual (XDP program)\"},",
        );
        let report = Report::from_json(old.as_bytes()).unwrap();
        assert_eq!(report.remark.as_deref(), Some("simulated"));
        let opened = &report.opened.as_ref().unwrap().opened;
        assert_eq!(opened.tx_path, "ring");
        assert_eq!((&*opened.tx_clock, &*opened.tx_stamp), ("monotonic", "user_space"));
        assert_eq!((&*opened.rx_clock, &*opened.rx_stamp), ("virtual", "xdp_program"));
        let today = serde_json::to_vec(&report).unwrap();
        assert!(!String::from_utf8_lossy(&today).contains("\"clocks\""));
    }

    #[test]
    fn huge_pages_of_an_old_report_are_those_that_were_opened() {
        let huge = OLD.replace("\"hugepages\":false", "\"hugepages\":true");
        let pages = |text: &str| Report::from_json(text.as_bytes()).unwrap().results[0].pages;
        assert_eq!(pages(&huge), Pages::Huge);
        let transparent = huge.replace("\"pages\":\"4k\"", "\"pages\":\"thp\"");
        assert_eq!(pages(&transparent), Pages::Transparent);
    }

    #[test]
    fn what_cannot_be_renewed_is_refused_and_not_guessed() {
        for (now, then) in [
            ("\"duration_ms\":20.0", "\"duration_ms\":\"20 ms\""),
            ("\"frame\":64", "\"frame\":-64"),
            ("\"hugepages\":false", "\"hugepages\":\"some\""),
        ] {
            assert!(OLD.contains(now), "{now}");
            let error = Report::from_json(OLD.replace(now, then).as_bytes()).unwrap_err();
            assert!(error.to_string().contains("missing field"), "{error}");
        }
    }
}
