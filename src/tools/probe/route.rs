//! From a name to a route: which address, by which interface, from which source, to which next hop.

use super::link::{Link, VlanTag, check_up};
use super::port_of::without_address;
use super::target_file::TargetFile;
use crate::error::{ErrorKind, FluxError, Result};
use crate::tools::host::{Cause, Family, Host, HostError, Interface, RouteKind, Target};
use std::net::IpAddr;

/// Most interfaces that a hint names.
const MOST_NAMES: usize = 8;

/// Where a run wants to go, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRequest<'a> {
    /// Names or addresses, as given.
    pub(crate) targets: &'a [String],
    /// Where the last of them were read, if in a file.
    pub(crate) file: Option<&'a TargetFile>,
    /// Which family names may resolve to.
    pub(crate) family: Family,
    /// The interface, or the source address, after `-I`.
    pub(crate) interface: Option<&'a str>,
    /// The source address.
    pub(crate) source: Option<IpAddr>,
    /// A VLAN tag, besides the one of a VLAN interface.
    pub(crate) vlan: Option<VlanTag>,
    /// Whether broadcast addresses are asked for; `None` where a command cannot use them.
    pub(crate) broadcast: Option<bool>,
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
    pub(super) leg: Leg,
    /// What its route is asked with.
    pub(super) question: Question,
}

/// What the host is asked for a route with, besides the address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Question {
    /// The interface that was asked for, by index.
    pub(super) oif: Option<u32>,
    /// The source address that was asked for.
    pub(super) source: Option<IpAddr>,
    /// A VLAN tag that was asked for.
    pub(super) vlan: Option<VlanTag>,
    /// Whether broadcast addresses may be probed; `None`: that cannot be asked for.
    pub(super) broadcast: Option<bool>,
}

/// Where packets to an address leave.
pub(super) struct Leg {
    pub(super) link: Link,
    pub(super) source: IpAddr,
    pub(super) gateway: Option<IpAddr>,
    /// Answers come from anybody.
    pub(super) group: bool,
}

