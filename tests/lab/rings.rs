//! Samples of a program that is not ours, by each source of the library, on the real kernel.

use crate::foreign::{COMM, Foreign, State};
use crate::lab::{Lab, OURS, PEER};
use fluxnet::ErrorKind;
use fluxnet::error::Result;
use fluxnet::snapshot::Source;
use fluxnet::tools::Control;
use fluxnet::tools::rings::{
    Event, InterfaceKey, InterfaceSnapshot, KernelObserver, Look, Observer, Plan, RingSample,
    Sample, Selection, run,
};
use std::time::Duration;

const OVER: Duration = Duration::from_secs(2);

/// An observer that asks the program for its own view right after each look.
struct Beside<'a> {
    kernel: KernelObserver,
    owner: &'a mut Foreign,
    states: Vec<State>,
}

impl Observer for Beside<'_> {
    fn source(&self) -> Source {
        self.kernel.source()
    }

    fn notes(&self) -> Vec<String> {
        self.kernel.notes()
    }

    fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        self.kernel.find(name)
    }

    fn sockets(&mut self) -> Result<Look> {
        let look = self.kernel.sockets();
        self.states.push(self.owner.stats());
        look
    }

    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
        self.kernel.interface(key)
    }

    fn pause(&mut self, time: Duration) -> Result<()> {
        self.kernel.pause(time)
    }
}

/// One sample of the sockets on our end, the notes before it, and what the program said meanwhile.
fn sample(
    source: Source,
    over: Duration,
    owner: &mut Foreign,
) -> (Sample, Vec<String>, Vec<State>) {
    let select = Selection { interface: Some(OURS.into()), ..Selection::default() };
    let plan = Plan { select, over, every: None, count: Some(1) };
    let kernel = KernelObserver::open(Some(source)).expect("the source works here");
    let mut observer = Beside { kernel, owner, states: Vec::new() };
    let (mut samples, mut notes) = (Vec::new(), Vec::new());
    let mut tell = |event| match event {
        Event::Sample(sample) => samples.push(*sample),
        Event::Note(note) => notes.push(note),
    };
    run(&plan, &mut observer, &Control::default(), &mut tell).expect("a sample");
    assert_eq!(samples.len(), 1);
    (samples.remove(0), notes, observer.states)
}

/// Per second, by the program's own counters.
fn rate(before: &State, after: &State, count: &str) -> f64 {
    let ns = after.count("time_ns") - before.count("time_ns");
    (after.count(count) - before.count(count)) as f64 * 1e9 / ns as f64
}

fn within_two_percent(seen: &RingSample, told: f64) {
    let ratio = seen.per_s.expect("a rate") / told;
    assert!((0.98..=1.02).contains(&ratio), "{seen:?}: the owner says {told}");
}

fn a_foreign_program_under_load(source: Source) {
    let Some(lab) = Lab::veth(2) else { return };
    let sizes = ["rx=512", "tx=1024", "fill=2048", "comp=4096"];
    let options = [&["mode=drop", "queue=1"], &sizes[..]].concat();
    let mut owner = Foreign::start(OURS, &options);
    let sends = ["mode=tx", "attach=0", "rx=0", "queue=1", "pps=100000"];
    let _sender = lab.in_peer(|| Foreign::start(PEER, &sends));
    let (sample, _, states) = sample(source, OVER, &mut owner);
    let [before, .., after] = &states[..] else { panic!("{states:?}") };

    assert_eq!(sample.source, source.name());
    let [socket] = &sample.sockets[..] else { panic!("{sample:#?}") };
    assert_eq!((socket.pid, socket.fd), (Some(owner.pid()), Some(owner.fd())));
    assert_eq!(socket.comm.as_deref(), Some(COMM));
    assert_eq!((socket.ifname.as_deref(), socket.queue), (Some(OURS), Some(1)));
    assert_eq!((socket.state, socket.zero_copy), ("bound", Some(false)));
    let rings = &socket.rings;
    let rings = [&rings.rx, &rings.tx, &rings.fill, &rings.comp].map(|ring| ring.as_ref().unwrap());
    assert_eq!(rings.map(|ring| ring.size), [512, 1024, 2048, 4096].map(Some));
    let [rx, tx, fill, comp] = rings;
    within_two_percent(rx, rate(before, after, "received"));
    within_two_percent(fill, rate(before, after, "refilled"));
    assert_eq!((tx.per_s, comp.per_s), (Some(0.0), Some(0.0)));
    assert!(rx.used <= Some(512) && fill.used <= Some(2048), "{rings:?}");
    let [interface] = &sample.interfaces[..] else { panic!("{sample:#?}") };
    assert_eq!((interface.ifname.as_str(), interface.queues), (OURS, Some(2)));
}

#[test]
fn by_the_iterator_a_foreign_program_is_seen_as_it_sees_itself() {
    a_foreign_program_under_load(Source::Iter);
}

#[test]
fn by_pidfd_a_foreign_program_is_seen_as_it_sees_itself() {
    a_foreign_program_under_load(Source::Pidfd);
}

#[test]
fn a_program_that_does_nothing_is_found_by_both_sources() {
    let Some(_lab) = Lab::veth(2) else { return };
    let mut owner = Foreign::start(OURS, &["mode=quiet", "queue=1"]);
    for source in [Source::Iter, Source::Pidfd] {
        let (sample, notes, _) = sample(source, Duration::ZERO, &mut owner);
        let [socket] = &sample.sockets[..] else { panic!("{sample:#?}") };
        assert_eq!((socket.pid, socket.queue), (Some(owner.pid()), Some(1)), "{source:?}");
        // Nobody asked for the best source.
        assert_eq!(notes, [""; 0]);
    }
}

#[test]
fn a_source_that_this_kernel_lacks_is_an_error_that_names_the_option() {
    match KernelObserver::open(Some(Source::Diag)) {
        Ok(mut observer) => {
            assert_eq!(observer.source(), Source::Diag);
            observer.sockets().expect("it was asked before");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("CONFIG_XDP_SOCKETS_DIAG"), "{error}");
        }
    }
    let error = KernelObserver::open(Some(Source::Sim)).err().expect("not a source of the kernel");
    assert_eq!(error.kind(), ErrorKind::Config);
}
