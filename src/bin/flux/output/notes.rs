//! Text for people on standard error, and notes: events where JSON was asked for.

use super::{Stdout, Style};
use crate::failure::Failure;
use serde::Serialize;
use std::io::Write;

/// A note as an event.
#[derive(Serialize)]
#[serde(tag = "event", rename = "note")]
struct Note<'a> {
    text: &'a str,
}

/// Writes text to standard error. When that is gone, nobody misses the text.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
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
