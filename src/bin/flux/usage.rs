//! Arguments that cannot be: clap's error in our two lines, what is wrong and what to do next.
//!
//! The hint names the words that were probably meant. Where a value does not fit its option it says
//! what the option is, and what its letter means in other commands.

use crate::failure::Failure;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use fluxnet::text::near::did_you_mean;
use std::ffi::OsString;
use std::net::IpAddr;

/// From clap's error about `args`, which `tree` does not take.
pub fn failure(error: &clap::Error, args: &[OsString], tree: &Command) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::Help(text);
    }
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let asked = Asked { error, words: &words, tree, path: path(&words, tree) };
    let message = conflict(error).unwrap_or_else(|| message(&text));
    Failure::Error { error: message, hint: Some(asked.hint(&text)) }
}

/// What clap says is wrong, in one line.
fn message(text: &str) -> String {
    let body: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("Usage: ") && !line.starts_with("For more"))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("tip: "))
        .collect();
    let message = body.join(" ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}

/// Two options that do not go together, named in one order, whichever came first.
fn conflict(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(one)) = error.get(ContextKind::InvalidArg) else { return None };
    let Some(ContextValue::String(other)) = error.get(ContextKind::PriorArg) else { return None };
    let conflict = error.kind() == ErrorKind::ArgumentConflict && one != other;
    let (one, other) = (one.min(other), one.max(other));
    conflict.then(|| format!("the argument '{one}' cannot be used with '{other}'"))
}

/// The commands that were named, from `flux` down.
fn path<'a>(words: &[String], tree: &'a Command) -> Vec<&'a Command> {
    let mut path = vec![tree];
    for word in words.iter().skip(1).take_while(|word| *word != "--") {
        if let Some(below) = path[path.len() - 1].find_subcommand(word) {
            path.push(below);
        }
    }
    path
}

/// A line that cannot be.
struct Asked<'a> {
    error: &'a clap::Error,
    words: &'a [String],
    tree: &'a Command,
    path: Vec<&'a Command>,
}

