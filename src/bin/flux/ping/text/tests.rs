//! Hand-made events against ping's lines.

use super::super::report::tests::summary;
use super::*;
use crate::cli::Cli;
use clap::Parser;
use fluxnet::tools::ping::IcmpError;
use fluxnet::tools::probe::NeighbourFound;
use fluxnet::tools::probe::SendError;
use fluxnet::tools::session::{Note, Opened, SessionEvent, Trouble};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn text(line: &str, screen: Screen) -> Text {
    let words = std::iter::once("ping").chain(line.split_whitespace());
    let args = Command::try_parse_from(words).unwrap().args;
    let plan = args.plan(false).unwrap();
    Text::new(&args, &plan, screen)
}

fn start(targets: &[(&str, &str)]) -> Start {
    Start {
        interfaces: Vec::new(),
        opened: Opened {
            backend: "sim".into(),
            tx_path: "ring".into(),
            interface: "sim0".into(),
            driver: Some("sim".into()),
            attach: "native".into(),
            zero_copy: true,
            queues: vec![0, 1],
            tx_queues: None,
            ring_size: 2048,
            frames: 8192,
            frame_size: 2048,
            pages: "4k".into(),
            kernel_busy_poll: false,
            poll: "adaptive".into(),
            tx_clock: "virtual".into(),
            rx_clock: "virtual".into(),
            tx_stamp: "user_space".into(),
            rx_stamp: "xdp_program".into(),
            notes: vec!["no huge pages".into()],
        },
        targets: targets
            .iter()
            .map(|(name, address)| TargetRoute {
                interface: "sim0".into(),
                packet_bytes: None,
                name: (*name).into(),
                address: address.parse().unwrap(),
                source: "10.0.0.1".parse().unwrap(),
                gateway: None,
            })
            .collect(),
        payload_bytes: 56,
    }
}

fn reply(target: &str, from: &str) -> Reply {
    Reply {
        target: target.into(),
        from: from.parse::<IpAddr>().unwrap().into(),
        seq: 1,
        bytes: 64,
        reply_ttl: 64,
        rtt_us: Some(200.0),
        out_of_order: false,
        truncated: false,
        different_address: false,
        wrong_byte: None,
        unix_time_s: None,
    }
}

fn out(text: &mut Text, event: Event) -> String {
    let lines = text.event(&event);
    assert_eq!(lines.err, "");
    lines.out
}

#[test]
fn one_target_reads_as_ping_does() {
    let mut text = text("10.0.0.2", Screen::default());
    let lines = text.event(&Event::Start(start(&[("10.0.0.2", "10.0.0.2")])));
    assert_eq!(lines.out, "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n");
    assert_eq!(lines.err, "", "nothing that one could do better");
    let mut verbose = self::text("-v 10.0.0.2", Screen::default());
    let lines = verbose.event(&Event::Start(start(&[("10.0.0.2", "10.0.0.2")])));
    assert_eq!(
        lines.err,
        "sim0: driver sim, native attach, zero-copy, queues 0,1, rings of 2048, 8192 frames of \
         2048 bytes in ordinary pages, adaptive polling, clocks: tx virtual (user space, before the kick), rx virtual (XDP program)\n\
         note: no huge pages\n10.0.0.2: from 10.0.0.1\n"
    );
    let line = "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.200 ms";
    let plain = || reply("10.0.0.2", "10.0.0.2");
    assert_eq!(out(&mut text, Event::Reply(plain())), format!("{line}\n"));
    assert_eq!(out(&mut text, Event::Duplicate(plain())), format!("{line} (DUP!)\n"));
    assert_eq!(out(&mut text, Event::Late(plain())), format!("{line} (LATE!)\n"));
    assert_eq!(out(&mut text, Event::Corrupt(plain())), format!("{line} (BAD CHECKSUM!)\n"));
    let reordered = Reply { out_of_order: true, unix_time_s: Some(1.5), ..plain() };
    assert_eq!(out(&mut text, Event::Reply(reordered)), format!("[1.500000] {line} (REORDERED)\n"));
    let cut = Reply { truncated: true, different_address: true, ..plain() };
    assert_eq!(
        out(&mut text, Event::Reply(cut)),
        format!("{line} (truncated) (DIFFERENT ADDRESS!)\n")
    );
    let wrong_byte = Some(WrongByte { offset: 20, expected: 0x14, actual: 0xff });
    assert_eq!(
        out(&mut text, Event::Reply(Reply { wrong_byte, ..plain() })),
        format!("{line}\nwrong data byte #20 should be 0x14 but was 0xff\n")
    );
    let timeout = Timeout { target: "10.0.0.2".into(), seq: 4, after_error: true };
    assert_eq!(out(&mut text, Event::Timeout(timeout)), "", "the error said it");
    let timeout = Timeout { target: "10.0.0.2".into(), seq: 3, after_error: false };
    assert_eq!(out(&mut text, Event::Timeout(timeout)), "icmp_seq=3 timed out\n");
    assert_eq!(
        out(&mut text, Event::Icmp(unreachable())),
        "From 192.0.2.254 icmp_seq=1 Destination Host Unreachable\n"
    );
}

