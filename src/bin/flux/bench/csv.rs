//! Settings as lines of values: the JSON's leaves, by the same names.

use crate::failure::Failure;
use serde::Serialize;
use serde_json::Value;

/// Where each value of a setting is in its JSON. A column is named by its path: `mpps_median`.
pub const SETTING: &[&str] = &[
    "/workload",
    "/mode",
    "/batch",
    "/poll",
    "/packet_size",
    "/queue_count",
    "/pages",
    "/prefetch",
    "/mpps/median",
    "/mpps/min",
    "/mpps/max",
    "/mpps/q1",
    "/mpps/q3",
    "/mpps/iqr_pct",
    "/user_ns_per_packet",
    "/system_ns_per_packet",
    "/batch_ns_per_packet",
    "/cycles_per_packet",
    "/cycle_source",
    "/instructions_per_packet",
    "/syscalls_per_packet",
    "/packets_per_wakeup",
    "/packets_per_batch",
    "/cpu_pct",
    "/ring_full",
    "/fill_empty",
    "/dropped",
    "/packets",
    "/latency_us/min",
    "/latency_us/mean",
    "/latency_us/p50",
    "/latency_us/p90",
    "/latency_us/p99",
    "/latency_us/p999",
    "/latency_us/max",
    "/latency_us/stddev",
    "/latency_p50_us/median",
    "/latency_p50_us/min",
    "/latency_p50_us/max",
    "/latency_p50_us/q1",
    "/latency_p50_us/q3",
    "/latency_p50_us/iqr_pct",
    "/noisy",
];

/// The same for a change between two runs.
pub const CHANGE: &[&str] = &[
    "/workload",
    "/mode",
    "/batch",
    "/poll",
    "/packet_size",
    "/queue_count",
    "/pages",
    "/prefetch",
    "/metric",
    "/a",
    "/b",
    "/change_pct",
    "/noise_pct",
    "/verdict",
];

/// A line of headings, and one per row. What is not known is empty.
pub fn lines<T: Serialize>(rows: &[T], columns: &[&str]) -> Result<Vec<u8>, Failure> {
    let failed = |error: csv::Error| Failure::io("cannot write CSV", &error.into());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = columns.iter().map(|column| column.trim_start_matches('/').replace('/', "_"));
    writer.write_record(headings).map_err(failed)?;
    for row in rows {
        let row = serde_json::to_value(row).unwrap_or_default();
        let values = columns.iter().map(|column| match row.pointer(column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        });
        writer.write_record(values).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Failure::io("cannot write CSV", error.error()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use std::collections::BTreeSet;

    /// Paths of all leaves, lists left out.
    fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), found));
            }
            Value::Array(_) | Value::Null => {}
            _ => {
                found.insert(path.to_owned());
            }
        }
    }

    #[test]
    fn every_leaf_of_the_json_is_a_column() {
        let (mut found, mut changed) = (BTreeSet::new(), BTreeSet::new());
        let report = fixture::report();
        for setting in &report.results {
            leaves(&serde_json::to_value(setting).unwrap(), "", &mut found);
        }
        let diff = fluxnet::tools::bench::diff(&report, &report, 5.0).unwrap();
        leaves(&serde_json::to_value(&diff.changes[0]).unwrap(), "", &mut changed);
        for (found, columns) in [(found, SETTING), (changed, CHANGE)] {
            for leaf in &found {
                assert!(columns.contains(&leaf.as_str()), "{leaf} has no column");
            }
        }
    }

    #[test]
    fn lines_have_as_many_values_as_headings_and_nothing_where_nothing_is_known() {
        let text = lines(&fixture::report().results, SETTING).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(
                "workload,mode,batch,poll,packet_size,queue_count,pages,prefetch,mpps_"
            )
        );
        let counts: BTreeSet<_> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [SETTING.len()]);
        assert_eq!(text.lines().count(), 55);
        let first = text.lines().nth(1).unwrap();
        assert!(first.starts_with("rxdrop,raw,16,busy,60,1,4k,true,"), "{first}");
        assert!(first.ends_with(",,,,,,,,,,,,,,false"), "{first}");
    }
}
