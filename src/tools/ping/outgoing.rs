//! [`Outgoing`]: the probes of all targets, ready but for their numbers.

use super::frame::{self, Numbers, Template};
use super::ids::EchoIds;
use super::mark::{MARK, Mark};
use super::plan::Plan;
use super::sequences::Probe;
use crate::proto::MacAddr;
use crate::tools::probe::{NextHops, ProbeTargets, Wire};
use std::net::IpAddr;

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// It is in the ring, or waits for room there.
    Sent,
    /// There was no frame for so long that it is not waited for any more: lost like any other.
    NoFrame,
    /// It cannot be made: there is no route, or the next hop's link layer address is not known.
    NoWay,
    /// The link that it would leave by is away.
    NoLink,
}

/// What a template was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    link: usize,
    /// Our Ethernet address, and that of the next hop.
    ends: (MacAddr, MacAddr),
    source: IpAddr,
}

/// What is sent.
pub(super) struct Outgoing {
    /// By target; `None` while nothing can be sent to it.
    templates: Vec<Option<(Way, Template)>>,
    /// Of all probes; zero where each has its mark.
    pub(super) payload: Vec<u8>,
    /// IPv4 identification of the next probe.
    ident: u16,
}

impl Outgoing {
    pub(super) fn new(plan: &Plan, targets: usize, ids: &EchoIds) -> Self {
        let mut payload = frame::payload(plan.size, &plan.pattern, ids.token(plan.size));
        if let Some(mark) = payload.get_mut(MARK) {
            mark.fill(0);
        }
        let ident = *ids.range().start();
        Self { templates: (0..targets).map(|_| None).collect(), payload, ident }
    }

    /// Makes the templates of what goes another way than before, or can be sent only now.
    pub(super) fn prepare(
        &mut self,
        plan: &Plan,
        targets: &ProbeTargets,
        hops: &NextHops,
        wire: &mut Wire,
    ) {
        for (template, path) in self.templates.iter_mut().zip(&targets.paths) {
            let Ok(mac) = hops.get(path.hop) else {
                *template = None;
                continue;
            };
            let link = targets.link(path);
            let way = Way { link: path.link, ends: (link.mac, mac), source: path.source };
            if path.broken.is_some() || !wire.is_open(path.link) {
                *template = None;
            } else if template.as_ref().is_none_or(|(made_for, _)| *made_for != way) {
                let made = Template::new(link, mac, path, plan, &self.payload);
                wire.expect(made.as_ref().map_or(0, |t| t.frame_len(self.payload.len())));
                *template = made.map(|made| (way, made));
            }
        }
    }

    /// Sends a probe.
    pub(super) fn send(
        &mut self,
        wire: &mut Wire,
        ids: &EchoIds,
        probe: Probe,
        now: u64,
    ) -> Sending {
        let target = probe.target as usize;
        let Some((Way { link, .. }, template)) = &self.templates[target] else {
            return Sending::NoWay;
        };
        if !wire.passes(*link) {
            return Sending::NoLink;
        }
        let Some(mut packet) = wire.take(*link) else { return Sending::NoFrame };
        let id = ids.id_of(target, probe.sequence);
        let mark = Mark::of(probe.target, probe.sequence);
        let numbers = Numbers { id, seq: probe.wire_sequence(), ident: self.ident, mark };
        self.ident = self.ident.wrapping_add(1);
        if packet.set_len(template.frame_len(self.payload.len())).is_ok() {
            template.write(numbers, &self.payload, packet.data_mut());
        }
        wire.send(packet, *link, target, now);
        Sending::Sent
    }
}
