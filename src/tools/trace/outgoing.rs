//! [`Outgoing`]: the probes of all targets, ready but for their numbers, and how fast they leave.

use super::answer::Answer;
use super::flight::{Role, Sent};
use super::plan::Plan;
use super::probe::{Identity, Numbers, Template};
use super::sizes::Sizes;
use crate::error::Result;
use crate::proto::MacAddr;
use crate::tools::measure::{Pacer, Rate};
use crate::tools::probe::{NextHops, Outlet, ProbeTargets, Wire};
use std::net::IpAddr;

/// The kernel is told after this many packets. It sends them one after the other, and all have the
/// same stamp: with more of them, the last ones' round trips would look longer.
const KICK: usize = 8;
/// Probes that are due within this many seconds may leave together.
const MOMENT_S: f64 = 0.01;

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
    pub(super) identity: Identity,
    /// Of echo requests among other probes, where they help.
    pub(super) echo: Option<Identity>,
    /// By target; `None` where nothing can be sent.
    templates: Vec<Option<(Way, Template)>>,
    pub(super) pacer: Pacer,
    /// Targets and serials of what was written since the kernel was last told.
    written: Vec<(u32, u64)>,
}

impl Outgoing {
    /// Nothing can be sent before [`Self::prepare`].
    pub(super) fn new(
        plan: &Plan,
        identity: Identity,
        echo: Option<Identity>,
        rate: Rate,
        now: u64,
    ) -> Self {
        // What is due in a moment leaves at once, up to one path's worth of probes.
        let hops = u32::from(plan.max_hops - plan.first) + 1;
        let most = (hops * u32::from(plan.queries)).max(plan.config.batch);
        let moment = (plan.rate * MOMENT_S).ceil().max(1.0);
        let burst = if moment < f64::from(most) { moment as u32 } else { most };
        Self {
            identity,
            echo,
            templates: Vec::new(),
            pacer: Pacer::new(rate, burst, now).full(),
            written: Vec::new(),
        }
    }

    /// Makes the templates of what goes another way than before, or can be sent only now.
    /// `unreachable` is called for targets that have none, with the reason.
    pub(super) fn prepare(
        &mut self,
        plan: &Plan,
        targets: &ProbeTargets,
        hops: &NextHops,
        (sizes, wire): (&[Sizes], &mut Wire),
        mut unreachable: impl FnMut(usize, &str),
    ) {
        self.templates.resize_with(targets.paths.len(), || None);
        let paths = targets.paths.iter().enumerate();
        for ((at, path), template) in paths.zip(&mut self.templates) {
            let link = targets.link(path);
            let mac = hops.get(path.hop).ok().filter(|_| path.broken.is_none());
            let Some(mac) = mac.filter(|_| wire.is_open(path.link)) else {
                *template = None;
                unreachable(at, &wire.why_not(path, hops).to_string());
                continue;
            };
            let way = Way { link: path.link, ends: (link.mac, mac), source: path.source };
            if template.as_ref().is_none_or(|(made_for, _)| *made_for != way) {
                let made =
                    Template::new(link, mac, path.source, path.address, plan.tos, self.identity);
                *template = made.map(|made| {
                    wire.expect(made.frame_len(sizes[path.link].most_to(path.address)));
                    (way, made)
                });
            }
        }
    }

    /// Whether a target can be probed.
    pub(super) fn can_send(&self, at: usize) -> bool {
        self.templates.get(at).is_some_and(Option::is_some)
    }

    /// Sends a probe. Without room for it, it is lost like any other.
    pub(super) fn send(
        &mut self,
        (wire, targets): (&mut Wire, &ProbeTargets),
        at: u32,
        sent: &Sent,
        now: u64,
    ) {
        let Some(Some((Way { link, .. }, template))) = self.templates.get(at as usize) else {
            return;
        };
        let Some(mut packet) = wire.take(*link) else { return };
        let numbers = sent.what.numbers;
        let other = self.echo.filter(|_| sent.what.role == Role::Echo).and_then(|echo| {
            let path = targets.paths.get(at as usize)?;
            template.with(echo, path.source, path.address)
        });
        let template = other.as_ref().unwrap_or(template);
        if packet.set_len(template.frame_len(numbers.size)).is_ok() {
            template.write(numbers, packet.data_mut());
        }
        self.written.push((at, sent.serial));
        wire.send(packet, *link, at as usize, now);
    }

    /// Whether so much was written that the kernel is to be told.
    pub(super) fn is_full(&self) -> bool {
        self.written.len() >= KICK
    }

    /// Tells the kernel of what was written. That is when it leaves: `leave` is called with target, serial
    /// and time of each.
    pub(super) fn kick(
        &mut self,
        wire: &mut Wire,
        now: u64,
        mut leave: impl FnMut(u32, u64, u64),
    ) -> Result<()> {
        let written = &mut self.written;
        wire.finish(now, |_, at| {
            written.drain(..).for_each(|(target, serial)| leave(target, serial, at));
        })?;
        self.written.clear();
        Ok(())
    }

    /// Answers a SYN-ACK with a reset: no half-open connection stays.
    pub(super) fn reset(
        &self,
        outlet: &mut Outlet<'_>,
        at: u32,
        answer: &Answer,
        ack: u32,
        now: u64,
    ) {
        if let (Some(flow), Some(number)) = (answer.flow, answer.number) {
            self.send_reset(outlet, at, (flow, number, ack), now);
        }
    }

    /// Resets what a target may have opened for these probes, which nobody waits for any more: its
    /// answers will find nobody here.
    pub(super) fn reset_all(
        &self,
        wire: &mut Wire,
        at: u32,
        probes: impl Iterator<Item = Numbers>,
        now: u64,
    ) {
        let Some(Some((Way { link, .. }, template))) = self.templates.get(at as usize) else {
            return;
        };
        let Some(mut outlet) = wire.outlet(*link) else { return };
        for numbers in probes {
            let ack = template.acknowledged(&numbers);
            if !self.send_reset(&mut outlet, at, (numbers.flow, numbers.number, ack), now) {
                return;
            }
        }
    }

    /// False without room. Then no reset is sent, and the target gives up by itself.
    fn send_reset(
        &self,
        outlet: &mut Outlet<'_>,
        at: u32,
        (flow, number, ack): (u16, u16, u32),
        now: u64,
    ) -> bool {
        let Some(Some((Way { link, .. }, template))) = self.templates.get(at as usize) else {
            return false;
        };
        let Some(mut packet) = outlet.alloc(template.rst_len()) else { return false };
        if packet.set_len(template.rst_len()).is_ok() {
            template.rst(flow, number, ack, packet.data_mut());
            outlet.put(packet, *link, at as usize, now);
        }
        true
    }
}
