//! [`SimObserver`]: a simulated application, and the simulated kernel's view of its sockets.
//!
//! ```text
//!   advance ─▶ application: receive, refill, reap, send ─▶ rings ─▶ simulated kernel ─▶ 10.0.0.2
//!   sockets, interface ◀──────────────── what the simulated kernel sees of it ◀────┘
//! ```

use super::observe::{Clock, InterfaceKey, InterfaceSnapshot, Observer, Scan};
use crate::FluxBuilder;
use crate::backend::{Filter, Kick};
use crate::config::{BindMode, Config, Queues};
use crate::error::{ErrorKind, FluxError, Result};
use crate::proto::build::{self, Link, Net};
use crate::proto::{ETHERNET_LEN, ICMP_LEN, IPV4_LEN, IpPair};
use crate::raw::FluxRaw;
use crate::simulator::{PortInfo, Simulator, Trouble};
use crate::snapshot::Source;
use crate::tools::host::HostError;
use crate::tools::session::opened::in_options;
use crate::umem::{Frame, RX_HEADROOM, Umem};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// The interface of the application, where its peer is at none.
const PORT: &str = "sim0";
/// Whom it talks to.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Echo requests a second, over all queues.
const RATE: u64 = 100_000;
/// Most of them at once.
const BURST: u32 = 64;
/// Time that the application runs before anybody looks, so that its rings are as they will be.
const WARM_UP: Duration = Duration::from_millis(50);
/// In real time, turns that are made up for when the application was kept from running.
const MADE_UP_FOR: u64 = 8;
const SECOND_NS: u64 = 1_000_000_000;

/// Payload of an echo request, as ping has it.
const PAYLOAD: [u8; 56] = [0x66; 56];
const FRAME_LEN: usize = ETHERNET_LEN + IPV4_LEN + ICMP_LEN + PAYLOAD.len();
/// ICMP identifier of the echo requests.
const IDENTIFIER: u16 = 0x4658;

/// How the simulated application treats its rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should: what was received goes back to the fill ring, what was sent to the free list.
    #[default]
    Healthy,
    /// It leaves the RX ring alone, and fills the fill ring up from its free list.
    StopsReading,
    /// It keeps what it received.
    StopsRefilling,
    /// Of what it receives it loses this many frames a second.
    Leaks(u32),
    /// It neither sends nor receives.
    Idle,
}

/// Looks at a simulated application, which runs while time passes.
pub struct SimObserver {
    simulator: Simulator,
    app: App,
    /// When its next turn is due.
    next_ns: u64,
}

impl SimObserver {
    /// An application that sends 100,000 echo requests a second to 10.0.0.2, on `sim0` or whichever
    /// interface that is at, and receives the answers, opened as `config` says (queues, frames, batch and bind mode). Where the
    /// simulated NIC delivers to the wrong queue, it has queue 0 alone unless `config` names its
    /// queues.
    ///
    /// # Errors
    /// What the simulated kernel refuses, with its next step.
    pub fn new(simulator: &Simulator, config: &Config) -> Result<Self> {
        Self::with_behaviour(simulator, config, Behaviour::Healthy)
    }

    /// The same with an application that does something wrong.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_behaviour(
        simulator: &Simulator,
        config: &Config,
        behaviour: Behaviour,
    ) -> Result<Self> {
        let app = App::open(simulator, config, behaviour)?;
        let next_ns = simulator.now();
        let mut observer = Self { simulator: simulator.clone(), app, next_ns };
        observer.advance(WARM_UP)?;
        Ok(observer)
    }

    fn port(&self, is_it: impl Fn(&PortInfo) -> bool) -> Option<PortInfo> {
        self.simulator.ports().into_iter().find(is_it)
    }

    /// Lets time pass until `to`; false when a signal came.
    fn step_to(&self, to: u64) -> bool {
        let left = Duration::from_nanos(to.saturating_sub(self.simulator.now()));
        if self.app.realtime {
            return left.is_zero() || sleep(left);
        }
        self.simulator.step(left);
        true
    }
}

impl Observer for SimObserver {
    fn source(&self) -> Source {
        Source::Sim
    }

    fn notes(&self) -> Vec<String> {
        self.app.notes.clone()
    }

    fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        let found = self.port(|port| port.name == name);
        found.map(|port| key(&port)).ok_or_else(|| {
            let ports = self.simulator.ports();
            HostError::no_interface(name, ports.iter().map(|port| port.name.as_str())).into()
        })
    }

    fn sockets(&mut self) -> Result<Scan> {
        let (time_ns, sockets) = (self.simulator.now(), self.simulator.sockets());
        Ok(Scan { time_ns, sockets, missing: Vec::new() })
    }

    fn interface(&mut self, wanted: InterfaceKey) -> Option<InterfaceSnapshot> {
        let port = self.port(|port| key(port) == wanted)?;
        Some(InterfaceSnapshot {
            time_ns: self.simulator.now(),
            key: wanted,
            driver: Some("sim".to_owned()),
            up: port.up,
            carrier: port.carrier,
            carrier_changes: Some(port.carrier_changes),
            mtu: port.mtu,
            queues: Some(port.queues),
            tx_queues: Some(port.tx_queues),
            rx_packets: Some(port.rx_packets),
            tx_packets: Some(port.tx_packets),
            queue_rx_packets: Some(port.queue_rx_packets),
            xdp: port.xdp_program,
            zero_copy: Some(port.claims_zero_copy),
            nic_ring: port.nic_ring,
            name: port.name,
        })
    }

    fn clock(&self) -> Clock {
        if self.app.realtime { Clock::Realtime } else { Clock::Virtual }
    }

    fn advance(&mut self, time: Duration) -> Result<()> {
        let start = self.simulator.now();
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = start.saturating_add(time_ns);
        if self.app.realtime && self.next_ns + MADE_UP_FOR * self.app.turn_ns < start {
            self.next_ns = start;
        }
        while self.next_ns <= end {
            if !self.step_to(self.next_ns) {
                return Ok(());
            }
            match self.app.turn() {
                // An application whose interface is gone stands still.
                Err(error) if error.kind() == ErrorKind::Device => {}
                turned => turned?,
            }
            self.next_ns += self.app.turn_ns;
        }
        self.step_to(end);
        Ok(())
    }
}

fn key(port: &PortInfo) -> InterfaceKey {
    InterfaceKey { netns: None, ifindex: port.ifindex }
}

/// False when a signal came.
#[cfg(all(target_os = "linux", feature = "bpf"))]
fn sleep(time: Duration) -> bool {
    use crate::sys::poll::{Woken, poll};
    !matches!(poll(&mut [], Some(time)), Ok(Woken::Signal))
}

#[cfg(not(all(target_os = "linux", feature = "bpf")))]
fn sleep(time: Duration) -> bool {
    std::thread::sleep(time);
    true
}

/// The application.
struct App {
    raws: Vec<FluxRaw>,
    umem: Arc<Umem>,
    behaviour: Behaviour,
    notes: Vec<String>,
    realtime: bool,
    link: Link,
    net: Net,
    /// Packets that it sends in a turn, and the time from one turn to the next.
    burst: u32,
    turn_ns: u64,
    /// Frames that each fill ring is to hold. The rest is for transmission and, when the
    /// application stops to read, for the RX ring.
    fill: u32,
    /// Echo requests so far, those that found no room included.
    asked: u64,
    leaked: u64,
    start_ns: u64,
    /// Empty between turns.
    frames: Vec<Frame>,
}

impl App {
    fn open(simulator: &Simulator, config: &Config, behaviour: Behaviour) -> Result<Self> {
        let peer = IpAddr::V4(PEER);
        let ports = simulator.ports();
        let beside = |port: &&PortInfo| simulator.neighbour(&port.name, peer).is_some();
        // Of several interfaces the one that the peer is at.
        let port = ports.iter().find(beside).or(ports.iter().find(|port| port.name == PORT));
        let port = port.ok_or_else(|| no_network("there is no interface sim0"))?;
        let source = port.addresses.iter().find(|(address, _)| address.is_ipv4());
        let (source, hop) = source
            .zip(simulator.neighbour(&port.name, peer))
            .ok_or_else(|| no_network("there is no neighbour 10.0.0.2"))?;
        let pair = IpPair::new(source.0, peer).ok_or_else(|| no_network("the families differ"))?;
        let mut config = Config { interface: port.name.clone(), ..config.clone() };
        if port.troubles.has(Trouble::WrongQueue) && config.queues == Queues::All {
            config.queues = Queues::Only(vec![0]);
        }
        let batch = config.batch;
        // It does not look how many TX queues there are, as few applications do.
        simulator.set_tx_queues(&port.name, u32::MAX)?;
        let raws = build(simulator, config, port.claims_zero_copy);
        simulator.set_tx_queues(&port.name, port.tx_queues)?;
        let raws = raws?;
        let first =
            raws.first().ok_or_else(|| FluxError::config("queue list", "names no queue"))?;
        let (granted, umem) = (first.granted(), Arc::clone(first.umem()));
        let fill = (granted.ring_size / 2).max(1);
        // All answers may come to one queue at once, and late ones with the next.
        let burst = batch.min(BURST).min(fill / 4).max(1);
        let mut app = Self {
            umem,
            behaviour,
            notes: in_options(&granted.notes),
            realtime: granted.rx_clock != "virtual",
            link: Link::new(port.mac, hop),
            net: Net::new(pair),
            burst,
            turn_ns: u64::from(burst) * SECOND_NS / RATE,
            fill,
            asked: 0,
            leaked: 0,
            start_ns: simulator.now(),
            frames: Vec::new(),
            raws,
        };
        for raw in &mut app.raws {
            top_up(raw, &app.umem, fill, &mut app.frames)?;
        }
        Ok(app)
    }

