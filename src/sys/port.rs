//! Ports that are ours although nothing listens there.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A socket that is bound to `port` at all addresses, of both families where there is IPv6.
pub(crate) fn bind(tcp: bool, port: u16) -> io::Result<OwnedFd> {
    match open(libc::AF_INET6, tcp) {
        Ok(socket) => bind6(socket, port),
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            bind4(open(libc::AF_INET, tcp)?, port)
        }
        Err(error) => Err(error),
    }
}

fn open(family: libc::c_int, tcp: bool) -> io::Result<OwnedFd> {
    let kind = if tcp { libc::SOCK_STREAM } else { libc::SOCK_DGRAM };
    // SAFETY: takes three numbers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bind6(socket: OwnedFd, port: u16) -> io::Result<OwnedFd> {
    let off: libc::c_int = 0;
    let (value, len) = ((&raw const off).cast(), size_of_val(&off) as libc::socklen_t);
    let (level, option) = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    // SAFETY: reads `len` bytes, the size of the number on this frame.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) })?;
    let address = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    };
    let (place, len) = ((&raw const address).cast(), size_of_val(&address) as libc::socklen_t);
    // SAFETY: reads `len` bytes, the size of the address on this frame.
    check(unsafe { libc::bind(socket.as_raw_fd(), place, len) })?;
    Ok(socket)
}

fn bind4(socket: OwnedFd, port: u16) -> io::Result<OwnedFd> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    };
    let (place, len) = ((&raw const address).cast(), size_of_val(&address) as libc::socklen_t);
    // SAFETY: reads `len` bytes, the size of the address on this frame.
    check(unsafe { libc::bind(socket.as_raw_fd(), place, len) })?;
    Ok(socket)
}
