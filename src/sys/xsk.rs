//! One AF_XDP socket.

use super::check;
use super::if_xdp::{
    AF_XDP, Address, MmapOffsets, Options, Ring, SO_BUSY_POLL, SO_BUSY_POLL_BUDGET,
    SO_PREFER_BUSY_POLL, SOL_XDP, Statistics, UMEM_REG_LEN, UmemReg, XDP_MAX_TX_SKB_BUDGET,
    XDP_MMAP_OFFSETS, XDP_OPTIONS, XDP_OPTIONS_ZEROCOPY, XDP_STATISTICS, XDP_UMEM_REG,
};
use super::mapping::map_ring;
use crate::ring::mem::RingMem;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Values that the kernel may fill with any bytes.
///
/// # Safety
/// The type is `repr(C)`, all integers, without padding.
unsafe trait Plain: Default {}
// SAFETY: sixteen u64 (asserted in if_xdp).
unsafe impl Plain for MmapOffsets {}
// SAFETY: six u64 (asserted in if_xdp).
unsafe impl Plain for Statistics {}
// SAFETY: one u32 (asserted in if_xdp).
unsafe impl Plain for Options {}

/// An AF_XDP socket, closed on drop.
pub(crate) struct Xsk(OwnedFd);

impl Xsk {
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: takes three numbers.
        let fd = check(unsafe { libc::socket(AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// One that exists, for looking at it.
    #[cfg(feature = "tools")]
    pub(super) fn existing(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn set<T>(&self, level: i32, option: i32, value: &T, len: usize) -> io::Result<()> {
        debug_assert!(len <= size_of::<T>());
        let (value, len) = (ptr::from_ref(value).cast(), len as libc::socklen_t);
        // SAFETY: reads `len` bytes, at most the size of the borrowed value.
        check(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value, len) })?;
        Ok(())
    }

    fn get<T: Plain>(&self, option: i32) -> io::Result<T> {
        let mut value = T::default();
        let mut len = size_of::<T>() as libc::socklen_t;
        let place = ptr::from_mut(&mut value).cast();
        // SAFETY: writes at most `len` bytes, the size of `value`, for which any bytes are valid.
        let done =
            unsafe { libc::getsockopt(self.0.as_raw_fd(), SOL_XDP, option, place, &raw mut len) };
        check(done)?;
        if len as usize != size_of::<T>() {
            // Kernels before 5.4 answer in the shorter first version of these structs.
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        Ok(value)
    }

    /// Registers `umem` (page-aligned) as this socket's packet memory. Safe, since whoever binds
    /// keeps the memory mapped and the frames apart; the kernel pins the pages.
    pub(crate) fn register_umem(&self, addr: u64, len: u64, chunk_size: u32) -> io::Result<()> {
        let reg = UmemReg { addr, len, chunk_size, headroom: 0, flags: 0, zero: 0 };
        self.set(SOL_XDP, XDP_UMEM_REG, &reg, UMEM_REG_LEN)
    }

    pub(crate) fn size_ring(&self, ring: Ring, entries: u32) -> io::Result<()> {
        self.set(SOL_XDP, ring.option(), &entries, 4)
    }

    /// Lets one `sendto` send up to `frames` in copy mode. ENOPROTOOPT before Linux 6.18.
    pub(crate) fn set_tx_budget(&self, frames: u32) -> io::Result<()> {
        self.set(SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames, 4)
    }

    /// Asks that our system calls poll the device instead of its interrupts.
    pub(crate) fn set_busy_poll(&self, micros: u32, budget: u32) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, &1u32, 4)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL, &micros, 4)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, 4)
    }

    pub(crate) fn mmap_offsets(&self) -> io::Result<MmapOffsets> {
        self.get(XDP_MMAP_OFFSETS)
    }

    pub(crate) fn map_ring<T: Copy + Send>(
        &self,
        ring: Ring,
        offsets: &MmapOffsets,
        entries: u32,
    ) -> io::Result<RingMem<T>> {
        map_ring(self.0.as_fd(), ring, offsets.of(ring), entries)
    }

    /// Binds to a queue; `shared` is the socket whose UMEM to use.
    pub(crate) fn bind(
        &self,
        ifindex: u32,
        queue: u32,
        flags: u16,
        shared: Option<&Xsk>,
    ) -> io::Result<()> {
        let address = Address {
            family: AF_XDP as u16,
            flags,
            ifindex,
            queue,
            shared_umem_fd: shared.map_or(0, |xsk| xsk.raw_fd() as u32),
        };
        let (place, len) = (ptr::from_ref(&address).cast(), size_of::<Address>());
        // SAFETY: reads `len` bytes of the address, which lives through the call.
        check(unsafe { libc::bind(self.0.as_raw_fd(), place, len as libc::socklen_t) })?;
        Ok(())
    }

    /// Whether the bound socket is in zero-copy mode.
    pub(crate) fn is_zero_copy(&self) -> io::Result<bool> {
        Ok(self.get::<Options>(XDP_OPTIONS)?.flags & XDP_OPTIONS_ZEROCOPY != 0)
    }

    pub(crate) fn statistics(&self) -> io::Result<Statistics> {
        self.get(XDP_STATISTICS)
    }

    /// Tells the kernel to look at the TX ring; never blocks.
    pub(crate) fn wake_tx(&self) -> io::Result<()> {
        loop {
            // SAFETY: an empty message without an address.
            let sent = unsafe {
                libc::sendto(self.raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0)
            };
            match check(sent as libc::c_int) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(|_| ()),
            }
        }
    }

    /// Tells the kernel to look at the fill ring, and to poll the device if it was asked to poll
    /// busily; never blocks.
    pub(crate) fn wake_rx(&self) -> io::Result<()> {
        let (nowhere, nobody) = (ptr::null_mut(), ptr::null_mut());
        loop {
            // SAFETY: room for no byte and no address.
            let got = unsafe {
                libc::recvfrom(
                    self.raw_fd(),
                    nowhere,
                    0,
                    libc::MSG_DONTWAIT,
                    nobody,
                    ptr::null_mut(),
                )
            };
            match check(got as libc::c_int) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(|_| ()),
            }
        }
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How many AF_XDP sockets are open in the calling thread's network namespace, of all processes;
/// `None` where /proc does not say. One that was closed is not counted, though its queue may stay
/// taken for a while: `xp_release_deferred()` of net/xdp/xsk_buff_pool.c.
pub(crate) fn open_here() -> Option<usize> {
    in_use(&std::fs::read_to_string("/proc/thread-self/net/protocols").ok()?)
}

