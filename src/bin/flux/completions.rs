//! `flux completions SHELL`.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::Stdout;
use clap_complete::Shell;

/// Print the completion script for a shell
///
/// For one session: source <(flux completions bash). The scripts are also installed with the
/// command.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

/// The script for `shell`.
fn script(shell: Shell, mut root: clap::Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut root, "flux", &mut text);
    text
}

/// Runs the command; `root` has them all.
pub fn main(args: &Args, root: clap::Command, out: &mut Stdout) -> Result<Answer, Failure> {
    out.bytes(&script(args.shell, root))?;
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, ValueEnum};
    use clap_complete::Generator;

    #[test]
    fn the_completions_that_are_checked_in_are_current() {
        for shell in Shell::value_variants() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("completions")
                .join(shell.file_name("flux"));
            let stored = std::fs::read(&path).unwrap_or_default();
            assert!(
                stored == script(*shell, Cli::command()),
                "{} is stale: run `make gen`",
                path.display()
            );
        }
    }
}
