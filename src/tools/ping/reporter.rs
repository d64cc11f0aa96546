//! [`Reporter`]: events of single probes, where each is to be reported.

use super::answer::{EchoError, EchoReply};
use super::event::{Event, IcmpError, Outstanding, Reply, Timeout, WrongByte};
use super::mark::Difference;
use super::progress::{NO_LINK, Odd};
use super::sequences::Probe;
use crate::proto::ICMP_LEN;
use crate::tools::probe::{Path, ProbeTargets, SendError, UNKNOWN, WhyNot};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reports what happens to probes.
pub(super) struct Reporter<'a> {
    pub(super) sink: &'a mut dyn FnMut(Event),
    /// Whether single probes are reported.
    each: bool,
    /// Whether replies have the time of day.
    wall_clock: bool,
    /// Whether the time of day is the run's own, too.
    is_virtual: bool,
    /// Targets whose missing next hop was reported.
    unreachable: Vec<bool>,
    /// Targets without a link, which was reported.
    cut_off: Vec<bool>,
}

/// What is known of an answer, besides what it says itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) seq: u64,
    pub(super) rtt_ns: Option<u64>,
    pub(super) reordered: bool,
    pub(super) odd: Odd,
    pub(super) wrong: Option<Difference>,
}

/// When a packet came, or [`UNKNOWN`], and the time now, in ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) at: u64,
    pub(super) now: u64,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        sink: &'a mut dyn FnMut(Event),
        (each, wall_clock): (bool, bool),
        is_virtual: bool,
        targets: usize,
    ) -> Self {
        Self {
            sink,
            each,
            wall_clock,
            is_virtual,
            unreachable: vec![false; targets],
            cut_off: vec![false; targets],
        }
    }

    /// A probe was given up.
    pub(super) fn timeout(&mut self, targets: &ProbeTargets, probe: Probe) {
        if self.each {
            let target = targets.paths[probe.target as usize].name.clone();
            let (seq, after_error) = (probe.sequence, probe.failed);
            (self.sink)(Event::Timeout(Timeout { target, seq, after_error }));
        }
    }

    /// A probe waits for its answer while the next one is sent.
    pub(super) fn outstanding(&mut self, path: &Path, seq: u64) {
        if self.each {
            (self.sink)(Event::Outstanding(Outstanding { target: path.name.clone(), seq }));
        }
    }

    /// A probe could not be sent; reported once per target. What is wrong with this host is reported
    /// also where single probes are not.
    pub(super) fn unreachable(&mut self, target: usize, path: &Path, why: &WhyNot) {
        if (self.each || why.is_local()) && !std::mem::replace(&mut self.unreachable[target], true)
        {
            let (target, error) = (path.name.clone(), why.to_string());
            (self.sink)(Event::SendError(SendError { target, error, hint: None }));
        }
    }

    /// A probe was not sent, as there is no link; reported once per target and outage.
    pub(super) fn no_link(&mut self, target: usize, path: &Path) {
        if !std::mem::replace(&mut self.cut_off[target], true) && self.each {
            let (target, error) = (path.name.clone(), NO_LINK.to_owned());
            (self.sink)(Event::SendError(SendError { target, error, hint: None }));
        }
    }

    /// There is a link to a target.
    pub(super) fn has_link(&mut self, target: usize) {
        self.cut_off[target] = false;
    }

    /// An answer; `event` says which kind.
    pub(super) fn reply(
        &mut self,
        (targets, path): (&ProbeTargets, &Path),
        reply: &EchoReply<'_>,
        event: fn(Reply) -> Event,
        facts: &Facts,
        times: Times,
    ) {
        if !self.each {
            return;
        }
        let unix_time_s = self.wall_clock.then(|| self.time_of_day(times));
        (self.sink)(event(Reply {
            target: path.name.clone(),
            from: targets.zoned(path, reply.from),
            seq: facts.seq,
            bytes: ICMP_LEN + reply.payload.len(),
            reply_ttl: reply.ttl,
            rtt_us: facts.rtt_ns.map(us),
            out_of_order: facts.reordered,
            truncated: facts.odd.truncated,
            different_address: facts.odd.different_address,
            wrong_byte: facts.wrong.map(|Difference { at, sent, came }| WrongByte {
                offset: at,
                expected: sent,
                actual: came,
            }),
            unix_time_s,
        }));
    }

    /// An ICMP error about a probe.
    pub(super) fn error(
        &mut self,
        (targets, path): (&ProbeTargets, &Path),
        error: &EchoError<'_>,
        seq: u64,
        rtt_ns: Option<u64>,
    ) {
        if self.each {
            (self.sink)(Event::Icmp(IcmpError {
                target: path.name.clone(),
                from: targets.zoned(path, error.from),
                seq,
                icmp_type: error.report.icmp_type,
                code: error.report.code,
                text: error.report.text().into_owned(),
                mtu: error.report.mtu(),
                rtt_us: rtt_ns.map(us),
            }));
        }
    }

    /// The time of day of an arrival, in seconds since 1970; virtual time started then.
    fn time_of_day(&self, Times { at, now }: Times) -> f64 {
        if self.is_virtual {
            return at as f64 / 1e9;
        }
        let at = if at == UNKNOWN { now } else { at };
        let ago = Duration::from_nanos(now.saturating_sub(at));
        let day =
            SystemTime::now().checked_sub(ago).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        day.map_or(0.0, |time| time.as_secs_f64())
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
