//! Unix sockets: connecting within a time, which std has for TCP alone.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest path of a socket in bytes; the NUL behind it has the last of the 108.
pub(crate) const LONGEST_PATH: usize = 107;
/// A stream that programs which we start do not inherit.
const SOCKET: libc::c_int = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
/// A send timeout of zero would be none.
const SHORTEST: Duration = Duration::from_millis(1);

/// Connects to who listens on `path`. `WouldBlock`: the queue of the listener was full for all of
/// `time`, as it is when its process is stopped.
pub(crate) fn connect(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + time;
    let address = address(path)?;
    // SAFETY: takes three numbers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, SOCKET, 0) })?;
    // SAFETY: a new descriptor, which nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let stream = UnixStream::from(fd);
    let (place, len) = ((&raw const address).cast(), size_of_val(&address) as libc::socklen_t);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        stream.set_write_timeout(Some(left.max(SHORTEST)))?; // connect(2) keeps to it as well
        // SAFETY: reads `len` bytes, the size of the address on this frame; its path ends in NUL.
        match check(unsafe { libc::connect(stream.as_raw_fd(), place, len) }) {
            Ok(_) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !left.is_zero() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Err(error) => return Err(error),
        }
    }
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let path = path.as_os_str().as_bytes();
    if path.is_empty() || path.len() > LONGEST_PATH || path.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let family = libc::AF_UNIX as libc::sa_family_t;
    let mut address = libc::sockaddr_un { sun_family: family, sun_path: [0; LONGEST_PATH + 1] };
    for (place, &byte) in address.sun_path.iter_mut().zip(path) {
        *place = byte as libc::c_char;
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_has_no_room_is_an_error() {
        let refused = |path: &str| address(Path::new(path)).is_err();
        assert!(!refused(&"x".repeat(LONGEST_PATH)) && refused(&"x".repeat(LONGEST_PATH + 1)));
        assert!(refused("") && refused("a\0b"));
    }
}
