//! Raw IP sockets that hear what a classic BPF filter lets pass.

use super::check;
use libc::{c_int, c_void, socklen_t};
use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// Room for the ancillary data of a packet: time stamp, addresses, hop limit, length of fragments.
const CONTROL: usize = 256;

/// One socket of one family and protocol, which never waits.
pub(crate) struct RawSocket {
    fd: OwnedFd,
    v6: bool,
}

/// What is known of a packet besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) len: usize,
    pub(crate) ifindex: u32,
    /// When it came, in ns of the wall clock.
    pub(crate) wall_ns: Option<u64>,
    /// Length of the longest fragment, where it came in fragments.
    pub(crate) fragment: Option<u32>,
    /// Of IPv6, whose header is not among the bytes.
    pub(crate) from: Option<Ipv6Addr>,
    pub(crate) to: Option<Ipv6Addr>,
    pub(crate) hop_limit: u8,
}

/// Ancillary data, aligned as the kernel writes it.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl RawSocket {
    /// Hears packets of this protocol that `filter` returns a length for.
    pub(crate) fn open(v6: bool, protocol: u8, filter: &[libc::sock_filter]) -> io::Result<Self> {
        let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes three numbers.
        let fd = check(unsafe { libc::socket(family, kind, c_int::from(protocol)) })?;
        // SAFETY: a new descriptor, which nobody else owns.
        let socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, v6 };
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_ptr().cast_mut(), // the kernel reads it
        };
        socket.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        let on: c_int = 1;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
        let options: &[(c_int, c_int)] = if v6 {
            &[
                (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
                (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
                (libc::IPPROTO_IPV6, IPV6_RECVFRAGSIZE),
            ]
        } else {
            &[(libc::IPPROTO_IP, libc::IP_PKTINFO), (libc::IPPROTO_IP, IP_RECVFRAGSIZE)]
        };
        for &(level, option) in options {
            socket.set(level, option, &on)?;
        }
        Ok(socket)
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.v6
    }

    fn set<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        let (value, len) = (ptr::from_ref(value).cast::<c_void>(), size_of::<T>() as socklen_t);
        // SAFETY: reads `len` bytes, the size of the borrowed value; where that holds a pointer, it is
        // to a slice that lives through the call, as long as the value says.
        check(unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, option, value, len) })?;
        Ok(())
    }

    /// Takes a packet, cut to the buffer; `None` when none is there.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<Meta>> {
        let mut control = Control([0; CONTROL]);
        // SAFETY: all zeros is a value of this type.
        let mut from: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut place = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zeros is a value of this type.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_in6>() as socklen_t;
        message.msg_iov = &raw mut place;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
        // SAFETY: the message names an address, one buffer and ancillary room, each with its own length,
        // and all of them live through the call.
        let len = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        if len < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        let mut meta = Meta { len: len as usize, ..Meta::default() };
        if self.v6 && from.sin6_family == libc::AF_INET6 as libc::sa_family_t {
            meta.from = Some(Ipv6Addr::from(from.sin6_addr.s6_addr));
        }
        // SAFETY: the kernel filled the message in, and its ancillary data is in `control`, which lives.
        let mut at = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        while !at.is_null() {
            // SAFETY: a header inside of `control`, as CMSG_FIRSTHDR and CMSG_NXTHDR give it.
            let header = unsafe { ptr::read_unaligned(at) };
            // SAFETY: the data behind that header, as long as its length says.
            let data = unsafe { libc::CMSG_DATA(at) };
            meta.add(header.cmsg_level, header.cmsg_type, &bytes_at(data, &header, &control));
            // SAFETY: `at` is a header of this message.
            at = unsafe { libc::CMSG_NXTHDR(&raw const message, at) };
        }
        Ok(Some(meta))
    }
}

/// The first bytes of an ancillary datum, the rest zeros.
fn bytes_at(data: *const u8, header: &libc::cmsghdr, control: &Control) -> [u8; 20] {
    let mut bytes = [0; 20];
    let start = (data as usize).wrapping_sub(control.0.as_ptr() as usize);
    let head = size_of::<libc::cmsghdr>();
    #[allow(clippy::unnecessary_cast)] // another type with musl
    let len = (header.cmsg_len as usize).saturating_sub(head).min(bytes.len());
    if let Some(from) = control.0.get(start..start.saturating_add(len)) {
        bytes[..len].copy_from_slice(from);
    }
    bytes
}

const IP_RECVFRAGSIZE: c_int = 25; // linux/in.h
const IPV6_RECVFRAGSIZE: c_int = 77; // linux/in6.h

impl Meta {
    fn add(&mut self, level: c_int, kind: c_int, data: &[u8; 20]) {
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&data[at..at + 4]);
            u32::from_ne_bytes(bytes)
        };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => self.wall_ns = wall_ns(data),
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.ifindex = word(0),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let mut to = [0; 16];
                to.copy_from_slice(&data[..16]);
                self.to = Some(Ipv6Addr::from(to));
                self.ifindex = word(16);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => self.hop_limit = word(0) as u8,
            (libc::IPPROTO_IP, IP_RECVFRAGSIZE) | (libc::IPPROTO_IPV6, IPV6_RECVFRAGSIZE) => {
                self.fragment = Some(word(0)).filter(|&len| len > 0);
            }
            _ => {}
        }
    }
}

/// A `struct timespec` of this machine.
fn wall_ns(data: &[u8; 20]) -> Option<u64> {
    const WORD: usize = size_of::<libc::c_long>();
    let word = |at: usize| {
        let bytes = data.get(at..at + WORD)?.try_into().ok()?;
        u64::try_from(libc::c_long::from_ne_bytes(bytes)).ok()
    };
    word(0)?.checked_mul(1_000_000_000)?.checked_add(word(WORD)?)
}
