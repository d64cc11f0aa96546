//! What `flux bench` is asked, and the plan that makes.

use crate::socket_options::{
    HEADING, LinkOptions, OutputOptions, SocketOptions, batch, keyword, on_off, queues, sim_spec,
};
use clap::{ArgAction, Args as ClapArgs, Subcommand};
use fluxnet::text::numbers as units;
use fluxnet::tools::bench::{Library, Place, Plan, Poll, Workload};
use fluxnet::{Config, FluxError, HugePages, Queues};
use std::path::PathBuf;
use std::time::Duration;

/// Measured time of one sample without `--duration`.
const DURATION: Duration = Duration::from_millis(400);
/// Samples per setting without `--repeat`.
const REPEAT: u32 = 5;
/// Batch sizes without `--batch`.
const BATCHES: [u32; 3] = [16, 32, 64];
/// What the simulated rings honour: there is no network behind them, and time is the machine's.
const SIM_KEYS: [&str; 7] =
    ["queues", "tx-queues", "wrong_queue", "no_zero_copy", "starved", "stuck_tx", "short_ring"];
/// Bytes of the frame check sequence, which `--frame` counts and `--packet-size` does not.
const FCS: u32 = 4;
/// Workloads without `--workload`.
const WORKLOADS: [Workload; 6] = [
    Workload::Rxdrop,
    Workload::Txonly,
    Workload::L2fwd,
    Workload::Forward,
    Workload::Latency,
    Workload::Parse,
];

/// A queue has UMEM of its own here, unlike in the other commands.
const FRAMES: &str =
    "UMEM frames over all queues, 16 to 1048576 [default: 4096 for each queue, at most 131072]";

const EXAMPLES: &str = "\
Examples:
  flux bench --sim --workload rxdrop --repeat 3       simulated rings, no privilege needed; 12 s
  sudo flux bench --lab                               a veth pair of its own, with traffic
  sudo flux bench --lab --save before --plot before.svg
  sudo flux bench -I eth0 --out eth1 --workload forward   from eth0 to eth1; you send to eth0
  flux bench diff before after --tolerance 5%         exit 1 where after is slower

Workloads:
  rxdrop   receive and drop
  txonly   send the same packet over and over
  l2fwd    receive, swap the Ethernet addresses, send back
  forward  receive on one interface, send by another over the same UMEM
  latency  receive at a low rate; time from the XDP stamp to the program
  parse    receive, parse all headers, drop

With -I the interface is yours: rxdrop, latency and parse take packets that come in, l2fwd SENDS
them back, and forward SENDS them by the interface that --out names. txonly SENDS as fast as it
can; with -I it is part of a run only when --workload names it. With --lab no packet leaves the
veth pairs.

Columns:
  Mpps        million packets a second, median of the samples; IQR: how far the middle half of
              the samples lies apart, in % of it (- and ?: fewer than 3 samples)
  user ns     CPU time of our threads for a packet; sys ns: in the kernel
  cyc/pkt     processor cycles for a packet inside batches, kernel calls left out
  calls/pkt   system calls for a packet; pkt/wake: packets for each return from poll(2)
  pkt/batch   packets in a batch that had any; CPU: share of a core, over all queues
  ring full   packets that the kernel dropped because the RX ring was full
  fill empty  times that the kernel wanted a free frame and found none
  dropped     packets that were lost on their way, for whatever reason

Every setting is measured once a round, so that what changes on the machine meanwhile meets all of
them. A setting is noisy (~) when the middle half of its samples spreads over more than 5 % of
their median (IQR).

Exit status:
  0  done, also when it was ended early by Ctrl-C
  1  diff: at least one setting is slower
  2  could not run, or not to its end (usage, permission, system, interface gone), or no packet
     came in any setting";

