//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Event, Start};
use super::filter::{filter, sizes};
use super::identity::Identity;
use super::members::Members;
use super::outgoing::Outgoing;
use super::plan::{Outcome, Plan, Protocol, Strategy};
use super::reports::Reports;
use super::reverse_dns::{HostResolver, Names};
use super::run::Run;
use super::sizes::Sizes;
use super::turns::Turns;
use crate::error::{FluxError, Result};
use crate::tools::probe::{Lookout, NextHops, ProbeTargets, TargetRequest, Wire};
use crate::tools::session::Attention;
use crate::tools::{Control, Env};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Source ports of the classic strategy with TCP, where each probe has one of its own.
const CLASSIC_SPAN: u16 = 256;
/// How long next hops are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

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
    // Watched before the first look, so that nothing is missed in between.
    let mut lookout = Lookout::new(&*env.host);
    let pause = |time| env.pause(time) && !control.is_stopped();
    let targets = single_hosts(ProbeTargets::find_soon(&request, &*env.host, pause)?)?;
    let plan = &sized(plan, &targets);
    let targets = match plan.size {
        Some(size) => targets.check_size(size.into(), "--size", |_| 0, plan.config.frame_size)?,
        None => targets,
    };
    let identity = identity(plan, env.simulator.is_some());
    let filter = filter(&identity, &targets);
    let wire = Wire::open(env, &plan.config, &targets.links, &filter, control, plan.wait)?;
    let sizes = sizes(plan, &targets);
    sink(Event::Start(start(plan, &wire, &targets, &sizes)));
    targets.refused.iter().for_each(|refused| sink(Event::SendError(refused.told())));
    let mut hops = NextHops::new(&targets.hops);
    let stopped = || control.is_stopped();
    let attention = Attention::new(control, None);
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, PATIENCE, None, stopped, tell);
    lookout.begin(&mut *env.host, &targets);
    let mut run = Run {
        plan,
        attention,
        outgoing: Outgoing::new(plan, identity, plan.pace()?, wire.now()),
        members: Members::new(&targets.paths),
        turns: Turns::new(targets.paths.len()),
        reports: Reports::new(sink, plan.each, plan.names.then(|| names(env))),
        sizes,
        hops,
        lookout,
        ending: None,
        targets,
        wire,
    };
    run.prepare();
    let ended = run.go(&mut *env.host);
    let outcome = run.finish(&*env.host);
    ended.map(|()| outcome)
}

/// The plan with the IP packets that frames of the asked size hold.
fn sized(plan: &Plan, targets: &ProbeTargets) -> Plan {
    let length = |frame| targets.paths.iter().map(move |path| targets.ip_length(path, frame)).min();
    let ip = plan.packet_size.map(usize::from).and_then(length);
    let ip = ip.and_then(|ip| u16::try_from(ip).ok());
    Plan { size: ip.or(plan.size), ..plan.clone() }
}

/// Without what cannot be traced, or not twice at a time.
fn single_hosts(targets: ProbeTargets) -> Result<ProbeTargets> {
    let mut names: HashMap<IpAddr, String> = HashMap::new();
    targets.refuse(|path, _| {
        if path.multicast {
            let why = "is a group: a path leads to one host";
            let error = FluxError::config(format!("target {}", path.name), why);
            return Some(error.with_hint("name the hosts one by one; `flux ping` finds them"));
        }
        let other = names.insert(path.address, path.name.clone())?;
        let what = format!("target {}", path.name);
        let why = format!("is {}, which {other} is, too", path.address);
        Some(FluxError::config(what, why).with_hint("name each target once"))
    })
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

fn start(plan: &Plan, wire: &Wire, targets: &ProbeTargets, sizes: &[Sizes]) -> Start {
    let mut interfaces = wire.opened(&targets.links);
    let mut opened = interfaces.first().cloned().unwrap_or_default();
    opened.notes.extend(targets.notes.iter().cloned());
    if interfaces.len() == 1 {
        interfaces.clear();
    }
    Start {
        opened,
        interfaces,
        targets: targets.routes(),
        protocol: plan.protocol,
        strategy: plan.strategy,
        port: if plan.protocol == Protocol::Icmp { 0 } else { plan.port },
        first: plan.first,
        max_hops: plan.max_hops,
        queries: plan.queries,
        packet_bytes: targets.paths.first().map_or(0, |path| sizes[path.link].to(path.address)),
    }
}
