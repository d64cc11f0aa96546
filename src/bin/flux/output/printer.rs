//! Takes the events of a run to where they belong: lines of JSON, or text on two streams.
//!
//! ```text
//!   run ─▶ take(event) ─┬─ JSON ─▶ standard output
//!                       └─ text ─┬─ out ─▶ standard output
//!                                └─ err ─▶ standard error      (the progress bar out of the way)
//! ```
//!
//! When standard output is gone nobody can read the rest: the run is told to stop, so that it
//! leaves the interface clean, and [`EventPrinter::finish`] returns why.

use super::{Lines, Progress, Stdout, say};
use crate::failure::Failure;
use fluxnet::tools::Control;
use serde::Serialize;

/// Where an event stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {
    /// Where it happened.
    Now,
    /// At the end of the stream, in order.
    Last,
    /// Nowhere: its text goes to standard error all the same.
    Aside,
}

/// How a command tells its events to people.
pub trait EventText {
    /// What happens in its run.
    type Event: Serialize;

    /// The lines for `event`, each with its newline.
    fn lines(&mut self, event: &Self::Event) -> Lines;

    /// What stands behind the last event.
    fn end(&mut self) -> Lines {
        Lines::default()
    }

    /// Where JSON has `event`.
    fn json(&self, _event: &Self::Event) -> Json {
        Json::Now
    }

    /// Whether the progress bar goes on by one.
    fn is_step(&self, _event: &Self::Event) -> bool {
        false
    }
}

/// Prints the events of a run.
pub struct EventPrinter<'a, T: EventText> {
    json: bool,
    text: T,
    progress: Progress,
    /// Kept for the end of the JSON.
    last: Vec<T::Event>,
    control: &'a Control,
    /// Why nothing is printed any more.
    trouble: Option<Failure>,
    out: &'a mut Stdout,
}

impl<'a, T: EventText> EventPrinter<'a, T> {
    /// Prints JSON or `text` on `out`; stops the run by `control` when that is gone.
    pub fn new(json: bool, text: T, control: &'a Control, out: &'a mut Stdout) -> Self {
        let (progress, last) = (Progress::none(), Vec::new());
        Self { json, text, progress, last, control, trouble: None, out }
    }

    /// The same beside a progress bar.
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// Prints an event.
    pub fn take(&mut self, event: T::Event) {
        if self.trouble.is_some() {
            return;
        }
        if let Err(failure) = self.print(event) {
            self.control.stop();
            self.trouble = Some(failure);
        }
    }

    fn print(&mut self, event: T::Event) -> Result<(), Failure> {
        if self.text.is_step(&event) {
            self.progress.step();
        }
        match (self.json, self.text.json(&event)) {
            (true, Json::Now) => {
                self.out.json(&event)?;
                self.out.event_done()
            }
            (true, Json::Last) => {
                self.last.push(event);
                Ok(())
            }
            (true, Json::Aside) => {
                let err = self.text.lines(&event).err;
                self.write(Lines::err(err))
            }
            (false, _) => {
                let lines = self.text.lines(&event);
                self.write(lines)
            }
        }
    }

    fn write(&mut self, Lines { out, err }: Lines) -> Result<(), Failure> {
        if !err.is_empty() {
            self.out.flush()?;
            self.progress.aside(|| say(&err));
        }
        if out.is_empty() {
            return Ok(());
        }
        self.progress.aside(|| {
            self.out.text(&out)?;
            self.out.event_done()
        })
    }

    /// Prints what comes last.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.progress.finish();
        if let Some(failure) = self.trouble.take() {
            return Err(failure);
        }
        for event in &self.last {
            self.out.json(event)?;
        }
        let Lines { out, err } = if self.json { Lines::default() } else { self.text.end() };
        self.out.text(&out)?;
        self.out.flush()?;
        say(&err);
        Ok(())
    }
}

/// Prints a report: an object with `json`, else its text.
pub fn print(
    report: &impl Serialize,
    json: bool,
    text: impl FnOnce() -> Lines,
    out: &mut Stdout,
) -> Result<(), Failure> {
    if json {
        return out.json(report);
    }
    let text = text();
    out.text(&text.out)?;
    out.flush()?;
    say(&text.err);
    Ok(())
}
