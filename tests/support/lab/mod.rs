//! A network of our own for tests that need root: two namespaces joined by a veth pair.
//!
//! ```text
//!   this thread's namespace                         peer namespace (held open, nameless)
//!   flux0  02:00:00:00:09:01                        flux1  02:00:00:00:09:02
//!          10.9.0.1/24  fd09::1/64  ◀── veth ──▶           10.9.0.2/24  fd09::2/64
//! ```
//!
//! `unshare(CLONE_NEWNET)` is per thread, so tests run in parallel, all with the same names and
//! addresses, and nothing outlives [`Lab`]: the namespaces go with their last descriptor, also
//! when the test panics or is killed. Threads and processes started by the test inherit them.
//!
//! Trap: in such a thread `/sys/class/net` shows another namespace and `/proc/net` the main
//! thread's; use ioctl or netlink, or `/proc/thread-self/net`.
//!
//! `tests/support/lab.sh` is the same network for a shell. [`routers`] is a path of routers instead,
//! and [`bump`] has us in the middle.
#![allow(dead_code, unsafe_code)] // each test file uses its part of it
#![allow(clippy::unwrap_used, clippy::expect_used)] // it runs in tests alone

pub mod bump;
pub mod detach;
pub mod etc;
pub mod icmp;
pub mod responder;
pub mod routers;
mod turns;
pub mod vanish;
pub mod xdp;

pub use turns::Turn;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const OURS: &str = "flux0";
pub const PEER: &str = "flux1";
pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 9, 1];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 9, 2];
pub const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub const OUR_IP6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
pub const PEER_IP6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

/// EtherType of frames that no kernel answers ("local experimental", IEEE 802).
pub const ETH_LAB: u16 = 0x88b5;

/// How long to wait for what must come: a hundred times what it takes on a machine that has nothing
/// else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Says why a test does not run, or not all of it. With `FLUX_SKIP=fail` (CI) it fails instead.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    assert!(
        std::env::var_os("FLUX_SKIP").is_none_or(|value| value != "fail"),
        "{test} cannot run: {reason}"
    );
    // Not captured by the test harness, so that a skip is seen. One write, so that it stays whole.
    let _ = io::stderr().write_all(format!("SKIP: {reason} [{test}]\n").as_bytes());
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// A turn on the real kernel beside other tests; `None` (and a line that says SKIP) when not root.
pub fn as_root() -> Option<Turn> {
    rooted().then(Turn::shared)
}

/// The same with no other test beside it, for what needs quiet. Comes before the lab.
pub fn alone() -> Option<Turn> {
    rooted().then(Turn::alone)
}

/// Whether the test is root, and not in name only as in many containers; says SKIP when not.
pub fn rooted() -> bool {
    let lacks = if is_root() { withheld() } else { Some("needs root".to_owned()) };
    if let Some(lacks) = &lacks {
        skip(lacks);
    }
    lacks.is_none()
}

