//! What `flux rings` is asked, and the plan that makes.

use crate::socket_options::{SocketOptions, queues};
use clap::Args as ClapArgs;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fluxnet::snapshot::Source;
use fluxnet::text::numbers as units;
use fluxnet::tools::http::parse_address;
use fluxnet::tools::rings::{Plan, Selection};
use fluxnet::tools::topology::SimOptions;
use fluxnet::{Config, FluxError, Queues};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::time::Duration;

/// Time from one sample to the next where a count alone was given.
const EVERY: Duration = Duration::from_secs(1);
/// Time that the rates of a first sample are taken over.
const OVER: Duration = Duration::from_millis(500);
/// From one sample to the next, at least: 0 is as often as that.
const LEAST: Duration = Duration::from_millis(1);
/// Samples of a watch in virtual time, which would never end.
const VIRTUAL_COUNT: u64 = 5;

const EXAMPLES: &str = "\
Examples:
  sudo flux rings                      every AF_XDP socket of the machine
  sudo flux rings eth0 --live          the sockets on eth0, redrawn every second
  sudo flux rings eth0 -p 1234 -v      all there is to know about one process's sockets
  sudo flux rings -j -c 60 -w=10s      a JSON object every 10 s for 10 minutes
  sudo flux rings --metrics 9100       Prometheus metrics at http://127.0.0.1:9100/metrics
  flux rings --sim=starved             a simulated trouble, no privilege needed

Ring columns:
  used      entries in the ring, produced and not yet taken out
  per s     entries taken out per second
  wakeup    the kernel asks to be woken for this ring (XDP_RING_NEED_WAKEUP)
A - or ? is what the source cannot know. Nothing is written to any ring, and no socket is kept.

Exit status:
  0  sockets were shown, whatever their diagnosis
  1  there is none
  2  could not run, or not to its end (usage, permission, system, interface gone);
     also where none was found, and processes could not be looked into";

/// Show every AF_XDP socket's rings, and what is wrong with it
///
/// Without IFACE the sockets of all interfaces in all network namespaces are shown. The owners of
/// the sockets need not help, and do not notice.
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sockets on this interface; an alternative name will do
    #[arg(value_name = "IFACE")]
    pub interface: Option<String>,
    /// Sockets on all interfaces in all network namespaces: the default without IFACE
    #[arg(long, conflicts_with = "interface")]
    pub all: bool,
    /// Sockets that this process has open
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub pid: Option<u32>,
    /// Sockets on these queues [default: all]
    #[arg(long, value_name = "N|N-M|N,M|all", value_parser = queues)]
    pub queue: Option<Queues>,
    /// How to look [default: auto]
    ///
    /// iter is a BPF iterator and knows all; pidfd maps the rings of each socket read-only and
    /// needs no BTF; diag shows sizes and counters only. auto takes the first that works, and
    /// says why not a better one.
    #[arg(long, value_name = "SOURCE", value_parser = source())]
    pub source: Option<SourceChoice>,
    /// Time over which rates and diagnosis are taken; 0 is one look [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = units::time, allow_negative_numbers = true)]
    pub over: Option<Duration>,
    /// Redraw the view in place; needs a terminal
    ///
    /// q leaves it, arrows scroll, v changes between rings and one row per socket.
    #[arg(long, conflicts_with_all = ["json", "metrics"], help_heading = "Output")]
    pub live: bool,
    /// Go on, with a sample every so often; 0: every millisecond [default TIME: 1s]
    ///
    /// On a terminal that is the live view; elsewhere samples follow one another.
    #[arg(short, long, value_name = "TIME", value_parser = units::time, num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
    pub watch: Option<Duration>,
    /// Stop after N samples; without --watch one a second
    #[arg(short, long, value_name = "N", value_parser = units::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Serve Prometheus metrics at http://ADDRESS/metrics until Ctrl-C
    ///
    /// 9100 is that port of this machine alone, :9100 of every IPv4 address of it; or such as
    /// 10.0.0.1:9100, [::1]:9100 or localhost:9100.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, conflicts_with_all = ["watch", "count", "over", "json"])]
    pub metrics: Option<SocketAddr>,
    /// Look at simulated sockets; needs no privilege
    ///
    /// SPEC is a list such as starved,seed=7; `flux help sim` lists its keys. Time is virtual
    /// unless SPEC says realtime, or the view is live.
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with = "source")]
    pub sim: Option<String>,
    /// How simulated sockets are opened.
    #[command(flatten, next_help_heading = "Socket options, only with --sim")]
    pub socket: SocketOptions,
    /// One JSON object per sample on standard output, also for errors
    #[arg(short, long, help_heading = "Output")]
    pub json: bool,
    /// All of each socket: options, cached indices, XSKMAPs, every counter
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
}

