//! The network of `--sim`.
//!
//! ```text
//!   sim0 ── switch ── hosts .2 … .9, silent .66
//!             │
//!            r1 ── r2 ─┬─ r3a ─┬─ r4 ── r5 ── 203.0.113.7
//!         .254         ├─ r3b ─┘
//!                      └─ r3c ── (MTU 1400) ── 198.51.100.9
//! ```

use super::{End, NetworkBuilder, NetworkTrouble, Profile, SimSpec, Simulator};
use crate::error::Result;
use std::time::Duration;

/// Each of the two links between any two stations of our Ethernet: 200 µs there and back.
pub(super) const LAN: Duration = Duration::from_micros(50);
/// Each of the five links from r1 to 203.0.113.7: with the LAN, 20 ms there and back.
const WAN: Duration = Duration::from_micros(1_980);
/// Each of the last two links to 198.51.100.9: with LAN and one WAN link, 10 ms there and back.
const NARROW: Duration = Duration::from_micros(1_460);
/// MTU of the last link to 198.51.100.9.
const NARROW_MTU: u32 = 1400;
/// The VLAN of [`NetworkTrouble::VlanLeak`].
const LEAK: u16 = 99;
/// The routers' names.
const ROUTERS: [&str; 7] = ["r1", "r2", "r3a", "r3b", "r3c", "r4", "r5"];

/// Our link, there and back. Its knobs but the rate count on the way to us.
pub(super) fn access(spec: &SimSpec) -> (Profile, Profile) {
    let there = Profile { rate: spec.rate, ..Profile::delay(LAN) };
    let back = Profile {
        delay: LAN + spec.delay,
        jitter: spec.jitter,
        loss: spec.loss,
        duplicate: spec.duplicate,
        reorder: spec.reorder,
        corrupt: spec.corrupt,
        vlan: spec.network.has(NetworkTrouble::VlanLeak).then(|| vec![LEAK]),
        ..there.clone()
    };
    (there, back)
}

