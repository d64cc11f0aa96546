//! What is really the case when the kernel refused to open an interface, and how much memory may be
//! asked of it. Looked at when something was refused, never before.

use crate::config::FRAMES;
use crate::error::{Advice, FluxError};
use crate::sys::rights::{self, Capability, FOR_PROGRAMS, FOR_SOCKETS, Rights};
use std::fs;

/// Frames of a UMEM that nobody asked a number for: `usual`, or fewer where that would take more than
/// half of the memory that a user may lock, all of its processes together. So a second run fits beside
/// this one.
pub(crate) fn affordable(usual: u32, frame_size: u32) -> u32 {
    let Some(limit) = rights::memlock() else { return usual };
    let half = limit / 2 / u64::from(frame_size.max(1));
    u32::try_from(half).map_or(usual, |half| usual.min(half)).max(*FRAMES.start())
}

/// `error`, from opening sockets on a UMEM of `bytes`, with what is really missing.
pub(crate) fn explained(error: FluxError, bytes: usize) -> FluxError {
    match (error.advice(), error.raw_os_error()) {
        (Some(Advice::MissingNetRaw), _) => forbidden(error, FOR_SOCKETS, Advice::MissingNetRaw),
        (Some(Advice::MissingBpf), _) => forbidden(error, FOR_PROGRAMS, Advice::MissingBpf),
        (Some(Advice::FewerFrames), Some(libc::ENOBUFS | libc::ENOMEM)) => locked(error, bytes),
        (_, Some(libc::EMFILE)) => files(error),
        _ => error,
    }
}

fn forbidden(error: FluxError, needed: &[Capability], advice: Advice) -> FluxError {
    let (cause, hint) = Rights::now().explain(needed);
    error.with_cause(cause).with_advice(format!("{hint}; "), advice)
}

fn locked(error: FluxError, bytes: usize) -> FluxError {
    let Some(limit) = rights::memlock() else { return error };
    let kib = |bytes: u64| match bytes {
        bytes if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        bytes => format!("{} MiB", bytes >> 20),
    };
    let (need, limit_text) = (kib(bytes as u64), kib(limit));
    let cause = if bytes as u64 > limit {
        format!("it takes {need}, and this user may lock {limit_text} (memlock limit)")
    } else {
        format!(
            "it takes {need}; this user may lock {limit_text} (memlock limit), and other processes \
             of the user hold too much of that"
        )
    };
    let hint =
        "give the binary cap_ipc_lock too, start it after `ulimit -l unlimited` as root, or ";
    error.with_cause(cause).with_advice(hint, Advice::FewerFrames)
}

fn files(error: FluxError) -> FluxError {
    let Some(limit) = open_files() else { return error };
    error
        .with_cause(format!("this process may have {limit} files open, and has"))
        .with_hint("raise the limit of open files: `ulimit -n 4096`, or open fewer queues")
}

/// The soft limit of open files.
fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
