//! The simulated world: nodes, the directions between them, and one queue of things to come.

use super::Trouble;
use super::clock::Clock;
use super::event_queue::{Call, Event, EventQueue};
use super::happening::{Happening, Noted};
use super::host::Host;
use super::link::{LinkDirection, Profile};
use super::outbox::Outbox;
use super::port::Port;
use super::router::Router;
use super::stack::Stack;
use super::switch::Switch;
use crate::backend::Kick;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// What sending one packet costs our CPU. Without it a program that only sends would never see
/// virtual time pass; with it the simulated machine sends ten million packets a second at most.
/// The packet itself leaves before the cost is paid, so it adds nothing to a round trip.
const SEND_NS: u64 = 100;

/// Whoever packets reach.
pub(super) enum Node {
    Port(Box<Port>),
    Host(Host),
    Router(Box<Router>),
    Switch(Switch),
}

/// A node and, for each of its interfaces, the direction that leads away from it.
struct Place {
    node: Node,
    directions: Vec<Option<usize>>,
}

/// See the module's picture.
pub(super) struct World {
    pub(super) clock: Clock,
    now: u64,
    events: EventQueue,
    /// Arrivals without delay; they come after what the events has for the same time.
    at_once: VecDeque<((usize, usize), Vec<u8>)>,
    places: Vec<Place>,
    /// Which of them are ports.
    ports: Vec<usize>,
    directions: Vec<LinkDirection>,
    outbox: Outbox,
    pub(super) seed: u64,
    /// Names of addresses.
    pub(super) names: HashMap<IpAddr, String>,
    /// Sockets and UMEMs made so far: their numbers.
    pub(super) made: (u64, u32),
    /// Our kernel's stack, when somebody listens.
    pub(super) stack: Option<Box<Stack>>,
    /// What our kernel told those who watch it.
    pub(super) noted: Vec<Noted>,
    /// Calls whose time has come. They are made without the world's lock.
    pub(super) calls: Vec<Call>,
}

impl World {
    pub(super) fn new(clock: Clock, seed: u64) -> Self {
        Self {
            clock,
            now: super::clock::START_NS,
            events: EventQueue::default(),
            at_once: VecDeque::new(),
            places: Vec::new(),
            ports: Vec::new(),
            directions: Vec::new(),
            outbox: Outbox::default(),
            seed,
            names: HashMap::new(),
            made: (0, 0),
            stack: None,
            noted: Vec::new(),
            calls: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, node: Node) -> usize {
        if let Node::Port(_) = node {
            self.ports.push(self.places.len());
        }
        self.places.push(Place { node, directions: Vec::new() });
        self.places.len() - 1
    }

    /// How many nodes there are: the number of the next one.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Lets routers make their tables, once the network is complete.
    pub(super) fn compile_routers(&mut self) {
        for place in &mut self.places {
            if let Node::Router(router) = &mut place.node {
                router.compile();
            }
        }
    }

    /// Lays a link: what `a` sends arrives at `b` by `there`, and the other way by `back`.
    pub(super) fn connect(
        &mut self,
        a: (usize, usize),
        b: (usize, usize),
        there: Profile,
        back: Profile,
    ) {
        for (from, to, profile) in [(a, b, there), (b, a, back)] {
            // Each direction has dice of its own, so that a knob on one does not change another.
            let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.directions.len() as u64;
            let directions = &mut self.places[from.0].directions;
            if directions.len() <= from.1 {
                directions.resize(from.1 + 1, None);
            }
            directions[from.1] = Some(self.directions.len());
            self.directions.push(LinkDirection::new(to, profile, seed));
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn ports(&self) -> impl Iterator<Item = (usize, &Port)> {
        self.places.iter().enumerate().filter_map(|(at, place)| match &place.node {
            Node::Port(port) => Some((at, &**port)),
            _ => None,
        })
    }

    pub(super) fn port(&mut self, at: usize) -> Option<&mut Port> {
        match &mut self.places.get_mut(at)?.node {
            Node::Port(port) => Some(port),
            _ => None,
        }
    }

    /// The host that has this address.
    pub(super) fn host(&mut self, address: IpAddr) -> Option<(usize, &mut Host)> {
        self.places.iter_mut().enumerate().find_map(|(at, place)| match &mut place.node {
            Node::Host(host) if host.owns(address) => Some((at, host)),
            _ => None,
        })
    }

    pub(super) fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.places.iter_mut().map(|place| &mut place.node)
    }

    /// Takes all links between two nodes down, or up; whether that is a change.
    pub(super) fn set_directions(&mut self, a: usize, b: usize, up: bool) -> bool {
        let mut changed = false;
        for (from, to) in [(a, b), (b, a)] {
            let Some(place) = self.places.get(from) else { continue };
            for &at in place.directions.iter().flatten() {
                let direction = &mut self.directions[at];
                if direction.to.0 == to {
                    changed |= std::mem::replace(&mut direction.down, !up) == up;
                }
            }
        }
        changed
    }

    pub(super) fn node(&mut self, at: usize) -> Option<&mut Node> {
        self.places.get_mut(at).map(|place| &mut place.node)
    }

    /// Takes the machine's time over, where that rules, and lets everything due happen.
    pub(super) fn catch_up(&mut self) {
        let to = self.clock.reading().unwrap_or(self.now);
        self.advance_to(to);
    }

    /// When the next thing happens.
    pub(super) fn next_event(&self) -> Option<u64> {
        if self.at_once.is_empty() { self.events.next() } else { Some(self.now) }
    }

    /// A port, for looking at it.
    pub(super) fn look_at(&self, at: usize) -> Option<&Port> {
        match &self.places.get(at)?.node {
            Node::Port(port) => Some(port),
            _ => None,
        }
    }

    fn open_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter_map(|&at| self.look_at(at)).filter(|port| port.is_open())
    }

    /// When a trouble ends what waits on one of our open ports.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.open_ports().filter_map(|port| port.troubles.next_end(self.now)).min()
    }

