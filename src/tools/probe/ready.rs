//! Waiting for what is only just coming up when a run begins: a carrier, an IPv6 address.

use super::route::TargetRequest;
use super::targets::{Path, ProbeTargets};
use crate::error::{ErrorKind, FluxError, Result};
use crate::tools::host::{AddressScope, Cause, Host, Interface};
use std::time::Duration;

/// Duplicate address detection begins up to a second after the link is there, and lasts a second;
/// links of copper come in that time, too.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl ProbeTargets {
    /// Resolves and routes the targets of a plan; waits a while for what is only just coming up.
    /// `pause` lets time pass, and says whether to go on.
    ///
    /// # Errors
    /// When none of them can be used: why the first cannot.
    pub(crate) fn find_soon(
        request: &TargetRequest<'_>,
        host: &dyn Host,
        mut pause: impl FnMut(Duration) -> bool,
    ) -> Result<Self> {
        let (mut waited, mut why) = (Duration::ZERO, None);
        loop {
            let found = Self::find(request, host);
            let missing = missing(&found, request, &host.interfaces()?);
            if missing.is_none() || waited >= PATIENCE || !pause(LOOK) {
                return found.map(|mut found| {
                    found.notes.extend(
                        why.map(|why| format!("waited {:.1} s for {why}", waited.as_secs_f64())),
                    );
                    found
                });
            }
            waited += LOOK;
            why = why.or(missing);
        }
    }
}

/// What is missing and may come soon.
fn missing(
    found: &Result<ProbeTargets>,
    request: &TargetRequest<'_>,
    interfaces: &[Interface],
) -> Option<String> {
    let errors: Vec<&FluxError> = match found {
        Ok(targets) => targets.refused.iter().map(|refused| &refused.error).collect(),
        Err(error) => vec![error],
    };
    let unready = |interface: &Interface| {
        let name = &interface.name;
        format!("duplicate address detection on {name}")
    };
    for error in errors {
        let text = error.to_string();
        if let Some(said) = text.strip_suffix(&Cause::NoCarrier.to_string()) {
            let name = said.trim_end_matches(": ").rsplit(' ').next().unwrap_or_default();
            return Some(format!("the carrier of {name}"));
        }
        if error.kind() != ErrorKind::Host {
            continue;
        }
        if let Some(interface) = interfaces.iter().find(|i| i.up && is_tentative(i, false)) {
            return Some(unready(interface));
        }
        // Routes and addresses of IPv6 come with the carrier.
        let named = |i: &&Interface| is_named(request, &i.name);
        if let Some(interface) = interfaces.iter().find(|i| i.up && !i.carrier && named(i)) {
            return Some(format!("the carrier of {}", interface.name));
        }
    }
    // Without a link-local address the kernel asks for no neighbour.
    let targets = found.as_ref().ok()?;
    let mut paths = targets.paths.iter().filter(|path| path.address.is_ipv6());
    let link = |path| targets.link(path).interface.index;
    let here = |index: u32| interfaces.iter().find(move |i| i.index == index);
    paths.find_map(|path| here(link(path)).filter(|i| is_new(path, i))).map(unready)
}

/// Whether an address of the interface that packets to an IPv6 target leave by is still to come: the
/// kernel gives them one of another interface meanwhile, which the answer may not find the way to.
fn is_new(path: &Path, interface: &Interface) -> bool {
    let mut own = interface.addresses.iter().filter(|own| own.addr.is_ipv6()).peekable();
    let foreign = path.question.source.is_none() && !interface.has_address(path.source);
    let missing = own.peek().is_none() || own.any(|own| own.tentative && !own.duplicate);
    is_tentative(interface, true) || foreign && missing
}

/// Whether an IPv6 address of the interface is still being looked at, perhaps the link-local one alone.
fn is_tentative(interface: &Interface, link_local: bool) -> bool {
    let mut own = interface.addresses.iter().filter(|own| own.addr.is_ipv6());
    let near = |scope| !link_local || scope == AddressScope::Link;
    own.any(|own| own.tentative && !own.duplicate && near(own.scope))
}

/// Whether the run names the interface, by itself or as the zone of a target.
fn is_named(request: &TargetRequest<'_>, name: &str) -> bool {
    let zone = |target: &String| {
        let zone = target.trim_end_matches(']').split_once('%');
        zone.is_some_and(|(_, zone)| zone == name)
    };
    request.interface == Some(name) || request.targets.iter().any(zone)
}