/// The column `sockets` of the protocol `XDP`.
fn in_use(protocols: &str) -> Option<usize> {
    let mut lines = protocols.lines();
    let column = lines.next()?.split_whitespace().position(|name| name == "sockets")?;
    let xdp = lines.find(|line| line.split_whitespace().next() == Some("XDP"))?;
    xdp.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_in_use_are_read_from_the_line_of_xdp() {
        let text = "protocol  size sockets  memory press maxhdr  slab module     cl co\n\
                    PACKET    1600      7      -1   NI       0   no   kernel      n  n\n\
                    XDP       1088      3      -1   NI       0   no   kernel      n  n\n";
        assert_eq!(in_use(text), Some(3));
        assert_eq!(in_use("protocol size sockets\nTCP 2 9\n"), None, "a kernel without AF_XDP");
        assert_eq!(in_use("protocol size\nXDP 1088\n"), None);
        assert_eq!(in_use("protocol size sockets\nXDP 1088\n"), None);
        assert_eq!(in_use(""), None);
    }

    #[test]
    fn a_closed_socket_is_not_counted_any_more() {
        let Some(lab) = crate::lab::Lab::veth(1) else { return };
        let count = || open_here().expect("/proc/thread-self/net/protocols");
        assert_eq!(count(), 0);
        let (one, two) = (Xsk::open().unwrap(), Xsk::open().unwrap());
        assert_eq!(count(), 2);
        // Those of other namespaces are not ours.
        assert_eq!(lab.in_peer(count), 0);
        drop(one);
        assert_eq!(count(), 1);
        drop(two);
        assert_eq!(count(), 0);
    }
}
