//! The simulated kernel and, behind it, a small network in virtual time.
//!
//! ```text
//!   rings ◀─▶ KernelQueue ◀─▶ Port ── direction ─▶ Switch ── direction ─▶ Host, Router ─▶ …
//!             kernel's half    XDP filter, RSS,       delay, loss, rate …
//!             of AF_XDP        host stack
//!                      World: nodes, directions, an events of what is to come (time, sequence)
//! ```
//!
//! Invariants: the rings are `ring`'s own, the simulated kernel only holds the other
//! ends; it holds frames as tokens like everybody else. Nothing happens except inside a call:
//! virtual time moves only when somebody waits, spins, steps or sends (100 ns a packet), and each
//! event happens at its own time. The same seed and the same calls give the same bytes.
//! Virtual time belongs to whoever waits: with several threads over one simulation, one that
//! waits runs past what another was about to do. Several workers therefore take turns
//! (`Workers::run`); for threads of one's own there is [`SimSpec::realtime`].
//!
//! [`Trouble`]s are what a port, its driver or its link does wrong, by name; they lose packets or
//! leave entries where they are, and never a frame. [`NetworkTrouble`]s are what the network behind
//! the port does.
//!
//! Callers: the builder opens ports; tests and users build networks, inject, capture and step.
#![deny(unsafe_code)]

mod answer;
mod backend;
mod balance;
mod between;
mod change;
mod clock;
mod default_network;
mod event_queue;
mod fib;
mod fragment;
mod happen;
mod happening;
mod host;
mod icmp;
mod icmp_limit;
mod link;
mod manners;
mod nat;
mod net_trouble;
mod network;
mod options;
mod outbox;
mod port;
mod queue;
mod reassembly;
mod router;
mod routes;
mod segments;
mod spec;
mod stack;
mod station;
mod switch;
#[cfg(test)]
mod tests;
mod time;
mod trouble;
mod view;
mod vlan;
pub(crate) mod wire;
mod world;

#[cfg(feature = "tools")]
pub(crate) use happening::Noted;
pub use happening::{NetworkEvent, NodeId, RouteTo};
pub use icmp::Refusal;
pub use icmp_limit::IcmpLimit;
pub use link::Profile;
pub use nat::NatQuotes;
pub use net_trouble::{NetworkTrouble, NetworkTroubles};
pub use network::{End, NetworkBuilder};
pub use options::{Balance, Flaw, HostOptions, Quoting, RouterOptions, UdpPorts, WrongLength};
pub use spec::SimSpec;
#[cfg(feature = "tools")]
pub(crate) use spec::{bad as bad_spec, unknown as unknown_key};
pub use stack::StackPacket;
pub use trouble::{Trouble, Troubles};
pub use view::{PortInfo, RouteInfo};

use crate::backend::{Filter, Opened, PortPlan};
use crate::config::limits::{self, QueueCounts};
use crate::config::{AttachMode, Attached, BindMode, Granted};
use crate::error::{Advice, ErrorKind, FluxError, Result};
use crate::life::Life;
use crate::stats::Counters;
use crate::umem::{RX_HEADROOM, Umem};
use backend::{SimBackend, SimPort, seen};
use clock::Clock;
use port::{Port, Tap};
use queue::{KernelQueue, Numbers, QueueMode};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use world::{Node, World};

/// The world behind its lock, and the bell that rings when another thread changed it.
struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        // A panicking test thread must not take the others' world with it.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, with everything that is due done.
    fn enter(&self) -> MutexGuard<'_, World> {
        let mut world = self.lock();
        world.catch_up();
        world = self.call(world);
        world.poll_drivers();
        world
    }

    /// Makes the calls whose time has come. They may use the world, so it is left for them.
    fn call<'s>(&'s self, mut world: MutexGuard<'s, World>) -> MutexGuard<'s, World> {
        while !world.calls.is_empty() {
            let due = std::mem::take(&mut world.calls);
            drop(world);
            due.into_iter().for_each(|call| call());
            self.changed.notify_all();
            world = self.lock();
        }
        world
    }
}

