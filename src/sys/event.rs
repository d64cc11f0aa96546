//! A descriptor that a thread makes readable to wake those who poll it: `eventfd(2)`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// One such descriptor.
pub(crate) struct Event(File);

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: plain system call without pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let fd = super::check(fd)?;
        // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable, if it is not.
    pub(crate) fn set(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes()); // fails when it counts 2^64 - 2: then it is set
    }

    /// Makes it unreadable, if it is not.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]); // fails when it is clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::{Woken, entry, poll};
    use std::time::Duration;

    #[test]
    fn it_is_readable_from_set_to_clear() {
        let event = Event::new().unwrap();
        let look = || poll(&mut [entry(event.raw_fd(), libc::POLLIN)], Some(Duration::ZERO));
        for _ in 0..2 {
            event.clear();
            assert_eq!(look().unwrap(), Woken::Timeout);
            event.set();
            event.set();
            assert_eq!(look().unwrap(), Woken::Ready);
            event.clear();
            assert_eq!(look().unwrap(), Woken::Timeout);
        }
    }
}
