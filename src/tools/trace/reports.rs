//! [`Reports`]: what a run reports of its probes and targets, with the names that are known by then.

use super::answer::Answer;
use super::asn::{AsTable, Origin};
use super::event::{Event, PortState, Reply, Summary, Timeout};
use super::flight::{Role, Sent};
use super::icmp_names;
use super::plan::Plan;
use super::reverse_dns::Names;
use crate::tools::probe::{SendError, Zone, Zoned};
use std::net::IpAddr;
use std::sync::Arc;

/// Makes the events of a run.
pub(super) struct Reports<'a> {
    pub(super) sink: &'a mut dyn FnMut(Event),
    /// Whether single answers and timeouts are reported.
    each: bool,
    /// Which autonomous system addresses belong to.
    asns: Option<Arc<AsTable>>,
    /// `None`: names are not looked up.
    names: Option<Names>,
    /// Kept to the end, because names may still come.
    kept: Vec<(u32, Summary)>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(sink: &'a mut dyn FnMut(Event), plan: &Plan, names: Option<Names>) -> Self {
        Self { sink, each: plan.each, asns: plan.asns.clone(), names, kept: Vec::new() }
    }

    /// Who announces an address.
    fn origin(&self, address: IpAddr) -> Origin<'_> {
        self.asns.as_ref().map(|table| table.of(address)).unwrap_or_default()
    }

    /// Puts the systems of the routers into a summary.
    fn number(&self, mut summary: Summary) -> Summary {
        for router in summary.hops.iter_mut().flat_map(|hop| &mut hop.routers) {
            let origin = self.origin(router.address.address);
            (router.asn, router.other_asns) = (origin.first(), origin.others());
        }
        summary
    }

    /// A target cannot be probed.
    pub(super) fn unreachable(&mut self, target: &str, why: &str) {
        let (target, error) = (target.to_owned(), why.to_owned());
        (self.sink)(Event::SendError(SendError { target, error, hint: None }));
    }

    /// A probe was given up.
    pub(super) fn timeout(&mut self, target: &str, sent: &Sent) {
        debug_assert_eq!(sent.what.role, Role::Hop);
        if self.each {
            (self.sink)(Event::Timeout(Timeout {
                target: target.to_owned(),
                ttl: sent.what.numbers.ttl,
                probe: sent.serial + 1,
                flow: sent.what.numbers.flow,
                round: sent.what.round,
            }));
        }
    }

    /// Somebody answered, at the time `at`; `event` says whether in time.
    pub(super) fn answer(
        &mut self,
        (target, zone): (&str, Option<Zone>),
        answer: &Answer,
        (event, sent): (fn(Reply) -> Event, &Sent),
        at: u64,
        (reached, port_state): (bool, Option<PortState>),
    ) {
        self.ask_name(answer.from);
        if self.each && sent.what.role != Role::Size {
            let origin = self.origin(answer.from);
            let (asn, other_asns) = (origin.first(), origin.others());
            let from = Zoned::new(answer.from, zone);
            let reply = Reply { from, ..reply(target, answer, sent, at, reached) };
            (self.sink)(event(Reply { port_state, asn, other_asns, ..reply }));
        }
    }

    fn ask_name(&mut self, address: IpAddr) {
        if let Some(names) = &mut self.names {
            names.ask(address);
        }
    }

    /// The numbers of one target while the run goes on.
    pub(super) fn interim(&mut self, summary: Summary) {
        let mut summary = self.number(summary);
        self.name(&mut summary);
        (self.sink)(Event::Interim(summary));
    }

    /// What is known of a target at its end.
    pub(super) fn summary(&mut self, at: u32, summary: Summary) {
        let summary = self.number(summary);
        match self.names {
            Some(_) => self.kept.push((at, summary)),
            None => (self.sink)(Event::Summary(summary)),
        }
    }

    /// Waits a while for names that were asked for.
    pub(super) fn settle_names(&mut self) {
        if let Some(names) = &mut self.names {
            names.settle();
        }
    }

    /// Reports the summaries that were kept, in the order of the targets.
    pub(super) fn finish(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.sort_by_key(|summary| summary.0);
        for (_, mut summary) in kept {
            self.name(&mut summary);
            (self.sink)(Event::Summary(summary));
        }
    }

    /// Puts the names that are known into a summary.
    fn name(&mut self, summary: &mut Summary) {
        let Some(names) = &mut self.names else { return };
        for router in summary.hops.iter_mut().flat_map(|hop| &mut hop.routers) {
            router.name = names.get(router.address.address).map(str::to_owned);
        }
    }
}

fn reply(target: &str, answer: &Answer, sent: &Sent, at: u64, reached: bool) -> Reply {
    Reply {
        target: target.to_owned(),
        ttl: sent.what.numbers.ttl,
        probe: sent.serial + 1,
        flow: sent.what.numbers.flow,
        round: sent.what.round,
        from: answer.from.into(),
        rtt_us: at.checked_sub(sent.sent_ns).map(|ns| ns as f64 / 1e3),
        icmp: icmp_names::word(answer.kind).into_owned(),
        mark: icmp_names::mark(answer.kind),
        reached,
        reply_ttl: answer.reply_ttl,
        quoted_ttl: answer.quoted_ttl,
        mpls: answer.mpls.clone(),
        extensions: answer.extensions.clone(),
        mtu: answer.kind.mtu(),
        rewritten: answer.nat,
        port_state: None,
        asn: None,
        other_asns: Vec::new(),
    }
}
