//! Samples of a program that is not ours, by each source of the library, on the real kernel.
//!
//! Nothing here goes by time: between two looks of the library the test takes the program and
//! its sender one step further, and waits until the program itself says that it is done.

use crate::foreign::{COMM, Foreign, State};
use crate::lab::{Lab, OURS, PEER};
use fluxnet::ErrorKind;
use fluxnet::error::Result;
use fluxnet::snapshot::{SocketSnapshot, Source};
use fluxnet::tools::Control;
use fluxnet::tools::rings::{
    Clock, Event, InterfaceKey, InterfaceSnapshot, KernelObserver, Observer, Plan, Sample, Sampler,
    Scan, Selection, SocketSample, run,
};
use fluxnet::tools::session::Trouble;
use std::time::Duration;

/// What happens between two looks.
type Step<'a> = &'a mut dyn FnMut(&mut Foreign);

/// An observer that asks the program for its own view right before and after each look, and in
/// whose pauses a step is taken.
struct Beside<'a> {
    kernel: KernelObserver,
    owner: &'a mut Foreign,
    step: Step<'a>,
    seen: Vec<Seen>,
}

/// A look, between what the program said before and after it.
struct Seen {
    before: State,
    sockets: Vec<SocketSnapshot>,
    after: State,
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

    fn sockets(&mut self) -> Result<Scan> {
        let before = self.owner.stats();
        let look = self.kernel.sockets()?;
        let (sockets, after) = (look.sockets.clone(), self.owner.stats());
        self.seen.push(Seen { before, sockets, after });
        Ok(look)
    }

    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
        self.kernel.interface(key)
    }

    fn clock(&self) -> Clock {
        Clock::Virtual
    }

    fn advance(&mut self, _time: Duration) -> Result<()> {
        (self.step)(self.owner);
        Ok(())
    }
}

/// One sample of the sockets on our end, the notes before it, and what it was made of.
fn sample(
    source: Source,
    over: Duration,
    owner: &mut Foreign,
    step: Step<'_>,
) -> (Sample, Vec<String>, Vec<Seen>) {
    let select = Selection { interface: Some(OURS.into()), ..Selection::default() };
    let plan = Plan { select, over, every: None, count: Some(1), watched: false };
    let kernel = KernelObserver::open(Some(source)).expect("the source works here");
    let mut observer = Beside { kernel, owner, step, seen: Vec::new() };
    let (mut samples, mut notes) = (Vec::new(), Vec::new());
    let mut tell = |event| match event {
        Event::Sample(sample) => samples.push(*sample),
        Event::Note { text } => notes.push(text),
    };
    let mut sampler = Sampler::new(&mut observer, &plan.select).expect("the interface is there");
    run(&plan, &mut sampler, &Control::default(), &mut tell).expect("a sample");
    assert_eq!(samples.len(), 1);
    (samples.remove(0), notes, observer.seen)
}

/// With pauses in which the step is taken, however long that is.
const STEPS: Duration = Duration::from_nanos(5);

fn only_socket(sample: &Sample) -> &SocketSample {
    let [socket] = &sample.sockets[..] else { panic!("{sample:#?}") };
    socket
}

/// The program's socket in each look, which shows the rings as they were between what the program
/// said before and after it.
fn assert_as_it_sees_itself(seen: &[Seen], owner: &Foreign) -> Vec<SocketSnapshot> {
    let of = |look: &Seen| {
        let owned = |s: &&SocketSnapshot| s.owners.iter().any(|o| o.pid == owner.pid());
        let socket = look.sockets.iter().find(owned).expect("its socket");
        let rings = [socket.rx, socket.tx, socket.fill, socket.comp];
        for (name, ring) in ["rx", "tx", "fill", "comp"].into_iter().zip(rings) {
            let ring = ring.expect("it has all four");
            for (field, index) in [("producer", ring.producer), ("consumer", ring.consumer)] {
                look.before.assert_read_before(&look.after, name, field, index.unwrap());
            }
        }
        let times = look.before.count("time_ns")..=look.after.count("time_ns");
        assert!(times.contains(&socket.time_ns), "{times:?} {}", socket.time_ns);
        socket.clone()
    };
    seen.iter().map(of).collect()
}

