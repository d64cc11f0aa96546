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
use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::tools::host::{HeldPorts, Host, Listen, PortKind, Probes};
use crate::tools::probe::{NextHops, ProbeTargets, TargetRequest, Wire, fitted};
use crate::tools::session::Attention;
use crate::tools::{Control, Env};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

/// Source ports of the classic strategy with TCP, where each probe has one of its own.
const CLASSIC_SPAN: u16 = 256;
/// Frames that are enough for as many targets at a time: all probes to them, and their answers.
const FEW_FRAMES: u32 = 1024;
const FEW_TARGETS: usize = 4;
/// How often ports or identifiers are chosen anew that somebody else uses.
const TRIES: usize = 64;
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
    no_groups(&plan.targets)?;
    let targets = ProbeTargets::find(&request, &*env.host)?;
    single_hosts(&targets)?;
    let plan = &sized(plan, &targets);
    let plan =
        &Plan { config: fitted(&plan.config, &targets.link, plan.fit_frames), ..plan.clone() };
    if let Some(size) = plan.size {
        targets.check_size(size.into(), "--size", |_| 0, plan.config.frame_size)?;
    }
    let (identity, _held) = identity(plan, &*env.host, env.simulator.is_some());
    let paths: Vec<_> = targets.paths.iter().map(|path| (path.source, path.address)).collect();
    let vlan = targets.link.vlan(&*env.host);
    let echo = echo(plan, &*env.host, env.simulator.is_some());
    let mut rows = probe::rows(&identity, &paths, vlan);
    rows.extend(echo.iter().flat_map(|echo| probe::rows(echo, &paths, vlan)));
    let config = config(plan, targets.paths.len());
    let mut wire = Wire::open(env, &config, &targets, Filter::Any(rows), control, plan.wait)?;
    let has = |v4: bool| targets.paths.iter().any(|path| path.address.is_ipv4() == v4);
    let listen = Listen { probes: listened_for(&identity), v4: has(true), v6: has(false) };
    wire.listen(&*env.host, &listen, &targets);
    let sizes = Sizes::new(plan, &targets.link);
    sink(Event::Start(start(plan, &wire, &targets, sizes)));
    let mut hops = NextHops::new(targets.link.interface.index, targets.hops.clone());
    let stopped = || control.is_stopped();
    let attention = Attention::new(control, None).in_world(env);
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, PATIENCE, None, stopped, tell);
    let mut run = Run {
        plan,
        attention,
        outgoing: Outgoing::new(plan, identity, echo, plan.pace()?, wire.now()),
        members: Members::new(&targets.paths),
        turns: Turns::new(targets.paths.len()),
        reports: Reports::new(sink, plan, plan.names.then(|| names(env))),
        sizes,
        targets,
        wire,
    };
    run.prepare(&hops);
    let ended = run.go();
    let outcome = run.finish(&*env.host);
    ended.map(|()| outcome)
}

/// The plan's sockets. The kernel clears every page of the UMEM before the first probe: a path or two
/// need few.
fn config(plan: &Plan, targets: usize) -> Config {
    let few = plan.paths.is_none() && targets <= FEW_TARGETS;
    let frames = plan.config.frames.or(few.then_some(FEW_FRAMES));
    Config { frames, ..plan.config.clone() }
}

/// The plan with the IP packets that frames of the asked size hold.
fn sized(plan: &Plan, targets: &ProbeTargets) -> Plan {
    let frame = plan.packet_size.map(usize::from);
    let ip = frame.and_then(|frame| u16::try_from(targets.ip_length(frame)).ok());
    Plan { size: ip.or(plan.size), ..plan.clone() }
}

/// Refuses groups that are given by address: to most of them there is no route, which says nothing.
fn no_groups(targets: &[String]) -> Result<()> {
    let is_group = |name: &&String| {
        let address = name.split('%').next().unwrap_or(name).trim_matches(['[', ']']);
        address.parse().is_ok_and(|address: IpAddr| address.is_multicast())
    };
    targets.iter().find(is_group).map_or(Ok(()), |name| Err(group(name)))
}

fn group(name: &str) -> FluxError {
    FluxError::config(format!("target {name}"), "is a group: a path leads to one host")
        .with_hint(format!("`flux ping {name}` lists who answers; trace one of those"))
}

/// What cannot be traced, or not twice at a time.
fn single_hosts(targets: &ProbeTargets) -> Result<()> {
    let mut names: HashMap<IpAddr, &str> = HashMap::new();
    for path in &targets.paths {
        if path.multicast {
            return Err(group(&path.name));
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

/// What answers are known by that come to the host's stack.
fn listened_for(identity: &Identity) -> Probes {
    match identity.protocol {
        Protocol::Udp => Probes::Udp(identity.range()),
        Protocol::Tcp => Probes::Tcp(identity.range()),
        Protocol::Icmp => Probes::Echo(identity.range()),
    }
}

/// Ports or identifiers that nobody else uses; the ports stay ours until the drop of what holds them.
fn identity(plan: &Plan, host: &dyn Host, simulated: bool) -> (Identity, HeldPorts) {
    let span = match (plan.paths, plan.strategy, plan.protocol) {
        (Some(paths), ..) => paths.max_flows,
        (None, Strategy::Classic, Protocol::Tcp) => CLASSIC_SPAN,
        _ => 1,
    };
    let used = if plan.protocol == Protocol::Icmp { host.echo_ids() } else { Vec::new() };
    let mut identity = Identity::new(plan.protocol, plan.strategy, plan.port, span, simulated);
    for _ in 0..if simulated { 0 } else { TRIES } {
        let kind = match plan.protocol {
            Protocol::Icmp if !used.iter().any(|id| identity.range().contains(id)) => break,
            Protocol::Icmp => None,
            Protocol::Udp => Some(PortKind::Udp),
            Protocol::Tcp => Some(PortKind::Tcp),
        };
        match kind.map(|kind| host.hold_ports(kind, identity.range())) {
            Some(Ok(held)) => return (identity, held),
            Some(Err(error)) if error.kind() != ErrorKind::AddrInUse => break,
            _ => {}
        }
        identity = Identity::new(plan.protocol, plan.strategy, plan.port, span, simulated);
    }
    (identity, HeldPorts::default())
}

/// Echo requests for hosts that limit their errors, beside UDP: no ICMP error answers them. SYNs
/// need none, as nobody limits what TCP says.
fn echo(plan: &Plan, host: &dyn Host, simulated: bool) -> Option<Identity> {
    if plan.protocol != Protocol::Udp || plan.paths.is_some() {
        return None;
    }
    let used = host.echo_ids();
    let new = || Identity::new(Protocol::Icmp, Strategy::Paris, 0, 1, simulated);
    let is_free = |identity: &Identity| !used.contains(identity.range().start());
    let mut tries = (0..TRIES).map(|_| new());
    tries.find(is_free).or_else(|| Some(new()))
}

fn start(plan: &Plan, wire: &Wire, targets: &ProbeTargets, sizes: Sizes) -> Start {
    let mut routes = targets.routes();
    for route in &mut routes {
        route.packet_bytes = Some(sizes.to(route.address));
    }
    let first = routes.first().and_then(|route| route.packet_bytes);
    let same = routes.iter().all(|route| route.packet_bytes == first);
    Start {
        opened: wire.opened(targets),
        targets: routes,
        protocol: plan.protocol,
        strategy: plan.strategy,
        port: if plan.protocol == Protocol::Icmp { 0 } else { plan.port },
        first: plan.first,
        max_hops: plan.max_hops,
        queries: plan.queries,
        packet_bytes: first.filter(|_| same).unwrap_or(0),
    }
}
