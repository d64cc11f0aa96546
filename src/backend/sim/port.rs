//! A port: one of our network interfaces, with its XDP program, sockets and host stack.

use super::happening::Neighbour;
use super::outbox::Outbox;
use super::queue::KernelQueue;
use super::wire;
use super::{Trouble, Troubles};
use crate::backend::{Filter, Kick};
use crate::config::{Fail, limits};
use crate::proto::{ETHERNET_LEN, MacAddr};
use crate::stats::QueueCounters;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A way to what is not on the link of a port.
pub(super) struct PortRoute {
    pub(super) prefix: (IpAddr, u8),
    pub(super) gateway: IpAddr,
    /// The lowest counts, where prefixes are equally long.
    pub(super) metric: u32,
    /// Equal ones share the destinations (ECMP).
    pub(super) shared: bool,
}

/// Packets that a tap keeps at most, so that a forgotten one does not eat the memory.
const TAP_LIMIT: usize = 1 << 20;

/// One interface of the simulated machine.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) ifindex: u32,
    pub(super) mac: MacAddr,
    pub(super) mtu: u32,
    /// Longest packet that a socket may send, in bytes; follows the MTU.
    pub(super) longest: Arc<AtomicU32>,
    /// TX queues: from this number on, queues only receive.
    pub(super) tx_queues: u32,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// Where packets for other networks go.
    pub(super) routes: Vec<PortRoute>,
    /// Who else is on the link, as ARP and neighbour discovery would find out.
    pub(super) neighbours: HashMap<IpAddr, Neighbour>,
    /// Those that our kernel asks whether they are still there.
    pub(super) asking: HashSet<IpAddr>,
    /// IPv6 addresses that our kernel does not use yet, and until when.
    pub(super) tentative: Vec<(IpAddr, u64)>,
    pub(super) up: bool,
    /// Whether the driver says that it has zero-copy; [`Trouble::NoZeroCopy`] makes that a lie.
    pub(super) claims_zero_copy: bool,
    pub(super) troubles: Troubles,
    pub(super) sockets: Vec<Option<KernelQueue>>,
    pub(super) filter: Filter,
    /// What the XDP program does with packets that are ours and have no socket.
    pub(super) fail: Fail,
    /// Packets that went on to the host stack.
    pub(super) passed: u64,
    /// What the XDP program did, by queue, since it was attached.
    pub(super) counters: Vec<QueueCounters>,
    /// Packets that each queue received.
    pub(super) queue_rx: Vec<u64>,
    /// Packets that the device dropped instead of sending: too long, too short, no carrier.
    pub(super) tx_dropped: u64,
    /// Packets that it dropped on arrival, because they are longer than the MTU allows.
    pub(super) rx_oversized: u64,
    /// Packets that it sent.
    pub(super) tx_packets: u64,
    /// How often the link went or came because somebody moved an end of it.
    pub(super) link_moves: u64,
    pub(super) tap: Option<Tap>,
    /// Somebody removed it.
    pub(super) removed: bool,
    /// Somebody detached our XDP program.
    pub(super) detached: bool,
    /// When it was attached.
    pub(super) attached_ns: u64,
}

/// Copies of what passed by, when somebody asked for them.
#[derive(Default)]
pub(super) struct Tap {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) passed: Vec<Vec<u8>>,
}

/// Keeps a copy, as long as there is room.
pub(super) fn keep(list: &mut Vec<Vec<u8>>, packet: &[u8]) {
    if list.len() < TAP_LIMIT {
        list.push(packet.to_vec());
    }
}

fn no_counts(queues: u32) -> Vec<QueueCounters> {
    (0..queues.max(1)).map(|queue| QueueCounters { queue, ..Default::default() }).collect()
}

impl Port {
    pub(super) fn new(name: &str, ifindex: u32, queues: u32) -> Self {
        Self {
            name: name.to_owned(),
            ifindex,
            mac: MacAddr([2, 0, 0, 0, 0, ifindex as u8]),
            mtu: 1500,
            longest: Arc::default(),
            tx_queues: queues.max(1),
            addresses: Vec::new(),
            routes: Vec::new(),
            neighbours: HashMap::new(),
            asking: HashSet::new(),
            tentative: Vec::new(),
            up: true,
            claims_zero_copy: true,
            troubles: Troubles::NONE,
            sockets: (0..queues.max(1)).map(|_| None).collect(),
            filter: Filter::Nothing,
            fail: Fail::Open,
            passed: 0,
            counters: no_counts(queues),
            queue_rx: vec![0; queues.max(1) as usize],
            tx_dropped: 0,
            rx_oversized: 0,
            tx_packets: 0,
            link_moves: 0,
            tap: None,
            removed: false,
            detached: false,
            attached_ns: 0,
        }
    }

