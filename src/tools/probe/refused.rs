//! [`Refused`]: a target that cannot be used, and why.

use crate::error::FluxError;
use serde::Serialize;
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
