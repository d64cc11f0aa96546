//! Two ports of ours, each with a wire to a port where nobody of ours is.
#![allow(dead_code)] // each test takes what it needs

use fluxnet::simulator::{End, NetworkBuilder, Profile, Simulator};
use fluxnet::{Filter, FluxBuilder, RingsSnapshot};

/// Our ports, `queues` each.
pub const PORTS: [&str; 2] = ["a0", "a1"];
/// The other ends of their wires, one queue each.
pub const ENDS: [&str; 2] = ["b0", "b1"];

/// `a0`–`b0` and `a1`–`b1`.
pub fn network(queues: u32) -> Simulator {
    let mut net = NetworkBuilder::new(1);
    for (port, end) in PORTS.into_iter().zip(ENDS) {
        let (a, b) = (net.port(port, queues), net.port(end, 1));
        net.link(End::new(a), End::new(b), Profile::default());
    }
    net.build().expect("a network")
}

/// Both ports of ours on one UMEM.
pub fn both(network: &Simulator) -> FluxBuilder {
    FluxBuilder::new(PORTS[0]).simulator(network).filter(Filter::Everything).port(PORTS[1])
}

/// A packet whose flow decides about its RX queue.
pub fn packet(flow: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![flow; len];
    let header = [0x88, 0xb0 + flow];
    // Whatever fits of the Ethernet header.
    bytes.iter_mut().skip(12).zip(header).for_each(|(byte, new)| *byte = new);
    bytes
}

/// Looks at the same moment as one.
pub fn joined(looks: impl IntoIterator<Item = RingsSnapshot>) -> RingsSnapshot {
    looks.into_iter().reduce(RingsSnapshot::join).expect("one look at least")
}
