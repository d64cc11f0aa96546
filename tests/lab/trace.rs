//! `flux trace` over a path of routers that are network namespaces, beside traceroute and mtr.

use crate::lab::icmp::{LabelRouter, icmp4, icmp6};
use crate::lab::routers::{Chain, NEAR};
use crate::lab::{Wire, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// `flux trace -n` with these arguments; the child inherits this thread's namespace.
fn flux(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flux"));
    command.args(["trace", "-n"]).args(line.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a `--json` run said.
struct Traced {
    line: String,
    status: Option<i32>,
    events: Vec<Value>,
    stderr: String,
}

impl Traced {
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    fn summary(&self) -> &Value {
        self.of("summary").next().unwrap_or_else(|| panic!("no summary: {self:?}"))
    }

    fn hops(&self) -> &[Value] {
        self.summary()["hops"].as_array().unwrap()
    }

    /// The first router of every hop; `None` for a silent one.
    fn addresses(&self) -> Vec<Option<IpAddr>> {
        self.hops().iter().map(|hop| self.routers(hop).first().copied()).collect()
    }

    fn routers(&self, hop: &Value) -> Vec<IpAddr> {
        let routers = hop["routers"].as_array().unwrap();
        routers.iter().map(|router| address(&router["addr"])).collect()
    }

    /// Asserts that the target was reached over these hops and no others.
    #[track_caller]
    fn assert_hops(&self, expected: &[Option<IpAddr>]) {
        assert_eq!(self.addresses(), expected, "{self:?}");
        assert_eq!(self.status, Some(0), "{self:?}");
        assert_eq!(self.summary()["reached"], true, "{self:?}");
        assert_eq!(self.summary()["distance"], expected.len(), "{self:?}");
        for (hop, ttl) in self.hops().iter().zip(1..) {
            assert_eq!(hop["ttl"], ttl, "{self:?}");
            assert!(self.routers(hop).len() <= 1, "{self:?}");
        }
    }
}

impl std::fmt::Debug for Traced {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(to, "flux trace -n {} gave {:?}", self.line, self.status)?;
        self.events.iter().try_for_each(|event| writeln!(to, "{event}"))?;
        to.write_str(&self.stderr)
    }
}

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse().unwrap()
}

/// Runs to the end with `--json`.
fn trace(line: &str) -> Traced {
    let done = flux(line).arg("--json").output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let events = String::from_utf8(done.stdout).unwrap().lines().map(parse).collect();
    let traced = Traced { line: line.to_owned(), status: done.status.code(), events, stderr };
    assert!(!traced.stderr.contains("panicked"), "{traced:?}");
    traced
}

/// All of these answer.
fn all(hops: &[IpAddr]) -> Vec<Option<IpAddr>> {
    hops.iter().copied().map(Some).collect()
}

/// The same with nobody at one TTL.
fn without(hops: &[IpAddr], silent: u8) -> Vec<Option<IpAddr>> {
    let mut hops = all(hops);
    hops[usize::from(silent) - 1] = None;
    hops
}

/// What traceroute prints, when it waits a second for every answer: its defaults give some up after
/// ten times the next hop's round trip, which is nothing here.
fn traceroute_text(options: &str, target: IpAddr) -> String {
    run(&format!("traceroute -n -w 1,0,0 {options} {target}"))
}

/// Hops as traceroute sees them.
fn traceroute(options: &str, target: IpAddr) -> Vec<Option<IpAddr>> {
    let text = traceroute_text(options, target);
    let hops = text.lines().skip(1);
    hops.map(|line| line.split_whitespace().find_map(|word| word.parse().ok())).collect()
}

/// Hops as mtr sees them.
fn mtr(target: IpAddr) -> Vec<Option<IpAddr>> {
    let text = run(&format!("mtr -n --report --report-cycles 3 -i 0.1 -G 0.3 {target}"));
    let hops = text.lines().filter_map(|line| line.split_once("|--"));
    hops.map(|(_, hop)| hop.split_whitespace().next().unwrap().parse().ok()).collect()
}

/// Whether an XDP program is on our interface.
fn xdp_attached() -> bool {
    run(&format!("ip -details link show {NEAR}")).contains("xdp")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// A run of many rounds that has had its first answer, and its output to come.
fn running(line: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = flux(&format!("--json {line}")).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"reply\"") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "a reply before the end");
    }
    (child, lines)
}

