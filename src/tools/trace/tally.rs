//! What is known of the way to one target: who answered at which TTL, how often, and when.

use super::answer::{Answer, Kind};
use super::event::{Balancing, ExtensionObject, Hop, Label, Nat, Router, Rtt};
use super::icmp_names;
use crate::tools::measure::times::Times;
use std::net::IpAddr;

/// TTLs that hosts and routers start with; an answer's TTL is below the one it started with.
const INITIAL_TTLS: [u8; 4] = [32, 64, 128, 255];

/// One TTL.
#[derive(Default)]
pub(super) struct HopTally {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) routers: Vec<RouterTally>,
    /// Slowest answer so far.
    pub(super) slowest_ns: Option<u64>,
    /// Probes in flight.
    pub(super) open: u32,
    /// Who told the MTU behind this hop before it answered an ordinary probe.
    pub(super) told_mtu: Option<(IpAddr, u32)>,
}

/// Who answered at a TTL.
pub(super) struct RouterTally {
    pub(super) address: IpAddr,
    pub(super) received: u64,
    pub(super) times: Times,
    last_ns: Option<u64>,
    jitter: (u64, u64),
    pub(super) last: Last,
}

/// What the last answer of a router said.
pub(super) struct Last {
    pub(super) kind: Kind,
    pub(super) reply_ttl: u8,
    pub(super) mpls: Vec<Label>,
    pub(super) extensions: Vec<ExtensionObject>,
    /// MTU behind it.
    pub(super) mtu: Option<u32>,
}

/// Round-trip times as they are summed up for somebody.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Who answered last.
    pub(super) address: Option<IpAddr>,
    pub(super) times: Times,
    pub(super) last_ns: Option<u64>,
}

/// The whole way: TTLs from the first on, and within each lane or flow.
pub(super) struct Tally {
    pub(super) first: u8,
    pub(super) hops: Vec<HopTally>,
    /// By lane (or flow), by TTL.
    pub(super) lanes: Vec<Vec<Cell>>,
    pub(super) nat: Vec<Nat>,
    pub(super) duplicates: u64,
    pub(super) late: u64,
}

impl Tally {
    pub(super) fn new(first: u8) -> Self {
        Self { first, hops: Vec::new(), lanes: Vec::new(), nat: Vec::new(), duplicates: 0, late: 0 }
    }

    /// The numbers of one TTL.
    pub(super) fn hop(&mut self, ttl: u8) -> &mut HopTally {
        let at = usize::from(ttl.saturating_sub(self.first));
        if self.hops.len() <= at {
            self.hops.resize_with(at + 1, HopTally::default);
        }
        &mut self.hops[at]
    }

