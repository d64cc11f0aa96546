//! What happens to a network by itself, and what our kernel knows of it.

use super::super::{
    End, NetworkBuilder, NetworkEvent, NetworkTrouble, NodeId, Profile, Refusal, RouteTo, SimSpec,
    Troubles,
};
use super::packets::*;
use super::paths::kind_code;
use super::*;
use std::net::IpAddr;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// sim0 10.0.0.1 ─ .254 ┐           ┌ a ┐
///                      r1 192.0.2.1 ┤   ├ .9 far, as a router 203.0.113.9
/// sim1 10.0.1.1 ─ .254 ┘           └ b ┘
struct Net {
    net: NetworkBuilder,
    ports: [NodeId; 2],
    routers: [NodeId; 4],
}

fn net() -> Net {
    let mut net = NetworkBuilder::new(1);
    let ports = [net.port("sim0", 1), net.port("sim1", 1)];
    let routers @ [r1, a, b, far] = std::array::from_fn(|_| net.router());
    for (port, third) in ports.into_iter().zip(0..) {
        net.link(
            End::new(port)
                .address(format!("10.0.{third}.1/24"))
                .address(format!("2001:db8:{third}::1/64")),
            End::new(r1)
                .address(format!("10.0.{third}.254/24"))
                .address(format!("2001:db8:{third}::fe/64")),
            Profile::delay(MS),
        );
    }
    for (node, third) in [(a, 10), (b, 11)] {
        let near = format!("172.16.{third}");
        let behind = format!("172.17.{third}");
        let end =
            |node, network: &str, last| End::new(node).address(format!("{network}.{last}/24"));
        net.link(end(r1, &near, 1), end(node, &near, 2), Profile::default());
        net.link(end(node, &behind, 1), end(far, &behind, 2), Profile::default());
        net.route(node, "203.0.113.0/24", &[&format!("{behind}.2")]);
        net.route(node, "10.0.0.0/16", &[&format!("{near}.1")]);
    }
    let host = net.host();
    net.link(
        End::new(far).address("203.0.113.1/24"),
        End::new(host).address("203.0.113.9/24"),
        Profile::default(),
    );
    net.route(r1, "203.0.113.0/24", &["172.16.10.2"]);
    net.route(far, "10.0.0.0/16", &["172.17.10.1"]);
    net.gateway(ports[0], "10.0.0.254");
    net.gateway(ports[1], "10.0.1.254");
    Net { net, ports, routers }
}

const TARGET: &str = "203.0.113.9";

impl Net {
    fn then(mut self, after: Duration, what: impl FnOnce(&Self) -> NetworkEvent) -> Self {
        let what = what(&self);
        self.net.happens(after, what);
        self
    }

    fn open(self) -> Rig {
        Rig::open(&self.net.build().unwrap(), "sim0", Filter::Everything)
    }
}

/// Whether an echo request gets an answer by sim0, sent as our kernel would.
fn alive(rig: &mut Rig) -> bool {
    let route = rig.sim.route_by("sim0", ip(TARGET)).unwrap();
    let mac = rig.sim.neighbour("sim0", route.gateway.unwrap()).unwrap();
    let way = Way { macs: (mac, US), addresses: (route.source, ip(TARGET)) };
    rig.send(&way.echo(64, 1, 8));
    rig.sim.step(Duration::from_millis(50));
    rig.take().len() == 1
}

fn prefix(text: &str) -> (IpAddr, u8) {
    let (address, len) = text.split_once('/').unwrap();
    (ip(address), len.parse().unwrap())
}

