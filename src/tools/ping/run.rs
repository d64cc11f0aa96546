//! The loop: send what is due, read what came, give up what is late.

use super::event::{Event, SendError, Timeout};
use super::frame::{Numbers, Template};
use super::open::IDS_PER_SLOT;
use super::plan::Plan;
use super::schedule::Schedule;
use super::tally::Tally;
use crate::error::Result;
use crate::packet::Packets;
use crate::system::{FluxRx, FluxTx};
use crate::tools::Control;
use crate::tools::host::Host;
use crate::tools::measure::pacer::ns;
use crate::tools::probe::next_hops::NextHops;
use crate::tools::probe::sender::Sender;
use crate::tools::probe::table::{Probe, ProbeTable, SendRefused};
use crate::tools::probe::targets::ProbeTargets;
use crate::tools::session::link_watch::Watch;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// A stop or a question for interim numbers is noticed after this long.
const ATTENTION_NS: u64 = 100_000_000;
/// Answers are recognised as late or duplicate this long after their probe timed out. Short for
/// many probes a second, because each is remembered.
const RETAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Probes a second above which the short time holds.
const RETAIN_RATE: f64 = 1000.0;

/// One target of a run.
pub(super) struct Member {
    /// Ready to be numbered; `None` while the next hop's link layer address is unknown.
    pub(super) template: Option<Template>,
    pub(super) tally: Tally,
    /// Whether more probes are to be sent to it.
    pub(super) wants: bool,
    /// Whether its want of a next hop was reported.
    told: bool,
}

/// A run in progress.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) control: &'a Control,
    pub(super) sink: &'a mut dyn FnMut(Event),
    pub(super) journey: ProbeTargets,
    hops: NextHops,
    pub(super) rx: FluxRx,
    pub(super) sender: Sender,
    pub(super) payload: Vec<u8>,
    pub(super) base_id: u16,
    pub(super) members: Vec<Member>,
    /// Members that want probes.
    wanting: usize,
    pub(super) by_address: HashMap<(IpAddr, u16), u32>,
    pub(super) by_slot: HashMap<u16, u32>,
    pub(super) table: ProbeTable,
    pub(super) schedule: Schedule,
    pub(super) inbox: Packets,
    ident: u16,
    group_sent_ns: Option<u64>,
    pub(super) interim_seen: u64,
    pub(super) foreign: u64,
    pub(super) malformed: u64,
    pub(super) unstamped: u64,
    /// When the run ends, whatever comes.
    pub(super) deadline_ns: Option<u64>,
    /// Whether the time of day is the run's own, too.
    pub(super) is_virtual: bool,
    watch: Watch,
    /// Probes that were due while there was no link.
    pub(super) unsent: u64,
}

impl<'a> Run<'a> {
    #[allow(clippy::too_many_arguments)] // called once, by open()
    pub(super) fn new(
        plan: &'a Plan,
        control: &'a Control,
        sink: &'a mut dyn FnMut(Event),
        journey: ProbeTargets,
        hops: NextHops,
        (rx, tx): (FluxRx, FluxTx),
        base_id: u16,
        payload: Vec<u8>,
    ) -> Self {
        let count = journey.paths.len();
        let numbered = || journey.paths.iter().zip(0_u32..);
        let (groups, hosts): (Vec<_>, Vec<_>) = numbered().partition(|(path, _)| path.multicast);
        let by_address = hosts.iter().map(|&(p, at)| ((p.address, p.slot), at)).collect();
        let by_slot = groups.iter().map(|&(path, at)| (path.slot, at)).collect();
        let fast = plan.floods()
            || plan.rate.unwrap_or(count as f64 / plan.interval.as_secs_f64()) > RETAIN_RATE;
        let retain = if fast { RETAIN.0 } else { RETAIN.1 };
        let member =
            || Member { template: None, tally: Tally::default(), wants: true, told: false };
        Self {
            table: ProbeTable::new(count, 1, plan.timeout, retain),
            schedule: Schedule::new(plan, count, tx.now()),
            members: (0..count).map(|_| member()).collect(),
            interim_seen: control.interim(),
            inbox: Packets::with_capacity(256),
            wanting: count,
            by_address,
            by_slot,
            ident: base_id,
            group_sent_ns: None,
            foreign: 0,
            malformed: 0,
            unstamped: 0,
            deadline_ns: None,
            is_virtual: false,
            watch: Watch::new(&rx.ports()[0]),
            unsent: 0,
            plan,
            control,
            sink,
            journey,
            hops,
            rx,
            sender: Sender::new(tx, plan.timeout),
            payload,
            base_id,
        }
    }

