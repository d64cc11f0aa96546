//! Mode B: an L4 load balancer. One thread receives and chooses, the sender rewrites and sends;
//! packets are owned and cross over without a copy.
//!
//! `cargo run --no-default-features --example load_balancer_system`

use fluxnet::proto::build::{Link, Net, udp};
use fluxnet::proto::{Headers, IpPair, MacAddr, Transport, UdpRepr, rewrite};
use fluxnet::simulator::Simulator;
use fluxnet::{Filter, FluxBuilder, FluxError, Packet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

const FLOWS: u16 = 64;

fn main() -> Result<(), FluxError> {
    let network = Simulator::crossed_pair(1);
    network.tap("a0")?;
    let (mut rx, mut tx) =
        FluxBuilder::new("a0").simulator(&network).filter(Filter::Everything).build_system()?;
    for port in 0..FLOWS {
        network.inject("a0", None, &request(40_000 + port))?;
    }

    let backends: Vec<SocketAddr> =
        (1..=3).map(|i| (Ipv4Addr::new(10, 1, 0, i), 8080).into()).collect();
    let (to_sender, chosen) = mpsc::channel::<(Packet, SocketAddr)>();
    std::thread::scope(|scope| -> Result<(), FluxError> {
        let sender = scope.spawn(move || -> Result<(), FluxError> {
            for (mut packet, backend) in chosen {
                let Ok(mut headers) = Headers::parse(packet.data()) else { continue };
                if rewrite::set_destination(packet.data_mut(), &mut headers, backend) {
                    // A full ring gives the packet back: here it is dropped, and its frame freed.
                    let _ = tx.send(packet);
                }
                tx.flush()?;
            }
            Ok(())
        });
        while let Some(packet) = rx.recv(Some(Duration::from_millis(1)))? {
            if let Ok(Transport::Udp { src_port, .. }) =
                Headers::parse(packet.data()).map(|h| h.transport)
            {
                let backend = backends[usize::from(src_port) % backends.len()];
                let _ = to_sender.send((packet, backend));
            }
        }
        drop(to_sender);
        sender.join().unwrap_or(Ok(()))
    })?;

    let mut share = std::collections::BTreeMap::new();
    for frame in network.sent("a0") {
        if let Ok(Headers { ip: Some(ip), .. }) = Headers::parse(&frame) {
            *share.entry(ip.dst()).or_insert(0) += 1;
        }
    }
    println!("{share:?}");
    Ok(())
}

/// A request of one client flow to the virtual address.
fn request(src_port: u16) -> Vec<u8> {
    let link = Link::new(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
    let (src, dst) = (Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(10, 0, 0, 100));
    let mut frame = vec![0; 128];
    let header = UdpRepr { src_port, dst_port: 80 };
    let len = udp(&mut frame, &link, &Net::new(IpPair::V4 { src, dst }), &header, b"GET");
    frame.truncate(len.unwrap_or_default());
    frame
}
