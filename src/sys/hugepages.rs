//! How many huge pages the administrator reserved, and what transparent ones came to.

use std::fs::{self, File};
use std::io::Read;

/// Size of the usual huge page.
pub(crate) const HUGE_PAGE: usize = 2 << 20;
/// Size of the largest one.
pub(crate) const GIANT_PAGE: usize = 1 << 30;

/// Reserved and free huge pages of one size; zero where there is no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HugePageCount {
    pub(crate) total: usize,
    pub(crate) free: usize,
}

/// The counts of pages of `size` bytes now. Others may take pages at any time.
pub(crate) fn count(size: usize) -> HugePageCount {
    let kib = size >> 10;
    let read = |name: &str| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{name}");
        let text = fs::read_to_string(path).ok()?;
        text.trim().parse::<usize>().ok()
    };
    let (total, free) = (read("nr_hugepages"), read("free_hugepages"));
    // Reserved pages are promised to mappings that have not touched them yet.
    let promised = read("resv_hugepages").unwrap_or(0);
    HugePageCount { total: total.unwrap_or(0), free: free.unwrap_or(0).saturating_sub(promised) }
}

/// Bytes in transparent huge pages of the mapping that starts at `address`; `None` when there is
/// no such mapping.
pub(crate) fn transparent_bytes(address: usize) -> Option<usize> {
    // The kernel counts pages for each read: so there are to be few.
    let mut maps = String::with_capacity(1 << 16);
    File::open("/proc/self/smaps").ok()?.read_to_string(&mut maps).ok()?;
    let start = format!("{address:x}-");
    let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let line = lines.find_map(|line| line.strip_prefix("AnonHugePages:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
