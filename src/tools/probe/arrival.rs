//! [`Arrival`]: what a received frame was.

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
