//! From a plan to an open socket and a run that knows where everything goes.

use super::event::{Event, Start};
use super::filter;
use super::flight;
use super::ids::EchoIds;
use super::outgoing::Outgoing;
use super::plan::{Outcome, Plan};
use super::progress::Progress;
use super::reporter::Reporter;
use super::run::Run;
use crate::error::{FluxError, Result};
use crate::proto::ICMP_LEN;
use crate::tools::host::{Listen, Probes};
use crate::tools::measure::pacer::ns;
use crate::tools::probe::{Lookout, NextHops, ProbeTargets, TargetRequest, Wire, fitted, ip_len};
use crate::tools::session::Attention;
use crate::tools::{Control, Env};

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
    let request = TargetRequest {
        targets: &plan.targets,
        file: plan.file.as_ref(),
        family: plan.family,
        interface: plan.interface.as_deref(),
        source: plan.source,
        vlan: plan.vlan,
        broadcast: Some(plan.broadcast),
    };
    // Watched before the first look, so that nothing is missed in between.
    let mut lookout = Lookout::new(&*env.host);
    let pause = |time| env.pause(time) && !control.is_stopped();
    let mut targets = ProbeTargets::find_soon(&request, &*env.host, pause)?;
    if plan.spare_own {
        targets.spare_own(&*env.host);
    }
    let is_virtual = env.simulator.is_some();
    let headers = |address| ip_len(address) + ICMP_LEN;
    let plan = &sized(plan, &targets)?;
    let fit = |config, link| fitted(&config, link, plan.fit_frames);
    let config = targets.links.iter().fold(plan.config.clone(), fit);
    let plan = &Plan { config, ..plan.clone() };
    let targets = targets.check_size(plan.size, "-s", headers, plan.config.frame_size)?;
    let ids = EchoIds::new(&targets.paths, is_virtual, &env.host.echo_ids())?;
    let span = flight::span(plan)?;
    let filter = filter::of_run(&targets, &ids, plan.size, &*env.host);
    let links = &targets.links;
    let has = |v4: bool| targets.paths.iter().any(|path| path.address.is_ipv4() == v4);
    let listen = Listen { probes: Probes::Echo(ids.range()), v4: has(true), v6: has(false) };
    // Before the sockets: the kernel begins to stamp packets a moment later.
    let listener = env.host.listen(&listen).ok();
    let mut wire = Wire::open(env, &plan.config, links, &filter, control, plan.timeout)?;
    wire.listen(&*env.host, listener, &targets);
    let mut interfaces = wire.opened(links);
    let mut opened = interfaces.first().cloned().unwrap_or_default();
    opened.notes.extend(targets.notes.iter().cloned());
    if interfaces.len() == 1 {
        interfaces.clear();
    }
    let mut routes = targets.routes();
    for route in &mut routes {
        route.packet_bytes = u16::try_from(plan.size + headers(route.address)).ok();
    }
    sink(Event::Start(Start { opened, interfaces, targets: routes, payload_bytes: plan.size }));
    targets.refused.iter().for_each(|refused| sink(Event::SendError(refused.told())));
    let deadline_ns = plan.deadline.map(|time| wire.now().saturating_add(ns(time)));
    let mut hops = NextHops::new(&targets.hops);
    let stopped = || control.is_stopped();
    let tell = |found| sink(Event::Neighbour(found));
    hops.find_all(&mut *env.host, plan.timeout, plan.deadline, stopped, tell);
    lookout.begin(&mut *env.host, &targets);
    let count = targets.paths.len();
    let mut run = Run {
        plan,
        attention: Attention::new(control, deadline_ns).in_world(env),
        hops,
        outgoing: Outgoing::new(plan, count, &ids),
        progress: Progress::new(plan, &targets.paths, span, wire.now()),
        reporter: Reporter::new(sink, (plan.each, plan.wall_clock), is_virtual, count),
        group_sent_ns: None,
        complete_ns: None,
        lookout,
        ending: None,
        targets,
        wire,
        ids,
    };
    let ended = run.go(&mut *env.host);
    let outcome = run.finish(&*env.host);
    ended.map(|()| outcome)
}

/// The plan with the payload that packets of the asked size have.
fn sized(plan: &Plan, targets: &ProbeTargets) -> Result<Plan> {
    let Some(asked) = plan.packet_size else { return Ok(plan.clone()) };
    let bad = |why: String| FluxError::config(format!("packet size {asked}"), why);
    let mut sizes = targets.paths.iter().map(|path| {
        let ip = targets.ip_length(path, asked);
        let headers = ip_len(path.address) + ICMP_LEN;
        ip.checked_sub(headers).ok_or_else(|| {
            let least = headers + (asked - ip);
            bad(format!("must be at least {least}, as long as the headers to {}", path.name))
        })
    });
    let size = sizes.next().transpose()?.unwrap_or(plan.size);
    for other in sizes {
        if other? != size {
            let error = bad("would be different payloads over IPv4 and IPv6".into());
            return Err(error.with_hint("use -s, or targets of one family"));
        }
    }
    Ok(Plan { size, ..plan.clone() })
}
