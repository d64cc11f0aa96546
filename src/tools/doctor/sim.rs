//! The simulated machine: needs nothing, and has one interface.

use super::facts::{Brief, Channels, Facts, Known, Nic, Subject, Tried, Xdp};
use crate::simulator::{SimSpec, Simulator};

pub(super) fn facts(spec: &SimSpec, interface: Option<&str>) -> Facts {
    let ports = Simulator::new(spec.clone()).ports();
    let xdp = Xdp { native: true, zero_copy: spec.zero_copy, ..Xdp::default() };
    let subject = match interface {
        None => Subject::All(
            ports
                .iter()
                .map(|port| Brief {
                    name: port.name.clone(),
                    driver: Some("sim".into()),
                    up: port.up,
                    xdp: Some(xdp.clone()),
                })
                .collect(),
        ),
        Some(name) => match ports.iter().find(|port| port.name == name) {
            None => Subject::Missing(ports.iter().map(|port| port.name.clone()).collect()),
            Some(port) => Subject::One(Box::new(Nic {
                driver: Some("sim".into()),
                up: port.up,
                carrier: port.up,
                mtu: port.mtu,
                xdp: Known::Ok(xdp),
                native: Tried::Worked,
                skb: Tried::Worked,
                channels: Some(Channels { rx: 0, tx: 0, combined: port.queues }),
                rx_queues: Some(port.queues),
                ..Nic::unknown(name)
            })),
        },
    };
    Facts { machine: None, subject }
}
