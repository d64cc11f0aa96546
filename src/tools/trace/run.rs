//! The loop: send what is due, read what came, give up what is late.

use super::event::{Event, Summary};
use super::filter::{filter, sizes};
use super::members::Members;
use super::outgoing::Outgoing;
use super::plan::{Outcome, Plan, Rounds};
use super::receive::Reader;
use super::reports::Reports;
use super::sizes::Sizes;
use super::target::TargetTrace;
use super::turns::Turns;
use crate::error::{FluxError, Result};
use crate::tools::host::Host;
use crate::tools::measure::pacer::ns;
use crate::tools::probe::{Lookout, News, NextHops, ProbeTargets, Wire};
use crate::tools::session::Attention;

/// Without any interface a run goes on this long: routes may move to another one.
const ELSEWHERE_NS: u64 = 1_000_000_000;

/// A run in progress.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) attention: Attention<'a>,
    pub(super) targets: ProbeTargets,
    pub(super) hops: NextHops,
    pub(super) lookout: Lookout,
    /// Since when there has been no interface to send by, and why.
    pub(super) ending: Option<(u64, FluxError)>,
    pub(super) wire: Wire,
    /// By link.
    pub(super) sizes: Vec<Sizes>,
    pub(super) outgoing: Outgoing,
    pub(super) members: Members,
    pub(super) turns: Turns,
    pub(super) reports: Reports<'a>,
    pub(super) began_ns: u64,
}

