//! Mode A over two ports: a cable between two interfaces. They share one UMEM, so a packet leaves
//! from where it was received; each worker has queues of both.
//!
//! `cargo run --example forward_two_ports`; as root with the names of two interfaces, until killed.

use fluxnet::proto::{IpPair, build, complete_checksum};
use fluxnet::{EngineStats, Filter, FluxBuilder, FluxError, Workers, simulator::Simulator};
use std::net::Ipv4Addr;

fn main() -> Result<(), FluxError> {
    match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [one, other] => forward(&mut open(FluxBuilder::new(one), other)?).map(drop),
        _ => simulated().map(|answered| println!("{answered} of 8 pings answered")),
    }
}

/// Opens the interface of `builder` and another one; two workers if both have two queues.
pub fn open(builder: FluxBuilder, other: &str) -> Result<Workers<u64>, FluxError> {
    let engine = builder.filter(Filter::Everything).promiscuous(true).port(other).build_engine()?;
    let fewest = engine.ports().iter().map(|port| port.granted().queues.len()).min();
    engine.into_workers(fewest.map_or(1, |queues| queues.min(2)), |_| 0)
}

/// Sends what comes on either port out by the other. Each worker counts what it completed.
pub fn forward(workers: &mut Workers<u64>) -> Result<EngineStats, FluxError> {
    let [one, other] = [0, 1].map(|at| workers.ports()[at].index());
    workers.run(|completed, batch| {
        let to = if batch.port() == one { other } else { one };
        for mut packet in batch {
            // The sender may have left that to a NIC which is not there, as on a veth pair.
            *completed += u64::from(complete_checksum(packet.data_mut()));
            packet.forward(to);
        }
    })
}

/// Hosts on the left ping hosts on the right through it; returns how many get an answer.
pub fn simulated() -> Result<usize, FluxError> {
    let network = Simulator::between("queues=2".parse()?);
    let mut workers = open(FluxBuilder::new("sim0").simulator(&network), "sim1")?;
    let mac = |port, host: Ipv4Addr| network.neighbour(port, host.into()).unwrap_or_default();
    for (src, dst) in (2..=9).map(|n| ([10, 0, 0, n].into(), [10, 0, 1, n].into())) {
        let link = build::Link::new(mac("sim0", src), mac("sim1", dst));
        let (mut ping, net) = ([0; 60], build::Net::new(IpPair::V4 { src, dst }));
        let _ = build::echo_request(&mut ping, &link, &net, 1, 1, b"");
        network.tap_host(src.into())?;
        network.send_from(src.into(), &ping)?;
    }
    let (stop, end) = (workers.stop_handle(), network.now() + 10_000_000);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| forward(&mut workers));
        while network.now() < end && !running.is_finished() {
            std::thread::yield_now(); // the workers make time pass
        }
        stop.stop();
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok((2..=9).filter(|&n| network.arrived_at([10, 0, 0, n].into()).len() == 1).count())
}