/// The rest of what a run says, and its status.
fn rest(line: &str, mut child: Child, mut lines: BufReader<ChildStdout>) -> Traced {
    let mut text = String::new();
    lines.read_to_string(&mut text).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let status = child.wait().unwrap().code();
    Traced { line: line.to_owned(), status, events, stderr }
}

#[test]
fn eight_routers_are_those_that_traceroute_and_mtr_see() {
    let Some(lab) = Chain::of(8).up() else { return };
    for target in lab.targets() {
        let expected = all(&lab.hops(target));
        assert_eq!(traceroute("", target), expected);
        assert_eq!(mtr(target), expected);
        let traced = trace(&target.to_string());
        traced.assert_hops(&expected);
        for hop in traced.hops() {
            let counts = (&hop["sent"], &hop["received"], &hop["loss_pct"]);
            assert_eq!(counts, (&json!(3), &json!(3), &json!(0.0)), "{traced:?}");
            let router = &hop["routers"][0];
            assert!(router["rtt_us"]["min"].as_f64() > Some(0.0), "{traced:?}");
            assert_eq!(router["back_hops"], hop["ttl"], "{traced:?}");
            let last = hop["ttl"] == lab.last();
            let icmp = if last { "port unreachable" } else { "time exceeded" };
            assert_eq!(router["icmp"], icmp, "{traced:?}");
        }
    }
}

#[test]
fn a_path_is_found_with_one_queue_and_without_known_neighbours() {
    for queues in [1, 2] {
        let Some(lab) = Chain::of(3).queues(queues).cold().up() else { return };
        for target in lab.targets() {
            trace(&target.to_string()).assert_hops(&all(&lab.hops(target)));
        }
    }
}

#[test]
fn a_silent_router_is_a_star_and_shifts_nobody() {
    const SILENT: u8 = 4;
    let Some(lab) = Chain::of(8).up() else { return };
    lab.silence(SILENT);
    for target in lab.targets() {
        let expected = without(&lab.hops(target), SILENT);
        assert_eq!(traceroute("", target), expected);
        assert_eq!(mtr(target), expected);
        trace(&target.to_string()).assert_hops(&expected);
        let done = flux(&target.to_string()).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let hop = |ttl: u8| {
            let line =
                text.lines().find(|line| line.split_whitespace().next() == Some(&ttl.to_string()));
            line.unwrap_or_else(|| panic!("no hop {ttl}: {text}")).to_owned()
        };
        assert!(hop(SILENT).split_whitespace().skip(1).all(|word| word == "*"), "{text}");
        for (ttl, address) in (1..).zip(lab.hops(target)).filter(|(ttl, _)| *ttl != SILENT) {
            assert!(hop(ttl).contains(&address.to_string()), "{text}");
        }
        assert_eq!(done.status.code(), Some(0), "{text}");
    }
}

#[test]
fn a_router_that_drops_errors_above_a_rate_shifts_no_later_hop() {
    const LIMITED: u8 = 3;
    let Some(lab) = Chain::of(8).up() else { return };
    lab.limit(LIMITED, "1/second burst 2 packets");
    for target in lab.targets() {
        let traced = trace(&format!("-q 10 {target}"));
        // The limit may be used up by the family before: then the router is silent.
        let hops = lab.hops(target);
        let seen = traced.addresses();
        let limited = usize::from(LIMITED) - 1;
        let expected = if seen[limited].is_some() { all(&hops) } else { without(&hops, LIMITED) };
        traced.assert_hops(&expected);
        for (at, hop) in traced.hops().iter().enumerate() {
            let received = hop["received"].as_u64().unwrap();
            let limited = at == limited;
            assert_eq!(received < 10, limited, "hop {}: {traced:?}", at + 1);
        }
    }
}

