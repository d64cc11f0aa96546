//! Topology files: a simulated network in TOML.
//!
//! ```text
//!   text ─▶ read, parts (tables, places) ─▶ model (nodes, links, routes) ─▶ addressing
//!                                                                            │
//!                Simulator ◀── build (NetworkBuilder) ◀── paths (shortest, equal ones) ◀┘
//! ```
//!
//! Invariant: no text makes this panic. What is wrong with one is told with the file, line and
//! column, what is wrong and what to do; what the file does not say follows from it alone, so that the
//! same file and seed give the same network.
//!
//! The format is documented in `flux help topology`. The core knows nothing of files: it is all built
//! with [`NetworkBuilder`](crate::simulator::NetworkBuilder), by what anybody could call.

mod addressing;
mod build;
mod events;
mod model;
mod nodes;
mod options;
mod parts;
mod paths;
mod read;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_field;
mod values;

use crate::error::{FluxError, Result};
use crate::simulator::{SimSpec, Simulator};
use crate::tools::config_file::Source;
use std::path::Path;

pub use options::SimOptions;

/// The simulated machine and network of `options`: those of its topology file, else the default ones.
///
/// # Errors
/// What [`load`] says about the file.
pub fn simulator(options: SimOptions) -> Result<Simulator> {
    match &options.file {
        Some(path) => load(path, &options.spec),
        None => Ok(Simulator::new(options.spec)),
    }
}

/// The same for a command between two interfaces: the file's network, or the default one of two
/// sides ([`Simulator::between`]).
///
/// # Errors
/// What [`load`] says about the file, or that our machine has one interface in it.
pub fn between(options: SimOptions) -> Result<Simulator> {
    let Some(path) = &options.file else { return Ok(Simulator::between(options.spec)) };
    let simulator = load(path, &options.spec)?;
    if simulator.ports().len() < 2 {
        let what = format!("topology file {}", path.display());
        return Err(FluxError::config(what, "has one interface of ours, and two are needed")
            .with_hint("add a second [[link]] from \"us\"; `flux help topology` has an example"));
    }
    Ok(simulator)
}

/// Reads a topology file and builds the network in it, with our machine as `spec` has it.
///
/// # Errors
/// When the file cannot be read, or what [`parse`] says.
pub fn load(path: &Path, spec: &SimSpec) -> Result<Simulator> {
    let hint = "give the path of a TOML file; `flux help topology` has an example";
    network(&Source::load(path, "topology file", hint)?, spec)
}

/// Builds the network that `text` describes, with our machine as `spec` has it.
///
/// ```
/// use fluxnet::simulator::SimSpec;
///
/// let text = r#"
///     [us]
///     addresses = ["10.0.0.1/24"]
///     [[router]]
///     name = ["r1", "r2"]
///     [[host]]
///     name = "server"
///     addresses = ["192.0.2.7/24"]
///     [[link]]
///     between = ["us", "r1", "r2", "server"]
///     delay = "2ms"
/// "#;
/// let network = fluxnet::tools::topology::parse(text, &SimSpec::default())?;
/// assert_eq!(network.name_of("192.0.2.7".parse().unwrap()).as_deref(), Some("server"));
/// # Ok::<(), fluxnet::FluxError>(())
/// ```
///
/// # Errors
/// `ErrorKind::Config`, with line and column, what is wrong there and what to do.
pub fn parse(text: &str, spec: &SimSpec) -> Result<Simulator> {
    network(&Source::of("topology", text), spec)
}

fn network(source: &Source<'_>, spec: &SimSpec) -> Result<Simulator> {
    let built = source.parse(|text| {
        let model = read::read(text)?;
        let laid = addressing::number(&model)?;
        let ways = paths::ways(&model, &laid);
        build::network(&model, &laid, &ways, spec)
    });
    built?.build()
}
