//! [`Refused`]: a target that cannot be used, and why.

use crate::error::FluxError;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// A target that is left out of its run. The others are probed all the same.
#[derive(Debug)]
pub(crate) struct Refused {
    /// As given.
    pub(crate) name: String,
    /// Where that is known.
    pub(crate) address: Option<IpAddr>,
    pub(crate) error: FluxError,
}

/// Why nothing can be sent to a target now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WhyNot {
    /// Its next hop does not answer.
    Silent(String),
    /// This host cannot: it has no route, no room, no link.
    Local(String),
}

impl WhyNot {
    pub(super) fn local(why: impl Into<String>) -> Self {
        Self::Local(why.into())
    }

    /// Whether it says something of this host alone, and nothing of the target.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(why) => write!(f, "Destination Host Unreachable: {why}"),
            Self::Local(why) => f.write_str(why),
        }
    }
}

/// Probes to a target cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SendError {
    /// The target, as given.
    pub target: String,
    /// Why.
    pub error: String,
    /// The next step, where one is known.
    pub hint: Option<String>,
}

impl Refused {
    pub(crate) fn new(name: &str, address: Option<IpAddr>, error: FluxError) -> Self {
        Self { name: name.to_owned(), address, error }
    }

    /// As it is told.
    pub(crate) fn told(&self) -> SendError {
        SendError {
            target: self.name.clone(),
            error: self.error.to_string(),
            hint: self.error.hint().map(str::to_owned),
        }
    }
}
