//! What all commands share: the same option is the same thing, and the same mistake gets the same
//! answer.

use crate::command::{assert_exit, only, run, stderr, stdout};

/// A line of each command that ends at once and well.
const LINES: [(&str, &str); 5] = [
    ("ping", "--sim -c 1 10.0.0.2"),
    ("trace", "--sim 10.0.0.2"),
    ("bench", "--sim --workload rxdrop --batch 16 --poll busy --duration 1ms --repeat 1"),
    ("rings", "--sim"),
    ("doctor", "--sim"),
];

/// The line of `command` with `more` in it.
fn line(command: &str, more: &str) -> String {
    let (_, usual) = LINES.into_iter().find(|(name, _)| *name == command).unwrap();
    format!("{command} {usual} {more}")
}

/// The error of a line that cannot run and its hint, without the names that options give their
/// values: one is a list where another is a number.
#[track_caller]
fn refused(line: &str) -> (String, String) {
    let output = run(line);
    assert_exit(line, &output, 2);
    assert_eq!(stdout(&output), "", "flux {line}");
    let text = stderr(&output);
    let part = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("flux {line}: no {name} {text}")).to_owned()
    };
    let error = part("error: ");
    let names = error.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest));
    (names.collect(), part("hint: "))
}

#[track_caller]
fn assert_same_error(commands: &[&str], more: &str, want: &str) {
    let errors: Vec<_> = commands.iter().map(|name| refused(&line(name, more)).0).collect();
    assert!(errors[0].contains(want), "{more}: {}", errors[0]);
    for (command, error) in commands.iter().zip(&errors) {
        assert_eq!(*error, errors[0], "flux {command} {more}");
    }
}

const SENDING: [&str; 2] = ["ping", "trace"];
const MEASURING: [&str; 3] = ["ping", "trace", "bench"];
const OPENING: [&str; 4] = ["ping", "trace", "bench", "rings"];
/// Those with a network, or the sockets of programs in one, behind `--sim`.
const NETWORKED: [&str; 3] = ["ping", "trace", "rings"];
/// Those that take a topology file.
const PLACED: [&str; 4] = ["ping", "trace", "rings", "doctor"];
const ALL: [&str; 5] = ["ping", "trace", "bench", "rings", "doctor"];

#[test]
fn the_same_wrong_value_gets_the_same_answer_from_every_command() {
    let table: [(&[&str], &str, &str); 36] = [
        (&MEASURING, "--batch 0", "must be 1 to 4096"),
        (&MEASURING, "--batch 5k", "must be 1 to 4096"),
        (&MEASURING, "--batch lots", "must be a whole number"),
        (&MEASURING, "--poll lazily", "[possible values: busy, adaptive, syscall]"),
        (&MEASURING, "--link-timeout soon", "must be seconds (0.2) or a time with its unit"),
        (&MEASURING, "--link-timeout 2y", "is too long: at most 1 year"),
        (&OPENING, "--frames 1", "must be 16 to 1048576"),
        (&OPENING, "--frames 2m", "must be 16 to 1048576"),
        (&OPENING, "--frame-size 3000", "must be 2048 or 4096 bytes"),
        (&OPENING, "--attach fast", "[possible values: auto, native, skb]"),
        (&OPENING, "--bind glue", "[possible values: auto, copy, zerocopy]"),
        (&OPENING, "--backend packet", "[possible values: auto, xdp]"),
        (&OPENING, "--tx live", "[possible values: auto, ring]"),
        (&OPENING, "--queue 9-3", "the range runs backwards"),
        (&OPENING, "--queue first", "must be all, N, N-M or N,M"),
        (&SENDING, "--hugepages maybe", "[possible values: auto, on, 1g, thp, off]"),
        (&SENDING, "--interval 2y", "is too long: at most 1 year"),
        (&SENDING, "--interval -1", "must be seconds (0.2) or a time with its unit"),
        (&SENDING, "--tos 256", "must be 0 to 255, or 0x00 to 0xff"),
        (&SENDING, "--rate fast", "must be packets per second"),
        (&SENDING, "-4 -6", "'--ipv4' cannot be used with '--ipv6'"),
        (&MEASURING, "--packet-size long", "must be a whole number"),
        (&["ping", "trace", "rings"], "--count 0", "must be at least 1"),
        (&["ping", "trace", "rings"], "--count many", "must be a whole number"),
        (&["ping", "trace", "rings"], "-c", "a value is required for '--count "),
        (&ALL, "--sim=los=3%", "--sim los=3%: 'los' is unknown"),
        (&NETWORKED, "--sim=loss=3", "--sim loss=3: must be a share"),
        (&NETWORKED, "--sim=delay=5", "--sim delay=5: must be a time with its unit"),
        (&NETWORKED, "--sim=rate=1gb", "--sim rate=1gb: must be a rate above 0"),
        (&ALL, "--sim=queues=0", "--sim queues=0: must be 1 to 64"),
        (&ALL, "--frobnicate", "unexpected argument '--frobnicate' found"),
        (&ALL, "-o", "unexpected argument '-o' found"),
        (&ALL, "--json=yes", "unexpected value 'yes' for '--json' found"),
        (&SENDING, "-6", "cannot resolve 10.0.0.2: it is IPv4, and -6 asks for IPv6"),
        (&SENDING, "-I nosuch0", "cannot find interface nosuch0: no such interface"),
        (&["rings", "doctor"], "nosuch0", "cannot find interface nosuch0: no such interface"),
    ];
    for (commands, more, want) in table {
        assert_same_error(commands, more, want);
    }
}