/// A simulated machine and its network. Clones are handles to the same one.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let world = self.shared.lock();
        let names: Vec<_> = world.ports().map(|(_, port)| port.name.as_str()).collect();
        f.debug_struct("Simulator").field("ports", &names).field("now", &world.now()).finish()
    }
}

impl Simulator {
    fn from_world(world: World) -> Self {
        Self { shared: Arc::new(Shared { world: Mutex::new(world), changed: Condvar::new() }) }
    }

    /// One port, `lo0`, that receives what it sends, at once.
    #[must_use]
    pub fn loopback(queues: u32) -> Self {
        let mut world = World::new(Clock::new(false), 0);
        let port = world.add(Node::Port(Box::new(Port::new("lo0", 1, queues))));
        world.connect((port, 0), (port, 0), Profile::default(), Profile::default());
        Self::from_world(world)
    }

    /// Two ports, `a0` and `b0`: what one sends the other receives, at once.
    #[must_use]
    pub fn crossed_pair(queues: u32) -> Self {
        Self::crossed_pairs(1, queues)
    }

    /// Several pairs as [`crossed_pair`](Self::crossed_pair) has one: `a0`–`b0`, `a1`–`b1`, …
    #[must_use]
    pub fn crossed_pairs(pairs: u32, queues: u32) -> Self {
        let mut world = World::new(Clock::new(false), 0);
        for pair in 0..pairs {
            let mut end = |side: char, nth: u32| {
                let port = Port::new(&format!("{side}{pair}"), 2 * pair + nth, queues);
                world.add(Node::Port(Box::new(port)))
            };
            let (a, b) = (end('a', 1), end('b', 2));
            world.connect((a, 0), (b, 0), Profile::default(), Profile::default());
        }
        Self::from_world(world)
    }

    /// The node of a port, or an error that names the ports there are.
    fn find(world: &World, name: &str) -> Result<usize> {
        let now = world.now();
        let here = |port: &Port| port.name == name && !port.is_gone(now);
        let found = world.ports().find(|(_, port)| here(port));
        found.map(|(at, _)| at).ok_or_else(|| {
            let here = world.ports().filter(|(_, port)| !port.is_gone(now));
            let names: Vec<_> = here.map(|(_, port)| port.name.as_str()).collect();
            FluxError::new(
                ErrorKind::Device,
                format!("cannot find interface {name}"),
                format!("the simulated machine has {}", names.join(", ")),
            )
        })
    }

    fn with_port<R>(&self, name: &str, act: impl FnOnce(&mut Port, u64) -> R) -> Result<R> {
        let mut world = self.shared.enter();
        let (at, now) = (Self::find(&world, name)?, world.now());
        let port = world.port(at).map(|port| act(port, now));
        port.ok_or_else(|| gone(name))
    }

    /// Queues of a port.
    pub(crate) fn queue_counts(&self, port: &str) -> Result<QueueCounts> {
        self.with_port(port, |port, _| QueueCounts { rx: port.queues(), tx: port.tx_queues })
    }

