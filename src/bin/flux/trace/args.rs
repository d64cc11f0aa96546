//! What `flux trace` is asked, and the plan that makes.

use super::diff::DiffArgs;
use crate::socket_options::{Common, given};
use clap::Subcommand;
use fluxnet::FluxError;
use fluxnet::text::numbers as units;
use fluxnet::tools::host::Family;
use fluxnet::tools::probe::check_source;
use fluxnet::tools::trace::{
    AsTable, MAX_FLOWS, Multipath, Plan, Protocol, RATE, Rounds, SIZES, Strategy,
};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Probes per hop where the path is probed once.
const QUERIES: u8 = 3;
/// Rounds of `--live` where time is virtual: nothing would end such a run.
const VIRTUAL_ROUNDS: u64 = 10;

const EXAMPLES: &str = "\
Examples:
  flux trace --sim 203.0.113.7                  on the simulated network, no privilege needed
  flux trace --sim 203.0.113.7 --paths          every path, with 95 % confidence
  flux trace -n -T -p 443 192.0.2.1             TCP, as a browser's packets go
  flux trace -c 100 -i 0.2 192.0.2.1            loss and times per hop, as mtr --report
  flux trace --live 192.0.2.1                   the same, redrawn in place until q
  flux trace --mtu 192.0.2.1                    where which packet length ends
  flux trace -n --asn ip2asn-v4.tsv 192.0.2.1   with autonomous systems, as traceroute -A
  flux trace --json 192.0.2.1 > before.json     to keep, and some day
  flux trace diff before.json after.json        exit 1 where the path is another

Probes to all hops leave nearly at once, so a path is known after about one round trip.
They keep to one path, as all of them look the same to load balancers; --strategy classic gives
that up. The letters are those of traceroute and mtr, but -I is the interface: ICMP is --icmp.

Marks: * no answer, !H host, !N network, !P protocol unreachable, !X forbidden, !F-1400 too big
for the next hop, F=1400 its MTU, (NAT) a NAT before it rewrites probes, asymm 5 its answers
come over 5 hops, [open] and [closed] the target's TCP port.

Exit status:
  0  every target was reached
  1  a target was not; diff: something differs
  2  a target could not be used (no such name, no route; the others were probed), or it
     could not run, or not to its end (usage, permission, system, interface gone)";

