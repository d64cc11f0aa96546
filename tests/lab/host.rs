//! [`KernelHost`] on the real kernel, in network namespaces of its own.
//!
//! ```text
//!   test thread's namespace                      second namespace
//!   lan0 10.0.0.1/24 2001:db8::1/64 ── veth ── wan0 10.0.0.2/24 2001:db8::2/64
//! ```

use std::fs::File;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fluxnet::tools::net::{
    Address, AddressScope, Cause, Family, Host, HostError, Interface, KernelHost, Queues, Route,
    RouteKind,
};

const SECOND: Duration = Duration::from_secs(1);
const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const WAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Two namespaces joined by a veth pair. They go with the thread and the child.
struct Lab {
    host: KernelHost,
    /// Holds the second namespace.
    holder: Child,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _gone = self.holder.kill();
        let _gone = self.holder.wait();
    }
}

impl Lab {
    fn here(&self, line: &str) {
        run(&mut ip(line));
    }

    fn there(&self, line: &str) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-n", "ip"]);
        run(command.args(line.split_whitespace()));
    }

    fn sysctl_here(&self, key: &str, value: &str) {
        // /proc/sys/net is that of the thread that opens it.
        std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap();
    }

    fn index(&self, name: &str) -> u32 {
        self.host.interface(name).unwrap().index
    }

    fn route(&self, dst: &str) -> Result<Route, HostError> {
        self.host.route(addr(dst), None, None)
    }

    /// Waits until the peer answers IPv6: its side may notice the carrier later than ours.
    fn wait_for_the_peer(&self) {
        let deadline = Instant::now() + 10 * SECOND;
        let pid = self.holder.id().to_string();
        let show = ["-n", "ip", "-6", "address", "show", "dev", "wan0", "scope", "link"];
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid]).args(show);
        while command.output().unwrap().stdout.is_empty() {
            assert!(Instant::now() < deadline, "wan0 has no link-local address in time");
        }
    }

    /// Waits for the condition that a notification of the kernel will bring about.
    fn wait_for(&self, name: &str, condition: impl Fn(&Interface) -> bool) -> Interface {
        let deadline = Instant::now() + 10 * SECOND;
        loop {
            let interface = self.host.interface(name).unwrap();
            if condition(&interface) {
                return interface;
            }
            assert!(Instant::now() < deadline, "not in time: {interface:?}");
            std::thread::yield_now();
        }
    }
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ip(line: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(line.split_whitespace());
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn unshare_net() -> std::io::Result<()> {
    // SAFETY: the call takes no pointers; it moves the calling thread to a new namespace.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Runs `test` in a thread with a new network namespace, or says why not.
fn lab(test: impl FnOnce(&mut Lab) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare_net() {
            let required = std::env::var("FLUX_LAB").is_ok_and(|value| value == "require");
            assert!(!required, "FLUX_LAB=require, but no network namespace: {error}");
            println!("SKIP: needs CAP_SYS_ADMIN for a network namespace: {error}");
            return;
        }
        // Once it has said so, `cat` is in a namespace of its own; it ends with its input.
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let mut lab = Lab { host: KernelHost::open().unwrap(), holder };
        assert_ne!(netns(&lab.holder.id().to_string()), netns("thread-self"));
        let pid = lab.holder.id();
        // Without duplicate address detection, addresses are in use at once.
        lab.sysctl_here("ipv6/conf/default/accept_dad", "0");
        let no_dad = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad";
        run(Command::new("nsenter").args(["-t", &pid.to_string(), "-n", "sh", "-c", no_dad]));
        lab.here(&format!(
            "link add lan0 address 02:00:00:00:00:01 numrxqueues 4 numtxqueues 4 type veth \
             peer name wan0 address 02:00:00:00:00:02 netns {pid}"
        ));
        lab.here("link set lo up");
        lab.here("addr add 10.0.0.1/24 dev lan0");
        lab.here("addr add 2001:db8::1/64 dev lan0 nodad");
        lab.here("link set lan0 up");
        lab.there("addr add 10.0.0.2/24 dev wan0");
        lab.there("addr add 2001:db8::2/64 dev wan0 nodad");
        lab.there("link set wan0 up");
        lab.wait_for("lan0", |lan0| {
            let link_local = |own: &Address| own.scope == AddressScope::Link && own.is_usable();
            lan0.carrier && lan0.addresses.iter().any(link_local)
        });
        lab.wait_for_the_peer();
        test(&mut lab);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn netns(task: &str) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let meta = File::open(format!("/proc/{task}/ns/net")).unwrap().metadata().unwrap();
    (meta.dev(), meta.ino())
}

#[test]
fn an_interface_tells_what_ip_link_and_ip_address_tell() {
    lab(|lab| {
        let lan0 = lab.host.interface("lan0").unwrap();
        assert_eq!((lan0.name.as_str(), lan0.kind.as_str()), ("lan0", "veth"));
        assert_eq!((lan0.mac, lan0.mtu, lan0.up, lan0.carrier), (Some(LAN_MAC), 1500, true, true));
        assert_eq!((lan0.num_rx_queues, lan0.num_tx_queues), (4, 4));
        assert_eq!((lan0.vlan, lan0.master), (None, None));
        let v4 = lan0.addresses.iter().find(|own| own.addr == addr("10.0.0.1")).unwrap();
        assert_eq!((v4.prefix_len, v4.scope, v4.is_usable()), (24, AddressScope::Global, true));
        let link_local = lan0.addresses.iter().find(|own| own.scope == AddressScope::Link);
        assert!(link_local.is_some_and(|own| own.addr.is_ipv6() && own.prefix_len == 64));

        let all = lab.host.interfaces().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].kind.as_str()), ("lo", "loopback"));
        assert_eq!(all[0].addresses[0].scope, AddressScope::Host);
        assert_eq!(all[1].addresses.len(), lan0.addresses.len());
    });
}

