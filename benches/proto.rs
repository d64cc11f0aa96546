//! What a packet costs in `proto`: one-pass parsing and checksums.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fluxnet::proto::build::{self, Link, Net};
use fluxnet::proto::{
    Headers, IpPair, IpProto, MacAddr, Tag, TcpFlags, TcpOptions, TcpRepr, UdpRepr, checksum,
    complete_checksum, respond,
};

const LINK: Link = Link::new(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
const V4: Net =
    Net::new(IpPair::V4 { src: Ipv4Addr::new(10, 0, 0, 1), dst: Ipv4Addr::new(10, 0, 0, 2) });
const V6: Net =
    Net::new(IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::new(1, 2, 3, 4, 5, 6, 7, 8) });

fn frame(make: impl Fn(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut buf = vec![0; 2048];
    let len = make(&mut buf).unwrap_or_default();
    buf.truncate(len);
    buf
}

/// Benchmarks `routine` and prints the median as well, which other load on the machine moves less
/// than the mean in the report.
fn bench_median(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, routine: impl Fn()) {
    let mut nanos = Vec::new();
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                routine();
            }
            let elapsed = start.elapsed();
            nanos.push(elapsed.as_secs_f64() * 1e9 / iterations as f64);
            elapsed
        });
    });
    nanos.sort_by(f64::total_cmp);
    if let Some(median) = nanos.get(nanos.len() / 2) {
        println!("{name:<26} median {median:.2} ns");
    }
}

fn proto(c: &mut Criterion) {
    let udp = UdpRepr { src_port: 1000, dst_port: 53 };
    let mut tcp = TcpRepr::new(1000, 80, TcpFlags::SYN);
    tcp.options = TcpOptions { mss: Some(1460), timestamps: Some((1, 2)), ..tcp.options };
    let tagged = Link { tag: Tag::customer(7), ..LINK };
    let frames = [
        ("udp_64", frame(|b| build::udp(b, &LINK, &V4, &udp, &[7; 22]))),
        ("tcp_options", frame(|b| build::tcp(b, &LINK, &V4, &tcp, &[]))),
        ("vlan_udp", frame(|b| build::udp(b, &tagged, &V4, &udp, &[7; 22]))),
        ("icmpv6_echo", frame(|b| build::echo_request(b, &LINK, &V6, 1, 1, &[7; 22]))),
        ("icmp_echo", frame(|b| build::echo_request(b, &LINK, &V4, 1, 1, &[7; 22]))),
        ("ipv6_udp", frame(|b| build::udp(b, &LINK, &V6, &udp, &[7; 22]))),
    ];
    let mut group = c.benchmark_group("headers_parse");
    for (name, frame) in &frames {
        // Looked at where it was made, as in a loop over a batch.
        bench_median(&mut group, &format!("{name}/by_reference"), || {
            black_box(&Headers::parse(black_box(frame)));
        });
        // Handed on: costs a copy unless it is written in place.
        bench_median(&mut group, &format!("{name}/by_value"), || {
            let _ = black_box(Headers::parse(black_box(frame)));
        });
    }
    group.finish();

    let mut group = c.benchmark_group("checksum");
    for len in [20usize, 64, 1500] {
        let bytes = vec![0xa5u8; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |b| b.iter(|| checksum::of(black_box(&bytes))));
    }
    group.finish();

    let mut group = c.benchmark_group("complete_checksum");
    let ack = TcpRepr::new(1000, 80, TcpFlags::ACK);
    let mut complete = frame(|b| build::tcp(b, &LINK, &V4, &ack, &[7; 1460]));
    let partial = !V4.ip.pseudo_sum(IpProto::TCP, 1480).finish();
    let mut left = complete.clone();
    group.bench_function("not_needed", |b| b.iter(|| complete_checksum(black_box(&mut complete))));
    group.bench_function("1500_bytes", |b| {
        b.iter(|| {
            left[50..52].copy_from_slice(&partial.to_be_bytes());
            complete_checksum(black_box(&mut left))
        });
    });
    group.finish();

    let request = frame(|b| build::echo_request(b, &LINK, &V4, 1, 1, &[7; 56]));
    let mut work = request.clone();
    c.bench_function("echo_in_place", |b| {
        b.iter(|| {
            work.copy_from_slice(&request);
            respond::echo_in_place(black_box(&mut work))
        });
    });
}

criterion_group!(benches, proto);
criterion_main!(benches);
