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

/// What newcomers stumble over. `tell` is for telling things apart; programs say and show.
const REFUSED: [&str; 8] =
    ["tell", "tells", "in none", "is no one", "so many", "all comes to", "mends", "is of type"];

/// The refused words in `line`, each as a word of its own.
fn refused(line: &str) -> Vec<&'static str> {
    let lower = line.to_lowercase();
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_there = |phrase: &str| {
        lower.match_indices(phrase).any(|(at, found)| {
            let (before, after) = (&lower[..at], &lower[at + found.len()..]);
            let alone = !word(before.chars().next_back()) && !word(after.chars().next());
            let apart = phrase.starts_with("tell")
                && after.split(['.', ',', ';', ':', '|']).next().is_some_and(|rest| {
                    rest.split_whitespace().take(6).any(|word| word == "apart")
                });
            alone && !apart
        })
    };
    REFUSED.into_iter().filter(|phrase| is_there(phrase)).collect()
}

/// Help (as manual pages have it), its topics, and the documents.
#[test]
fn texts_for_users_have_no_refused_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for (directory, extension) in [("docs", "md"), ("man", "1"), ("man", "7")] {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 15, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for path in files {
        // A sentence may go on in the next line.
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let pair = format!("{line} {}", lines.get(at + 1).unwrap_or(&""));
            let inside = path.strip_prefix(root).unwrap().display();
            if !refused(line).is_empty() && !refused(&pair).is_empty() {
                wrong.push(format!("{inside}:{}: {:?}: {line}", at + 1, refused(line)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same of what the tools and the command print.
#[test]
fn strings_of_the_tools_have_no_refused_words() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for top in OF_THE_COMMAND {
        sources(&src.join(top), &mut found);
    }
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for path in found {
        let inside = path.strip_prefix(&src).unwrap();
        for (line, text) in literals(&fs::read_to_string(&path).unwrap()) {
            looked_at += 1;
            let refused = refused(&text);
            if !refused.is_empty() {
                wrong.push(format!("{}:{line}: {refused:?}: {text}", inside.display()));
            }
        }
    }
    assert!(looked_at > 1000, "only {looked_at} strings were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn refused_words_are_found_and_their_good_uses_are_not() {
    for (line, words) in [
        ("this page tells what they mean", vec!["tells"]),
        ("Tell whether it runs", vec!["tell"]),
        ("a token tells them apart, so", vec![]),
        ("numbers that identifier and sequence tell apart", vec![]),
        ("it tells much. They are apart", vec!["tells"]),
        ("intelligent satellites", vec![]),
        ("its time is in none", vec!["in none"]),
        ("`tell_losses` was so many", vec!["so many"]),
    ] {
        assert_eq!(refused(line), words, "{line}");
    }
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