/// A source, or the best that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceChoice(pub Option<Source>);

fn source() -> impl TypedValueParser<Value = SourceChoice> {
    PossibleValuesParser::new(["auto", "iter", "pidfd", "diag"]).map(|word| {
        let sources = [Source::Iter, Source::Pidfd, Source::Diag];
        SourceChoice(sources.into_iter().find(|source| source.name() == word))
    })
}

fn pid(text: &str) -> Result<u32, String> {
    let pid = text.parse().ok().filter(|&pid| pid > 0);
    pid.ok_or_else(|| "must be the number of a process, such as 1234".to_owned())
}

impl Args {
    /// Whether the view is redrawn, where that is possible.
    pub fn redraws(&self) -> bool {
        self.live || (self.watch.is_some() && !self.json)
    }

    /// What is asked for. All checks that need no kernel are here.
    ///
    /// `live`: whether somebody watches and can leave, so that it may go on without end.
    pub fn plan(&self, live: bool) -> Result<Plan, FluxError> {
        if self.socket.given() && self.sim.is_none() {
            return Err(FluxError::config(
                "--backend, --tx, --attach, --bind, --frames and --frame-size say how simulated \
                 sockets are opened",
                "there is no --sim",
            )
            .with_hint("flux rings opens no socket of its own: leave them out, or add --sim"));
        }
        let goes_on = self.live || self.count.is_some();
        let watch = self.watch.map(|time| time.max(LEAST));
        let every = watch.or(goes_on.then_some(EVERY));
        let endless = every.is_some() && self.count.is_none();
        let count =
            self.count.or((endless && !live && self.virtual_time()?).then_some(VIRTUAL_COUNT));
        let select = Selection {
            interface: self.interface.clone(),
            pid: self.pid,
            queues: match &self.queue {
                Some(Queues::Only(list)) => list.clone(),
                Some(Queues::All) | None => Vec::new(),
            },
        };
        Ok(match self.metrics {
            // A scrape is a sample, and what it brings are counters.
            Some(_) => {
                let over = Duration::ZERO;
                Plan { select, over, every: Some(EVERY), count: None, watched: false }
            }
            None => Plan { select, over: self.over.unwrap_or(OVER), every, count, watched: live },
        })
    }

    /// The simulated machine that is asked for, and how its sockets are opened.
    pub fn simulated(&self) -> Result<Option<(SimOptions, Config)>, FluxError> {
        let Some(spec) = &self.sim else { return Ok(None) };
        let mut config = Config::new(self.interface.clone().unwrap_or_default());
        self.socket.apply(&mut config);
        config.validate()?;
        Ok(Some((spec.parse()?, config)))
    }

    fn virtual_time(&self) -> Result<bool, FluxError> {
        Ok(self.simulated()?.is_some_and(|(options, _)| !options.spec.realtime))
    }

    /// The source that is asked for; `None`: the best that works.
    pub fn source(&self) -> Option<Source> {
        self.source.and_then(|choice| choice.0)
    }
}

