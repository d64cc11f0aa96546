//! [`Listener`]: answers that the kernel's own stack gets, and no XDP program of ours.
//!
//! What comes in on another interface, in fragments, or too short to say whose it is goes on to the
//! stack. A socket beside the run hears it there; nothing is heard twice, since what the XDP program
//! redirected never gets there.

use super::HostError;
use std::ops::RangeInclusive;

/// What probes are, and by which answers to them are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probes {
    /// Echo requests with these identifiers.
    Echo(RangeInclusive<u16>),
    /// UDP datagrams from these ports.
    Udp(RangeInclusive<u16>),
    /// TCP segments from these ports.
    Tcp(RangeInclusive<u16>),
}

/// Which answers are listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// To what.
    pub probes: Probes,
    /// Over IPv4.
    pub v4: bool,
    /// Over IPv6.
    pub v6: bool,
}

/// A packet that the stack got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// The packet behind an Ethernet header, of which only the type is there.
    pub frame: &'a [u8],
    /// Index of the interface that it came in by; 0 where the kernel does not say.
    pub ifindex: u32,
    /// When it came, by the clock of the run; `None` where the kernel does not say.
    pub at_ns: Option<u64>,
    /// It came in fragments, the longest of which was an IP packet of so many bytes; 0 where that is
    /// not known.
    pub fragments: Option<u32>,
}

/// Hears what came to the stack.
pub trait Listener {
    /// Shows what came since the last call, without waiting. What else its filter lets pass is shown as
    /// well: whose an answer is, the caller finds out.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn hear(&mut self, take: &mut dyn FnMut(Heard<'_>)) -> Result<(), HostError>;
}
