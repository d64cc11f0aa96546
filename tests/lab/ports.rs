//! Two interfaces on one UMEM on the real kernel: we are a bump in the wire between two hosts.

use crate::forward_two_ports as cable;
use crate::lab::bump::{
    Bump, FAR, LEFT, LEFT_MAC, RIGHT, RIGHT_IP, RIGHT_IP6, RIGHT_MAC, promiscuity,
};
use crate::lab::{self, ETH_LAB, PATIENCE, lab_frame};
use fluxnet::error::Result;
use fluxnet::{
    EngineStats, ErrorKind, Filter, FluxBuilder, FluxEngine, FluxRaw, Match, PortIndex,
    RingsSnapshot, Route, StopHandle, Workers,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Packets of a host that may be on their way on one queue: the end of a veth pair has room for 256.
const WINDOW: u64 = 128;

/// The test's own frames; what the kernels say to each other stays theirs.
pub fn lab_frames() -> Match {
    Match { ether_type: Some(ETH_LAB), ..Match::default() }
}

/// A host that numbers its packets on each queue, and checks those that come for their numbers.
pub struct Host {
    engine: FluxEngine,
    packet: Vec<u8>,
    /// By queue.
    sent: Vec<u64>,
    got: Vec<u64>,
    /// Packets of another series are passed over.
    series: u8,
}

impl Host {
    /// On the interface of the calling thread's namespace.
    fn open(from: [u8; 6], to: [u8; 6]) -> Self {
        let filter = Filter::Any(vec![lab_frames()]);
        let engine = FluxBuilder::new(FAR).filter(filter).build_engine().unwrap();
        let queues = engine.granted().queues.len();
        let packet = lab_frame(from, to, &[]);
        Self { engine, packet, sent: vec![0; queues], got: vec![0; queues], series: 0 }
    }

    /// The two hosts of the lab.
    pub fn both(bump: &Bump) -> [Self; 2] {
        [
            bump.in_left(|| Host::open(LEFT_MAC, RIGHT_MAC)),
            bump.in_right(|| Host::open(RIGHT_MAC, LEFT_MAC)),
        ]
    }

    /// Sends up to `most` packets on a queue.
    fn send(&mut self, queue: usize, most: u64) {
        for _ in 0..most {
            let Some(mut packet) = self.engine.alloc(self.packet.len()) else { return };
            self.packet[14..22].copy_from_slice(&self.sent[queue].to_be_bytes());
            self.packet[22] = self.series;
            packet.data_mut().copy_from_slice(&self.packet);
            packet.set_queue(self.engine.positions()[queue]);
            if self.engine.send(packet).is_err() {
                return;
            }
            self.sent[queue] += 1;
        }
    }

    /// Takes what has come: the next of its queue each. How many there were.
    fn receive(&mut self) -> usize {
        let Self { engine, got, series, .. } = self;
        let turn = engine.turn(
            |batch| {
                let got = &mut got[batch.queue().get()];
                for packet in batch {
                    let data = packet.data();
                    if data[22] == *series {
                        let number = u64::from_be_bytes(data[14..22].try_into().unwrap());
                        assert_eq!(number, *got, "lost, twice, or out of order");
                        *got += 1;
                    }
                }
            },
            None,
        );
        turn.unwrap()
    }

    /// Begins to count again.
    fn restart(&mut self, series: u8) {
        self.series = series;
        self.sent.fill(0);
        self.got.fill(0);
    }
}

/// Lets each host send that number of packets more on each queue, and waits until the next in the list,
/// which may be itself, has all of them.
pub fn exchange(hosts: &mut [Host], more: u64) {
    let goals: Vec<Vec<u64>> =
        hosts.iter().map(|host| host.sent.iter().map(|sent| sent + more).collect()).collect();
    let (count, mut last) = (hosts.len(), Instant::now());
    loop {
        let (mut moved, mut done) = (0, true);
        for at in 0..count {
            moved += hosts[at].receive();
            for (queue, &goal) in goals[at].iter().enumerate() {
                let (sent, got) = (hosts[at].sent[queue], hosts[(at + 1) % count].got[queue]);
                let left = goal - sent;
                hosts[at].send(queue, left.min(WINDOW - (sent - got)));
                done &= got == goal;
            }
            hosts[at].engine.flush().unwrap();
        }
        if done {
            return;
        }
        if moved > 0 {
            last = Instant::now();
        } else {
            thread::yield_now();
        }
        let counts = || hosts.iter().map(|host| (&host.sent, &host.got)).collect::<Vec<_>>();
        assert!(last.elapsed() < PATIENCE, "stuck at {:?}", counts());
    }
}

/// Ends the workers also when the test fails, so that the failure is seen.
struct StopAtLast(Option<StopHandle>);

impl Drop for StopAtLast {
    fn drop(&mut self) {
        self.0.iter().for_each(StopHandle::stop);
    }
}

/// Runs the workers by `run` beside `f`, which may wait for their end; what both returned.
fn both<S: Send, R>(
    workers: &mut Workers<S>,
    run: impl FnOnce(&mut Workers<S>) -> Result<EngineStats> + Send,
    f: impl FnOnce(&dyn Fn() -> bool) -> R,
) -> (Result<EngineStats>, R) {
    let mut stop = StopAtLast(Some(workers.stop_handle()));
    thread::scope(|scope| {
        let running = scope.spawn(|| run(workers));
        let is_over = || running.is_finished();
        let result = f(&is_over);
        if is_over() {
            stop.0 = None; // workers that were told to stop never run again
        }
        drop(stop);
        (running.join().unwrap(), result)
    })
}

/// Forwards while `f` runs.
pub fn beside<R>(workers: &mut Workers<u64>, f: impl FnOnce() -> R) -> (EngineStats, R) {
    let (stats, result) = both(workers, cable::forward, |_| f());
    (stats.unwrap(), result)
}

/// Every frame of the UMEM is in a ring, on its way through the kernel, in a cache, or free.
pub fn assert_accounted(workers: &Workers<u64>) {
    let looks = workers.workers().iter().map(|worker| worker.engine.debug_rings());
    let rings = looks.reduce(RingsSnapshot::join).unwrap();
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
    assert!(rings.sockets.iter().all(|socket| socket.account.unwrap().invalid == 0), "{rings:#?}");
}

/// Neither a program nor promiscuous mode is left on an interface of the calling thread's namespace.
pub fn assert_clean(interface: &str) {
    assert!(!lab::xdp_attached(interface), "a program is on {interface}");
    assert_eq!(promiscuity(interface), 0, "{interface}");
}

#[test]
fn a_million_packets_each_way_pass_two_workers_and_no_frame_is_lost() {
    let Some(bump) = Bump::new(2) else { return };
    let mut hosts = Host::both(&bump);
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    assert_eq!(workers.workers().len(), 2);
    let (stats, ()) = beside(&mut workers, || exchange(&mut hosts, 500_000));
    // The hosts' kernels may have had something to say as well.
    assert!(stats.sent >= 2_000_000, "{stats:?}");
    assert_eq!((stats.received, stats.tx_full, stats.no_port), (stats.sent, 0, 0), "{stats:?}");
    for worker in workers.workers() {
        assert!(worker.engine.stats().sent >= 1_000_000, "{:?}", worker.engine.stats());
    }
    assert_accounted(&workers);
    let lost: Vec<_> = workers.ports().iter().map(|port| port.kernel_stats().unwrap()).collect();
    assert!(lost.iter().all(|lost| lost.rx_dropped + lost.rx_ring_full == 0), "{lost:?}");
    drop(workers);
    [LEFT, RIGHT].into_iter().for_each(assert_clean);
}

#[test]
fn a_packet_leaves_by_the_other_interface_from_the_address_where_it_was_received() {
    let Some(bump) = Bump::new(1) else { return };
    let filter = Filter::Any(vec![lab_frames()]);
    let builder = FluxBuilder::new(LEFT).filter(filter).port(RIGHT);
    let [mut left, mut right]: [FluxRaw; 2] =
        builder.build_raw_queues().unwrap().try_into().ok().unwrap();
    let far = bump.in_right(|| lab::Wire::open(FAR)).unwrap();
    let wire = bump.in_left(|| lab::Wire::open(FAR)).unwrap();
    let size = u64::from(left.umem().frame_size());
    // More often than there are frames posted, so that frames come round.
    for number in 0..10_000u32 {
        let frame = lab_frame(LEFT_MAC, RIGHT_MAC, &number.to_be_bytes());
        wire.send(&frame);
        let mut received = Vec::new();
        lab::wait_until("the packet on the left", || {
            left.rx.route(&mut left.fill, [&mut right.tx], 1, |packet| {
                assert_eq!(packet.data(), frame);
                received.push(packet.addr());
                Route::Send(0)
            });
            !received.is_empty()
        });
        let [addr] = received[..] else { panic!("{received:?}") };
        assert_eq!(right.tx.pending(), 1);
        right.flush().unwrap();
        assert_eq!(far.recv_type(ETH_LAB, PATIENCE).expect("forwarded"), frame);
        let mut completed = Vec::new();
        lab::wait_until("the completion on the right", || {
            right.comp.reap(1, |frame| completed.push(frame)) > 0
        });
        assert_eq!(u64::from(completed[0].index()), addr / size, "the same frame");
        assert_eq!(left.comp.completed(), 0, "and not on the left");
        assert_eq!(left.fill.post(&mut completed, 1), 1);
    }
    let rings = left.debug_rings().join(right.debug_rings());
    assert_eq!(rings.held(), Some(0), "{rings:#?}");
}

/// The bytes that are sent: none is like its neighbours.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_ne_bytes()
    };
    std::iter::repeat_with(word).flatten().take(len).collect()
}