    /// Until all is answered or given up, the deadline passes, or somebody says stop.
    pub(super) fn go(&mut self, host: &mut dyn Host) -> Result<()> {
        self.prepare();
        self.hops.rest(self.sender.tx.now());
        let deadline = self.deadline_ns;
        while !self.control.is_stopped() {
            self.interim();
            let now = self.sender.tx.now();
            if deadline.is_some_and(|at| at <= now) {
                break;
            }
            if self.watch.look(now, |change| (self.sink)(Event::Interface(change)))? {
                self.lose_all();
            }
            self.look_for_hops(host, now);
            self.send_due(now)?;
            self.give_up_until(now)?;
            if self.is_complete(now) {
                break;
            }
            let until = self.wake_up_ns(now).min(deadline.unwrap_or(u64::MAX));
            self.rx.recv_batch(&mut self.inbox, Some(until))?;
            self.read_inbox();
        }
        Ok(())
    }

    /// Makes the templates whose next hop is known.
    fn prepare(&mut self) {
        for (member, path) in self.members.iter_mut().zip(&self.journey.paths) {
            if member.template.is_some() {
                continue;
            }
            if let Ok(mac) = self.hops.get(path.hop) {
                let link = &self.journey.link;
                member.template = Template::new(link, mac, path, self.plan, &self.payload);
                let len = member.template.as_ref().map_or(0, |t| t.frame_len(self.payload.len()));
                self.sender.expect(len);
            }
        }
    }

    fn look_for_hops(&mut self, host: &mut dyn Host, now: u64) {
        if self.hops.next_ns().is_some_and(|at| at <= now) {
            let found = self.hops.glance(host, |found| (self.sink)(Event::Neighbour(found)));
            self.hops.rest(now);
            if found {
                self.prepare();
            }
        }
    }

    /// The next time at which something is to be done although nothing came.
    fn wake_up_ns(&mut self, now: u64) -> u64 {
        let retry = self.sender.retry_ns().filter(|_| self.watch.has_link());
        let due = match (self.wanting, retry) {
            (_, Some(retry)) => Some(retry),
            (0, None) => None,
            (_, None) => self.schedule.next_due_ns(),
        };
        let timeout = self.table.next_deadline_ns();
        let group = self.group_end_ns().filter(|&at| at > now);
        let times = [due, timeout, group, self.hops.next_ns()];
        times.into_iter().flatten().min().unwrap_or(u64::MAX).min(now + ATTENTION_NS)
    }

    /// Answers of further group members come until then.
    fn group_end_ns(&self) -> Option<u64> {
        self.group_sent_ns.map(|at| at.saturating_add(ns(self.plan.timeout)))
    }

    fn is_complete(&mut self, now: u64) -> bool {
        if self.wanting > 0 {
            return false;
        }
        // With a deadline, `count` answers are what was waited for (as `ping -w`).
        let outlived = self.plan.deadline.is_some() && self.plan.count.is_some();
        let answered = self.table.in_flight() == 0 && self.sender.is_idle();
        let groups = self.group_end_ns().is_none_or(|at| at <= now);
        (outlived || answered) && groups
    }

    /// Sends the probes that are due, at most a batch of them.
    fn send_due(&mut self, now: u64) -> Result<()> {
        if !self.watch.has_link() {
            self.lose_due(now);
            return Ok(());
        }
        self.sender.begin(now);
        for _ in 0..self.plan.config.batch {
            if self.sender.is_full() || self.wanting == 0 || !self.sender.has_room(now) {
                break;
            }
            let Some(at) = self.whose_turn(now) else { break };
            self.probe(at, now);
        }
        let table = &mut self.table;
        self.sender.finish(now, |count, at| table.leave(count, at))
    }

    /// Gives up what is under way when the link is lost. What still waits in the TX ring leaves when
    /// it is back: an answer to that is late, and its time is that of the outage.
    fn lose_all(&mut self) {
        while let Some(probe) = self.table.lose() {
            self.give_up(probe);
        }
    }

