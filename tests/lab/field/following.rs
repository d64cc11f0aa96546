//! The host's state changes while a run goes on: a next hop moves, a route leads elsewhere, a link goes,
//! an address disappears. Nothing more may be lost than the kernel's own ping loses, plus two.

use super::support::{beside_the_kernels, ping, plan};
use crate::lab::{self, Lab, OUR_IP, OURS, PEER, PEER_IP, PEER_IP6, wait_until};
use fluxnet::tools::ping::Event;
use fluxnet::tools::session::SessionEvent;
use fluxnet::tools::{Control, Env, trace};
use std::os::fd::AsRawFd;
use std::time::Duration;

const MOVED: &str = "02:00:00:00:00:77";

const FAR: &str = "198.51.100.2";
const FAR6: &str = "2001:db8:99::2";

/// The pair, with a second one beside it, and hosts behind the peer that both lead to.
fn two_uplinks() -> Option<Lab> {
    let lab = Lab::veth(1)?.with_link_local();
    let namespace = lab.in_peer(|| std::fs::File::open("/proc/thread-self/ns/net").unwrap());
    let peer = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    lab.run(&format!("ip link add up1 type veth peer name down1 netns {peer}"));
    lab.in_peer(|| {
        lab::ip_batch(&format!(
            "link set down1 up\naddr add 10.8.0.2/24 dev down1\n\
             addr add fd08::2/64 dev down1 nodad\n\
             addr add {FAR}/32 dev lo\naddr add {FAR6}/128 dev lo nodad\n"
        ))
    });
    lab::ip_batch(&format!(
        "link set up1 up\naddr add 10.8.0.1/24 dev up1\naddr add fd08::1/64 dev up1 nodad\n\
         addr add fe80::8/64 dev up1 nodad\n\
         route add {FAR} via {PEER_IP}\nroute add {FAR6} via {PEER_IP6}\n"
    ));
    wait_until("the second link", || lab.run("ip link show dev up1").contains("state UP"));
    Some(lab)
}

#[test]
fn a_route_that_moves_to_another_interface_is_followed() {
    let Some(lab) = two_uplinks() else { return };
    let done = beside_the_kernels(FAR, (5, 30), || {
        lab.run(&format!("ip route replace {FAR} via 10.8.0.2"));
    });
    assert_eq!(done.routes(), [Some("up1")], "{:#?}", done.events);
    let done = beside_the_kernels(FAR6, (5, 30), || {
        lab.run(&format!("ip -6 route replace {FAR6} via fd08::2"));
    });
    assert_eq!(done.routes(), [Some("up1")], "{:#?}", done.events);
}

#[test]
fn an_interface_that_is_removed_ends_nothing_that_another_one_leads_to() {
    let Some(lab) = two_uplinks() else { return };
    let near = PEER_IP.to_string();
    let mut removed = false;
    // Two targets by two interfaces in one run, the one of the first goes.
    let done = ping(&plan(&[FAR, "10.8.0.2", &near], 30), |seq| {
        if seq >= 5 && !std::mem::replace(&mut removed, true) {
            lab.run(&format!("ip link del {OURS}"));
            lab.run(&format!("ip route replace {FAR} via 10.8.0.2"));
        }
    });
    let Some(Event::Start(start)) = done.events.first() else { panic!() };
    assert_eq!(start.interfaces.len(), 2, "{start:?}");
    let [far, beside, near] = done.summaries()[..] else { panic!() };
    assert!(far.received >= 27, "{far:?}");
    assert_eq!(beside.received, 30);
    assert!(near.received >= 4 && near.received + near.unsent >= 27, "{near:?}");
    assert!(done.routes().contains(&Some("up1")), "{:#?}", done.events);
}

#[test]
fn the_last_interface_may_be_replaced_by_another() {
    let Some(lab) = two_uplinks() else { return };
    let done = beside_the_kernels(FAR, (5, 30), || {
        lab.run(&format!("ip link del {OURS}"));
        lab.run(&format!("ip route replace {FAR} via 10.8.0.2"));
    });
    assert_eq!(done.routes().last(), Some(&Some("up1")), "{:#?}", done.events);
}

#[test]
fn a_trace_in_rounds_follows_a_route_as_well() {
    let Some(lab) = two_uplinks() else { return };
    let mut plan = trace::Plan::new([FAR]);
    // Nobody limits echo replies.
    plan.protocol = trace::Protocol::Icmp;
    (plan.rounds, plan.queries) = (trace::Rounds::Count(30), 1);
    (plan.interval, plan.max_hops) = (Duration::from_millis(100), 3);
    let (mut moved, mut events) = (false, Vec::new());
    let mut env = Env::kernel().unwrap();
    let outcome = trace::run(&plan, &mut env, &Control::default(), &mut |event| {
        if matches!(&event, trace::Event::Reply(reply) if reply.round >= 5)
            && !std::mem::replace(&mut moved, true)
        {
            lab.run(&format!("ip route replace {FAR} via 10.8.0.2"));
        }
        events.push(event);
    })
    .unwrap();
    assert_eq!(outcome.reached, 1);
    let summary = events.iter().find_map(|event| match event {
        trace::Event::Summary(summary) => Some(summary),
        _ => None,
    });
    let hop = &summary.unwrap().hops[0];
    assert!(hop.sent - hop.received <= 2, "{hop:?}");
    assert!(events.iter().any(|event| matches!(event,
        trace::Event::Session(SessionEvent::Route(moved)) if moved.interface.as_deref() == Some("up1"))));
}

/// The kernel renames an interface that is up, from 6.2 on.
fn renamed(lab: &Lab, from: &str, to: &str) {
    lab.run(&format!("ip link set {from} name {to}"));
}

