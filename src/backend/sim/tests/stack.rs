//! What the stack of our kernel hears.

use super::super::{
    End, HostOptions, NetworkBuilder, Profile, RouterOptions, SimSpec, StackPacket, vlan,
};
use super::packets::*;
use super::routers::{FAMILIES, line, to};
use super::*;
use crate::proto::{Headers, MacAddr};

fn heard(sim: &Simulator) -> Vec<StackPacket> {
    sim.step(Duration::from_millis(50));
    sim.stack_packets()
}

#[test]
fn fragments_are_put_together_and_what_was_redirected_is_not_heard() {
    let fragments = HostOptions { fragment: Some(576), ..HostOptions::default() };
    let mut rig = line(RouterOptions::default(), fragments, |_, _| (), |end| end);
    let (to4, to6) = (to(&rig, FAMILIES[0]), to(&rig, FAMILIES[1]));
    rig.sim.listen();
    rig.send(&to4.echo(64, 1, 8));
    assert_eq!((heard(&rig.sim), rig.take().len()), (vec![], 1), "a socket has it");
    let sim = rig.sim.clone();
    drop(rig);
    for way in [to4, to6] {
        let mut rig = Rig::open(&sim, "sim0", Filter::Nothing);
        rig.send(&way.echo(64, 1, 1200));
        assert!(!sim.has_stack_packets());
        let before = sim.now();
        let all = heard(&sim);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].ifindex, all[0].fragments), (1, 3));
        assert!(all[0].time_ns > before && all[0].time_ns < sim.now());
        let headers = Headers::parse(&all[0].packet).unwrap();
        assert!(headers.verify_checksums(&all[0].packet) && !headers.is_fragment());
        assert_eq!(headers.payload(&all[0].packet).len(), 1200);
        assert_eq!(sim.stack_packets(), []);
    }
}

#[test]
fn what_belongs_to_a_vlan_or_to_somebody_else_is_dropped() {
    let net = Simulator::new(SimSpec::default());
    let rig = Rig::open(&net, "sim0", Filter::Nothing);
    let way = |mac, address| Way {
        macs: (mac, MacAddr([2; 6])),
        addresses: (ip("10.0.0.2"), ip(address)),
    };
    net.listen();
    let mine = way(US, "10.0.0.1").echo(64, 1, 8);
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    let tagged = |tags: &[u16]| {
        let mut packet = mine.clone();
        vlan::retag(&mut packet, tags);
        packet
    };
    for (packet, heard) in [
        (mine.clone(), true),
        (tagged(&[0]), true),
        (tagged(&[7]), false),
        (tagged(&[7, 7]), false),
        (way(MacAddr([2; 6]), "10.0.0.1").echo(64, 1, 8), false),
        (way(US, "10.0.0.3").echo(64, 1, 8), false),
        (way(group, "224.0.0.1").echo(64, 1, 8), true),
    ] {
        net.inject("sim0", None, &packet).unwrap();
        let all = net.stack_packets();
        assert_eq!(all.len(), usize::from(heard), "{packet:02x?}");
        assert!(all.iter().all(|got| Headers::parse(&got.packet).unwrap().vlan[0].is_none()));
    }
    drop(rig);
}

#[test]
fn answers_that_come_by_another_interface_are_heard() {
    // Two links to one router, which answers by the second.
    let mut net = NetworkBuilder::new(1);
    let (sim0, sim1) = (net.port("sim0", 1), net.port("sim1", 1));
    let router = net.router();
    for (port, third) in [(sim0, 0), (sim1, 1)] {
        net.link(
            End::new(port).address(format!("10.0.{third}.1/24")),
            End::new(router).address(format!("10.0.{third}.2/24")),
            Profile::default(),
        );
    }
    net.route(router, "10.0.0.1/32", &["10.0.1.1"]);
    let sim = net.build().unwrap();
    let mut rig = Rig::open(&sim, "sim0", Filter::Everything);
    sim.listen();
    let mac = sim.neighbour("sim0", ip("10.0.0.2")).unwrap();
    let way = Way { macs: (mac, US), addresses: (ip("10.0.0.1"), ip("10.0.0.2")) };
    rig.send(&way.echo(64, 1, 8));
    let all = heard(&sim);
    assert_eq!((rig.take().len(), all.len()), (0, 1));
    assert_eq!(all[0].ifindex, 2);
}
