//! Messages of rtnetlink about interfaces, both ways (`linux/rtnetlink.h`): the question, and what
//! answers and events consist of. Anybody may ask.
//!
//! Read by hand, as a few numbers are all that is wanted: a parser that must know every attribute
//! would miss the events of a newer kernel. Values are in native byte order.

use super::check;
use std::ffi::c_int;
use std::io;
use std::iter;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct ifinfomsg`, in front of the attributes.
pub(super) const IFINFO: usize = 16;
/// `NLA_TYPE_MASK`
const TYPE: u16 = 0x3fff;

/// A socket of the calling thread's network namespace, with these flags besides close-on-exec.
pub(super) fn socket(flags: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | flags;
    // SAFETY: takes three numbers.
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks for the interface with this index, with `NLM_F_DUMP` and 0 for all of them.
pub(super) fn ask(socket: &OwnedFd, flags: c_int, ifindex: u32) -> io::Result<()> {
    let mut question = [0u8; HEADER + IFINFO];
    question[..4].copy_from_slice(&((HEADER + IFINFO) as u32).to_ne_bytes());
    question[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    question[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    question[HEADER + 4..HEADER + 8].copy_from_slice(&ifindex.to_ne_bytes());
    let (at, len) = (question.as_ptr().cast(), question.len());
    // SAFETY: reads `len` bytes of the question, which lives through the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), at, len, 0) };
    check(sent as c_int).map(drop)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Splits what begins with its own length off, and leaves out its header; what follows begins at a
/// multiple of 4.
fn split<'a>(rest: &mut &'a [u8], len: usize, header: usize) -> Option<&'a [u8]> {
    let body = rest.get(header..len)?;
    *rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some(body)
}

/// Type and body of each message in a datagram; what is cut short is left out.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iter::from_fn(move || {
        let (len, kind) = (u32_at(rest, 0)?, u16_at(rest, 4)?);
        Some((kind, split(&mut rest, len as usize, HEADER)?))
    })
}

/// Number and value of each attribute; what is cut short is left out.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iter::from_fn(move || {
        let (len, kind) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
        Some((kind & TYPE, split(&mut rest, len.into(), 4)?))
    })
}
