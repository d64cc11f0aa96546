//! [`Progress`]: which probes are sent, answered and lost, target by target, and whose turn it is.

use super::event::Summary;
use super::members::Members;
use super::plan::Plan;
use super::schedule::Schedule;
use super::sequences::{Answer, Failed, Probe, SendRefused, Sequences};
use super::tally::{How, Tally};
use crate::tools::measure::pacer::ns;
use crate::tools::probe::{Path, ProbeTargets, WhyNot};
use std::net::IpAddr;
use std::time::Duration;

/// Answers are recognised as late or duplicate this long after their probe timed out. Short for
/// many probes a second, because each is remembered.
const RETAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Probes a second above which the short time holds.
const RETAIN_RATE: f64 = 1000.0;

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The first one to its probe, in time; of a group, the first of a member.
    InTime { probe: Probe, reordered: bool },
    /// One more of the same host.
    Duplicate(Probe),
    /// Its probe had been given up, or is forgotten.
    Late(Option<Probe>),
}

/// Why probes are not sent while a link is away.
pub(super) const NO_LINK: &str = "no link: probes that are due are not sent";

/// What is odd about an answer that was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Odd {
    pub(super) truncated: bool,
    pub(super) different_address: bool,
    pub(super) changed: bool,
}

/// One target.
struct Member {
    tally: Tally,
    /// Who answers, where it is a group.
    group: Option<Members>,
    /// Whether more probes are to be sent to it.
    wants: bool,
    /// Why the last probe that was not sent was not, where that says nothing of the target.
    unusable: Option<String>,
}

impl Member {
    /// Why this host could send nothing to it at all.
    fn left_out(&self) -> Option<&String> {
        self.unusable.as_ref().filter(|_| self.tally.sent == self.tally.unsent)
    }
}

/// What became of the probes so far.
pub(super) struct Progress {
    members: Vec<Member>,
    /// Members that want probes.
    wanting: usize,
    probes: Sequences,
    schedule: Schedule,
    /// Probes (or with a deadline: answers) that each target is to have.
    count: Option<u64>,
    until_answered: bool,
    /// Probes that were due while there was no link.
    unsent: u64,
    /// Probes given up of which nothing was heard, not even an error.
    silent: u64,
    timeout_ns: u64,
}

impl Progress {
    /// Of a run that begins now.
    pub(super) fn new(plan: &Plan, paths: &[Path], span: u64, now: u64) -> Self {
        let count = paths.len();
        let fast = plan.floods()
            || plan.rate.unwrap_or(count as f64 / plan.interval.as_secs_f64()) > RETAIN_RATE;
        let retain = if fast { RETAIN.0 } else { RETAIN.1 };
        let member = |path: &Path| Member {
            tally: Tally::default(),
            group: path.multicast.then(Members::default),
            wants: true,
            unusable: None,
        };
        Self {
            members: paths.iter().map(member).collect(),
            wanting: count,
            probes: Sequences::new(count, 1, span, (plan.timeout, retain)),
            schedule: Schedule::new(plan, count, now),
            count: plan.count,
            until_answered: plan.deadline.is_some(),
            unsent: 0,
            silent: 0,
            timeout_ns: ns(plan.timeout),
        }
    }

    /// Whether any target is to have more probes.
    pub(super) fn wants_more(&self) -> bool {
        self.wanting > 0
    }

    /// Whether there is nothing to wait for but answers of groups.
    pub(super) fn is_complete(&self, sent_all: bool) -> bool {
        // With a deadline, `count` answers are what was waited for (as `ping -w`).
        let outlived = self.until_answered && self.count.is_some();
        let answered = self.probes.in_flight() == 0 && sent_all;
        self.wanting == 0 && (outlived || answered)
    }

