//! How many probes to one target can be in flight at once, and whether their numbers suffice.

use super::ids::SEQUENCES;
use super::mark;
use super::plan::Plan;
use crate::error::{FluxError, Result};
use std::time::Duration;

/// Numbers that are always there: 16 bits.
const LEAST: u64 = 1 << 16;
/// With a mark: what memory bears. Probes that are waited for without end share these.
const MOST: u64 = 1 << 24;
/// A flood whose answers are missing sends this often to each target.
const FLOOD_PER_SECOND: f64 = 100.0;
/// From here on a timeout is none.
const ENDLESS: Duration = Duration::from_secs(365 * 86_400);

/// How many sequence numbers in a row are to be told apart.
///
/// # Errors
/// When more probes would be in flight than their numbers tell apart: where the payload has no room
/// for a mark.
pub(super) fn span(plan: &Plan) -> Result<u64> {
    let per_second = match plan.rate {
        Some(rate) => rate,
        None if plan.floods() => FLOOD_PER_SECOND,
        None => 1.0 / plan.interval.as_secs_f64(),
    };
    let wait = plan.timeout.min(plan.deadline.unwrap_or(plan.timeout));
    let mut in_flight = per_second * wait.as_secs_f64();
    if let Some(count) = plan.count.filter(|_| plan.deadline.is_none()) {
        in_flight = in_flight.min(count as f64);
    }
    let in_flight = in_flight.ceil() as u64;
    let most = if mark::has_room(plan.size) { MOST } else { SEQUENCES };
    if most == SEQUENCES && in_flight > most && plan.timeout < ENDLESS {
        return Err(FluxError::config(
            format!("payload of {} bytes", plan.size),
            format!(
                "must be at least {} bytes: {in_flight} probes to one target would be in flight \
                 ({per_second:.0} a second, {:?} to wait for each), and shorter ones tell \
                 {SEQUENCES} apart",
                mark::MARK.end,
                plan.timeout
            ),
        )
        .with_hint("use a larger -s, a lower --rate or a longer -i, or a shorter -W"));
    }
    Ok(in_flight.clamp(LEAST, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: f64, wait_s: u64, size: usize) -> Plan {
        let timeout = Duration::from_secs(wait_s);
        Plan { rate: Some(rate), timeout, size, ..Plan::new(["x"]) }
    }

    #[test]
    fn what_the_numbers_do_not_tell_apart_is_refused_with_figures() {
        assert_eq!(span(&Plan::new(["x"])).ok(), Some(LEAST));
        assert_eq!(span(&plan(200e3, 2, 56)).ok(), Some(400_000));
        assert_eq!(span(&plan(200e3, 1, 8)).ok(), Some(200_000));
        let error = span(&plan(200e3, 2, 15)).unwrap_err().to_string();
        assert!(error.contains("400000 probes to one target"), "{error}");
        assert!(error.contains("200000 a second, 2s"), "{error}");
        // Few, or ended before: nothing to refuse.
        assert!(span(&Plan { count: Some(9), ..plan(200e3, 2, 8) }).is_ok());
        assert!(
            span(&Plan { deadline: Some(Duration::from_secs(1)), ..plan(200e3, 2, 8) }).is_ok()
        );
        // Who waits without end gives up what is a whole span old.
        assert_eq!(span(&plan(200e3, 1 << 31, 8)).ok(), Some(SEQUENCES));
        assert_eq!(span(&plan(200e3, 1 << 31, 56)).ok(), Some(MOST));
        let flood = Plan { flood: true, interval: Duration::ZERO, ..Plan::new(["x"]) };
        assert_eq!(span(&flood).ok(), Some(LEAST));
    }
}
