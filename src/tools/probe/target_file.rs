//! [`TargetFile`]: on which lines of a file targets were read, for those that cannot be used.

use std::fmt;
use std::sync::Arc;

/// The file that the last targets of a run were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// As given.
    pub name: Arc<str>,
    /// The lines, counted from 1.
    pub lines: Vec<usize>,
}

/// Where a target was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: Arc<str>,
    line: usize,
}

impl TargetFile {
    /// Where the target at position `at` of `all` was read; `None`: not in the file.
    pub(super) fn place(&self, at: usize, all: usize) -> Option<Place> {
        let line = *self.lines.get(at.checked_sub(all.checked_sub(self.lines.len())?)?)?;
        Some(Place { file: Arc::clone(&self.name), line })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_file_are_behind_the_others() {
        let file = TargetFile { name: "hosts".into(), lines: vec![2, 7] };
        let place = |at| file.place(at, 3).map(|place| place.to_string());
        assert_eq!(place(0), None);
        assert_eq!(place(1).as_deref(), Some("hosts line 2"));
        assert_eq!((place(2).as_deref(), place(3)), (Some("hosts line 7"), None));
        assert_eq!(file.place(0, 1), None);
    }
}