#[test]
fn the_same_mistake_gets_the_same_hint_from_every_command() {
    let table: [(&[&str], &str, &str); 10] = [
        (&SENDING, "-I nosuch0", "there are: sim0"),
        (&["rings", "doctor"], "nosuch0", "there are: sim0"),
        (&SENDING, "-I 2001:db8::1", "give an address of this machine of the family"),
        (&["rings", "doctor"], "-I eth0", "give the interface as a word: flux "),
        (&PLACED, "--sim=mtu=9", "write mtu=1500"),
        (&ALL, "--sim=queues=x", "write queues=4"),
        (&NETWORKED, "--sim=seed=x", "write seed=7"),
        (&PLACED, "--sim=file=", "write file=net.toml"),
        (&ALL, "--sim=tx-queues=3", "add queues=3"),
        (&SENDING, "10.0.0.2 -I 10.0.0.1 -6", "give an address of this machine"),
    ];
    for (commands, more, want) in table {
        let answers: Vec<_> = commands.iter().map(|name| refused(&line(name, more))).collect();
        for ((error, hint), command) in answers.iter().zip(commands) {
            assert!(hint.starts_with(want), "flux {command} {more}: {error}: {hint}");
            assert_eq!(*error, answers[0].0.replace("flux rings", &format!("flux {command}")));
        }
    }
}

