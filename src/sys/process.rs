//! Who runs a process: our own user, and the one at the other end of a unix socket; and in which
//! network.

use super::check;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

/// A process and its user, as the kernel knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// 0 where it is not in our namespace of processes.
    pub(crate) process: u32,
    pub(crate) user: u32,
}

/// The effective user of this process.
pub(crate) fn user() -> u32 {
    // SAFETY: takes nothing, and never fails.
    unsafe { libc::geteuid() }
}

/// Inode number of the network namespace that the calling thread is in.
pub(crate) fn network() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
}

/// Who connected, or who listens where we connected to.
pub(crate) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of_val(&found) as libc::socklen_t;
    let (place, room) = ((&raw mut found).cast(), &raw mut len);
    let (fd, level, name) = (stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: writes at most `len` bytes of `found`, and the length, both on this frame.
    check(unsafe { libc::getsockopt(fd, level, name, place, room) })?;
    Ok(Peer { process: u32::try_from(found.pid).unwrap_or(0), user: found.uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_our_own_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer(&one).unwrap(), Peer { process: std::process::id(), user: user() });
    }
}
