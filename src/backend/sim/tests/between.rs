//! The default network of two sides: its table, and a program in the middle.

use super::packets::*;
use super::*;
use crate::proto::MacAddr;
use std::net::IpAddr;

fn two_sides(spec: &str) -> Simulator {
    Simulator::between(spec.parse().unwrap())
}

/// What a hop makes of a frame.
type Rewrite = fn(&mut [u8], &Simulator);

/// Receives on either port and sends by the other what `rewrite` makes of it, until nothing comes
/// for 10 ms.
fn forward(rigs: &mut [Rig; 2], rewrite: Rewrite) {
    loop {
        let mut idle = true;
        for from in [0, 1] {
            for mut packet in rigs[from].take() {
                rewrite(&mut packet.bytes, &rigs[0].sim);
                rigs[1 - from].send(&packet.bytes);
                idle = false;
            }
        }
        if idle && rigs.iter_mut().all(|rig| !wait(rig, Duration::from_millis(10))) {
            return;
        }
    }
}

fn wait(rig: &Rig, timeout: Duration) -> bool {
    let queues: Vec<_> = (0..rig.sockets.len()).map(crate::ids::QueueIndex::at).collect();
    rig.backend.wait(&queues, Interest::Rx, Some(timeout)).unwrap()
}

fn wire(_: &mut [u8], _: &Simulator) {}

fn router(frame: &mut [u8], sim: &Simulator) {
    let dst = judge(frame).dst;
    let port = sim.route(dst).unwrap().port;
    let macs = (sim.neighbour(&port, dst).unwrap(), sim.port(&port).unwrap().mac);
    frame[..6].copy_from_slice(&macs.0.0);
    frame[6..12].copy_from_slice(&macs.1.0);
}

fn mac(sim: &Simulator, address: IpAddr) -> MacAddr {
    let port = sim.route(address).unwrap().port;
    sim.neighbour(&port, address).unwrap()
}

#[test]
fn hosts_of_both_sides_answer_us_in_200_us() {
    let sim = two_sides("");
    for (port, v4, v6) in [("sim0", "10.0.0.", "2001:db8::"), ("sim1", "10.0.1.", "2001:db8:1::")] {
        let info = sim.port(port).unwrap();
        assert_eq!(info.addresses, [(ip(&format!("{v4}1")), 24), (ip(&format!("{v6}1")), 64)]);
        let mut rig = Rig::open(&sim, port, Filter::Everything);
        for address in (2..=9).flat_map(|n| [format!("{v4}{n}"), format!("{v6}{n}")]) {
            let dst = ip(&address);
            let route = sim.route(dst).unwrap();
            assert_eq!((route.port.as_str(), route.gateway), (port, None));
            let macs = (mac(&sim, dst), info.mac);
            let way = Way { macs, addresses: (route.source, dst) };
            let (reply, took) = rig.ask(&way.echo(64, 1, 56)).unwrap();
            assert_eq!((judge(&reply).src, took), (dst, 200_000));
        }
        rig.assert_balance();
    }
    let names = ["10.0.0.1", "10.0.1.1", "10.0.0.2", "2001:db8:1::9"];
    let told = names.map(|address| sim.name_of(ip(address)).unwrap());
    assert_eq!(told, ["us.sim", "us.sim", "left2.sim", "right9.sim"]);
    assert_eq!((sim.route(ip("10.0.2.1")), sim.neighbour("sim0", ip("10.0.1.2"))), (None, None));
}

#[test]
fn only_a_program_leads_from_one_side_to_the_other() {
    for (to_us, rewrite) in [(false, wire as Rewrite), (true, router)] {
        for (left, right) in [("10.0.0.2", "10.0.1.3"), ("2001:db8::2", "2001:db8:1::3")] {
            let (left, right) = (ip(left), ip(right));
            let sim = two_sides("");
            sim.tap_host(left).unwrap();
            sim.tap_host(right).unwrap();
            let hop = if to_us { sim.port("sim0").unwrap().mac } else { mac(&sim, right) };
            let way = Way { macs: (hop, mac(&sim, left)), addresses: (left, right) };
            let request = way.echo(64, 7, 100);
            // Without a program.
            sim.send_from(left, &request).unwrap();
            sim.step(Duration::from_secs(1));
            assert_eq!(sim.passed_to_host("sim0"), 1);
            assert_eq!(sim.arrived_at(right), Vec::<Vec<u8>>::new());
            // With one.
            let mut rigs = ["sim0", "sim1"].map(|port| Rig::open(&sim, port, Filter::Everything));
            let start = sim.now();
            sim.send_from(left, &request).unwrap();
            forward(&mut rigs, rewrite);
            let (got, back) = (sim.arrived_at(right), sim.arrived_at(left));
            assert_eq!((got.len(), back.len()), (1, 1));
            assert_eq!(got[0][14..], request[14..], "no byte of the packet is another");
            assert_eq!(got[0] == request, !to_us, "a wire changes nothing at all");
            assert_eq!((judge(&back[0]).src, judge(&back[0]).dst), (right, left));
            assert!(sim.now() - start >= 400_000);
            rigs.into_iter().for_each(Rig::assert_balance);
        }
    }
}

#[test]
fn both_interfaces_are_as_the_spec_says() {
    let sim = two_sides("queues=3,mtu=1400,zerocopy=no,link-flap");
    for port in ["sim0", "sim1"] {
        let info = sim.port(port).unwrap();
        assert_eq!((info.queues, info.mtu, info.claims_zero_copy), (3, 1400, false));
        assert_eq!(info.troubles, super::super::Trouble::LinkFlap.into());
    }
    // Loss is on the way to us, at either link.
    let sim = two_sides("loss=50%,seed=3");
    for (address, port) in [("10.0.0.2", "sim0"), ("10.0.1.2", "sim1")] {
        let frame = [[0xff; 6].as_slice(), &[2; 6], &[0x88, 0xb5], &[0; 46]].concat();
        (0..1000).for_each(|_| sim.send_from(ip(address), &frame).unwrap());
        sim.step(Duration::from_millis(1));
        assert!((430..570).contains(&sim.passed_to_host(port)), "{}", sim.passed_to_host(port));
    }
}

#[test]
fn only_hosts_send_by_themselves() {
    let sim = two_sides("");
    for address in ["10.0.0.1", "10.0.2.2"] {
        let error = sim.send_from(ip(address), &[0; 60]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot find host {address}")), "{error}");
        assert!(sim.tap_host(ip(address)).is_err() && sim.arrived_at(ip(address)).is_empty());
    }
    // Frames that are none do no harm, and who is not asked keeps nothing.
    sim.send_from(ip("10.0.0.2"), &[]).unwrap();
    sim.send_from(ip("10.0.0.2"), &[1]).unwrap();
    sim.step(Duration::from_millis(1));
    assert!(sim.arrived_at(ip("10.0.0.3")).is_empty());
}
