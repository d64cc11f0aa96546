//! One bad target among good ones, and names and addresses that have more than one reading.

use super::support::{Done, ping, plan};
use crate::command;
use crate::lab::{Lab, OUR_IP, OURS, PEER, PEER_IP, etc};
use fluxnet::tools::host::Family;
use fluxnet::tools::ping::{Event, Plan};
use fluxnet::tools::{Control, Env, trace};

fn told(done: &Done) -> Vec<&str> {
    let of = done.events.iter().filter_map(|event| match event {
        Event::SendError(error) => Some(error.target.as_str()),
        _ => None,
    });
    of.collect()
}

#[test]
fn one_that_cannot_be_used_is_named_and_the_others_are_probed() {
    let Some(_lab) = Lab::veth(1) else { return };
    let (good, own) = (PEER_IP.to_string(), OUR_IP.to_string());
    let bad = ["no-such-host.invalid", "203.0.113.9", "10.9.0.255", &own, "fe80::1", "0.0.0.1"];
    let all: Vec<&str> = bad.into_iter().chain([good.as_str()]).collect();
    let done = ping(&plan(&all, 3), |_| ());
    assert_eq!((done.outcome.answered, done.outcome.refused, done.outcome.targets), (1, 6, 7));
    assert_eq!(told(&done), bad);
    let summaries = done.summaries();
    assert_eq!((summaries.len(), summaries[0].received), (7, 3));
    assert!(summaries[1..].iter().all(|s| s.sent == 0 && s.error.is_some()), "{summaries:#?}");

    let plan = trace::Plan { names: false, ..trace::Plan::new(all.iter().copied()) };
    let mut events = Vec::new();
    let mut env = Env::kernel().unwrap();
    let outcome = trace::run(&plan, &mut env, &Control::default(), &mut |event| events.push(event));
    let outcome = outcome.unwrap();
    assert_eq!((outcome.reached, outcome.refused, outcome.targets), (1, 6, 7));
}

#[test]
fn a_next_hop_that_nobody_is_is_told_by_trace_at_once_and_stops_no_other() {
    let Some(_lab) = Lab::veth(1) else { return };
    let plan = trace::Plan { names: false, ..trace::Plan::new(["10.9.0.77", "10.9.0.2"]) };
    let mut events = Vec::new();
    let mut env = Env::kernel().unwrap();
    let outcome = trace::run(&plan, &mut env, &Control::default(), &mut |event| events.push(event));
    assert_eq!(outcome.unwrap().reached, 1);
    let dead = events.iter().find_map(|event| match event {
        trace::Event::Summary(summary) if summary.target == "10.9.0.77" => Some(summary),
        _ => None,
    });
    let dead = dead.unwrap();
    assert!(dead.hops.is_empty(), "{dead:?}");
    assert!(dead.error.as_ref().unwrap().contains("did not answer ARP"), "{dead:?}");
}

#[test]
fn a_next_hop_that_comes_later_begins_a_trace_in_rounds() {
    let Some(lab) = Lab::veth(1) else { return };
    let late = "10.9.0.77";
    for targets in [&[late, "10.9.0.2"][..], &[late]] {
        let mut plan = trace::Plan::new(targets.iter().copied());
        plan.protocol = trace::Protocol::Icmp;
        (plan.names, plan.queries, plan.max_hops) = (false, 1, 2);
        plan.rounds = trace::Rounds::Count(20);
        plan.interval = std::time::Duration::from_millis(400);
        let (mut told, mut summaries) = (0, Vec::new());
        let mut env = Env::kernel().unwrap();
        let control = Control::default();
        let outcome = trace::run(&plan, &mut env, &control, &mut |event| match event {
            trace::Event::SendError(_) => {
                told += 1;
                lab.run_in_peer(&format!("ip addr add {late}/24 dev {PEER}"));
            }
            trace::Event::Reply(reply) if reply.target == late && reply.round == 2 => {
                control.stop()
            }
            trace::Event::Summary(summary) => summaries.push(summary),
            _ => {}
        });
        lab.run_in_peer(&format!("ip addr del {late}/24 dev {PEER}"));
        lab.run(&format!("ip neigh flush dev {OURS}"));
        assert_eq!((told, outcome.unwrap().reached), (1, targets.len()), "{summaries:#?}");
        let late = summaries.iter().find(|summary| summary.target == late).unwrap();
        assert!(late.error.is_none() && late.distance == Some(1), "{late:?}");
    }
}

