//! The library speaks of itself: a program that uses it knows no options of `flux`. What stands
//! for a setting in its errors is an `Advice`, which the command line puts into its own words.

use std::fs;
use std::path::{Path, PathBuf};

/// What may name options: what commands do, and the command itself.
const OF_THE_COMMAND: [&str; 2] = ["tools", "bin"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let tests = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !tests {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !tests {
            found.push(path);
        }
    }
}

/// The string literals of `code` with their lines: no comments, and nothing from the first
/// `mod tests {` on.
fn literals(code: &str) -> Vec<(usize, String)> {
    let code: Vec<char> = code.split("\nmod tests {").next().unwrap_or_default().chars().collect();
    let line = |at: usize| 1 + code[..at].iter().filter(|&&c| c == '\n').count();
    let starts =
        |at: usize, word: &str| word.chars().eq(code[at..].iter().copied().take(word.len()));
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        if starts(at, "//") {
            at += code[at..].iter().take_while(|&&c| c != '\n').count();
        } else if starts(at, "/*") {
            at += 2;
            while at < code.len() && !starts(at, "*/") {
                at += 1;
            }
        } else if starts(at, "'\"'") || starts(at, "'\\\"'") {
            at += 3;
        } else if starts(at, "r\"") || starts(at, "r#\"") {
            let end = if starts(at, "r#") { "\"#" } else { "\"" };
            let start = at + 1 + end.len();
            at = start;
            while at < code.len() && !starts(at, end) {
                at += 1;
            }
            found.push((line(start), code[start..at].iter().collect()));
            at += end.len();
        } else if code[at] == '"' {
            let start = at + 1;
            at = start;
            while at < code.len() && code[at] != '"' {
                at += if code[at] == '\\' { 2 } else { 1 };
            }
            let end = at.min(code.len());
            found.push((line(start), code[start..end].iter().collect()));
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Whether `text` names an option or a command of `flux`.
fn speaks_of_the_command(text: &str) -> bool {
    let option = text.match_indices("--").any(|(at, dashes)| {
        text[at + dashes.len()..].starts_with(|c: char| c.is_ascii_lowercase())
    });
    option || text.contains("`flux ")
}

#[test]
fn no_text_of_the_library_names_an_option_or_a_command_of_flux() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for path in found {
        let inside = path.strip_prefix(&src).unwrap();
        if OF_THE_COMMAND.iter().any(|top| inside.starts_with(top)) {
            continue;
        }
        for (line, text) in literals(&fs::read_to_string(&path).unwrap()) {
            looked_at += 1;
            if speaks_of_the_command(&text) {
                wrong.push(format!("{}:{line}: {text}", inside.display()));
            }
        }
    }
    assert!(looked_at > 500, "only {looked_at} strings were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_in_strings_are_found_and_those_in_comments_and_tests_are_not() {
    let code = r##"
// use "--frames"
/* "--queue" */ fn f<'a>(quote: char) -> &'a str {
    if quote == '"' || quote == '\"' { return "a \"--bind\" mode" }
    let _ = (r#"two "--attach""#, r"--sim", "1--2", "a -- b");
    "choose \
     another --queue"
}
mod tests {
    "--hugepages"
"##;
    let found: Vec<_> =
        literals(code).into_iter().filter(|(_, t)| speaks_of_the_command(t)).collect();
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [4, 5, 5, 6], "{found:?}");
    assert!(speaks_of_the_command("stop its owner (`flux rings` names it)"));
}
