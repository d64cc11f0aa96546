//! One question to the kernel's rtnetlink: it is answered for the calling thread's network namespace,
//! which sysfs need not show.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct nlmsghdr` and `struct ifinfomsg` (linux/netlink.h, linux/rtnetlink.h).
const HEADER: usize = 16;
const LINK: usize = 16;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
/// Leaves the statistics out of the answer.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// RX and TX queues that are allocated for an interface of the calling thread's network namespace;
/// those in use may be fewer.
pub(crate) fn allocated_queues(index: u32) -> io::Result<(u32, u32)> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes three numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let question = question(index);
    let (place, len) = (question.as_ptr().cast(), question.len());
    // SAFETY: reads `len` bytes of the question, which lives through the call.
    if unsafe { libc::send(fd.as_raw_fd(), place, len, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0u8; 1 << 16];
    let (place, room) = (answer.as_mut_ptr().cast(), answer.len());
    // SAFETY: writes at most `room` bytes into the buffer.
    let got = unsafe { libc::recv(fd.as_raw_fd(), place, room, 0) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    queues_in(&answer[..got]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// `RTM_GETLINK` for one interface.
fn question(index: u32) -> Vec<u8> {
    let len = (HEADER + LINK + 8) as u32;
    let header = [len.to_ne_bytes(), kind_and_flags(), 1u32.to_ne_bytes(), [0; 4]].concat();
    // Family and type are 0; then the index, flags, and which flags to change.
    let link = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
    let mask = [8u16.to_ne_bytes(), IFLA_EXT_MASK.to_ne_bytes()].concat();
    [header, link, mask, RTEXT_FILTER_SKIP_STATS.to_ne_bytes().to_vec()].concat()
}

fn kind_and_flags() -> [u8; 4] {
    let ([a, b], [c, d]) =
        (libc::RTM_GETLINK.to_ne_bytes(), (libc::NLM_F_REQUEST as u16).to_ne_bytes());
    [a, b, c, d]
}

/// The two numbers of an `RTM_NEWLINK`.
fn queues_in(answer: &[u8]) -> Option<(u32, u32)> {
    let word = |bytes: &[u8]| Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    if word(answer.get(4..)?)? != libc::RTM_NEWLINK {
        return None;
    }
    let (mut rx, mut tx) = (None, None);
    let mut rest = answer.get(HEADER + LINK..)?;
    while let (Some(len), Some(kind)) = (word(rest), rest.get(2..).and_then(word)) {
        let value = rest.get(4..usize::from(len))?;
        let number = || Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?));
        match kind {
            IFLA_NUM_RX_QUEUES => rx = number(),
            IFLA_NUM_TX_QUEUES => tx = number(),
            _ => {}
        }
        rest = rest.get(usize::from(len).next_multiple_of(4)..).unwrap_or_default();
    }
    Some((rx?, tx?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{self, Lab};
    use crate::sys::netdev;

    #[test]
    fn the_queues_of_an_interface_in_another_namespace_are_told() {
        let Some(_lab) = Lab::veth(3) else { return };
        let index = netdev::index(lab::OURS).unwrap();
        assert_eq!(allocated_queues(index).unwrap(), (3, 3));
        assert_eq!(allocated_queues(index + 1000).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_answer_that_is_cut_off_tells_nothing() {
        let mut answer = question(1);
        answer[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        for kind in [IFLA_NUM_RX_QUEUES, IFLA_NUM_TX_QUEUES] {
            answer.extend([8u16.to_ne_bytes(), kind.to_ne_bytes()].concat());
            answer.extend(u32::from(kind).to_ne_bytes());
        }
        assert_eq!(queues_in(&answer), Some((32, 31)));
        assert!((0..answer.len()).all(|len| queues_in(&answer[..len]).is_none()));
    }
}
