//! The one error type: what was being done, to what, why it did not go, and the next step.

use crate::ids::PortIndex;
use std::fmt;
use std::io;

/// `Result` with [`FluxError`].
pub type Result<T, E = FluxError> = std::result::Result<T, E>;

/// What sort of trouble it is, for programs; people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that was asked for cannot be used.
    Config,
    /// A capability or a limit stands in the way.
    Permission,
    /// Somebody else holds the queue or the XDP hook.
    Busy,
    /// The kernel, the driver or this build does not have it.
    Unsupported,
    /// The interface is missing, down, or went away.
    Device,
    /// Somebody else detached the XDP program of an open interface.
    Detached,
    /// The link of an open interface has been away for longer than the link timeout. It may come back.
    NoLink,
    /// Names, addresses, routes, neighbours.
    Host,
    /// Any other failed system call.
    System,
}

/// The system operation that failed. Together with the errno it decides the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// `socket(AF_XDP)`
    Socket,
    /// `setsockopt(XDP_UMEM_REG)`
    RegisterUmem,
    /// `setsockopt(XDP_RX_RING …)`
    SizeRing,
    /// `mmap` of a ring or the UMEM
    Map,
    /// `bind(2)` to interface and queue
    Bind,
    /// Loading the XDP program
    Load,
    /// Attaching the XDP program
    Attach,
    /// A BPF map update
    MapUpdate,
    /// `sendto(2)`/`recvfrom(2)` that kicks the kernel
    Kick,
    /// `poll(2)`
    Wait,
    /// `getsockopt(2)`
    Query,
    /// Anything said over netlink or ioctl
    Netdev,
}

impl Op {
    fn verb(self) -> &'static str {
        match self {
            Op::Socket => "open an AF_XDP socket on",
            Op::RegisterUmem => "register the UMEM for",
            Op::SizeRing => "size the rings of",
            Op::Map => "map memory for",
            Op::Bind => "bind to",
            Op::Load => "load the XDP program for",
            Op::Attach => "attach XDP to",
            Op::MapUpdate => "update the XDP maps of",
            Op::Kick => "send on",
            Op::Wait => "wait on",
            Op::Query => "query",
            Op::Netdev => "read the settings of",
        }
    }
}

/// The next step as a value, for programs that name it in words of their own: an option of the
/// command line, a key of a configuration file. [`FluxError::hint`] has it in the words that its
/// `Display` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// There is not enough memory for the UMEM's frames, or no right to lock that much.
    FewerFrames,
    /// The UMEM has too few frames for the queues that share it.
    MoreFrames,
    /// The frames are too small for the MTU.
    LargerFrames,
    /// There is no such queue; the message says which there are.
    OtherQueue,
    /// Somebody else has the queue.
    FreeQueue,
    /// Zero-copy was asked for by name and cannot be had.
    CopyMode,
    /// Zero-copy was asked for by name together with a hook that cannot have it.
    CopyOrNativeMode,
    /// Native XDP was asked for by name and cannot be had.
    SkbMode,
    /// Pages of one kind were asked for by name and cannot be had.
    AnyPages,
    /// CAP_NET_RAW is missing.
    MissingNetRaw,
    /// CAP_NET_ADMIN, CAP_BPF or CAP_PERFMON is missing.
    MissingBpf,
    /// The kernel has no AF_XDP.
    OtherKernel,
    /// This build of the library cannot use a kernel.
    OtherBuild,
    /// The text is no description of a simulated machine.
    SimulatorWords,
    /// The link has been away for longer than the link timeout.
    LongerLinkTimeout,
    /// Another program like this one has the interface.
    OneRun,
}

