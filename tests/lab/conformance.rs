//! The real kernel treats rings, counters and flags as it is written down, and so as the simulated
//! one does. The far end of a veth pair injects and captures.

use crate::lab::{self, Lab, PATIENCE, Wire};
use crate::scenarios::{Blow, ETHER_TYPE, World, scenarios};
use fluxnet::{BindMode, FluxBuilder};

struct Veth {
    far: Wire,
    /// Sees what the kernel's stack gets.
    kernel: Wire,
    lab: Option<Lab>,
}

impl Veth {
    fn in_lab(lab: Lab) -> Self {
        let kernel = Wire::open(lab::OURS).unwrap();
        Self { far: lab.wire(), kernel, lab: Some(lab) }
    }
}

impl World for Veth {
    fn builder(&self) -> FluxBuilder {
        FluxBuilder::new(lab::OURS).bind(BindMode::Copy)
    }

    fn inject(&mut self, packet: &[u8]) {
        self.far.send(packet);
    }

    fn inject_on(&mut self, queue: u32, packet: &[u8]) {
        self.far.send_on(queue, packet);
    }

    fn make_receive_only(&mut self) -> bool {
        self.lab = None; // a lab leads back to where it was made
        let Some(lab) = Some(()).filter(|()| lab::has_queues(2)).and_then(|()| Lab::veth(2)) else {
            return false;
        };
        lab.run(&format!("ethtool -L {} tx 1", lab::OURS));
        *self = Self::in_lab(lab);
        true
    }

    fn sent(&mut self, n: usize) -> Vec<Vec<u8>> {
        (0..n).map_while(|_| self.far.recv_type(ETHER_TYPE, PATIENCE)).collect()
    }

    fn passed(&mut self, n: usize) -> Vec<Vec<u8>> {
        (0..n).map_while(|_| self.kernel.recv_type(ETHER_TYPE, PATIENCE)).collect()
    }

    fn strike(&mut self, blow: Blow) {
        let set = |what: &str| drop(lab::run(&format!("ip link set {} {what}", lab::OURS)));
        match blow {
            Blow::Down => set("down"),
            Blow::Up => set("up"),
            Blow::Mtu(bytes) => set(&format!("mtu {bytes}")),
            Blow::Remove => drop(lab::run(&format!("ip link del {}", lab::OURS))),
            Blow::Detach => lab::detach::detach_xdp(lab::OURS),
        }
    }

    fn wait_until(&self, what: &str, is_so: &mut dyn FnMut() -> bool) {
        lab::wait_until(what, is_so);
    }

    fn lacks(&self, what: &str) {
        lab::skip(&format!("this kernel has no {what}"));
    }
}

fn over_veth(scenario: impl Fn(&mut dyn World)) {
    let Some(lab) = Lab::veth(1) else { return };
    scenario(&mut Veth::in_lab(lab));
}

scenarios!(over_veth);
