use super::*;
use crate::tools::host::{Address, AddressScope, Family, Interface, Neighbour, Queues, Route};
use crate::tools::host::{Cause, HostError, RouteKind, Target, Vlan};
use crate::tools::probe::link::VlanTag;
use std::time::Duration;

/// Two Ethernet interfaces, a VLAN on the first, one inside that, and a tunnel.
struct Office;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(index: u32, name: &str, addr: &str, vlan: Option<Vlan>) -> Interface {
    let address = Address {
        addr: ip(addr),
        prefix_len: 24,
        scope: AddressScope::Global,
        tentative: false,
        deprecated: false,
        duplicate: false,
    };
    Interface {
        index,
        name: name.into(),
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        up: true,
        carrier: true,
        vlan,
        addresses: vec![address],
        ..Interface::default()
    }
}

impl Host for Office {
    fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError> {
        Target::from_literal(name, family, (|_: &str| Ok(1), |_| true)).unwrap()
    }

    fn interface(&self, name: &str) -> Result<Interface, HostError> {
        let missing = || HostError::new("find interface", name, Cause::NoSuchInterface);
        self.interfaces()?.into_iter().find(|i| i.name == name).ok_or_else(missing)
    }

    fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
        let vlan = |id, parent, protocol| Some(Vlan { id, parent, protocol });
        let mut tunnel = interface(5, "tun0", "10.5.0.1", None);
        tunnel.mac = None;
        let mut unplugged = interface(6, "eth6", "10.6.0.1", None);
        unplugged.carrier = false;
        let mut on_unplugged = interface(7, "eth6.7", "10.7.0.1", vlan(7, 6, 0x8100));
        on_unplugged.mtu = 1496;
        Ok(vec![
            interface(1, "eth0", "10.1.0.1", None),
            interface(2, "eth1", "10.2.0.1", None),
            interface(3, "eth0.30", "10.3.0.1", vlan(30, 1, 0x88a8)),
            interface(4, "eth0.30.40", "10.4.0.1", vlan(40, 3, 0x8100)),
            tunnel,
            unplugged,
            on_unplugged,
        ])
    }

    fn route(
        &self,
        dst: IpAddr,
        oif: Option<u32>,
        src: Option<IpAddr>,
    ) -> Result<Route, HostError> {
        let IpAddr::V4(v4) = dst else {
            return Err(HostError::new("find a route to", dst, Cause::NoRoute));
        };
        let [_, second, _, last] = v4.octets();
        let ifindex = oif.unwrap_or(u32::from(second).clamp(1, 7));
        Ok(Route {
            kind: RouteKind::Unicast,
            ifindex,
            gateway: (second > 7).then(|| ip("10.1.0.254")),
            source: src.or(Some(ip(&format!("10.{ifindex}.0.1")))),
            mtu: None,
            encapsulated: last == 99,
        })
    }

    fn neighbours(
        &mut self,
        _: &[(u32, IpAddr)],
        _: Duration,
    ) -> Vec<Result<Neighbour, HostError>> {
        Vec::new()
    }

    fn driver(&self, _: &str) -> Option<String> {
        None
    }

    fn queues(&self, _: &str) -> Result<Queues, HostError> {
        Ok(Queues { rx: 1, tx: 1 })
    }
}

/// A request that owns what it asks for, and a size as ping's `-s`.
struct Plan {
    targets: Vec<String>,
    interface: Option<String>,
    source: Option<IpAddr>,
    vlan: Option<VlanTag>,
    size: usize,
}

fn plan(targets: &[&str]) -> Plan {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    Plan { targets, interface: None, source: None, vlan: None, size: 56 }
}

fn find(plan: &Plan, host: &dyn Host) -> Result<ProbeTargets> {
    let request = TargetRequest {
        targets: &plan.targets,
        file: None,
        family: Family::Any,
        interface: plan.interface.as_deref(),
        source: plan.source,
        vlan: plan.vlan,
        broadcast: None,
    };
    let targets = ProbeTargets::find(&request, host)?;
    targets.check_size(plan.size, "-s", |address| ip_len(address) + 8, 2048)
}

fn tags(targets: &ProbeTargets) -> Vec<(u16, u16)> {
    targets.links[0].tags.iter().map(|tag| (tag.tpid.0, tag.tci)).collect()
}

#[test]
fn a_vlan_interface_lends_its_address_and_its_parent_the_socket() {
    let targets = find(&plan(&["10.3.0.9"]), &Office).unwrap();
    assert_eq!((targets.links[0].device.as_str(), tags(&targets)), ("eth0", vec![(0x88a8, 30)]));
    assert_eq!(targets.links[0].mac.0[5], 3);
    assert_eq!(targets.paths[0].source, ip("10.3.0.1"));
    let targets = find(&plan(&["10.4.0.9"]), &Office).unwrap();
    assert_eq!(targets.links[0].device, "eth0");
    assert_eq!(tags(&targets), [(0x88a8, 30), (0x8100, 40)]);
    let mut asked = plan(&["10.3.0.9"]);
    asked.vlan = Some(VlanTag { id: 7, priority: 1 });
    let targets = find(&asked, &Office).unwrap();
    assert_eq!(tags(&targets), [(0x88a8, 30), (0x8100, 1 << 13 | 7)], "inside the interface's own");
    asked.targets = vec!["10.4.0.9".into()];
    let error = find(&asked, &Office).unwrap_err();
    assert!(error.to_string().contains("more than two VLAN tags"), "{error}");
}

