//! What changes around a run: next hops move, routes lead elsewhere, links and addresses go and come
//! back. It is followed and told, and few replies are lost.

use fluxnet::simulator::{SimSpec, Simulator};
use fluxnet::tools::session::{SessionEvent, Trouble};
use fluxnet::tools::{Control, Env, ping, topology, trace};
use std::time::Duration;

const FAR: [&str; 2] = ["203.0.113.7", "2001:db8:7::7"];

/// Two ways to the server; what else there is, the tests add.
const TWO_WAYS: &str = r#"
    [us]
    addresses = ["10.0.0.1/24", "2001:db8::1/64"]

    [[router]]
    name = ["r1", "r2", "core"]

    [[host]]
    name = "server"
    addresses = ["203.0.113.7/24", "2001:db8:7::7/64"]

    [[link]]
    between = ["us", "r1", "core"]
    delay = "1ms"

    [[link]]
    between = ["us", "r2", "core"]
    delay = "1ms"
    cost = 10

    [[link]]
    between = ["core", "server"]
"#;

/// The second way does not begin at us.
fn one_way() -> String {
    TWO_WAYS.replace(r#"["us", "r2", "core"]"#, r#"["core", "r2"]"#)
}

fn network(name: &str, text: &str) -> Simulator {
    let dir = std::env::temp_dir().join(format!("flux-lookout-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("net.toml");
    std::fs::write(&file, text).unwrap();
    let network = topology::load(&file, &SimSpec::default()).unwrap();
    let _ = std::fs::remove_dir_all(&dir);
    network
}

fn word(word: &str) -> Simulator {
    Simulator::new(word.parse::<SimSpec>().unwrap())
}

/// What a run told: per target what was lost (with what was not sent), the next hops that moved, the
/// interfaces that routes moved to, interfaces' events and notes.
#[derive(Debug, Default)]
struct Told {
    lost: Vec<u64>,
    moved: usize,
    routes: Vec<Option<String>>,
    links: usize,
    notes: Vec<(Trouble, String)>,
}

impl Told {
    fn session(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Route(moved) => self.routes.push(moved.interface),
            SessionEvent::Interface(_) => self.links += 1,
            SessionEvent::Note(note) => self.notes.push((note.kind, note.text)),
            SessionEvent::WrongQueue(_) => {}
        }
    }
}

/// Ten probes a second.
fn pinged(network: &Simulator, targets: &[&str], count: u64) -> Told {
    let interval = Duration::from_millis(100);
    let plan =
        ping::Plan { count: Some(count), interval, ..ping::Plan::new(targets.iter().copied()) };
    let mut told = Told::default();
    let mut sink = |event| match event {
        ping::Event::Neighbour(found) => told.moved += usize::from(found.before.is_some()),
        ping::Event::Session(event) => told.session(event),
        ping::Event::Summary(summary) => told.lost.push(summary.lost),
        _ => {}
    };
    ping::run(&plan, &mut Env::simulated(network.clone()), &Control::default(), &mut sink).unwrap();
    told
}

/// Ten rounds a second; lost is what the first hop did not answer.
fn traced(network: &Simulator, target: &str, rounds: u64) -> Told {
    let mut plan = trace::Plan::new([target]);
    (plan.protocol, plan.rounds) = (trace::Protocol::Icmp, trace::Rounds::Count(rounds));
    (plan.interval, plan.queries, plan.names) = (Duration::from_millis(100), 1, false);
    let mut told = Told::default();
    let mut sink = |event| match event {
        trace::Event::Neighbour(found) => told.moved += usize::from(found.before.is_some()),
        trace::Event::Session(event) => told.session(event),
        trace::Event::Summary(summary) => {
            assert!(summary.reached, "{summary:?}");
            let hop = &summary.hops[0];
            told.lost.push(hop.sent - hop.received);
        }
        _ => {}
    };
    trace::run(&plan, &mut Env::simulated(network.clone()), &Control::default(), &mut sink)
        .unwrap();
    told
}

#[test]
fn a_next_hop_that_moves_and_says_so_costs_nothing_more_than_what_is_under_way() {
    for target in FAR {
        for told in [
            pinged(&word("moving_neighbour"), &[target], 20),
            traced(&word("moving_neighbour"), target, 20),
        ] {
            assert!(told.lost[0] <= 2 && told.moved == 1, "{target}: {told:?}");
        }
    }
}

#[test]
fn an_old_entry_heals_after_three_questions() {
    for target in FAR {
        for told in [
            pinged(&word("stale_neighbour"), &[target], 60),
            traced(&word("stale_neighbour"), target, 60),
        ] {
            // Three seconds of probes, and two.
            assert!(told.lost[0] <= 32 && told.moved == 1, "{target}: {told:?}");
        }
    }
}

#[test]
fn addresses_that_are_only_just_there_are_waited_for() {
    let far = FAR[1];
    for told in [pinged(&word("tentative"), &[far], 5), traced(&word("tentative"), far, 5)] {
        assert_eq!((told.lost, told.moved, told.routes.len()), (vec![0], 0, 0));
    }
}

#[test]
fn a_route_that_is_replaced_is_followed_to_the_other_interface() {
    let text = format!(
        "{TWO_WAYS}\n[[event]]\nat = \"1s\"\nroute = {{ at = \"us\", to = \"server\", via = \"r2\" }}\n"
    );
    let network = || network("route", &text);
    let told = pinged(&network(), &FAR, 30);
    assert!(told.lost.iter().all(|&lost| lost <= 2), "{told:?}");
    assert_eq!(told.routes, [Some("sim1".into()), Some("sim1".into())], "{told:?}");
    for target in FAR {
        let told = traced(&network(), target, 30);
        assert!(told.lost[0] <= 2, "{target}: {told:?}");
        assert_eq!(told.routes, [Some("sim1".into())], "{told:?}");
    }
}

#[test]
fn a_link_that_goes_and_comes_back_loses_what_is_under_way() {
    let down = "[[event]]\nat = \"1s\"\ndown = \"sim0\"\n[[event]]\nat = \"2s\"\nup = \"sim0\"\n";
    let one_way = one_way();
    let network = || network("link", &format!("{one_way}\n{down}"));
    let told = pinged(&network(), &[FAR[0]], 40);
    assert!(told.lost[0] <= 2 && told.links >= 2, "{told:?}");
    // Due at ten a second while the link was away: not sent, and so not lost.
    let unsent = told.notes.iter().find(|(kind, _)| *kind == Trouble::LinkFlap).unwrap();
    assert!(unsent.1.contains("probes were not sent"), "{told:?}");
    let told = traced(&network(), FAR[0], 40);
    assert!(told.lost[0] <= 2 && told.links >= 2, "{told:?}");
}

#[test]
fn an_address_that_goes_and_comes_back_is_told_and_used_again() {
    let gone = "[[event]]\nat = \"1s\"\nremove = \"10.0.0.1\"\n\
                [[event]]\nat = \"2s\"\nadd = \"10.0.0.1/24\"\ninterface = \"sim0\"\n";
    let one_way = one_way();
    let network = || network("address", &format!("{one_way}\n{gone}"));
    let told = pinged(&network(), &[FAR[0]], 40);
    assert!(told.lost[0] <= 13, "{told:?}");
    assert_eq!(told.routes, [None, Some("sim0".into())], "{told:?}");
}

#[test]
fn answers_by_another_interface_of_the_run_count_and_are_said_once() {
    // Both links are opened; what goes out by the first comes back by the second.
    let text = TWO_WAYS.to_owned()
        + "\n[[route]]\nat = \"core\"\nto = \"10.0.0.1\"\nvia = \"r2\"\n\
           [[route]]\nat = \"r2\"\nto = \"10.0.0.1\"\nvia = \"us\"\n\
           [[route]]\nat = \"us\"\nto = \"r2\"\nvia = \"r2\"\n";
    let network = network("own", &text);
    let near = network.addresses_of("r2").into_iter().find(std::net::IpAddr::is_ipv4).unwrap();
    let told = pinged(&network, &[FAR[0], &near.to_string()], 10);
    assert_eq!(told.lost, [0, 0], "{told:?}");
    let notes: Vec<_> = told.notes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(notes, [Trouble::OtherInterface], "{told:?}");
    assert!(told.notes[0].1.starts_with("answers come in by sim1 to what left by sim0: "));
}
