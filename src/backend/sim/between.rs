//! The network of `--sim` for commands between two interfaces.
//!
//! ```text
//!   left hosts .2 … .9 ── switch ── sim0 │ our program │ sim1 ── switch ── right hosts .2 … .9
//!   10.0.0.0/24, 2001:db8::/64                              10.0.1.0/24, 2001:db8:1::/64
//! ```
//!
//! Nothing but our program leads from one side to the other. It may be a wire: then hosts send to
//! each other's Ethernet addresses. Or a router: then they send to ours.

use super::default_network::{LAN, access};
use super::{End, NetworkBuilder, Profile, SimSpec, Simulator};
use crate::error::Result;

/// What names, IPv4 and IPv6 addresses of either side begin with.
const SIDES: [(&str, &str, &str); 2] =
    [("left", "10.0.0.", "2001:db8::"), ("right", "10.0.1.", "2001:db8:1::")];

fn build(spec: &SimSpec) -> Result<Simulator> {
    let (mut net, left) = NetworkBuilder::of(spec, None);
    let ours = [left, net.next_port(spec)];
    for (us, (side, v4, v6)) in ours.into_iter().zip(SIDES) {
        net.name(us, "us.sim");
        let switch = net.switch();
        let address = |end: End, n: u32| {
            end.address(format!("{v4}{n}/24")).address(format!("{v6}{n}/64")).mtu(spec.mtu)
        };
        let (there, back) = access(spec);
        net.link_asymmetric(address(End::new(us), 1), End::new(switch), there, back);
        for n in 2..=9 {
            let host = net.host();
            net.name(host, format!("{side}{n}.sim"));
            net.link(address(End::new(host), n), End::new(switch), Profile::delay(LAN));
        }
    }
    net.build()
}

impl Simulator {
    /// The machine and network of `--sim=SPEC` for commands between two interfaces:
    ///
    /// | address | what |
    /// |---|---|
    /// | 10.0.0.1/24, 2001:db8::1/64 on `sim0` | us |
    /// | 10.0.1.1/24, 2001:db8:1::1/64 on `sim1` | us |
    /// | 10.0.0.2–10.0.0.9, 2001:db8::2–9 | hosts on the left, behind `sim0`; RTT 200 µs |
    /// | 10.0.1.2–10.0.1.9, 2001:db8:1::2–9 | hosts on the right, behind `sim1`; RTT 200 µs |
    ///
    /// The hosts answer as those of [`Simulator::new`], and both interfaces and both links are as
    /// `spec` says. Packets get from one side to the other only by a program that forwards them:
    /// unchanged between hosts that send to each other's Ethernet addresses, as a wire does, or
    /// with new Ethernet addresses, as a router does. Nothing answers ARP and neighbour discovery
    /// for us. [`Simulator::send_from`] makes a host send.
    ///
    /// A file that `spec` names counts for nothing here, as in [`Simulator::new`].
    ///
    /// # Panics
    /// Never: the network is the same for every spec, and tested.
    #[must_use]
    pub fn between(spec: SimSpec) -> Self {
        match build(&spec) {
            Ok(simulator) => simulator,
            Err(error) => unreachable!("the network of two sides is sound: {error}"),
        }
    }
}
