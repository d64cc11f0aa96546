//! What `flux ping` is asked, and the plan that makes.

use crate::socket_options::{Common, given};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fluxnet::FluxError;
use fluxnet::text::numbers::{self as units, Pattern};
use fluxnet::tools::host::Family;
use fluxnet::tools::ping::{MAX_SIZE, PathMtu, Plan, generate, listed};
use fluxnet::tools::probe::{TargetFile, VlanTag, check_source};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// ICMP payload without `-s`, as ping has it.
const SIZE: usize = 56;
/// Shortest packet: Ethernet, IPv4 and ICMP headers.
const SHORTEST: usize = 14 + 20 + 8;
/// Probes per target where time is virtual and no end was asked for: such a run would fill the
/// terminal as fast as it can print.
const VIRTUAL_COUNT: u64 = 5;

/// How long -a and -u ask, where nothing else ends them.
const LIST_FOR: Duration = Duration::from_secs(4);

const EXAMPLES: &str = "\
Examples:
  flux ping -c 5 10.0.0.2 --sim                 on the simulated network, no privilege needed
  flux ping -c 1000 -i 2ms --histogram 192.0.2.1
  flux ping --rate 10kpps -w 10 -q 192.0.2.1 192.0.2.2 2001:db8::1
  flux ping --live 192.0.2.1 192.0.2.2          a table, redrawn in place until q
  flux ping -a -g 192.0.2.0/24                  the hosts of a network that answer
  flux ping -c 1 -w 60 192.0.2.1                waits for a host that starts
  flux ping --json -c 5 192.0.2.1 | jq 'select(.event == \"reply\").rtt_us'

An RTT is the stamp of the XDP program less the stamp taken just before the packet is handed to
the kernel; no RTT contains the time to find a next hop's address. The line on standard error
says which clocks were used.

Exit status:
  0  every target answered (with -c and -w: every probe)
  1  a target did not
  2  a target could not be used (no such name, no route; the others were probed), or it
     could not run, or not to its end (usage, permission, system, interface gone)";

