//! From a name to a route: which address, by which interface, from which source, to which next hop.

use super::link::{Link, VlanTag, check_up};
use super::port_of::without_address;
use crate::error::{ErrorKind, FluxError, Result};
use crate::tools::host::{Family, Host, Interface, RouteKind, Target};
use std::net::IpAddr;

/// Where a run wants to go, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRequest<'a> {
    /// Names or addresses, as given.
    pub(crate) targets: &'a [String],
    /// Which family names may resolve to.
    pub(crate) family: Family,
    /// The interface, or the source address, after `-I`.
    pub(crate) interface: Option<&'a str>,
    /// The source address.
    pub(crate) source: Option<IpAddr>,
    /// A VLAN tag, besides the one of a VLAN interface.
    pub(crate) vlan: Option<VlanTag>,
}

/// The interface or source address asked for with `-I`.
pub(super) struct SourceChoice {
    pub(super) interface: Option<Interface>,
    source: Option<IpAddr>,
}

/// A target, resolved and routed.
pub(super) struct ResolvedTarget {
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) ifindex: u32,
    pub(super) source: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
}

impl ResolvedTarget {
    /// Who gets the packets first.
    pub(super) fn next_hop(&self) -> IpAddr {
        self.gateway.unwrap_or(self.address)
    }
}

impl SourceChoice {
    pub(super) fn of(request: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let Some(name) = request.interface else {
            return Ok(Self { interface: None, source: request.source });
        };
        if let Ok(source) = name.parse() {
            if request.source.is_some_and(|other| other != source) {
                let why = format!("is not the source address asked for, {source}");
                return Err(FluxError::config(format!("-I {name}"), why)
                    .with_hint("-I takes the name of an interface, too"));
            }
            return Ok(Self { interface: None, source: Some(source) });
        }
        let interface = host.interface(name)?;
        // Said before a route is looked for: a link that is down has none.
        check_up(&interface)?;
        Ok(Self { interface: Some(interface), source: request.source })
    }

    /// Resolves a target and finds its route.
    pub(super) fn route(
        &self,
        name: &str,
        request: &TargetRequest<'_>,
        host: &dyn Host,
    ) -> Result<ResolvedTarget> {
        let Target { addr, scope } = host.resolve(name, request.family)?;
        if addr.is_unspecified() {
            return Err(FluxError::config(
                format!("target {name}"),
                "it is the unspecified address, which no host has",
            )
            .with_hint("give the address of a host"));
        }
        let wanted = self.interface.as_ref();
        if let (Some(scope), Some(wanted)) = (scope, wanted)
            && scope != wanted.index
        {
            return Err(FluxError::config(
                format!("target {name}"),
                format!("it names another interface than -I {}", wanted.name),
            )
            .with_hint("leave out one of the two"));
        }
        if let Some(source) = self.source.filter(|source| source.is_ipv4() != addr.is_ipv4()) {
            return Err(other_family(source, name));
        }
        let oif = wanted.map(|i| i.index).or(scope);
        if oif.is_none() && needs_scope(addr) {
            return Err(FluxError::config(
                format!("target {name}"),
                "it is valid on one link alone, and the link is not named",
            )
            .with_hint(format!("write {addr}%IFACE, or use -I IFACE")));
        }
        if self.source.is_none()
            && let Some(error) = wanted.and_then(|port| without_address(port, addr, host))
        {
            return Err(error);
        }
        let route = host.route(addr, oif, self.source)?;
        route.require_wire(addr, wanted.map_or("any interface", |i| &i.name))?;
        if route.kind == RouteKind::Broadcast {
            return Err(broadcast(name));
        }
        if route.encapsulated {
            return Err(FluxError::config(
                format!("target {name}"),
                "its route wraps packets (a tunnel or MPLS), and frames sent here are not wrapped",
            )
            .with_hint("choose the tunnel's own interface with -I"));
        }
        Ok(ResolvedTarget {
            name: without_brackets(name).to_owned(),
            address: addr,
            ifindex: route.ifindex,
            source: self.source.or(route.source),
            gateway: route.gateway,
        })
    }
}

/// Whether an address means something only together with an interface.
fn needs_scope(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_multicast() && matches!(address.segments()[0] & 0xf, 1 | 2)
        }
    }
}

/// `2001:db8::2` of `[2001:db8::2]`, as which it is shown.
fn without_brackets(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name)
}

/// Refuses a source address that an address among the targets, or the `family` asked for, cannot
/// go with.
///
/// # Errors
/// When it is of the other family.
pub fn check_source(source: Option<IpAddr>, family: Family, targets: &[String]) -> Result<()> {
    let Some(source) = source else { return Ok(()) };
    if !family.admits(source) {
        let why = if source.is_ipv4() {
            "is not IPv6, as -6 asks for"
        } else {
            "is not IPv4, as -4 asks for"
        };
        return Err(source_refused(source, why.into()));
    }
    let address = |target: &&String| without_brackets(target).parse::<IpAddr>().ok();
    let other =
        |target: &&String| address(target).is_some_and(|to| to.is_ipv4() != source.is_ipv4());
    match targets.iter().find(other) {
        Some(target) => Err(other_family(source, target)),
        None => Ok(()),
    }
}

/// `source` cannot send to `target`.
fn other_family(source: IpAddr, target: &str) -> FluxError {
    source_refused(source, format!("is of another family than the target {target}"))
}

fn source_refused(source: IpAddr, why: String) -> FluxError {
    FluxError::config(format!("source address {source}"), why)
        .with_hint("give an address of this machine of the family of the targets")
}

pub(super) fn broadcast(name: &str) -> FluxError {
    FluxError::config(format!("target {name}"), "it is a broadcast address")
        .with_hint("name the hosts one by one; 224.0.0.1 and ff02::1%IFACE are groups of all hosts")
}

pub(super) fn no_source(target: &ResolvedTarget, link: &Link) -> FluxError {
    let (family, name) =
        (if target.address.is_ipv4() { "IPv4" } else { "IPv6" }, &link.interface.name);
    FluxError::new(
        ErrorKind::Host,
        format!("cannot send to {} by {name}", target.name),
        format!("{name} has no {family} address"),
    )
    .with_hint(format!("give it one: `ip address add ADDRESS/PREFIX dev {name}`"))
}