/// What keeps a root of a container or of a user namespace from what the lab does.
fn withheld() -> Option<String> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let ids = read("/proc/self/uid_map");
    if ids.split_whitespace().ne(["0", "0", "4294967295"]) {
        return Some("needs root outside of user namespaces".to_owned());
    }
    let status = read("/proc/self/status");
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
    let wanted = [
        (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
        (CAP_NET_RAW, "CAP_NET_RAW"),
        (CAP_SYS_CHROOT, "CAP_SYS_CHROOT"),
        (CAP_SYS_PTRACE, "CAP_SYS_PTRACE"),
        (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
        (CAP_PERFMON, "CAP_PERFMON"),
        (CAP_BPF, "CAP_BPF"),
    ];
    let missing = wanted.iter().find(|(bit, _)| mask & (1 << bit) == 0)?;
    Some(format!("needs root with {}", missing.1))
}

/// Whether these programs are in PATH; says SKIP and the Debian packages when not.
pub fn has(programs: &[&str]) -> bool {
    let package = |program: &str| {
        match program {
            "ip" | "ss" => "iproute2",
            "mtr" => "mtr-tiny",
            "nft" => "nftables",
            "ping" => "iputils-ping",
            "script" => "bsdutils",
            "prlimit" | "setpriv" | "setsid" => "util-linux",
            "sysctl" => "procps",
            other => other,
        }
        .to_owned()
    };
    let missing = programs.iter().filter(|program| !in_path(program));
    let packages: BTreeSet<String> = missing.map(|program| package(program)).collect();
    if !packages.is_empty() {
        let packages: Vec<String> = packages.into_iter().collect();
        let plural = if packages.len() > 1 { "s" } else { "" };
        skip(&format!("needs Debian package{plural} {}", packages.join(", ")));
        return false;
    }
    true
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Waits until it is so, and fails when [`PATIENCE`] is over.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Looks until there is something to see, and fails when [`PATIENCE`] is over.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        // Between two looks the CPU is for what is waited for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether an XDP program is on an interface of the calling thread's namespace.
pub fn xdp_attached(interface: &str) -> bool {
    run(&format!("ip -details link show {interface}")).contains("xdp")
}

/// A counter of the calling thread's namespace under its nstat(8) name: `IcmpInEchos`,
/// `Icmp6InEchos`, `TcpOutRsts`.
pub fn counter(name: &str) -> u64 {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default()
    };
    let (snmp, snmp6) = (read("snmp"), read("snmp6"));
    // Names in one line, numbers in the next, both behind the name of the protocol.
    let lines: Vec<_> = snmp.lines().filter_map(|line| line.split_once(": ")).collect();
    let of4 = lines.chunks_exact(2).find_map(|pair| {
        let names = pair[0].1.split(' ').map(|field| format!("{}{field}", pair[0].0));
        names.zip(pair[1].1.split(' ')).find(|(field, _)| field == name).map(|(_, value)| value)
    });
    let of6 = || {
        let mut fields = snmp6.lines().map(str::split_whitespace);
        fields.find_map(|mut field| (field.next() == Some(name)).then(|| field.next())?)
    };
    let value = of4.or_else(of6).unwrap_or_else(|| panic!("the kernel does not count {name}"));
    value.parse().unwrap_or_else(|error| panic!("{name} is {value}: {error}"))
}

/// The kernel's own ping from the calling thread's namespace, until `count` answers are in.
/// Asserts that ping's socket got an answer to every request that it sent, how many ever those
/// were meanwhile: nobody else took one. Needs `has(&["ping"])`.
#[track_caller]
pub fn assert_undisturbed_ping(target: std::net::IpAddr, count: u32) {
    let replies = if target.is_ipv4() { "IcmpInEchoReps" } else { "Icmp6InEchoReplies" };
    let before = counter(replies);
    let seconds = PATIENCE.as_secs();
    let text = run(&format!("ping -q -c {count} -w {seconds} -i 0.01 {target}"));
    let sent = text.split_once(" packets transmitted").and_then(|(head, _)| head.lines().last());
    let sent: u64 = sent.and_then(|sent| sent.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    // Ping ends with the last answer that it wants. Others may still be on their way.
    wait_until("an answer to each of ping's", || counter(replies) >= before + sent);
    assert_eq!(counter(replies) - before, sent, "{text}");
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn this_namespace() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Moves the calling thread into a new, empty namespace.
pub fn new_namespace() -> io::Result<File> {
    // SAFETY: takes a number; changes this thread's namespace only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    this_namespace()
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes two numbers; changes this thread's namespace only.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Calls `f` on a thread in that namespace. What it opens there stays there.
pub fn inside<R: Send>(namespace: BorrowedFd<'_>, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            enter(namespace).expect("a namespace of the lab");
            f()
        });
        match inside.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The two namespaces. This thread is in ours until drop.
pub struct Lab {
    outside: File,
    peer: File,
    pub queues: u32,
    /// Last, so that its turn ends when all else is gone. Keeps it on the thread whose namespace it
    /// changed, too.
    _turn: Turn,
}

impl Lab {
    /// The network of the picture with `queues` queues on each end; `None` (and a line that says
    /// SKIP) when not root.
    pub fn veth(queues: u32) -> Option<Self> {
        let turn = as_root()?;
        if !has_what_it_takes() {
            return None;
        }
        let outside = this_namespace().expect("this thread's namespace");
        let peer = match new_namespace() {
            Ok(peer) => peer,
            Err(error) => {
                skip(&format!("no new network namespace: {error}"));
                return None;
            }
        };
        // From here on drop leads back outside, also out of a panic.
        let lab = Self { outside, peer, queues, _turn: turn };
        set_ipv6_defaults();
        new_namespace().expect("a second namespace");
        set_ipv6_defaults();
        let ns = format!("/proc/{}/fd/{}", std::process::id(), lab.peer.as_raw_fd());
        let (ours, theirs) = (mac(OUR_MAC), mac(PEER_MAC));
        ip_batch(&format!(
            "link add {OURS} address {ours} numtxqueues {queues} numrxqueues {queues} type veth \
               peer name {PEER} address {theirs} numtxqueues {queues} numrxqueues {queues} netns {ns}\n\
             link set lo up\n\
             link set {OURS} addrgenmode none up\n\
             addr add {OUR_IP}/24 dev {OURS}\n\
             addr add {OUR_IP6}/64 dev {OURS} nodad\n"
        ));
        offloads_off(OURS);
        lab.in_peer(|| {
            ip_batch(&format!(
                "link set lo up\n\
                 link set {PEER} addrgenmode none up\n\
                 addr add {PEER_IP}/24 dev {PEER}\n\
                 addr add {PEER_IP6}/64 dev {PEER} nodad\n"
            ));
            offloads_off(PEER);
        });
        wait_for_links(&[OURS]);
        lab.in_peer(|| wait_for_links(&[PEER]));
        Some(lab)
    }

    /// Permanent neighbour entries on both ends, so that nobody has to ask.
    #[must_use]
    pub fn with_neighbours(self) -> Self {
        let (ours, theirs) = (mac(OUR_MAC), mac(PEER_MAC));
        ip_batch(&format!(
            "neigh replace {PEER_IP} lladdr {theirs} dev {OURS} nud permanent\n\
             neigh replace {PEER_IP6} lladdr {theirs} dev {OURS} nud permanent\n"
        ));
        self.in_peer(|| {
            ip_batch(&format!(
                "neigh replace {OUR_IP} lladdr {ours} dev {PEER} nud permanent\n\
                 neigh replace {OUR_IP6} lladdr {ours} dev {PEER} nud permanent\n"
            ));
        });
        self
    }

    /// A link-local address of ours, from which Linux asks for IPv6 neighbours.
    #[must_use]
    pub fn with_link_local(self) -> Self {
        run(&format!("ip addr add fe80::1/64 dev {OURS} nodad"));
        wait_until("our link-local address", || {
            run("ip -6 route show table local").contains("local fe80::1 ")
        });
        self
    }

    /// A second pair between the two, both ends up and without addresses. Their names are at most 15
    /// bytes long.
    pub fn add_pair(&self, ours: &str, theirs: &str) {
        let ns = format!("/proc/{}/fd/{}", std::process::id(), self.peer.as_raw_fd());
        run(&format!("ip link add {ours} type veth peer name {theirs} netns {ns}"));
        run(&format!("ip link set {ours} up"));
        offloads_off(ours);
        self.in_peer(|| {
            run(&format!("ip link set {theirs} up"));
            offloads_off(theirs);
            wait_for_carrier(&[theirs]);
        });
        wait_for_carrier(&[ours]);
    }

    /// Calls `f` on a thread in the peer's namespace. What it opens there stays there.
    pub fn in_peer<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        inside(self.peer.as_fd(), f)
    }

    /// Runs a command line in our namespace; panics unless it succeeds.
    pub fn run(&self, line: &str) -> String {
        run(line)
    }

    /// Runs a command line in the peer's namespace; panics unless it succeeds.
    pub fn run_in_peer(&self, line: &str) -> String {
        self.in_peer(|| run(line))
    }

    /// The peer's end of the wire.
    pub fn wire(&self) -> Wire {
        self.in_peer(|| Wire::open(PEER)).expect("a packet socket on the peer")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if enter(self.outside.as_fd()).is_err() {
            // The thread ends with the test, and the namespace with it.
            eprintln!("lab: could not leave the namespace");
        }
    }
}

/// Moves an interface to a network namespace of its own, which ends with it.
pub fn give_away(interface: &str) {
    let namespace = std::thread::spawn(|| new_namespace().and_then(|_| this_namespace()));
    let namespace = namespace.join().expect("a thread").expect("a namespace");
    let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    run(&format!("ip link set {interface} netns {path}"));
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// No duplicate address detection and no router solicitation for the interfaces to come.
fn set_ipv6_defaults() {
    let values = [
        ("disable_ipv6", "0"), // some machines have it otherwise
        ("accept_dad", "0"),
        ("router_solicitations", "0"),
        ("accept_ra", "0"),
    ];
    for (name, value) in values {
        let path = format!("/proc/sys/net/ipv6/conf/default/{name}");
        std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Whether a lab can be made here; says SKIP when not.
fn has_what_it_takes() -> bool {
    let has_ipv6 = std::path::Path::new("/proc/sys/net/ipv6/conf").is_dir();
    if !has_ipv6 {
        skip("this kernel has no IPv6");
    }
    has_ipv6 && has(&["ip", "ethtool"])
}

/// Checksums in full and packets as sent: XDP and packet sockets see what is on the wire.
fn offloads_off(interface: &str) {
    let line = format!("ethtool -K {interface} tx off rx off tso off gso off gro off");
    // Not every kernel lets all of them be changed; without ethtool the checksums are partial.
    let _ = output(&line);
}

/// Waits until interfaces of the calling thread's namespace, each with one IPv6 address of the lab,
/// carry packets.
///
/// The end of a pair that was up before the other one gets to know of its carrier some time after
/// the fact, and loses all that it is given until then, but may have IFF_RUNNING before. What `ip
/// link show` tells of a single interface is told under the lock under which that changes. An IPv6
/// address is valid for what is sent to it with its local route, which the kernel adds later, in
/// the background, on a busy machine much later.
fn wait_for_links(names: &[&str]) {
    wait_for_carrier(names);
    wait_until(&format!("the IPv6 addresses of {names:?}"), || {
        let told = run("ip -6 route show table local");
        told.lines().filter(|line| line.starts_with("local fd09:")).count() == names.len()
    });
}

/// The same for interfaces without addresses.
fn wait_for_carrier(names: &[&str]) {
    let questions: String = names.iter().map(|name| format!("link show dev {name}\n")).collect();
    wait_until(&format!("{names:?} carry packets"), || {
        let told = ip_batch(&questions);
        told.matches(" state UP ").count() == names.len() && !told.contains(" qdisc noop ")
    });
}

/// Runs lines of ip(8) in the calling thread's namespace, all by one process; what it printed.
pub fn ip_batch(lines: &str) -> String {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip (iproute2)");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("ip reads");
    let done = child.wait_with_output().expect("ip ends");
    assert!(done.status.success(), "ip -batch:\n{lines}{}", text(&done.stderr));
    text(&done.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn output(line: &str) -> io::Result<Output> {
    let mut words = line.split_whitespace();
    Command::new(words.next().unwrap_or("true")).args(words).output()
}

/// Runs a command line (split at blanks) in the calling thread's namespace; panics unless it
/// succeeds.
pub fn run(line: &str) -> String {
    try_run(line).unwrap_or_else(|why| panic!("{why}"))
}

/// The same for what not every kernel can do; why not.
pub fn try_run(line: &str) -> Result<String, String> {
    let done = output(line).map_err(|error| format!("{line}: {error}"))?;
    let why = || format!("{line}: {}\n{}", done.status, text(&done.stderr));
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(why()) }
}

/// A packet socket on one interface: sees what arrives there, and sends what it is given.
pub struct Wire(OwnedFd);

impl Wire {
    /// On an interface of the calling thread's namespace.
    pub fn open(interface: &str) -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes three numbers.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(all)) })?;
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let name = std::ffi::CString::new(interface)?;
        // SAFETY: reads a string that ends in NUL and lives through the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: all,
            sll_ifindex: index as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let (place, len) = ((&raw const address).cast(), size_of_val(&address) as u32);
        // SAFETY: reads `len` bytes of the address, which lives through the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), place, len) })?;
        // Straight to the driver: the queue is then that of the sending CPU.
        let on: libc::c_int = 1;
        let (place, len) = ((&raw const on).cast(), size_of_val(&on) as u32);
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS);
        // SAFETY: reads `len` bytes of the value, which lives through the call.
        check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, place, len) })?;
        Ok(Self(fd))
    }

    /// Puts a frame on the wire.
    pub fn send(&self, frame: &[u8]) {
        let (place, len) = (frame.as_ptr().cast(), frame.len());
        loop {
            // SAFETY: reads `len` bytes of the borrowed frame.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), place, len, 0) };
            if sent == len as isize {
                return;
            }
            let error = io::Error::last_os_error();
            let later = [libc::ENOBUFS, libc::EAGAIN, libc::EINTR];
            assert!(later.contains(&error.raw_os_error().unwrap_or(0)), "send: {error}");
        }
    }

    /// Puts a frame on the wire, if the link takes one.
    pub fn try_send(&self, frame: &[u8]) {
        let (place, len) = (frame.as_ptr().cast(), frame.len());
        // SAFETY: reads `len` bytes of the borrowed frame.
        unsafe { libc::send(self.0.as_raw_fd(), place, len, libc::MSG_DONTWAIT) };
    }

    /// Puts a frame on the wire through queue `queue`, so that it arrives on that queue of the
    /// other end. The queue must be below the number of CPUs: it follows from the sending CPU.
    pub fn send_on(&self, queue: u32, frame: &[u8]) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pin(queue as usize);
                self.send(frame);
            });
        });
    }

    /// The next frame that arrives from the other end, within `patience`.
    pub fn recv(&self, patience: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        let mut frame = vec![0u8; 65536];
        loop {
            let (place, room) = (frame.as_mut_ptr().cast(), frame.len());
            // SAFETY: all zeroes is a valid address.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut from_len = size_of_val(&from) as u32;
            let (address, fd) = ((&raw mut from).cast(), self.0.as_raw_fd());
            // SAFETY: writes at most `room` bytes into the buffer and `from_len` into the address.
            let got = unsafe { libc::recvfrom(fd, place, room, 0, address, &raw mut from_len) };
            if got >= 0 && from.sll_pkttype != libc::PACKET_OUTGOING {
                frame.truncate(got as usize);
                return Some(frame);
            }
            if got >= 0 {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut ready = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let millis = left.as_millis().clamp(1, 1000) as i32;
            // SAFETY: one entry, ours.
            unsafe { libc::poll(&raw mut ready, 1, millis) };
        }
    }

    /// The next frame of that EtherType, within `patience`; others are passed over.
    pub fn recv_type(&self, ether_type: u16, patience: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        loop {
            let frame = self.recv(until.saturating_duration_since(Instant::now()))?;
            if frame.get(12..14) == Some(&ether_type.to_be_bytes()) {
                return Some(frame);
            }
        }
    }
}

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes the set, whose size is given.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })
        .expect("our CPUs");
    // SAFETY: reads a bit of the set.
    (0..8 * size_of_val(&set)).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Whether [`Wire::send_on`] works for this number of queues; says SKIP when there are too few CPUs.
