//! Link layer addresses of the next hops: found before the first probe, asked for again while
//! some are missing.

use super::refused::WhyNot;
use super::targets::Hop;
use crate::proto::MacAddr;
use crate::tools::host::{Cause, Host, HostError, Neighbour};
use serde::Serialize;
use std::collections::HashMap;
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
/// What was asked for no longer than this had no time to answer.
const JUST_NOW: Duration = Duration::from_millis(20);
/// Most questions of one glance.
const GLANCE_HOPS: usize = 64;

/// The link layer address of a next hop: found, or another one than before. Asking for it is in no RTT.
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
    /// What it was before, where it moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// What is known of one next hop.
struct Known {
    hop: Hop,
    /// The address, or why there is none.
    mac: Result<MacAddr, WhyNot>,
    /// How long it has been asked for without an answer.
    asked: Duration,
    /// Since when, once the run has begun.
    asked_since_ns: Option<u64>,
    /// It is to be asked for again. Packets go to the last known address meanwhile.
    is_open: bool,
}

/// The next hops of a run.
pub(crate) struct NextHops {
    known: Vec<Known>,
    at: HashMap<Hop, usize>,
    /// How many are to be asked for.
    open: usize,
    ask_again_ns: u64,
    /// Where the next glance starts.
    cursor: usize,
}

impl NextHops {
    pub(crate) fn new(hops: &[Hop]) -> Self {
        let mut all = Self {
            known: Vec::with_capacity(hops.len()),
            at: HashMap::with_capacity(hops.len()),
            open: 0,
            ask_again_ns: 0,
            cursor: 0,
        };
        all.add(hops);
        all
    }

    /// Takes those that came after the start; `hops` are all of them.
    pub(super) fn add(&mut self, hops: &[Hop]) {
        for &hop in hops.iter().skip(self.known.len()) {
            self.at.insert(hop, self.known.len());
            let mac = Err(WhyNot::local("its neighbour was not asked for yet"));
            let asked = Duration::ZERO;
            self.known.push(Known { hop, mac, asked, asked_since_ns: None, is_open: true });
            self.open += 1;
            self.ask_again_ns = 0;
        }
    }

    /// The link layer address of a hop, or why there is none.
    pub(crate) fn get(&self, hop: usize) -> Result<MacAddr, WhyNot> {
        let known = self.known.get(hop).map(|known| known.mac.clone());
        known.unwrap_or_else(|| Err(WhyNot::local("no such hop")))
    }

    /// The host's table says something new about a neighbour. True when packets go elsewhere now.
    pub(super) fn heard(
        &mut self,
        hop: Hop,
        mac: Option<[u8; 6]>,
        tell: impl FnMut(NeighbourFound),
    ) -> bool {
        let Some(&at) = self.at.get(&hop) else { return false };
        match mac {
            Some(mac) => self.found(at, MacAddr(mac), (Duration::ZERO, true), tell),
            // Gone from the table: nobody there asks for it any more.
            None => {
                self.open(at);
                false
            }
        }
    }

    /// All are to be asked for again.
    pub(super) fn open_all(&mut self) {
        (0..self.known.len()).for_each(|at| self.open(at));
    }

    /// One is to be asked for again.
    pub(super) fn open(&mut self, at: usize) {
        if let Some(known) = self.known.get_mut(at)
            && !std::mem::replace(&mut known.is_open, true)
        {
            self.open += 1;
            self.ask_again_ns = 0;
        }
    }

    fn found(
        &mut self,
        at: usize,
        mac: MacAddr,
        (took, cached): (Duration, bool),
        mut tell: impl FnMut(NeighbourFound),
    ) -> bool {
        let known = &mut self.known[at];
        (known.asked, known.asked_since_ns) = (Duration::ZERO, None);
        self.open -= usize::from(std::mem::take(&mut known.is_open));
        let before = std::mem::replace(&mut known.mac, Ok(mac));
        if before == Ok(mac) {
            return false;
        }
        tell(NeighbourFound {
            address: known.hop.address,
            mac: mac.to_string(),
            took_us: took.as_nanos() as f64 / 1e3,
            cached,
            before: before.ok().map(|mac| mac.to_string()),
        });
        true
    }

