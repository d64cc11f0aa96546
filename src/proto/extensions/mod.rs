//! Extensions of ICMP errors (RFC 4884), and the one that everybody meets: the MPLS label stack of
//! the packet (RFC 4950).
//!
//! ```text
//! ICMP error: 8 bytes ┬ original datagram, padded ┬ version 2, checksum │ object │ object …
//!  with its length ───┘ to 128 bytes at least     └ object: length, class, C-type, payload
//! ```

mod emit;

pub use emit::{EXTENSION_VERSION, MPLS_CLASS, MPLS_STACK, MplsEntry, ORIGINAL_LEN, emit};
