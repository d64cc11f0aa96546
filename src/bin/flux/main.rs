//! The `flux` command: arguments in, a plan to the library, its events out as text or JSON.
//!
//! ```text
//!   argv ──▶ cli (clap) ──▶ command: Args ─▶ plan ─▶ fluxnet::tools ─▶ report
//!                                                                        │
//!                             output: text, table, chart, JSON, progress ◀┘
//! ```
//!
//! Data goes to standard output, everything else to standard error. Exit status: 0 done and the
//! answer is yes, 1 ran and the answer is no, 2 could not run.
#![forbid(unsafe_code)]

mod answer;
mod argv;
mod bench;
mod cli;
mod completions;
mod doctor;
mod failure;
mod help;
mod man;
mod opened;
mod output;
mod ping;
mod rings;
mod signals;
mod socket_options;
mod trace;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
