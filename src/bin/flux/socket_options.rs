//! The options of every command that opens a socket, and what they turn into.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fluxnet::simulator::{SimSpec, Trouble};
use fluxnet::text::numbers as units;
use fluxnet::tools::Env;
use fluxnet::tools::topology::{self, SimOptions};
use fluxnet::{AttachMode, BindMode, Config, FluxError, HugePages, Poller, Queues};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Heading of these options in the help.
pub const HEADING: &str = "Socket options";

/// How long a run that ends by itself waits for a lost link.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

/// A time; `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub struct LinkTimeout(Option<Duration>);

fn link_timeout(text: &str) -> Result<LinkTimeout, String> {
    match text {
        "none" => Ok(LinkTimeout(None)),
        _ => match units::time(text) {
            Ok(time) => Ok(LinkTimeout(Some(time))),
            Err(rule) => Err(format!("{rule}, or none")),
        },
    }
}

/// As typed; everything optional, so that the library's defaults stay the only ones.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct Common {
    /// Interface to use, or address to send from; without it the route to the target decides
    ///
    /// May be given twice, as in ping: -I eth0 -I 10.0.0.1 is both. An alternative name of the
    /// interface will do.
    #[arg(short = 'I', long, value_name = "IFACE|ADDRESS")]
    pub interface: Vec<String>,
    /// RX queues to open [default: all]
    ///
    /// One number, a range, a list, or all. Received packets are spread over the queues by the
    /// NIC, and a socket only gets its own queue's: with fewer than all, answers may be missed.
    #[arg(long, value_name = "N|N-M|N,M|all", value_parser = queues)]
    pub queue: Option<Queues>,
    /// How to wait for packets [default: adaptive]
    ///
    /// busy spins, syscall sleeps in poll(2), adaptive spins up to 2.5 ms, through short gaps
    /// between packets, and then sleeps.
    #[arg(long, value_name = "MODE", value_parser = keyword::<Poller>(&["busy", "adaptive", "syscall"]))]
    pub poll: Option<Poller>,
    /// Packets per batch, 1 to 4096 [default: 64]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<u32>,
    /// Use the simulated network instead of an interface; needs no privilege
    ///
    /// SPEC is a list such as loss=10%,delay=5ms,seed=7, or file=net.toml for a network of your own.
    /// `flux help sim` lists its keys and the networks. Time is virtual unless SPEC says realtime:
    /// the run ends at once.
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub sim: Option<String>,
    /// How sockets are opened.
    #[command(flatten)]
    pub socket: SocketOptions,
    /// What a lost link does.
    #[command(flatten)]
    pub link: LinkOptions,
    /// Put the UMEM in huge pages [default: auto]
    ///
    /// on takes reserved 2 MiB pages, 1g reserved 1 GiB pages, thp transparent ones; auto takes
    /// reserved ones where there are enough, else transparent ones, and says which it got.
    #[arg(long, value_name = "WHEN", value_parser = keyword::<HugePages>(HugePages::WORDS))]
    pub hugepages: Option<HugePages>,
    /// What is printed.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// How sockets are opened, where a command takes one value for all of them.
#[derive(Args, Clone, Debug)]
pub struct SocketOptions {
    /// What packets are received and sent with [default: auto]
    ///
    /// xdp is AF_XDP sockets, the only kind so far, and what auto takes. With --sim they are
    /// simulated.
    #[arg(long, value_name = "BACKEND", value_parser = ["auto", "xdp"])]
    pub backend: Option<String>,
    /// How packets are sent [default: auto]
    ///
    /// ring is the TX ring of an AF_XDP socket, the only way so far, and what auto takes.
    #[arg(long, value_name = "WAY", value_parser = ["auto", "ring"])]
    pub tx: Option<String>,
    /// Where the XDP program hooks in [default: auto]
    ///
    /// auto takes native where the driver has it, else skb, and says which it got.
    #[arg(long, value_name = "MODE", value_parser = keyword::<AttachMode>(AttachMode::WORDS))]
    pub attach: Option<AttachMode>,
    /// Copy packets or share memory with the NIC [default: auto]
    ///
    /// auto takes zerocopy where the driver has it, else copy, and says which it got.
    #[arg(long, value_name = "MODE", value_parser = keyword::<BindMode>(BindMode::WORDS))]
    pub bind: Option<BindMode>,
    /// UMEM frames over all queues, 16 to 1048576 [default: 4096]
    #[arg(long, value_name = "N", value_parser = frames, allow_negative_numbers = true)]
    pub frames: Option<u32>,
    /// Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]
    #[arg(long, value_name = "BYTES", value_parser = frame_size, allow_negative_numbers = true)]
    pub frame_size: Option<u32>,
}

impl SocketOptions {
    /// Whether any of them was given.
    pub fn given(&self) -> bool {
        let Self { backend, tx, attach, bind, frames, frame_size } = self;
        let words = backend.is_some() || tx.is_some() || attach.is_some() || bind.is_some();
        words || frames.is_some() || frame_size.is_some()
    }

    /// Puts what was asked for into `config`.
    pub fn apply(&self, config: &mut Config) {
        set(&mut config.attach, self.attach);
        set(&mut config.bind, self.bind);
        set(&mut config.frame_size, self.frame_size);
        config.frames = self.frames;
    }
}

