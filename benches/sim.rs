//! What the simulated network costs the machine: probes with a TTL to a host behind three routers,
//! each of which comes back as an ICMP error of a router or of the host. Virtual time passes at
//! 100,000 probes a second, so that thousands are on their way at once, as in a trace of many
//! targets.
//!
//! `cargo bench --bench sim`

#![allow(clippy::expect_used)] // what is wrong here is a bug of the bench

use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::{IpPair, UdpRepr};
use fluxnet::simulator::{End, NetworkBuilder, NodeId, Profile, Simulator};
use fluxnet::umem::Frame;
use fluxnet::{Filter, FluxBuilder, FluxRaw};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const PROBES: u32 = 400_000;
const BATCH: u32 = 64;
/// One batch each 640 µs: 100,000 probes a second.
const PAUSE: Duration = Duration::from_micros(640);
const HEADROOM: u32 = 256;
const PAYLOAD: [u8; 12] = [7; 12];

/// us ── r1 ══ (1 or 2 links) ══ r2 ── r3 ── host; 5 ms a link.
fn network(branches: u32, v6: bool) -> Simulator {
    let mut net = NetworkBuilder::new(7);
    let us = net.port("sim0", 1);
    let [r1, r2, r3] = std::array::from_fn(|_| net.router());
    let host = net.host();
    let end = |node: NodeId, n: u32, last: u32| {
        let address =
            if v6 { format!("2001:db8:{n}::{last}/64") } else { format!("10.0.{n}.{last}/24") };
        End::new(node).address(address)
    };
    let at = |n: u32, last: u32| {
        if v6 { format!("2001:db8:{n}::{last}") } else { format!("10.0.{n}.{last}") }
    };
    let all = if v6 { "::/0" } else { "0.0.0.0/0" };
    let wire = Profile::delay(Duration::from_millis(5));
    net.link(end(us, 1, 1), end(r1, 1, 2), wire.clone());
    for n in 10..10 + branches {
        net.link(end(r1, n, 1), end(r2, n, 2), wire.clone());
    }
    net.link(end(r2, 3, 1), end(r3, 3, 2), wire.clone());
    net.link(end(r3, 4, 1), end(host, 4, 2), wire);
    net.gateway(us, &at(1, 2));
    let there: Vec<_> = (10..10 + branches).map(|n| at(n, 2)).collect();
    net.route(r1, all, &there.iter().map(String::as_str).collect::<Vec<_>>());
    net.route(r2, all, &[&at(10, 1)]);
    let home = if v6 { "2001:db8:4::/64" } else { "10.0.4.0/24" };
    net.route(r2, home, &[&at(3, 2)]);
    net.route(r3, all, &[&at(3, 1)]);
    net.build().expect("a sound network")
}

struct Tracer {
    raw: FluxRaw,
    link: Link,
    ip: IpPair,
    frames: Vec<Frame>,
    answers: u64,
}

impl Tracer {
    fn new(sim: &Simulator, dst: IpAddr) -> Self {
        let mut raw = FluxBuilder::new("sim0")
            .simulator(sim)
            .filter(Filter::Everything)
            .frames(8192)
            .ring_size(4096)
            .prefill(false)
            .build_raw()
            .expect("sockets");
        let route = sim.route(dst).expect("a route");
        let hop = sim.neighbour("sim0", route.gateway.unwrap_or(dst)).expect("a next hop");
        let link = Link::new(sim.port("sim0").expect("sim0").mac, hop);
        let mut frames = Vec::new();
        raw.umem().alloc_many(4096, &mut frames);
        raw.fill.post(&mut frames, 4096);
        let ip = IpPair::new(route.source, dst).expect("one family");
        Self { raw, link, ip, frames, answers: 0 }
    }

    fn batch(&mut self, first: u32) {
        let Self { raw, frames, .. } = self;
        let umem = std::sync::Arc::clone(raw.umem());
        raw.rx.receive(u32::MAX, |buffer| frames.push(buffer.frame));
        self.answers += frames.len() as u64;
        raw.fill.post(frames, u32::MAX);
        umem.free_all(frames.drain(..));
        raw.comp.reap(u32::MAX, |frame| frames.push(frame));
        umem.free_all(frames.drain(..));
        let mut slots = raw.tx.reserve(BATCH);
        for n in first..first + BATCH {
            let mut buffer = umem.alloc_buffer(HEADROOM, 100).ok().flatten().expect("a frame");
            let net = Net::new(self.ip).with_ttl((n % 4 + 1) as u8);
            let ports = UdpRepr { src_port: 33_000 + (n / 4 % 1024) as u16, dst_port: 33_434 };
            let to = umem.packet_mut(&mut buffer);
            let len = build::udp(to, &self.link, &net, &ports, &PAYLOAD).expect("room");
            buffer.span = buffer.span.with_len(len, 2048).expect("room");
            slots.push(buffer).expect("room");
        }
        drop(slots);
        while raw.tx.pending() > 0 {
            raw.kick_tx().expect("a kick");
        }
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let probes = if std::env::args().any(|arg| arg == "--bench") { PROBES } else { BATCH * 8 };
    for (name, branches, v6) in [
        ("3 routers, IPv4", 1, false),
        ("3 routers, 16 ways, IPv4", 16, false),
        ("3 routers, 16 ways, IPv6", 16, true),
    ] {
        let sim = network(branches, v6);
        let dst = if v6 { "2001:db8:4::2" } else { "10.0.4.2" };
        let mut tracer = Tracer::new(&sim, dst.parse().expect("an address"));
        let start = Instant::now();
        for first in (0..probes).step_by(BATCH as usize) {
            tracer.batch(first);
            sim.step(PAUSE);
        }
        let took = start.elapsed();
        sim.step(Duration::from_secs(1));
        tracer.batch(0);
        let each = took.as_nanos() as f64 / f64::from(probes);
        println!("{name}: {each:.0} ns a probe, {} answers to {probes}", tracer.answers);
        assert_eq!(tracer.answers, u64::from(probes), "each probe is answered");
    }
}
