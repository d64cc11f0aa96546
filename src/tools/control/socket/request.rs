//! One line of a client: a request, or what is wrong with it.

use crate::error::{ErrorKind, FluxError};
use crate::text::near::did_you_mean;
use serde_json::{Map, Value};

/// Longest request, in bytes with its newline.
pub const LONGEST: usize = 64 << 10;

/// A JSON object.
pub type Object = Map<String, Value>;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `status`, `reload`, `stop`, or a request of the command's own.
    pub name: String,
    /// The other keys of the object.
    pub fields: Object,
}

impl Request {
    /// A request without further keys.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), fields: Object::new() }
    }

    /// The same with one more key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(key.into(), value.into());
        self
    }

    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// When it is not a JSON object with a word for `request`; always with a hint.
    pub fn parse(line: &[u8]) -> Result<Self, FluxError> {
        let example = "send one JSON object a line, such as {\"request\":\"status\"}";
        let refuse = |why: String| refuse(why).with_hint(example);
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| refuse(format!("it is not JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(refuse("it is not an object".into()));
        };
        match fields.remove("request") {
            Some(Value::String(name)) => Ok(Self { name, fields }),
            Some(_) => Err(refuse("its \"request\" is not a string".into())),
            None => Err(refuse("it has no key \"request\"".into())),
        }
    }

    /// The line that [`parse`](Self::parse) reads, with its newline.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut object = self.fields.clone();
        object.insert("request".into(), self.name.clone().into());
        line(&object)
    }
}

/// What cannot be answered.
pub(super) fn refuse(why: impl Into<String>) -> FluxError {
    FluxError::new(ErrorKind::Config, "cannot answer the request", why)
}

/// A request that the command does not have.
pub(super) fn unknown(name: &str, own: &[&str]) -> FluxError {
    let known = [&["status", "reload", "stop"], own].concat();
    let shown: String = name.chars().take(40).collect();
    let near = did_you_mean(name, known.iter().copied(), |near| format!("\"{near}\""));
    let hint = match near {
        Some(near) => format!("{near} Known: {}", known.join(", ")),
        None => format!("known requests: {}", known.join(", ")),
    };
    refuse(format!("there is no request \"{shown}\"")).with_hint(hint)
}

/// Keys that every object begins with, in this order; the others follow by the alphabet.
const FIRST: [&str; 10] = [
    "request",
    "event",
    "command",
    "instance",
    "version",
    "schema",
    "process",
    "elapsed_s",
    "error",
    "hint",
];

/// An object as a line.
pub(super) fn line(object: &Object) -> Vec<u8> {
    let first = FIRST.iter().filter_map(|key| object.get_key_value(*key));
    let rest = object.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    let part = |(key, value): (&String, &Value)| format!("{}:{value}", Value::from(key.as_str()));
    let parts: Vec<_> = first.chain(rest).map(part).collect();
    format!("{{{}}}\n", parts.join(",")).into_bytes()
}

/// An error as an object.
pub(super) fn error_object(command: &str, error: &FluxError) -> Object {
    let mut object = Object::new();
    object.insert("event".into(), "error".into());
    object.insert("command".into(), command.into());
    object.insert("error".into(), error.to_string().into());
    object.insert("hint".into(), error.hint().map_or(Value::Null, Value::from));
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_an_object_with_a_word_and_the_commands_own_keys() {
        let request =
            Request::parse(b"{\"request\":\"drain\",\"backend\":\"a\",\"after\":5}").unwrap();
        assert_eq!(request, Request::new("drain").with("backend", "a").with("after", 5));
        assert!(Request::parse(&request.line()).unwrap() == request);
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said_with_a_next_step() {
        let deep = format!("{{\"request\":{}", "[".repeat(LONGEST));
        let cases: [(&[u8], &str); 8] = [
            (b"", "it is not JSON: EOF while parsing a value"),
            (b"status", "it is not JSON: expected value at line 1 column 1"),
            (b"\"status\"", "it is not an object"),
            (b"{}", "it has no key \"request\""),
            (b"{\"request\":1}", "its \"request\" is not a string"),
            (b"{\"request\":\"a\"} {}", "it is not JSON: trailing characters"),
            (b"{\"request\":\"\xff\"}", "it is not JSON"),
            (deep.as_bytes(), "it is not JSON: recursion limit exceeded"),
        ];
        for (line, why) in cases {
            let error = Request::parse(line).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.hint().unwrap().contains("{\"request\":\"status\"}"));
        }
    }

    #[test]
    fn an_unknown_request_gets_the_near_one_and_all_that_are_known() {
        let error = unknown("statsu", &["drain"]);
        assert_eq!(
            error.hint().unwrap(),
            "did you mean \"status\"? Known: status, reload, stop, drain"
        );
        let error = unknown(&"z".repeat(LONGEST), &[]);
        assert!(error.to_string().len() < 120);
        assert_eq!(error.hint().unwrap(), "known requests: status, reload, stop");
    }

    #[test]
    fn an_error_is_the_object_that_commands_print() {
        let schema = include_str!("../../../../docs/json/error.schema.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
        for error in [unknown("statsu", &[]), refuse("it is too long")] {
            let object = error_object("ping", &error);
            assert!(schema.is_valid(&Value::Object(object.clone())), "{object:?}");
            for key in ["event", "command", "error", "hint"] {
                let mut less = object.clone();
                less.remove(key);
                assert!(!schema.is_valid(&Value::Object(less)), "without {key}");
            }
            assert!(
                !schema.is_valid(&error_object("pump", &error).into()),
                "not a command of flux"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error_with_a_hint(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            match Request::parse(&bytes) {
                Ok(request) => prop_assert_eq!(Request::parse(&request.line()).unwrap(), request),
                Err(error) => prop_assert!(error.hint().is_some()),
            }
        }
    }
}
