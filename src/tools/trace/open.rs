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
use crate::config::Config;
use crate::error::{FluxError, Result};
use crate::tools::host::{HeldPorts, Host, Listen, PortKind, Probes};
use crate::tools::probe::{Lookout, NextHops, ProbeTargets, Refused, TargetRequest, Wire, fitted};
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
        file: None,
        family: plan.family,
        interface: plan.interface.as_deref(),
        source: plan.source,
        vlan: None,
        broadcast: None,
    };
    // Watched before the first look, so that nothing is missed in between.
    let mut lookout = Lookout::new(&*env.host);
    let pause = |time| env.pause(time) && !control.is_stopped();
    let targets = find(&request, &*env.host, pause)?;
    let plan = &sized(plan, &targets);
    let fit = |config, link| fitted(&config, link, plan.fit_frames);
    let fitting = targets.links.iter().fold(plan.config.clone(), fit);
    let plan = &Plan { config: fitting, ..plan.clone() };
    let targets = match plan.size {
        Some(size) => targets.check_size(size.into(), "--size", |_| 0, plan.config.frame_size)?,
        None => targets,
    };
    let (identity, _held) = identity(plan, &*env.host, env.simulator.is_some());
    let echo = echo(plan, &*env.host, env.simulator.is_some());
    let filter = filter((&identity, echo.as_ref()), &targets, &*env.host);
    let config = config(plan, targets.paths.len());
    let has = |v4: bool| targets.paths.iter().any(|path| path.address.is_ipv4() == v4);
    let listen = Listen { probes: listened_for(&identity), v4: has(true), v6: has(false) };
    // Before the sockets: the kernel begins to stamp packets a moment later.
    let listener = env.host.listen(&listen).ok();
    let mut wire = Wire::open(env, &config, &targets.links, &filter, control, plan.wait)?;
    wire.listen(&*env.host, listener, &targets);
    let sizes = sizes(plan, &targets);
    sink(Event::Start(start(plan, &wire, &targets, &sizes)));
    targets.refused.iter().for_each(|refused| sink(Event::SendError(refused.told())));
    let mut hops = NextHops::new(&targets.hops);
    let stopped = || control.is_stopped();
    let attention = Attention::new(control, None).in_world(env);
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, PATIENCE, None, stopped, tell);
    lookout.begin(&mut *env.host, &targets);
    let mut run = Run {
        plan,
        attention,
        outgoing: Outgoing::new(plan, identity, echo, plan.pace()?, wire.now()),
        members: Members::new(&targets.paths),
        turns: Turns::new(targets.paths.len()),
        reports: Reports::new(sink, plan, plan.names.then(|| names(env))),
        sizes,
        hops,
        lookout,
        ending: None,
        began_ns: wire.now(),
        targets,
        wire,
    };
    run.prepare();
    let ended = run.go(&mut *env.host);
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
    let length = |frame| targets.paths.iter().map(move |path| targets.ip_length(path, frame)).min();
    let ip = plan.packet_size.map(usize::from).and_then(length);
    let ip = ip.and_then(|ip| u16::try_from(ip).ok());
    Plan { size: ip.or(plan.size), ..plan.clone() }
}

/// The targets that can be traced, each once. Groups that are given by address are refused before there
/// is a route: to most of them there is none, which says nothing.
fn find(
    request: &TargetRequest<'_>,
    host: &dyn Host,
    pause: impl FnMut(Duration) -> bool,
) -> Result<ProbeTargets> {
    let is_group = |name: &String| {
        let address = name.split('%').next().unwrap_or(name).trim_matches(['[', ']']);
        address.parse().is_ok_and(|address: IpAddr| address.is_multicast())
    };
    let (groups, hosts): (Vec<_>, Vec<_>) = request.targets.iter().cloned().partition(is_group);
    if let Some(name) = groups.first().filter(|_| hosts.is_empty()) {
        return Err(group(name));
    }
    let request = TargetRequest { targets: &hosts, ..*request };
    let mut targets = ProbeTargets::find_soon(&request, host, pause)?;
    targets.refused.extend(groups.iter().map(|name| Refused::new(name, None, group(name))));
    let mut names: HashMap<IpAddr, String> = HashMap::new();
    targets.refuse(|path, _| {
        if path.multicast {
            return Some(group(&path.name));
        }
        let other = names.insert(path.address, path.name.clone())?;
        let what = format!("target {}", path.name);
        let why = format!("is {}, which {other} is, too", path.address);
        Some(FluxError::config(what, why).with_hint("name each target once"))
    })
}

fn group(name: &str) -> FluxError {
    FluxError::config(format!("target {name}"), "is a group: a path leads to one host")
        .with_hint(format!("`flux ping {name}` lists who answers; trace one of those"))
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

fn start(plan: &Plan, wire: &Wire, targets: &ProbeTargets, sizes: &[Sizes]) -> Start {
    let mut interfaces = wire.opened(&targets.links);
    let mut opened = interfaces.first().cloned().unwrap_or_default();
    opened.notes.extend(targets.notes.iter().cloned());
    if interfaces.len() == 1 {
        interfaces.clear();
    }
    let mut routes = targets.routes();
    for (route, path) in routes.iter_mut().zip(&targets.paths) {
        route.packet_bytes = Some(sizes[path.link].to(route.address));
    }
    let first = routes.first().and_then(|route| route.packet_bytes);
    let same = routes.iter().all(|route| route.packet_bytes == first);
    Start {
        opened,
        interfaces,
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
