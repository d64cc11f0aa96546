//! What every command prints with `--json`, in success and in failure, against `docs/json`.
//!
//! All tests that read events validate them (`command::json_lines`); here are runs that show every
//! event of every command, and what the schemas themselves have to keep.

use crate::command::{events, json_lines, of, run};
use crate::schema::{COMMANDS, Fault, Mutation, mutated, schema};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Runs to their end, with their status. `--json` is added.
const RUNS: [(&str, i32); 37] = [
    ("ping -c 2 -D 10.0.0.2 2001:db8::2 --histogram --sim", 0),
    ("ping -c 30 -i 10ms 10.0.0.2 --sim=dup=30%,reorder=30%,jitter=5ms,seed=3", 0),
    ("ping -c 3 -i 10ms -W 1ms 10.0.0.2 --sim=delay=5ms", 1),
    ("ping -c 5 10.0.0.2 --sim=corrupt=60%,seed=1", 0),
    ("ping -c 1 192.0.2.1 --sim", 1),
    ("ping -c 1 -M do -s 1400 198.51.100.9 --sim", 1),
    ("ping -c 1 10.0.0.99 --sim", 1),
    ("ping -c 2 -O -W 2 10.0.0.66 --sim", 1),
    ("ping -c 5 --queue 0 10.0.0.2 --sim=wrong_queue", 1),
    ("ping -c 5 10.0.0.2 --sim=starved", 1),
    ("ping -c 20 -i 0.05 10.0.0.2 --sim=link_flap", 0),
    ("ping -c 9 -i 0.1 10.0.0.2 --sim=gone", 2),
    ("ping 10.0.0.2 --bind zerocopy --sim=no_zero_copy", 2),
    ("trace 203.0.113.7 2001:db8:7::7 --sim", 0),
    ("trace --paths --mtu 203.0.113.7 --sim", 0),
    ("trace 10.0.0.66 -m 3 --sim", 1),
    ("trace 192.0.2.1 --sim", 1),
    ("trace 10.0.0.99 --sim", 1),
    ("trace -w 10ms -c 3 -i 100ms 203.0.113.7 --sim=dup=30%,seed=3", 1),
    ("trace --sim=file=tests/topologies/mpls.toml 203.0.113.7", 0),
    ("trace --sim=file=tests/topologies/nat.toml 203.0.113.7", 0),
    ("trace --queue 0 10.0.0.2 --sim=wrong_queue", 1),
    ("trace -c 5 10.0.0.2 --sim=starved", 1),
    ("trace -c 20 -i 50ms 10.0.0.2 --sim=link_flap", 0),
    ("trace -c 20 -i 0.1 203.0.113.7 --sim=gone", 2),
    ("bench --sim --workload rxdrop,l2fwd --batch 32 --duration 2ms --repeat 2", 0),
    ("bench --sim --workload rxdrop --batch 32 --poll busy --duration 2ms --repeat 1", 0),
    ("bench --sim=stuck_tx --workload txonly --batch 32 --poll busy --duration 2ms --repeat 1", 2),
    ("rings --sim", 0),
    ("rings --sim --over 0", 0),
    ("rings --sim --over 10ms --watch 10ms -c 3", 0),
    ("rings --sim=starved", 0),
    ("rings --sim --queue 7 --over 0", 1),
    ("doctor --sim", 0),
    ("doctor sim0 --sim=mtu=3000,zerocopy=no", 0),
    ("doctor --sim=file=tests/topologies/two-interfaces.toml sim1", 0),
    ("ping -c 3 -q 10.0.0.2 --sim", 0),
];

/// What cannot run: status 2 and an error.
const REFUSED: [&str; 14] = [
    "ping --frobnicate x",
    "ping -c 1 -I eth7 10.0.0.2 --sim",
    "trace --frobnicate x",
    "trace -I eth7 10.0.0.2 --sim",
    "bench --frobnicate",
    "bench diff ./none-a.json ./none-b.json",
    "trace diff ./none-a.json ./none-b.json",
    "rings --frobnicate",
    "rings eth7 --sim",
    "doctor --frobnicate",
    "doctor eth7 --sim",
    "help pong",
    "pong",
    "man /dev/null/man",
];

/// A directory for files of this test, made once.
fn dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("json-schema");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Saves what `line` prints and returns where.
fn saved(name: &str, line: &str) -> String {
    let file = dir().join(name);
    std::fs::write(&file, run(line).stdout).unwrap();
    file.to_str().unwrap().to_owned()
}

