//! How a failure is told: `error:` and `hint:`, or JSON.

use super::{Stdout, Style, say};
use crate::failure::Failure;
use serde::Serialize;

/// The last line of a JSON stream that did not work out.
#[derive(Serialize)]
#[serde(tag = "event", rename = "error")]
struct ErrorEvent<'a> {
    error: &'a str,
    hint: Option<&'a str>,
}

impl Failure {
    /// Tells it, on standard error and with `json` as the last object of the stream as well.
    /// Nothing can be done any more about a failure in here.
    pub fn report(&self, out: &mut Stdout, json: bool) {
        match self {
            Failure::Closed => {}
            Failure::Help(text) => say(text),
            Failure::Error { error, hint } => {
                if json {
                    let event = ErrorEvent { error, hint: hint.as_deref() };
                    let _ = out.json(&event).and_then(|()| out.flush());
                }
                let style = Style::of_stderr();
                let mut text = format!("{} {error}\n", style.bad("error:"));
                if let Some(hint) = hint {
                    text += &format!("{} {hint}\n", style.strong("hint:"));
                }
                say(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_event_has_its_event_first_and_always_a_hint_key() {
        let event = ErrorEvent { error: "no", hint: None };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"event":"error","error":"no","hint":null}"#);
    }
}
