//! Measuring on simulated rings: ring, engine and protocol code alone.
//!
//! Packets are put into the simulated kernel while nothing is measured; what is measured is the
//! time that the loop then spends on its own side of the rings.

use super::event::Note;
use super::plan::{Plan, Setting, Workload};
use super::sample::{self, Sample};
use super::ways;
use super::work::{self, Work};
use crate::backend::Filter;
use crate::backend::meter::Meter;
use crate::config::{Config, Granted, Queues};
use crate::error::Result;
use crate::ids::QueueIndex;
use crate::simulator::{SimSpec, Simulator};
use crate::stats::{Calls, XdpStatistics};
use crate::tools::Control;
use crate::tools::session::Trouble;
use crate::tools::worker::{self, Progress, Turn, WAIT};
use crate::{FluxBuilder, HugePages};
use std::time::{Duration, Instant};

const PORT: &str = "a0";
/// What workload forward sends by.
pub(super) const OUT: &str = "a1";
/// Packets put in at a time: several batches, and less than the fill ring holds.
const BURST: u32 = 512;

/// One sample of a setting.
pub(super) fn measure(
    plan: &Plan,
    spec: &SimSpec,
    setting: &Setting,
    control: &Control,
) -> Result<(Sample, Granted)> {
    let network = Simulator::crossed_pairs(2, spec.queues.max(1));
    network.set_troubles(PORT, spec.troubles)?;
    network.set_troubles(OUT, spec.troubles)?;
    for port in [PORT, OUT] {
        network.set_tx_queues(port, spec.tx_queues.unwrap_or(u32::MAX))?;
    }
    let config = Config {
        interface: PORT.to_owned(),
        queues: setting.queues.clone(),
        poller: setting.poll.poller(),
        batch: setting.batch,
        huge_pages: HugePages::Off,
        prefetch: setting.prefetch,
        ..plan.config.clone()
    };
    let meter = Meter::new(2 * spec.queues.max(1) as usize, sample::ticks);
    let builder = FluxBuilder::from_config(config).simulator(&network);
    let mut builder = builder.filter(Filter::Everything).metered(&meter);
    let mut sends = PORT;
    if setting.workload == Workload::Forward {
        builder = builder.port(OUT).filter(Filter::Nothing);
        sends = OUT;
    }
    let packet = crate::tools::traffic::rfc2544::to_us(setting.packet_size as usize)?;
    let (loops, granted) = work::start(builder, setting, packet.bytes())?;
    let feeds = setting.workload != Workload::Txonly;
    let feed =
        Feed { network: &network, granted: &granted, packet: feeds.then_some(packet.bytes()) };
    let mut loops: Vec<_> = loops.into_iter().map(|work| Fed::new(work, &feed, &meter)).collect();
    // Until caches and branch predictors know the way.
    run(&mut loops, plan.duration / 4, control)?;
    let calls = |loops: &[Fed<'_>]| {
        loops.iter().map(|fed| fed.work.calls()).fold(Calls::default(), |a, b| a + b)
    };
    let before = calls(&loops);
    let mut sum = run(&mut loops, plan.duration, control)?;
    sum.calls = calls(&loops).since(&before);
    for fed in &loops {
        sum.stats = sum.stats + fed.work.stats()?;
    }
    sum.trouble = trouble(&network, sends, &sum);
    if sum.trouble.as_ref().is_some_and(|note| note.kind == Trouble::StuckTx) {
        // What the ring has room for was put there and not sent.
        (sum.packets, sum.batches, sum.rate, sum.batch) = (0, 0, 0.0, Some((0.0, 0.0)));
    }
    Ok((sum, granted))
}

/// What kept packets from being measured, in words that are the same for each setting.
fn trouble(network: &Simulator, sends: &str, sample: &Sample) -> Option<Note> {
    let (port, out) = (network.port(PORT)?, network.port(sends)?);
    let sockets = network.sockets();
    let has_socket = |queue| sockets.iter().any(|socket| socket.queue == Some(queue));
    let mut received = (0u32..).zip(&port.queue_rx_packets);
    let wrong_queue = received.find(|&(queue, &count)| count > 0 && !has_socket(queue));
    let waiting = sockets.iter().any(|socket| socket.tx.and_then(|tx| tx.used()) > Some(0));
    let XdpStatistics { rx_dropped, rx_fill_ring_empty_descs: empty, .. } = sample.stats;
    let (kind, text) = if let Some((queue, _)) = wrong_queue {
        let text = format!(
            "packets come to queue {queue} of {PORT}, which has no socket: use --queue {queue}"
        );
        (Trouble::WrongQueue, text)
    } else if sample.packets == 0 && rx_dropped > 0 && empty > 0 {
        let text = "the kernel drops all packets: it finds the fill ring empty (starved)";
        (Trouble::Starved, text.to_owned())
    } else if out.tx_packets == 0 && waiting {
        let text = "packets wait in the TX ring and none is sent, however often the kernel is told \
                    (stuck TX)";
        (Trouble::StuckTx, text.to_owned())
    } else {
        return None;
    };
    Some(Note::new(kind, text))
}