fn build(spec: &SimSpec) -> Result<Simulator> {
    let (mut net, us) = NetworkBuilder::of(spec, None);
    net.name(us, "us.sim");
    let switch = net.switch();
    let lan = Profile::delay(LAN);
    let (there, back) = access(spec);
    let ours = End::new(us).address("10.0.0.1/24").address("2001:db8::1/64").mtu(spec.mtu);
    net.link_asymmetric(ours, End::new(switch), there, back);
    net.gateway(us, "10.0.0.254");
    net.gateway(us, "2001:db8::fe");

    for n in 2..=9 {
        let host = net.host();
        net.name(host, format!("h{n}.sim"));
        let end =
            End::new(host).address(format!("10.0.0.{n}/24")).address(format!("2001:db8::{n}/64"));
        net.link(end, End::new(switch), lan.clone());
    }
    let silent = net.silent_host();
    net.name(silent, "h66.sim");
    let end = End::new(silent).address("10.0.0.66/24").address("2001:db8::66/64");
    net.link(end, End::new(switch), lan.clone());

    let [r1, r2, r3a, r3b, r3c, r4, r5] = std::array::from_fn(|_| net.router());
    for (router, name) in [r1, r2, r3a, r3b, r3c, r4, r5].into_iter().zip(ROUTERS) {
        net.name(router, format!("{name}.sim"));
    }
    let end = End::new(r1).address("10.0.0.254/24").address("2001:db8::fe/64").mtu(spec.mtu);
    net.link(end, End::new(switch), lan);

    // Network n joins two routers; their addresses on it end in .1 (nearer to us) and .2.
    let wan = Profile::delay(WAN);
    let near = |node, n: u32| {
        End::new(node).address(format!("172.16.{n}.1/24")).address(format!("2001:db8:{n}::1/64"))
    };
    let far = |node, n: u32| {
        End::new(node).address(format!("172.16.{n}.2/24")).address(format!("2001:db8:{n}::2/64"))
    };
    for (n, a, b) in
        [(12, r1, r2), (23, r2, r3a), (24, r2, r3b), (34, r3a, r4), (44, r3b, r4), (45, r4, r5)]
    {
        net.link(near(a, n), far(b, n), wan.clone());
    }
    let narrow = Profile::delay(NARROW);
    net.link(near(r2, 25), far(r3c, 25), narrow.clone());

    let server = net.host();
    net.name(server, "server.sim");
    net.link(
        End::new(r5).address("203.0.113.1/24").address("2001:db8:7::1/64"),
        End::new(server).address("203.0.113.7/24").address("2001:db8:7::7/64"),
        wan,
    );
    let behind = net.host();
    net.name(behind, "narrow.sim");
    net.link(
        End::new(r3c).address("198.51.100.1/24").address("2001:db8:9::1/64").mtu(NARROW_MTU),
        End::new(behind).address("198.51.100.9/24").address("2001:db8:9::9/64").mtu(NARROW_MTU),
        narrow,
    );

    net.route(r1, "0.0.0.0/0", &["172.16.12.2"]);
    net.route(r1, "::/0", &["2001:db8:12::2"]);
    net.route(r2, "203.0.113.0/24", &["172.16.23.2", "172.16.24.2"]);
    net.route(r2, "2001:db8:7::/64", &["2001:db8:23::2", "2001:db8:24::2"]);
    net.route(r2, "198.51.100.0/24", &["172.16.25.2"]);
    net.route(r2, "2001:db8:9::/64", &["2001:db8:25::2"]);
    net.route(r2, "192.0.2.0/24", &["172.16.23.2"]);
    net.route(r2, "10.0.0.0/24", &["172.16.12.1"]);
    net.route(r2, "2001:db8::/64", &["2001:db8:12::1"]);
    net.unreachable(r3a, "192.0.2.0/24");
    for (router, n, onward) in [(r3a, 23, 34), (r3b, 24, 44)] {
        net.route(router, "203.0.113.0/24", &[&format!("172.16.{onward}.2")]);
        net.route(router, "2001:db8:7::/64", &[&format!("2001:db8:{onward}::2")]);
        net.route(router, "0.0.0.0/0", &[&format!("172.16.{n}.1")]);
        net.route(router, "::/0", &[&format!("2001:db8:{n}::1")]);
    }
    net.route(r3c, "0.0.0.0/0", &["172.16.25.1"]);
    net.route(r3c, "::/0", &["2001:db8:25::1"]);
    net.route(r4, "203.0.113.0/24", &["172.16.45.2"]);
    net.route(r4, "2001:db8:7::/64", &["2001:db8:45::2"]);
    net.route(r4, "0.0.0.0/0", &["172.16.34.1", "172.16.44.1"]);
    net.route(r4, "::/0", &["2001:db8:34::1", "2001:db8:44::1"]);
    net.route(r5, "0.0.0.0/0", &["172.16.45.1"]);
    net.route(r5, "::/0", &["2001:db8:45::1"]);
    net.build()
}

impl Simulator {
    /// The machine and network of `--sim=SPEC`:
    ///
    /// | address | what |
    /// |---|---|
    /// | 10.0.0.1/24, 2001:db8::1/64 on `sim0` | us |
    /// | 10.0.0.2–10.0.0.9, 2001:db8::2–9 | hosts that answer; TCP port 80 is open; RTT 200 µs |
    /// | 10.0.0.66, 2001:db8::66 | resolves, and never answers |
    /// | 10.0.0.254, 2001:db8::fe | router |
    /// | 203.0.113.7, 2001:db8:7::7 | 6 hops away, two paths at hop 3, RTT 20 ms |
    /// | 198.51.100.9, 2001:db8:9::9 | 4 hops away behind an MTU of 1400, RTT 10 ms |
    /// | 192.0.2.1 | the 3rd router answers "host unreachable" |
    ///
    /// A file that `spec` names is for who can read it, `tools::topology`: here it counts
    /// for nothing.
    ///
    /// # Panics
    /// Never: the network is the same for every spec, and tested.
    #[must_use]
    pub fn new(spec: SimSpec) -> Self {
        match build(&spec) {
            Ok(simulator) => simulator,
            Err(error) => unreachable!("the default network is sound: {error}"),
        }
    }
}