    /// When the next probe is due; `None`: when something is answered, or never.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        if self.wants_more() { self.schedule.next_due_ns() } else { None }
    }

    /// When the next probe in flight is given up.
    pub(super) fn next_timeout_ns(&mut self) -> Option<u64> {
        self.probes.next_deadline_ns()
    }

    /// The target whose probe is due.
    pub(super) fn whose_turn(&mut self, now: u64) -> Option<usize> {
        let members = &self.members;
        let sent = |at: usize| members[at].wants.then_some(members[at].tally.sent);
        self.schedule.next(now, members.len(), sent)
    }

    /// Numbers a target's next probe. `lost` is called with the probe that had its number before, if
    /// that is still in flight: only what is waited for without end becomes so old.
    pub(super) fn number(
        &mut self,
        at: usize,
        now: u64,
        mut lost: impl FnMut(Probe),
    ) -> Option<Probe> {
        let probe = loop {
            match self.probes.send(at as u32, now) {
                Ok(probe) => break probe,
                Err(SendRefused::SequenceInFlight(old)) => {
                    self.probes.cancel(old);
                    self.members[at].tally.given_up += 1;
                    lost(old);
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

    /// The newest probe to a target, if it was neither answered nor given up, nor an error came.
    pub(super) fn outstanding(&self, at: usize) -> Option<u64> {
        let newest = self.members[at].tally.sent;
        self.probes.is_open(at as u32, newest).then_some(newest)
    }

    /// The newest `count` probes leave together, now.
    pub(super) fn leave(&mut self, count: usize, now: u64) {
        self.probes.leave(count, now);
    }

    /// A probe cannot be sent.
    pub(super) fn refuse(&mut self, probe: Probe, why: &WhyNot) {
        self.probes.cancel(probe);
        let Member { tally, unusable, .. } = &mut self.members[probe.target as usize];
        *unusable = why.is_local().then(|| why.to_string());
        tally.given_up += 1;
        tally.unsent += 1;
        tally.errors += 1;
    }

    /// A probe is not sent, because there is no link.
    pub(super) fn lose_unsent(&mut self, probe: Probe) {
        self.probes.cancel(probe);
        self.unsent += 1;
        let Member { tally, unusable, .. } = &mut self.members[probe.target as usize];
        unusable.get_or_insert_with(|| NO_LINK.to_owned());
        tally.given_up += 1;
        tally.unsent += 1;
    }

    /// Gives up the next probe whose time has passed at `now`. Call until `None`.
    pub(super) fn expire(&mut self, now: u64) -> Option<Probe> {
        let probe = self.probes.expire(now)?;
        self.give_up(probe);
        Some(probe)
    }

    /// Gives up the next probe in flight, whatever its time. Call until `None`.
    pub(super) fn lose(&mut self) -> Option<Probe> {
        let probe = self.probes.lose()?;
        self.give_up(probe);
        Some(probe)
    }

    fn give_up(&mut self, probe: Probe) {
        self.members[probe.target as usize].tally.given_up += 1;
        self.silent += u64::from(!probe.failed);
    }

    /// Takes note of an answer of `from`, which came at `at`, and returns what it is.
    pub(super) fn answered(
        &mut self,
        target: usize,
        sequence: u64,
        (from, at): (IpAddr, u64),
    ) -> Answered {
        let answer = self.probes.answer(target as u32, sequence);
        let Member { tally, group, .. } = &mut self.members[target];
        let fresh = group.as_mut().map(|group| group.answered(from, sequence));
        let took = |probe: Probe| at.checked_sub(probe.sent_ns);
        let answered = match answer {
            Answer::First { probe, reordered } => {
                tally.reply(took(probe), reordered);
                if probe.sequence == tally.sent {
                    self.schedule.answered(target);
                }
                Answered::InTime { probe, reordered }
            }
            // Another member of the group.
            Answer::Duplicate { probe, .. } if fresh == Some(true) => {
                if took(probe).is_some_and(|ns| ns > self.timeout_ns) {
                    tally.late += 1;
                    Answered::Late(Some(probe))
                } else {
                    tally.time(took(probe));
                    Answered::InTime { probe, reordered: false }
                }
            }
            Answer::Duplicate { probe, .. } => {
                tally.duplicates += 1;
                Answered::Duplicate(probe)
            }
            Answer::Late { probe } => {
                tally.late += 1;
                Answered::Late(Some(probe))
            }
            // An unknown one is ours, but forgotten.
            Answer::Unknown => {
                tally.late += 1;
                Answered::Late(None)
            }
        };
        if let (Answered::InTime { probe, .. }, Some(group)) = (answered, group)
            && let Some(ns) = took(probe)
        {
            group.took(from, ns);
        }
        self.settle(target);
        answered
    }

    /// Takes note of what is odd about an answer.
    pub(super) fn odd(&mut self, target: usize, odd: Odd) {
        let tally = &mut self.members[target].tally;
        tally.truncated += u64::from(odd.truncated);
        tally.different_address += u64::from(odd.different_address);
        tally.corrupt += u64::from(odd.changed);
    }

    /// Takes note of an answer with a wrong checksum: its probe, if it is remembered, goes on waiting
    /// for a good one.
    pub(super) fn bad_checksum(&mut self, target: usize, sequence: u64) -> Option<Probe> {
        let tally = &mut self.members[target].tally;
        tally.corrupt += 1;
        tally.bad_checksum += 1;
        self.probes.get(target as u32, sequence)
    }

    /// Takes note of an answer to a target's probe that has the number of another.
    pub(super) fn misnumbered(&mut self, target: usize) {
        self.members[target].tally.corrupt += 1;
    }

    /// Whether a probe is neither answered nor given up.
    pub(super) fn is_in_flight(&self, target: usize, sequence: u64) -> bool {
        self.probes.is_in_flight(target as u32, sequence)
    }

    /// Takes note of an ICMP error about a probe, which goes on waiting for an answer. `None`: the
    /// probe is forgotten.
    pub(super) fn failed(&mut self, target: usize, sequence: u64) -> Option<Probe> {
        let Failed { probe, given_up, again } = self.probes.fail(target as u32, sequence)?;
        let tally = &mut self.members[target].tally;
        tally.errors += 1;
        if again {
            return Some(probe);
        }
        self.silent -= u64::from(given_up);
        if probe.sequence == tally.sent {
            self.schedule.answered(target);
        }
        Some(probe)
    }

    /// Looks whether a target has had enough probes.
    pub(super) fn settle(&mut self, at: usize) {
        let (Some(count), member) = (self.count, &mut self.members[at]) else { return };
        let tally = &member.tally;
        // As `ping -w`: with a deadline it goes on until `count` answers are in.
        let had = if self.until_answered { tally.received } else { tally.sent };
        if had >= count && std::mem::replace(&mut member.wants, false) {
            self.wanting -= 1;
        }
    }

    /// Probes to a target that were answered in time.
    pub(super) fn received(&self, target: usize) -> u64 {
        self.members[target].tally.received
    }

    /// The sequence number of the newest probe to a target.
    pub(super) fn last_sequence(&self, target: usize) -> u64 {
        self.members[target].tally.sent
    }

    /// Whether any probe was given up, and how many were not sent because there was no link.
    pub(super) fn losses(&self) -> (bool, u64) {
        (self.members.iter().any(|member| member.tally.given_up > 0), self.unsent)
    }

    /// Whether something may still be heard that says why no answer came at all.
    pub(super) fn is_unexplained(&self) -> bool {
        self.silent > 0 && self.members.iter().all(|member| member.tally.received == 0)
    }

    /// How many targets answered: as often as was waited for, or once.
    pub(super) fn answered_targets(&self) -> usize {
        let enough = self.count.filter(|_| self.until_answered).unwrap_or(1);
        self.members.iter().filter(|member| member.tally.received >= enough).count()
    }

    /// How many targets this host could send nothing to.
    pub(super) fn unusable(&self) -> usize {
        self.members.iter().filter(|member| member.left_out().is_some()).count()
    }

    /// The numbers of each target.
    pub(super) fn summaries(
        &self,
        targets: &ProbeTargets,
        now: u64,
        how: How,
    ) -> impl Iterator<Item = Summary> {
        let both = self.members.iter().zip(&targets.paths);
        both.map(move |(member, path)| Summary {
            answerers: member
                .group
                .as_ref()
                .map(|group| group.answerers(|address| targets.zoned(path, address))),
            error: member.left_out().cloned(),
            ..member.tally.summary(&path.name, path.address, now, how)
        })
    }
}
