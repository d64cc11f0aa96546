//! The only libc calls of the crate.

#[cfg(feature = "tools")]
pub(crate) mod ethtool;
