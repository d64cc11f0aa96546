//! The loop: send what is due, read what came, give up what is late.

use super::event::{Event, Summary};
use super::filter;
use super::ids::EchoIds;
use super::outgoing::{Outgoing, Sending};
use super::plan::{Outcome, Plan};
use super::progress::Progress;
use super::receive::Reader;
use super::reporter::{Reporter, Times};
use super::tally::{How, Moment};
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
    pub(super) ids: EchoIds,
    pub(super) outgoing: Outgoing,
    pub(super) progress: Progress,
    pub(super) reporter: Reporter<'a>,
    /// When the last probe to a group was sent.
    pub(super) group_sent_ns: Option<u64>,
    /// When the last probe was answered or given up.
    pub(super) complete_ns: Option<u64>,
}

impl Run<'_> {
    /// Until all is answered or given up, the deadline passes, or somebody says stop.
    pub(super) fn go(&mut self, host: &mut dyn Host) -> Result<()> {
        self.prepare();
        self.hops.rest(self.wire.now());
        loop {
            let now = self.wire.now();
            if self.attention.wants_interim() {
                self.tell_summaries(Moment::Between, Event::Interim, now);
            }
            if self.attention.is_over(now) {
                break;
            }
            match self.wire.look(now, |event| (self.reporter.sink)(Event::Session(event))) {
                Ok(true) => self.lose_all(),
                Ok(false) => self.look_around(host, now),
                Err(error) => self.ending = Some((now, error)),
            }
            self.go_elsewhere(host, now)?;
            self.look_for_hops(host, now);
            self.send_due(now)?;
            self.give_up_until(now)?;
            if self.is_complete(now) && self.has_lingered(now) {
                break;
            }
            let until = self.wake_up_ns(now);
            self.wire.wait(until)?;
            self.read();
        }
        self.ending.take().map_or(Ok(()), |(_, error)| Err(error))
    }

    fn prepare(&mut self) {
        self.outgoing.prepare(self.plan, &self.targets, &self.hops, &mut self.wire);
    }

    /// Goes where routes and neighbours lead now.
    fn look_around(&mut self, host: &mut dyn Host, now: u64) {
        let sink = &mut self.reporter.sink;
        let moved = self.lookout.look(host, (&mut self.targets, &mut self.hops), now, |news| {
            sink(match news {
                News::Neighbour(found) => Event::Neighbour(found),
                News::Session(event) => Event::Session(event),
            });
        });
        if moved {
            let filter = filter::of_run(&self.targets, &self.ids, self.plan.size, host);
            let tell = |event| sink(Event::Session(event));
            self.wire.follow(&self.targets, &filter, host, tell);
            self.prepare();
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

    fn look_for_hops(&mut self, host: &mut dyn Host, now: u64) {
        if self.hops.next_ns().is_some_and(|at| at <= now) {
            let found =
                self.hops.glance(host, now, |found| (self.reporter.sink)(Event::Neighbour(found)));
            self.hops.rest(now);
            if found {
                self.prepare();
            }
        }
    }

    /// The next time at which something is to be done although nothing came.
    fn wake_up_ns(&mut self, now: u64) -> u64 {
        let retry = self.wire.retry_ns().filter(|_| self.wire.has_link());
        let due = retry.or_else(|| self.progress.next_due_ns());
        let timeout = self.progress.next_timeout_ns();
        let group = self.group_end_ns().filter(|&at| at > now);
        let linger = self.linger_end_ns().filter(|&at| at > now);
        self.attention.wake_up_ns(now, [due, timeout, group, self.hops.next_ns(), linger])
    }

    /// Answers of further group members come until then.
    fn group_end_ns(&self) -> Option<u64> {
        self.group_sent_ns.map(|at| at.saturating_add(ns(self.plan.timeout)))
    }

    fn is_complete(&self, now: u64) -> bool {
        let groups = self.group_end_ns().is_none_or(|at| at <= now);
        groups && self.progress.is_complete(self.wire.is_idle())
    }

    /// Where nothing came at all, errors that say why are waited for until then.
    fn linger_end_ns(&self) -> Option<u64> {
        self.complete_ns.map(|at| at.saturating_add(ns(self.plan.linger)))
    }

    fn has_lingered(&mut self, now: u64) -> bool {
        self.complete_ns.get_or_insert(now);
        !self.progress.is_unexplained() || self.linger_end_ns().is_none_or(|at| at <= now)
    }

    /// Sends the probes that are due, at most a batch of them.
    fn send_due(&mut self, now: u64) -> Result<()> {
        if !self.wire.has_link() {
            self.lose_due(now);
            return Ok(());
        }
        self.wire.begin(now);
        for _ in 0..self.plan.config.batch {
            let full = self.wire.is_full();
            if full || !self.progress.wants_more() || !self.wire.has_room(now) {
                break;
            }
            let Some(at) = self.progress.whose_turn(now) else { break };
            self.probe(at, now);
        }
        let progress = &mut self.progress;
        self.wire.finish(now, |count, at| progress.leave(count, at))
    }

    /// Sends a probe, or counts one that cannot be sent.
    fn probe(&mut self, at: usize, now: u64) {
        if let Some(seq) = self.progress.outstanding(at).filter(|_| self.plan.outstanding) {
            self.reporter.outstanding(&self.targets.paths[at], seq);
        }
        let lost = |old| self.reporter.timeout(&self.targets, old);
        let Some(probe) = self.progress.number(at, now, lost) else { return };
        let path = &self.targets.paths[at];
        match self.outgoing.send(&mut self.wire, &self.ids, probe, now) {
            Sending::Sent => {
                self.reporter.has_link(at);
                if path.multicast {
                    self.group_sent_ns = Some(now);
                }
            }
            Sending::NoFrame => {}
            Sending::NoWay => {
                let why = self.wire.why_not(path, &self.hops);
                self.progress.refuse(probe, &why);
                self.reporter.unreachable(at, path, &why);
            }
            Sending::NoLink => {
                self.progress.lose_unsent(probe);
                self.reporter.no_link(at, path);
            }
        }
        self.progress.settle(at);
    }

    /// Gives up what is under way when the link is lost. What still waits in the TX ring leaves when
    /// it is back: an answer to that is late, and its time is that of the outage.
    fn lose_all(&mut self) {
        while let Some(probe) = self.progress.lose() {
            self.reporter.timeout(&self.targets, probe);
        }
    }

    /// Gives up the probes that are due while there is no link: what is sent later than it was due
    /// would measure the wait for the link.
    fn lose_due(&mut self, now: u64) {
        for _ in 0..self.plan.config.batch {
            if !self.progress.wants_more() {
                break;
            }
            let Some(at) = self.progress.whose_turn(now) else { break };
            let lost = |old| self.reporter.timeout(&self.targets, old);
            if let Some(probe) = self.progress.number(at, now, lost) {
                self.progress.lose_unsent(probe);
                self.reporter.no_link(at, &self.targets.paths[at]);
                self.progress.settle(at);
            }
        }
    }

    /// Gives up the probes whose time has passed.
    fn give_up_until(&mut self, now: u64) -> Result<()> {
        // An answer that came in time and was not read yet is not late.
        let mut waiting = self.wire.frames();
        while self.progress.next_timeout_ns().is_some_and(|at| at <= now)
            && self.wire.fetch(&mut waiting)?
        {
            self.read();
        }
        while let Some(probe) = self.progress.expire(now) {
            let target = probe.target as usize;
            self.lookout.lost(target, self.progress.received(target));
            self.reporter.timeout(&self.targets, probe);
        }
        Ok(())
    }

    /// Reads what came.
    fn read(&mut self) {
        let mut reader = Reader {
            targets: &self.targets,
            ids: &self.ids,
            payload: &self.outgoing.payload,
            progress: &mut self.progress,
            reporter: &mut self.reporter,
        };
        self.wire.read(|frame, at, now, _| reader.take(frame, Times { at, now }));
    }

    /// Says of the last probes that still wait for their answers so: the deadline was before their time.
    fn tell_open(&mut self) {
        for (at, path) in self.targets.paths.iter().enumerate() {
            if let Some(seq) = self.progress.outstanding(at) {
                self.reporter.outstanding(path, seq);
            }
        }
    }

    fn tell_summaries(&mut self, moment: Moment, event: fn(Summary) -> Event, now: u64) {
        let how = How { moment, histogram: self.plan.histogram };
        for summary in self.progress.summaries(&self.targets, now, how) {
            (self.reporter.sink)(event(summary));
        }
        if moment == Moment::End {
            let own = self.targets.own.iter().map(Summary::own);
            for summary in self.targets.refused.iter().map(Summary::refused).chain(own) {
                (self.reporter.sink)(event(summary));
            }
        }
    }

    /// Reports why packets were lost and the summaries; returns the result.
    pub(super) fn finish(&mut self, host: &dyn Host) -> Outcome {
        self.wire.listen_at_last();
        self.read();
        let now = self.wire.now();
        if self.plan.count.is_some() && self.plan.deadline.is_some() {
            self.tell_open();
        }
        let tell = |event| (self.reporter.sink)(Event::Session(event));
        self.wire.tell_losses(host, self.progress.losses(), tell);
        // A wait for errors alone is not a part of the run.
        let ended = self.complete_ns.unwrap_or(now);
        self.tell_summaries(Moment::End, Event::Summary, ended);
        Outcome {
            answered: self.progress.answered_targets(),
            targets: self.targets.paths.len() + self.targets.refused.len(),
            refused: self.targets.refused.len() + self.progress.unusable(),
            foreign: self.wire.foreign,
            malformed: self.wire.malformed,
            unstamped: self.wire.unstamped,
        }
    }
}