#[test]
fn a_target_that_cannot_be_used_gets_the_same_answer_alone_and_never_stops_others() {
    for (target, want, next) in [
        ("http://10.0.0.2/", "cannot resolve http://10.0.0.2/: it is a URL", "give the host alone"),
        ("10.0.0.2:80", "cannot resolve 10.0.0.2:80: it has a port", "give the host alone"),
        ("10.0.0.0/24", "cannot resolve 10.0.0.0/24: it is a network", "give its hosts one by one"),
        ("10.0.0.256", "256 cannot be a part of an IPv4 address", "each of the four"),
        ("10.0.0.2,", "it ends with a comma", "remove the comma: 10.0.0.2"),
        ("loss=5%", "loss is a key of --sim", "write --sim=loss=5%"),
        ("1.2.3", "an IPv4 address has four numbers", "write 1.2.0.3 if that is meant"),
        ("010.0.0.2", "octal", "write 10.0.0.2, or 8.0.0.2 if octal is meant"),
        ("root@10.0.0.2", "it has a user name in it", "give the host alone: 10.0.0.2"),
        (
            "example.org",
            "the simulated network has no host of this name",
            "give a name or an address that",
        ),
        ("0.0.0.0", "it is the unspecified address", "give the address of a host"),
        ("0.0.0.1", "it is in 0.0.0.0/8", "give the address of a host"),
        ("fe80::1%999", "cannot find interface 999: no such interface", "there are: sim0"),
    ] {
        let alone = SENDING.map(|name| refused(&format!("{name} --sim -c 1 {target}")));
        let (error, hint) = &alone[0];
        assert!(error.contains(want) && hint.starts_with(next), "{target}: {error}: {hint}");
        assert_eq!(alone[0], alone[1]);
        for command in SENDING {
            // As fping: the bad one is named, the others go on, and the status is not 0.
            let line = format!("{command} --sim -n -c 1 {target} 10.0.0.2");
            let output = run(&line);
            assert_exit(&line, &output, 2);
            let (out, err) = (stdout(&output), stderr(&output));
            assert!(err.contains(&format!("{error}; {hint}")), "{err}");
            assert!(error.contains(target) || err.contains(&format!("cannot send to {target}: ")));
            assert_eq!(err.matches(error.as_str()).count(), 1, "{err}");
            assert!(!out.contains(error.as_str()) && !out.contains("!H"), "{out}");
            let answered = ["64 bytes from 10.0.0.2:", "reached 10.0.0.2 in 1 hop"];
            assert!(answered.iter().any(|line| out.contains(line)), "{line}: {out}");
        }
    }
}

#[test]
fn an_option_of_another_command_is_named_so() {
    for (line, want) in [
        ("trace --watch 10.0.0.2", "--watch is an option of flux rings; "),
        ("bench --watch", "--watch is an option of flux rings; "),
        ("rings --batch 16", "--batch is an option of flux ping, flux trace and flux bench; "),
        ("trace --repeat 3 10.0.0.2", "--repeat is an option of flux bench; "),
        ("ping --tolerance 3 x", "--tolerance is an option of flux trace diff and flux bench diff"),
    ] {
        let (_, hint) = refused(line);
        assert!(hint.starts_with(want), "flux {line}: {hint}");
    }
}

#[test]
fn a_time_is_at_most_a_year_in_every_option() {
    for (command, more) in [
        ("ping", "-i 2y"),
        ("ping", "-W 2y"),
        ("ping", "-w 366d"),
        ("trace", "-i 2y -c 2"),
        ("trace", "-w 31536001"),
        ("bench", "--duration 2y"),
        ("rings", "--over 2y"),
        ("rings", "--watch=2y"),
    ] {
        let (error, _) = refused(&line(command, more));
        assert!(error.ends_with("is too long: at most 1 year"), "{command} {more}: {error}");
    }
    for (command, more) in [("ping", "-w 1y -W 1y -i 365d"), ("trace", "-w 1y")] {
        let line = line(command, more);
        assert_exit(&line, &run(&line), 0);
    }
}

#[test]
fn the_last_value_wins_and_flags_may_repeat() {
    for (repeated, plain) in [
        ("ping --sim -c 9 -c 2 -q -q 10.0.0.2", "ping --sim -c 2 -q 10.0.0.2"),
        ("ping --sim --count 9 -c 1 -s 9 -s 56 10.0.0.2", "ping --sim -c 1 10.0.0.2"),
        ("ping --sim=loss=100% -c 1 --sim 10.0.0.2", "ping --sim -c 1 10.0.0.2"),
        ("trace --sim -m 1 --max-hops 9 -n -n 203.0.113.7", "trace --sim -m 9 -n 203.0.113.7"),
        ("doctor --sim=queues=9 --sim=queues=2 -j --json", "doctor --sim=queues=2 -j"),
    ] {
        let (repeated, plain) = (run(repeated), run(plain));
        assert_exit("repeated", &repeated, 0);
        assert_eq!(stdout(&repeated), stdout(&plain));
    }
    assert_eq!(stdout(&run("rings --sim -c 9 --count 2 -j --json")).lines().count(), 2);
    let bench = line("bench", "--batch 64 --batch 32 --poll syscall --poll busy -j -v -v");
    let report = only(&run(&bench), "report");
    assert_eq!(report["results"].as_array().map(Vec::len), Some(1), "the last list is the list");
}