    /// Asks for all, until all have answered, given up, or had their time. A stop is heeded after the
    /// first question: what was never asked is not unknown.
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
        let mut open: Vec<usize> = (0..self.known.len()).collect();
        while !open.is_empty() && waited < patience && (waited.is_zero() || !stop()) {
            let slice = SLICE.min(patience - waited);
            open = self.ask(host, &open, slice, (waited, None), &mut tell).0;
            waited += slice;
        }
    }

    /// When [`glance`](Self::glance) has something to do.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        (self.open > 0).then_some(self.ask_again_ns)
    }

    /// Sets the next glance a second after `now_ns`.
    pub(crate) fn rest(&mut self, now_ns: u64) {
        self.ask_again_ns = now_ns.saturating_add(AGAIN_NS);
    }

    /// Asks for some of the open ones without waiting; whether packets go elsewhere now.
    pub(crate) fn glance(
        &mut self,
        host: &mut dyn Host,
        now_ns: u64,
        mut tell: impl FnMut(NeighbourFound),
    ) -> bool {
        let all = self.known.len();
        let turn = (0..all).map(|n| (self.cursor + n) % all);
        let which: Vec<_> = turn.filter(|&n| self.known[n].is_open).take(GLANCE_HOPS).collect();
        self.cursor = which.last().map_or(0, |last| (last + 1) % all);
        self.ask(host, &which, GLANCE, (Duration::ZERO, Some(now_ns)), &mut tell).1
    }

    /// Returns those that may still answer, and whether packets go elsewhere now.
    fn ask(
        &mut self,
        host: &mut dyn Host,
        which: &[usize],
        timeout: Duration,
        (waited, now_ns): (Duration, Option<u64>),
        tell: &mut impl FnMut(NeighbourFound),
    ) -> (Vec<usize>, bool) {
        let wanted = which.iter().map(|&at| self.known[at].hop);
        let wanted: Vec<_> = wanted.map(|hop| (hop.ifindex, hop.address)).collect();
        let (mut open, mut moved) = (Vec::new(), false);
        for (&at, answer) in which.iter().zip(host.neighbours(&wanted, timeout)) {
            match answer {
                Ok(Neighbour { mac, took, cached }) => {
                    // Found between two questions: the kernel knew by the second.
                    let cached = cached && waited.is_zero();
                    let took = if cached { Duration::ZERO } else { took + waited };
                    moved |= self.found(at, MacAddr(mac), (took, cached), &mut *tell);
                }
                Err(error) => {
                    let is_full = is_full(&error);
                    if is_full || matches!(error.cause(), Cause::NeighbourTimeout { .. }) {
                        open.push(at);
                    }
                    let known = &mut self.known[at];
                    if known.mac.is_ok() {
                        continue; // the last known one is better than none
                    }
                    let asked = match error.cause() {
                        Cause::NeighbourTimeout { waited } | Cause::NeighbourFailed { waited } => {
                            known.asked_for(*waited, now_ns)
                        }
                        _ => Duration::ZERO,
                    };
                    known.mac = Err(WhyNot::of(&error, known.hop.address, asked));
                }
            }
        }
        (open, moved)
    }
}

impl WhyNot {
    /// Why the link layer address of a next hop is not known, which was asked for so long.
    fn of(error: &HostError, hop: IpAddr, asked_for: Duration) -> Self {
        match error.cause() {
            Cause::NeighbourTimeout { .. } | Cause::NeighbourFailed { .. } => {
                Self::Silent(no_answer(hop, asked_for))
            }
            _ if is_full(error) => {
                let family = if hop.is_ipv4() { "ipv4" } else { "ipv6" };
                Self::Local(format!(
                    "the kernel's neighbour table is full: raise net.{family}.neigh.default.gc_thresh3 \
                     with sysctl (all network namespaces share it)"
                ))
            }
            _ => Self::Local(error.to_string()),
        }
    }
}

impl Known {
    /// How long it has been asked for, with a question of `waited` that began at `now_ns`. In between
    /// the kernel goes on asking.
    fn asked_for(&mut self, waited: Duration, now_ns: Option<u64>) -> Duration {
        let before = self.asked;
        self.asked += waited;
        if let Some(now) = now_ns {
            let begun = now.saturating_sub(before.as_nanos() as u64);
            let since = *self.asked_since_ns.get_or_insert(begun);
            self.asked = Duration::from_nanos(now.saturating_sub(since)) + waited;
        }
        self.asked
    }
}

/// Whether the host has no room for one more neighbour: it did not ask.
fn is_full(error: &HostError) -> bool {
    matches!(error.cause(), Cause::Os(source) if source.raw_os_error() == Some(libc::ENOBUFS))
}