#[test]
fn an_interface_is_found_by_its_alternative_names() {
    lab(|lab| {
        lab.here("link property add dev lan0 altname short altname a-much-longer-name-than-fits");
        assert_eq!(lab.host.interface("short").unwrap().name, "lan0");
        assert_eq!(lab.host.interface("a-much-longer-name-than-fits").unwrap().name, "lan0");
        assert_eq!(lab.host.queues("a-much-longer-name-than-fits").unwrap().rx, 4);
    });
}

#[test]
fn an_interface_that_is_not_there_is_a_clear_error() {
    lab(|lab| {
        for name in ["wan0", "", "%d", "a-name-that-is-longer-than-any-interface-name"] {
            let error = lab.host.interface(name).unwrap_err();
            assert!(matches!(error.cause(), Cause::NoSuchInterface), "{error:?}");
        }
        let error = lab.host.neighbour(999, addr("10.0.0.2"), SECOND).unwrap_err();
        assert_eq!(error.to_string(), "cannot find interface with index 999: no such interface");
    });
}

#[test]
fn driver_and_queues_come_from_the_namespace_of_the_thread() {
    lab(|lab| {
        assert_eq!(lab.host.driver("lan0").as_deref(), Some("veth"));
        assert_eq!(lab.host.driver("lo").as_deref(), Some("loopback"));
        assert_eq!(lab.host.driver("wan0"), None);
        assert_eq!(lab.host.queues("lan0").unwrap(), Queues { rx: 4, tx: 4 });
        assert_eq!(lab.host.queues("lo").unwrap(), Queues { rx: 1, tx: 1 });
        lab.here("link add q0 numrxqueues 8 numtxqueues 8 type veth peer name q1");
        run(Command::new("ip").args("link set q0 up".split(' ')));
        assert_eq!(lab.host.interface("q0").unwrap().num_rx_queues, 8);
    });
}

#[test]
fn a_bridge_port_names_its_master() {
    lab(|lab| {
        lab.here("link add br0 type bridge");
        lab.here("link set lan0 master br0");
        assert_eq!(lab.host.interface("lan0").unwrap().master, Some(lab.index("br0")));
        assert_eq!(lab.host.interface("br0").unwrap().kind, "bridge");
    });
}

