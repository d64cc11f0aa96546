//! Faults that wrap a backend.