#[test]
fn next_hops_are_shared() {
    let mut asked = plan(&["10.8.0.1", "10.9.0.1", "10.8.0.1", "10.1.0.5"]);
    asked.interface = Some("eth0".into());
    let targets = find(&asked, &Office).unwrap();
    let hop = |address| Hop { ifindex: 1, address: ip(address) };
    assert_eq!(targets.hops, [hop("10.1.0.254"), hop("10.1.0.5")]);
    let hops: Vec<_> = targets.paths.iter().map(|path| path.hop).collect();
    assert_eq!(hops, [0, 0, 0, 1]);
}

#[test]
fn targets_leave_by_whatever_interface_their_route_says() {
    let targets = find(&plan(&["10.1.0.5", "10.2.0.5", "10.3.0.5", "10.1.0.6"]), &Office).unwrap();
    let devices: Vec<_> = targets.links.iter().map(|link| link.device.as_str()).collect();
    assert_eq!(devices, ["eth0", "eth1", "eth0"]);
    let links: Vec<_> = targets.paths.iter().map(|path| path.link).collect();
    assert_eq!(links, [0, 1, 2, 0]);
    assert_eq!(targets.routes()[1].interface, "eth1");
}

#[test]
fn one_that_cannot_be_used_is_left_out_with_its_reason() {
    let mut asked = plan(&["10.5.0.2", "10.1.0.5", "2001:db8::1", "10.2.0.255", "10.7.0.9"]);
    let targets = find(&asked, &Office).unwrap();
    let used: Vec<_> = targets.paths.iter().map(|path| path.name.as_str()).collect();
    assert_eq!(used, ["10.1.0.5"]);
    let refused: Vec<_> = targets.refused.iter().map(|refused| refused.name.as_str()).collect();
    assert_eq!(refused, ["10.5.0.2", "2001:db8::1", "10.2.0.255", "10.7.0.9"]);
    let told = targets.refused[1].told();
    assert!(told.error.contains("no route") && told.hint.is_some(), "{told:?}");
    // What nobody uses is not opened.
    asked.targets = vec!["10.2.0.5".into(), "10.1.0.5".into()];
    let targets = find(&asked, &Office).unwrap();
    let big = |path: &Path, _: &Link| {
        (path.link == 0).then(|| FluxError::config("size 9", "it does not fit"))
    };
    let targets = targets.refuse(big).unwrap();
    assert_eq!((targets.links.len(), targets.hops.len(), targets.paths[0].link), (1, 1, 0));
    assert_eq!(targets.links[0].device, "eth0");
    let error = targets.refuse(|_, _| Some(FluxError::config("size 9", "no"))).unwrap_err();
    assert_eq!(error.to_string(), "size 9: it does not fit", "the first of all that were refused");
}

#[test]
fn what_cannot_be_reached_from_here_is_named_with_a_next_step() {
    type Change = fn(&mut Plan);
    let cases: &[(Change, &str, &str)] = &[
        (|p| p.targets[0] = "10.1.0.99".into(), "wraps packets", "-I"),
        (|p| p.targets[0] = "10.5.0.2".into(), "tun0: the interface has no Ethernet", ""),
        (|p| p.targets[0] = "10.6.0.2".into(), "eth6: the interface has no carrier", "other end"),
        (|p| p.targets[0] = "10.7.0.2".into(), "eth6: the interface has no carrier", "other end"),
        (|p| p.targets[0] = "2001:db8::1".into(), "no route", "ip route get"),
        (|p| p.targets[0] = "10.1.0.255".into(), "broadcast", "one by one"),
        (|p| p.targets[0] = "0.0.0.1".into(), "it is in 0.0.0.0/8", "of a host"),
        (|p| p.targets[0] = "fe80::5".into(), "the link is not named", "fe80::5%eth0"),
        (|p| p.targets[0] = "fe80::5%eth0".into(), "no route", ""),
        (|p| p.interface = Some("eth9".into()), "eth9: no such interface", "ip -br link"),
        (|p| p.source = Some(ip("::1")), "is of another family than the target", ""),
        (|p| p.size = 1473, "size 1473: it does not fit the MTU 1500 of eth0", "is 1472"),
    ];
    for (change, message, hint) in cases {
        let mut plan = plan(&["10.1.0.5"]);
        change(&mut plan);
        let error = find(&plan, &Office).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}: {:?}", error.hint());
    }
}

#[test]
fn a_frame_that_is_too_small_is_said_before_anything_is_sent() {
    struct Jumbo;
    impl Host for Jumbo {
        fn resolve(&self, name: &str, family: Family) -> Result<Target, HostError> {
            Office.resolve(name, family)
        }
        fn interface(&self, name: &str) -> Result<Interface, HostError> {
            Office.interface(name)
        }
        fn interfaces(&self) -> Result<Vec<Interface>, HostError> {
            let mut all = Office.interfaces()?;
            all.iter_mut().for_each(|interface| interface.mtu = 9000);
            Ok(all)
        }
        fn route(&self, d: IpAddr, o: Option<u32>, s: Option<IpAddr>) -> Result<Route, HostError> {
            Office.route(d, o, s)
        }
        fn neighbours(
            &mut self,
            _: &[(u32, IpAddr)],
            _: Duration,
        ) -> Vec<Result<Neighbour, HostError>> {
            Vec::new()
        }
        fn driver(&self, _: &str) -> Option<String> {
            None
        }
        fn queues(&self, name: &str) -> Result<Queues, HostError> {
            Office.queues(name)
        }
    }
    let mut plan = plan(&["10.1.0.5"]);
    plan.size = 1751;
    let error = find(&plan, &Jumbo).unwrap_err();
    assert_eq!(error.to_string(), "size 1751: it does not fit a frame of 2048 bytes");
    assert!(error.hint().unwrap().contains("the largest -s here is 1750"));
    plan.size = 1750;
    assert!(find(&plan, &Jumbo).is_ok());
}
