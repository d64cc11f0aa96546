//! Mode A: a firewall in ten lines. Answers pings in place, drops UDP, leaves the rest alone.
//!
//! `cargo run --no-default-features --example firewall_engine`

use fluxnet::proto::build::{Link, Net, echo_request};
use fluxnet::proto::{Headers, IpPair, MacAddr, Transport, respond};
use fluxnet::simulator::Simulator;
use fluxnet::{Filter, FluxBuilder, FluxError};
use std::net::Ipv4Addr;

fn main() -> Result<(), FluxError> {
    let network = Simulator::crossed_pair(1);
    network.tap("a0")?;
    let mut engine =
        FluxBuilder::new("a0").simulator(&network).filter(Filter::Everything).build_engine()?;

    network.inject("a0", None, &ping())?;
    network.inject("a0", None, b"no packet")?;

    let mut malformed = 0;
    engine.turn(
        |batch| {
            for mut packet in batch {
                match Headers::parse(packet.data()).map(|headers| headers.transport) {
                    Ok(Transport::Udp { .. }) => packet.recycle(),
                    Ok(_) if respond::echo_in_place(packet.data_mut()) => packet.send(),
                    Ok(_) => {}
                    Err(_) => malformed += 1,
                }
            }
        },
        None,
    )?;

    println!("{:?}, {malformed} malformed", engine.stats());
    for answer in network.sent("a0") {
        println!("answered: {:?}", Headers::parse(&answer).map(|h| h.transport));
    }
    Ok(())
}

/// An echo request as a peer would send it.
fn ping() -> Vec<u8> {
    let link = Link::new(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1));
    let mut frame = vec![0; 128];
    let len = echo_request(&mut frame, &link, &Net::new(IpPair::V4 { src, dst }), 7, 1, b"hello");
    frame.truncate(len.unwrap_or_default());
    frame
}