/// All objects that the runs print.
fn printed() -> &'static [Value] {
    static PRINTED: OnceLock<Vec<Value>> = OnceLock::new();
    PRINTED.get_or_init(|| {
        let mut all = Vec::new();
        for (line, status) in RUNS {
            all.extend(events(&format!("{line} --json"), status));
        }
        for line in REFUSED {
            all.extend(json_lines(&run(&format!("{line} --json"))));
        }
        let before = saved("before.json", "trace --json 203.0.113.7 --sim");
        for (name, other) in [
            ("mtu.json", "trace --json --mtu --paths 203.0.113.7 --sim"),
            ("loss.json", "trace --json 203.0.113.7 --sim=loss=40%,delay=20ms"),
            ("unreachable.json", "trace --json 192.0.2.1 --sim"),
            ("same.json", "trace --json 203.0.113.7 --sim"),
        ] {
            let after = saved(name, other);
            all.extend(json_lines(&run(&format!("trace diff --json {before} {after}"))));
        }
        let bench = "bench --sim --json --workload rxdrop --batch 32 --duration 2ms --repeat 2";
        let (a, b) = (saved("a.json", bench), saved("b.json", bench));
        all.extend(json_lines(&run(&format!("bench diff --json {a} {b}"))));
        #[cfg(unix)]
        all.extend(interrupted::events());
        all
    })
}

#[cfg(unix)]
mod interrupted {
    use crate::command::{json_line, line_of, signal, start};
    use serde_json::Value;
    use std::io::{BufRead, BufReader};

