//! The command tree and the way from arguments to an exit status.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{Screen, Stdout};
use crate::{argv, bench, completions, doctor, help, man, ping, rings, trace, usage};
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  flux ping -c 5 10.0.0.2 --sim        five probes on the simulated network, no privilege needed
  flux ping -c 5 192.0.2.1             the same through AF_XDP
  flux ping --sim=loss=10%,seed=7 -c 100 -q 10.0.0.2
  flux trace --paths --sim 203.0.113.7   every path to a host, all hops at once
  flux bench --sim --workload rxdrop   what each batch size and poll mode is worth, simulated
  sudo flux rings --watch              every AF_XDP socket's rings, and why packets do not flow
  flux help sim                        the simulated network and its knobs

Exit status:
  0  done, and the answer is yes
  1  ran, and the answer is no (no reply, unreachable, slower)
  2  could not run, or not for all targets, or not to its end (usage, permission, system,
     interface gone)";

/// Packet tools on Linux AF_XDP, with a simulated network to try them on
#[derive(Debug, Parser)]
#[command(
    name = "flux",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    args_override_self = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ping(Box<ping::Args>),
    Trace(Box<trace::Args>),
    Bench(Box<bench::Args>),
    Rings(Box<rings::Args>),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
    Help(help::Args),
}

impl Command {
    /// As in the arguments, and in JSON.
    fn name(&self) -> &'static str {
        match self {
            Command::Ping(_) => "ping",
            Command::Trace(_) => "trace",
            Command::Bench(_) => "bench",
            Command::Rings(_) => "rings",
            Command::Doctor(_) => "doctor",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
            Command::Help(_) => "help",
        }
    }
}

/// Runs the command that `args` ask for.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = rings::join_watch(argv::normalise(args));
    let mut out = Stdout::new();
    let result = guarded(|| run(&args, &mut out)).and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Partly) => ExitCode::from(2),
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            let tree = Cli::command();
            if let Some(command) = argv::command(&args, &tree) {
                out.set_command(command.get_name());
            }
            failure.report(&mut out, argv::wants_json(&args, &tree));
            ExitCode::from(2)
        }
    }
}

fn run(args: &[OsString], out: &mut Stdout) -> Result<Answer, Failure> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // --help and --version come as errors that belong on standard output.
        Err(error) if !error.use_stderr() => {
            let text = error.render();
            let colour = Screen::of_stdout().style.colour();
            out.text(&if colour { text.ansi().to_string() } else { text.to_string() })?;
            return Ok(Answer::Yes);
        }
        Err(error) => return Err(usage::failure(&error, args, &Cli::command())),
    };
    out.set_command(cli.command.name());
    match cli.command {
        Command::Ping(args) => ping::main(&args, out),
        Command::Trace(args) => trace::main(&args, out),
        Command::Bench(args) => bench::main(&args, out),
        Command::Rings(args) => rings::main(&args, out),
        Command::Doctor(args) => doctor::main(&args, out),
        Command::Completions(args) => completions::main(&args, Cli::command(), out),
        Command::Man(args) => man::main(&args, Cli::command(), out),
        Command::Help(args) => help::main(&args, Cli::command(), out),
    }
}

/// Turns a panic, which is always a mistake of ours, into an error that says so.
fn guarded<T>(job: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let place = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let slot = std::sync::Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        if let (Ok(mut slot), Some(at)) = (slot.lock(), info.location()) {
            *slot = format!("{}:{}", at.file(), at.line());
        }
    }));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).unwrap_or_else(|_| {
        let place = place.lock().map(|place| place.clone()).unwrap_or_default();
        Err(Failure::bug(&place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every command with its full name.
    fn commands(command: &clap::Command, name: String) -> Vec<(String, clap::Command)> {
        let below = command.get_subcommands();
        let below = below.flat_map(|below| commands(below, format!("{name} {}", below.get_name())));
        std::iter::once((name.clone(), command.clone())).chain(below).collect()
    }

    #[test]
    fn every_option_has_a_long_form() {
        let mut root = Cli::command();
        root.build();
        for (name, command) in commands(&root, "flux".into()) {
            for option in command.get_arguments().filter(|option| !option.is_positional()) {
                assert!(option.get_long().is_some(), "{name}: {:?}", option.get_short());
            }
        }
    }

    #[test]
    fn an_option_of_several_commands_is_the_same_everywhere() {
        let mut root = Cli::command();
        root.build();
        let mut known: Vec<(String, bool, String)> = Vec::new();
        for (name, command) in commands(&root, "flux".into()) {
            for option in command.get_arguments() {
                let Some(long) = option.get_long().filter(|long| *long != "version") else {
                    continue;
                };
                let flag = !option.get_action().takes_values();
                match known.iter().find(|(known, ..)| known == long) {
                    Some((_, as_flag, at)) => assert_eq!(*as_flag, flag, "--{long}: {at}, {name}"),
                    None => known.push((long.to_owned(), flag, name.clone())),
                }
            }
        }
    }

    #[test]
    fn a_panic_becomes_an_error_that_names_the_place() {
        let result: Result<(), Failure> = guarded(|| panic!("on purpose"));
        let Err(failure) = result else { panic!("no error") };
        assert!(failure.to_string().contains("cli.rs:"), "{failure}");
        let _ = std::panic::take_hook();
    }
}
