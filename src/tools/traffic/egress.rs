//! [`Egress`]: where a source sends.

use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::sys::affinity;
use crate::sys::netns::NetNs;
use std::io;

/// Where a source sends: an interface, the namespace that has it, and the CPU to do it on.
pub struct Egress {
    pub(super) namespace: NetNs,
    pub(super) interface: &'static str,
    /// By the kernel's number.
    pub(super) index: u32,
    /// TX queue for sources that have a socket.
    pub(super) queue: u32,
    pub(super) cpu: usize,
}

impl Egress {
    /// Moves the calling thread to where it sends from, for good.
    pub(super) fn enter(&self) -> Result<()> {
        pin(self.cpu)?;
        self.namespace.enter().map_err(entering)
    }
}

/// Keeps the calling thread on `cpu`.
///
/// # Errors
/// When the machine has no such CPU, or not for us.
pub fn pin(cpu: usize) -> Result<()> {
    affinity::pin(cpu).map_err(|error| {
        let ours = affinity::allowed().unwrap_or_default();
        FluxError::config(format!("CPU {cpu}"), errno_text(&error))
            .with_hint(format!("this process may run on CPUs {ours:?}"))
            .with_source(error)
    })
}

/// Why there is no namespace, no pair, or no way into them.
pub(super) fn refused(what: &str, error: io::Error) -> FluxError {
    let (kind, hint) = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => (
            ErrorKind::Permission,
            "CAP_SYS_ADMIN (network namespaces) or CAP_NET_ADMIN (interfaces) is missing: run as \
             root; --sim needs none",
        ),
        Some(libc::EOPNOTSUPP) => (
            ErrorKind::Unsupported,
            "this kernel has no veth (CONFIG_VETH): name an interface, or use --sim",
        ),
        Some(libc::EINVAL) => (
            ErrorKind::Unsupported,
            "this kernel has no network namespaces (CONFIG_NET_NS): name an interface, or use --sim",
        ),
        Some(libc::ENOSPC) => (
            ErrorKind::System,
            "too many network namespaces: raise /proc/sys/user/max_net_namespaces",
        ),
        _ => (ErrorKind::System, "name an interface to measure on, or use --sim"),
    };
    FluxError::new(kind, format!("cannot make {what}"), errno_text(&error))
        .with_hint(hint)
        .with_source(error)
}

pub(super) fn entering(error: io::Error) -> FluxError {
    refused("a thread in a network namespace of our own", error)
}
