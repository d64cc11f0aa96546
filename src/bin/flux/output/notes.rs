//! Text for people on standard error, and notes: events where JSON was asked for.

use super::{Screen, Stdout, Style, wrap};
use crate::failure::Failure;
use serde::Serialize;
use std::io::Write;

/// A note as an event.
#[derive(Serialize)]
#[serde(tag = "event", rename = "note")]
struct Note<'a> {
    text: &'a str,
}

/// Writes text to standard error, broken between words where a line is wider than the terminal there.
/// When that is gone, nobody misses the text.
pub fn say(text: &str) {
    let text = fold(text, Screen::width_of_stderr());
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `text` with the lines broken that are too long for `width` columns.
fn fold(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let fits = |line: &str| line.trim_end().chars().count() <= width;
    let lines = text.split_inclusive('\n');
    lines
        .map(|line| if fits(line) { line.to_owned() } else { wrap(line, Some(width), 2) })
        .collect()
}

/// `text` as a note: a line for standard error.
pub fn note(text: &str) -> String {
    format!("{} {text}\n", Style::of_stderr().strong("note:"))
}

/// What tables had no room for, as a note; nothing when they had room for all.
pub fn hidden(headings: &[&str]) -> String {
    if headings.is_empty() {
        return String::new();
    }
    note(&format!("no room for {}: use a wider terminal, or --json", headings.join(", ")))
}

/// Says something beside the data: a line on standard error, or an event with `json`.
pub fn tell(text: &str, json: bool, out: &mut Stdout) -> Result<(), Failure> {
    if json {
        out.json(&Note { text })?;
        return out.event_done();
    }
    out.flush()?;
    say(&format!("{text}\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_short_ones_stay() {
        let text = "note: a sentence that is long\nshort  one\n";
        assert_eq!(fold(text, Some(16)), "note: a sentence\n  that is long\nshort  one\n");
        assert_eq!(fold(text, None), text);
        assert_eq!(fold("no newline", Some(40)), "no newline");
    }
}
