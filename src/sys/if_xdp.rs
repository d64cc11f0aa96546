//! `linux/if_xdp.h`: what libc lacks, or has in a form that is wrong for us.
//!
//! libc's `xdp_umem_reg` ends in `tx_metadata_len`, which kernels before 6.8 do not know and
//! which would be uninitialised padding in theirs; the 28 bytes before it are what we send.

pub(crate) use libc::{
    AF_XDP, SOL_XDP, XDP_COPY, XDP_MMAP_OFFSETS, XDP_OPTIONS, XDP_OPTIONS_ZEROCOPY, XDP_RX_RING,
    XDP_SHARED_UMEM, XDP_STATISTICS, XDP_TX_RING, XDP_UMEM_COMPLETION_RING, XDP_UMEM_FILL_RING,
    XDP_UMEM_REG, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY,
};

/// `setsockopt` number of the most frames one `sendto` sends in copy mode (Linux 6.18).
pub(crate) const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

// asm-generic/socket.h
pub(crate) const SO_BUSY_POLL: libc::c_int = 46;
pub(crate) const SO_PREFER_BUSY_POLL: libc::c_int = 69;
pub(crate) const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// `struct xdp_umem_reg` up to `flags`, without the 4 bytes that pad it to 32.
#[repr(C)]
pub(crate) struct UmemReg {
    pub(crate) addr: u64,
    pub(crate) len: u64,
    pub(crate) chunk_size: u32,
    pub(crate) headroom: u32,
    pub(crate) flags: u32,
    /// `tx_metadata_len` since Linux 6.8, padding before: 0 is right for both.
    pub(crate) zero: u32,
}

/// `struct xdp_ring_offset`: byte offsets into the mapping of one ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingOffset {
    pub(crate) producer: u64,
    pub(crate) consumer: u64,
    pub(crate) desc: u64,
    pub(crate) flags: u64,
}

/// `struct xdp_mmap_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MmapOffsets {
    pub(crate) rx: RingOffset,
    pub(crate) tx: RingOffset,
    pub(crate) fill: RingOffset,
    pub(crate) comp: RingOffset,
}

/// `struct sockaddr_xdp`.
#[repr(C)]
pub(crate) struct Address {
    pub(crate) family: u16,
    pub(crate) flags: u16,
    pub(crate) ifindex: u32,
    pub(crate) queue: u32,
    pub(crate) shared_umem_fd: u32,
}

/// `struct xdp_statistics`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) rx_dropped: u64,
    pub(crate) rx_invalid_descs: u64,
    pub(crate) tx_invalid_descs: u64,
    pub(crate) rx_ring_full: u64,
    pub(crate) rx_fill_ring_empty_descs: u64,
    pub(crate) tx_ring_empty_descs: u64,
}

/// `struct xdp_options`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) flags: u32,
}

/// Length that `setsockopt(XDP_UMEM_REG)` is called with.
pub(crate) const UMEM_REG_LEN: usize = size_of::<UmemReg>();

const _: () = assert!(size_of::<UmemReg>() == 32);
const _: () = assert!(size_of::<RingOffset>() == 32);
const _: () = assert!(size_of::<MmapOffsets>() == 128);
const _: () = assert!(size_of::<Address>() == 16);
const _: () = assert!(size_of::<Address>() == size_of::<libc::sockaddr_xdp>());
const _: () = assert!(size_of::<Statistics>() == 48);
const _: () = assert!(size_of::<Options>() == 4);

/// The four rings of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    Rx,
    Tx,
    Fill,
    Comp,
}

impl Ring {
    /// `setsockopt` number that gives the ring its size.
    pub(crate) fn option(self) -> libc::c_int {
        match self {
            Ring::Rx => XDP_RX_RING,
            Ring::Tx => XDP_TX_RING,
            Ring::Fill => XDP_UMEM_FILL_RING,
            Ring::Comp => XDP_UMEM_COMPLETION_RING,
        }
    }

    /// Bytes of one entry.
    #[cfg(feature = "tools")]
    pub(crate) fn entry_len(self) -> u64 {
        match self {
            Ring::Rx | Ring::Tx => 16,
            Ring::Fill | Ring::Comp => 8,
        }
    }

    /// Offset to `mmap` it at.
    pub(crate) fn page_offset(self) -> libc::off64_t {
        match self {
            Ring::Rx => 0,
            Ring::Tx => 0x8000_0000,
            Ring::Fill => 0x1_0000_0000,
            Ring::Comp => 0x1_8000_0000,
        }
    }
}

impl MmapOffsets {
    pub(crate) fn of(&self, ring: Ring) -> RingOffset {
        match ring {
            Ring::Rx => self.rx,
            Ring::Tx => self.tx,
            Ring::Fill => self.fill,
            Ring::Comp => self.comp,
        }
    }
}
