//! An allocator that counts, by thread and in all.
#![allow(dead_code)] // each test takes what it needs

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
}

static EVERYWHERE: AtomicU64 = AtomicU64::new(0);

/// The system allocator, with a count.
struct Counting;

fn count() {
    HERE.with(|n| n.set(n.get() + 1));
    EVERYWHERE.fetch_add(1, Relaxed);
}

// SAFETY: everything is passed on to the system allocator; counting touches a thread-local Cell
// and an atomic, which need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while it does `work`.
pub fn allocations(work: impl FnOnce()) -> u64 {
    let before = HERE.with(Cell::get);
    work();
    HERE.with(Cell::get) - before
}

/// Allocations of all threads meanwhile: for a test that is alone in its process.
pub fn allocations_everywhere(work: impl FnOnce()) -> u64 {
    let before = EVERYWHERE.load(Relaxed);
    work();
    EVERYWHERE.load(Relaxed) - before
}
