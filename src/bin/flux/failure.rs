//! Why a command could not do its work, in the words of the command line. `output` tells it.

use fluxnet::FluxError;
use fluxnet::error::{Advice, ErrorKind};
use std::fmt;

/// A command that ended before its answer.
#[derive(Debug)]
pub enum Failure {
    /// Nobody reads our output any more: a normal end.
    Closed,
    /// No command was given: the help, on standard error.
    Help(String),
    /// Everything else.
    Error {
        /// What is wrong, in one line.
        error: String,
        /// The next step.
        hint: Option<String>,
    },
}

impl Failure {
    /// A panic was caught at `place`.
    pub fn bug(place: &str) -> Self {
        Failure::Error {
            error: format!("internal error at {place}"),
            hint: Some("this is a bug in flux: please report it with the command line".into()),
        }
    }

    /// An operation of the command itself that the system refused.
    pub fn io(what: impl fmt::Display, source: &std::io::Error) -> Self {
        let cause = source.to_string();
        let cause = cause.split(" (os error").next().unwrap_or_default();
        Failure::Error { error: format!("{what}: {cause}"), hint: None }
    }

    /// The same with this next step.
    pub fn with_hint(self, next: &str) -> Self {
        match self {
            Failure::Error { error, .. } => Failure::Error { error, hint: Some(next.to_owned()) },
            other => other,
        }
    }
}

impl From<FluxError> for Failure {
    fn from(error: FluxError) -> Self {
        let hint = match (error.hint(), error.advice()) {
            (Some(hint), Some(advice)) => Some(in_options(hint, advice)),
            (hint, _) => hint.map(str::to_owned),
        };
        let mut text = error.to_string();
        if error.kind() == ErrorKind::Config
            && let Some(words) = text.strip_prefix("simulator ")
        {
            text = format!("--sim {words}");
        }
        Failure::Error { error: text, hint }
    }
}

/// The library's hint with our options in place of its words for the settings behind them.
fn in_options(hint: &str, advice: Advice) -> String {
    match (hint.strip_suffix(&advice.to_string()), options(advice)) {
        (Some(before), Some(options)) => format!("{before}{options}"),
        _ => hint.to_owned(),
    }
}

