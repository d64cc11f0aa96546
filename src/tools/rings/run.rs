//! A run of `flux rings`: looks and pauses as planned, a sample out of what changed.

use super::history::FIRST_LOOKS;
use super::observe::Clock;
use super::sample::Sample;
use super::sampler::Sampler;
use super::select::Selection;
use crate::error::Result;
use crate::tools::Control;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Longest step of a simulated machine that runs beside the clock: a key or a signal may come.
const STEP: Duration = Duration::from_millis(100);

/// What to show, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which sockets.
    pub select: Selection,
    /// Time over which a first sample's rates are taken; zero: one look, no rates and no
    /// diagnosis.
    pub over: Duration,
    /// Time from one sample to the next; `None`: one sample.
    pub every: Option<Duration>,
    /// Samples; `None`: until stopped.
    pub count: Option<u64>,
    /// Whether virtual time passes no faster than the clock, for somebody to watch.
    pub watched: bool,
}

/// What a run reports.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Something the user should know once: why a better source is not used, an owner that went.
    Note {
        /// In words.
        text: String,
    },
    /// One sample.
    Sample(Box<Sample>),
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Samples told.
    pub samples: u64,
    /// Most sockets in one of them.
    pub sockets: usize,
    /// Why the last look may have missed sockets that were asked for, in words.
    pub doubts: Vec<String>,
}

/// Takes samples from `sampler` as `plan` says, until it is done or `control` says stop.
///
/// # Errors
/// When the kernel refuses to show its sockets.
pub fn run(
    plan: &Plan,
    sampler: &mut Sampler<'_>,
    control: &Control,
    tell: &mut dyn FnMut(Event),
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut looks = if plan.over.is_zero() { 1 } else { FIRST_LOOKS };
    loop {
        for left in (0..looks).rev() {
            sampler.look()?;
            sampler.notes().into_iter().for_each(|text| tell(Event::Note { text }));
            // After a stop it looks once more, so that the sample has rates.
            if left == 0 || control.is_stopped() {
                break;
            }
            pass(plan.over / (FIRST_LOOKS as u32 - 1), plan, sampler, control)?;
        }
        outcome.doubts = sampler.doubts();
        if let Some(sample) = sampler.sample() {
            outcome.samples += 1;
            outcome.sockets = outcome.sockets.max(sample.sockets.len());
            tell(Event::Sample(Box::new(sample)));
        }
        let done = plan.count.is_some_and(|count| outcome.samples >= count);
        let Some(every) = plan.every.filter(|_| !done) else { return Ok(outcome) };
        looks = 1;
        pass(every, plan, sampler, control)?;
        if control.is_stopped() {
            return Ok(outcome);
        }
    }
}