/// Send ICMP echo requests and time the replies
///
/// The letters are those of ping, and each has a long name. Many targets are probed side by side; their numbers come as a
/// table. Names are not looked up from addresses.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Names or addresses to ping
    #[arg(value_name = "TARGET", required_unless_present = "file")]
    pub target: Vec<String>,
    /// TARGETs are networks such as 192.0.2.0/24, or the first and the last address of a range
    ///
    /// Of an IPv4 network the network and the broadcast address are left out.
    #[arg(short, long, requires = "target", conflicts_with = "file")]
    pub generate: bool,
    /// Read more targets from FILE, one a line; - is standard input
    ///
    /// What follows # or the first word of a line is not read.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Stop after this many probes per target; k and m are 1000 and 1000000
    ///
    /// With -w it goes on sending until this many replies came, or the time is over: -c 1 -w 60
    /// waits for a host that starts. Without -c and -w the run goes on until Ctrl-C; with --sim in virtual time, where nothing
    /// would end it, 5 probes are sent.
    #[arg(short, long, value_name = "COUNT", value_parser = units::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Time between two probes to one target: seconds, or 2ms, 50us [default: 1s]
    ///
    /// 0 sends the next probe when the reply is there.
    #[arg(short, long, value_name = "TIME", value_parser = units::time, allow_negative_numbers = true)]
    pub interval: Option<Duration>,
    /// Probes per second over all targets, such as 10kpps; instead of -i
    #[arg(long, value_name = "RATE", value_parser = units::rate, conflicts_with = "interval", allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Allow a broadcast address, which all hosts of a network answer that want to
    #[arg(short, long)]
    pub broadcast: bool,
    /// Adaptive: send when the reply is there or its time is over, one probe per target at once
    #[arg(short = 'A', long, conflicts_with_all = ["interval", "rate"])]
    pub adaptive: bool,
    /// Bytes of ICMP payload [default: 56]
    #[arg(short, long, value_name = "BYTES", value_parser = payload, allow_negative_numbers = true)]
    pub size: Option<usize>,
    /// Bytes of each packet, from the Ethernet header on, the checksum at its end not counted
    ///
    /// Instead of -s: 98 is what -s 56 makes of IPv4 without a VLAN tag.
    #[arg(long, value_name = "BYTES", value_parser = packet_size, conflicts_with = "size", allow_negative_numbers = true)]
    pub packet_size: Option<usize>,
    /// How long to wait for each reply; 0: without limit [default: 1s]
    ///
    /// A reply after that time is reported as late and counts as lost. Without -W, a run that nothing
    /// at all answered waits up to 3 s more for an error that says why.
    #[arg(short = 'W', long, value_name = "TIME", value_parser = units::time, allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Stop after this time; 0: never; with -c, once that many replies came (exit 0), or after it
    #[arg(short = 'w', long, value_name = "TIME", value_parser = units::time, allow_negative_numbers = true)]
    pub deadline: Option<Duration>,
    /// TTL or hop limit of the probes, 1 to 255 [default: 64]
    #[arg(short = 't', long, value_name = "TTL", value_parser = ttl, allow_negative_numbers = true)]
    pub ttl: Option<u8>,
    /// TOS or traffic class byte, 184 or 0xb8 [default: 0]
    #[arg(short = 'Q', long, value_name = "TOS", value_parser = units::byte, allow_negative_numbers = true)]
    pub tos: Option<u8>,
    /// Path MTU: do sets don't-fragment, want sets it too, dont clears it [default: dont]
    #[arg(short = 'M', long = "pmtudisc", value_name = "do|want|dont", value_parser = path_mtu())]
    pub path_mtu: Option<PathMtu>,
    /// Fill the payload with these bytes, in hexadecimal, up to 16
    #[arg(short, long, value_name = "PATTERN", value_parser = units::pattern)]
    pub pattern: Option<Pattern>,
    /// Put an 802.1Q tag on every probe: VLAN 1 to 4094, priority 0 to 7
    #[arg(long, value_name = "ID[:PRIO]", value_parser = vlan)]
    pub vlan: Option<VlanTag>,
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Flood: send when a reply comes, at least 100 a second, or at --rate or -i
    ///
    /// Prints a dot for each probe lost, and only on a terminal.
    #[arg(short, long, help_heading = "Output")]
    pub flood: bool,
    /// Print the summary only
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Say of a probe that is not answered yet so, before the next one is sent
    #[arg(short = 'O', long, help_heading = "Output")]
    pub outstanding: bool,
    /// Print the targets that answered, one a line, and nothing else
    ///
    /// Without -c and -w, each target is asked once a second until it answers, for 4 s.
    #[arg(short, long, conflicts_with_all = ["json", "live", "histogram"], help_heading = "Output")]
    pub alive: bool,
    /// Print the targets that did not answer, one a line, and nothing else
    #[arg(short, long, conflicts_with_all = ["alive", "json", "live", "histogram"], help_heading = "Output")]
    pub unreachable: bool,
    /// Print addresses only, not the names that were given
    #[arg(short, long, help_heading = "Output")]
    pub numeric: bool,
    /// Print the time of day before each line, in seconds since 1970
    #[arg(short = 'D', long = "timestamp", help_heading = "Output")]
    pub wall_clock: bool,
    /// A table of all targets redrawn in place until q, or until the run ends
    ///
    /// Arrows scroll, p holds the picture. The numbers stay when it ends.
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub live: bool,
    /// Draw the round-trip times as bars at the end
    #[arg(long, help_heading = "Output")]
    pub histogram: bool,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

impl Args {
    /// Whether the names of targets are all that is printed.
    pub fn lists(&self) -> bool {
        self.alive || self.unreachable
    }

    /// All targets, in the order of the line, those of the file behind the others.
    fn targets(&self) -> Result<(Vec<String>, Option<TargetFile>), FluxError> {
        given(&self.target)?;
        let mut targets = if self.generate { generate(&self.target)? } else { self.target.clone() };
        let Some(file) = &self.file else { return Ok((targets, None)) };
        let text = read(file)?;
        let name = if file.as_os_str() == "-" {
            "standard input".into()
        } else {
            file.display().to_string()
        };
        let lines = listed(&text).map(|(line, _)| line).collect();
        targets.extend(listed(&text).map(|(_, target)| target.to_owned()));
        if targets.is_empty() {
            let error = FluxError::config(format!("file {name}"), "has no target");
            return Err(error.with_hint("write one name or address a line"));
        }
        Ok((targets, Some(TargetFile { name: name.into(), lines })))
    }

