//! `flux bench`: Args → plan → run → report.

mod args;
mod csv;
mod diff;
#[cfg(test)]
mod fixture;
mod plot;
mod table;
mod text;

use crate::cli::Answer;
use crate::failure::Failure;
use crate::output::{
    EventPrinter, EventText, Json, Lines, Progress, Screen, Stdout, hidden, note, say, tell,
};
use crate::signals;
pub use args::Args;
use args::Command;
use fluxnet::tools::bench::{Event, Plan, Report, Setting, file_of, run, save};
use std::io::IsTerminal;
use std::path::Path;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::main(args, out);
    }
    let plan = args.plan()?;
    can_be_kept(args)?;
    let screen = Screen::of_stdout();
    let (control, cells) = (signals::control(), plan.cells());
    let progress = progress(&plan, &cells, &screen);
    let text = Text { cells: if args.output.verbose > 0 { cells } else { Vec::new() } };
    let mut printer =
        EventPrinter::new(args.output.json, text, &control, out).with_progress(progress);
    let result = run(&plan, &control, &mut |event| printer.take(event));
    let printed = printer.finish();
    let report = result?;
    keep(args, &report, out)?;
    printed?;
    print(args, &report, &screen, out)?;
    Ok(Answer::Yes)
}

/// Refuses before minutes of measuring what could not be written after it.
fn can_be_kept(args: &Args) -> Result<(), Failure> {
    if let Some(name) = &args.save {
        file_of(name)?;
    }
    let dir = args.plot.as_deref().and_then(Path::parent).filter(|dir| !dir.as_os_str().is_empty());
    match dir {
        Some(dir) if !dir.is_dir() => Err(Failure::Error {
            error: format!("cannot write a chart to {}: no such directory", dir.display()),
            hint: Some(format!("make it first: mkdir -p {}", dir.display())),
        }),
        _ => Ok(()),
    }
}

/// Saves and draws: first of all, as standard output may be gone.
fn keep(args: &Args, report: &Report, out: &mut Stdout) -> Result<(), Failure> {
    let json = args.output.json;
    let nothing = report.results.is_empty();
    if nothing && (args.save.is_some() || args.plot.is_some()) {
        tell("nothing was measured: nothing is saved or drawn", json, out)?;
    }
    if nothing {
        return Ok(());
    }
    if let Some(name) = &args.save {
        let path = save(name, report)?;
        tell(&format!("saved as {}", path.display()), json, out)?;
    }
    if let Some(path) = &args.plot {
        let failed = |error| Failure::io(format_args!("cannot write {}", path.display()), &error);
        let chart = plot::svg(report).map_err(|error| Failure::Error {
            error: format!("cannot draw {}: {error}", path.display()),
            hint: None,
        })?;
        std::fs::write(path, chart).map_err(failed)?;
        tell(&format!("drawn into {}", path.display()), json, out)?;
    }
    Ok(())
}

fn print(args: &Args, report: &Report, screen: &Screen, out: &mut Stdout) -> Result<(), Failure> {
    if args.output.json {
        return out.json(report);
    }
    if args.csv {
        return out.bytes(&csv::lines(&report.results, csv::CELL)?);
    }
    let text = text::report(report, screen);
    out.text(&text.text)?;
    out.flush()?;
    say(&hidden(&text.hidden));
    Ok(())
}

/// Tells on standard error how the run goes.
struct Text {
    /// What is measured, where each sample is told.
    cells: Vec<Setting>,
}

impl EventText for Text {
    type Event = Event;

    fn lines(&mut self, event: &Event) -> Lines {
        Lines::err(match event {
            Event::Opened(opened) => text::granted(opened),
            Event::Note { text } => note(text),
            &Event::Sample { cell, round, done, total } => match self.cells.get(cell) {
                None => String::new(),
                Some(Setting { workload, mode, batch, poll, frame, queues, .. }) => format!(
                    "{done}/{total}: {workload}, {poll}, batch {batch}, mode {mode}, {frame} \
                     bytes, queue {queues}: sample {}\n",
                    round + 1
                ),
            },
        })
    }

    fn json(&self, event: &Event) -> Json {
        match event {
            Event::Note { .. } => Json::Now,
            Event::Opened(_) => Json::Never,
            Event::Sample { .. } => Json::Aside,
        }
    }

    fn is_step(&self, event: &Event) -> bool {
        matches!(event, Event::Sample { .. })
    }
}

/// A bar where somebody watches.
fn progress(plan: &Plan, cells: &[Setting], screen: &Screen) -> Progress {
    if !std::io::stderr().is_terminal() {
        return Progress::none();
    }
    Progress::new(cells.len() as u64 * u64::from(plan.repeat), "samples", screen.unicode)
}
