use super::*;
use crate::packet::Packets;
use crate::simulator::{End, NetworkBuilder, Profile};
use crate::system::{FluxRx, FluxTx};
use crate::{Config, Filter, FluxBuilder, Queues};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts down, and ends as it is told to.
struct Countdown {
    left: u32,
    end: fn() -> Result<Progress>,
}

impl Turn for Countdown {
    fn turn(&mut self, _: Duration) -> Result<Progress> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(Progress::Worked)
            }
            None => (self.end)(),
        }
    }
}

fn done(left: u32) -> Countdown {
    Countdown { left, end: || Ok(Progress::Done) }
}

fn endless() -> Countdown {
    Countdown { left: 0, end: || Ok(Progress::Idle { until_ns: None }) }
}

/// The same on threads and in virtual time.
fn both(check: impl Fn(&Place<'_>)) {
    check(&Place::Threads { cpus: &[0] });
    check(&Place::InTurn(&Simulator::crossed_pair(1)));
}

#[test]
fn a_run_is_over_when_all_are_done() {
    both(|place| {
        let mut workers = [done(3), done(1000), done(0)];
        run(&mut workers, &Control::default(), place).unwrap();
        assert!(workers.iter().all(|worker| worker.left == 0));
        run::<Countdown>(&mut [], &Control::default(), place).unwrap();
    });
}

#[test]
fn who_asks_for_the_end_gets_it() {
    both(|place| {
        let control = Arc::new(Control::default());
        struct Asks(Arc<Control>, u32);
        impl Turn for Asks {
            fn turn(&mut self, _: Duration) -> Result<Progress> {
                self.1 += 1;
                if self.1 == 10 {
                    self.0.stop();
                }
                Ok(Progress::Worked)
            }
        }
        let mut workers = [Asks(Arc::clone(&control), 0), Asks(Arc::clone(&control), 1_000_000)];
        run(&mut workers, &control, place).unwrap();
        assert!(workers[0].1 >= 10);
    });
}

#[test]
fn one_that_fails_ends_the_others_with_its_error() {
    both(|place| {
        let fails = || Err(FluxError::config("the wire", "is cut"));
        let mut workers = [endless(), Countdown { left: 5, end: fails }, endless()];
        let error = run(&mut workers, &Control::default(), place).unwrap_err();
        assert_eq!(error.to_string(), "the wire: is cut");
    });
}

#[test]
fn one_that_panics_ends_the_others_and_is_named() {
    both(|place| {
        let mut workers = [endless(), Countdown { left: 5, end: || panic!("no {}", "way") }];
        let error = run(&mut workers, &Control::default(), place).unwrap_err();
        assert_eq!(error.to_string(), "worker 1 ended by a bug: no way");
    });
}

#[test]
fn virtual_time_goes_to_what_the_first_of_them_waits_for() {
    let simulator = Simulator::crossed_pair(1);
    /// Waits for a time, and notes when it came.
    struct Waits {
        clock: Simulator,
        until: u64,
        came: u64,
    }
    impl Turn for Waits {
        fn turn(&mut self, wait: Duration) -> Result<Progress> {
            assert_eq!(wait, Duration::ZERO);
            self.came = self.clock.now();
            if self.came >= self.until {
                return Ok(Progress::Done);
            }
            Ok(Progress::Idle { until_ns: Some(self.until) })
        }
    }
    let start = simulator.now();
    let wait = |ms: u64| Waits { clock: simulator.clone(), until: start + ms * 1_000_000, came: 0 };
    let mut workers = [wait(25), wait(3), wait(0), wait(4)];
    run(&mut workers, &Control::default(), &Place::simulated(&simulator)).unwrap();
    for worker in workers {
        assert_eq!(worker.came, worker.until, "at its time, and not past it for another's sake");
    }
}

/// Sends back what comes, until `total` packets have come to all workers.
struct Echo<'t> {
    rx: FluxRx,
    tx: FluxTx,
    packets: Packets,
    total: u64,
    seen: &'t AtomicU64,
    count: u64,
}

impl Turn for Echo<'_> {
    fn turn(&mut self, wait: Duration) -> Result<Progress> {
        let until = self.rx.now().saturating_add(wait.as_nanos() as u64);
        let n = self.rx.recv_batch(&mut self.packets, Some(until))? as u64;
        if n > 0 {
            self.tx.send_batch(&mut self.packets)?;
            self.tx.flush()?;
            self.count += n;
            self.seen.fetch_add(n, Ordering::Relaxed);
            return Ok(Progress::Worked);
        }
        let all = self.seen.load(Ordering::Relaxed) >= self.total;
        Ok(if all { Progress::Done } else { Progress::Idle { until_ns: None } })
    }
}

/// What each of two workers, one a pair of ports, received and sent back of a number of packets.
fn echoed(realtime: bool, packets: [u32; 2]) -> Vec<(u64, usize)> {
    let mut net = NetworkBuilder::new(0);
    for port in ["a0", "a1"] {
        let (us, peer) = (net.port(port, 1), net.silent_host());
        net.link(End::new(us), End::new(peer), Profile::default());
    }
    if realtime {
        net.realtime();
    }
    let network = net.build().unwrap();
    let (seen, total) = (AtomicU64::new(0), u64::from(packets[0] + packets[1]));
    let mut workers: Vec<_> = ["a0", "a1"]
        .iter()
        .map(|port| {
            let config = Config { queues: Queues::Only(vec![0]), ..Config::new(*port) };
            let builder = FluxBuilder::from_config(config).simulator(&network);
            let (rx, tx) = builder.filter(Filter::Everything).build_system().unwrap();
            Echo { rx, tx, packets: Packets::new(), total, seen: &seen, count: 0 }
        })
        .collect();
    for (port, count) in ["a0", "a1"].iter().zip(packets) {
        network.tap(port).unwrap();
        (0..count).for_each(|n| network.inject(port, Some(0), &[n as u8; 60]).unwrap());
    }
    run(&mut workers, &Control::default(), &Place::simulated(&network)).unwrap();
    let counts = workers.iter().map(|worker| worker.count);
    counts.zip(["a0", "a1"]).map(|(count, port)| (count, network.sent(port).len())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn threads_and_turns_count_the_same(packets in [1_u32..200, 1_u32..200]) {
        let want: Vec<_> = packets.iter().map(|&n| (u64::from(n), n as usize)).collect();
        prop_assert_eq!(echoed(false, packets), want.clone());
        prop_assert_eq!(echoed(true, packets), want);
    }
}
