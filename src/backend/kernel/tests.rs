//! The real kernel over a veth pair, in namespaces of the test's own.

use super::*;
use crate::backend::filter::Match;
use crate::backend::{Opened, Place, PortPlan};
use crate::config::limits::QueueCounts;
use crate::config::{AttachMode, BindMode, Config, HugePages, Pages, Poller};
use crate::error::{Advice, ErrorKind};
use crate::lab::{self, ETH_LAB, Lab, OUR_MAC, OURS, PATIENCE, PEER_MAC, Wire, lab_frame};
use crate::life::Link;
use crate::proto::build::{self, Link as Ethernet, Net};
use crate::proto::{IpPair, MacAddr, UdpRepr};
use crate::socket::{Number, Queue};
use crate::sys::hugepages;
use crate::umem::{Buffer, FrameCache};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What the tests send to themselves, and nothing else.
fn lab_frames() -> Filter {
    Filter::Any(vec![Match { ether_type: Some(ETH_LAB), ..Match::default() }])
}

fn config() -> Config {
    Config { huge_pages: HugePages::Off, ..Config::new(OURS) }
}

/// The one port, and its queues.
const PORT: PortIndex = PortIndex::new(0);

fn at(queue: usize) -> QueueIndex {
    QueueIndex::at(queue)
}

/// Opened sockets with their fill rings filled, as the modes have them.
struct Rig {
    sockets: Vec<Queue>,
    cache: FrameCache,
    umem: Arc<Umem>,
    backend: Arc<dyn Backend>,
}

const RING: u32 = 64;

impl Rig {
    fn open(config: &Config, queues: &[u32], filter: &Filter) -> Result<Self> {
        let frames = 4 * RING * queues.len() as u32;
        let bytes = (frames * config.frame_size) as usize;
        let (region, _) = region(bytes, config.huge_pages)?;
        let umem = Arc::new(Umem::new(region, config.frame_size).with_stamps(config.rx_timestamps));
        let plan = PortPlan {
            config: config.clone(),
            filter: filter.clone(),
            queues: queues.to_vec(),
            tx_available: u32::MAX,
            ring_size: RING,
            place: Place::default(),
        };
        let Opened { backend, rings } = open(&[plan], &umem)?;
        let number = |queue| Number { port: PORT, queue: at(queue), sends: true };
        let queue = |(n, set)| Queue::new(set, number(n), &backend, &umem, RING, config);
        let sockets = rings.into_iter().enumerate().map(queue).collect();
        let cache = FrameCache::new(&umem, 1);
        let mut rig = Self { sockets, cache, umem, backend };
        for socket in &mut rig.sockets {
            socket.rx.refill(&mut rig.cache, false)?;
        }
        Ok(rig)
    }

    fn start(config: &Config, queues: &[u32], filter: &Filter) -> Result<(Self, Granted)> {
        let rig = Self::open(config, queues, filter)?;
        let granted = rig.backend.start()?.remove(0);
        Ok((rig, granted))
    }

    fn send(&mut self, queue: usize, frame: &[u8]) {
        let tx = &mut self.sockets[queue].tx;
        let mut buffer = self.umem.alloc_buffer(256, frame.len() as u32).unwrap().unwrap();
        self.umem.packet_mut(&mut buffer).copy_from_slice(frame);
        tx.tx.reserve(1).push(buffer).unwrap();
        tx.flush().unwrap();
    }

    fn reap(&mut self, queue: usize) {
        self.sockets[queue].tx.reap(&mut self.cache);
        self.cache.give_back();
    }

    /// Whether one of these queues is ready before the time is over.
    fn wait<const N: usize>(&self, queues: [usize; N], what: Interest, time: Duration) -> bool {
        self.backend.wait(&queues.map(at), what, Some(time)).unwrap()
    }

    fn counters(&self) -> Vec<QueueCounters> {
        self.backend.queue_counters(PORT).unwrap()
    }

    /// The next packet on queue position `queue` and its receive stamp.
    fn recv(&mut self, queue: usize) -> (Vec<u8>, Option<u64>) {
        assert!(self.wait([queue], Interest::Rx, PATIENCE), "a packet");
        let mut got: Option<Buffer> = None;
        self.sockets[queue].rx.rx.receive(1, |buffer| got = Some(buffer));
        let buffer = got.unwrap();
        let packet = self.umem.packet(&buffer).to_vec();
        let stamp = self.umem.rx_timestamp(&buffer);
        self.umem.free(buffer.frame);
        self.sockets[queue].rx.refill(&mut self.cache, false).unwrap();
        (packet, stamp)
    }

