//! Files of a folder do not import each other in a circle, of whatever length, anywhere in `src`.
//!
//! A path is followed as the compiler does it, through `use` and what a `mod.rs` passes on, to the
//! module that has the item. Two modules below the same folder then make an edge between the two
//! files or folders of it that they are in. What only tests use does not count.

use crate::modules::{Crate, End, FLUX, LIBRARY, made_of};
use std::collections::{BTreeMap, BTreeSet};

/// Circles that are known, by the folder and the files in it. One that was cut is to be removed here.
const KNOWN: &[(&str, &[&str])] = &[];

/// From, to (both in the folder), and the module that names the other.
pub type Edges = BTreeMap<Vec<String>, BTreeMap<(String, String), String>>;

pub fn edges(modules: &Crate) -> Edges {
    let mut edges = Edges::new();
    for from in modules.0.keys() {
        for (_, end) in modules.ends(from) {
            let End::Inside(passed) = end else { continue };
            for to in passed {
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
                    let folder = edges.entry(from[..common].to_vec()).or_default();
                    folder.entry((a.clone(), b.clone())).or_insert_with(|| from.join("::"));
                }
            }
        }
    }
    edges
}

/// All that `from` leads to.
fn reach(edges: &BTreeMap<(String, String), String>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(at) = open.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| *from == at) {
            if found.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    found
}

/// The circles of each folder: files each of which leads to all of the others.
fn circles(edges: &Edges) -> BTreeMap<(String, Vec<String>), Vec<String>> {
    let mut circles = BTreeMap::new();
    for (folder, edges) in edges {
        let files: BTreeSet<_> = edges.keys().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        let reach: BTreeMap<_, _> = files.iter().map(|file| (file, reach(edges, file))).collect();
        for file in &files {
            let members: Vec<_> = files
                .iter()
                .filter(|other| reach[file].contains(*other) && reach[other].contains(file))
                .cloned()
                .collect();
            if members.len() > 1 {
                let inside = edges.iter().filter(|((from, to), _)| {
                    members.contains(from) && members.contains(to) && from != to
                });
                let told = inside.map(|((from, to), by)| format!("{from} -> {to} (in {by})"));
                circles.insert((folder.join("::"), members.clone()), told.collect());
            }
        }
    }
    circles
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    let mut needed = BTreeSet::new();
    for (modules, name) in [(&LIBRARY, "crate"), (&FLUX, "flux")] {
        for ((folder, files), edges) in circles(&edges(modules)) {
            let folder = format!("{name}::{folder}").trim_end_matches(':').to_owned();
            let known = KNOWN.iter().position(|(f, list)| *f == folder && files == *list);
            match known {
                Some(at) => drop(needed.insert(at)),
                None => wrong.push(format!("{folder}: {files:?}\n    {}", edges.join("\n    "))),
            }
        }
    }
    for (at, (folder, files)) in KNOWN.iter().enumerate() {
        if !needed.contains(&at) {
            wrong.push(format!("{folder} {files:?} is cut: remove it from the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of the only circle.
fn found(modules: &Crate) -> Vec<String> {
    let found: Vec<_> = circles(&edges(modules)).into_keys().collect();
    assert!(found.len() < 2, "{found:?}");
    found.into_iter().flat_map(|(_, files)| files).collect()
}

#[test]
fn a_circle_is_found_through_groups_inline_paths_and_what_a_folder_passes_on() {
    let modules = made_of(&[
        ("", "mod a; mod b; mod c; mod d; use d::Passed;"),
        ("a", "use super::{b::Thing, c};\nfn f() { c::g() }"),
        ("b", "/// Not [`crate::a`].\nfn f() -> &'static str { let x = \"crate::a\"; x }"),
        ("c", "fn f() { crate::Passed::new() }"),
        ("d", "fn f(it: &crate::a::inner::It) {}"),
        ("a::inner", "use crate::a::It;"),
    ]);
    assert_eq!(found(&modules), ["a", "c", "d"]);
}

#[test]
fn a_circle_is_found_through_other_names_globs_and_what_stands_beside_strings() {
    for code in [
        "use super::frame; fn f(it: &frame::It) {}",
        "use crate::ping; fn f(it: &ping::frame::It) {}",
        "use crate as c; fn f(it: &c::ping::frame::It) {}",
        "use super::*; fn f(it: &frame::It) {}",
        "use super::*; fn f(it: &It) {}",
        "mod inner { fn f(it: &super::super::frame::It) {} }",
        "fn f() { g('\"'); super::frame::go() }",
        "fn f() { g(\"a\n  b\"); super::frame::go() }",
        "fn f() { vec![super::frame::It] }",
    ] {
        let modules = made_of(&[
            ("", "mod ping;"),
            ("ping", "mod frame; mod run; pub use frame::It;"),
            ("ping::frame", "use super::run::Run; pub struct It; pub fn go() {}"),
            ("ping::run", &format!("pub struct Run; {code}")),
        ]);
        assert_eq!(found(&modules), ["frame", "run"], "{code}");
    }
    // What passes a name on is named too.
    let modules = made_of(&[
        ("", ""),
        ("all", "pub use super::frame::*;"),
        ("frame", "use super::run::Run; pub struct It;"),
        ("run", "use super::all::*; pub struct Run(It);"),
    ]);
    assert_eq!(found(&modules), ["all", "frame", "run"]);
}

#[test]
fn tests_comments_strings_and_own_names_make_no_circle() {
    for code in [
        "#[cfg(test)] mod tests { use super::super::frame; }",
        "#[cfg(all(test, unix))] fn f() { super::frame::go() }",
        "/* super::frame */ fn f() { g(\"super::frame::It\") } // super::frame::It",
        "pub struct It; fn f(it: &It) {}",
        "use std::frame; fn f() { frame::go() }",
        "fn f(it: &X) { it.frame() }",
    ] {
        let modules = made_of(&[
            ("", "mod ping;"),
            ("ping", "mod frame; mod run; pub use frame::It;"),
            ("ping::frame", "use super::run::Run; pub struct It; pub fn go() {}"),
            ("ping::run", &format!("pub struct Run; {code}")),
        ]);
        assert!(found(&modules).is_empty(), "{code}");
    }
    let modules = made_of(&[
        ("", "mod a; mod b;"),
        ("a", "use super::b::It; #[cfg(test)] mod fixture;"),
        ("a::fixture", "use crate::b;"),
        ("b", "pub struct It; #[cfg(test)] mod fixture;"),
        ("b::fixture", "use crate::a;"),
    ]);
    assert!(found(&modules).is_empty());
}