impl Asked<'_> {
    fn hint(&self, text: &str) -> String {
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let usage = || usage.map(|usage| format!("usage: {usage}"));
        let hint = match self.error.kind() {
            ErrorKind::UnknownArgument => self.unknown(),
            ErrorKind::InvalidSubcommand => self.no_command(),
            ErrorKind::ArgumentConflict => Some("leave out one of the two".into()),
            ErrorKind::MissingRequiredArgument => self.taken_by_interface(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
                self.other_value().or_else(|| self.described())
            }
            _ => self.described(),
        };
        hint.or_else(usage).unwrap_or_else(|| self.help())
    }

    /// The innermost command.
    fn command(&self) -> &Command {
        self.path[self.path.len() - 1]
    }

    /// As it is typed.
    fn name(&self) -> String {
        self.path.iter().map(|command| command.get_name()).collect::<Vec<_>>().join(" ")
    }

    fn help(&self) -> String {
        format!("`{} --help` lists the options", self.name())
    }

    fn context(&self, kind: ContextKind) -> Option<&str> {
        match self.error.get(kind)? {
            ContextValue::String(text) => Some(text),
            ContextValue::Strings(list) => list.first().map(String::as_str),
            _ => None,
        }
    }

    /// An option that the command does not have.
    fn unknown(&self) -> Option<String> {
        let word = self.context(ContextKind::InvalidArg)?;
        if let Some(hint) = self.interface_as_word(word) {
            return Some(hint);
        }
        let Some(long) = word.strip_prefix("--") else {
            return self.unknown_letter(word.strip_prefix('-')?.chars().next()?);
        };
        let having = self.elsewhere(|option| option.get_long() == Some(long));
        if !having.is_empty() {
            let names: Vec<String> = having.into_iter().map(|(command, _)| command).collect();
            return Some(format!("--{long} is an option of {}; {}", and(&names), self.help()));
        }
        let options = self.command().get_arguments().filter(|option| !option.is_hide_set());
        let longs: Vec<&str> = options.filter_map(Arg::get_long).collect();
        let near = did_you_mean(long, longs, |long| format!("--{long}"));
        Some(near.unwrap_or_else(|| self.help()))
    }

    /// `-I eth0` and `--interface eth0` where the interface is a word of its own.
    fn interface_as_word(&self, word: &str) -> Option<String> {
        let is_interface = word.starts_with("-I") || word == "--interface";
        let mut words = self.command().get_positionals();
        let takes = words.any(|word| word.get_id() == "interface");
        if !(is_interface && takes) {
            return None;
        }
        let at = self.words.iter().position(|typed| typed.starts_with(word))?;
        let joined = self.words[at].strip_prefix(word)?.trim_start_matches('=');
        let next = self.words.get(at + 1).filter(|next| !next.starts_with('-'));
        let name = Some(joined).filter(|name| !name.is_empty()).or(next.map(String::as_str));
        Some(format!("give the interface as a word: {} {}", self.name(), name.unwrap_or("IFACE")))
    }

    /// A letter that the command does not have: one in the other case, and what it is elsewhere.
    fn unknown_letter(&self, letter: char) -> Option<String> {
        let swap = |c: char| {
            if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
        };
        let meant = self.option(|option| option.get_short() == Some(swap(letter)));
        let mut hints: Vec<String> = meant.map(described).into_iter().collect();
        let elsewhere = self.elsewhere(|option| option.get_short() == Some(letter));
        let first = elsewhere.first();
        hints.extend(first.map(|(command, long)| format!("-{letter} is --{long} in {command}")));
        hints.push(self.help());
        Some(hints.join("; "))
    }

    /// The other commands, those of commands included, that have such an option, each as it is
    /// typed and with the option's long name.
    fn elsewhere(&self, is_it: impl Fn(&Arg) -> bool) -> Vec<(String, &str)> {
        let here = self.name();
        let commands = commands(self.tree, self.tree.get_name().to_owned());
        let others = commands.into_iter().filter(|(name, _)| *name != here);
        let found = others.filter_map(|(name, command)| {
            let mut options = command.get_arguments().filter(|option| !option.is_hide_set());
            Some((name, options.find(|option| is_it(option))?.get_long()?))
        });
        found.collect()
    }

    fn no_command(&self) -> Option<String> {
        let word = self.context(ContextKind::InvalidSubcommand)?;
        let commands = self.command().get_subcommands().map(Command::get_name);
        let near = did_you_mean(word, commands, str::to_owned);
        near.or_else(|| {
            let host = word.parse::<IpAddr>().is_ok();
            host.then(|| format!("`flux ping {word}` and `flux trace {word}` take a host"))
        })
        .or_else(|| Some(format!("`{} --help` lists the commands", self.name())))
    }

    /// The target that is missing was taken for the value of -I, as ICMP is asked for elsewhere.
    fn taken_by_interface(&self) -> Option<String> {
        let at = self.words.iter().position(|word| word == "-I")?;
        let taken = self.words.get(at + 1)?;
        let icmp =
            if self.command().get_name() == "trace" { "; ICMP probes are --icmp" } else { "" };
        self.context(ContextKind::InvalidArg).filter(|missing| missing.contains("TARGET"))?;
        Some(format!("-I took {taken} as the interface or source address: add a target{icmp}"))
    }

    /// The value that was probably meant, where there is a list of them.
    fn other_value(&self) -> Option<String> {
        let ContextValue::Strings(valid) = self.error.get(ContextKind::ValidValue)? else {
            return None;
        };
        let value = self.context(ContextKind::InvalidValue)?;
        did_you_mean(value, valid.iter().map(String::as_str), str::to_owned)
    }

    /// What the option is that has a wrong value, and what its letter is elsewhere.
    fn described(&self) -> Option<String> {
        let word = self.context(ContextKind::InvalidArg)?.split([' ', '=']).next()?;
        let word = word.trim_end_matches("[");
        let option = self.option(|option| {
            let long = option.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
            let letter = option.get_short().is_some_and(|letter| word == format!("-{letter}"));
            long || letter
        })?;
        let mut hint = described(option);
        if let Some(letter) = option.get_short().filter(|letter| self.typed(*letter)) {
            let here = option.get_long();
            let mut others = self.tree.get_subcommands().filter_map(|command| {
                let mut options = command.get_arguments();
                let other = options.find(|other| other.get_short() == Some(letter))?;
                let long = other.get_long().filter(|long| Some(*long) != here)?;
                Some(format!("; in flux {}, -{letter} is --{long}", command.get_name()))
            });
            hint.extend(others.next());
        }
        Some(hint)
    }

    fn option(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&Arg> {
        let mut commands = self.path.iter().rev();
        commands.find_map(|command| command.get_arguments().find(|option| is_it(option)))
    }

    /// Whether the letter itself was typed, not the long name.
    fn typed(&self, letter: char) -> bool {
        let short = |word: &&String| word.starts_with('-') && !word.starts_with("--");
        self.words.iter().filter(short).any(|word| word.contains(letter))
    }
}

/// `command` and those below it, each with its full name.
fn commands(command: &Command, name: String) -> Vec<(String, &Command)> {
    let below = command.get_subcommands();
    let below = below.flat_map(|below| commands(below, format!("{name} {}", below.get_name())));
    std::iter::once((name.clone(), command)).chain(below).collect()
}