    /// The run that is asked for. All checks that need no network are here.
    pub fn plan(&self, virtual_time: bool) -> Result<Plan, FluxError> {
        let (targets, file) = self.targets()?;
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        check_source(self.common.source(), family, &targets)?;
        let (default_interval, flood) = match (self.flood, self.interval) {
            // ping -f -i: the interval rules, and the output is that of a flood.
            (true, Some(_)) => (Duration::ZERO, false),
            (true, None) => (Duration::ZERO, true),
            (false, _) => (Duration::from_secs(1), false),
        };
        let list = self.lists() && self.count.is_none() && self.deadline.is_none();
        let deadline = self.deadline.filter(|time| !time.is_zero()).or(list.then_some(LIST_FOR));
        let count = self.count.or(list.then_some(1));
        let endless = count.is_none() && deadline.is_none();
        // Nobody could end what takes no time.
        let virtual_count = (virtual_time && endless).then_some(VIRTUAL_COUNT);
        let usual = Plan::new::<&str>([]);
        Ok(Plan {
            targets,
            file,
            spare_own: self.generate || self.lists(),
            family,
            count: count.or(virtual_count),
            interval: self.interval.unwrap_or(default_interval),
            rate: self.rate,
            flood,
            broadcast: self.broadcast,
            adaptive: self.adaptive,
            outstanding: self.outstanding,
            size: self.size.unwrap_or(SIZE),
            packet_size: self.packet_size,
            timeout: self.timeout.map_or(Duration::from_secs(1), units::limit),
            // Who says how long to wait waits as long.
            linger: if self.timeout.is_some() { Duration::ZERO } else { usual.linger },
            deadline,
            ttl: self.ttl.unwrap_or(64),
            tos: self.tos.unwrap_or(0),
            path_mtu: self.path_mtu.unwrap_or_default(),
            pattern: self.pattern.clone().unwrap_or_default().0,
            vlan: self.vlan,
            wall_clock: self.wall_clock,
            histogram: self.histogram,
            each: !self.quiet && !self.lists(),
            interface: self.common.device(),
            source: self.common.source(),
            fit_frames: self.common.socket.frame_size.is_none(),
            config: self.common.config(endless)?,
        })
    }
}

/// The text of a file, or of standard input.
fn read(file: &Path) -> Result<String, FluxError> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| {
        FluxError::config(format!("cannot read targets from {}", file.display()), error.to_string())
            .with_hint("give a text file with one name or address a line, or - for standard input")
    })
}

fn ttl(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|&ttl| ttl > 0).ok_or_else(|| "must be 1 to 255".into())
}

fn path_mtu() -> impl TypedValueParser<Value = PathMtu> {
    PossibleValuesParser::new(["do", "want", "dont"]).map(|word| match word.as_str() {
        "do" => PathMtu::Do,
        "want" => PathMtu::Want,
        _ => PathMtu::Dont,
    })
}

fn payload(text: &str) -> Result<usize, String> {
    units::bytes_in(text, 0, MAX_SIZE)
}

fn packet_size(text: &str) -> Result<usize, String> {
    units::bytes_in(text, SHORTEST, SHORTEST + MAX_SIZE)
}