/// Show the hops to a host, all of them at once, and with --paths every path
///
/// UDP probes with rising TTL, as traceroute; TCP, ICMP, rounds with statistics, path MTU, MPLS
/// labels and NATs on request or by themselves.
#[derive(clap::Args, Debug)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub struct Args {
    /// Two saved traces instead of a new one.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Names or addresses to trace
    #[arg(value_name = "TARGET", required = true)]
    pub target: Vec<String>,
    /// Highest TTL or hop limit, 1 to 255 [default: 30]
    #[arg(short, long, value_name = "HOPS", value_parser = hops, allow_negative_numbers = true)]
    pub max_hops: Option<u8>,
    /// First TTL or hop limit [default: 1]
    #[arg(short, long, value_name = "TTL", value_parser = hops, allow_negative_numbers = true)]
    pub first: Option<u8>,
    /// Probes per hop and round, 1 to 255 [default: 3; with -c and --live 1]
    #[arg(short, long, value_name = "N", value_parser = hops, allow_negative_numbers = true)]
    pub queries: Option<u8>,
    /// Longest wait for an answer: seconds, or 500ms; 0: without limit [default: 1s]
    ///
    /// As in traceroute it is cut to three times what the slowest answer of the same hop took, or
    /// ten times that of a hop behind it. Rounds (-c, --live) wait in full.
    #[arg(short, long, value_name = "TIME", value_parser = units::time, allow_negative_numbers = true)]
    pub wait: Option<Duration>,
    /// Wait in full, also where other answers were much sooner
    #[arg(long)]
    pub patient: bool,
    /// UDP probes; the default
    #[arg(short = 'U', long, group = "protocol")]
    pub udp: bool,
    /// TCP SYN probes; an answer is met with a reset, so no connection stays half open
    #[arg(short = 'T', long, group = "protocol")]
    pub tcp: bool,
    /// ICMP echo requests
    #[arg(long, group = "protocol")]
    pub icmp: bool,
    /// Destination port, 1 to 65535 [default: 33434; with -T 80]
    #[arg(short, long, value_name = "PORT", value_parser = port, conflicts_with = "icmp", allow_negative_numbers = true)]
    pub port: Option<u16>,
    /// How probes are told apart, and so what load balancers see [default: paris]
    ///
    /// paris keeps to one path: everything that routers hash stays the same. classic varies the
    /// port, as traceroute of old, and may jump between paths. dublin (UDP) keeps to one path and
    /// shows NATs that rewrite checksums.
    #[arg(long, value_name = "NAME", value_parser = strategy())]
    pub strategy: Option<Strategy>,
    /// Source address, which must be one of this machine's; -I takes one, too
    #[arg(short, long, value_name = "ADDR", value_parser = address)]
    pub source: Option<IpAddr>,
    /// TOS or traffic class byte, 184 or 0xb8 [default: 0]
    #[arg(short, long, value_name = "TOS", value_parser = units::byte, allow_negative_numbers = true)]
    pub tos: Option<u8>,
    /// Bytes of each IP packet, 28 to 65000 [default: 60]
    #[arg(long, value_name = "BYTES", value_parser = size, allow_negative_numbers = true)]
    pub size: Option<u16>,
    /// Bytes of each packet, from the Ethernet header on, the checksum at its end not counted
    ///
    /// Instead of --size: 74 is what --size 60 makes without a VLAN tag.
    #[arg(long, value_name = "BYTES", value_parser = packet_size, conflicts_with = "size", allow_negative_numbers = true)]
    pub packet_size: Option<u16>,
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Probe the path this many times and show statistics, as mtr; k and m are 1000 and 1000000
    #[arg(short, long, value_name = "ROUNDS", value_parser = units::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Time between the starts of two rounds: seconds, or 200ms [default: 1s]
    #[arg(short, long, value_name = "INTERVAL", value_parser = units::time, allow_negative_numbers = true)]
    pub interval: Option<Duration>,
    /// Probes per second over all targets, such as 1kpps [default: 10kpps]
    ///
    /// Those that are due within 10 ms leave together.
    #[arg(long, value_name = "RATE", value_parser = units::rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Find every path between here and the target, over many flows
    #[arg(long)]
    pub paths: bool,
    /// How sure --paths is to have missed no router, 50% to 99.99% [default: 95%]
    #[arg(long, value_name = "PERCENT", value_parser = confidence, requires = "paths", allow_negative_numbers = true)]
    pub confidence: Option<f64>,
    /// Most flows that --paths uses per target, 1 to 4096 [default: 1024]
    #[arg(long, value_name = "N", value_parser = flows, requires = "paths", allow_negative_numbers = true)]
    pub max_flows: Option<u16>,
    /// Find the path MTU, and the hop that larger packets do not pass
    #[arg(long)]
    pub mtu: bool,
    /// Do not look up names of addresses
    #[arg(short, long, help_heading = "Output")]
    pub numeric: bool,
    /// Show the autonomous system of each address, looked up in FILE
    ///
    /// FILE is a table of iptoasn.com (ip2asn-v4.tsv, -v6, -combined) or of CAIDA (pfx2as), not
    /// compressed. [AS64500] stands behind the address, [*] where nobody announces it.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Output")]
    pub asn: Option<PathBuf>,
    /// A table with a row per router, as mtr --report; the default with -c
    #[arg(long, conflicts_with_all = ["json", "live"], help_heading = "Output")]
    pub report: bool,
    /// The same table redrawn in place after every round, until q or -c rounds
    ///
    /// Arrows scroll, n switches between names and addresses, p holds the picture. The table
    /// stays when it ends.
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub live: bool,
    /// A graph for Graphviz: flux trace --paths --dot TARGET | dot -Tsvg
    #[arg(long, conflicts_with_all = ["json", "live", "report"], help_heading = "Output")]
    pub dot: bool,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// What there is besides tracing.
#[derive(Debug, Subcommand)]
pub enum Command {
    Diff(DiffArgs),
}

/// What is printed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A line per hop, as traceroute.
    Hops,
    /// Routers and paths.
    Paths,
    /// Statistics per router, as mtr.
    Report,
    /// Graphviz.
    Dot,
}

