//! How results leave the process: text, tables, charts, JSON, progress.
//!
//! Standard output carries data only, through [`Stdout`], which knows that a closed pipe is a
//! normal end. Renderers are given a [`Screen`] and return text, so they can be tested without a
//! terminal.

mod chart;
mod failed;
mod lines;
mod live;
mod notes;
mod printer;
mod progress;
mod report;
mod screen;
mod stdout;
mod targets_view;
mod terminal;
mod wrap;

pub use chart::{bar, chart};
pub use lines::Lines;
pub use live::{Action, Footer, Page, Scroll, View, needs_terminal, watch};
#[cfg(test)]
pub use live::{drawn, press};
pub use notes::{hidden, note, say, tell};
pub use printer::{EventPrinter, EventText, Json, print};
pub use progress::Progress;
pub use report::{Column, Report, Show, Table, When, column, percent, short, short_millis, table};
pub use screen::{Screen, Style, clean};
pub use stdout::{FlushPolicy, Stdout};
pub use targets_view::{TargetsView, strong, table_lines};
pub use terminal::{RawTerminal, restore};
pub use wrap::wrap;
