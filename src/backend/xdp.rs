//! The XDP programs.