impl SourceChoice {
    pub(super) fn of(request: &TargetRequest<'_>, host: &dyn Host) -> Result<Self> {
        let Some(name) = request.interface else {
            return Ok(Self { interface: None, source: request.source });
        };
        if let Ok(source) = name.parse().map(|source: IpAddr| source.to_canonical()) {
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

    /// Resolves a target and finds its route: of the addresses that a name has, the first that can be
    /// used.
    pub(super) fn route(
        &self,
        name: &str,
        request: &TargetRequest<'_>,
        host: &dyn Host,
        interfaces: &[Interface],
    ) -> Result<ResolvedTarget> {
        let family = match (request.family, self.source) {
            // A name may have addresses of both families: those that go with the source are meant.
            (Family::Any, Some(source)) if !is_address(name) => Family::of(source),
            (family, _) => family,
        };
        let mut first = None;
        for target in host.addresses(name, family)? {
            match self.route_to(name, target, request, host, interfaces) {
                Ok(found) => return Ok(found),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let missing = || HostError::new("resolve", name, Cause::NoAddressInFamily).into();
        Err(first.unwrap_or_else(missing))
    }

    fn route_to(
        &self,
        name: &str,
        Target { addr, scope }: Target,
        request: &TargetRequest<'_>,
        host: &dyn Host,
        interfaces: &[Interface],
    ) -> Result<ResolvedTarget> {
        check_address(name, addr)?;
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
        if let Some(zone) = scope.and_then(|index| interfaces.iter().find(|i| i.index == index))
            && zone.is_loopback()
        {
            return Err(FluxError::config(
                format!("target {name}"),
                format!("{} is the loopback interface, which no other host is on", zone.name),
            )
            .with_hint(format!("name the interface that leads there: {}", ethernet(interfaces))));
        }
        if let Some(source) = self.source.filter(|source| source.is_ipv4() != addr.is_ipv4()) {
            return Err(other_family(source, name));
        }
        let oif = wanted.map(|i| i.index).or(scope);
        if oif.is_none() && needs_scope(addr) {
            let names = ethernet(interfaces);
            let first = names.split(", ").next().unwrap_or_default();
            return Err(FluxError::config(
                format!("target {name}"),
                "it is valid on one link alone, and the link is not named",
            )
            .with_hint(format!(
                "name the interface that leads there, as in {addr}%{first}, or with -I: {names}"
            )));
        }
        let (vlan, broadcast) = (request.vlan, request.broadcast);
        let question = Question { oif, source: self.source, vlan, broadcast };
        let leg = question.leg(name, addr, host, interfaces)?;
        let name = without_brackets(name).to_owned();
        Ok(ResolvedTarget { name, address: addr, leg, question })
    }
}

impl Question {
    /// Where packets to `address` leave now.
    pub(super) fn leg(
        &self,
        name: &str,
        address: IpAddr,
        host: &dyn Host,
        interfaces: &[Interface],
    ) -> Result<Leg> {
        let by_index = |index: u32| interfaces.iter().find(|i| i.index == index);
        let asked = self.oif.and_then(by_index);
        if self.source.is_none()
            && let Some(error) = asked.and_then(|port| without_address(port, address, host))
        {
            return Err(error);
        }
        let route = host.route(address, self.oif, self.source)?;
        route.require_wire(address, asked.map_or("any interface", |i| &i.name))?;
        if route.kind == RouteKind::Broadcast && self.broadcast != Some(true) {
            return Err(broadcast(name, self.broadcast, interfaces));
        }
        if route.encapsulated {
            return Err(FluxError::config(
                format!("target {name}"),
                "its route wraps packets (a tunnel or MPLS), and frames sent here are not wrapped",
            )
            .with_hint("choose the tunnel's own interface with -I"));
        }
        let interface = by_index(route.ifindex).cloned().ok_or_else(|| {
            let object = format!("with index {}", route.ifindex);
            HostError::new("find interface", object, Cause::NoSuchInterface)
        })?;
        let link = Link::find(interface, self.vlan, interfaces)?;
        let is_broadcast = link.interface.is_broadcast(address);
        if is_broadcast && self.broadcast != Some(true) {
            return Err(broadcast(name, self.broadcast, interfaces));
        }
        // Unnumbered links borrow an address, but a route to an interface that was named may be
        // the kernel's last resort: nobody there would know the way back.
        let borrowed = self.oif.is_some() && !link.has_family(address);
        let source = self.source.or(route.source).filter(|_| !borrowed);
        let source = source.ok_or_else(|| no_source(name, address, &link))?;
        let group = is_broadcast || address.is_multicast();
        Ok(Leg { link, source, gateway: route.gateway, group })
    }
}

/// Refuses what no host has.
fn check_address(name: &str, address: IpAddr) -> Result<()> {
    let why = match address {
        _ if address.is_unspecified() => "it is the unspecified address, which no host has",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "it is in 0.0.0.0/8, which no host is in",
        _ => return Ok(()),
    };
    Err(FluxError::config(format!("target {name}"), why).with_hint("give the address of a host"))
}

/// Names of the interfaces that frames leave by.
fn ethernet(interfaces: &[Interface]) -> String {
    let names = interfaces.iter().filter(|i| i.is_ethernet()).map(|i| i.name.as_str());
    let names = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if names.is_empty() { "there is none".into() } else { names }
}

/// Whether `name` is an address, in brackets, with a zone, or without.
fn is_address(name: &str) -> bool {
    let address = without_brackets(name);
    address.split('%').next().unwrap_or_default().parse::<IpAddr>().is_ok()
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

/// Refuses a source address that none of the targets, or not the `family` asked for, can go with.
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
    let address = |target: &String| without_brackets(target).parse::<IpAddr>().ok();
    let other = |target: &String| {
        address(target).is_some_and(|to| to.to_canonical().is_ipv4() != source.is_ipv4())
    };
    // One of several is refused by itself.
    match targets.first().filter(|_| targets.iter().all(other)) {
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

fn broadcast(name: &str, asked_for: Option<bool>, interfaces: &[Interface]) -> FluxError {
    let names = ethernet(interfaces);
    let first = names.split(", ").next().unwrap_or_default();
    let ask = asked_for.map_or("", |_| "use -b to ping all hosts of the network, or ");
    FluxError::config(format!("target {name}"), "it is a broadcast address").with_hint(format!(
        "{ask}name the hosts one by one; 224.0.0.1 and ff02::1%{first} are groups of all hosts"
    ))
}

fn no_source(target: &str, address: IpAddr, link: &Link) -> FluxError {
    let (family, name) = (if address.is_ipv4() { "IPv4" } else { "IPv6" }, &link.interface.name);
    FluxError::new(
        ErrorKind::Host,
        format!("cannot send to {target} by {name}"),
        format!("{name} has no {family} address"),
    )
    .with_hint(format!("give it one: `ip address add ADDRESS/PREFIX dev {name}`"))
}