impl Args {
    /// The run that is asked for. All checks that need no network are here.
    pub fn plan(&self, virtual_time: bool) -> Result<Plan, FluxError> {
        given(&self.target)?;
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        let source = self.source()?;
        check_source(source, family, &self.target)?;
        let rounds = match (self.count, self.live) {
            (Some(count), _) => Rounds::Count(count),
            (None, true) => Rounds::Endless,
            (None, false) => Rounds::Once,
        };
        let endless = rounds == Rounds::Endless;
        if self.interval.is_some() && rounds == Rounds::Once {
            let rule = "it is the time between two rounds, and there is only one";
            return Err(FluxError::config("-i", rule).with_hint("add -c or --live"));
        }
        let protocol = match (self.tcp, self.icmp) {
            (true, _) => Protocol::Tcp,
            (_, true) => Protocol::Icmp,
            _ => Protocol::Udp,
        };
        let json = self.common.output.json;
        Ok(Plan {
            targets: self.target.clone(),
            family,
            protocol,
            strategy: self.strategy.unwrap_or_default(),
            port: self.port.unwrap_or(protocol.default_port()),
            first: self.first.unwrap_or(1),
            max_hops: self.max_hops.unwrap_or(30),
            queries: self.queries.unwrap_or(if rounds == Rounds::Once { QUERIES } else { 1 }),
            wait: self.wait.map_or(Duration::from_secs(1), units::limit),
            patient: self.patient,
            source,
            interface: self.common.device(),
            tos: self.tos.unwrap_or(0),
            size: self.size,
            packet_size: self.packet_size,
            // Nobody could end what takes no time.
            rounds: if virtual_time && endless { Rounds::Count(VIRTUAL_ROUNDS) } else { rounds },
            interval: self.interval.unwrap_or(Duration::from_secs(1)),
            rate: self.rate.unwrap_or(RATE),
            paths: self.multipath(),
            mtu: self.mtu,
            names: !self.numeric,
            asns: self.asn.as_deref().map(AsTable::load).transpose()?.map(Arc::new),
            fit_frames: self.common.socket.frame_size.is_none(),
            each: json || self.view() == View::Hops,
            each_round: self.live,
            config: self.common.config(endless)?,
        })
    }

    /// What people get to see.
    pub fn view(&self) -> View {
        if self.dot {
            View::Dot
        } else if self.report || self.live || self.count.is_some() {
            View::Report
        } else if self.paths {
            View::Paths
        } else {
            View::Hops
        }
    }

    fn multipath(&self) -> Option<Multipath> {
        let default = Multipath::default();
        self.paths.then(|| Multipath {
            confidence: self.confidence.unwrap_or(default.confidence),
            max_flows: self.max_flows.unwrap_or(default.max_flows),
        })
    }

    /// The source address, which two options take.
    fn source(&self) -> Result<Option<IpAddr>, FluxError> {
        match (self.source, self.common.source()) {
            (Some(source), Some(other)) if source != other => {
                let why = format!("is not the source address that -s asks for, {source}");
                Err(FluxError::config(format!("-I {other}"), why)
                    .with_hint("give one of the two; -I takes the name of an interface, too"))
            }
            (source, other) => Ok(source.or(other)),
        }
    }
}

fn hops(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "must be 1 to 255".into())
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|&port| port > 0).ok_or_else(|| "must be 1 to 65535".into())
}

fn flows(text: &str) -> Result<u16, String> {
    let flows = text.parse().ok().filter(|flows| (1..=MAX_FLOWS).contains(flows));
    flows.ok_or_else(|| format!("must be 1 to {MAX_FLOWS}"))
}

fn size(text: &str) -> Result<u16, String> {
    let size = u16::try_from(units::bytes(text)?).ok();
    let size = size.filter(|size| (SIZES.0..=SIZES.1).contains(size));
    size.ok_or_else(|| format!("must be {} to {} bytes", SIZES.0, SIZES.1))
}

fn packet_size(text: &str) -> Result<u16, String> {
    let (least, most) = (usize::from(SIZES.0) + 14, usize::from(SIZES.1) + 14);
    let size = units::bytes_in(text, least, most)?;
    u16::try_from(size).map_err(|_| "is too large".into())
}

fn confidence(text: &str) -> Result<f64, String> {
    let share = units::percent(text)? / 100.0;
    let good = (0.5..=0.9999).contains(&share);
    if good { Ok(share) } else { Err("must be 50% to 99.99%".into()) }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "must be an address, such as 192.0.2.1 or 2001:db8::1".to_owned())
}