/// What is put into the simulated kernel before each burst.
struct Feed<'f> {
    network: &'f Simulator,
    granted: &'f Granted,
    /// `None`: the loop makes packets of its own.
    packet: Option<&'f [u8]>,
}

impl Feed<'_> {
    /// A burst for the queue at `position`, if packets come in there.
    fn queue(&self, position: QueueIndex) -> Result<()> {
        let Some(packet) = self.packet else { return Ok(()) };
        let Some(&number) = self.granted.queues.get(position.get()) else { return Ok(()) };
        (0..BURST.min(self.granted.ring_size))
            .try_for_each(|_| self.network.inject(PORT, Some(number), packet))
    }
}

/// A loop that is given a burst at a time, and what it did since the last [`run`] began.
struct Fed<'f> {
    work: Box<dyn Work>,
    queues: Vec<QueueIndex>,
    feed: &'f Feed<'f>,
    meter: &'f Meter,
    until: Instant,
    packets: u64,
    batches: u64,
    /// Ticks inside turns that had packets.
    inside: u64,
}

impl<'f> Fed<'f> {
    fn new(work: Box<dyn Work>, feed: &'f Feed<'f>, meter: &'f Meter) -> Self {
        let (queues, until) = (work.queues(), Instant::now());
        Self { work, queues, feed, meter, until, packets: 0, batches: 0, inside: 0 }
    }
}

impl Turn for Fed<'_> {
    /// One burst. What is measured is our side of the rings, so real time counts, and the loop is
    /// alone: it may wait in virtual time.
    fn turn(&mut self, _: Duration) -> Result<Progress> {
        self.queues.iter().try_for_each(|&queue| self.feed.queue(queue))?;
        let mut at = sample::ticks();
        // As many packets as were put in; txonly sends as many of its own.
        let mut left = u64::from(BURST);
        while left > 0 {
            let kicked = self.meter.kicked(&self.queues);
            let n = u64::from(self.work.turn(WAIT)?);
            let now = sample::ticks();
            if n == 0 {
                break;
            }
            self.inside += self.meter.inside(&self.queues, at, kicked, now);
            self.packets += n;
            self.batches += 1;
            left = left.saturating_sub(n);
            at = sample::ticks();
        }
        Ok(if Instant::now() < self.until { Progress::Worked } else { Progress::Done })
    }
}

/// Has the loops take turns for `length`, and one at least: a sample without a packet says nothing.
fn run(loops: &mut [Fed<'_>], length: Duration, control: &Control) -> Result<Sample> {
    let (begin, first) = (Instant::now(), sample::ticks());
    for fed in &mut *loops {
        (fed.until, fed.packets, fed.batches, fed.inside) = (begin + length, 0, 0, 0);
    }
    if let Some(network) = loops.first().map(|fed| fed.feed.network) {
        worker::run(loops, control, &worker::Place::InTurn(network))?;
    }
    let elapsed_ns = begin.elapsed().max(Duration::from_nanos(1)).as_nanos() as f64;
    let ns_per_tick = elapsed_ns / (sample::ticks() - first).max(1) as f64;
    let total = |of: fn(&Fed<'_>) -> u64| loops.iter().map(of).sum::<u64>();
    let (packets, inside) = (total(|fed| fed.packets), total(|fed| fed.inside));
    let inside_ns = inside as f64 * ns_per_tick;
    Ok(Sample {
        packets,
        batches: total(|fed| fed.batches),
        rate: if inside == 0 { 0.0 } else { packets as f64 * 1e9 / inside_ns },
        elapsed_ns,
        batch: Some((inside_ns, inside as f64)),
        ..Sample::default()
    })
}

/// Whether the simulator can tell anything about a plan's workloads and queues.
pub(super) fn check(plan: &Plan, spec: &SimSpec) -> Result<()> {
    use crate::error::FluxError;
    if plan.workloads.contains(&Workload::Latency) {
        return Err(FluxError::config(
            "workload latency with --sim",
            "virtual time stands still while we work: there is nothing to measure",
        )
        .with_hint("measure it with --lab or on an interface; --sim takes the other workloads"));
    }
    // What auto falls back to is what the simulator has.
    if !plan.hugepages.iter().all(|pages| matches!(pages, HugePages::Auto | HugePages::Off)) {
        return Err(FluxError::config(
            "huge pages with --sim",
            "the simulator's memory is in ordinary pages",
        )
        .with_hint("measure them with --lab or on an interface"));
    }
    let several = |queues: &Queues| match queues {
        Queues::All => spec.queues > 1,
        Queues::Only(list) => list.len() > 1,
    };
    let tx = spec.tx_queues.unwrap_or(spec.queues);
    ways::check_plan(plan, PORT, crate::tools::host::Queues { rx: spec.queues, tx })?;
    if plan.queues.iter().any(several) {
        return Err(FluxError::config(
            "several queues with --sim",
            "they are worked in turn, so that nothing scales",
        )
        .with_hint("choose one with --queue"));
    }
    Ok(())
}
