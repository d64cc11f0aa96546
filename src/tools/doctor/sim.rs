//! The simulated machine: needs nothing; its interfaces are all alike.

use super::facts::{Brief, Channels, Facts, Nic, Program, Subject, Tried, Xdp};
use crate::error::Result;
use crate::simulator::PortInfo;
use crate::tools::host::HostError;
use crate::tools::topology::{self, SimOptions};

pub(super) fn facts(options: &SimOptions, interface: Option<&str>) -> Result<Facts> {
    let mut ports = topology::simulator(options.clone())?.ports();
    let subject = match interface {
        None => Subject::All(ports.iter().map(brief).collect()),
        Some(name) => match ports.iter().position(|port| port.name == name) {
            Some(at) => Subject::One(Box::new(nic(ports.swap_remove(at)))),
            None => {
                let names = ports.iter().map(|port| port.name.as_str());
                return Err(HostError::no_interface(name, names).into());
            }
        },
    };
    Ok(Facts { machine: None, subject })
}

fn xdp(port: &PortInfo) -> Xdp {
    Xdp { native: true, zero_copy: port.claims_zero_copy, ..Xdp::default() }
}

fn brief(port: &PortInfo) -> Brief {
    let driver = Some("sim".to_owned());
    Brief {
        name: port.name.clone(),
        driver,
        up: port.up,
        xdp: Some(xdp(port)),
        master: None,
        program: program(port),
    }
}

fn program(port: &PortInfo) -> Option<Program> {
    port.xdp_program.as_ref().map(|(id, name)| Program {
        told: format!("another program is attached (XDP program {id}, {name}, native mode)"),
        cure: "stop its owner".to_owned(),
    })
}

fn nic(port: PortInfo) -> Nic {
    Nic {
        driver: Some("sim".into()),
        up: port.up,
        carrier: port.carrier,
        mtu: port.mtu,
        xdp: Ok(xdp(&port)),
        native: Tried::Worked,
        skb: Tried::Worked,
        channels: Some(Channels {
            rx: port.queues - port.tx_queues,
            tx: 0,
            combined: port.tx_queues,
        }),
        rx_queues: Some(port.queues),
        ring: port.nic_ring.map(|size| (size, size)),
        program: program(&port),
        ..Nic::unknown(&port.name)
    }
}
