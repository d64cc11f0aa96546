//! Numbers, times and words as people write them: the same rules in every option, in `--sim` and in
//! topology files.
//!
//! Invariant: functions of their text alone. A parser says only what is wrong; the caller knows
//! which option or key it was, and puts its name and the value in front.

pub mod counts;
pub mod near;
pub mod numbers;
pub mod values;
