//! TOML files with the place of every mistake: line, column, and the keys that are known.

mod fields;
mod syntax_error;

pub(crate) use fields::*;
pub(crate) use syntax_error::*;
