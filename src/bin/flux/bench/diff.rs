//! `flux bench diff`.

use super::args::DiffArgs;
use super::{csv, text};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{Screen, Stdout, print};
use fluxnet::tools::bench::{diff, load};

/// Runs the command.
pub fn main(args: &DiffArgs, out: &mut Stdout) -> Result<Answer, Failure> {
    let diff = diff(&load(&args.a)?, &load(&args.b)?, args.tolerance)?;
    let text = || text::diff(&diff, &args.a, &args.b, &Screen::of_stdout()).lines();
    if args.csv {
        out.bytes(&csv::lines(&diff.changes, csv::CHANGE)?)?;
    } else {
        print(&diff, args.json, text, out)?;
    }
    Ok(if diff.regressions > 0 { Answer::No } else { Answer::Yes })
}