    /// Every frame is somewhere: free, or posted for reception.
    fn assert_frames_conserved(&mut self) {
        let Self { sockets, cache, .. } = self;
        lab::wait_until("all completions", || {
            sockets.iter_mut().all(|s| {
                s.tx.reap(cache);
                s.tx.held() == 0
            })
        });
        cache.give_back();
        let posted: u64 = sockets.iter().map(|s| s.rx.held()).sum();
        assert_eq!(u64::from(self.umem.free_hint()) + posted, u64::from(self.umem.frames()));
        assert_eq!(self.umem.held_by_user().unwrap_or(0), 0);
    }
}

fn to_us(payload: &[u8]) -> Vec<u8> {
    lab_frame(PEER_MAC, OUR_MAC, payload)
}

fn to_peer(payload: &[u8]) -> Vec<u8> {
    lab_frame(OUR_MAC, PEER_MAC, payload)
}

fn sends_and_receives(attach: AttachMode, granted_as: Attached) {
    let Some(lab) = Lab::veth(1) else { return };
    let config = Config { attach, ..config() };
    let (mut rig, granted) = Rig::start(&config, &[0], &lab_frames()).unwrap();
    assert_eq!(granted.attach, granted_as);
    assert_eq!((granted.zero_copy, granted.queues.as_slice()), (false, &[0][..]));
    assert_eq!(granted.driver.as_deref(), Some("veth"));
    let wire = lab.wire();
    for n in 0..200u8 {
        rig.send(0, &to_peer(&[n; 80]));
        rig.reap(0);
        assert_eq!(wire.recv_type(ETH_LAB, PATIENCE).unwrap(), to_peer(&[n; 80]));
        wire.send(&to_us(&[n; 100]));
        assert_eq!(rig.recv(0), (to_us(&[n; 100]), None));
    }
    rig.assert_frames_conserved();
    assert_eq!(rig.backend.stats(at(0)).unwrap().rx_dropped, 0);
    let counters = rig.counters();
    assert_eq!((counters[0].redirected, counters[0].no_socket), (200, 0));
}

#[test]
fn frames_cross_a_veth_pair_in_native_mode() {
    sends_and_receives(AttachMode::Native, Attached::Native);
}

#[test]
fn frames_cross_a_veth_pair_in_skb_mode() {
    sends_and_receives(AttachMode::Skb, Attached::Skb);
}

#[test]
fn auto_is_native_where_the_driver_has_it() {
    sends_and_receives(AttachMode::Auto, Attached::Native);
}

#[test]
fn two_queues_share_one_umem() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    assert_eq!(queue_counts(OURS, &Place::default()).unwrap(), QueueCounts { rx: 2, tx: 2 });
    let (mut rig, granted) = Rig::start(&config(), &[0, 1], &lab_frames()).unwrap();
    assert_eq!(granted.queues, [0, 1]);
    let wire = lab.wire();
    for n in 0..50u8 {
        for queue in 0..2 {
            wire.send_on(queue, &to_us(&[n, queue as u8]));
        }
        for queue in 0..2u8 {
            let (packet, _) = rig.recv(queue.into());
            assert_eq!(packet, to_us(&[n, queue]));
            rig.send(queue.into(), &to_peer(&[n, queue, 7]));
            assert_eq!(wire.recv_type(ETH_LAB, PATIENCE).unwrap(), to_peer(&[n, queue, 7]));
        }
    }
    let redirected: Vec<_> = rig.counters().iter().map(|c| c.redirected).collect();
    assert_eq!(redirected, [50, 50]);
    rig.assert_frames_conserved();
}

#[test]
fn waiting_on_two_queues_ends_when_either_has_a_packet() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0, 1], &lab_frames()).unwrap();
    let wire = lab.wire();
    for queue in [1, 0] {
        wire.send_on(queue, &to_us(b"x"));
        assert!(rig.wait([0, 1], Interest::Rx, PATIENCE));
        assert_eq!(rig.recv(queue as usize).0, to_us(b"x"));
    }
    let before = clock::monotonic_ns();
    let long = Duration::from_millis(450);
    assert!(!rig.wait([0, 1], Interest::Rx, long));
    let waited = clock::monotonic_ns() - before;
    assert!(waited >= nanos(long), "longer than a pulse");
    assert!(waited < 10 * nanos(long), "{waited} ns");
    assert!(rig.wait([0, 1], Interest::Tx, PATIENCE), "TX has room");
}