impl Advice {
    /// Every piece of advice of this version, so that a program can check that it has words for
    /// each.
    pub const ALL: &[Advice] = &[
        Advice::FewerFrames,
        Advice::MoreFrames,
        Advice::LargerFrames,
        Advice::OtherQueue,
        Advice::FreeQueue,
        Advice::CopyMode,
        Advice::CopyOrNativeMode,
        Advice::SkbMode,
        Advice::AnyPages,
        Advice::MissingNetRaw,
        Advice::MissingBpf,
        Advice::OtherKernel,
        Advice::OtherBuild,
        Advice::SimulatorWords,
        Advice::LongerLinkTimeout,
        Advice::OneRun,
    ];
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Advice::FewerFrames => "fewer frames",
            Advice::MoreFrames => "use more frames or fewer queues",
            Advice::LargerFrames => "use frames of 4096 bytes",
            Advice::OtherQueue => "choose another queue, or all",
            Advice::FreeQueue => "choose another queue, or stop its owner",
            Advice::CopyMode => "bind in auto or copy mode",
            Advice::CopyOrNativeMode => "bind in auto or copy mode, or attach in native mode",
            Advice::SkbMode => "attach in skb mode",
            Advice::AnyPages => "set huge pages to auto",
            Advice::MissingNetRaw | Advice::MissingBpf => "the simulator needs none",
            Advice::OtherKernel => "the simulator runs on any kernel",
            Advice::OtherBuild => "use the simulator",
            Advice::SimulatorWords => "e.g. loss=10%,delay=5ms,seed=7 or starved",
            Advice::LongerLinkTimeout => "set a longer link timeout, or none",
            Advice::OneRun => "do the work of both in one program",
        })
    }
}

/// The capabilities a real run needs, as `setcap` takes them.
pub const SETCAP: &str = "setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep";

/// An error with its operation, its object, its cause and, where there is one, the next step.
///
/// `Display` writes what could not be done and why; the next step is [`hint`](Self::hint). `Debug`
/// writes both, because that is what a `main` that returns an error and `unwrap` show.
pub struct FluxError {
    kind: ErrorKind,
    what: String,
    cause: String,
    hint: Option<String>,
    advice: Option<Advice>,
    source: Option<io::Error>,
    /// Some queues on a UMEM have zero-copy and this one has not.
    partly_zero_copy: bool,
    port: Option<PortIndex>,
}

impl FluxError {
    /// An error from its parts: `what` could not be done (`cannot …`), because of `cause`.
    pub fn new(kind: ErrorKind, what: impl Into<String>, cause: impl Into<String>) -> Self {
        let (what, cause) = (what.into(), cause.into());
        let (hint, advice, source) = (None, None, None);
        Self { kind, what, cause, hint, advice, source, partly_zero_copy: false, port: None }
    }

