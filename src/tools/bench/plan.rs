//! What is to be measured: the axes, the settings they span, and the rules for both.

use crate::config::{Config, HugePages, Poller, Queues, keyword_enum};
use crate::error::{FluxError, Result};
use crate::simulator::SimSpec;
use serde::{Deserialize, Serialize};
use std::time::Duration;

keyword_enum! {
    /// What is done with the packets.
    #[derive(Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Workload, "workload" {
        /// Receive and drop.
        Rxdrop = "rxdrop",
        /// Send the same packet over and over.
        Txonly = "txonly",
        /// Receive, swap the Ethernet addresses, send back.
        L2fwd = "l2fwd",
        /// Receive on one interface, send by another over the same UMEM, change nothing.
        Forward = "forward",
        /// Receive at a low, steady rate; how long after its XDP stamp is a packet seen.
        Latency = "latency",
        /// Receive, parse all headers, drop.
        Parse = "parse",
    }
}

keyword_enum! {
    /// Which of the library's three modes does it.
    #[derive(Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Library, "mode" {
        /// `FluxRaw`: mode C.
        Raw = "raw",
        /// `FluxEngine`: mode A. It answers what it receives, so it has no txonly.
        Engine = "engine",
        /// `FluxRx` and `FluxTx`: mode B.
        System = "system",
    }
}

keyword_enum! {
    /// How it waits; `Poller` without its parameters.
    #[derive(Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Poll, "poll mode" {
        /// Spin.
        Busy = "busy",
        /// Spin for a while, then `poll(2)`.
        Adaptive = "adaptive",
        /// `poll(2)`.
        Syscall = "syscall",
    }
}

impl Poll {
    /// The library's poller of that name.
    #[must_use]
    pub fn poller(self) -> Poller {
        match self {
            Poll::Busy => Poller::Busy,
            Poll::Adaptive => Poller::ADAPTIVE,
            Poll::Syscall => Poller::Syscall,
        }
    }
}

/// Where it is measured.
#[derive(Clone, Debug)]
pub enum Place {
    /// A veth pair between two network namespaces of our own, with a traffic source; a second pair
    /// for workload forward.
    Lab,
    /// An interface of the user's; whoever is at its other end sends.
    Interface {
        /// Packets come in here.
        name: String,
        /// Workload forward sends by this one.
        out: Option<String>,
    },
    /// Simulated rings.
    Sim(SimSpec),
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What is done.
    pub workload: Workload,
    /// By which mode of the library.
    pub mode: Library,
    /// Packets per batch.
    pub batch: u32,
    /// How it waits.
    pub poll: Poll,
    /// Packet length in bytes, without the frame check sequence, which no ring ever sees.
    pub packet_size: u32,
    /// Queues, one thread each.
    pub queues: Queues,
    /// Which pages are asked for for the UMEM.
    pub hugepages: HugePages,
    /// Whether packet headers are prefetched.
    pub prefetch: bool,
}

/// Shortest packet: Ethernet's least, without frame check sequence.
pub const SHORTEST_PACKET: u32 = 60;
/// Longest packet: Ethernet's MTU of 1500 with its header.
pub const LONGEST_PACKET: u32 = 1514;
/// Bytes of the frame check sequence, counted by reports before `packet_size`.
pub(super) const FCS: u32 = 4;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub place: Place,
    /// What, one axis each; every combination is a setting.
    pub workloads: Vec<Workload>,
    /// Modes of the library.
    pub modes: Vec<Library>,
    /// Batch sizes.
    pub batches: Vec<u32>,
    /// Poll modes.
    pub polls: Vec<Poll>,
    /// Packet lengths in bytes, without frame check sequence.
    pub packet_sizes: Vec<u32>,
    /// Queue lists.
    pub queues: Vec<Queues>,
    /// Which pages are asked for for the UMEM.
    pub hugepages: Vec<HugePages>,
    /// Prefetch or not.
    pub prefetch: Vec<bool>,
    /// Measured time of one sample; the warm-up before it comes on top.
    pub duration: Duration,
    /// Samples per setting.
    pub repeat: u32,
    /// What all settings have in common: attach and bind mode, UMEM frames and their size.
    pub config: Config,
}

