//! `flux ping`: Args → plan → run → report.

mod args;
mod live;
mod report;
mod text;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::opened::ignored;
use crate::output::{
    EventPrinter, FlushPolicy, Progress, Screen, Stdout, needs_terminal, say, watch,
};
use crate::signals;
use crate::socket_options::World;
pub use args::Args;
use fluxnet::tools::ping::{Event, Outcome, Plan, run};
use std::io::IsTerminal;
use std::time::Duration;
use text::Text;

/// Shortest counted run that gets a progress bar.
const LONG_RUN: Duration = Duration::from_secs(2);
/// From this many probes a second, output is flushed by time.
const FAST: f64 = 1000.0;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    let screen = Screen::of_stdout();
    if args.live {
        needs_terminal(&screen, live::HINT)?;
    }
    let World { mut env, virtual_time } = args.common.world()?;
    let mut plan = args.plan(virtual_time)?;
    let fast = plan.flood || probes_per_second(&plan) >= FAST;
    out.set_flush_policy(if fast || virtual_time {
        FlushPolicy::Timed
    } else {
        FlushPolicy::Event
    });

    let progress = progress(args, &plan, &screen, virtual_time);
    plan.each = !args.quiet && !args.lists();
    if !args.common.output.json {
        let dots = args.flood && screen.terminal && !args.quiet;
        plan.each = dots || !(args.quiet || args.flood) || progress.is_some();
        plan.each &= !args.lists();
        plan.each &= !args.live;
    }
    let control = signals::control();
    let text = Text::new(args, &plan, screen);
    let mut printer = EventPrinter::new(args.common.output.json, text, &control, out)
        .with_progress(progress.unwrap_or_else(Progress::none));
    let result = if args.live {
        let view = live::View::new(&plan, screen);
        let run = |tell: &mut dyn FnMut(Event)| run(&plan, &mut env, &control, tell);
        let (result, kept) = std::thread::scope(|scope| {
            scope.spawn(|| live::ask(&control));
            let watched = watch(view, &control, live::HINT, run);
            // The run is over, or there is nothing to see it on.
            control.stop();
            watched
        })?;
        kept.into_iter().for_each(|event| printer.take(event));
        result
    } else {
        run(&plan, &mut env, &control, &mut |event| printer.take(event))
    };
    printer.finish()?;
    let outcome = result?;
    if args.common.output.verbose && !args.common.output.json {
        let Outcome { foreign, malformed, .. } = outcome;
        say(&ignored(foreign, malformed));
    }
    Ok(answer(outcome))
}

/// One that did not answer makes the answer no, as fping has it.
fn answer(outcome: Outcome) -> Answer {
    if outcome.refused > 0 {
        return Answer::Partly;
    }
    if outcome.answered == outcome.targets { Answer::Yes } else { Answer::No }
}

fn probes_per_second(plan: &Plan) -> f64 {
    let targets = plan.targets.len() as f64;
    plan.rate.unwrap_or_else(|| targets / plan.interval.as_secs_f64())
}

/// A bar for a quiet run that somebody watches and that takes its time.
fn progress(args: &Args, plan: &Plan, screen: &Screen, virtual_time: bool) -> Option<Progress> {
    let total = plan.count?.saturating_mul(plan.targets.len() as u64);
    let long = total as f64 / probes_per_second(plan) > LONG_RUN.as_secs_f64();
    let watched = screen.terminal && std::io::stderr().is_terminal();
    let wanted = args.quiet && !args.live && !args.common.output.json && !virtual_time;
    (wanted && watched && long).then(|| Progress::new(total, "probes", screen.unicode))
}
