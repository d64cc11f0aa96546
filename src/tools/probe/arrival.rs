//! [`Arrival`]: what a received frame was.

/// The time of arrival of what came at a time that nobody knows: before every probe was sent, so that
/// it makes no round-trip time.
pub(crate) const UNKNOWN: u64 = 0;

/// What a received frame was, to those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// About one of our probes, which leave by the link with this position.
    Ours(usize),
    /// A sound packet that is not.
    Foreign,
    /// Bytes that are no packet.
    Malformed,
}