fn stamps(attach: AttachMode) {
    let Some(lab) = Lab::veth(1) else { return };
    let config = Config { attach, rx_timestamps: true, ..config() };
    let (mut rig, _) = Rig::start(&config, &[0], &lab_frames()).unwrap();
    let wire = lab.wire();
    let mut last = 0;
    for n in 0..100u8 {
        let before = rig.backend.now();
        wire.send(&to_us(&[n]));
        let (packet, stamp) = rig.recv(0);
        let stamp = stamp.unwrap();
        assert_eq!(packet, to_us(&[n]));
        assert!(before <= stamp && stamp <= rig.backend.now() && last < stamp);
        last = stamp;
    }
    assert_eq!(rig.counters()[0].no_meta, 0);
}

#[test]
fn receive_stamps_lie_between_sending_and_receiving_in_native_mode() {
    stamps(AttachMode::Native);
}

#[test]
fn receive_stamps_lie_between_sending_and_receiving_in_skb_mode() {
    stamps(AttachMode::Skb);
}

#[test]
fn what_does_not_match_goes_on_to_the_kernel() {
    if !lab::has(&["ping"]) {
        return;
    }
    let Some(lab) = Lab::veth(1) else { return };
    let lab = lab.with_neighbours();
    let (rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    // Our kernel answers its own pings, in both families.
    lab.run_in_peer("ping -q -c 3 -i 0.01 -W 60 10.9.0.1");
    lab.run_in_peer("ping -q -c 3 -i 0.01 -W 60 fd09::1");
    let counters = rig.counters();
    assert!(counters[0].passed >= 6, "{counters:?}");
    assert_eq!(counters[0].redirected, 0);
    assert_eq!(rig.sockets[0].rx.rx.waiting(), 0);
}

#[test]
fn everything_is_ours_when_asked_for() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0], &Filter::Everything).unwrap();
    let arp = [&[0xff; 6][..], &PEER_MAC, &[8, 6], &[0; 46]].concat();
    lab.wire().send(&arp);
    // The peer's kernel reports its multicast groups meanwhile, and that is ours too.
    while rig.recv(0).0 != arp {}
}

#[test]
fn a_new_filter_takes_effect_on_the_live_program() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rig, granted) = Rig::start(&config(), &[0], &Filter::Nothing).unwrap();
    assert_eq!(granted.attach, Attached::None);
    assert_eq!(rig.counters(), []);
    let (wire, kernel) = (lab.wire(), Wire::open(OURS).unwrap());
    for n in 0..20u8 {
        rig.backend.set_filter(PORT, &lab_frames()).unwrap();
        wire.send(&to_us(&[n]));
        assert_eq!(rig.recv(0).0, to_us(&[n]));
        rig.backend.set_filter(PORT, &Filter::Nothing).unwrap();
        wire.send(&to_us(b"passed"));
        // Before the next filter is there. None of the others came this way.
        assert_eq!(kernel.recv_type(ETH_LAB, PATIENCE), Some(to_us(b"passed")));
    }
    let counters = rig.counters()[0];
    assert_eq!(counters.redirected, 20);
    assert!(counters.passed >= 20, "the peer's kernel has something to say, too: {counters:?}");
    let many = Filter::Any(vec![Match::default(); 33]);
    let error = rig.backend.set_filter(PORT, &many).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("at most 32"), "{error}");
}

