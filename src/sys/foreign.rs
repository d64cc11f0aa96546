//! AF_XDP sockets of other processes: found, taken for one look, and read.
//!
//! ```text
//!   Process::open(pid) ─▶ take(fd) ─▶ ForeignSocket ─▶ ring() ─▶ RingView ─▶ read()
//!                                     options, counters          one page, read-only
//! ```
//!
//! Invariant: nothing here changes a socket that is not ours. Who holds a [`ForeignSocket`] or a
//! [`RingView`] keeps the socket alive and its queue taken after its owner is gone: both are for
//! one look, and no longer.

use super::check;
use super::if_xdp::{AF_XDP, MmapOffsets, Ring, SO_BUSY_POLL, SO_PREFER_BUSY_POLL, Statistics};
use super::netns::NetNs;
use super::xsk::Xsk;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// `asm-generic/sockios.h`: a descriptor of the network namespace that a socket is in.
const SIOCGSKNS: libc::Ioctl = 0x894c;

/// No ring has more entries than this: 1 GiB of descriptors.
const MOST_ENTRIES: u64 = 1 << 26;

/// Whether this descriptor (`/proc/PID/fd/N`) is an AF_XDP socket. It is not taken, and nothing
/// is asked of a file system as long as it is a socket.
pub(crate) fn is_xdp(path: &CStr) -> io::Result<bool> {
    let name = c"system.sockprotoname";
    let mut value = [0u8; 32];
    let (place, room) = (value.as_mut_ptr().cast(), value.len());
    // SAFETY: reads two strings that end in NUL; writes at most `room` bytes, the size of `value`.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), place, room) };
    let Ok(len) = usize::try_from(len) else { return Err(io::Error::last_os_error()) };
    Ok(value.get(..len).is_some_and(|value| value.trim_ascii_end() == b"XDP\0" || value == b"XDP"))
}

