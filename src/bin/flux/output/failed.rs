//! How a failure is told: `error:` and `hint:`, or JSON.

use super::{Stdout, Style, clean, say};
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
                say(&told(error, hint.as_deref(), Style::of_stderr()));
            }
        }
    }
}

/// The lines of an error. Names in it come from files and from other machines: none speaks to the
/// terminal.
fn told(error: &str, hint: Option<&str>, style: Style) -> String {
    let clean = |text: &str| text.split('\n').map(clean).collect::<Vec<_>>().join("\n");
    let mut text = format!("{} {}\n", style.bad("error:"), clean(error));
    if let Some(hint) = hint {
        text += &format!("{} {}\n", style.strong("hint:"), clean(hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_do_not_speak_to_the_terminal() {
        let text = told("no \x1b]0;x\x07\nsecond", Some("\x1b[31mred"), Style::default());
        assert_eq!(text, "error: no ?]0;x?\nsecond\nhint: ?[31mred\n");
    }

    #[test]
    fn an_error_event_has_its_event_first_and_always_a_hint_key() {
        let event = ErrorEvent { error: "no", hint: None };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"event":"error","error":"no","hint":null}"#);
    }
}
