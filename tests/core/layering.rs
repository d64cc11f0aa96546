//! Dependencies point one way: a lower layer never names a higher one.

use crate::circles::edges;
use crate::modules::{Crate, End, LIBRARY, made_of};
use crate::source::Names;
use std::collections::BTreeSet;

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

/// Public names that the crate's root gives to modules further down.
const ALIASES: [(&str, &[&str]); 1] = [("simulator", &["backend", "sim"])];

/// What `tools` must not name: terminals and arguments are for the command.
const OF_THE_COMMAND: &[&str] = &[
    "clap",
    "comfy_table",
    "crossterm",
    "indicatif",
    "ratatui",
    "std::env::args",
    "std::env::args_os",
    "std::io::Stderr",
    "std::io::Stdout",
    "std::io::stderr",
    "std::io::stdout",
    "terminal_size",
];

/// The macros that print.
const PRINT: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

#[test]
fn no_two_modules_may_name_each_other() {
    for (at, (module, allowed)) in MAY_USE.iter().enumerate() {
        for name in *allowed {
            let real = ALIASES.iter().find(|(alias, _)| alias == name).map_or(*name, |a| a.1[0]);
            let below = MAY_USE[..at].iter().any(|(lower, _)| *lower == real);
            assert!(below, "{module} may name {name}, which is not below it");
        }
    }
}

/// The first module beside its own that a path passes, by its public name if it has one.
fn first_beside<'a>(own: &str, passed: &'a [Names]) -> Option<&'a str> {
    let beside = passed.iter().find(|module| module.first().is_some_and(|first| first != own))?;
    let by_root = passed.contains(&Names::new());
    let alias = ALIASES.iter().find(|(_, real)| {
        by_root && beside.len() >= real.len() && real.iter().zip(beside).all(|(a, b)| a == b)
    });
    Some(alias.map_or(beside[0].as_str(), |(alias, _)| alias))
}

/// What names what it must not, in the layers below `tools`.
fn wrong_layers(modules: &Crate) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for (from, module) in &modules.0 {
        let Some(own) = from.first() else { continue };
        if ["internals", "tools"].contains(&own.as_str()) {
            continue; // the top: may use the whole library
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == own) else {
            wrong.insert(format!("{own}: not in the list of layers"));
            continue;
        };
        let mut check = |name: &str| {
            if name != own && !allowed.contains(&name) {
                wrong.insert(format!("{} names {name}", from.join("::")));
            }
        };
        for (_, end) in modules.ends(from) {
            if let End::Inside(passed) = end {
                first_beside(own, &passed).into_iter().for_each(&mut check);
            }
        }
        // Documentation may speak of what the crate's root passes on, but of no module above.
        let documented = module.docs.iter().filter_map(|path| path.get(1));
        let modules = documented.filter(|name| name.chars().next().is_some_and(char::is_lowercase));
        modules.for_each(|name| check(name));
    }
    wrong
}

#[test]
fn no_layer_names_a_higher_one() {
    let wrong = wrong_layers(&LIBRARY);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_higher_layer_is_found_however_it_is_named() {
    let rest = [("", "pub use engine::FluxEngine;"), ("engine", "pub struct FluxEngine;")];
    for code in [
        "use crate::engine;",
        "use super::engine::FluxEngine;",
        "use super::*; fn f(e: &engine::FluxEngine) {}",
        "use crate as c; fn f(e: &c::engine::FluxEngine) {}",
        "fn f(e: &crate::FluxEngine) {}",
        "/// As [`crate::engine`] does it.\nfn f() {}",
        "mod inner { fn f() { super::super::engine::go() } }",
        "fn f() { let quote = '\"'; crate::engine::go() }",
    ] {
        let modules = made_of(&[rest[0], rest[1], ("ring", code)]);
        assert_eq!(wrong_layers(&modules).len(), 1, "{code}");
    }
    for code in [
        "use crate::sync::Arc;",
        "use super::prefetch::near;",
        "// crate::engine\nfn f() -> &'static str { \"crate::engine\" }",
        "/// For a [`crate::FluxEngine`].\nfn f() {}",
        "#[cfg(test)] mod tests { use crate::engine; }",
    ] {
        let lower = [("sync", "pub struct Arc;"), ("prefetch", "pub fn near() {}")];
        let modules = made_of(&[rest[0], rest[1], lower[0], lower[1], ("ring", code)]);
        assert_eq!(wrong_layers(&modules), BTreeSet::new(), "{code}");
    }
}

/// What of a terminal or of arguments the modules of `tools` name.
fn of_the_command(modules: &Crate) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    let of_tools = |name: &Names| name.first().is_some_and(|first| first == "tools");
    for (from, module) in modules.0.iter().filter(|(name, _)| of_tools(name)) {
        for (_, end) in modules.ends(from) {
            let End::Outside(path) = end else { continue };
            let path = path.join("::");
            let refused = |word: &&str| path == **word || path.starts_with(&format!("{word}::"));
            if OF_THE_COMMAND.iter().any(refused) {
                wrong.insert(format!("{} names {path}", from.join("::")));
            }
        }
        for print in PRINT.iter().filter(|print| module.macros.contains(**print)) {
            wrong.insert(format!("{} calls {print}!", from.join("::")));
        }
    }
    wrong
}

