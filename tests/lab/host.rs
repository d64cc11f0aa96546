//! [`KernelHost`] on the real kernel, in the lab's network namespaces.

use crate::lab::etc::with_hosts;
use crate::lab::{self, Lab, OUR_MAC, OURS, PATIENCE, PEER, PEER_MAC};
use fluxnet::tools::host::{
    AddressScope, Cause, Family, Host, HostError, Interface, KernelHost, Queues, Route, RouteKind,
};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The lab, and the host that looks at our end of it.
struct Here {
    host: KernelHost,
    lab: Lab,
}

impl Here {
    /// Four queues; besides the lab's own, both ends have a link-local address, `fe80::1` and
    /// `fe80::2`. The kernel asks for a neighbour for as long as a test waits.
    fn open() -> Option<Self> {
        let lab = Lab::veth(4)?;
        lab.run(&format!("ip addr add fe80::1/64 dev {OURS} nodad"));
        lab.run_in_peer(&format!("ip addr add fe80::2/64 dev {PEER} nodad"));
        for family in ["ipv4", "ipv6"] {
            sysctl(&format!("{family}/neigh/{OURS}/mcast_solicit"), "600");
        }
        Some(Self { host: KernelHost::open().unwrap(), lab })
    }

    /// A line for ip(8) in our namespace.
    fn ip(&self, line: &str) {
        self.lab.run(&format!("ip {line}"));
    }

    fn interface(&self, name: &str) -> Interface {
        self.host.interface(name).unwrap()
    }

    fn index(&self, name: &str) -> u32 {
        self.interface(name).index
    }

    fn route(&self, dst: &str) -> Result<Route, HostError> {
        self.host.route(addr(dst), None, None)
    }
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `/proc/sys/net` is that of the thread that opens it.
fn sysctl(key: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap();
}

#[test]
fn an_interface_tells_what_ip_link_and_ip_address_tell() {
    let Some(here) = Here::open() else { return };
    let ours = here.interface(OURS);
    assert_eq!((ours.name.as_str(), ours.kind.as_str()), ("flux0", "veth"));
    assert_eq!((ours.mac, ours.mtu, ours.up, ours.carrier), (Some(OUR_MAC), 1500, true, true));
    assert_eq!((ours.num_rx_queues, ours.num_tx_queues), (4, 4));
    assert_eq!((ours.vlan, ours.master), (None, None));
    let v4 = ours.addresses.iter().find(|own| own.addr == addr("10.9.0.1")).unwrap();
    assert_eq!((v4.prefix_len, v4.scope, v4.is_usable()), (24, AddressScope::Global, true));
    let link_local = ours.addresses.iter().find(|own| own.scope == AddressScope::Link);
    assert!(link_local.is_some_and(|own| own.addr.is_ipv6() && own.prefix_len == 64));

    let all = here.host.interfaces().unwrap();
    // Where tunnel modules are loaded, a new namespace has their interfaces as well.
    let told = here.lab.run("ip -oneline link");
    let name = |line: &str| line.split([':', '@']).nth(1).unwrap().trim().to_owned();
    let names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
    assert_eq!(names, told.lines().map(name).collect::<Vec<_>>());
    let one = |name: &str| all.iter().find(|one| one.name == name).unwrap();
    assert_eq!(one("lo").kind, "loopback");
    assert_eq!(one("lo").addresses[0].scope, AddressScope::Host);
    assert_eq!(one(OURS).addresses.len(), ours.addresses.len());
}

#[test]
fn an_interface_is_found_by_its_alternative_names() {
    let Some(here) = Here::open() else { return };
    here.ip("link property add dev flux0 altname short altname a-much-longer-name-than-fits");
    assert_eq!(here.interface("short").name, "flux0");
    assert_eq!(here.host.interface("a-much-longer-name-than-fits").unwrap().name, "flux0");
    assert_eq!(here.host.queues("a-much-longer-name-than-fits").unwrap().rx, 4);
}

#[test]
fn an_interface_that_is_not_there_is_a_clear_error() {
    let Some(mut here) = Here::open() else { return };
    for name in ["flux1", "", "%d", "a-name-that-is-longer-than-any-interface-name"] {
        let error = here.host.interface(name).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoSuchInterface), "{error:?}");
    }
    let error = here.host.neighbour(999, addr("10.9.0.2"), PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "cannot find interface with index 999: no such interface");
}

