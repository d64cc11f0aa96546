//! Neighbour resolution: the kernel asks by ARP or neighbour discovery, we watch its table.
//!
//! ```text
//!   subscribe ─► look up ──usable──────────────────────────────► known
//!                   └────► "use" ─► look up ─► notification ─► look up ─► answered / gave up
//! ```
//!
//! Subscribed before asking, so no answer is missed. A notification may be older than our
//! question, so a failure counts only once a lookup confirms it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Netlink, Notified};
use crate::tools::host::error::Cause;
use crate::tools::host::model::{Doubt, Neighbour};

const RTNLGRP_NEIGH: u32 = 3;

/// Questions open at a time: well below gc_thresh3 (1024 by default), where the kernel refuses
/// new entries, and few enough for their notifications to fit into a socket buffer.
const WINDOW: usize = 256;

/// While the table is full: the first pause before the next try, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(80));

/// Longer timeouts than a year might leave the range of the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// An address on the link of an interface, given by index.
pub(super) type Key = (u32, IpAddr);

/// Why an address has no neighbour. `Copy`, because an address may be wanted more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    GaveUp(Duration),
    Timeout(Duration),
    NotEthernet,
    Os(i32),
}

impl Failure {
    fn from_io(error: &io::Error) -> Self {
        Failure::Os(error.raw_os_error().unwrap_or(libc::EIO))
    }

    pub(super) fn cause(self) -> Cause {
        match self {
            Failure::GaveUp(waited) => Cause::NeighbourFailed { waited },
            Failure::Timeout(waited) => Cause::NeighbourTimeout { waited },
            Failure::NotEthernet => Cause::NotEthernet,
            Failure::Os(code) => Cause::Os(io::Error::from_raw_os_error(code)),
        }
    }
}

pub(super) type Answers = HashMap<Key, Result<Neighbour, Failure>>;

/// What the kernel's table says about one address.
enum Entry {
    Usable([u8; 6]),
    /// Resolved, but not to an Ethernet address.
    NotEthernet,
    Incomplete,
    /// Failed, or not there.
    Failed,
}

/// The kernel's table of neighbours has been full for a while: it refuses new entries.
#[derive(Default)]
struct Full {
    since: Option<Instant>,
    pause: Duration,
}

impl Full {
    /// When to try again; `None`: it has been full for `timeout`.
    fn again(&mut self, now: Instant, timeout: Duration) -> Option<Instant> {
        let end = *self.since.get_or_insert(now) + timeout.min(LONGEST);
        self.pause = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
        (now < end).then(|| end.min(now + self.pause))
    }
}

struct Resolver<'a> {
    requests: &'a Netlink,
    /// When the question about each address was sent.
    pending: HashMap<Key, Instant>,
    answers: Answers,
}

/// Resolves `keys`, each within `timeout` of its question.
pub(super) fn resolve(
    requests: &Netlink,
    keys: impl IntoIterator<Item = Key>,
    timeout: Duration,
) -> io::Result<Answers> {
    let notifications = Netlink::subscribe(RTNLGRP_NEIGH)?;
    let mut resolver = Resolver { requests, pending: HashMap::new(), answers: HashMap::new() };
    let mut queue: VecDeque<Key> = keys.into_iter().collect();
    // In order of asking, which is the order of deadlines. Answered ones stay until they come up.
    let mut asked: VecDeque<(Instant, Key)> = VecDeque::new();
    let mut full = Full::default();
    loop {
        let mut again = None;
        while resolver.pending.len() < WINDOW
            && let Some(key) = queue.pop_front()
        {
            if resolver.answers.contains_key(&key) || resolver.pending.contains_key(&key) {
                continue;
            }
            match resolver.begin(key) {
                Ok(Some(start)) => {
                    full = Full::default();
                    asked.push_back((start, key));
                }
                Ok(None) => {}
                // The table is full, perhaps of our own questions: wait for some to end.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    queue.push_front(key);
                    if !resolver.pending.is_empty() {
                        break;
                    }
                    again = full.again(Instant::now(), timeout);
                    if again.is_none() {
                        // The others would not be asked either.
                        for key in queue.drain(..) {
                            resolver.answers.entry(key).or_insert(Err(Failure::from_io(&error)));
                        }
                    }
                    break;
                }
                Err(error) => resolver.end(key, Err(Failure::from_io(&error))),
            }
        }
        while let Some(&(_, key)) = asked.front()
            && !resolver.pending.contains_key(&key)
        {
            asked.pop_front();
        }
        let Some(&(start, key)) = asked.front() else {
            match again {
                // Entries that go free are told, those of others as well.
                Some(until) => drop(notifications.notifications(until)?),
                None if queue.is_empty() => return Ok(resolver.answers),
                None => {}
            }
            continue;
        };
        match notifications.notifications(start + timeout.min(LONGEST))? {
            Notified::Messages(messages) => messages.iter().for_each(|one| resolver.notice(one)),
            Notified::Overrun => {
                let keys: Vec<Key> = resolver.pending.keys().copied().collect();
                keys.into_iter().for_each(|key| resolver.check(key));
            }
            Notified::Deadline => {
                resolver.check(key); // the answer may be there, its notification behind others
                if resolver.pending.contains_key(&key) {
                    resolver.end(key, Err(Failure::Timeout(start.elapsed())));
                }
            }
        }
    }
}