#[test]
fn a_name_of_both_families_goes_with_the_source_and_the_interface() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run("ip link add d0 type bridge");
    lab.run("ip link set d0 up");
    lab.run("ip addr add 2001:db8:5::1/64 dev d0 nodad");
    lab.run("ip -6 route add default via 2001:db8:5::2 dev d0");
    lab.run(&format!("ip -6 addr flush dev {OURS}"));
    let hosts = format!("{PEER_IP} dual.example\n2001:db8:9::9 dual.example\n");
    for (interface, source) in
        [(None, Some(OUR_IP.into())), (Some(OUR_IP.to_string()), None), (Some(OURS.into()), None)]
    {
        let plan = Plan { interface, source, family: Family::Any, ..plan(&["dual.example"], 1) };
        let done = etc::with_hosts(&hosts, || ping(&plan, |_| ()));
        assert_eq!(done.summaries()[0].address, Some(PEER_IP.into()));
        assert_eq!(done.outcome.answered, 1);
    }
}

#[test]
fn an_ipv4_address_in_the_notation_of_ipv6_is_pinged_as_ipv4_and_said() {
    let Some(_lab) = Lab::veth(1) else { return };
    let mapped = format!("::ffff:{PEER_IP}");
    let done = ping(&plan(&[&mapped], 1), |_| ());
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    assert!(start.opened.notes.iter().any(|note| note.contains("in the notation of IPv6")));
    assert_eq!(done.summaries()[0].address, Some(PEER_IP.into()));
    assert_eq!(done.outcome.answered, 1);
}

#[test]
fn ipv6_works_in_the_first_second_after_an_interface_is_up() {
    let Some(lab) = Lab::veth(1) else { return };
    lab.run(&format!("ip link set {OURS} down"));
    lab.run(&format!("ip link set {OURS} addrgenmode eui64"));
    lab.run(&format!("ip addr add fd09::1/64 dev {OURS}"));
    lab.run(&format!("ip link set {OURS} up"));
    let target = crate::lab::PEER_IP6.to_string();
    let done = ping(&plan(&[&target], 3), |_| ());
    assert_eq!(done.summaries()[0].received, 3, "{:#?}", done.events);
}

#[test]
fn a_link_local_address_is_told_with_its_zone_and_a_wrong_zone_is_named() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    lab.run_in_peer(&format!("ip addr add fe80::2/64 dev {PEER} nodad"));
    let target = format!("fe80::2%{OURS}");
    let done = ping(&plan(&[&target], 1), |_| ());
    let from = done.events.iter().find_map(|event| match event {
        Event::Reply(reply) => Some(reply.from.to_string()),
        _ => None,
    });
    assert_eq!(from.as_deref(), Some(&*target), "it can be pasted back");
    let line = format!("trace -n -q 1 --icmp {target} {PEER_IP} ff02::1%{OURS} 224.0.0.1");
    let events = command::events(&format!("{line} -j"), 2);
    let summaries = command::of(&events, "summary");
    assert_eq!(summaries[0]["hops"][0]["routers"][0]["address"], *target, "{events:#?}");
    assert_eq!(summaries[0]["paths"], serde_json::json!([[target]]));
    assert!(command::of(&events, "reply").iter().any(|reply| reply["from"] == *target));
    // Groups have no path: each is refused alone.
    let told = command::of(&events, "send_error");
    let told: Vec<_> = told.iter().map(|told| told["error"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| told.ends_with("is a group: a path leads to one host")));
    let text = command::stdout(&command::run(&line));
    assert!(text.contains(&format!("\n 1  {target}  ")), "{text}");
    assert!(text.contains("reached 10.9.0.2 in 1 hop"), "{text}");
    for (target, error, hint) in [
        ("fe80::2%999", "cannot find interface 999: no such interface", OURS),
        ("fe80::2%lo", "lo is the loopback interface", OURS),
        ("fe80::2", "the link is not named", "fe80::2%flux0"),
    ] {
        let (mut env, control) = (Env::kernel().unwrap(), Control::default());
        let refused =
            fluxnet::tools::ping::run(&plan(&[target], 1), &mut env, &control, &mut |_| ());
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains(error), "{refused}");
        assert!(refused.hint().unwrap().contains(hint), "{:?}", refused.hint());
    }
}
