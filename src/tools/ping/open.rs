//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Clocks, Event, Start, StartTarget};
use super::frame;
use super::hops::Hops;
use super::plan::{Outcome, Plan};
use super::route::Journey;
use super::run::Run;
use super::schedule::ns;
use crate::backend::{Filter, Match};
use crate::config::{Granted, Poller};
use crate::error::Result;
use crate::system::FluxRx;
use crate::tools::net::Host;
use crate::tools::{Control, Env};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Identifiers of a slot: with them a sequence number has 18 bits, so that an answer is not taken
/// for one to the probe 65536 later.
pub(super) const IDS_PER_SLOT: u16 = 4;
/// First identifier on the simulated network, where two runs are to be alike.
const SIMULATED_ID: u16 = 0x4658;
/// Source addresses that get filter rows of their own; beyond that, rows are for all addresses.
const MAX_SOURCES: usize = 8;
/// Adaptive waiting spins through gaps as short as that: what else runs on the CPU while we sleep
/// makes the next round trip slower (on veth by half). With longer gaps it learns not to.
const SPIN: Duration = Duration::from_micros(2_500);
/// Frames over all queues: as much as the usual memlock limit of 8 MiB lets a user without
/// CAP_IPC_LOCK pin, and plenty for probes.
const FRAMES: u32 = 4096;
/// How long a link may take to come back after the XDP program was attached: some drivers reset.
const CARRIER_NS: u64 = 5_000_000_000;

/// Pings as `plan` says, telling `sink` what happens as it happens.
///
/// Summaries come also when the run ends early: by `control`, by the deadline, or by an error.
///
/// # Errors
/// Values out of range; names, routes and interfaces that do not work out; missing rights; and
/// whatever the kernel refuses, each with its next step.
pub fn run(
    plan: &Plan,
    env: &mut Env,
    control: &Control,
    sink: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    plan.check()?;
    let journey = Journey::find(plan, &*env.host)?;
    let ids = identifiers(journey.slots, env.simulator.is_some());
    let mut config = plan.config.clone();
    config.interface.clone_from(&journey.link.device);
    config.rx_timestamps = true;
    config.frames.get_or_insert(FRAMES);
    if config.poller == Poller::ADAPTIVE {
        config.poller = Poller::Adaptive { spin: SPIN };
    }
    let filter = filter(&journey, &ids);
    let (mut rx, tx) = env.builder(config).filter(filter).build_system()?;
    await_carrier(&*env.host, &journey, &mut rx, control)?;
    let device = journey.link.device.clone();
    let link_before = link_changes(&*env.host, &device);
    sink(Event::Start(start(plan, &journey, rx.granted(), &*env.host)));
    let deadline_ns = plan.deadline.map(|time| rx.now().saturating_add(ns(time)));
    let mut hops = Hops::new(journey.link.interface.index, journey.hops.clone());
    let stopped = || control.stop.load(Ordering::Relaxed);
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, plan.timeout, plan.deadline, stopped, tell);
    let is_virtual = env.simulator.is_some();
    let payload = frame::payload(plan.size, &plan.pattern);
    let mut run = Run::new(plan, control, sink, journey, hops, (rx, tx), *ids.start(), payload);
    (run.is_virtual, run.deadline_ns) = (is_virtual, deadline_ns);
    let ended = run.go(&mut *env.host);
    let outcome = run.finish(link_changes(&*env.host, &device).saturating_sub(link_before));
    ended.map(|()| outcome)
}

/// The identifiers of a run: not those of another run at the same time, as far as chance can tell.
fn identifiers(slots: u16, simulated: bool) -> RangeInclusive<u16> {
    let span = slots.saturating_mul(IDS_PER_SLOT).max(1);
    let room = u16::MAX - span;
    let wish =
        if simulated { SIMULATED_ID } else { RandomState::new().build_hasher().finish() as u16 };
    let base = wish % room + 1;
    base..=base + (span - 1)
}

/// Answers to our probes and errors about them; everything else goes on to the kernel.
fn filter(journey: &Journey, ids: &RangeInclusive<u16>) -> Filter {
    let mut sources: Vec<IpAddr> = Vec::new();
    let mut prefix_len = u8::MAX;
    for path in &journey.paths {
        let same = |s: &IpAddr| {
            *s == path.source || prefix_len == 0 && s.is_ipv4() == path.source.is_ipv4()
        };
        if !sources.iter().any(same) {
            sources.push(path.source);
        }
        if sources.len() > MAX_SOURCES {
            prefix_len = 0;
            let v6 = sources.iter().find(|s| s.is_ipv6()).copied();
            let v4 = sources.iter().find(|s| s.is_ipv4()).copied();
            sources = v4.into_iter().chain(v6).collect();
        }
    }
    let rows = sources.into_iter().flat_map(|source| {
        let prefix = Some((source, prefix_len.min(if source.is_ipv4() { 32 } else { 128 })));
        let row = |(ip_proto, icmp_type): (u8, u8)| Match {
            ip_proto: Some(ip_proto),
            icmp_type: Some(icmp_type),
            icmp_id: Some(ids.clone()),
            ..Match::default()
        };
        [
            Match { dst: prefix, ..row(frame::echo_reply(source)) },
            Match { src: prefix, quoted: true, ..row(frame::echo_request(source)) },
        ]
    });
    Filter::Any(rows.collect())
}

/// How often the link came or went so far; 0 where nobody knows.
fn link_changes(host: &dyn Host, device: &str) -> u32 {
    host.interface(device).ok().and_then(|interface| interface.carrier_changes).unwrap_or(0)
}

fn await_carrier(
    host: &dyn Host,
    journey: &Journey,
    rx: &mut FluxRx,
    control: &Control,
) -> Result<()> {
    const LOOK_NS: u64 = 50_000_000;
    let (device, end) = (&journey.link.device, rx.now().saturating_add(CARRIER_NS));
    let mut early = Vec::new();
    while !host.interface(device)?.carrier
        && rx.now() < end
        && !control.stop.load(Ordering::Relaxed)
    {
        // Waiting for packets is waiting for the link, too. None of them can be ours yet.
        let until = rx.now().saturating_add(LOOK_NS);
        rx.recv_batch(&mut early, Some(until))?;
        early.clear();
    }
    Ok(())
}

fn start(plan: &Plan, journey: &Journey, granted: &Granted, host: &dyn Host) -> Start {
    let target = |path: &super::route::Path| StartTarget {
        name: path.name.clone(),
        address: path.address,
        source: path.source,
        gateway: path.gateway,
    };
    Start {
        backend: granted.backend,
        interface: journey.link.interface.name.clone(),
        driver: granted.driver.clone().or_else(|| host.driver(&journey.link.device)),
        attach: granted.attach,
        zero_copy: granted.zero_copy,
        queues: granted.queues.clone(),
        ring_size: granted.ring_size,
        frames: granted.frames,
        frame_size: granted.frame_size,
        hugepages: granted.pages.are_huge(),
        poll: plan.config.poller.to_string(),
        clocks: Clocks {
            tx: format!("{} (user space, before the kick)", granted.tx_clock),
            rx: format!("{} (XDP program)", granted.rx_clock),
        },
        notes: granted.notes.clone(),
        targets: journey.paths.iter().map(target).collect(),
        payload_bytes: plan.size,
    }
}