fn a_foreign_program_under_load(source: Source) {
    let Some(lab) = Lab::veth(2) else { return };
    let sizes = ["rx=512", "tx=1024", "fill=2048", "comp=4096"];
    let options = [&["mode=drop", "queue=1"], &sizes[..]].concat();
    let mut owner = Foreign::start(OURS, &options);
    let sends = ["mode=tx", "attach=0", "rx=0", "queue=1", "pps=100000"];
    let _sender = lab.in_peer(|| Foreign::start(PEER, &sends));
    let mut more = |owner: &mut Foreign| {
        let before = owner.stats();
        owner.wait_for_more(&before, "received", 1000);
    };
    let (sample, _, seen) = sample(source, STEPS, &mut owner, &mut more);

    assert_eq!(sample.scanned_by, source.name());
    let socket = only_socket(&sample);
    assert_eq!((socket.pid, socket.fd), (Some(owner.pid()), Some(owner.fd())));
    assert_eq!(socket.comm.as_deref(), Some(COMM));
    assert_eq!((socket.interface.as_deref(), socket.queue), (Some(OURS), Some(1)));
    assert_eq!((socket.state, socket.zero_copy), ("bound", Some(false)));
    let rings = &socket.rings;
    let rings = [&rings.rx, &rings.tx, &rings.fill, &rings.comp].map(|ring| ring.as_ref().unwrap());
    assert_eq!(rings.map(|ring| ring.size), [512, 1024, 2048, 4096].map(Some));
    let [rx, tx, fill, comp] = rings;
    let looks = assert_as_it_sees_itself(&seen, &owner);
    let [first, .., last] = &looks[..] else { panic!("{looks:?}") };
    let seconds = (last.time_ns - first.time_ns) as f64 / 1e9;
    let between = [(rx, first.rx, last.rx), (fill, first.fill, last.fill)];
    for (sampled, first, last) in between {
        let entries =
            last.unwrap().consumer.unwrap().wrapping_sub(first.unwrap().consumer.unwrap());
        let rate = f64::from(entries) / seconds;
        // Five times 1000, but for what is on its way.
        assert!(entries >= 4000, "{entries}");
        assert!((sampled.per_s.unwrap() / rate - 1.0).abs() < 1e-9, "{sampled:?} {rate}");
    }
    assert_eq!((tx.per_s, comp.per_s), (Some(0.0), Some(0.0)));
    assert!(rx.used <= Some(512) && fill.used <= Some(2048), "{rings:?}");
    let [interface] = &sample.interfaces[..] else { panic!("{sample:#?}") };
    assert_eq!((interface.interface.as_str(), interface.rx_queues), (OURS, Some(2)));
}

#[test]
fn by_the_iterator_a_foreign_program_is_seen_as_it_sees_itself() {
    a_foreign_program_under_load(Source::Iter);
}

#[test]
fn by_pidfd_a_foreign_program_is_seen_as_it_sees_itself() {
    a_foreign_program_under_load(Source::Pidfd);
}

/// Sends frames to a program, until it has counted `more` of them as that. A step of 256
/// at the most: a veth keeps no more for a receiver that comes late.
fn send(owner: &mut Foreign, peer: &mut Foreign, frames: u64, (count, more): (&str, u64)) {
    let before = owner.stats();
    peer.tell(&format!("send {frames}"));
    owner.wait_for_more(&before, count, more);
}

/// What is said about a program to which frames are sent between two looks.
fn said(
    owner: &mut Foreign,
    peer: &mut Foreign,
    frames: u64,
    counted: (&str, u64),
) -> Vec<Trouble> {
    let mut step = |owner: &mut Foreign| send(owner, peer, frames, counted);
    let (sample, ..) = sample(Source::Iter, STEPS, owner, &mut step);
    only_socket(&sample).diagnosis.iter().map(|diagnosis| diagnosis.kind).collect()
}

#[test]
fn step_by_step_each_trouble_gets_its_name_and_a_healthy_run_none() {
    let Some(lab) = Lab::veth(1) else { return };
    let mut peer = lab.in_peer(|| Foreign::start(PEER, &["mode=quiet", "rx=0", "attach=0"]));
    let peer = &mut peer;
    let mut owner = Foreign::start(OURS, &["mode=drop"]);
    assert_eq!(said(&mut owner, peer, 200, ("received", 200)), []);
    owner.tell("leak 2");
    assert_eq!(said(&mut owner, peer, 200, ("lost", 100)), [Trouble::Leak]);
    owner.kill();

    // The RX ring is the bottleneck until its owner comes back.
    let mut owner = Foreign::start(OURS, &["mode=noread", "rx=64"]);
    send(&mut owner, peer, 200, ("rx_ring_full", 100));
    assert_eq!(said(&mut owner, peer, 100, ("rx_ring_full", 100)), [Trouble::SlowApplication]);
    owner.tell("drop");
    owner.wait("all is read", |state| state.count("received") >= 64);
    assert_eq!(said(&mut owner, peer, 40, ("received", 40)), []);
    owner.kill();

    // The RX ring takes all frames and has room for more: the fill ring runs empty.
    let few = ["mode=noread", "frames=64", "rxframes=64", "fill=64", "rx=128"];
    let mut owner = Foreign::start(OURS, &few);
    send(&mut owner, peer, 200, ("rx_dropped", 100));
    assert_eq!(said(&mut owner, peer, 100, ("rx_dropped", 100)), [Trouble::SlowApplication]);
    owner.kill();

    // It reads and keeps them all.
    let mut owner = Foreign::start(OURS, &["mode=norefill", "fill=64"]);
    send(&mut owner, peer, 200, ("rx_dropped", 100));
    owner.wait("all is read", |state| state.count("received") >= 64);
    assert_eq!(said(&mut owner, peer, 100, ("rx_dropped", 100)), [Trouble::Starved, Trouble::Leak]);
}

#[test]
fn a_program_that_does_nothing_is_found_by_both_sources() {
    let Some(_lab) = Lab::veth(2) else { return };
    let mut owner = Foreign::start(OURS, &["mode=quiet", "queue=1"]);
    for source in [Source::Iter, Source::Pidfd] {
        let (sample, notes, _) = sample(source, Duration::ZERO, &mut owner, &mut |_| ());
        let socket = only_socket(&sample);
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