#[test]
fn the_kernels_own_limit_of_icmp_errors_shifts_no_later_hop() {
    let Some(lab) = Chain::of(6).up() else { return };
    // Of old one a second to a destination after six at once, in later kernels the same in jiffies.
    lab.sysctl(2, "ipv4/icmp_ratelimit", "1000");
    let target = lab.targets()[0];
    let traced = trace(&format!("-q 16 {target}"));
    traced.assert_hops(&all(&lab.hops(target)));
    let received: Vec<_> = traced.hops().iter().map(|hop| hop["received"].as_u64()).collect();
    assert!(received[1] < Some(16), "{traced:?}");
    assert!(received.iter().enumerate().all(|(at, n)| at == 1 || *n == Some(16)), "{traced:?}");
}

#[test]
fn a_path_mtu_of_1400_is_found_also_where_the_errors_are_filtered() {
    const NARROW: u8 = 5;
    let Some(lab) = Chain::of(8).mtu(NARROW, 1400).up() else { return };
    for black_hole in [false, true] {
        if black_hole {
            lab.black_hole(NARROW);
        }
        for target in lab.targets() {
            // Where nobody says anything, each silence is waited for.
            let traced = trace(&format!("--mtu -w 300ms {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            assert_eq!(traced.summary()["mtu"], 1400, "black hole {black_hole}: {traced:?}");
            let expected = if black_hole { json!(NARROW) } else { Value::Null };
            assert_eq!(traced.summary()["mtu_black_hole"], expected, "{traced:?}");
            let text = flux(&format!("--mtu -w 300ms {target}")).output().unwrap();
            let text = String::from_utf8(text.stdout).unwrap();
            assert!(text.contains("1400"), "{text}");
        }
    }
    // Before the narrow link it is that of our interface.
    let near = lab.hop4(NARROW - 1);
    let traced = trace(&format!("--mtu {near}"));
    assert_eq!(traced.summary()["mtu"], 1500, "{traced:?}");
}

#[test]
fn a_nat_that_leaves_quotes_alone_is_marked_behind_it() {
    const NAT: u8 = 3;
    let Some(lab) = Chain::of(6).up() else { return };
    lab.rewrite(NAT);
    for target in lab.targets() {
        for options in ["", "--strategy dublin", "--icmp", "-T -p 81"] {
            let traced = trace(&format!("{options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            let nat = &traced.summary()["nat"];
            let behind = lab.hops(target)[usize::from(NAT)];
            let first = nat.as_array().unwrap().first().unwrap_or_else(|| panic!("{traced:?}"));
            assert_eq!(first["ttl"], NAT + 1, "{traced:?}");
            assert_eq!(address(&first["addr"]), behind, "{traced:?}");
            assert_eq!(first["rewritten"], "source_address", "{traced:?}");
            for reply in
                traced.of("reply").filter(|reply| reply["ttl"].as_u64() <= Some(NAT.into()))
            {
                assert!(reply.get("nat").is_none(), "{reply}");
            }
        }
    }
}

#[test]
fn a_nat_that_restores_quotes_hides_no_hop() {
    let Some(lab) = Chain::of(6).up() else { return };
    lab.masquerade(3);
    for target in lab.targets() {
        for options in ["", "--strategy dublin", "--icmp", "-T -p 81"] {
            trace(&format!("{options} {target}")).assert_hops(&all(&lab.hops(target)));
        }
    }
}

#[test]
fn mpls_labels_are_read_and_printed() {
    const LABELS: u8 = 2;
    let Some(lab) = Chain::of(4).up() else { return };
    // Label 24001 of class 5 and TTL 1 over the last, 17 with TTL 254.
    let _router =
        LabelRouter::at(&lab, LABELS, &[24_001 << 12 | 5 << 9 | 1, 17 << 12 | 1 << 8 | 254]);
    let stack = json!([
        {"label": 24_001, "tc": 5, "bottom": false, "ttl": 1},
        {"label": 17, "tc": 0, "bottom": true, "ttl": 254},
    ]);
    for target in lab.targets() {
        let peer = traceroute_text("-e", target);
        assert!(peer.contains("L=24001,E=5,S=0,T=1/L=17,E=0,S=1,T=254"), "{peer}");
        for options in ["", "--icmp", "-T -p 81"] {
            let traced = trace(&format!("{options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            for hop in traced.hops() {
                let expected = if hop["ttl"] == LABELS { stack.clone() } else { json!([]) };
                assert_eq!(hop["routers"][0]["mpls"], expected, "{traced:?}");
            }
        }
        let text = flux(&target.to_string()).output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("24001") && text.contains("17"), "{text}");
    }
}

#[test]
fn every_protocol_and_strategy_reaches_the_target_over_the_same_hops() {
    let Some(lab) = Chain::of(5).up() else { return };
    let open: Vec<_> =
        lab.targets().map(|to| lab.at(lab.last(), || TcpListener::bind((to, 80)).unwrap())).into();
    for target in lab.targets() {
        for (options, end) in [
            ("", "port unreachable"),
            ("-U", "port unreachable"),
            ("-U -p 53", "port unreachable"),
            ("-U --strategy classic", "port unreachable"),
            ("-U --strategy dublin", "port unreachable"),
            ("--icmp", "echo reply"),
            ("--icmp --strategy classic", "echo reply"),
            ("-T", "syn-ack"),
            ("-T -p 80 --strategy classic", "syn-ack"),
            ("-T -p 81", "reset"),
        ] {
            let traced = trace(&format!("{options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            let hop = traced.hops().last().unwrap();
            assert_eq!(hop["routers"][0]["icmp"], end, "{traced:?}");
            assert!(traced.hops().iter().all(|hop| hop["received"] == 3), "{traced:?}");
            // Nothing is left of a connection that was only asked for.
            let half_open = lab.run_at(lab.last(), "ss -Htan state syn-recv");
            assert!(half_open.is_empty(), "{options}: {half_open}");
        }
    }
    for listener in open {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody connected");
    }
}

#[test]
fn tos_source_first_hop_and_length_of_probes_are_as_asked() {
    let Some(lab) = Chain::of(4).up() else { return };
    let wire = lab.wire(1);
    let [target, _] = lab.targets();
    let traced = trace(&format!("-f 3 -t 184 -q 2 -s 10.9.0.1 {target}"));
    let hops: Vec<_> = traced.hops().iter().map(|hop| hop["ttl"].as_u64().unwrap()).collect();
    assert_eq!((hops.as_slice(), traced.status), (&[3, 4, 5][..], Some(0)), "{traced:?}");
    let mut ttls = Vec::new();
    while let Some(frame) = wire.recv_type(0x0800, Duration::from_millis(50)) {
        if frame[23] == 17 {
            assert_eq!((frame[15], &frame[26..30]), (184, &[10, 9, 0, 1][..]));
            ttls.push(frame[22]);
        }
    }
    assert!(ttls.iter().all(|ttl| *ttl >= 3) && !ttls.is_empty(), "{ttls:?}");
}

#[test]
fn all_paths_of_a_diamond_are_found() {
    const WIDE: u8 = 3;
    let Some(lab) = Chain::of(5).diamond(WIDE).up() else { return };
    for (target, beside) in lab.targets().into_iter().zip(lab.beside(WIDE)) {
        let hops = lab.hops(target);
        for options in ["", "-T -p 81"] {
            // Flows, and so the router that each hashes to, are others in every run: at the default
            // confidence one run in thirty rightly misses a router.
            let traced = trace(&format!("--paths --confidence 99.99% {options} {target}"));
            assert_eq!((traced.status, traced.hops().len()), (Some(0), hops.len()), "{traced:?}");
            for (hop, expected) in traced.hops().iter().zip(&hops) {
                let mut seen = traced.routers(hop);
                seen.sort();
                let wide = hop["ttl"] == WIDE;
                let both = [*expected, beside];
                assert_eq!(seen, if wide { &both[..] } else { &both[..1] }, "{traced:?}");
                let balancing = if wide { json!("per-flow") } else { Value::Null };
                assert_eq!(hop["balancing"], balancing, "{traced:?}");
            }
            let summary = traced.summary();
            assert_eq!(summary["paths"].as_array().unwrap().len(), 2, "{traced:?}");
            assert_eq!(summary["multipath"]["complete"], true, "{traced:?}");
            let links = summary["links"].as_array().unwrap();
            for through in [hops[usize::from(WIDE) - 1], beside] {
                let (before, after) = (hops[usize::from(WIDE) - 2], hops[usize::from(WIDE)]);
                for (ttl, from, to) in [(WIDE - 1, before, through), (WIDE, through, after)] {
                    let link = json!({"ttl": ttl, "from": from.to_string(), "to": to.to_string()});
                    assert!(links.contains(&link), "no {link}: {traced:?}");
                }
            }
        }
        // One flow keeps to one of them.
        let one = trace(&format!("-q 8 {target}"));
        assert!(one.hops().iter().all(|hop| one.routers(hop).len() == 1), "{one:?}");
    }
}

#[test]
fn the_exit_status_tells_whether_the_target_was_reached() {
    let Some(lab) = Chain::of(4).up() else { return };
    let [target, target6] = lab.targets();
    assert_eq!(trace(&target.to_string()).status, Some(0));

    // Too short a look.
    let short = trace(&format!("-m 3 {target}"));
    assert_eq!((short.status, &short.summary()["reached"]), (Some(1), &json!(false)), "{short:?}");
    assert_eq!(short.addresses(), all(&lab.hops(target)[..3]));

    // A target that says nothing: the last hops are silent.
    let drop = "table inet mute {
        chain in {
            type filter hook input priority 0; policy accept;
            meta l4proto { udp, tcp, icmp, icmpv6 } drop
        }
    }";
    lab.nft(lab.last(), drop);
    for target in [target, target6] {
        let mute = trace(&format!("-m 8 -w 300ms {target}"));
        assert_eq!((mute.status, &mute.summary()["reached"]), (Some(1), &json!(false)), "{mute:?}");
        let mut expected = all(&lab.hops(target)[..4]);
        expected.resize(8, None);
        assert_eq!(mute.addresses(), expected, "{mute:?}");
        assert_eq!(mute.hops()[7]["routers"], json!([]));
    }

    // What cannot run says why and what next, as JSON too.
    for line in
        ["203.0.113.1 -I nosuch0", "no.such.host.invalid", "-m 0 10.9.4.2", "-T -p 0 10.9.4.2"]
    {
        let refused = trace(line);
        assert_eq!(refused.status, Some(2), "{refused:?}");
        let error = refused.of("error").next().unwrap_or_else(|| panic!("{refused:?}"));
        assert!(error["error"].is_string() && error["hint"].is_string(), "{error}");
    }
    assert!(!xdp_attached());
}

#[test]
fn a_router_that_says_no_is_the_end_and_marked_as_traceroute_does() {
    // A kernel says so five times in a row at the most, so that each case gets routers of its own.
    for (route, mark, mark6) in [("unreachable", "!H", "!N"), ("prohibit", "!X", "!X")] {
        let Some(lab) = Chain::of(4).up() else { return };
        for (target, mark) in lab.targets().into_iter().zip([mark, mark6]) {
            lab.run_at(2, &format!("ip route replace {route} {target}"));
            let refused = trace(&target.to_string());
            assert_eq!(refused.status, Some(1), "{refused:?}");
            assert_eq!(refused.addresses(), all(&lab.hops(target)[..2]), "{refused:?}");
            let hop = &refused.hops()[1]["routers"][0];
            assert_eq!(hop["mark"], mark, "{refused:?}");
        }
        // Over IPv6 there is no such limit.
        let peer = traceroute_text("", lab.targets()[1]);
        assert!(peer.contains(&format!(" {mark6}")), "{mark6} in {peer}");
    }
}

#[test]
fn the_kernels_own_traffic_is_undisturbed() {
    let Some(lab) = Chain::of(4).up() else { return };
    let listen = |to| lab.at(lab.last(), || TcpListener::bind((to, 80)).unwrap());
    let _open = lab.targets().map(listen);
    for target in lab.targets() {
        let expected = all(&lab.hops(target));
        for options in ["", "--icmp", "-T"] {
            let line = format!("{options} -c 100000 -i 10ms {target}");
            let (child, lines) = running(&line);
            for options in ["", "-I", "-T", "-U -p 33434", "-T -p 81"] {
                assert_eq!(
                    traceroute(options, target),
                    expected,
                    "traceroute {options} beside {line}"
                );
            }
            let ping = run(&format!("ping -q -c 50 -i 0.01 {target}"));
            assert!(ping.contains(" 50 received, 0% packet loss"), "{ping}");
            run(&format!("kill -INT {}", child.id()));
            let traced = rest(&line, child, lines);
            traced.assert_hops(&expected);
        }
    }
}

#[test]
fn nothing_is_left_after_the_end_nor_after_sigkill() {
    let Some(lab) = Chain::of(2).up() else { return };
    let target = lab.targets()[0];
    let (mut child, lines) = running(&format!("-c 100000 -i 10ms {target}"));
    assert!(xdp_attached());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(lines);
    wait_until("the program is gone", || !xdp_attached());
    trace(&target.to_string()).assert_hops(&all(&lab.hops(target)));
    assert!(!xdp_attached());
}

/// The next probe that arrives with so much life left.
fn probe(wire: &Wire, target: IpAddr, ttl: u8) -> Vec<u8> {
    let (kind, at, next, protocol) =
        if target.is_ipv4() { (0x0800, 22, 23, 17) } else { (0x86dd, 21, 20, 17) };
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let Some(frame) = wire.recv_type(kind, PATIENCE) else { break };
        if frame[at] == ttl && frame[next] == protocol {
            return frame;
        }
    }
    panic!("no probe with TTL {ttl}");
}

#[test]
fn forged_answers_are_ignored() {
    let Some(lab) = Chain::of(3).up() else { return };
    lab.silence(2); // so that a forged answer has a place to show
    for target in lab.targets() {
        let wire = lab.wire(1);
        let v4 = target.is_ipv4();
        let liar: IpAddr = if v4 { "10.9.66.66" } else { "fd09:0:0:66::66" }.parse().unwrap();
        let exceeded = |probe: &[u8], quote: &[u8]| {
            let head = if v4 { [11, 0, 0, 0, 0, 0, 0, 0] } else { [3, 0, 0, 0, 0, 0, 0, 0] };
            let message = [&head, quote].concat();
            if v4 { icmp4(probe, liar, &message) } else { icmp6(probe, liar, &message) }
        };
        let forge = || {
            let real = probe(&wire, target, 2);
            let quote = &real[14..];
            let header = if v4 { 20 } else { 40 };
            let mut wrong = exceeded(&real, quote);
            wrong[14 + header + 2] ^= 0x55; // the checksum
            wire.send(&wrong);
            // Quotes that end too early, and a header whose length is a lie.
            for cut in [0, 1, header - 1, header, header + 3] {
                wire.send(&exceeded(&real, &quote[..cut]));
            }
            if v4 {
                let mut lie = quote.to_vec();
                lie[0] = 0x4f;
                wire.send(&exceeded(&real, &lie));
            }
            // Probes that were never sent: from another port, to another port, with a number that
            // nobody has come to (which is in the identification and the checksum), to somebody
            // else.
            let mut others = vec![quote.to_vec(); 4];
            others[0][header] ^= 0x0f;
            others[1][header + 2] ^= 0x0f;
            others[2][header + 6] = 0xfe;
            others[2].truncate(header + 8);
            if v4 {
                others[2][4] = 0xfe;
            }
            others[3][header - 1] ^= 0x0f;
            others.iter().for_each(|other| wire.send(&exceeded(&real, other)));
        };
        let line = format!("-c 100000 -i 10ms -w 200ms {target}");
        let (child, lines) = running(&line);
        (0..20).for_each(|_| forge());
        run(&format!("kill -INT {}", child.id()));
        let traced = rest(&line, child, lines);
        assert!(!format!("{traced:?}").contains(&liar.to_string()), "{traced:?}");
        traced.assert_hops(&without(&lab.hops(target), 2));

        // For people, with -v, they are counted.
        let child = flux(&format!("-v {line}")).spawn().unwrap();
        (0..20).for_each(|_| forge());
        run(&format!("kill -INT {}", child.id()));
        let done = child.wait_with_output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        let counts = told.lines().find_map(|line| {
            let (foreign, rest) = line.split_once(" packets were not for us, ")?;
            Some((foreign.parse::<u32>().ok()?, rest.split_once(' ')?.0.parse::<u32>().ok()?))
        });
        let Some((foreign, malformed)) = counts else { panic!("{told}") };
        assert!(foreign > 0 && malformed > 0, "{told}");
        assert!(!String::from_utf8(done.stdout).unwrap().contains(&liar.to_string()));
    }
}
