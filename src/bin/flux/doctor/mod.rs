//! `flux doctor`: Args → plan → run → report.

mod args;
mod text;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{Screen, Stdout};
pub use args::Args;
use fluxnet::tools::doctor::run;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    let report = run(&args.plan()?)?;
    if args.json {
        out.json(&report)?;
    } else {
        out.text(&text::report(&report, &Screen::of_stdout()))?;
    }
    Ok(if report.blockers == 0 { Answer::Yes } else { Answer::No })
}
