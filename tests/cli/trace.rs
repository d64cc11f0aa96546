//! `flux trace` from the outside, on the simulated network: what it finds, prints and answers.

use crate::command::{
    self, assert_exit, assert_refused, assert_refused_as_json, events, flux, of, run,
};
use crate::command::{stderr, stdout};
use serde_json::Value;
use std::process::Stdio;

/// The six hops of the default network, up to the branch that a run takes.
const BEGIN: &str = "\
trace to 203.0.113.7 (203.0.113.7), 30 hops max, 60 byte packets
 1  10.0.0.254  0.200 ms  0.200 ms  0.200 ms
 2  172.16.12.2  4.160 ms  4.160 ms  4.160 ms
";
const END: &str = "
 5  172.16.45.2  16.040 ms  16.040 ms  16.040 ms
 6  203.0.113.7  20.000 ms  20.000 ms  20.000 ms
reached 203.0.113.7 in 6 hops, 20.0 ms
";

#[test]
fn text_reads_as_traceroute_and_the_start_line_is_not_among_the_data() {
    let line = "trace -n --sim 203.0.113.7";
    let output = run(line);
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    assert!(text.starts_with(BEGIN) && text.ends_with(END), "flux {line}:\n{text}");
    assert_eq!(text.lines().count(), 8, "{text}");
    assert_eq!(stderr(&output), "", "all is as it should be");
    assert!(stderr(&run("trace -v -n --sim 203.0.113.7")).starts_with("sim0: "));
}

#[test]
fn names_stand_beside_addresses_unless_n_is_given() {
    let named = stdout(&run("trace --sim 203.0.113.7"));
    let row = named.lines().nth(1).unwrap();
    let (name, rest) = row.strip_prefix(" 1  10.0.0.254 (").unwrap().split_once(')').unwrap();
    assert!(!name.is_empty() && rest == "  0.200 ms  0.200 ms  0.200 ms", "{row}");
    let report = stdout(&run("trace --sim --report 203.0.113.7"));
    assert!(report.contains(&format!(" 1. {name} ")), "{report}");
    assert!(!report.contains("10.0.0.254"), "{report}");
    let numeric = stdout(&run("trace -n --sim --report 203.0.113.7"));
    assert!(numeric.contains(" 1. 10.0.0.254 ") && !numeric.contains(name), "{numeric}");
}

#[test]
fn every_event_is_a_line_of_json_and_the_summary_has_the_promised_keys() {
    let events = events("trace -n --sim --json 203.0.113.7", 0);
    assert_eq!(events[0]["event"], "start");
    for key in
        ["backend", "tx_clock", "rx_clock", "protocol", "strategy", "port", "first", "max_hops"]
    {
        assert!(!events[0][key].is_null(), "{key}: {}", events[0]);
    }
    let replies = of(&events, "reply");
    assert!(replies.len() >= 18, "{}", replies.len());
    assert_eq!(replies.iter().filter(|reply| reply["ttl"] == 3).count(), 3);
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["reached"]), (&"summary".into(), &true.into()));
    assert_eq!((&summary["target"], &summary["distance"]), (&"203.0.113.7".into(), &6.into()));
    let hops = summary["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 6);
    for (ttl, hop) in (1..).zip(hops) {
        assert_eq!(hop["ttl"], ttl);
        let router = &hop["routers"][0];
        assert_eq!((&router["sent"], &router["received"]), (&3.into(), &3.into()), "{router}");
        assert_eq!((&router["loss_pct"], &router["name"]), (&0.0.into(), &Value::Null));
        for key in ["min", "mean", "p50", "p90", "max", "stddev"] {
            assert!(router["rtt_us"][key].is_f64(), "{key}: {router}");
        }
        assert_eq!(router["mpls"], Value::Array(Vec::new()));
    }
    assert_eq!(hops[0]["routers"][0]["icmp"], "time_exceeded");
    assert_eq!(hops[5]["routers"][0]["icmp"], "port_unreachable");
    assert_eq!(summary["paths"][0].as_array().unwrap().len(), 6);
    assert_eq!((&summary["mtu"], &summary["nat"]), (&Value::Null, &Value::Array(Vec::new())));
}