impl Run<'_> {
    /// Makes the probes; reports the targets that have none.
    pub(super) fn prepare(&mut self) {
        let (reports, members, paths) = (&mut self.reports, &mut self.members, &self.targets.paths);
        let told = |at: usize, why: &str| {
            if members.get(at as u32).trouble.replace(why.to_owned()).is_none() {
                reports.unreachable(&paths[at].name, why);
            }
        };
        let sending = (self.sizes.as_slice(), &mut self.wire);
        self.outgoing.prepare(self.plan, &self.targets, &self.hops, sending, told);
    }

    /// Until all is known, or somebody says stop.
    pub(super) fn go(&mut self, host: &mut dyn Host) -> Result<()> {
        self.hops.rest(self.wire.now());
        loop {
            let now = self.wire.now();
            if self.attention.wants_interim() {
                self.members.in_progress().into_iter().for_each(|at| self.tell_interim(at));
            }
            if self.attention.is_over(now) {
                break;
            }
            match self.wire.look(now, |event| (self.reports.sink)(Event::Session(event))) {
                Ok(true) => self.lose_all(now),
                Ok(false) => self.look_around(host, now),
                Err(error) => self.ending = Some((now, error)),
            }
            self.go_elsewhere(host, now)?;
            // What is sent without a link would be taken for the silence of a hop.
            if self.wire.has_link() {
                self.send_due(now)?;
            }
            self.expire_due(now)?;
            let done = self.members.are_done() && self.turns.all_begun();
            if done && self.wire.is_idle() && !self.waits_for_way(now) {
                break;
            }
            let until = self.wake_up_ns(now);
            self.wire.wait(until)?;
            self.read();
            self.reschedule_dirty();
        }
        self.ending.take().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Goes where routes and neighbours lead now.
    fn look_around(&mut self, host: &mut dyn Host, now: u64) {
        let sink = &mut self.reports.sink;
        let known = (&mut self.targets, &mut self.hops);
        let mut moved = self.lookout.look(host, known, now, |news| {
            sink(match news {
                News::Neighbour(found) => Event::Neighbour(found),
                News::Session(event) => Event::Session(event),
            });
        });
        if self.hops.next_ns().is_some_and(|at| at <= now) {
            moved |= self.hops.glance(host, |found| sink(Event::Neighbour(found)));
            self.hops.rest(now);
        }
        if moved {
            let ours = (&self.outgoing.identity, self.outgoing.echo.as_ref());
            let filter = filter(ours, &self.targets, host);
            let tell = |event| sink(Event::Session(event));
            self.wire.follow(&self.targets, &filter, host, tell);
            self.sizes = sizes(self.plan, &self.targets);
            self.prepare();
            self.begin_late(now);
        }
    }

    /// When all interfaces ended, another one may soon lead to the targets.
    fn go_elsewhere(&mut self, host: &mut dyn Host, now: u64) -> Result<()> {
        let Some((since, error)) = self.ending.take() else { return Ok(()) };
        self.lookout.doubt_all(&self.targets);
        self.look_around(host, now);
        match self.wire.has_link() {
            true => Ok(()),
            false if now.saturating_sub(since) >= ELSEWHERE_NS => Err(error),
            false => {
                self.ending = Some((since, error));
                Ok(())
            }
        }
    }

    /// The next time at which something is to be done although nothing came.
    fn wake_up_ns(&self, now: u64) -> u64 {
        let due = match self.wire.retry_ns() {
            _ if !self.wire.has_link() => None,
            Some(retry) => Some(retry),
            None => self.turns.may_send().then(|| self.outgoing.pacer.next_due_ns()),
        };
        self.attention.wake_up_ns(now, [due, self.turns.next_timer_ns()])
    }

    /// Sends the probes that are due, at most a batch of them.
    fn send_due(&mut self, now: u64) -> Result<()> {
        self.wire.begin(now);
        let due = self.outgoing.pacer.due(now).min(self.plan.config.batch);
        let mut spent = 0;
        while spent < due && !self.wire.is_full() && self.wire.has_room(now) {
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
        self.outgoing.kick(&mut self.wire, now, |target, serial, at| {
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
        let can_send = self.outgoing.can_send(at);
        self.members.get(at as u32).kept_out = !can_send;
        if can_send {
            let path = &self.targets.paths[at];
            let goal = self.sizes[path.link].goal(path.address);
            self.members.begin(at as u32, TargetTrace::new(self.plan, goal));
            self.reschedule(at as u32, now);
        }
    }

    /// Begins those that something can be sent to only now.
    fn begin_late(&mut self, now: u64) {
        for at in self.members.kept_out() {
            if self.outgoing.can_send(at as usize) {
                self.members.get(at).trouble = None;
                self.begin(at as usize, now);
            }
        }
    }

    /// Whether a target that nothing can be sent to is waited for: no longer than its rounds would last.
    fn waits_for_way(&self, now: u64) -> bool {
        let ran = now.saturating_sub(self.began_ns);
        let waits = match self.plan.rounds {
            Rounds::Once | Rounds::Count(0 | 1) => false,
            Rounds::Count(rounds) => ran < ns(self.plan.interval).saturating_mul(rounds - 1),
            Rounds::Endless => true,
        };
        waits && !self.members.kept_out().is_empty()
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
            let ttl = sent.what.numbers.ttl;
            let told = self.members.trace(at).and_then(|trace| trace.answers_of(ttl));
            if let Some(answers) = told {
                self.lookout.lost(at as usize, answers);
            }
            self.reports.timeout(&self.targets.paths[at as usize].name, &sent);
        }
    }

    /// Reads what came.
    fn read(&mut self) {
        let mut reader = Reader {
            targets: &self.targets,
            members: &mut self.members,
            outgoing: &self.outgoing,
            turns: &mut self.turns,
            reports: &mut self.reports,
        };
        self.wire.read(|frame, at, now, outlet| reader.take(frame, (at, now), outlet));
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
        let mut summary = self.members.summary(at, &self.targets.paths[at as usize], self.plan);
        let member = self.members.get(at);
        if member.trace.is_none()
            && let Some(why) = member.trouble.take()
        {
            summary.left_out(why);
        }
        // An open port may still answer probes that nobody waits for.
        let member = self.members.get(at);
        if let Some(trace) = member.trace.as_ref().filter(|_| member.open_port) {
            let (now, probes) = (self.wire.now(), trace.unanswered_by_target());
            self.outgoing.reset_all(&mut self.wire, at, probes, now);
        }
        summary.hear_in(self.targets.zone(at));
        self.members.end(at, summary.reached);
        self.reports.summary(at, summary);
    }

    /// The numbers of one target while the run goes on.
    fn tell_interim(&mut self, at: u32) {
        let path = &self.targets.paths[at as usize];
        let mut summary = self.members.summary(at, path, self.plan);
        summary.hear_in(self.targets.zone(at));
        self.reports.interim(summary);
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
        let _ = self.wire.finish(now, |_, _| {});
        self.reports.finish();
        for refused in &self.targets.refused {
            (self.reports.sink)(Event::Summary(Summary::refused(refused)));
        }
        Outcome {
            reached: self.members.reached(),
            targets: self.targets.paths.len() + self.targets.refused.len(),
            refused: self.targets.refused.len(),
            foreign: self.wire.foreign,
            malformed: self.wire.malformed,
            unstamped: self.wire.unstamped,
        }
    }
}