#[test]
fn what_could_be_better_is_said_in_a_line() {
    let mut slow = start(&[("10.0.0.2", "10.0.0.2")]);
    (slow.opened.attach, slow.opened.rx_stamp) = ("skb".into(), "user_space".into());
    slow.opened.notes.push("queue 1 of sim0 only receives".into());
    let lines = text("10.0.0.2", Screen::default()).event(&Event::Start(slow));
    assert_eq!(
        lines.err,
        "note: queue 1 of sim0 only receives\n\
         note: skb mode on sim0: each packet costs more time than in native mode\n\
         note: round-trip times on sim0 include the way to user space\n"
    );
}

#[test]
fn seven_times_fit_eighty_columns_however_long_they_are() {
    for (us, shown) in [
        (1.0, "0.001"),
        (9_999.4, "9.999"),
        (9_999.6, "10.00"),
        (99_994.0, "99.99"),
        (99_996.0, "100.0"),
        (999_940.0, "999.9"),
        (999_960.0, "1000"),
        (59_000_000.0, "59000"),
    ] {
        assert_eq!(five(us), shown);
        assert!(five(us).len() <= 5);
    }
    let line = block(&summary("10.0.0.2", 10)).lines().last().unwrap().len();
    assert!(line + "9.999".len() * 7 - "0.190".len() * 7 <= 80, "{line}");
}

#[test]
fn a_note_goes_to_standard_error_also_when_quiet() {
    for line in ["10.0.0.2", "-q 10.0.0.2", "-f 10.0.0.2"] {
        let note = Note { kind: Trouble::Starved, count: 12, text: "12 are lost".into() };
        let lines = text(line, Screen::default()).event(&Event::Session(SessionEvent::Note(note)));
        assert_eq!((lines.out.as_str(), lines.err.as_str()), ("", "note: 12 are lost\n"));
    }
}

fn unreachable() -> IcmpError {
    IcmpError {
        target: "192.0.2.1".into(),
        from: "192.0.2.254".parse::<IpAddr>().unwrap().into(),
        seq: 1,
        icmp_type: 3,
        code: 1,
        text: "Destination Host Unreachable".into(),
        mtu: None,
        rtt_us: None,
    }
}

#[test]
fn a_name_stands_before_its_address_unless_n_is_given() {
    for (line, want) in [("host", "host (10.0.0.2):"), ("-n host", "from 10.0.0.2:")] {
        let mut text = text(line, Screen::default());
        let lines = text.event(&Event::Start(start(&[("host", "10.0.0.2")])));
        assert!(lines.out.starts_with("PING host (10.0.0.2) "));
        assert!(out(&mut text, Event::Reply(reply("host", "10.0.0.2"))).contains(want));
        // Somebody else's answer is never given the target's name.
        assert!(out(&mut text, Event::Reply(reply("host", "10.0.0.9"))).contains("from 10.0.0.9:"));
    }
}

#[test]
fn several_targets_are_told_apart() {
    let mut text = text("a b", Screen::default());
    let both = start(&[("a", "10.0.0.2"), ("b", "2001:db8::2")]);
    assert_eq!(text.event(&Event::Start(both.clone())).out, "PING 2 targets, 56 data bytes\n");
    assert_eq!(text.event(&Event::Start(both)).out, "");
    let timeout = Timeout { target: "b".into(), seq: 3, after_error: false };
    assert_eq!(out(&mut text, Event::Timeout(timeout)), "b icmp_seq=3 timed out\n");
    assert_eq!(
        out(&mut text, Event::Icmp(unreachable())),
        "From 192.0.2.254 (to 192.0.2.1) icmp_seq=1 Destination Host Unreachable\n"
    );
}

