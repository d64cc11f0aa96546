//! The loop: send what is due, read what came, give up what is late.

use super::answer::Answer;
use super::event::{Event, SendError, Summary, Timeout};
use super::flight::{Role, Sent};
use super::plan::{Plan, Protocol};
use super::probe::{Identity, Template, min_size};
use super::reverse_dns::Names;
use super::session::{Goal, Session};
use crate::error::Result;
use crate::packet::Packets;
use crate::proto::ETHERNET_LEN;
use crate::proto::vlan::TAG_LEN;
use crate::system::{FluxRx, FluxTx};
use crate::tools::Control;
use crate::tools::measure::pacer::{Pacer, Rate};
use crate::tools::probe::next_hops::NextHops;
use crate::tools::probe::sender::Sender;
use crate::tools::probe::targets::ProbeTargets;
use crate::tools::session::link_watch::Watch;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;

/// A stop or a question for interim numbers is noticed after this long.
const ATTENTION_NS: u64 = 100_000_000;
/// Targets that are probed in turn. With more than one the probes to each are spread, so that what
/// is behind it is known before they are all sent.
const SIDE_BY_SIDE: usize = 64;
/// The kernel is told after so many packets. It sends them one after the other, and all have the
/// same stamp: with more of them, the last ones' round trips would look longer.
const KICK: usize = 8;
/// Length of UDP and ICMP probes, as traceroute's.
const USUAL_SIZE: u16 = 60;
/// Shortest MTU of a link: RFC 791 and RFC 8200.
const LEAST_MTU: (u16, u16) = (68, 1280);

/// One target of a run.
pub(super) struct Member {
    /// Ready to be numbered; `None` while the next hop's link layer address is unknown.
    pub(super) template: Option<Template>,
    /// Boxed and gone when it is done: of many targets few are in progress.
    pub(super) session: Option<Box<Session>>,
    /// Whether it is in line to send.
    in_line: bool,
    /// When it was last put to sleep until.
    wakes_ns: u64,
    round: u64,
    /// Whether a port of it was seen to be open.
    pub(super) open_port: bool,
    pub(super) reached: bool,
    /// Whether its summary was made.
    pub(super) done: bool,
}

