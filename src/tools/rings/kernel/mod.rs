//! [`KernelObserver`]: the sockets and interfaces of the real machine.
//!
//! ```text
//!   iter    a BPF iterator over all open files      all there is to know
//!   pidfd   pidfd_getfd(2), rings mapped read-only  no BTF needed
//!   diag    NETLINK_SOCK_DIAG                       sizes and counters
//!
//!   interfaces    netlink and ethtool, in the namespace of the socket's owner
//! ```
//!
//! The first that works is taken, with the reasons why those before it do not.

mod diag;
mod interfaces;
mod iter;
mod names;
mod pidfd;
mod place;
mod walk;

use super::observe::{Clock, InterfaceKey, InterfaceSnapshot, Missing, Observer, Scan, Unseen};
use crate::error::{ErrorKind, FluxError, Result};
use crate::snapshot::{SocketSnapshot, Source};
use diag::DiagSockets;
use interfaces::{Interfaces, NamespaceHandle};
use iter::IterSockets;
use pidfd::PidfdSockets;
use std::collections::HashMap;
use std::time::Duration;

/// One way to look at all sockets of the machine.
trait Sockets {
    fn scan(&mut self) -> Result<Scan>;
}

type Open = fn() -> Result<Box<dyn Sockets>>;

/// The ways, best first.
const WAYS: [(Source, Open); 3] = [
    (Source::Iter, || Ok(Box::new(IterSockets::open()?))),
    (Source::Pidfd, || Ok(Box::new(PidfdSockets::open()?))),
    (Source::Diag, || Ok(Box::new(DiagSockets::open()?))),
];

/// The real machine.
pub struct KernelObserver {
    source: Source,
    sockets: Box<dyn Sockets>,
    interfaces: Interfaces,
    notes: Vec<String>,
    /// A socket in each of the namespaces of the last look.
    handles: HashMap<u32, NamespaceHandle>,
}

impl KernelObserver {
    /// By `wanted`, or else by the best source that works. It looks from the network namespace of
    /// the calling thread.
    ///
    /// # Errors
    /// When the wanted one, or none of them, works: what each needs.
    pub fn open(wanted: Option<Source>) -> Result<Self> {
        let interfaces = Interfaces::open()?;
        let mut notes = Vec::new();
        let mut failed = None;
        for (source, open) in WAYS {
            if wanted.is_some_and(|wanted| wanted != source) {
                continue;
            }
            match open() {
                Ok(sockets) => {
                    let handles = HashMap::new();
                    return Ok(Self { source, sockets, interfaces, notes, handles });
                }
                Err(error) => {
                    notes.push(format!("not by {}: {error}", source.name()));
                    // The best way is the one worth making work.
                    failed.get_or_insert(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            FluxError::new(ErrorKind::Config, "cannot look at AF_XDP sockets", "no such source")
        }))
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
        self.interfaces.find(name)
    }

    fn sockets(&mut self) -> Result<Scan> {
        self.interfaces.forget_unused();
        let mut scan = self.sockets.scan()?;
        scan.time_ns = crate::sys::clock::monotonic_ns();
        self.handles = scan.sockets.iter().filter_map(handle).collect();
        Ok(scan)
    }

    fn interface(&mut self, key: InterfaceKey) -> Option<InterfaceSnapshot> {
        let via = key.netns.and_then(|netns| self.handles.get(&netns));
        self.interfaces.snapshot(key, via)
    }

    fn namespace(&mut self, inode: u32) -> Option<String> {
        names::of(inode)
    }

    fn clock(&self) -> Clock {
        Clock::Machine
    }

    fn advance(&mut self, _time: Duration) -> Result<()> {
        Ok(())
    }
}

fn handle(socket: &SocketSnapshot) -> Option<(u32, NamespaceHandle)> {
    let owner = socket.owners.first()?;
    let handle = NamespaceHandle { pid: owner.pid, fd: owner.fd, socket: socket.inode? };
    Some((socket.netns?, handle))
}