/// `a`, `a and b`, or `a, b and c`.
fn and(names: &[String]) -> String {
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// An option with its value and what it is: `-s, --size <BYTES>: Bytes of ICMP payload`.
fn described(option: &Arg) -> String {
    let letter = option.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let long = option.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    let names = option.get_value_names().unwrap_or_default();
    let takes = option.get_action().takes_values();
    let value = names.first().filter(|_| takes).map(|name| format!(" <{name}>"));
    let what = option.get_help().map(|help| format!(": {help}")).unwrap_or_default();
    format!("{letter}{long}{}{what}", value.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};

    fn told(line: &str) -> (String, String) {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&args).unwrap_err();
        match failure(&error, &args, &Cli::command()) {
            Failure::Error { error, hint } => (error, hint.unwrap_or_default()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_error_is_one_line_that_names_the_value() {
        let (error, hint) = told("flux ping -s x 10.0.0.2");
        assert_eq!(
            error,
            "invalid value 'x' for '--size <BYTES>': must be a whole number of bytes; 2k is 2048"
        );
        assert!(hint.starts_with("-s, --size <BYTES>: Bytes of ICMP payload"), "{hint}");
        assert!(hint.ends_with("; in flux trace, -s is --source"), "{hint}");
        let (error, hint) = told("flux ping");
        assert!(error.contains("TARGET") && !error.contains('\n'), "{error}");
        assert!(hint.starts_with("usage: flux ping"), "{hint}");
        let (error, _) = told("flux ping --attach fast x");
        assert!(error.contains("'fast'") && error.contains("native"), "{error}");
        let (error, _) = told("flux ping --queue 9-3 x");
        assert_eq!(
            error,
            "invalid value '9-3' for '--queue <N|N-M|N,M|all>': the range runs backwards"
        );
    }

    #[test]
    fn options_that_do_not_go_together_are_named_in_one_order() {
        for command in ["ping x", "trace x", "rings"] {
            for options in ["--json --live", "--live --json"] {
                let (error, hint) = told(&format!("flux {command} {options}"));
                assert_eq!(error, "the argument '--json' cannot be used with '--live'");
                assert_eq!(hint, "leave out one of the two");
            }
        }
    }

    #[test]
    fn a_hint_says_what_was_probably_meant() {
        for (line, want) in [
            ("flux pnig x", "did you mean ping?"),
            ("flux 10.0.0.2", "`flux ping 10.0.0.2` and `flux trace 10.0.0.2` take a host"),
            ("flux ping --histogrm x", "did you mean --histogram?"),
            ("flux ping --cuont 3 x", "did you mean --count?"),
            (
                "flux ping --lab x",
                "--lab is an option of flux bench; `flux ping --help` lists the options",
            ),
            ("flux ping --frobnicate x", "`flux ping --help` lists the options"),
            ("flux ping -o x", "`flux ping --help` lists the options"),
            ("flux ping -m 3 x", "-M, --pmtudisc"),
            ("flux ping -m 3 x", "-m is --max-hops in flux trace"),
            ("flux trace -P 80 x", "-p, --port <PORT>: Destination port"),
            ("flux trace --strategy pariss x", "did you mean paris?"),
            ("flux bench --lab --workload rxdrp", "did you mean rxdrop?"),
            ("flux trace -s 1400 x", "in flux ping, -s is --size"),
            ("flux ping -t 0x10 x", "in flux trace, -t is --tos"),
            (
                "flux trace -I 203.0.113.7",
                "-I took 203.0.113.7 as the interface or source address: add a target; ICMP probes are --icmp",
            ),
            ("flux rings eth9 --all", "leave out one of the two"),
            ("flux trace --watch x", "--watch is an option of flux rings; `flux trace --help`"),
            ("flux bench --watch", "--watch is an option of flux rings; "),
            (
                "flux rings --batch 1",
                "--batch is an option of flux ping, flux trace and flux bench",
            ),
            ("flux trace --repeat 3 x", "--repeat is an option of flux bench; "),
            (
                "flux ping --tolerance 3 x",
                "--tolerance is an option of flux trace diff and flux bench diff; ",
            ),
            ("flux trace diff a b --live", "--live is an option of flux ping, flux trace and "),
            ("flux rings -I eth0", "give the interface as a word: flux rings eth0"),
            ("flux rings -Ieth0", "give the interface as a word: flux rings eth0"),
            ("flux doctor --interface=eth0", "give the interface as a word: flux doctor eth0"),
            ("flux doctor -I", "give the interface as a word: flux doctor IFACE"),
        ] {
            let (error, hint) = told(line);
            assert!(hint.contains(want), "{line}: {error}: {hint}");
            assert!(!hint.contains("'--") && !error.contains("tip:"), "{line}: {hint}");
        }
        let (_, hint) = told("flux trace --source 1400 x");
        assert!(!hint.contains("in flux ping"), "the letter was not typed: {hint}");
    }
}