/// A TCP connection from left to right over which each side sends all of `data`.
fn transfer(bump: &Bump, to: IpAddr, data: &[u8]) {
    let listener = bump.in_right(|| TcpListener::bind((to, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let both_ways = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(data).unwrap());
            let mut got = vec![0; data.len()];
            stream.read_exact(&mut got).unwrap();
            assert!(got == data, "other bytes than were sent");
        });
    };
    let stream = bump.in_left(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| both_ways(listener.accept().unwrap().0));
        both_ways(stream);
    });
}

#[test]
fn tcp_with_default_offloads_at_both_ends_passes_in_both_directions() {
    let Some(bump) = Bump::new(2) else { return };
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let data = bytes(16 << 20);
    beside(&mut workers, || {
        transfer(&bump, RIGHT_IP.into(), &data);
        transfer(&bump, RIGHT_IP6.into(), &data[..1 << 20]);
    });
    let completed: u64 = workers.workers().iter().map(|worker| worker.state).sum();
    assert!(completed > 0, "the offloads are off, and the test shows nothing");
    for host in [bump.in_left(tcp_errors), bump.in_right(tcp_errors)] {
        assert_eq!(host, 0, "wrong checksums");
    }
    assert_accounted(&workers);
}

fn tcp_errors() -> u64 {
    lab::counter("TcpInCsumErrors")
}

