//! `flux help [COMMAND|sim|topology]`.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::Stdout;
use fluxnet::text::near::did_you_mean;

/// The simulated network and its knobs; also the manual page flux-sim(7).
pub const SIM: &str = include_str!("sim.txt");

/// Topology files; also the manual page flux-topology(7).
pub const TOPOLOGY: &str = include_str!("topology.txt");

/// What there is help on besides the commands.
const TOPICS: [(&str, &str); 2] = [("sim", SIM), ("topology", TOPOLOGY)];

/// Print the help of a command, or on the simulated network (flux help sim, flux help topology)
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A command, such as ping or trace diff; sim for the simulated network; topology for its files
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

/// Runs the command; `root` has them all.
pub fn main(args: &Args, mut root: clap::Command, out: &mut Stdout) -> Result<Answer, Failure> {
    if let [topic] = &args.topic[..]
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == topic)
    {
        out.text(text)?;
        return Ok(Answer::Yes);
    }
    root.build();
    out.text(&help_on(&mut root, &args.topic, &args.topic.join(" "))?)?;
    Ok(Answer::Yes)
}

/// The help of the command that the words lead to.
fn help_on(command: &mut clap::Command, words: &[String], topic: &str) -> Result<String, Failure> {
    let Some((word, rest)) = words.split_first() else {
        return Ok(command.render_long_help().to_string());
    };
    let unknown = no_help(topic, word, command);
    match command.find_subcommand_mut(word) {
        Some(below) => help_on(below, rest, topic),
        None => Err(unknown),
    }
}

/// `word`, the last of `topic` that was looked at, is no command of `parent`.
fn no_help(topic: &str, word: &str, parent: &clap::Command) -> Failure {
    let commands = parent.get_subcommands().map(clap::Command::get_name);
    let hint = did_you_mean(word, commands.chain(TOPICS.map(|(name, _)| name)), str::to_owned);
    Failure::Error {
        error: format!("no help on '{topic}': it is neither a command nor a topic"),
        hint: Some(
            hint.unwrap_or("`flux help` lists the commands; topics are sim and topology".into()),
        ),
    }
}