#[test]
fn a_neighbour_that_tells_that_it_moved_is_found_at_once_and_another_when_it_is_asked() {
    for told in [true, false] {
        let moving = |net: &Net| NetworkEvent::Move { node: net.routers[0], told };
        let mut rig = net().then(SECOND, moving).open();
        let before = rig.sim.neighbour("sim0", ip("10.0.0.254")).unwrap();
        assert!(alive(&mut rig));
        rig.sim.step(SECOND);
        let after = rig.sim.neighbour("sim0", ip("10.0.0.254")).unwrap();
        assert_eq!((before != after, alive(&mut rig)), (told, told));
        rig.sim.confirm_neighbour("sim0", ip("10.0.0.254")).unwrap();
        rig.sim.step(2 * SECOND);
        assert_eq!(alive(&mut rig), told, "three questions a second apart");
        rig.sim.step(SECOND);
        assert!(alive(&mut rig));
        #[cfg(feature = "tools")]
        {
            use super::super::Noted;
            let noted: Vec<_> = rig
                .sim
                .noted(0)
                .into_iter()
                .map(|noted| match noted {
                    Noted::Neighbour { ifindex, address, mac } => (ifindex, address, mac.is_some()),
                    Noted::Route { .. } => panic!("{noted:?}"),
                })
                .collect();
            let both = [
                (1, ip("10.0.0.254"), true),
                (1, ip("2001:db8::fe"), true),
                (2, ip("10.0.1.254"), true),
                (2, ip("2001:db8:1::fe"), true),
            ];
            let one = [(1, ip("10.0.0.254"), false)];
            assert_eq!(noted, if told { &both[..] } else { &one[..] });
        }
    }
}

#[test]
fn a_router_whose_neighbour_moved_goes_on() {
    let moving = |net: &Net| NetworkEvent::Move { node: net.routers[1], told: false };
    let mut rig = net().then(SECOND, moving).open();
    rig.sim.step(SECOND);
    assert!(alive(&mut rig));
}

#[test]
fn a_link_goes_down_and_comes_up() {
    let link = |up: bool| {
        move |net: &Net| NetworkEvent::Link { between: (net.ports[0], net.routers[0]), up }
    };
    let inner = |up: bool| {
        move |net: &Net| NetworkEvent::Link { between: (net.routers[1], net.routers[0]), up }
    };
    let net = net().then(SECOND, link(false)).then(2 * SECOND, link(true));
    let mut rig = net.then(3 * SECOND, inner(false)).then(4 * SECOND, inner(true)).open();
    let port = |rig: &Rig| rig.sim.port("sim0").map(|port| (port.carrier, port.carrier_changes));
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((alive(&mut rig), port(&rig).unwrap()));
        rig.sim.step(SECOND);
    }
    let (up, down) = (true, false);
    assert_eq!(
        seen,
        [(true, (up, 0)), (false, (down, 1)), (true, (up, 2)), (false, (up, 2)), (true, (up, 2))]
    );
    assert!(rig.sim.port("sim1").unwrap().carrier);
}

#[test]
fn a_router_gets_another_route_loses_it_and_refuses() {
    let to = |to: RouteTo| {
        move |net: &Net| NetworkEvent::Route {
            node: net.routers[0],
            prefix: prefix("203.0.113.0/24"),
            to,
        }
    };
    let net = net()
        .then(SECOND, to(RouteTo::Withdrawn))
        .then(2 * SECOND, to(RouteTo::Via(vec![ip("172.16.11.2")])))
        .then(3 * SECOND, to(RouteTo::Refused(Refusal::TooBig(9000))));
    let mut rig = net.open();
    assert!(alive(&mut rig));
    let way = Way {
        macs: (rig.sim.neighbour("sim0", ip("10.0.0.254")).unwrap(), US),
        addresses: (ip("10.0.0.1"), ip(TARGET)),
    };
    let ask = |rig: &mut Rig| {
        rig.sim.step(SECOND);
        rig.send(&way.echo(64, 1, 8));
        rig.sim.step(Duration::from_millis(50));
        rig.take().first().map(|got| kind_code(&got.bytes))
    };
    assert_eq!(ask(&mut rig), Some((3, 0)), "no route");
    assert_eq!(ask(&mut rig), Some((0, 0)));
    assert_eq!(ask(&mut rig), Some((3, 4)), "too big, and it is not");
}

