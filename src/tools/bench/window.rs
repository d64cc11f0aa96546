//! One loop and the window of time in which it is measured.

use super::sample::{CpuTime, Sample, ticks};
use super::work::Work;
use crate::backend::meter::Meter;
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::stats::{Calls, XdpStatistics};
use crate::sys::clock::monotonic_ns;
use crate::sys::{perf, usage};
use crate::tools::worker::{Progress, Turn};
use std::time::Duration;

/// Turns between two looks at the wall clock, as long as packets come: it costs more than a small
/// batch.
const LOOKS: u32 = 16;

/// How much longer a sample takes for its first packet, where one is on its way.
const FIRST_PACKET_NS: u64 = 10_000_000_000;

/// When a sample's parts begin, so that all threads do so together, and how long they take.
#[derive(Clone, Copy)]
pub(super) struct Window<'q> {
    /// Nothing counts before; ns of the monotonic clock.
    pub(super) from_ns: u64,
    /// How long it counts.
    pub(super) length: Duration,
    /// Queues that have a socket, by the NIC's numbers.
    pub(super) queues: &'q [u32],
    /// Packets are sure to come.
    pub(super) fed: bool,
}

/// A loop that warms up, is measured, and is done.
pub(super) struct Measured<'m> {
    work: Box<dyn Work>,
    meter: &'m Meter,
    window: Window<'m>,
    queues: Vec<QueueIndex>,
    begun: Option<Begun>,
    sample: Option<Sample>,
}

/// Where all counters stood when the window opened, and what was counted since.
struct Begun {
    perf_counters: Option<perf::Counters>,
    perf: Option<perf::Counts>,
    calls: Calls,
    stats: XdpStatistics,
    usage: Option<usage::Usage>,
    start_ns: u64,
    start_ticks: u64,
    until_ns: u64,
    late_ns: u64,
    packets: u64,
    batches: u64,
    inside: u64,
}

impl<'m> Measured<'m> {
    /// Measures `work` in `window`.
    pub(super) fn new(work: Box<dyn Work>, meter: &'m Meter, window: Window<'m>) -> Self {
        let queues = work.queues();
        Self { work, meter, window, queues, begun: None, sample: None }
    }

    /// What was measured; `None` when the run ended before the window closed.
    pub(super) fn sample(self) -> Option<Sample> {
        self.sample
    }

    /// Opens the window, on the thread whose counters are read.
    fn begin(&mut self) -> Result<Begun> {
        self.work.latencies();
        let perf_counters = perf::Counters::open();
        let (calls, stats) = (self.work.calls(), self.work.stats()?);
        let usage = usage::thread().ok();
        let perf = perf_counters.as_ref().and_then(perf::Counters::read);
        let (start_ns, start_ticks) = (monotonic_ns(), ticks());
        // From here and not from when it was due: on a busy machine this thread may be late, and
        // what is left of the window then says nothing.
        let until_ns = start_ns + self.window.length.as_nanos() as u64;
        // A sample without a packet says nothing. On a busy machine the source may not get its CPU
        // in all that time: then it goes on until the first packet is there.
        let late_ns = until_ns + if self.window.fed { FIRST_PACKET_NS } else { 0 };
        let (packets, batches, inside) = (0, 0, 0);
        Ok(Begun {
            perf_counters,
            perf,
            calls,
            stats,
            usage,
            start_ns,
            start_ticks,
            until_ns,
            late_ns,
            packets,
            batches,
            inside,
        })
    }

