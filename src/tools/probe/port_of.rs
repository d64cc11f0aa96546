//! Ports of a bridge, a bond or a team: their addresses are on the interface above them.

use crate::error::{ErrorKind, FluxError};
use crate::tools::host::{Host, Interface};
use std::net::IpAddr;

/// Why nothing is sent from `interface` itself: it is a port without an address of the family of
/// `target`. `None` where it is not.
pub(super) fn without_address(
    interface: &Interface,
    target: IpAddr,
    host: &dyn Host,
) -> Option<FluxError> {
    let of_family = |address: &IpAddr| address.is_ipv4() == target.is_ipv4();
    let own = |one: &Interface| one.addresses.iter().map(|it| it.addr).find(of_family);
    let master = interface.master.filter(|_| own(interface).is_none())?;
    let above = host.interfaces().ok()?.into_iter().find(|one| one.index == master)?;
    // A VRF takes no address from its members.
    if !matches!(above.kind.as_str(), "bridge" | "bond" | "team") {
        return None;
    }
    let (name, upper) = (&interface.name, &above.name);
    let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
    let mode = if above.kind == "bridge" { ", which works in skb mode" } else { "" };
    let (why, next) = match own(&above) {
        Some(address) => (format!("which has {address}"), format!("use -I {upper}{mode}")),
        None => (
            format!("and neither has an {family} address"),
            format!(
                "give {upper} one (`ip address add ADDRESS/PREFIX dev {upper}`), and use -I \
                 {upper}{mode}"
            ),
        ),
    };
    let what = format!("cannot send to {target} by {name}");
    let cause = format!("{name} is a port of {upper}, {why}");
    Some(FluxError::new(ErrorKind::Host, what, cause).with_hint(next))
}
