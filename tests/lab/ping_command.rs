//! `flux` as a neighbour: the binary on a live interface, with the kernel's own traffic beside it.

use crate::lab::{Lab, OURS, PEER_IP, PEER_IP6, Wire};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// `flux ping` with these arguments; the child inherits this thread's namespace.
fn flux(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux"));
    command.arg("ping").args(line.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether an XDP program is on our interface.
fn xdp_attached(lab: &Lab) -> bool {
    lab.run(&format!("ip -details link show {OURS}")).contains("xdp")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// The summary events of a `--json` run.
fn summaries(stdout: &str) -> Vec<serde_json::Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("one object a line"))
        .filter(|event| event["event"] == "summary")
        .collect()
}

/// Waits for the first reply of a `--json` run, and returns the rest of its output to come.
fn first_reply(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 && !line.contains("\"reply\"") {
        line.clear();
    }
    assert!(line.contains("\"reply\""), "a reply before the end");
    lines
}

#[test]
fn a_thousand_probes_over_two_queues_lose_nothing_and_disturb_nobody() {
    const MEGABYTES: usize = 64;
    let Some(lab) = Lab::veth(2) else { return };
    let mut child = flux(&format!("-c 1000 -i 0.001 --json {PEER_IP}")).spawn().unwrap();
    let mut lines = first_reply(&mut child);
    assert!(xdp_attached(&lab));

    // While it runs: the kernel's own ping, and a TCP transfer, both over the same interface.
    let listener = lab.in_peer(|| TcpListener::bind((PEER_IP, 7000))).unwrap();
    let sink = std::thread::spawn(move || {
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 16];
        let (mut stream, _) = listener.accept().unwrap();
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            assert!(buffer[..n].iter().all(|&b| b == 0x5a));
            taken += n;
        }
        taken
    });
    let mut stream = TcpStream::connect((PEER_IP, 7000)).unwrap();
    let block = vec![0x5a; 1 << 20];
    for _ in 0..MEGABYTES {
        stream.write_all(&block).unwrap();
    }
    drop(stream);
    assert_eq!(sink.join().unwrap(), MEGABYTES << 20);
    let ping = lab.run(&format!("ping -q -c 50 -i 0.01 {PEER_IP}"));
    assert!(ping.contains(" 50 received, 0% packet loss"), "{ping}");

    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let summary = &summaries(&rest)[0];
    assert_eq!((&summary["sent"], &summary["received"]), (&1000.into(), &1000.into()), "{summary}");
    assert_eq!(summary["duplicates"], 0);
    assert!(!xdp_attached(&lab));
}

#[test]
fn after_sigkill_no_program_is_left_and_the_queue_is_free() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut child = flux(&format!("-i 0.01 --json {PEER_IP}")).spawn().unwrap();
    let _lines = first_reply(&mut child);
    assert!(xdp_attached(&lab));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the program is gone", || !xdp_attached(&lab));
    let again = flux(&format!("-q -c 3 -i 0.01 {PEER_IP}")).output().unwrap();
    assert!(again.status.success(), "{again:?}");
}

#[test]
fn the_peers_kernel_finds_no_fault_with_our_checksums() {
    let Some(lab) = Lab::veth(2) else { return };
    // Linux asks for IPv6 neighbours from its link-local address.
    lab.run(&format!("ip address add fe80::1/64 dev {OURS} nodad"));
    let errors = || {
        let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let snmp = lab.in_peer(read);
        let icmp: Vec<_> = snmp.lines().filter(|l| l.starts_with("Icmp:")).collect();
        let at = icmp[0].split(' ').position(|name| name == "InCsumErrors").unwrap();
        icmp[1].split(' ').nth(at).unwrap().parse::<u64>().unwrap()
    };
    let before = errors();
    for size in [0, 1, 7, 56, 1000, 1452] {
        let line = format!("-q -c 20 -i 0.002 -s {size} {PEER_IP} {PEER_IP6}");
        let run = flux(&line).output().unwrap();
        assert!(run.status.success(), "{line}: {run:?}");
    }
    assert_eq!(errors(), before);
}

#[test]
fn a_payload_over_the_mtu_is_refused_with_the_largest_that_fits() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run(&format!("ip link set {OURS} mtu 1400"));
    let run = flux(&format!("-c 1 -s 1400 {PEER_IP}")).output().unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("1400") && stderr.contains("1372"), "{stderr}");
    let fits = flux(&format!("-c 1 -s 1372 -M do {PEER_IP}")).output().unwrap();
    assert!(fits.status.success(), "{fits:?}");
}

