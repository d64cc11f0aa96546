//! What is done to the argument list before clap sees it.
//!
//! `--sim` takes an optional value. clap would need `--sim=SPEC`; people write `--sim SPEC` as
//! well, so a next word that can only be a specification is joined to it. A target never has an
//! `=` in it and is never one of the bare keywords.

use clap::Command;
use fluxnet::simulator::SimSpec;
use std::ffi::{OsStr, OsString};

/// Whether a word is a part of a specification without an `=`. `--sim= realtime` pings a host of that
/// name.
fn is_keyword(word: &str) -> bool {
    ["realtime", "zerocopy"].contains(&word) || SimSpec::is_bare(word)
}

/// Joins `--sim SPEC` into `--sim=SPEC`.
pub fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let mut open = false;
    let mut ended = false;
    for arg in args {
        if open && looks_like_spec(&arg) {
            let mut joined = OsString::from("--sim=");
            joined.push(&arg);
            out.pop();
            out.push(joined);
            open = false;
            continue;
        }
        ended |= arg == "--";
        open = !ended && arg == "--sim";
        out.push(arg);
    }
    out
}

fn looks_like_spec(arg: &OsStr) -> bool {
    let Some(text) = arg.to_str() else { return false };
    !text.starts_with('-') && text.split(',').all(|part| part.contains('=') || is_keyword(part))
}

/// The command that was asked for: the first word that is none of the options before it.
pub fn command<'a>(args: &[OsString], tree: &'a Command) -> Option<&'a Command> {
    let word = args.iter().skip(1).find(|arg| !arg.to_string_lossy().starts_with('-'))?;
    tree.find_subcommand(word)
}

/// Whether JSON was asked for. Needed where clap could not tell: after a usage error.
///
/// In `-qj` the j is a letter of its own or a value of q, as the command has it that `tree` knows.
pub fn wants_json(args: &[OsString], tree: &Command) -> bool {
    let words = args.iter().skip(1).map_while(|arg| (arg != "--").then(|| arg.to_string_lossy()));
    let mut command = tree;
    words.into_iter().any(|word| match word.strip_prefix('-') {
        Some(long) if long.starts_with('-') => long == "-json",
        Some(letters) => {
            letters.chars().take_while(|letter| !takes_value(command, *letter)).any(|c| c == 'j')
        }
        None => {
            command = command.find_subcommand(&*word).unwrap_or(command);
            false
        }
    })
}

/// Whether the rest of a word is the value of the short option `letter`.
fn takes_value(command: &Command, letter: char) -> bool {
    let option = command.get_arguments().find(|option| option.get_short() == Some(letter));
    option
        .is_some_and(|option| option.get_action().takes_values() && !option.is_require_equals_set())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_word_that_can_only_be_a_specification_joins_sim() {
        let table = [
            ("flux ping --sim 10.0.0.2", "flux ping --sim 10.0.0.2"),
            ("flux ping --sim loss=3% 10.0.0.2", "flux ping --sim=loss=3% 10.0.0.2"),
            ("flux ping --sim los=3%", "flux ping --sim=los=3%"),
            ("flux ping --sim realtime 10.0.0.2", "flux ping --sim=realtime 10.0.0.2"),
            ("flux ping --sim realtime,seed=7 x", "flux ping --sim=realtime,seed=7 x"),
            ("flux ping --sim wrong_queue x", "flux ping --sim=wrong_queue x"),
            ("flux ping --sim=seed=7 a=b", "flux ping --sim=seed=7 a=b"),
            ("flux ping --sim --count=5 x", "flux ping --sim --count=5 x"),
            ("flux ping --sim example.org", "flux ping --sim example.org"),
            ("flux ping --sim= realtime", "flux ping --sim= realtime"),
            ("flux ping -- --sim realtime", "flux ping -- --sim realtime"),
            ("flux ping --sim", "flux ping --sim"),
            ("flux ping --sim a=1 b=2", "flux ping --sim=a=1 b=2"),
        ];
        for (given, want) in table {
            assert_eq!(normalise(words(given)), words(want), "{given}");
        }
    }

    #[test]
    fn every_trouble_is_a_specification_by_itself() {
        for name in SimSpec::bare_words().chain(["kick-lost", "wrong-queue"]) {
            let (given, want) = ("flux ping --sim NAME x", "flux ping --sim=NAME x");
            let named = |line: &str| words(&line.replace("NAME", name));
            assert_eq!(normalise(named(given)), named(want));
        }
    }

    #[test]
    fn the_command_is_known_also_where_clap_gave_up() {
        let tree = crate::cli::Cli::command();
        for (line, want) in [
            ("flux ping --bad x", Some("ping")),
            ("flux bench diff a", Some("bench")),
            ("flux --bad rings", Some("rings")),
            ("flux frob ping", None),
            ("flux", None),
        ] {
            let found = command(&words(line), &tree).map(Command::get_name);
            assert_eq!(found, want, "{line}");
        }
    }

    fn wants(line: &str) -> bool {
        wants_json(&words(line), &crate::cli::Cli::command())
    }

    #[test]
    fn json_is_found_even_where_clap_gave_up() {
        for yes in [
            "flux ping --json",
            "flux ping -j",
            "flux ping -nqj",
            "flux ping --bad -j x",
            "flux frob -j",
            "flux rings -wj",
            "flux bench diff -j a b",
            "flux trace -nj x",
            "flux trace -TUj x",
        ] {
            assert!(wants(yes), "{yes}");
        }
        for no in [
            "flux ping",
            "flux ping -Ij0",
            "flux ping -p j",
            "flux ping -- -j",
            "-j",
            "flux trace -Ij0 x",
            "flux trace -- -j",
        ] {
            assert!(!wants(no), "{no}");
        }
    }

    #[test]
    fn a_letter_takes_a_value_where_its_command_says_so() {
        for letter in "mfqwpstci".chars() {
            assert!(!wants(&format!("flux trace -{letter}j x")), "trace -{letter}");
        }
        for letter in "cisWwtQMp".chars() {
            assert!(!wants(&format!("flux ping -{letter}j x")), "ping -{letter}");
        }
        // What takes a value in the one is a flag, or nothing, in the other.
        assert!(wants("flux ping -qj x") && wants("flux ping -fj x") && wants("flux trace -Wj x"));
    }
}
