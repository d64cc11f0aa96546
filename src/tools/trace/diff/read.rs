//! Reads what `flux trace --json` printed.

use super::earlier;
use crate::error::{ErrorKind, FluxError, Result, errno_text};
use crate::tools::trace::event::Summary;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

const HINT: &str = "`flux trace --json TARGET > FILE.json` writes what can be compared";

/// What is read of a saved run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The last summary of each target, in the order in which targets came first.
    pub summaries: Vec<Summary>,
    /// Why the run ended early, if it did.
    pub error: Option<String>,
}

/// The summaries in a file that `flux trace --json` wrote, or in one of summaries alone.
///
/// # Errors
/// When the file cannot be read, is not JSON, or has no summary.
pub fn read(path: impl AsRef<Path>) -> Result<Saved> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| {
        let what = format!("cannot read {}", path.display());
        FluxError::new(ErrorKind::System, what, errno_text(&error))
            .with_source(error)
            .with_hint(HINT)
    })?;
    parse(&bytes).map_err(|why| {
        FluxError::config(format!("cannot compare {}", path.display()), why).with_hint(HINT)
    })
}

/// The summaries in `bytes`, or why there are none.
pub(super) fn parse(bytes: &[u8]) -> Result<Saved, String> {
    let mut saved = Saved::default();
    let mut places = HashMap::new();
    let mut lines = Lines { bytes, at: 0, line: 1 };
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    loop {
        let line = lines.of_value_at(values.byte_offset());
        let value = match values.next() {
            None => break,
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(no_json(&error)),
        };
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            if let Some(command) = other_command(&value) {
                return Err(format!(
                    "line {line} was written by flux {command}, not by flux trace"
                ));
            }
            let why = |error: serde_json::Error| {
                format!("line {line} is a summary that flux {VERSION} does not read: {error}")
            };
            match kind(&value) {
                Kind::Summary => {
                    let mut value = value;
                    earlier::upgrade(&mut value);
                    let summary: Summary = serde_json::from_value(value).map_err(why)?;
                    match places.get(&summary.target) {
                        Some(&at) => saved.summaries[at] = summary,
                        None => {
                            places.insert(summary.target.clone(), saved.summaries.len());
                            saved.summaries.push(summary);
                        }
                    }
                }
                Kind::Error => {
                    let text = value.get("error").and_then(Value::as_str);
                    saved.error = Some(text.unwrap_or("unknown").to_owned());
                }
                Kind::Other => {}
                Kind::Foreign => {
                    return Err(format!("line {line} is JSON, but no event of flux trace"));
                }
            }
        }
    }
    match (saved.summaries.is_empty(), &saved.error) {
        (false, _) => Ok(saved),
        (true, Some(error)) => Err(format!("that run ended with an error: {error}")),
        (true, None) if bytes.trim_ascii().is_empty() => Err("it is empty".into()),
        (true, None) => Err("it has no summary: that run did not come to its end".into()),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

enum Kind {
    Summary,
    Error,
    Other,
    Foreign,
}

fn kind(value: &Value) -> Kind {
    match (value.get("event").and_then(Value::as_str), value.get("hops")) {
        (Some("summary"), _) => Kind::Summary,
        (None, Some(_)) if value.get("target").is_some() => Kind::Summary,
        (Some("error"), _) => Kind::Error,
        (Some(_), _) => Kind::Other,
        _ => Kind::Foreign,
    }
}

/// The command that printed a value, where that is another one.
fn other_command(value: &Value) -> Option<&str> {
    match (value.get("command")?.as_str()?, value.get("event")?.as_str()?) {
        ("trace", _) => None,
        (command, _) => Some(command),
    }
}

fn no_json(error: &serde_json::Error) -> String {
    if error.is_eof() {
        format!("line {} ends in the middle: the run was cut off", error.line())
    } else {
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        format!("line {} is no JSON: {text} (column {})", error.line(), error.column())
    }
}

/// Counts lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the first value at or after `offset`, which only grows.
    fn of_value_at(&mut self, offset: usize) -> usize {
        while let Some(&byte) = self.bytes.get(self.at)
            && (self.at < offset || byte.is_ascii_whitespace())
        {
            self.line += usize::from(byte == b'\n');
            self.at += 1;
        }
        self.line
    }
}
