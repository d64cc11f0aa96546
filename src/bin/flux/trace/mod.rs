//! `flux trace`: Args → plan → run → report.
//!
//! ```text
//!   Args ─▶ Plan ─▶ run ─▶ Event ─┬─▶ text: hop lines as they come ──▶ conclusion
//!                                 ├─▶ JSON, a line per event
//!                                 └─▶ Summary ─▶ graph, report, dot
//! ```

mod args;
mod diff;
mod dot;
#[cfg(test)]
mod fixture;
mod graph;
mod hop;
mod live;
mod report;
mod text;
mod views;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::opened::ignored;
use crate::output::{EventPrinter, FlushPolicy, Screen, Stdout, needs_terminal, say, watch};
use crate::signals;
use crate::socket_options::World;
pub use args::Args;
use args::Command;
use fluxnet::tools::trace::{Event, Outcome, run};
use views::Views;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::main(args, out);
    }
    let screen = Screen::of_stdout();
    let World { mut env, virtual_time } = args.common.world()?;
    let plan = args.plan(virtual_time)?;
    if args.live {
        needs_terminal(&screen, live::HINT)?;
    }
    // Answers to a whole path come within milliseconds: a write for each would hold them up.
    let many = plan.targets.len() > 1;
    out.set_flush_policy(if virtual_time || many {
        FlushPolicy::Timed
    } else {
        FlushPolicy::Event
    });
    let control = signals::control();
    let views = Views::new(args, &plan, screen);
    let mut printer = EventPrinter::new(args.common.output.json, views, &control, out);
    let result = if args.live {
        let run = |tell: &mut dyn FnMut(Event)| run(&plan, &mut env, &control, tell);
        let (result, kept) = watch(live::View::new(&plan, screen), &control, live::HINT, run)?;
        kept.into_iter().for_each(|event| printer.take(event));
        result
    } else {
        run(&plan, &mut env, &control, &mut |event| printer.take(event))
    };
    printer.finish()?;
    let outcome = result?;
    if args.common.output.verbose && !args.common.output.json {
        say(&counts(outcome));
    }
    Ok(answer(outcome))
}

/// One that was not reached makes the answer no.
fn answer(outcome: Outcome) -> Answer {
    if outcome.refused > 0 {
        return Answer::Partly;
    }
    if outcome.reached == outcome.targets { Answer::Yes } else { Answer::No }
}

fn counts(outcome: Outcome) -> String {
    let Outcome { foreign, malformed, unstamped, .. } = outcome;
    let mut text = ignored(foreign, malformed);
    if unstamped > 0 {
        let have = if unstamped == 1 { "answer has" } else { "answers have" };
        text += &format!("{unstamped} {have} user space's time of arrival\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_yes_when_every_target_was_reached() {
        let outcome = |reached| Outcome { reached, targets: 2, ..Outcome::default() };
        assert_eq!((answer(outcome(2)), answer(outcome(1))), (Answer::Yes, Answer::No));
    }

    #[test]
    fn the_counts_of_what_was_ignored_tell_stamps_where_some_are_missing() {
        let some = Outcome { foreign: 3, malformed: 2, ..Outcome::default() };
        assert_eq!(counts(some), "ignored: 3 packets of others, 2 malformed\n");
        assert!(
            counts(Outcome { unstamped: 1, ..some })
                .ends_with("\n1 answer has user space's time of arrival\n")
        );
    }
}
