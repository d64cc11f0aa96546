//! The bytes behind a UMEM: allocated (any OS), or mapped (what the kernel pins).

use crate::config::Pages;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ptr::NonNull;

/// What packet memory begins at a multiple of, and a power of two that divides its length.
pub(crate) const PAGE: usize = 4096;

enum Kind {
    Allocated(Layout),
    /// The user's, for as long as this value lives.
    Brought {
        _owner: Box<dyn Any + Send + Sync>,
    },
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    Mapped {
        pages: Pages,
        _mapping: crate::sys::mapping::Mapping,
    },
}

/// A page-aligned block of memory that is shared with the other side of the rings.
///
/// Made by the library where the builder is given none; memory of one's own is brought with
/// [`Region::from_raw`] and [`crate::FluxBuilder::memory`].
///
/// Invariant: `base` spans `len` valid bytes until drop. Who may touch which bytes is decided by
/// [`super::Frame`] tokens; the region itself hands out no safe access.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    kind: Kind,
}

// SAFETY: the raw pointer forbids the auto impl. The memory belongs to this value alone and is
// not tied to a thread.
unsafe impl Send for Region {}
// SAFETY: as above; access through `&Region` is unsafe and governed by unique Frame tokens.
unsafe impl Sync for Region {}

impl Region {
    /// `len` zeroed bytes from the allocator; `None` when there is not so much memory.
    pub(crate) fn allocate(len: usize) -> Option<Self> {
        let whole = len.max(PAGE).checked_next_multiple_of(PAGE)?;
        let layout = Layout::from_size_align(whole, PAGE).ok()?;
        // SAFETY: the layout has a size above zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { base, len, kind: Kind::Allocated(layout) })
    }

    /// `len` zeroed bytes from `mmap`, in pages of that kind.
    #[cfg(all(target_os = "linux", feature = "bpf"))]
    pub(crate) fn map(len: usize, pages: Pages) -> std::io::Result<Self> {
        let mapping = crate::sys::mapping::Mapping::anonymous(len, pages)?;
        Ok(Self { base: mapping.base(), len, kind: Kind::Mapped { pages, _mapping: mapping } })
    }

    /// `len` bytes at `base` that somebody else allocated (shared memory, memory of another library's
    /// pool). `owner` is dropped when the UMEM no longer needs them, and frees them if need be. The
    /// builder refuses memory that does not begin at a page of 4096 bytes or is no multiple of it
    /// long.
    ///
    /// # Safety
    /// The bytes are initialised, stay valid until `owner` is dropped, and are touched by nobody but
    /// through the UMEM as long as it lives.
    pub unsafe fn from_raw(base: NonNull<u8>, len: usize, owner: impl Any + Send + Sync) -> Self {
        Self { base, len, kind: Kind::Brought { _owner: Box::new(owner) } }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn pages(&self) -> Pages {
        match self.kind {
            Kind::Allocated(_) | Kind::Brought { .. } => Pages::Ordinary,
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Kind::Mapped { pages, .. } => pages,
        }
    }

    /// # Safety
    /// `offset + len` is inside the region, and nobody writes these bytes during `'_`.
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        debug_assert!(offset + len <= self.len);
        // SAFETY: inside the block, as the caller promises.
        let start = unsafe { self.base.add(offset) };
        // SAFETY: initialised (zeroed) memory, not written meanwhile, as the caller promises.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// # Safety
    /// `offset + len` is inside the region, and nobody else touches these bytes during `'_`.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // exclusive by the caller's promise
    pub(crate) unsafe fn slice_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        debug_assert!(offset + len <= self.len);
        // SAFETY: inside the block, as the caller promises.
        let start = unsafe { self.base.add(offset) };
        // SAFETY: initialised (zeroed) memory, touched by nobody else, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.kind {
            // SAFETY: allocated with this layout in allocate(), freed once.
            Kind::Allocated(layout) => unsafe { dealloc(self.base.as_ptr(), layout) },
            Kind::Brought { .. } => {}
            #[cfg(all(target_os = "linux", feature = "bpf"))]
            Kind::Mapped { .. } => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Memory of somebody else's, with a guard that goes when it does.
    pub(crate) fn brought(len: usize, guard: impl Any + Send + Sync) -> Region {
        let inner = Region::allocate(len).unwrap();
        let base = inner.base();
        // SAFETY: the owner keeps the block, which nobody else knows.
        unsafe { Region::from_raw(base, len, (inner, guard)) }
    }
}