#[test]
fn driver_and_queues_come_from_the_namespace_of_the_thread() {
    let Some(here) = Here::open() else { return };
    assert_eq!(here.host.driver("flux0").as_deref(), Some("veth"));
    assert_eq!(here.host.driver("lo").as_deref(), Some("loopback"));
    assert_eq!(here.host.driver("flux1"), None);
    assert_eq!(here.host.queues("flux0").unwrap(), Queues { rx: 4, tx: 4 });
    assert_eq!(here.host.queues("lo").unwrap(), Queues { rx: 1, tx: 1 });
    here.ip("link add q0 numrxqueues 8 numtxqueues 8 type veth peer name q1");
    here.ip("link set q0 up");
    assert_eq!(here.interface("q0").num_rx_queues, 8);
}

#[test]
fn a_bridge_port_names_its_master() {
    let Some(here) = Here::open() else { return };
    if let Err(why) = lab::try_run("ip link add br0 type bridge") {
        return lab::skip(&why);
    }
    here.ip("link set flux0 master br0");
    assert_eq!(here.interface(OURS).master, Some(here.index("br0")));
    assert_eq!(here.interface("br0").kind, "bridge");
}

#[test]
fn a_host_on_the_link_is_routed_without_gateway_from_the_links_address() {
    let Some(here) = Here::open() else { return };
    let ours = here.index(OURS);
    for (dst, own) in [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")] {
        let route = here.route(dst).unwrap();
        assert_eq!((route.kind, route.ifindex), (RouteKind::Unicast, ours));
        assert_eq!((route.gateway, route.source), (None, Some(addr(own))));
        assert_eq!((route.mtu, route.encapsulated), (None, false));
        assert_eq!(route.next_hop(addr(dst)), addr(dst));
        assert!(route.require_wire(addr(dst), "flux0").is_ok());
    }
}

#[test]
fn a_route_tells_gateway_source_and_mtu() {
    let Some(here) = Here::open() else { return };
    here.ip("addr add 10.9.0.77/24 dev flux0");
    here.ip("route add 203.0.113.0/24 via 10.9.0.254 src 10.9.0.77 mtu 1400");
    here.ip("route add 2001:db8:7::/48 via fe80::254 dev flux0 mtu 1280");
    here.ip("route add 198.51.100.0/24 via inet6 fe80::254 dev flux0");
    let route = here.route("203.0.113.7").unwrap();
    assert_eq!(route.gateway, Some(addr("10.9.0.254")));
    assert_eq!((route.source, route.mtu), (Some(addr("10.9.0.77")), Some(1400)));
    assert_eq!(route.next_hop(addr("203.0.113.7")), addr("10.9.0.254"));
    let route = here.route("2001:db8:7::7").unwrap();
    assert_eq!(route.gateway, Some(addr("fe80::254")));
    assert_eq!((route.source, route.mtu), (Some(addr("fd09::1")), Some(1280)));
    // IPv4 by way of an IPv6 router (RFC 5549).
    let route = here.route("198.51.100.9").unwrap();
    assert_eq!(route.gateway, Some(addr("fe80::254")));
    assert_eq!(route.source, Some(addr("10.9.0.1")));
}

#[test]
fn every_route_that_carries_nothing_says_which_kind_it_is() {
    let Some(here) = Here::open() else { return };
    for (v4, v6, kind) in [
        ("198.18.1.0/24", "2001:db8:1::/48", "unreachable"),
        ("198.18.2.0/24", "2001:db8:2::/48", "blackhole"),
        ("198.18.3.0/24", "2001:db8:3::/48", "prohibit"),
    ] {
        here.ip(&format!("route add {kind} {v4}"));
        here.ip(&format!("route add {kind} {v6}"));
    }
    for (dst, text) in [
        ("198.18.1.1", "the route says unreachable"),
        ("2001:db8:1::1", "the route says unreachable"),
        ("198.18.2.1", "the route is a blackhole"),
        ("2001:db8:2::1", "the route is a blackhole"),
        ("198.18.3.1", "the route prohibits it"),
        ("2001:db8:3::1", "the route prohibits it"),
        ("198.18.4.1", "no route"),
        ("2001:db8:4::1", "no route"),
    ] {
        let error = here.route(dst).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot find a route to {dst}: {text}"));
        assert!(error.is_negative() && error.hint().is_some());
    }
}