/// Says stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn each_packet_is_judged_by_one_whole_filter_while_it_is_replaced() {
    let Some(lab) = Lab::veth(1) else { return };
    let link = Ethernet::new(MacAddr(PEER_MAC), MacAddr(OUR_MAC));
    // To nobody here, so that our kernel has no answer.
    let pair = IpPair::new([10, 9, 0, 2].into(), [192, 0, 2, 9].into()).unwrap();
    let packet = |port: u16, number: u32| {
        let header = UdpRepr { src_port: 7, dst_port: port };
        let mut packet = vec![0; 100];
        let payload = number.to_be_bytes();
        let len = build::udp(&mut packet, &link, &Net::new(pair), &header, &payload).unwrap();
        packet.truncate(len);
        packet
    };
    let row = |port: u16| Match { dst_ports: Some(port..=port), ..Match::default() };
    let sets = [
        Filter::Any(vec![row(1000), row(3000)]),
        Filter::Any(vec![row(3000), row(4000), row(2000)]),
    ];
    let (mut rig, _) = Rig::start(&config(), &[0], &sets[0]).unwrap();
    let (wire, kernel) = (lab.wire(), Wire::open(OURS).unwrap());
    let (backend, replaced, stop) =
        (Arc::clone(&rig.backend), AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for set in sets.iter().cycle().skip(1) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                backend.set_filter(PORT, set).unwrap();
                replaced.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = Stop(&stop); // also when an assertion fails
        let (mut number, mut ways) = (0, [[0u32; 2]; 3]);
        while number < 1000 || replaced.load(Ordering::Relaxed) < 30 {
            number += 1;
            for (which, port) in [1000, 2000, 3000].into_iter().enumerate() {
                let packet = packet(port, number);
                wire.send(&packet);
                let taken = lab::wait_for("the packet", || {
                    if rig.sockets[0].rx.rx.waiting() > 0 {
                        return Some(true);
                    }
                    let passed = kernel.recv_type(0x0800, Duration::ZERO)?;
                    assert_eq!(passed, packet);
                    Some(false)
                });
                if taken {
                    assert_eq!(rig.recv(0).0, packet);
                }
                ways[which][usize::from(taken)] += 1;
                // Nothing came both ways.
                assert_eq!(rig.sockets[0].rx.rx.waiting(), 0);
            }
        }
        let [first, second, both] = ways;
        assert_eq!(both, [0, number], "a row of both sets");
        assert!(first.iter().chain(&second).all(|&count| count > 0), "{ways:?}");
        assert_eq!(first[0] + first[1] + second[0] + second[1], 2 * number);
    });
}

#[test]
fn packets_on_a_queue_without_a_socket_are_counted_and_passed() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    let wire = lab.wire();
    let kernel = Wire::open(OURS).unwrap();
    wire.send_on(1, &to_us(b"lost"));
    wire.send_on(0, &to_us(b"found"));
    assert_eq!(rig.recv(0).0, to_us(b"found"));
    assert_eq!(kernel.recv_type(ETH_LAB, PATIENCE), Some(to_us(b"lost")));
    let counters = rig.counters();
    assert_eq!((counters[0].redirected, counters[0].no_socket), (1, 0));
    assert_eq!((counters[1].redirected, counters[1].no_socket), (0, 1));
}

#[test]
fn a_full_ring_is_sent_with_one_kick() {
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0], &Filter::Nothing).unwrap();
    let wire = lab.wire();
    let frame = to_peer(&[5; 40]);
    {
        let mut slots = rig.sockets[0].tx.tx.reserve(RING);
        while slots.room() > 0 {
            let mut buffer = rig.umem.alloc_buffer(0, frame.len() as u32).unwrap().unwrap();
            rig.umem.packet_mut(&mut buffer).copy_from_slice(&frame);
            slots.push(buffer).unwrap();
        }
    }
    assert!(rig.sockets[0].tx.flush().unwrap());
    for _ in 0..RING {
        assert_eq!(wire.recv_type(ETH_LAB, PATIENCE).as_ref(), Some(&frame));
    }
    rig.assert_frames_conserved();
}

#[test]
fn a_descriptor_outside_the_umem_is_counted() {
    let Some(_lab) = Lab::veth(1) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0], &Filter::Nothing).unwrap();
    let bad = crate::ring::Desc { addr: 1 << 40, len: 60, options: 0 };
    // SAFETY: the descriptor names no frame of the UMEM.
    assert!(unsafe { rig.sockets[0].tx.tx.reserve(1).push_desc(bad) });
    rig.backend.kick_tx(at(0)).unwrap();
    assert_eq!(rig.backend.stats(at(0)).unwrap().tx_invalid_descs, 1);
}