/// Measure every combination of settings, and say which is best for what
///
/// Lists are separated by commas; every combination is measured. Tables show medians, and what
/// each packet costs: so one sees why a setting is slow.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    mut_arg("frames", |frames| frames.help(FRAMES))
)]
pub struct Args {
    /// Two saved runs instead of a new one.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Measure on this interface, by any of its names; the machine at its other end sends
    #[arg(short = 'I', long, value_name = "IFACE", group = "place")]
    pub interface: Option<String>,
    /// For workload forward: the interface that packets leave by; they come in on that of -I
    #[arg(long, value_name = "IFACE")]
    pub out: Option<String>,
    /// Measure on a veth pair between two network namespaces of its own; as root
    #[arg(long, group = "place")]
    pub lab: bool,
    /// Measure on simulated rings; needs no privilege
    ///
    /// SPEC is a list such as queues=4,starved. It takes queues, tx-queues, and of the troubles
    /// wrong_queue, no_zero_copy, starved, stuck_tx and short_ring (`flux help sim`).
    #[arg(long, value_name = "SPEC", group = "place", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub sim: Option<String>,
    /// What to do with the packets [default: all; with -I all but txonly, and forward only with --out; with --sim all but latency]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = keyword::<Workload>(Workload::WORDS))]
    pub workload: Vec<Workload>,
    /// Packets per batch, 1 to 4096 [default: 16,32,64]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = batch, allow_negative_numbers = true)]
    pub batch: Vec<u32>,
    /// How to wait for packets [default: busy,adaptive,syscall]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = keyword::<Poll>(Poll::WORDS))]
    pub poll: Vec<Poll>,
    /// Bytes of each packet, from the Ethernet header on, 60 to 1514 [default: 60]
    ///
    /// The checksum at the end of a frame, 4 bytes, is not counted.
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = packet_size, allow_negative_numbers = true)]
    pub packet_size: Vec<u32>,
    /// The same with the frame check sequence.
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = frame, hide = true, conflicts_with = "packet_size", allow_negative_numbers = true)]
    pub frame: Vec<u32>,
    /// RX queues to open, one thread each [default: 0]
    ///
    /// May be repeated: each occurrence is one setting, and a list in it is several queues.
    #[arg(long, value_name = "N|N-M|N,M|all", value_parser = queues, allow_negative_numbers = true)]
    pub queue: Vec<Queues>,
    /// Put the UMEM in huge pages [default: off]
    ///
    /// on takes reserved 2 MiB pages, 1g reserved 1 GiB pages, thp transparent ones, off ordinary
    /// ones; auto takes reserved ones where there are enough, else transparent ones. The report has
    /// what each setting got.
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = keyword::<HugePages>(HugePages::WORDS))]
    pub hugepages: Vec<HugePages>,
    /// Prefetch packet headers or not [default: on]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = on_off())]
    pub prefetch: Vec<bool>,
    /// Modes of the library to measure [default: raw]
    ///
    /// raw is FluxRaw, engine FluxEngine, system FluxRx and FluxTx. The engine has no txonly.
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Set, num_args = 1, value_parser = keyword::<Library>(Library::WORDS))]
    pub mode: Vec<Library>,
    /// Measured time of one sample, from 1ms on [default: 400ms]
    #[arg(long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    pub duration: Option<Duration>,
    /// Samples per setting, 1 to 1000 [default: 5]
    #[arg(long, value_name = "N", value_parser = repeat, allow_negative_numbers = true)]
    pub repeat: Option<u32>,
    /// How sockets are opened.
    #[command(flatten, next_help_heading = HEADING)]
    pub socket: SocketOptions,
    /// What a lost link does.
    #[command(flatten)]
    pub link: LinkOptions,
    /// One line per setting, separated by commas, under a line of headings
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub csv: bool,
    /// Draw a chart into this file as well
    #[arg(long, value_name = "FILE.svg", value_parser = svg, help_heading = "Output")]
    pub plot: Option<PathBuf>,
    /// Keep the run under this name, for flux bench diff
    ///
    /// It replaces an earlier run of that name. A name with a / or a .json at its end is a file;
    /// others are kept in $XDG_DATA_HOME/flux/bench, by default ~/.local/share/flux/bench.
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub save: Option<String>,
    /// What is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// What there is besides measuring.
#[derive(Debug, Subcommand)]
pub enum Command {
    Diff(DiffArgs),
}