#[test]
fn our_routes_fail_over_and_legs_share_the_destinations() {
    let to = |to: RouteTo| {
        move |net: &Net| NetworkEvent::Route {
            node: net.ports[0],
            prefix: prefix("203.0.113.0/24"),
            to,
        }
    };
    let mut net = net()
        .then(SECOND, to(RouteTo::Via(vec![ip("10.0.1.254")])))
        .then(2 * SECOND, to(RouteTo::Withdrawn));
    net.net.gateways_to("198.51.100.0/24", &["10.0.0.254", "10.0.1.254"]);
    net.net.gateways_to("203.0.113.0/24", &["10.0.0.254"]);
    let rig = net.open();
    let by = |dst: &str| rig.sim.route(ip(dst)).map(|route| (route.port, route.source));
    let of = |port: &str, source: &str| Some((port.to_owned(), ip(source)));
    assert_eq!(by(TARGET), of("sim0", "10.0.0.1"));
    rig.sim.step(SECOND);
    assert_eq!(by(TARGET), of("sim1", "10.0.1.1"));
    rig.sim.step(SECOND);
    assert_eq!(by(TARGET), of("sim0", "10.0.0.1"), "the default route");
    #[cfg(feature = "tools")]
    assert_eq!(rig.sim.noted(0).len(), 3, "one went and another came, and that went");
    let legs = (1..=100).filter(|n| by(&format!("198.51.100.{n}")).unwrap().0 == "sim1").count();
    assert!((30..=70).contains(&legs), "{legs} by one of two legs");
    assert_eq!(by("198.51.100.7"), by("198.51.100.7"));
}

#[test]
fn ports_that_are_down_count_last() {
    let rig = net().open();
    let by = || rig.sim.route(ip("198.51.100.7")).unwrap().port;
    assert_eq!(by(), "sim0");
    rig.sim.set_link_up("sim0", false).unwrap();
    assert_eq!(by(), "sim1");
    rig.sim.set_link_up("sim1", false).unwrap();
    assert_eq!(by(), "sim0");
}

#[test]
fn addresses_come_tentative_and_go() {
    let change = |address: &'static str, there| {
        move |net: &Net| NetworkEvent::Address {
            port: net.ports[0],
            address: prefix(address),
            there,
        }
    };
    let net = net()
        .then(SECOND, change("10.0.0.1/24", false))
        .then(2 * SECOND, change("10.0.0.9/24", true))
        .then(2 * SECOND, change("2001:db8::9/64", true));
    let rig = net.open();
    let source = |dst: &str| rig.sim.route_by("sim0", ip(dst)).map(|route| route.source);
    let tentative = || rig.sim.port("sim0").unwrap().tentative;
    assert_eq!(source("10.0.0.254"), Some(ip("10.0.0.1")));
    rig.sim.step(SECOND);
    assert_eq!((source("10.0.0.254"), source(TARGET)), (None, None), "no way without an address");
    assert_eq!(source("2001:db8::fe"), Some(ip("2001:db8::1")));
    rig.sim.step(SECOND);
    assert_eq!(source(TARGET), Some(ip("10.0.0.9")));
    assert_eq!(tentative(), [ip("2001:db8::9")], "IPv4 is used at once");
    rig.sim.step(SECOND);
    assert_eq!(tentative(), [] as [IpAddr; 0]);
}

#[test]
fn words_make_neighbours_move_or_old_and_addresses_tentative() {
    let machine = |trouble: NetworkTrouble| {
        Simulator::new(SimSpec { network: trouble.into(), ..SimSpec::default() })
    };
    let neighbours = |sim: &Simulator| {
        ["10.0.0.2", "10.0.0.254", "2001:db8::fe"].map(|a| sim.neighbour("sim0", ip(a)).unwrap())
    };
    let real = neighbours(&Simulator::new(SimSpec::default()));
    let sim = machine(NetworkTrouble::MovingNeighbour);
    assert_eq!(neighbours(&sim), real);
    sim.step(400 * MS);
    assert!(neighbours(&sim).iter().zip(real).all(|(new, old)| *new != old));
    let sim = machine(NetworkTrouble::StaleNeighbour);
    assert!(neighbours(&sim).iter().zip(real).all(|(old, real)| *old != real));
    sim.confirm_neighbour("sim0", ip("10.0.0.254")).unwrap();
    sim.step(3 * SECOND);
    assert_eq!(neighbours(&sim)[1], real[1]);
    let sim = machine(NetworkTrouble::Tentative);
    assert_eq!(sim.port("sim0").unwrap().tentative, [ip("2001:db8::1")]);
    sim.step(SECOND);
    assert!(sim.port("sim0").unwrap().tentative.is_empty());
    assert_eq!(sim.port("sim0").unwrap().troubles, Troubles::NONE);
}
