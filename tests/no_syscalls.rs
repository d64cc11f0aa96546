//! In steady state a batch takes at most one system call: counted, not timed. By the library's own
//! counters on both kernels; and on the real one the library's counters by ptrace.
#![cfg(not(flux_loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests

#[cfg(all(target_os = "linux", feature = "bpf"))]
#[path = "support/lab/mod.rs"]
mod lab;

use fluxnet::simulator::Simulator;
use fluxnet::umem::{Frame, Span};
use fluxnet::{
    Calls, Filter, FluxBuilder, FluxEngine, FluxRaw, FluxRx, FluxTx, Match, PacketBatch,
    PacketView, Packets, PortIndex, Route,
};
use std::time::{Duration, Instant};

/// EtherType of the test's frames (local experimental): no kernel answers them.
const ETHER_TYPE: u16 = 0x88b5;
const BATCHES: [u32; 3] = [16, 32, 64];
/// Batches of each run: more than it takes to go once around the rings.
const ROUNDS: u32 = 100;

/// Who puts packets in front of a socket.
trait Feed {
    fn builder(&self) -> FluxBuilder;
    /// A second interface, for what is forwarded.
    fn out(&self) -> &'static str;
    /// Puts `n` packets in; they may take a moment.
    fn feed(&mut self, n: u32);
    /// Whether packets that were fed at that time may still be on their way.
    fn may_be_late(&self, fed: Instant) -> bool;
}

struct Sim(Simulator);

impl Feed for Sim {
    fn builder(&self) -> FluxBuilder {
        FluxBuilder::new("a0").simulator(&self.0)
    }

    fn out(&self) -> &'static str {
        "a1"
    }

    fn feed(&mut self, n: u32) {
        (0..n).for_each(|_| self.0.inject("a0", Some(0), &packet()).unwrap());
    }

    fn may_be_late(&self, _: Instant) -> bool {
        false
    }
}

/// The near end of a second pair; the stack at its far end knows no such packets.
#[cfg(all(target_os = "linux", feature = "bpf"))]
const OUT: &str = "out0";

#[cfg(all(target_os = "linux", feature = "bpf"))]
struct Veth {
    _lab: lab::Lab,
    wire: lab::Wire,
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
impl Veth {
    fn open() -> Option<Self> {
        let lab = lab::Lab::veth(1)?;
        let wire = lab.wire();
        let (near, far) = (OUT, "out1");
        lab::ip_batch(&format!(
            "link add {near} type veth peer name {far}\n\
             link set {near} addrgenmode none up\n\
             link set {far} addrgenmode none up\n"
        ));
        lab::wait_until("a second link", || {
            lab::run(&format!("ip link show dev {near}")).contains("LOWER_UP")
        });
        Some(Self { _lab: lab, wire })
    }
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
impl Feed for Veth {
    fn builder(&self) -> FluxBuilder {
        FluxBuilder::new(lab::OURS).bind(fluxnet::BindMode::Copy)
    }

    fn out(&self) -> &'static str {
        OUT
    }

    fn feed(&mut self, n: u32) {
        (0..n).for_each(|_| self.wire.send(&packet()));
    }

    fn may_be_late(&self, fed: Instant) -> bool {
        fed.elapsed() < lab::PATIENCE
    }
}

fn packet() -> Vec<u8> {
    let mut bytes = vec![0x5a; 60];
    bytes[..6].copy_from_slice(&[0xff; 6]);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 2]);
    bytes[12..14].copy_from_slice(&ETHER_TYPE.to_be_bytes());
    bytes
}

fn on_both(scenario: impl Fn(&mut dyn Feed)) {
    scenario(&mut Sim(Simulator::crossed_pairs(2, 1)));
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    if let Some(mut veth) = Veth::open() {
        scenario(&mut veth);
    }
}

fn open(feed: &dyn Feed, batch: u32) -> FluxBuilder {
    let ours = Match { ether_type: Some(ETHER_TYPE), ..Match::default() };
    feed.builder().filter(Filter::Any(vec![ours])).frames(1024).batch(batch)
}

/// The same, with a second port to send by.
fn two(feed: &dyn Feed, batch: u32) -> FluxBuilder {
    open(feed, batch).port(feed.out()).filter(Filter::Nothing)
}