    /// What runs print that are asked for the numbers so far, and then are interrupted.
    pub fn events() -> Vec<Value> {
        let mut all = Vec::new();
        for line in [
            "ping -i 20ms 10.0.0.2 --sim=realtime --json",
            "trace -c 1000 -i 20ms 10.0.0.2 --sim=realtime --json",
        ] {
            let mut child = start(line);
            let mut out = BufReader::new(child.stdout.take().unwrap());
            line_of(&mut out, r#"{"event":"reply""#);
            signal(&child, libc::SIGQUIT);
            all.push(json_line(&line_of(&mut out, r#"{"event":"interim""#)));
            signal(&child, libc::SIGINT);
            all.extend(out.lines().map(|line| json_line(&line.unwrap())));
            assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
            assert_eq!(all.last().unwrap()["event"], "summary", "{line}");
        }
        all
    }
}

#[test]
fn every_event_of_every_command_is_seen_and_is_as_its_schema_says() {
    let mut seen = BTreeSet::new();
    for object in printed() {
        seen.insert((object["command"].as_str().unwrap(), object["event"].as_str().unwrap()));
    }
    let not_seen: Vec<_> = COMMANDS
        .iter()
        .flat_map(|&command| schema(command).events().map(move |event| (command, event)))
        .filter(|event| !seen.contains(event))
        .collect();
    assert!(not_seen.is_empty(), "no run shows {not_seen:?}");
}

#[test]
fn the_first_object_of_a_run_and_every_report_tell_version_and_schema() {
    for object in printed() {
        let event = object["event"].as_str().unwrap();
        let complete = ["start", "report", "diff", "sample"].contains(&event);
        assert_eq!(object.get("schema").is_some(), complete, "{object}");
        assert_eq!(object.get("version").is_some(), complete, "{object}");
        if complete {
            assert_eq!(object["schema"], fluxnet::tools::json_line::SCHEMA);
            assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
        }
    }
    for line in ["ping -c 1 10.0.0.2 --sim --json", "trace 10.0.0.2 --sim --json"] {
        let events = events(line, 0);
        assert_eq!(of(&events, "start").len(), 1, "{line}");
        assert_eq!(events[0]["event"], "start", "{line}");
    }
}

/// The validator, and each schema, would notice.
#[test]
fn an_object_with_one_thing_wrong_is_refused() {
    let mut one_of_each = BTreeMap::new();
    for object in printed() {
        let what = object["targets"][0]["changes"].as_array().into_iter().flatten();
        let what: BTreeSet<_> = what.map(|change| change["what"].to_string()).collect();
        let name = (object["command"].to_string(), object["event"].to_string(), what);
        let richest = one_of_each.entry(name).or_insert(object);
        if object.to_string().len() > richest.to_string().len() {
            *richest = object;
        }
    }
    let free: BTreeSet<_> =
        described().into_iter().filter(|(_, schema)| is_text(schema)).map(|(key, _)| key).collect();
    let (mut tried, mut taken) = (0, Vec::new());
    for ((command, event, _), object) in one_of_each {
        let schema = schema(object["command"].as_str().unwrap());
        assert!(schema.takes(object));
        for Mutation { key, what, fault, object } in mutated(object) {
            let may_pass = match fault {
                Fault::Word => free.contains(&key),
                Fault::Sign => SIGNED.contains(&&*key),
                Fault::Key | Fault::Type => false,
            };
            if !may_pass && schema.takes(&object) {
                taken.push(format!("{command} takes {event} with {what}"));
            }
            tried += 1;
        }
        let mut later = object.clone();
        later["event"] = "no_such_event".into();
        assert!(!schema.takes(&later), "{command} takes an event that it does not have");
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
    assert!(tried > 4000, "{tried}");
}

/// Every part of a schema that describes properties.
fn properties(schema: &Value, into: &mut Vec<(String, Value)>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(keys)) = map.get("properties") {
                assert_eq!(map.get("additionalProperties"), Some(&Value::Bool(false)), "{schema}");
                into.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            map.values().for_each(|value| properties(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| properties(value, into)),
        _ => {}
    }
}

/// All properties of all schemas, by their keys.
fn described() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for command in COMMANDS.into_iter().chain(["error", "control"]) {
        properties(&schema(command).json, &mut all);
    }
    all
}

/// Numbers that may be below zero: a change, and frames counted while they move.
const SIGNED: [&str; 2] = ["change_pct", "unaccounted"];

/// Keys whose values are not of one shape everywhere.
const SHAPES: [(&str, &str); 7] = [
    ("a", "the first of two compared runs: of the shape of what `what` or `metric` names"),
    ("b", "the second: likewise"),
    ("what", "one constant for each kind of change"),
    ("changes", "bench compares settings, trace what it knows of a way"),
    ("targets", "in `start` where they are, in `diff` what changed"),
    ("interfaces", "of several what was granted, in rings all that is seen of each"),
    ("rtt_us", "of one probe a number, of many their statistics, which trace has more of"),
];

/// Whether a property is a text for people, or a list of such.
fn is_text(schema: &Value) -> bool {
    let schema = schema.get("items").unwrap_or(schema);
    schema.get("contentMediaType").is_some_and(|of| of == "text/plain")
}

/// What a schema takes, but for null and the words that describe it.
fn shape(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let options = map.get("oneOf").and_then(Value::as_array);
            let mut options = options.into_iter().flatten().map(shape).filter(|of| !of.is_null());
            if let (Some(only), None) = (options.next(), options.next()) {
                return only;
            }
            if map.get("type").is_some_and(|of| of == "null") {
                return Value::Null;
            }
            let said = map.iter().filter(|(key, _)| *key != "description");
            said.map(|(key, value)| (key.clone(), shape(value))).collect()
        }
        Value::Array(values) => {
            let mut left: Vec<_> =
                values.iter().filter(|value| !value.is_null() && *value != "null").collect();
            if let [only] = left[..] { only.clone() } else { left.drain(..).cloned().collect() }
        }
        other => other.clone(),
    }
}

#[test]
fn a_key_means_one_thing_in_all_commands_and_says_its_unit() {
    let snake =
        |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let mut meanings: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for (key, schema) in described() {
        assert!(snake(&key), "{key}");
        let text = schema["description"].as_str();
        let text = text.unwrap_or_else(|| panic!("{key} has no description: {schema}"));
        let (meaning, shapes) =
            meanings.entry(key.clone()).or_insert_with(|| (text.to_owned(), BTreeSet::new()));
        assert_eq!(meaning, text, "{key} has two meanings");
        shapes.insert(shape(&schema).to_string());
        for word in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(snake(word), "{key}: {word}");
        }
    }
    // The two that say what an object is.
    let differ = meanings.iter().filter(|(key, _)| !["event", "command"].contains(&key.as_str()));
    let differ: BTreeMap<_, _> = differ
        .filter(|(_, (_, shapes))| shapes.len() > 1)
        .map(|(key, (_, shapes))| (key.as_str(), shapes))
        .collect();
    let known: BTreeSet<_> = SHAPES.iter().map(|(key, _)| *key).collect();
    assert_eq!(differ.keys().copied().collect::<BTreeSet<_>>(), known, "{differ:#?}");
    for old in [
        "ifname",
        "device",
        "addr",
        "hugepages",
        "elapsed_ms",
        "duration_ms",
        "over_s",
        "time",
        "clocks",
    ] {
        assert!(!meanings.contains_key(old), "{old} has another name now");
    }
    assert!(meanings.len() > 150, "{}", meanings.len());
}

#[test]
fn an_object_of_one_name_is_the_same_in_all_schemas() {
    let mut objects: BTreeMap<&String, &Value> = BTreeMap::new();
    for command in COMMANDS {
        for (name, object) in schema(command).json["$defs"].as_object().unwrap() {
            let is_event = object["properties"].get("event").is_some();
            if !is_event && let Some(first) = objects.insert(name, object) {
                assert_eq!(first, object, "{name} of {command}");
            }
        }
    }
}

/// Every part of a schema that takes strings or numbers.
fn scalars<'a>(key: &'a str, schema: &'a Value, into: &mut Vec<(&'a str, &'a Value)>) {
    match schema {
        Value::Object(map) => {
            if map.get("type").is_some_and(|of| !of.is_object()) {
                into.push((key, schema));
            }
            for (name, value) in map {
                let below = if ["items", "oneOf"].contains(&&**name) { key } else { name };
                scalars(below, value, into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| scalars(key, value, into)),
        _ => {}
    }
}

#[test]
fn a_string_is_a_word_or_has_a_pattern_or_is_a_text_and_a_number_has_its_least_value() {
    for command in COMMANDS.into_iter().chain(["error"]) {
        let mut all = Vec::new();
        scalars("", &schema(command).json, &mut all);
        for (key, schema) in all {
            let has = |name| schema.get(name).is_some();
            let types = schema["type"].to_string();
            if types.contains("string") {
                let said = ["enum", "const", "pattern", "contentMediaType"].map(has);
                let said = said.into_iter().filter(|&said| said).count();
                assert_eq!(said, 1, "{command}: {key}: {schema}");
            }
            if types.contains("number") || types.contains("integer") {
                let signed = SIGNED.contains(&key);
                assert_eq!(has("minimum"), !signed, "{command}: {key}: {schema}");
            }
        }
    }
}