#[test]
fn a_host_on_the_link_is_routed_without_gateway_from_the_links_address() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        for (dst, own) in [("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "2001:db8::1")] {
            let route = lab.route(dst).unwrap();
            assert_eq!((route.kind, route.ifindex), (RouteKind::Unicast, lan0));
            assert_eq!((route.gateway, route.source), (None, Some(addr(own))));
            assert_eq!((route.mtu, route.encapsulated), (None, false));
            assert_eq!(route.next_hop(addr(dst)), addr(dst));
            assert!(route.require_wire(addr(dst), "lan0").is_ok());
        }
    });
}

#[test]
fn a_route_tells_gateway_source_and_mtu() {
    lab(|lab| {
        lab.here("addr add 10.0.0.77/24 dev lan0");
        lab.here("route add 203.0.113.0/24 via 10.0.0.254 src 10.0.0.77 mtu 1400");
        lab.here("route add 2001:db8:7::/48 via fe80::254 dev lan0 mtu 1280");
        lab.here("route add 198.51.100.0/24 via inet6 fe80::254 dev lan0");
        let route = lab.route("203.0.113.7").unwrap();
        assert_eq!(route.gateway, Some(addr("10.0.0.254")));
        assert_eq!((route.source, route.mtu), (Some(addr("10.0.0.77")), Some(1400)));
        assert_eq!(route.next_hop(addr("203.0.113.7")), addr("10.0.0.254"));
        let route = lab.route("2001:db8:7::7").unwrap();
        assert_eq!(route.gateway, Some(addr("fe80::254")));
        assert_eq!((route.source, route.mtu), (Some(addr("2001:db8::1")), Some(1280)));
        // IPv4 by way of an IPv6 router (RFC 5549).
        let route = lab.route("198.51.100.9").unwrap();
        assert_eq!(route.gateway, Some(addr("fe80::254")));
        assert_eq!(route.source, Some(addr("10.0.0.1")));
    });
}

#[test]
fn every_route_that_carries_nothing_says_which_kind_it_is() {
    lab(|lab| {
        for (v4, v6, kind) in [
            ("198.18.1.0/24", "2001:db8:1::/48", "unreachable"),
            ("198.18.2.0/24", "2001:db8:2::/48", "blackhole"),
            ("198.18.3.0/24", "2001:db8:3::/48", "prohibit"),
        ] {
            lab.here(&format!("route add {kind} {v4}"));
            lab.here(&format!("route add {kind} {v6}"));
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
            let error = lab.route(dst).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot find a route to {dst}: {text}"));
            assert!(error.is_negative() && error.hint().is_some());
        }
    });
}

#[test]
fn own_broadcast_and_multicast_addresses_are_told_apart() {
    lab(|lab| {
        lab.here("route add 239.0.0.0/8 dev lan0");
        for (dst, kind) in [
            ("10.0.0.1", RouteKind::Local),
            ("127.0.0.1", RouteKind::Local),
            ("2001:db8::1", RouteKind::Local),
            ("10.0.0.255", RouteKind::Broadcast),
            ("239.1.2.3", RouteKind::Multicast),
        ] {
            assert_eq!(lab.route(dst).unwrap().kind, kind, "{dst}");
        }
        let lan0 = lab.index("lan0");
        let group = lab.host.route(addr("ff02::1"), Some(lan0), None).unwrap();
        assert_eq!((group.kind, group.ifindex), (RouteKind::Multicast, lan0));
        let own = addr("10.0.0.1");
        let error = lab.route("10.0.0.1").unwrap().require_wire(own, "lan0").unwrap_err();
        assert!(error.to_string().contains("this host's own address: AF_XDP on lan0"));
    });
}