    /// When the link of one of them goes or comes.
    pub(super) fn next_flap(&self) -> Option<u64> {
        self.open_ports().filter_map(|port| port.troubles.next_flap(self.now)).min()
    }

    /// Lets everything happen up to and at `to`, each at its time.
    pub(super) fn advance_to(&mut self, to: u64) {
        loop {
            // The events first: what it has for this moment was on its way before.
            let due = self.events.next().is_some_and(|time| {
                time <= to.max(self.now) && (self.at_once.is_empty() || time <= self.now)
            });
            if due && let Some((time, event)) = self.events.pop() {
                self.now = self.now.max(time);
                match event {
                    Event::Arrival { direction, packet } => {
                        self.arrive(self.directions[direction].to, packet)
                    }
                    Event::Leaving { from, packet } => self.put_on_link(from, packet),
                    Event::Call(call) => self.calls.push(call),
                    Event::Happening(what) => self.happen(*what),
                }
            } else if let Some((to, packet)) = self.at_once.pop_front() {
                self.arrive(to, packet);
            } else {
                break;
            }
        }
        self.now = self.now.max(to);
    }

    fn arrive(&mut self, (node, interface): (usize, usize), packet: Vec<u8>) {
        self.outbox.now = self.now;
        let Some(place) = self.places.get_mut(node) else { return };
        match &mut place.node {
            Node::Port(port) => {
                if port.receive(&packet, None, self.now) && self.stack.is_some() {
                    self.pass_up(node, &packet);
                }
                self.outbox.recycle(packet);
                return;
            }
            Node::Host(host) => host.receive(packet, &mut self.outbox),
            Node::Router(router) => router.receive(interface, packet, &mut self.outbox),
            Node::Switch(switch) => switch.receive(interface, packet, &mut self.outbox),
        }
        self.deliver(node);
    }

    /// A port left a packet to the stack.
    pub(super) fn pass_up(&mut self, at: usize, packet: &[u8]) {
        let (now, Some(mut stack)) = (self.now(), self.stack.take()) else { return };
        if let Some(port) = self.look_at(at) {
            let ours = |address: IpAddr| {
                self.ports().any(|(_, port)| port.addresses.iter().any(|own| own.0 == address))
            };
            stack.take(port, now, packet, ours);
        }
        self.stack = Some(stack);
    }

    /// Puts what `node` left in the outbox on its links.
    fn deliver(&mut self, node: usize) {
        if self.outbox.sends.is_empty() {
            return;
        }
        let mut sends = std::mem::take(&mut self.outbox.sends);
        for (interface, hold, packet) in sends.drain(..) {
            if hold == 0 {
                self.put_on_link((node, interface), packet);
            } else {
                let time = self.now.saturating_add(hold);
                self.events.put(time, Event::Leaving { from: (node, interface), packet });
            }
        }
        self.outbox.sends = sends; // its capacity is used again
    }

