//! What is wrong with a file, and where.

use crate::error::FluxError;

/// What was read, or what is wrong there.
pub(crate) type Read<T> = Result<T, SyntaxError>;

/// Something wrong.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    /// Offset in the text; `None`: it is something that is not there.
    at: Option<usize>,
    what: String,
    hint: String,
}

impl SyntaxError {
    /// Something wrong at this offset, and what to do about it.
    pub(crate) fn at(at: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at: Some(at), what: what.into(), hint: hint.into() }
    }

    /// Something that is missing.
    pub(crate) fn missing(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at: None, what: what.into(), hint: hint.into() }
    }

    /// As the user is told.
    pub(crate) fn tell(self, name: &str, text: &str) -> FluxError {
        let place = match self.at {
            Some(at) => {
                let before = text.get(..at).unwrap_or(text);
                let line = 1 + before.matches('\n').count();
                let column = 1 + before.chars().rev().take_while(|&c| c != '\n').count();
                format!("{name} line {line}, column {column}")
            }
            None => name.to_owned(),
        };
        FluxError::config(place, self.what).with_hint(self.hint)
    }
}