#[test]
fn own_broadcast_and_multicast_addresses_are_told_apart() {
    let Some(here) = Here::open() else { return };
    here.ip("route add 239.0.0.0/8 dev flux0");
    for (dst, kind) in [
        ("10.9.0.1", RouteKind::Local),
        ("127.0.0.1", RouteKind::Local),
        ("fd09::1", RouteKind::Local),
        ("10.9.0.255", RouteKind::Broadcast),
        ("239.1.2.3", RouteKind::Multicast),
    ] {
        assert_eq!(here.route(dst).unwrap().kind, kind, "{dst}");
    }
    let ours = here.index(OURS);
    let group = here.host.route(addr("ff02::1"), Some(ours), None).unwrap();
    assert_eq!((group.kind, group.ifindex), (RouteKind::Multicast, ours));
    let own = addr("10.9.0.1");
    let error = here.route("10.9.0.1").unwrap().require_wire(own, "flux0").unwrap_err();
    assert!(error.to_string().contains("this host's own address: AF_XDP on flux0"));
}

#[test]
fn the_interface_and_source_asked_for_are_kept() {
    let Some(here) = Here::open() else { return };
    here.ip("link add other0 type veth peer name other1");
    here.ip("link set other1 up");
    here.ip("addr add 10.8.0.1/24 dev other0");
    here.ip("link set other0 up");
    here.ip("route add 203.0.113.0/24 via 10.9.0.254");
    here.ip("route add 203.0.113.0/24 via 10.8.0.254 metric 5");
    let other0 = here.index("other0");
    let dst = addr("203.0.113.7");
    let route = here.host.route(dst, Some(other0), None).unwrap();
    assert_eq!((route.ifindex, route.gateway), (other0, Some(addr("10.8.0.254"))));
    assert_eq!(route.source, Some(addr("10.8.0.1")));
    let source = Some(addr("10.8.0.1"));
    let route = here.host.route(dst, None, source).unwrap();
    assert_eq!((route.ifindex, route.source), (here.index(OURS), source));
    for (dst, source) in [("203.0.113.7", "10.1.1.1"), ("fd09::2", "2001:db8:9::9")] {
        let error = here.host.route(addr(dst), None, Some(addr(source))).unwrap_err();
        assert!(matches!(error.cause(), Cause::ForeignSource(_)), "{error:?}");
    }
    // IPv4 takes what has no route to be on the link that was asked for; IPv6 does not.
    let route = here.host.route(addr("192.0.2.1"), Some(other0), None).unwrap();
    assert_eq!((route.ifindex, route.gateway), (other0, None));
    let error = here.host.route(addr("2001:db8:4::1"), Some(other0), None).unwrap_err();
    assert!(matches!(error.cause(), Cause::NoRoute), "{error:?}");
    let error = here.host.route(dst, Some(999), None).unwrap_err();
    assert!(matches!(error.cause(), Cause::NoSuchInterface), "{error:?}");
}

#[test]
fn without_addresses_a_route_has_no_source() {
    let Some(here) = Here::open() else { return };
    here.ip("addr flush dev flux0");
    here.ip("route add 10.9.0.0/24 dev flux0");
    let route = here.route("10.9.0.2").unwrap();
    assert_eq!((route.kind, route.source), (RouteKind::Unicast, None));
    assert!(here.interface(OURS).addresses.is_empty());
}

#[test]
fn a_live_neighbour_is_asked_for_once_and_known_afterwards() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    for dst in ["10.9.0.2", "fd09::2"] {
        let start = Instant::now();
        let asked = here.host.neighbour(ours, addr(dst), PATIENCE).unwrap();
        assert_eq!((asked.mac, asked.cached), (PEER_MAC, false), "{dst}");
        assert!(asked.took > Duration::ZERO && asked.took <= start.elapsed(), "{asked:?}");
        let known = here.host.neighbour(ours, addr(dst), PATIENCE).unwrap();
        assert_eq!((known.mac, known.cached, known.took), (PEER_MAC, true, Duration::ZERO));
    }
}

#[test]
fn stale_and_permanent_entries_are_taken_as_they_are() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    here.ip("neigh add 10.9.0.3 lladdr 02:00:00:00:00:03 dev flux0 nud stale");
    here.ip("neigh add fd09::4 lladdr 02:00:00:00:00:04 dev flux0 nud permanent");
    for (dst, last) in [("10.9.0.3", 3), ("fd09::4", 4)] {
        let known = here.host.neighbour(ours, addr(dst), PATIENCE).unwrap();
        assert_eq!((known.mac, known.cached), ([2, 0, 0, 0, 0, last], true));
    }
}

#[test]
fn a_failed_entry_is_asked_for_again() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    here.ip("neigh add 10.9.0.2 dev flux0 nud failed");
    let neighbour = here.host.neighbour(ours, addr("10.9.0.2"), PATIENCE).unwrap();
    assert_eq!((neighbour.mac, neighbour.cached), (PEER_MAC, false));
}