    /// What the application does whenever it runs.
    fn turn(&mut self) -> Result<()> {
        if self.behaviour == Behaviour::Idle {
            return Ok(());
        }
        for at in 0..self.raws.len() {
            self.receive(at)?;
            let Self { raws, frames, umem, .. } = self;
            raws[at].comp.reap(u32::MAX, |frame| frames.push(frame));
            umem.free_all(frames.drain(..));
        }
        self.send()
    }

    fn receive(&mut self, at: usize) -> Result<()> {
        let lost = self.frames_to_lose();
        let Self { raws, frames, umem, .. } = self;
        let raw = &mut raws[at];
        if self.behaviour == Behaviour::StopsReading {
            return top_up(raw, umem, self.fill, frames);
        }
        raw.rx.receive(u32::MAX, |buffer| frames.push(buffer.frame));
        let keep = frames.len().saturating_sub(usize::try_from(lost).unwrap_or(usize::MAX));
        self.leaked += (frames.len() - keep) as u64;
        frames.truncate(keep);
        if self.behaviour != Behaviour::StopsRefilling {
            raw.fill.post(frames, u32::MAX);
        }
        umem.free_all(frames.drain(..));
        wake(raw)
    }

    /// Frames that it is still to lose to keep up with what it leaks.
    fn frames_to_lose(&self) -> u64 {
        let Behaviour::Leaks(per_second) = self.behaviour else { return 0 };
        let now = self.raws.first().map_or(self.start_ns, FluxRaw::now);
        let due = u128::from(per_second) * u128::from(now - self.start_ns) / u128::from(SECOND_NS);
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.leaked)
    }

    /// Sends what this turn is to send, over the queues in turn; what finds no room is not sent.
    fn send(&mut self) -> Result<()> {
        let Self { raws, umem, link, net, .. } = self;
        let count = raws.len() as u64;
        for _ in 0..self.burst {
            let raw = &mut raws[(self.asked % count) as usize];
            let sequence = self.asked as u16;
            self.asked += 1;
            let mut slots = raw.tx.reserve(1);
            if slots.room() == 0 {
                continue;
            }
            let Ok(Some(mut buffer)) = umem.alloc_buffer(RX_HEADROOM, FRAME_LEN as u32) else {
                continue;
            };
            let to = umem.packet_mut(&mut buffer);
            let written = build::echo_request(to, link, net, IDENTIFIER, sequence, &PAYLOAD);
            debug_assert_eq!(written, Some(FRAME_LEN));
            if let Err(buffer) = slots.push(buffer) {
                umem.free(buffer.frame); // cannot be: there is room, and the frame is ours
            }
        }
        for raw in raws {
            // A device without a link drops one packet a kick.
            let mut before = u32::MAX;
            while raw.tx.pending() < before && raw.tx.needs_wakeup() {
                before = raw.tx.pending();
                if raw.kick_tx()? == Kick::Done {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Opens the queues; in zero-copy mode where the driver offers that and it was not ruled out.
fn build(simulator: &Simulator, config: Config, offers_zero_copy: bool) -> Result<Vec<FluxRaw>> {
    let open = |bind| {
        let builder = FluxBuilder::from_config(Config { bind, ..config.clone() });
        let builder = builder.simulator(simulator).filter(Filter::Everything);
        builder.prefill(false).build_raw_queues()
    };
    if config.bind == BindMode::Auto && offers_zero_copy {
        match open(BindMode::ZeroCopy) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            opened => return opened,
        }
    }
    open(config.bind)
}

/// Fills a fill ring up to `fill` frames from the free list.
fn top_up(raw: &mut FluxRaw, umem: &Umem, fill: u32, frames: &mut Vec<Frame>) -> Result<()> {
    let missing = fill.saturating_sub(raw.fill.snapshot().used().unwrap_or(0));
    umem.alloc_many(missing, frames);
    raw.fill.post(frames, missing);
    umem.free_all(frames.drain(..));
    wake(raw)
}

fn wake(raw: &FluxRaw) -> Result<()> {
    if raw.fill.needs_wakeup() {
        raw.kick_rx()?;
    }
    Ok(())
}

fn no_network(why: &str) -> FluxError {
    FluxError::new(ErrorKind::Config, "cannot run an application on this simulated machine", why)
        .with_hint(
            "leave file= out for the network of `flux help sim`, or give the node at our link the \
             address 10.0.0.2",
        )
}

#[cfg(test)]
mod tests;
