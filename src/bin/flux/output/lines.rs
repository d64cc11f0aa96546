//! What an event comes to as text.

/// What an event says, by stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

impl Lines {
    /// A line for standard output.
    pub fn out(text: String) -> Self {
        Self { out: text, err: String::new() }
    }

    /// A line for standard error.
    pub fn err(text: String) -> Self {
        Self { out: String::new(), err: text }
    }
}
