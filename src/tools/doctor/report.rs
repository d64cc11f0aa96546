//! What was found: one line a check.

use serde::Serialize;

/// How good that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// AF_XDP works, but less well than it could, or not for all packets.
    Warning,
    /// AF_XDP does not work.
    Blocker,
}

impl Status {
    /// As in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Blocker => "blocker",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, for programs.
    pub id: &'static str,
    /// How it stands.
    pub status: Status,
    /// What it is.
    pub title: String,
    /// What was found, with the numbers.
    pub finding: String,
    /// The command that mends it, or the next step in words.
    pub fix: Option<String>,
}

/// One thing that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// The name of the check.
    pub id: &'static str,
    /// What it is.
    pub title: String,
    /// Why not.
    pub reason: String,
}

/// The state of the machine, and of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "report")]
pub struct Report {
    /// The interface that was asked about.
    pub interface: Option<String>,
    /// What was found; the first [`Report::machine_checks`] are about the machine.
    pub checks: Vec<Check>,
    /// What could not be checked.
    pub unchecked: Vec<Unchecked>,
    /// How many of the checks are warnings.
    pub warnings: usize,
    /// How many are blockers.
    pub blockers: usize,
    /// What it all comes to, in a line.
    pub conclusion: String,
    /// How many of the checks are about the machine.
    #[serde(skip)]
    pub machine_checks: usize,
}