/// Compare a saved run with an earlier one; exit 1 where it is slower
///
/// Settings that both runs have are compared. One is slower when its median is worse by more
/// than the tolerance and its samples say the same: they lie beyond the tolerance by the
/// Mann-Whitney test at 5 %. Latencies are compared by their median, where less is better.
#[derive(ClapArgs, Debug)]
pub struct DiffArgs {
    /// The earlier run: a name given to --save, or a file of flux bench --json
    #[arg(value_name = "A")]
    pub a: String,
    /// The later run
    #[arg(value_name = "B")]
    pub b: String,
    /// Ignore changes up to this share
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = units::percent, allow_hyphen_values = true)]
    pub tolerance: f64,
    /// One line per setting, separated by commas, under a line of headings
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub csv: bool,
    /// One JSON object on standard output, also for errors
    #[arg(short, long, help_heading = "Output")]
    pub json: bool,
}

impl Args {
    /// The run that is asked for. All checks that need no kernel are here.
    pub fn plan(&self) -> Result<Plan, FluxError> {
        let place = self.place()?;
        let mut workloads = axis(&self.workload, &WORKLOADS);
        if self.workload.is_empty() {
            // One would send where nobody asked for it, one needs a second interface, and one
            // cannot be simulated.
            workloads.retain(|workload| match (workload, &place) {
                (Workload::Txonly, Place::Interface { .. }) => false,
                (Workload::Forward, Place::Interface { out, .. }) => out.is_some(),
                (Workload::Latency, Place::Sim(_)) => false,
                _ => true,
            });
        }
        let mut config = Config::new(self.interface.clone().unwrap_or_default());
        self.socket.apply(&mut config);
        self.link.apply(&mut config, false);
        config.validate()?;
        let plan = Plan {
            place,
            workloads,
            modes: axis(&self.mode, &[Library::Raw]),
            batches: axis(&self.batch, &BATCHES),
            polls: axis(&self.poll, &[Poll::Busy, Poll::Adaptive, Poll::Syscall]),
            packet_sizes: self.packet_sizes(),
            queues: axis(&self.queue, &[Queues::Only(vec![0])]),
            hugepages: axis(&self.hugepages, &[HugePages::Off]),
            prefetch: axis(&self.prefetch, &[true]),
            duration: self.duration.unwrap_or(DURATION),
            repeat: self.repeat.unwrap_or(REPEAT),
            config,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Without the frame check sequence, which `--frame` counts.
    fn packet_sizes(&self) -> Vec<u32> {
        let frames: Vec<u32> = self.frame.iter().map(|frame| frame.saturating_sub(FCS)).collect();
        axis(if frames.is_empty() { &self.packet_size } else { &frames }, &[60])
    }

    fn place(&self) -> Result<Place, FluxError> {
        if let (Some(out), None) = (&self.out, &self.interface) {
            let own = self.lab || self.sim.is_some();
            let hint = if own {
                "leave it out: --lab and --sim have a second interface of their own"
            } else {
                "add -I IFACE, the interface that packets come in on"
            };
            let why = "packets come in on that of -I, and there is none";
            return Err(FluxError::config(format!("--out {out}"), why).with_hint(hint));
        }
        match (&self.interface, self.lab, &self.sim) {
            (Some(name), ..) => Ok(Place::Interface { name: name.clone(), out: self.out.clone() }),
            (_, true, _) => Ok(Place::Lab),
            (.., Some(spec)) => Ok(Place::Sim(sim_spec("bench", spec, &SIM_KEYS)?.spec)),
            _ => Err(FluxError::config("no place to measure in", "one of three is needed")
                .with_hint(
                    "add --sim (simulated rings, needs nothing), --lab (a veth pair of its own, \
                     as root), or -I IFACE (an interface that packets come in on)",
                )),
        }
    }
}

/// The values of an axis as they were given, each once; else the default.
fn axis<T: Clone + PartialEq>(given: &[T], default: &[T]) -> Vec<T> {
    let mut values: Vec<T> = Vec::new();
    for value in if given.is_empty() { default } else { given } {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}

fn packet_size(text: &str) -> Result<u32, String> {
    let size = units::bytes_in(text, 60, 1514)?;
    u32::try_from(size).map_err(|_| "is too large".into())
}

fn frame(text: &str) -> Result<u32, String> {
    let size = units::bytes_in(text, 64, 1518)?;
    u32::try_from(size).map_err(|_| "is too large".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = Some(units::time(text)?).filter(|time| *time >= Duration::from_millis(1));
    time.ok_or_else(|| "must be at least 1ms".to_owned())
}

fn repeat(text: &str) -> Result<u32, String> {
    units::count_in(text, 1, 1000)
}

fn svg(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    if svg { Ok(path) } else { Err("must end in .svg, the one format there is".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket_options::parsed;

    fn args(line: &str) -> Result<Args, String> {
        parsed(std::iter::once("bench").chain(line.split_whitespace()))
    }

    fn plan(line: &str) -> Result<Plan, String> {
        args(line)?.plan().map_err(|e| e.to_string())
    }

    #[test]
    fn the_help_on_sim_lists_what_is_honoured() {
        let listed = SIM_KEYS.join(", ");
        let help = crate::help::SIM.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("behind its rings and takes {listed};")), "{listed}");
    }

    #[test]
    fn defaults_are_six_workloads_in_nine_settings() {
        let plan = plan("--lab").unwrap();
        assert_eq!(plan.settings().len(), 54);
        assert_eq!((plan.duration, plan.repeat), (Duration::from_millis(400), 5));
        let cell = &plan.settings()[0];
        assert_eq!((cell.packet_size, cell.mode), (60, Library::Raw));
        assert_eq!(cell.queues, Queues::Only(vec![0]));
        assert!(cell.hugepages == HugePages::Off && cell.prefetch);
        assert!(matches!(plan.place, Place::Lab));
    }

    #[test]
    fn every_axis_reaches_the_plan() {
        let plan = plan(
            "--sim=queues=4 --workload rxdrop,parse --batch 16,1k --poll busy,syscall --frame \
             64,512 --queue 0 --queue 0,2 --queue all --hugepages on,off,thp,1g,auto --prefetch \
             off,on --mode raw,engine,system --duration 2s --repeat 3 --attach skb --bind copy --frames 8k \
             --frame-size 4k",
        )
        .unwrap();
        assert_eq!(plan.workloads, [Workload::Rxdrop, Workload::Parse]);
        assert_eq!((plan.batches, plan.packet_sizes), (vec![16, 1000], vec![60, 508]));
        assert_eq!(plan.polls, [Poll::Busy, Poll::Syscall]);
        let queues = [Queues::Only(vec![0]), Queues::Only(vec![0, 2]), Queues::All];
        assert_eq!(plan.queues, queues);
        let words = ["on", "off", "thp", "1g", "auto"].map(|word| word.parse().unwrap());
        assert_eq!(plan.hugepages, words);
        assert_eq!(plan.prefetch, [false, true]);
        assert_eq!(plan.modes, [Library::Raw, Library::Engine, Library::System]);
        assert_eq!((plan.duration, plan.repeat), (Duration::from_secs(2), 3));
        assert_eq!((plan.config.frames, plan.config.frame_size), (Some(8000), 4096));
        assert_eq!(plan.config.attach, fluxnet::AttachMode::Skb);
        assert_eq!(plan.config.bind, fluxnet::BindMode::Copy);
        assert!(matches!(plan.place, Place::Sim(spec) if spec.queues == 4));
    }

    #[test]
    fn a_value_named_twice_is_measured_once() {
        let plan = plan("--lab --batch 16,32,16 --poll busy,busy --queue 0 --queue 0-0").unwrap();
        assert_eq!((plan.batches.len(), plan.polls.len(), plan.queues.len()), (2, 1, 1));
    }

    #[test]
    fn packet_sizes_leave_out_the_frame_check_sequence_that_frame_counts() {
        let sizes = |line: &str| plan(line).unwrap().packet_sizes;
        assert_eq!(sizes("--lab --packet-size 60,1514"), [60, 1514]);
        assert_eq!(sizes("--lab --frame 64,1518"), [60, 1514]);
        assert_eq!(sizes("--lab"), [60]);
    }

    #[test]
    fn the_last_list_wins_and_queues_add_up() {
        let plan = plan("--lab --batch 16,32 --batch 64 --repeat 1 --repeat 2 --queue 0 --queue 1");
        let plan = plan.unwrap();
        assert_eq!((plan.batches, plan.repeat, plan.queues.len()), (vec![64], 2, 2));
    }

    #[test]
    fn txonly_on_an_interface_and_latency_on_the_simulator_are_no_defaults() {
        let workloads = |line: &str| plan(line).unwrap().workloads;
        assert!(!workloads("-I eth0").contains(&Workload::Txonly));
        assert_eq!(workloads("-I eth0 --workload txonly"), [Workload::Txonly]);
        assert!(workloads("--sim").contains(&Workload::Txonly));
        assert!(!workloads("--sim").contains(&Workload::Latency));
        assert_eq!(workloads("--sim --workload latency"), [Workload::Latency]);
        assert_eq!(workloads("--lab").len(), 6);
        assert_eq!(plan("-I eth0").unwrap().config.interface, "eth0");
    }

    #[test]
    fn forward_is_a_default_wherever_there_is_a_second_interface() {
        let forwards = |line: &str| plan(line).unwrap().workloads.contains(&Workload::Forward);
        assert!(forwards("--lab") && forwards("--sim") && forwards("-I eth0 --out eth1"));
        assert!(!forwards("-I eth0"));
        let plan = plan("-I eth0 --out eth1 --workload forward").unwrap();
        assert_eq!(plan.workloads, [Workload::Forward]);
        let Place::Interface { name, out } = plan.place else { panic!("{:?}", plan.place) };
        assert_eq!((name.as_str(), out.as_deref()), ("eth0", Some("eth1")));
    }

    #[test]
    fn diff_takes_two_runs_and_a_tolerance() {
        let diff = |line: &str| match args(line).unwrap().command {
            Some(Command::Diff(diff)) => (diff.a, diff.b, diff.tolerance, diff.json),
            None => panic!("{line}: no diff"),
        };
        assert_eq!(diff("diff a b"), ("a".into(), "b".into(), 5.0, false));
        assert_eq!(diff("diff a b --tolerance 2.5% -j"), ("a".into(), "b".into(), 2.5, true));
        assert!(args("--lab diff a b").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_value_in_the_message() {
        let table = [
            ("", "no place to measure in"),
            ("--batch 16", "no place to measure in"),
            ("--lab --sim", "--sim"),
            ("--lab -I eth0", "--interface"),
            ("--lab --workload rxdorp", "'rxdorp'"),
            ("-I eth0 --workload forward", "workload forward on eth0 alone"),
            ("-I eth0 --out eth0", "--out eth0"),
            ("-I eth0 --out eth1 --workload rxdrop", "--out eth1"),
            ("--lab --out eth1", "--out eth1"),
            ("--out eth1", "--out eth1"),
            ("--lab --workload", "--workload"),
            ("--lab --batch 0", "'0'"),
            ("--lab --batch 16,,32", "''"),
            ("--lab --batch 5k", "'5k'"),
            ("--lab --batch -1", "'-1'"),
            ("--lab --frame 63", "'63'"),
            ("--lab --frame 64,9000", "'9000'"),
            ("--lab --packet-size 59", "'59'"),
            ("--lab --packet-size 60,1515", "'1515'"),
            ("--lab --packet-size 60 --frame 64", "--frame"),
            ("--sim=loss=10%", "loss=10%"),
            ("--sim=queues=2,seed=7", "seed=7"),
            ("--lab --poll lazily", "'lazily'"),
            ("--lab --queue x", "'x'"),
            ("--lab --hugepages huge", "'huge'"),
            ("--lab --prefetch maybe", "'maybe'"),
            ("--lab --mode fast", "'fast'"),
            ("--lab --mode engine --workload txonly", "txonly in mode engine"),
            ("--lab --duration 0", "'0'"),
            ("--lab --duration 2y", "'2y'"),
            ("--lab --repeat 0", "'0'"),
            ("--lab --frame-size 3000", "'3000'"),
            ("--sim=los=3%", "los"),
            ("--lab --json --csv", "--csv"),
            ("--lab --plot chart.png", "'chart.png'"),
            ("diff a", "B"),
            ("diff a b --tolerance x", "'x'"),
            ("diff a b --tolerance -1%", "'-1%'"),
        ];
        for (line, want) in table {
            let Err(error) = plan(line) else { panic!("{line} was accepted") };
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
