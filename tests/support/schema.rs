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

/// Every object that is `object` with one thing wrong: a key too many, a key of another name, a
/// value of another type.
pub fn mutated(object: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut places = vec![String::new()];
    while let Some(place) = places.pop() {
        match object.pointer(&place).unwrap() {
            Value::Object(map) => {
                let with = |change: &dyn Fn(&mut Map<String, Value>)| {
                    let mut wrong = object.clone();
                    change(wrong.pointer_mut(&place).unwrap().as_object_mut().unwrap());
                    wrong
                };
                let more = with(&|map| drop(map.insert("too_many".into(), Value::Null)));
                all.push((format!("{place}: a key too many"), more));
                for key in map.keys() {
                    let renamed = with(&|map| {
                        let value = map.remove(key).unwrap();
                        map.insert(format!("{key}_"), value);
                    });
                    all.push((format!("{place}/{key}: another name"), renamed));
                    places.push(format!("{place}/{key}"));
                }
            }
            Value::Array(values) => {
                // Enough to see whether the schema looks into it.
                places.extend((0..values.len().min(2)).map(|at| format!("{place}/{at}")));
            }
            _ => {}
        }
        let mut wrong = object.clone();
        *wrong.pointer_mut(&place).unwrap() = json!({"of": "no type that is taken"});
        all.push((format!("{place}: another type"), wrong));
    }
    all
}