    /// A value that cannot be used: `what` names it (`batch 0`), `why` the rule it breaks.
    pub fn config(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, what, why)
    }

    /// A failed system operation on `object` (an interface, a queue).
    pub fn os(op: Op, object: impl fmt::Display, source: io::Error) -> Self {
        let (kind, next) = diagnose(op, &source);
        let what = format!("cannot {} {object}", op.verb());
        let mut error = Self::new(kind, what, errno_text(&source));
        error.source = Some(source);
        // The object begins with the interface's name.
        let name = |hint: &str| {
            let what = object.to_string();
            let name = what.split(' ').next().unwrap_or("IFACE");
            hint.replace("IFACE", name)
        };
        match next {
            Next::Unknown => error,
            Next::Hint(hint) => error.with_hint(name(hint)),
            Next::Advice(before, advice) => error.with_advice(before, advice),
        }
    }

    /// A queue without zero-copy on a UMEM whose first queue has it.
    #[cfg(any(test, all(target_os = "linux", feature = "bpf")))]
    pub(crate) fn partly_zero_copy(queue: impl fmt::Display) -> Self {
        let why = "has no zero-copy, and all queues on a UMEM have it or none";
        let error = Self::new(ErrorKind::Unsupported, queue.to_string(), why);
        Self { partly_zero_copy: true, ..error }.with_advice("", Advice::CopyMode)
    }

    /// The same error, of this port.
    pub(crate) fn of_port(mut self, port: PortIndex) -> Self {
        self.port = Some(port);
        self
    }

    /// The port that it is about, where a port that was open is in trouble: what `remove_port` of
    /// each mode takes.
    #[must_use]
    pub fn port(&self) -> Option<PortIndex> {
        self.port
    }

    /// Whether copy mode for all queues would do.
    pub(crate) fn is_partly_zero_copy(&self) -> bool {
        self.partly_zero_copy
    }

    /// The same error with this next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self.advice = None;
        self
    }

    /// The same error with this next step, which programs can read too. The hint is `before` and
    /// the words of the advice.
    #[must_use]
    pub fn with_advice(mut self, before: impl fmt::Display, advice: Advice) -> Self {
        self.hint = Some(format!("{before}{advice}"));
        self.advice = Some(advice);
        self
    }

    /// The same error, with `place` before it: where what it is about was read.
    #[must_use]
    #[cfg(feature = "tools")]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// The same error with the system's own as its source.
    #[must_use]
    #[cfg(feature = "tools")]
    pub(crate) fn with_source(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// The same error with a cause that says more than the errno does.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// What sort of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The next step, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The next step for programs, where it is one that a setting of the library takes. The
    /// [`hint`](Self::hint) then ends with its words, so that others can be put in their place.
    ///
    /// ```
    /// use fluxnet::error::{Advice, FluxError, Op};
    /// let busy = std::io::Error::from_raw_os_error(16); // EBUSY
    /// let error = FluxError::os(Op::Bind, "eth0 queue 3", busy);
    /// # if cfg!(unix) {
    /// assert_eq!(error.advice(), Some(Advice::FreeQueue));
    /// # }
    /// ```
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        self.advice
    }

    /// The errno behind it, where there is one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.as_ref().and_then(io::Error::raw_os_error)
    }
}

impl fmt::Display for FluxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)
    }
}

impl fmt::Debug for FluxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for FluxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

