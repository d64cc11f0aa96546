//! The only libc calls of the crate.
