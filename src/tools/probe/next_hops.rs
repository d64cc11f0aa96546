//! Link layer addresses of the next hops: found before the first probe, asked for again while
//! some are missing.

use crate::proto::MacAddr;
use crate::tools::host::{Cause, Host, Neighbour};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// One question at a time lasts this long, so that a stop is noticed.
const SLICE: Duration = Duration::from_millis(250);
/// How long the first probe waits for next hops: between these, by the plan's timeout. The kernel
/// gives up after three requests a second apart.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));
/// Missing next hops are asked for this often while the run goes on.
const AGAIN_NS: u64 = 1_000_000_000;
/// That must not hold up the other targets: the kernel goes on asking in the background, and
/// knows the answer at the next question.
const GLANCE: Duration = Duration::from_millis(1);
/// Most questions of one glance.
const GLANCE_HOPS: usize = 64;

/// Neighbour resolution, which is in no RTT.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourFound {
    /// The next hop.
    pub address: IpAddr,
    /// Its link layer address.
    pub mac: String,
    /// How long the kernel took; 0 when it knew.
    pub took_us: f64,
    /// Whether the kernel knew.
    pub cached: bool,
}

/// The next hops of a run.
pub(crate) struct NextHops {
    ifindex: u32,
    addresses: Vec<IpAddr>,
    found: Vec<Result<MacAddr, String>>,
    missing: usize,
    ask_again_ns: u64,
    /// Where the next glance starts.
    cursor: usize,
}

impl NextHops {
    pub(crate) fn new(ifindex: u32, addresses: Vec<IpAddr>) -> Self {
        let found = vec![Err("not asked for yet".to_owned()); addresses.len()];
        let missing = addresses.len();
        Self { ifindex, addresses, found, missing, ask_again_ns: 0, cursor: 0 }
    }

    /// The link layer address of a hop, or why there is none.
    pub(crate) fn get(&self, hop: usize) -> Result<MacAddr, &str> {
        match self.found.get(hop) {
            Some(Ok(mac)) => Ok(*mac),
            Some(Err(why)) => Err(why),
            None => Err("no such hop"),
        }
    }

    /// Asks for all, until all have answered, given up, or had their time.
    pub(crate) fn find_all(
        &mut self,
        host: &mut dyn Host,
        timeout: Duration,
        deadline: Option<Duration>,
        stop: impl Fn() -> bool,
        tell: impl FnMut(NeighbourFound),
    ) {
        // Some of a deadline is left for probes.
        let most = deadline.map_or(PATIENCE.1, |deadline| deadline / 2);
        let patience = timeout.clamp(PATIENCE.0, PATIENCE.1).min(most);
        let mut tell = tell;
        let mut waited = Duration::ZERO;
        let mut open: Vec<usize> = (0..self.addresses.len()).collect();
        while !open.is_empty() && waited < patience && !stop() {
            let slice = SLICE.min(patience - waited);
            open = self.ask(host, &open, slice, waited, &mut tell);
            waited += slice;
        }
    }

    /// When [`glance`](Self::glance) has something to do.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        (self.missing > 0).then_some(self.ask_again_ns)
    }

    /// Sets the next glance a second after `now_ns`.
    pub(crate) fn rest(&mut self, now_ns: u64) {
        self.ask_again_ns = now_ns.saturating_add(AGAIN_NS);
    }

    /// Asks for some of the missing ones without waiting; whether any was found.
    pub(crate) fn glance(
        &mut self,
        host: &mut dyn Host,
        mut tell: impl FnMut(NeighbourFound),
    ) -> bool {
        let (all, before) = (self.addresses.len(), self.missing);
        let turn = (0..all).map(|n| (self.cursor + n) % all);
        let which: Vec<_> = turn.filter(|&n| self.found[n].is_err()).take(GLANCE_HOPS).collect();
        self.cursor = which.last().map_or(0, |last| (last + 1) % all);
        self.ask(host, &which, GLANCE, Duration::ZERO, &mut tell);
        self.missing < before
    }

    /// Returns those that may still answer.
    fn ask(
        &mut self,
        host: &mut dyn Host,
        which: &[usize],
        timeout: Duration,
        waited: Duration,
        tell: &mut impl FnMut(NeighbourFound),
    ) -> Vec<usize> {
        let wanted: Vec<_> = which.iter().map(|&hop| (self.ifindex, self.addresses[hop])).collect();
        let mut open = Vec::new();
        for (&hop, answer) in which.iter().zip(host.neighbours(&wanted, timeout)) {
            match answer {
                Ok(Neighbour { mac, took, cached }) => {
                    // Found between two questions: the kernel knew by the second.
                    let cached = cached && waited.is_zero();
                    let took = if cached { Duration::ZERO } else { took + waited };
                    let mac = MacAddr(mac);
                    tell(NeighbourFound {
                        address: self.addresses[hop],
                        mac: mac.to_string(),
                        took_us: took.as_nanos() as f64 / 1e3,
                        cached,
                    });
                    self.found[hop] = Ok(mac);
                    self.missing -= 1;
                }
                Err(error) => {
                    if matches!(error.cause(), Cause::NeighbourTimeout { .. }) {
                        open.push(hop);
                    }
                    let total = waited + timeout;
                    self.found[hop] = Err(match error.cause() {
                        Cause::NeighbourTimeout { .. } | Cause::NeighbourFailed { .. } => {
                            no_answer(self.addresses[hop], total)
                        }
                        _ => error.to_string(),
                    });
                }
            }
        }
        open
    }
}

/// Why the link layer address of a next hop is not known.
fn no_answer(address: IpAddr, asked_for: Duration) -> String {
    let question = if address.is_ipv4() { "ARP" } else { "neighbour solicitations" };
    let time = match asked_for.as_secs() {
        0 => format!("{} ms", asked_for.as_millis()),
        _ => format!("{:.1} s", asked_for.as_secs_f64()),
    };
    format!("{address} did not answer {question} for {time}")
}