#[test]
fn the_header_tells_the_interface_that_was_asked_for_and_ipv6_without_headers() {
    let mut given = text("-I sim0 10.0.0.2", Screen::default());
    let lines = given.event(&Event::Start(start(&[("10.0.0.2", "10.0.0.2")])));
    assert_eq!(lines.out, "PING 10.0.0.2 (10.0.0.2) from 10.0.0.1 sim0: 56(84) bytes of data.\n");
    let mut v6 = text("2001:db8::2", Screen::default());
    let lines = v6.event(&Event::Start(start(&[("2001:db8::2", "2001:db8::2")])));
    assert_eq!(lines.out, "PING 2001:db8::2 (2001:db8::2) 56 data bytes\n");
}

#[test]
fn a_flood_leaves_a_dot_for_each_loss_on_a_terminal_alone() {
    let lost = || Event::Timeout(Timeout { target: "x".into(), seq: 3, after_error: false });
    let terminal = Screen { terminal: true, ..Screen::default() };
    let mut flood = text("-f x", terminal);
    assert_eq!(out(&mut flood, Event::Reply(reply("x", "10.0.0.2"))), "");
    assert_eq!(flood.end().out, "");
    assert_eq!(out(&mut flood, lost()), ".");
    assert_eq!(flood.end().out, "\n");
    let mut piped = text("-f x", Screen::default());
    assert_eq!(out(&mut piped, lost()), "");
    assert_eq!(piped.end().out, "");
}

#[test]
fn quiet_prints_no_replies_and_errors_of_sending_go_to_standard_error() {
    let mut quiet = text("-q x", Screen::default());
    assert_eq!(out(&mut quiet, Event::Reply(reply("x", "10.0.0.2"))), "");
    let failed = SendError { target: "x".into(), error: "Network is down".into(), hint: None };
    let lines = quiet.event(&Event::SendError(failed));
    assert_eq!(lines, Lines::err("cannot send to x: Network is down\n".into()));
}

#[test]
fn the_time_to_find_a_neighbour_is_told_apart() {
    let found = |cached| {
        Event::Neighbour(NeighbourFound {
            before: None,
            address: "10.0.0.2".parse().unwrap(),
            mac: "02:00:00:00:00:02".into(),
            took_us: 1500.0,
            cached,
        })
    };
    let mut plain = text("x", Screen::default());
    assert_eq!(plain.event(&found(true)), Lines::default());
    assert!(plain.event(&found(false)).err.contains("found in 1.500 ms"));
    let mut verbose = text("-v x", Screen::default());
    assert_eq!(verbose.event(&found(true)).err, "10.0.0.2 is at 02:00:00:00:00:02\n");
}

#[test]
fn the_block_is_that_of_ping_with_what_went_wrong_when_it_did() {
    assert_eq!(
        block(&summary("10.0.0.2", 10)),
        "\n--- 10.0.0.2 ping statistics ---\n\
         10 packets transmitted, 10 received, 0% packet loss, time 9001ms\n\
         rtt min/mean/p50/p90/p99/max/sd = 0.190/0.202/0.200/0.210/0.220/0.220/0.005 ms\n"
    );
    let bad = Summary {
        duplicates: 1,
        truncated_replies: 6,
        different_address_replies: 7,
        corrupt: 2,
        errors: 3,
        reordered: 4,
        late: 5,
        ..summary("10.0.0.66", 0)
    };
    assert_eq!(
        block(&bad),
        "\n--- 10.0.0.66 ping statistics ---\n\
         10 packets transmitted, 0 received, +1 duplicates, +6 truncated, \
         +7 from a different address, +2 corrupted, +3 errors, +4 reordered, +5 late, 100% packet loss, time 9001ms\n"
    );
    let mut running = text("x", Screen::default());
    let lines = running.event(&Event::Interim(summary("10.0.0.66", 0)));
    assert_eq!(lines, Lines::err("10.0.0.66: 0/10 packets, 100% loss\n".into()));
}

