//! The modules of a crate, and where the names in their code lead to: what the tests of layers and of
//! circles ask about.

use crate::source::{Module, Names, Reader, names};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use syn::visit::Visit;

/// A crate's modules by their names.
#[derive(Default)]
pub struct Crate(pub BTreeMap<Names, Module>);

/// The library; read once, as syn takes a second for it.
pub static LIBRARY: LazyLock<Crate> = LazyLock::new(|| Crate::of("src"));

/// The command.
pub static FLUX: LazyLock<Crate> = LazyLock::new(|| Crate::of("src/bin/flux"));

/// Where a path leads to.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The modules that pass it on, in order, and last the one that has it.
    Inside(Vec<Names>),
    /// Its whole name in another crate.
    Outside(Names),
}

impl Crate {
    /// The modules below this directory, without what only tests have.
    fn of(dir: &str) -> Crate {
        let mut files = Vec::new();
        list(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &[], &mut files);
        Crate::new(files)
    }

    /// The same of modules and their code.
    fn new(files: impl IntoIterator<Item = (Names, String)>) -> Crate {
        let mut modules = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for (at, code) in files {
            let file = syn::parse_file(&code).unwrap_or_else(|error| panic!("{at:?}: {error}"));
            let mut reader = Reader { modules: &mut modules, at, tests: &mut tests };
            reader.module();
            reader.visit_file(&file);
        }
        modules.retain(|name, _| !tests.iter().any(|test| name.starts_with(test)));
        Crate(modules)
    }

    /// Where the paths of a module lead to, each with the path.
    pub fn ends<'a>(&'a self, from: &'a Names) -> impl Iterator<Item = (&'a Names, End)> {
        self.0[from].paths.iter().flat_map(move |path| {
            let mut ends = Vec::new();
            let mut seen = BTreeSet::new();
            self.start(from, path, None, &[], &mut seen, &mut ends);
            ends.into_iter().map(move |(end, _)| (path, end))
        })
    }

    /// Follows a path from the scope of a module. `this`: the name of the `use` that it stands in,
    /// which does not lead to itself. Each end comes with the parts after the module.
    fn start(
        &self,
        from: &[String],
        path: &[String],
        this: Option<&str>,
        trail: &[Names],
        seen: &mut BTreeSet<(Names, Names)>,
        ends: &mut Vec<(End, Names)>,
    ) {
        let mut at = from.to_vec();
        let mut rest = path;
        let mut anchored = false;
        while let Some(part) = rest.first() {
            match part.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" if at.pop().is_some() => {}
                _ => break,
            }
            anchored = true;
            rest = &rest[1..];
        }
        let outside = |ends: &mut Vec<_>| {
            let whole = rest.iter().filter(|part| !part.is_empty()).cloned().collect();
            ends.push((End::Outside(whole), Names::new()));
        };
        if rest.first().is_some_and(|part| part.is_empty()) {
            return outside(ends);
        }
        let found = self.walk(&at, rest, this.filter(|_| !anchored), trail, seen, ends);
        if !found && anchored {
            ends.push((inside(trail, &at), rest.to_vec()));
        } else if !found {
            outside(ends);
        }
    }

    /// Follows a path down from a module; whether the module has its first name.
    fn walk(
        &self,
        from: &[String],
        path: &[String],
        this: Option<&str>,
        trail: &[Names],
        seen: &mut BTreeSet<(Names, Names)>,
        ends: &mut Vec<(End, Names)>,
    ) -> bool {
        let mut at = from.to_vec();
        let mut rest = path;
        while let Some(part) = rest.first() {
            let inner = [at.as_slice(), std::slice::from_ref(part)].concat();
            if !self.0.contains_key(&inner) {
                break;
            }
            at = inner;
            rest = &rest[1..];
        }
        let deeper = rest.len() < path.len();
        let (Some(part), Some(module)) = (rest.first(), self.0.get(&at)) else {
            ends.push((inside(trail, &at), rest.to_vec()));
            return true;
        };
        if !seen.insert((at.clone(), rest.to_vec())) {
            return true; // it leads to itself; its other ends are found
        }
        let trail = [trail, std::slice::from_ref(&at)].concat();
        let skipped = !deeper && this == Some(part.as_str());
        if let Some(targets) = module.uses.get(part).filter(|_| !skipped) {
            for target in targets {
                let path = [target, &rest[1..]].concat();
                self.start(&at, &path, Some(part), &trail, seen, ends);
            }
            return true;
        }
        if !module.items.contains(part) {
            let mut found = false;
            for glob in &module.globs {
                let mut modules = Vec::new();
                self.start(&at, glob, None, &trail, seen, &mut modules);
                for (end, below) in modules {
                    match end {
                        End::Inside(passed) if below.is_empty() => {
                            let (to, before) = passed.split_last().unwrap();
                            found |= self.walk(to, rest, None, before, seen, ends);
                        }
                        End::Inside(_) => {} // the variants of an enum
                        End::Outside(outside) => {
                            let whole = [outside.as_slice(), rest].concat();
                            ends.push((End::Outside(whole), Names::new()));
                        }
                    }
                }
            }
            if found || !deeper {
                return found;
            }
        }
        ends.push((End::Inside(trail), rest.to_vec()));
        true
    }
}

fn inside(trail: &[Names], last: &[String]) -> End {
    End::Inside([trail, &[last.to_vec()]].concat())
}

/// The source files below a directory, by the names of their modules.
fn list(dir: &Path, above: &[String], files: &mut Vec<(Names, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" || stem == "bin" {
            continue;
        }
        let inner = [above, std::slice::from_ref(&stem)].concat();
        if file.is_dir() {
            list(&file, &inner, files);
        } else if file.extension().is_some_and(|ending| ending == "rs") {
            let own = if ["mod", "lib", "main"].contains(&stem.as_str()) { above } else { &inner };
            files.push((own.to_vec(), fs::read_to_string(&file).unwrap()));
        }
    }
}

/// A crate of these modules, for tests.
pub fn made_of(modules: &[(&str, &str)]) -> Crate {
    Crate::new(modules.iter().map(|(at, code)| {
        let at = if at.is_empty() { Names::new() } else { names(at) };
        (at, (*code).to_owned())
    }))
}