    /// Gives up the probes that are due while there is no link: what is sent later than it was due
    /// would measure the wait for the link.
    fn lose_due(&mut self, now: u64) {
        for _ in 0..self.plan.config.batch {
            if self.wanting == 0 {
                break;
            }
            let Some(at) = self.whose_turn(now) else { break };
            if let Some(probe) = self.number(at, now) {
                self.table.cancel(probe);
                self.unsent += 1;
                self.give_up(probe);
                self.settle(at);
            }
        }
    }

    /// The target whose probe is due.
    fn whose_turn(&mut self, now: u64) -> Option<usize> {
        let members = &self.members;
        let sent = |at: usize| members[at].wants.then_some(members[at].tally.sent);
        self.schedule.next(now, members.len(), sent)
    }

    /// The number of a target's next probe.
    fn number(&mut self, at: usize, now: u64) -> Option<Probe> {
        let probe = loop {
            match self.table.send(at as u32, now) {
                Ok(probe) => break probe,
                // 65536 probes later there is no waiting for this one any more.
                Err(SendRefused::SequenceInFlight(old)) => {
                    self.table.cancel(old);
                    self.give_up(old);
                }
                Err(SendRefused::NoSuchTarget) => return None,
            }
        };
        let tally = &mut self.members[at].tally;
        tally.sent = probe.sequence;
        tally.started_ns.get_or_insert(now);
        self.schedule.sent(at, probe.sequence, now);
        Some(probe)
    }

    /// Sends a probe, or counts one that cannot be sent.
    fn probe(&mut self, at: usize, now: u64) {
        let Some(probe) = self.number(at, now) else { return };
        let member = &mut self.members[at];
        let path = &self.journey.paths[at];
        match &member.template {
            Some(template) => {
                // No frame for so long that it is not waited for any more: lost like any other.
                let Some(mut packet) = self.sender.take() else { return self.settle(at) };
                let len = template.frame_len(self.payload.len());
                let generation = (probe.sequence >> 16) as u16 % IDS_PER_SLOT;
                let id = self.base_id + path.slot * IDS_PER_SLOT + generation;
                let numbers = Numbers { id, seq: probe.wire_sequence(), ident: self.ident };
                self.ident = self.ident.wrapping_add(1);
                if packet.set_len(len).is_ok() {
                    template.write(numbers, &self.payload, packet.data_mut());
                }
                let queues = self.sender.tx.sending(); // not empty, or nothing would have begun
                packet.set_queue(queues[at % queues.len()]);
                let multicast = path.multicast;
                self.sender.put(packet, now);
                if multicast {
                    self.group_sent_ns = Some(now);
                }
            }
            None => {
                self.table.cancel(probe);
                member.tally.given_up += 1;
                member.tally.errors += 1;
                let first = !std::mem::replace(&mut member.told, true);
                if first && self.plan.each {
                    let why = self.hops.get(path.hop).err().unwrap_or("the probe is too long");
                    (self.sink)(Event::SendError(SendError {
                        target: path.name.clone(),
                        error: format!("Destination Host Unreachable: {why}"),
                    }));
                }
            }
        }
        self.settle(at);
    }

    /// Looks whether a target has had enough probes.
    pub(super) fn settle(&mut self, at: usize) {
        let (Some(count), member) = (self.plan.count, &mut self.members[at]) else { return };
        let tally = &member.tally;
        let done = match self.plan.deadline {
            // As `ping -w`: it goes on until `count` answers are in.
            Some(_) => tally.received + tally.errors >= count,
            None => tally.sent >= count,
        };
        if done && std::mem::replace(&mut member.wants, false) {
            self.wanting -= 1;
        }
    }

    /// Gives up the probes whose time has passed.
    fn give_up_until(&mut self, now: u64) -> Result<()> {
        // An answer that came in time and was not read yet is not late. There are many when others
        // had the CPU for long, but no more than there are frames.
        let mut waiting = self.rx.granted().frames as usize;
        while waiting > 0 && self.table.next_deadline_ns().is_some_and(|at| at <= now) {
            let came = self.rx.try_recv(&mut self.inbox)?;
            if came == 0 {
                break;
            }
            waiting = waiting.saturating_sub(came);
            self.read_inbox();
        }
        while let Some(probe) = self.table.expire(now) {
            self.give_up(probe);
        }
        Ok(())
    }

    fn give_up(&mut self, probe: Probe) {
        let at = probe.target as usize;
        self.members[at].tally.given_up += 1;
        if self.plan.each {
            let target = self.journey.paths[at].name.clone();
            (self.sink)(Event::Timeout(Timeout { target, seq: probe.sequence }));
        }
    }
}