/// What takes the place of the advice's own words.
fn options(advice: Advice) -> Option<&'static str> {
    Some(match advice {
        Advice::FewerFrames => "fewer --frames",
        Advice::MoreFrames => "use more --frames or fewer queues",
        Advice::LargerFrames => "use --frame-size 4096",
        Advice::LongerLinkTimeout => "use a longer --link-timeout, or none",
        Advice::OneRun => "give the targets of both to one run",
        Advice::OtherQueue => "choose another --queue, or --queue all",
        Advice::FreeQueue => "choose another --queue, or stop its owner (`flux rings` names it)",
        Advice::CopyMode => "use --bind auto or --bind copy",
        Advice::CopyOrNativeMode => "use --bind auto or --bind copy, or --attach native",
        Advice::SkbMode => "use --attach skb",
        Advice::AnyPages => "use --hugepages auto",
        Advice::MissingNetRaw | Advice::MissingBpf => "--sim needs none",
        Advice::OtherKernel => "--sim runs on any kernel",
        Advice::OtherBuild => "use --sim",
        Advice::SimulatorWords => "e.g. --sim=loss=10%,delay=5ms,seed=7 or --sim=starved",
        _ => return None,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Closed => f.write_str("standard output was closed"),
            Failure::Help(text) => f.write_str(text),
            Failure::Error { error, .. } => f.write_str(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(error: FluxError) -> String {
        match Failure::from(error) {
            Failure::Error { hint, .. } => hint.unwrap_or_default(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_advice_of_the_library_is_given_in_options() {
        for &advice in Advice::ALL {
            let error = FluxError::config("x", "y").with_advice("because: ", advice);
            let hint = hint_of(error);
            let option = hint.strip_prefix("because: ").unwrap();
            let is_ours = option.contains("--") || advice == Advice::OneRun;
            assert!(is_ours && option != advice.to_string(), "{advice:?}: {hint}");
        }
        let error = FluxError::config("x", "y").with_hint("use more frames");
        assert_eq!(hint_of(error), "use more frames", "without advice it stays as it is");
    }

    #[cfg(unix)]
    #[test]
    fn what_the_system_refuses_is_told_with_the_option_that_helps() {
        use fluxnet::error::Op;
        let rights = "run as root, or \
            `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep` on the binary; \
            --sim needs none";
        let raw = format!("CAP_NET_RAW is missing: {rights}");
        let bpf = format!("CAP_NET_ADMIN, CAP_BPF or CAP_PERFMON is missing: {rights}");
        for (op, errno, said) in [
            (Op::Socket, libc::EPERM, raw.as_str()),
            (
                Op::Socket,
                libc::EAFNOSUPPORT,
                "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS); --sim runs on any kernel",
            ),
            (
                Op::RegisterUmem,
                libc::ENOBUFS,
                "the memlock limit is too low for the UMEM: `ulimit -l unlimited`, cap_ipc_lock on the binary, or fewer --frames",
            ),
            (
                Op::Bind,
                libc::EBUSY,
                "another AF_XDP socket owns this queue: choose another --queue, or stop its owner (`flux rings` names it)",
            ),
            (
                Op::Bind,
                libc::EOPNOTSUPP,
                "the driver has no zero-copy here: use --bind auto or --bind copy",
            ),
            (
                Op::Bind,
                libc::EINVAL,
                "no such queue: `ethtool -l eth0` lists how many the interface has",
            ),
            (Op::Load, libc::EPERM, bpf.as_str()),
            (Op::Kick, libc::EACCES, bpf.as_str()),
            (
                Op::Attach,
                libc::EBUSY,
                "another XDP program is attached, `ip -d link show eth0` names it: stop its owner; if it has none, `ip link set eth0 xdp off` detaches it",
            ),
            (
                Op::Attach,
                libc::ERANGE,
                "the MTU is too large for native XDP: lower it (on both ends of a veth), or use --attach skb",
            ),
            (Op::Attach, libc::EOPNOTSUPP, "the driver has no native XDP: use --attach skb"),
            (
                Op::Wait,
                libc::ENETDOWN,
                "the interface is missing, down, or was removed: `ip link` shows it, `ip link set eth0 up` raises it",
            ),
            (Op::Wait, libc::EIO, ""),
        ] {
            let source = std::io::Error::from_raw_os_error(errno);
            assert_eq!(hint_of(FluxError::os(op, "eth0", source)), said);
        }
    }

    #[test]
    fn what_the_simulated_machine_refuses_is_told_with_the_option_that_helps() {
        use fluxnet::simulator::{SimSpec, Simulator, Trouble, Troubles};
        use fluxnet::{BindMode, Config, FluxBuilder, Queues};
        let refused = |change: &dyn Fn(&mut Config), simulator: &Simulator| {
            let mut config = Config::new("lo0");
            change(&mut config);
            let builder = FluxBuilder::from_config(config).simulator(simulator);
            hint_of(builder.build_raw_queues().err().unwrap())
        };
        let plain = Simulator::loopback(20);
        assert_eq!(
            refused(&|c| c.queues = Queues::Only(vec![99]), &plain),
            "choose another --queue, or --queue all"
        );
        assert_eq!(refused(&|c| c.frames = Some(16), &plain), "use more --frames or fewer queues");
        let lies = Simulator::loopback(1);
        lies.set_troubles("lo0", Troubles::from(Trouble::NoZeroCopy)).unwrap();
        assert_eq!(
            refused(&|c| c.bind = BindMode::ZeroCopy, &lies),
            "the driver says that it has zero-copy, and refuses it: use --bind auto or --bind copy"
        );
        let error = "loss=300%".parse::<SimSpec>().unwrap_err();
        let Failure::Error { error, hint } = error.into() else { panic!("an error") };
        assert!(error.starts_with("--sim loss=300%: "), "{error}");
        assert_eq!(hint.unwrap(), "write loss=10%");
        let error = "colour=red".parse::<SimSpec>().unwrap_err();
        let Failure::Error { error, hint } = error.into() else { panic!("an error") };
        assert!(error.starts_with("--sim colour=red: "), "{error}");
        let hint = hint.unwrap();
        assert!(hint.starts_with("keys: loss, delay, "), "{hint}");
        let examples = "; e.g. --sim=loss=10%,delay=5ms,seed=7 or --sim=starved";
        assert!(hint.ends_with(examples), "{hint}");
    }
}
