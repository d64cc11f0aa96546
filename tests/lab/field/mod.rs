//! What users of other tools reported from networks that nobody here built: each report is a case,
//! made anew in namespaces, with the right behaviour. `docs/field.md` lists them.

mod another_interface;
mod another_pinger;
mod capabilities;
mod classic_ports;
mod far_hosts;
mod fixes;
mod following;
mod fragments;
mod icmp_limits;
mod long_names;
mod mpls;
mod mtu;
mod odd_answers;
mod path_end;
mod queues;
mod refusals;
mod second_run;
mod support;
mod targets;
mod tcp_syn;
mod upper_program;
mod vlan;

use crate::command::{assert_exit, run, stderr};

/// The error and the hint of a command line that cannot run.
#[track_caller]
fn refused(line: &str) -> (String, String) {
    let output = run(line);
    assert_exit(line, &output, 2);
    let text = stderr(&output);
    let of = |begin: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(begin));
        found.unwrap_or_else(|| panic!("flux {line}: no {begin}: {text}")).to_owned()
    };
    (of("error: "), of("hint: "))
}

/// The first command that a hint or a fix gives in backquotes.
#[track_caller]
fn command_in(hint: &str) -> &str {
    let quoted = hint.split('`').nth(1);
    quoted.unwrap_or_else(|| panic!("no command in: {hint}"))
}