    /// Opens sockets on the queues of each port that is planned. All of them or none.
    pub(crate) fn open(&self, plans: &[PortPlan], umem: &Arc<Umem>) -> Result<Opened> {
        let mut world = self.shared.enter();
        let nodes: Vec<_> = plans
            .iter()
            .map(|plan| {
                plan.filter.check()?;
                let at = Self::find(&world, &plan.config.interface)?;
                check_port(&mut world, at, plan)?;
                Ok(at)
            })
            .collect::<Result<_>>()?;
        let zero_copy = self.all_zero_copy(&mut world, plans, &nodes)?;
        let (clock, made, now) = (world.clock.name(), world.made, world.now());
        let mut inodes = made.0..;
        let (mut rings, mut ports, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (plan, &node)) in plans.iter().zip(&nodes).enumerate() {
            let PortPlan { config, queues, .. } = plan;
            let name = &config.interface;
            let Some(port) = world.port(node) else { return Err(gone(name)) };
            let mut notes = Vec::new();
            // Copy mode that was not asked for, where the driver promised better.
            if port.claims_zero_copy && !port.offers_zero_copy() && config.bind == BindMode::Auto {
                notes.push(format!(
                    "copy mode: the driver of {name} says that it has zero-copy, and refuses it"
                ));
            }
            if plan.filter != Filter::Nothing {
                let (size, room) = (umem.frame_size(), umem.frame_size() - RX_HEADROOM);
                notes.extend(limits::mtu_note(name, port.mtu, room, size));
            }
            let (tx_queues, note) = limits::sending(name, queues, plan.tx_available);
            notes.extend(note);
            let (ring_size, note) = port.troubles.ring_size(name, plan.ring_size);
            notes.extend(note);
            let mode = QueueMode {
                zero_copy,
                stamps: config.rx_timestamps,
                starves: port.troubles.has(Trouble::Starved),
            };
            for &queue in queues {
                let numbers = Numbers { inode: inodes.next().unwrap_or_default(), umem: made.1 };
                let (socket, set) = KernelQueue::create(umem, ring_size, mode, numbers);
                port.sockets[queue as usize] = Some(socket);
                rings.push(set);
                places.push((at, queue));
            }
            (port.filter, port.fail) = (plan.filter.clone(), config.fail);
            (port.detached, port.attached_ns) = (false, now);
            let granted = Granted {
                backend: "sim",
                interface: name.clone(),
                ifindex: port.ifindex,
                driver: Some("sim".to_owned()),
                attach: if config.attach == AttachMode::Skb {
                    Attached::Skb
                } else {
                    Attached::Native
                },
                zero_copy,
                queues: queues.clone(),
                tx_queues,
                mtu: port.mtu,
                ring_size,
                frames: umem.frames(),
                frame_size: umem.frame_size(),
                pages: umem.pages(),
                kernel_busy_poll: false,
                rx_clock: clock,
                tx_clock: clock,
                notes,
            };
            let Some(seen) = seen(&world, node) else { return Err(gone(name)) };
            let life = Mutex::new(Life::new(config, now, seen));
            ports.push(SimPort { node, granted, life });
        }
        world.made = (made.0 + rings.len() as u64, made.1 + 1);
        let calls = rings.iter().map(|_| Counters::default()).collect();
        let changed = Arc::downgrade(&self.shared);
        umem.set_waker(move || {
            if let Some(shared) = changed.upgrade() {
                shared.changed.notify_all();
            }
        });
        let (shared, umem) = (Arc::clone(&self.shared), Arc::clone(umem));
        Ok(Opened { backend: Arc::new(SimBackend { shared, umem, ports, places, calls }), rings })
    }

    /// Whether all sockets are to be in zero-copy mode: when one port asks for it by name.
    fn all_zero_copy(
        &self,
        world: &mut World,
        plans: &[PortPlan],
        nodes: &[usize],
    ) -> Result<bool> {
        if plans.iter().all(|plan| plan.config.bind != BindMode::ZeroCopy) {
            return Ok(false);
        }
        for (plan, &node) in plans.iter().zip(nodes) {
            let name = &plan.config.interface;
            let Some(port) = world.port(node) else { return Err(gone(name)) };
            if !port.offers_zero_copy() {
                return Err(no_zero_copy(name, &plan.queues, port.claims_zero_copy));
            }
        }
        Ok(true)
    }

