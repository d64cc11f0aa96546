//! [`Outgoing`]: the probes of all targets, ready but for their numbers.

use super::frame::{self, Numbers, Template};
use super::ids::EchoIds;
use super::mark::{MARK, Mark};
use super::plan::Plan;
use super::sequences::Probe;
use crate::tools::probe::{NextHops, ProbeTargets, Wire};

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// It is in the ring, or waits for room there.
    Sent,
    /// There was no frame for so long that it is not waited for any more: lost like any other.
    NoFrame,
    /// It cannot be made: the next hop's link layer address is not known.
    NoNextHop,
}

/// What is sent.
pub(super) struct Outgoing {
    /// By target; `None` while the next hop's link layer address is unknown.
    templates: Vec<Option<Template>>,
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

    /// Makes the templates whose next hop is known by now.
    pub(super) fn prepare(
        &mut self,
        plan: &Plan,
        targets: &ProbeTargets,
        hops: &NextHops,
        wire: &mut Wire,
    ) {
        for (template, path) in self.templates.iter_mut().zip(&targets.paths) {
            if template.is_some() {
                continue;
            }
            if let Ok(mac) = hops.get(path.hop) {
                *template = Template::new(&targets.link, mac, path, plan, &self.payload);
                let len = template.as_ref().map_or(0, |t| t.frame_len(self.payload.len()));
                wire.sender.expect(len);
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
        let Some(template) = &self.templates[target] else { return Sending::NoNextHop };
        let Some(mut packet) = wire.sender.take() else { return Sending::NoFrame };
        let id = ids.id_of(target, probe.sequence);
        let mark = Mark::of(probe.target, probe.sequence);
        let numbers = Numbers { id, seq: probe.wire_sequence(), ident: self.ident, mark };
        self.ident = self.ident.wrapping_add(1);
        if packet.set_len(template.frame_len(self.payload.len())).is_ok() {
            template.write(numbers, &self.payload, packet.data_mut());
        }
        wire.send(packet, target, now);
        Sending::Sent
    }
}