pub fn has_queues(queues: usize) -> bool {
    let cpus = cpus();
    let enough = (0..queues).all(|cpu| cpus.contains(&cpu));
    if !enough {
        skip(&format!("needs CPUs 0 to {}", queues - 1));
    }
    enough
}

/// Keeps the calling thread on one CPU.
pub fn pin(cpu: usize) {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes a bit of the set, which is ours; beyond its size it does nothing.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: reads the set, whose size is given, and changes this thread only.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    check(done).unwrap_or_else(|error| panic!("no CPU {cpu}: {error}"));
}

/// Keeps the calling thread, and what it starts from now on, on the CPU that it is on: between
/// namespaces, packets overtake each other only when their sender changes its CPU.
pub fn stay() {
    // SAFETY: takes nothing and cannot fail where it exists, which is on every Linux.
    let cpu = unsafe { libc::sched_getcpu() };
    pin(usize::try_from(cpu).expect("a CPU"));
}

/// `linux/capability.h`.
pub const CAP_NET_ADMIN: u32 = 12;
pub const CAP_NET_RAW: u32 = 13;
const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;
pub const CAP_PERFMON: u32 = 38;
pub const CAP_BPF: u32 = 39;

/// Calls `f` on a thread that has these capabilities alone, in the caller's namespace.
pub fn with_capabilities<R: Send>(capabilities: &[u32], f: impl FnOnce() -> R + Send) -> R {
    let mask = capabilities.iter().fold(0u64, |mask, bit| mask | 1 << bit);
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    // struct __user_cap_header_struct: version 3, this thread.
    let header = [0x2008_0522u32, 0];
    // struct __user_cap_data_struct, twice: effective, permitted, inheritable.
    let data = [low, low, 0, high, high, 0];
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            // SAFETY: reads the two arrays, which live through the call; changes this thread only.
            let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
            assert_eq!(done, 0, "capset: {}", io::Error::last_os_error());
            f()
        });
        match inside.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A frame of [`ETH_LAB`] from `from` to `to`, padded to the least length of Ethernet.
pub fn lab_frame(from: [u8; 6], to: [u8; 6], payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from[..], &ETH_LAB.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}