/// Lets `time` pass on the machine, less when `control` says stop.
fn pass(time: Duration, plan: &Plan, sampler: &mut Sampler<'_>, control: &Control) -> Result<()> {
    let clock = sampler.clock();
    if clock == Clock::Virtual && !plan.watched {
        return sampler.advance(time, control);
    }
    let longest = if clock == Clock::Machine { time } else { STEP };
    let mut left = time;
    while !left.is_zero() && !control.is_stopped() {
        let (start, step, seen) = (Instant::now(), left.min(longest), control.asked());
        sampler.advance(step, control)?;
        control.wait(seen, step.saturating_sub(start.elapsed()));
        // A simulated machine has made the whole step; we may have been woken before its end.
        let passed = if clock == Clock::Machine { start.elapsed() } else { step };
        left = left.saturating_sub(passed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, FluxError};
    use crate::ring::RingSnapshot;
    use crate::snapshot::{Owner, SocketSnapshot, SocketState, Source};
    use crate::tools::rings::observe::{InterfaceKey, InterfaceSnapshot, Observer, Scan};

    const HERE: InterfaceKey = InterfaceKey { netns: Some(1), ifindex: 2 };

    /// A machine where time is what `pause` adds up to. The application of pid 10 receives 1000
    /// packets a second on queue 0 of eth0; that of pid 11 on queue 1 ends after 1.2 s.
    struct Machine {
        now_ns: u64,
        paused: Vec<Duration>,
    }

    impl Observer for Machine {
        fn source(&self) -> Source {
            Source::Iter
        }

        fn notes(&self) -> Vec<String> {
            vec!["a note".into()]
        }

        fn find(&mut self, name: &str) -> Result<InterfaceKey> {
            let none = || FluxError::new(ErrorKind::Device, format!("cannot find {name}"), "none");
            (name == "eth0").then_some(HERE).ok_or_else(none)
        }

        fn sockets(&mut self) -> Result<Scan> {
            let count = (self.now_ns / 1_000_000) as u32;
            let one = |inode, pid, netns, queue| SocketSnapshot {
                inode: Some(inode),
                owners: vec![Owner { pid, fd: 4, comm: "app".into() }],
                netns: Some(netns),
                interface: Some("eth0".into()),
                ifindex: Some(2),
                queue: Some(queue),
                state: SocketState::Bound,
                rx: Some(RingSnapshot {
                    size: Some(2048),
                    producer: Some(count.wrapping_sub(100)),
                    consumer: Some(count.wrapping_sub(103)),
                    ..RingSnapshot::default()
                }),
                ..SocketSnapshot::unknown(self.now_ns)
            };
            let mut sockets = vec![one(1, 10, 1, 0), one(3, 12, 9, 0)];
            if self.now_ns < 1_200_000_000 {
                sockets.push(one(2, 11, 1, 1));
            }
            Ok(Scan { time_ns: self.now_ns, sockets, missing: Vec::new() })
        }

        fn interface(&mut self, _key: InterfaceKey) -> Option<InterfaceSnapshot> {
            None
        }

        fn clock(&self) -> Clock {
            Clock::Virtual
        }

        fn advance(&mut self, time: Duration) -> Result<()> {
            self.now_ns += time.as_nanos() as u64;
            self.paused.push(time);
            Ok(())
        }
    }

    /// A machine in whose third step, say, a stop is asked for.
    struct StopAfter<'a> {
        machine: &'a mut Machine,
        control: &'a Control,
        steps: usize,
    }

    impl Observer for StopAfter<'_> {
        fn source(&self) -> Source {
            self.machine.source()
        }

        fn notes(&self) -> Vec<String> {
            self.machine.notes()
        }

        fn find(&mut self, name: &str) -> Result<InterfaceKey> {
            self.machine.find(name)
        }

        fn sockets(&mut self) -> Result<Scan> {
            self.machine.sockets()
        }

        fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
            self.machine.interface(key)
        }

        fn clock(&self) -> Clock {
            self.machine.clock()
        }

        fn advance(&mut self, time: Duration) -> Result<()> {
            self.machine.advance(time)?;
            if self.machine.paused.len() == self.steps {
                self.control.stop();
            }
            Ok(())
        }
    }

    fn plan(interface: &str) -> Plan {
        Plan {
            select: Selection { interface: Some(interface.into()), ..Selection::default() },
            over: Duration::from_millis(500),
            every: None,
            count: None,
            watched: false,
        }
    }

    fn go(plan: &Plan) -> (Result<Outcome>, Vec<Sample>, Vec<String>, Vec<Duration>) {
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let (mut samples, mut notes) = (Vec::new(), Vec::new());
        let outcome = Sampler::new(&mut machine, &plan.select).and_then(|mut sampler| {
            run(plan, &mut sampler, &Control::default(), &mut |event| match event {
                Event::Sample(sample) => samples.push(*sample),
                Event::Note { text } => notes.push(text),
            })
        });
        (outcome, samples, notes, machine.paused)
    }

    fn pids(sample: &Sample) -> Vec<u32> {
        sample.sockets.iter().filter_map(|socket| socket.pid).collect()
    }

    #[test]
    fn one_sample_is_made_of_looks_over_the_time_that_was_asked_for() {
        let (outcome, samples, notes, paused) = go(&plan("eth0"));
        assert_eq!(outcome.unwrap(), Outcome { samples: 1, sockets: 2, doubts: Vec::new() });
        assert_eq!(paused, [Duration::from_millis(100); 5]);
        assert_eq!(notes, ["a note"]);
        let rx = samples[0].sockets[0].rings.rx.as_ref().unwrap();
        assert_eq!((rx.per_s, rx.used, samples[0].elapsed_s), (Some(1000.0), Some(3), Some(0.5)));
        // The third socket is bound to the interface of that number in another namespace.
        assert_eq!(pids(&samples[0]), [10, 11]);
    }

    #[test]
    fn a_single_look_has_no_rates() {
        let (_, samples, _, paused) = go(&Plan { over: Duration::ZERO, ..plan("eth0") });
        assert_eq!(paused, []);
        assert_eq!(samples[0].elapsed_s, None);
        assert_eq!(samples[0].sockets[0].rings.rx.as_ref().unwrap().per_s, None);
    }

    #[test]
    fn watching_goes_on_at_its_pace_and_tells_who_went() {
        let every = Some(Duration::from_secs(1));
        let (outcome, samples, notes, paused) = go(&Plan { every, count: Some(3), ..plan("eth0") });
        assert_eq!(outcome.unwrap(), Outcome { samples: 3, sockets: 2, doubts: Vec::new() });
        assert_eq!(paused[5..].iter().sum::<Duration>(), Duration::from_secs(2));
        assert_eq!(
            samples.iter().map(|s| s.elapsed_s).collect::<Vec<_>>(),
            [Some(0.5), Some(1.0), Some(1.0)]
        );
        assert_eq!(pids(&samples[2]), [10]);
        assert_eq!(notes[1..], ["the socket of app (pid 11, fd 4) on eth0 queue 1 is gone"]);
    }

    #[test]
    fn sockets_are_chosen_by_interface_process_and_queue() {
        let all = Selection::default();
        let chosen = |select: Selection| pids(&go(&Plan { select, ..plan("eth0") }).1[0]);
        assert_eq!(chosen(all.clone()), [10, 11, 12]);
        assert_eq!(chosen(Selection { pid: Some(11), ..all.clone() }), [11]);
        assert_eq!(chosen(Selection { queues: vec![0], ..all.clone() }), [10, 12]);
        assert_eq!(chosen(Selection { pid: Some(11), queues: vec![0], ..all }), [0; 0]);
    }

    #[test]
    fn a_stop_ends_a_pause_that_has_an_hour_to_go_and_what_was_seen_is_a_sample() {
        let hour = Duration::from_secs(3600);
        let plan = Plan { over: hour, every: Some(hour), watched: true, ..plan("eth0") };
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let mut sampler = Sampler::new(&mut machine, &plan.select).unwrap();
        let (control, mut told) = (Control::default(), Vec::new());
        std::thread::scope(|scope| {
            let stops = scope.spawn(|| control.stop());
            let outcome = run(&plan, &mut sampler, &control, &mut |event| told.push(event));
            stops.join().unwrap();
            assert_eq!(outcome.unwrap().samples, 1);
        });
        assert!(told.iter().any(|event| matches!(event, Event::Sample(_))), "{told:?}");
        assert!(machine.paused.iter().all(|step| *step <= STEP), "{:?}", machine.paused);
    }

    #[test]
    fn a_stop_ends_virtual_time_that_nobody_watches() {
        let year = Duration::from_secs(365 * 86_400);
        let plan = Plan { over: year, every: Some(year), ..plan("eth0") };
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let mut sampler = Sampler::new(&mut machine, &plan.select).unwrap();
        let control = Control::default();
        control.stop();
        let outcome = run(&plan, &mut sampler, &control, &mut |_| ()).unwrap();
        assert_eq!((outcome.samples, machine.paused.len()), (1, 0));
    }

    #[test]
    fn after_a_stop_the_sample_has_the_rates_of_the_time_so_far() {
        let plan = Plan { over: Duration::from_secs(3600), ..plan("eth0") };
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let control = Control::default();
        let mut observer = StopAfter { machine: &mut machine, control: &control, steps: 3 };
        let mut sampler = Sampler::new(&mut observer, &plan.select).unwrap();
        let mut samples = Vec::new();
        let outcome = run(&plan, &mut sampler, &control, &mut |event| match event {
            Event::Sample(sample) => samples.push(*sample),
            Event::Note { .. } => {}
        });
        assert_eq!(outcome.unwrap().samples, 1);
        assert_eq!(machine.paused, [Duration::from_millis(100); 3]);
        let rx = samples[0].sockets[0].rings.rx.as_ref().unwrap();
        assert_eq!((samples[0].elapsed_s, rx.per_s), (Some(0.3), Some(1000.0)));
    }

    #[test]
    fn virtual_time_that_is_watched_passes_beside_the_clock() {
        let over = Duration::from_millis(50);
        let plan = Plan { over, watched: true, ..plan("eth0") };
        let mut machine = Machine { now_ns: 0, paused: Vec::new() };
        let mut sampler = Sampler::new(&mut machine, &plan.select).unwrap();
        let start = Instant::now();
        run(&plan, &mut sampler, &Control::default(), &mut |_| ()).unwrap();
        assert!(start.elapsed() >= over);
        assert_eq!(machine.paused.iter().sum::<Duration>(), over);
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let (outcome, samples, ..) = go(&plan("eth7"));
        assert_eq!(outcome.unwrap_err().to_string(), "cannot find eth7: none");
        assert_eq!(samples, []);
    }
}
