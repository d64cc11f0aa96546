//! TOML files with the place of every mistake: line, column, and the keys that are known.
//!
//! ```text
//!   Source (a file, its name) ─▶ tables() ─▶ Fields: a table key by key ─▶ the command's own types
//!        ▲                                      │
//!        └── line and column ◀── SyntaxError ◀──┘
//! ```
//!
//! Invariant: a key that is not known is an error, with the nearest one that is.
//! Callers: `topology`, and commands that have a file of settings.

mod fields;
mod source;
mod syntax_error;

pub(crate) use fields::{Fields, Placed, Word, whole, words};
pub(crate) use source::{Source, tables};
pub(crate) use syntax_error::{Read, SyntaxError};
