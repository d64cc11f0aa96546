//! What routers tell behind the datagram that an ICMP error quotes: RFC 4884 and RFC 4950.
//!
//! ```text
//! ICMP header │ quoted datagram, padded │ version 2, checksum │ length class c-type payload │ …
//!   length ───┘ 32-bit words (ICMPv4)   └─ extension header   └─ object, e.g. MPLS labels
//!               64-bit words (ICMPv6)
//! ```
//!
//! Invariant: whatever the lengths say, what is yielded lies inside the message; a structure that
//! contradicts itself is none.

mod emit;
mod parse;

pub use emit::{MplsEntry, emit};
pub use parse::{ErrorBody, Extensions, LabelEntry, LabelStack, Object, Objects};

/// Bytes of original datagram in front of extensions, at least: where receivers look that know
/// no length field (RFC 4884 §5.1), and where senders older than that put them.
pub const ORIGINAL_LEN: usize = 128;

/// Version of the extension structure: the only one there is.
pub const EXTENSION_VERSION: u8 = 2;

/// Class of MPLS label stacks (RFC 4950 §3).
pub const MPLS_CLASS: u8 = 1;

/// C-type of the label stack as the packet came in (RFC 4950 §3).
pub const MPLS_STACK: u8 = 1;

/// Length of the structure's and of an object's header.
const HEADER_LEN: usize = 4;