/// What a lost link does, where a command holds sockets open.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct LinkOptions {
    /// How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]
    ///
    /// While the interface is down or has no carrier, nothing is sent; the run goes on when the link
    /// is back. After TIME it ends with an error.
    #[arg(long, value_name = "TIME|none", value_parser = link_timeout)]
    pub link_timeout: Option<LinkTimeout>,
}

impl LinkOptions {
    /// Puts what was asked for into `config`; `endless`: the run does not end by itself.
    pub fn apply(&self, config: &mut Config, endless: bool) {
        let usual = if endless { None } else { Some(LINK_TIMEOUT) };
        config.link_timeout = self.link_timeout.map_or(usual, |given| given.0);
    }
}

/// What is printed.
#[derive(Args, Clone, Debug)]
pub struct OutputOptions {
    /// One JSON object per line on standard output, also for errors
    #[arg(short, long, help_heading = "Output")]
    pub json: bool,
    /// Say more on standard error
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

impl Common {
    /// The interface that was named last.
    pub fn device(&self) -> Option<String> {
        self.interface.iter().rev().find(|word| word.parse::<IpAddr>().is_err()).cloned()
    }

    /// The source address that was named last.
    pub fn source(&self) -> Option<IpAddr> {
        self.interface.iter().rev().find_map(|word| word.parse().ok())
    }

    /// The socket options, checked; `endless`: the run does not end by itself.
    pub fn config(&self, endless: bool) -> Result<Config, FluxError> {
        let mut config = Config::new(self.device().unwrap_or_default());
        set(&mut config.queues, self.queue.clone());
        set(&mut config.poller, self.poll);
        set(&mut config.batch, self.batch);
        set(&mut config.huge_pages, self.hugepages);
        self.socket.apply(&mut config);
        self.link.apply(&mut config, endless);
        config.validate()?;
        Ok(config)
    }

    /// The world that was asked for, simulated or this machine's.
    pub fn world(&self) -> Result<World, FluxError> {
        let Some(spec) = &self.sim else {
            return Ok(World { env: Env::kernel()?, virtual_time: false });
        };
        let options: SimOptions = spec.parse()?;
        let virtual_time = !options.spec.realtime;
        Ok(World { env: Env::simulated(topology::simulator(options)?), virtual_time })
    }
}

/// Refuses targets that are empty words.
pub fn given(targets: &[String]) -> Result<(), FluxError> {
    match targets.iter().find(|name| name.trim().is_empty()) {
        Some(empty) => Err(FluxError::config(format!("target '{empty}'"), "it is empty")
            .with_hint("give the name or the address of a host")),
        None => Ok(()),
    }
}

/// Where a command runs.
pub struct World {
    /// Host and kernel.
    pub env: Env,
    /// Whether time is virtual: nothing has to be waited for.
    pub virtual_time: bool,
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// A parser for one of `words`, which clap also shows and completes.
pub fn keyword<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = FluxError> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

/// A parser for `on` and `off`.
pub fn on_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

/// The specification after `--sim`, of which `command` honours these keys and troubles only.
pub fn sim_spec(command: &str, text: &str, honoured: &[&str]) -> Result<SimOptions, FluxError> {
    let options = text.parse()?;
    let used = |key: &str| {
        let trouble = Trouble::named(key).map(Trouble::name);
        trouble.map_or(honoured.contains(&key), |trouble| honoured.contains(&trouble))
    };
    match SimSpec::parts(text).find(|(_, key)| !used(key)) {
        None => Ok(options),
        Some((part, _)) => {
            let why = format!("flux {command} has no use for it");
            let error = FluxError::config(format!("--sim {part}"), why);
            Err(error.with_hint(format!("it takes {}", honoured.join(", "))))
        }
    }
}

/// A parser for packets per batch.
pub fn batch(text: &str) -> Result<u32, String> {
    units::count_in(text, 1, 4096)
}

fn frames(text: &str) -> Result<u32, String> {
    units::count_in(text, 16, 1 << 20)
}

fn frame_size(text: &str) -> Result<u32, String> {
    match units::bytes(text)? {
        2048 => Ok(2048),
        4096 => Ok(4096),
        _ => Err("must be 2048 or 4096 bytes".into()),
    }
}

/// clap names the option and the value itself: only the rule is kept of the error.
pub fn queues(text: &str) -> Result<Queues, String> {
    text.parse::<Queues>().map_err(|error| {
        let error = error.to_string();
        error.split_once("': ").map_or(error.clone(), |(_, rule)| rule.to_owned())
    })
}

/// The options in `words`, the first of which is the command's name.
#[cfg(test)]
pub fn parsed<A: Args>(
    words: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> Result<A, String> {
    let command = A::augment_args(clap::Command::new("flux").args_override_self(true));
    let matches = command.try_get_matches_from(words).map_err(|e| e.to_string())?;
    A::from_arg_matches(&matches).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_target_is_refused_with_what_to_give() {
        for empty in ["", " "] {
            let error = given(&["a".to_owned(), empty.to_owned()]).unwrap_err();
            assert_eq!(error.to_string(), format!("target '{empty}': it is empty"));
            assert_eq!(error.hint(), Some("give the name or the address of a host"));
        }
        assert!(given(&["a".to_owned()]).is_ok());
    }
}
