//! How many 2 MiB pages the administrator reserved.

use std::fs;

/// Size of the huge pages that we use.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

const DIR: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Reserved and free 2 MiB pages; zero where there is no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HugePageCount {
    pub(crate) total: usize,
    pub(crate) free: usize,
}

/// The counts now. Others may take pages at any time.
pub(crate) fn count() -> HugePageCount {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("{DIR}/{name}")).ok()?;
        text.trim().parse::<usize>().ok()
    };
    let (total, free) = (read("nr_hugepages"), read("free_hugepages"));
    // Reserved pages are promised to mappings that have not touched them yet.
    let promised = read("resv_hugepages").unwrap_or(0);
    HugePageCount { total: total.unwrap_or(0), free: free.unwrap_or(0).saturating_sub(promised) }
}