/// How long a next hop did not answer.
fn no_answer(address: IpAddr, asked_for: Duration) -> String {
    let question = if address.is_ipv4() { "ARP" } else { "neighbour solicitations" };
    if asked_for <= JUST_NOW {
        return format!("{address} has not answered {question} yet: it was asked a moment ago");
    }
    let time = match asked_for.as_secs() {
        0 => format!("{} ms", asked_for.as_millis()),
        _ => format!("{:.1} s", asked_for.as_secs_f64()),
    };
    format!("{address} did not answer {question} for {time}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::host::{Family, Interface, Queues, Route, Target};
    use std::io;

    /// A host whose next answers are these, the same for all addresses.
    struct Next(Vec<fn() -> Result<Neighbour, Cause>>);

    impl Host for Next {
        fn neighbours(
            &mut self,
            wanted: &[(u32, IpAddr)],
            _: Duration,
        ) -> Vec<Result<Neighbour, HostError>> {
            let answer = if self.0.len() > 1 { self.0.remove(0) } else { self.0[0] };
            let about = |&(_, addr): &(u32, IpAddr)| {
                answer().map_err(|cause| HostError::new("find", addr, cause))
            };
            wanted.iter().map(about).collect()
        }

        fn resolve(&self, _: &str, _: Family) -> Result<Target, HostError> {
            unreachable!()
        }

        fn interface(&self, _: &str) -> Result<Interface, HostError> {
            unreachable!()
        }

        fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
            unreachable!()
        }

        fn route(&self, _: IpAddr, _: Option<u32>, _: Option<IpAddr>) -> Result<Route, HostError> {
            unreachable!()
        }

        fn driver(&self, _: &str) -> Option<String> {
            None
        }

        fn queues(&self, _: &str) -> Result<Queues, HostError> {
            unreachable!()
        }
    }

    fn full() -> Result<Neighbour, Cause> {
        Err(Cause::Os(io::Error::from_raw_os_error(libc::ENOBUFS)))
    }

    fn silent() -> Result<Neighbour, Cause> {
        Err(Cause::NeighbourTimeout { waited: GLANCE })
    }

    fn answered() -> Result<Neighbour, Cause> {
        Ok(Neighbour { mac: [2; 6], took: GLANCE, cached: false })
    }

    fn hops() -> NextHops {
        NextHops::new(&[Hop { ifindex: 1, address: [192, 0, 2, 77].into() }])
    }

    fn find_all(hops: &mut NextHops, host: &mut Next) {
        hops.find_all(host, Duration::from_secs(1), None, || false, |_| ());
    }

    #[test]
    fn who_could_not_be_asked_is_asked_again_and_did_not_fail_to_answer() {
        let mut hops_found = hops();
        find_all(&mut hops_found, &mut Next(vec![full, full, answered]));
        assert_eq!(hops_found.get(0), Ok(MacAddr([2; 6])));
        let (mut hops, mut host) = (hops(), Next(vec![full]));
        find_all(&mut hops, &mut host);
        let why = hops.get(0).unwrap_err();
        assert!(why.is_local() && why.to_string().contains("net.ipv4.neigh"), "{why}");
        // Not given up: the run asks once a second, and says what is true then.
        hops.glance(&mut Next(vec![silent]), 5_000_000_000, |_| ());
        assert!(hops.get(0).unwrap_err().to_string().contains("not answered ARP yet"));
        hops.glance(&mut Next(vec![answered]), 6_000_000_000, |_| ());
        assert!(hops.get(0).is_ok());
    }

    #[test]
    fn the_time_that_is_said_is_the_one_since_the_first_question() {
        let (mut hops, mut host) = (hops(), Next(vec![silent]));
        let mut said = Vec::new();
        for now in [100_000_000, 1_100_000_000, 3_300_000_000] {
            hops.glance(&mut host, now, |_| ());
            said.push(hops.get(0).unwrap_err().to_string());
        }
        assert_eq!(
            said,
            [
                "Destination Host Unreachable: 192.0.2.77 has not answered ARP yet: it was asked a moment ago",
                "Destination Host Unreachable: 192.0.2.77 did not answer ARP for 1.0 s",
                "Destination Host Unreachable: 192.0.2.77 did not answer ARP for 3.2 s",
            ]
        );
    }

    #[test]
    fn what_this_host_lacks_is_not_called_unreachable() {
        let hop: [IpAddr; 2] = [[10, 0, 0, 7].into(), "2001:db8::7".parse().unwrap()];
        let why = |cause, hop: IpAddr| {
            let error = HostError::new("find the neighbour", hop, cause);
            WhyNot::of(&error, hop, Duration::from_secs(1))
        };
        let silent = why(Cause::NeighbourFailed { waited: Duration::from_secs(1) }, hop[0]);
        assert!(!silent.is_local());
        let said = "Destination Host Unreachable: 10.0.0.7 did not answer ARP for 1.0 s";
        assert_eq!(silent.to_string(), said);
        for (hop, table) in hop.into_iter().zip(["ipv4", "ipv6"]) {
            let full = why(Cause::Os(io::Error::from_raw_os_error(libc::ENOBUFS)), hop);
            assert!(full.is_local());
            let said = full.to_string();
            assert!(said.starts_with("the kernel's neighbour table is full: "), "{said}");
            assert!(said.contains(&format!("net.{table}.neigh.default.gc_thresh3")), "{said}");
        }
        let other = why(Cause::Os(io::Error::from_raw_os_error(libc::EINVAL)), hop[0]);
        assert!(other.is_local() && !other.to_string().contains("Unreachable"), "{other}");
    }
}
