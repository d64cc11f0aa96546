//! A second flux on an interface, or somebody else's program there: it is said who has it, and what is
//! said to free it does.

use super::{command_in, refused};
use crate::command::{Copy, assert_exit, events, run, start, stderr};
use crate::foreign::Foreign;
use crate::lab::xdp::{Hook, attach_by_link, attach_by_netlink};
use crate::lab::{self, Lab, OURS, PEER_IP, has, wait_until, xdp_attached};
use std::process::Child;

/// A ping that has the interface.
fn ping() -> Child {
    let child = start(&format!("ping -q -i 0.2 {PEER_IP}"));
    wait_until("its program", || xdp_attached(OURS));
    child
}

fn ends(mut child: Child) {
    assert!(child.wait().unwrap().code().is_some_and(|code| code < 2));
}

#[test]
fn the_first_flux_is_named_and_the_command_that_is_given_ends_it() {
    let Some(_lab) = Lab::veth(1) else { return };
    for line in [
        format!("ping -c 1 {PEER_IP}"),
        format!("ping -c 1 --attach skb {PEER_IP}"),
        format!("trace --icmp {PEER_IP}"),
        format!("bench -I {OURS} --workload rxdrop --batch 16 --poll busy --duration 1ms"),
    ] {
        let first = ping();
        let (error, hint) = refused(&line);
        let named = format!("flux ping (pid {})", first.id());
        assert!(error.contains(&named) && error.contains("native mode"), "{line}: {error}");
        assert!(hint.contains("wait until it ends") && hint.contains("one run"), "{line}: {hint}");
        lab::run(command_in(&hint));
        ends(first);
    }
    // The third way: one run for all.
    assert_exit("both in one", &run(&format!("ping -c 1 {PEER_IP} {PEER_IP}")), 0);
}

#[test]
fn an_owner_is_found_without_root_too_and_by_doctor() {
    let Some(_lab) = Lab::veth(1).filter(|_| has(&["setpriv"])) else { return };
    let first = ping();
    let named = format!("flux ping (pid {})", first.id());
    let flux = Copy::new("flux-second-run");
    let rights = ",+net_raw,+net_admin,+bpf,+perfmon";
    let output = flux.as_nobody(rights, &format!("ping -c 1 {PEER_IP}"));
    assert_exit("as nobody", &output, 2);
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
    let report = &events(&format!("doctor {OURS} -j"), 1)[0];
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "program").unwrap();
    assert!(check["finding"].as_str().unwrap().contains(&named), "{check:#}");
    lab::run(command_in(check["fix"].as_str().unwrap()));
    ends(first);
    events(&format!("doctor {OURS} -j"), 0);
}

#[test]
fn the_owner_of_a_queue_is_named() {
    let Some(_lab) = Lab::veth(1) else { return };
    let first = ping();
    let bench = "--workload txonly --batch 16 --poll busy --duration 1ms --repeat 1";
    let (error, hint) = refused(&format!("bench -I {OURS} {bench}"));
    assert!(error.contains(&format!("flux ping (pid {})", first.id())), "{error}");
    lab::run(command_in(&hint));
    ends(first);
}

#[test]
fn somebody_elses_program_is_taken_off_as_it_was_attached() {
    let Some(_lab) = Lab::veth(1) else { return };
    let line = format!("ping -c 1 {PEER_IP}");
    for hook in [Hook::Native, Hook::Skb] {
        let word = if hook == Hook::Native { "native mode" } else { "skb mode" };
        attach_by_netlink(OURS, hook);
        let (error, hint) = refused(&line);
        assert!(error.contains("pass_all") && error.contains(word), "{error}");
        lab::run(command_in(&hint));
        assert_exit(&line, &run(&line), 0);
        // This process has the link: to kill it would be the end of the test.
        let link = attach_by_link(OURS, hook);
        let (error, hint) = refused(&line);
        let own = std::process::id();
        assert!(error.contains("pass_all") && error.contains(word), "{error}");
        assert!(hint.contains(&format!("`kill {own}`")), "{hint}");
        drop(link);
        wait_until("the end of the link", || !xdp_attached(OURS));
    }
    let foreign = Foreign::start(OURS, &["mode=quiet"]);
    let (error, hint) = refused(&line);
    assert!(error.contains(&format!("foreign-xsk (pid {})", foreign.pid())), "{error}");
    lab::run(command_in(&hint));
    wait_until("its end", || !xdp_attached(OURS));
    assert_exit(&line, &run(&line), 0);
}
