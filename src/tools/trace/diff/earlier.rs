//! Summaries of earlier versions, brought to the keys of today.
//!
//! ```text
//!   elapsed_ms              elapsed_s, in seconds
//!   routers[].addr          address
//!   nat[].addr              address
//!   balancing: per-flow     per_flow
//!   icmp: time exceeded     time_exceeded
//!   rtt_us without p99 …    with the largest in their place
//! ```

use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Changes what an earlier version wrote, and nothing else.
pub(super) fn upgrade(summary: &mut Value) {
    let Some(summary) = summary.as_object_mut() else { return };
    if let Some(ms) = summary.remove("elapsed_ms").and_then(|ms| ms.as_f64()) {
        summary.entry("elapsed_s").or_insert((ms / 1e3).into());
    }
    objects(summary, "nat", address);
    objects(summary, "path_stats", percentiles);
    objects(summary, "hops", |hop| {
        if let Some(Value::String(how)) = hop.get_mut("balancing") {
            *how = how.replace('-', "_");
        }
        objects(hop, "routers", |router| {
            address(router);
            percentiles(router);
            if let Some(Value::String(icmp)) = router.get_mut("icmp") {
                *icmp = icmp.replace(", ", "_").replace([' ', '-'], "_");
            }
        });
    });
}

/// Calls `change` for each object in the list `key`.
fn objects(parent: &mut Object, key: &str, change: impl FnMut(&mut Object)) {
    let list = parent.get_mut(key).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

fn address(object: &mut Object) {
    if let Some(address) = object.remove("addr") {
        object.entry("address").or_insert(address);
    }
}

/// Earlier versions wrote no percentiles above the 90th. The largest is an upper bound of them.
fn percentiles(object: &mut Object) {
    let Some(Value::Object(rtt)) = object.get_mut("rtt_us") else { return };
    let Some(max) = rtt.get("max").cloned() else { return };
    for key in ["p99", "p999"] {
        rtt.entry(key).or_insert_with(|| max.clone());
    }
}