#[test]
fn a_packet_without_a_free_frame_is_dropped_and_counted() {
    let Some(lab) = Lab::veth(1) else { return };
    let (rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    let wire = lab.wire();
    for _ in 0..2 * RING {
        wire.send(&to_us(b"flood"));
    }
    // The program counts a packet before the socket does.
    lab::wait_until("a count of what was dropped", || {
        let stats = rig.backend.stats(at(0)).unwrap();
        let dropped = stats.rx_fill_ring_empty_descs + stats.rx_ring_full;
        assert!(dropped <= u64::from(RING), "{stats:?}");
        dropped == u64::from(RING)
    });
    assert_eq!(rig.counters()[0].redirected, u64::from(2 * RING));
    assert_eq!(rig.sockets[0].rx.rx.waiting(), RING);
}

fn refused(config: &Config, queues: &[u32], filter: &Filter) -> FluxError {
    match Rig::start(config, queues, filter) {
        Ok((_, granted)) => panic!("granted: {granted:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_queue_that_is_taken_is_busy() {
    let Some(_lab) = Lab::veth(2) else { return };
    let (_first, _) = Rig::start(&config(), &[0], &Filter::Nothing).unwrap();
    let error = refused(&config(), &[0], &Filter::Nothing);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().starts_with("cannot bind to flux0 queue 0: "), "{error}");
    let error = refused(&config(), &[1, 0], &Filter::Nothing);
    assert!(error.to_string().starts_with("cannot bind to flux0 queue 0: "), "{error}");
    // What failed left nothing behind.
    Rig::start(&config(), &[1], &Filter::Nothing).unwrap();
}

#[test]
fn an_interface_with_another_program_is_busy_and_the_program_is_named() {
    let Some(_lab) = Lab::veth(2) else { return };
    for first in [AttachMode::Native, AttachMode::Skb] {
        let (_rig, _) =
            Rig::start(&Config { attach: first, ..config() }, &[0], &lab_frames()).unwrap();
        for attach in [AttachMode::Auto, AttachMode::Native, AttachMode::Skb] {
            let error = refused(&Config { attach, ..config() }, &[1], &lab_frames());
            assert_eq!(error.kind(), ErrorKind::Busy);
            let text = error.to_string();
            // It is this process's own.
            let begin =
                "cannot attach XDP to flux0: this process has it open already (XDP program ";
            assert!(text.starts_with(begin), "{text}");
            assert!(text.ends_with(&format!(", flux_redirect, {first} mode)")), "{text}");
            assert_eq!(error.hint(), Some("close it there first"));
        }
    }
}

#[test]
fn a_queue_can_be_opened_again_as_soon_as_it_is_closed() {
    let Some(lab) = Lab::veth(1) else { return };
    let wire = lab.wire();
    for n in 0..10u8 {
        let (mut rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
        wire.send(&to_us(&[n]));
        assert_eq!(rig.recv(0).0, to_us(&[n]));
    }
    lab::wait_until("no program", || !lab::xdp_attached(OURS));
}

#[test]
fn a_queue_out_of_range_names_the_range() {
    let Some(_lab) = Lab::veth(2) else { return };
    let error = refused(&config(), &[0, 5], &Filter::Nothing);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "cannot bind to flux0 queue 5: no such queue: it has queues 0 to 1"
    );
}

#[test]
fn an_interface_that_is_missing_or_down_is_said_to_be() {
    let Some(lab) = Lab::veth(1) else { return };
    for error in [
        queue_counts("nope0", &Place::default()).unwrap_err(),
        refused(&Config { interface: "nope0".into(), ..config() }, &[0], &lab_frames()),
    ] {
        assert_eq!(error.kind(), ErrorKind::Device);
        assert_eq!(error.to_string(), "cannot open nope0: no such interface");
        assert!(error.hint().unwrap().contains("ip -brief link"));
    }
    lab.run("ip link set flux0 down");
    let error = refused(&config(), &[0], &lab_frames());
    assert_eq!(error.kind(), ErrorKind::Device);
    assert_eq!(error.to_string(), "cannot open flux0: the interface is down");
    assert!(error.hint().unwrap().contains("ip link set flux0 up"));
}

/// Does `act` to our interface while `until_error` runs, and returns the error that ends it.
fn while_it_goes(
    config: &Config,
    act: impl FnOnce() + Send,
    until_error: impl Fn(&dyn Backend) -> FluxError,
) -> FluxError {
    let (rig, _) = Rig::start(config, &[0], &lab_frames()).unwrap();
    let error = std::thread::scope(|scope| {
        scope.spawn(act);
        until_error(&*rig.backend)
    });
    assert_eq!(error.port(), Some(PORT), "{error}");
    error
}

#[test]
fn waiting_for_packets_ends_when_frames_are_freed_for_a_receiver_that_has_none() {
    let Some(_lab) = Lab::veth(1) else { return };
    let (rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    for _ in 0..2 {
        let frame = rig.umem.alloc().unwrap();
        let _ = rig.umem.wait_for_frames();
        std::thread::scope(|scope| {
            scope.spawn(|| rig.umem.free(frame));
            assert!(rig.wait([0], Interest::Rx, PATIENCE), "woken");
        });
        assert!(!rig.wait([0], Interest::Rx, Duration::ZERO), "once, and there is no packet");
    }
    let frame = rig.umem.alloc().unwrap();
    rig.umem.free(frame);
    assert!(!rig.wait([0], Interest::Rx, Duration::ZERO), "nobody waited for it");
}

/// Every way to wait, each until it ends with an error.
const WAYS: [fn(&dyn Backend) -> Option<FluxError>; 5] = [
    |backend| backend.wait(&[at(0)], Interest::Rx, None).err(),
    |backend| backend.wait(&[at(0)], Interest::Tx, Some(Duration::from_millis(10))).err(),
    |backend| backend.spin(&[at(0)], None).err(),
    |backend| backend.kick_tx(at(0)).err(),
    |backend| backend.look(&[at(0)]).err(),
];

fn error_of(way: fn(&dyn Backend) -> Option<FluxError>) -> impl Fn(&dyn Backend) -> FluxError {
    move |backend| std::iter::repeat_with(|| way(backend)).flatten().next().unwrap()
}

#[test]
fn every_wait_ends_with_an_error_when_the_interface_goes() {
    for way in WAYS {
        for move_it in [false, true] {
            let Some(_lab) = Lab::veth(1) else { return };
            let act = move || {
                if move_it {
                    lab::give_away(OURS);
                } else {
                    lab::run("ip link del flux0");
                }
            };
            let error = while_it_goes(&config(), act, error_of(way));
            assert_eq!(error.kind(), ErrorKind::Device);
            assert!(error.to_string().starts_with("cannot use flux0: the interface is gone"));
        }
    }
}

#[test]
fn a_lost_link_is_a_state_and_ends_a_wait_after_its_timeout_alone() {
    let timed = Config { link_timeout: Some(Duration::from_millis(300)), ..config() };
    for way in [WAYS[0], WAYS[2], WAYS[4]] {
        let Some(_lab) = Lab::veth(1) else { return };
        let act = || drop(lab::run("ip link set flux0 down"));
        let error = while_it_goes(&timed, act, error_of(way));
        let want = "cannot wait for the link of flux0: it has been down for 300ms";
        assert_eq!(error.kind(), ErrorKind::NoLink);
        assert_eq!(error.to_string(), want);
    }
    let Some(lab) = Lab::veth(1) else { return };
    let (mut rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    let state = |rig: &Rig| rig.backend.state(PORT);
    assert_eq!((state(&rig).link, state(&rig).link_losses), (Link::Up, 0));
    for (how, losses) in [(Link::Down, 1), (Link::NoCarrier, 2)] {
        let set = |what: &str| match how {
            Link::Down => lab.run(&format!("ip link set flux0 {what}")),
            _ => lab.run_in_peer(&format!("ip link set flux1 {what}")),
        };
        set("down");
        lab::wait_until("a link that is lost", || state(&rig).link == how);
        assert!(!rig.wait([0], Interest::Rx, Duration::from_millis(10)), "it goes on");
        if how == Link::Down {
            assert_eq!(rig.backend.kick_tx(at(0)).unwrap(), Kick::Again);
        }
        set("up");
        lab::wait_until("the link", || state(&rig).link == Link::Up);
        assert_eq!(state(&rig).link_losses, losses);
        let wire = lab.wire();
        wire.send(&to_us(b"back"));
        assert_eq!(rig.recv(0).0, to_us(b"back"));
    }
    lab.run("ip link set flux0 mtu 1300");
    lab::wait_until("the MTU", || state(&rig).mtu == 1300);
    rig.assert_frames_conserved();
}

/// Detaches our program as `bpftool link detach` does: by a descriptor of somebody's own.
fn detach(rig: &Rig) {
    assert_eq!(rig.backend.state(PORT).link, Link::Up);
    lab::detach::detach_xdp(OURS);
}

#[test]
fn a_program_that_somebody_detached_is_noticed_and_named() {
    for way in [WAYS[0], WAYS[2], WAYS[4]] {
        let Some(_lab) = Lab::veth(1) else { return };
        let (rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
        detach(&rig);
        let start = clock::monotonic_ns();
        let error = error_of(way)(&*rig.backend);
        assert!(clock::monotonic_ns() - start < 1_000_000_000, "noticed within a second");
        assert_eq!((error.kind(), error.port()), (ErrorKind::Detached, Some(PORT)));
        let want = "cannot receive on flux0: somebody detached its XDP program";
        assert_eq!(error.to_string(), want);
        assert!(rig.backend.state(PORT).detached);
        assert!(rig.backend.wait(&[at(0)], Interest::Tx, None).unwrap(), "it still sends");
    }
}

#[test]
fn zero_copy_by_name_is_refused_where_the_driver_has_none() {
    let Some(_lab) = Lab::veth(1) else { return };
    let config = Config { bind: BindMode::ZeroCopy, ..config() };
    for filter in [lab_frames(), Filter::Nothing] {
        let error = refused(&config, &[0], &filter);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        assert_eq!(error.advice(), Some(Advice::CopyMode), "{error:?}");
    }
    let skb = Config { attach: AttachMode::Skb, ..config };
    let error = refused(&skb, &[0], &lab_frames());
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.advice(), Some(Advice::CopyOrNativeMode));
}

#[test]
fn an_mtu_beyond_a_frame_is_a_note_and_too_large_ones_fall_back_to_skb_mode() {
    let Some(lab) = Lab::veth(1) else { return };
    let mtu = |bytes: u32| {
        lab.run(&format!("ip link set flux0 mtu {bytes}"));
        lab.run_in_peer(&format!("ip link set flux1 mtu {bytes}"));
    };
    mtu(3000);
    let (rig, granted) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    assert_eq!((granted.attach, granted.mtu), (Attached::Native, 3000));
    let note = "MTU 3000 of flux0 needs more than the 1792 bytes that a frame has for it: longer \
                packets are dropped on arrival; use frames of 4096 bytes";
    assert_eq!(granted.notes, [note]);
    drop(rig);
    // What only sends has nothing to drop.
    let (_rig, granted) = Rig::start(&config(), &[0], &Filter::Nothing).unwrap();
    assert_eq!(granted.notes, Vec::<String>::new());
    drop(_rig);
    let large = Config { frame_size: 4096, ..config() };
    let (mut rig, granted) = Rig::start(&large, &[0], &lab_frames()).unwrap();
    assert_eq!((granted.attach, granted.notes), (Attached::Native, vec![]));
    lab.wire().send(&to_us(&[9; 3000]));
    assert_eq!(rig.recv(0).0, to_us(&[9; 3000]));
    drop(rig);

    mtu(9000);
    let (_rig, granted) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    assert_eq!(granted.attach, Attached::Skb);
    let notes = granted.notes.join("; ");
    assert!(notes.contains("longer packets are dropped"), "{notes}");
    assert!(notes.contains("the MTU is too large for native XDP"), "{notes}");
    drop(_rig);
    let native = Config { attach: AttachMode::Native, ..config() };
    let error = refused(&native, &[0], &lab_frames());
    assert_eq!(error.raw_os_error(), Some(libc::ERANGE));
    assert_eq!(error.advice(), Some(Advice::SkbMode));
}

#[test]
fn without_capabilities_the_missing_one_is_named() {
    let Some(_lab) = Lab::veth(1) else { return };
    let error = lab::with_capabilities(&[], || refused(&config(), &[0], &lab_frames()));
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.hint().unwrap().contains("CAP_NET_RAW"), "{error:?}");
    // The sockets may be opened by somebody who may not load programs.
    let rig = Rig::open(&config(), &[0], &lab_frames()).unwrap();
    let error = lab::with_capabilities(&[], || rig.backend.start().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.hint().unwrap().contains("CAP_BPF"), "{error:?}");
}

#[test]
fn the_capabilities_that_the_hint_names_are_enough() {
    if !lab::has_queues(2) {
        return;
    }
    let Some(lab) = Lab::veth(2) else { return };
    assert_eq!(crate::error::SETCAP, "setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep");
    let enough = [lab::CAP_NET_RAW, lab::CAP_NET_ADMIN, lab::CAP_BPF, lab::CAP_PERFMON];
    let config = Config { rx_timestamps: true, ..config() };
    let (mut rig, granted) =
        lab::with_capabilities(&enough, || Rig::start(&config, &[0, 1], &lab_frames())).unwrap();
    assert_eq!((granted.attach, granted.notes), (Attached::Native, vec![]));
    lab.wire().send_on(0, &to_us(b"hello"));
    assert_eq!(rig.recv(0).0, to_us(b"hello"));
    // Without one of them it does not work, so none is asked for in vain.
    drop(rig);
    for missing in enough {
        let some: Vec<_> = enough.into_iter().filter(|&c| c != missing).collect();
        let error = lab::with_capabilities(&some, || refused(&config, &[0, 1], &lab_frames()));
        assert_eq!(error.kind(), ErrorKind::Permission, "without {missing}: {error}");
    }
}

#[test]
fn kernel_busy_polling_is_left_alone_on_veth_and_can_be_had() {
    let Some(_lab) = Lab::veth(1) else { return };
    let config = Config { poller: Poller::Busy, ..config() };
    let (rig, granted) = Rig::start(&config, &[0], &lab_frames()).unwrap();
    assert!(!granted.kernel_busy_poll);
    rig.backend.spin(&[at(0)], None).unwrap();
    let socket = Xsk::open().unwrap();
    socket.set_busy_poll(bind::BUSY_POLL_US, 64).unwrap();
}

#[test]
fn huge_pages_are_used_when_there_are_enough() {
    // The reservation is the machine's: nobody else may count or take its pages meanwhile, nor give
    // back what is not there any more.
    let Some(_turn) = lab::alone() else { return };
    const FILE: &str = "/proc/sys/vm/nr_hugepages";
    const MIB: usize = 1 << 20;
    /// Gives the reservation back, also out of a panic.
    struct Restore(String);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = std::fs::write(FILE, &self.0);
        }
    }
    let Ok(file) = std::fs::File::open(FILE) else {
        return lab::skip("the kernel has no huge pages");
    };
    file.lock().unwrap(); // against another process that runs this test
    let reserved = std::fs::read_to_string(FILE).unwrap();
    let restore = Restore(reserved);
    let before: usize = restore.0.trim().parse().unwrap();
    if let Err(error) = std::fs::write(FILE, (before + 4).to_string()) {
        return lab::skip(&format!("huge pages are not ours to reserve: {error}"));
    }
    if hugepages::count(hugepages::HUGE_PAGE).free < 4 {
        return lab::skip("the kernel has no 4 huge pages to spare");
    }
    let (on, note) = region(3 * MIB, HugePages::On).unwrap();
    assert_eq!((on.pages(), on.len(), note), (Pages::Huge, 3 * MIB, None));
    let (auto, note) = region(3 * MIB, HugePages::Auto).unwrap();
    assert_eq!((auto.pages(), note), (Pages::Huge, None));
    let (off, note) = region(3 * MIB, HugePages::Off).unwrap();
    assert_eq!((off.pages(), note), (Pages::Ordinary, None));

    if let Some(lab) = Lab::veth(1) {
        drop(on);
        let config = Config { huge_pages: HugePages::On, ..config() };
        let (mut rig, granted) = Rig::start(&config, &[0], &lab_frames()).unwrap();
        assert_eq!(granted.pages, Pages::Huge);
        lab.wire().send(&to_us(b"huge"));
        assert_eq!(rig.recv(0).0, to_us(b"huge"));
    }

    let too_much = (hugepages::count(hugepages::HUGE_PAGE).total + 1) * hugepages::HUGE_PAGE;
    let (auto, note) = region(too_much, HugePages::Auto).unwrap();
    assert_ne!(auto.pages(), Pages::Huge);
    assert!(note.unwrap().contains("huge pages are free"));
    let (thp, _) = region(3 * MIB, HugePages::Transparent).unwrap();
    assert_eq!(
        (thp.pages(), thp.base().as_ptr() as usize % hugepages::HUGE_PAGE),
        (Pages::Transparent, 0)
    );
    let error = region(1 << 50, HugePages::Giant).err().unwrap();
    assert!(error.hint().unwrap().contains("hugepages-1048576kB"), "{error}");
    assert_eq!(error.advice(), Some(Advice::AnyPages));
    let error = region(too_much, HugePages::On).err().unwrap();
    assert!(error.to_string().contains("nr_hugepages is "), "{error}");
    assert!(error.hint().unwrap().contains("sysctl -w vm.nr_hugepages="));
}

/// Not a test: what `a_killed_owner_leaves_nothing_behind` kills.
#[test]
#[ignore = "waits to be killed"]
fn hold_the_interface() {
    let (rig, _) = Rig::start(&config(), &[0], &lab_frames()).unwrap();
    println!("\nHOLDING");
    loop {
        rig.backend.wait(&[at(0)], Interest::Rx, None).unwrap();
    }
}

#[test]
fn a_killed_owner_leaves_nothing_behind() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backend::kernel::tests::hold_the_interface", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "HOLDING"));
    assert!(lab::xdp_attached(OURS));
    child.kill().unwrap();
    child.wait().unwrap();
    lab::wait_until("no program", || !lab::xdp_attached(OURS));
    Rig::start(&config(), &[0], &lab_frames()).unwrap();
}
