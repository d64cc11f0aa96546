//! Output against the JSON Schemas in `docs/json`.
#![allow(dead_code)] // each test binary uses its part

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Commands that have a schema of their own.
pub const COMMANDS: [&str; 5] = ["ping", "trace", "bench", "rings", "doctor"];

/// Compiled in: the tests of guests run where there are no files of ours.
const FILES: [(&str, &str); 7] = [
    ("ping", include_str!("../../docs/json/ping.schema.json")),
    ("trace", include_str!("../../docs/json/trace.schema.json")),
    ("bench", include_str!("../../docs/json/bench.schema.json")),
    ("rings", include_str!("../../docs/json/rings.schema.json")),
    ("doctor", include_str!("../../docs/json/doctor.schema.json")),
    ("control", include_str!("../../docs/json/control.schema.json")),
    ("error", include_str!("../../docs/json/error.schema.json")),
];

/// The schema of one command, and a validator of the whole and of each of its events.
pub struct Schema {
    pub json: Value,
    whole: jsonschema::Validator,
    events: HashMap<String, jsonschema::Validator>,
}

impl Schema {
    fn read(name: &str, text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap();
        let compiled = |schema: &Value| {
            jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .build(schema)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        assert!(jsonschema::meta::is_valid(&json), "{name} is no JSON Schema");
        let mut events = HashMap::new();
        for (def, schema) in json["$defs"].as_object().unwrap() {
            let event = &schema["properties"]["event"];
            let one = event.get("const").into_iter();
            for name in one.chain(event["enum"].as_array().into_iter().flatten()) {
                let only = json!({"$ref": format!("#/$defs/{def}"), "$defs": json["$defs"]});
                events.insert(name.as_str().unwrap().to_owned(), compiled(&only));
            }
        }
        let whole = compiled(&json);
        Self { json, whole, events }
    }

    /// Names of the events.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.keys().map(String::as_str)
    }

    /// Whether it takes `object`.
    pub fn takes(&self, object: &Value) -> bool {
        self.whole.is_valid(object)
    }
}

/// The schema of a command; that of errors for a command that has none.
pub fn schema(command: &str) -> &'static Schema {
    static SCHEMAS: OnceLock<HashMap<&str, Schema>> = OnceLock::new();
    let read = || FILES.into_iter().map(|(name, text)| (name, Schema::read(name, text))).collect();
    let schemas = SCHEMAS.get_or_init(read);
    schemas.get(command).unwrap_or(&schemas["error"])
}

/// Checks an object that a command printed against the schema of the command that it names; an
/// error also against that of all errors.
#[track_caller]
pub fn assert_valid(object: &Value) {
    let [event, command] = ["event", "command"].map(|key| object[key].as_str().unwrap_or_default());
    let schema = schema(command);
    let Some(of_event) = schema.events.get(event) else {
        panic!("the schema of {command} has no event {event:?}: {object}")
    };
    let wrong: Vec<_> = of_event
        .iter_errors(object)
        .map(|error| format!("at {:?}: {error}", error.instance_path().to_string()))
        .collect();
    assert!(wrong.is_empty(), "{event} of {command}:\n{}\n{object:#}", wrong.join("\n"));
    assert!(schema.takes(object), "{event} of {command} is not one of its events: {object}");
    if event == "error" {
        assert!(self::schema("error").takes(object), "{object}");
    }
}

/// An object with one thing wrong.
pub struct Mutation {
    /// The key that is wrong, or of whose list one value is; empty: the object itself.
    pub key: String,
    /// Where it is wrong, and how.
    pub what: String,
    pub fault: Fault,
    pub object: Value,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key too many, or one of another name.
    Key,
    /// A value of another type.
    Type,
    /// A number below zero.
    Sign,
    /// A text in place of a word, a name or an address.
    Word,
}

/// No word, name, address or number, but a text.
const TEXT: &str = "no such word\u{7}";

/// What stands in place of `value`, and what is wrong with it.
fn wrong_values(value: &Value) -> Vec<(Fault, Value)> {
    let mut wrong = vec![(Fault::Type, json!({"of": "no type that is taken"}))];
    let types = match value {
        Value::Bool(_) => vec![json!(1), json!("true")],
        Value::Number(_) => vec![json!(true), json!("1")],
        Value::String(_) => vec![json!(true), json!(1)],
        _ => Vec::new(),
    };
    wrong.extend(types.into_iter().map(|value| (Fault::Type, value)));
    match value {
        Value::Number(number) => {
            if number.is_u64() {
                wrong.push((Fault::Type, json!(0.5)));
            }
            wrong.push((Fault::Sign, json!(-1)));
        }
        Value::String(_) => {
            wrong.push((Fault::Word, json!(TEXT)));
            wrong.push((Fault::Word, json!("")));
        }
        _ => {}
    }
    wrong
}

/// Every object that is `object` with one thing wrong.
pub fn mutated(object: &Value) -> Vec<Mutation> {
    let mut all = Vec::new();
    let mut places = vec![(String::new(), String::new())];
    while let Some((place, key)) = places.pop() {
        let value = object.pointer(&place).unwrap();
        let with = |fault, what: &str, change: &dyn Fn(&mut Value)| {
            let mut object = object.clone();
            change(object.pointer_mut(&place).unwrap());
            Mutation { key: key.clone(), what: format!("{place}: {what}"), fault, object }
        };
        for (fault, wrong) in wrong_values(value) {
            all.push(with(fault, &wrong.to_string(), &|value| *value = wrong.clone()));
        }
        match value {
            Value::Object(map) => {
                let change = |value: &mut Value, change: &dyn Fn(&mut Map<String, Value>)| {
                    change(value.as_object_mut().unwrap());
                };
                all.push(with(Fault::Key, "a key too many", &|value| {
                    change(value, &|map| drop(map.insert("too_many".into(), Value::Null)));
                }));
                for key in map.keys() {
                    all.push(with(Fault::Key, &format!("/{key} has another name"), &|value| {
                        change(value, &|map| {
                            let value = map.remove(key).unwrap();
                            map.insert(format!("{key}_"), value);
                        });
                    }));
                    places.push((format!("{place}/{key}"), key.clone()));
                }
            }
            Value::Array(values) => {
                // Two are enough to see whether the schema looks into it; each change is another.
                let first = 0..values.len().min(if key == "changes" { 12 } else { 2 });
                places.extend(first.map(|at| (format!("{place}/{at}"), key.clone())));
            }
            _ => {}
        }
    }
    all
}
