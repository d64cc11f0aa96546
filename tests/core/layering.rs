//! Dependencies point one way: a lower layer never names a higher one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the library, lowest first, with the crate modules each may name besides itself. Each
/// of these comes earlier in the list, so no two name each other.
const MAY_USE: &[(&str, &[&str])] = &[
    ("sync", &[]),
    ("prefetch", &[]),
    ("error", &[]),
    ("ids", &[]),
    ("stats", &[]),
    ("proto", &[]),
    ("config", &["error"]),
    ("poll", &["config"]),
    ("ring", &["prefetch", "sync"]),
    ("snapshot", &["ring", "stats"]),
    ("sys", &["config", "error", "ring", "sync"]),
    ("umem", &["config", "prefetch", "ring", "sync", "sys"]),
    ("backend", &["config", "error", "ids", "proto", "ring", "snapshot", "stats", "sys", "umem"]),
    ("port", &["backend", "config", "error", "ids", "stats"]),
    ("socket", &["backend", "config", "error", "ids", "port", "proto", "ring", "snapshot", "umem"]),
    ("worker", &["backend", "config", "error", "ids", "port", "socket", "umem"]),
    ("packet", &["ids", "proto", "umem", "worker"]),
    (
        "raw",
        &[
            "backend", "config", "error", "ids", "port", "snapshot", "socket", "stats", "umem",
            "worker",
        ],
    ),
    ("reactor", &["backend", "error", "ids", "raw"]),
    (
        "engine",
        &[
            "backend", "config", "error", "ids", "packet", "poll", "port", "snapshot", "socket",
            "stats", "sys", "umem", "worker",
        ],
    ),
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
            "backend", "config", "engine", "error", "ids", "port", "raw", "socket", "system",
            "umem", "worker",
        ],
    ),
];

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

/// What `crate::NAME` stands for where the root re-exports it: `FluxError` is of `error`.
fn reexports(lib: &str) -> HashMap<String, String> {
    let list = lib.split("pub use {").nth(1).unwrap().split("};").next().unwrap();
    let mut homes = HashMap::from([("simulator".to_owned(), "backend".to_owned())]);
    let mut module = String::new();
    for word in list.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        match word.chars().next() {
            None => {}
            Some(c) if c.is_uppercase() => {
                homes.insert(word.to_owned(), module.clone());
            }
            // `backend::fault::Faults` is of `backend`.
            Some(_) if list.contains(&format!("\n    {word}::")) => module = word.to_owned(),
            Some(_) => {}
        }
    }
    homes
}

/// The modules that code names by `crate::`, tests and comments left out.
fn named_modules(text: &str, homes: &HashMap<String, String>) -> Vec<String> {
    let code = text.split("mod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = Vec::new();
    for line in lines {
        for rest in line.split("crate::").skip(1) {
            // `crate::{a, b}` would hide its names.
            assert!(!rest.starts_with('{'), "{line}");
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(homes.get(&name).cloned().unwrap_or(name));
        }
    }
    names
}

#[test]
fn no_two_layers_name_each_other() {
    for (at, (module, uses)) in MAY_USE.iter().enumerate() {
        for name in *uses {
            let lower = MAY_USE[..at].iter().any(|(lower, _)| lower == name);
            assert!(lower, "{module} may use {name}, which is not below it");
        }
    }
}

#[test]
fn no_layer_names_a_higher_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let homes = reexports(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert_eq!(homes["FluxError"], "error");
    assert_eq!(homes["Faults"], "backend");
    assert_eq!(homes["QueueIndex"], "ids");
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
        if inside.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue; // a `mod tests` in files of its own
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: not in the list of layers", inside.display()));
            continue;
        };
        for name in named_modules(&fs::read_to_string(&path).unwrap(), &homes) {
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
