//! Network namespaces without a name: gone with the last descriptor, thread and socket in them.
//!
//! No file is bound to them, so nothing is left to clean up, also when the process is killed.

use super::check;
#[cfg(feature = "tools")]
use std::fs::File;
use std::io;
#[cfg(feature = "tools")]
use std::os::fd::{AsFd, OwnedFd};
use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(feature = "tools")]
use std::os::unix::fs::MetadataExt;

/// One namespace, kept alive by this descriptor.
#[cfg(feature = "tools")]
#[derive(Debug)]
pub(crate) struct NetNs(OwnedFd);

#[cfg(feature = "tools")]
impl NetNs {
    /// A new one, empty but for a loopback interface that is down. The calling thread stays where
    /// it is. EPERM without CAP_SYS_ADMIN.
    pub(crate) fn create() -> io::Result<Self> {
        aside(|| {
            // SAFETY: takes a number; changes the namespace of this thread only, which ends soon.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            Self::current()
        })
    }

    /// The calling thread's. `/proc/self` would be the main thread's.
    pub(crate) fn current() -> io::Result<Self> {
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// That of this descriptor.
    pub(super) fn existing(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// That of a process. EACCES, or EPERM, where we may not look into it.
    pub(crate) fn of_process(pid: u32) -> io::Result<Self> {
        Ok(Self(File::open(format!("/proc/{pid}/ns/net"))?.into()))
    }

    /// Its inode number, as `ls -l /proc/PID/ns/net` shows it.
    pub(crate) fn inode(&self) -> io::Result<u32> {
        let inode = File::from(self.0.try_clone()?).metadata()?.ino();
        u32::try_from(inode).map_err(io::Error::other)
    }

    /// Moves the calling thread into it. Threads and processes started from there begin there.
    pub(crate) fn enter(&self) -> io::Result<()> {
        enter(self.0.as_fd())
    }

    /// A second descriptor of the same namespace.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Calls `f` on a thread inside. Sockets that it opens stay there, wherever they are used.
    pub(crate) fn inside<R: Send>(
        &self,
        f: impl FnOnce() -> io::Result<R> + Send,
    ) -> io::Result<R> {
        aside(|| {
            self.enter()?;
            f()
        })
    }
}

/// Moves the calling thread into the namespace of a descriptor. EINVAL when it is of none.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes two numbers; changes this thread's namespace only.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

#[cfg(feature = "tools")]
impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Calls `f` on a thread of its own and waits for it; a panic goes on in the caller.
#[cfg(feature = "tools")]
fn aside<R: Send>(f: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("flux-netns".into()).spawn_scoped(scope, f)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(feature = "tools")]
#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unwrap_used)] // a helper of tests
    fn inode(namespace: &NetNs) -> u32 {
        namespace.inode().unwrap()
    }

    #[test]
    fn a_new_namespace_leaves_the_calling_thread_where_it_is() {
        let Some(_turn) = crate::lab::as_root() else { return };
        let before = inode(&NetNs::current().unwrap());
        let created = NetNs::create().unwrap();
        assert_ne!(inode(&created), before);
        let inside = created.inside(|| Ok(inode(&NetNs::current()?))).unwrap();
        assert_eq!(inside, inode(&created));
        assert_eq!(inode(&NetNs::current().unwrap()), before);
    }
}
