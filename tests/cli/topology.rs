//! Topology files on the command line: every command that has `--sim` takes or refuses them, and
//! what is wrong with one is told with its line.

use crate::command::{
    self, assert_exit, assert_refused, assert_refused_as_json, events, of, run, stderr, stdout,
};

const TWO: &str = "tests/topologies/two-interfaces.toml";
const SILENT: &str = "tests/topologies/silent.toml";

#[test]
fn a_file_is_the_network_also_as_the_next_word_and_with_knobs_of_our_machine() {
    for sim in
        [format!("--sim=file={SILENT}"), format!("--sim file={SILENT},seed=9,queues=2,link_flap")]
    {
        for target in ["203.0.113.7", "2001:db8:7::7"] {
            let events = events(&format!("ping {sim} -c 2 {target} --json"), 0);
            let replies = of(&events, "reply");
            assert_eq!(replies.len(), 2, "{sim}");
            assert_eq!(replies[0]["rtt_us"], 50_000.0, "five links of 5 ms each way");
        }
    }
}

#[test]
fn files_and_knobs_that_cannot_be_are_refused() {
    let absent = "ping --sim file=no/such.toml 10.0.0.2";
    assert_refused(absent, "cannot read topology file no/such.toml");
    assert_refused_as_json(absent, "cannot read topology file no/such.toml");
    for knob in ["loss=1%", "mtu=1400", "delay=1ms", "rate=1gbit"] {
        let line = format!("ping --sim file={SILENT},{knob} 10.0.0.2");
        assert_refused(&line, "the file says what our link is like");
    }
    assert_refused(&format!("bench --sim=file={SILENT}"), "flux bench has no use for it");
    assert_refused("doctor --sim=file=no/such.toml", "cannot read topology file");
    assert_refused("rings --sim=file=no/such.toml", "cannot read topology file");
}

#[test]
fn an_error_in_a_file_is_told_with_its_line_and_column() {
    let dir = command::temp_dir("cli-topology");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("net.toml");
    std::fs::write(&file, "[us]\naddresses = [\"10.0.0.1/24\"]\n\n[[ruter]]\n").unwrap();
    let line = format!("ping --sim file={} 10.0.0.2", file.display());
    let output = run(&line);
    assert_exit(&line, &output, 2);
    let text = stderr(&output);
    assert!(
        text.contains("net.toml line 4, column 3: unknown key 'ruter' in the file\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "hint: did you mean 'router'? known keys: seed, us, router, host, link, route, event\n"
        ),
        "{text}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn rings_and_doctor_see_the_machine_of_a_file() {
    let line = format!("rings --sim=file={SILENT}");
    let output = run(&line);
    assert_exit(&line, &output, 0);
    assert!(stdout(&output).contains("sim0"), "{}", stdout(&output));
    let line = format!("doctor --sim=file={SILENT} sim0");
    let output = run(&line);
    assert!(stdout(&output).contains("sim0"), "{}", stdout(&output));
}

#[test]
fn commands_cope_with_two_interfaces() {
    for (args, interface) in [("203.0.113.7", "sim1"), ("198.51.100.7", "sim0")] {
        let events = events(&format!("ping --sim=file={TWO} -c 1 {args} --json"), 0);
        assert_eq!(of(&events, "start")[0]["interface"], interface);
    }
    let hops = |args: &str| {
        let events = events(&format!("trace --sim=file={TWO} {args} --json"), 0);
        of(&events, "summary")[0]["hops"].as_array().unwrap().len()
    };
    assert_eq!((hops("203.0.113.7"), hops("-I sim0 203.0.113.7")), (2, 4));

    let report = &events(&format!("doctor --sim=file={TWO} --json"), 0)[0];
    let titles: Vec<_> = report["checks"].as_array().unwrap().iter().map(|c| &c["title"]).collect();
    assert!(titles.contains(&&"sim0".into()) && titles.contains(&&"sim1".into()), "{titles:?}");
    let report = &events(&format!("doctor --sim=file={TWO} sim1 --json"), 0)[0];
    assert_eq!(report["interface"], "sim1");
    let line = format!("doctor --sim=file={TWO} sim2");
    let output = run(&line);
    assert_exit(&line, &output, 2);
    assert!(stderr(&output).contains("there are: sim0, sim1"), "{}", stderr(&output));

    // The application is where 10.0.0.2 is; the other interface has no socket, which is said.
    let sample = &events(&format!("rings --sim=file={TWO} --json -c 1"), 0)[0];
    assert_eq!(sample["sockets"][0]["interface"], "sim0");
    let line = format!("rings --sim=file={TWO} sim1 --over 0");
    let output = run(&line);
    assert_exit(&line, &output, 1);
    assert!(stderr(&output).contains("sim1"), "{}", stderr(&output));
}