/// Shortest and longest sample.
const DURATION: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(365 * 86_400);
/// Most samples per setting.
const MOST_REPEATS: u32 = 1000;
/// Most settings; more would run for days.
const MOST_SETTINGS: usize = 10_000;

impl Plan {
    /// The settings, workload by workload, in the order of the axes. Combinations that do not exist
    /// (the engine has no txonly) are left out.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &workload in &self.workloads {
            for &mode in &self.modes {
                if workload == Workload::Txonly && mode == Library::Engine {
                    continue;
                }
                for queues in &self.queues {
                    for &packet_size in &self.packet_sizes {
                        for &hugepages in &self.hugepages {
                            for &prefetch in &self.prefetch {
                                for &poll in &self.polls {
                                    for &batch in &self.batches {
                                        settings.push(Setting {
                                            workload,
                                            mode,
                                            batch,
                                            poll,
                                            packet_size,
                                            queues: queues.clone(),
                                            hugepages,
                                            prefetch,
                                        });
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        settings
    }

    /// Checks every value that needs no kernel to be checked.
    ///
    /// # Errors
    /// `ErrorKind::Config`, naming the value and the rule.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String, why: String| Err(FluxError::config(what, why));
        self.check_out()?;
        for &size in &self.packet_sizes {
            if !(SHORTEST_PACKET..=LONGEST_PACKET).contains(&size) {
                return bad(
                    format!("packet size {size}"),
                    format!(
                        "must be {SHORTEST_PACKET} to {LONGEST_PACKET} bytes, without frame check \
                         sequence"
                    ),
                );
            }
        }
        for &batch in &self.batches {
            Config { batch, ..self.config.clone() }.validate()?;
        }
        if !DURATION.contains(&self.duration) {
            return bad(
                format!("duration {:?}", self.duration),
                "must be 1ms to 1 year per sample".to_owned(),
            );
        }
        if !(1..=MOST_REPEATS).contains(&self.repeat) {
            return bad(format!("{} repeats", self.repeat), format!("must be 1 to {MOST_REPEATS}"));
        }
        match self.settings().len() {
            0 if self.workloads == [Workload::Txonly] && self.modes == [Library::Engine] => {
                let why = "the engine answers what it receives";
                Err(FluxError::config("workload txonly in mode engine", why)
                    .with_hint("use --mode raw or --mode system"))
            }
            0 => bad("no combination".to_owned(), "every axis needs a value".to_owned()),
            n if n > MOST_SETTINGS => {
                let why = format!("must be at most {MOST_SETTINGS}");
                Err(FluxError::config(format!("{n} combinations"), why)
                    .with_hint("give fewer values, or measure in several runs"))
            }
            _ => Ok(()),
        }
    }
}

impl Plan {
    /// The second interface: forward needs one, the other workloads have no use for it.
    fn check_out(&self) -> Result<()> {
        let Place::Interface { name, out } = &self.place else { return Ok(()) };
        match (out, self.workloads.contains(&Workload::Forward)) {
            (None, true) => Err(FluxError::config(
                format!("workload forward on {name} alone"),
                "it receives on one interface and sends by another",
            )
            .with_hint("name the other one with --out IFACE, or leave forward out")),
            (Some(out), _) if out == name => {
                Err(FluxError::config(format!("--out {out}"), "packets come in by this interface")
                    .with_hint("name another one, or use workload l2fwd, which sends them back"))
            }
            (Some(out), false) => Err(FluxError::config(
                format!("--out {out}"),
                "only workload forward sends by a second interface",
            )
            .with_hint("add forward to --workload, or leave --out out")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            place: Place::Lab,
            workloads: vec![Workload::Rxdrop, Workload::Txonly],
            modes: vec![Library::Raw],
            batches: vec![16, 64],
            polls: vec![Poll::Busy, Poll::Syscall],
            packet_sizes: vec![60],
            queues: vec![Queues::Only(vec![0])],
            hugepages: vec![HugePages::Off],
            prefetch: vec![true],
            duration: Duration::from_millis(400),
            repeat: 5,
            config: Config::new(""),
        }
    }

    #[test]
    fn every_combination_is_a_setting_once_and_in_order() {
        let settings = plan().settings();
        let told: Vec<_> = settings.iter().map(|c| (c.workload, c.poll, c.batch)).collect();
        use Workload::{Rxdrop, Txonly};
        assert_eq!(
            told[..3],
            [(Rxdrop, Poll::Busy, 16), (Rxdrop, Poll::Busy, 64), (Rxdrop, Poll::Syscall, 16)]
        );
        assert_eq!((told.len(), told[4]), (8, (Txonly, Poll::Busy, 16)));
        let wide = Plan {
            packet_sizes: vec![60, 1514],
            queues: vec![Queues::All, Queues::Only(vec![0])],
            hugepages: vec![HugePages::Off, HugePages::On],
            prefetch: vec![true, false],
            ..plan()
        };
        let settings = wide.settings();
        assert_eq!(settings.len(), 8 * 16);
        assert!(settings.iter().enumerate().all(|(at, setting)| !settings[..at].contains(setting)));
    }

    #[test]
    fn the_engine_has_no_txonly() {
        let both = Plan { modes: vec![Library::Raw, Library::Engine], ..plan() };
        let txonly = both.settings().into_iter().filter(|c| c.workload == Workload::Txonly);
        assert!(txonly.map(|setting| setting.mode).eq([Library::Raw; 4]));
        let none =
            Plan { modes: vec![Library::Engine], workloads: vec![Workload::Txonly], ..plan() };
        assert!(none.check().unwrap_err().to_string().contains("txonly in mode engine"));
    }

    #[test]
    fn values_that_cannot_be_are_named_with_their_rule() {
        assert!(plan().check().is_ok());
        let table = [
            (
                Plan { packet_sizes: vec![60, 59], ..plan() },
                "packet size 59: must be 60 to 1514 bytes",
            ),
            (
                Plan { packet_sizes: vec![1515], ..plan() },
                "packet size 1515: must be 60 to 1514 bytes",
            ),
            (Plan { batches: vec![16, 0], ..plan() }, "batch 0: must be 1 to 4096"),
            (Plan { batches: vec![4097], ..plan() }, "batch 4097: must be 1 to 4096"),
            (Plan { duration: Duration::ZERO, ..plan() }, "duration 0ns: must be 1ms to 1 year"),
            (
                Plan { duration: Duration::MAX, ..plan() },
                "duration 18446744073709551615.999999999s: must be",
            ),
            (Plan { repeat: 0, ..plan() }, "0 repeats: must be 1 to 1000"),
            (Plan { repeat: 1001, ..plan() }, "1001 repeats: must be 1 to 1000"),
            (Plan { batches: (1..=2501).collect(), ..plan() }, "10004 combinations: must be"),
            (Plan { polls: Vec::new(), ..plan() }, "no combination: every axis needs a value"),
        ];
        for (plan, want) in table {
            let error = plan.check().unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn forward_takes_two_interfaces_and_nothing_else_does() {
        let on = |out: Option<&str>, workload| {
            let out = out.map(str::to_owned);
            let place = Place::Interface { name: "eth0".to_owned(), out };
            Plan { place, workloads: vec![Workload::L2fwd, workload], ..plan() }.check()
        };
        assert!(on(Some("eth1"), Workload::Forward).is_ok());
        assert!(on(None, Workload::Rxdrop).is_ok());
        let table = [
            (None, Workload::Forward, "workload forward on eth0 alone", "--out IFACE"),
            (Some("eth0"), Workload::Forward, "--out eth0", "another one"),
            (Some("eth1"), Workload::Rxdrop, "--out eth1", "add forward"),
        ];
        for (out, workload, what, next) in table {
            let error = on(out, workload).unwrap_err();
            assert!(error.to_string().starts_with(what), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains(next)), "{error:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in Workload::WORDS {
            assert_eq!(word.parse::<Workload>().unwrap().to_string(), *word);
        }
        let error = "rxdorp".parse::<Workload>().unwrap_err().to_string();
        assert_eq!(
            error,
            "workload 'rxdorp': must be one of rxdrop, txonly, l2fwd, forward, latency, parse"
        );
        assert_eq!("engine".parse::<Library>().unwrap(), Library::Engine);
        assert_eq!(Poll::Adaptive.poller(), Poller::ADAPTIVE);
        assert_eq!(format!("{:>8}", Poll::Busy), "    busy");
    }
}