#[test]
fn tools_know_no_terminal_and_no_arguments() {
    let wrong = of_the_command(&LIBRARY);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_terminal_is_found_however_it_is_named() {
    for code in [
        "fn f() { print!(\"x\") }",
        "fn f() { std::eprint!(\"x\") }",
        "macro_rules! say { ($x:expr) => { println!(\"{}\", $x) }; }",
        "use std::io; fn f() { io::stdout(); }",
        "use std::io::{self as i}; fn f() { i::stderr(); }",
        "use std::io::*; fn f() { stdout(); }",
        "fn f() { ::std::io::stdout(); }",
        "fn f() { writeln!(std::io::stderr(), \"x\").unwrap() }",
        "use std::env::args as given;",
        "#[derive(clap::Args)] struct Given;",
        "use clap as c; #[derive(c::Args)] struct Given;",
    ] {
        let modules = made_of(&[("", ""), ("tools", ""), ("tools::ping", code)]);
        assert!(!of_the_command(&modules).is_empty(), "{code}");
    }
    let code = "fn f(c: &mut Command) { c.stdout(Stdio::piped()); write!(c, \"print!\"); }";
    let modules = made_of(&[("", ""), ("tools", ""), ("tools::ping", code)]);
    assert_eq!(of_the_command(&modules), BTreeSet::new());
}

#[test]
fn what_commands_share_knows_no_command_and_nothing_above_itself() {
    for (at, (module, allowed)) in SHARED.iter().enumerate() {
        for name in *allowed {
            let below = SHARED[..at].iter().any(|(lower, _)| lower == name);
            assert!(below, "{module} may name {name}, which is not below it");
        }
    }
    let wrong = wrong_shared(&LIBRARY);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_command_is_found_however_what_is_shared_names_it() {
    for code in [
        "use crate::tools; fn f(e: &tools::ping::Event) {}",
        "use crate::tools as t; fn f(e: &t::ping::Event) {}",
        "use crate as c; fn f(e: &c::tools::ping::Event) {}",
        "use crate::tools::*; fn f(e: &ping::Event) {}",
        "use super::*; fn f(e: &Vec<ping::Event>) {}",
        "use super::ping::{self as p}; fn f(e: &p::Event) {}",
        "use {super::ping::Event as E};",
        "extern crate self as own; fn f(e: &own::tools::ping::Event) {}",
        "fn f() { let _ = format!(\"{:?}\", super::ping::Event); }",
        "macro_rules! event { () => { $crate::tools::ping::Event }; }",
        "macro_rules! event { () => { use $crate::tools::{ping::Event, host}; }; }",
        "#[serde(with = \"super::ping::as_text\")] struct S;",
        "fn f() { use super::ping; ping::go() }",
        "fn f() -> &'static str { let _ = \"a\nb\"; super::ping::go() }",
        "fn f() { g('\"', super::ping::go()) }",
        "fn f() { g(r#\"\"\"#, super::ping::go()) }",
        "impl From<super::ping::Event> for u8 {}",
        "use super::Passed;",
    ] {
        let modules = made_of(&[
            ("", ""),
            ("tools", "mod ping; pub use ping::Event as Passed;"),
            ("tools::host", "pub fn f() {}"),
            ("tools::ping", "pub struct Event; pub fn go() {}"),
            ("tools::measure", code),
        ]);
        assert!(
            wrong_shared(&modules).contains("tools::measure names tools::ping"),
            "{code}: {:?}",
            wrong_shared(&modules)
        );
    }
}

/// What of `tools` names what it must not.
fn wrong_shared(modules: &Crate) -> BTreeSet<String> {
    let edges = edges(modules);
    let tools = &edges[&vec!["tools".to_owned()]];
    let shared = |name: &str| SHARED.iter().find(|(shared, _)| *shared == name);
    let mut wrong = BTreeSet::new();
    for ((from, to), by) in tools.iter().filter(|((from, to), _)| from != to) {
        let allowed = match shared(from) {
            Some((_, allowed)) => allowed.contains(&to.as_str()),
            None if COMMANDS.contains(&from.as_str()) => shared(to).is_some(),
            None => false, // not in a list
        };
        if !allowed {
            wrong.insert(format!("{by} names tools::{to}"));
        }
    }
    wrong
}