    /// Takes the XDP program off, and its counters with it.
    pub(super) fn detach(&mut self) {
        (self.filter, self.fail) = (Filter::Nothing, Fail::Open);
        self.counters = no_counts(self.queues());
    }

    pub(super) fn queues(&self) -> u32 {
        self.sockets.len() as u32
    }

    /// What its sockets may send, once the MTU is known.
    pub(super) fn longest(&self) -> Arc<AtomicU32> {
        self.longest.store(limits::longest(self.mtu), Relaxed);
        Arc::clone(&self.longest)
    }

    pub(super) fn socket(&mut self, queue: u32) -> Option<&mut KernelQueue> {
        self.sockets.get_mut(queue as usize)?.as_mut()
    }

    /// Whether there is no such interface any more.
    pub(super) fn is_gone(&self, now: u64) -> bool {
        self.removed || self.troubles.removes(now)
    }

    /// Whether somebody took our XDP program off it.
    pub(super) fn is_detached(&self, now: u64) -> bool {
        self.detached || self.troubles.detaches(self.attached_ns, now)
    }

    /// Whether somebody waits for its packets, and so wants to know what happens to it.
    pub(super) fn is_open(&self) -> bool {
        self.sockets.iter().any(Option::is_some)
    }

    /// Whether the driver binds in zero-copy mode.
    pub(super) fn offers_zero_copy(&self) -> bool {
        self.claims_zero_copy && !self.troubles.has(Trouble::NoZeroCopy)
    }

    /// The queue that a packet gets to: the given one, or the one that RSS picks.
    fn queue_of(&self, packet: &[u8], given: Option<u32>) -> u32 {
        match given {
            _ if self.troubles.has(Trouble::WrongQueue) => self.queues() - 1,
            Some(queue) => queue,
            None => self.rss(packet),
        }
    }

    /// The queue that RSS picks for a packet.
    fn rss(&self, packet: &[u8]) -> u32 {
        match self.queues() {
            1 => 0,
            n => wire::flow_hash(packet) % n,
        }
    }

    /// A packet from the wire, on the queue that RSS picks or the given one; whether it goes on to
    /// the host stack.
    pub(super) fn receive(&mut self, packet: &[u8], queue: Option<u32>, now: u64) -> bool {
        if !self.up || !self.troubles.has_link(now) || self.is_gone(now) {
            return false;
        }
        if packet.len() > limits::longest(self.mtu) as usize {
            self.rx_oversized += 1;
            return false;
        }
        let queue = self.queue_of(packet, queue);
        // Without a socket on its queue the XSKMAP has no entry: a packet that is ours goes on to
        // the stack all the same (XDP_PASS), or is dropped where the port fails closed.
        let detached = self.is_detached(now);
        let ours = !detached && self.filter.matches(packet);
        if let Some(received) = self.queue_rx.get_mut(queue as usize) {
            *received += 1;
        }
        let mut ignored = QueueCounters::default();
        let count = self.counters.get_mut(queue as usize).unwrap_or(&mut ignored);
        match self.sockets.get_mut(queue as usize) {
            Some(Some(socket)) if ours && socket.receives() => {
                count.redirected += 1;
                socket.receive(packet, now);
                false
            }
            _ if ours && self.fail == Fail::Closed => {
                count.dropped += 1;
                false
            }
            _ => {
                // Without a program nobody counts.
                if !detached {
                    *if ours { &mut count.no_socket } else { &mut count.passed } += 1;
                }
                self.passed += 1;
                if let Some(tap) = &mut self.tap {
                    keep(&mut tap.passed, packet);
                }
                true
            }
        }
    }

    /// Lets the kernel's half of `queue` send; the packets go to `out`. Without `carrier`, as with
    /// packets that are no Ethernet frames or too long, the device drops them.
    /// Of a queue that has no TX queue it takes nothing, and says nothing (`__xsk_generic_xmit`).
    pub(super) fn transmit(&mut self, queue: u32, carrier: bool, out: &mut Outbox) -> Kick {
        if queue >= self.tx_queues {
            return Kick::Done;
        }
        let Some(Some(socket)) = self.sockets.get_mut(queue as usize) else { return Kick::Done };
        let lengths = ETHERNET_LEN..=limits::longest(self.mtu) as usize;
        let (tap, dropped) = (&mut self.tap, &mut self.tx_dropped);
        let sent = &mut self.tx_packets;
        socket.transmit(|packet| {
            if !carrier || !lengths.contains(&packet.len()) {
                *dropped += 1;
                return false;
            }
            if let Some(tap) = tap {
                keep(&mut tap.sent, packet);
            }
            let packet = out.copy(packet);
            out.send(0, packet);
            *sent += 1;
            true
        })
    }
}