#[test]
fn a_dead_neighbour_times_out_or_the_kernel_gives_up() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    // The kernel asks again in an hour: it does not give up before we do.
    sysctl("ipv4/neigh/flux0/retrans_time_ms", "3600000");
    let (wait, start) = (Duration::from_millis(500), Instant::now());
    let error = here.host.neighbour(ours, addr("10.9.0.66"), wait).unwrap_err();
    assert!(matches!(error.cause(), Cause::NeighbourTimeout { waited } if *waited >= wait));
    assert!(start.elapsed() < 10 * wait, "{:?}", start.elapsed());
    for family in ["ipv4", "ipv6"] {
        sysctl(&format!("{family}/neigh/flux0/retrans_time_ms"), "50");
        sysctl(&format!("{family}/neigh/flux0/mcast_solicit"), "3");
    }
    for dst in ["10.9.0.67", "fd09::66"] {
        let error = here.host.neighbour(ours, addr(dst), PATIENCE).unwrap_err();
        assert!(matches!(error.cause(), Cause::NeighbourFailed { .. }), "{error:?}");
        let text = error.to_string();
        let head = format!("cannot find the link layer address of {dst} on flux0: nobody");
        assert!(text.starts_with(&head), "{text}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn many_neighbours_are_asked_for_at_a_time_and_answered_in_order() {
    // More than are asked for at a time (256), but the kernel has 1024 places for all namespaces.
    const ALIVE: usize = 260;
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    let peers: Vec<String> =
        (0..ALIVE).map(|n| format!("10.9.{}.{}", 4 + n / 200, n % 200)).collect();
    here.ip("addr add 10.9.100.1/16 dev flux0");
    let batch: String =
        peers.iter().map(|peer| format!("addr add {peer}/16 dev flux1\n")).collect();
    here.lab.in_peer(|| lab::ip_batch(&batch));
    // The living may take their time; that nobody is there is known soon, on another link.
    sysctl("ipv4/neigh/flux0/retrans_time_ms", "200");
    here.ip("link add dead0 type veth peer name dead1");
    here.ip("link set dead1 up");
    here.ip("link set dead0 up");
    here.ip("addr add 10.10.0.1/16 dev dead0");
    let dead0 = here.index("dead0");
    sysctl("ipv4/neigh/dead0/retrans_time_ms", "50");
    let mut wanted: Vec<(u32, IpAddr)> = peers.iter().map(|peer| (ours, addr(peer))).collect();
    wanted.push((dead0, addr("10.10.99.1"))); // nobody
    wanted.push((ours, addr("10.9.4.0"))); // again
    wanted.push((dead0, addr("10.10.99.1"))); // nobody again
    wanted.push((ours, addr("10.9.255.255"))); // broadcast
    wanted.push((ours, addr("224.0.0.251")));
    wanted.push((999, addr("10.9.4.1")));
    let found = here.host.neighbours(&wanted, PATIENCE);
    assert_eq!(found.len(), wanted.len());
    for (answer, wanted) in found.iter().zip(&wanted).take(ALIVE) {
        assert_eq!(answer.as_ref().map(|one| one.mac).ok(), Some(PEER_MAC), "{wanted:?}");
    }
    assert!(found[ALIVE].as_ref().is_err_and(HostError::is_negative));
    assert_eq!(found[ALIVE + 1].as_ref().unwrap().mac, PEER_MAC);
    assert!(found[ALIVE + 2].as_ref().is_err_and(HostError::is_negative));
    assert_eq!(found[ALIVE + 3].as_ref().unwrap().mac, [0xff; 6]);
    assert_eq!(found[ALIVE + 4].as_ref().unwrap().mac, [1, 0, 0x5e, 0, 0, 0xfb]);
    assert!(matches!(found[ALIVE + 5].as_ref().unwrap_err().cause(), Cause::NoSuchInterface));
}

#[test]
fn an_interface_that_is_down_or_has_no_carrier_is_a_clear_error() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    let changes = || here.interface(OURS).carrier_changes.unwrap();
    let before = changes();
    here.lab.run_in_peer("ip link set flux1 down");
    lab::wait_until("the carrier is lost", || !here.interface(OURS).carrier);
    assert_eq!(changes(), before + 1);
    let error = here.host.neighbour(ours, addr("10.9.0.2"), PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "cannot send to flux0: the interface has no carrier");
    here.ip("link set flux0 down");
    let error = here.host.neighbour(ours, addr("10.9.0.2"), PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "cannot send to flux0: the interface is down");
    assert_eq!(error.hint().as_deref(), Some("`ip link set flux0 up`"));
    assert!(matches!(here.route("10.9.0.2").unwrap_err().cause(), Cause::NoRoute));
}