    /// The numbers of one lane at one TTL.
    pub(super) fn cell(&mut self, lane: u16, ttl: u8) -> &mut Cell {
        let (lane, at) = (usize::from(lane), usize::from(ttl.saturating_sub(self.first)));
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, Vec::new);
        }
        let cells = &mut self.lanes[lane];
        if cells.len() <= at {
            cells.resize_with(at + 1, Cell::default);
        }
        &mut cells[at]
    }

    /// A probe leaves. It counts when it is known what became of it: one in flight is not lost.
    pub(super) fn sent(&mut self, ttl: u8) {
        self.hop(ttl).open += 1;
    }

    /// A probe was given up or answered.
    pub(super) fn settled(&mut self, ttl: u8, lane: u16) {
        let hop = self.hop(ttl);
        hop.open = hop.open.saturating_sub(1);
        hop.sent += 1;
        self.cell(lane, ttl).sent += 1;
    }

    /// A probe that was given up is waited for again.
    pub(super) fn unsettled(&mut self, ttl: u8, lane: u16) {
        let hop = self.hop(ttl);
        hop.open += 1;
        hop.sent = hop.sent.saturating_sub(1);
        let cell = self.cell(lane, ttl);
        cell.sent = cell.sent.saturating_sub(1);
    }

    /// A probe was answered in time.
    pub(super) fn answered(&mut self, ttl: u8, lane: u16, answer: &Answer, rtt_ns: Option<u64>) {
        self.settled(ttl, lane);
        let hop = self.hop(ttl);
        hop.received += 1;
        hop.slowest_ns = hop.slowest_ns.max(rtt_ns);
        hop.router(answer).record(rtt_ns);
        let cell = self.cell(lane, ttl);
        cell.received += 1;
        cell.address = Some(answer.from);
        cell.last_ns = rtt_ns.or(cell.last_ns);
        if let Some(ns) = rtt_ns {
            cell.times.record(ns);
        }
        self.translation(ttl, answer);
    }

    /// A second try was answered: only these count.
    pub(super) fn answered_again(
        &mut self,
        ttl: u8,
        lane: u16,
        answer: &Answer,
        rtt_ns: Option<u64>,
    ) {
        self.sent(ttl);
        self.answered(ttl, lane, answer, rtt_ns);
    }

    /// A probe was lost with the link: it counts as if it had not been sent.
    pub(super) fn unsent(&mut self, ttl: u8) {
        let hop = self.hop(ttl);
        hop.open = hop.open.saturating_sub(1);
    }

    /// Whether probes were sent with this TTL, and none is under way.
    pub(super) fn is_settled(&self, ttl: u8) -> bool {
        let hop = ttl.checked_sub(self.first).and_then(|at| self.hops.get(usize::from(at)));
        hop.is_some_and(|hop| hop.sent > 0 && hop.open == 0)
    }

    /// How many probes with this TTL were answered.
    pub(super) fn received(&self, ttl: u8) -> u64 {
        let at = usize::from(ttl.saturating_sub(self.first));
        self.hops.get(at).map_or(0, |hop| hop.received)
    }

    /// The largest TTL at which somebody answered.
    pub(super) fn farthest(&self) -> Option<u8> {
        let at = self.hops.iter().rposition(|hop| hop.received > 0)?;
        Some(self.first.saturating_add(at as u8))
    }

    /// Notes what a NAT did to a probe, at the first TTL from which it shows.
    fn translation(&mut self, ttl: u8, answer: &Answer) {
        let Some(rewritten) = answer.nat else { return };
        let found = Nat { ttl, address: answer.from.into(), rewritten };
        match self.nat.iter_mut().find(|nat| nat.rewritten == rewritten) {
            Some(known) if known.ttl > ttl => *known = found,
            Some(_) => {}
            None => self.nat.push(found),
        }
    }

    /// Every TTL up to `last`. `balancing` says how several routers share one.
    pub(super) fn report(&self, last: u8, balancing: impl Fn(u8) -> Option<Balancing>) -> Vec<Hop> {
        let silent = HopTally::default();
        let ttls = self.first..=last;
        ttls.map(|ttl| {
            let at = usize::from(ttl - self.first);
            let hop = self.hops.get(at).unwrap_or(&silent);
            // A loss belongs to the router that the lane's other probes met, or to the only one.
            let lost = |address: IpAddr| match &hop.routers[..] {
                [_] => hop.sent.saturating_sub(hop.received),
                _ => {
                    let cells = self.lanes.iter().filter_map(|cells| cells.get(at));
                    let met = cells.filter(|cell| cell.address == Some(address));
                    met.map(|cell| cell.sent.saturating_sub(cell.received)).sum()
                }
            };
            let mut routers: Vec<_> =
                hop.routers.iter().map(|router| router.report(ttl, lost(router.address))).collect();
            routers.sort_by_key(|router| std::cmp::Reverse(router.received));
            Hop {
                ttl,
                balancing: if routers.len() > 1 { balancing(ttl) } else { None },
                routers,
                sent: hop.sent,
                received: hop.received,
                loss_pct: loss_pct(hop.sent, hop.received),
                limited: false,
            }
        })
        .collect()
    }
}