#[test]
fn all_paths_are_found_shown_and_drawn() {
    let line = "trace -n --sim --paths 203.0.113.7";
    let events = events(&format!("{line} --json"), 0);
    let summary = events.last().unwrap();
    let routers = |ttl: usize| -> Vec<&str> {
        let routers = summary["hops"][ttl - 1]["routers"].as_array().unwrap();
        let mut routers: Vec<_> = routers.iter().map(|r| r["address"].as_str().unwrap()).collect();
        routers.sort_unstable();
        routers
    };
    assert_eq!(routers(3), ["172.16.23.2", "172.16.24.2"]);
    assert_eq!(summary["hops"][2]["balancing"], "per_flow");
    assert_eq!(summary["paths"].as_array().unwrap().len(), 2);
    assert_eq!(summary["multipath"]["complete"], true);

    let ascii = run(line);
    assert_exit(line, &ascii, 0);
    let text = stdout(&ascii);
    assert!(text.is_ascii() && text.contains("\n 3a +- 172.16."), "{text}");
    assert!(text.contains("  per-flow x2\n") && text.contains("\n1-2 3a 4a 5-6 "), "{text}");
    assert!(text.contains("\n2 paths, by ") && text.contains("with 95% confidence\n"), "{text}");
    let utf8 = stdout(&flux(line).env("LANG", "C.UTF-8").output().unwrap());
    assert!(utf8.contains("\n 3b └─ 172.16.") && utf8.contains("per-flow ×2"), "{utf8}");

    let dot = stdout(&run(&format!("{line} --dot")));
    assert!(dot.starts_with("digraph trace {\n") && dot.ends_with("\n}\n"), "{dot}");
    for edge in [
        "\"1/0\" -> \"1/1 10.0.0.254\";",
        "\"1/2 172.16.12.2\" -> \"1/3 172.16.23.2\";",
        "\"1/2 172.16.12.2\" -> \"1/3 172.16.24.2\";",
        "\"1/5 172.16.45.2\" -> \"1/6 203.0.113.7\";",
    ] {
        assert!(dot.contains(edge), "{edge}:\n{dot}");
    }
}

#[test]
fn rounds_give_a_table_as_mtr_with_the_numbers_of_all_rounds() {
    let line = "trace -n --sim -c 20 203.0.113.7";
    let output = run(line);
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    let rows: Vec<&str> = text.lines().collect();
    let headings: Vec<&str> = rows[1].split_whitespace().collect();
    let want = ["Host", "Loss%", "Snt", "Last", "Avg", "Best", "Wrst", "p90", "StDev", "Jttr"];
    assert_eq!(headings, want);
    let first: Vec<&str> = rows[2].split_whitespace().collect();
    assert_eq!(first[..6], ["1.", "10.0.0.254", "0.0%", "20", "0.200", "0.200"], "{text}");
    assert_eq!(rows.len(), 2 + 6 + 1, "{text}");
    let events = events("trace --sim=loss=30%,seed=4 -c 200 --json -n 203.0.113.7", 0);
    let summary = events.last().unwrap();
    assert_eq!(summary["rounds"], 200);
    for hop in summary["hops"].as_array().unwrap() {
        assert_eq!(hop["sent"], 200);
        let loss = hop["loss_pct"].as_f64().unwrap();
        assert!((20.0..40.0).contains(&loss), "{hop}");
    }
}

#[test]
fn who_is_not_reached_makes_the_answer_no_and_is_told_with_the_reason() {
    let line = "trace --sim 192.0.2.1";
    let output = run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert!(text.contains(" ms !H") && text.contains("not reached: 192.0.2.1; hop "), "{text}");
    assert!(text.ends_with("says host unreachable\n"), "{text}");

    let line = "trace --sim -m 3 10.0.0.66";
    let output = run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert!(text.ends_with("\n1-3  * * *\nnot reached: 10.0.0.66; no hop answers\n"), "{text}");
    let events = events("trace --sim -m 3 --json 10.0.0.66", 1);
    let summary = events.last().unwrap();
    assert_eq!(summary["reached"], false);
    assert!(
        summary["hops"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hop| hop["routers"] == Value::Array(vec![]))
    );
    assert_eq!(of(&events, "timeout").len(), 9);
}