impl Resolver<'_> {
    /// Takes a known address, or asks; returns when it asked.
    fn begin(&mut self, key: Key) -> io::Result<Option<Instant>> {
        match self.look_up(key)? {
            Entry::Usable(mac) => self.end(key, Ok(Neighbour::known(mac))),
            Entry::NotEthernet => self.end(key, Err(Failure::NotEthernet)),
            Entry::Incomplete | Entry::Failed => {
                let start = Instant::now();
                self.ask(key)?;
                self.pending.insert(key, start);
                // Entries that need no question (NOARP) are complete now, without notification.
                self.check(key);
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// Handles a notification, which may be about any neighbour of this host.
    fn notice(&mut self, message: &RouteNetlinkMessage) {
        let (RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry)) =
            message
        else {
            return;
        };
        let Some(addr) = destination(entry) else { return };
        let key = (entry.header.ifindex, addr);
        let Some(start) = self.pending.get(&key) else { return };
        if let (RouteNetlinkMessage::NewNeighbour(_), Entry::Usable(mac)) = (message, read(entry)) {
            let took = start.elapsed();
            self.end(key, Ok(Neighbour { mac, took, cached: false }));
        } else {
            self.check(key);
        }
    }

    /// Ends a pending question if the table has its outcome.
    fn check(&mut self, key: Key) {
        let Some(start) = self.pending.get(&key).copied() else { return };
        let entry = self.look_up(key);
        let took = start.elapsed();
        let outcome = match entry {
            Ok(Entry::Incomplete) => return,
            Ok(Entry::Usable(mac)) => Ok(Neighbour { mac, took, cached: false }),
            Ok(Entry::NotEthernet) => Err(Failure::NotEthernet),
            Ok(Entry::Failed) => Err(Failure::GaveUp(took)),
            Err(error) => Err(Failure::from_io(&error)),
        };
        self.end(key, outcome);
    }

    fn end(&mut self, key: Key, outcome: Result<Neighbour, Failure>) {
        self.pending.remove(&key);
        self.answers.insert(key, outcome);
    }

    fn look_up(&self, key: Key) -> io::Result<Entry> {
        let question = RouteNetlinkMessage::GetNeighbour(message(key, NeighbourFlags::empty()));
        match self.requests.request(question, 0) {
            Ok(answers) => Ok(answers
                .iter()
                .find_map(|answer| match answer {
                    RouteNetlinkMessage::NewNeighbour(entry) => Some(read(entry)),
                    _ => None,
                })
                .unwrap_or(Entry::Failed)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Entry::Failed),
            Err(error) => Err(error),
        }
    }

    /// Makes the kernel resolve the address as if it had a packet for it.
    fn ask(&self, key: Key) -> io::Result<()> {
        let entry = RouteNetlinkMessage::NewNeighbour(message(key, NeighbourFlags::Use));
        self.requests.request(entry, NLM_F_CREATE | NLM_F_REPLACE).map(|_| ())
    }
}

/// Makes the kernel ask a neighbour that it knows whether it is still there: by PROBE, three questions a
/// second apart. Packets go to the known address meanwhile, and to the new one once there is an answer;
/// without one the entry fails, and is asked for as a new one.
pub(super) fn confirm(requests: &Netlink, key: Key, doubt: Doubt) -> io::Result<()> {
    let question = RouteNetlinkMessage::GetNeighbour(message(key, NeighbourFlags::empty()));
    let answers = match requests.request(question, 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        answers => answers?,
    };
    let state = answers.iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewNeighbour(entry) => Some(entry.header.state),
        _ => None,
    });
    let doubted = match state {
        Some(NeighbourState::Stale) => true,
        Some(NeighbourState::Reachable | NeighbourState::Delay) => doubt == Doubt::All,
        _ => false,
    };
    if !doubted {
        return Ok(());
    }
    let mut entry = message(key, NeighbourFlags::empty());
    entry.header.state = NeighbourState::Probe;
    requests.request(RouteNetlinkMessage::NewNeighbour(entry), 0).map(|_| ())
}

fn message((ifindex, addr): Key, flags: NeighbourFlags) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.ifindex = ifindex;
    message.header.flags = flags;
    message.attributes.push(NeighbourAttribute::Destination(addr.into()));
    message
}

/// What a notification about an entry says: interface, address, and the link layer address where
/// there is one now. `None` for entries of bridges.
pub(super) fn change(entry: &NeighbourMessage, there: bool) -> Option<(Key, Option<[u8; 6]>)> {
    let mac = match read(entry) {
        Entry::Usable(mac) if there => Some(mac),
        _ => None,
    };
    let ip = matches!(entry.header.family, AddressFamily::Inet | AddressFamily::Inet6);
    Some(((entry.header.ifindex, destination(entry)?), mac)).filter(|_| ip)
}

fn destination(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(addr)) => Some((*addr).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    })
}

fn read(entry: &NeighbourMessage) -> Entry {
    match entry.header.state {
        NeighbourState::Incomplete => Entry::Incomplete,
        NeighbourState::Failed | NeighbourState::None => Entry::Failed,
        _ => entry
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
                _ => None,
            })
            .map_or(Entry::NotEthernet, Entry::Usable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_is_tried_again_with_longer_pauses_until_the_time_is_over() {
        let (start, timeout) = (Instant::now(), Duration::from_millis(250));
        let (mut full, mut now, mut pauses) = (Full::default(), start, Vec::new());
        while let Some(until) = full.again(now, timeout) {
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 80, 15]);
        assert_eq!(now, start + timeout);
    }
}
