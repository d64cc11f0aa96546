//! `flux help [COMMAND|sim]`.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::Stdout;

/// The simulated network and its knobs; also the manual page flux-sim(7).
pub const SIM: &str = include_str!("sim.txt");

/// Print the help of a command, or of the simulated network (flux help sim)
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A command, or sim for the simulated network
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
}

/// Runs the command; `root` has them all.
pub fn main(args: &Args, mut root: clap::Command, out: &mut Stdout) -> Result<Answer, Failure> {
    root.build();
    let text = match args.topic.as_deref() {
        None => root.render_long_help().to_string(),
        Some("sim") => SIM.to_owned(),
        Some(topic) => match root.find_subcommand_mut(topic) {
            Some(command) => command.render_long_help().to_string(),
            None => {
                return Err(Failure::Error {
                    error: format!("no help on '{topic}': it is neither a command nor a topic"),
                    hint: Some("`flux help` lists the commands; the one topic is sim".into()),
                });
            }
        },
    };
    out.text(&text)?;
    Ok(Answer::Yes)
}