#[test]
fn the_path_mtu_is_found() {
    let line = "trace --sim --mtu 198.51.100.9";
    let output = run(line);
    assert_exit(line, &output, 0);
    let text = stdout(&output);
    let end = "; path MTU 1400; larger packets stop at hop 3 (172.16.25.2)\n";
    assert!(text.ends_with(end), "{text}");
    let row = text.lines().find(|line| line.starts_with(" 3  172.16.25.2 ")).unwrap();
    assert!(row.contains(" F=1400  "), "{text}");
    let events = events(&format!("{line} -j"), 0);
    let summary = events.last().unwrap();
    assert_eq!(summary["mtu"], 1400);
    let hop = serde_json::json!({"ttl": 3, "address": "172.16.25.2", "mtu": 1400});
    assert_eq!((&summary["mtu_hop"], summary.get("mtu_at_least")), (&hop, None));
}

#[test]
fn our_own_frames_are_no_path_mtu() {
    for (mtu, frame, found, least) in [
        (9000, "", None, Some(3826)),
        (9000, "--frame-size 2048", None, Some(1778)),
        (3826, "", Some(3826), None),
        (2000, "", Some(2000), None),
        (1500, "", Some(1500), None),
    ] {
        for target in ["10.0.0.2", "2001:db8::2"] {
            let line = format!("trace -n --mtu --sim=mtu={mtu} {frame} {target}");
            let events = events(&format!("{line} -j"), 0);
            let summary = events.last().unwrap();
            assert_eq!(
                (summary["mtu"].as_u64(), summary["mtu_at_least"].as_u64()),
                (found, least),
                "{line}"
            );
            let said = match (found, least) {
                (Some(mtu), _) => format!("; path MTU {mtu}\n"),
                (_, least) => {
                    format!("; path MTU at least {}: frames hold no more\n", least.unwrap())
                }
            };
            let text = stdout(&run(&line));
            assert!(text.ends_with(&said), "{line}: {text}");
        }
    }
    for command in ["ping -c 1", "trace -n"] {
        let start = &events(&format!("{command} --sim=mtu=2000 -j 10.0.0.2"), 0)[0];
        assert_eq!((&start["frame_size"], &start["notes"]), (&4096.into(), &serde_json::json!([])));
    }
}

#[test]
fn the_port_is_open_or_closed() {
    for (port, state) in [(80, "open"), (81, "closed")] {
        for target in ["203.0.113.7", "2001:db8:7::7"] {
            let line = format!("trace -n --sim -T -p {port} {target}");
            let text = stdout(&run(&line));
            assert!(text.contains(&format!(" 6  {target} [{state}]  ")), "{text}");
            assert_eq!(text.matches('[').count(), 1, "{text}");
            let events = events(&format!("{line} -j"), 0);
            let summary = events.last().unwrap();
            assert_eq!(summary["port_state"], state);
            assert_eq!(summary["hops"][5]["routers"][0]["port_state"], state);
            for reply in of(&events, "reply") {
                let told = reply.get("port_state").and_then(Value::as_str);
                assert_eq!(told, (reply["reached"] == true).then_some(state), "{reply}");
            }
            let table = stdout(&run(&format!("{line} --report")));
            assert!(table.contains(&format!("  {state}\n")), "{table}");
        }
    }
    let udp = events("trace -n --sim -j 203.0.113.7", 0);
    assert!(udp.last().unwrap().get("port_state").is_none());
}

#[test]
fn each_target_has_a_header_with_its_own_packet_size() {
    let line = "trace -n -m 1 -q 1 --sim --size 30 203.0.113.7 2001:db8:7::7";
    let text = stdout(&run(line));
    assert!(
        text.contains("trace to 203.0.113.7 (203.0.113.7), 1 hop max, 34 byte packets\n"),
        "{text}"
    );
    assert!(text.contains("(2001:db8:7::7), 1 hop max, 54 byte packets\n"), "{text}");
    let start = &events(&format!("{line} -j"), 1)[0];
    let of = |at: usize| start["targets"][at]["packet_bytes"].as_u64();
    assert_eq!((of(0), of(1), &start["packet_bytes"]), (Some(34), Some(54), &0.into()));
    let start = &events("trace -n --sim -T -j 203.0.113.7", 0)[0];
    assert_eq!(
        (&start["packet_bytes"], &start["targets"][0]["packet_bytes"]),
        (&60.into(), &60.into())
    );
}

