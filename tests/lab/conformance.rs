//! The real kernel treats rings, counters and flags as it is written down, and so as the simulated
//! one does. The far end of a veth pair injects and captures.

use crate::lab::{self, Lab, PATIENCE, Wire};
use crate::scenarios::{ETHER_TYPE, World, scenarios};
use fluxnet::{BindMode, FluxBuilder};

struct Veth(Wire);

impl World for Veth {
    fn builder(&self) -> FluxBuilder {
        FluxBuilder::new(lab::OURS).bind(BindMode::Copy)
    }

    fn inject(&mut self, packet: &[u8]) {
        self.0.send(packet);
    }

    fn sent(&mut self, n: usize) -> Vec<Vec<u8>> {
        (0..n).map_while(|_| self.0.recv_type(ETHER_TYPE, PATIENCE)).collect()
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
    scenario(&mut Veth(lab.wire()));
}

scenarios!(over_veth);
