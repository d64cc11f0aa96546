//! Why a command could not do its work, and how that is told: `error:` and `hint:`, or JSON.

use crate::output::{Stdout, Style};
use clap::error::ErrorKind as ClapKind;
use fluxnet::FluxError;
use fluxnet::error::ErrorKind;
use serde::Serialize;
use std::fmt;
use std::io::Write;

/// A command that ended before its answer.
#[derive(Debug)]
pub enum Failure {
    /// Nobody reads our output any more: a normal end.
    Closed,
    /// No command was given: the help, on standard error.
    Help(String),
    /// Everything else.
    Error {
        /// What is wrong, in one line.
        error: String,
        /// The next step.
        hint: Option<String>,
    },
}

/// The last line of a JSON stream that did not work out.
#[derive(Serialize)]
#[serde(tag = "event", rename = "error")]
struct ErrorEvent<'a> {
    error: &'a str,
    hint: Option<&'a str>,
}

impl Failure {
    /// From clap's error, put into our two lines.
    pub fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        if error.kind() == ClapKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Failure::Help(text);
        }
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let body: Vec<&str> = text
            .lines()
            .take_while(|line| !line.starts_with("Usage: ") && !line.starts_with("For more"))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let (tips, body): (Vec<_>, Vec<_>) = body.into_iter().partition(|l| l.starts_with("tip: "));
        let message = body.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        let hint = match (tips.first(), usage) {
            (Some(tip), _) => tip.trim_start_matches("tip: ").to_owned(),
            (None, Some(usage)) => format!("usage: {usage}"),
            (None, None) => "add --help to see what each option takes".into(),
        };
        Failure::Error { error: message, hint: Some(hint) }
    }

    /// A panic was caught at `place`.
    pub fn bug(place: &str) -> Self {
        Failure::Error {
            error: format!("internal error at {place}"),
            hint: Some("this is a bug in flux: please report it with the command line".into()),
        }
    }

    /// An operation of the command itself that the system refused.
    pub fn io(what: impl fmt::Display, source: &std::io::Error) -> Self {
        let cause = source.to_string();
        let cause = cause.split(" (os error").next().unwrap_or_default();
        Failure::Error { error: format!("{what}: {cause}"), hint: None }
    }

    /// The same with this next step.
    pub fn with_hint(self, next: &str) -> Self {
        match self {
            Failure::Error { error, .. } => Failure::Error { error, hint: Some(next.to_owned()) },
            other => other,
        }
    }

    /// Tells it, on standard error and with `json` as the last object of the stream as well.
    /// Nothing can be done any more about a failure in here.
    pub fn report(&self, out: &mut Stdout, json: bool) {
        let mut stderr = std::io::stderr().lock();
        match self {
            Failure::Closed => {}
            Failure::Help(text) => {
                let _ = stderr.write_all(text.as_bytes());
            }
            Failure::Error { error, hint } => {
                if json {
                    let event = ErrorEvent { error, hint: hint.as_deref() };
                    let _ = out.json(&event).and_then(|()| out.flush());
                }
                let style = Style::of_stderr();
                let _ = writeln!(stderr, "{} {error}", style.bad("error:"));
                if let Some(hint) = hint {
                    let _ = writeln!(stderr, "{} {hint}", style.strong("hint:"));
                }
            }
        }
    }
}

impl From<FluxError> for Failure {
    fn from(error: FluxError) -> Self {
        let hint = match (error.hint(), error.kind()) {
            (Some(hint), _) => Some(hint.to_owned()),
            (None, ErrorKind::Config) => Some("add --help to see what each option takes".into()),
            (None, _) => None,
        };
        Failure::Error { error: error.to_string(), hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Closed => f.write_str("standard output was closed"),
            Failure::Help(text) => f.write_str(text),
            Failure::Error { error, .. } => f.write_str(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn usage(line: &str) -> (String, String) {
        match Failure::usage(&Cli::try_parse_from(line.split(' ')).unwrap_err()) {
            Failure::Error { error, hint } => (error, hint.unwrap_or_default()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_value() {
        let (error, hint) = usage("flux ping -s x 10.0.0.2");
        assert_eq!(
            error,
            "invalid value 'x' for '-s <SIZE>': must be a whole number, with k, m or g if need be"
        );
        assert!(!hint.is_empty());
        let (error, _) = usage("flux ping");
        assert!(error.contains("TARGET") && !error.contains('\n'), "{error}");
        let (error, hint) = usage("flux ping --histogrm x");
        assert!(error.contains("--histogrm") && hint.contains("--histogram"), "{error} {hint}");
        let (error, _) = usage("flux ping --attach fast x");
        assert!(error.contains("'fast'") && error.contains("native"), "{error}");
        let (error, _) = usage("flux ping --queue 9-3 x");
        assert_eq!(
            error,
            "invalid value '9-3' for '--queue <N|N-M|N,M|all>': the range runs backwards"
        );
    }

    #[test]
    fn an_error_event_has_its_event_first_and_always_a_hint_key() {
        let event = ErrorEvent { error: "no", hint: None };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"event":"error","error":"no","hint":null}"#);
    }
}
