//! What cannot be opened: the error names the port, and says what to do instead.

use crate::pairs::{PORTS, both, network};
use fluxnet::simulator::{Simulator, Trouble};
use fluxnet::{BindMode, Config, ErrorKind, Filter, FluxBuilder, FluxEngine, FluxError, Queues};

const SECOND: &str = PORTS[1];

/// The error of a builder, which has a next step; nothing stays open after it.
fn refused(network: &Simulator, builder: FluxBuilder) -> FluxError {
    refused_by(network, || builder.build_engine().err())
}

fn refused_by(network: &Simulator, build: impl FnOnce() -> Option<FluxError>) -> FluxError {
    let error = build().expect("it cannot be opened");
    let hint = error.hint().unwrap_or_default();
    assert!(!hint.is_empty(), "{error}: and what now?");
    assert!(network.sockets().is_empty(), "{error}");
    let again: Result<FluxEngine, _> = both(network).build_engine();
    assert!(again.is_ok(), "all is free for the next try");
    error
}

fn named(error: &FluxError, names: &[&str]) {
    let text = error.to_string();
    assert!(names.iter().all(|name| text.contains(name)), "{text}: names not {names:?}");
}

#[test]
fn two_ports_on_one_interface() {
    let network = network(2);
    let error = refused(&network, both(&network).port(SECOND));
    assert_eq!(error.kind(), ErrorKind::Config);
    named(&error, &[SECOND, "another port is on this interface"]);
    // Also with different queues: an interface has one program.
    let halves = both(&network).queue_id(0).port(SECOND).queue_id(1);
    named(&refused(&network, halves), &[SECOND]);
}

#[test]
fn unequal_frame_sizes() {
    let network = network(1);
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network).filter(Filter::Everything);
    let larger = Config { frame_size: 4096, ..Config::new(SECOND) };
    let error = refused(&network, builder.port_config(larger));
    assert_eq!(error.kind(), ErrorKind::Config);
    named(&error, &[SECOND, "4096", PORTS[0], "2048"]);
}

#[test]
fn a_queue_that_the_second_port_does_not_have() {
    let network = network(2);
    for queues in [Queues::Only(vec![2]), Queues::Only(vec![0, 7])] {
        let error = refused(&network, both(&network).queues(queues));
        assert_eq!(error.kind(), ErrorKind::Config);
        named(&error, &[SECOND, "2 queues"]);
    }
}

#[test]
fn a_queue_that_is_named_twice_or_none_at_all() {
    let network = network(2);
    let error = refused(&network, both(&network).queues(Queues::Only(vec![1, 0, 1])));
    named(&error, &[SECOND, "queue 1 twice"]);
    let error = refused(&network, both(&network).queues(Queues::Only(Vec::new())));
    named(&error, &[SECOND, "no queue"]);
}

#[test]
fn zero_copy_for_one_port_and_copy_for_the_other() {
    let network = network(1);
    let one = [(BindMode::Copy, BindMode::ZeroCopy), (BindMode::ZeroCopy, BindMode::Copy)];
    for (first, second) in one {
        let builder = FluxBuilder::new(PORTS[0]).simulator(&network).bind(first);
        let error = refused(&network, builder.port(SECOND).bind(second));
        assert_eq!(error.kind(), ErrorKind::Config);
        named(&error, &[SECOND, &second.to_string(), PORTS[0], &first.to_string()]);
    }
}

#[test]
fn zero_copy_where_one_port_has_none() {
    for without in PORTS {
        let network = network(2);
        network.set_troubles(without, Trouble::NoZeroCopy.into()).unwrap();
        let all = FluxBuilder::new(PORTS[0]).simulator(&network).bind(BindMode::ZeroCopy);
        let error = refused(&network, all.port(SECOND));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        named(&error, &[without]);
        // Automatic: copy mode for all, and a note that says why.
        let engine = both(&network).build_engine().unwrap();
        assert!(engine.ports().iter().all(|port| !port.granted().zero_copy));
        let notes: Vec<_> = engine.ports().iter().flat_map(|p| &p.granted().notes).collect();
        assert!(notes.iter().any(|note| note.contains(without)), "{notes:?}");
    }
}

#[test]
fn zero_copy_asked_for_one_port_is_for_all() {
    let network = network(1);
    let builder = FluxBuilder::new(PORTS[0]).simulator(&network);
    let engine = builder.port(SECOND).bind(BindMode::ZeroCopy).build_engine().unwrap();
    assert!(engine.ports().iter().all(|port| port.granted().zero_copy));
}

#[test]
fn too_few_frames_for_all_queues() {
    let network = network(16);
    let error = refused(&network, both(&network).frames(32));
    assert_eq!(error.kind(), ErrorKind::Config);
    named(&error, &["32 frames", PORTS[0], SECOND, "32 queues"]);
    let error = refused(&network, both(&network).frames(64).rx_frames(8));
    named(&error, &["64 frames", PORTS[0], SECOND, "32 queues"]);
    assert!(both(&network).frames(64).build_engine().is_ok(), "one each");
}

#[test]
fn more_workers_than_a_port_has_queues() {
    let network = network(4);
    let narrow = || both(&network).queues(Queues::Only(vec![0, 3]));
    for workers in [3, 4, 5] {
        let error = refused_by(&network, || {
            narrow().build_engine().unwrap().into_workers(workers, |_| ()).err()
        });
        named(&error, &[&format!("{workers} workers"), SECOND, "2 queues"]);
        let error = refused_by(&network, || narrow().build_system_workers(workers).err());
        named(&error, &[&format!("{workers} workers"), SECOND, "2 queues"]);
    }
    assert!(narrow().build_system_workers(2).is_ok());
    let error =
        refused_by(&network, || narrow().build_engine().unwrap().into_workers(0, |_| ()).err());
    named(&error, &["0 workers"]);
}

#[test]
fn unequal_queue_counts_give_each_worker_queues_of_every_port() {
    let network = network(4);
    let engine = both(&network).queues(Queues::Only(vec![0, 3])).build_engine().unwrap();
    let numbers: Vec<Vec<(usize, u32)>> = engine
        .into_workers(2, |_| ())
        .unwrap()
        .workers()
        .iter()
        .map(|worker| {
            let ports = worker.engine.ports().iter();
            let of =
                |port: &fluxnet::Port, queue| Some((port.index().get(), port.queue_number(queue)?));
            let positions = worker.engine.positions();
            ports.flat_map(|port| positions.iter().filter_map(|&q| of(port, q))).collect()
        })
        .collect();
    assert_eq!(numbers, [vec![(0, 0), (0, 2), (1, 0)], vec![(0, 1), (0, 3), (1, 3)]]);
}

#[test]
fn an_interface_that_is_not_there() {
    let network = network(1);
    let error = both(&network).port("eth9").build_engine().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Device);
    named(&error, &["eth9", "a0, b0, a1, b1"]);
}