/// What was told about interfaces.
fn called(done: &super::support::Done) -> Vec<(&str, &str)> {
    let of = done.events.iter().filter_map(|event| match event {
        Event::Session(SessionEvent::Interface(change)) => {
            Some((change.interface.as_str(), change.text.as_str()))
        }
        _ => None,
    });
    of.collect()
}

#[test]
fn an_interface_that_is_renamed_goes_on_under_its_new_name() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    let (v4, v6) = (PEER_IP.to_string(), PEER_IP6.to_string());
    let told = ("eth77", format!("{OURS} is called eth77 now"));
    let done = beside_the_kernels(&v4, (5, 30), || renamed(&lab, OURS, "eth77"));
    assert_eq!(called(&done), [(told.0, told.1.as_str())], "{:#?}", done.events);
    renamed(&lab, "eth77", OURS);
    let mut moved = false;
    let asked =
        fluxnet::tools::ping::Plan { interface: Some(OURS.to_owned()), ..plan(&[&v4, &v6], 20) };
    let done = ping(&asked, |seq| {
        if seq >= 5 && !std::mem::replace(&mut moved, true) {
            renamed(&lab, OURS, "eth77");
        }
    });
    assert_eq!(called(&done), [(told.0, told.1.as_str())], "{:#?}", done.events);
    for summary in done.summaries() {
        assert!(summary.received >= 18, "{:#?}", done.events);
    }
}

#[test]
fn a_trace_goes_on_by_an_interface_that_is_renamed() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    let mut plan = trace::Plan::new([PEER_IP.to_string()]);
    plan.protocol = trace::Protocol::Icmp;
    (plan.rounds, plan.queries) = (trace::Rounds::Count(20), 1);
    (plan.interval, plan.max_hops) = (Duration::from_millis(100), 3);
    let (mut moved, mut told, mut received) = (false, false, 0);
    let mut env = Env::kernel().unwrap();
    let outcome = trace::run(&plan, &mut env, &Control::default(), &mut |event| match &event {
        trace::Event::Reply(reply) if reply.round >= 5 && !moved => {
            moved = true;
            renamed(&lab, OURS, "eth77");
        }
        trace::Event::Session(SessionEvent::Interface(change)) => {
            told |= change.interface == "eth77"
        }
        trace::Event::Summary(summary) => received = summary.hops[0].received,
        _ => {}
    });
    assert_eq!(outcome.unwrap().reached, 1);
    assert!(told && received >= 18, "{received}");
}

#[test]
fn a_stale_entry_that_is_wrong_heals_by_itself() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    for target in [PEER_IP.to_string(), PEER_IP6.to_string()] {
        lab.run(&format!(
            "ip neigh replace {target} lladdr 02:00:00:00:00:99 dev {OURS} nud stale"
        ));
        // Three questions of the kernel, a second apart; its own ping waits five seconds before them.
        let done = ping(&plan(&[&target], 80), |_| ());
        assert_eq!(done.moved().len(), 1, "{target}: {:#?}", done.events);
        assert!(done.summaries()[0].received > 0);
        let Some(Event::Reply(last)) =
            done.events.iter().rfind(|event| matches!(event, Event::Reply(_)))
        else {
            panic!()
        };
        assert_eq!(last.seq, 80);
    }
}

#[test]
fn a_next_hop_that_moves_and_says_so_is_followed() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    lab.run_in_peer(&format!("ip link set {PEER} address 02:00:00:00:00:66"));
    for (target, change) in [
        // What gratuitous ARP does to the kernel's table.
        (PEER_IP.to_string(), MOVED),
        (PEER_IP6.to_string(), "02:00:00:00:00:78"),
    ] {
        let done = beside_the_kernels(&target, (5, 30), || {
            lab.run_in_peer(&format!("ip link set {PEER} address {change}"));
            lab.run(&format!("ip neigh replace {target} lladdr {change} dev {OURS} nud reachable"));
        });
        assert_eq!(done.moved(), [change], "{target}");
    }
}

#[test]
fn a_next_hop_that_moves_without_a_word_is_asked_for_after_a_few_losses() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    let done = beside_the_kernels(&PEER_IP.to_string(), (5, 100), || {
        lab.run_in_peer(&format!("ip link set {PEER} address {MOVED}"));
    });
    assert_eq!(done.moved(), [MOVED]);
    assert!(done.summaries()[0].received >= 20, "{:?}", done.summaries());
}

#[test]
fn a_link_that_goes_down_and_comes_back_goes_on() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    beside_the_kernels(&PEER_IP.to_string(), (5, 40), || {
        lab.run(&format!("ip link set {OURS} down"));
        lab.run(&format!("ip link set {OURS} up"));
    });
}

#[test]
fn an_address_that_disappears_is_waited_for_and_said() {
    let Some(lab) = Lab::veth(1).map(Lab::with_link_local) else { return };
    let network = format!("{OUR_IP}/24");
    let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    let back = std::cell::RefCell::new(None);
    let done = beside_the_kernels(&PEER_IP.to_string(), (5, 40), || {
        lab.run(&format!("ip addr del {network} dev {OURS}"));
        let (namespace, line) =
            (namespace.try_clone().unwrap(), format!("ip addr add {network} dev {OURS}"));
        *back.borrow_mut() = Some(std::thread::spawn(move || {
            use std::os::fd::AsFd;
            std::thread::sleep(std::time::Duration::from_secs(1));
            crate::lab::inside(namespace.as_fd(), || crate::lab::run(&line));
        }));
    });
    back.into_inner().unwrap().join().unwrap();
    assert_eq!(done.routes(), [None, Some(OURS)], "{:#?}", done.events);
    let told = done
        .events
        .iter()
        .any(|event| matches!(event, Event::SendError(error) if error.error.contains("no route")));
    assert!(told);
}