fn vlan(text: &str) -> Result<VlanTag, String> {
    const RULE: &str =
        "must be a VLAN from 1 to 4094, such as 5, or 5:3 with a priority from 0 to 7";
    let (id, priority) = text.split_once(':').unwrap_or((text, "0"));
    let id = id.parse().ok().filter(|id| (1..=4094).contains(id));
    let priority = priority.parse().ok().filter(|priority| *priority <= 7);
    match (id, priority) {
        (Some(id), Some(priority)) => Ok(VlanTag { id, priority }),
        _ => Err(RULE.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("ping").chain(line.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|e| e.to_string())?;
        let plan = command.args.plan(false).map_err(|e| e.to_string())?;
        plan.check().map(|()| plan).map_err(|e| e.to_string())
    }

    #[test]
    fn a_run_that_nobody_could_end_in_virtual_time_ends_by_itself() {
        let count = |line: &str| {
            let words = ["ping"].into_iter().chain(line.split_whitespace());
            Command::try_parse_from(words).unwrap().args.plan(true).unwrap().count
        };
        assert_eq!((count("a"), count("-c 9 a")), (Some(VIRTUAL_COUNT), Some(9)));
        assert_eq!(count("-w 9 a"), None);
    }

    #[test]
    fn defaults_are_those_of_ping() {
        let plan = parse("10.0.0.2").unwrap();
        assert_eq!((plan.size, plan.ttl, plan.tos), (56, 64, 0));
        assert_eq!((plan.interval, plan.timeout), (Duration::from_secs(1), Duration::from_secs(1)));
        assert_eq!((plan.count, plan.deadline, plan.rate), (None, None, None));
        assert_eq!((plan.family, plan.path_mtu), (Family::Any, PathMtu::Dont));
        assert!(plan.each && !plan.flood && plan.pattern.is_empty());
    }

    #[test]
    fn every_letter_reaches_the_plan() {
        let plan = parse(
            "-c 10k -i 2ms -I eth0 -s 1k -W 0.5 -w 1m -t 3 -Q 0xb8 -M do -6 -q -n -D -p beef \
             --histogram --vlan 7:5 a b --batch 16 --frames 4k --frame-size 4k --queue 0-2",
        )
        .unwrap();
        assert_eq!(plan.count, Some(10_000));
        assert_eq!(plan.interval, Duration::from_millis(2));
        assert_eq!(plan.interface.as_deref(), Some("eth0"));
        assert_eq!((plan.size, plan.ttl, plan.tos), (1024, 3, 0xb8));
        assert_eq!(plan.timeout, Duration::from_millis(500));
        assert_eq!(plan.deadline, Some(Duration::from_secs(60)));
        assert_eq!((plan.path_mtu, plan.family), (PathMtu::Do, Family::V6));
        assert_eq!(plan.pattern, [0xbe, 0xef]);
        assert_eq!(plan.vlan, Some(VlanTag { id: 7, priority: 5 }));
        assert!(plan.histogram && plan.wall_clock && !plan.each);
        assert_eq!(plan.targets, ["a", "b"]);
        assert_eq!((plan.config.batch, plan.config.frames), (16, Some(4000)));
        assert_eq!(plan.config.frame_size, 4096);
    }

    #[test]
    fn every_letter_has_a_long_name() {
        let letters = "-c 10 -i 2ms -s 100 -W 0.5 -w 1m -t 3 -Q 184 -M do -6 -q -n -D -p beef -f a";
        let names = "--count 10 --interval 2ms --size 100 --timeout 0.5 --deadline 1m --ttl 3 \
             --tos 184 --pmtudisc do --ipv6 --quiet --numeric --timestamp --pattern beef --flood a";
        let debug = |line: &str| format!("{:?}", parse(line).unwrap());
        assert_eq!(debug(letters), debug(names));
        assert_eq!(parse("--ipv4 a").unwrap().family, Family::V4);
    }

    #[test]
    fn the_last_value_wins_and_flags_may_repeat() {
        let plan = parse("-c 1 --count 2 -c 3 -q -q --poll busy --poll syscall -n -n x").unwrap();
        assert_eq!(plan.count, Some(3));
        assert_eq!(plan.config.poller.to_string(), "syscall");
    }

    #[test]
    fn an_interface_and_an_address_may_be_given_both() {
        let place = |line: &str| {
            let plan = parse(line).unwrap();
            (plan.interface, plan.source.map(|source| source.to_string()))
        };
        let (eth0, ten) = (|| Some("eth0".to_owned()), || Some("10.0.0.1".to_owned()));
        assert_eq!(place("-I eth0 -I 10.0.0.1 x"), (eth0(), ten()));
        assert_eq!(place("-I 10.0.0.1 --interface eth0 x"), (eth0(), ten()));
        assert_eq!(place("-I eth1 -I eth0 x"), (eth0(), None));
        assert_eq!(place("-I ::1 -I 10.0.0.1 x"), (None, ten()));
    }

    #[test]
    fn no_time_is_no_limit_as_in_ping() {
        let plan = parse("-W 0 -w 0 x").unwrap();
        assert_eq!((plan.timeout, plan.deadline), (units::LONGEST, None));
        assert_eq!(plan.config.link_timeout, None);
    }

    #[test]
    fn a_flood_waits_for_replies_unless_an_interval_is_given() {
        let flood = parse("-f x").unwrap();
        assert!(flood.flood && flood.interval.is_zero());
        let paced = parse("-f -i 10ms x").unwrap();
        assert!(!paced.flood && paced.interval == Duration::from_millis(10));
        let rated = parse("-f --rate 10kpps x").unwrap();
        assert!(rated.flood && rated.rate == Some(10_000.0));
    }

    #[test]
    fn the_habits_of_fping_and_ping_reach_the_plan() {
        let plan = parse("-g 192.0.2.0/29 -A -O -b").unwrap();
        assert_eq!((plan.targets.len(), plan.targets[0].as_str()), (6, "192.0.2.1"));
        assert!(plan.adaptive && plan.outstanding && plan.broadcast && plan.count.is_none());
        assert_eq!(parse("--generate 192.0.2.7 192.0.2.9").unwrap().targets.len(), 3);
        for letter in ["-a", "-u"] {
            let plan = parse(&format!("{letter} a b")).unwrap();
            assert_eq!((plan.count, plan.deadline, plan.each), (Some(1), Some(LIST_FOR), false));
            let plan = parse(&format!("{letter} -c 2 a")).unwrap();
            assert_eq!((plan.count, plan.deadline), (Some(2), None));
        }
        let file = std::env::temp_dir().join(format!("flux-targets-{}", std::process::id()));
        std::fs::write(&file, "a\n# none\n\nb # the second\n").unwrap();
        let read = parse(&format!("--file {} first", file.display()));
        std::fs::write(&file, "# none\n").unwrap();
        let none = parse(&format!("--file {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        let read = read.unwrap();
        assert_eq!(read.targets, ["first", "a", "b"]);
        assert_eq!(read.file.unwrap().lines, [1, 4]);
        assert!(none.unwrap_err().contains("has no target"));
        assert!(parse("--file /nowhere/at/all").unwrap_err().contains("cannot read targets"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_value_in_the_message() {
        let table = [
            ("", "TARGET"),
            ("--live --json x", "--json"),
            ("-4 -6 x", "--ipv6"),
            ("--rate 5 -i 1 x", "--rate"),
            ("-s 65508 x", "65508"),
            ("-s -1 x", "-1"),
            ("--packet-size 41 x", "'41'"),
            ("--packet-size 60 -s 10 x", "--size"),
            ("--backend packet x", "packet"),
            ("--tx live x", "live"),
            ("-c 0 x", "'0'"),
            ("-a -u x", "--unreachable"),
            ("-a -j x", "--alive"),
            ("-A -i 1 x", "--adaptive"),
            ("-g 10.0.0.0/8", "16777214 addresses"),
            ("-g", "TARGET"),
            ("-c 99999999999999999999 x", "99999999999999999999"),
            ("-i nan x", "nan"),
            ("-i -1 x", "-1"),
            ("-w 1e300 x", "1e300"),
            ("-t 0 x", "1 to 255"),
            ("-t 256 x", "1 to 255"),
            ("-Q 256 x", "256"),
            ("-M maybe x", "maybe"),
            ("-p xyz x", "xyz"),
            ("--vlan 4095 x", "4095"),
            ("--vlan 1:8 x", "1:8"),
            ("--rate fast x", "fast"),
            ("--batch 0 x", "'0'"),
            ("--batch 5k x", "'5k'"),
            ("--frame-size 3000 x", "'3000'"),
            ("--frames 1 x", "'1'"),
            ("--queue x x", "'x'"),
            ("--poll lazily x", "lazily"),
            ("--hugepages maybe x", "maybe"),
            ("--bind glue x", "glue"),
        ];
        for (line, want) in table {
            let Err(error) = parse(line) else { panic!("{line} was accepted") };
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
