//! Waiting for descriptors.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// What one descriptor is asked for, and what it answered.
pub(crate) type PollFd = libc::pollfd;

/// An entry that asks `fd` for `events`.
pub(crate) fn entry(fd: RawFd, events: libc::c_short) -> PollFd {
    PollFd { fd, events, revents: 0 }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Ready,
    Timeout,
    Signal,
}

/// Waits until one of `fds` is ready, at most for `timeout` (`None`: for ever).
pub(crate) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<Woken> {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(t.subsec_nanos() as i32),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let (list, len) = (fds.as_mut_ptr(), fds.len() as libc::nfds_t);
    // SAFETY: `list` spans `len` entries of an exclusive borrow, and the timeout is null or lives
    // on this frame; no signal mask is given.
    let ready = unsafe { libc::ppoll(list, len, timeout, std::ptr::null()) };
    match super::check(ready) {
        Ok(0) => Ok(Woken::Timeout),
        Ok(_) => Ok(Woken::Ready),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Woken::Signal),
        Err(e) => Err(e),
    }
}

/// Waits for nothing but time to pass.
pub(crate) fn pause(time: Duration) {
    let _ = poll(&mut [], Some(time)); // ends early on a signal, as the callers' loops allow
}
