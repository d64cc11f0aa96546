//! Dependencies point one way: a lower layer never names a higher one.

use crate::circles::{edges, of};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the library, lowest first, with the crate modules each may name besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("sync", &[]),
    ("prefetch", &[]),
    ("ids", &[]),
    ("error", &["ids"]),
    ("proto", &[]),
    ("text", &[]),
    ("stats", &[]),
    ("config", &["error"]),
    ("poll", &["config"]),
    ("life", &["config", "error"]),
    ("ring", &["prefetch", "sync"]),
    ("sys", &["config", "error", "ring", "sync"]),
    ("umem", &["config", "prefetch", "ring", "sync", "sys"]),
    ("snapshot", &["ring", "stats"]),
    (
        "backend",
        &[
            "config", "error", "ids", "life", "proto", "ring", "snapshot", "stats", "sys", "text",
            "umem",
        ],
    ),
    ("port", &["backend", "config", "error", "ids", "life", "stats"]),
    ("socket", &["backend", "config", "error", "ids", "port", "proto", "ring", "snapshot", "umem"]),
    ("worker", &["backend", "config", "error", "ids", "port", "socket", "umem"]),
    ("packet", &["ids", "proto", "socket", "umem", "worker"]),
    (
        "engine",
        &[
            "backend", "config", "error", "ids", "packet", "poll", "port", "snapshot", "socket",
            "stats", "sys", "umem", "worker",
        ],
    ),
    (
        "raw",
        &[
            "backend", "config", "error", "ids", "port", "snapshot", "socket", "stats", "umem",
            "worker",
        ],
    ),
    ("reactor", &["backend", "error", "ids", "raw"]),
    (
        "system",
        &[
            "backend", "config", "error", "ids", "packet", "poll", "port", "reactor", "snapshot",
            "socket", "stats", "umem", "worker",
        ],
    ),
    (
        "builder",
        &[
            "backend",
            "config",
            "engine",
            "error",
            "ids",
            "port",
            "raw",
            "simulator",
            "socket",
            "system",
            "umem",
            "worker",
        ],
    ),
];

/// What commands share in `tools`, lowest first, with what each may name of it.
const SHARED: &[(&str, &[&str])] = &[
    ("json_line", &[]),
    ("output_file", &[]),
    ("config_file", &[]),
    ("control", &["json_line"]),
    ("host", &[]),
    ("http", &["control"]),
    ("measure", &[]),
    ("topology", &["config_file"]),
    ("worker", &["control", "measure"]),
    ("session", &["control", "host", "measure", "topology"]),
    ("traffic", &["control", "host", "measure", "session", "worker"]),
    ("probe", &["control", "host", "measure", "session"]),
];

/// The commands: each may name all that they share, and none another.
const COMMANDS: [&str; 8] = ["bench", "doctor", "fw", "lb", "ping", "pump", "rings", "trace"];

/// The simulator's public name.
const ALIASES: [(&str, &str); 1] = [("simulator", "backend")];

#[test]
fn no_two_modules_may_name_each_other() {
    for (at, (module, allowed)) in MAY_USE.iter().enumerate() {
        for name in *allowed {
            let real = ALIASES.iter().find(|(alias, _)| alias == name).map_or(*name, |a| a.1);
            let below = MAY_USE[..at].iter().any(|(lower, _)| *lower == real);
            assert!(below, "{module} may name {name}, which is not below it");
        }
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The first path segments after `crate::` in code and documentation, tests left out.
fn named_modules(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.match_indices("crate::")
        .map(|(at, m)| {
            let rest = &code[at + m.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .filter(|name: &String| name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn no_layer_names_a_higher_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    let mut wrong = Vec::new();
    for path in found {
        let inside = path.strip_prefix(&src).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if ["lib", "bin", "tools"].contains(&module) {
            continue; // the top: may use the whole library
        }
        if inside.ends_with("tests.rs") || inside.iter().any(|part| part == "tests") {
            continue; // a `mod tests` in files of its own
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: not in the list of layers", inside.display()));
            continue;
        };
        for name in named_modules(&fs::read_to_string(&path).unwrap()) {
            if name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: names crate::{name}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tools_know_no_terminal_and_no_arguments() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools");
    let mut found = Vec::new();
    sources(&src, &mut found);
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["clap::", "indicatif::", "comfy_table::", "println!", "eprintln!"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn what_commands_share_knows_no_command_and_nothing_above_itself() {
    for (at, (module, allowed)) in SHARED.iter().enumerate() {
        for name in *allowed {
            let below = SHARED[..at].iter().any(|(lower, _)| lower == name);
            assert!(below, "{module} may name {name}, which is not below it");
        }
    }
    let edges = edges(&of("src"));
    let tools = &edges[&vec!["tools".to_owned()]];
    let shared = |name: &str| SHARED.iter().find(|(shared, _)| *shared == name);
    let mut wrong = Vec::new();
    for ((from, to), by) in tools.iter().filter(|((from, to), _)| from != to) {
        let allowed = match shared(from) {
            Some((_, allowed)) => allowed.contains(&to.as_str()),
            None if COMMANDS.contains(&from.as_str()) => shared(to).is_some(),
            None => false, // not in a list
        };
        if !allowed {
            wrong.push(format!("{by} names tools::{to}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
