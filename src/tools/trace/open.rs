//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Event, Start};
use super::identity::Identity;
use super::members::Members;
use super::outgoing::Outgoing;
use super::plan::{Outcome, Plan, Protocol, Strategy};
use super::probe;
use super::reports::Reports;
use super::reverse_dns::{HostResolver, Names};
use super::run::Run;
use super::sizes::Sizes;
use super::turns::Turns;
use crate::backend::Filter;
use crate::error::{FluxError, Result};
use crate::tools::probe::{NextHops, ProbeTargets, TargetRequest, Wire};
use crate::tools::session::Attention;
use crate::tools::{Control, Env};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

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
    let request = TargetRequest {
        targets: &plan.targets,
        family: plan.family,
        interface: plan.interface.as_deref(),
        source: plan.source,
        vlan: None,
    };
    let targets = ProbeTargets::find(&request, &*env.host)?;
    single_hosts(&targets)?;
    let plan = &sized(plan, &targets);
    if let Some(size) = plan.size {
        targets.check_size(size.into(), "--size", |_| 0, plan.config.frame_size)?;
    }
    let identity = identity(plan, env.simulator.is_some());
    let paths: Vec<_> = targets.paths.iter().map(|path| (path.source, path.address)).collect();
    let echo = echo(plan, env.simulator.is_some());
    let mut rows = probe::rows(&identity, &paths);
    rows.extend(echo.iter().flat_map(|echo| probe::rows(echo, &paths)));
    let filter = Filter::Any(rows);
    let wire = Wire::open(env, &plan.config, &targets, filter, control, plan.wait)?;
    let sizes = Sizes::new(plan, &targets.link);
    sink(Event::Start(start(plan, &wire, &targets, sizes)));
    let mut hops = NextHops::new(targets.link.interface.index, targets.hops.clone());
    let stopped = || control.is_stopped();
    let attention = Attention::new(control, None);
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, PATIENCE, None, stopped, tell);
    let mut run = Run {
        plan,
        attention,
        outgoing: Outgoing::new(plan, identity, echo, plan.pace()?, wire.now()),
        members: Members::new(&targets.paths),
        turns: Turns::new(targets.paths.len()),
        reports: Reports::new(sink, plan.each, plan.names.then(|| names(env))),
        sizes,
        targets,
        wire,
    };
    run.prepare(&hops);
    let ended = run.go();
    let outcome = run.finish(&*env.host);
    ended.map(|()| outcome)
}

/// The plan with the IP packets that frames of the asked size hold.
fn sized(plan: &Plan, targets: &ProbeTargets) -> Plan {
    let frame = plan.packet_size.map(usize::from);
    let ip = frame.and_then(|frame| u16::try_from(targets.ip_length(frame)).ok());
    Plan { size: ip.or(plan.size), ..plan.clone() }
}

/// What cannot be traced, or not twice at a time.
fn single_hosts(targets: &ProbeTargets) -> Result<()> {
    let mut names: HashMap<IpAddr, &str> = HashMap::new();
    for path in &targets.paths {
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

/// Where names come from.
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

/// Echo requests for hosts that limit their errors, beside UDP: no ICMP error answers them. SYNs
/// need none, as nobody limits what TCP says.
fn echo(plan: &Plan, simulated: bool) -> Option<Identity> {
    let helps = plan.protocol == Protocol::Udp && plan.paths.is_none();
    helps.then(|| Identity::new(Protocol::Icmp, Strategy::Paris, 0, 1, simulated))
}

fn start(plan: &Plan, wire: &Wire, targets: &ProbeTargets, sizes: Sizes) -> Start {
    Start {
        opened: wire.opened(targets),
        targets: targets.routes(),
        protocol: plan.protocol,
        strategy: plan.strategy,
        port: if plan.protocol == Protocol::Icmp { 0 } else { plan.port },
        first: plan.first,
        max_hops: plan.max_hops,
        queries: plan.queries,
        packet_bytes: targets.paths.first().map_or(0, |path| sizes.to(path.address)),
    }
}
