//! Memory mappings: the UMEM's pages and the rings of a socket.

use super::hugepages::{self, GIANT_PAGE, HUGE_PAGE};
use super::if_xdp::{Ring, RingOffset};
use crate::config::Pages;
use crate::ring::mem::{Owner, RingMem};
use crate::sync::{AtomicU32, UnsafeCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A mapping, unmapped on drop.
///
/// Invariant: `base` spans `len` mapped, readable and writable bytes until drop.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the raw pointer forbids the auto impl. A mapping belongs to the process, not to a
// thread, and this value hands out nothing but its address.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `len` zeroed bytes in pages of that kind, rounded up to whole ones. An error where there
    /// are not enough of them.
    pub(crate) fn anonymous(len: usize, pages: Pages) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let reserved = |page, size| {
            Self::map(len.next_multiple_of(page), flags | libc::MAP_HUGETLB | size, -1, 0)
        };
        match pages {
            Pages::Ordinary => {
                let mapping = Self::map(len, flags, -1, 0)?;
                // Where transparent pages are the rule: EINVAL where there is no such thing.
                let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
                Ok(mapping)
            }
            Pages::Huge => reserved(HUGE_PAGE, libc::MAP_HUGE_2MB),
            Pages::Giant => reserved(GIANT_PAGE, libc::MAP_HUGE_1GB),
            Pages::Transparent => Self::transparent(len.next_multiple_of(HUGE_PAGE), flags),
        }
    }

    /// `len` bytes, a multiple of the huge page, that begin at one and are backed by huge pages.
    fn transparent(len: usize, flags: i32) -> io::Result<Self> {
        let whole = Self::map(len + HUGE_PAGE, flags, -1, 0)?;
        let skip = whole.base.as_ptr().align_offset(HUGE_PAGE);
        // SAFETY: `skip` is below one huge page, by which `whole` is longer than `len`.
        let base = unsafe { whole.base.add(skip) };
        // SAFETY: `skip + len` is at most the length of `whole`.
        let tail = unsafe { base.add(len) };
        let (head, rest) = (whole.base, HUGE_PAGE - skip);
        std::mem::forget(whole);
        // Three mappings from here on, of which the outer two are given back.
        drop(Self { base: head, len: skip });
        drop(Self { base: tail, len: rest });
        let mapping = Self { base, len };
        mapping.advise(libc::MADV_HUGEPAGE)?;
        for offset in (0..len).step_by(HUGE_PAGE) {
            // SAFETY: inside the mapping.
            let page = unsafe { base.add(offset) };
            // SAFETY: mapped, writable, and nobody else's yet. The kernel finds the page now.
            unsafe { page.as_ptr().write_volatile(0) };
        }
        match hugepages::transparent_bytes(base.as_ptr() as usize) {
            Some(got) if got >= len => Ok(mapping),
            _ => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        }
    }

    fn advise(&self, advice: i32) -> io::Result<()> {
        // SAFETY: the mapping is ours, and both kinds of advice leave its contents alone.
        super::check(unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, advice) })?;
        Ok(())
    }

    fn map(len: usize, flags: i32, fd: i32, offset: libc::off64_t) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces none of ours.
        let base = unsafe { libc::mmap64(ptr::null_mut(), len, protection, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len })
    }

    /// The first byte; the page it is in is the mapping's first.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// A pointer to `count` values of `T` at `offset`, if they lie inside and are aligned.
    fn place<T>(&self, offset: u64, count: u32) -> io::Result<NonNull<T>> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's ring offsets");
        let start = usize::try_from(offset).map_err(|_| bad())?;
        let bytes = size_of::<T>().checked_mul(count as usize).ok_or_else(bad)?;
        let inside = start.checked_add(bytes).is_some_and(|end| end <= self.len);
        if !inside || !start.is_multiple_of(align_of::<T>()) {
            return Err(bad());
        }
        // SAFETY: `start` is inside the mapping, as was just checked.
        Ok(unsafe { self.base.add(start) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: mapped in map() with this length, unmapped once; whoever points into it keeps
        // it alive (RingMem's owner, Region).
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Maps `ring` of `socket`, which was given `size` entries of `T` (a power of two).
///
/// Of the two ends of a ring the kernel is one, so one `Producer` or `Consumer` may be made of
/// the result.
pub(crate) fn map_ring<T: Copy + Send>(
    socket: BorrowedFd<'_>,
    ring: Ring,
    offset: RingOffset,
    size: u32,
) -> io::Result<RingMem<T>> {
    debug_assert!(size.is_power_of_two());
    let bytes = u64::from(size) * size_of::<T>() as u64;
    let len = offset.desc.checked_add(bytes).and_then(|len| usize::try_from(len).ok());
    let len = len.ok_or_else(|| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    let mapping = Mapping::map(len, flags, socket.as_raw_fd(), ring.page_offset())?;
    let producer = mapping.place::<AtomicU32>(offset.producer, 1)?;
    let consumer = mapping.place::<AtomicU32>(offset.consumer, 1)?;
    let flags = mapping.place::<AtomicU32>(offset.flags, 1)?;
    let slots = mapping.place::<UnsafeCell<T>>(offset.desc, size)?;
    let owner: Owner = Arc::new(mapping);
    // RingMem's invariant: all four were placed inside the mapping, which the kernel zeroed and
    // which `owner` keeps.
    Ok(RingMem { producer, consumer, flags, slots, size, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_outside_the_mapping_or_misaligned_is_refused() {
        let mapping = Mapping::anonymous(4096, Pages::Ordinary).unwrap();
        assert!(mapping.place::<u64>(0, 512).is_ok());
        assert!(mapping.place::<u64>(4088, 1).is_ok());
        for (offset, count) in [(4, 1), (4096, 1), (0, 513), (u64::MAX - 7, 1), (8, u32::MAX)] {
            assert!(mapping.place::<u64>(offset, count).is_err(), "{offset} {count}");
        }
    }
}