impl HopTally {
    /// The entry of the router that sent `answer`, brought up to date.
    pub(super) fn router(&mut self, answer: &Answer) -> &mut RouterTally {
        let at = self.routers.iter().position(|router| router.address == answer.from);
        let at = at.unwrap_or_else(|| {
            self.routers.push(RouterTally {
                address: answer.from,
                received: 0,
                times: Times::default(),
                last_ns: None,
                jitter: (0, 0),
                last: Last {
                    kind: answer.kind,
                    reply_ttl: answer.reply_ttl,
                    mpls: Vec::new(),
                    extensions: Vec::new(),
                    mtu: self.told_mtu.filter(|told| told.0 == answer.from).map(|told| told.1),
                },
            });
            self.routers.len() - 1
        });
        let router = &mut self.routers[at];
        let last = &mut router.last;
        // A port that was once open stays so: it resets what comes before our own reset does.
        if !matches!((last.kind, answer.kind), (Kind::SynAck { .. }, Kind::Reset)) {
            last.kind = answer.kind;
        }
        last.reply_ttl = answer.reply_ttl;
        last.mpls.clone_from(&answer.mpls);
        last.extensions.clone_from(&answer.extensions);
        last.mtu = answer.kind.mtu().or(last.mtu);
        router
    }
}

impl RouterTally {
    fn record(&mut self, rtt_ns: Option<u64>) {
        self.received += 1;
        let Some(ns) = rtt_ns else { return };
        self.times.record(ns);
        if let Some(before) = self.last_ns.replace(ns) {
            self.jitter.0 += before.abs_diff(ns);
            self.jitter.1 += 1;
        }
    }

    fn report(&self, ttl: u8, lost: u64) -> Router {
        let sent = self.received + lost;
        let jitter = if self.jitter.1 == 0 {
            0.0
        } else {
            self.jitter.0 as f64 / self.jitter.1 as f64 / 1e3
        };
        Router {
            address: self.address.into(),
            name: None,
            sent,
            received: self.received,
            loss_pct: loss_pct(sent, self.received),
            limited: false,
            rtt_us: rtt(&self.times, self.last_ns, jitter),
            mpls: self.last.mpls.clone(),
            extensions: self.last.extensions.clone(),
            icmp: icmp_names::word(self.last.kind).into_owned(),
            mark: icmp_names::mark(self.last.kind),
            reply_ttl: self.last.reply_ttl,
            back_hops: back_hops(self.last.reply_ttl, ttl),
            mtu: self.last.mtu,
            port_state: icmp_names::port_state(self.last.kind),
            asn: None,
            other_asns: Vec::new(),
        }
    }
}

/// Round-trip times in the shape of a report.
pub(super) fn rtt(times: &Times, last_ns: Option<u64>, jitter: f64) -> Option<Rtt> {
    let times = times.with(|stats| stats.summary())?;
    Some(Rtt { last: last_ns? as f64 / 1e3, times, jitter })
}

/// Percent of `sent` that were not received.
pub(super) fn loss_pct(sent: u64, received: u64) -> f64 {
    if sent == 0 { 0.0 } else { sent.saturating_sub(received) as f64 * 100.0 / sent as f64 }
}

/// Hops that an answer travelled, if it started with the usual TTL that explains it best: the next
/// one above, except that 32 is hardly used any more and only taken where the way is short.
#[must_use]
pub fn back_hops(reply_ttl: u8, ttl: u8) -> Option<u8> {
    let hops = |initial: u8| initial.checked_sub(reply_ttl).map(|gone| gone.saturating_add(1));
    let near = |hops: &u8| hops.abs_diff(ttl) <= 8;
    let by_initial = |initial: &u8| hops(*initial);
    let likely = INITIAL_TTLS.iter().filter_map(by_initial).find(near);
    likely.or_else(|| INITIAL_TTLS[1..].iter().filter_map(by_initial).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_guessed_from_the_usual_first_ttls() {
        assert_eq!(back_hops(64, 1), Some(1));
        assert_eq!(back_hops(59, 6), Some(6));
        assert_eq!(back_hops(250, 6), Some(6));
        assert_eq!(back_hops(61, 6), Some(4));
        assert_eq!(back_hops(30, 3), Some(3));
        assert_eq!(back_hops(120, 9), Some(9));
        assert_eq!(back_hops(255, 1), Some(1));
        assert_eq!(back_hops(40, 3), Some(25), "a long way, rather than an odd first TTL");
    }

    #[test]
    fn no_probes_are_no_loss() {
        assert_eq!((loss_pct(0, 0), loss_pct(4, 3), loss_pct(3, 4)), (0.0, 25.0, 0.0));
    }
}