/// The errno's text without Rust's "(os error N)" tail.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// What to do about an errno.
#[cfg_attr(not(unix), allow(dead_code))] // no errno is known there
enum Next {
    Unknown,
    Hint(&'static str),
    /// Words, and the advice whose own words follow them.
    Advice(&'static str, Advice),
}

/// Kind and next step of the errno/operation pairs that were provoked on Linux 6.18.
#[cfg(unix)]
fn diagnose(op: Op, source: &io::Error) -> (ErrorKind, Next) {
    use ErrorKind as K;
    const NEEDS_RAW: Next = Next::Advice(
        "CAP_NET_RAW is missing: run as root, or \
         `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep` on the binary; ",
        Advice::MissingNetRaw,
    );
    const NEEDS_BPF: Next = Next::Advice(
        "CAP_NET_ADMIN, CAP_BPF or CAP_PERFMON is missing: run as root, or \
         `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep` on the binary; ",
        Advice::MissingBpf,
    );
    match (op, source.raw_os_error()) {
        (Op::Socket, Some(libc::EPERM | libc::EACCES)) => (K::Permission, NEEDS_RAW),
        (Op::Socket, Some(libc::EAFNOSUPPORT)) => {
            let why = "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS); ";
            (K::Unsupported, Next::Advice(why, Advice::OtherKernel))
        }
        (Op::RegisterUmem, Some(libc::ENOBUFS | libc::ENOMEM)) => {
            let why = "the memlock limit is too low for the UMEM: `ulimit -l unlimited`, \
                       cap_ipc_lock on the binary, or ";
            (K::Permission, Next::Advice(why, Advice::FewerFrames))
        }
        (Op::Bind, Some(libc::EBUSY)) => {
            let why = "another AF_XDP socket owns this queue: ";
            (K::Busy, Next::Advice(why, Advice::FreeQueue))
        }
        (Op::Bind, Some(libc::EOPNOTSUPP)) => {
            let why = "the driver has no zero-copy here: ";
            (K::Unsupported, Next::Advice(why, Advice::CopyMode))
        }
        (Op::Bind, Some(libc::EINVAL)) => {
            let hint = "no such queue: `ethtool -l IFACE` lists how many the interface has";
            (K::Config, Next::Hint(hint))
        }
        (Op::Load | Op::Attach | Op::MapUpdate, Some(libc::EPERM | libc::EACCES)) => {
            (K::Permission, NEEDS_BPF)
        }
        (Op::Attach, Some(libc::EBUSY | libc::EEXIST)) => {
            let hint = "another XDP program is attached, `ip -d link show IFACE` names it: stop \
                        its owner; if it has none, `ip link set IFACE xdp off` detaches it";
            (K::Busy, Next::Hint(hint))
        }
        (Op::Attach, Some(libc::ERANGE)) => {
            let why = "the MTU is too large for native XDP: lower it (on both ends of a veth), or ";
            (K::Config, Next::Advice(why, Advice::SkbMode))
        }
        (Op::Attach, Some(libc::ENOSPC)) => {
            let why = "native XDP needs as many RX queues here as the other end has TX queues: \
                       `ethtool -L` changes their numbers, or ";
            (K::Config, Next::Advice(why, Advice::SkbMode))
        }
        (Op::Attach, Some(libc::EOPNOTSUPP)) => {
            (K::Unsupported, Next::Advice("the driver has no native XDP: ", Advice::SkbMode))
        }
        (_, Some(libc::ENODEV | libc::ENXIO | libc::ENETDOWN)) => {
            let hint = "the interface is missing, down, or was removed: `ip link` shows it, \
                        `ip link set IFACE up` raises it";
            (K::Device, Next::Hint(hint))
        }
        (_, Some(libc::EPERM | libc::EACCES)) => (K::Permission, NEEDS_BPF),
        (_, Some(libc::EMFILE)) => {
            (K::System, Next::Hint("raise the limit of open files: `ulimit -n`"))
        }
        _ => (K::System, Next::Unknown),
    }
}

#[cfg(not(unix))]
fn diagnose(_op: Op, _source: &io::Error) -> (ErrorKind, Next) {
    (ErrorKind::System, Next::Unknown)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_operation_object_cause_and_next_step() {
        let busy = io::Error::from_raw_os_error(libc::EBUSY);
        let error = FluxError::os(Op::Bind, "eth0 queue 3", busy);
        assert_eq!(error.to_string(), "cannot bind to eth0 queue 3: Device or resource busy");
        assert_eq!(error.kind(), ErrorKind::Busy);
        let hint = "another AF_XDP socket owns this queue: choose another queue, or stop its owner";
        assert_eq!((error.hint(), error.advice()), (Some(hint), Some(Advice::FreeQueue)));
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn a_main_that_returns_an_error_shows_what_display_says_and_the_next_step() {
        let error = FluxError::config("batch 0", "must be 1 to 4096");
        assert_eq!(format!("{error:?}"), "batch 0: must be 1 to 4096");
        let error = error.with_hint("use 64");
        assert_eq!(format!("{error:?}"), "batch 0: must be 1 to 4096\nhint: use 64");
    }

    #[test]
    fn a_missing_capability_is_named_with_the_setcap_line_and_the_way_without() {
        for op in [Op::Socket, Op::Load, Op::Attach] {
            let error = FluxError::os(op, "eth0", io::Error::from_raw_os_error(libc::EPERM));
            assert_eq!(error.kind(), ErrorKind::Permission);
            let hint = error.hint().unwrap();
            assert!(hint.contains(SETCAP) && hint.contains("the simulator"), "{hint}");
        }
    }

    #[test]
    fn a_hint_with_advice_ends_with_its_words_and_another_hint_takes_it_back() {
        for &advice in Advice::ALL {
            let error = FluxError::config("x", "y").with_advice("because: ", advice);
            assert_eq!(error.advice(), Some(advice));
            assert_eq!(error.hint(), Some(&*format!("because: {advice}")));
            let error = error.with_hint("z");
            assert_eq!((error.hint(), error.advice()), (Some("z"), None));
        }
    }
}