#[test]
fn a_question_without_address_to_ask_from_says_so() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    here.ip("addr flush dev flux0");
    let wait = Duration::from_millis(100);
    let error = here.host.neighbour(ours, addr("fd09::2"), wait).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("flux0 has no IPv6 link-local address to ask from"));
}

#[test]
fn a_tentative_address_is_told_and_named_as_the_reason() {
    let Some(mut here) = Here::open() else { return };
    here.ip("addr flush dev flux0");
    // A detection that takes an hour: this long it waits for an answer to its only probe.
    sysctl("ipv6/neigh/flux0/retrans_time_ms", "3600000");
    sysctl("ipv6/conf/flux0/accept_dad", "1");
    sysctl("ipv6/conf/flux0/dad_transmits", "1");
    here.ip("addr add fe80::5/64 dev flux0");
    let ours = here.interface(OURS);
    assert!(ours.addresses[0].tentative && !ours.addresses[0].is_usable());
    let wait = Duration::from_millis(100);
    let error = here.host.neighbour(ours.index, addr("fd09::2"), wait).unwrap_err();
    assert!(error.hint().unwrap().contains("duplicate address detection"), "{error:?}");
}

#[test]
fn a_tunnel_without_ethernet_addresses_is_refused() {
    let Some(mut here) = Here::open() else { return };
    if let Err(why) = lab::try_run("ip tuntap add dev tun0 mode tun") {
        return lab::skip(&why);
    }
    here.ip("addr add 10.8.0.1/24 dev tun0");
    here.ip("link set tun0 up");
    let tun0 = here.interface("tun0");
    assert_eq!((tun0.mac, tun0.kind.as_str()), (None, "tun"));
    assert!(here.host.neighbour(tun0.index, addr("10.8.0.2"), PATIENCE).is_err());
}

#[test]
fn the_loopback_needs_no_question() {
    let Some(mut here) = Here::open() else { return };
    let lo = here.index("lo");
    let own = here.host.neighbour(lo, addr("127.0.0.1"), PATIENCE).unwrap();
    assert_eq!(own.mac, [0; 6]);
}

#[test]
fn an_interface_that_goes_down_ends_the_question() {
    let Some(mut here) = Here::open() else { return };
    let ours = here.index(OURS);
    // The question stays open for an hour.
    sysctl("ipv4/neigh/flux0/retrans_time_ms", "3600000");
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let asked = || lab::run("ip neigh show 10.9.0.66 dev flux0").contains("INCOMPLETE");
            lab::wait_until("the question is in the table", asked);
            lab::run("ip link set flux0 down");
        });
        here.host.neighbour(ours, addr("10.9.0.66"), 2 * PATIENCE).unwrap_err()
    });
    assert!(matches!(error.cause(), Cause::InterfaceDown), "{error:?}");
}

#[test]
fn mtu_changes_are_seen() {
    let Some(here) = Here::open() else { return };
    here.ip("link set flux0 mtu 1400");
    assert_eq!(here.interface(OURS).mtu, 1400);
}

#[test]
fn names_resolve_with_scope_and_family() {
    let Some(here) = Here::open() else { return };
    let index = here.index(OURS);
    let hosts = "192.0.2.7 both.test\n2001:db8::7 both.test\n192.0.2.8 four.test\n";
    with_hosts(hosts, || {
        let host = KernelHost::open().unwrap();
        let resolve = |name: &str, family| host.resolve(name, family);
        let scoped = resolve("fe80::2%flux0", Family::Any).unwrap();
        assert_eq!((scoped.addr, scoped.scope), (addr("fe80::2"), Some(index)));
        let error = resolve("fe80::2%flux1", Family::Any).unwrap_err();
        assert_eq!(error.to_string(), "cannot find interface flux1: no such interface");

        assert_eq!(resolve("both.test", Family::V4).unwrap().addr, addr("192.0.2.7"));
        assert_eq!(resolve("both.test", Family::V6).unwrap().addr, addr("2001:db8::7"));
        assert_eq!(resolve("four.test", Family::Any).unwrap().addr, addr("192.0.2.8"));
        let error = resolve("four.test", Family::V6).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoAddressInFamily), "{error:?}");
        let error = resolve("no.such.host.invalid", Family::Any).unwrap_err();
        assert!(matches!(error.cause(), Cause::UnknownName(_)), "{error:?}");
        assert!(error.to_string().starts_with("cannot resolve no.such.host.invalid: "));
        assert!(!error.to_string().contains("failed"), "{error}");
    });
}
