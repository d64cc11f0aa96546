//! What came: each answer to its probe, everything else counted.

use super::answer::{self, EchoError, EchoReply, Seen};
use super::event::{Event, IcmpError, Reply};
use super::open::IDS_PER_SLOT;
use super::run::Run;
use crate::proto::ICMP_LEN;
use crate::tools::probe::table::{Answer, Probe};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sequence numbers that identifier and sequence field tell apart.
const SEQUENCES: u64 = IDS_PER_SLOT as u64 * 0x1_0000;

impl Run<'_> {
    /// Reads what was received.
    pub(super) fn read_inbox(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        let now = self.rx.now();
        let mut inbox = std::mem::take(&mut self.inbox);
        for packet in inbox.iter_mut() {
            // A stamp of the future is none.
            let stamp = packet.rx_timestamp().filter(|&at| at <= now);
            self.unstamped += u64::from(stamp.is_none());
            let at = stamp.unwrap_or(now);
            match answer::read(packet.data()) {
                Seen::Reply(reply) => self.reply(&reply, at, now),
                Seen::Error(error) => self.error(&error, at),
                Seen::Foreign => self.foreign += 1,
                Seen::Malformed => self.malformed += 1,
            }
        }
        inbox.clear();
        self.inbox = inbox;
    }

    /// The target and the full sequence number that an answer from or about `address` names;
    /// `None` if we sent no such probe.
    fn probe_of(&self, address: IpAddr, id: u16, seq: u16) -> Option<(usize, u64)> {
        let offset = id.checked_sub(self.base_id)?;
        let (slot, generation) = (offset / IDS_PER_SLOT, offset % IDS_PER_SLOT);
        let target =
            self.by_slot.get(&slot).or_else(|| self.by_address.get(&(address, slot))).copied()?;
        let last = self.members.get(target as usize)?.tally.sent;
        let low = u64::from(generation) << 16 | u64::from(seq);
        // The newest probe with these 18 bits.
        let age = last.wrapping_sub(low) % SEQUENCES;
        let sequence = last.checked_sub(age).filter(|&sequence| sequence > 0)?;
        Some((target as usize, sequence))
    }

    fn reply(&mut self, reply: &EchoReply<'_>, at: u64, now: u64) {
        let found = self.probe_of(reply.from, reply.id, reply.seq);
        let Some((target, seq)) = found.filter(|f| self.journey.paths[f.0].source == reply.to)
        else {
            self.foreign += 1;
            return;
        };
        let tally = &mut self.members[target].tally;
        let is_corrupt = !reply.intact || reply.payload != self.payload.as_slice();
        let rtt = |probe: Probe| at.checked_sub(probe.sent_ns);
        let (event, rtt_ns, reordered): (fn(Reply) -> Event, _, _) = if is_corrupt {
            tally.corrupt += 1;
            (Event::Corrupt, None, false)
        } else {
            match self.table.answer_exactly(target as u32, seq) {
                Answer::First { probe, reordered } => {
                    tally.reply(rtt(probe), reordered);
                    if probe.sequence == tally.sent {
                        self.schedule.answered(target);
                    }
                    (Event::Reply, rtt(probe), reordered)
                }
                Answer::Duplicate { probe, .. } => {
                    tally.duplicates += 1;
                    (Event::Duplicate, rtt(probe), false)
                }
                Answer::Late { probe } => {
                    tally.late += 1;
                    (Event::Late, rtt(probe), false)
                }
                // Ours, but forgotten.
                Answer::Unknown => {
                    tally.late += 1;
                    (Event::Late, None, false)
                }
            }
        };
        self.settle(target);
        if self.plan.each {
            let time = self.plan.wall_clock.then(|| self.time_of_day(at, now));
            (self.sink)(event(Reply {
                target: self.journey.paths[target].name.clone(),
                from: reply.from,
                seq,
                bytes: ICMP_LEN + reply.payload.len(),
                ttl: reply.ttl,
                rtt_us: rtt_ns.map(us),
                reordered,
                time,
            }));
        }
    }

    fn error(&mut self, error: &EchoError, at: u64) {
        let (source, destination) = error.probe;
        let found = self.probe_of(destination, error.id, error.seq);
        let Some((target, seq)) = found.filter(|f| self.journey.paths[f.0].source == source) else {
            self.foreign += 1;
            return;
        };
        let tally = &mut self.members[target].tally;
        let mut rtt_ns = None;
        if error.report.is_final() {
            match self.table.answer_exactly(target as u32, seq) {
                Answer::First { probe, .. } => {
                    rtt_ns = at.checked_sub(probe.sent_ns);
                    tally.errors += 1;
                    tally.given_up += 1;
                    if probe.sequence == tally.sent {
                        self.schedule.answered(target);
                    }
                }
                Answer::Late { probe } => {
                    rtt_ns = at.checked_sub(probe.sent_ns);
                    tally.errors += 1;
                }
                // Said before, or about a probe that is forgotten: nothing new.
                Answer::Duplicate { .. } | Answer::Unknown => return,
            }
            self.settle(target);
        }
        if self.plan.each {
            (self.sink)(Event::Icmp(IcmpError {
                target: self.journey.paths[target].name.clone(),
                from: error.from,
                seq,
                icmp_type: error.report.icmp_type,
                code: error.report.code,
                text: error.report.text().into_owned(),
                mtu: error.report.mtu(),
                rtt_us: rtt_ns.map(us),
            }));
        }
    }

    /// The time of day of `at`, in seconds since 1970; virtual time started then.
    fn time_of_day(&self, at: u64, now: u64) -> f64 {
        let ago = Duration::from_nanos(now.saturating_sub(at));
        if self.is_virtual {
            return at as f64 / 1e9;
        }
        let day =
            SystemTime::now().checked_sub(ago).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        day.map_or(0.0, |time| time.as_secs_f64())
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
