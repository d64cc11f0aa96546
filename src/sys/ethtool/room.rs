//! Memory for answers whose length the kernel decides when it writes them.
//!
//! ```text
//!   │ writable: as long as was said before, and up to the page's end │ guard: not writable │
//! ```
//!
//! How many counters a driver has is asked first; when queues come in between, it writes more, and
//! older kernels do not look at how much was asked for. The guard makes that EFAULT: the kernel
//! copies upwards and stops at the first byte that it may not write.

use std::io;
use std::ptr::{self, NonNull};

/// Longer than any step that a copy takes.
const GUARD: usize = 1 << 16;

/// `len` writable bytes, and the guard behind them.
#[derive(Debug)]
pub(super) struct Room {
    start: NonNull<u8>,
    len: usize,
}

impl Room {
    /// At least `bytes` zeroed bytes.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        let page = page_size();
        let too_long = || io::Error::from_raw_os_error(libc::EOVERFLOW);
        let len = bytes.max(1).checked_next_multiple_of(page).ok_or_else(too_long)?;
        let whole = len.checked_add(GUARD).ok_or_else(too_long)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice replaces none of ours.
        let start = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        let room = Self { start, len };
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: whole pages of the mapping that was just made, which nobody else uses.
        super::super::check(unsafe { libc::mprotect(start.as_ptr().cast(), len, writable) })?;
        Ok(room)
    }

    /// What the kernel is given; behind the writable bytes it may not write.
    pub(super) fn as_ptr(&mut self) -> *mut libc::c_char {
        self.start.as_ptr().cast()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` mapped, initialised bytes, which only `&mut self` lets anybody write.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Writes native words from the start on.
    pub(super) fn put(&mut self, words: &[u32]) {
        // SAFETY: `len` mapped, initialised bytes, borrowed exclusively with `self`.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) };
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// The native word at byte `at`; 0 beyond the end.
    pub(super) fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes().get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: mapped in new() with this length, unmapped once; all borrows ended with `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len + GUARD) };
    }
}

fn page_size() -> usize {
    // SAFETY: takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

// SAFETY: the raw pointer forbids the auto impl. The mapping belongs to the process, not to a
// thread, and only this value points into it.
unsafe impl Send for Room {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_kernel_cannot_write_behind_the_room() {
        let mut room = Room::new(100).unwrap();
        let len = room.bytes().len();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&vec![7; len + 64]).unwrap();
        // SAFETY: behind the room there is memory that nobody may write to.
        let got = unsafe { libc::read(theirs.as_raw_fd(), room.as_ptr().cast(), len + 64) };
        assert!(got < 0 || got as usize <= len, "{got}");
        assert_eq!(room.word(len - 2), 0);
        room.put(&[1, 2, 3]);
        assert_eq!((room.word(0), room.word(8)), (1, 3));
    }
}