#[test]
fn a_mistyped_option_gets_the_nearest_and_no_advice_to_make_it_a_value() {
    for command in ALL {
        for (typed, meant) in [("--jsno", "--json"), ("--smi", "--sim")] {
            // Near the beginning: what follows must not be taken for its value.
            let (_, hint) = refused(&line(command, typed));
            assert_eq!(hint, format!("did you mean {meant}?"), "flux {command} {typed}");
        }
        for wrong in ["-o", "--frobnicate"] {
            let (_, hint) = refused(&line(command, wrong));
            assert!(!hint.contains("'-- ") && !hint.contains("as a value"), "{command}: {hint}");
        }
    }
    assert_eq!(refused("pnig 10.0.0.2").1, "did you mean ping?");
}

#[test]
fn a_letter_that_means_something_else_elsewhere_says_so() {
    for (line, want) in [
        ("trace --sim -s 1400 10.0.0.2", "in flux ping, -s is --size"),
        ("ping --sim -s 10.0.0.1 10.0.0.2", "in flux trace, -s is --source"),
        ("ping --sim -t 0xb8 10.0.0.2", "in flux trace, -t is --tos"),
        ("trace --sim -t 300 10.0.0.2", "in flux ping, -t is --ttl"),
        ("trace --sim -P 80 10.0.0.2", "-p, --port <PORT>"),
        ("ping --sim -m 9 10.0.0.2", "-m is --max-hops in flux trace"),
        ("trace --sim -I 203.0.113.7", "ICMP probes are --icmp"),
    ] {
        let (_, hint) = refused(line);
        assert!(hint.contains(want), "flux {line}: {hint}");
    }
}

