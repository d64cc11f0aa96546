//! Metric families, and their text: the Prometheus exposition format 0.0.4.

use crate::error::{ErrorKind, FluxError, Result};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use std::collections::BTreeMap;

/// Names and values, in the order in which they are printed.
pub type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    series: BTreeMap<Labels, f64>,
}

/// Families in the order in which they were first named. One whose name ends in `_total` is a
/// counter, all others are gauges.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

impl Families {
    fn series(&mut self, name: &'static str, help: &'static str) -> &mut BTreeMap<Labels, f64> {
        let known = self.0.iter().position(|family| family.name == name);
        let at = known.unwrap_or_else(|| {
            self.0.push(Family { name, help, series: BTreeMap::new() });
            self.0.len() - 1
        });
        &mut self.0[at].series
    }

    /// Adds to a series, which is there from then on, also when 0 is added.
    pub fn add(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        *self.series(name, help).entry(labels).or_insert(0.0) += value;
    }

    /// Adds a value where it is known.
    pub fn add_known<T: Into<f64>>(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &Labels,
        value: Option<T>,
    ) {
        if let Some(value) = value {
            self.add(name, help, labels.clone(), value.into());
        }
    }

    /// Sets a series to `value`, unless it is larger already.
    pub fn raise(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        let series = self.series(name, help).entry(labels).or_insert(value);
        *series = series.max(value);
    }

    /// All of them as text.
    ///
    /// # Errors
    /// When a family has no series, or a name that Prometheus does not take.
    pub fn encode(self) -> Result<String> {
        let families: Vec<MetricFamily> = self.0.into_iter().map(family).collect();
        let mut text = Vec::new();
        let failed = |why: String| FluxError::new(ErrorKind::System, "cannot write metrics", why);
        let encoded = TextEncoder::new().encode(&families, &mut text);
        encoded.map_err(|error| failed(error.to_string()))?;
        String::from_utf8(text).map_err(|error| failed(error.to_string()))
    }
}

fn family(of: Family) -> MetricFamily {
    let counts = of.name.ends_with("_total");
    let mut family = MetricFamily::default();
    family.set_name(of.name.to_owned());
    family.set_help(of.help.to_owned());
    family.set_field_type(if counts { MetricType::COUNTER } else { MetricType::GAUGE });
    let metrics = of.series.into_iter().map(|(labels, value)| {
        let pairs = labels.into_iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        if counts {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    family.set_metric(metrics.collect());
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_raised_or_left_out_and_their_labels_escaped() {
        let mut families = Families::default();
        let at = |queue: &str| vec![("queue", queue.to_owned())];
        families.add("packets_total", "Packets.", at("1"), 2.0);
        families.add("packets_total", "Packets.", at("1"), 3.0);
        families.add("packets_total", "Packets.", at("0"), 0.0);
        families.raise("bytes", "Bytes.", at("a\"b"), 7.0);
        families.raise("bytes", "Bytes.", at("a\"b"), 5.0);
        families.add_known("bytes", "Bytes.", &at("0"), Some(1u32));
        families.add_known("bytes", "Bytes.", &at("1"), None::<u32>);
        let want = "# HELP packets_total Packets.\n\
                    # TYPE packets_total counter\n\
                    packets_total{queue=\"0\"} 0\n\
                    packets_total{queue=\"1\"} 5\n\
                    # HELP bytes Bytes.\n\
                    # TYPE bytes gauge\n\
                    bytes{queue=\"0\"} 1\n\
                    bytes{queue=\"a\\\"b\"} 7\n";
        assert_eq!(families.encode().unwrap(), want);
        assert_eq!(Families::default().encode().unwrap(), "");
    }
}