fn strategy() -> impl clap::builder::TypedValueParser<Value = Strategy> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(["paris", "classic", "dublin"]).map(|word| match word.as_str() {
        "classic" => Strategy::Classic,
        "dublin" => Strategy::Dublin,
        _ => Strategy::Paris,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket_options::parsed;

    fn args(line: &str) -> Result<Args, String> {
        parsed(std::iter::once("trace").chain(line.split_whitespace()))
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let plan = args(line)?.plan(false).map_err(|e| e.to_string())?;
        plan.check().map(|()| plan).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_three_udp_probes_to_thirty_hops_once() {
        let plan = plan("192.0.2.1").unwrap();
        assert_eq!((plan.first, plan.max_hops, plan.queries), (1, 30, 3));
        assert_eq!((plan.protocol, plan.port), (Protocol::Udp, 33_434));
        assert_eq!((plan.strategy, plan.rounds), (Strategy::Paris, Rounds::Once));
        assert_eq!((plan.wait, plan.patient), (Duration::from_secs(1), false));
        assert_eq!((plan.size, plan.paths, plan.mtu), (None, None, false));
        assert!(plan.each && plan.names && !plan.each_round);
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let given = plan(
            "-m 20 -f 2 -q 5 -w 500ms --patient -T -p 443 --strategy classic -s 10.0.0.1 -t 0xb8 \
             -4 -n -I eth0 -c 10k -i 0.2 --mtu --size 1k --rate 2kpps a b --batch 16",
        )
        .unwrap();
        assert_eq!((given.max_hops, given.first, given.queries), (20, 2, 5));
        assert_eq!((given.wait, given.patient), (Duration::from_millis(500), true));
        assert_eq!((given.protocol, given.port), (Protocol::Tcp, 443));
        assert_eq!((given.strategy, given.tos), (Strategy::Classic, 0xb8));
        assert_eq!(given.source, Some("10.0.0.1".parse().unwrap()));
        assert_eq!((given.family, given.names), (Family::V4, false));
        assert_eq!(given.interface.as_deref(), Some("eth0"));
        assert_eq!(given.rounds, Rounds::Count(10_000));
        assert_eq!(given.interval, Duration::from_millis(200));
        assert_eq!((given.mtu, given.size, given.rate), (true, Some(1024), 2000.0));
        assert_eq!((given.targets, given.config.batch), (vec!["a".into(), "b".into()], 16));

        let long = plan(
            "--max-hops 20 --first 2 --queries 5 --wait 0.5 --tcp --port 443 --tos 184 \
             --source ::1 --count 1 --interval 1 -6 a",
        )
        .unwrap();
        assert_eq!((long.max_hops, long.first, long.queries, long.port), (20, 2, 5, 443));
        assert_eq!((long.family, long.tos, long.rounds), (Family::V6, 184, Rounds::Count(1)));

        let paths = plan("--paths --confidence 99% --max-flows 64 --icmp a").unwrap();
        assert_eq!(paths.paths, Some(Multipath { confidence: 0.99, max_flows: 64 }));
        assert_eq!((paths.protocol, paths.port), (Protocol::Icmp, 0));
        assert_eq!(plan("--paths a").unwrap().paths, Some(Multipath::default()));
        assert_eq!(plan("-U a").unwrap().protocol, Protocol::Udp);
        assert_eq!(plan("--tcp a").unwrap().port, 80);
        assert_eq!(plan("--strategy dublin a").unwrap().strategy, Strategy::Dublin);
        let last = plan("--strategy dublin --strategy classic -m 3 -m 9 a").unwrap();
        assert_eq!((last.strategy, last.max_hops), (Strategy::Classic, 9), "the last one wins");
        let both = plan("-I eth0 -I 10.0.0.1 --packet-size 74 --ipv4 --numeric a").unwrap();
        assert_eq!((both.interface.as_deref(), both.packet_size), (Some("eth0"), Some(74)));
        assert_eq!(both.source, Some("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn rounds_take_one_probe_per_hop_unless_more_are_asked_for() {
        assert_eq!(plan("-c 5 a").unwrap().queries, 1);
        assert_eq!(plan("-c 5 -q 2 a").unwrap().queries, 2);
        let live = plan("--live a").unwrap();
        assert_eq!((live.queries, live.rounds, live.each_round), (1, Rounds::Endless, true));
        let rounds = |line: &str| args(line).unwrap().plan(true).unwrap().rounds;
        assert_eq!(rounds("--live a"), Rounds::Count(VIRTUAL_ROUNDS), "nobody could end it");
        assert_eq!((rounds("--live -c 3 a"), rounds("a")), (Rounds::Count(3), Rounds::Once));
        let counted = plan("--live -c 3 a").unwrap();
        assert_eq!((counted.rounds, counted.each_round), (Rounds::Count(3), true));
    }

    #[test]
    fn single_answers_are_reported_where_they_are_shown() {
        let table = [
            ("a", View::Hops, true),
            ("--paths a", View::Paths, false),
            ("--report a", View::Report, false),
            ("--paths --report a", View::Report, false),
            ("-c 3 a", View::Report, false),
            ("--live a", View::Report, false),
            ("--dot a", View::Dot, false),
            ("-c 3 --json a", View::Report, true),
            ("--paths --json a", View::Paths, true),
        ];
        for (line, view, each) in table {
            let args = args(line).unwrap();
            assert_eq!((args.view(), args.plan(false).unwrap().each), (view, each), "trace {line}");
        }
    }

    #[test]
    fn diff_is_a_command_in_the_first_place_and_a_host_behind_an_option() {
        let Some(Command::Diff(diff)) = args("diff -j a.json b.json").unwrap().command else {
            panic!("no diff");
        };
        assert!(diff.json && diff.a.ends_with("a.json") && diff.b.ends_with("b.json"));
        assert_eq!(plan("-n -- diff").unwrap().targets, ["diff"]);
        assert_eq!(plan("-n diff a").unwrap().targets, ["diff", "a"]);
        assert!(args("diff a").is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_value_in_the_message() {
        let table = [
            ("", "TARGET"),
            ("-4 -6 a", "--ipv6"),
            ("-T -U a", "--udp"),
            ("-T --icmp a", "--icmp"),
            ("-U --icmp a", "--icmp"),
            ("--strategy dublin -T a", "dublin"),
            ("--strategy dublin --icmp a", "dublin"),
            ("--strategy classic --paths a", "classic"),
            ("--strategy tokyo a", "tokyo"),
            ("--json --dot a", "--dot"),
            ("--json --report a", "--report"),
            ("--json --live a", "--live"),
            ("--dot --live a", "--live"),
            ("--dot --report a", "--report"),
            ("--report --live a", "--live"),
            ("-p 0 a", "'0'"),
            ("-p 65536 a", "'65536'"),
            ("-p -1 a", "'-1'"),
            ("-p http a", "'http'"),
            ("-p 53 --icmp a", "--icmp"),
            ("-m 0 a", "'0'"),
            ("-m 256 a", "'256'"),
            ("-m -1 a", "'-1'"),
            ("-f 0 a", "'0'"),
            ("-f 9 -m 8 a", "first hop 9"),
            ("-f 31 a", "first hop 31"),
            ("-q 0 a", "'0'"),
            ("-q 256 a", "'256'"),
            ("-w nan a", "'nan'"),
            ("-w -1 a", "'-1'"),
            ("-w 1e300 a", "'1e300'"),
            ("-c 0 a", "'0'"),
            ("-i -1 -c 2 a", "'-1'"),
            ("-i 1 a", "-i"),
            ("-t 256 a", "'256'"),
            ("-s example.org a", "'example.org'"),
            ("-s 10.0.0.1 -6 a", "10.0.0.1"),
            ("-s 2001:db8::1 -4 a", "2001:db8::1"),
            ("-s 2001:db8::1 10.0.0.2", "2001:db8::1"),
            ("--size 27 a", "'27'"),
            ("--packet-size 41 a", "'41'"),
            ("--packet-size 65015 a", "'65015'"),
            ("--packet-size 74 --size 60 a", "--size"),
            ("-s 10.0.0.1 -I 10.0.0.2 a", "-I 10.0.0.2"),
            ("--size 65001 a", "'65001'"),
            ("--size 100k a", "'100k'"),
            ("--rate 0 a", "'0'"),
            ("--rate fast a", "'fast'"),
            ("--confidence 99% a", "--paths"),
            ("--max-flows 9 a", "--paths"),
            ("--paths --confidence 49% a", "'49%'"),
            ("--paths --confidence 100% a", "'100%'"),
            ("--paths --max-flows 0 a", "'0'"),
            ("--paths --max-flows 4097 a", "'4097'"),
            ("--paths -c 3 a", "--paths"),
            ("--paths --live a", "--paths"),
            ("--batch 0 a", "'0'"),
            ("--queue x a", "'x'"),
        ];
        for (line, want) in table {
            let Err(error) = plan(line) else { panic!("trace {line} was accepted") };
            assert!(error.contains(want), "trace {line}: {error}");
        }
        let mut empty = args("a").unwrap();
        empty.target = vec![" ".into()];
        assert!(empty.plan(false).unwrap_err().to_string().contains("target ' '"));
    }
}