#[test]
fn without_completed_checksums_arp_and_ping_pass_and_no_tcp() {
    if !lab::has(&["ping"]) {
        return;
    }
    let Some(bump) = Bump::new(1) else { return };
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let as_it_is = |workers: &mut Workers<u64>| {
        let [left, right] = [0, 1].map(PortIndex::new);
        workers.run(|_, batch| {
            let to = if batch.port() == left { right } else { left };
            batch.iter_mut().for_each(|packet| packet.forward(to));
        })
    };
    let (stats, ()) = both(&mut workers, as_it_is, |_| {
        bump.in_left(|| {
            lab::assert_undisturbed_ping(RIGHT_IP.into(), 100);
            lab::assert_undisturbed_ping(RIGHT_IP6.into(), 100);
            let told = lab::run(&format!("ip neigh show {RIGHT_IP}"));
            assert!(told.contains("lladdr 02:00:00:00:09:02"), "{told}");
        });
        let listener = bump.in_right(|| TcpListener::bind((RIGHT_IP, 0))).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let patience = Duration::from_secs(2);
        let refused = bump.in_left(|| TcpStream::connect_timeout(&address, patience)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
        bump.in_right(|| lab::wait_until("a wrong checksum", || tcp_errors() > 0));
    });
    stats.unwrap();
}

#[test]
fn interfaces_in_different_namespaces_share_a_umem() {
    let Some(bump) = Bump::new(2) else { return };
    let mut hosts = Host::both(&bump);
    let (here, there) = (bump.ours(), bump.part());
    let again = [&here, &there].map(|namespace| namespace.try_clone().unwrap());
    let builder = FluxBuilder::new(LEFT).filter(Filter::Everything).promiscuous(true);
    let builder = builder.netns(here).port(RIGHT).netns(there);
    let engine = bump.elsewhere(|| builder.build_engine()).unwrap();
    let mut workers = engine.into_workers(2, |_| 0).unwrap();
    beside(&mut workers, || exchange(&mut hosts, 20_000));
    assert_accounted(&workers);
    for (namespace, interface) in again.iter().zip([LEFT, RIGHT]) {
        use std::os::fd::AsFd;
        lab::inside(namespace.as_fd(), || {
            assert!(lab::xdp_attached(interface));
            assert_eq!(promiscuity(interface), 1);
        });
    }
    drop(workers);
    for (namespace, interface) in again.iter().zip([LEFT, RIGHT]) {
        use std::os::fd::AsFd;
        lab::inside(namespace.as_fd(), || assert_clean(interface));
    }
}

#[test]
fn another_filter_while_packets_flow_loses_nothing_that_both_take() {
    let Some(bump) = Bump::new(2) else { return };
    let mut hosts = Host::both(&bump);
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let ports = workers.ports().to_vec();
    let arp = Match { ether_type: Some(0x0806), ..Match::default() };
    let filters =
        [Filter::Any(vec![lab_frames()]), Filter::Any(vec![arp, lab_frames()]), Filter::Everything];
    beside(&mut workers, || {
        thread::scope(|scope| {
            let changing = scope.spawn(|| {
                for filter in filters.iter().cycle().take(500) {
                    ports.iter().for_each(|port| port.set_filter(filter).unwrap());
                    thread::yield_now();
                }
            });
            while !changing.is_finished() {
                exchange(&mut hosts, 1_000);
            }
        });
    });
    assert_accounted(&workers);
}

/// One of the two interfaces is deleted while packets flow; the other goes on.
fn goes_away(gone: &str, port: u16) {
    let Some(bump) = Bump::new(2) else { return };
    let [left, right] = Host::both(&bump);
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    let (kept, mut host, dead) =
        if gone == LEFT { (RIGHT, right, left) } else { (LEFT, left, right) };
    let (ended, ()) = both(&mut workers, cable::forward, |is_over| {
        let mut deleted = false;
        let begin = Instant::now();
        while !is_over() {
            (0..2).for_each(|queue| host.send(queue, 16));
            host.engine.flush().unwrap();
            if !deleted && host.sent[0] > 1_000 {
                lab::run(&format!("ip link del {gone}"));
                deleted = true;
            }
            assert!(begin.elapsed() < PATIENCE, "the workers go on");
            thread::yield_now();
        }
    });
    drop(dead);
    let error = ended.unwrap_err();
    assert!(error.to_string().contains(gone), "{error}");
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    assert_eq!(error.port(), Some(PortIndex::new(port)), "{error}");
    workers.remove_port(PortIndex::new(port));
    host.restart(1);
    let answer = |workers: &mut Workers<u64>| {
        workers.run(|_, batch| batch.iter_mut().for_each(fluxnet::PacketRef::send))
    };
    let (stats, ()) =
        both(&mut workers, answer, |_| exchange(std::slice::from_mut(&mut host), 10_000));
    assert!(stats.unwrap().sent >= 20_000);
    drop(workers);
    assert_clean(kept);
}

#[test]
fn a_first_port_that_goes_away_is_named_and_the_other_goes_on_without_it() {
    goes_away(LEFT, 0);
}

#[test]
fn a_second_port_that_goes_away_is_named_and_the_other_goes_on_without_it() {
    goes_away(RIGHT, 1);
}

/// Not a test: what the one below kills.
#[test]
#[ignore = "waits to be killed"]
fn forward_until_killed() {
    let mut workers = cable::open(FluxBuilder::new(LEFT), RIGHT).unwrap();
    println!("\nFORWARDING");
    cable::forward(&mut workers).unwrap();
}

/// A forwarder in a process of its own, in the calling thread's namespace; killed on drop.
struct Forwarder(Child);

impl Forwarder {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ports::forward_until_killed", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = Self(child);
        assert!(lines.any(|line| line.unwrap() == "FORWARDING"));
        started
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_forwarder_leaves_both_interfaces_clean_for_the_next() {
    if !lab::has(&["ping"]) {
        return;
    }
    let Some(bump) = Bump::new(2) else { return };
    [LEFT, RIGHT].into_iter().for_each(assert_clean);
    for _ in 0..2 {
        let forwarder = Forwarder::start();
        for interface in [LEFT, RIGHT] {
            assert!(lab::xdp_attached(interface), "{interface}");
            assert_eq!(promiscuity(interface), 1, "{interface}");
        }
        bump.in_left(|| lab::assert_undisturbed_ping(RIGHT_IP.into(), 20));
        drop(forwarder);
        for interface in [LEFT, RIGHT] {
            lab::wait_until("no program", || !lab::xdp_attached(interface));
            lab::wait_until("no promiscuous interface", || promiscuity(interface) == 0);
        }
    }
}

#[test]
fn an_interface_is_promiscuous_as_long_as_it_is_open_and_only_where_it_was_asked_for() {
    let Some(_bump) = Bump::new(1) else { return };
    let open = |builder: FluxBuilder| builder.build_engine().unwrap();
    let first = open(FluxBuilder::new(LEFT).promiscuous(true).port(RIGHT).promiscuous(false));
    assert_eq!([LEFT, RIGHT].map(promiscuity), [1, 0]);
    drop(first);
    assert_eq!([LEFT, RIGHT].map(promiscuity), [0, 0]);
    let both = open(FluxBuilder::new(LEFT).promiscuous(true).port(RIGHT));
    assert_eq!([LEFT, RIGHT].map(promiscuity), [1, 1]);
    let port = both.ports()[1].clone();
    drop(both);
    assert_eq!([LEFT, RIGHT].map(promiscuity), [1, 1], "a handle keeps all of it open");
    drop(port);
    assert_eq!([LEFT, RIGHT].map(promiscuity), [0, 0]);
}