/// Calls `each` with the number and the link (`socket:[4711]`) of each descriptor of a process;
/// those that are closed meanwhile are left out. It takes three quarters of the time that
/// `std::fs` needs, which starts at the root for every link.
///
/// EACCES where we may not look into it.
pub(crate) fn descriptors(pid: u32, mut each: impl FnMut(i32, &[u8])) -> io::Result<()> {
    let dir = File::open(format!("/proc/{pid}/fd"))?;
    let mut entries = [0u8; 4096];
    loop {
        let (fd, room) = (dir.as_raw_fd(), entries.len());
        // SAFETY: writes at most `room` bytes, the size of `entries`.
        let len = unsafe { libc::syscall(libc::SYS_getdents64, fd, entries.as_mut_ptr(), room) };
        let Ok(len) = usize::try_from(len) else { return Err(io::Error::last_os_error()) };
        if len == 0 {
            return Ok(());
        }
        let mut rest = entries.get(..len).unwrap_or_default();
        while let Some((name, next)) = entry(rest) {
            rest = next;
            let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) else {
                continue; // "." and ".."
            };
            let mut link = [0u8; 64];
            match read_link(&dir, name, &mut link) {
                Ok(link) => each(number, link),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The name of the first `struct linux_dirent64`, and those behind it.
fn entry(entries: &[u8]) -> Option<(&CStr, &[u8])> {
    const NAME: usize = 19; // behind inode, offset, length, type
    let len = usize::from(u16::from_ne_bytes(*entries.get(16..)?.first_chunk()?));
    let (entry, rest) = entries.split_at_checked(len)?;
    Some((CStr::from_bytes_until_nul(entry.get(NAME..)?).ok()?, rest))
}

/// The first bytes of a link.
fn read_link<'b>(dir: &File, name: &CStr, link: &'b mut [u8; 64]) -> io::Result<&'b [u8]> {
    let (fd, place, room) = (dir.as_raw_fd(), link.as_mut_ptr().cast(), link.len());
    // SAFETY: reads a string that ends in NUL; writes at most `room` bytes, the size of `link`.
    let len = unsafe { libc::readlinkat(fd, name.as_ptr(), place, room) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    Ok(link.get(..len).unwrap_or_default())
}

/// Another process, or our own, held by a descriptor so that its number cannot be used anew.
pub(crate) struct Process(OwnedFd);

impl Process {
    /// ESRCH when there is none; ENOSYS before Linux 5.3.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: takes two numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        Ok(Self(new_descriptor(fd)?))
    }

    /// A second descriptor of what the process has under `fd`. EPERM without CAP_SYS_PTRACE,
    /// ENOSYS before Linux 5.6, EBADF where there is no such descriptor.
    fn take(&self, fd: i32) -> io::Result<OwnedFd> {
        // SAFETY: takes three numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.0.as_raw_fd(), fd, 0) };
        new_descriptor(fd)
    }

    /// Whether descriptors can be taken on this kernel at all: tried on one of our own.
    pub(crate) fn try_on_ourselves() -> io::Result<()> {
        let ours = Self::open(std::process::id())?;
        ours.take(ours.0.as_raw_fd()).map(drop)
    }

    /// The AF_XDP socket that it has under `fd`, if it is (still) that with this inode number.
    pub(crate) fn socket(&self, fd: i32, inode: u64) -> io::Result<ForeignSocket> {
        let file = File::from(self.take(fd)?);
        let found = file.metadata()?.ino();
        let fd = OwnedFd::from(file);
        if found != inode || option(fd.as_fd(), libc::SO_DOMAIN)? != AF_XDP as u32 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(ForeignSocket(Xsk::existing(fd)))
    }
}

/// What a system call that makes a descriptor brought.
fn new_descriptor(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(libc::c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A 32-bit option of level SOL_SOCKET.
fn option(fd: BorrowedFd<'_>, name: libc::c_int) -> io::Result<u32> {
    let mut value = 0u32;
    let mut len = 4;
    let place = ptr::from_mut(&mut value).cast();
    // SAFETY: writes at most `len` bytes, the size of `value`.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, place, &raw mut len)
    })?;
    Ok(value)
}

/// An AF_XDP socket that another process owns; closed on drop.
pub(crate) struct ForeignSocket(Xsk);

impl ForeignSocket {
    pub(crate) fn statistics(&self) -> io::Result<Statistics> {
        self.0.statistics()
    }

    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        self.0.is_zero_copy()
    }

    pub(crate) fn mmap_offsets(&self) -> io::Result<MmapOffsets> {
        self.0.mmap_offsets()
    }

    pub(crate) fn prefers_busy_poll(&self) -> io::Result<bool> {
        Ok(option(self.0.as_fd(), SO_PREFER_BUSY_POLL)? != 0)
    }

    pub(crate) fn busy_poll_us(&self) -> io::Result<u32> {
        option(self.0.as_fd(), SO_BUSY_POLL)
    }

    /// The network namespace that it is in, which its owner may have left. EPERM without
    /// CAP_NET_ADMIN there.
    pub(crate) fn netns(&self) -> io::Result<NetNs> {
        // SAFETY: this request takes no argument and makes a descriptor.
        let fd = check(unsafe { libc::ioctl(self.0.raw_fd(), SIOCGSKNS) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(NetNs::existing(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Whether it is bound to an interface that is there. `None` where that cannot be found out.
    ///
    /// A receive call that would wait is refused by AF_XDP, after it has looked whether the socket
    /// is bound, and before it does anything. One that would not wait may wake the driver, so
    /// sockets that the owner made non-blocking are not asked. Not to be called before Linux
    /// 6.12: 5.11 and its next followers looked at the device first, whether there was one or not.
    pub(crate) fn is_bound(&self) -> Option<bool> {
        // SAFETY: takes numbers.
        let flags = check(unsafe { libc::fcntl(self.0.raw_fd(), libc::F_GETFL) }).ok()?;
        if flags & libc::O_NONBLOCK != 0 {
            return None;
        }
        let (nowhere, nobody, no_len) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: room for no byte and no address.
        let got = unsafe { libc::recvfrom(self.0.raw_fd(), nowhere, 0, 0, nobody, no_len) };
        if got >= 0 {
            return None;
        }
        match io::Error::last_os_error().raw_os_error()? {
            libc::ENXIO => Some(false),
            // Bound; without an RX ring; its interface down.
            libc::EOPNOTSUPP | libc::ENOBUFS | libc::ENETDOWN => Some(true),
            _ => None,
        }
    }

    /// The index words of one ring. EINVAL where the socket has no such ring; EBUSY where the
    /// kernel maps none now: before Linux 6.4 once it is bound, later once its interface is gone.
    pub(crate) fn ring(&self, ring: Ring, offsets: &MmapOffsets) -> io::Result<RingView> {
        let offset = offsets.of(ring);
        let page = Page::map(&self.0, ring, page_size())?;
        let place = |offset: u64| page.word(offset);
        let (producer, consumer) = (place(offset.producer)?, place(offset.consumer)?);
        let flags = place(offset.flags)?;
        Ok(RingView { producer, consumer, flags, _page: page })
    }

    /// How many entries the ring has. The kernel maps as many pages as it has and no more, and
    /// sizes are powers of two. `None` for a ring of one page, into which several sizes fit.
    pub(crate) fn entries(&self, ring: Ring, offsets: &MmapOffsets) -> Option<u32> {
        let page = page_size();
        let bytes = |entries: u64| {
            let bytes = entries.checked_mul(ring.entry_len())?;
            offsets.of(ring).desc.checked_add(bytes)?.checked_next_multiple_of(page)
        };
        let fits =
            |entries| bytes(entries).is_some_and(|len| Page::map(&self.0, ring, len).is_ok());
        let most = std::iter::successors(Some(1u64), |entries| Some(entries * 2))
            .take_while(|&entries| entries <= MOST_ENTRIES && fits(entries))
            .last()?;
        let certain = bytes(most)? > page && bytes(most / 2)? < bytes(most)?;
        u32::try_from(most).ok().filter(|_| certain)
    }
}

fn page_size() -> u64 {
    // SAFETY: takes a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The first bytes of a ring, mapped read-only; unmapped on drop.
///
/// Invariant: `base` spans `len` mapped, readable bytes until drop.
struct Page {
    base: NonNull<u8>,
    len: usize,
}

impl Page {
    fn map(socket: &Xsk, ring: Ring, len: u64) -> io::Result<Self> {
        let len =
            usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        let (fd, offset) = (socket.raw_fd(), ring.page_offset());
        // SAFETY: a new mapping at a place that the kernel chooses.
        let base = unsafe { libc::mmap64(ptr::null_mut(), len, prot, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len })
    }

    /// A pointer to the word at `offset`, if it lies inside and is aligned.
    fn word(&self, offset: u64) -> io::Result<NonNull<AtomicU32>> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's ring offsets");
        let start = usize::try_from(offset).map_err(|_| bad())?;
        let inside = start.checked_add(4).is_some_and(|end| end <= self.len);
        if !inside || !start.is_multiple_of(4) {
            return Err(bad());
        }
        // SAFETY: `start` is inside the mapping, as was just checked.
        Ok(unsafe { self.base.add(start) }.cast())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped in map() with this length, unmapped once; RingView's words go with it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// The index words of a ring.
///
/// Invariant: the three point into the page, which is mapped as long as this lives.
pub(crate) struct RingView {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    _page: Page,
}

/// What they said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingWords {
    pub(crate) producer: u32,
    pub(crate) consumer: u32,
    pub(crate) flags: u32,
}

impl RingView {
    /// Both indices as they stood at one moment, or nearly so when they never stand still.
    pub(crate) fn read(&self) -> RingWords {
        let mut consumer = load(&self.consumer);
        for _ in 0..8 {
            let producer = load(&self.producer);
            let again = load(&self.consumer);
            if again == consumer {
                return RingWords { producer, consumer, flags: load(&self.flags) };
            }
            consumer = again;
        }
        // Consumer first: the producer is ahead of it then, whatever happens in between.
        RingWords { producer: load(&self.producer), consumer, flags: load(&self.flags) }
    }
}

fn load(word: &NonNull<AtomicU32>) -> u32 {
    // SAFETY: RingView's invariant; an atomic load of four bytes reads from read-only memory, too.
    unsafe { word.as_ref() }.load(Ordering::Acquire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_socket_of_another_family_is_told_apart_and_not_taken() {
        let socket = UnixDatagram::unbound().unwrap();
        let fd = socket.as_raw_fd();
        let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap();
        assert!(!is_xdp(&path).unwrap());
        let file = File::from(OwnedFd::from(socket.try_clone().unwrap()));
        let inode = file.metadata().unwrap().ino();
        let ours = Process::open(std::process::id()).unwrap();
        for inode in [inode, inode + 1] {
            let error = ours.socket(fd, inode).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        }
    }

    #[test]
    fn all_descriptors_of_a_process_are_listed_with_their_links() {
        // More than one buffer full.
        let sockets: Vec<_> = (0..300).map(|_| UnixDatagram::unbound().unwrap()).collect();
        let mut found = std::collections::HashMap::new();
        descriptors(std::process::id(), |fd, link| {
            assert!(found.insert(fd, link.to_vec()).is_none(), "{fd} twice");
        })
        .unwrap();
        for socket in sockets {
            let fd = socket.as_raw_fd();
            let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            assert_eq!(found[&fd], link.as_os_str().as_encoded_bytes());
        }
        assert_eq!(entry(&[0; 18]), None);
        assert_eq!(entry(&[0xff; 24]), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        // Above the largest pid that Linux gives (2^22).
        let error = Process::open(1 << 23).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        assert!(is_xdp(c"/proc/self/fd/1000000").is_err());
    }
}