#[test]
fn the_interface_and_source_asked_for_are_kept() {
    lab(|lab| {
        lab.here("link add other0 type veth peer name other1");
        lab.here("link set other1 up");
        lab.here("addr add 10.9.0.1/24 dev other0");
        lab.here("link set other0 up");
        lab.here("route add 203.0.113.0/24 via 10.0.0.254");
        lab.here("route add 203.0.113.0/24 via 10.9.0.254 metric 5");
        let other0 = lab.index("other0");
        let dst = addr("203.0.113.7");
        let route = lab.host.route(dst, Some(other0), None).unwrap();
        assert_eq!((route.ifindex, route.gateway), (other0, Some(addr("10.9.0.254"))));
        assert_eq!(route.source, Some(addr("10.9.0.1")));
        let source = Some(addr("10.9.0.1"));
        let route = lab.host.route(dst, None, source).unwrap();
        assert_eq!((route.ifindex, route.source), (lab.index("lan0"), source));
        for (dst, source) in [("203.0.113.7", "10.1.1.1"), ("2001:db8::2", "2001:db8:9::9")] {
            let error = lab.host.route(addr(dst), None, Some(addr(source))).unwrap_err();
            assert!(matches!(error.cause(), Cause::ForeignSource(_)), "{error:?}");
        }
        // IPv4 takes what has no route to be on the link that was asked for; IPv6 does not.
        let route = lab.host.route(addr("192.0.2.1"), Some(other0), None).unwrap();
        assert_eq!((route.ifindex, route.gateway), (other0, None));
        let error = lab.host.route(addr("2001:db8:4::1"), Some(other0), None).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoRoute), "{error:?}");
        let error = lab.host.route(dst, Some(999), None).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoSuchInterface), "{error:?}");
    });
}

#[test]
fn without_addresses_a_route_has_no_source() {
    lab(|lab| {
        lab.here("addr flush dev lan0");
        lab.here("route add 10.0.0.0/24 dev lan0");
        let route = lab.route("10.0.0.2").unwrap();
        assert_eq!((route.kind, route.source), (RouteKind::Unicast, None));
        assert!(lab.host.interface("lan0").unwrap().addresses.is_empty());
    });
}

#[test]
fn a_live_neighbour_is_asked_for_once_and_known_afterwards() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        for dst in ["10.0.0.2", "2001:db8::2"] {
            let asked = lab.host.neighbour(lan0, addr(dst), 5 * SECOND).unwrap();
            assert_eq!((asked.mac, asked.cached), (WAN_MAC, false), "{dst}");
            assert!(asked.took > Duration::ZERO && asked.took < SECOND, "{dst} {asked:?}");
            let known = lab.host.neighbour(lan0, addr(dst), SECOND).unwrap();
            assert_eq!((known.mac, known.cached, known.took), (WAN_MAC, true, Duration::ZERO));
        }
    });
}

#[test]
fn stale_and_permanent_entries_are_taken_as_they_are() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        lab.here("neigh add 10.0.0.3 lladdr 02:00:00:00:00:03 dev lan0 nud stale");
        lab.here("neigh add 2001:db8::4 lladdr 02:00:00:00:00:04 dev lan0 nud permanent");
        for (dst, last) in [("10.0.0.3", 3), ("2001:db8::4", 4)] {
            let known = lab.host.neighbour(lan0, addr(dst), SECOND).unwrap();
            assert_eq!((known.mac, known.cached), ([2, 0, 0, 0, 0, last], true));
        }
    });
}

#[test]
fn a_failed_entry_is_asked_for_again() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        lab.here("neigh add 10.0.0.2 dev lan0 nud failed");
        let neighbour = lab.host.neighbour(lan0, addr("10.0.0.2"), 5 * SECOND).unwrap();
        assert_eq!((neighbour.mac, neighbour.cached), (WAN_MAC, false));
    });
}

