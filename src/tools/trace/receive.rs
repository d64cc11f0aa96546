//! What came: each answer to its probe, everything else counted.

use super::answer::{self, Answer, Kind, Seen};
use super::event::{Event, Reply};
use super::flight::{Role, Sent};
use super::icmp_names;
use super::run::Run;
use super::session::Told;

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
            match answer::read(packet.data(), &self.identity) {
                Seen::Answer(answer) => self.answer(&answer, stamp.unwrap_or(now), now),
                Seen::Foreign => self.foreign += 1,
                Seen::Malformed => self.malformed += 1,
            }
        }
        inbox.clear();
        self.inbox = inbox;
    }

    fn answer(&mut self, answer: &Answer, at: u64, now: u64) {
        let found = self.by_address.get(&answer.target).copied();
        let member = found.filter(|&m| self.journey.paths[m as usize].source == answer.to);
        if let (Some(member), Kind::SynAck { ack }) = (member, answer.kind) {
            self.reset(member, answer, ack, now);
        }
        let session = member.and_then(|m| Some((m, self.members[m as usize].session.as_mut()?)));
        let Some((member, session)) = session else {
            // Behind the end of a path answers come that nobody waits for.
            self.foreign += u64::from(member.is_none());
            return;
        };
        let told = session.answer(answer, at, now);
        let reached = session.is_reached(answer);
        let (event, sent): (fn(Reply) -> Event, Sent) = match told {
            Told::First(sent) => (Event::Reply, sent),
            Told::Late(sent) => (Event::Late, sent),
            Told::Duplicate(sent) => (Event::Duplicate, sent),
            Told::Foreign => {
                self.foreign += 1;
                return;
            }
        };
        self.heard.push(member);
        self.ask_name(answer.from);
        if self.plan.each && sent.role == Role::Hop {
            let target = &self.journey.paths[member as usize].name;
            (self.sink)(event(reply(target, answer, &sent, at, reached)));
        }
    }
}

fn reply(target: &str, answer: &Answer, sent: &Sent, at: u64, reached: bool) -> Reply {
    Reply {
        target: target.to_owned(),
        ttl: sent.numbers.ttl,
        probe: sent.serial + 1,
        flow: sent.numbers.flow,
        round: sent.round,
        from: answer.from,
        rtt_us: at.checked_sub(sent.sent_ns).map(|ns| ns as f64 / 1e3),
        icmp: icmp_names::text(answer.kind).into_owned(),
        mark: icmp_names::mark(answer.kind),
        reached,
        reply_ttl: answer.reply_ttl,
        quoted_ttl: answer.quoted_ttl,
        mpls: answer.mpls.clone(),
        extensions: answer.extensions.clone(),
        mtu: answer.kind.mtu(),
        nat: answer.nat,
    }
}
