//! Stand-in for the library pieces that have not landed yet.
#![allow(missing_docs, dead_code)]
use fluxnet::FluxError;
use fluxnet::tools::ping::{Control, Event, Outcome, Plan};
use std::str::FromStr;
pub struct SimSpec {
    pub realtime: bool,
}
impl FromStr for SimSpec {
    type Err = FluxError;
    fn from_str(_: &str) -> Result<Self, FluxError> {
        Ok(SimSpec { realtime: false })
    }
}
pub struct Simulator;
impl Simulator {
    pub fn new(_: SimSpec) -> Self {
        Simulator
    }
}
pub struct Env;
impl Env {
    pub fn kernel() -> Result<Self, FluxError> {
        Ok(Env)
    }
    pub fn simulated(_: Simulator) -> Self {
        Env
    }
}
pub fn run(
    _: &Plan,
    _: &mut Env,
    _: &Control,
    _: &mut dyn FnMut(Event),
) -> Result<Outcome, FluxError> {
    Err(FluxError::config("ping", "has not landed"))
}
