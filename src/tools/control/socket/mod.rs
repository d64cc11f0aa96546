//! The control socket: a second process asks a command that runs for long.
//!
//! ```text
//!   ask() ──▶ /run/flux/pump-eth0@N.sock ▶ Server (one thread, poll) ──▶ Handler: status, reload,
//!     ▲             one JSON object a line          │                      the command's own
//!     └──────────────── answer or error ◀───────────┴──▶ Control: stop
//! ```
//!
//! Invariant: no client disturbs the command or another client. Each has a deadline; what it sends
//! and what waits for it are bounded; any bytes get an answer or an error object. A socket belongs to
//! the process that holds the lock beside it, so one that was killed leaves nothing that stands in the
//! way. Its name has the network namespace, N.
//!
//! The protocol is described in `docs/control.md`. Linux alone has it.

mod claim;
mod client;
mod connection;
mod directory;
mod request;
mod serve;

pub use client::ask;
pub use directory::Directory;
pub use request::{LONGEST, Object, Request};
pub use serve::{Handler, Limits, Server};
