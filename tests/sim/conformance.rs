//! The simulated kernel treats rings, counters and flags as it is written down, and so as the real
//! one does.

use crate::scenarios::{Blow, World, scenarios};
use fluxnet::FluxBuilder;
use fluxnet::simulator::Simulator;

struct Sim(Simulator);

impl Sim {
    fn new(queues: u32) -> Self {
        let network = Simulator::crossed_pair(queues);
        network.tap("a0").unwrap();
        Sim(network)
    }
}

impl World for Sim {
    fn builder(&self) -> FluxBuilder {
        FluxBuilder::new("a0").simulator(&self.0)
    }

    fn inject(&mut self, packet: &[u8]) {
        self.0.inject("a0", Some(0), packet).unwrap();
    }

    fn inject_on(&mut self, queue: u32, packet: &[u8]) {
        self.0.inject("a0", Some(queue), packet).unwrap();
    }

    fn make_receive_only(&mut self) -> bool {
        *self = Sim::new(2);
        self.0.set_tx_queues("a0", 1).is_ok()
    }

    fn sent(&mut self, _: usize) -> Vec<Vec<u8>> {
        self.0.sent("a0")
    }

    fn passed(&mut self, _: usize) -> Vec<Vec<u8>> {
        self.0.passed("a0")
    }

    fn strike(&mut self, blow: Blow) {
        let Sim(net) = self;
        match blow {
            Blow::Down => net.set_link_up("a0", false),
            Blow::Up => net.set_link_up("a0", true),
            Blow::Mtu(bytes) => net.set_mtu("a0", bytes),
            Blow::Remove => net.remove_port("a0"),
            Blow::Detach => net.detach("a0"),
        }
        .unwrap();
    }

    fn wait_until(&self, what: &str, is_so: &mut dyn FnMut() -> bool) {
        assert!((0..1000).any(|_| is_so()), "not in 1000 looks: {what}");
    }

    fn lacks(&self, what: &str) {
        panic!("the simulated kernel has no {what}");
    }
}

fn on_the_simulator(scenario: impl Fn(&mut dyn World)) {
    scenario(&mut Sim::new(1));
}

scenarios!(on_the_simulator);