#[test]
fn a_dead_neighbour_times_out_or_the_kernel_gives_up() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        let start = Instant::now();
        let wait = Duration::from_millis(200);
        let error = lab.host.neighbour(lan0, addr("10.0.0.66"), wait).unwrap_err();
        assert!(matches!(error.cause(), Cause::NeighbourTimeout { waited } if *waited >= wait));
        assert!(start.elapsed() < SECOND);
        // The kernel asks three times, one second apart by default.
        lab.sysctl_here("ipv4/neigh/lan0/retrans_time_ms", "50");
        lab.sysctl_here("ipv6/neigh/lan0/retrans_time_ms", "50");
        for dst in ["10.0.0.67", "2001:db8::66"] {
            let error = lab.host.neighbour(lan0, addr(dst), 30 * SECOND).unwrap_err();
            assert!(matches!(error.cause(), Cause::NeighbourFailed { .. }), "{error:?}");
            let text = error.to_string();
            let head = format!("cannot find the link layer address of {dst} on lan0: nobody");
            assert!(text.starts_with(&head), "{text}");
            assert!(error.hint().is_some());
        }
    });
}

#[test]
fn many_neighbours_are_asked_for_at_a_time_and_answered_in_order() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        let peers: Vec<String> =
            (0..400).map(|n| format!("10.0.{}.{}", 4 + n / 200, n % 200)).collect();
        lab.here("addr add 10.0.100.1/16 dev lan0");
        let batch: String =
            peers.iter().map(|peer| format!("addr add {peer}/16 dev wan0\n")).collect();
        let file = std::env::temp_dir().join(format!("flux-lab-{}", lab.holder.id()));
        std::fs::write(&file, batch).unwrap();
        lab.there(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        let mut wanted: Vec<(u32, IpAddr)> = peers.iter().map(|peer| (lan0, addr(peer))).collect();
        wanted.push((lan0, addr("10.0.99.1"))); // nobody
        wanted.push((lan0, addr("10.0.4.0"))); // again
        wanted.push((lan0, addr("10.0.99.1"))); // nobody again
        wanted.push((lan0, addr("10.0.255.255"))); // broadcast
        wanted.push((lan0, addr("224.0.0.251")));
        wanted.push((999, addr("10.0.4.1")));
        lab.sysctl_here("ipv4/neigh/lan0/retrans_time_ms", "200");
        let found = lab.host.neighbours(&wanted, 10 * SECOND);
        assert_eq!(found.len(), wanted.len());
        for (answer, wanted) in found.iter().zip(&wanted).take(400) {
            assert_eq!(answer.as_ref().map(|one| one.mac).ok(), Some(WAN_MAC), "{wanted:?}");
        }
        assert!(found[400].as_ref().is_err_and(HostError::is_negative));
        assert_eq!(found[401].as_ref().unwrap().mac, WAN_MAC);
        assert!(found[402].as_ref().is_err_and(HostError::is_negative));
        assert_eq!(found[403].as_ref().unwrap().mac, [0xff; 6]);
        assert_eq!(found[404].as_ref().unwrap().mac, [1, 0, 0x5e, 0, 0, 0xfb]);
        assert!(matches!(found[405].as_ref().unwrap_err().cause(), Cause::NoSuchInterface));
    });
}

#[test]
fn an_interface_that_is_down_or_has_no_carrier_is_a_clear_error() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        let changes = || lab.host.interface("lan0").unwrap().carrier_changes.unwrap();
        let before = changes();
        lab.there("link set wan0 down");
        lab.wait_for("lan0", |lan0| !lan0.carrier);
        assert_eq!(changes(), before + 1);
        let error = lab.host.neighbour(lan0, addr("10.0.0.2"), SECOND).unwrap_err();
        assert_eq!(error.to_string(), "cannot send to lan0: the interface has no carrier");
        lab.here("link set lan0 down");
        let error = lab.host.neighbour(lan0, addr("10.0.0.2"), SECOND).unwrap_err();
        assert_eq!(error.to_string(), "cannot send to lan0: the interface is down");
        assert_eq!(error.hint().as_deref(), Some("`ip link set lan0 up`"));
        assert!(matches!(lab.route("10.0.0.2").unwrap_err().cause(), Cause::NoRoute));
    });
}

