//! `flux trace` over a path of routers that are network namespaces, beside traceroute and mtr.

use crate::command::{flux, stderr, stdout};
use crate::lab::icmp::{LabelRouter, icmp4, icmp6};
use crate::lab::routers::{Chain, NEAR, Routers};
use crate::lab::{self, PATIENCE, Wire, wait_until, xdp_attached};
use crate::running::{Ended, Running};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, TcpListener};
use std::ops::Deref;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Options with which an answer that comes late is none that is lost: the run ends with the last
/// one.
const PATIENT: &str = "--patient -w 60";
/// The same where some of the probes get no answer, and that is waited for.
const SILENCE: &str = "--patient -w 2";

/// What a `--json` run said.
struct Traced(Ended);

impl Deref for Traced {
    type Target = Ended;

    fn deref(&self) -> &Ended {
        &self.0
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

impl Traced {
    #[track_caller]
    fn summary(&self) -> &Value {
        self.first("summary")
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
        routers.iter().map(|router| address(&router["address"])).collect()
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

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse().unwrap()
}

/// Runs `flux trace -n` with these arguments and `--json` to its end.
#[track_caller]
fn trace(line: &str) -> Traced {
    Traced(Ended::of_line(&format!("trace -n {line}")))
}

/// The same for people.
fn trace_text(line: &str) -> Output {
    flux(&format!("trace -n {line}")).output().unwrap()
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

/// How long traceroute waits for an answer, in seconds, where all of them come, and where silence
/// is waited for. Without them it gives some up after ten times the next hop's round trip, which is
/// nothing here.
const ALL_COME: u32 = 60;
const SOME_COME: u32 = 2;

fn traceroute_text(wait: u32, options: &str, target: IpAddr) -> String {
    lab::run(&format!("traceroute -n -w {wait},0,0 {options} {target}"))
}

/// Hops as traceroute sees them.
fn traceroute(options: &str, target: IpAddr) -> Vec<Option<IpAddr>> {
    traceroute_hops(&traceroute_text(ALL_COME, options, target))
}

fn traceroute_hops(text: &str) -> Vec<Option<IpAddr>> {
    let hops = text.lines().skip(1);
    hops.map(|line| line.split_whitespace().find_map(|word| word.parse().ok())).collect()
}

/// Asserts that traceroute and mtr, which wait side by side, see these hops to each target.
fn assert_peers_see(
    targets: [IpAddr; 2],
    wait: u32,
    expected: impl Fn(IpAddr) -> Vec<Option<IpAddr>>,
) {
    let start = |line: String| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let end = |peer: Child| {
        let done = peer.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        stdout(&done)
    };
    // Mtr always waits for the whole time after its last round (-G).
    let peers = targets.map(|target| {
        let traceroute = start(format!("traceroute -n -w {wait},0,0 {target}"));
        let mtr = start(format!("mtr -n --report --report-cycles 3 -i 0.1 -G 3 {target}"));
        (target, traceroute, mtr)
    });
    for (target, traceroute, mtr) in peers {
        let text = end(traceroute);
        assert_eq!(traceroute_hops(&text), expected(target), "{text}");
        let text = end(mtr);
        let hops = text.lines().filter_map(|line| line.split_once("|--"));
        let hops = hops.map(|(_, hop)| hop.split_whitespace().next().unwrap().parse().ok());
        assert_eq!(hops.collect::<Vec<_>>(), expected(target), "{text}");
    }
}

/// A run of many rounds that has had an answer from each of these hops.
fn running(line: &str, hops: &[Option<IpAddr>]) -> Running {
    let line = format!("trace -n -c 100000 -i 10ms {line}");
    let mut flux = Running::start(&line);
    let answers = (1u64..).zip(hops).filter_map(|(ttl, hop)| Some((ttl, (*hop)?)));
    let mut open: BTreeSet<(u64, IpAddr)> = answers.collect();
    flux.until("an answer from each hop", |event| {
        if event["event"] == "reply" {
            open.remove(&(event["ttl"].as_u64().unwrap(), address(&event["from"])));
        }
        open.is_empty()
    });
    flux
}

#[test]
fn eight_routers_are_those_that_traceroute_and_mtr_see() {
    if !lab::has(&["traceroute", "mtr"]) {
        return;
    }
    let Some(lab) = Chain::of(8).up() else { return };
    assert_peers_see(lab.targets(), ALL_COME, |target| all(&lab.hops(target)));
    for target in lab.targets() {
        let expected = all(&lab.hops(target));
        let traced = trace(&format!("{PATIENT} {target}"));
        traced.assert_hops(&expected);
        for hop in traced.hops() {
            let counts = (&hop["sent"], &hop["received"], &hop["loss_pct"]);
            assert_eq!(counts, (&json!(3), &json!(3), &json!(0.0)), "{traced:?}");
            let router = &hop["routers"][0];
            assert!(router["rtt_us"]["min"].as_f64() > Some(0.0), "{traced:?}");
            assert_eq!(router["back_hops"], hop["ttl"], "{traced:?}");
            let last = hop["ttl"] == lab.last();
            let icmp = if last { "port_unreachable" } else { "time_exceeded" };
            assert_eq!(router["icmp"], icmp, "{traced:?}");
        }
        // Who waits no longer than is usual may miss an answer, and mistakes nobody.
        let hurried = trace(&target.to_string());
        assert_eq!((hurried.status, &hurried.summary()["reached"]), (Some(0), &json!(true)));
        let seen = hurried.addresses();
        let right = seen.iter().zip(&expected).all(|(seen, hop)| seen.is_none() || seen == hop);
        assert!(right && seen.len() >= expected.len(), "{hurried:?}");
    }
}

#[test]
fn a_path_is_found_with_one_queue_and_without_known_neighbours() {
    for queues in [1, 2] {
        let Some(lab) = Chain::of(3).queues(queues).cold().up() else { return };
        for target in lab.targets() {
            trace(&format!("{PATIENT} {target}")).assert_hops(&all(&lab.hops(target)));
        }
    }
}

#[test]
fn a_silent_router_is_a_star_and_shifts_nobody() {
    const SILENT: u8 = 4;
    if !lab::has(&["traceroute", "mtr", "nft"]) {
        return;
    }
    let Some(lab) = Chain::of(8).up() else { return };
    lab.silence(SILENT);
    assert_peers_see(lab.targets(), SOME_COME, |target| without(&lab.hops(target), SILENT));
    for target in lab.targets() {
        let expected = without(&lab.hops(target), SILENT);
        trace(&format!("{SILENCE} {target}")).assert_hops(&expected);
        let done = trace_text(&format!("{SILENCE} {target}"));
        let text = stdout(&done);
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
    if !lab::has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(8).up() else { return };
    // Two of each family, and no more for an hour.
    lab.limit(LIMITED, "1/hour burst 2 packets");
    for target in lab.targets() {
        let traced = trace(&format!("{SILENCE} -q 10 {target}"));
        traced.assert_hops(&all(&lab.hops(target)));
        for hop in traced.hops() {
            let expected = if hop["ttl"] == LIMITED { 2 } else { 10 };
            assert_eq!(hop["received"], expected, "hop {}: {traced:?}", hop["ttl"]);
        }
    }
}

#[test]
fn the_kernels_own_limit_of_icmp_errors_shifts_no_later_hop() {
    let Some(lab) = Chain::of(6).up() else { return };
    lab.limit_as_kernels_do(2, 2000); // six at once, and then one in two seconds or more
    let target = lab.targets()[0];
    let traced = trace(&format!("{SILENCE} -q 16 {target}"));
    traced.assert_hops(&all(&lab.hops(target)));
    let received: Vec<_> = traced.hops().iter().map(|hop| hop["received"].as_u64()).collect();
    assert!(received[1] < Some(16), "{traced:?}");
    assert!(received.iter().enumerate().all(|(at, n)| at == 1 || *n == Some(16)), "{traced:?}");
}

const NARROW: u8 = 5;

/// Asserts that a path MTU of 1400 is found.
fn assert_path_mtu(lab: &Routers, options: &str, target: IpAddr, black_hole: &Value) {
    let traced = trace(&format!("--mtu {options} {target}"));
    traced.assert_hops(&all(&lab.hops(target)));
    assert_eq!(traced.summary()["mtu"], 1400, "{traced:?}");
    assert_eq!(traced.summary()["mtu_black_hole"], *black_hole, "{traced:?}");
}

#[test]
fn a_path_mtu_of_1400_is_found_where_a_router_tells_it() {
    let Some(lab) = Chain::of(8).mtu(NARROW, 1400).up() else { return };
    for target in lab.targets() {
        assert_path_mtu(&lab, PATIENT, target, &Value::Null);
        let text = stdout(&trace_text(&format!("--mtu {PATIENT} {target}")));
        assert!(text.contains("1400"), "{text}");
    }
    // Before the narrow link it is that of our interface.
    let near = lab.hop4(NARROW - 1);
    let traced = trace(&format!("--mtu {PATIENT} {near}"));
    assert_eq!(traced.summary()["mtu"], 1500, "{traced:?}");
}

#[test]
fn a_path_mtu_of_1400_is_found_where_the_errors_are_filtered() {
    assert_black_hole(0);
}

#[test]
fn a_path_mtu_of_1400_is_found_where_the_errors_are_filtered_over_ipv6() {
    assert_black_hole(1);
}

/// Where nobody says anything, many a silence is waited for: each family has a path of its own, so
/// that they wait side by side.
fn assert_black_hole(family: usize) {
    if !lab::has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(8).mtu(NARROW, 1400).up() else { return };
    lab.black_hole(NARROW);
    assert_path_mtu(&lab, "--patient -w 1", lab.targets()[family], &json!(NARROW));
}

#[test]
fn a_nat_that_leaves_quotes_alone_is_marked_behind_it() {
    const NAT: u8 = 3;
    if !lab::has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(6).up() else { return };
    lab.rewrite(NAT);
    for target in lab.targets() {
        for options in ["", "--strategy dublin", "--icmp", "-T -p 81"] {
            let traced = trace(&format!("{PATIENT} {options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            let nat = &traced.summary()["nat"];
            let behind = lab.hops(target)[usize::from(NAT)];
            let first = nat.as_array().unwrap().first().unwrap_or_else(|| panic!("{traced:?}"));
            assert_eq!(first["ttl"], NAT + 1, "{traced:?}");
            assert_eq!(address(&first["address"]), behind, "{traced:?}");
            assert_eq!(first["rewritten"], "source_address", "{traced:?}");
            for reply in
                traced.of("reply").filter(|reply| reply["ttl"].as_u64() <= Some(NAT.into()))
            {
                assert!(reply.get("rewritten").is_none(), "{reply}");
            }
            let told = traced.of("reply").any(|reply| reply["rewritten"] == "source_address");
            assert!(told, "{traced:?}");
        }
    }
}

#[test]
fn a_nat_that_restores_quotes_hides_no_hop() {
    if !lab::has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(6).up() else { return };
    lab.masquerade(3);
    for target in lab.targets() {
        for options in ["", "--strategy dublin", "--icmp", "-T -p 81"] {
            trace(&format!("{PATIENT} {options} {target}")).assert_hops(&all(&lab.hops(target)));
        }
    }
}

#[test]
fn mpls_labels_are_read_and_printed() {
    const LABELS: u8 = 2;
    if !lab::has(&["traceroute", "nft"]) {
        return;
    }
    let Some(lab) = Chain::of(4).up() else { return };
    // Label 24001 of class 5 and TTL 1 over the last, 17 with TTL 254.
    let _router =
        LabelRouter::at(&lab, LABELS, &[24_001 << 12 | 5 << 9 | 1, 17 << 12 | 1 << 8 | 254]);
    let stack = json!([
        {"label": 24_001, "tc": 5, "bottom": false, "ttl": 1},
        {"label": 17, "tc": 0, "bottom": true, "ttl": 254},
    ]);
    for target in lab.targets() {
        let peer = traceroute_text(ALL_COME, "-e", target);
        assert!(peer.contains("L=24001,E=5,S=0,T=1/L=17,E=0,S=1,T=254"), "{peer}");
        for options in ["", "--icmp", "-T -p 81"] {
            let traced = trace(&format!("{PATIENT} {options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            for hop in traced.hops() {
                let expected = if hop["ttl"] == LABELS { stack.clone() } else { json!([]) };
                assert_eq!(hop["routers"][0]["mpls"], expected, "{traced:?}");
            }
        }
        let text = stdout(&trace_text(&format!("{PATIENT} {target}")));
        assert!(text.contains("24001") && text.contains("17"), "{text}");
    }
}

#[test]
fn every_protocol_and_strategy_reaches_the_target_over_the_same_hops() {
    if !lab::has(&["ss", "nft"]) {
        return;
    }
    let Some(lab) = Chain::of(5).up() else { return };
    // A reset goes the way of the SYN before it, and does not overtake it.
    lab::stay();
    // Our kernel would reset what we left half open when the target asks again.
    lab.no_resets(0);
    let open: Vec<_> =
        lab.targets().map(|to| lab.at(lab.last(), || TcpListener::bind((to, 80)).unwrap())).into();
    for target in lab.targets() {
        for (options, end) in [
            ("", "port_unreachable"),
            ("-U", "port_unreachable"),
            ("-U -p 53", "port_unreachable"),
            ("-U --strategy classic", "port_unreachable"),
            ("-U --strategy dublin", "port_unreachable"),
            ("--icmp", "echo_reply"),
            ("--icmp --strategy classic", "echo_reply"),
            ("-T", "syn_ack"),
            ("-T -p 80 --strategy classic", "syn_ack"),
            ("-T -p 81", "reset"),
        ] {
            let traced = trace(&format!("{PATIENT} {options} {target}"));
            traced.assert_hops(&all(&lab.hops(target)));
            let hop = traced.hops().last().unwrap();
            assert_eq!(hop["routers"][0]["icmp"], end, "{traced:?}");
            assert!(traced.hops().iter().all(|hop| hop["received"] == 3), "{traced:?}");
            // Nothing is left of a connection that was only asked for.
            let half_open = || lab.run_at(lab.last(), "ss -Htan state syn-recv");
            wait_until("the resets are there", || half_open().is_empty());
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
    let traced = trace(&format!("{PATIENT} -f 3 -t 184 -q 2 -s 10.9.0.1 {target}"));
    let hops: Vec<_> = traced.hops().iter().map(|hop| hop["ttl"].as_u64().unwrap()).collect();
    assert_eq!((hops.as_slice(), traced.status), (&[3, 4, 5][..], Some(0)), "{traced:?}");
    let mut ttls = Vec::new();
    // The answers are in, so the probes are here.
    while let Some(frame) = wire.recv_type(0x0800, Duration::ZERO) {
        if frame[23] == 17 {
            assert_eq!((frame[15], &frame[26..30]), (184, &[10, 9, 0, 1][..]));
            ttls.push(frame[22]);
        }
    }
    let of = |ttl| ttls.iter().filter(|seen| **seen == ttl).count();
    assert!(ttls.iter().all(|ttl| *ttl >= 3), "{ttls:?}");
    assert_eq!([of(3), of(4), of(5)], [2, 2, 2], "{ttls:?}");
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
            let traced =
                trace(&format!("{PATIENT} --paths --confidence 99.99% {options} {target}"));
            assert_eq!((traced.status, traced.hops().len()), (Some(0), hops.len()), "{traced:?}");
            for (hop, expected) in traced.hops().iter().zip(&hops) {
                let mut seen = traced.routers(hop);
                seen.sort();
                let wide = hop["ttl"] == WIDE;
                let both = [*expected, beside];
                assert_eq!(seen, if wide { &both[..] } else { &both[..1] }, "{traced:?}");
                let balancing = if wide { json!("per_flow") } else { Value::Null };
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
        let one = trace(&format!("{PATIENT} -q 8 {target}"));
        assert!(one.hops().iter().all(|hop| one.routers(hop).len() == 1), "{one:?}");
    }
}

#[test]
fn the_exit_status_tells_whether_the_target_was_reached() {
    if !lab::has(&["nft"]) {
        return;
    }
    let Some(lab) = Chain::of(4).up() else { return };
    let [target, target6] = lab.targets();
    assert_eq!(trace(&format!("{PATIENT} {target}")).status, Some(0));

    // Too short a look.
    let short = trace(&format!("{PATIENT} -m 3 {target}"));
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
        let mute = trace(&format!("{SILENCE} -m 8 {target}"));
        assert_eq!((mute.status, &mute.summary()["reached"]), (Some(1), &json!(false)), "{mute:?}");
        let mut expected = all(&lab.hops(target)[..4]);
        expected.resize(8, None);
        assert_eq!(mute.addresses(), expected, "{mute:?}");
        assert_eq!(mute.hops()[7]["routers"], json!([]));
    }

    // What cannot run says why and what next, as JSON too. Without a route it is known at once that
    // nobody can be asked for a name.
    lab::run("ip -4 route del default");
    lab::run("ip -6 route del default");
    for line in
        ["203.0.113.1 -I nosuch0", "no.such.host.invalid", "-m 0 10.9.4.2", "-T -p 0 10.9.4.2"]
    {
        let refused = trace(line);
        assert_eq!(refused.status, Some(2), "{refused:?}");
        let error = refused.of("error").next().unwrap_or_else(|| panic!("{refused:?}"));
        assert!(error["error"].is_string() && error["hint"].is_string(), "{error}");
    }
    assert!(!xdp_attached(NEAR));
}

#[test]
fn a_router_that_says_no_is_the_end_and_marked_as_traceroute_does() {
    if !lab::has(&["traceroute"]) {
        return;
    }
    // A kernel says so five times in a row at the most, so that each case gets routers of its own,
    // and one probe for each of the TTLs 2 to 5, which all end there.
    for (route, mark, mark6) in [("unreachable", "!H", "!N"), ("prohibit", "!X", "!X")] {
        let Some(lab) = Chain::of(4).up() else { return };
        for (target, mark) in lab.targets().into_iter().zip([mark, mark6]) {
            lab.run_at(2, &format!("ip route replace {route} {target}"));
            let refused = trace(&format!("{PATIENT} -q 1 -m 5 {target}"));
            assert_eq!(refused.status, Some(1), "{refused:?}");
            assert_eq!(refused.addresses(), all(&lab.hops(target)[..2]), "{refused:?}");
            let hop = &refused.hops()[1]["routers"][0];
            assert_eq!(hop["mark"], mark, "{refused:?}");
        }
        // Over IPv6 there is no such limit.
        let [_, target] = lab.targets();
        let refused = trace(&format!("{PATIENT} {target}"));
        assert_eq!(refused.addresses(), all(&lab.hops(target)[..2]), "{refused:?}");
        let peer = traceroute_text(ALL_COME, "", target);
        assert!(peer.contains(&format!(" {mark6}")), "{mark6} in {peer}");
    }
}

#[test]
fn the_kernels_own_traffic_is_undisturbed() {
    if !lab::has(&["traceroute", "ping"]) {
        return;
    }
    let Some(lab) = Chain::of(4).up() else { return };
    let listen = |to| lab.at(lab.last(), || TcpListener::bind((to, 80)).unwrap());
    let _open = lab.targets().map(listen);
    for target in lab.targets() {
        let expected = all(&lab.hops(target));
        for options in ["", "--icmp", "-T"] {
            let mut flux = running(&format!("{options} {target}"), &expected);
            for others in ["", "-I", "-T", "-U -p 33434", "-T -p 81"] {
                let seen = traceroute(others, target);
                assert_eq!(seen, expected, "traceroute {others} beside {options}");
            }
            lab::assert_undisturbed_ping(target, 50);
            flux.so_far();
            flux.until_event("reply"); // so it was there all the time
            Traced(flux.interrupt()).assert_hops(&expected);
        }
    }
}

#[test]
fn nothing_is_left_after_the_end_nor_after_sigkill() {
    let Some(lab) = Chain::of(2).up() else { return };
    let target = lab.targets()[0];
    let expected = all(&lab.hops(target));
    let flux = running(&target.to_string(), &expected);
    assert!(xdp_attached(NEAR));
    flux.kill();
    wait_until("the program is gone", || !xdp_attached(NEAR));
    trace(&format!("{PATIENT} {target}")).assert_hops(&expected);
    assert!(!xdp_attached(NEAR));
}

/// The next probe that arrives with so much life left.
fn probe(wire: &Wire, target: IpAddr, ttl: u8) -> Vec<u8> {
    let (kind, at, next, protocol) =
        if target.is_ipv4() { (0x0800, 22, 23, 17) } else { (0x86dd, 21, 20, 17) };
    loop {
        let Some(frame) = wire.recv_type(kind, PATIENCE) else { panic!("no probe with TTL {ttl}") };
        if frame[at] == ttl && frame[next] == protocol {
            return frame;
        }
    }
}

#[test]
fn forged_answers_are_ignored() {
    if !lab::has(&["nft"]) {
        return;
    }
    const ROUNDS: usize = 10;
    let Some(lab) = Chain::of(3).up() else { return };
    lab::stay(); // what is forged arrives before what is true
    lab.silence(2); // the only answers in its place are ours
    for target in lab.targets() {
        let wire = lab.wire(1);
        let v4 = target.is_ipv4();
        let liar: IpAddr = if v4 { "10.9.66.66" } else { "fd09:0:0:66::66" }.parse().unwrap();
        let exceeded_at = |from, probe: &[u8], quote: &[u8]| {
            let head = if v4 { [11, 0, 0, 0, 0, 0, 0, 0] } else { [3, 0, 0, 0, 0, 0, 0, 0] };
            let message = [&head, quote].concat();
            if v4 { icmp4(probe, from, &message) } else { icmp6(probe, from, &message) }
        };
        let exceeded = |probe: &[u8], quote: &[u8]| exceeded_at(liar, probe, quote);
        let silent = lab.hops(target)[1];
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
            // The truth, without which the run does not end.
            wire.send(&exceeded_at(silent, &real, quote));
        };
        let line = format!("trace -n -c {ROUNDS} -i 20ms -w 30 {target}");
        let run = Running::start(&line);
        (0..ROUNDS).for_each(|_| forge());
        let traced = Traced(run.end());
        assert!(!format!("{traced:?}").contains(&liar.to_string()), "{traced:?}");
        traced.assert_hops(&all(&lab.hops(target)));
        assert!(traced.hops().iter().all(|hop| hop["received"] == ROUNDS), "{traced:?}");

        // For people, with -v, they are counted.
        let mut run = flux(&format!("{line} -v"));
        let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (0..ROUNDS).for_each(|_| forge());
        let done = run.wait_with_output().unwrap();
        let told = stderr(&done);
        let counts = told.lines().find_map(|line| {
            let line = line.strip_prefix("ignored: ")?;
            let (foreign, rest) = line.split_once(" packets of others, ")?;
            Some((foreign.parse::<u32>().ok()?, rest.split_once(' ')?.0.parse::<u32>().ok()?))
        });
        let Some((foreign, malformed)) = counts else { panic!("{told}") };
        assert!(foreign > 0 && malformed > 0, "{told}");
        assert!(!stdout(&done).contains(&liar.to_string()));
    }
}
