//! Who holds each frame, checked in debug builds only.

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Holder {
    /// In the free list, or in a worker's cache.
    Free,
    /// A token in this process.
    User,
    /// Posted for reception: fill ring, kernel, or RX ring.
    Reception,
    /// Posted for transmission: TX ring, kernel, or completion ring.
    Transmission,
    /// A token in the simulated kernel, on the reception path.
    SimReception,
    /// A token in the simulated kernel, on the transmission path.
    SimTransmission,
}

/// One byte per frame in debug builds, nothing in release builds.
pub(crate) struct Ledger {
    #[cfg(debug_assertions)]
    holders: Box<[std::sync::atomic::AtomicU8]>,
}

#[cfg(debug_assertions)]
impl Ledger {
    pub(crate) fn new(frames: u32) -> Self {
        let free = |_| std::sync::atomic::AtomicU8::new(Holder::Free as u8);
        Self { holders: (0..frames).map(free).collect() }
    }

    /// Moves a frame from one holder to another; false when it was elsewhere, and then it stays.
    pub(crate) fn transfer(&self, frame: u32, from: Holder, to: Holder) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        self.holders[frame as usize]
            .compare_exchange(from as u8, to as u8, Relaxed, Relaxed)
            .is_ok()
    }

    /// Frames that `holder` has.
    pub(crate) fn count(&self, holder: Holder) -> Option<u32> {
        use std::sync::atomic::Ordering::Relaxed;
        Some(self.holders.iter().filter(|h| h.load(Relaxed) == holder as u8).count() as u32)
    }
}

#[cfg(not(debug_assertions))]
impl Ledger {
    pub(crate) fn new(_frames: u32) -> Self {
        Self {}
    }

    #[inline(always)]
    pub(crate) fn transfer(&self, _frame: u32, _from: Holder, _to: Holder) -> bool {
        true
    }

    pub(crate) fn count(&self, _holder: Holder) -> Option<u32> {
        None
    }
}
