//! The one error type: what was being done, to what, why it did not go, and the next step.

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

/// The capabilities a real run needs, as `setcap` takes them.
pub const SETCAP: &str = "setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep";

/// An error with its operation, its object, its cause and, where there is one, the next step.
#[derive(Debug)]
pub struct FluxError {
    kind: ErrorKind,
    what: String,
    cause: String,
    hint: Option<String>,
    source: Option<io::Error>,
    /// Some queues on a UMEM have zero-copy and this one has not.
    partly_zero_copy: bool,
}

impl FluxError {
    /// An error from its parts: `what` could not be done (`cannot …`), because of `cause`.
    pub fn new(kind: ErrorKind, what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            cause: cause.into(),
            hint: None,
            source: None,
            partly_zero_copy: false,
        }
    }

    /// A value that cannot be used: `what` names it (`--batch 0`), `why` the rule it breaks.
    pub fn config(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, what, why)
    }

    /// A failed system operation on `object` (an interface, a queue).
    pub fn os(op: Op, object: impl fmt::Display, source: io::Error) -> Self {
        let (kind, hint) = diagnose(op, &source);
        Self {
            kind,
            what: format!("cannot {} {object}", op.verb()),
            cause: errno_text(&source),
            hint: hint.map(str::to_owned),
            source: Some(source),
            partly_zero_copy: false,
        }
    }

    /// A queue without zero-copy on a UMEM whose first queue has it.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    pub(crate) fn partly_zero_copy(queue: impl fmt::Display) -> Self {
        let why = "has no zero-copy, and all queues on a UMEM have it or none";
        let error = Self::new(ErrorKind::Unsupported, queue.to_string(), why);
        Self { partly_zero_copy: true, ..error }
    }

    /// Whether copy mode for all queues would do.
    pub(crate) fn is_partly_zero_copy(&self) -> bool {
        self.partly_zero_copy
    }

    /// The same error with this next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
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

/// Kind and next step of the errno/operation pairs that were provoked on Linux 6.18.
#[cfg(unix)]
fn diagnose(op: Op, source: &io::Error) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind as K;
    const NEEDS_RAW: &str = "CAP_NET_RAW is missing: run as root, or \
        `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep` on the binary; --sim needs none";
    const NEEDS_BPF: &str = "CAP_BPF and CAP_NET_ADMIN are missing: run as root, or \
        `setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep` on the binary; --sim needs none";
    match (op, source.raw_os_error()) {
        (Op::Socket, Some(libc::EPERM | libc::EACCES)) => (K::Permission, Some(NEEDS_RAW)),
        (Op::Socket, Some(libc::EAFNOSUPPORT)) => (
            K::Unsupported,
            Some("this kernel has no AF_XDP (CONFIG_XDP_SOCKETS); --sim runs on any kernel"),
        ),
        (Op::RegisterUmem, Some(libc::ENOBUFS | libc::ENOMEM)) => (
            K::Permission,
            Some(
                "the memlock limit is too low for the UMEM: `ulimit -l unlimited`, cap_ipc_lock on the binary, or fewer --frames",
            ),
        ),
        (Op::Bind, Some(libc::EBUSY)) => (
            K::Busy,
            Some(
                "another AF_XDP socket owns this queue: choose another --queue, or stop its owner (`flux rings` names it)",
            ),
        ),
        (Op::Bind, Some(libc::EOPNOTSUPP)) => (
            K::Unsupported,
            Some("the driver has no zero-copy here: use --bind auto or --bind copy"),
        ),
        (Op::Bind, Some(libc::EINVAL)) => {
            (K::Config, Some("no such queue: `ethtool -l IFACE` lists how many the interface has"))
        }
        (Op::Load | Op::Attach | Op::MapUpdate, Some(libc::EPERM | libc::EACCES)) => {
            (K::Permission, Some(NEEDS_BPF))
        }
        (Op::Attach, Some(libc::EBUSY | libc::EEXIST)) => (
            K::Busy,
            Some(
                "another XDP program is attached: `ip link show IFACE` names it, `ip link set IFACE xdp off` detaches it",
            ),
        ),
        (Op::Attach, Some(libc::ERANGE)) => (
            K::Config,
            Some(
                "the MTU is too large for native XDP: lower it (on both ends of a veth), or use --attach skb",
            ),
        ),
        (Op::Attach, Some(libc::EOPNOTSUPP)) => {
            (K::Unsupported, Some("the driver has no native XDP: use --attach skb"))
        }
        (_, Some(libc::ENODEV | libc::ENXIO | libc::ENETDOWN)) => (
            K::Device,
            Some(
                "the interface is missing, down, or was removed: `ip link` shows it, `ip link set IFACE up` raises it",
            ),
        ),
        (_, Some(libc::EPERM | libc::EACCES)) => (K::Permission, Some(NEEDS_BPF)),
        _ => (K::System, None),
    }
}

#[cfg(not(unix))]
fn diagnose(_op: Op, _source: &io::Error) -> (ErrorKind, Option<&'static str>) {
    (ErrorKind::System, None)
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
        assert!(error.hint().unwrap().contains("--queue"));
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn a_missing_capability_is_named_with_the_setcap_line_and_the_way_without() {
        for op in [Op::Socket, Op::Load, Op::Attach] {
            let error = FluxError::os(op, "eth0", io::Error::from_raw_os_error(libc::EPERM));
            assert_eq!(error.kind(), ErrorKind::Permission);
            let hint = error.hint().unwrap();
            assert!(hint.contains(SETCAP) && hint.contains("--sim"), "{hint}");
        }
    }
}
