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
use crate::output::{Progress, Screen, Stdout, Style, tell_hidden};
use crate::signals;
pub use args::Args;
use args::Command;
use fluxnet::tools::bench::{Event, Plan, Report, Setting, file_of, run, save};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Runs the command.
pub fn main(args: &Args, out: &mut Stdout) -> Result<Answer, Failure> {
    if let Some(Command::Diff(args)) = &args.command {
        return diff::main(args, out);
    }
    let plan = args.plan()?;
    can_be_kept(args)?;
    let screen = Screen::of_stdout();
    let mut teller = Teller::new(args, &plan, &screen);
    let result = run(&plan, &signals::control(), &mut |event| teller.take(event));
    teller.progress.finish();
    let report = result?;
    keep(args, &report)?;
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
fn keep(args: &Args, report: &Report) -> Result<(), Failure> {
    let mut stderr = std::io::stderr();
    let nothing = report.results.is_empty();
    if nothing && (args.save.is_some() || args.plot.is_some()) {
        // Standard error is for people: when it is gone, nobody misses the line.
        let _ = writeln!(stderr, "nothing was measured: nothing is saved or drawn");
    }
    if nothing {
        return Ok(());
    }
    if let Some(name) = &args.save {
        let path = save(name, report)?;
        // Standard error is for people: when it is gone, nobody misses the line.
        let _ = writeln!(stderr, "saved as {}", path.display());
    }
    if let Some(path) = &args.plot {
        let failed = |error| Failure::io(format_args!("cannot write {}", path.display()), &error);
        let chart = plot::svg(report).map_err(|error| Failure::Error {
            error: format!("cannot draw {}: {error}", path.display()),
            hint: None,
        })?;
        std::fs::write(path, chart).map_err(failed)?;
        let _ = writeln!(stderr, "drawn into {}", path.display());
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
    tell_hidden(&text.hidden);
    Ok(())
}

/// Tells on standard error how the run goes.
struct Teller {
    progress: Progress,
    /// What is measured, where each sample is told.
    cells: Vec<Setting>,
}

impl Teller {
    fn new(args: &Args, plan: &Plan, screen: &Screen) -> Self {
        let cells = plan.cells();
        let total = cells.len() as u64 * u64::from(plan.repeat);
        let watched = std::io::stderr().is_terminal();
        let progress = if watched {
            Progress::new(total, "samples", screen.unicode)
        } else {
            Progress::none()
        };
        Self { progress, cells: if args.output.verbose > 0 { cells } else { Vec::new() } }
    }

    fn take(&mut self, event: Event) {
        let text = match event {
            Event::Opened(opened) => text::granted(&opened),
            Event::Note(note) => format!("{} {note}\n", Style::of_stderr().strong("note:")),
            Event::Sample { cell, round, done, total } => {
                self.progress.step();
                let Some(cell) = self.cells.get(cell) else { return };
                let Setting { workload, mode, batch, poll, frame, queues, .. } = cell;
                format!(
                    "{done}/{total}: {workload}, {poll}, batch {batch}, mode {mode}, {frame} \
                     bytes, queue {queues}: sample {}\n",
                    round + 1
                )
            }
        };
        // Standard error is for people: when it is gone, nobody misses the line.
        let _ = self.progress.aside(|| std::io::stderr().write_all(text.as_bytes()));
    }
}