/// Joins `--watch TIME`, `-w TIME` and `-wTIME` into `--watch=TIME`, which is what clap takes for
/// a value that may be missing. No interface is called like a time.
pub fn join_watch(args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|command| command != "rings") {
        return args;
    }
    let is_time = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit() || c == '.') && units::time(word).is_ok()
    };
    let joined = |time: &str| OsString::from(format!("--watch={time}"));
    let mut out: Vec<OsString> = Vec::with_capacity(args.len());
    let mut ended = false;
    for arg in args {
        let text = arg.to_str().unwrap_or_default();
        let open = !ended && out.last().is_some_and(|last| opens_watch(last));
        let attached = text.strip_prefix("-w").filter(|_| !ended);
        if open && is_time(text) {
            out.pop();
            out.push(joined(text));
        } else if let Some(time) = attached.filter(|time| is_time(time)) {
            out.push(joined(time));
        } else {
            ended |= arg == "--";
            out.push(arg);
        }
    }
    out
}

fn opens_watch(arg: &OsStr) -> bool {
    arg == "--watch" || arg == "-w"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket_options::parsed;

    fn args(line: &str) -> Result<Args, String> {
        let words = ["flux", "rings"].into_iter().chain(line.split_whitespace());
        let words = join_watch(words.map(OsString::from).collect());
        parsed(&words[1..])
    }

    fn plan(line: &str) -> Result<Plan, String> {
        args(line)?.plan(false).map_err(|e| e.to_string())
    }

    #[test]
    fn without_options_it_is_one_sample_of_all_sockets_over_half_a_second() {
        let all = Plan {
            select: Selection::default(),
            over: Duration::from_millis(500),
            every: None,
            count: None,
            watched: false,
        };
        assert_eq!(plan(""), Ok(all.clone()));
        assert_eq!(plan("--all"), Ok(all));
        assert_eq!(args("").unwrap().source(), None);
        assert_eq!(args("--source auto").unwrap().source(), None);
        assert_eq!(args("--source pidfd").unwrap().source(), Some(Source::Pidfd));
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let plan = plan("eth0 -p 12 --queue 0,2-3 --over 0 -w=2s -c 7").unwrap();
        assert_eq!(plan.select.interface.as_deref(), Some("eth0"));
        assert_eq!((plan.select.pid, plan.select.queues), (Some(12), vec![0, 2, 3]));
        assert_eq!(plan.over, Duration::ZERO);
        assert_eq!((plan.every, plan.count), (Some(Duration::from_secs(2)), Some(7)));
    }

    #[test]
    fn the_time_of_a_watch_may_be_the_next_word() {
        let watch = |line: &str| {
            let args = args(line).unwrap();
            (args.watch.map(|time| time.as_millis()), args.interface)
        };
        let eth0 = || Some("eth0".to_owned());
        assert_eq!(watch("--watch eth0"), (Some(1000), eth0()));
        assert_eq!(watch("eth0 --watch"), (Some(1000), eth0()));
        assert_eq!(watch("--watch 2s eth0"), (Some(2000), eth0()));
        assert_eq!(watch("-w 0.2 eth0"), (Some(200), eth0()));
        assert_eq!(watch("-w200ms eth0"), (Some(200), eth0()));
        assert_eq!(watch("-w=1m"), (Some(60_000), None));
        assert_eq!(watch("--watch=50ms eth0"), (Some(50), eth0()));
        assert_eq!(watch("-w -- 2s"), (Some(1000), Some("2s".to_owned())));
        assert!(args("-wj").is_ok_and(|args| args.json && args.watch.is_some()));
        let other: Vec<_> = ["flux", "ping", "-w", "2"].map(OsString::from).to_vec();
        assert_eq!(join_watch(other.clone()), other);
    }

    #[test]
    fn a_count_alone_is_one_sample_a_second() {
        let plan = plan("-c 3").unwrap();
        assert_eq!((plan.every, plan.count), (Some(EVERY), Some(3)));
    }

    #[test]
    fn a_watch_in_virtual_time_ends_unless_somebody_can_leave_it() {
        assert_eq!(plan("--sim -w").unwrap().count, Some(VIRTUAL_COUNT));
        assert_eq!(plan("--sim=realtime -w").unwrap().count, None);
        assert_eq!(plan("--sim -w -c 9").unwrap().count, Some(9));
        assert_eq!(args("--sim -w").unwrap().plan(true).unwrap().count, None);
        assert_eq!(plan("-w").unwrap().count, None);
    }

    #[test]
    fn live_is_the_view_of_a_watch_and_may_have_its_interval() {
        for (line, every) in [("--live", 1000), ("--live -w 200ms", 200), ("--live -c 2", 1000)] {
            let args = args(line).unwrap();
            let plan = args.plan(true).unwrap();
            assert_eq!(plan.every, Some(Duration::from_millis(every)), "{line}");
            assert!(args.redraws() && plan.watched, "{line}");
        }
        assert!(!args("-w -j").unwrap().redraws() && !args("-c 2").unwrap().redraws());
        assert_eq!(args("--live --sim").unwrap().plan(true).unwrap().count, None);
    }

    #[test]
    fn metrics_are_looked_at_when_asked_for() {
        let metrics = |line| args(line).unwrap().metrics.unwrap().to_string();
        assert_eq!(metrics("--metrics 9100"), "127.0.0.1:9100");
        assert_eq!(metrics("--metrics :9100"), "0.0.0.0:9100");
        assert!(metrics("--metrics localhost:9100").ends_with(":9100"));
        let plan = plan("--metrics 127.0.0.1:9100 eth0").unwrap();
        assert_eq!((plan.over, plan.count), (Duration::ZERO, None));
        assert!(plan.every.is_some());
    }

    #[test]
    fn the_last_value_wins_and_flags_may_repeat() {
        let args = args("-p 1 --pid 2 -j -j --queue 0 --queue 3 -v -v").unwrap();
        assert_eq!((args.pid, args.json, args.verbose), (Some(2), true, true));
        assert_eq!(args.queue, Some(Queues::Only(vec![3])));
    }

    #[test]
    fn socket_options_are_those_of_simulated_sockets() {
        let args = args("--sim=seed=7 --frames 8k --bind copy").unwrap();
        let (options, config) = args.simulated().unwrap().unwrap();
        assert_eq!((options.spec.seed, config.frames), (Some(7), Some(8000)));
        assert!(plan("--frames 8k").unwrap_err().contains("no --sim"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_value_in_the_message() {
        let table = [
            ("eth0 --all", "--all"),
            ("eth0 eth1", "'eth1'"),
            ("-p 0", "0"),
            ("-p -1", "-1"),
            ("-p x", "'x'"),
            ("--queue x", "'x'"),
            ("--queue 9-3", "'9-3'"),
            ("--source ss", "'ss'"),
            ("--source iter --sim", "--sim"),
            ("--over -1", "'-1'"),
            ("--over soon", "'soon'"),
            ("--watch=x", "'x'"),
            ("-c 0", "'0'"),
            ("-c -1", "'-1'"),
            ("--metrics 127.0.0.1", "'127.0.0.1'"),
            ("--live -j", "--json"),
            ("--live --metrics 9100", "--metrics"),
            ("--metrics localhost:http", "'localhost:http'"),
            ("--metrics 127.0.0.1:9100 --watch", "--watch"),
            ("--metrics 127.0.0.1:9100 -c 1", "--count"),
            ("--metrics 127.0.0.1:9100 -j", "--json"),
            ("--metrics 127.0.0.1:9100 --over 1s", "--over"),
            ("--bind copy", "no --sim"),
        ];
        for (line, value) in table {
            let error = plan(line).unwrap_err();
            assert!(error.contains(value), "rings {line}: {error}");
        }
        assert!(args("--sim=los=3%").unwrap().simulated().is_err());
        assert!(args("--sim --frame-size 3000").is_err());
    }
}