#[test]
fn a_question_without_address_to_ask_from_says_so() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        lab.here("addr flush dev lan0");
        let wait = Duration::from_millis(100);
        let error = lab.host.neighbour(lan0, addr("2001:db8::2"), wait).unwrap_err();
        assert_eq!(
            error.hint().as_deref(),
            Some("lan0 has no IPv6 link-local address to ask from")
        );
    });
}

#[test]
fn a_tentative_address_is_told_and_named_as_the_reason() {
    lab(|lab| {
        lab.here("addr flush dev lan0");
        // A detection that takes an hour: this long it waits for an answer to its only probe.
        lab.sysctl_here("ipv6/neigh/lan0/retrans_time_ms", "3600000");
        lab.sysctl_here("ipv6/conf/lan0/accept_dad", "1");
        lab.sysctl_here("ipv6/conf/lan0/dad_transmits", "1");
        lab.here("addr add fe80::5/64 dev lan0");
        let lan0 = lab.host.interface("lan0").unwrap();
        assert!(lan0.addresses[0].tentative && !lan0.addresses[0].is_usable());
        let wait = Duration::from_millis(100);
        let error = lab.host.neighbour(lan0.index, addr("2001:db8::2"), wait).unwrap_err();
        assert!(error.hint().unwrap().contains("duplicate address detection"), "{error:?}");
    });
}

#[test]
fn a_tunnel_without_ethernet_addresses_is_refused() {
    lab(|lab| {
        lab.here("tuntap add dev tun0 mode tun");
        lab.here("addr add 10.8.0.1/24 dev tun0");
        lab.here("link set tun0 up");
        let tun0 = lab.host.interface("tun0").unwrap();
        assert_eq!((tun0.mac, tun0.kind.as_str()), (None, "tun"));
        assert!(lab.host.neighbour(tun0.index, addr("10.8.0.2"), SECOND).is_err());
    });
}

#[test]
fn the_loopback_needs_no_question() {
    lab(|lab| {
        let lo = lab.index("lo");
        let own = lab.host.neighbour(lo, addr("127.0.0.1"), SECOND).unwrap();
        assert_eq!(own.mac, [0; 6]);
    });
}

#[test]
fn an_interface_that_goes_down_ends_the_question() {
    lab(|lab| {
        let lan0 = lab.index("lan0");
        // In the same namespace, after the question is in the table.
        let script = "until ip neigh show 10.0.0.66 dev lan0 | grep -q INCOMPLETE; do :; done; \
                      ip link set lan0 down";
        let mut down = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let error = lab.host.neighbour(lan0, addr("10.0.0.66"), 30 * SECOND).unwrap_err();
        assert!(down.wait().unwrap().success());
        assert!(matches!(error.cause(), Cause::InterfaceDown), "{error:?}");
    });
}

#[test]
fn mtu_changes_are_seen() {
    lab(|lab| {
        lab.here("link set lan0 mtu 1400");
        assert_eq!(lab.host.interface("lan0").unwrap().mtu, 1400);
    });
}

#[test]
fn names_resolve_with_scope_and_family() {
    lab(|lab| {
        let scoped = lab.host.resolve("fe80::2%lan0", Family::Any).unwrap();
        assert_eq!((scoped.addr, scoped.scope), (addr("fe80::2"), Some(lab.index("lan0"))));
        let error = lab.host.resolve("fe80::2%wan0", Family::Any).unwrap_err();
        assert_eq!(error.to_string(), "cannot find interface wan0: no such interface");
        assert_eq!(lab.host.resolve("localhost", Family::V4).unwrap().addr, addr("127.0.0.1"));
        // No name service is reached from here, and `.invalid` has no names (RFC 6761).
        let error = lab.host.resolve("no.such.host.invalid", Family::Any).unwrap_err();
        assert!(matches!(error.cause(), Cause::UnknownName(_)), "{error:?}");
        assert!(error.to_string().starts_with("cannot resolve no.such.host.invalid: "));
        assert!(!error.to_string().contains("failed"), "{error}");
    });
}