#[test]
fn a_key_of_sim_that_a_command_has_no_use_for_is_refused_with_those_it_takes() {
    for (command, part, takes) in [
        ("bench", "loss=10%", "it takes queues, tx-queues, "),
        ("bench", "seed=7", "it takes queues, tx-queues, "),
        ("bench", "realtime", "it takes queues, tx-queues, "),
        ("doctor", "delay=5ms", "it takes queues, tx-queues, zerocopy, "),
        ("doctor", "starved", "it takes queues, tx-queues, zerocopy, "),
    ] {
        let (error, hint) = refused(&line(command, &format!("--sim=queues=2,{part}")));
        assert_eq!(error, format!("--sim {part}: flux {command} has no use for it"));
        assert!(hint.starts_with(takes), "{hint}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_host_is_told_alike_in_the_simulated_and_in_the_real_network() {
    for target in [
        "10.0.0.2:80",
        "http://10.0.0.2/",
        "10.0.0.0/24",
        "10.0.0.256",
        "-6 10.0.0.2",
        "10.0.0.2,",
        "1.2.3",
        "010.0.0.2",
        "root@10.0.0.2",
    ] {
        for command in SENDING {
            let simulated = refused(&format!("{command} --sim {target}"));
            assert_eq!(simulated, refused(&format!("{command} {target}")), "{command} {target}");
        }
    }
    for brackets in ["ping -c 1 --sim [2001:db8::2]", "trace --sim [2001:db8::2]"] {
        for brackets in [brackets.to_owned(), format!("{brackets} -j")] {
            let output = run(&brackets);
            assert_exit(&brackets, &output, 0);
            assert!(!stdout(&output).contains("[2001"), "{}", stdout(&output));
        }
    }
}

#[cfg(all(target_os = "linux", feature = "bpf"))]
#[test]
fn no_such_interface_is_the_same_sentence_and_status_everywhere() {
    for line in [
        "ping -I nosuch0 10.0.0.2",
        "trace -I nosuch0 10.0.0.2",
        "bench -I nosuch0",
        "bench -I lo --out nosuch0 --workload forward",
        "rings nosuch0",
        "doctor nosuch0",
    ] {
        let output = run(line);
        if stderr(&output).contains("CAP_") {
            continue;
        }
        let (error, hint) = refused(line);
        assert_eq!(error, "cannot find interface nosuch0: no such interface", "flux {line}");
        assert!(hint.starts_with("there are: ") && hint.contains("lo"), "flux {line}: {hint}");
    }
}

#[test]
fn counts_are_decimal_and_memory_is_binary() {
    let started = |line: &str| {
        let text = stdout(&run(line));
        let start: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        (start["frames"].as_u64(), start["frame_size"].as_u64())
    };
    let line = "ping --sim -c 1 -j --frames 4k --frame-size 4k 10.0.0.2";
    assert_eq!(started(line), (Some(4000), Some(4096)));
}

#[test]
fn packet_size_is_the_whole_frame_without_its_check_sequence() {
    for (line, want) in [
        ("ping --sim -c 1 --packet-size 98 10.0.0.2", "56(84) bytes of data"),
        ("ping --sim -c 1 --packet-size 60 10.0.0.2", "18(46) bytes of data"),
        ("ping --sim -c 1 --packet-size 118 2001:db8::2", " 56 data bytes"),
        ("ping --sim -c 1 --packet-size 98 --vlan 5 10.0.0.2", "52(80) bytes of data"),
        ("trace --sim --packet-size 114 10.0.0.2", "100 byte packets"),
        ("trace --sim --packet-size 1k 10.0.0.2", "1010 byte packets"),
    ] {
        let text = stdout(&run(line));
        assert!(text.contains(want), "flux {line}: {text}");
    }
    let both = "ping --sim -c 1 --packet-size 98 10.0.0.2 2001:db8::2";
    assert!(refused(both).0.starts_with("packet size 98: "));
}

#[test]
fn an_interface_and_a_source_address_go_together_as_in_ping() {
    for line in [
        "ping --sim -c 1 -I sim0 -I 10.0.0.1 10.0.0.2",
        "ping --sim -c 1 -I 10.0.0.1 10.0.0.2",
        "trace --sim -I sim0 -I 10.0.0.1 10.0.0.2",
    ] {
        assert_exit(line, &run(line), 0);
    }
    let (error, _) = refused("ping --sim -I sim0 -I 10.0.0.9 10.0.0.2");
    assert!(error.contains("10.0.0.9 is not an address of this host"), "{error}");
}

#[test]
fn help_is_found_for_commands_of_commands() {
    for (line, want) in [
        ("help trace diff", "Usage: flux trace diff"),
        ("help bench diff", "Usage: flux bench diff"),
        ("help ping", "Usage: flux ping"),
    ] {
        let output = run(line);
        assert_exit(line, &output, 0);
        assert!(stdout(&output).contains(want), "flux {line}");
    }
    assert_eq!(refused("help trace dif").1, "did you mean diff?");
    assert_eq!(refused("help pign").1, "did you mean ping?");
}

#[test]
fn a_key_that_a_command_does_not_honour_is_refused_with_those_it_does() {
    for (line, own) in [
        ("bench --sim=loss=3%", "it takes queues, tx-queues, wrong_queue"),
        ("bench --sim=loss=3", "it takes queues, tx-queues, wrong_queue"),
        ("bench --sim=los=3%", "it takes queues, tx-queues, wrong_queue"),
        ("bench --sim=link-flap", "it takes queues, tx-queues, wrong_queue"),
        ("doctor --sim=starve", "it takes queues, tx-queues, zerocopy"),
        ("doctor --sim=queue=4", "did you mean queues?"),
    ] {
        let (error, hint) = refused(line);
        assert!(error.starts_with("--sim "), "flux {line}: {error}");
        assert!(hint.starts_with(own), "flux {line}: {hint}");
    }
}