    /// Receives a packet on a port as if from the wire, on this queue or (`None`) the one that
    /// RSS picks. With [`Trouble::WrongQueue`] it is the last one in any case.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn inject(&self, port: &str, queue: Option<u32>, packet: &[u8]) -> Result<()> {
        let mut world = self.shared.enter();
        let (at, now) = (Self::find(&world, port)?, world.now());
        if world.port(at).is_some_and(|port| port.receive(packet, queue, now)) {
            world.pass_up(at, packet);
        }
        drop(world);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Starts to keep copies of what a port sends and of what it passes to the host stack.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn tap(&self, port: &str) -> Result<()> {
        self.with_port(port, |port, _| {
            port.tap.get_or_insert_with(Tap::default);
        })
    }

    /// Takes what a tapped port sent since the last call; empty without a [`Simulator::tap`].
    #[must_use]
    pub fn sent(&self, port: &str) -> Vec<Vec<u8>> {
        let taken = |tap: &mut Tap| std::mem::take(&mut tap.sent);
        self.with_port(port, |port, _| port.tap.as_mut().map(taken))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Takes what a tapped port passed to the host stack since the last call.
    #[must_use]
    pub fn passed(&self, port: &str) -> Vec<Vec<u8>> {
        let taken = |tap: &mut Tap| std::mem::take(&mut tap.passed);
        self.with_port(port, |port, _| port.tap.as_mut().map(taken))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// How many packets a port passed to the host stack: not matched by the filter, or on a queue
    /// without a socket.
    #[must_use]
    pub fn passed_to_host(&self, port: &str) -> u64 {
        self.with_port(port, |port, _| port.passed).unwrap_or(0)
    }

    /// Packets that a port's device dropped instead of sending them: longer than its MTU and an
    /// Ethernet header with a VLAN tag, shorter than an Ethernet header, or no carrier.
    #[must_use]
    pub fn tx_dropped(&self, port: &str) -> u64 {
        self.with_port(port, |port, _| port.tx_dropped).unwrap_or(0)
    }

    /// Packets that a port's device dropped on arrival because they are too long for its MTU.
    #[must_use]
    pub fn rx_oversized(&self, port: &str) -> u64 {
        self.with_port(port, |port, _| port.rx_oversized).unwrap_or(0)
    }

    /// Fill ring entries of a queue that named no frame. Linux counts them too, but
    /// `xdp_statistics` does not show them (`rx_invalid_descs` is the RX ring's own counter).
    #[must_use]
    pub fn fill_invalid(&self, port: &str, queue: u32) -> u64 {
        let count = |port: &mut Port, _| port.socket(queue).map_or(0, |s| s.fill_invalid());
        self.with_port(port, count).unwrap_or(0)
    }
}

/// Whether the queues of a plan are there and free.
fn check_port(world: &mut World, at: usize, plan: &PortPlan) -> Result<()> {
    let name = &plan.config.interface;
    let Some(port) = world.port(at) else { return Err(gone(name)) };
    for &queue in &plan.queues {
        match port.sockets.get(queue as usize) {
            None => {
                return Err(FluxError::config(
                    format!("queue {queue} of {name}"),
                    format!("must be 0 to {}", port.queues() - 1),
                ));
            }
            Some(Some(_)) => {
                return Err(FluxError::new(
                    ErrorKind::Busy,
                    format!("cannot bind to {name} queue {queue}"),
                    "another socket owns it",
                )
                .with_advice("", Advice::FreeQueue));
            }
            Some(None) => {}
        }
    }
    Ok(())
}

fn gone(port: &str) -> FluxError {
    FluxError::new(ErrorKind::Device, format!("cannot use {port}"), "gone")
}

/// The error of a bind with zero-copy by name.
fn no_zero_copy(port: &str, queues: &[u32], claimed: bool) -> FluxError {
    let hint = if claimed {
        "the driver says that it has zero-copy, and refuses it: "
    } else {
        "the driver has no zero-copy here: "
    };
    FluxError::new(
        ErrorKind::Unsupported,
        format!("cannot bind to {port} queue {}", queues.first().unwrap_or(&0)),
        "Operation not supported",
    )
    .with_advice(hint, Advice::CopyMode)
}