/// One loop over a socket.
trait Work {
    /// One turn; the packets it received or, when there is nothing to receive, sent.
    fn turn(&mut self) -> u32;
    fn calls(&self) -> Calls;
}

/// Feeds a batch at a time and lets the loop work it off; returns the calls that it made, and the
/// batches that had packets.
fn batches(feed: &mut dyn Feed, work: &mut dyn Work, batch: u32) -> (Calls, u64) {
    let (mut calls, mut batches) = (Calls::default(), 0);
    for round in 0..2 * ROUNDS {
        feed.feed(batch);
        let (before, fed, mut left) = (work.calls(), Instant::now(), batch);
        while left > 0 {
            let n = work.turn();
            left -= n;
            // The first half warms up: TX and completion rings get going.
            batches += u64::from(n > 0 && round >= ROUNDS);
            assert!(n > 0 || feed.may_be_late(fed), "{left} packets of a batch did not come");
        }
        if round >= ROUNDS {
            calls = calls + work.calls().since(&before);
        }
    }
    assert!(batches >= u64::from(ROUNDS));
    (calls, batches)
}

/// Mode A.
struct Engine(FluxEngine, fn(&mut PacketBatch<'_>));

impl Work for Engine {
    fn turn(&mut self) -> u32 {
        self.0.turn(self.1, None).unwrap() as u32
    }

    fn calls(&self) -> Calls {
        self.0.calls()
    }
}

/// Mode B.
struct System {
    rx: FluxRx,
    tx: FluxTx,
    forward: bool,
    /// Packets leave by that port, and not by the one that they came from.
    out: Option<PortIndex>,
    packets: Packets,
}

impl Work for System {
    fn turn(&mut self) -> u32 {
        let n = self.rx.try_recv(&mut self.packets).unwrap();
        if self.forward && n > 0 {
            if let Some(out) = self.out {
                self.packets.iter_mut().for_each(|mut packet| packet.set_port(out));
            }
            assert_eq!(self.tx.send_batch(&mut self.packets).unwrap().sent, n);
            self.tx.flush().unwrap();
        }
        self.packets.clear();
        n as u32
    }

    fn calls(&self) -> Calls {
        self.rx.calls()
    }
}

/// Works off up to a batch; how many packets that was.
type OneBatch = fn(&mut FluxRaw, u32) -> u32;

/// Mode C.
struct Raw {
    raw: FluxRaw,
    batch: u32,
    work: OneBatch,
}

impl Work for Raw {
    fn turn(&mut self) -> u32 {
        (self.work)(&mut self.raw, self.batch)
    }

    fn calls(&self) -> Calls {
        self.raw.calls()
    }
}

fn kick(raw: &FluxRaw) {
    if raw.tx.pending() > 0 && raw.tx.needs_wakeup() {
        raw.kick_tx().unwrap();
    }
}

fn forward(raw: &mut FluxRaw, batch: u32) -> u32 {
    raw.comp.refill(&mut raw.fill, u32::MAX);
    let FluxRaw { rx, tx, fill, .. } = raw;
    let routed = rx.route(fill, [tx], batch, |packet| {
        packet.data_mut()[14] ^= 1;
        Route::Send(0)
    });
    assert!(raw.flush().unwrap());
    routed.sent
}

fn recycle(raw: &mut FluxRaw, batch: u32) -> u32 {
    raw.rx.route(&mut raw.fill, [], batch, |_| Route::Recycle).packets
}

/// Forwarding by tokens, as the first programs do it.
fn forward_tokens(raw: &mut FluxRaw, batch: u32) -> u32 {
    let mut frames: Vec<Frame> = Vec::new();
    raw.comp.reap(u32::MAX, |frame| frames.push(frame));
    let mut packets = Vec::new();
    let n = raw.rx.receive(batch, |buffer| packets.push(buffer));
    let mut room = raw.tx.reserve(n);
    packets.into_iter().for_each(|buffer| room.push(buffer).unwrap());
    drop(room);
    kick(raw);
    raw.fill.post(&mut frames, u32::MAX);
    assert!(frames.is_empty());
    n
}

fn send(raw: &mut FluxRaw, batch: u32) -> u32 {
    let span = Span::new(256, 60, raw.umem().frame_size()).unwrap();
    let mut n = raw.comp.resend(&mut raw.tx, span, batch);
    let umem = std::sync::Arc::clone(raw.umem());
    let mut room = raw.tx.reserve(batch - n);
    while room.room() > 0
        && let Some(mut buffer) = umem.alloc_buffer(256, 60).unwrap()
    {
        umem.packet_mut(&mut buffer).copy_from_slice(&packet());
        room.push(buffer).unwrap();
        n += 1;
    }
    drop(room);
    kick(raw);
    n
}

fn system(builder: FluxBuilder, forward: bool) -> System {
    let (rx, tx) = builder.build_system().unwrap();
    System { rx, tx, forward, out: None, packets: Packets::new() }
}

/// Mode C between two ports: what came in on the first leaves by the second, whose completions
/// refill the first.
struct TwoPorts {
    from: FluxRaw,
    to: FluxRaw,
    batch: u32,
}

impl Work for TwoPorts {
    fn turn(&mut self) -> u32 {
        let Self { from, to, batch } = self;
        to.comp.refill(&mut from.fill, u32::MAX);
        let FluxRaw { rx, fill, .. } = from;
        let routed = rx.route(fill, [&mut to.tx], *batch, |_| Route::Send(0));
        assert!(to.flush().unwrap());
        routed.sent
    }

    fn calls(&self) -> Calls {
        self.from.calls() + self.to.calls()
    }
}

/// One kick for each batch at most, and nothing besides.
fn at_most_one(name: &str, batch: u32, (calls, batches): (Calls, u64)) {
    let told = format!("{name}, batch {batch}: {calls:?} for {batches} batches");
    assert_eq!((calls.rx_kicks, calls.waits), (0, 0), "{told}");
    assert!(calls.tx_kicks <= batches, "{told}");
    assert_eq!(calls.total(), calls.tx_kicks, "{told}");
}

#[test]
fn forwarding_takes_at_most_one_call_a_batch_in_every_mode() {
    on_both(|feed| {
        for batch in BATCHES {
            let engine = open(feed, batch).build_engine().unwrap();
            let all = |batch: &mut PacketBatch<'_>| batch.iter_mut().for_each(|p| p.send());
            at_most_one("mode A", batch, batches(feed, &mut Engine(engine, all), batch));
            let mut both = system(open(feed, batch), true);
            at_most_one("mode B", batch, batches(feed, &mut both, batch));
            drop(both);
            for (name, work) in [("moves", forward as OneBatch), ("mode C", forward_tokens)] {
                let raw = open(feed, batch).build_raw().unwrap();
                let mut work = Raw { raw, batch, work };
                at_most_one(name, batch, batches(feed, &mut work, batch));
            }
        }
    });
}

/// Of both ports together: the one that receives makes none.
#[test]
fn forwarding_between_two_ports_takes_at_most_one_call_a_batch_in_every_mode() {
    const OUT: PortIndex = PortIndex::new(1);
    on_both(|feed| {
        for batch in BATCHES {
            let engine = two(feed, batch).build_engine().unwrap();
            let all = |batch: &mut PacketBatch<'_>| batch.iter_mut().for_each(|p| p.forward(OUT));
            let mut engine = Engine(engine, all);
            at_most_one("mode A", batch, batches(feed, &mut engine, batch));
            let (port, stats) = (&engine.0.ports()[0], engine.0.stats());
            assert_eq!((port.calls().total(), stats.sent), (0, stats.received));
            drop(engine);
            let mut both = System { out: Some(OUT), ..system(two(feed, batch), true) };
            at_most_one("mode B", batch, batches(feed, &mut both, batch));
            drop(both);
            let mut queues = two(feed, batch).build_raw_queues().unwrap().into_iter();
            let (from, to) = (queues.next().unwrap(), queues.next().unwrap());
            let mut work = TwoPorts { from, to, batch };
            at_most_one("mode C", batch, batches(feed, &mut work, batch));
            assert_eq!(work.from.calls(), Calls::default(), "it receives, and sends nothing");
        }
    });
}

#[test]
fn receiving_takes_no_call_while_packets_keep_coming() {
    on_both(|feed| {
        for batch in BATCHES {
            let none = |name: &str, (calls, _): (Calls, u64)| {
                assert_eq!(calls, Calls::default(), "{name}, batch {batch}");
            };
            let engine = open(feed, batch).build_engine().unwrap();
            none("mode A", batches(feed, &mut Engine(engine, |_| {}), batch));
            let mut both = system(open(feed, batch), false);
            none("mode B", batches(feed, &mut both, batch));
            drop(both);
            let works: [(&str, OneBatch); 2] = [
                ("recycle", recycle),
                ("look", |raw, batch| {
                    let look = |packet: &mut PacketView<'_>| {
                        assert_eq!(packet.data().len(), 60);
                        Route::Recycle
                    };
                    raw.rx.route(&mut raw.fill, [], batch, look).packets
                }),
            ];
            for (name, work) in works {
                let raw = open(feed, batch).build_raw().unwrap();
                none(name, batches(feed, &mut Raw { raw, batch, work }, batch));
            }
        }
    });
}

#[test]
fn sending_takes_one_call_a_batch() {
    on_both(|feed| {
        for batch in BATCHES {
            let mut raw = open(feed, batch).build_raw().unwrap();
            let before = raw.calls();
            (0..ROUNDS).for_each(|_| assert_eq!(send(&mut raw, batch), batch));
            let calls = raw.calls().since(&before);
            let kicks = u64::from(ROUNDS);
            assert_eq!(calls, Calls { tx_kicks: kicks, ..Calls::default() }, "batch {batch}");
            drop(raw);

            let (rx, mut tx) = open(feed, batch).build_system().unwrap();
            let before = rx.calls();
            for _ in 0..ROUNDS {
                for _ in 0..batch {
                    let mut packet = tx.alloc(60).expect("a free frame");
                    packet.data_mut().copy_from_slice(&self::packet());
                    tx.send(packet).expect("room");
                }
                assert!(tx.flush().unwrap());
            }
            let calls = rx.calls().since(&before);
            assert_eq!(calls, Calls { tx_kicks: kicks, ..Calls::default() }, "batch {batch}");
        }
    });
}

#[test]
fn an_idle_wait_is_one_call_and_counted_apart() {
    on_both(|feed| {
        let raw = open(feed, 32).build_raw().unwrap();
        let before = raw.calls();
        assert!(!raw.wait(Some(Duration::from_millis(1))).unwrap());
        feed.feed(3);
        // A longer wait asks now and then whether the interface lives.
        let fed = Instant::now();
        while raw.rx.waiting() < 3 {
            assert!(feed.may_be_late(fed), "{} of 3 packets came", raw.rx.waiting());
        }
        assert!(raw.wait(Some(Duration::from_secs(1))).unwrap());
        let calls = raw.calls().since(&before);
        assert_eq!((calls.waits, calls.wakeups, calls.tx_kicks), (2, 1, 0), "{calls:?}");
    });
}

/// Ptrace as a second opinion: the process that counts is not the one that is counted.
#[cfg(all(target_os = "linux", feature = "bpf"))]
#[allow(unsafe_code)]
mod traced {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    /// Process group numbers that nobody has: asking for one marks a place in the stream of calls.
    const BEGIN: libc::c_long = 0x7e57_0001;
    const END: libc::c_long = 0x7e57_0002;
    const DONE: libc::c_long = 0x7e57_0003;

    fn mark(place: libc::c_long) {
        // SAFETY: takes a number and changes nothing.
        unsafe { libc::syscall(libc::SYS_getpgid, place) };
    }

    /// The loops again, each call of theirs between two marks; what the library counted goes to
    /// standard output.
    #[test]
    #[ignore = "run by another test, as a process of its own"]
    fn counted() {
        let mut veth = Veth::open().unwrap();
        // SAFETY: makes this thread one that its parent may trace.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
        // SAFETY: stops this thread until the tracer goes on; it sets its options then.
        unsafe { libc::raise(libc::SIGSTOP) };
        let mut told = Vec::new();
        let works: [(&str, OneBatch); 3] =
            [("forward", forward), ("drop", recycle), ("send", send)];
        for (name, work) in works {
            let mut raw = open(&veth, 64).build_raw().unwrap();
            let (mut total, mut count) = (Calls::default(), 0);
            for _ in 0..ROUNDS {
                if name != "send" {
                    veth.feed(64);
                    // One batch, and nothing left for the wait below.
                    lab::wait_until("the packets of a batch", || raw.rx.waiting() == 64);
                }
                let before = raw.calls();
                mark(BEGIN);
                let n = work(&mut raw, 64);
                mark(END);
                total = total + raw.calls().since(&before);
                count += u64::from(n > 0);
            }
            // Packets that are left would end the wait at once.
            assert_eq!(raw.rx.waiting(), 0);
            let before = raw.calls();
            mark(BEGIN);
            raw.wait(Some(Duration::from_millis(1))).unwrap();
            raw.kick_rx().unwrap();
            mark(END);
            total = total + raw.calls().since(&before);
            mark(DONE);
            let Calls { tx_kicks, rx_kicks, waits, .. } = total;
            told.push(format!("{name} {tx_kicks} {rx_kicks} {waits} {count}"));
        }
        let mut out = std::io::stdout();
        told.iter().for_each(|line| writeln!(out, "\ntold {line}").unwrap());
    }

    /// A fast ping between two marks; how many probes it had, answers and milliseconds go to standard
    /// output.
    #[cfg(feature = "tools")]
    #[test]
    #[ignore = "run by another test, as a process of its own"]
    fn pinged() {
        use fluxnet::tools::ping::{Event, Plan, run};
        use fluxnet::tools::{Control, Env};
        let _lab = lab::Lab::veth(1).unwrap().with_neighbours();
        let plan = Plan {
            count: Some(PROBES),
            rate: Some(200_000.0),
            timeout: Duration::from_secs(10),
            each: false,
            ..Plan::new([lab::PEER_IP.to_string()])
        };
        // SAFETY: makes this thread one that its parent may trace.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
        // SAFETY: stops this thread until the tracer goes on; it sets its options then.
        unsafe { libc::raise(libc::SIGSTOP) };
        let (mut began, mut told) = (Instant::now(), String::new());
        run(&plan, &mut Env::kernel().unwrap(), &Control::default(), &mut |event| match event {
            Event::Start(_) => {
                began = Instant::now();
                mark(BEGIN);
            }
            Event::Summary(summary) => {
                mark(END);
                let ms = began.elapsed().as_millis();
                told = format!("{} {} {ms}", summary.sent, summary.received);
            }
            _ => {}
        })
        .unwrap();
        mark(DONE);
        writeln!(std::io::stdout(), "\ntold {told}").unwrap();
    }

    /// Probes of the fast ping.
    #[cfg(feature = "tools")]
    const PROBES: u64 = 100_000;

    #[cfg(feature = "tools")]
    #[test]
    fn listening_and_looking_around_cost_calls_by_time_and_not_by_packets() {
        let Some(_turn) = lab::as_root() else { return };
        let (runs, told) = child("traced::pinged");
        let numbers: Vec<u64> = told[0].split(' ').map(|n| n.parse().unwrap()).collect();
        let &[sent, received, ms] = &numbers[..] else { panic!("{told:?}") };
        assert!(sent == PROBES && received > PROBES / 10, "{told:?}");
        let calls = &runs[0];
        // The host's news are read every 5 ms at most, what its stack heard every 10 ms, each from one
        // socket or two; the device's counters are looked at ten times a second.
        let reads = [libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_read];
        let reads: u64 = reads.iter().filter_map(|number| calls.get(number)).sum();
        assert!(reads <= 300 + ms, "{reads} reads in {ms} ms: {calls:?}");
        // All there are: a kick and a wait for each batch, which is one probe where the machine keeps
        // up; but nothing for each answer.
        let others: u64 = calls
            .iter()
            .filter(|(number, _)| {
                ![libc::SYS_sendto, libc::SYS_poll, libc::SYS_ppoll].contains(number)
            })
            .map(|(_, count)| count)
            .sum();
        assert!(others <= 500 + 2 * ms, "{others} calls in {ms} ms: {calls:?}");
    }

    /// Runs one of the ignored tests under the eyes of this thread: the calls between its marks, and
    /// what it told.
    fn child(test: &str) -> (Vec<BTreeMap<libc::c_long, u64>>, Vec<String>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let runs = follow(child.id() as libc::pid_t);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told = lines.filter_map(|line| line.strip_prefix("told ").map(str::to_owned)).collect();
        assert!(child.wait().unwrap().success());
        (runs, told)
    }

    /// Follows a thread that asked for it from its first stop to its end; the calls between marks,
    /// by number, one map for each DONE.
    fn follow(process: libc::pid_t) -> Vec<BTreeMap<libc::c_long, u64>> {
        let mut status = 0;
        // The thread is not its process's first, so its number is not known yet: any child of this
        // thread, but none of the other tests'.
        let flags = libc::__WALL | libc::__WNOTHREAD;
        // SAFETY: writes the status.
        let thread = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        assert!(libc::WIFSTOPPED(status), "{thread} of {process}: status {status:#x}");
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        // SAFETY: takes numbers; the thread is stopped and ours to trace.
        unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, thread, 0, options) };
        let (mut runs, mut calls, mut inside) = (Vec::new(), BTreeMap::new(), false);
        let mut signal = 0;
        loop {
            // SAFETY: takes numbers; the thread is stopped and ours to trace.
            unsafe { libc::ptrace(libc::PTRACE_SYSCALL, thread, 0, signal) };
            // SAFETY: writes the status.
            let which = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
            if which != thread || !libc::WIFSTOPPED(status) {
                return runs;
            }
            let stopped_by = libc::WSTOPSIG(status);
            if stopped_by != libc::SIGTRAP | 0x80 {
                signal = stopped_by;
                continue;
            }
            signal = 0;
            // SAFETY: all zeroes is valid.
            let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
            let (size, place) = (size_of_val(&info), &raw mut info);
            // SAFETY: writes at most `size` bytes of `info`.
            unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, place) };
            if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
                continue;
            }
            // SAFETY: the kernel wrote that variant, as `op` says.
            let entry = unsafe { info.u.entry };
            let number = entry.nr as libc::c_long;
            match (number, entry.args[0] as libc::c_long) {
                (libc::SYS_getpgid, BEGIN) => inside = true,
                (libc::SYS_getpgid, END) => inside = false,
                (libc::SYS_getpgid, DONE) => runs.push(std::mem::take(&mut calls)),
                _ if inside => *calls.entry(number).or_default() += 1,
                _ => {}
            }
        }
    }

    #[test]
    fn the_kernel_saw_the_calls_that_the_library_counted_and_no_other() {
        // What the other process needs: here it can say why that is not to be had.
        let Some(_lab) = lab::Lab::veth(1) else { return };
        let (runs, told) = child("traced::counted");
        assert_eq!((runs.len(), told.len()), (3, 3), "{told:?}");
        for (told, mut seen) in told.iter().zip(runs) {
            let (name, numbers) = told.split_once(' ').unwrap();
            let numbers: Vec<u64> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
            let &[tx_kicks, rx_kicks, waits, batches] = &numbers[..] else { panic!("{told}") };
            let mut take = |number: libc::c_long| seen.remove(&number).unwrap_or_default();
            assert_eq!(take(libc::SYS_sendto), tx_kicks, "{told}");
            // A look at the ports, ten a second at most, is a call for each of: news, program.
            let looks = take(libc::SYS_bpf);
            assert_eq!(take(libc::SYS_recvfrom), rx_kicks + looks, "{told}");
            assert_eq!(take(libc::SYS_poll) + take(libc::SYS_ppoll), waits, "{told}");
            assert!(seen.is_empty(), "{told}, and by number {seen:?}");
            assert_eq!(batches, u64::from(ROUNDS), "{told}");
            let kicks = if name == "drop" { 0 } else { batches };
            // At the end one of each: a wait, which came to nothing and looks whether the interface
            // lives, and a kick.
            assert_eq!((tx_kicks, rx_kicks, waits), (kicks, 2, 1), "{told}");
        }
    }
}
