//! The loop: send what is due, read what came, give up what is late.

use super::event::Event;
use super::members::Members;
use super::outgoing::Outgoing;
use super::plan::{Outcome, Plan};
use super::receive::Reader;
use super::reports::Reports;
use super::sizes::Sizes;
use super::target::TargetTrace;
use super::turns::Turns;
use crate::error::Result;
use crate::tools::host::Host;
use crate::tools::probe::{NextHops, ProbeTargets, Wire};
use crate::tools::session::Attention;

/// A run in progress.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) attention: Attention<'a>,
    pub(super) targets: ProbeTargets,
    pub(super) wire: Wire,
    pub(super) sizes: Sizes,
    pub(super) outgoing: Outgoing,
    pub(super) members: Members,
    pub(super) turns: Turns,
    pub(super) reports: Reports<'a>,
}

impl Run<'_> {
    /// Makes the probes; reports the targets that have none.
    pub(super) fn prepare(&mut self, hops: &NextHops) {
        let reports = &mut self.reports;
        let told = |target: &str, why: &str| reports.unreachable(target, why);
        let sending = (self.sizes, &mut self.wire.sender);
        self.outgoing.prepare(self.plan, &self.targets, hops, sending, told);
    }

    /// Until all is known, or somebody says stop.
    pub(super) fn go(&mut self) -> Result<()> {
        loop {
            let now = self.wire.now();
            if self.attention.wants_interim() {
                self.members.in_progress().into_iter().for_each(|at| self.tell_interim(at));
            }
            if self.attention.is_over(now) {
                break;
            }
            if self.wire.look(now, |event| (self.reports.sink)(Event::Session(event)))? {
                self.lose_all(now);
            }
            // What is sent without a link would be taken for the silence of a hop.
            if self.wire.has_link() {
                self.send_due(now)?;
            }
            self.expire_due(now)?;
            let done = self.members.are_done() && self.turns.all_begun();
            if done && self.wire.sender.is_idle() {
                break;
            }
            let until = self.wake_up_ns(now);
            self.wire.wait(until)?;
            self.read();
            self.reschedule_dirty();
        }
        Ok(())
    }

    /// The next time at which something is to be done although nothing came.
    fn wake_up_ns(&self, now: u64) -> u64 {
        let due = match self.wire.sender.retry_ns() {
            _ if !self.wire.has_link() => None,
            Some(retry) => Some(retry),
            None => self.turns.may_send().then(|| self.outgoing.pacer.next_due_ns()),
        };
        self.attention.wake_up_ns(now, [due, self.turns.next_timer_ns()])
    }

    /// Sends the probes that are due, at most a batch of them.
    fn send_due(&mut self, now: u64) -> Result<()> {
        self.wire.sender.begin(now);
        let due = self.outgoing.pacer.due(now).min(self.plan.config.batch);
        let mut spent = 0;
        while spent < due && !self.wire.sender.is_full() && self.wire.sender.has_room(now) {
            let Some(at) = self.whose_turn(now) else { break };
            spent += u32::from(self.probe(at, now));
            if self.outgoing.is_full() {
                self.kick(now)?;
            }
        }
        self.outgoing.pacer.spend(spent);
        self.kick(now)
    }

    /// Tells the kernel of what was written. That is when it leaves.
    fn kick(&mut self, now: u64) -> Result<()> {
        let members = &mut self.members;
        self.outgoing.kick(&mut self.wire.sender, now, |target, serial, at| {
            if let Some(trace) = members.trace(target) {
                trace.leave(serial, at);
            }
        })
    }

    /// The target that sends next. New ones begin when few are ready.
    fn whose_turn(&mut self, now: u64) -> Option<u32> {
        while let Some(at) = self.turns.next_to_begin() {
            self.begin(at, now);
        }
        while let Some(at) = self.turns.next_ready() {
            if self.members.trace(at).is_some_and(|trace| trace.wants(now)) {
                return Some(at);
            }
            self.reschedule(at, now);
        }
        None
    }

    fn begin(&mut self, at: usize, now: u64) {
        if self.outgoing.can_send(at) {
            let goal = self.sizes.goal(self.targets.paths[at].address);
            self.members.begin(at as u32, TargetTrace::new(self.plan, goal));
            self.reschedule(at as u32, now);
        }
    }

    /// Sends a probe; whether there was one.
    fn probe(&mut self, at: u32, now: u64) -> bool {
        let Some(trace) = self.members.trace(at) else { return false };
        let Some(sent) = trace.launch(now) else { return false };
        let round = trace.rounds();
        self.outgoing.send((&mut self.wire, &self.targets), at, &sent, now);
        let told = &mut self.members.get(at).round;
        if round > *told {
            *told = round;
            if self.plan.each_round {
                self.tell_interim(at);
            }
        }
        self.reschedule(at, now);
        true
    }

    /// Gives up what is late, for all whose time has passed.
    fn expire_due(&mut self, now: u64) -> Result<()> {
        if !self.turns.has_expired(now) {
            return Ok(());
        }
        // An answer that came in time and was not read yet is not late.
        let mut waiting = self.wire.frames();
        while self.wire.fetch(&mut waiting)? {
            self.read();
        }
        self.reschedule_dirty();
        while let Some(at) = self.turns.next_expired(now) {
            self.give_up(at, now);
            self.reschedule(at, now);
        }
        Ok(())
    }

    /// The link is lost, and with it what is under way: it is sent once more when the link is back.
    fn lose_all(&mut self, now: u64) {
        for at in self.members.in_progress() {
            if let Some(trace) = self.members.trace(at) {
                trace.link_lost(now);
            }
            self.reschedule(at, now);
        }
    }

    /// Gives up the probes of a target whose time has passed.
    fn give_up(&mut self, at: u32, now: u64) {
        while let Some(sent) = self.members.trace(at).and_then(|trace| trace.expire(now)) {
            self.members.lost = true;
            self.reports.timeout(&self.targets.paths[at as usize].name, &sent);
        }
    }

    /// Reads what came.
    fn read(&mut self) {
        let mut reader = Reader {
            paths: &self.targets.paths,
            members: &mut self.members,
            outgoing: &self.outgoing,
            turns: &mut self.turns,
            reports: &mut self.reports,
        };
        self.wire.read(|frame, at, now, sender| reader.take(frame, (at, now), sender));
    }

    /// Looks at those that something came from.
    fn reschedule_dirty(&mut self) {
        let now = self.wire.now();
        let dirty = self.turns.take_dirty();
        dirty.iter().for_each(|&at| self.reschedule(at, now));
        self.turns.give_back(dirty);
    }

    /// Makes a target ready to send, puts it to sleep, or ends it.
    fn reschedule(&mut self, at: u32, now: u64) {
        let Some(trace) = self.members.trace(at) else { return };
        if trace.wants(now) {
            self.turns.make_ready(at);
        } else if trace.is_complete() {
            return self.end(at);
        }
        trace.forget(now);
        self.turns.wake_at(at, trace.wake_ns());
    }

    /// All is known of a target, or the run ends before.
    fn end(&mut self, at: u32) {
        let held = self.members.trace(at).map(TargetTrace::take_held).unwrap_or_default();
        for sent in held {
            self.members.lost = true;
            self.reports.timeout(&self.targets.paths[at as usize].name, &sent);
        }
        let summary = self.members.summary(at, &self.targets.paths[at as usize], self.plan);
        // An open port may still answer probes that nobody waits for.
        let member = self.members.get(at);
        if let Some(trace) = member.trace.as_ref().filter(|_| member.open_port) {
            let (now, probes) = (self.wire.now(), trace.unanswered_by_target());
            self.outgoing.reset_all(&mut self.wire.sender, at, probes, now);
        }
        self.members.end(at, summary.reached);
        self.reports.summary(at, summary);
    }

    /// The numbers of one target while the run goes on.
    fn tell_interim(&mut self, at: u32) {
        let path = &self.targets.paths[at as usize];
        self.reports.interim(self.members.summary(at, path, self.plan));
    }

    /// Reports why packets were lost and the summaries that are left; returns the result.
    pub(super) fn finish(&mut self, host: &dyn Host) -> Outcome {
        self.wire.listen_at_last();
        self.read();
        let tell = |event| (self.reports.sink)(Event::Session(event));
        self.wire.tell_losses(host, (self.members.lost, 0), tell);
        self.reports.settle_names();
        self.members.left().into_iter().for_each(|at| self.end(at));
        // Their resets leave now; if these cannot be sent, the targets give up by themselves.
        let now = self.wire.now();
        let _ = self.wire.sender.finish(now, |_, _| {});
        self.reports.finish();
        Outcome {
            reached: self.members.reached(),
            targets: self.targets.paths.len(),
            foreign: self.wire.foreign,
            malformed: self.wire.malformed,
            unstamped: self.wire.unstamped,
        }
    }
}