    /// Closes it.
    fn end(&mut self, begun: &Begun) -> Result<Sample> {
        let (end_ns, end_ticks) = (monotonic_ns(), ticks());
        let usage = usage::thread().ok();
        let perf = begun.perf_counters.as_ref().and_then(perf::Counters::read);
        let elapsed_ns = (end_ns - begun.start_ns).max(1) as f64;
        let ns_per_tick = elapsed_ns / (end_ticks - begun.start_ticks).max(1) as f64;
        let inside = begun.inside as f64;
        Ok(Sample {
            packets: begun.packets,
            batches: begun.batches,
            rate: begun.packets as f64 * 1e9 / elapsed_ns,
            elapsed_ns,
            cpu: begun.usage.as_ref().zip(usage).map(|(before, after)| CpuTime {
                user_ns: after.user_ns - before.user_ns,
                system_ns: after.system_ns - before.system_ns,
                total_ns: after.total_ns - before.total_ns,
            }),
            batch: Some((inside * ns_per_tick, inside)),
            perf: begun.perf.as_ref().zip(perf).map(|(before, after)| {
                (after.cycles - before.cycles, after.instructions - before.instructions)
            }),
            calls: self.work.calls().since(&begun.calls),
            stats: self.work.stats()?.since(&begun.stats),
            lost: 0,
            // Where a socket is, packets came before it was there.
            wrong_queue: (self.work.counters()?.iter())
                .filter(|count| !self.window.queues.contains(&count.queue))
                .map(|count| count.no_socket)
                .sum(),
            trouble: None,
            latencies: self.work.latencies(),
        })
    }
}

impl Turn for Measured<'_> {
    /// Some turns of the loop, or one while it warms up.
    fn turn(&mut self, wait: Duration) -> Result<Progress> {
        let Some(begun) = &mut self.begun else {
            if monotonic_ns() < self.window.from_ns {
                self.work.turn(wait)?;
            } else {
                self.begun = Some(self.begin()?);
            }
            return Ok(Progress::Worked);
        };
        for _ in 0..LOOKS {
            // After what is done between two turns, which is none of the loop's work.
            let (kicked, at) = (self.meter.kicked(&self.queues), ticks());
            let n = self.work.turn(wait)?;
            if n == 0 {
                break;
            }
            let now = ticks();
            begun.packets += u64::from(n);
            begun.batches += 1;
            begun.inside += self.meter.inside(&self.queues, at, kicked, now);
        }
        let end_ns = if begun.packets > 0 { begun.until_ns } else { begun.late_ns };
        if monotonic_ns() < end_ns {
            return Ok(Progress::Worked);
        }
        if let Some(begun) = self.begun.take() {
            self.sample = Some(self.end(&begun)?);
        }
        Ok(Progress::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::QueueCounters;
    use crate::tools::Control;
    use crate::tools::measure::DurationStats;
    use crate::tools::worker::{Place, run};

    /// A loop whose packets begin to come at `from_ns`.
    struct Late {
        from_ns: u64,
    }

    impl Work for Late {
        fn turn(&mut self, _: Duration) -> Result<u32> {
            Ok(u32::from(monotonic_ns() >= self.from_ns))
        }

        fn queues(&self) -> Vec<QueueIndex> {
            vec![QueueIndex::new(0)]
        }

        fn calls(&self) -> Calls {
            Calls::default()
        }

        fn stats(&self) -> Result<XdpStatistics> {
            Ok(XdpStatistics::default())
        }

        fn counters(&self) -> Result<Vec<QueueCounters>> {
            Ok(Vec::new())
        }

        fn latencies(&mut self) -> DurationStats {
            DurationStats::new()
        }
    }

    fn sample(from_ns: u64, fed: bool, control: &Control) -> Option<Sample> {
        let window = Window { from_ns: 0, length: Duration::from_millis(1), queues: &[], fed };
        let meter = Meter::new(1, ticks);
        let mut measured = [Measured::new(Box::new(Late { from_ns }), &meter, window)];
        run(&mut measured, control, &Place::Threads { cpus: &[] }).unwrap();
        let [measured] = measured;
        measured.sample()
    }

    #[test]
    fn a_sample_goes_on_to_its_first_packet_where_one_is_sure_to_come() {
        let late = sample(monotonic_ns() + 30_000_000, true, &Control::default()).unwrap();
        assert!(late.packets > 0 && late.rate > 0.0, "{late:?}");
        let silent = sample(u64::MAX, false, &Control::default()).unwrap();
        assert_eq!(silent.packets, 0, "nobody may send there");
        assert!(silent.elapsed_ns >= 1e6, "{silent:?}");
    }

    #[test]
    fn a_run_that_is_stopped_has_no_sample() {
        let control = Control::default();
        control.stop();
        assert!(sample(0, true, &control).is_none());
    }
}
