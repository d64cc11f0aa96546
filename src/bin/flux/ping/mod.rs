//! `flux ping`: Args → plan → run → report.

mod args;
mod report;
mod text;

use crate::cli::Answer;
use crate::failure::Failure;
use crate::output::{
    FlushPolicy, Lines, Progress, Screen, Stdout, chart, json, percent, table, tell_hidden,
};
use crate::signals;
use crate::socket_options::World;
pub use args::Args;
use fluxnet::tools::Control;
use fluxnet::tools::ping::{Event, Outcome, Plan, run};
use report::Summaries;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use text::Text;

/// Shortest counted run that gets a progress bar.
const LONG_RUN: Duration = Duration::from_secs(2);
/// From this many probes a second, output is flushed by time.
const FAST: f64 = 1000.0;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    let screen = Screen::of_stdout();
    let mut plan = args.plan()?;
    let World { mut env, virtual_time } = args.common.world()?;
    if virtual_time && plan.count.is_none() && plan.deadline.is_none() {
        plan.count = Some(args::VIRTUAL_COUNT);
    }
    let fast = plan.flood || probes_per_second(&plan) >= FAST;
    out.set_flush_policy(if fast || virtual_time {
        FlushPolicy::Timed
    } else {
        FlushPolicy::Event
    });

    let progress = progress(args, &plan, &screen, virtual_time);
    plan.each = !args.quiet;
    if !args.common.output.json {
        let dots = args.flood && screen.terminal && !args.quiet;
        plan.each = dots || !(args.quiet || args.flood) || progress.is_some();
    }
    let control = signals::control();
    let mut printer = Printer {
        json: args.common.output.json,
        text: Text::new(args, &plan, screen),
        progress: progress.unwrap_or_else(Progress::none),
        summaries: Summaries::default(),
        control: &control,
        trouble: None,
        out,
    };
    let result = run(&plan, &mut env, &control, &mut |event| printer.take(event));
    printer.finish(&screen, args.target.len())?;
    let outcome = result?;
    if args.common.output.verbose > 0 && !args.common.output.json {
        let Outcome { foreign, malformed, .. } = outcome;
        let text = format!("{foreign} packets were not for us, {malformed} made no sense\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    Ok(answer(outcome))
}

/// One that did not answer makes the answer no, as fping has it.
fn answer(outcome: Outcome) -> Answer {
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
    let wanted = args.quiet && !args.common.output.json && !virtual_time;
    (wanted && watched && long).then(|| Progress::new(total, "probes", screen.unicode))
}

/// Takes the events of a run to where they belong.
struct Printer<'a> {
    json: bool,
    text: Text,
    progress: Progress,
    summaries: Summaries,
    control: &'a Control,
    /// Why nothing is printed any more.
    trouble: Option<Failure>,
    out: &'a mut Stdout,
}

impl Printer<'_> {
    fn take(&mut self, event: Event) {
        if self.trouble.is_some() {
            return;
        }
        if let Err(failure) = self.print(event) {
            // Nobody can read the rest: end the run, and leave the interface clean.
            self.control.stop();
            self.trouble = Some(failure);
        }
    }

    fn print(&mut self, event: Event) -> Result<(), Failure> {
        if text::ends_a_probe(&event) {
            self.progress.step();
        }
        if matches!(event, Event::Summary(_)) {
            self.summaries.push(event);
            return Ok(());
        }
        if self.json {
            self.out.json(&event)?;
            return self.out.event_done();
        }
        let Lines { out, err } = self.text.event(&event);
        if !err.is_empty() {
            self.out.flush()?;
            // Standard error is for people: when it is gone, nobody misses the line.
            let _ = self.progress.aside(|| std::io::stderr().write_all(err.as_bytes()));
        }
        if out.is_empty() {
            return Ok(());
        }
        self.progress.aside(|| {
            self.out.text(&out)?;
            self.out.event_done()
        })
    }

    /// Prints the summaries.
    fn finish(mut self, screen: &Screen, targets: usize) -> Result<(), Failure> {
        self.progress.finish();
        if let Some(failure) = self.trouble.take() {
            return Err(failure);
        }
        if self.json {
            return json(&self.summaries, self.out);
        }
        self.out.text(&self.text.end_of_stream())?;
        if targets == 1 {
            for summary in self.summaries.each() {
                self.out.text(&text::block(summary))?;
            }
        } else if !self.summaries.is_empty() {
            let table = table(&self.summaries, screen);
            self.out.text("\n")?;
            self.out.text(&table.text)?;
            self.out.flush()?;
            tell_hidden(&table.hidden);
        }
        for summary in self.summaries.each().filter(|s| !s.histogram.is_empty()) {
            let replies: u64 = summary.histogram.iter().map(|row| row.count).sum();
            let lost = percent(summary.loss_pct);
            let title = format!("\n{}: {replies} round-trip times, {lost}% lost\n", summary.target);
            self.out.text(&title)?;
            self.out.text(&chart(&summary.histogram, screen))?;
        }
        Ok(())
    }
}