    fn put_on_link(&mut self, (node, interface): (usize, usize), mut packet: Vec<u8>) {
        let Some(at) = self.places[node].directions.get(interface).copied().flatten() else {
            self.outbox.recycle(packet);
            return;
        };
        let passage = self.directions[at].send(&mut packet, self.now);
        if let Some(time) = passage.again {
            let copy = self.outbox.copy(&packet);
            self.schedule(time, at, copy);
        }
        match passage.arrival {
            Some(time) => self.schedule(time, at, packet),
            None => self.outbox.recycle(packet),
        }
    }

    /// Puts something on the events that happens by itself.
    pub(super) fn happen_at(&mut self, time: u64, what: Happening) {
        self.events.put(time, Event::Happening(Box::new(what)));
    }

    /// Puts a call on the events.
    pub(super) fn call_at(&mut self, time: u64, call: Call) {
        self.events.put(time, Event::Call(call));
    }

    /// Sends a packet from a node with one interface.
    pub(super) fn emit(&mut self, node: usize, packet: &[u8]) {
        let packet = self.outbox.copy(packet);
        self.put_on_link((node, 0), packet);
        self.advance_to(self.now);
    }

    #[inline(always)] // of each packet
    fn schedule(&mut self, time: u64, direction: usize, packet: Vec<u8>) {
        if time <= self.now {
            self.at_once.push_back((self.directions[direction].to, packet));
        } else {
            self.events.arrival(time, direction, packet);
        }
    }

    /// Lets one TX ring of a port go out. A port that is down takes nothing.
    pub(super) fn transmit(&mut self, port: usize, queue: u32) -> Kick {
        let carrier = self.carrier(port);
        let kick = match self.places.get_mut(port).map(|place| &mut place.node) {
            Some(Node::Port(it)) if it.troubles.has(Trouble::StuckTx) => return Kick::Done,
            Some(Node::Port(it)) if it.up && !it.is_gone(self.now) => {
                it.transmit(queue, carrier, &mut self.outbox)
            }
            _ => return Kick::Again,
        };
        let cost = self.outbox.sends.len() as u64 * SEND_NS;
        self.deliver(port);
        if self.clock.is_realtime() {
            self.catch_up();
        } else {
            self.advance_to(self.now.saturating_add(cost));
        }
        kick
    }

    /// Whether there is a link, and not a port that is down or has lost it at one of its ends.
    pub(super) fn carrier(&self, port: usize) -> bool {
        let there = |at: usize| match self.places.get(at).map(|place| &place.node) {
            Some(Node::Port(port)) => {
                (port.troubles.has_link(self.now) && !port.is_gone(self.now)).then_some(port.up)
            }
            other => other.map(|_| true),
        };
        let link = self.link_of(port).filter(|link| !link.down);
        there(port).is_some() && link.and_then(|link| there(link.to.0)) == Some(true)
    }

    /// The way that leads away from a port.
    fn link_of(&self, port: usize) -> Option<&LinkDirection> {
        let direction = self.places.get(port)?.directions.first().copied().flatten()?;
        self.directions.get(direction)
    }

    /// The node at the other end of a port's link.
    pub(super) fn peer(&self, port: usize) -> Option<usize> {
        self.link_of(port).map(|link| link.to.0)
    }

    /// What drivers do by themselves: zero-copy ones that are awake look at their TX rings, and one
    /// that starves its queues takes their frames.
    pub(super) fn poll_drivers(&mut self) {
        for i in 0..self.ports.len() {
            let at = self.ports[i];
            // A driver that is down takes nothing, so asking again would not help.
            let Some(queues) =
                self.look_at(at).filter(|p| p.up && !p.is_gone(self.now)).map(Port::queues)
            else {
                continue;
            };
            for queue in 0..queues {
                let socket = self.port(at).and_then(|port| port.socket(queue));
                let Some(socket) = socket else { continue };
                socket.swallow();
                if socket.looks_at_tx() {
                    // Each round consumes entries, or finds the completion ring full.
                    while self.transmit(at, queue) == Kick::Again
                        && self.port(at).and_then(|p| p.socket(queue)).is_some_and(|s| s.can_send())
                    {
                    }
                }
            }
        }
    }
}