#[test]
fn autonomous_systems_come_from_a_file() {
    let dir = command::temp_dir("trace-asn");
    std::fs::create_dir(&dir).unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let iptoasn = file(
        "ip2asn.tsv",
        b"172.16.0.0\t172.16.12.255\t64500\tZZ\tONE\n172.16.45.0\t172.16.45.255\t0\tNone\tNot routed\n\
          203.0.113.0\t203.0.113.255\t64502\tZZ\tTHREE\n2001:db8:7::\t2001:db8:7:ffff::\t64503\tZZ\tFOUR\n",
    );
    let pfx2as = file(
        "pfx2as",
        b"172.16.12.0\t24\t64500\n203.0.113.0\t24\t64502_64510\n172.16.0.0\t16\t64501\n",
    );
    for (file, target) in [(&iptoasn, "[AS64502]"), (&pfx2as, "[AS64502/AS64510]")] {
        let line = format!("trace -n --sim --asn {file} 203.0.113.7");
        let text = stdout(&run(&line));
        assert!(text.contains(" 1  10.0.0.254 [*]  0.200 ms"), "{text}");
        assert!(text.contains(" 2  172.16.12.2 [AS64500]  "), "{text}");
        assert!(text.contains(&format!(" 6  203.0.113.7 {target}  ")), "{text}");
        let events = events(&format!("{line} -j"), 0);
        let router = |ttl: usize| &events.last().unwrap()["hops"][ttl - 1]["routers"][0];
        assert_eq!((router(1).get("asn"), &router(2)["asn"]), (None, &64500.into()));
        assert_eq!(router(6)["asn"], 64502);
        let last = of(&events, "reply").into_iter().find(|reply| reply["reached"] == true).unwrap();
        assert_eq!(last["asn"], 64502);
        assert_eq!(last.get("other_asns"), router(6).get("other_asns"));
        for view in ["--report", "-c 3", "--paths"] {
            let table = stdout(&run(&format!("{line} {view}")));
            let end = target.trim_matches(['[', ']']);
            assert!(table.contains(" AS") && table.contains(end), "{table}");
        }
    }
    let six = stdout(&run(&format!("trace -n --sim --asn {iptoasn} 2001:db8:7::7")));
    assert!(six.contains("2001:db8:7::7 [AS64503]"), "{six}");
    let bad = file("bad", b"1.0.0.0\t1.0.0.255\t1\nhello\nworld\n");
    let packed = file("packed.gz", &[0x1f, 0x8b, 8, 0]);
    let empty = file("empty", b"\n");
    for (file, words) in [
        (&bad, "line 2 has no range and AS number: \"hello\""),
        (&packed, "gunzip --keep"),
        (&empty, "no entries"),
        (&"/nosuch".to_owned(), "/nosuch"),
    ] {
        let line = format!("trace --sim --asn {file} 10.0.0.2");
        assert_refused(&line, file);
        let said = stderr(&run(&line));
        assert!(said.contains(words), "{said}");
        assert_refused_as_json(&format!("trace --sim --asn {file} 10.0.0.2"), file);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_group_is_no_target_and_the_hint_names_the_command_for_it() {
    for group in ["224.0.0.1", "ff02::1%sim0"] {
        let line = format!("trace --sim {group}");
        assert_refused(&line, &format!("target {group}: is a group"));
        assert!(
            stderr(&run(&line)).contains(&format!("hint: `flux ping {group}` lists who answers"))
        );
    }
}

#[test]
fn every_protocol_and_strategy_reaches_both_families() {
    for target in ["203.0.113.7", "2001:db8:7::7"] {
        for options in [
            "",
            "-T",
            "--icmp",
            "--strategy classic",
            "--strategy dublin",
            "-T --strategy classic",
            "--icmp --strategy classic",
        ] {
            let line = format!("trace --sim -q 1 --json {options} {target}");
            let events = events(&line, 0);
            assert_eq!(events.last().unwrap()["distance"], 6, "flux {line}");
        }
    }
    let closed = events("trace --sim -T -p 81 --json 10.0.0.2", 0);
    assert_eq!(of(&closed, "reply")[0]["icmp"], "reset");
    let open = events("trace --sim -T --json 10.0.0.2", 0);
    assert_eq!(of(&open, "reply")[0]["icmp"], "syn_ack");
}

#[test]
fn several_targets_are_blocks_and_one_that_is_not_reached_makes_the_answer_no() {
    let line = "trace --sim -m 8 10.0.0.2 203.0.113.7 10.0.0.66";
    let output = run(line);
    assert_exit(line, &output, 1);
    let text = stdout(&output);
    assert_eq!(text.matches("trace to ").count(), 3, "{text}");
    assert_eq!(text.matches("\n\ntrace to ").count(), 2, "{text}");
    assert!(text.contains("reached 10.0.0.2 in 1 hop, 0.200 ms\n"), "{text}");
    let summaries = events(&format!("{line} --json"), 1);
    assert_eq!(of(&summaries, "summary").len(), 3);
    let dot = stdout(&run(&format!("{line} --dot")));
    assert_eq!((dot.matches("digraph").count(), dot.matches("subgraph").count()), (1, 3), "{dot}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for line in [
        "trace --sim --json 203.0.113.7",
        "trace --sim=loss=10%,jitter=1ms,seed=9 --paths 203.0.113.7",
        "trace --sim=loss=10%,jitter=1ms,seed=9 -c 50 203.0.113.7 2001:db8:7::7",
    ] {
        let (first, second) = (run(line), run(line));
        assert_exit(line, &first, 0);
        assert!(first.stdout == second.stdout, "flux {line}");
    }
}

#[test]
fn no_view_is_wider_than_the_columns_it_is_given_nor_coloured_off_a_terminal() {
    for line in [
        "trace --sim -m 40 203.0.113.7",
        "trace --sim 2001:db8:7::7",
        "trace --sim --paths 203.0.113.7",
        "trace --sim -c 5 203.0.113.7",
        "trace --sim --report 203.0.113.7 10.0.0.2",
    ] {
        for columns in [40, 60, 80, 132] {
            let output = flux(line).env("COLUMNS", columns.to_string()).output().unwrap();
            assert_exit(line, &output, 0);
            let text = stdout(&output);
            assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
            let widest = text.lines().map(str::len).max();
            assert!(widest <= Some(columns), "flux {line} at {columns}:\n{text}");
            assert!(text.contains("203.0.113.7") || text.contains("2001:db8:7::7"), "{text}");
        }
    }
    let narrow = flux("trace --sim -c 5 203.0.113.7").env("COLUMNS", "40").output().unwrap();
    assert!(stderr(&narrow).contains("note: no room for Jttr"), "{}", stderr(&narrow));
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    for line in ["trace --sim 203.0.113.7", "trace --sim --json -c 1000 203.0.113.7"] {
        let mut child = flux(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_exit(line, &output, 0);
        assert!(!stderr(&output).contains("error"), "flux {line}: {}", stderr(&output));
    }
}

#[test]
fn bad_input_exits_2_names_the_value_and_tells_the_next_step() {
    let table = [
        ("trace", "TARGET"),
        ("trace --sim", "TARGET"),
        ("trace --sim no.such.host.invalid", "no.such.host.invalid"),
        ("trace --sim=los=3% 10.0.0.2", "los"),
        ("trace --sim -m 0 10.0.0.2", "'0'"),
        ("trace --sim -m 256 10.0.0.2", "'256'"),
        ("trace --sim -f 9 -m 8 10.0.0.2", "first hop 9"),
        ("trace --sim -q 0 10.0.0.2", "'0'"),
        ("trace --sim -p 0 10.0.0.2", "'0'"),
        ("trace --sim -p 65536 10.0.0.2", "'65536'"),
        ("trace --sim -T -U 10.0.0.2", "--udp"),
        ("trace --sim --strategy dublin -T 10.0.0.2", "dublin"),
        ("trace --sim --strategy classic --paths 10.0.0.2", "classic"),
        ("trace --sim -s 192.0.2.99 10.0.0.2", "192.0.2.99"),
        ("trace --sim -s 2001:db8::1 -4 10.0.0.2", "2001:db8::1"),
        ("trace --sim -6 10.0.0.2", "10.0.0.2"),
        ("trace --sim -I eth7 10.0.0.2", "eth7"),
        ("trace --sim --size 27 10.0.0.2", "'27'"),
        ("trace --sim --size 9000 10.0.0.2", "9000"),
        ("trace --sim --confidence 99% 10.0.0.2", "--paths"),
        ("trace --sim --frobnicate 10.0.0.2", "--frobnicate"),
    ];
    for (line, value) in table {
        assert_refused(line, value);
        assert_refused_as_json(line, value);
    }
    assert_refused("trace --sim --live 10.0.0.2", "--live");
    for other in ["--dot", "--report", "--live"] {
        assert_refused_as_json(&format!("trace --sim {other} 10.0.0.2"), other);
    }
}

#[test]
fn two_saved_traces_are_compared() {
    let dir = command::temp_dir("trace-diff");
    std::fs::create_dir(&dir).unwrap();
    let saved = |name: &str, line: &str| {
        let path = dir.join(name);
        std::fs::write(&path, run(line).stdout).unwrap();
        path.display().to_string()
    };
    let a = saved("a.json", "trace --sim --json --paths 203.0.113.7");
    let again = saved("again.json", "trace --sim=seed=9 --json --paths 203.0.113.7");
    let other = saved("other.json", "trace --sim --json 192.0.2.1");
    let same = run(&format!("trace diff {a} {again}"));
    assert_exit("trace diff", &same, 0);
    assert!(stdout(&same).contains("nothing differs"), "{}", stdout(&same));
    let differ = events(&format!("trace diff --json {a} {other}"), 1);
    assert_eq!((differ.len(), &differ[0]["event"]), (1, &"diff".into()));
    assert_eq!(differ[0]["only_a"][0], "203.0.113.7");
    let none = saved("none.json", "help sim");
    assert_refused(&format!("trace diff {a} {none}"), &none);
    assert_refused_as_json(&format!("trace diff {a} {none}"), &none);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_live_view_gives_the_terminal_back_and_leaves_the_table() {
    use crate::terminal::{BACK, TAKEN, Terminal};
    let live = |line: &str, keys: &str| {
        let mut terminal = Terminal::start(line)?;
        // The view is up once its last line is there: keys before that are nobody's.
        terminal.until(|seen| (seen.contains("quit") || seen.contains("status ")).then_some(()));
        terminal.keys(keys);
        Some(terminal.rest())
    };
    // Without -c in real time nothing but a key ends it.
    for (line, keys) in [
        ("trace -n --live -i 50ms --sim=realtime 203.0.113.7", "pjkq"),
        ("trace -n --live -i 50ms --sim=realtime 203.0.113.7", "\x03"),
        ("trace -n --live -i 50ms -c 3 -w 20 --sim=realtime 203.0.113.7", ""),
        ("trace -n --live --sim 203.0.113.7", ""),
    ] {
        let Some(seen) = live(line, keys) else { return };
        let (_, taken) = seen.split_once(TAKEN).unwrap();
        let (_, after) = taken.rsplit_once(BACK).unwrap();
        assert!(after.contains("Host  ") && after.contains("status "), "flux {line}: {after}");
        if keys.is_empty() {
            assert!(after.contains(" 6. 203.0.113.7 ") && after.contains("status 0"), "{after}");
        }
    }
    let Some(rounds) = live("trace -n --live --sim 203.0.113.7", "") else { return };
    let row = rounds.lines().find(|line| line.starts_with(" 1. 10.0.0.254 ")).unwrap();
    assert!(row.contains("  0.0%   10  "), "ten rounds where nothing else ends it: {row}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_with_what_is_known() {
    use crate::command::{signal, start};
    use std::io::{BufRead, BufReader, Read};
    let mut child = start("trace -j -c 100000 -i 20ms --sim=realtime 10.0.0.2");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(r#""round":2,"#) {
        assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
    }
    signal(&child, libc::SIGINT);
    out.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["reached"]), (&"summary".into(), &true.into()));
    assert!(last["rounds"].as_u64() >= Some(2), "{last}");
}