/// A run in progress.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) control: &'a Control,
    pub(super) sink: &'a mut dyn FnMut(Event),
    pub(super) journey: &'a ProbeTargets,
    pub(super) identity: Identity,
    pub(super) rx: FluxRx,
    pub(super) sender: Sender,
    pub(super) members: Vec<Member>,
    pub(super) by_address: HashMap<IpAddr, u32>,
    /// The next target that was not begun.
    next_member: usize,
    /// Begun, with something to send.
    line: VecDeque<u32>,
    /// When to look after whom.
    alarms: BinaryHeap<Reverse<(u64, u32)>>,
    /// Begun and not done.
    open: usize,
    pacer: Pacer,
    /// Written since the kernel was last told.
    written: Vec<(u32, u64)>,
    pub(super) inbox: Packets,
    /// Heard from since they were last looked after.
    pub(super) heard: Vec<u32>,
    pub(super) summaries: Vec<(u32, Summary)>,
    pub(super) names: Option<Names>,
    pub(super) interim_seen: u64,
    pub(super) lost: bool,
    pub(super) foreign: u64,
    pub(super) malformed: u64,
    pub(super) unstamped: u64,
    watch: Watch,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        control: &'a Control,
        sink: &'a mut dyn FnMut(Event),
        journey: &'a ProbeTargets,
        identity: Identity,
        (rx, tx): (FluxRx, FluxTx),
        rate: Rate,
    ) -> Self {
        let by_address = journey.paths.iter().map(|path| path.address).zip(0..).collect();
        let member = || Member {
            template: None,
            session: None,
            in_line: false,
            wakes_ns: u64::MAX,
            round: 1,
            open_port: false,
            reached: false,
            done: false,
        };
        // One path's worth of probes leaves at once.
        let hops = u32::from(plan.max_hops - plan.first) + 1;
        let burst = hops * u32::from(plan.queries);
        Self {
            members: journey.paths.iter().map(|_| member()).collect(),
            pacer: Pacer::new(rate, burst.max(plan.config.batch), tx.now()).full(),
            sender: Sender::new(tx, plan.wait),
            inbox: Packets::with_capacity(256),
            interim_seen: control.interim(),
            next_member: 0,
            line: VecDeque::new(),
            alarms: BinaryHeap::new(),
            open: 0,
            written: Vec::new(),
            heard: Vec::new(),
            summaries: Vec::new(),
            names: None,
            lost: false,
            foreign: 0,
            malformed: 0,
            unstamped: 0,
            watch: Watch::new(&rx.ports()[0]),
            plan,
            control,
            sink,
            journey,
            identity,
            rx,
            by_address,
        }
    }

    /// Length of the probes to `address`.
    fn size_to(&self, address: IpAddr) -> u16 {
        let least = min_size(self.identity.protocol, address.is_ipv4());
        // A SYN with data is odd enough to be dropped on the way.
        let usual = if self.identity.protocol == Protocol::Tcp { least } else { USUAL_SIZE };
        self.plan.size.unwrap_or(usual).max(least)
    }

    /// Length of the probes to the first target.
    pub(super) fn packet_bytes(&self) -> u16 {
        self.journey.paths.first().map_or(0, |path| self.size_to(path.address))
    }

    /// The longest packet that our link and our frames hold.
    fn longest(&self) -> u16 {
        let l2 = ETHERNET_LEN + self.journey.link.tags.len() * TAG_LEN;
        let frame = self.plan.config.frame_size.saturating_sub(crate::umem::RX_HEADROOM) as usize;
        let most = frame.saturating_sub(l2).min(self.journey.link.interface.mtu as usize);
        u16::try_from(most).unwrap_or(u16::MAX)
    }

    /// Makes the templates; says which targets have none.
    pub(super) fn prepare(&mut self, hops: &NextHops) {
        let longest = self.longest();
        for at in 0..self.members.len() {
            let path = &self.journey.paths[at];
            let mac = match hops.get(path.hop) {
                Ok(mac) => mac,
                Err(why) => {
                    let error = format!("Destination Host Unreachable: {why}");
                    let target = path.name.clone();
                    (self.sink)(Event::SendError(SendError { target, error }));
                    continue;
                }
            };
            let link = &self.journey.link;
            let (source, target) = (path.source, path.address);
            let template = Template::new(link, mac, source, target, self.plan.tos, self.identity);
            let most = if self.plan.mtu { longest } else { self.size_to(target) };
            self.sender.expect(template.as_ref().map_or(0, |t| t.frame_len(most)));
            self.members[at].template = template;
        }
    }

    /// Until all is known, or somebody says stop.
    pub(super) fn go(&mut self) -> Result<()> {
        while !self.control.is_stopped() {
            self.interim();
            let now = self.sender.tx.now();
            if self.watch.look(now, |change| (self.sink)(Event::Interface(change)))? {
                self.lose_all(now);
            }
            // What is sent without a link would be taken for the silence of a hop.
            if self.watch.has_link() {
                self.send_due(now)?;
            }
            self.ring(now)?;
            if self.open == 0 && self.next_member == self.members.len() && self.sender.is_idle() {
                break;
            }
            let until = self.wake_up_ns(now);
            self.rx.recv_batch(&mut self.inbox, Some(until))?;
            self.read_inbox();
            self.look_after_heard();
        }
        Ok(())
    }

    /// The next time at which something is to be done although nothing came.
    fn wake_up_ns(&self, now: u64) -> u64 {
        let waiting = !self.line.is_empty() || self.next_member < self.members.len();
        let due = match self.sender.retry_ns() {
            _ if !self.watch.has_link() => None,
            Some(retry) => Some(retry),
            None => waiting.then(|| self.pacer.next_due_ns()),
        };
        let alarm = self.alarms.peek().map(|Reverse((at, _))| *at);
        let times = [due, alarm];
        times.into_iter().flatten().min().unwrap_or(u64::MAX).min(now + ATTENTION_NS)
    }

    /// Sends the probes that are due, at most a batch of them.
    fn send_due(&mut self, now: u64) -> Result<()> {
        self.sender.begin(now);
        let due = self.pacer.due(now).min(self.plan.config.batch);
        let mut spent = 0;
        while spent < due && !self.sender.is_full() && self.sender.has_room(now) {
            let Some(at) = self.whose_turn(now) else { break };
            spent += u32::from(self.probe(at, now));
            if self.written.len() >= KICK {
                self.kick(now)?;
            }
        }
        self.pacer.spend(spent);
        self.kick(now)
    }

    /// Tells the kernel of what was written. That is when it leaves.
    fn kick(&mut self, now: u64) -> Result<()> {
        let (members, written) = (&mut self.members, &mut self.written);
        self.sender.finish(now, |_, at| {
            for (member, serial) in written.drain(..) {
                let session = members.get_mut(member as usize).and_then(|m| m.session.as_mut());
                if let Some(session) = session {
                    session.leave(serial, at);
                }
            }
        })?;
        self.written.clear();
        Ok(())
    }

    /// The target that sends next. New ones begin when there are few in line.
    fn whose_turn(&mut self, now: u64) -> Option<u32> {
        while self.line.len() < SIDE_BY_SIDE && self.next_member < self.members.len() {
            self.begin(self.next_member, now);
            self.next_member += 1;
        }
        while let Some(at) = self.line.pop_front() {
            let member = &mut self.members[at as usize];
            member.in_line = false;
            if member.session.as_mut().is_some_and(|session| session.wants(now)) {
                return Some(at);
            }
            self.look_after(at, now);
        }
        None
    }

    fn begin(&mut self, at: usize, now: u64) {
        let address = self.journey.paths[at].address;
        if self.members[at].template.is_none() {
            return;
        }
        let least = if address.is_ipv4() { LEAST_MTU.0 } else { LEAST_MTU.1 };
        let size = self.size_to(address);
        let goal = Goal { target: address, size, sizes: (self.longest(), least) };
        self.members[at].session = Some(Box::new(Session::new(self.plan, goal)));
        self.open += 1;
        self.look_after(at as u32, now);
    }

    /// Sends a probe; whether there was one.
    fn probe(&mut self, at: u32, now: u64) -> bool {
        let member = &mut self.members[at as usize];
        let Some(session) = &mut member.session else { return false };
        let Some(sent) = session.launch(now) else { return false };
        let round = session.rounds();
        if let (Some(template), Some(mut packet)) = (&member.template, self.sender.take()) {
            if packet.set_len(template.frame_len(sent.numbers.size)).is_ok() {
                template.write(sent.numbers, packet.data_mut());
            }
            let queues = self.sender.tx.sending(); // not empty, or nothing would have begun
            packet.set_queue(queues[at as usize % queues.len()]);
            self.written.push((at, sent.serial));
            self.sender.put(packet, now);
        }
        if round > member.round {
            member.round = round;
            if self.plan.each_round {
                self.tell_interim(at as usize);
            }
        }
        self.look_after(at, now);
        true
    }

    /// Answers a SYN-ACK with a reset: no half-open connection stays.
    pub(super) fn reset(&mut self, at: u32, answer: &Answer, ack: u32, now: u64) {
        let Some(member) = self.members.get_mut(at as usize) else { return };
        member.open_port = true;
        let Some(template) = &member.template else { return };
        let (Some(flow), Some(number)) = (answer.flow, answer.number) else { return };
        // Without room it goes unsaid: the target gives up by itself.
        let Some(mut packet) = self.sender.tx.alloc(template.rst_len()) else { return };
        if packet.set_len(template.rst_len()).is_ok() {
            template.rst(flow, number, ack, packet.data_mut());
            self.sender.put(packet, now);
        }
    }

    /// Gives up what is late, for all whose time has come.
    fn ring(&mut self, now: u64) -> Result<()> {
        let due = |alarms: &BinaryHeap<Reverse<(u64, u32)>>| {
            alarms.peek().is_some_and(|Reverse((at, _))| *at <= now)
        };
        if !due(&self.alarms) {
            return Ok(());
        }
        // An answer that came in time and was not read yet is not late. There are many when others
        // had the CPU for long, but no more than there are frames.
        let mut waiting = self.rx.granted().frames as usize;
        while waiting > 0 {
            let came = self.rx.try_recv(&mut self.inbox)?;
            if came == 0 {
                break;
            }
            waiting = waiting.saturating_sub(came);
            self.read_inbox();
        }
        self.look_after_heard();
        while due(&self.alarms) {
            let Some(Reverse((time, at))) = self.alarms.pop() else { break };
            let member = &mut self.members[at as usize];
            if member.wakes_ns != time {
                continue; // put to sleep again meanwhile
            }
            member.wakes_ns = u64::MAX;
            self.give_up(at, now);
            self.look_after(at, now);
        }
        Ok(())
    }

    /// Gives up what is under way when the link is lost, as `flux ping` does.
    fn lose_all(&mut self, now: u64) {
        for at in 0..self.members.len() {
            self.give_up(at as u32, u64::MAX);
            self.look_after(at as u32, now);
        }
    }

    /// Gives up the probes of a target whose time has passed.
    fn give_up(&mut self, at: u32, now: u64) {
        let member = &mut self.members[at as usize];
        while let Some(sent) = member.session.as_mut().and_then(|s| s.expire(now)) {
            self.lost = true;
            if self.plan.each {
                let target = &self.journey.paths[at as usize].name;
                (self.sink)(Event::Timeout(timeout(target, &sent)));
            }
        }
    }

    fn look_after_heard(&mut self) {
        let now = self.sender.tx.now();
        let mut heard = std::mem::take(&mut self.heard);
        heard.sort_unstable();
        heard.dedup();
        for at in heard.drain(..) {
            self.look_after(at, now);
        }
        self.heard = heard;
    }

    /// Puts a session in line, to sleep, or to its end.
    fn look_after(&mut self, at: u32, now: u64) {
        let member = &mut self.members[at as usize];
        let Some(session) = &mut member.session else { return };
        if session.wants(now) {
            if !std::mem::replace(&mut member.in_line, true) {
                self.line.push_back(at);
            }
        } else if session.is_complete() {
            self.open -= 1;
            return self.end(at as usize);
        }
        session.forget(now);
        let wakes = session.wake_ns().unwrap_or(u64::MAX);
        if wakes != member.wakes_ns && wakes != u64::MAX {
            self.alarms.push(Reverse((wakes, at)));
        }
        member.wakes_ns = wakes;
    }

    /// Asks for the name of somebody who answered.
    pub(super) fn ask_name(&mut self, addr: IpAddr) {
        if let Some(names) = &mut self.names {
            names.ask(addr);
        }
    }
}

fn timeout(target: &str, sent: &Sent) -> Timeout {
    debug_assert_eq!(sent.role, Role::Hop);
    Timeout {
        target: target.to_owned(),
        ttl: sent.numbers.ttl,
        probe: sent.serial + 1,
        flow: sent.numbers.flow,
        round: sent.round,
    }
}
