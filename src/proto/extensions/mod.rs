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

mod parse;

pub use parse::{ErrorBody, Extensions, LabelEntry, LabelStack, Object, Objects};
