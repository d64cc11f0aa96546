//! A line of JSON: an event or a report with what every object of `flux` has.
//!
//! ```text
//!   {"event":"start","command":"ping","version":"0.1.0","schema":1,"interface":"eth0", …}
//!    └─ the event ─┘ └──────────── put in here ────────────────┘ └─ the event ──────
//! ```
//!
//! It is put in as bytes, behind the tag that serde writes first: an event is written once, and
//! into memory that is kept. Called by what prints events and by what saves reports.

use serde::Serialize;
use serde::ser::Error;

/// Version of the JSON that the schemas in `docs/json` describe.
pub const SCHEMA: u32 = 1;
/// Events that begin a stream or are complete by themselves: these tell `version` and `schema`.
const COMPLETE: [&[u8]; 4] = [b"start", b"report", b"diff", b"sample"];
/// What every event begins with: `#[serde(tag = "event")]`.
const TAG: &[u8] = br#"{"event":""#;

/// Writes the lines of one command.
#[derive(Debug)]
pub struct JsonLine {
    /// Goes behind the tag.
    command: Vec<u8>,
    /// The same with `version` and `schema`.
    complete: Vec<u8>,
    line: Vec<u8>,
}

impl JsonLine {
    /// For `command`, which is a word without quotes.
    #[must_use]
    pub fn new(command: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let command = format!(r#","command":"{command}""#);
        let complete = format!(r#"{command},"version":"{version}","schema":{SCHEMA}"#);
        Self { command: command.into(), complete: complete.into(), line: Vec::new() }
    }

    /// The line of `event`, with its newline.
    ///
    /// # Errors
    /// When `event` cannot be JSON, or is not tagged with its name.
    pub fn of(&mut self, event: &impl Serialize) -> serde_json::Result<&[u8]> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        let untagged = || serde_json::Error::custom("an event has no name");
        let rest = self.line.strip_prefix(TAG).ok_or_else(untagged)?;
        let length = rest.iter().position(|&byte| byte == b'"').ok_or_else(untagged)?;
        let complete = rest.get(..length).is_some_and(|name| COMPLETE.contains(&name));
        let behind = TAG.len() + length + 1;
        let more = if complete { &self.complete } else { &self.command };
        self.line.splice(behind..behind, more.iter().copied());
        self.line.push(b'\n');
        Ok(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(tag = "event", rename_all = "snake_case")]
    enum Event {
        Start { queue: u32 },
        Reply { text: &'static str },
        SendError,
    }

    fn line(event: &impl Serialize) -> String {
        let mut json = JsonLine::new("ping");
        String::from_utf8(json.of(event).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn every_line_names_its_command_and_a_start_the_version() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line(&Event::Start { queue: 3 }),
            format!(
                "{{\"event\":\"start\",\"command\":\"ping\",\"version\":\"{version}\",\
                 \"schema\":1,\"queue\":3}}\n"
            )
        );
        assert_eq!(
            line(&Event::Reply { text: "\"event\":\"start\"" }),
            "{\"event\":\"reply\",\"command\":\"ping\",\
             \"text\":\"\\\"event\\\":\\\"start\\\"\"}\n"
        );
        assert_eq!(line(&Event::SendError), "{\"event\":\"send_error\",\"command\":\"ping\"}\n");
    }

    #[test]
    fn a_line_does_not_keep_what_was_in_the_one_before() {
        let mut json = JsonLine::new("trace");
        json.of(&Event::Reply { text: "longer than the next one" }).unwrap();
        let next = json.of(&Event::SendError).unwrap();
        assert_eq!(next, b"{\"event\":\"send_error\",\"command\":\"trace\"}\n");
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let mut json = JsonLine::new("ping");
        assert!(json.of(&3).is_err() && json.of(&[1]).is_err());
    }
}
