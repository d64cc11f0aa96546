//! The generated skeletons: BPF objects and typed handles to their maps and programs.
//!
//! `build.rs` writes them with the feature `bpf-gen`. They lie under `sys` because generated code
//! is not written to the rules of the rest.

/// `bpf/redirect.bpf.c`.
#[allow(warnings, clippy::all, clippy::pedantic)]
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
#[allow(clippy::unwrap_used, clippy::expect_used, unsafe_op_in_unsafe_fn)]
pub(crate) mod redirect {
    include!("../../bpf/generated/redirect.skel.rs");
}

/// `bpf/source.bpf.c`.
#[cfg(feature = "tools")]
#[allow(warnings, clippy::all, clippy::pedantic)]
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
#[allow(clippy::unwrap_used, clippy::expect_used, unsafe_op_in_unsafe_fn)]
pub(crate) mod source {
    include!("../../bpf/generated/source.skel.rs");
}

/// `bpf/rings.bpf.c`.
#[cfg(feature = "tools")]
#[allow(warnings, clippy::all, clippy::pedantic)]
#[allow(missing_docs, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
#[allow(clippy::unwrap_used, clippy::expect_used, unsafe_op_in_unsafe_fn)]
pub(crate) mod rings {
    include!("../../bpf/generated/rings.skel.rs");
}
