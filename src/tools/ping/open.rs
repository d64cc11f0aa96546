//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Event, Start};
use super::frame;
use super::plan::{Outcome, Plan};
use super::run::Run;
use crate::backend::{Filter, Match};
use crate::config::{Granted, Poller};
use crate::error::Result;
use crate::proto::ICMP_LEN;
use crate::tools::host::Host;
use crate::tools::measure::pacer::ns;
use crate::tools::probe::next_hops::NextHops;
use crate::tools::probe::targets::{ProbeTargets, TargetRequest, ip_len};
use crate::tools::session::carrier;
use crate::tools::session::opened::{Opened, TargetRoute, check_sends};
use crate::tools::{Control, Env};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;
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
    let wish = TargetRequest {
        targets: &plan.targets,
        family: plan.family,
        interface: plan.interface.as_deref(),
        source: None,
        vlan: plan.vlan,
    };
    let journey = ProbeTargets::find(&wish, &*env.host)?;
    let headers = |address| ip_len(address) + ICMP_LEN;
    journey.check_size(plan.size, "-s", headers, plan.config.frame_size)?;
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
    check_sends(&tx)?;
    let device = journey.link.device.clone();
    carrier::wait(&*env.host, &device, &mut rx, control)?;
    let link_before = carrier::changes(&*env.host, &device);
    sink(Event::Start(start(plan, &journey, rx.granted(), &*env.host)));
    let deadline_ns = plan.deadline.map(|time| rx.now().saturating_add(ns(time)));
    let mut hops = NextHops::new(journey.link.interface.index, journey.hops.clone());
    let stopped = || control.is_stopped();
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, plan.timeout, plan.deadline, stopped, tell);
    let is_virtual = env.simulator.is_some();
    let payload = frame::payload(plan.size, &plan.pattern);
    let mut run = Run::new(plan, control, sink, journey, hops, (rx, tx), *ids.start(), payload);
    (run.is_virtual, run.deadline_ns) = (is_virtual, deadline_ns);
    let ended = run.go(&mut *env.host);
    let outcome = run.finish(carrier::changes(&*env.host, &device).saturating_sub(link_before));
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
fn filter(journey: &ProbeTargets, ids: &RangeInclusive<u16>) -> Filter {
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

fn start(plan: &Plan, journey: &ProbeTargets, granted: &Granted, host: &dyn Host) -> Start {
    Start {
        opened: Opened::new(&plan.config, journey, granted, host),
        targets: journey.paths.iter().map(TargetRoute::new).collect(),
        payload_bytes: plan.size,
    }
}
