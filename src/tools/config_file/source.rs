//! The text of a file, and the way from it to what it says.

use super::{Read, SyntaxError};
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use std::io::Read as _;
use std::path::Path;
use toml::Spanned;
use toml::de::DeTable;

/// Longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Text with the name that errors call it by.
pub(crate) struct Source<'t> {
    pub(crate) name: String,
    pub(crate) text: std::borrow::Cow<'t, str>,
}

impl<'t> Source<'t> {
    /// Text that is there already.
    pub(crate) fn of(name: &str, text: &'t str) -> Self {
        Self { name: name.to_owned(), text: text.into() }
    }

    /// Reads a file. Errors call it a `what` (a topology file, say), with `hint`.
    pub(crate) fn load(path: &Path, what: &str, hint: &str) -> Result<Self> {
        let name = path.display().to_string();
        let refuse = |why: String| {
            FluxError::new(ErrorKind::Config, format!("cannot read {what} {name}"), why)
                .with_hint(hint)
        };
        let failed = |error: std::io::Error| refuse(errno_text(&error));
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // One byte more than is allowed tells that there is more, also of a device without an end.
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LONGEST {
            return Err(refuse("it is longer than 1 MiB".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
            refuse(format!("line {line} is not UTF-8"))
        })?;
        Ok(Self { name, text: text.into() })
    }

    /// What `read` makes of the text; its errors get the name, the line and the column.
    pub(crate) fn parse<T>(&self, read: impl FnOnce(&str) -> Read<T>) -> Result<T> {
        read(&self.text).map_err(|wrong| wrong.tell(&self.name, &self.text))
    }
}

/// The tables of `text`; `help` says where there is an example.
pub(crate) fn tables<'t>(text: &'t str, help: &str) -> Read<Spanned<DeTable<'t>>> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        SyntaxError::at(at, format!("no TOML: {}", error.message()), help)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Fields;
    use super::*;

    /// What is said of a text whose one key is `rate`, a whole number.
    fn said(text: &str) -> (String, String) {
        let read = |text: &str| {
            let table = tables(text, "an example is in the manual")?;
            let fields = Fields::new("the file", 0, table.get_ref(), &["rate", "[[rule]]"])?;
            fields.whole("rate", 1..=9)
        };
        let error = Source::of("fw.toml", text).parse(read).unwrap_err();
        (error.to_string(), error.hint().unwrap().to_owned())
    }

    #[test]
    fn a_mistake_has_its_line_and_column_in_characters() {
        let (what, hint) = said("# é\n\n  raet = 5\n");
        assert_eq!(what, "fw.toml line 3, column 3: unknown key 'raet' in the file");
        assert_eq!(hint, "did you mean 'rate'? known keys: rate, [[rule]]");
        let (what, hint) = said("\"é\" = 5");
        assert_eq!(what, "fw.toml line 1, column 1: unknown key 'é' in the file");
        assert_eq!(hint, "known keys: rate, [[rule]]");
        let (what, _) = said("rate = 10");
        assert!(what.starts_with("fw.toml line 1, column 8: rate "), "{what}");
        let (what, hint) = said("rate = 1\nrate =");
        assert!(what.starts_with("fw.toml line 2, column "), "{what}");
        assert_eq!(hint, "an example is in the manual");
    }

    #[test]
    fn what_is_no_file_of_settings_is_refused_with_the_hint() {
        let refused = |path: &str, why: &str| {
            let error = Source::load(Path::new(path), "rule file", "name another").err().unwrap();
            assert!(error.to_string().starts_with(&format!("cannot read rule file {path}: ")));
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.hint(), Some("name another"));
        };
        refused("no/such.toml", "");
        if cfg!(unix) {
            refused("/dev/zero", "longer than 1 MiB");
        }
    }
}