#[test]
fn what_was_outstanding_is_not_told_again_when_it_is_given_up() {
    let mut text = text("-O x", Screen::default());
    let waits = |seq| Event::Outstanding(Outstanding { target: "x".into(), seq });
    let lost = |seq| Event::Timeout(Timeout { target: "x".into(), seq, after_error: false });
    assert_eq!(out(&mut text, waits(1)), "no answer yet for icmp_seq=1\n");
    assert_eq!(out(&mut text, lost(1)), "");
    assert_eq!(out(&mut text, lost(2)), "icmp_seq=2 timed out\n");
}

#[test]
fn lists_are_names_alone() {
    for (letter, name) in [("-a", "up\n"), ("-u", "down\n")] {
        let mut text = text(&format!("{letter} up down"), Screen::default());
        let lines = text.event(&Event::Start(start(&[("up", "10.0.0.2"), ("down", "10.0.0.66")])));
        assert_eq!(lines, Lines::default());
        text.event(&Event::Summary(summary("up", 1)));
        text.event(&Event::Summary(summary("down", 0)));
        assert_eq!(text.end(), Lines::out(name.into()));
    }
}

#[test]
fn our_own_addresses_are_alive_and_what_we_could_not_send_to_is_neither() {
    for (letter, name) in [("-a", "up\nown\n"), ("-u", "down\n")] {
        let mut text = text(&format!("{letter} up down full own"), Screen::default());
        let error = Some("the kernel's neighbour table is full".to_owned());
        text.event(&Event::Summary(summary("up", 1)));
        text.event(&Event::Summary(summary("down", 0)));
        text.event(&Event::Summary(Summary { error, ..summary("full", 0) }));
        text.event(&Event::Summary(Summary { own_address: true, ..summary("own", 0) }));
        assert_eq!(text.end(), Lines::out(name.into()));
    }
    let mut table = text("-g 10.0.0.0/30", Screen::default());
    table.event(&Event::Summary(Summary { own_address: true, ..summary("own", 0) }));
    assert!(!table.end().out.contains("own"));
}

#[test]
fn what_was_refused_is_not_counted_as_pinged() {
    let mut text = text("a b c", Screen::default());
    let two = start(&[("a", "10.0.0.2"), ("b", "10.0.0.3")]);
    assert_eq!(text.event(&Event::Start(two)).out, "PING 2 of 3 targets, 56 data bytes\n");
}

#[test]
fn one_reason_is_said_once() {
    use fluxnet::tools::session::RouteMoved;
    let mut text = text("10.7.0.1", Screen::default());
    let failed = |error: &str| {
        let error = error.to_owned();
        Event::SendError(SendError { target: "10.7.0.1".into(), error, hint: None })
    };
    let own = "cannot reach 10.7.0.1: it is this host's own address";
    assert_eq!(text.event(&failed(own)).err, format!("{own}\n"), "cannot, once");
    let route = |interface: Option<&str>| {
        Event::Session(SessionEvent::Route(RouteMoved {
            targets: vec!["10.7.0.1".into()],
            interface: interface.map(str::to_owned),
            gateway: None,
            source: None,
            text: "it changed".into(),
        }))
    };
    assert_eq!(text.event(&route(None)).err, "note: it changed\n");
    assert_eq!(text.event(&failed("no route")).err, "", "the note said it");
    text.event(&route(Some("eth0")));
    assert_eq!(text.event(&failed("no route")).err, "cannot send to 10.7.0.1: no route\n");
}

#[test]
fn a_time_that_nobody_knows_is_a_question_mark() {
    let mut text = text("10.0.0.2", Screen::default());
    let line = out(&mut text, Event::Reply(Reply { rtt_us: None, ..reply("x", "10.0.0.2") }));
    assert_eq!(line, "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=?\n");
}

#[test]
fn without_colour_there_is_no_escape() {
    let mut plain = text("x", Screen::default());
    for event in [Event::Icmp(unreachable()), Event::Duplicate(reply("x", "10.0.0.2"))] {
        assert!(!out(&mut plain, event).contains('\x1b'));
    }
}

#[test]
fn args_are_the_same_in_the_tree() {
    assert!(Cli::try_parse_from(["flux", "ping", "-c5", "-qn", "10.0.0.2", "--sim"]).is_ok());
}
