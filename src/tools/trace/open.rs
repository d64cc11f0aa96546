//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Event, Start};
use super::identity::Identity;
use super::plan::{Outcome, Plan, Protocol, Strategy};
use super::probe;
use super::reverse_dns::{HostResolver, Names};
use super::run::Run;
use crate::backend::Filter;
use crate::config::{Granted, Poller};
use crate::error::{FluxError, Result};
use crate::tools::host::Host;
use crate::tools::probe::next_hops::NextHops;
use crate::tools::probe::targets::{ProbeTargets, TargetRequest};
use crate::tools::session::carrier;
use crate::tools::session::opened::{Opened, TargetRoute, check_sends};
use crate::tools::{Control, Env};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Frames over all queues: as much as the usual memlock limit of 8 MiB lets a user without
/// CAP_IPC_LOCK pin, and plenty for probes.
const FRAMES: u32 = 4096;
/// Adaptive waiting spins through gaps as short as that.
const SPIN: Duration = Duration::from_micros(2_500);
/// Source ports of the classic strategy with TCP, where each probe has one of its own.
const CLASSIC_SPAN: u16 = 256;
/// How long next hops are waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Traces as `plan` says, telling `sink` what happens as it happens.
///
/// Summaries come also when the run ends early: by `control` or by an error.
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
        source: plan.source,
        vlan: None,
    };
    let journey = ProbeTargets::find(&wish, &*env.host)?;
    single_hosts(&journey)?;
    if let Some(size) = plan.size {
        journey.check_size(size.into(), "--size", |_| 0, plan.config.frame_size)?;
    }
    let identity = identity(plan, env.simulator.is_some());
    let mut config = plan.config.clone();
    config.interface.clone_from(&journey.link.device);
    config.rx_timestamps = true;
    config.frames.get_or_insert(FRAMES);
    if config.poller == Poller::ADAPTIVE {
        config.poller = Poller::Adaptive { spin: SPIN };
    }
    let paths: Vec<_> = journey.paths.iter().map(|path| (path.source, path.address)).collect();
    let filter = Filter::Any(probe::rows(&identity, &paths));
    let (mut rx, tx) = env.builder(config).filter(filter).build_system()?;
    check_sends(&tx)?;
    let device = journey.link.device.clone();
    carrier::wait(&*env.host, &device, &mut rx, control)?;
    let link_before = carrier::changes(&*env.host, &device);
    let mut hops = NextHops::new(journey.link.interface.index, journey.hops.clone());
    let mut run = Run::new(plan, control, sink, &journey, identity, (rx, tx), plan.pace()?);
    run.names = plan.names.then(|| names(env));
    let started = start(plan, &run, &journey, &*env.host);
    (run.sink)(Event::Start(started));
    let stopped = || control.is_stopped();
    let tell = |found| (run.sink)(Event::Neighbour(found));
    hops.find_all(&mut *env.host, PATIENCE, None, stopped, tell);
    run.prepare(&hops);
    let ended = run.go();
    let changes = carrier::changes(&*env.host, &device).saturating_sub(link_before);
    let outcome = run.finish(changes);
    ended.map(|()| outcome)
}

/// What cannot be traced, or not twice at a time.
fn single_hosts(journey: &ProbeTargets) -> Result<()> {
    let mut names: HashMap<IpAddr, &str> = HashMap::new();
    for path in &journey.paths {
        if path.multicast {
            let why = "is a group: a path leads to one host";
            return Err(FluxError::config(format!("target {}", path.name), why));
        }
        if let Some(other) = names.insert(path.address, &path.name) {
            let what = format!("target {}", path.name);
            let why = format!("is {}, which {other} is, too", path.address);
            return Err(FluxError::config(what, why).with_hint("name each target once"));
        }
    }
    Ok(())
}

/// Whom to ask for names.
fn names(env: &Env) -> Names {
    match env.simulator.clone() {
        Some(simulator) => Names::direct(Box::new(move |addr| simulator.name_of(addr))),
        None => Names::new(Box::new(HostResolver)),
    }
}

fn identity(plan: &Plan, simulated: bool) -> Identity {
    let span = match (plan.paths, plan.strategy, plan.protocol) {
        (Some(paths), ..) => paths.max_flows,
        (None, Strategy::Classic, Protocol::Tcp) => CLASSIC_SPAN,
        _ => 1,
    };
    Identity::new(plan.protocol, plan.strategy, plan.port, span, simulated)
}

fn start(plan: &Plan, run: &Run<'_>, journey: &ProbeTargets, host: &dyn Host) -> Start {
    let granted: &Granted = run.rx.granted();
    Start {
        opened: Opened::new(&plan.config, journey, granted, host),
        targets: journey.paths.iter().map(TargetRoute::new).collect(),
        protocol: plan.protocol,
        strategy: plan.strategy,
        port: if plan.protocol == Protocol::Icmp { 0 } else { plan.port },
        first: plan.first,
        max_hops: plan.max_hops,
        queries: plan.queries,
        packet_bytes: run.packet_bytes(),
    }
}
