//! Files of a folder do not import each other in a circle, of whatever length, anywhere in `src`.
//!
//! A path is followed as the compiler does it, through `use` and what a `mod.rs` passes on, to the
//! module that has the item. Two modules below the same folder then make an edge between the two
//! files or folders of it that they are in. What only tests use does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Circles that are known, by the folder and the files in it. One that was cut is to be removed here.
const KNOWN: &[(&str, &[&str])] = &[];

/// A module: where its names come from.
#[derive(Default)]
pub struct Module {
    /// Names that `use` brings in, and the path that stands there.
    uses: BTreeMap<String, Vec<String>>,
    /// Every path in its code, and those of `use`.
    paths: Vec<Vec<String>>,
}

/// The modules of a crate by their paths; the root's is empty.
pub type Crate = BTreeMap<Vec<String>, Module>;

/// From, to (both in the folder), and the module that names the other.
pub type Edges = BTreeMap<Vec<String>, BTreeMap<(String, String), String>>;

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code without comments, strings and tests in the same file.
fn bare(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    for line in text.lines() {
        let mut quoted = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '/' if !quoted && chars.peek() == Some(&'/') => break,
                '\\' if quoted => drop(chars.next()),
                '\'' if !quoted && chars.peek() == Some(&'"') => drop(chars.next()),
                '"' => quoted = !quoted,
                c if !quoted => code.push(c),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// `a::{b, c::{self, d as e}}` as names and their paths.
fn tree(text: &str, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let text = text.trim();
    let (head, rest) = match text.find('{') {
        Some(at) => (text[..at].trim().trim_end_matches("::"), Some(text[at..].trim())),
        None => (text, None),
    };
    let mut path = before.to_vec();
    let (head, alias) = match head.split_once(" as ") {
        Some((head, alias)) => (head, Some(alias.trim().to_owned())),
        None => (head, None),
    };
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty() && *part != "self");
    path.extend(parts.map(str::to_owned));
    match rest {
        None => {
            let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
            found.push((name, path));
        }
        Some(group) => {
            let inside = group.trim_start_matches('{').trim_end().trim_end_matches('}');
            let (mut depth, mut start) = (0, 0);
            for (at, c) in inside.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        tree(&inside[start..at], &path, found);
                        start = at + 1;
                    }
                    _ => {}
                }
            }
            if !inside[start..].trim().is_empty() {
                tree(&inside[start..], &path, found);
            }
        }
    }
}

fn module(text: &str) -> Module {
    let mut code = bare(text);
    let mut module = Module::default();
    // `use` first, and out of the way.
    while let Some(at) = code
        .match_indices("use ")
        .map(|(at, _)| at)
        .find(|&at| at == 0 || code[..at].ends_with(['\n', ' ', '{', '}', ')']))
    {
        let Some(len) = code[at..].find(';') else { break };
        let mut found = Vec::new();
        tree(&code[at + 4..at + len], &[], &mut found);
        for (name, path) in found {
            module.paths.push(path.clone());
            module.uses.insert(name, path);
        }
        code.replace_range(at..=at + len, "");
    }
    let mut rest = code.as_str();
    while let Some(at) = rest.find("::") {
        let start = rest[..at].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        let end = rest[at..].find(|c| !is_name(c) && c != ':').map_or(rest.len(), |len| at + len);
        let path = rest[start..end].split("::").map(str::to_owned).collect::<Vec<_>>();
        module.paths.push(path.into_iter().filter(|part| !part.is_empty()).collect());
        rest = &rest[end.max(at + 2)..];
    }
    module
}

fn read(dir: &Path, path: &[String], modules: &mut Crate) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" || stem == "bin" {
            continue;
        }
        let inner = [path, std::slice::from_ref(&stem)].concat();
        if file.is_dir() {
            read(&file, &inner, modules);
        } else if file.extension().is_some_and(|ending| ending == "rs") {
            let own = if ["mod", "lib", "main"].contains(&stem.as_str()) { path } else { &inner };
            modules.insert(own.to_vec(), module(&fs::read_to_string(&file).unwrap()));
        }
    }
}

/// The module that a path leads to, as seen from `from`; `None`: it is not of this crate.
fn resolve(modules: &Crate, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
    if depth == 0 {
        return None; // a name that is passed on to itself
    }
    let mut at = from.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        first => {
            let inner = [&at, std::slice::from_ref(rest.first()?)].concat();
            let known = modules.contains_key(&inner)
                || modules.get(&at).is_some_and(|module| module.uses.contains_key(first));
            if !known {
                return None; // another crate, or an item of this module
            }
        }
    }
    while let Some(part) = rest.first() {
        let inner = [&at, std::slice::from_ref(part)].concat();
        if modules.contains_key(&inner) {
            at = inner;
            rest = &rest[1..];
            continue;
        }
        let passed_on = modules.get(&at).and_then(|module| module.uses.get(part));
        return match passed_on {
            Some(path) if *path != [part.clone()] => resolve(modules, &at, path, depth - 1),
            _ => Some(at), // its own item
        };
    }
    Some(at)
}

pub fn edges(modules: &Crate) -> Edges {
    let mut edges = Edges::new();
    for (from, module) in modules {
        for path in &module.paths {
            let Some(to) = resolve(modules, from, path, 16) else { continue };
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
                let folder = edges.entry(from[..common].to_vec()).or_default();
                folder.entry((a.clone(), b.clone())).or_insert_with(|| from.join("::"));
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

/// The modules below this directory.
pub fn of(dir: &str) -> Crate {
    let mut modules = Crate::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &[], &mut modules);
    modules
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    let mut needed = BTreeSet::new();
    for (dir, name) in [("src", "crate"), ("src/bin/flux", "flux")] {
        for ((folder, files), edges) in circles(&edges(&of(dir))) {
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

#[test]
fn a_circle_is_found_through_groups_inline_paths_and_what_a_folder_passes_on() {
    let modules: Crate = [
        ("", "mod a; mod b; mod c; mod d; use d::Passed;"),
        ("a", "use super::{b::Thing, c};\nfn f() { c::g() }"),
        ("b", "/// Not [`crate::a`].\nfn f() -> &'static str { let x = \"crate::a\"; x }"),
        ("c", "fn f() { crate::Passed::new() }"),
        ("d", "fn f(it: &crate::a::inner::It) {}"),
        ("a::inner", "use crate::a::It;"),
    ]
    .into_iter()
    .map(|(path, text)| {
        let path = path.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
        (path.collect(), module(text))
    })
    .collect();
    let found: Vec<_> = circles(&edges(&modules)).into_keys().collect();
    let circle = ["a", "c", "d"].map(str::to_owned).to_vec();
    assert_eq!(found, [(String::new(), circle)]);
}
