//! Big-endian fields of fixed-size headers. Arrays rather than slices, so that with a constant
//! offset the compiler proves the bounds and no accessor can panic.

#[inline(always)]
pub(super) const fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
pub(super) const fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// `M` bytes from `at`; the caller's constants keep `at + M <= N`.
#[inline(always)]
pub(super) fn array_at<const M: usize, const N: usize>(bytes: &[u8; N], at: usize) -> [u8; M] {
    let mut out = [0; M];
    out.copy_from_slice(&bytes[at..at + M]);
    out
}

#[inline(always)]
pub(super) fn put<const M: usize, const N: usize>(to: &mut [u8; N], at: usize, value: [u8; M]) {
    to[at..at + M].copy_from_slice(&value);
}
