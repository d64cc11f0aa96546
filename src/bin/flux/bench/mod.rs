//! `flux bench`: Args → plan → run → report.

mod args;
mod csv;
mod diff;
mod files;
#[cfg(test)]
mod fixture;
mod plot;
mod table;
mod text;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::{
    EventPrinter, EventText, Json, Lines, Progress, Screen, Stdout, hidden, note, say, tell,
};
use crate::{opened, signals};
pub use args::Args;
use args::Command;
use files::Files;
use fluxnet::tools::bench::{Event, Outcome, Plan, Report, Setting, run};
use std::io::IsTerminal;

/// Runs the command. What it found is printed first and kept then: whatever cannot be written, one
/// of them has it.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::main(args, out);
    }
    let plan = args.plan()?;
    let files = Files::open(args)?;
    let screen = Screen::of_stdout();
    let (control, settings) = (signals::control(), plan.settings());
    let progress = progress(args, &plan, &settings, &screen);
    let verbose = args.output.verbose;
    let text = Text { verbose, settings: if verbose { settings } else { Vec::new() } };
    let mut printer =
        EventPrinter::new(args.output.json, text, &control, out).with_progress(progress);
    let result = run(&plan, &control, &mut |event| printer.take(event));
    let printed = printer.finish();
    let Outcome { report, error } = result?;
    let printed = printed.and_then(|()| print(args, &report, &screen, out));
    let kept = files.keep(&report);
    printed?;
    for line in kept? {
        tell(&line, args.output.json, out)?;
    }
    error.map_or(Ok(Answer::Yes), |error| Err(error.into()))
}

/// All of it leaves this process before anything is saved.
fn print(args: &Args, report: &Report, screen: &Screen, out: &mut Stdout) -> Result<(), Failure> {
    if args.output.json {
        out.json(report)?;
    } else if args.csv {
        out.bytes(&csv::lines(&report.results, csv::SETTING)?)?;
    } else if report.results.iter().any(|setting| setting.packets > 0) {
        let text = text::report(report, screen);
        out.text(&text.text)?;
        out.flush()?;
        say(&hidden(&text.hidden));
    }
    out.flush()
}

/// Tells on standard error how the run goes.
struct Text {
    verbose: bool,
    /// What is measured, where each sample is told.
    settings: Vec<Setting>,
}

impl EventText for Text {
    type Event = Event;

    fn lines(&mut self, event: &Event) -> Lines {
        Lines::err(match event {
            Event::Start(start) if self.verbose => text::granted(start),
            Event::Start(start) => opened::brief(&start.opened),
            Event::Note(why) => note(&why.text),
            &Event::Sample { setting, round, done, total } => match self.settings.get(setting) {
                None => String::new(),
                Some(Setting { workload, mode, batch, poll, packet_size, queues, .. }) => format!(
                    "{done}/{total}: {workload}, {poll}, batch {batch}, mode {mode}, {packet_size} \
                     bytes, queue {queues}: sample {}\n",
                    round + 1
                ),
            },
        })
    }

    fn json(&self, event: &Event) -> Json {
        match event {
            Event::Start(_) | Event::Note(_) => Json::Now,
            Event::Sample { .. } => Json::Aside,
        }
    }

    fn is_step(&self, event: &Event) -> bool {
        matches!(event, Event::Sample { .. })
    }
}

/// A bar where somebody watches. With JSON standard error stays empty.
fn progress(args: &Args, plan: &Plan, settings: &[Setting], screen: &Screen) -> Progress {
    if args.output.json || !std::io::stderr().is_terminal() {
        return Progress::none();
    }
    Progress::new(settings.len() as u64 * u64::from(plan.repeat), "samples", screen.unicode)
}
