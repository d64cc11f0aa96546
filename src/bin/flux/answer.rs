//! How a command ends that could run.

/// How a command that could run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Exit status 0.
    Yes,
    /// Exit status 1.
    No,
    /// Some of what was asked for could not be done, and was told; the rest was. Exit status 2.
    Partly,
}