#[test]
fn a_router_with_a_smaller_mtu_is_named_with_it() {
    let Some(lab) = Lab::veth(1) else { return };
    // The peer routes on to a link of its own with a smaller MTU, on which nobody lives.
    lab.run_in_peer("sysctl -qw net.ipv4.ip_forward=1");
    lab.run_in_peer("ip link add small0 type veth peer name small1");
    lab.run_in_peer("ip link set small0 mtu 1300 up");
    lab.run_in_peer("ip link set small1 up");
    lab.run_in_peer("ip addr add 10.77.0.1/24 dev small0");
    lab.run_in_peer("ip neigh add 10.77.0.2 lladdr 02:00:00:00:77:02 dev small0 nud permanent");
    lab.run(&format!("ip route add 10.77.0.0/24 via {PEER_IP}"));
    let run = flux("-c 1 -W 1 -s 1400 -M do --json 10.77.0.2").output().unwrap();
    let stdout = String::from_utf8(run.stdout).unwrap();
    let error = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|event| event["event"] == "icmp")
        .unwrap_or_else(|| panic!("{stdout}"));
    assert_eq!((&error["mtu"], &error["code"]), (&1300.into(), &4.into()), "{error}");
    assert_eq!(error["from"], PEER_IP.to_string());
    assert_eq!(run.status.code(), Some(1));
}

/// The kernel here has no VLAN interfaces, so the far end answers tagged requests by hand.
#[test]
fn tagged_probes_get_tagged_answers() {
    let Some(lab) = Lab::veth(1) else { return };
    let lab = lab.with_neighbours();
    let wire = lab.wire();
    let mut child =
        flux(&format!("-c 3 -i 0.01 -W 2 --vlan 100:5 --json {PEER_IP}")).spawn().unwrap();
    for _ in 0..3 {
        let request = tagged(&wire).expect("a tagged request");
        let mut answer = request.clone();
        answer[..6].copy_from_slice(&request[6..12]);
        answer[6..12].copy_from_slice(&request[..6]);
        answer[30..34].copy_from_slice(&request[34..38]); // addresses behind the tag
        answer[34..38].copy_from_slice(&request[30..34]);
        answer[38] = 0; // echo reply, and the checksum that follows from it (RFC 1624)
        let sum = u16::from_be_bytes([request[40], request[41]]);
        let (sum, carry) = sum.overflowing_add(0x0800);
        answer[40..42].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        wire.send(&answer);
    }
    let run = child.wait_with_output_bounded();
    assert_eq!(summaries(&run)[0]["received"], 3, "{run}");
}

/// The next echo request with VLAN tag 100 of priority 5; the tag is put back where the packet
/// socket took it out.
fn tagged(wire: &Wire) -> Option<Vec<u8>> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let frame = wire.recv(PATIENCE)?;
        if frame.get(12..14) == Some(&[0x81, 0x00]) && frame.get(14..16) == Some(&[0xa0, 100]) {
            return Some(frame);
        }
        if frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(34) == Some(&8) {
            let tag = [0x81, 0x00, 0xa0, 100];
            return Some([&frame[..12], &tag, &frame[12..]].concat());
        }
    }
    None
}

trait Bounded {
    /// Standard output of a child that must end by itself.
    fn wait_with_output_bounded(&mut self) -> String;
}

impl Bounded for Child {
    fn wait_with_output_bounded(&mut self) -> String {
        wait_until("the end of flux", || self.try_wait().unwrap().is_some());
        let mut text = String::new();
        self.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

#[test]
fn a_queue_that_is_taken_and_a_foreign_program_are_named() {
    let Some(lab) = Lab::veth(2) else { return };
    let mut first = flux(&format!("-i 0.1 --json {PEER_IP}")).spawn().unwrap();
    let _lines = first_reply(&mut first);
    let second = flux(&format!("-c 1 {PEER_IP}")).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let stderr = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("error:") && stderr.contains("hint:"), "{stderr}");
    assert!(stderr.contains(OURS), "{stderr}");
    drop(lab);
}

#[test]
fn bad_interfaces_are_named_with_the_next_step() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add lone0 type veth peer name lone1");
    lab.run("ip link add bare0 type veth peer name bare1");
    lab.run("ip link set bare0 up");
    lab.run("ip link set bare1 up");
    let cases = [
        ("-I nosuch0 10.9.0.2", "nosuch0"),
        ("-I lone0 10.9.0.2", "lone0"),
        ("-I bare0 10.9.0.2", "bare0"),
        ("203.0.113.1", "203.0.113.1"),
        ("--queue 7 10.9.0.2", "7"),
        ("10.9.0.1", "10.9.0.1"),
        ("--bind zerocopy 10.9.0.2", "zero-copy"),
        ("--batch 0 10.9.0.2", "0"),
        ("no.such.host.invalid", "no.such.host.invalid"),
    ];
    for (arguments, named) in cases {
        let run = flux(&format!("-c 1 {arguments}")).output().unwrap();
        let stderr = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(named), "{arguments}: {stderr}");
        assert!(stderr.contains("error:") && stderr.contains("hint:"), "{arguments}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments}: {stderr}");
        eprintln!("$ flux ping -c 1 {arguments}\n{stderr}");
    }
    assert!(!xdp_attached(&lab), "nothing is left behind by a run that failed");
}

#[test]
fn an_interface_that_goes_away_ends_the_run_with_a_reason() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut child = flux(&format!("-i 0.01 --json {PEER_IP}")).spawn().unwrap();
    let mut lines = first_reply(&mut child);
    lab.run(&format!("ip link del {OURS}"));
    wait_until("the end of flux", || child.try_wait().unwrap().is_some());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2), "{rest}");
    assert!(rest.contains("\"error\"") && rest.contains(OURS), "{rest}");
}
